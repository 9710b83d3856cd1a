//! What the system is told about memory that a program will use.
#![expect(unsafe_code, reason = "madvise has no safe wrapper")]

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

/// Asks for pages of memory at once that will be filled from end to end. A system that cannot do that gives them as
/// they are used.
pub fn populate(start: *mut u8, bytes: usize) {
    // SAFETY: as below; what is in the memory stays.
    let _ = unsafe { madvise(start.cast::<c_void>(), bytes, Advice::LinuxPopulateWrite) };
}

/// Asks for large pages in memory that will be filled from end to end. Advice only: a system that has none, or
/// none left, gives pages as ever.
pub fn advise_large_pages(start: *mut u8, bytes: usize) {
    // SAFETY: this changes how the system makes pages when they are first used, and nothing that is in them; an
    // address range that the program does not have is an error and nothing else.
    let _ = unsafe { madvise(start.cast::<c_void>(), bytes, Advice::LinuxHugepage) };
}
