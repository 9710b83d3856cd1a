//! A control group for one box: limits on all its processes together.
//!
//! A group is made beside or below that of this process, wherever the kernel (or who delegated the
//! group) permits it: in the unified hierarchy, or in the older ones of the memory and the pids
//! controller. Where no group is to be had there is none, and the caller sets limits on each process
//! instead; a box does not fail for want of a group.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Pid;

use crate::spec::Limits;

/// How often the removal of a group is tried: its last processes may take a moment to go.
const REMOVALS: u32 = 50;
/// How long to wait between two tries.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(2);

/// What is limited, with the controller's name and its files in both kinds of hierarchies.
struct Controller {
    name: &'static str,
    unified_file: &'static str,
    old_file: &'static str,
    /// Counts how often the limit was met, as `KEY NUMBER`: the file and the key.
    unified_events: (&'static str, &'static str),
    old_events: (&'static str, &'static str),
}

const MEMORY: Controller = Controller {
    name: "memory",
    unified_file: "memory.max",
    old_file: "memory.limit_in_bytes",
    unified_events: ("memory.events", "oom_kill"),
    old_events: ("memory.oom_control", "oom_kill"),
};
const PIDS: Controller = Controller {
    name: "pids",
    unified_file: "pids.max",
    old_file: "pids.max",
    unified_events: ("pids.events", "max"),
    old_events: ("pids.events", "max"),
};

/// The groups of one box. Dropping it removes them.
#[derive(Debug, Default)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
    /// The one of them that is in the unified hierarchy: a process can be in one group of it only.
    unified: Option<PathBuf>,
    memory_events: Option<(PathBuf, &'static str)>,
    pids_events: Option<(PathBuf, &'static str)>,
}

impl Group {
    /// Makes groups for those limits that groups can be had for.
    pub(crate) fn make(limits: &Limits) -> Self {
        let mut group = Self::default();
        if limits.memory_bytes.is_none() && limits.processes.is_none() {
            return group;
        }
        let Ok(own) = fs::read_to_string("/proc/self/cgroup") else { return group };
        let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return group };
        group.make_in(&Places { own: &own, mounts: &mounts }, limits);
        group
    }

    fn make_in(&mut self, places: &Places<'_>, limits: &Limits) {
        self.memory_events = self.limit(places, &MEMORY, limits.memory_bytes);
        self.pids_events = self.limit(places, &PIDS, limits.processes);
    }

    /// Is the memory limited by a group?
    pub(crate) fn limits_memory(&self) -> bool {
        self.memory_events.is_some()
    }

    /// Is the number of processes limited by a group?
    pub(crate) fn limits_processes(&self) -> bool {
        self.pids_events.is_some()
    }

    /// Moves a process into the groups. It must not have children yet.
    pub(crate) fn enter(&self, pid: Pid) -> io::Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.folders.iter().try_for_each(|dir| fs::write(dir.join("cgroup.procs"), &pid))
    }

    /// Did the kernel kill a process for want of memory within the limit?
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        count(self.memory_events.as_ref()) > 0
    }

    /// Was a process refused because there were too many?
    pub(crate) fn ran_out_of_processes(&self) -> bool {
        count(self.pids_events.as_ref()) > 0
    }

    /// Sets one limit, in a group that exists or a new one; where the limit's events are counted.
    fn limit(
        &mut self,
        places: &Places<'_>,
        controller: &Controller,
        limit: Option<u64>,
    ) -> Option<(PathBuf, &'static str)> {
        let limit = limit?.to_string();
        let Controller { unified_file, unified_events, old_file, old_events, .. } =
            controller;
        // Asking for the places turns the controller on, in the group that there may be, too.
        let unified = places.unified(controller);
        if let Some(dir) = &self.unified
            && set(&dir.join(unified_file), &limit).is_ok()
        {
            return Some((dir.join(unified_events.0), unified_events.1));
        }
        let unified = unified.into_iter().filter(|_| self.unified.is_none());
        let unified = unified.map(|dir| (dir, unified_file, unified_events, true));
        let old = places.old(controller).into_iter();
        let old = old.map(|dir| (dir, old_file, old_events, false));
        for (parent, file, events, is_unified) in unified.chain(old) {
            let Some(dir) = make_below(&parent) else { continue };
            if set(&dir.join(file), &limit).is_ok() {
                if is_unified {
                    self.unified = Some(dir.clone());
                }
                let found = (dir.join(events.0), events.1);
                self.folders.push(dir);
                return Some(found);
            }
            // A group without this controller is of no use.
            let _ = fs::remove_dir(&dir);
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.folders {
            for _ in 0..REMOVALS {
                match fs::remove_dir(dir) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(REMOVAL_INTERVAL);
                    }
                    _ => break,
                }
            }
        }
    }
}

fn count(events: Option<&(PathBuf, &'static str)>) -> u64 {
    let Some((file, key)) = events else { return 0 };
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Writes to a file that the kernel has made.
fn set(file: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

fn make_below(parent: &Path) -> Option<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = parent.join(format!("picnix-{}-{number}", std::process::id()));
    fs::create_dir(&dir).ok()?;
    Some(dir)
}

/// Where groups are: the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
struct Places<'a> {
    own: &'a str,
    mounts: &'a str,
}

impl Places<'_> {
    /// Groups of the unified hierarchy below which one with the controller may be made. Beside the own
    /// one comes first: a group that has processes passes no controllers on.
    fn unified(&self, controller: &Controller) -> Vec<PathBuf> {
        let has = |dir: &PathBuf| {
            let read =
                |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
            let names =
                |text: &str| text.split_whitespace().any(|n| n == controller.name);
            if names(&read("cgroup.subtree_control")) {
                return true;
            }
            let enabled = format!("+{}", controller.name);
            names(&read("cgroup.controllers"))
                && set(&dir.join("cgroup.subtree_control"), &enabled).is_ok()
        };
        let own = self.group("", |kind, _| kind == "cgroup2");
        let beside = own.as_ref().and_then(|(root, own)| {
            own.parent().filter(|dir| dir.starts_with(root)).map(Path::to_owned)
        });
        let candidates = beside.into_iter().chain(own.map(|(_, own)| own));
        candidates.filter(has).collect()
    }

    /// The group of the controller's own hierarchy, if it has one.
    fn old(&self, controller: &Controller) -> Option<PathBuf> {
        let has = |kind: &str, options: &str| {
            kind == "cgroup" && options.split(',').any(|name| name == controller.name)
        };
        self.group(controller.name, has).map(|(_, own)| own)
    }

    /// The mount of a hierarchy and the own group in it.
    fn group(
        &self,
        controller: &str,
        is_wanted: impl Fn(&str, &str) -> bool,
    ) -> Option<(PathBuf, PathBuf)> {
        // `8:pids,cpu:/path`; the unified hierarchy names no controllers.
        let own = self.own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            names.split(',').any(|name| name == controller).then_some(path)
        })?;
        // `36 35 98:0 /root /mount/point options - type source super-options`
        self.mounts.lines().find_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            let mut system = system.split(' ');
            let (kind, options) = (system.next()?, system.nth(1)?);
            if !is_wanted(kind, options) {
                return None;
            }
            let mut mount = mount.split(' ').skip(3);
            let (root, point) = (mount.next()?, PathBuf::from(mount.next()?));
            let below = Path::new(own).strip_prefix(root).ok()?;
            let group = point.join(below);
            Some((point, group))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
        31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        32 24 0:28 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";

    #[test]
    fn the_own_group_is_found_in_each_hierarchy() {
        let own = "8:pids:/docker/1/job\n4:memory:/a/b\n0::/user/x.scope\n";
        let places = Places { own, mounts: MOUNTS };
        let (root, group) = places.group("", |kind, _| kind == "cgroup2").unwrap();
        assert_eq!(root, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(group, Path::new("/sys/fs/cgroup/unified/user/x.scope"));
        assert_eq!(places.old(&MEMORY).unwrap(), Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(places.old(&PIDS).unwrap(), Path::new("/sys/fs/cgroup/pids/job"));
    }

    #[test]
    fn a_group_outside_what_is_mounted_is_none() {
        let own = "8:pids:/elsewhere\n4:memory:/\n";
        let places = Places { own, mounts: MOUNTS };
        assert_eq!(places.old(&PIDS), None);
        assert_eq!(places.unified(&MEMORY), Vec::<PathBuf>::new());
    }
}
