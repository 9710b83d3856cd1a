//! The fuzz targets of the store's formats, run over the inputs that are kept in `fuzz/corpus`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests; the corpus is files"
)]

#[expect(unreachable_pub, reason = "it is the fuzzer's file")]
#[path = "../../../fuzz/src/readers.rs"]
mod readers;

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
fn archives_hold_over_their_corpus() {
    run("nar", readers::reads_nar);
}

#[test]
fn narinfos_hold_over_their_corpus() {
    run("narinfo", readers::reads_narinfo);
}

#[test]
fn derivations_hold_over_their_corpus() {
    run("derivation", readers::reads_derivation);
}

#[test]
fn the_worker_protocol_holds_over_its_corpus() {
    run("worker", readers::reads_worker_protocol);
}
