//! Which questions are out, and since when.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::outcome::Tally;

/// A lane is one question in flight: `window` of them on each socket. A question's *tag* is its lane in the low byte and,
/// above, how often that lane has asked: an answer that comes too late is no answer to the next question.
pub(super) struct Lanes {
    window: usize,
    all: Vec<Lane>,
    /// Free lanes of each socket; the one that has been free for longest asks next, so that all of them have their turn.
    free: Vec<VecDeque<u8>>,
    looked: Instant,
}

#[derive(Clone, Copy)]
struct Lane {
    sequence: u8,
    asked: Option<Instant>,
}

/// Questions of one lane before its tags come round.
pub const SEQUENCES: usize = 256;

/// How often what is out is looked through for what was lost.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The lane of its socket that asked the question with `tag`.
#[must_use]
pub const fn lane_of(tag: u16) -> usize {
    (tag & 0xff) as usize
}

impl Lanes {
    pub(super) fn new(sockets: usize, window: usize) -> Self {
        let last = u8::try_from(window.max(1) - 1).expect("at most 256 questions on a socket");
        let free = vec![(0..=last).collect(); sockets];
        let all = vec![Lane { sequence: 0, asked: None }; sockets * window];
        Self { window, all, free, looked: Instant::now() }
    }

    pub(super) fn in_flight(&self, socket: usize) -> usize {
        self.window - self.free[socket].len()
    }

    /// Takes a free lane for a question that was due at `asked`; its tag.
    pub(super) fn begin(&mut self, socket: usize, asked: Instant) -> Option<u16> {
        let n = self.free[socket].pop_front()?;
        let lane = &mut self.all[socket * self.window + usize::from(n)];
        lane.sequence = lane.sequence.wrapping_add(1);
        lane.asked = Some(asked);
        Some(u16::from_le_bytes([n, lane.sequence]))
    }

    /// The question with `tag` is answered; when it was asked, unless it had been given up.
    pub(super) fn end(&mut self, socket: usize, tag: u16) -> Option<Instant> {
        let [n, sequence] = tag.to_le_bytes();
        let lane = self.all[socket * self.window..][..self.window].get_mut(usize::from(n))?;
        let asked = if lane.sequence == sequence { lane.asked.take() } else { None };
        self.free[socket].extend(asked.map(|_| n));
        asked
    }

    /// Makes room for one more question if there is none; how many were given up for it.
    pub(super) fn free_one(&mut self, socket: usize) -> u64 {
        if !self.free[socket].is_empty() {
            return 0;
        }
        let lanes = self.all[socket * self.window..][..self.window].iter().enumerate();
        let Some((oldest, _)) = lanes.min_by_key(|(_, lane)| lane.asked) else { return 0 };
        self.all[socket * self.window + oldest].asked = None;
        self.free[socket].extend(u8::try_from(oldest));
        1
    }

    /// Gives up what has been out for longer than `patience`.
    pub(super) fn give_up(&mut self, patience: Duration, tally: &mut Tally) {
        let now = Instant::now();
        if now - self.looked < LOOK_EVERY.min(patience) {
            return;
        }
        self.looked = now;
        for (n, lane) in self.all.iter_mut().enumerate() {
            if lane.asked.take_if(|asked| now.saturating_duration_since(*asked) >= patience).is_some() {
                self.free[n / self.window].extend(u8::try_from(n % self.window));
                tally.lost(1);
            }
        }
    }
}
