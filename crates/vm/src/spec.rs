//! What to boot, and with what: the JSON that a configuration gives.
//!
//! Store paths in it are logical; [`VmSpec::map_paths`] turns them into the places where this
//! machine keeps them.

use crate::VmError;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// A machine as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VmSpec {
    /// The image's format: what `picnix image` builds where nobody says which.
    pub format: String,
    /// A tree that holds Debian's files of QEMU, at their places below `usr`.
    pub qemu: PathBuf,
    /// The emulator, below `qemu`; its name ends with the guest's architecture.
    #[serde(default = "default_program")]
    pub program: String,
    /// The tree's dynamic loader, below `qemu`; nothing for a program that needs none.
    #[serde(default)]
    pub loader: Option<String>,
    /// The folders of the tree's libraries, below `qemu`.
    #[serde(default)]
    pub library_path: Vec<String>,
    /// The folder of QEMU's own loadable parts, below `qemu`.
    #[serde(default)]
    pub module_dir: Option<String>,
    /// The folders of the firmware, below `qemu`.
    #[serde(default)]
    pub data_dirs: Vec<String>,
    /// QEMU's name of the board.
    #[serde(default = "default_machine")]
    pub machine: String,
    /// QEMU's name of the processor to emulate; the best one where nothing is said.
    #[serde(default)]
    pub cpu: Option<String>,
    /// The number of processors.
    #[serde(default = "default_cores")]
    pub cores: u32,
    /// The guest's memory.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// The directory that holds the image's files.
    pub image: PathBuf,
    /// The kernel's file name in `image`; nothing where the firmware starts the medium itself.
    #[serde(default)]
    pub kernel: Option<String>,
    /// The archive's file name in `image`.
    #[serde(default)]
    pub initramfs: Option<String>,
    /// A medium of the machine.
    #[serde(default)]
    pub drive: Option<Drive>,
    /// The firmware's file; the board's own where nothing is said.
    #[serde(default)]
    pub firmware: Option<PathBuf>,
    /// The kernel command line.
    #[serde(default)]
    pub kernel_params: Vec<String>,
    /// The network device without its `netdev`; none means no network.
    #[serde(default = "default_network_device")]
    pub network_device: Option<String>,
    /// What a disk of the machine's own kind is at, without its `drive`.
    #[serde(default = "default_disk_device")]
    pub disk_device: String,
    /// Devices beyond console and network.
    #[serde(default = "default_devices")]
    pub devices: Vec<String>,
    /// Ports of the guest that the host can reach.
    #[serde(default)]
    pub forward_ports: Vec<ForwardPort>,
    /// Arguments for QEMU.
    #[serde(default)]
    pub extra_args: Vec<String>,
}

/// A medium that is in the machine; the guest cannot change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drive {
    /// The file's name in the image's directory.
    pub file: String,
    /// What the medium looks like to the guest.
    pub kind: DriveKind,
}

/// What a medium looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriveKind {
    /// A floppy of 1.44 MB.
    Floppy,
    /// A disk of the virtual machine's own kind.
    Virtio,
    /// A disk at the board's SATA controller.
    Sata,
    /// A CD at the board's SATA controller.
    Cd,
    /// A stick at a USB controller on PCI.
    Usb,
}

/// A port of the guest that the host can reach at 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForwardPort {
    /// The port in the guest.
    pub guest_port: u16,
    /// The port wanted on the host; any free one where nothing is said or it is taken.
    #[serde(default)]
    pub host_port: Option<u16>,
    /// The protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A protocol that can be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Streams.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// QEMU's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

fn default_program() -> String {
    "usr/bin/qemu-system-x86_64".to_owned()
}

fn default_machine() -> String {
    "q35".to_owned()
}

const fn default_cores() -> u32 {
    1
}

/// Without `romfile=` QEMU would want a network boot ROM.
#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
fn default_network_device() -> Option<String> {
    Some("virtio-net-pci,romfile=".to_owned())
}

fn default_disk_device() -> String {
    "virtio-blk-pci".to_owned()
}

fn default_devices() -> Vec<String> {
    vec!["virtio-rng-pci".to_owned()]
}

impl VmSpec {
    /// Parses a specification and checks what can be checked without looking at files.
    pub fn parse(json: &str) -> Result<Self, VmError> {
        let spec: Self = serde_json::from_str(json).map_err(VmError::Spec)?;
        spec.check()?;
        Ok(spec)
    }

    pub(crate) fn check(&self) -> Result<(), VmError> {
        let invalid = |field, value: &str, reason| {
            Err(VmError::SpecValue { field, value: value.to_owned(), reason })
        };
        if self.kernel.is_none() && (self.drive.is_none() || self.initramfs.is_some()) {
            return invalid(
                "kernel",
                "",
                "without one a drive is needed, and no initramfs",
            );
        }
        if self.memory_mib == 0 {
            return invalid("memoryMiB", "0", "a machine needs memory");
        }
        if self.cores == 0 {
            return invalid("cores", "0", "a machine needs a processor");
        }
        let below = |field| move |value| (field, value);
        let rest = (self.loader.iter().map(below("loader")))
            .chain(self.kernel.iter().map(below("kernel")))
            .chain(self.initramfs.iter().map(below("initramfs")))
            .chain(self.drive.iter().map(|drive| ("drive", &drive.file)))
            .chain(self.module_dir.iter().map(below("moduleDir")))
            .chain(self.library_path.iter().map(below("libraryPath")))
            .chain(self.data_dirs.iter().map(below("dataDirs")));
        for (field, value) in [("program", &self.program)].into_iter().chain(rest) {
            let path = Path::new(value);
            let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
            if value.is_empty() || !plain {
                return invalid(field, value, "a relative path without \"..\" is needed");
            }
        }
        Ok(())
    }

    /// Replaces the store paths by where they physically are.
    #[must_use]
    pub fn map_paths(mut self, physical: impl Fn(&Path) -> PathBuf) -> Self {
        self.qemu = physical(&self.qemu);
        self.image = physical(&self.image);
        self.firmware = self.firmware.as_deref().map(physical);
        self
    }

    /// The kernel's file.
    pub fn kernel_path(&self) -> Option<PathBuf> {
        self.kernel.as_ref().map(|file| self.image.join(file))
    }

    /// The archive's file.
    pub fn initramfs_path(&self) -> Option<PathBuf> {
        self.initramfs.as_ref().map(|file| self.image.join(file))
    }

    /// The medium's file.
    pub fn drive_path(&self) -> Option<PathBuf> {
        self.drive.as_ref().map(|drive| self.image.join(&drive.file))
    }

    /// The guest's architecture, which QEMU's programs have at the end of their names.
    pub fn guest_arch(&self) -> &str {
        self.program.rsplit('-').next().unwrap_or_default()
    }

    /// Checks that the files that QEMU will need are there.
    pub fn check_files(&self) -> Result<(), VmError> {
        let files = [
            ("the emulator", Some(self.qemu.join(&self.program))),
            ("the kernel", self.kernel_path()),
            ("the initramfs", self.initramfs_path()),
            ("the medium", self.drive_path()),
            ("the firmware", self.firmware.clone()),
        ];
        for (what, path) in files {
            let Some(path) = path else { continue };
            if let Err(source) = std::fs::metadata(&path) {
                return Err(VmError::Missing { what, path, source });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{
        "format": "initramfs", "qemu": "/nix/store/q", "memoryMiB": 128,
        "program": "usr/bin/qemu-system-x86_64", "machine": "q35", "cpu": null,
        "loader": "usr/lib/x/ld.so", "libraryPath": ["usr/lib/x"], "cores": 2,
        "moduleDir": "usr/lib/x/qemu", "dataDirs": ["usr/share/qemu"],
        "image": "/nix/store/i", "kernel": "bzImage", "initramfs": "initramfs.cpio.xz",
        "kernelParams": ["console=ttyS0"], "extraArgs": [],
        "forwardPorts": [{"guestPort": 80, "hostPort": null, "protocol": "tcp"}]
    }"#;

    #[test]
    fn a_specification_is_read_and_printed() {
        let spec = VmSpec::parse(HELLO).unwrap();
        assert_eq!(spec.guest_arch(), "x86_64");
        assert_eq!(spec.forward_ports[0].guest_port, 80);
        let printed = serde_json::to_string(&spec).unwrap();
        assert_eq!(VmSpec::parse(&printed).unwrap(), spec);
        let mapped = spec
            .map_paths(|path| Path::new("/elsewhere").join(path.file_name().unwrap()));
        assert_eq!(mapped.kernel_path().unwrap(), Path::new("/elsewhere/i/bzImage"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (good, bad) in [
            (r#""memoryMiB": 128"#, r#""memoryMiB": 0"#),
            (r#""memoryMiB": 128"#, r#""memoryMiB": 128, "memory": 1"#),
            (r#""kernel": "bzImage""#, r#""kernel": "../bzImage""#),
            (r#""kernel": "bzImage""#, r#""kernel": "/etc/passwd""#),
            (r#""kernel": "bzImage", "#, ""),
            (r#""kernel": "bzImage""#, r#""drive": {"file": "/d", "kind": "virtio"}"#),
            (r#""cores": 2"#, r#""drive": {"file": "d", "kind": "tape"}"#),
            (r#""tcp""#, r#""sctp""#),
            (r#""cores": 2"#, r#""cores": 0"#),
            (r#"["usr/lib/x"]"#, r#"["/usr/lib/x"]"#),
            (r#""usr/lib/x/ld.so""#, r#""../ld.so""#),
        ] {
            let json = HELLO.replace(good, bad);
            assert_ne!(json, HELLO);
            assert!(VmSpec::parse(&json).is_err(), "{bad}");
        }
    }
}
