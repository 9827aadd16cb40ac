//! What is kept of a lease, word by word.

use leasehold_protocol::{message::Activity, time::Mono, vocab::LeaseId};

use super::{
    due::Watch,
    free_list::Link,
    seats::BucketId,
    slab::{Due, SlotView, Terms},
    sync::{AtomicU32, AtomicU64, Ordering, Padded},
    worker::Use,
};

/// A few thousand leases. Made at once and never moved.
#[derive(Debug)]
pub(super) struct Block {
    slots: [Slot; BLOCK_LEN],
    tenures: [Tenure; BLOCK_LEN],
    watch: Padded<Watch>,
}

/// What a renewal reads and writes: 32 bytes, half a cache line.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Slot {
    pub(super) hot: AtomicU64,
    pub(super) proof: AtomicU64,
    pub(super) terms: AtomicU32,
    pub(super) activity: AtomicU32,
    /// session 32 | renewals 32
    pub(super) heard: AtomicU64,
}

/// What the end of a lease needs besides: whose seats it has, each bucket 32 | seats 32, 0 for none. While the slot is in
/// the free list, the first is its link to the next of its batch, and the second of a batch's first slot the link to the next
/// batch.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) first: Link,
    pub(super) second: Link,
}

/// Leases in a block.
pub(super) const BLOCK_LEN: usize = if cfg!(any(loom, shuttle)) { 2 } else { 4096 };
#[expect(clippy::cast_possible_truncation, reason = "a small number")]
pub(super) const BLOCK_LEN_U32: u32 = BLOCK_LEN as u32;

impl Block {
    pub(super) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot::free()),
            tenures: std::array::from_fn(|_| Tenure::none()),
            watch: Padded(Watch::new()),
        }
    }

    #[inline]
    pub(super) fn named(&self, index: u32) -> LeaseId {
        // Relaxed: the slot came to us with its last owner's writes.
        let generation = next_generation(generation(self.slot(index).hot.load(Ordering::Relaxed)));
        LeaseId::new(index, generation)
    }

    #[inline]
    pub(super) const fn watch(&self) -> &Watch {
        &self.watch.0
    }

    pub(super) const fn slots(&self) -> &[Slot; BLOCK_LEN] {
        &self.slots
    }

    #[inline]
    pub(super) const fn slot(&self, index: u32) -> &Slot {
        &self.slots[index as usize % BLOCK_LEN]
    }

    #[inline]
    pub(super) const fn tenure(&self, index: u32) -> &Tenure {
        &self.tenures[index as usize % BLOCK_LEN]
    }
}

impl Terms {
    /// What a slot keeps of claim key and owner: 64 bits, of which 64 are the holder's secret. Who would renew a lease of
    /// somebody else's has to guess them, 64 guesses to an authentic datagram (SPEC 5.17): with a million datagrams a second,
    /// an even chance takes more than four thousand years.
    pub(super) const fn proof(&self) -> u64 {
        self.claim.0 ^ self.owner
    }
}

impl Slot {
    /// Ends the lease `id` in it if `is_due` says so of its deadline; whether the caller is the one that ended it.
    ///
    /// Ordering: `AcqRel` as in [`Slab::renew`]; who ends a lease sees its uses.
    #[inline]
    pub(super) fn end_when(&self, id: LeaseId, is_due: impl Fn(Mono) -> bool) -> Due {
        let mut seen = self.hot.load(Ordering::Acquire);
        while is_alive_as(seen, id) {
            if !is_due(deadline(seen)) {
                return Due::Later(deadline(seen));
            }
            let free = hot(generation(seen), FREE);
            match self.hot.compare_exchange(seen, free, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Due::Ended(deadline(seen)),
                Err(other) => seen = other,
            }
        }
        Due::Gone
    }

    pub(super) fn free() -> Self {
        Self {
            hot: AtomicU64::new(0),
            proof: AtomicU64::new(0),
            terms: AtomicU32::new(0),
            activity: AtomicU32::new(0),
            heard: AtomicU64::new(0),
        }
    }

    /// Relaxed, and written even if the lease has just ended: for people, and nothing depends on them. Of two renewals at
    /// the same time one may go uncounted.
    #[inline]
    pub(super) fn note(&self, session: u32, activity: Option<Activity>) {
        let renewals = renewals(self.heard.load(Ordering::Relaxed)).wrapping_add(1);
        self.heard.store(u64::from(session) << 32 | u64::from(renewals), Ordering::Relaxed);
        if let Some(activity) = activity {
            let flags = u32::from(activity.busy) << 31 | u32::from(activity.unsaved) << 30;
            self.activity.store(activity.idle_s.min(IDLE_MAX_S) | flags, Ordering::Relaxed);
        }
    }

    pub(super) fn view(&self, index: u32, word: u64) -> SlotView {
        let activity = self.activity.load(Ordering::Relaxed);
        let (busy, unsaved) = (activity >> 31 != 0, activity >> 30 & 1 != 0);
        let heard = self.heard.load(Ordering::Relaxed);
        SlotView {
            id: LeaseId::new(index, generation(word)),
            deadline: deadline(word),
            activity: Activity { idle_s: activity & IDLE_MAX_S, busy, unsaved },
            overage: self.terms.load(Ordering::Relaxed) & OVERAGE != 0,
            session: (heard >> 32) as u32,
            renewals: renewals(heard),
        }
    }
}

impl Tenure {
    pub(super) fn none() -> Self {
        Self { first: Link::new(), second: Link::new() }
    }

    /// Whose seats the lease has, if of one bucket.
    #[inline]
    pub(super) fn only(&self) -> Option<Use> {
        let first = Use::unpack(self.first.0.load(Ordering::Relaxed));
        first.filter(|_| self.second.0.load(Ordering::Relaxed) == 0)
    }

    /// Whose seats the lease has, if of no more than two buckets.
    #[inline]
    pub(super) fn uses(&self) -> Option<[Option<Use>; 2]> {
        let (first, second) = (self.first.0.load(Ordering::Relaxed), self.second.0.load(Ordering::Relaxed));
        (second != WIDE).then(|| [Use::unpack(first), Use::unpack(second)])
    }
}

impl Use {
    pub(super) const fn pack(self) -> u64 {
        (self.bucket.0 as u64) << 32 | self.seats as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "two halves")]
    pub(super) const fn unpack(word: u64) -> Option<Self> {
        let (bucket, seats) = (BucketId((word >> 32) as u32), word as u32);
        if seats == 0 { None } else { Some(Self { bucket, seats }) }
    }
}

/// The latest deadline the hot word can say: 34 years after boot.
pub(super) const DEADLINE_MAX: u64 = (1 << 40) - 1;
/// The deadline of a slot with no lease in it.
pub(super) const FREE: Mono = Mono(0);
/// Generations run from 1 to this and begin again: id 0 is no lease.
pub(super) const GENERATION_MAX: u32 = (1 << 24) - 1;
/// The TTL's share of the terms word.
pub(super) const TTL_MASK: u32 = OVERAGE - 1;
/// The lease stands above what the licences allow.
pub(super) const OVERAGE: u32 = 1 << 31;
/// The longest idle time a slot can say: 34 years.
pub(super) const IDLE_MAX_S: u32 = (1 << 30) - 1;
/// In place of a second use: there are more of them, elsewhere.
pub(super) const WIDE: u64 = u64::MAX;

pub(super) fn hot(generation: u32, deadline: Mono) -> u64 {
    u64::from(generation) << 40 | deadline.0.min(DEADLINE_MAX)
}

pub(super) const fn deadline(hot: u64) -> Mono {
    Mono(hot & DEADLINE_MAX)
}

pub(super) const fn generation(hot: u64) -> u32 {
    (hot >> 40) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the low half")]
pub(super) const fn renewals(heard: u64) -> u32 {
    heard as u32
}

pub(super) const fn next_generation(generation: u32) -> u32 {
    if generation == GENERATION_MAX { 1 } else { generation + 1 }
}

pub(super) const fn previous_generation(generation: u32) -> u32 {
    // Of a slot that was never used it is 0, and what comes after the last is 1 as well.
    generation.saturating_sub(1)
}

pub(super) fn is_alive_as(hot: u64, id: LeaseId) -> bool {
    generation(hot) == id.generation() && deadline(hot) != FREE
}
