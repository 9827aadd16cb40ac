//! What the rivals know of a lease: what a slot of ours says, as plain words for those who lock it and as atomics for
//! those who do not.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use leasehold_protocol::time::Mono;

use crate::counter::{TTL_MS, Terms, activity};

/// Behind a lock.
pub(super) struct Record {
    deadline: u64,
    proof: u64,
    session: u32,
    activity: u32,
    renewals: u32,
    pub(super) feature: u32,
}

/// Shared as it is.
pub(super) struct Shared {
    deadline: AtomicU64,
    proof: u64,
    heard: AtomicU64,
    activity: AtomicU32,
    pub(super) feature: u32,
}

/// A counter that shares its cache line, and the line fetched with it, with nothing.
#[repr(align(128))]
pub(super) struct Counter(AtomicU32);

impl Record {
    #[inline]
    pub(super) fn new(feature: u32, terms: &Terms, now: Mono) -> Self {
        let (deadline, proof) = (deadline(now), proof(terms));
        Self { deadline, proof, session: terms.session, activity: 0, renewals: 0, feature }
    }

    #[inline]
    pub(super) fn renew(&mut self, terms: &Terms, now: Mono) -> bool {
        let alive = self.proof == proof(terms) && self.deadline > now.0;
        if alive {
            self.deadline = self.deadline.max(deadline(now));
            (self.session, self.activity) = (terms.session, said());
            self.renewals += 1;
        }
        alive
    }
}

impl Shared {
    #[inline]
    pub(super) fn new(feature: u32, terms: &Terms, now: Mono) -> Self {
        Self {
            deadline: AtomicU64::new(deadline(now)),
            proof: proof(terms),
            heard: AtomicU64::new(u64::from(terms.session) << 32),
            activity: AtomicU32::new(0),
            feature,
        }
    }

    /// Nobody can end the lease meanwhile: who calls this holds what keeps it.
    #[inline]
    pub(super) fn renew(&self, terms: &Terms, now: Mono) -> bool {
        let later = |old: u64| (old > now.0).then(|| old.max(deadline(now)));
        let alive = self.proof == proof(terms)
            && self.deadline.fetch_update(Ordering::AcqRel, Ordering::Acquire, later).is_ok();
        if alive {
            note(&self.heard, &self.activity, terms.session);
        }
        alive
    }
}

impl Counter {
    pub(super) fn new(seats: u32) -> Self {
        Self(AtomicU32::new(seats))
    }

    /// Takes one if there is one. Not a subtraction that is taken back: that would deny others meanwhile.
    #[inline]
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    #[inline]
    pub(super) fn give(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Notes who renewed and what it said.
#[inline]
pub(super) fn note(heard: &AtomicU64, activity: &AtomicU32, session: u32) {
    let renewals = (heard.load(Ordering::Relaxed) & 0xffff_ffff).wrapping_add(1);
    heard.store(u64::from(session) << 32 | renewals, Ordering::Relaxed);
    activity.store(said(), Ordering::Relaxed);
}

#[inline]
pub(super) fn deadline(now: Mono) -> u64 {
    now.0 + u64::from(TTL_MS)
}

/// Claim key and owner, folded.
#[inline]
pub(super) const fn proof(terms: &Terms) -> u64 {
    terms.claim.0 ^ terms.owner
}

#[inline]
fn said() -> u32 {
    let activity = activity();
    activity.idle_s | u32::from(activity.busy) << 31 | u32::from(activity.unsaved) << 30
}
