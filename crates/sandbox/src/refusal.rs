//! Why the kernel refused a namespace, and what to do about it.
//!
//! The kernel's answer (`EPERM`, `ENOSPC`) does not name the cause; the settings that can be the
//! cause are few and readable, so each is looked at. Reads `/proc` only.

use std::fmt;
use std::fs;
use std::path::Path;

/// What keeps a box from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A kernel setting forbids it.
    Sysctl {
        /// The setting's name, as `sysctl` takes it.
        name: &'static str,
        /// Its value.
        value: String,
        /// A value that permits boxes.
        wanted: &'static str,
    },
    /// A seccomp filter around picnix (a container's, usually) forbids it.
    SurroundingFilter,
    /// picnix runs in a `chroot`, in which the kernel makes no user namespaces.
    Chroot,
    /// None of the known causes was found.
    Unknown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { name, value, wanted } => write!(
                f,
                "the kernel setting {name} is {value}; an administrator can permit it with \
                 `sysctl -w {name}={wanted}`"
            ),
            Self::SurroundingFilter => f.write_str(
                "a seccomp filter around this process forbids it; if this is a container, start \
                 it with a profile that permits user namespaces (for example `--security-opt \
                 seccomp=unconfined`)",
            ),
            Self::Chroot => f.write_str(
                "this process seems to run in a chroot, in which the kernel makes no user \
                 namespaces",
            ),
            Self::Unknown => f.write_str(
                "none of kernel.unprivileged_userns_clone, user.max_user_namespaces and \
                 kernel.apparmor_restrict_unprivileged_userns explains it; a security module \
                 may forbid it",
            ),
        }
    }
}

/// The settings that refuse when they are zero.
const ZERO_REFUSES: &[(&str, &str, &str)] = &[
    ("kernel.unprivileged_userns_clone", "sys/kernel/unprivileged_userns_clone", "1"),
    ("user.max_user_namespaces", "sys/user/max_user_namespaces", "15000"),
    ("user.max_mnt_namespaces", "sys/user/max_mnt_namespaces", "15000"),
    ("user.max_pid_namespaces", "sys/user/max_pid_namespaces", "15000"),
    ("user.max_net_namespaces", "sys/user/max_net_namespaces", "15000"),
    ("user.max_ipc_namespaces", "sys/user/max_ipc_namespaces", "15000"),
    ("user.max_uts_namespaces", "sys/user/max_uts_namespaces", "15000"),
];

/// The value that refuses, for settings other than [`ZERO_REFUSES`].
const APPARMOR: (&str, &str) = (
    "kernel.apparmor_restrict_unprivileged_userns",
    "sys/kernel/apparmor_restrict_unprivileged_userns",
);

/// Finds the cause of a refusal by reading the settings below `proc_root` (`/proc`).
pub(crate) fn diagnose(proc_root: &Path) -> Refusal {
    for &(name, file, wanted) in ZERO_REFUSES {
        if let Some(value) = setting(proc_root, file)
            && value == "0"
        {
            return Refusal::Sysctl { name, value, wanted };
        }
    }
    if let Some(value) = setting(proc_root, APPARMOR.1)
        && value != "0"
    {
        return Refusal::Sysctl { name: APPARMOR.0, value, wanted: "0" };
    }
    let status = fs::read_to_string(proc_root.join("self/status")).unwrap_or_default();
    if status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])) {
        return Refusal::SurroundingFilter;
    }
    if in_chroot(proc_root) {
        return Refusal::Chroot;
    }
    Refusal::Unknown
}

fn setting(proc_root: &Path, file: &str) -> Option<String> {
    Some(fs::read_to_string(proc_root.join(file)).ok()?.trim().to_owned())
}

/// Outside a chroot the root of the process is a mount point, which `mountinfo` lists.
fn in_chroot(proc_root: &Path) -> bool {
    let Ok(mounts) = fs::read_to_string(proc_root.join("self/mountinfo")) else {
        return false;
    };
    !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn each_setting_is_named_as_the_cause() {
        for &(name, file, _) in ZERO_REFUSES {
            let dir = proc_with(&[(file, "0\n"), ("self/mountinfo", "1 1 0:1 / / rw\n")]);
            let refusal = diagnose(dir.path());
            assert!(
                matches!(refusal, Refusal::Sysctl { name: n, .. } if n == name),
                "{name}"
            );
        }
        let dir = proc_with(&[
            ("sys/kernel/unprivileged_userns_clone", "1\n"),
            ("sys/user/max_user_namespaces", "96365\n"),
            (APPARMOR.1, "1\n"),
        ]);
        assert_eq!(
            diagnose(dir.path()).to_string(),
            "the kernel setting kernel.apparmor_restrict_unprivileged_userns is 1; an \
             administrator can permit it with \
             `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
        );
    }

    #[test]
    fn filters_and_chroots_are_recognised() {
        let root = "1 1 0:1 / / rw\n";
        let dir =
            proc_with(&[("self/status", "Seccomp:\t2\n"), ("self/mountinfo", root)]);
        assert_eq!(diagnose(dir.path()), Refusal::SurroundingFilter);
        let dir = proc_with(&[("self/mountinfo", "2 1 0:1 / /proc rw\n")]);
        assert_eq!(diagnose(dir.path()), Refusal::Chroot);
        let dir = proc_with(&[("self/mountinfo", root)]);
        assert_eq!(diagnose(dir.path()), Refusal::Unknown);
    }
}
