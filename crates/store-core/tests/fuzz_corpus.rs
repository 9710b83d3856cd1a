//! The fuzz targets of the store's formats, run over the inputs that are kept in `fuzz/corpus`.

#[expect(unreachable_pub, reason = "it is the fuzzer's file")]
#[path = "../../../fuzz/src/readers.rs"]
mod readers;

use picnix_testkit::run_corpus;

#[test]
fn archives_hold_over_their_corpus() {
    run_corpus("nar", readers::reads_nar);
}

#[test]
fn narinfos_hold_over_their_corpus() {
    run_corpus("narinfo", readers::reads_narinfo);
}

#[test]
fn derivations_hold_over_their_corpus() {
    run_corpus("derivation", readers::reads_derivation);
}

#[test]
fn the_worker_protocol_holds_over_its_corpus() {
    run_corpus("worker", readers::reads_worker_protocol);
}
