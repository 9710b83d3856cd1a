//! A bill of materials in the format `CycloneDX` 1.5, as JSON (ECMA-424's forerunner).
//!
//! The component that the document is about is the image; dependencies say what refers to what and what was
//! linked with what.

use picnix_eval::flake::percent_encode;
use picnix_store_core::{HashFormat, StoreDir};
use serde_json::{Map, Value, json};

use super::{Bill, Component, Kind, Presence, Source, public_url};

/// The reference of the image in the document.
const IMAGE: &str = "image";

/// The document.
#[must_use]
pub fn cyclonedx(bill: &Bill, store_dir: &StoreDir) -> Value {
    let components: Vec<Value> =
        bill.components.iter().map(|part| component(part, store_dir)).collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", bill.uuid()),
        "version": 1,
        "metadata": {
            "tools": { "components": [{
                "type": "application", "name": "picnix", "version": env!("CARGO_PKG_VERSION"),
            }] },
            "component": {
                "bom-ref": IMAGE,
                "type": "operating-system",
                "name": bill.image.name(),
                "properties": [
                    property("picnix:format", &bill.format),
                    property("picnix:narHash", &format!("sha256:{}", bill.nar_hash.base16())),
                    property("picnix:storePath", &store_dir.print(&bill.image)),
                ],
            },
        },
        "components": components,
        "dependencies": dependencies(bill),
    })
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn component(component: &Component, store_dir: &StoreDir) -> Value {
    let about = &component.about;
    let kind = match (component.kind, component.presence) {
        (Kind::Package, Presence::Installed) => "application",
        (Kind::Package, Presence::Linked) => "library",
        (Kind::Configuration, _) => "data",
        (Kind::File, _) => "file",
    };
    let mut properties: Vec<Value> = component
        .paths
        .iter()
        .map(|path| property("picnix:storePath", &store_dir.print(path)))
        .collect();
    properties
        .extend(component.patches.iter().map(|name| property("picnix:patch", name)));
    let mut value = json!({
        "bom-ref": component.id(),
        "type": kind,
        "name": component.name,
        "properties": properties,
    });
    if let Some(version) = &component.version {
        value["version"] = json!(version);
    }
    if component.kind == Kind::Package {
        value["purl"] = json!(package_url(component));
    }
    if let Some(description) = &about.description {
        value["description"] = json!(description);
    }
    if let Some(license) = &about.license {
        value["licenses"] = json!([{ "expression": license }]);
    }
    let mut references: Vec<Value> =
        component.sources.iter().filter_map(distribution).collect();
    if let Some(homepage) = &about.homepage {
        references.push(json!({ "type": "website", "url": homepage }));
    }
    if !references.is_empty() {
        value["externalReferences"] = Value::Array(references);
    }
    value
}

/// Where a source can be had.
fn distribution(source: &Source) -> Option<Value> {
    let url = public_url(source.urls.first()?)?;
    let mut value = Map::new();
    value.insert("type".into(), json!("distribution"));
    value.insert("url".into(), json!(url));
    let algo = source.hash.as_ref().and_then(|hash| match hash.algo().name() {
        "sha256" => Some("SHA-256"),
        "sha512" => Some("SHA-512"),
        _ => None,
    });
    if let (Some(algo), Some(hash)) = (algo, &source.hash) {
        let content = hash.print(HashFormat::Base16);
        value.insert("hashes".into(), json!([{ "alg": algo, "content": content }]));
    }
    Some(Value::Object(value))
}

/// The package's URL by the specification of purl; there is no type for such packages but the generic one.
fn package_url(component: &Component) -> String {
    let escape = |text: &str| percent_encode(text, "");
    let name = escape(&component.name);
    match &component.version {
        Some(version) => format!("pkg:generic/{name}@{}", escape(version)),
        None => format!("pkg:generic/{name}"),
    }
}

fn dependencies(bill: &Bill) -> Vec<Value> {
    let installed = bill.components.iter().filter(|c| c.presence == Presence::Installed);
    let ids: Vec<String> = installed.map(Component::id).collect();
    let mut all = vec![json!({ "ref": IMAGE, "dependsOn": ids })];
    for component in &bill.components {
        let places: std::collections::BTreeSet<usize> =
            component.needs.union(&component.linked_with).copied().collect();
        let ids: Vec<String> =
            places.iter().map(|place| bill.components[*place].id()).collect();
        all.push(json!({ "ref": component.id(), "dependsOn": ids }));
    }
    all
}
