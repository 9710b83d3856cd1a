//! The fuzz targets, run over the inputs that are kept in `fuzz/corpus`: the small ones that between them reach what
//! the fuzzer has reached, and every finding, named after what it showed.

#[expect(unreachable_pub, reason = "it is the fuzzer's file")]
#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use picnix_testkit::run_corpus;

#[test]
fn parsing_holds_over_its_corpus() {
    run_corpus("parse", targets::parses);
}

#[test]
fn evaluation_holds_over_its_corpus() {
    run_corpus("eval", targets::evaluates);
}
