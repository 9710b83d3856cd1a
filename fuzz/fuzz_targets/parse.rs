//! Any bytes go through the parser.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| picnix_fuzz::parses(text));
