//! Which user of the host a box runs as.
//!
//! Inside, the builder is always uid 1000, gid 100, as in Nix. Outside, an ordinary user's box is
//! that user, because the kernel lets them map nothing else. Root's box must not be root: a process
//! with the host's uid 0 passes every permission check on files that root owns (`/proc/sys` for
//! one) even without a capability. So root's boxes are an otherwise unused uid, and the rest of the
//! host's uids are mapped as they are, which lets the set-up phase read stores that belong to
//! anyone.

use std::fmt::Write;
use std::fs;
use std::sync::OnceLock;

/// The builder's user inside a box.
pub(crate) const BUILDER_UID: u32 = 1000;
/// The builder's group inside a box.
pub(crate) const BUILDER_GID: u32 = 100;
/// The host's uid and gid of root's boxes: the first of the range that Nix gives its build users.
const DEDICATED_ID: u32 = 30_001;

/// How ids of a box map to ids of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdMap {
    /// The builder is the calling user; nobody else is mapped.
    Caller { uid: u32, gid: u32 },
    /// The builder is [`DEDICATED_ID`]; the set-up phase is root, and so are the inputs.
    Dedicated { mapped: u32 },
}

impl IdMap {
    /// The map that this process can make.
    pub(crate) fn of_this_process() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        // It never changes once it is written, and nobody starts a box before that.
        static MAPPED: OnceLock<u32> = OnceLock::new();
        let mapped = MAPPED.get_or_init(|| {
            let text = fs::read_to_string("/proc/self/uid_map");
            first_extent(&text.unwrap_or_default())
        });
        Self::choose(uid, gid, *mapped)
    }

    fn choose(uid: u32, gid: u32, mapped: u32) -> Self {
        if uid == 0 && mapped > DEDICATED_ID {
            Self::Dedicated { mapped }
        } else {
            Self::Caller { uid, gid }
        }
    }

    /// The host's owner of what the builder may write, where it is not the caller.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        match self {
            Self::Caller { .. } => None,
            Self::Dedicated { .. } => Some((DEDICATED_ID, DEDICATED_ID)),
        }
    }

    /// The text for `uid_map`.
    pub(crate) fn uid_map(&self) -> String {
        match *self {
            Self::Caller { uid, .. } => format!("{BUILDER_UID} {uid} 1\n"),
            Self::Dedicated { mapped } => swapped(BUILDER_UID, DEDICATED_ID, mapped),
        }
    }

    /// The text for `gid_map`.
    pub(crate) fn gid_map(&self) -> String {
        match *self {
            Self::Caller { gid, .. } => format!("{BUILDER_GID} {gid} 1\n"),
            Self::Dedicated { mapped } => swapped(BUILDER_GID, DEDICATED_ID, mapped),
        }
    }
}

/// The identity on `0..mapped` with `inside` and `outside` exchanged; `inside < outside < mapped`.
fn swapped(inside: u32, outside: u32, mapped: u32) -> String {
    let mut text = String::new();
    let mut extent = |from: u32, to: u32, count: u32| {
        if count > 0 {
            writeln!(text, "{from} {to} {count}")
                .expect("writing to a string cannot fail");
        }
    };
    extent(0, 0, inside);
    extent(inside, outside, 1);
    extent(inside + 1, inside + 1, outside - inside - 1);
    extent(outside, inside, 1);
    extent(outside + 1, outside + 1, mapped - outside - 1);
    text
}

/// How many ids from 0 on are mapped in the caller's own namespace.
fn first_extent(uid_map: &str) -> u32 {
    let mut words = uid_map.lines().next().unwrap_or("").split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("0"), Some(_), Some(count)) => count.parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_map_themselves_and_root_maps_a_dedicated_id() {
        let user = IdMap::choose(65_534, 60_000, u32::MAX);
        assert_eq!(user.uid_map(), "1000 65534 1\n");
        assert_eq!(user.gid_map(), "100 60000 1\n");
        assert_eq!(user.owner(), None);
        let root = IdMap::choose(0, 0, 65_536);
        assert_eq!(
            root.uid_map(),
            "0 0 1000\n1000 30001 1\n1001 1001 29000\n30001 1000 1\n30002 30002 35534\n"
        );
        assert_eq!(root.owner(), Some((30_001, 30_001)));
    }

    #[test]
    fn root_of_a_small_namespace_maps_itself() {
        assert_eq!(IdMap::choose(0, 0, 1).uid_map(), "1000 0 1\n");
        assert_eq!(first_extent("         0       1000          1\n"), 1);
        assert_eq!(first_extent("0 0 4294967295\n"), u32::MAX);
        assert_eq!(first_extent(""), 0);
    }
}
