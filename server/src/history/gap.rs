//! What is missing from the history.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use leasehold_protocol::time::UnixMillis;

/// A time from which something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first that is missing, or the last that is there before it.
    pub from: UnixMillis,
    /// The last that is missing.
    pub to: UnixMillis,
    /// How many events; `None`: nobody knows.
    pub events: Option<u64>,
    /// Why.
    pub why: String,
}

/// Gaps that are not in the file yet; more are told as one.
const GAPS_MAX: usize = 16;

/// Notes `gap`: as part of the last one if that is for the same reason, or if there are too many.
pub(super) fn note(gaps: &mut Vec<Gap>, gap: Gap) {
    let has_room = gaps.len() < GAPS_MAX;
    match gaps.last_mut().filter(|last| last.why == gap.why || !has_room) {
        Some(last) => {
            last.from = last.from.min(gap.from);
            last.to = last.to.max(gap.to);
            last.events = last.events.zip(gap.events).map(|(a, b)| a.saturating_add(b));
        }
        None => gaps.push(gap),
    }
}

/// What found no room in the queue since somebody looked. Workers add to it, and never wait for it.
#[derive(Debug)]
pub(super) struct Missed {
    events: AtomicU64,
    first_ms: AtomicU64,
    last_ms: AtomicU64,
}

impl Default for Missed {
    fn default() -> Self {
        Self { events: AtomicU64::new(0), first_ms: AtomicU64::new(u64::MAX), last_ms: AtomicU64::new(0) }
    }
}

impl Missed {
    /// One event of `at`.
    pub(super) fn add(&self, at: UnixMillis) {
        self.first_ms.fetch_min(at.0, Relaxed);
        self.last_ms.fetch_max(at.0, Relaxed);
        self.events.fetch_add(1, Relaxed);
    }

    /// What it was; one that is added meanwhile may stand a look later, under its own time or that of its neighbours.
    pub(super) fn take(&self, now: UnixMillis) -> Option<Gap> {
        let events = self.events.swap(0, Relaxed);
        if events == 0 {
            return None;
        }
        let from = UnixMillis(self.first_ms.swap(u64::MAX, Relaxed)).min(now);
        let to = UnixMillis(self.last_ms.swap(0, Relaxed)).max(from);
        Some(Gap { from, to, events: Some(events), why: "more happened than could be written".to_owned() })
    }
}
