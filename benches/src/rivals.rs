//! What a reader might use instead of ours, each in a file of its own and each written as well as we could.
//!
//! All do like work. A checkout takes a seat only if one is free, and makes a lease with an id, a deadline and the proof
//! that its holder alone can show; a renewal finds the lease by its id, compares the proof, moves the deadline and notes
//! what the holder said; a release ends the lease by its id, once, and gives the seat back. Ids are made without a shared
//! counter, maps hash with foldhash, counters of different features lie on different cache lines.
//!
//! What only ours does in the same time, and the others are not charged for: it ends leases that are due, takes from
//! several buckets at once, changes capacities, and keeps the sums of the ledger equation.

mod array_queue;
mod dash_map;
mod mutex_map;
mod ours;
mod record;
mod semaphore;
mod sharded_slab;

pub use self::{
    array_queue::Queues, dash_map::Dash, mutex_map::Locked, ours::Ours, semaphore::Semaphores, sharded_slab::Sharded,
};

use leasehold_protocol::time::Mono;

use crate::counter::Terms;

/// A way to hand out seats.
pub trait Design: Send + Sync {
    /// What tables and plots call it.
    const NAME: &'static str;

    /// What it calls a lease.
    type Id: Copy;

    /// What one thread uses it by.
    type Hand<'a>: Hand<Id = Self::Id>
    where
        Self: 'a;

    /// `features` features of `seats` seats each.
    fn new(features: u32, seats: u32) -> Self;

    /// A place for one more thread.
    fn hand(&self) -> Self::Hand<'_>;
}

/// What one thread does with it.
pub trait Hand {
    /// See [`Design::Id`].
    type Id: Copy;

    /// One seat of `feature` for who shows `terms`, if one is free.
    fn check_out(&mut self, feature: u32, terms: &Terms, now: Mono) -> Option<Self::Id>;

    /// Moves the deadline; whether there is such a lease of `terms` that is not past it.
    fn renew(&mut self, id: Self::Id, terms: &Terms, now: Mono) -> bool;

    /// Ends the lease; whether the caller is the one that ended it.
    fn release(&mut self, id: Self::Id) -> bool;
}
