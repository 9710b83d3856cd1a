//! Any bytes are evaluated, to their depths and with a step limit, in a world that has nothing.

#![no_main]

/// Steps of evaluation, and units of 64 bytes of memory, that one input may take.
const MAX_STEPS: u64 = 200_000;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    picnix_eval::fuel::with_fuel(MAX_STEPS, || picnix_fuzz::evaluates(text));
});
