//! The inputs of the fuzz targets that are kept in the repository.

use std::fs;
use std::path::Path;

/// A corpus with fewer inputs is not what was kept.
const MIN_INPUTS: usize = 10;

/// Calls a fuzz target with each input of `fuzz/corpus/NAME`.
///
/// # Panics
/// The corpus cannot be read, or has too few inputs.
pub fn run_corpus(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut count = 0;
    for entry in fs::read_dir(corpus.join(name)).expect("the corpus is kept") {
        let path = entry.expect("the corpus is kept").path();
        target(&fs::read(path).expect("an input can be read"));
        count += 1;
    }
    assert!(count >= MIN_INPUTS, "only {count} inputs were found");
}
