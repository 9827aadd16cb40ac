//! The only chance there is in a simulated world: a generator of our own, so that a seed means the same for ever.

use std::ops::RangeInclusive;

use leasehold_protocol::Entropy;

/// SplitMix64. Not for secrets: everything it makes is meant to be made again.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one purpose, independent of how often the others are asked.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        let mut child = Self(self.0 ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        child.draw();
        child
    }

    /// 64 random bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        u64::try_from((u128::from(self.draw()) * u128::from(end)) >> 64).unwrap_or(0)
    }

    /// A number of `range`.
    pub fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end().saturating_sub(*range.start()) + 1)
    }

    /// Whether something happens that happens `percent` times in 100.
    pub fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.below(100) < u64::from(percent)
    }
}

impl Entropy for Rng {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.draw().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_do_not_depend_on_how_often_their_parent_was_asked_through_another_fork() {
        let parent = Rng::new(7);
        let (mut a, mut b) = (parent.fork(1), parent.fork(2));
        assert_ne!(a.draw(), b.draw());
        assert_eq!(parent.fork(1).draw(), Rng::new(7).fork(1).draw());
    }

    #[test]
    fn chances_come_out_as_often_as_they_say() {
        let mut rng = Rng::new(1);
        let hits = (0..100_000).filter(|_| rng.chance(30)).count();
        assert!((29_000..31_000).contains(&hits), "{hits} of 100000 at 30 %");
        assert!((0..1000).all(|_| (5..=500).contains(&rng.within(&(5..=500)))));
    }
}
