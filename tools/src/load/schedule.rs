//! When the operations of an open loop are due: at a rate, whatever the server does.

use std::time::Duration;

use super::plan::SplitMix;

/// Operations a second, from the beginning of a phase to its end; the same twice for a steady rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At the beginning.
    pub from: f64,
    /// At the end.
    pub to: f64,
}

impl Rate {
    /// A rate that does not change.
    #[must_use]
    pub const fn steady(rate: f64) -> Self {
        Self { from: rate, to: rate }
    }

    /// This rate times `share`.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        Self { from: self.from * share, to: self.to * share }
    }
}

/// How the operations of an open loop come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Each by itself, at random: many clients that know nothing of each other. The default: queues form as they do in life.
    #[default]
    Poisson,
    /// At equal distances: no queue that the server does not make itself.
    Even,
}

/// The due times of one thread's operations, in rising order and without end.
///
/// A number of operations is asked of a rate by its integral: the `n`-th of an even arrival is due when the integral is
/// `n`, that of a Poisson process when it is the sum of `n` exponential steps of mean 1.
pub struct Schedule {
    rate: Rate,
    over: f64,
    arrivals: Arrivals,
    random: SplitMix,
    reached: f64,
}

impl Schedule {
    /// Operations at `rate`, which goes from its first to its second value within `over`. `seed` decides the Poisson steps
    /// and where between two operations an even schedule begins, so that threads do not send in step.
    #[must_use]
    pub fn new(rate: Rate, over: Duration, arrivals: Arrivals, seed: u64) -> Self {
        let mut random = SplitMix::new(seed);
        let reached = -random.fraction();
        let reached = if arrivals == Arrivals::Even { reached } else { 0.0 };
        Self { rate, over: over.as_secs_f64().max(1e-9), arrivals, random, reached }
    }

    /// The time at which the rate's integral is `count`.
    fn at(&self, count: f64) -> Duration {
        let Rate { from, to } = self.rate;
        let slope = (to - from) / self.over;
        // Of the two roots of from·t + slope·t²/2 = count the one that also holds for a slope of 0.
        let root = slope.mul_add(2.0 * count, from * from).max(0.0).sqrt();
        Duration::try_from_secs_f64(2.0 * count / (from + root)).unwrap_or(Duration::MAX)
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.reached += match self.arrivals {
            Arrivals::Even => 1.0,
            // 1 less a fraction below 1 is never 0.
            Arrivals::Poisson => -(1.0 - self.random.fraction()).ln(),
        };
        Some(self.at(self.reached))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn within(rate: Rate, arrivals: Arrivals, seed: u64) -> Vec<Duration> {
        Schedule::new(rate, MINUTE, arrivals, seed).take_while(|due| *due < MINUTE).collect()
    }

    #[test]
    fn even_operations_are_equally_far_apart_and_as_many_as_the_rate_says() {
        let due = within(Rate::steady(100.0), Arrivals::Even, 1);
        assert_eq!(due.len(), 6_000);
        let gap = Duration::from_millis(10);
        assert!(due.windows(2).all(|two| (two[1] - two[0]).abs_diff(gap) < Duration::from_nanos(10)));
    }

    #[test]
    fn poisson_operations_come_at_the_rate_and_bunch_as_chance_has_it() {
        let due = within(Rate::steady(1_000.0), Arrivals::Poisson, 1);
        assert!((59_000..61_000).contains(&due.len()), "{}", due.len());
        assert!(due.windows(2).all(|two| two[0] <= two[1]));
        // Of exponential gaps, 1 - 1/e are below the mean.
        let short = due.windows(2).filter(|two| two[1] - two[0] < Duration::from_millis(1)).count();
        let part = short as f64 / due.len() as f64;
        assert!((0.61..0.66).contains(&part), "{part}");
    }

    #[test]
    fn a_ramp_has_as_many_operations_as_its_mean_and_more_of_them_late() {
        let due = within(Rate { from: 0.0, to: 200.0 }, Arrivals::Even, 3);
        assert!((5_999..=6_001).contains(&due.len()), "{}", due.len());
        let early = due.iter().filter(|at| **at < MINUTE / 2).count();
        assert!((1_499..=1_501).contains(&early), "a quarter of the area: {early}");
        let down = within(Rate { from: 200.0, to: 0.0 }, Arrivals::Even, 3);
        let early = down.iter().filter(|at| **at < MINUTE / 2).count();
        assert!((4_499..=4_501).contains(&early), "{early}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let rate = Rate::steady(50.0);
        assert_eq!(within(rate, Arrivals::Poisson, 7), within(rate, Arrivals::Poisson, 7));
        assert_ne!(within(rate, Arrivals::Poisson, 7), within(rate, Arrivals::Poisson, 8));
    }
}
