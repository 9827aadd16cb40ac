//! How much memory one input may cost.

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The most that bytes from a stranger may make us allocate, in bytes.
pub const LIMIT: usize = 64 * 1024;

/// Runs `run` and panics if at any moment it held more than `limit` bytes beyond what was held before.
///
/// Counts every thread: nothing else may run meanwhile.
pub fn within<T>(limit: usize, run: impl FnOnce() -> T) -> T {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let value = run();
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak <= limit, "{peak} bytes allocated, {limit} are allowed");
    value
}
