//! The lock-free part: buckets of free seats and the slots of leases. Everything above it is plain Rust, with locks where
//! they belong; nothing in here takes one on the way of a checkout, a renewal, a release or an expiry, except for leases over
//! more than two buckets, whose further seats lie in a map.
//!
//! A [`Stock`] is everybody's; each thread that grants has a [`Worker`] in it. `docs/allocation.md` says how it works, why
//! it is right, and what was tried instead.
//!
//! Nothing in here is `unsafe`: what must change together is packed into one atomic word, and what is written apart from it
//! is published by that word.
//!
//! # Memory
//!
//! ```text
//! a slot: what a renewal touches               32 bytes, half a cache line
//!   0  hot         u64  generation 24 | deadline 40 (ms on the lease clock; 0: no lease)
//!   8  proof       u64  claim key and owner, folded
//!  16  terms       u32  TTL in ms 31 | overage 1
//!  20  activity    u32  what the holder said last: busy 1 | unsaved 1 | idle seconds 30
//!  24  heard       u64  the session that spoke for it last 32 | renewals 32
//! a tenure: what its end needs besides         16 bytes
//!   0  first use   u64  bucket 32 | seats 32; the link within its batch while the slot is free
//!   8  second use  u64  the same; all ones: there are more of them, in a map; the link between batches
//! a home: a bucket's seats for all             64 bytes, a cache line
//!   0  word        u64  mark, flags, tag, seats (see `word`)
//!   8  capacity    i64  doubled, plus one while it is being changed
//! a cell: a worker's part of a bucket          16 bytes; those of one worker lie together
//!   0  word        u64
//!   8  out         i64  seats this worker took less those it gave back, times four, plus what it is about
//! ```
//!
//! # Who may write what
//!
//! | word | written by | published by |
//! |---|---|---|
//! | hot | whoever wins the compare-and-swap | itself |
//! | proof, terms (TTL), uses | the worker that has the slot to itself, before it publishes | the store of hot |
//! | terms (overage), uses of a live lease | a planner, who keeps others from reading them | whatever it keeps them by |
//! | activity, heard | whoever renewed; last one wins, and nothing depends on them | nothing |
//! | home, cell | whoever wins the compare-and-swap | itself |
//! | out | its worker | itself |
//! | capacity | a planner, one at a time | itself |

mod chunks;
mod due;
mod exchange;
mod free_list;
mod hand;
mod leasing;
mod seats;
mod slab;
mod slot;
mod sync;
mod tally;
#[cfg(test)]
mod tests;
mod word;
mod worker;

use std::sync::Arc;

pub(crate) use self::{
    chunks::Chunks,
    free_list::{FreeList, Link},
    tally::Tally,
};
pub use self::{
    seats::{BUCKETS_MAX, BucketId, Sums, WORKERS_MAX},
    slab::{Due, Renewal, Slab, SlotView, Terms},
    worker::{BUNDLE_MAX, Rank, Short, Use, Worker},
};

/// Everybody's seats and leases.
#[derive(Debug)]
pub struct Stock {
    seats: seats::Seats,
    slab: Slab,
}

impl Stock {
    /// No buckets and no leases yet, and room for `leases_max` of those, at least 1.
    #[must_use]
    pub fn new(leases_max: u32) -> Arc<Self> {
        Arc::new(Self { seats: seats::Seats::new(), slab: Slab::new(leases_max.max(1)) })
    }

    /// A place for one more thread; `None` if there are [`WORKERS_MAX`]. It is free again when the worker is dropped.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Option<Worker> {
        Some(Worker::new(self.clone(), self.seats.join()?))
    }

    /// A new bucket, with no seats yet; `None` once there were [`BUCKETS_MAX`].
    #[must_use]
    pub fn add_bucket(&self) -> Option<BucketId> {
        self.seats.add_bucket()
    }

    /// A new bucket whose seats never run out; `None` once there were [`BUCKETS_MAX`].
    #[must_use]
    pub fn add_uncounted(&self) -> Option<BucketId> {
        self.seats.add_bucket().map(BucketId::uncounted)
    }

    /// How many buckets there are: their numbers ([`BucketId::index`]) are below.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        self.seats.buckets()
    }

    /// How often the workers turned ([`Worker::turn`]); `None` if one is in the middle of something. What is read between
    /// two equal answers was in nobody's hands.
    #[must_use]
    pub fn turns(&self) -> Option<u64> {
        self.seats.turns()
    }

    /// The leases.
    #[must_use]
    pub const fn slab(&self) -> &Slab {
        &self.slab
    }

    /// Leases that are out, with those that are past their deadline and not yet swept. The workers' counts are added up one
    /// after the other: while they are at work, the sum may be off by what they did meanwhile.
    #[must_use]
    pub fn live(&self) -> u64 {
        u64::try_from(self.seats.leases()).unwrap_or(0)
    }

    /// Seats of `bucket` that were taken and not given back, counted by those who took and gave. For a bucket that is
    /// counted, [`Worker::audit`] holds them against the free ones.
    #[must_use]
    pub fn out(&self, bucket: BucketId) -> i64 {
        self.seats.out_of(bucket)
    }

    /// Seats there are of `bucket`.
    #[must_use]
    pub fn capacity(&self, bucket: BucketId) -> i64 {
        self.seats.capacity(bucket)
    }
}
