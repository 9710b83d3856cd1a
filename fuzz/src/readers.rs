//! What must hold of the readers of the store's formats, for every input: no panic, no endless work, and what was
//! read is written as it came. `crates/store-core/tests/fuzz_corpus.rs` runs them over what is kept in `fuzz/corpus`.

use std::io::Cursor;

use picnix_store_core::nar::{Fso, NarEvent, NarListing, NarReader, NarWriter, copy_nar};
use picnix_store_core::worker::{FramedReader, WireReader, WireWriter, WorkerVersion};
use picnix_store_core::{CacheInfo, Derivation, Error, NarInfo, PathInfo, StoreDir};

/// An archive is read by all who read archives with one verdict, and written again it is the same bytes.
///
/// # Panics
/// It does not hold for `bytes`.
pub fn reads_nar(bytes: &[u8]) {
    let mut reader = NarReader::new(bytes);
    let mut writer = NarWriter::new(Vec::new()).expect("memory takes everything");
    let read = loop {
        let event = match reader.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => break true,
            Err(_) => break false,
        };
        let is_file = matches!(event, NarEvent::File { .. });
        writer.write_event(event).expect("what was read can be written");
        if is_file {
            let mut contents = Vec::new();
            if reader.write_contents_to(&mut contents).is_err() {
                break false;
            }
            writer.write_contents(&contents).expect("what was read can be written");
        }
    };
    let len = usize::try_from(reader.position()).expect("it lies in memory");
    assert!(len <= bytes.len(), "more was read than there is");
    if read {
        let written = writer.finish().expect("a whole archive was read");
        assert_eq!(written, &bytes[..len]);
        let tree = Fso::from_nar(bytes).expect("it was read before");
        assert_eq!(tree.to_nar().expect("it was read"), written);
    } else {
        assert!(Fso::from_nar(bytes).is_err());
    }
    assert_eq!(NarListing::read(bytes).is_ok(), read);
    assert_eq!(copy_nar(bytes, std::io::sink()).is_ok(), read);
}

/// A narinfo that is read can be printed, and what is printed says the same.
///
/// # Panics
/// It does not hold for `bytes`.
pub fn reads_narinfo(bytes: &[u8]) {
    let dir = StoreDir::default();
    if let Ok(info) = NarInfo::parse(&dir, bytes, "input") {
        let printed = info.print(&dir);
        let again = NarInfo::parse(&dir, printed.as_bytes(), "output");
        let again = again.expect("what is printed can be read");
        assert_eq!(again.print(&dir), printed);
        assert_eq!(again.info.references, info.info.references);
        assert_eq!(again.info.fingerprint(&dir).ok(), info.info.fingerprint(&dir).ok());
    }
    if let Ok(info) = CacheInfo::parse(bytes) {
        CacheInfo::parse(info.print().as_bytes()).expect("what is printed can be read");
    }
}

/// A derivation that is read can be printed, and what is printed is read as the same.
///
/// # Panics
/// It does not hold for `bytes`.
pub fn reads_derivation(bytes: &[u8]) {
    let dir = StoreDir::default();
    let Ok(derivation) = Derivation::parse(&dir, bytes, "input") else { return };
    let printed = match derivation.print(&dir) {
        // Names of outputs may be so long that no path can have them.
        Err(Error::StorePathName { .. }) => return,
        printed => printed.expect("what was read can be printed"),
    };
    // As in Nix, a system is read with escapes and printed without: what needs some cannot be read again.
    if derivation.system.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return;
    }
    let again = Derivation::parse(&dir, &printed, "input");
    let again = again.expect("what is printed can be read");
    assert_eq!(again, derivation);
    assert_eq!(again.print(&dir).ok(), Some(printed));
    // Neither may fail on what can be read, whatever they answer.
    let _ = derivation.output_paths(&dir);
    let _ = derivation.kind();
}

/// The first bytes choose version and kind of what follows; a path info that is read and written is read as the same.
///
/// # Panics
/// It does not hold for `bytes`.
pub fn reads_worker_protocol(bytes: &[u8]) {
    let Some((&[minor, kind], rest)) = bytes.split_first_chunk::<2>() else { return };
    let version = WorkerVersion::new(18 + minor % 21);
    let mut reader = WireReader::new(Cursor::new(rest), StoreDir::default());
    reader.set_version(version);
    // Every reader is asked until it has had enough: a conversation is a sequence of values.
    let mut count = 0;
    while count < 1000 && value(&mut reader, kind, version) {
        count += 1;
    }
}

fn value(
    reader: &mut WireReader<Cursor<&[u8]>>,
    kind: u8,
    version: WorkerVersion,
) -> bool {
    match kind % 8 {
        0 => reader.message().is_ok(),
        1 => reader.build_result().is_ok(),
        2 => reader.derivation("name").is_ok(),
        3 => reader.wanted_paths().is_ok(),
        4 => reader.strings().is_ok() && reader.signatures().is_ok(),
        5 => reader.trust_level().is_ok() && reader.build_mode().is_ok(),
        6 => {
            let mut frames = FramedReader::new(reader.source());
            let copied = std::io::copy(&mut frames, &mut std::io::sink());
            copied.is_ok() && frames.finish().is_ok()
        }
        _ => {
            let Ok(info) = reader.path_info() else { return false };
            again(&info, version);
            true
        }
    }
}

/// What is written of an info is read as the same.
fn again(info: &PathInfo, version: WorkerVersion) {
    let mut writer = WireWriter::new(Vec::new(), StoreDir::default());
    writer.set_version(version);
    writer.path_info(info).expect("memory takes everything");
    let bytes = writer.into_sink();
    let mut reader = WireReader::new(bytes.as_slice(), StoreDir::default());
    reader.set_version(version);
    assert_eq!(reader.path_info().expect("what is written can be read"), *info);
}
