//! Datagrams that wait to be taken, in buffers that are used again.

use std::collections::{BTreeMap, VecDeque};

use leasehold_protocol::time::Mono;

use crate::Transmit;

/// What this engine is about to send.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: VecDeque<(Transmit, Vec<u8>)>,
    /// What waits for its instant, then in order of arrival.
    later: BTreeMap<(Mono, u64), (Transmit, Vec<u8>)>,
    arrivals: u64,
    spare: Vec<Vec<u8>>,
}

/// Datagrams that may wait for their instant at once; more are dropped. Five seconds' worth of OFFERs.
const LATER_MAX: usize = 1024;
/// Buffers kept for use again.
const SPARE_MAX: usize = 64;

impl Outbox {
    /// An empty buffer.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Queues `datagram`.
    pub(super) fn push(&mut self, to: Transmit, datagram: Vec<u8>) {
        self.ready.push_back((to, datagram));
    }

    /// Queues `datagram` for `at`.
    pub(super) fn push_at(&mut self, at: Mono, to: Transmit, datagram: Vec<u8>) {
        if self.later.len() < LATER_MAX {
            self.arrivals += 1;
            self.later.insert((at, self.arrivals), (to, datagram));
        }
    }

    /// Moves what waited for `now` or earlier to the queue.
    pub(super) fn release(&mut self, now: Mono) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            self.ready.push_back(entry.remove());
        }
    }

    /// Swaps the next datagram into `out`; `out` is empty if there is none.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        out.clear();
        let (to, mut datagram) = self.ready.pop_front()?;
        std::mem::swap(out, &mut datagram);
        if self.spare.len() < SPARE_MAX {
            self.spare.push(datagram);
        }
        Some(to)
    }

    /// When something that waits is due.
    pub(super) fn next(&self) -> Option<Mono> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> Transmit {
        Transmit { to: ([127, 0, 0, 1], port).into(), from: None }
    }

    #[test]
    fn datagrams_leave_in_order_and_their_buffers_are_used_again() {
        let mut outbox = Outbox::default();
        outbox.push(to(1), vec![1; 100]);
        outbox.push(to(2), vec![2]);
        let mut out = Vec::with_capacity(1200);
        assert_eq!(outbox.take(&mut out), Some(to(1)));
        assert_eq!(out, [1; 100]);
        assert!(outbox.buffer().capacity() >= 1200, "the one that was handed in");
        assert_eq!(outbox.take(&mut out), Some(to(2)));
        assert_eq!(outbox.take(&mut out), None);
        assert!(out.is_empty());
    }

    #[test]
    fn what_waits_leaves_at_its_instant_and_no_more_than_fit_may_wait() {
        let mut outbox = Outbox::default();
        outbox.push_at(Mono(20), to(2), vec![2]);
        outbox.push_at(Mono(10), to(1), vec![1]);
        (0..5000).for_each(|_| outbox.push_at(Mono(30), to(3), vec![3]));
        assert_eq!((outbox.next(), outbox.later.len()), (Some(Mono(10)), LATER_MAX));
        outbox.release(Mono(20));
        let mut out = vec![];
        assert_eq!((outbox.take(&mut out), outbox.take(&mut out)), (Some(to(1)), Some(to(2))));
        assert_eq!((outbox.take(&mut out), outbox.next()), (None, Some(Mono(30))));
    }
}
