//! Any bytes are read as a store derivation.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| picnix_fuzz::reads_derivation(bytes));
