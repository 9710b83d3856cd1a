//! Any bytes are read as a narinfo and as what a cache says of itself.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| picnix_fuzz::reads_narinfo(bytes));
