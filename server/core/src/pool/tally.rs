//! Numbers that many write and nothing waits for.

use super::sync::{AtomicU64, Ordering};

/// A count or a value of its own: `Relaxed` throughout, because no other memory is read on the strength of it.
#[derive(Debug)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// A tally that starts at `value`.
    pub(crate) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Adds `n` and returns what was there before: each caller of `add(1)` gets a number of its own.
    pub(crate) fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::Relaxed)
    }

    /// Takes `n` away.
    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The value at some moment during the call.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the value.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new(0)
    }
}
