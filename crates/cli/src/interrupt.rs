//! Ctrl-C and its kin: builds are stopped and cleaned up, everything else ends at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use picnix_build::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::progress::BUILDING;

/// How long builds have to stop and to clean up.
const GRACE: Duration = Duration::from_secs(10);
/// What a shell calls the end by signal `n` is `128 + n`.
const SIGNAL_EXIT_BASE: i32 = 128;

/// Starts to listen for signals; `cancel` is what builds obey.
pub(crate) fn listen(cancel: Cancel) {
    // Without a handler a signal ends the process, and boxes die with it: nothing to report here.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            if asked || !BUILDING.load(Ordering::SeqCst) {
                std::process::exit(SIGNAL_EXIT_BASE + signal);
            }
            asked = true;
            crate::output::error("picnix: stopping; once more to stop at once");
            cancel.cancel();
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                std::process::exit(SIGNAL_EXIT_BASE + signal);
            });
        }
    });
}
