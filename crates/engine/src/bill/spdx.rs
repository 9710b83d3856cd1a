//! A bill of materials in the format SPDX 2.3, as JSON (ISO/IEC 5962).
//!
//! The document describes one package, the image, which contains those that were installed; a package that a
//! program was linked with is tied to that program. What nobody has looked into is `NOASSERTION`: licences are
//! what the recipes declare.

use std::collections::BTreeSet;

use picnix_store_core::{HashFormat, StoreDir};
use serde_json::{Value, json};

use super::{Bill, Component, Kind, Presence, public_url};

const NO_ASSERTION: &str = "NOASSERTION";
/// The document is not made at a time: it follows from the image. This is the time of files in the store.
const CREATED: &str = "1970-01-01T00:00:01Z";
/// What licences begin with that SPDX does not list.
const OWN_LICENSE: &str = "LicenseRef-";

/// The document.
#[must_use]
pub fn spdx(bill: &Bill, store_dir: &StoreDir) -> Value {
    let name = bill.image.name();
    let image = json!({
        "SPDXID": "SPDXRef-image",
        "name": name,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        "summary": format!("The system as an image of format {}", bill.format),
        "comment": format!(
            "{}, NAR hash sha256:{}", store_dir.print(&bill.image), bill.nar_hash.base16()
        ),
    });
    let mut packages = vec![image];
    packages
        .extend(bill.components.iter().map(|component| package(component, store_dir)));
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/{name}-{}", bill.uuid()),
        "creationInfo": {
            "created": CREATED,
            "creators": [format!("Tool: picnix-{}", env!("CARGO_PKG_VERSION"))],
        },
        "hasExtractedLicensingInfos": own_licenses(bill),
        "packages": packages,
        "relationships": relationships(bill),
    })
}

fn id(component: &Component) -> String {
    format!("SPDXRef-{}", component.id())
}

fn package(component: &Component, store_dir: &StoreDir) -> Value {
    let about = &component.about;
    let source = component.sources.first();
    let url = source.and_then(|source| public_url(source.urls.first()?));
    let paths: Vec<String> =
        component.paths.iter().map(|path| store_dir.print(path)).collect();
    let purpose = match (component.kind, component.presence) {
        (Kind::Package, Presence::Installed) => "APPLICATION",
        (Kind::Package, Presence::Linked) => "LIBRARY",
        (Kind::Configuration | Kind::File, _) => "FILE",
    };
    let mut value = json!({
        "SPDXID": id(component),
        "name": component.name,
        "downloadLocation": url.unwrap_or_else(|| NO_ASSERTION.to_owned()),
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": about.license.as_deref().unwrap_or(NO_ASSERTION),
        "copyrightText": NO_ASSERTION,
        "primaryPackagePurpose": purpose,
        "comment": paths.join(" "),
    });
    if let Some(version) = &component.version {
        value["versionInfo"] = json!(version);
    }
    if let Some(description) = &about.description {
        value["summary"] = json!(description);
    }
    if let Some(homepage) = &about.homepage {
        value["homepage"] = json!(homepage);
    }
    if let Some(hash) = source.and_then(|source| source.hash) {
        value["checksums"] = json!([{
            "algorithm": hash.algo().name().to_uppercase(),
            "checksumValue": hash.print(HashFormat::Base16),
        }]);
    }
    if !component.patches.is_empty() {
        value["sourceInfo"] = json!(format!("with {}", component.patches.join(", ")));
    }
    value
}

fn relationships(bill: &Bill) -> Vec<Value> {
    let tie = |from: &str, kind: &str, to: &str| {
        json!({
            "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to
        })
    };
    let mut all = vec![tie("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")];
    for component in &bill.components {
        let id = id(component);
        if component.presence == Presence::Installed {
            all.push(tie("SPDXRef-image", "CONTAINS", &id));
        }
        for need in &component.needs {
            all.push(tie(&id, "DEPENDS_ON", &self::id(&bill.components[*need])));
        }
        for library in &component.linked_with {
            all.push(tie(&id, "STATIC_LINK", &self::id(&bill.components[*library])));
        }
    }
    all
}

/// The licences in use that are not SPDX's own, which a document has to explain.
fn own_licenses(bill: &Bill) -> Vec<Value> {
    let words = bill
        .components
        .iter()
        .filter_map(|component| component.about.license.as_deref())
        .flat_map(|license| {
            license.split(|c: char| c.is_whitespace() || "()".contains(c))
        })
        .filter(|word| word.starts_with(OWN_LICENSE));
    let names: BTreeSet<&str> = words.collect();
    names
        .into_iter()
        .map(|name| {
            let short = name.rsplit('-').next().unwrap_or(name);
            json!({
                "licenseId": name,
                "name": short,
                "extractedText": format!(
                    "What nixpkgs calls {short}; 'picnix licenses' shows what the source says."
                ),
            })
        })
        .collect()
}
