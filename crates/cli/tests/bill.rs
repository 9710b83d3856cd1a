//! `picnix sbom` and `picnix licenses`: what is in an image and what only built it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{Ran, TestEnvironment, skip, workspace};

/// Validates a document by the schema that has an identifier; schemas refer to each other by theirs.
const VALIDATE: &str = r#"
import json, os, sys, warnings
warnings.simplefilter("ignore")
import jsonschema
folder, wanted, document = sys.argv[1:]
schemas = {}
for name in os.listdir(folder):
    if name.endswith(".json"):
        with open(os.path.join(folder, name)) as file:
            schema = json.load(file)
        schemas[schema["$id"]] = schema
schema = schemas[wanted]
resolver = jsonschema.RefResolver.from_schema(schema, store=schemas)
kind = jsonschema.validators.validator_for(schema)
with open(document) as file:
    errors = list(kind(schema, resolver=resolver).iter_errors(json.load(file)))
for error in errors[:9]:
    print(list(error.absolute_path), error.message[:200])
sys.exit(1 if errors else 0)
"#;
const SPDX_SCHEMA: &str = "http://spdx.org/rdf/terms/2.3";
const CYCLONEDX_SCHEMA: &str = "http://cyclonedx.org/schema/bom-1.5.schema.json";

fn hello(env: &TestEnvironment, args: &[&str]) -> String {
    let mut command = env.online(args);
    let ran: Ran = env.run(command.arg(workspace().join("examples/hello.nix")));
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
}

/// Asks the format's own schema, where there is one.
fn validate(test: &str, env: &TestEnvironment, schema: &str, document: &str) {
    let Some(folder) = std::env::var_os("PICNIX_SBOM_SCHEMAS") else {
        skip(test, "PICNIX_SBOM_SCHEMAS names no folder with the formats' JSON schemas");
        return;
    };
    let file = env.write("document.json", document);
    let output = Command::new("python3")
        .args(["-c", VALIDATE])
        .arg(folder)
        .arg(schema)
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{document}");
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect()
}

#[test]
fn a_bill_has_what_is_in_the_image_and_not_what_built_it() {
    let env = TestEnvironment::sharing_store("examples-store");
    let spdx = hello(&env, &["sbom", "--format", "spdx"]);
    assert_eq!(spdx, hello(&env, &["sbom", "--format", "spdx"]));
    validate("a_bill_has_what_is_in_the_image (SPDX)", &env, SPDX_SCHEMA, &spdx);
    let spdx: Value = serde_json::from_str(&spdx).unwrap();
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    let found = names(&spdx["packages"]);
    for name in ["busybox", "linux", "hello-initramfs"] {
        assert!(found.contains(&name), "{name}: {found:?}");
    }
    for name in ["qemu", "toolchain", "seed-busybox"] {
        assert!(!found.contains(&name), "{name}: {found:?}");
    }
    let busybox = &spdx["packages"][found.iter().position(|n| *n == "busybox").unwrap()];
    assert_eq!(busybox["licenseDeclared"], "GPL-2.0-only");
    assert_eq!(busybox["versionInfo"], "1.35.0");
    let url = busybox["downloadLocation"].as_str().unwrap();
    assert!(url.starts_with("https://") && url.ends_with("_amd64.deb"), "{url}");
    assert_eq!(busybox["checksums"][0]["algorithm"], "SHA256");
}

#[test]
fn both_formats_name_the_same_components() {
    let env = TestEnvironment::sharing_store("examples-store");
    let spdx = hello(&env, &["sbom", "--format", "spdx"]);
    let cyclonedx = hello(&env, &["sbom", "--format", "cyclonedx"]);
    validate("both_formats (CycloneDX)", &env, CYCLONEDX_SCHEMA, &cyclonedx);
    let spdx: Value = serde_json::from_str(&spdx).unwrap();
    let cyclonedx: Value = serde_json::from_str(&cyclonedx).unwrap();
    let mut listed = names(&spdx["packages"]);
    // The image is the subject of the other document.
    assert_eq!(listed.remove(0), cyclonedx["metadata"]["component"]["name"]);
    assert_eq!(listed, names(&cyclonedx["components"]));
    let serial = cyclonedx["serialNumber"].as_str().unwrap();
    let uuid = serial.strip_prefix("urn:uuid:").unwrap();
    assert!(spdx["documentNamespace"].as_str().unwrap().ends_with(uuid), "{uuid}");
}

#[test]
fn licences_have_texts_each_once() {
    let env = TestEnvironment::sharing_store("examples-store");
    let listed = hello(&env, &["licenses", "--list"]);
    assert!(listed.starts_with("busybox 1.35.0: GPL-2.0-only\n"), "{listed}");
    assert!(listed.contains("\nfrom the configuration: "), "{listed}");
    let said = hello(&env, &["licenses"]);
    assert!(said.starts_with(&listed), "{said}");
    assert!(said.contains("GNU General Public License"), "{said}");
    let json: Value =
        serde_json::from_str(&hello(&env, &["licenses", "--json"])).unwrap();
    let texts = json["texts"].as_array().unwrap();
    let mut seen: Vec<&str> = texts.iter().map(|t| t["text"].as_str().unwrap()).collect();
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), count > 0), (count, true));
    // The kernel, and those of its modules that are wanted.
    assert_eq!(names(&json["packages"]), ["busybox", "linux", "linux"]);
}

#[test]
fn a_format_that_there_is_not_is_refused() {
    let env = TestEnvironment::new();
    env.write("x.nix", "{ }\n");
    let ran = env.run(&mut env.picnix(["sbom", "--format", "swid", "x.nix"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("[possible values: spdx, cyclonedx]"), "{ran:?}");
    let said = env.fails(&["sbom", "--format", "spdx", "--image", "squash", "x.nix"]);
    assert!(said.contains("there is no image format 'squash'"), "{said}");
}

#[test]
fn libraries_in_programs_are_in_the_bill() {
    let test = "libraries_in_programs_are_in_the_bill";
    if std::env::var("PICNIX_SLOW").is_ok_and(|value| value == "1") {
        let env = TestEnvironment::sharing_store("examples-store");
        check_ssh(&env, &workspace().join("examples/ssh.nix"));
    } else {
        skip(test, "examples/ssh.nix builds from source: PICNIX_SLOW=1");
    }
}

fn check_ssh(env: &TestEnvironment, example: &Path) {
    let mut command = env.online(["sbom", "--format", "cyclonedx"]);
    let ran = env.run(command.arg(example));
    assert_eq!(ran.code, 0, "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let parts = document["components"].as_array().unwrap();
    let kind_of = |name: &str| {
        parts.iter().find(|part| part["name"] == name).map(|part| part["type"].as_str())
    };
    assert_eq!(kind_of("dropbear"), Some(Some("application")));
    assert_eq!(kind_of("linux"), Some(Some("application")));
    assert_eq!(kind_of("musl"), Some(Some("library")));
    for name in ["linux-headers", "toolchain", "x86_64-unknown-linux-musl-cc"] {
        assert_eq!(kind_of(name), None, "{name}");
    }
}
