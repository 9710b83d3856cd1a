//! Our own tree under the real Nix: every package, module and example is the same derivation there.
//!
//! Both evaluate one expression, which names all there is: the packages in `pkgs/` for the builders and for every
//! target, every image of every example on every device, and the system of a configuration that turns on one
//! module, for every option `enable` that there is. What fails must fail in both.

use std::collections::BTreeMap;
use std::process::Command;

use crate::common::{TestEnvironment, skip, workspace};

/// A function of the tree's root to a set of names and derivation paths.
const EVERYTHING: &str = r#"
root:
let
  inherit (builtins) attrNames isAttrs listToAttrs mapAttrs readDir tryEval;
  lib = import (root + "/lib");
  picnix = arguments: (import root arguments).config.system.build;
  pkgs = import (root + "/pkgs") { inherit lib; system = "x86_64-linux"; };

  pathOf =
    value:
    let
      path = tryEval value.drvPath;
    in
    if path.success then path.value else "fails";
  isPackage =
    name:
    builtins.any (file: builtins.pathExists (root + "/pkgs/${name}/${file}")) [
      "package.nix"
      "prebuilt.nix"
    ];
  names = builtins.filter isPackage (attrNames (readDir (root + "/pkgs")));
  packagesOf =
    set:
    mapAttrs (
      name: _:
      let
        found = tryEval (set.${name} or null);
      in
      if !found.success then
        "fails"
      else if isAttrs found.value && found.value.type or null == "derivation" then
        pathOf found.value
      else
        builtins.typeOf found.value
    ) (listToAttrs (map (name: { inherit name; value = null; }) (names ++ [ "stdenv" "stdenvNoLibc" ])));

  examples = builtins.filter (lib.hasSuffix ".nix") (attrNames (readDir (root + "/examples")));
  devices = builtins.filter (name: builtins.pathExists (root + "/devices/${name}/default.nix")) (
    attrNames (readDir (root + "/devices"))
  );
  systemOf = build: {
    toplevel = pathOf build.toplevel;
    images = mapAttrs (_: pathOf) build.images;
  };

  options = lib.optionAttrSetToDocList (import root { }).options;
  switches = builtins.filter (option: lib.last option.loc == "enable" && !lib.elem "<name>" option.loc) options;
  # What a module needs beside being turned on.
  required."services.httpd.enable".services.httpd.root = "/srv";
in
{
  packages = packagesOf pkgs;
  cross = mapAttrs (_: packagesOf) pkgs.pkgsCross;
  examples = lib.genAttrs devices (
    device:
    lib.genAttrs examples (
      example: systemOf (picnix { configuration = root + "/examples/${example}"; inherit device; })
    )
  );
  modules = listToAttrs (
    map (option: {
      inherit (option) name;
      value = systemOf (picnix {
        configuration.imports = [
          (lib.setAttrByPath option.loc true)
          (required.${option.name} or { })
        ];
      });
    }) switches
  );
}
"#;

/// The leaves of a JSON value, by their names joined with dots.
fn leaves(name: &str, value: &serde_json::Value, found: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(set) => {
            set.iter()
                .for_each(|(key, value)| leaves(&format!("{name}.{key}"), value, found));
        }
        other => {
            let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            found.insert(name.to_owned(), text);
        }
    }
}

fn evaluated(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.current_dir(workspace()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    let mut found = BTreeMap::new();
    leaves("", &serde_json::from_slice(&output.stdout).unwrap(), &mut found);
    found
}

#[test]
fn every_package_module_and_example_is_the_real_nixs() {
    let Ok(prefix) = std::env::var("PICNIX_PEER_NIX") else {
        skip("tree", "PICNIX_PEER_NIX does not name a Nix");
        return;
    };
    let env = TestEnvironment::new();
    let file = env.write("everything.nix", EVERYTHING);
    let expr = format!("import {} {}", file.display(), workspace().display());
    let mut ours = env.picnix(["eval", "--strict", "--json", "-E", &expr]);
    let words = prefix.split_whitespace().chain(["nix-instantiate", "--eval"]);
    let words: Vec<&str> = words.chain(["--strict", "--json", "-E", &expr]).collect();
    let mut theirs = Command::new(words[0]);
    let (ours, theirs) = (evaluated(&mut ours), evaluated(theirs.args(&words[1..])));
    let differing: Vec<_> =
        ours.iter().filter(|(name, path)| theirs.get(*name) != Some(path)).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(ours.len(), theirs.len());
    let derivations = ours.values().filter(|path| path.ends_with(".drv")).count();
    println!("{} names, {derivations} derivations", ours.len());
    for part in [".packages.", ".cross.", ".examples.", ".modules."] {
        let mut of_part = ours.iter().filter(|(name, _)| name.starts_with(part));
        assert!(of_part.any(|(_, path)| path.ends_with(".drv")), "{part} is empty");
    }
}
