//! Whether KVM can be used: by having booted this kernel in it.
//!
//! On some machines `/dev/kvm` opens and QEMU starts, and then every stock kernel hangs or dies
//! in it. So the very kernel is booted without a root file system, and only its complaint about
//! that, which comes at the end of its own start, is taken as proof. The verdict is kept until
//! the host boots again.

use crate::invocation::{Boot, ConsoleDevice, Invocation};
use crate::text::Cleaner;
use crate::{VmError, VmSpec, machine};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A kernel that works in KVM is through in a second.
const PROBE_TIMEOUT: Duration = Duration::from_secs(8);
/// What a kernel says when it has started and has nothing to run; one that dies of an exception
/// panics too, but says something else.
const PROOFS: [&str; 3] =
    ["Unable to mount root fs", "Cannot open root device", "No working init found"];
/// Arguments with which the user chooses for himself.
const CHOOSING_ARGS: [&str; 3] = ["-accel", "-enable-kvm", "--accel"];

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor, by the kernel's virtual machines.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accel {
    /// QEMU's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// What to use, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccelChoice {
    /// Nothing where the user's arguments choose.
    pub accel: Option<Accel>,
    /// A sentence for the log.
    pub why: String,
}

/// What the verdict depends on beyond kernel and QEMU.
struct Host {
    arch: String,
    boot_id: String,
    cpu_model: String,
    kvm: Result<(), String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    works: bool,
    why: String,
}

/// The file of verdicts; those of other boots are dropped when it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cache {
    boot_id: String,
    verdicts: BTreeMap<String, Verdict>,
}

/// Chooses between KVM and software emulation, probing at most once per boot of the host.
///
/// `cache_file` keeps the verdict; one that cannot be read or written costs only a new probe.
pub fn choose_accel(
    spec: &VmSpec,
    user_args: &[String],
    cache_file: &Path,
) -> Result<AccelChoice, VmError> {
    let chosen = |arg: &String| CHOOSING_ARGS.contains(&arg.as_str());
    if spec.extra_args.iter().chain(user_args).any(chosen) {
        let why = "the arguments for QEMU choose".to_owned();
        return Ok(AccelChoice { accel: None, why });
    }
    choose(spec, &Host::look(), cache_file, || probe(spec))
}

fn choose(
    spec: &VmSpec,
    host: &Host,
    cache_file: &Path,
    probe: impl FnOnce() -> Result<Verdict, VmError>,
) -> Result<AccelChoice, VmError> {
    let tcg = |why: String| Ok(AccelChoice { accel: Some(Accel::Tcg), why });
    if spec.guest_arch() != host.arch {
        return tcg(format!("the host is {} and cannot run it otherwise", host.arch));
    }
    if let Err(why) = &host.kvm {
        return tcg(why.clone());
    }
    let Some(kernel) = spec.kernel_path() else {
        return tcg(
            "what the firmware starts cannot be tried in KVM beforehand".to_owned()
        );
    };
    let key = [
        kernel.to_string_lossy().into_owned(),
        spec.qemu.to_string_lossy().into_owned(),
        host.cpu_model.clone(),
    ]
    .join("\n");
    let mut cache = read_cache(cache_file, &host.boot_id);
    let verdict = match cache.verdicts.get(&key) {
        Some(verdict) => verdict.clone(),
        None => {
            let verdict = probe()?;
            cache.verdicts.insert(key, verdict.clone());
            // Only a cache.
            let _ = write_cache(cache_file, &cache);
            verdict
        }
    };
    let accel = if verdict.works { Accel::Kvm } else { Accel::Tcg };
    Ok(AccelChoice { accel: Some(accel), why: verdict.why })
}

impl Host {
    fn look() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpu_model = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map(|rest| rest.trim_start_matches(['\t', ' ', ':']).to_owned())
            .unwrap_or_default();
        let kvm = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .map(drop)
            .map_err(|e| format!("\"/dev/kvm\" cannot be opened: {e}"));
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            boot_id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            cpu_model,
            kvm,
        }
    }
}

fn read_cache(file: &Path, boot_id: &str) -> Cache {
    let fresh = || Cache { boot_id: boot_id.to_owned(), ..Cache::default() };
    let Ok(text) = std::fs::read_to_string(file) else { return fresh() };
    match serde_json::from_str::<Cache>(&text) {
        Ok(cache) if cache.boot_id == boot_id && !boot_id.is_empty() => cache,
        _ => fresh(),
    }
}

fn write_cache(file: &Path, cache: &Cache) -> io::Result<()> {
    let text = serde_json::to_string_pretty(cache)?;
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, file)
}

/// Boots the kernel alone in KVM.
fn probe(spec: &VmSpec) -> Result<Verdict, VmError> {
    let spec =
        VmSpec { network_device: None, devices: Vec::new(), drive: None, ..spec.clone() };
    let invocation = Invocation {
        spec: &spec,
        accel: Some(Accel::Kvm),
        boot: Boot::KernelOnly(probe_params(&spec)),
        console: ConsoleDevice::Pipes,
        forwards: &[],
        control_socket: None,
        user_args: &[],
    };
    let mut process = machine::spawn(&invocation, Signal::KILL)?;
    let (_stdin, stdout) = process.take_pipes().expect("the console is on pipes");
    let proof = read_until_proof(stdout, Instant::now() + PROBE_TIMEOUT);
    let works = proof.is_some();
    let why = match proof {
        Some(proof) => format!("this kernel boots in KVM (it said \"{proof}\")"),
        None => {
            let said = process.said();
            let said = said.lines().next().unwrap_or("nothing");
            format!(
                "\"/dev/kvm\" opens, but this kernel does not boot in it (QEMU said: {said})"
            )
        }
    };
    Ok(Verdict { works, why })
}

/// The console as the image uses it, and a panic that ends the machine.
fn probe_params(spec: &VmSpec) -> String {
    let mut params: Vec<_> = spec
        .kernel_params
        .iter()
        .filter(|param| param.starts_with("console="))
        .map(String::as_str)
        .collect();
    if params.is_empty() {
        params.push("console=ttyS0");
    }
    params.push("panic=-1");
    params.join(" ")
}

fn read_until_proof(
    mut from_guest: impl Read + Send + 'static,
    deadline: Instant,
) -> Option<&'static str> {
    let (send, chunks) = mpsc::channel();
    // Ends when QEMU does, which is when the probe returns.
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_guest.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut cleaner = Cleaner::default();
    let mut text = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let chunk = chunks.recv_timeout(left).ok()?;
        cleaner.push(&chunk, &mut text);
        let seen = String::from_utf8_lossy(&text);
        if let Some(proof) = PROOFS.into_iter().find(|proof| seen.contains(proof)) {
            return Some(proof);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> VmSpec {
        VmSpec::parse(
            r#"{"format": "initramfs", "qemu": "/q", "memoryMiB": 64, "image": "/i",
                "kernel": "bzImage", "initramfs": "x", "kernelParams": ["console=ttyS1", "quiet"]}"#,
        )
        .unwrap()
    }

    fn host(boot_id: &str) -> Host {
        Host {
            arch: "x86_64".to_owned(),
            boot_id: boot_id.to_owned(),
            cpu_model: "some model".to_owned(),
            kvm: Ok(()),
        }
    }

    fn verdict(works: bool) -> Verdict {
        Verdict { works, why: format!("probed {works}") }
    }

    #[test]
    fn a_verdict_is_asked_for_once_per_boot() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("new/dir/kvm.json");
        let never = || -> Result<Verdict, VmError> { panic!("probed again") };
        let first = choose(&spec(), &host("a"), &cache, || Ok(verdict(false))).unwrap();
        assert_eq!(first.accel, Some(Accel::Tcg));
        assert_eq!(choose(&spec(), &host("a"), &cache, never).unwrap(), first);
        let next = choose(&spec(), &host("b"), &cache, || Ok(verdict(true))).unwrap();
        assert_eq!(next.accel, Some(Accel::Kvm));
        assert_eq!(choose(&spec(), &host("b"), &cache, never).unwrap(), next);
        let other = VmSpec { kernel: Some("other".to_owned()), ..spec() };
        let asked = choose(&other, &host("b"), &cache, || Ok(verdict(false))).unwrap();
        assert_eq!(asked.accel, Some(Accel::Tcg));
    }

    #[test]
    fn a_damaged_cache_costs_a_probe() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("kvm.json");
        std::fs::write(&cache, "{ nonsense").unwrap();
        let choice = choose(&spec(), &host("a"), &cache, || Ok(verdict(true))).unwrap();
        assert_eq!(choice.accel, Some(Accel::Kvm));
    }

    #[test]
    fn without_kvm_nothing_is_probed() {
        let never = || -> Result<Verdict, VmError> { panic!("probed") };
        let nowhere = Path::new("/nonexistent/cache");
        let closed = Host { kvm: Err("no".to_owned()), ..host("a") };
        let choice = choose(&spec(), &closed, nowhere, never).unwrap();
        assert_eq!((choice.accel, choice.why.as_str()), (Some(Accel::Tcg), "no"));
        let foreign =
            VmSpec { program: "usr/bin/qemu-system-mipsel".to_owned(), ..spec() };
        let never = || -> Result<Verdict, VmError> { panic!("probed") };
        let choice = choose(&foreign, &host("a"), nowhere, never).unwrap();
        assert_eq!(choice.accel, Some(Accel::Tcg));
        let args = ["-accel".to_owned(), "kvm".to_owned()];
        assert_eq!(choose_accel(&spec(), &args, nowhere).unwrap().accel, None);
    }

    #[test]
    fn only_the_end_of_a_start_is_proof() {
        let deadline = || Instant::now() + Duration::from_secs(60);
        let panic = &b"Kernel panic - not syncing: Fatal exception\r\n"[..];
        assert_eq!(read_until_proof(panic, deadline()), None);
        let missing = &b"x\r\nVFS: Cannot open root device \"\"\r\n"[..];
        assert_eq!(
            read_until_proof(missing, deadline()),
            Some("Cannot open root device")
        );
        assert_eq!(probe_params(&spec()), "console=ttyS1 panic=-1");
    }
}
