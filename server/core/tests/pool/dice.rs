//! Chance that a seed brings back, and what a run may be told from outside.

use std::str::FromStr;

/// SplitMix64: as random as a test needs, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of `0..sides`.
    pub fn below(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll() % sides as u64).unwrap()
    }

    /// One of `1..=sides`.
    pub fn seats(&mut self, sides: u32) -> u32 {
        1 + u32::try_from(self.roll() % u64::from(sides)).unwrap()
    }

    /// Once in `times`.
    pub const fn once_in(&mut self, times: u64) -> bool {
        self.roll().is_multiple_of(times)
    }
}

/// The number in the environment variable `name`, or `otherwise`.
#[expect(clippy::disallowed_methods, reason = "a test may be told how long to run")]
pub fn told<T: FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
