//! The initramfs format as a whole: golden hashes, repetition, and the reference tools as judges.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test: its judges are programs that read files, and a skip must be seen"
)]

use picnix_image::{
    Compression, ContentSource, DeviceNumber, ImagePath, ImageTree, Metadata, Node,
    WriteOptions, Written, find_format,
};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A file on disk as content.
struct OnDisk(PathBuf, u64);

impl ContentSource for OnDisk {
    fn size_bytes(&self) -> u64 {
        self.1
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.0)?))
    }
}

/// A tree with one of everything; its large file lies in `dir`.
fn sample(dir: &Path) -> ImageTree {
    let large: Vec<u8> =
        (0..200_000u32).flat_map(|n| (n.wrapping_mul(n) >> 9).to_le_bytes()).collect();
    let large_path = dir.join("large");
    std::fs::write(&large_path, &large).unwrap();
    let mut tree = ImageTree::new();
    let mut add = |at: &str, node, mode| {
        let path = ImagePath::parse(at).unwrap();
        tree.insert(path, node, Metadata::new(mode), "sample").unwrap();
    };
    let size = large.len() as u64;
    add("/nix/store/x-large/data", Node::File(Arc::new(OnDisk(large_path, size))), 0o444);
    add("/init", Node::bytes("#!/bin/sh\n"), 0o755);
    add("/root", Node::Directory, 0o700);
    add("/bin/sh", Node::Symlink(b"/nix/store/x-busybox/bin/sh".to_vec()), 0o777);
    add("/run/initctl", Node::Fifo, 0o600);
    let number = |major, minor| DeviceNumber { major, minor };
    add("/dev/console", Node::CharacterDevice(number(5, 1)), 0o600);
    add("/dev/vda", Node::BlockDevice(number(254, 0)), 0o660);
    add("/etc/n\u{e4}me with spaces", Node::bytes(""), 0o644);
    tree
}

fn write(tree: &ImageTree, compression: Compression) -> (Vec<u8>, Written) {
    let mut bytes = Vec::new();
    let format = find_format("initramfs", 1).unwrap();
    let written =
        format.write(tree, &WriteOptions::new(compression), &mut bytes).unwrap();
    (bytes, written)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_are_golden() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let goldens: Vec<_> = Compression::ALL
        .map(|compression| {
            let (bytes, written) = write(&tree, compression);
            assert_eq!(bytes.len() as u64, written.image_bytes);
            format!("{compression} {} {}", bytes.len(), hash(&bytes))
        })
        .to_vec();
    // A change here changes every image: raise the format's version with it.
    insta::assert_snapshot!(goldens.join("\n"), @"
    none 801980 2cab8c55b6179ddba169b33ccd7ab09362fbaefedf9f22be27c6859fb16a260b
    gzip 584786 ff36705e1fda78fc49e1f6b8b22f1997d6d03a94587e00d80d8dda14201a782d
    xz 344020 70dfa1a97394c929027ee870d3170314bff7d9ac4e95e8089dac9d3a02c9bcd8
    xz-x86 344272 a16ac462ea661769f8f4aada8ad5986fe24488acce10502db5ac50f33c7eefb6
    zstd 536930 7b4b514a97e82ee1231bff56c719bf31ab080ba35d958f61620553fa6860feff
    ");
}

#[test]
fn two_directories_and_two_threads_give_the_same_bytes() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for compression in Compression::ALL {
        let [one, two] = std::thread::scope(|scope| {
            dirs.each_ref()
                .map(|dir| scope.spawn(|| write(&sample(dir.path()), compression).0))
                .map(|thread| thread.join().unwrap())
        });
        assert!(one == two, "{compression}");
    }
}

#[test]
fn entries_account_for_all_bytes_but_the_trailer() {
    let dir = tempfile::tempdir().unwrap();
    let (_, written) = write(&sample(dir.path()), Compression::Gzip);
    let summed: u64 = written.entries.iter().map(|entry| entry.size_bytes).sum();
    assert_eq!(summed + 124, written.raw_bytes);
    assert!(written.entries.iter().all(|entry| entry.origin == "sample"));
}

/// Runs a judge; says loudly when it is not installed.
fn judge(program: &str, arguments: &[&str], input: &Path) -> Option<Vec<u8>> {
    let stdin = File::open(input).unwrap();
    let output = match Command::new(program).args(arguments).stdin(stdin).output() {
        Ok(output) => output,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: `{program}` is not installed and cannot judge");
            return None;
        }
        Err(e) => panic!("{program}: {e}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    Some(output.stdout)
}

#[test]
fn cpio_lists_and_unpacks_it() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let archive = dir.path().join("image.cpio");
    std::fs::write(&archive, write(&tree, Compression::None).0).unwrap();
    let Some(listing) = judge("cpio", &["-t", "--quiet"], &archive) else { return };
    let names: Vec<_> =
        tree.iter().map(|(path, _)| path.to_string()[1..].to_owned()).collect();
    assert_eq!(String::from_utf8_lossy(&listing), names.join("\n") + "\n");

    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let root_text = root.to_str().unwrap();
    // Device nodes need privileges; everything else does not.
    let arguments =
        ["-i", "--quiet", "-d", "--no-preserve-owner", "-D", root_text, "-f", "dev/*"];
    judge("cpio", &arguments, &archive).unwrap();
    let large = std::fs::read(root.join("nix/store/x-large/data")).unwrap();
    assert_eq!(large, std::fs::read(dir.path().join("large")).unwrap());
    let target = std::fs::read_link(root.join("bin/sh")).unwrap();
    assert_eq!(target, Path::new("/nix/store/x-busybox/bin/sh"));
}

#[test]
fn compressors_accept_their_streams() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let raw = write(&tree, Compression::None).0;
    for (name, program) in
        [("gzip", "gzip"), ("xz", "xz"), ("xz-x86", "xz"), ("zstd", "zstd")]
    {
        let compression = Compression::parse(name).unwrap();
        let image = dir.path().join(name);
        std::fs::write(&image, write(&tree, compression).0).unwrap();
        judge(program, &["-t"], &image);
        if let Some(unpacked) = judge(program, &["-d", "-c"], &image) {
            assert!(unpacked == raw, "{program} unpacks something else");
        }
    }
}
