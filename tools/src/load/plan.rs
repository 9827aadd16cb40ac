//! Who starts when and asks for what: the same for the same seed.

use std::time::Duration;

use leasehold_protocol::vocab::FeatureName;

/// One client's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// When it starts, counted from the beginning of the test.
    pub start: Duration,
    /// What it asks for.
    pub feature: FeatureName,
    /// Its index among the features of the test.
    pub feature_index: usize,
}

/// The parts of `clients` clients that start evenly over `ramp`, each somewhere in its own slice of it, and take
/// `features` in turn.
#[must_use]
pub fn parts(clients: u32, ramp: Duration, features: &[FeatureName], seed: u64) -> Vec<Part> {
    let mut random = SplitMix::new(seed);
    let slice = ramp.as_nanos() as f64 / f64::from(clients.max(1));
    (0..clients)
        .map(|i| {
            let nanos = slice * (f64::from(i) + random.fraction());
            let feature_index = i as usize % features.len();
            let feature = features[feature_index].clone();
            Part { start: Duration::from_secs_f64(nanos / 1e9), feature, feature_index }
        })
        .collect()
}

/// SplitMix64: a few lines that give the same numbers everywhere. Decides when and what; keys and claims come from the
/// operating system.
pub struct SplitMix(u64);

impl SplitMix {
    /// The numbers of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number of 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Vec<FeatureName> {
        ["A", "B"].iter().map(|name| FeatureName::new(name).unwrap()).collect()
    }

    #[test]
    fn starts_are_in_order_inside_the_ramp_and_the_same_for_a_seed() {
        let ramp = Duration::from_secs(10);
        let parts = parts(1_000, ramp, &features(), 7);
        assert!(parts.windows(2).all(|pair| pair[0].start <= pair[1].start));
        assert!(parts.last().is_some_and(|part| part.start <= ramp));
        assert_eq!(parts, super::parts(1_000, ramp, &features(), 7));
        assert_ne!(parts, super::parts(1_000, ramp, &features(), 8));
    }

    #[test]
    fn features_are_taken_in_turn() {
        let parts = parts(3, Duration::ZERO, &features(), 1);
        let names: Vec<&str> = parts.iter().map(|part| part.feature.as_str()).collect();
        assert_eq!(names, ["A", "B", "A"]);
    }
}
