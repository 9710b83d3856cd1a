//! `builtins.fetchClosure` from a folder, from a server, and with a content-addressed copy.
//!
//! The cache holds what the real Nix built once, so that the path of the copy is one that it computed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use picnix_store_core::nar::Fso;
use picnix_store_core::{NarInfo, Sha256, StoreDir};

use crate::common::{Ran, TestEnvironment};

const DEP: &str = "jkavqk0v65h0b7fjn4isxzbc9mlssa4v-dep";
const OBJECT: &str = "falm3lbjq6qa72y7b96prx2kqqzixhxg-selfref";
/// What `nix store make-content-addressed` of Nix 2.34 makes of the object.
const COPY: &str = "/nix/store/a721bbdazzrp18pfsa65qhgi3qrwzm3i-selfref";
const OTHER: &str = "/nix/store/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-selfref";

/// A place with a cache in the folder `cache`.
fn bench() -> TestEnvironment {
    let test = TestEnvironment::new();
    let (dep, object) = (format!("/nix/store/{DEP}"), format!("/nix/store/{OBJECT}"));
    test.write("cache/nix-cache-info", "StoreDir: /nix/store\n");
    put(&test, DEP, &[DEP], &[("bar", &format!("hi {dep}\n"))]);
    let own = format!("{object}\n{object} {object}/x\n{dep}\n");
    put(&test, OBJECT, &[OBJECT, DEP], &[("foo.nix", "3\n"), ("self", &own)]);
    test
}

/// Puts a directory with some files into the cache.
fn put(test: &TestEnvironment, name: &str, references: &[&str], files: &[(&str, &str)]) {
    let files = files.iter().map(|(name, text)| (*name, Fso::file(*text)));
    let nar = Fso::directory(files).to_nar().unwrap();
    let text = format!(
        "StorePath: /nix/store/{name}\nURL: nar/{name}.nar\nCompression: none\nNarHash: sha256:{}\n\
         NarSize: {}\nReferences: {}\n",
        Sha256::of(&nar).nix32(),
        nar.len(),
        references.join(" ")
    );
    NarInfo::parse(&StoreDir::default(), text.as_bytes(), name).unwrap();
    test.write(&format!("cache/{}.narinfo", &name[..32]), text);
    test.write(&format!("cache/nar/{name}.nar"), nar);
}

fn folder(test: &TestEnvironment) -> String {
    format!("file://{}/cache", test.work.display())
}

/// Evaluates a call, with a folder as a cache allowed, as Nix allows it in tests.
fn fetch(test: &TestEnvironment, store: &str, attrs: &str, flags: &[&str]) -> Ran {
    let expr = format!("builtins.fetchClosure {{ fromStore = \"{store}\"; {attrs} }}");
    let args = ["eval", "--extra-experimental-features", "fetch-closure", "--raw", "-E"];
    let mut command = test.picnix([&args[..], &[&expr], flags].concat());
    test.run(command.env("_NIX_IN_TEST", "1"))
}

fn fails_with(ran: &Ran, words: &str) {
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains(words), "{words}\n{}", ran.stderr);
}

/// A digest as tests compare it.
fn shown(path: &str) -> String {
    crate::common::without_digests(path)
}

#[test]
fn an_object_becomes_content_addressed() {
    let test = bench();
    let attrs = format!("fromPath = /nix/store/{OBJECT}; toPath = {COPY};");
    let ran = fetch(&test, &folder(&test), &attrs, &[]);
    assert_eq!((ran.code, ran.stdout), (0, shown(COPY)), "{}", ran.stderr);
    assert!(test.store.join(&COPY[1..]).exists());
    assert_eq!(test.objects(), ["dep", "selfref"]);
    test.assert_store_is_sound();
    let text = fs::read_to_string(test.store.join(&COPY[1..]).join("self")).unwrap();
    assert!(text.starts_with(COPY) && !text.contains(DEP), "{text}");
    // Now that it is there, nobody looks where it came from.
    let attrs = format!("fromPath = {OTHER}; toPath = {COPY};");
    assert_eq!(fetch(&test, &folder(&test), &attrs, &[]).code, 0);

    // What is fetched can be evaluated, and served to others as it is.
    let mut server = test
        .picnix(["store", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().rsplit(' ').next().unwrap().to_owned();
    let second = TestEnvironment::new();
    let flags = ["eval", "--extra-experimental-features", "fetch-closure", "-E"];
    let call =
        format!("builtins.fetchClosure {{ fromStore = \"{url}\"; fromPath = {COPY}; }}");
    let expr = format!("import \"${{{call}}}/foo.nix\"");
    let ran = second.run(&mut second.picnix([&flags[..], &[&expr]].concat()));
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!((ran.code, &*ran.stdout), (0, "3\n"), "{}", ran.stderr);
    assert!(second.store.join(&COPY[1..]).exists());
    let attrs = format!("fromPath = {COPY}; inputAddressed = true;");
    fails_with(
        &fetch(&second, &folder(&test), &attrs, &[]),
        "is not input-addressed, but",
    );
}

#[test]
fn another_path_than_the_copys_is_refused() {
    let test = bench();
    let attrs = format!("fromPath = /nix/store/{OBJECT}; toPath = {OTHER};");
    let ran = fetch(&test, &folder(&test), &attrs, &[]);
    let expected = format!(
        "error: rewriting '/nix/store/{OBJECT}' to content-addressed form yielded '{COPY}', while '{OTHER}' was expected"
    );
    fails_with(&ran, &shown(&expected));
    let attrs = format!("fromPath = /nix/store/{OBJECT}; toPath = \"\";");
    let ran = fetch(&test, &folder(&test), &attrs, &[]);
    fails_with(
        &ran,
        "Use this value for the 'toPath' attribute passed to 'fetchClosure'",
    );
    test.assert_store_is_sound();
}

#[test]
fn an_object_addressed_by_its_inputs_must_be_asked_for_and_signed() {
    let test = bench();
    let plain = format!("fromPath = /nix/store/{OBJECT};");
    let asked = format!("{plain} inputAddressed = true;");
    let unsigned = ["--option", "require-sigs", "false"];
    let fetch = |attrs, flags| fetch(&test, &folder(&test), attrs, flags);
    fails_with(&fetch(&asked, &[]), "lacks a signature by a trusted key");
    assert_eq!(test.objects(), [""; 0]);
    fails_with(&fetch(&plain, &unsigned), "but 'inputAddressed' is set to 'false'");
    let ran = fetch(&asked, &unsigned);
    assert_eq!((ran.code, ran.stdout), (0, shown(&format!("/nix/store/{OBJECT}"))));
    let copied = format!("fromPath = {OTHER}; toPath = /nix/store/{OBJECT};");
    fails_with(&fetch(&copied, &[]), "can't possibly be the result of rewriting");
    fails_with(&fetch(&format!("{asked} toPath = {COPY};"), &[]), "Please remove one of");
}

#[test]
fn calls_that_make_no_sense_say_so() {
    let test = bench();
    let url = folder(&test);
    let from = format!("fromPath = /nix/store/{OBJECT};");
    let query = format!("{url}?local-nar-cache=x");
    fails_with(
        &fetch(&test, &query, &from, &[]),
        "does not support URL query parameters",
    );
    let scheme = "only supports http:// and https:// stores";
    fails_with(&fetch(&test, "ssh://x", &from, &[]), scheme);
    let expr = format!("builtins.fetchClosure {{ fromStore = \"{url}\"; {from} }}");
    let feature = ["--extra-experimental-features", "fetch-closure"];
    let said = test.fails(&[&["eval", "-E", &expr], &feature[..]].concat());
    assert!(said.contains(scheme), "{said}");
    fails_with(&fetch(&test, &url, "", &[]), "attribute 'fromPath' is missing");
    let unknown = format!("{from} x = 1;");
    fails_with(&fetch(&test, &url, &unknown, &[]), "attribute 'x' isn't supported");
    let absent = format!("fromPath = {OTHER};");
    fails_with(&fetch(&test, &url, &absent, &[]), "is not in any of the binary caches");
}

#[test]
fn a_changed_nar_is_not_copied() {
    let test = bench();
    let file = format!("cache/nar/{OBJECT}.nar");
    let mut nar = fs::read(test.work.join(&file)).unwrap();
    let last = nar.iter().rposition(|byte| *byte == b'3').unwrap();
    nar[last] = b'4';
    test.write(&file, nar);
    let attrs = format!("fromPath = /nix/store/{OBJECT}; toPath = {COPY};");
    fails_with(&fetch(&test, &folder(&test), &attrs, &[]), "hash mismatch");
    assert_eq!(test.objects(), ["dep"]);
    test.assert_store_is_sound();
}
