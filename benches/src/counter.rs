//! The allocation core as a server uses it: a stock of seats and leases, and what is done at its counter.

pub use leasehold_core::pool::{BucketId, Rank, Renewal, Short, Stock, Sums, Terms, Use, Worker};

use std::sync::Arc;

use leasehold_protocol::{
    message::Activity,
    time::Mono,
    vocab::{ClaimKey, LeaseId},
};

/// The TTL of every lease in the benches.
pub const TTL_MS: u32 = 300_000;

/// The clock of those benches in which no lease comes to its end.
pub const NOW: Mono = Mono(60_000);

/// `buckets` buckets of `seats` seats each, and room for `leases_max` leases.
///
/// # Panics
/// If the stock does not take them: it was asked for more than it has.
#[must_use]
pub fn stocked(buckets: u32, seats: i64, leases_max: u32) -> (Arc<Stock>, Vec<BucketId>) {
    let stock = Stock::new(leases_max);
    let ids: Vec<_> = (0..buckets).map(|_| stock.add_bucket().expect("a bucket")).collect();
    let mut planner = stock.join().expect("a desk");
    ids.iter().for_each(|bucket| planner.set_capacity(*bucket, seats));
    drop(planner);
    (stock, ids)
}

/// What holder number `n` comes with.
#[inline]
#[must_use]
pub fn holder(n: u64) -> Terms {
    let mut claim = [7; 16];
    claim[..8].copy_from_slice(&n.to_le_bytes());
    Terms { claim: ClaimKey(claim).fold(), owner: 3, session: 1 }
}

/// What a holder says of itself with every renewal.
#[must_use]
pub const fn activity() -> Activity {
    Activity { idle_s: 4, busy: false, unsaved: true }
}

/// One seat of `bucket` as a lease of `terms`, if there is one.
#[inline]
pub fn check_out(worker: &mut Worker, bucket: BucketId, terms: &Terms, now: Mono) -> Option<LeaseId> {
    worker.take(bucket, 1, Rank::Newcomer).ok()?;
    open(worker, &[Use { bucket, seats: 1 }], terms, now)
}

/// All of `wants` as one lease of `terms`, if they are there.
#[inline]
pub fn check_out_bundle(worker: &mut Worker, wants: &[Use], terms: &Terms, now: Mono) -> Option<LeaseId> {
    worker.take_all(wants, Rank::Newcomer).ok()?;
    open(worker, wants, terms, now)
}

#[inline]
fn open(worker: &mut Worker, uses: &[Use], terms: &Terms, now: Mono) -> Option<LeaseId> {
    worker.open(terms, TTL_MS, now.plus_ms(u64::from(TTL_MS)), uses)
}

/// Ends the lease and gives its seats back; whether there was one.
#[inline]
pub fn release(worker: &mut Worker, id: LeaseId) -> bool {
    worker.release(id).is_some()
}

/// Renews the lease; whether it is alive.
#[inline]
pub fn renew(stock: &Stock, id: LeaseId, terms: &Terms, now: Mono) -> bool {
    matches!(stock.slab().renew(id, now, terms, None, Some(activity())), Renewal::Alive { .. })
}

/// Ends all leases that are due, `budget` at most in a turn, and calls `after_turn` after every turn; how many there were.
pub fn sweep(worker: &mut Worker, now: Mono, budget: usize, mut after_turn: impl FnMut()) -> u64 {
    let mut ended = 0;
    loop {
        let mut left = budget;
        let done = worker.sweep(now, &mut left, |worker, id, _| {
            ended += 1;
            worker.close(id);
        });
        after_turn();
        if done {
            return ended;
        }
    }
}
