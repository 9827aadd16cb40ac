//! Which places of an array are free: a stack of indices with no lock.

use super::sync::{AtomicU32, AtomicU64, Ordering};

/// The link a place carries while it is in the list. It may mean something else while it is not.
#[derive(Debug)]
pub(crate) struct Link(pub(super) AtomicU64);

/// A Treiber stack over places that are never freed, so there is no memory to reclaim and nothing unsafe: the head packs
/// the top's index with a tag that grows with every change, and a change that looked at an older head fails.
///
/// The tag has 32 bits. For the ABA problem to come back, four thousand million changes would have to fall between one
/// thread's load and its compare-and-swap, and end on the same index.
#[derive(Debug)]
pub(crate) struct FreeList {
    /// tag 32 | index + 1, or 0 for an empty list.
    head: AtomicU64,
    /// The first index that was never used.
    fresh: AtomicU32,
}

impl Link {
    /// A link to nothing.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Points to `next`. Relaxed: published by the head, and read by who has seen the head.
    pub(super) fn set(&self, next: Option<u32>) {
        self.0.store(next.map_or(0, |next| u64::from(next) + 1), Ordering::Relaxed);
    }

    /// What it points to.
    pub(super) fn get(&self) -> Option<u32> {
        self.word().checked_sub(1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "an index and one; anything else is thrown away unread")]
    fn word(&self) -> u32 {
        self.0.load(Ordering::Relaxed) as u32
    }
}

impl FreeList {
    /// A list in which every index from 0 on is free.
    pub(crate) fn new() -> Self {
        Self { head: AtomicU64::new(0), fresh: AtomicU32::new(0) }
    }

    /// Takes a free index below `len_max`, used ones first; `None` if there is none. It is the caller's alone until it
    /// is pushed back.
    pub(crate) fn pop<'a>(&self, len_max: u32, link: impl Fn(u32) -> Option<&'a Link>) -> Option<u32> {
        self.pop_used(link).or_else(|| self.take_fresh(1, len_max).next())
    }

    /// Puts `index` back, whose link is `link`. The caller must be its only owner.
    ///
    /// Ordering: `Release` publishes the link and the owner's last writes to whoever pops it. The load is `Relaxed`: only its
    /// value is used, and the compare-and-swap checks it.
    pub(crate) fn push(&self, index: u32, link: &Link) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            #[expect(clippy::cast_possible_truncation, reason = "the low half is the index")]
            link.set((head as u32).checked_sub(1));
            match self.head.compare_exchange_weak(head, retagged(head, index + 1), Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// How many indices were ever used: none beyond it holds anything.
    pub(crate) fn reached(&self) -> u32 {
        // Relaxed: a reader that misses the newest one has read a moment earlier.
        self.fresh.load(Ordering::Relaxed)
    }

    /// Takes the top of the list.
    ///
    /// Ordering: the `Acquire` of head pairs with the `Release` in [`FreeList::push`]: the link read after it is the one
    /// that was pushed, and so is everything the last owner wrote to the place. The link is `Relaxed`: if another thread
    /// took the top meanwhile and is writing its link, the tag makes our compare-and-swap fail and what we read is
    /// thrown away.
    /// Progress: lock-free.
    /// Model: `tests/loom_slab.rs::a_free_slot_is_taken_by_one`.
    pub(super) fn pop_used<'a>(&self, link: impl Fn(u32) -> Option<&'a Link>) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        while let Some(index) = top(head) {
            let next = link(index)?.word();
            match self.head.compare_exchange_weak(head, retagged(head, next), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(seen) => head = seen,
            }
        }
        None
    }

    /// Takes up to `count` indices below `len_max` that were never used.
    pub(super) fn take_fresh(&self, count: u32, len_max: u32) -> std::ops::Range<u32> {
        // Relaxed: an index handed out here was never anybody's, so there is nothing to see.
        let end = |next: u32| next.saturating_add(count).min(len_max);
        let more = |next: u32| (next < len_max).then(|| end(next));
        self.fresh.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_or(0..0, |next| next..end(next))
    }
}

/// The index at the top of the list whose head is `head`.
#[expect(clippy::cast_possible_truncation, reason = "the low half is the index")]
const fn top(head: u64) -> Option<u32> {
    (head as u32).checked_sub(1)
}

/// `head` with another top and the next tag.
const fn retagged(head: u64, top: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | top as u64
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn indices_come_out_once_and_come_back() {
        let links: Vec<_> = (0..3).map(|_| Link::new()).collect();
        let list = FreeList::new();
        let pop = || list.pop(3, |i| links.get(i as usize));
        assert_eq!([pop(), pop(), pop(), pop()], [Some(0), Some(1), Some(2), None]);
        list.push(1, &links[1]);
        list.push(0, &links[0]);
        assert_eq!([pop(), pop(), pop()], [Some(0), Some(1), None]);
        assert_eq!(list.reached(), 3);
    }

    #[test]
    fn indices_that_were_never_used_come_in_runs() {
        let list = FreeList::new();
        assert_eq!((list.take_fresh(3, 5), list.take_fresh(3, 5), list.take_fresh(3, 5)), (0..3, 3..5, 0..0));
        assert_eq!(list.reached(), 5);
    }

    #[test]
    fn the_tag_wraps_without_touching_the_index() {
        assert_eq!(top(retagged(u64::MAX, 5)), Some(4));
        assert_eq!(retagged(u64::MAX, 5) >> 32, 0);
    }
}
