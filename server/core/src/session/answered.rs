//! The handshakes answered last, so that the same HELLO1 again gets the same HELLO2 for the price of a look (SPEC 3.3.2).
//!
//! A lost HELLO2, or one that came later than its client's patience, is asked for by the same HELLO1. Without this memory
//! each copy would cost four key agreements and a half-open session, and the busier the server the more copies come.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use leasehold_protocol::packet::Hello2;

use crate::lock;

/// Answers by the `mac1` of what they answered, oldest forgotten first. A mac is keyed by the realm's own key, so nobody
/// but its clients can choose one.
pub(crate) struct Answered {
    kept: Mutex<Kept>,
    len_max: usize,
}

#[derive(Default)]
struct Kept {
    by_mac: BTreeMap<[u8; 16], Hello2>,
    order: VecDeque<[u8; 16]>,
}

impl Answered {
    /// Nothing answered yet, and room for `len_max`.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { kept: Mutex::default(), len_max: len_max.max(1) }
    }

    /// What was said to the HELLO1 with `mac1`.
    pub(crate) fn get(&self, mac1: &[u8; 16]) -> Option<Hello2> {
        lock(&self.kept).by_mac.get(mac1).copied()
    }

    /// Notes what is said to the HELLO1 with `mac1`.
    pub(crate) fn put(&self, mac1: [u8; 16], answer: Hello2) {
        let mut kept = lock(&self.kept);
        if kept.by_mac.insert(mac1, answer).is_none() {
            kept.order.push_back(mac1);
        }
        if kept.order.len() > self.len_max
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_mac.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn answer(sid: u32) -> Hello2 {
        let mut hello = Hello2::new_zeroed();
        hello.server_sid = sid.into();
        hello
    }

    #[test]
    fn the_last_answers_are_remembered_and_no_more() {
        let answered = Answered::new(2);
        (0..3u8).for_each(|n| answered.put([n; 16], answer(u32::from(n))));
        answered.put([2; 16], answer(9));
        let sid = |n: u8| answered.get(&[n; 16]).map(|hello| hello.server_sid.get());
        assert_eq!([sid(0), sid(1), sid(2)], [None, Some(1), Some(9)]);
    }
}
