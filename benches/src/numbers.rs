//! Numbers of several rounds, and how they are shown.

use std::fmt;

/// One number a round.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds the number of one more round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let half = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => sorted[half],
            _ => f64::midpoint(sorted[half - 1], sorted[half]),
        }
    }

    /// The smallest and the greatest.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(f64::NAN), sorted.last().copied().unwrap_or(f64::NAN))
    }

    /// Round by round, this divided by `other`: what disturbs a round disturbs both.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        self.with(other, |this, other| this / other)
    }

    /// Round by round, `join` of this and `other`.
    #[must_use]
    pub fn with(&self, other: &Self, join: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(this, other)| join(*this, *other)).collect())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Rounds {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// `median [least–most]`, in as many digits as they deserve.
impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((least, most), median) = (self.spread(), self.median());
        let digits = digits(median);
        if least.total_cmp(&most).is_eq() {
            write!(f, "{median:.digits$}")
        } else {
            write!(f, "{median:.digits$} [{least:.digits$}–{most:.digits$}]")
        }
    }
}

fn digits(value: f64) -> usize {
    match value.abs() {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_spread_at_the_ends() {
        let rounds = Rounds::from_iter([3.0, 1.0, 2.0]);
        assert_eq!((rounds.median(), rounds.spread()), (2.0, (1.0, 3.0)));
        assert_eq!(Rounds::from_iter([4.0, 1.0]).median(), 2.5);
        assert_eq!(rounds.to_string(), "2.00 [1.00–3.00]");
        assert!(Rounds::default().median().is_nan());
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let (slow, fast) = (Rounds::from_iter([10.0, 20.0]), Rounds::from_iter([5.0, 10.0]));
        assert_eq!(slow.over(&fast).to_string(), "2.00");
    }
}
