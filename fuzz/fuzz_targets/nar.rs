//! Any bytes go through the readers of archives.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| picnix_fuzz::reads_nar(bytes));
