//! Any bytes are unpacked, as an archive of tar or zip and as a package of Debian.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let scratch =
        std::env::temp_dir().join(format!("picnix-fuzz-{}", std::process::id()));
    picnix_fuzz::unpacks(bytes, &scratch);
});
