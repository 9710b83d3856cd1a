//! Descriptions, good and bad, against a store that lies elsewhere than its name says.

use super::*;
use picnix_image::cpio::Reader;
use std::os::unix::fs::symlink;

/// A store somewhere else than its name says.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pkg = dir.path().join("store/a-pkg");
        fs::create_dir_all(pkg.join("bin")).unwrap();
        fs::write(pkg.join("bin/tool"), "tool").unwrap();
        let executable = Permissions::from_mode(0o755);
        fs::set_permissions(pkg.join("bin/tool"), executable).unwrap();
        symlink("tool", pkg.join("bin/alias")).unwrap();
        symlink("/nix/store/b-data", pkg.join("data")).unwrap();
        symlink("loop", pkg.join("loop")).unwrap();
        symlink("/etc/passwd", pkg.join("out")).unwrap();
        symlink("../../../../etc/passwd", pkg.join("up")).unwrap();
        let data = dir.path().join("store/b-data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("index.html"), "<p>").unwrap();
        Self(dir)
    }

    fn build(
        &self,
        out: &str,
        entries: &str,
        closure: &[&str],
    ) -> Result<BuiltImage, ImageBuildError> {
        let attributes = format!(
            r#"{{"format": "initramfs", "formatVersion": 1, "compression": "none",
                "name": "n", "exportReferencesGraph": {{"closure": []}},
                "entries": [{entries}],
                "files": {{"kernel": "/nix/store/a-pkg/bin/alias"}}}}"#
        );
        self.build_from(out, &attributes, closure)
    }

    fn build_from(
        &self,
        out: &str,
        attributes: &str,
        closure: &[&str],
    ) -> Result<BuiltImage, ImageBuildError> {
        let root = self.0.path().join("store");
        let physical = |path: &str| root.join(path.strip_prefix("/nix/store/").unwrap());
        let store = StoreView { store_dir: "/nix/store", physical: &physical };
        let closure: Vec<_> = closure.iter().map(|&path| path.to_owned()).collect();
        build_image(attributes, &closure, &store, &self.0.path().join(out))
    }

    fn listing(&self, out: &str) -> String {
        let image = self.0.path().join(out).join("initramfs.cpio");
        let records = Reader::new(File::open(image).unwrap()).records().unwrap();
        let lines = records.iter().map(|record| {
            let name = String::from_utf8_lossy(&record.name);
            let data = String::from_utf8_lossy(&record.data);
            let (mode, uid, gid) = (record.mode, record.uid, record.gid);
            format!("{mode:o} {uid}:{gid} {:?} {name} {data:?}", record.device)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

const ENTRIES: &str = r#"
    {"path": "/etc/motd", "type": "file", "text": "hello\n", "mode": "0600", "uid": 1, "gid": 2},
    {"path": "/www", "type": "file", "source": "/nix/store/a-pkg/data", "uid": 33},
    {"path": "/tool", "type": "file", "source": "/nix/store/a-pkg/bin/alias", "mode": "4755"},
    {"path": "/init", "type": "symlink", "target": "/nix/store/a-pkg/bin/tool"},
    {"path": "/tmp", "type": "directory", "mode": "1777"},
    {"path": "/dev/console", "type": "character-device", "major": 5, "minor": 1, "mode": "0600"},
    {"path": "/dev/vda", "type": "block-device", "major": 254, "minor": 0, "mode": "0660"}"#;

#[test]
fn a_description_becomes_an_image() {
    let place = Place::new();
    let built = place.build("out", ENTRIES, &["/nix/store/a-pkg"]).unwrap();
    assert_eq!(built.file_name, "initramfs.cpio");
    insta::assert_snapshot!(place.listing("out"), @r#"
    40755 0:0 (0, 0) dev ""
    20600 0:0 (5, 1) dev/console ""
    60660 0:0 (254, 0) dev/vda ""
    40755 0:0 (0, 0) etc ""
    100600 1:2 (0, 0) etc/motd "hello\n"
    120777 0:0 (0, 0) init "/nix/store/a-pkg/bin/tool"
    40755 0:0 (0, 0) nix ""
    40755 0:0 (0, 0) nix/store ""
    40555 0:0 (0, 0) nix/store/a-pkg ""
    40555 0:0 (0, 0) nix/store/a-pkg/bin ""
    120777 0:0 (0, 0) nix/store/a-pkg/bin/alias "tool"
    100555 0:0 (0, 0) nix/store/a-pkg/bin/tool "tool"
    120777 0:0 (0, 0) nix/store/a-pkg/data "/nix/store/b-data"
    120777 0:0 (0, 0) nix/store/a-pkg/loop "loop"
    120777 0:0 (0, 0) nix/store/a-pkg/out "/etc/passwd"
    120777 0:0 (0, 0) nix/store/a-pkg/up "../../../../etc/passwd"
    41777 0:0 (0, 0) tmp ""
    104755 0:0 (0, 0) tool "tool"
    40755 33:0 (0, 0) www ""
    100644 33:0 (0, 0) www/index.html "<p>"
    "#);
    let kernel = place.0.path().join("out/kernel");
    assert_eq!(fs::read_to_string(&kernel).unwrap(), "tool");
    assert_eq!(fs::metadata(kernel).unwrap().permissions().mode() & 0o7777, 0o644);
    let origins: Vec<_> =
        built.written.entries.iter().map(|entry| entry.origin.as_str()).collect();
    assert!(origins.contains(&"/nix/store/a-pkg"));
    assert!(origins.contains(&"the image's entry \"/etc/motd\""));
}

#[test]
fn the_same_description_gives_the_same_bytes() {
    let images = [Place::new(), Place::new()].map(|place| {
        place.build("out", ENTRIES, &["/nix/store/a-pkg", "/nix/store/b-data"]).unwrap();
        fs::read(place.0.path().join("out/initramfs.cpio")).unwrap()
    });
    assert!(images[0] == images[1]);
}

#[test]
fn entries_that_make_no_sense_are_named() {
    let place = Place::new();
    let cases = [
        r#"{"path": "/a", "type": "file", "text": "x", "owner": "root"}"#,
        r#"{"path": "/a", "type": "pipe"}"#,
        r#"{"type": "directory"}"#,
        r#"{"path": "/a", "type": "file"}"#,
        r#"{"path": "/a", "type": "file", "text": "x", "source": "/nix/store/a-pkg"}"#,
        r#"{"path": "/a", "type": "symlink"}"#,
        r#"{"path": "/a", "type": "directory", "target": "x"}"#,
        r#"{"path": "/a", "type": "block-device", "major": 1}"#,
        r#"{"path": "/a", "type": "directory", "mode": "rwx"}"#,
        r#"{"path": "/a", "type": "file", "mode": "0644", "source": "/nix/store/b-data"}"#,
        r#"{"path": "/../a", "type": "directory"}"#,
        r#"{"path": "/a", "type": "file", "source": "/etc/passwd"}"#,
        r#"{"path": "/a", "type": "file", "source": "/nix/store/a-pkg/../../x"}"#,
        r#"{"path": "/a", "type": "file", "source": "/nix/store/none"}"#,
        r#"{"path": "/a", "type": "file", "source": "/nix/store/a-pkg/loop"}"#,
        r#"{"path": "/a", "type": "file", "source": "/nix/store/a-pkg/out"}"#,
        r#"{"path": "/a", "type": "file", "source": "/nix/store/a-pkg/up"}"#,
    ];
    let shown = cases.map(|entry| {
        let error = place.build("never", entry, &[]).unwrap_err();
        let mut text = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            text = format!("{text}: {source}");
        }
        text
    });
    insta::assert_snapshot!(shown.join("\n"), @r##"
    the image's entry "/a" is invalid: unknown field `owner`, expected one of `path`, `type`, `mode`, `uid`, `gid`, `source`, `text`, `target`, `major`, `minor`
    the image's entry "/a" is invalid: unknown variant `pipe`, expected one of `file`, `symlink`, `directory`, `character-device`, `block-device`
    the image's entry "#0" is invalid: missing field `path`
    the image's entry "/a" is invalid: either "source" or "text" is needed
    the image's entry "/a" is invalid: either "source" or "text" is needed
    the image's entry "/a" is invalid: "target" is missing
    the image's entry "/a" is invalid: "target" has no meaning here
    the image's entry "/a" is invalid: "minor" is missing
    the image's entry "/a" is invalid: the mode "rwx" is not one to four octal digits
    the image's entry "/a" is invalid: a tree's modes come from its source
    the image path "/../a" is invalid: ".." is not allowed
    the image's entry "/a" needs "/etc/passwd", which does not lie in "/nix/store"
    the image's entry "/a" needs "/nix/store/a-pkg/../../x", which does not lie in "/nix/store"
    the image's entry "/a" needs "/nix/store/none", which cannot be read: No such file or directory (os error 2)
    the image's entry "/a" needs "/nix/store/a-pkg/loop", which leads through more than 40 links
    the image's entry "/a" needs "/nix/store/a-pkg/out", which leads to "/etc/passwd", which is not in the store
    the image's entry "/a" needs "/nix/store/a-pkg/up", which does not lie in "/nix/store"
    "##);
    assert!(!place.0.path().join("never").exists());
}

#[test]
fn descriptions_that_cannot_be_written_are_refused() {
    let place = Place::new();
    let good = r#"{"format": "initramfs", "formatVersion": 1, "compression": "xz",
        "files": {"kernel": "/nix/store/b-data/index.html"}}"#;
    for (from, to, expected) in [
        ("initramfs", "tape", "there are: disk, floppy, initramfs, iso, squashfs"),
        (": 1", ": 7", "version 7"),
        ("\"xz\"", "\"rar\"", "there are: none, gzip, xz, xz-x86, zstd"),
        ("\"kernel\"", "\"../kernel\"", "holds a slash"),
        ("\"kernel\"", "\"initramfs.cpio.xz\"", "the image's own name"),
        ("b-data/index.html", "b-data", "is not a file"),
        ("\"formatVersion\": 1,", "", "attributes"),
    ] {
        let attributes = good.replacen(from, to, 1);
        assert_ne!(attributes, good);
        let error = place.build_from(&expected.replace('/', "_"), &attributes, &[]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = place.build_from("c", good, &["/etc"]).unwrap_err().to_string();
    assert!(error.contains("does not lie in"), "{error}");
    place.build_from("out", good, &[]).unwrap();
}

#[test]
fn conflicts_name_store_path_and_entry() {
    let place = Place::new();
    let entry = r#"{"path": "/nix/store/a-pkg", "type": "symlink", "target": "x"}"#;
    let error = place.build("out", entry, &["/nix/store/a-pkg"]).unwrap_err();
    insta::assert_snapshot!(error, @r#""/nix/store/a-pkg" is asked for twice: as a directory (mode 0555, owner 0:0) by /nix/store/a-pkg, and as a symlink to "x" (mode 0777, owner 0:0) by the image's entry "/nix/store/a-pkg""#);
}

#[test]
fn a_cd_is_described_with_what_firmware_sees() {
    let place = Place::new();
    let loaders = place.0.path().join("store/c-loaders");
    fs::create_dir_all(&loaders).unwrap();
    for (name, length, at, mark) in [
        ("loader.bin", 2048, 64, b"picnix01"),
        ("mbr.bin", 512, 400, b"picnixm1"),
        ("loader.efi", 2048, 1272, b"picnixe1"),
    ] {
        let mut bytes = vec![0; length];
        bytes[at..at + 8].copy_from_slice(mark);
        fs::write(loaders.join(name), bytes).unwrap();
    }
    let good = r#"{"format": "iso", "formatVersion": 1, "compression": "xz", "diskId": 7,
        "entries": [{"path": "/etc/motd", "type": "file", "text": "hello"}],
        "boot": {"loader": "/nix/store/c-loaders/loader.bin", "kernel": "/linux",
                 "commandLine": "quiet"},
        "cd": {"mbr": "/nix/store/c-loaders/mbr.bin",
               "efiLoader": "/nix/store/c-loaders/loader.efi",
               "onCd": "root=/dev/sr0", "onDisk": "root=/dev/sda",
               "entries": [{"path": "/linux", "type": "file",
                            "source": "/nix/store/a-pkg/bin/tool"}]}}"#;
    let built = place.build_from("out", good, &[]).unwrap();
    assert_eq!(built.file_name, "iso.iso");
    let paths: Vec<_> =
        built.written.entries.iter().map(|entry| entry.path.to_string()).collect();
    let files =
        ["/efi", "/efi/boot", "/efi/boot/bootx64.efi", "/linux", "/etc", "/etc/motd"];
    assert_eq!(paths, files);
    for (from, to, expected) in [
        (
            "c-loaders/mbr.bin",
            "a-pkg/bin/tool",
            "the MBR is not one that this picnix knows",
        ),
        ("c-loaders/loader.efi", "a-pkg/bin/tool", "the EFI loader is not one that"),
        ("c-loaders/mbr.bin", "c-loaders/mbr", "the image's start needs"),
        ("\"onCd\"", "\"onCD\"", "attributes"),
        ("\"path\": \"/linux\"", "\"path\": \"/vmlinuz\"", "is not a file of the image"),
        ("\"type\": \"file\",\n", "\"type\": \"directory\",\n", "has no meaning here"),
    ] {
        let attributes = good.replacen(from, to, 1);
        assert_ne!(attributes, good);
        let error =
            place.build_from("refused", &attributes, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        let _ = fs::remove_dir_all(place.0.path().join("refused"));
    }
}
