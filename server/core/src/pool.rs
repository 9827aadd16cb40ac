//! The lock-free part: counters of free seats and the slab of lease slots. Everything above it is plain Rust with locks
//! where they belong; nothing in here takes one.
//!
//! Nothing in here is `unsafe` either: what must change together is packed into one atomic word, and what is written
//! apart from it is published by that word.
//!
//! # Memory
//! A lease slot is one cache line, 64 bytes:
//!
//! ```text
//! offset  0  hot         u64  generation 24 | deadline 40 (ms on the lease clock; 0: the slot is free)
//!         8  claim       2 × u64
//!        24  owner       u64  whose lease it is: client key and realm, hashed
//!        32  filed       u64  under which deadline the expiry has filed it; touched under the book's lock alone
//!        40  activity    u64  what the holder said last: idle seconds 32 | flags
//!        48  terms       u32  TTL in ms 31 | overage 1
//!        52  session     u32  the session that spoke for it last
//!        56  renewals    u32
//!        60  next free   u32  of the free list, while the slot is in it
//! ```
//!
//! # Who may write what
//!
//! | word | written by | published by |
//! |---|---|---|
//! | hot | whoever wins the compare-and-swap | itself |
//! | claim, owner, terms (TTL) | the one that took the slot from the free list, before it publishes | the store of hot |
//! | terms (overage), filed | whoever holds the lock of the lease's book | that lock |
//! | activity, session, renewals | whoever renewed; last one wins, and nothing depends on them | nothing |
//! | next free | the one that pushes the slot | the free list's head |

mod bucket;
mod chunks;
mod free_list;
mod slab;
mod sync;
mod tally;
#[cfg(all(test, loom))]
mod tests;

pub(crate) use bucket::Bucket;
pub(crate) use chunks::Chunks;
pub(crate) use free_list::{FreeList, Link};
pub(crate) use slab::{Due, Renewal, Slab, Terms};
pub(crate) use tally::Tally;
