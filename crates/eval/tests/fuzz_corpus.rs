//! The fuzz targets, run over the inputs that are kept in `fuzz/corpus`: the small ones that between them reach what
//! the fuzzer has reached, and every finding, named after what it showed.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests; the corpus is files"
)]

#[expect(unreachable_pub, reason = "it is the fuzzer's file")]
#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

/// Calls a target with each input of its corpus.
fn run(corpus: &str, target: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(root.join(corpus)).unwrap() {
        target(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "only {count} inputs were found");
}

#[test]
fn parsing_holds_over_its_corpus() {
    run("parse", targets::parses);
}

#[test]
fn evaluation_holds_over_its_corpus() {
    run("eval", targets::evaluates);
}
