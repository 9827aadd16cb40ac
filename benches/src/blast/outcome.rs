//! What came of a load.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Reads the processor time that a server has used so far.
pub type Probe<'a> = dyn Fn() -> Duration + 'a;

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Questions that were asked.
    pub asked: u64,
    /// Answers that came in time.
    pub answered: u64,
    /// Questions that were given up.
    pub lost: u64,
    /// How long it took.
    pub took: Duration,
    /// Processor time of the server meanwhile.
    pub cpu: Duration,
    nanos: Histogram<u64>,
}

/// What comes of a load, while it comes.
pub struct Tally {
    asked: u64,
    lost: u64,
    nanos: Histogram<u64>,
}

/// The longest time that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(100);

impl Tally {
    /// Nothing yet.
    ///
    /// # Panics
    /// Never: the bounds are constants.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is large: nobody makes one by the way")]
    pub fn new() -> Self {
        let nanos = Histogram::new_with_bounds(100, nanos(LONGEST), 3).expect("constant bounds");
        Self { asked: 0, lost: 0, nanos }
    }

    /// One more question.
    pub fn asked(&mut self) {
        self.asked += 1;
    }

    /// One more answer, after so long; `None` came too late to count.
    pub fn answered(&mut self, after: Option<Duration>) {
        if let Some(after) = after {
            self.nanos.saturating_record(nanos(after));
        }
    }

    /// So many questions more were given up.
    pub fn lost(&mut self, questions: u64) {
        self.lost += questions;
    }

    /// The sum of it.
    #[must_use]
    pub fn finish(self, took: Duration, cpu: Duration) -> Outcome {
        let Self { asked, lost, nanos } = self;
        Outcome { asked, answered: nanos.len(), lost, took, cpu, nanos }
    }
}

impl Outcome {
    /// Answers a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// The server's processor time for each answer, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.answered as f64
    }

    /// The part of one processor that the server used. Well below 1, it had to wait for the load.
    #[must_use]
    pub fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.as_secs_f64()
    }

    /// The part of the questions that were given up.
    #[must_use]
    pub fn share_lost(&self) -> f64 {
        self.lost as f64 / (self.answered + self.lost).max(1) as f64
    }

    /// The time below which lie `share` of the round trips, in microseconds.
    #[must_use]
    pub fn micros(&self, share: f64) -> f64 {
        if self.answered == 0 { f64::NAN } else { self.nanos.value_at_quantile(share) as f64 / 1e3 }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
