//! What a load test counted: latencies by kind, and everything that went wrong.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use leasehold_protocol::vocab::Denial;
use serde::Serialize;

use crate::exit::Failure;

/// Latencies are kept in microseconds up to this, with three digits: longer than any patience of ours.
const LATENCY_MAX_US: u64 = 600_000_000;

/// What a latency is of, and what it is counted from. *Due* is when it was to happen, whatever held it up: a stall is
/// seen in each operation it delayed, not only in the one that met it (no coordinated omission).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From when a checkout was due until its grant; of a population's client with its handshake.
    Checkout,
    /// From when a renewal was due until its answer.
    Renewal,
    /// From when a renewal was first sent until its answer: what the network and the server alone took.
    Answer,
    /// From when a release was due until its answer.
    Release,
    /// From when a checkout was due until the answer to the release that followed its grant.
    Pair,
    /// From when a checkout was due until it was denied.
    Denial,
    /// From when an operation was due until we sent it: how far this program itself was behind.
    Lateness,
}

impl Kind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] =
        [Self::Checkout, Self::Renewal, Self::Answer, Self::Release, Self::Pair, Self::Denial, Self::Lateness];

    /// The name in JSON, CSV and the tags of histogram logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkouts",
            Self::Renewal => "renewals",
            Self::Answer => "answers",
            Self::Release => "releases",
            Self::Pair => "pairs",
            Self::Denial => "denials",
            Self::Lateness => "lateness",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Checkout => "checkouts",
            Self::Renewal => "renewals, from when due",
            Self::Answer => "renewals, from when sent",
            Self::Release => "releases",
            Self::Pair => "pairs of checkout and release",
            Self::Denial => "denials",
            Self::Lateness => "sent after it was due",
        }
    }
}

/// The counts of one thread and one second, or of all of them together.
#[derive(Clone, Debug)]
pub struct Tally {
    latency: [Latency; Kind::ALL.len()],
    /// Everything else.
    pub counts: Counts,
    /// Denials by code.
    pub denials: BTreeMap<Denial, u64>,
}

/// Plain counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams for no client of ours.
    pub datagrams_strange: u64,
    /// Datagrams the system did not take from us, counted as lost on the way.
    pub send_failures: u64,
    /// Handshakes finished.
    pub connects: u64,
    /// Operations answered in the time measured; a pair is one. Not counted for a population.
    pub operations: u64,
    /// Renewals, requests and releases sent again for want of an answer.
    pub retries: u64,
    /// Operations given up for want of an answer.
    pub unanswered: u64,
    /// Operations that were due and never sent: every lease was busy, or we were more than 5 s behind.
    pub unsent: u64,
    /// Answers to operations that were answered already or given up: what retries bring.
    pub answers_again: u64,
    /// Renewals beside the plan, so that a lease the plan does not renew in time stays alive.
    pub upkeep: u64,
    /// Times a client was without an answer for so long that its lease was in danger.
    pub danger: u64,
    /// Leases lost.
    pub lost: u64,
    /// Leases that came back after they were lost.
    pub regained: u64,
    /// Leases of a population that were never granted.
    pub never_held: u64,
    /// Leases whose release was not answered.
    pub not_released: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.datagrams_sent += other.datagrams_sent;
        self.datagrams_received += other.datagrams_received;
        self.datagrams_strange += other.datagrams_strange;
        self.send_failures += other.send_failures;
        self.connects += other.connects;
        self.operations += other.operations;
        self.retries += other.retries;
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
        self.answers_again += other.answers_again;
        self.upkeep += other.upkeep;
        self.danger += other.danger;
        self.lost += other.lost;
        self.regained += other.regained;
        self.never_held += other.never_held;
        self.not_released += other.not_released;
    }
}

impl Tally {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// None in practice: the bounds of the histograms are constants.
    pub fn new() -> Result<Self, Failure> {
        let none = Latency::new()?;
        let latency = std::array::from_fn(|_| none.clone());
        Ok(Self { latency, counts: Counts::default(), denials: BTreeMap::new() })
    }

    /// Adds another's.
    ///
    /// # Errors
    /// None in practice: all histograms have the same bounds.
    pub fn add(&mut self, other: &Self) -> Result<(), Failure> {
        self.latency.iter_mut().zip(&other.latency).try_for_each(|(all, one)| all.add(one))?;
        self.counts.add(&other.counts);
        other.denials.iter().for_each(|(code, count)| *self.denials.entry(*code).or_default() += count);
        Ok(())
    }

    /// The latencies of `kind`.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Latency {
        &self.latency[kind as usize]
    }

    /// Counts one latency.
    pub fn record(&mut self, kind: Kind, took: Duration) {
        self.latency[kind as usize].record(took);
    }

    /// Counts one of a series due every `every`, and with it those that were due while it was waited for.
    pub fn record_paced(&mut self, kind: Kind, took: Duration, every: Duration) {
        self.latency[kind as usize].record_paced(took, every);
    }
}

/// A histogram of latencies in microseconds.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Latency {
    fn new() -> Result<Self, Failure> {
        Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
            .map(Self)
            .map_err(|e| Failure::new("cannot make a histogram").because_of(&e))
    }

    fn add(&mut self, other: &Self) -> Result<(), Failure> {
        if other.0.is_empty() {
            return Ok(());
        }
        self.0.add(&other.0).map_err(|e| Failure::new("cannot join two histograms").because_of(&e))
    }

    fn record(&mut self, took: Duration) {
        self.0.saturating_record(micros(took));
    }

    fn record_paced(&mut self, took: Duration, every: Duration) {
        let took = micros(took).min(LATENCY_MAX_US);
        // In bounds, so it cannot fail.
        let _ = self.0.record_correct(took, micros(every));
    }

    /// The histogram itself.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// The figures people quote.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let at = |quantile: f64| self.0.value_at_quantile(quantile);
        Summary {
            count: self.0.len(),
            mean_us: if self.0.is_empty() { 0.0 } else { self.0.mean() },
            p50_us: at(0.50),
            p90_us: at(0.90),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max(),
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half were faster.
    pub p50_us: u64,
    /// Nine of ten were faster.
    pub p90_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
    /// 999 of 1 000 were faster.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_counted_for_each_renewal_it_delayed() {
        let mut tally = Tally::new().unwrap();
        tally.record_paced(Kind::Renewal, Duration::from_millis(1000), Duration::from_millis(100));
        // 1000, 900, 800 ... 100 ms: ten were due.
        assert_eq!(tally.of(Kind::Renewal).summary().count, 10);
    }

    #[test]
    fn threads_add_up() {
        let mut all = Tally::new().unwrap();
        let mut one = Tally::new().unwrap();
        one.record(Kind::Answer, Duration::from_micros(250));
        one.counts.lost = 2;
        one.denials.insert(Denial::NO_SEAT, 3);
        all.add(&one).unwrap();
        all.add(&one).unwrap();
        assert_eq!((all.of(Kind::Answer).summary().count, all.counts.lost), (2, 4));
        assert_eq!(all.denials[&Denial::NO_SEAT], 6);
        assert_eq!(all.of(Kind::Answer).summary().p50_us, 250);
    }
}
