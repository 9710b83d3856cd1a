//! The real Nix as judge: NARs, hashes, derivations and store paths are compared byte for byte.
//!
//! `PICNIX_PEER_NIX` is a command that runs its arguments where `nix-store` and its kin are found
//! and where the temporary directory is seen at its own path. Without it the tests only say so.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test against a program shares files with it, and says when there is none"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use picnix_store_core::nar::Fso;
use picnix_store_core::{
    Derivation, DrvHash, Error, Hash, HashAlgo, HashFormat, StoreDir, StorePath,
};

/// Runs a command beside the real Nix; `None` where there is none.
fn peer(args: &[&str]) -> Option<String> {
    let Some(prefix) = std::env::var_os("PICNIX_PEER_NIX") else {
        eprintln!(
            "SKIPPED: PICNIX_PEER_NIX is not set, nothing is compared with the real Nix"
        );
        return None;
    };
    let prefix = prefix.into_string().expect("PICNIX_PEER_NIX is text");
    let mut words = prefix.split_whitespace();
    let mut command = Command::new(words.next().expect("PICNIX_PEER_NIX is not empty"));
    let output = command.args(words).args(args).output().expect("the command starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {stderr}");
    Some(String::from_utf8(output.stdout).expect("its output is text"))
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir()
            .join(format!("picnix-peer-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().expect("the path is text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&self.0).status();
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sample() -> Fso {
    Fso::directory([
        ("a b", Fso::file("x".repeat(1001))),
        ("bin", Fso::directory([("sh", Fso::program("#!")), ("sh-", Fso::file(""))])),
        ("empty", Fso::directory::<&str>([])),
        ("link", Fso::Symlink(b"../nowhere".to_vec())),
    ])
}

#[test]
fn nars_are_those_of_nix() {
    let scratch = Scratch::new("nar");
    let nar = sample().to_nar().unwrap();
    fs::write(scratch.path("ours.nar"), &nar).unwrap();
    let script = "nix-store --restore \"$1/tree\" < \"$1/ours.nar\" \
                  && nix-store --dump \"$1/tree\" > \"$1/theirs.nar\" \
                  && nix-hash --type sha256 --base32 \"$1/tree\"";
    let dir = scratch.0.to_str().unwrap();
    let Some(hash) = peer(&["sh", "-c", script, "sh", dir]) else { return };
    assert_eq!(fs::read(scratch.path("theirs.nar")).unwrap(), nar);
    let ours = Hash::of(HashAlgo::Sha256, &nar).print(HashFormat::Nix32);
    assert_eq!(hash.trim(), ours);
}

/// Derivations of every kind that needs no experimental feature.
const EXPRESSION: &str = r#"
  let
    drv = name: attrs: derivation ({
      inherit name; system = "x86_64-linux"; builder = "/bin/sh";
    } // attrs);
    fixed = drv "fixed" {
      outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    };
    tree = drv "tree-1.0" {
      outputHash = "0000000000000000000000000000000000000000"; outputHashAlgo = "sha1";
      outputHashMode = "recursive";
    };
    source = drv "source" {
      outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
      outputHashMode = "recursive"; urls = [ "http://a" "http://b" ];
    };
    multi = drv "multi" { outputs = [ "out" "dev" "a" ]; x = "q\"\\\n\r\t$é"; inherit fixed tree; };
    text = builtins.toFile "text" "contents with ${builtins.toFile "inner" "x"}";
    structured = drv "structured" {
      __structuredAttrs = true; outputs = [ "lib" "out" ]; args = [ "-c" text multi.dev ];
      nested = { b = [ 1 2.5 null true ]; a = "${multi.a}\n"; }; Z = 1; _z = 2;
    };
    top = drv "top" { inputs = [ structured.lib multi multi.dev source ]; self = placeholder "out"; };
  in top"#;

/// Reads a derivation of the scratch store and computes everything anew, inputs first.
fn check(
    physical: &Path,
    dir: &StoreDir,
    path: &StorePath,
    seen: &mut BTreeMap<StorePath, Arc<DrvHash>>,
) -> Arc<DrvHash> {
    if let Some(hash) = seen.get(path) {
        return hash.clone();
    }
    let text = fs::read(physical.join(path.to_string())).unwrap();
    let drv = Derivation::parse(dir, &text, path.derivation_name().unwrap()).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&drv.print(dir).unwrap()),
        String::from_utf8_lossy(&text),
    );
    assert_eq!(drv.to_text(dir).unwrap().path, *path);
    let mut inputs = BTreeMap::new();
    for input in drv.input_drvs.keys() {
        inputs.insert(input.clone(), check(physical, dir, input, seen));
    }
    drv.check_output_paths(dir, |input| Ok::<_, Error>(inputs[input].clone())).unwrap();
    let hash =
        drv.hash_modulo(dir, |input| Ok::<_, Error>(inputs[input].clone())).unwrap();
    seen.entry(path.clone()).or_insert_with(|| Arc::new(hash)).clone()
}

#[test]
fn derivations_are_those_of_nix() {
    let scratch = Scratch::new("drv");
    let store = scratch.path("root");
    let Some(printed) = peer(&["nix-instantiate", "--store", &store, "-E", EXPRESSION])
    else {
        return;
    };
    let dir = StoreDir::default();
    let path = dir.parse_path(printed.trim().as_bytes()).unwrap();
    let physical = Path::new(&store).join("nix/store");
    let mut seen = BTreeMap::new();
    check(&physical, &dir, &path, &mut seen);
    assert_eq!(seen.len(), 6);
}

#[test]
fn fixed_output_paths_are_those_of_nix() {
    use picnix_store_core::{ContentAddress, ContentAddressMethod, References};
    let dir = StoreDir::default();
    for algo in [HashAlgo::Md5, HashAlgo::Sha1, HashAlgo::Sha256, HashAlgo::Sha512] {
        let hash = Hash::of(algo, b"x");
        for (method, flag) in [
            (ContentAddressMethod::Flat, None),
            (ContentAddressMethod::Nar, Some("--recursive")),
        ] {
            let digest = hash.print(HashFormat::Nix32);
            let mut args = vec!["nix-store", "--print-fixed-path"];
            args.extend(flag);
            args.extend([algo.name(), &digest, "n-1.0"]);
            let Some(theirs) = peer(&args) else { return };
            let address = ContentAddress { method, hash };
            let ours =
                dir.make_content_path("n-1.0", &address, &References::none()).unwrap();
            assert_eq!(theirs.trim(), dir.print(&ours));
        }
    }
}

/// Builds an object that refers to itself, lets Nix address it by its contents, and dumps both.
const SELF_REFERENCE: &str = r#"
  path=$(nix-build --no-out-link -E 'derivation {
    name = "selfref-1.0"; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/bin:/usr/bin";
    args = [ "-c" "mkdir -p $out; echo self $out/x $out > $out/f; echo $out > $out/g" ];
  }') || exit 1
  nix-store --dump "$path" > "$1/before.nar"
  nix store make-content-addressed --json "$path" > "$1/rewrites.json"
  after=$(sed 's/.*:"//; s/".*//' "$1/rewrites.json")
  nix-store --dump "$after" > "$1/after.nar"
  printf '%s\n%s\n' "$path" "$after"
"#;

#[test]
fn content_addresses_modulo_self_are_those_of_nix() {
    use picnix_store_core::refscan::{HashModuloSink, rewrite_digests};
    use picnix_store_core::{ContentAddress, ContentAddressMethod, References};
    let scratch = Scratch::new("selfref");
    let folder = scratch.0.to_str().unwrap();
    let Some(printed) = peer(&["sh", "-c", SELF_REFERENCE, "sh", folder]) else { return };
    let dir = StoreDir::default();
    let paths: Vec<StorePath> =
        printed.lines().map(|line| dir.parse_path(line.as_bytes()).unwrap()).collect();
    let nar = fs::read(scratch.path("before.nar")).unwrap();
    let mut sink = HashModuloSink::new(HashAlgo::Sha256, &paths[0]);
    std::io::Write::write_all(&mut sink, &nar).unwrap();
    let address =
        ContentAddress { method: ContentAddressMethod::Nar, hash: sink.finish().0 };
    let references = References { itself: true, ..References::none() };
    let ours = dir.make_content_path("selfref-1.0", &address, &references).unwrap();
    assert_eq!(ours, paths[1]);
    let pair = (paths[0].digest_text(), paths[1].digest_text());
    assert_eq!(
        rewrite_digests(&nar, &[pair]),
        fs::read(scratch.path("after.nar")).unwrap()
    );
}

#[test]
fn narinfos_and_signatures_are_those_of_nix() {
    use picnix_store_core::{NarInfo, PublicKeys, SecretKey};
    const SCRIPT: &str = r#"
      path=$(nix-store --add "$1/text") || exit 1
      nix copy --to "file://$1/cache?secret-key=$1/key&compression=none" "$path"
      cat "$1"/cache/*.narinfo
    "#;
    let scratch = Scratch::new("narinfo");
    let key = SecretKey::from_seed("test-1", &[42; 32]);
    fs::write(scratch.path("key"), key.print()).unwrap();
    fs::write(scratch.path("text"), "some text").unwrap();
    let folder = scratch.0.to_str().unwrap();
    let Some(text) = peer(&["sh", "-c", SCRIPT, "sh", folder]) else { return };
    let dir = StoreDir::default();
    let mut narinfo = NarInfo::parse(&dir, text.as_bytes(), "peer").unwrap();
    assert_eq!(narinfo.print(&dir), text);
    let keys = PublicKeys::new([key.public_key()]);
    assert!(narinfo.info.is_trusted(&dir, &keys));
    // Ed25519 is deterministic: our signature is theirs.
    let theirs = std::mem::take(&mut narinfo.info.signatures);
    narinfo.info.sign(&dir, &key).unwrap();
    assert_eq!(narinfo.info.signatures, theirs);
    assert_eq!(theirs.len(), 1);
}
