//! Any bytes come over a connection of the worker protocol.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| picnix_fuzz::reads_worker_protocol(bytes));
