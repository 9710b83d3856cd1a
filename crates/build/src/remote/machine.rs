//! The `builders` setting: machines that build for this one, in Nix's syntax.
//!
//! Machines are separated by line feeds or semicolons, `#` begins a comment, and `@FILE` stands for the
//! machines in a file. A machine has up to eight fields: address, systems, ssh key, jobs, speed factor,
//! features, features that a derivation must ask for, and the host's public key; `-` is the default.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use crate::remote::address::RemoteAddress;
use crate::remote::error::RemoteError;

/// How deep files of machines may name files of machines.
const MAX_FILES: usize = 16;

/// A machine that builds for this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// How to reach it.
    pub address: RemoteAddress,
    /// The systems whose builders it runs.
    pub systems: BTreeSet<String>,
    /// How many builds it runs at a time.
    pub jobs: usize,
    /// How fast it is, compared with the others.
    pub speed_factor: f64,
    /// What it is able to do.
    pub features: BTreeSet<String>,
    /// What a derivation must ask for to be built there.
    pub mandatory_features: BTreeSet<String>,
}

impl Machine {
    /// Can it build for this system what asks for these features?
    pub(crate) fn can_build(&self, system: &str, required: &BTreeSet<String>) -> bool {
        let has = |feature: &String| {
            self.features.contains(feature) || self.mandatory_features.contains(feature)
        };
        (system == "builtin" || self.systems.contains(system))
            && required.iter().all(has)
            && self.mandatory_features.is_subset(required)
    }
}

/// Understands the setting. Machines without systems have those given here.
///
/// # Errors
/// [`RemoteError::Machine`] or [`RemoteError::Address`] where something makes no sense, and where a
/// file cannot be read; one that does not exist has no machines, as in Nix.
pub fn parse_machines(
    text: &str,
    default_systems: &[String],
) -> Result<Vec<Machine>, RemoteError> {
    let mut lines = Vec::new();
    expand(text, 0, &mut lines)?;
    lines.iter().map(|line| parse_line(line, default_systems)).collect()
}

fn expand(text: &str, depth: usize, lines: &mut Vec<String>) -> Result<(), RemoteError> {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or(line);
        for entry in line.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let Some(file) = entry.strip_prefix('@') else {
                lines.push(entry.to_owned());
                continue;
            };
            let fail =
                |reason: String| RemoteError::Machine { line: entry.into(), reason };
            if depth == MAX_FILES {
                return Err(fail("files name each other".to_owned()));
            }
            match fs::read_to_string(file.trim()) {
                Ok(text) => expand(&text, depth + 1, lines)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail(error.to_string())),
            }
        }
    }
    Ok(())
}

fn parse_line(line: &str, default_systems: &[String]) -> Result<Machine, RemoteError> {
    let fail =
        |reason: &str| RemoteError::Machine { line: line.into(), reason: reason.into() };
    let words: Vec<&str> = line.split_whitespace().collect();
    let field = |at: usize| words.get(at).copied().filter(|word| *word != "-");
    let set = |at: usize| -> BTreeSet<String> {
        let items = field(at).unwrap_or_default().split(',');
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let address = field(0).ok_or_else(|| fail("the store URL is missing"))?;
    let jobs = field(3).map_or(Ok(1), str::parse);
    let speed = field(4).map_or(Ok(1.0), str::parse::<f64>);
    let speed = speed.map_err(|_| fail("the speed factor is not a number"))?;
    if !speed.is_finite() || speed < 0.0 {
        return Err(fail("speed factor must be >= 0"));
    }
    let systems = set(1);
    Ok(Machine {
        address: RemoteAddress::parse(address)?.with_keys(field(2), field(7)),
        systems: if systems.is_empty() {
            default_systems.iter().cloned().collect()
        } else {
            systems
        },
        jobs: jobs.map_err(|_| fail("the number of jobs is not a number"))?,
        // As in Nix, 0 means the default.
        speed_factor: if speed == 0.0 { 1.0 } else { speed },
        features: set(5),
        mandatory_features: set(6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Machine>, RemoteError> {
        parse_machines(text, &["x86_64-linux".to_owned()])
    }

    #[test]
    fn the_syntax_is_that_of_nix() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("machines");
        fs::write(&file, "ssh://c\n# none\n").unwrap();
        let text = format!(
            "ssh-ng://a i686-linux,x86_64-linux /key 8 2.5 kvm,big kvm # fast\n b; @{}; @/no/such",
            file.display()
        );
        let machines = parse(&text).unwrap();
        assert_eq!(machines.len(), 3);
        let set = |words: &[&str]| -> BTreeSet<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let [first, second, _] = &machines[..] else { panic!("three") };
        assert_eq!(first.systems, set(&["i686-linux", "x86_64-linux"]));
        assert_eq!((first.jobs, first.speed_factor), (8, 2.5));
        assert!(first.can_build("i686-linux", &set(&["kvm", "big"])));
        assert!(!first.can_build("i686-linux", &set(&["big"])), "kvm must be asked for");
        assert!(!first.can_build("i686-linux", &set(&["kvm", "fpga"])));
        assert_eq!((second.jobs, second.speed_factor), (1, 1.0));
        assert!(second.can_build("x86_64-linux", &set(&[])));
        assert!(!second.can_build("i686-linux", &set(&[])));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, reason) in [
            ("- x86_64-linux", "store URL"),
            ("a x - many", "jobs"),
            ("a x - 1 fast", "speed factor"),
            ("a x - 1 -1", "speed factor must be >= 0"),
            ("http://a", "not supported"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("machines");
        fs::write(&file, format!("@{}", file.display())).unwrap();
        let error = parse(&format!("@{}", file.display())).unwrap_err().to_string();
        assert!(error.contains("each other"), "{error}");
    }
}
