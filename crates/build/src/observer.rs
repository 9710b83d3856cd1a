//! What happens during a build, for whoever shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use picnix_store_core::{OutputName, StorePath};

/// Somebody who is told what happens. Called from several threads.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event<'_>) {}
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The plan is made and about to be carried out.
    Planned {
        /// How many derivations will be built.
        builds: usize,
        /// How many files will be fetched.
        fetches: usize,
        /// How many store objects will be copied from caches.
        copies: usize,
    },
    /// A step waits for another process that builds the same.
    Waiting {
        /// The derivation.
        drv_path: &'a StorePath,
    },
    /// A step was started.
    Started {
        /// The derivation.
        drv_path: &'a StorePath,
        /// What the step does.
        kind: StepKind,
    },
    /// A step that was started is built by another machine.
    Dispatched {
        /// The derivation.
        drv_path: &'a StorePath,
        /// The machine's address.
        machine: &'a str,
    },
    /// A builder wrote a line, without its line feed.
    Log {
        /// The derivation.
        drv_path: &'a StorePath,
        /// The line.
        line: &'a [u8],
    },
    /// A download or a builtin builder advanced.
    Progress {
        /// The derivation.
        drv_path: &'a StorePath,
        /// The bytes that are there.
        done_bytes: u64,
        /// The bytes of the whole, where known.
        total_bytes: Option<u64>,
    },
    /// A step ended well.
    Finished {
        /// The derivation.
        drv_path: &'a StorePath,
        /// Its outputs, all valid now.
        outputs: &'a BTreeMap<OutputName, StorePath>,
        /// How long it took.
        duration: Duration,
    },
    /// Something is not as it should be, and the build goes on without it.
    Warning {
        /// What, in one line.
        message: &'a str,
    },
    /// A step failed.
    Failed {
        /// The derivation.
        drv_path: &'a StorePath,
        /// Why, in one or several lines.
        message: &'a str,
    },
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Copy a store object from a cache; the object takes the place of the derivation in events.
    Copy,
    /// Fetch a file of a known hash.
    Fetch,
    /// Run a builtin builder in this process.
    Builtin,
    /// Run a program in a box.
    Box,
}
