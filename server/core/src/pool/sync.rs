//! Atomics, from `std` or, under `--cfg loom` and `--cfg shuttle`, from a model checker. No other file of the pool imports
//! them.

#[cfg(loom)]
mod loomed;

#[cfg(loom)]
pub(super) use self::loomed::{AtomicI64, AtomicU32, AtomicU64};
#[cfg(loom)]
pub(super) use loom::sync::atomic::{Ordering, fence};
#[cfg(shuttle)]
pub(super) use shuttle::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(any(loom, shuttle)))]
pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};

/// Written once and read for ever after, and a lock that only planners and wide leases take. Not modelled: their contract
/// is `std`'s, nothing waits for a model's thread while it holds one, and the models grow their tables before they start
/// threads.
pub(super) use std::sync::{Mutex, OnceLock};

/// Keeps what one worker writes all the time off the cache lines of the others: 128 bytes, because processors fetch lines
/// in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);
