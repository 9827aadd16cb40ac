//! Which leases are due (E-5): nobody files a lease anywhere. Who looks walks over the slots of the blocks in which some
//! lease may be due, which costs less than any order of deadlines would (`docs/allocation.md` §5), and every block says
//! until when there is nothing to look for.
//!
//! # Why no lease is overlooked
//! A renewal only moves a deadline away. So a bound is wrong only if a lease is published in the very moment in which the
//! bound is raised, and each saw what was before the other. Bounds are therefore raised by no more than half of the shortest
//! TTL that was ever granted in the block: a lease published meanwhile is due later, unless its worker lost its processor
//! for that long between reading its clock and publishing. Who grants for a shorter time than was ever granted says so
//! first, and who has raised a bound looks whether somebody has. And a block that is found empty is left alone for good only
//! when it is found empty again that much later, and nobody who came in between says otherwise: all who come then see
//! [`DOZING`] and do.

use leasehold_protocol::{time::Mono, vocab::LeaseId};

use super::{
    seats::BucketId,
    slab::Slab,
    slot::{BLOCK_LEN, Block, FREE, deadline, generation},
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// Until when nobody need look through a block.
#[derive(Debug)]
pub(super) struct Watch {
    /// No lease in the block is due before; [`NEVER`]: there is none. With [`DOZING`]: there was none when somebody looked.
    due: AtomicU64,
    /// The shortest TTL any lease in it was ever granted for, in milliseconds.
    shortest: AtomicU32,
}

/// What became of a lease that somebody looked at because it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// It has ended.
    Gone,
    /// It was renewed until then.
    Later(Mono),
    /// Nobody looked: enough for this turn.
    Enough,
}

/// The same for all blocks: the earliest of their bounds 48 | how often one was lowered 16.
#[derive(Debug)]
pub(super) struct Soonest(AtomicU64);

/// No lease.
const NEVER: u64 = DOZING - 1;
/// Above every deadline, so that one comparison finds it.
const DOZING: u64 = 1 << 63;
/// Slots looked at in one call, beyond the block at hand: some 20 µs of a slow core.
const LOOKS_MAX: usize = 4 * BLOCK_LEN;

impl Watch {
    pub(super) fn new() -> Self {
        Self { due: AtomicU64::new(NEVER), shortest: AtomicU32::new(u32::MAX) }
    }

    /// Whether who publishes a lease that is due at `deadline` must [`Watch::wake`] the block for it.
    ///
    /// Relaxed: see the top. What is loaded here is at most half a TTL old.
    #[inline]
    pub(super) fn sleeps_past(&self, deadline: Mono, ttl_ms: u32) -> bool {
        deadline.0 < self.due.load(Ordering::Relaxed) || ttl_ms < self.shortest.load(Ordering::Relaxed)
    }

    /// Sees to it that the block is looked through at `deadline`.
    ///
    /// Ordering: `SeqCst`, and so is [`Watch::raise`]: of one who lowers `shortest` and then `due`, and one who raises `due`
    /// and then looks at `shortest`, one sees the other.
    #[cold]
    pub(super) fn wake(&self, deadline: Mono, ttl_ms: u32) {
        self.shortest.fetch_min(ttl_ms, Ordering::SeqCst);
        self.lower(deadline.0);
    }

    fn lower(&self, to: u64) {
        let lower = |due: u64| Some((due & !DOZING).min(to));
        let _ = self.due.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lower);
    }

    /// No lease is due before.
    fn bound(&self) -> u64 {
        self.due.load(Ordering::SeqCst) & !DOZING
    }

    /// Raises the bound from `seen` after a look at `now` that found `next` to be due next, or nothing.
    fn raise(&self, seen: u64, shortest: u32, now: Mono, next: Option<Mono>) {
        let again = now.0.saturating_add(half(shortest)).min(NEVER - 1);
        let raised = match next {
            Some(next) => next.0.min(again),
            None if seen & DOZING != 0 => NEVER,
            None => again | DOZING,
        };
        if self.due.compare_exchange(seen, raised, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            let shorter = self.shortest.load(Ordering::SeqCst);
            if shorter < shortest {
                self.lower(now.0 + half(shorter));
            }
        }
    }
}

impl Soonest {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(Self::word(NEVER, 0)))
    }

    /// Lowers the bound to `deadline`, after a block's was. The count tells who is about to raise it that one was.
    #[cold]
    pub(super) fn lower(&self, deadline: Mono) {
        let lower = |word: u64| Some(Self::word(Self::bound(word).min(deadline.0), word + 1));
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lower);
    }

    /// No lease at all is due before; `None`: there is none.
    pub(super) fn get(&self) -> Option<Mono> {
        Some(Self::bound(self.0.load(Ordering::SeqCst))).filter(|bound| *bound != NEVER).map(Mono)
    }

    const fn word(bound: u64, count: u64) -> u64 {
        let short = if bound >= NEVER >> 16 { u64::MAX >> 16 } else { bound };
        short << 16 | count & 0xffff
    }

    const fn bound(word: u64) -> u64 {
        let short = word >> 16;
        if short == u64::MAX >> 16 { NEVER } else { short }
    }
}

impl Slab {
    /// Hands every lease that is due at `now` to `each`; whether nothing was left. Stops after some blocks; what is left is due
    /// at once again.
    pub(super) fn look_for_due(&self, now: Mono, mut each: impl FnMut(LeaseId) -> Looked) -> bool {
        let seen = self.soonest.0.load(Ordering::SeqCst);
        if Soonest::bound(seen) > now.0 {
            return true;
        }
        let (mut next, mut looks) = (NEVER, 0);
        for (first, block) in self.blocks_reached() {
            let watch = block.watch();
            if watch.bound() <= now.0 {
                if looks >= LOOKS_MAX || !block.look_through(first, now, &mut each) {
                    return false;
                }
                looks += BLOCK_LEN;
            }
            next = next.min(watch.bound());
        }
        // Fails if a bound was lowered meanwhile: then somebody looks again at once.
        let raised = Soonest::word(next, seen);
        let _ = self.soonest.0.compare_exchange(seen, raised, Ordering::SeqCst, Ordering::Relaxed);
        true
    }
}

impl Slab {
    /// Hands the leases that are due at `now` and have seats of a bucket that `is_one` to `each`, as long as it returns true.
    /// Raises no bound: the others are still to be looked at.
    pub(super) fn look_for_due_of(
        &self,
        now: Mono,
        is_one: impl Fn(BucketId) -> bool,
        mut each: impl FnMut(LeaseId) -> bool,
    ) {
        if self.soonest.get().is_none_or(|soonest| soonest > now) {
            return;
        }
        for (first, block) in self.blocks_reached().filter(|(_, block)| block.watch().bound() <= now.0) {
            for (index, slot) in (first..).zip(block.slots()) {
                let word = slot.hot.load(Ordering::Relaxed);
                let is_due = deadline(word) != FREE && deadline(word) <= now;
                if is_due && self.may_use(index, &is_one) && !each(LeaseId::new(index, generation(word))) {
                    return;
                }
            }
        }
    }
}

impl Block {
    /// Looks at every lease of this block, whose first slot is number `first`; whether it came to the end of it.
    fn look_through(&self, first: u32, now: Mono, each: &mut impl FnMut(LeaseId) -> Looked) -> bool {
        let watch = self.watch();
        let (seen, shortest) = (watch.due.load(Ordering::SeqCst), watch.shortest.load(Ordering::SeqCst));
        let mut next = NEVER;
        for (index, slot) in (first..).zip(self.slots()) {
            // Relaxed: who ends the lease looks again.
            let word = slot.hot.load(Ordering::Relaxed);
            let at = deadline(word);
            if at == FREE || at.0 >= next {
                continue;
            }
            if at > now {
                next = at.0;
                continue;
            }
            match each(LeaseId::new(index, generation(word))) {
                Looked::Gone => {}
                Looked::Later(at) => next = next.min(at.0),
                Looked::Enough => return false,
            }
        }
        watch.raise(seen, shortest, now, Some(Mono(next)).filter(|next| next.0 != NEVER));
        true
    }
}

/// Half of a TTL, in milliseconds: never nothing.
fn half(ttl_ms: u32) -> u64 {
    u64::from(ttl_ms / 2).max(1)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_raised_by_half_the_shortest_ttl_at_most() {
        let watch = Watch::new();
        watch.wake(Mono(10_000), 5_000);
        let seen = watch.due.load(Ordering::SeqCst);
        watch.raise(seen, 5_000, Mono(10_000), Some(Mono(11_000)));
        assert_eq!(watch.bound(), 11_000);
        watch.raise(11_000, 5_000, Mono(11_000), Some(Mono(90_000)));
        assert_eq!(watch.bound(), 13_500);
    }

    #[test]
    fn an_empty_block_is_looked_at_once_more_and_then_left_alone_until_somebody_comes() {
        let watch = Watch::new();
        watch.wake(Mono(5_000), 5_000);
        watch.raise(5_000, 5_000, Mono(5_000), None);
        assert_eq!(watch.bound(), 7_500);
        assert!(watch.sleeps_past(Mono(9_000), 5_000), "who comes now says so");
        watch.raise(watch.due.load(Ordering::SeqCst), 5_000, Mono(7_500), None);
        assert_eq!(watch.bound(), NEVER);
        watch.wake(Mono(20_000), 5_000);
        assert_eq!(watch.bound(), 20_000);
    }

    #[test]
    fn who_comes_while_an_empty_block_dozes_keeps_it_awake() {
        let watch = Watch::new();
        watch.wake(Mono(5_000), 5_000);
        watch.raise(5_000, 5_000, Mono(5_000), None);
        let seen = watch.due.load(Ordering::SeqCst);
        watch.wake(Mono(11_000), 5_000);
        watch.raise(seen, 5_000, Mono(7_500), None);
        assert_eq!(watch.bound(), 7_500, "somebody looks again");
    }

    #[test]
    fn a_bound_that_is_raised_while_somebody_grants_for_less_is_lowered_again() {
        let watch = Watch::new();
        watch.wake(Mono(300_000), 300_000);
        watch.shortest.fetch_min(2_000, Ordering::SeqCst);
        watch.raise(300_000, 300_000, Mono(300_000), Some(Mono(500_000)));
        assert_eq!(watch.bound(), 301_000);
    }

    #[test]
    fn the_soonest_of_all_is_not_raised_over_one_that_was_lowered_meanwhile() {
        let soonest = Soonest::new();
        assert_eq!(soonest.get(), None);
        soonest.lower(Mono(70));
        let seen = soonest.0.load(Ordering::SeqCst);
        soonest.lower(Mono(90));
        assert_ne!(seen, soonest.0.load(Ordering::SeqCst), "though the bound is the same");
        assert_eq!(soonest.get(), Some(Mono(70)));
    }
}
