//! Profiles: a link whose earlier targets are kept, so that one can go back.
//!
//! As in Nix, a profile `P` is a link to a *generation*, a link `P-<number>-link` beside it that leads
//! into the store and is a root. A new generation gets the next number, then the profile's link is
//! replaced in one step: killed in between, there is a generation that is not current. Going back
//! replaces the profile's link only; a generation stays until it is deleted, and the current one is
//! never deleted.
//!
//! Profiles may lie anywhere. Since every generation is an indirect root, the store can find them all.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use picnix_store_core::StorePath;

use crate::error::{Context, Error, Result};
use crate::lock::HeldLock;
use crate::roots::replace_link;
use crate::session::{names_in, remove_if_there};
use crate::store::Store;

/// One target of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number; they grow with time.
    pub number: u64,
    /// The link that keeps it alive.
    pub link: PathBuf,
    /// What it leads to.
    pub path: StorePath,
    /// When it was made.
    pub created: SystemTime,
    /// Does the profile lead to it?
    pub is_current: bool,
}

/// Generations to be deleted. The current one is never among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldGenerations {
    /// All.
    All,
    /// All but the last few, the current one included.
    Keep(usize),
    /// Those that have not been current for this long, up to a moment: the one that was the newest
    /// at that moment is kept with all later ones.
    OlderThan(Duration, SystemTime),
    /// Those with these numbers.
    Numbers(BTreeSet<u64>),
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchTo {
    /// The generation before the current one.
    Previous,
    /// The generation with this number.
    Number(u64),
}

impl Store {
    /// The generations of a profile, oldest first; none if there is no such profile.
    pub fn generations(&self, profile: &Path) -> Result<Vec<Generation>> {
        let profile = absolute(profile)?;
        let (folder, name) = parts(&profile)?;
        let names = match names_in(&folder) {
            Err(Error::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let current = std::fs::read_link(&profile).ok();
        let mut generations = Vec::new();
        for entry in names {
            let link = folder.join(&entry);
            let Some(number) = generation_number(link.as_os_str().as_bytes(), &profile)
            else {
                continue;
            };
            // What is no link, or leads elsewhere, is somebody else's.
            let Ok(metadata) = std::fs::symlink_metadata(&link) else { continue };
            let target = std::fs::read_link(&link).ok();
            let Some(path) = target.and_then(|target| self.object_of(&target)) else {
                continue;
            };
            let created = metadata.modified().context("examine", &link)?;
            let is_current =
                current.as_ref().is_some_and(|target| folder.join(target) == link);
            generations.push(Generation { number, link, path, created, is_current });
        }
        debug_assert!(!name.is_empty(), "a profile has a name");
        generations.sort_by_key(|generation| generation.number);
        Ok(generations)
    }

    /// Lets a profile lead to a valid path, by a new generation unless the current one does.
    pub fn set_profile(&self, profile: &Path, path: &StorePath) -> Result<Generation> {
        self.require_writable()?;
        let profile = absolute(profile)?;
        let (folder, name) = parts(&profile)?;
        std::fs::create_dir_all(&folder).context("create the directory", &folder)?;
        let _lock = lock_profile(&profile)?;
        check_profile(&profile)?;
        let generations = self.generations(&profile)?;
        let current = generations.iter().find(|generation| generation.is_current);
        if let Some(current) = current.filter(|generation| generation.path == *path) {
            return Ok(current.clone());
        }
        let number = generations.last().map_or(1, |generation| generation.number + 1);
        let link_name = generation_name(&name, number);
        let link = self.add_root(&folder.join(&link_name), path)?;
        replace_link(&profile, Path::new(&link_name))?;
        let created = std::fs::symlink_metadata(&link).and_then(|m| m.modified());
        let created = created.context("examine", &link)?;
        Ok(Generation { number, link, path: path.clone(), created, is_current: true })
    }

    /// Lets a profile lead to another of its generations.
    pub fn switch_profile(&self, profile: &Path, to: SwitchTo) -> Result<Generation> {
        self.require_writable()?;
        let profile = absolute(profile)?;
        let (_, name) = parts(&profile)?;
        let generations = self.generations(&profile)?;
        if generations.is_empty() {
            return Err(Error::NoProfile(profile));
        }
        let _lock = lock_profile(&profile)?;
        let generations = self.generations(&profile)?;
        let current = generations.iter().find(|generation| generation.is_current);
        let wanted = match to {
            SwitchTo::Number(number) => {
                generations.iter().find(|generation| generation.number == number)
            }
            SwitchTo::Previous => {
                let before = current.map_or(u64::MAX, |generation| generation.number);
                generations.iter().rev().find(|generation| generation.number < before)
            }
        };
        let Some(wanted) = wanted else {
            let wanted = match to {
                SwitchTo::Number(number) => Some(number),
                SwitchTo::Previous => None,
            };
            return Err(Error::NoGeneration { profile, wanted });
        };
        let link_name = generation_name(&name, wanted.number);
        replace_link(&profile, Path::new(&link_name))?;
        Ok(Generation { is_current: true, ..wanted.clone() })
    }

    /// Deletes generations of a profile, and returns them. What they kept alive is deleted by the
    /// next collection. With `dry_run` nothing is deleted.
    pub fn delete_generations(
        &self,
        profile: &Path,
        which: &OldGenerations,
        dry_run: bool,
    ) -> Result<Vec<Generation>> {
        let profile = absolute(profile)?;
        if self.generations(&profile)?.is_empty() {
            return Ok(Vec::new());
        }
        if dry_run {
            return Ok(select(self.generations(&profile)?, which));
        }
        self.require_writable()?;
        let _lock = lock_profile(&profile)?;
        let doomed = select(self.generations(&profile)?, which);
        for generation in &doomed {
            remove_if_there(&generation.link)?;
        }
        Ok(doomed)
    }

    /// Every profile with a generation that keeps something in this store alive.
    pub fn profiles(&self) -> Result<BTreeSet<PathBuf>> {
        let links = self.roots()?.into_iter().map(|root| PathBuf::from(root.keeper));
        Ok(links.filter_map(|link| profile_of(&link)).collect())
    }
}

/// Those of a profile's generations, oldest first, that are to be deleted.
fn select(generations: Vec<Generation>, which: &OldGenerations) -> Vec<Generation> {
    let count = generations.len();
    let newest_before = |moment: SystemTime| {
        let earlier = generations.iter().filter(|g| g.created <= moment);
        earlier.map(|generation| generation.number).max()
    };
    let limit = match which {
        OldGenerations::OlderThan(age, now) => {
            now.checked_sub(*age).and_then(newest_before).unwrap_or(0)
        }
        OldGenerations::All | OldGenerations::Keep(_) | OldGenerations::Numbers(_) => 0,
    };
    let is_old = |(at, generation): &(usize, Generation)| match which {
        OldGenerations::All => true,
        OldGenerations::Keep(last) => at + last < count,
        OldGenerations::OlderThan(..) => generation.number < limit,
        OldGenerations::Numbers(numbers) => numbers.contains(&generation.number),
    };
    let numbered = generations.into_iter().enumerate();
    numbered
        .filter(|numbered| !numbered.1.is_current && is_old(numbered))
        .map(|(_, generation)| generation)
        .collect()
}

/// The folder of a profile and its name.
fn parts(profile: &Path) -> Result<(PathBuf, OsString)> {
    match (profile.parent(), profile.file_name()) {
        (Some(folder), Some(name)) => Ok((folder.to_owned(), name.to_owned())),
        _ => Err(Error::NoProfile(profile.to_owned())),
    }
}

fn absolute(profile: &Path) -> Result<PathBuf> {
    std::path::absolute(profile).context("find the absolute path of", profile)
}

fn generation_name(profile: &OsString, number: u64) -> OsString {
    let mut name = profile.clone();
    name.push(format!("-{number}-link"));
    name
}

/// The number in the path of a generation of a profile.
fn generation_number(link: &[u8], profile: &Path) -> Option<u64> {
    let rest = link.strip_prefix(profile.as_os_str().as_bytes())?;
    let digits = rest.strip_prefix(b"-")?.strip_suffix(b"-link")?;
    let digits = std::str::from_utf8(digits).ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// The profile whose generation a link is, if it is one.
fn profile_of(link: &Path) -> Option<PathBuf> {
    let bytes = link.as_os_str().as_bytes().strip_suffix(b"-link")?;
    let dash = bytes.iter().rposition(|byte| *byte == b'-')?;
    let profile = PathBuf::from(OsString::from_vec(bytes[..dash].to_vec()));
    generation_number(link.as_os_str().as_bytes(), &profile)?;
    std::fs::symlink_metadata(&profile).is_ok_and(|m| m.is_symlink()).then_some(profile)
}

fn check_profile(profile: &Path) -> Result<()> {
    match std::fs::symlink_metadata(profile) {
        Ok(metadata) if !metadata.is_symlink() => {
            Err(Error::RootOccupied(profile.to_owned()))
        }
        // That it does not exist is fine, and everything else is found out at once.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Keeps others from changing the profile.
fn lock_profile(profile: &Path) -> Result<HeldLock> {
    let mut path = profile.as_os_str().to_owned();
    path.push(".lock");
    HeldLock::wait(Path::new(&path))
}
