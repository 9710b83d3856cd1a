//! Ctrl-C and its kin: builds are stopped and cleaned up, everything else ends at once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use picnix_build::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::progress::BUILDING;

/// How long builds have to stop and to clean up.
const GRACE: Duration = Duration::from_secs(10);
/// How long they have where the process ends at once.
const GRACE_AT_PROMPT: Duration = Duration::from_secs(1);
/// What a shell calls the end by signal `n` is `128 + n`.
const SIGNAL_EXIT_BASE: i32 = 128;

/// Whether `picnix repl` works on what was typed, rather than waiting for it.
pub(crate) static WORKING: AtomicBool = AtomicBool::new(false);
/// How often Ctrl-C was pressed since then.
static PRESSED: AtomicU32 = AtomicU32::new(0);
/// How often it has to be pressed to leave a prompt whose work does not stop.
const PRESSES_TO_LEAVE: u32 = 3;

/// Says that a prompt begins to work, or waits again.
pub(crate) fn set_working(working: bool) {
    PRESSED.store(0, Ordering::SeqCst);
    WORKING.store(working, Ordering::SeqCst);
}

/// Listens for signals at a prompt: Ctrl-C calls `stop`, which ends the work but not the prompt. Without work
/// it does nothing on a terminal, and ends the process elsewhere.
pub(crate) fn listen_at_prompt(on_terminal: bool, stop: impl Fn() + Send + 'static) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let is_working = WORKING.load(Ordering::SeqCst);
            if signal != SIGINT || !(is_working || on_terminal) {
                stop();
                if BUILDING.load(Ordering::SeqCst) {
                    std::thread::sleep(GRACE_AT_PROMPT);
                }
                std::process::exit(SIGNAL_EXIT_BASE + signal);
            }
            if !is_working {
                continue;
            }
            stop();
            if PRESSED.fetch_add(1, Ordering::SeqCst) + 1 >= PRESSES_TO_LEAVE {
                std::process::exit(SIGNAL_EXIT_BASE + signal);
            }
        }
    });
}

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
