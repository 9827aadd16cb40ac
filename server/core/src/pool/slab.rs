//! Lease slots: where renewal, release and expiry meet, and exactly one wins.

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

use std::collections::BTreeMap;

use leasehold_protocol::{
    message::Activity,
    time::Mono,
    vocab::{ClaimProof, LeaseId},
};

use super::{
    chunks::Chunks,
    due::Soonest,
    free_list::FreeList,
    seats::{BucketId, WORKERS_MAX},
    slot::{
        BLOCK_LEN_U32, Block, FREE, GENERATION_MAX, OVERAGE, Slot, TTL_MASK, Tenure, WIDE, deadline, generation, hot,
        is_alive_as, previous_generation, renewals,
    },
    sync::{Mutex, Ordering},
    worker::Use,
};
use crate::lock;

/// Every lease, in slots that are used again and again. What a lease is called is its slot and how often the slot was used,
/// so an id from an earlier use opens nothing.
///
/// # Why a renewal never feeds a stranger
/// The proof is written apart from the hot word, by the worker that has the slot to itself, before it publishes with a
/// `Release` store of hot. A renewal loads hot (`Acquire`), compares generation and proof, and then swaps hot from what it
/// loaded to the same generation with a new deadline. Suppose the slot changed hands in between: then somebody swapped hot
/// to "free" first, and our swap, which expects the old word, fails; the old word does not come back before the 24-bit
/// generation has gone round once within one millisecond. Suppose the swap succeeds: then it stands before the swap that
/// ends the lease in hot's order, and with it (both are `AcqRel`) all our loads stand before the slot is freed, taken and
/// written again. So what we compared was the proof of the very lease we renewed.
/// Model: `tests/loom_slab.rs::a_late_renewal_of_a_reused_slot_feeds_nobody`.
#[derive(Debug)]
pub struct Slab {
    blocks: Chunks<Block, 1>,
    slots_max: u32,
    free: FreeList,
    pub(super) soonest: Soonest,
    /// The seats of leases of more than two buckets, by slot: their second word is [`WIDE`].
    wide: Mutex<BTreeMap<u32, Vec<Use>>>,
    leases_max: u32,
}

/// What a lease is opened with, and what a renewal must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What the claim key comes to.
    pub claim: ClaimProof,
    /// Client key and realm, hashed.
    pub owner: u64,
    /// The session it came by.
    pub session: u32,
}

/// What a renewal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease, alive.
    Alive {
        /// When it ends now.
        deadline: Mono,
        /// Its TTL in milliseconds.
        ttl_ms: u32,
        /// It stands above what the licences allow (L-10).
        overage: bool,
    },
    /// The lease, at or past its deadline: it has ended, whether or not anybody swept it. Who is told so ends it
    /// ([`Worker::end_if_due`](super::Worker::end_if_due)): a worker whose clock is behind could renew it else.
    Due,
    /// Another lease, or none, or not with that claim key of that client.
    NoSuchLease,
}

/// Whether a lease has reached its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It had, and the caller is the one that ended it.
    Ended(Mono),
    /// It was renewed until then.
    Later(Mono),
    /// Somebody else ended it.
    Gone,
}

/// A slot's words, for those who only look.
#[derive(Clone, Copy, Debug)]
pub struct SlotView {
    /// Which lease.
    pub id: LeaseId,
    /// When it ends, if it is not renewed.
    pub deadline: Mono,
    /// What its holder said last.
    pub activity: Activity,
    /// It stands above what the licences allow (L-10).
    pub overage: bool,
    /// The session that spoke for it last.
    pub session: u32,
    /// How often it was renewed.
    pub renewals: u32,
}

/// Slots a worker takes from the shared list at a time, and hands back at a time.
pub(super) const BATCH: usize = if cfg!(any(loom, shuttle)) { 1 } else { 64 };
#[expect(clippy::cast_possible_truncation, reason = "a small number")]
const BATCH_U32: u32 = BATCH as u32;
/// Slots that may lie idle in the hands of workers.
const SPARE_MAX: u32 = if cfg!(any(loom, shuttle)) { 2 } else { 2 * 64 * WORKERS_MAX };

impl Slab {
    /// No leases yet, and room for `leases_max`.
    pub(super) fn new(leases_max: u32) -> Self {
        // What workers keep for themselves comes on top: no lease is denied a slot for lying in another worker's hand.
        let slots_max = leases_max.saturating_add(SPARE_MAX);
        Self {
            blocks: Chunks::new(slots_max.div_ceil(BLOCK_LEN_U32)),
            slots_max,
            free: FreeList::new(),
            soonest: Soonest::new(),
            wide: Mutex::default(),
            leases_max,
        }
    }

    /// Takes a free slot, one of `own` first, and says what the lease in it will be called; `None` if all are in use. The
    /// slot is the caller's alone until [`Slab::publish`] or [`Slab::recycle`].
    pub(super) fn reserve(&self, own: &mut Vec<u32>) -> Option<LeaseId> {
        if own.is_empty() {
            self.take_batch(own)?;
        }
        self.named(own.pop()?)
    }

    /// Sets the slots of `ids` aside, so that the next lease in each is called as it says: for leases that were written down, and
    /// before any other is opened. Those it could not, because the name is none, or was there already: by index into `ids`. The
    /// slots between are free.
    pub(super) fn set_aside(&self, ids: &[LeaseId], own: &mut Vec<u32>) -> Vec<usize> {
        let is_good = |id: &LeaseId| id.slot() < self.slots_max && (1..=GENERATION_MAX).contains(&id.generation());
        let mut names = BTreeMap::new();
        let mut left_out = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            if !is_good(id) || names.insert(id.slot(), id.generation()).is_some() {
                left_out.push(index);
            }
        }
        let Some(last) = names.last_key_value().map(|(slot, _)| *slot) else { return left_out };
        let mut between = Vec::new();
        for slot in self.free.take_fresh(last + 1, self.slots_max) {
            match (names.get(&slot), self.blocks.reach(slot / BLOCK_LEN_U32, Block::new)) {
                (Some(generation), Some(block)) => {
                    block.slot(slot).hot.store(hot(previous_generation(*generation), FREE), Ordering::Relaxed);
                }
                _ => between.push(slot),
            }
        }
        for batch in between.chunks(BATCH) {
            own.extend(batch);
            self.hand_back(batch.len(), own);
        }
        left_out
    }

    /// Takes a batch of free slots into `own`, used ones first: one change of the list, and slots that lie together stay in one
    /// worker's hand.
    fn take_batch(&self, own: &mut Vec<u32>) -> Option<()> {
        match self.free.pop_used(|index| Some(&self.tenure(index)?.second)) {
            Some(first) => {
                let next = |index: &u32| self.tenure(*index).and_then(|tenure| tenure.first.get());
                own.extend(std::iter::successors(Some(first), next));
            }
            // The lowest on top: it is used first.
            None => own.extend(self.free.take_fresh(BATCH_U32, self.slots_max).rev()),
        }
        for index in &*own {
            self.blocks.reach(index / BLOCK_LEN_U32, Block::new)?;
        }
        Some(())
    }

    /// What the next lease in slot `index` will be called. For who has the slot to itself.
    #[inline]
    pub(super) fn named(&self, index: u32) -> Option<LeaseId> {
        Some(self.block(index)?.named(index))
    }

    /// Makes `id`, whose slot the caller reserved, a lease over `uses` that is alive until `deadline`.
    ///
    /// Ordering: the words are `Relaxed` and published by the `Release` of hot; see [`Slab`].
    #[inline]
    pub(super) fn publish(&self, id: LeaseId, terms: &Terms, ttl_ms: u32, deadline: Mono, uses: &[Use]) {
        if let Some(block) = self.block(id.slot()) {
            self.publish_in(block, id, terms, ttl_ms, deadline, uses);
        }
    }

    /// The same, in the slot `index` that the caller has to itself; what the lease is called.
    #[inline]
    pub(super) fn open(&self, index: u32, terms: &Terms, ttl_ms: u32, deadline: Mono, uses: &[Use]) -> Option<LeaseId> {
        let block = self.block(index)?;
        let id = block.named(index);
        self.publish_in(block, id, terms, ttl_ms, deadline, uses);
        Some(id)
    }

    #[inline]
    fn publish_in(&self, block: &Block, id: LeaseId, terms: &Terms, ttl_ms: u32, deadline: Mono, uses: &[Use]) {
        let (slot, tenure) = (block.slot(id.slot()), block.tenure(id.slot()));
        slot.proof.store(terms.proof(), Ordering::Relaxed);
        slot.terms.store(ttl_ms & TTL_MASK, Ordering::Relaxed);
        slot.activity.store(0, Ordering::Relaxed);
        slot.heard.store(u64::from(terms.session) << 32, Ordering::Relaxed);
        self.write_uses(id.slot(), tenure, uses);
        let deadline = deadline.max(Mono(1));
        slot.hot.store(hot(id.generation(), deadline), Ordering::Release);
        if block.watch().sleeps_past(deadline, ttl_ms) {
            block.watch().wake(deadline, ttl_ms);
            self.soonest.lower(deadline);
        }
    }

    /// Renews `id` at `now` for who shows `terms`, for `ttl_ms` or else for the lease's own TTL, and notes what its holder
    /// says it is doing. Never shortens a lease.
    ///
    /// Ordering: see [`Slab`]. "Due" is confirmed by a swap of hot, so it was true at one moment.
    /// Progress: lock-free. A retry means that somebody renewed or ended the same lease.
    #[inline]
    pub fn renew(
        &self,
        id: LeaseId,
        now: Mono,
        terms: &Terms,
        ttl_ms: Option<u32>,
        activity: Option<Activity>,
    ) -> Renewal {
        let Some(slot) = self.slot(id.slot()) else { return Renewal::NoSuchLease };
        let mut seen = slot.hot.load(Ordering::Acquire);
        while is_alive_as(seen, id) && slot.proof.load(Ordering::Relaxed) == terms.proof() {
            let words = slot.terms.load(Ordering::Relaxed);
            let is_due = deadline(seen) <= now;
            let until = now.plus_ms(u64::from(ttl_ms.unwrap_or(words & TTL_MASK))).max(deadline(seen));
            let next = if is_due { seen } else { hot(generation(seen), until) };
            match slot.hot.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                Err(other) => seen = other,
                Ok(_) if is_due => return Renewal::Due,
                Ok(_) => {
                    slot.note(terms.session, activity);
                    let overage = words & OVERAGE != 0;
                    return Renewal::Alive { deadline: deadline(next), ttl_ms: words & TTL_MASK, overage };
                }
            }
        }
        Renewal::NoSuchLease
    }

    /// The slot and the tenure of `id`.
    #[inline]
    pub(super) fn place(&self, id: LeaseId) -> Option<(&Slot, &Tenure)> {
        let block = self.block(id.slot())?;
        Some((block.slot(id.slot()), block.tenure(id.slot())))
    }

    /// Puts the slot `index` into `own`, which the caller reserved and did not publish, or whose lease it ended; what is too
    /// much there goes to the list of all.
    #[inline]
    pub(super) fn recycle(&self, index: u32, own: &mut Vec<u32>) {
        own.push(index);
        if own.len() >= 2 * BATCH {
            self.hand_back(BATCH, own);
        }
    }

    /// Gives `count` slots of `own` to the list of all, as one batch.
    pub(super) fn hand_back(&self, count: usize, own: &mut Vec<u32>) {
        let batch = own.split_off(own.len() - count.min(own.len()));
        let places = batch.iter().filter_map(|index| self.tenure(*index));
        for (tenure, next) in places.zip(batch.iter().skip(1).map(|next| Some(*next)).chain([None])) {
            tenure.first.set(next);
        }
        if let Some((first, tenure)) = batch.first().and_then(|first| Some((*first, self.tenure(*first)?))) {
            self.free.push(first, &tenure.second);
        }
    }

    /// When `id` ends if it is not renewed; `None` if it has been ended.
    #[must_use]
    pub fn deadline_of(&self, id: LeaseId) -> Option<Mono> {
        let word = self.slot(id.slot())?.hot.load(Ordering::Acquire);
        is_alive_as(word, id).then(|| deadline(word))
    }

    /// Whose seats the lease in slot `index` has. For who ended it, or holds what keeps others from ending it.
    pub(crate) fn uses(&self, index: u32) -> Vec<Use> {
        match self.short_uses(index) {
            Some(uses) => uses.into_iter().flatten().collect(),
            None => {
                let first = self.tenure(index).and_then(|tenure| Use::unpack(tenure.first.0.load(Ordering::Relaxed)));
                first.into_iter().chain(lock(&self.wide).get(&index).into_iter().flatten().copied()).collect()
            }
        }
    }

    /// The same, if they are no more than two.
    #[inline]
    pub(super) fn short_uses(&self, index: u32) -> Option<[Option<Use>; 2]> {
        self.tenure(index).map_or(Some([None; 2]), Tenure::uses)
    }

    /// The same, of a lease of more than two that the caller ended.
    #[cold]
    pub(super) fn take_wide_uses(&self, index: u32) -> Vec<Use> {
        let uses = self.uses(index);
        lock(&self.wide).remove(&index);
        uses
    }

    /// The bucket the lease in slot `index` has its first seats of, if there is one. A guess for who does not own it.
    #[inline]
    pub(crate) fn first_bucket(&self, index: u32) -> Option<BucketId> {
        Use::unpack(self.tenure(index)?.first.0.load(Ordering::Relaxed)).map(|used| used.bucket)
    }

    /// Whether a lease in slot `index` may have seats of a bucket that `is_one`. A guess for who does not own it.
    pub(crate) fn may_use(&self, index: u32, is_one: impl Fn(BucketId) -> bool) -> bool {
        self.view(index).is_some()
            && self.short_uses(index).is_none_or(|uses| uses.into_iter().flatten().any(|used| is_one(used.bucket)))
    }

    /// Replaces the uses of the lease in slot `index`. For who holds what keeps others from ending or reading it.
    pub(crate) fn set_uses(&self, index: u32, uses: &[Use]) {
        if let Some(tenure) = self.tenure(index) {
            if tenure.second.0.load(Ordering::Relaxed) == WIDE {
                lock(&self.wide).remove(&index);
            }
            self.write_uses(index, tenure, uses);
        }
    }

    #[inline]
    fn write_uses(&self, index: u32, tenure: &Tenure, uses: &[Use]) {
        let (first, second) = match uses {
            [] => (0, 0),
            [only] => (only.pack(), 0),
            [first, second] => (first.pack(), second.pack()),
            [first, rest @ ..] => {
                lock(&self.wide).insert(index, rest.to_vec());
                (first.pack(), WIDE)
            }
        };
        tenure.first.0.store(first, Ordering::Relaxed);
        tenure.second.0.store(second, Ordering::Relaxed);
    }

    /// Notes whether `id` stands above what the licences allow. For one planner at a time.
    pub(crate) fn set_overage(&self, id: LeaseId, overage: bool) {
        if let Some(slot) = self.slot(id.slot()) {
            // Relaxed: a renewal that misses it tells its holder one heartbeat later.
            if overage {
                slot.terms.fetch_or(OVERAGE, Ordering::Relaxed);
            } else {
                slot.terms.fetch_and(TTL_MASK, Ordering::Relaxed);
            }
        }
    }

    /// The words of the lease in slot `index`; `None` if it is free.
    #[must_use]
    pub fn view(&self, index: u32) -> Option<SlotView> {
        let slot = self.slot(index)?;
        let word = slot.hot.load(Ordering::Acquire);
        (deadline(word) != FREE).then(|| slot.view(index, word))
    }

    /// How often the lease in slot `index` was renewed, also right after it was ended.
    #[must_use]
    pub fn renewals(&self, index: u32) -> u32 {
        self.slot(index).map_or(0, |slot| renewals(slot.heard.load(Ordering::Relaxed)))
    }

    /// Whether the lease in slot `index` stands above what the licences allow, also right after it was ended.
    pub(crate) fn is_over(&self, index: u32) -> bool {
        self.slot(index).is_some_and(|slot| slot.terms.load(Ordering::Relaxed) & OVERAGE != 0)
    }

    /// The slots that may hold a lease.
    #[must_use]
    pub fn indices(&self) -> std::ops::Range<u32> {
        0..self.free.reached()
    }

    /// Slots there may ever be: some more than leases, for those that lie idle in the hands of workers.
    #[must_use]
    pub const fn slots_max(&self) -> u32 {
        self.slots_max
    }

    /// The most leases there may be.
    #[must_use]
    pub const fn leases_max(&self) -> u32 {
        self.leases_max
    }

    /// No lease is due before; `None` if there is none. May be early.
    #[must_use]
    pub fn soonest(&self) -> Option<Mono> {
        self.soonest.get()
    }
}

impl Slab {
    /// The blocks that were reached, each with the number of its first slot.
    pub(super) fn blocks_reached(&self) -> impl Iterator<Item = (u32, &Block)> {
        let reached = self.free.reached().div_ceil(BLOCK_LEN_U32);
        (0..reached).filter_map(|number| Some((number * BLOCK_LEN_U32, self.blocks.get(number)?)))
    }

    #[inline]
    fn block(&self, index: u32) -> Option<&Block> {
        self.blocks.get(index / BLOCK_LEN_U32)
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&Slot> {
        Some(self.block(index)?.slot(index))
    }

    #[inline]
    fn tenure(&self, index: u32) -> Option<&Tenure> {
        Some(self.block(index)?.tenure(index))
    }
}
