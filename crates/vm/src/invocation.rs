//! QEMU's command line, built from the specification without looking at anything else.
//!
//! A Debian program of the store runs on any host through the loader of its own tree. The
//! program's interpreter is an absolute path of the host, so it is not executed itself; its
//! tree's loader is, with that tree's libraries and no cache. QEMU would look for its firmware
//! and loadable parts beside the running program, which is then the loader, so it is told.

use crate::kvm::Accel;
use crate::{DriveKind, Forward, VmSpec};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables of the caller's environment that QEMU may see.
const KEPT_VARIABLES: [&str; 5] = ["HOME", "LANG", "PATH", "TERM", "TMPDIR"];

/// What kernels of these architectures must be told under emulation.
///
/// x86 kernels count timer interrupts for a moment of the host's time, and on a busy host panic
/// with "IO-APIC + timer doesn't work". In KVM they leave it out by themselves.
const EMULATION_PARAMS: [(&str, &str); 2] =
    [("i386", "no_timer_check"), ("x86_64", "no_timer_check")];

/// What the machine boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Boot {
    /// The specification's kernel, archive and command line.
    Image,
    /// Only the kernel, with this command line.
    KernelOnly(String),
}

/// What the guest's serial console is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsoleDevice {
    /// QEMU's standard streams, and they are pipes.
    Pipes,
    /// QEMU's standard streams, and they are a terminal: QEMU makes it raw, and Ctrl-A begins
    /// its own commands.
    Terminal,
}

/// Everything that decides a command line.
#[derive(Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) spec: &'a VmSpec,
    /// Nothing where the user's arguments choose.
    pub(crate) accel: Option<Accel>,
    pub(crate) boot: Boot,
    pub(crate) console: ConsoleDevice,
    pub(crate) forwards: &'a [Forward],
    /// A socket that somebody listens on; the machine then waits for `cont`.
    pub(crate) control_socket: Option<&'a Path>,
    pub(crate) user_args: &'a [String],
}

impl Invocation<'_> {
    /// The file to execute.
    pub(crate) fn program(&self) -> PathBuf {
        let program = self.spec.loader.as_ref().unwrap_or(&self.spec.program);
        self.spec.qemu.join(program)
    }

    /// The command with an environment that holds nothing that could change what QEMU does.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.args(self.arguments()).env_clear();
        for name in KEPT_VARIABLES {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(dir) = &self.spec.module_dir {
            command.env("QEMU_MODULE_DIR", self.spec.qemu.join(dir));
        }
        command
    }

    /// All arguments, in an order that lets the user's win.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut args = Arguments(Vec::new());
        self.loader_arguments(&mut args);
        self.board_arguments(&mut args);
        self.boot_arguments(&mut args);
        self.console_arguments(&mut args);
        self.network_arguments(&mut args);
        for device in &self.spec.devices {
            args.option("-device", device);
        }
        for argument in self.spec.extra_args.iter().chain(self.user_args) {
            args.flag(argument);
        }
        args.0
    }

    fn loader_arguments(&self, args: &mut Arguments) {
        if self.spec.loader.is_none() {
            return;
        }
        args.flag("--inhibit-cache");
        args.option("--argv0", self.spec.program.rsplit('/').next().unwrap_or("qemu"));
        let mut libraries = OsString::new();
        for dir in &self.spec.library_path {
            if !libraries.is_empty() {
                libraries.push(":");
            }
            libraries.push(self.spec.qemu.join(dir));
        }
        args.option("--library-path", libraries);
        args.flag(self.spec.qemu.join(&self.spec.program));
    }

    fn board_arguments(&self, args: &mut Arguments) {
        for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            args.flag(flag);
        }
        args.option("-display", "none");
        for dir in &self.spec.data_dirs {
            args.option("-L", self.spec.qemu.join(dir));
        }
        args.option("-machine", &self.spec.machine);
        if let Some(accel) = self.accel {
            args.option("-accel", accel.name());
            args.option("-cpu", self.cpu(accel));
        } else if let Some(cpu) = &self.spec.cpu {
            args.option("-cpu", cpu);
        }
        args.option("-m", self.spec.memory_mib.to_string());
        if self.spec.cores > 1 {
            args.option("-smp", self.spec.cores.to_string());
        }
    }

    fn cpu(&self, accel: Accel) -> &str {
        match (accel, self.spec.cpu.as_deref()) {
            (Accel::Kvm, None | Some("max")) => "host",
            (Accel::Tcg, None) => "max",
            (_, Some(cpu)) => cpu,
        }
    }

    fn boot_arguments(&self, args: &mut Arguments) {
        if let Some(firmware) = &self.spec.firmware {
            args.option("-bios", firmware);
        }
        if let Some(kernel) = self.spec.kernel_path() {
            args.option("-kernel", kernel);
            match &self.boot {
                Boot::Image => {
                    if let Some(archive) = self.spec.initramfs_path() {
                        args.option("-initrd", archive);
                    }
                    args.option("-append", self.kernel_params().join(" "));
                }
                Boot::KernelOnly(params) => args.option("-append", params),
            }
        }
        self.drive_arguments(args);
    }

    fn drive_arguments(&self, args: &mut Arguments) {
        let (Some(drive), Some(path)) = (&self.spec.drive, self.spec.drive_path()) else {
            return;
        };
        let interface = match drive.kind {
            DriveKind::Floppy => "floppy",
            DriveKind::Virtio | DriveKind::Sata | DriveKind::Usb => "none,id=medium",
            DriveKind::Cd => "none,id=medium,media=cdrom",
        };
        // Hard disks are never read-only: what is written to this one is gone with the machine.
        let access = match drive.kind {
            DriveKind::Floppy | DriveKind::Virtio | DriveKind::Cd => "readonly=on",
            DriveKind::Sata | DriveKind::Usb => "snapshot=on",
        };
        let mut value =
            OsString::from(format!("if={interface},format=raw,{access},file="));
        // In QEMU's option syntax a comma of a value is written twice.
        value.push(path.to_string_lossy().replace(',', ",,"));
        args.option("-drive", value);
        // A kernel that QEMU loads is what the firmware starts first.
        let order = if self.spec.kernel.is_none() { ",bootindex=0" } else { "" };
        match drive.kind {
            DriveKind::Floppy => args.option("-boot", "a"),
            DriveKind::Virtio => {
                let device = &self.spec.disk_device;
                args.option("-device", format!("{device},drive=medium{order}"));
            }
            DriveKind::Sata => {
                args.option("-device", format!("ide-hd,drive=medium,bus=ide.0{order}"));
            }
            DriveKind::Cd => {
                args.option("-device", format!("ide-cd,drive=medium,bus=ide.0{order}"));
            }
            DriveKind::Usb => {
                args.option("-device", "qemu-xhci");
                args.option("-device", format!("usb-storage,drive=medium{order}"));
            }
        }
    }

    fn kernel_params(&self) -> Vec<&str> {
        let arch = self.spec.guest_arch();
        let emulation = EMULATION_PARAMS
            .iter()
            .filter(|(of, _)| *of == arch && self.accel != Some(Accel::Kvm))
            .map(|(_, param)| *param);
        self.spec.kernel_params.iter().map(String::as_str).chain(emulation).collect()
    }

    fn console_arguments(&self, args: &mut Arguments) {
        match self.console {
            ConsoleDevice::Pipes => {
                args.option("-chardev", "stdio,id=console,signal=off");
            }
            ConsoleDevice::Terminal => {
                args.option("-chardev", "stdio,id=console,signal=off,mux=on");
                args.option("-mon", "chardev=console,mode=readline");
            }
        }
        args.option("-serial", "chardev:console");
        if let Some(socket) = self.control_socket {
            // In QEMU's option syntax a comma of a value is written twice.
            let path = socket.to_string_lossy().replace(',', ",,");
            args.option("-chardev", format!("socket,id=control,path={path}"));
            args.option("-mon", "chardev=control,mode=control");
            args.flag("-S");
        }
    }

    fn network_arguments(&self, args: &mut Arguments) {
        let Some(device) = &self.spec.network_device else { return };
        let mut netdev = "user,id=net".to_owned();
        for forward in self.forwards {
            let Forward { protocol, host_port, guest_port, .. } = forward;
            let protocol = protocol.name();
            netdev.push_str(&format!(
                ",hostfwd={protocol}:127.0.0.1:{host_port}-:{guest_port}"
            ));
        }
        args.option("-netdev", netdev);
        args.option("-device", format!("{device},netdev=net"));
    }
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, flag: impl Into<OsString>) {
        self.0.push(flag.into());
    }

    fn option(&mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Drive, Protocol};

    fn spec() -> VmSpec {
        VmSpec::parse(
            r#"{"format": "initramfs", "qemu": "/q", "memoryMiB": 128, "image": "/i",
                "loader": "usr/lib/x/ld.so", "libraryPath": ["usr/lib/x", "usr/lib/y"],
                "moduleDir": "usr/lib/x/qemu", "cores": 2,
                "dataDirs": ["usr/share/qemu", "usr/share/seabios"],
                "kernel": "bzImage", "initramfs": "initramfs.cpio.xz", "extraArgs": ["-vga", "none"],
                "kernelParams": ["console=ttyS0", "quiet"]}"#,
        )
        .unwrap()
    }

    /// The image's own way to start, with a console on pipes and nothing more.
    fn plain(spec: &VmSpec) -> Invocation<'_> {
        Invocation {
            spec,
            accel: Some(Accel::Tcg),
            boot: Boot::Image,
            console: ConsoleDevice::Pipes,
            forwards: &[],
            control_socket: None,
            user_args: &[],
        }
    }

    fn shown(invocation: &Invocation<'_>) -> String {
        let args = invocation.arguments();
        let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        format!("{} {}", invocation.program().display(), words.join(" "))
            .replace(" -", "\n-")
    }

    #[test]
    fn a_headless_machine_of_the_store() {
        let spec = spec();
        let forward = |protocol, host_port, guest_port| Forward {
            protocol,
            guest_port,
            host_port,
            wanted: None,
        };
        let forwards = [forward(Protocol::Tcp, 8080, 80), forward(Protocol::Udp, 9, 53)];
        let invocation = Invocation {
            forwards: &forwards,
            control_socket: Some(Path::new("/tmp/a,b/qmp")),
            user_args: &["-m".to_owned(), "64".to_owned()],
            ..plain(&spec)
        };
        insta::assert_snapshot!(shown(&invocation), @"
        /q/usr/lib/x/ld.so
        --inhibit-cache
        --argv0 qemu-system-x86_64
        --library-path /q/usr/lib/x:/q/usr/lib/y /q/usr/bin/qemu-system-x86_64
        -nodefaults
        -no-user-config
        -no-reboot
        -display none
        -L /q/usr/share/qemu
        -L /q/usr/share/seabios
        -machine q35
        -accel tcg
        -cpu max
        -m 128
        -smp 2
        -kernel /i/bzImage
        -initrd /i/initramfs.cpio.xz
        -append console=ttyS0 quiet no_timer_check
        -chardev stdio,id=console,signal=off
        -serial chardev:console
        -chardev socket,id=control,path=/tmp/a,,b/qmp
        -mon chardev=control,mode=control
        -S
        -netdev user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:9-:53
        -device virtio-net-pci,romfile=,netdev=net
        -device virtio-rng-pci
        -vga none
        -m 64
        ");
        let env: Vec<_> = invocation
            .command()
            .get_envs()
            .filter(|(name, _)| name.to_str().is_some_and(|n| n.starts_with("QEMU")))
            .map(|(_, value)| value.unwrap().to_owned())
            .collect();
        assert_eq!(env, ["/q/usr/lib/x/qemu"]);
    }

    #[test]
    fn a_medium_that_firmware_starts() {
        let started = |kind| {
            let mut spec = spec();
            spec.kernel = None;
            spec.initramfs = None;
            spec.firmware = Some("/f/OVMF.fd".into());
            spec.drive = Some(Drive { file: "a,b.img".to_owned(), kind });
            let invocation = plain(&spec);
            let all = shown(&invocation);
            let start = all.find("-bios").unwrap();
            all[start..all.find("-chardev").unwrap()].to_owned()
        };
        insta::assert_snapshot!(started(DriveKind::Floppy), @"
        -bios /f/OVMF.fd
        -drive if=floppy,format=raw,readonly=on,file=/i/a,,b.img
        -boot a
        ");
        insta::assert_snapshot!(started(DriveKind::Virtio), @"
        -bios /f/OVMF.fd
        -drive if=none,id=medium,format=raw,readonly=on,file=/i/a,,b.img
        -device virtio-blk-pci,drive=medium,bootindex=0
        ");
        insta::assert_snapshot!(started(DriveKind::Sata), @"
        -bios /f/OVMF.fd
        -drive if=none,id=medium,format=raw,snapshot=on,file=/i/a,,b.img
        -device ide-hd,drive=medium,bus=ide.0,bootindex=0
        ");
        insta::assert_snapshot!(started(DriveKind::Cd), @"
        -bios /f/OVMF.fd
        -drive if=none,id=medium,media=cdrom,format=raw,readonly=on,file=/i/a,,b.img
        -device ide-cd,drive=medium,bus=ide.0,bootindex=0
        ");
        insta::assert_snapshot!(started(DriveKind::Usb), @"
        -bios /f/OVMF.fd
        -drive if=none,id=medium,format=raw,snapshot=on,file=/i/a,,b.img
        -device qemu-xhci
        -device usb-storage,drive=medium,bootindex=0
        ");
    }

    #[test]
    fn a_kernel_that_qemu_loads_comes_before_the_medium() {
        let mut spec = spec();
        spec.drive = Some(Drive { file: "a.img".to_owned(), kind: DriveKind::Virtio });
        let invocation = plain(&spec);
        let all = shown(&invocation);
        assert!(all.contains("-kernel /i/"), "{all}");
        assert!(all.contains("-device virtio-blk-pci,drive=medium\n"), "{all}");
    }

    #[test]
    fn a_board_with_devices_and_a_processor_of_its_own() {
        let spec = VmSpec::parse(
            r#"{"format": "squashfs", "qemu": "/q", "memoryMiB": 16, "image": "/i",
                "program": "usr/bin/qemu-system-aarch64", "machine": "virt",
                "cpu": "cortex-a53", "networkDevice": "virtio-net-device", "devices": [],
                "diskDevice": "virtio-blk-device", "kernel": "Image.gz",
                "drive": {"file": "squashfs.img", "kind": "virtio"},
                "kernelParams": ["console=ttyAMA0"]}"#,
        )
        .unwrap();
        let invocation = plain(&spec);
        insta::assert_snapshot!(shown(&invocation), @"
        /q/usr/bin/qemu-system-aarch64
        -nodefaults
        -no-user-config
        -no-reboot
        -display none
        -machine virt
        -accel tcg
        -cpu cortex-a53
        -m 16
        -kernel /i/Image.gz
        -append console=ttyAMA0
        -drive if=none,id=medium,format=raw,readonly=on,file=/i/squashfs.img
        -device virtio-blk-device,drive=medium
        -chardev stdio,id=console,signal=off
        -serial chardev:console
        -netdev user,id=net
        -device virtio-net-device,netdev=net
        ");
    }

    #[test]
    fn a_kernel_alone_on_a_terminal_under_kvm() {
        let mut spec = spec();
        spec.network_device = None;
        spec.loader = None;
        let invocation = Invocation {
            accel: Some(Accel::Kvm),
            boot: Boot::KernelOnly("panic=-1".to_owned()),
            console: ConsoleDevice::Terminal,
            ..plain(&spec)
        };
        insta::assert_snapshot!(shown(&invocation), @"
        /q/usr/bin/qemu-system-x86_64
        -nodefaults
        -no-user-config
        -no-reboot
        -display none
        -L /q/usr/share/qemu
        -L /q/usr/share/seabios
        -machine q35
        -accel kvm
        -cpu host
        -m 128
        -smp 2
        -kernel /i/bzImage
        -append panic=-1
        -chardev stdio,id=console,signal=off,mux=on
        -mon chardev=console,mode=readline
        -serial chardev:console
        -device virtio-rng-pci
        -vga none
        ");
    }
}
