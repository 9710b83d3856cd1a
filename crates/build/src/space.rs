//! Space for what is built: garbage is collected when the disk gets full (Nix's `min-free` and `max-free`).

use std::sync::Mutex;

use picnix_store::{GcOptions, Store};

use crate::lock::lock;
use crate::observer::{Event, Observer};

/// Where a collection could not free enough, the next one waits until so many hundredths of what was left are
/// used up.
const USED_UP_PERCENT: u64 = 97;

/// How much space there must be.
#[derive(Debug, Default)]
pub struct Space {
    /// Collection begins when fewer bytes are free.
    pub min_free: u64,
    /// It ends when so many are.
    pub max_free: u64,
    /// Whether derivations of living outputs are garbage.
    pub delete_derivations: bool,
    /// What was free after the last collection.
    pub left: Mutex<Option<u64>>,
}

impl Space {
    /// Collects garbage if there is too little space; nobody else begins meanwhile.
    ///
    /// What the running process needs is no garbage. If the collection fails, the build may succeed all the
    /// same.
    pub(crate) fn keep(&self, store: &Store, observer: &dyn Observer) {
        let mut left = lock(&self.left);
        let Ok(free) = store.free_bytes() else { return };
        let is_enough = free >= self.min_free || free >= self.max_free;
        let is_in_vain = left.is_some_and(|left| free > left / 100 * USED_UP_PERCENT);
        if is_enough || is_in_vain {
            return;
        }
        let options = GcOptions {
            max_bytes: Some(self.max_free - free),
            delete_derivations: self.delete_derivations,
            ..GcOptions::default()
        };
        let message = match store.gc(&options) {
            Ok(report) => format!(
                "only {free} bytes are free: {} objects deleted, {} bytes freed",
                report.deleted.len(),
                report.freed_bytes
            ),
            Err(error) => format!("only {free} bytes are free, but {error}"),
        };
        observer.event(&Event::Warning { message: &message });
        *left = store.free_bytes().ok();
    }
}
