//! Room on the stack for recursion that input controls.

/// How much must be left before more is taken: the frames between two calls of [`with_room`].
const RED_ZONE_BYTES: usize = 128 * 1024;
/// How much is taken at a time.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// Runs `work` with enough stack for the frames until the next call.
#[inline]
pub(crate) fn with_room<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(RED_ZONE_BYTES, SEGMENT_BYTES, work)
}
