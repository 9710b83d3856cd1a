//! Floppies, disks, CDs and squashfs images, judged by the tools that others wrote for them.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test: its judges are programs that read files, and a skip must be seen"
)]

use picnix_image::bios::LOADER_BYTES;
use picnix_image::efi::EFI_LOADER_BYTES;
use picnix_image::fat::{Geometry, Volume};
use picnix_image::{
    Boot, CdBoot, Compression, DeviceNumber, ImageError, ImagePath, ImageTree, Metadata,
    Node, WriteOptions, XzFilter, find_format,
};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Runs a judge; nothing where this machine has none.
fn judge(test: &str, program: &str, args: &[&str], dir: &Path) -> Option<String> {
    match Command::new(program).args(args).current_dir(dir).env("LC_ALL", "C").output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {args:?}: {said}{errors}");
            Some(said)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED {test}: there is no '{program}' on this machine");
            None
        }
        Err(e) => panic!("{program}: {e}"),
    }
}

fn path(text: &str) -> ImagePath {
    ImagePath::parse(text).unwrap()
}

/// Bytes that no compressor makes much smaller.
fn noise(length: usize, mut state: u32) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..length).map(|_| next()).collect()
}

fn boot(kernel: &str, initramfs: Option<&str>) -> Boot {
    let mut loader = vec![0; LOADER_BYTES];
    loader[..3].copy_from_slice(&[0xeb, 0x5e, 0x90]);
    loader[64..72].copy_from_slice(b"picnix01");
    Boot {
        loader,
        kernel: path(kernel),
        initramfs: initramfs.map(path),
        command_line: "console=ttyS0".to_owned(),
    }
}

fn write(format: &str, tree: &ImageTree, options: &WriteOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written =
        find_format(format, 1).unwrap().write(tree, options, &mut bytes).unwrap();
    assert_eq!(written.image_bytes, bytes.len() as u64);
    bytes
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn firmware_tree() -> ImageTree {
    let mut tree = ImageTree::new();
    let mut add = |at: &str, bytes: Vec<u8>| {
        tree.insert(path(at), Node::bytes(bytes), Metadata::new(0o644), at).unwrap();
    };
    add("/linux", noise(700_001, 1));
    add("/initrd", noise(90_000, 2));
    add("/efi/boot/bootx64.efi", noise(513, 3));
    add("/empty.txt", Vec::new());
    tree
}

#[test]
fn a_floppy_is_a_volume_whose_loader_knows_its_files() {
    let tree = firmware_tree();
    let options = WriteOptions {
        boot: Some(boot("/linux", Some("/initrd"))),
        ..WriteOptions::new(Compression::None)
    };
    let bytes = write("floppy", &tree, &options);
    assert_eq!(bytes.len(), 1_474_560);
    assert_eq!(bytes, write("floppy", &tree, &options), "the same again");
    for (field, seed, length) in [(76, 1, 700_001), (84, 2, 90_000)] {
        let start = number(&bytes, field) * 512;
        assert_eq!(number(&bytes, field + 4), length);
        assert!(bytes[start..start + length] == noise(length, seed), "field {field}");
    }
    let volume = Volume::plan(&tree, Geometry::FLOPPY).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f.img"), &bytes).unwrap();
    let test = "a_floppy_is_a_volume_whose_loader_knows_its_files";
    judge(test, "fsck.fat", &["-n", "-v", "f.img"], dir.path());
    if let Some(said) = judge(test, "mdir", &["-/", "-i", "f.img", "::"], dir.path()) {
        let free: String = said
            .lines()
            .find(|line| line.ends_with("bytes free"))
            .unwrap()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        assert_eq!(free, volume.free_bytes().to_string());
    }
    let copy = ["-n", "-i", "f.img", "::EFI/BOOT/BOOTX64.EFI", "got"];
    if judge(test, "mcopy", &copy, dir.path()).is_some() {
        assert_eq!(std::fs::read(dir.path().join("got")).unwrap(), noise(513, 3));
    }
}

#[test]
fn what_does_not_fit_a_floppy_is_refused() {
    let mut tree = firmware_tree();
    let node = Node::bytes(vec![0; 1_000_000]);
    tree.insert(path("/big"), node, Metadata::new(0o644), "test").unwrap();
    let error = Volume::plan(&tree, Geometry::FLOPPY).unwrap_err();
    insta::assert_snapshot!(error, @"a floppy takes 1456128 bytes, and 1793024 are needed; leave something out");
}

#[test]
fn names_that_dos_has_not_are_refused() {
    for (name, other) in [("/a.conf", None), ("/LINUX", Some("/linux")), ("/ü", None)] {
        let mut tree = ImageTree::new();
        for name in [Some(name), other].into_iter().flatten() {
            tree.insert(path(name), Node::bytes("x"), Metadata::new(0o644), "t").unwrap();
        }
        let error = Volume::plan(&tree, Geometry::FLOPPY).unwrap_err();
        assert!(matches!(error, ImageError::Unrepresentable { .. }), "{name}: {error}");
    }
}

#[test]
fn a_disk_has_a_volume_for_firmware_and_a_root() {
    let tree = firmware_tree();
    let options = WriteOptions {
        boot: Some(boot("/efi/boot/bootx64.efi", None)),
        root: Some(Arc::new(noise(10_000, 9))),
        disk_id: 0x1234_abcd,
        ..WriteOptions::new(Compression::None)
    };
    let bytes = write("disk", &tree, &options);
    let kernel = number(&bytes, 76) * 512;
    assert!(bytes[kernel..kernel + 513] == noise(513, 3));
    let root = number(&bytes, 446 + 16 + 8) * 512;
    assert!(bytes[root..root + 10_000] == noise(10_000, 9));
    assert_eq!(bytes.len(), root + 12_288);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("d.img"), &bytes).unwrap();
    let test = "a_disk_has_a_volume_for_firmware_and_a_root";
    let first = number(&bytes, 446 + 8) * 512;
    std::fs::write(dir.path().join("esp.img"), &bytes[first..root]).unwrap();
    judge(test, "fsck.fat", &["-n", "esp.img"], dir.path());
    if let Some(said) = judge(test, "sfdisk", &["--dump", "d.img"], dir.path()) {
        assert!(said.contains("label-id: 0x1234abcd"), "{said}");
        assert!(said.contains("type=ef") && said.contains("type=83"), "{said}");
    }
}

fn system_tree() -> ImageTree {
    let mut tree = ImageTree::new();
    let mut add = |at: &str, node, metadata| {
        tree.insert(path(at), node, metadata, "test").unwrap();
    };
    // Two whole blocks and an end; an end that does not fit behind it; blocks that shrink to nothing.
    add("/data/noise", Node::bytes(noise((2 << 20) + 600_000, 5)), Metadata::new(0o644));
    add("/data/more", Node::bytes(noise(600_000, 6)), Metadata::new(0o4755));
    add("/data/zeros", Node::bytes(vec![0; 3 << 20]), Metadata::new(0o400));
    add("/data-2", Node::bytes("between /data and /data/more"), Metadata::new(0o644));
    add("/empty", Node::bytes(""), Metadata { uid: 7, gid: 8, mtime: 9, mode: 0o640 });
    let console = DeviceNumber { major: 5, minor: 1 };
    add("/dev/console", Node::CharacterDevice(console), Metadata::new(0o600));
    let disk = DeviceNumber { major: 259, minor: 70_000 };
    add("/dev/disk", Node::BlockDevice(disk), Metadata::new(0o660));
    add("/dev/fifo", Node::Fifo, Metadata::new(0o600));
    add(
        "/bin/sh",
        Node::Symlink(b"../very/long/../busybox".to_vec()),
        Metadata::new(0o777),
    );
    // More names than one header of a directory takes, in more than one block of inodes.
    for index in 0..1500 {
        let name = format!("/many/{index:04}-{}", "x".repeat(index % 60));
        add(&name, Node::bytes(format!("{index}\n")), Metadata::new(0o444));
    }
    tree
}

#[test]
fn unsquashfs_reads_what_was_written() {
    let tree = system_tree();
    let test = "unsquashfs_reads_what_was_written";
    for compression in
        [Compression::Gzip, Compression::Xz(XzFilter::X86), Compression::Zstd]
    {
        let bytes = write("squashfs", &tree, &WriteOptions::new(compression));
        assert_eq!(bytes.len() % 4096, 0);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.img"), &bytes).unwrap();
        let args = ["-lln", "-UTC", "s.img"];
        let Some(said) = judge(test, "unsquashfs", &args, dir.path()) else { return };
        for line in [
            "-rw-r----- 7/8                       0 1970-01-01 00:00 squashfs-root/empty",
            "crw------- 0/0",
            "brw-rw---- 0/0",
            // 259, 70000 as Linux packs it: this judge knows only minor numbers below 256.
            "1118467,112",
            "prw------- 0/0",
            "squashfs-root/bin/sh -> ../very/long/../busybox",
            "-rwsr-xr-x 0/0                  600000",
        ] {
            assert!(said.contains(line), "{compression}: {line}: {said}");
        }
        let listed = said.lines().filter(|line| line.contains("squashfs-root")).count();
        assert_eq!(listed, tree.len() + 1);
        for (name, file) in [("data/noise", 5), ("data/more", 6)] {
            let output = Command::new("unsquashfs")
                .args(["-cat", "s.img", name])
                .current_dir(dir.path())
                .output()
                .unwrap();
            let length = output.stdout.len();
            assert!(length >= 600_000 && output.stdout == noise(length, file), "{name}");
        }
        let all = Command::new("unsquashfs")
            .args(["-no-progress", "-excludes", "s.img", "dev"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(all.status.success(), "{all:?}");
        let root = dir.path().join("squashfs-root");
        let changed = std::fs::metadata(root.join("empty")).unwrap().mtime();
        assert_eq!(changed, 9);
        assert_eq!(std::fs::read_dir(root.join("many")).unwrap().count(), 1500);
        let name = format!("many/0777-{}", "x".repeat(777 % 60));
        assert_eq!(std::fs::read_to_string(root.join(name)).unwrap(), "777\n");
        let zeros = std::fs::read(root.join("data/zeros")).unwrap();
        assert!(zeros == vec![0; 3 << 20]);
    }
}

/// A CD of [`system_tree`], or of a system that lives in memory.
fn cd_options(initramfs: Option<&str>) -> WriteOptions {
    let mut mbr = vec![0; 512];
    mbr[400..408].copy_from_slice(b"picnixm1");
    let mut efi_loader = vec![0; EFI_LOADER_BYTES];
    efi_loader[1272..1280].copy_from_slice(b"picnixe1");
    let mut files = ImageTree::new();
    for (name, length, seed) in [("/linux", 300_001, 1), ("/initrd", 90_000, 2)] {
        let node = Node::bytes(noise(length, seed));
        files.insert(path(name), node, Metadata::new(0o644), "test").unwrap();
    }
    WriteOptions {
        boot: Some(boot("/linux", initramfs)),
        cd: Some(CdBoot {
            mbr,
            efi_loader,
            files,
            on_cd: "root=/dev/sr0".to_owned(),
            on_disk: "root=PARTUUID=1234abcd-01".to_owned(),
        }),
        disk_id: 0x1234_abcd,
        ..WriteOptions::new(Compression::Gzip)
    }
}

#[test]
fn loaders_of_a_cd_know_the_kernel_by_both_kinds_of_sectors() {
    let bytes = write("iso", &system_tree(), &cd_options(Some("/initrd")));
    assert_eq!(number(&bytes, 416), 4, "the MBR's loader, in sectors of a disk");
    for (loader, sector, own, root) in [
        (2048, 512, 4, &b"console=ttyS0 root=PARTUUID=1234abcd-01\0"[..]),
        (4096, 2048, 2, b"console=ttyS0 root=/dev/sr0\0"),
    ] {
        assert_eq!(1 << bytes[loader + 72], sector);
        for (field, seed, length) in [(76, 1, 300_001), (84, 2, 90_000)] {
            let start = number(&bytes, loader + field) * sector;
            assert_eq!(number(&bytes, loader + field + 4), length);
            assert!(bytes[start..start + length] == noise(length, seed), "{field}");
        }
        assert_eq!(number(&bytes, loader + 92), own);
        assert_eq!(&bytes[loader + 1536..][..root.len()], root);
    }
}

#[test]
fn a_cd_is_a_squashfs_an_iso_9660_and_a_disk() {
    let test = "a_cd_is_a_squashfs_an_iso_9660_and_a_disk";
    let tree = system_tree();
    let options = cd_options(None);
    let bytes = write("iso", &tree, &options);
    assert!(bytes == write("iso", &tree, &options), "the same again");
    assert_eq!(bytes.len() % 2048, 0);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cd.iso"), &bytes).unwrap();

    // The squashfs: everything of it can be read.
    let args = ["-no-progress", "-excludes", "cd.iso", "dev"];
    if judge(test, "unsquashfs", &args, dir.path()).is_some() {
        let root = dir.path().join("squashfs-root");
        assert_eq!(std::fs::read_dir(root.join("many")).unwrap().count(), 1500);
        assert!(std::fs::read(root.join("data/more")).unwrap() == noise(600_000, 6));
    }
    // The ISO 9660 and what firmware finds through it.
    let args =
        ["-indev", "cd.iso", "-report_el_torito", "plain", "-lsl", "/", "/EFI/BOOT"];
    if let Some(said) = judge(test, "xorriso", &args, dir.path()) {
        for line in [
            "El Torito catalog  : 19  1",
            "El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4           2",
            "El Torito boot img :   2  UEFI  y   none",
            "300001 Jan  1  1980 'LINUX'",
            "2048 Jan  1  1980 'BOOTX64.EFI'",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
    }
    let extract = ["-osirrox", "on", "-indev", "cd.iso", "-extract", "/LINUX", "linux"];
    if judge(test, "xorriso", &extract, dir.path()).is_some() {
        let linux = std::fs::read(dir.path().join("linux")).unwrap();
        assert!(linux == noise(300_001, 1));
    }
    if let Some(said) = judge(test, "isoinfo", &["-f", "-i", "cd.iso"], dir.path()) {
        let paths =
            ["/EFI", "/EFI/BOOT", "/EFI/BOOT/BOOTX64.EFI;1", "/INITRD.;1", "/LINUX.;1"];
        let mut listed: Vec<_> = said.lines().map(str::trim_end).collect();
        listed.sort_unstable();
        assert_eq!(listed, paths);
    }
    // The disk and its volume for EFI.
    if let Some(said) = judge(test, "sfdisk", &["--dump", "cd.iso"], dir.path()) {
        assert!(said.contains("label-id: 0x1234abcd"), "{said}");
        assert!(said.contains("type=0, bootable") && said.contains("type=ef"), "{said}");
    }
    let first = number(&bytes, 446 + 16 + 8) * 512;
    let length = number(&bytes, 446 + 16 + 12) * 512;
    std::fs::write(dir.path().join("esp.img"), &bytes[first..first + length]).unwrap();
    judge(test, "fsck.fat", &["-n", "esp.img"], dir.path());
    let copy = ["-n", "-i", "esp.img", "::LINUX", "got"];
    if judge(test, "mcopy", &copy, dir.path()).is_some() {
        assert!(std::fs::read(dir.path().join("got")).unwrap() == noise(300_001, 1));
    }
}

#[test]
fn a_cd_of_a_system_in_memory_has_no_squashfs() {
    let bytes = write("iso", &ImageTree::new(), &cd_options(Some("/initrd")));
    assert_eq!(bytes[..4], [0; 4], "the MBR as it was");
    let told = b"console=ttyS0 initrd=\\initrd\0root=/dev/sr0\0";
    assert!(bytes.windows(told.len()).any(|window| window == told));
}

#[test]
fn a_cd_that_cannot_start_is_refused() {
    let refused = |change: &dyn Fn(&mut WriteOptions)| {
        let mut options = cd_options(None);
        change(&mut options);
        let format = find_format("iso", 1).unwrap();
        format
            .write(&ImageTree::new(), &options, &mut Vec::new())
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(refused(&|options| options.cd = None), @"the image cannot be made to start: a CD needs a loader and a kernel");
    insta::assert_snapshot!(refused(&|options| options.cd.as_mut().unwrap().mbr.clear()), @"the image cannot be made to start: the MBR is not one that this picnix knows");
    insta::assert_snapshot!(refused(&|options| options.boot.as_mut().unwrap().initramfs = Some(path("/initramfs"))), @"the image cannot be made to start: kernel or initramfs is not a file of the image");
    insta::assert_snapshot!(refused(&|options| options.boot.as_mut().unwrap().command_line = "x".repeat(500)), @"the image cannot be made to start: the kernel command line is longer than 511 bytes");
    insta::assert_snapshot!(refused(&|options| {
        let node = Node::bytes("");
        let files = &mut options.cd.as_mut().unwrap().files;
        files.insert(path("/efi/boot/bootx64.efi"), node, Metadata::new(0o644), "you").unwrap();
    }), @r#""/efi/boot/bootx64.efi" is asked for twice: as a file of 0 bytes (mode 0644, owner 0:0) by you, and as a file of 2048 bytes (mode 0644, owner 0:0) by the loader for EFI"#);
}

#[test]
fn a_squashfs_is_the_same_again() {
    let tree = system_tree();
    let options = WriteOptions::new(Compression::Xz(XzFilter::None));
    assert!(write("squashfs", &tree, &options) == write("squashfs", &tree, &options));
}

#[test]
fn an_empty_squashfs_can_be_read() {
    let test = "an_empty_squashfs_can_be_read";
    let bytes =
        write("squashfs", &ImageTree::new(), &WriteOptions::new(Compression::Gzip));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.img"), &bytes).unwrap();
    if let Some(said) = judge(test, "unsquashfs", &["-ll", "s.img"], dir.path()) {
        assert!(said.trim_end().ends_with("squashfs-root"), "{said}");
    }
}
