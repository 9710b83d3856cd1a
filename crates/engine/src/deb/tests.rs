//! Packages made in memory, good and hostile.

use super::*;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

/// One entry of a package's data.
struct Item {
    name: &'static str,
    kind: EntryType,
    mode: u32,
    link: &'static str,
    contents: Vec<u8>,
}

fn item(name: &'static str, kind: EntryType) -> Item {
    Item { name, kind, mode: 0o644, link: "", contents: Vec::new() }
}

fn file(name: &'static str, contents: &str) -> Item {
    Item { contents: contents.into(), ..item(name, EntryType::Regular) }
}

fn dir(name: &'static str) -> Item {
    Item { mode: 0o755, ..item(name, EntryType::Directory) }
}

fn link(name: &'static str, target: &'static str) -> Item {
    Item { link: target, mode: 0o777, ..item(name, EntryType::Symlink) }
}

fn hard_link(name: &'static str, target: &'static str) -> Item {
    Item { link: target, ..item(name, EntryType::Link) }
}

/// The data of a package; names are put in as they are, however bad.
fn tar_of(items: &[Item]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..item.name.len()].copy_from_slice(item.name.as_bytes());
        old.linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_uid(1234);
        header.set_gid(1234);
        header.set_mtime(99);
        header.set_size(item.contents.len() as u64);
        header.set_cksum();
        builder.append(&header, item.contents.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn member(name: &str, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let header =
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`\n", 0, 0, 0, 100_644);
    let mut bytes = header.into_bytes();
    bytes.extend_from_slice(contents);
    bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    bytes
}

fn deb_with(data_name: &str, data: &[u8]) -> Vec<u8> {
    [
        b"!<arch>\n".to_vec(),
        member("debian-binary", b"2.0\n"),
        member("control.tar.xz", b"odd"),
        member(data_name, data),
    ]
    .concat()
}

fn deb(items: &[Item]) -> Vec<u8> {
    deb_with("data.tar", &tar_of(items))
}

/// A directory with packages in it and room for a tree.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn unpack_with(
        &self,
        debs: &[Vec<u8>],
        options: &Options,
    ) -> Result<Unpacked, DebError> {
        let inputs = debs.iter().enumerate().map(|(index, bytes)| {
            let name = format!("{}.deb", char::from(b'a' + u8::try_from(index).unwrap()));
            let path = self.0.path().join(&name);
            fs::write(&path, bytes).unwrap();
            DebInput { name, path }
        });
        unpack(inputs.collect(), options, &self.out())
    }

    fn unpack(&self, debs: &[Vec<u8>]) -> Result<Unpacked, DebError> {
        self.unpack_with(debs, &options(&[], &[]))
    }

    /// Every path of the tree with what it is.
    fn listing(&self) -> String {
        let mut lines = Vec::new();
        list(&self.out(), "", &mut lines);
        lines.join("\n")
    }
}

fn list(dir: &Path, prefix: &str, lines: &mut Vec<String>) {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let at = dir.join(&name);
        let path = format!("{prefix}{}", name.to_str().unwrap());
        let metadata = fs::symlink_metadata(&at).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            lines.push(format!("{path} -> {}", fs::read_link(&at).unwrap().display()));
        } else if metadata.is_dir() {
            lines.push(format!("{path}/ {mode:o}"));
            list(&at, &format!("{path}/"), lines);
        } else {
            lines.push(format!("{path} {mode:o} {:?}", fs::read_to_string(&at).unwrap()));
        }
    }
}

fn options(include: &[&str], exclude: &[&str]) -> Options {
    let globs = |patterns: &[&str]| {
        patterns.iter().map(|pattern| Glob::parse(pattern).unwrap()).collect()
    };
    Options {
        include: globs(include),
        exclude: globs(exclude),
        links: BTreeMap::new(),
        limits: LIMITS,
        threads: 2,
    }
}

/// Unpacks packages that must be refused.
fn refused(debs: &[Vec<u8>]) -> String {
    Place::new().unpack(debs).unwrap_err().to_string()
}

#[test]
fn packages_are_merged_below_usr() {
    let place = Place::new();
    let one = deb(&[
        dir("./"),
        dir("./bin/"),
        Item { mode: 0o4755, ..file("./bin/su", "su") },
        dir("./lib64/"),
        link("./lib64/ld.so", "/lib/x/ld.so"),
        dir("./usr/"),
        dir("./usr/bin/"),
        Item { mode: 0o666, ..file("./usr/bin/text", "text") },
    ]);
    let two = deb(&[
        link("./lib64", "usr/lib64"),
        link("./bin", "/usr/bin"),
        dir("./usr/bin"),
        hard_link("./usr/bin/three", "./bin/two"),
    ][..3]);
    let three = deb(&[
        Item { mode: 0o755, ..file("./usr/bin/two", "two") },
        hard_link("./bin/three", "./usr/bin/two"),
        Item { mode: 0o755, ..file("./usr/bin/su", "su") },
        file("./etc/conf", "x"),
    ]);
    let mut options = options(&[], &[]);
    options.links.insert("bin/sh".to_owned(), "su".to_owned());
    options.links.insert("etc/alt/awk".to_owned(), "/usr/bin/gawk".to_owned());
    let unpacked = place.unpack_with(&[one, two, three], &options).unwrap();
    insta::assert_snapshot!(place.listing(), @r#"
    bin -> usr/bin
    etc/ 755
    etc/alt/ 755
    etc/alt/awk -> /usr/bin/gawk
    etc/conf 644 "x"
    lib64 -> usr/lib64
    usr/ 755
    usr/bin/ 755
    usr/bin/sh -> su
    usr/bin/su 755 "su"
    usr/bin/text 644 "text"
    usr/bin/three 755 "two"
    usr/bin/two 755 "two"
    usr/lib64/ 755
    usr/lib64/ld.so -> /lib/x/ld.so
    "#);
    assert_eq!(unpacked, Unpacked { entries: 15, size_bytes: 13 });
}

#[test]
fn patterns_choose_what_is_unpacked() {
    let place = Place::new();
    let package = deb(&[
        dir("./usr/share/doc/"),
        file("./usr/share/doc/copyright", "c"),
        file("./bin/tool", "t"),
        file("./usr/bin/other", "o"),
        file("./lib/x/lib.so.1", "l"),
        file("./lib/x/lib.a", "a"),
    ]);
    let options = options(
        &["usr/bin", "usr/lib/*/*.so*", "usr/share/**"],
        &["**/doc", "usr/bin/o*"],
    );
    place.unpack_with(&[package], &options).unwrap();
    insta::assert_snapshot!(place.listing(), @r#"
    bin -> usr/bin
    lib -> usr/lib
    usr/ 755
    usr/bin/ 755
    usr/bin/tool 644 "t"
    usr/lib/ 755
    usr/lib/x/ 755
    usr/lib/x/lib.so.1 644 "l"
    "#);
}

#[test]
fn every_compression_is_read() {
    let data = tar_of(&[file("./a", "contents")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&data).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&data).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(&data).unwrap();
    let compressed = [
        ("data.tar", data.clone()),
        ("data.tar.gz/", gzip.finish().unwrap()),
        ("data.tar.bz2", bzip2.finish().unwrap()),
        ("data.tar.xz", xz.finish().unwrap()),
        ("data.tar.zst", zstd::encode_all(data.as_slice(), 3).unwrap()),
    ];
    for (name, data) in compressed {
        let place = Place::new();
        let whole = deb_with(name, &data);
        place.unpack(std::slice::from_ref(&whole)).unwrap();
        assert_eq!(place.listing(), "a 644 \"contents\"", "{name}");
        // Wherever it is cut, it is an error.
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            let error = Place::new().unpack(&[whole[..length].to_vec()]).unwrap_err();
            let is_cut =
                matches!(error, DebError::Truncated { .. } | DebError::Read { .. });
            assert!(is_cut, "{name} at {length}: {error}");
        }
    }
}

#[test]
fn what_is_no_package_is_refused() {
    for (bytes, expected) in [
        (b"PK\x03\x04 and more".to_vec(), "it is no ar archive"),
        ([&b"!<arch>\n"[..], &member("x", b"")].concat(), "does not begin with"),
        ([&b"!<arch>\n"[..], &member("debian-binary", b"3.0\n")].concat(), "is not 2"),
        (deb_with("evil", b""), "a member that nobody knows"),
        (deb_with("data.tar.lzo", b""), "is \"data.tar.lzo\""),
        (vec![b'!'; 3], "is truncated"),
    ] {
        let error = refused(&[bytes]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn names_that_leave_the_tree_are_refused() {
    for (name, expected) in [
        ("../evil", "holds \"..\""),
        ("./a/../../evil", "holds \"..\""),
        ("/etc/evil", "is absolute"),
    ] {
        let error = refused(&[deb(&[file(name, "x")])]);
        assert!(error.contains(expected), "{error}");
    }
    let error = refused(&[deb(&[file("./a", "x"), hard_link("./b", "/etc/passwd")])]);
    assert!(error.contains("is absolute"), "{error}");
}

#[test]
fn nothing_is_written_through_a_link() {
    let place = Place::new();
    let outside = place.0.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target: &'static str = outside.to_str().unwrap().to_owned().leak();
    let error =
        place.unpack(&[deb(&[link("./d", target), file("./d/evil", "x")])]).unwrap_err();
    assert!(matches!(error, DebError::NotBelowDirectory { .. }), "{error}");
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    for items in [
        [link("./f", target), file("./f", "x")],
        [link("./f", target), hard_link("./g", "./f")],
        [link("./d", "a"), dir("./d/")],
        [file("./f", "x"), file("./f/g", "x")],
        [link("./bin", target), file("./bin/sh", "x")],
    ] {
        assert!(Place::new().unpack(&[deb(&items)]).is_err());
    }
}

#[test]
fn devices_are_refused() {
    for (kind, name) in [
        (EntryType::Char, "a character device"),
        (EntryType::Block, "a block device"),
        (EntryType::Fifo, "a named pipe"),
        (EntryType::new(b'V'), "of an unknown kind"),
    ] {
        let error = refused(&[deb(&[item("./dev/x", kind)])]);
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn packages_that_disagree_are_refused_in_either_order() {
    let text = |contents| deb(&[file("./usr/f", contents)]);
    for pair in [[text("one"), text("two")], [text("two"), text("one")]] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused(&pair), @r#"the file "usr/f" differs between "a.deb" and "b.deb""#);
        }
    }
    let other = deb(&[link("./usr/f", "g")]);
    let error = refused(&[text("one"), other.clone()]);
    insta::assert_snapshot!(error, @r#""usr/f" is a file in "a.deb" and a symlink in "b.deb""#);
    let error = refused(&[other.clone(), deb(&[link("./usr/f", "h")])]);
    insta::assert_snapshot!(error, @r#""usr/f" is a symlink in "a.deb" and a symlink in "b.deb""#);
    Place::new().unpack(&[other.clone(), other]).unwrap();
    Place::new().unpack(&[text("one"), text("one")]).unwrap();
    let error = refused(&[deb(&[file("./a", "x"), file("./a", "y")])]);
    assert!(error.contains("differs"), "{error}");
}

#[test]
fn hard_links_need_a_file_of_their_own_package() {
    let target = deb(&[file("./a", "x")]);
    for (debs, expected) in [
        (vec![deb(&[hard_link("./b", "./a")])], "is not unpacked"),
        (vec![deb(&[dir("./a"), hard_link("./b", "./a")])], "is not a file"),
    ] {
        let error = refused(&debs);
        assert!(error.contains(expected), "{error}");
    }
    assert!(Place::new().unpack(&[target, deb(&[hard_link("./b", "./a")])]).is_err());
}

#[test]
fn limits_hold() {
    let package = deb(&[file("./a", "12345"), file("./b", "12345")]);
    for (limits, unit) in [
        (Limits { bytes: 9, entries: 9 }, "9 bytes"),
        (Limits { bytes: 10, entries: 1 }, "1 entries"),
    ] {
        let options = Options { limits, ..options(&[], &[]) };
        let error = Place::new()
            .unpack_with(std::slice::from_ref(&package), &options)
            .unwrap_err();
        assert!(error.to_string().contains(unit), "{error}");
    }
    let options =
        Options { limits: Limits { bytes: 10, entries: 2 }, ..options(&[], &[]) };
    Place::new().unpack_with(&[package], &options).unwrap();
}

#[test]
fn one_thread_and_several_give_the_same_tree() {
    let debs: Vec<_> = ["./usr/a", "./bin/b", "./usr/bin/c", "./lib/d"]
        .map(|name| deb(&[dir("./usr/"), file(name, name), file("./usr/same", "s")]))
        .to_vec();
    let listings = [1, 4].map(|threads| {
        let place = Place::new();
        let options = Options { threads, ..options(&[], &[]) };
        let unpacked = place.unpack_with(&debs, &options).unwrap();
        (unpacked, place.listing())
    });
    assert_eq!(listings[0], listings[1]);
}

#[test]
fn the_builder_reads_structured_attributes() {
    let place = Place::new();
    fs::write(place.0.path().join("x.deb"), deb(&[file("./a/b", "x")])).unwrap();
    let physical = |path: &str| place.0.path().join(path.strip_prefix("/s/").unwrap());
    let run = |attributes: &str| build_debs(attributes, &physical, &place.out());
    let error = run(r#"{"formatVersion": 2, "debs": []}"#).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
    assert!(run(r#"{"formatVersion": 1}"#).is_err());
    let error =
        run(r#"{"formatVersion": 1, "debs": [], "include": ["/x"]}"#).unwrap_err();
    assert!(error.to_string().contains("leading slash"), "{error}");
    let unpacked = run(
        r#"{"formatVersion": 1, "debs": ["/s/x.deb"], "name": "n", "links": {"l": "a/b"},
            "include": ["a"], "exclude": []}"#,
    );
    assert_eq!(unpacked.unwrap().entries, 3);
    assert_eq!(place.listing(), "a/ 755\na/b 644 \"x\"\nl -> a/b");
    let missing = build_debs(
        r#"{"formatVersion": 1, "debs": ["/s/y.deb"]}"#,
        &physical,
        &place.0.path().join("other"),
    );
    assert!(matches!(missing, Err(DebError::Open { package, .. }) if package == "y.deb"));
}

/// How long real packages take, from the folder of them that `PICNIX_DEBS` names. As a test of its own it does
/// nothing.
#[test]
fn measure_real_packages() {
    let Some(folder) = std::env::var_os("PICNIX_DEBS") else { return };
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .map(|path| DebInput {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            path,
        })
        .collect();
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    for threads in [1, 2, 4] {
        let dir = tempfile::tempdir().unwrap();
        let start = std::time::Instant::now();
        let options = Options { threads, ..options(&[], &[]) };
        let copy = inputs
            .iter()
            .map(|i| DebInput { name: i.name.clone(), path: i.path.clone() });
        let unpacked = unpack(copy.collect(), &options, &dir.path().join("out"));
        println!("{threads} threads: {unpacked:?} in {:?}", start.elapsed());
        unpacked.unwrap();
    }
}
