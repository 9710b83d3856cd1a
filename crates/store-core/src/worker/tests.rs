//! What is written is read again; what is malformed is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    ContentAddress, ContentAddressMethod, Derivation, DerivationOutput, Error, Hash,
    HashAlgo, OutputName, PathInfo, Sha256, StoreDir, StorePath,
};

fn path(name: &str) -> StorePath {
    StorePath::from_parts([7; 20], name.as_bytes()).unwrap()
}

fn written(
    minor: u8,
    write: impl FnOnce(&mut WireWriter<&mut Vec<u8>>) -> crate::Result<()>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = WireWriter::new(&mut bytes, StoreDir::default());
    writer.set_version(WorkerVersion::new(minor));
    write(&mut writer).unwrap();
    bytes
}

fn reader(minor: u8, bytes: &[u8]) -> WireReader<&[u8]> {
    let mut reader = WireReader::new(bytes, StoreDir::default());
    reader.set_version(WorkerVersion::new(minor));
    reader
}

#[test]
fn strings_are_padded_with_zeros() {
    let bytes = written(38, |writer| writer.text("abc"));
    assert_eq!(bytes, b"\x03\0\0\0\0\0\0\0abc\0\0\0\0\0");
    assert_eq!(reader(38, &bytes).text().unwrap(), "abc");
    let bad = b"\x03\0\0\0\0\0\0\0abc\0\0\x01\0\0";
    assert!(matches!(reader(38, bad).text(), Err(Error::WirePadding)));
    let long = (1u64 << 40).to_le_bytes();
    assert!(matches!(reader(38, &long).bytes(), Err(Error::WireLength { .. })));
    let short = b"\x09\0\0\0\0\0\0\0abc\0\0\0\0\0";
    assert!(matches!(reader(38, short).bytes(), Err(Error::Io(_))));
}

#[test]
fn versions_are_compared_by_their_parts() {
    assert_eq!(WorkerVersion::LATEST.to_wire(), 0x126);
    assert_eq!(WorkerVersion::from_wire(0x123), WorkerVersion::new(35));
    assert!(WorkerVersion::OLDEST < WorkerVersion::LATEST);
    assert_eq!(Operation::from_wire(36), Some(Operation::BuildDerivation));
    assert_eq!(Operation::from_wire(16), None);
}

#[test]
fn infos_and_derivations_survive() {
    let hash = Hash::of(HashAlgo::Sha256, b"x");
    let address = ContentAddress { method: ContentAddressMethod::Nar, hash };
    let mut info = PathInfo::new(path("a"), Sha256::of(b"nar"), 120);
    info.references = [path("b"), path("c")].into();
    info.deriver = Some(path("a.drv"));
    info.content_address = Some(address);
    info.registration_time = 9;
    let bytes = written(18, |writer| writer.path_info(&info));
    assert_eq!(reader(18, &bytes).path_info().unwrap(), info);

    let derivation = Derivation {
        name: "a".to_owned(),
        outputs: BTreeMap::from([(
            OutputName::out(),
            DerivationOutput::CaFixed(address),
        )]),
        input_srcs: BTreeSet::from([path("b")]),
        input_drvs: BTreeMap::new(),
        system: b"s".to_vec(),
        builder: b"/b".to_vec(),
        args: vec![b"-c".to_vec(), b"\xff".to_vec()],
        env: [("k", "v")].into_iter().collect(),
        structured_attrs: Some(b"{}".to_vec()),
    };
    let bytes = written(38, |writer| writer.derivation(&derivation));
    assert_eq!(reader(38, &bytes).derivation("a").unwrap(), derivation);
}

#[test]
fn results_have_the_fields_of_their_version() {
    let mut result = BuildResult::new(BuildStatus::Built, "");
    let whole = BuildResult {
        times_built: 1,
        start_time: 2,
        stop_time: 3,
        cpu_user: Some(4),
        outputs: vec![Realisation::of_output(
            &Hash::of(HashAlgo::Sha256, b""),
            &OutputName::out(),
            &path("a"),
        )],
        ..result.clone()
    };
    for minor in [18, 28, 29, 37, 38] {
        let bytes = written(minor, |writer| writer.build_result(&whole));
        let mut reader = reader(minor, &bytes);
        result = reader.build_result().unwrap();
        assert!(reader.source().is_empty(), "{minor}");
        assert_eq!(result.times_built, u64::from(minor >= 29));
        assert_eq!(result.cpu_user.is_some(), minor >= 37);
        assert_eq!(result.outputs.len(), usize::from(minor >= 28));
    }
    assert_eq!(result, whole);
    let bad = 99u64.to_le_bytes();
    assert!(reader(38, &bad).build_result().is_err());
}

#[test]
fn wanted_paths_are_written_as_each_version_does() {
    let drv = path("a.drv");
    let all = WantedPath::Built(drv.clone(), WantedOutputs::All);
    let some = WantedPath::Built(drv, WantedOutputs::Some([OutputName::out()].into()));
    for minor in [18, 29, 30, 38] {
        for wanted in [&all, &some, &WantedPath::Path(path("b"))] {
            let bytes = written(minor, |writer| writer.wanted_path(wanted));
            assert_eq!(reader(minor, &bytes).wanted_path().unwrap(), *wanted);
        }
    }
    let bytes = written(38, |writer| writer.text("/nix/store/x!out"));
    assert!(reader(38, &bytes).wanted_path().is_err());
}

#[test]
fn messages_survive() {
    let failure = RemoteFailure { message: "no".into(), traces: vec!["while".into()] };
    let messages = [
        Message::Text(b"hello".to_vec()),
        Message::Read(7),
        Message::Write(b"nar".to_vec()),
        Message::StartActivity {
            id: 1,
            level: level::INFO,
            kind: activity::BUILD,
            text: b"building".to_vec(),
            fields: vec![Field::Text(b"drv".to_vec()), Field::Number(1)],
            parent: 0,
        },
        Message::Result { id: 1, kind: result::BUILD_LOG_LINE, fields: vec![] },
        Message::StopActivity(1),
        Message::Error(failure),
        Message::Last,
    ];
    let bytes = written(38, |w| messages.iter().try_for_each(|m| w.message(m)));
    let mut reader = reader(38, &bytes);
    for message in &messages {
        assert_eq!(reader.message().unwrap(), *message);
    }
    let old = written(19, |w| messages.iter().try_for_each(|m| w.message(m)));
    assert!(old.len() < bytes.len());
    assert!(self::reader(38, &5u64.to_le_bytes()).message().is_err());
}

#[test]
fn frames_end_where_they_end() {
    use std::io::{Read as _, Write as _};
    let text = vec![b'x'; 200_000];
    let mut bytes = Vec::new();
    let mut writer = FramedWriter::new(&mut bytes);
    writer.write_all(&text).unwrap();
    writer.finish().unwrap();
    bytes.extend_from_slice(b"rest");
    let mut source = &bytes[..];
    let mut got = Vec::new();
    FramedReader::new(&mut source).read_to_end(&mut got).unwrap();
    assert!(got == text && source == b"rest");
    let mut source = &bytes[..];
    FramedReader::new(&mut source).finish().unwrap();
    assert_eq!(source, b"rest");
    let mut cut = &bytes[..100];
    assert!(FramedReader::new(&mut cut).finish().is_err());
}
