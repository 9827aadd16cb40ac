//! Lease slots: where renewal, release and expiry meet, and exactly one wins.

#[cfg(all(test, not(loom)))]
mod tests;

use leasehold_protocol::{
    message::Activity,
    time::Mono,
    vocab::{ClaimKey, LeaseId},
};

use super::{
    chunks::Chunks,
    free_list::{FreeList, Link},
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// The hot part of every lease, in slots that are used again and again. What a lease is called is its slot and how often
/// the slot was used, so an id from an earlier use opens nothing.
///
/// # Why a renewal never feeds a stranger
/// Claim and owner are written apart from the hot word, by the one that took the slot from the free list, before it
/// publishes with a `Release` store of hot. A renewal loads hot (`Acquire`), compares generation, claim and owner, and
/// then swaps hot from what it loaded to the same generation with a new deadline. Suppose the slot changed hands in
/// between: then somebody swapped hot to "free" first, and our swap, which expects the old word, fails; the old word
/// does not come back before the 24-bit generation has gone round once. Suppose the swap succeeds: then it stands before
/// the swap that ends the lease in hot's order, and with it (both are `AcqRel`) all our loads stand before the slot is
/// freed, taken and written again. So what we compared was the claim of the very lease we renewed.
/// Model: `tests/loom_slab.rs::a_late_renewal_of_a_reused_slot_feeds_nobody`.
#[derive(Debug)]
pub(crate) struct Slab {
    slots: Chunks<Slot>,
    free: FreeList,
    live: AtomicU64,
}

#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    hot: AtomicU64,
    claim: [AtomicU64; 2],
    owner: AtomicU64,
    filed: AtomicU64,
    activity: AtomicU64,
    terms: AtomicU32,
    session: AtomicU32,
    renewals: AtomicU32,
    link: Link,
}

/// What a lease is opened with, and what a renewal must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The claim key.
    pub(crate) claim: ClaimKey,
    /// Client key and realm, hashed.
    pub(crate) owner: u64,
    /// The session it came by.
    pub(crate) session: u32,
}

/// What a renewal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The lease, alive; it ends at `deadline` now.
    Alive { deadline: Mono, ttl_ms: u32, overage: bool },
    /// The lease, at or past its deadline: it has ended, whether or not anybody swept it.
    Due,
    /// Another lease, or none.
    NoSuchLease,
    /// The lease, and it belongs to another client.
    NotYours,
}

/// Whether a lease has reached its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It had, and the caller is the one that ended it.
    Ended(Mono),
    /// It was renewed until then.
    Later(Mono),
    /// Somebody else ended it.
    Gone,
}

/// A slot's words, for those who only look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotView {
    pub(crate) id: LeaseId,
    pub(crate) deadline: Mono,
    pub(crate) activity: Activity,
    pub(crate) overage: bool,
    pub(crate) session: u32,
    pub(crate) renewals: u32,
}

impl Slab {
    /// No leases yet, and room for `len_max`.
    pub(crate) fn new(len_max: u32) -> Self {
        Self { slots: Chunks::new(len_max), free: FreeList::new(), live: AtomicU64::new(0) }
    }

    /// Takes a free slot and says what the lease in it will be called; `None` if all are in use. The slot is the caller's
    /// alone until [`Slab::publish`] or [`Slab::recycle`].
    pub(crate) fn reserve(&self) -> Option<LeaseId> {
        let index = self.free.pop(self.slots.len_max(), |i| self.slots.get(i).map(|slot| &slot.link))?;
        let slot = self.slots.reach(index, Slot::free)?;
        // Relaxed: the slot came to us through the free list, which showed us its last owner's writes.
        let generation = next_generation(generation(slot.hot.load(Ordering::Relaxed)));
        Some(LeaseId::new(index, generation))
    }

    /// Makes `id`, whose slot the caller reserved, a lease that is alive until `deadline`.
    ///
    /// Ordering: the words are `Relaxed` and published by the `Release` of hot; see [`Slab`].
    pub(crate) fn publish(&self, id: LeaseId, terms: &Terms, ttl_ms: u32, deadline: Mono) {
        let Some(slot) = self.slots.get(id.slot()) else { return };
        let words = claim_words(terms.claim);
        slot.claim[0].store(words[0], Ordering::Relaxed);
        slot.claim[1].store(words[1], Ordering::Relaxed);
        slot.owner.store(terms.owner, Ordering::Relaxed);
        slot.session.store(terms.session, Ordering::Relaxed);
        slot.terms.store(ttl_ms & TTL_MASK, Ordering::Relaxed);
        slot.filed.store(deadline.0, Ordering::Relaxed);
        slot.activity.store(0, Ordering::Relaxed);
        slot.renewals.store(0, Ordering::Relaxed);
        slot.hot.store(hot(id.generation(), deadline), Ordering::Release);
        // Relaxed: a count for people.
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// Renews `id` at `now` for who shows `terms`, for `ttl_ms` or else for the lease's own TTL. Never shortens a lease.
    ///
    /// Ordering: see [`Slab`]. Verdicts other than "gone" are confirmed by a swap of hot, so each was true at one moment.
    /// Progress: lock-free. A retry means that somebody renewed or ended the same lease.
    pub(crate) fn renew(&self, id: LeaseId, now: Mono, terms: &Terms, ttl_ms: Option<u32>) -> Renewal {
        let Some(slot) = self.slots.get(id.slot()) else { return Renewal::NoSuchLease };
        let mut seen = slot.hot.load(Ordering::Acquire);
        while is_alive_as(seen, id) && slot.has_claim(terms.claim) {
            let words = slot.terms.load(Ordering::Relaxed);
            let is_owner = slot.owner.load(Ordering::Relaxed) == terms.owner;
            let is_due = deadline(seen) <= now;
            let until = now.plus_ms(u64::from(ttl_ms.unwrap_or(words & TTL_MASK))).max(deadline(seen));
            let next = if is_owner && !is_due { hot(generation(seen), until) } else { seen };
            match slot.hot.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                Err(other) => seen = other,
                Ok(_) if !is_owner => return Renewal::NotYours,
                Ok(_) if is_due => return Renewal::Due,
                Ok(_) => {
                    // Relaxed, and written even if the lease has just ended: for people, and nothing depends on them.
                    slot.session.store(terms.session, Ordering::Relaxed);
                    slot.renewals.fetch_add(1, Ordering::Relaxed);
                    let overage = words & OVERAGE != 0;
                    return Renewal::Alive { deadline: deadline(next), ttl_ms: words & TTL_MASK, overage };
                }
            }
        }
        Renewal::NoSuchLease
    }

    /// Notes what the holder of `id` is doing.
    pub(crate) fn set_activity(&self, id: LeaseId, activity: Activity) {
        if let Some(slot) = self.slots.get(id.slot()) {
            let flags = u64::from(activity.busy) | u64::from(activity.unsaved) << 1;
            // Relaxed: for people, and nothing depends on it.
            slot.activity.store(u64::from(activity.idle_s) << 32 | flags, Ordering::Relaxed);
        }
    }

    /// Ends `id` whatever its deadline; whether the caller is the one that ended it, and what the deadline was.
    ///
    /// Ordering: `AcqRel` as in [`Slab::renew`].
    pub(crate) fn end(&self, id: LeaseId) -> Option<Mono> {
        match self.end_when(id, |_| true) {
            Due::Ended(deadline) => Some(deadline),
            Due::Later(_) | Due::Gone => None,
        }
    }

    /// Ends `id` if its deadline is `now` or earlier: the seat is free in the same millisecond, and not before.
    pub(crate) fn end_if_due(&self, id: LeaseId, now: Mono) -> Due {
        self.end_when(id, |deadline| deadline <= now)
    }

    fn end_when(&self, id: LeaseId, is_due: impl Fn(Mono) -> bool) -> Due {
        let Some(slot) = self.slots.get(id.slot()) else { return Due::Gone };
        let mut seen = slot.hot.load(Ordering::Acquire);
        while is_alive_as(seen, id) {
            if !is_due(deadline(seen)) {
                return Due::Later(deadline(seen));
            }
            let free = hot(generation(seen), FREE);
            match slot.hot.compare_exchange(seen, free, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.live.fetch_sub(1, Ordering::Relaxed);
                    return Due::Ended(deadline(seen));
                }
                Err(other) => seen = other,
            }
        }
        Due::Gone
    }

    /// Puts the slot `index` back, which the caller reserved and did not publish, or whose lease it ended.
    pub(crate) fn recycle(&self, index: u32) {
        if let Some(slot) = self.slots.get(index) {
            self.free.push(index, &slot.link);
        }
    }

    /// When `id` ends if it is not renewed; `None` if it has been ended.
    pub(crate) fn deadline_of(&self, id: LeaseId) -> Option<Mono> {
        let word = self.slots.get(id.slot())?.hot.load(Ordering::Acquire);
        is_alive_as(word, id).then(|| deadline(word))
    }

    /// Under which deadline `id` is filed. For the holder of its book's lock, which is what orders it.
    pub(crate) fn filed(&self, id: LeaseId) -> Mono {
        Mono(self.slots.get(id.slot()).map_or(0, |slot| slot.filed.load(Ordering::Relaxed)))
    }

    /// Notes under which deadline `id` is filed. For the holder of its book's lock.
    pub(crate) fn set_filed(&self, id: LeaseId, deadline: Mono) {
        if let Some(slot) = self.slots.get(id.slot()) {
            slot.filed.store(deadline.0, Ordering::Relaxed);
        }
    }

    /// Notes whether `id` stands above what the licences allow. For the holder of its book's lock.
    pub(crate) fn set_overage(&self, id: LeaseId, overage: bool) {
        if let Some(slot) = self.slots.get(id.slot()) {
            // Relaxed: a renewal that misses it tells its holder one heartbeat later.
            if overage {
                slot.terms.fetch_or(OVERAGE, Ordering::Relaxed);
            } else {
                slot.terms.fetch_and(TTL_MASK, Ordering::Relaxed);
            }
        }
    }

    /// The words of the lease in slot `index`; `None` if it is free.
    pub(crate) fn view(&self, index: u32) -> Option<SlotView> {
        let slot = self.slots.get(index)?;
        let word = slot.hot.load(Ordering::Acquire);
        (deadline(word) != FREE).then(|| slot.view(index, word))
    }

    /// How often the lease in slot `index` was renewed, also right after it was ended.
    pub(crate) fn renewals(&self, index: u32) -> u32 {
        self.slots.get(index).map_or(0, |slot| slot.renewals.load(Ordering::Relaxed))
    }

    /// The slots that may hold a lease.
    pub(crate) fn indices(&self) -> std::ops::Range<u32> {
        0..self.free.reached()
    }

    /// Leases that are out.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// The most leases there may be.
    pub(crate) const fn len_max(&self) -> u32 {
        self.slots.len_max()
    }
}

impl Slot {
    fn free() -> Self {
        Self {
            hot: AtomicU64::new(0),
            claim: [AtomicU64::new(0), AtomicU64::new(0)],
            owner: AtomicU64::new(0),
            filed: AtomicU64::new(0),
            activity: AtomicU64::new(0),
            terms: AtomicU32::new(0),
            session: AtomicU32::new(0),
            renewals: AtomicU32::new(0),
            link: Link::new(),
        }
    }

    fn has_claim(&self, claim: ClaimKey) -> bool {
        let words = claim_words(claim);
        self.claim[0].load(Ordering::Relaxed) == words[0] && self.claim[1].load(Ordering::Relaxed) == words[1]
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is the flags")]
    fn view(&self, index: u32, word: u64) -> SlotView {
        let activity = self.activity.load(Ordering::Relaxed);
        let (idle_s, flags) = ((activity >> 32) as u32, activity as u32);
        SlotView {
            id: LeaseId::new(index, generation(word)),
            deadline: deadline(word),
            activity: Activity { idle_s, busy: flags & 1 != 0, unsaved: flags & 2 != 0 },
            overage: self.terms.load(Ordering::Relaxed) & OVERAGE != 0,
            session: self.session.load(Ordering::Relaxed),
            renewals: self.renewals.load(Ordering::Relaxed),
        }
    }
}

/// The latest deadline the hot word can say: 34 years after boot.
const DEADLINE_MAX: u64 = (1 << 40) - 1;
/// The deadline of a slot with no lease in it.
const FREE: Mono = Mono(0);
/// Generations run from 1 to this and begin again: id 0 is no lease.
const GENERATION_MAX: u32 = (1 << 24) - 1;
/// The TTL's share of the terms word.
const TTL_MASK: u32 = OVERAGE - 1;
/// The lease stands above what the licences allow.
const OVERAGE: u32 = 1 << 31;

fn hot(generation: u32, deadline: Mono) -> u64 {
    u64::from(generation) << 40 | deadline.0.min(DEADLINE_MAX)
}

const fn deadline(hot: u64) -> Mono {
    Mono(hot & DEADLINE_MAX)
}

const fn generation(hot: u64) -> u32 {
    (hot >> 40) as u32
}

const fn next_generation(generation: u32) -> u32 {
    if generation == GENERATION_MAX { 1 } else { generation + 1 }
}

fn is_alive_as(hot: u64, id: LeaseId) -> bool {
    generation(hot) == id.generation() && deadline(hot) != FREE
}

fn claim_words(claim: ClaimKey) -> [u64; 2] {
    let both = u128::from_le_bytes(claim.0);
    #[expect(clippy::cast_possible_truncation, reason = "the low half, then the high half")]
    [both as u64, (both >> 64) as u64]
}
