//! How long single operations take, where the thread was not sent off the processor meanwhile.

use std::time::{Duration, Instant};

use crate::machine::Turns;

/// Times of single operations.
#[derive(Default)]
pub struct Latencies {
    turns: Option<Turns>,
    clock: Duration,
    fresh: Vec<Duration>,
    kept: Vec<Duration>,
    cut: usize,
    batches: usize,
}

/// Times what it is told to.
pub struct Watch<'a> {
    clock: Duration,
    times: &'a mut Vec<Duration>,
}

/// Operations between two looks at whether the thread was sent off.
const BATCH: u32 = 1024;

impl Latencies {
    /// None yet. Finds out what the clock itself takes.
    #[must_use]
    pub fn new() -> Self {
        let mut empty: Vec<_> = (0..1001).map(|_| Instant::now()).map(|start| start.elapsed()).collect();
        empty.sort_unstable();
        Self { turns: Turns::of_this_thread(), clock: empty[500], ..Self::default() }
    }

    /// Runs `each` some hundred times and keeps what it timed, unless the thread lost its processor meanwhile.
    pub fn batch(&mut self, mut each: impl FnMut(u32, &mut Watch<'_>)) {
        let before = self.turns.as_mut().and_then(Turns::count);
        let mut watch = Watch { clock: self.clock, times: &mut self.fresh };
        (0..BATCH).for_each(|n| each(n, &mut watch));
        if self.turns.as_mut().and_then(Turns::count) == before {
            self.kept.append(&mut self.fresh);
        } else {
            self.cut += 1;
            self.fresh.clear();
        }
        self.batches += 1;
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        self.kept.append(&mut other.kept);
        self.cut += other.cut;
        self.batches += other.batches;
        self
    }

    /// The times in nanoseconds below which lie `shares` of them; the longest for a share of 1.
    #[must_use]
    pub fn quantiles<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        self.kept.sort_unstable();
        let last = self.kept.len().saturating_sub(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        shares.map(|share| self.kept.get((share * last).ceil() as usize).map_or(f64::NAN, |time| nanos(*time)))
    }

    /// The part of the batches that were thrown away.
    #[must_use]
    pub fn share_cut(&self) -> f64 {
        self.cut as f64 / self.batches.max(1) as f64
    }
}

impl Watch<'_> {
    /// Times `operation`, less what the clock takes.
    #[inline]
    pub fn time(&mut self, operation: impl FnOnce()) {
        let start = Instant::now();
        operation();
        self.times.push(start.elapsed().saturating_sub(self.clock));
    }
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
