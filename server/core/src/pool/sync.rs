//! Atomics, from `std` or, under `--cfg loom`, from the model checker. No other file of the pool imports them.

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Written once and read for ever after. Not modelled: its contract is `std`'s, and the models grow their slab before
/// they start threads.
pub(super) use std::sync::OnceLock;
