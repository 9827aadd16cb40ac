//! Who is due back next: what a denial tells, looked up where nobody keeps an order of deadlines.

use leasehold_protocol::{time::Mono, vocab::LeaseId};

use crate::{
    book::{NextDueHint, Pool},
    lease::Leases,
    lock,
};

/// Slots one look covers: all of them on most sites. Where there are more, each look goes on from where the last one ended.
const LOOK_MAX: u32 = 16_384;
/// Up to so many slots, every denial looks anew: it takes some microseconds.
const EXACT_MAX: u32 = 1024;
/// How long an answer is good for on a larger site, in milliseconds: a site that denies thousands of requests a second looks
/// once.
const GOOD_FOR_MS: u64 = 1000;

impl Leases {
    /// Which lease of `pool` is due back next, and when. Exact on a server of up to 1 024 leases; on a larger one the best that
    /// was found by looking on, a second ago or less.
    pub(crate) fn next_due(&self, pool: &Pool, now: Mono) -> Option<(LeaseId, Mono)> {
        if self.stock.out(pool.leases) <= 0 {
            return None;
        }
        let mut hint = lock(&pool.next_due);
        let is_small = self.stock.slab().indices().end <= EXACT_MAX;
        let known = hint.lease.and_then(|lease| Some((lease, self.stock.slab().deadline_of(lease)?)));
        let is_good = hint.at.is_some_and(|at| now.ms_since(at) < GOOD_FOR_MS);
        if is_good && !is_small {
            return known;
        }
        let found = self.soonest_of(pool, &mut hint);
        let best = match known {
            Some(known) if !is_small => found.into_iter().chain([known]).min_by_key(|(_, deadline)| *deadline),
            _ => found,
        };
        hint.at = Some(now);
        hint.lease = best.map(|(lease, _)| lease);
        best
    }

    /// The lease of `pool` with the earliest deadline among the next slots.
    fn soonest_of(&self, pool: &Pool, hint: &mut NextDueHint) -> Option<(LeaseId, Mono)> {
        let slab = self.stock.slab();
        let reached = slab.indices().end;
        let first = if hint.slot >= reached { 0 } else { hint.slot };
        let last = first.saturating_add(LOOK_MAX).min(reached);
        hint.slot = if last == reached { 0 } else { last };
        let is_ours = |slot: &u32| slab.first_bucket(*slot).and_then(|bucket| self.pool_of(bucket)) == Some(pool.id);
        let views = (first..last).filter(is_ours).filter_map(|slot| slab.view(slot));
        views.map(|view| (view.id, view.deadline)).min_by_key(|(id, deadline)| (*deadline, *id))
    }
}
