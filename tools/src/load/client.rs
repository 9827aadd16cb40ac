//! One client of the load test: a holder, and what is measured about it.

use std::time::Duration;

use leasehold::holder::{Holder, HolderConfig, LeaseHandle};
use leasehold_protocol::vocab::{FeatureName, LeaseId};
use leasehold_server::clock::SystemEntropy;

use super::plan::Part;
use crate::hand::identity;

/// Where a client is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Waiting,
    /// No seat yet.
    Asking,
    /// Holds a seat, or did and wants it back.
    Holding,
    /// Gives it back.
    Leaving,
    /// Nothing more to do.
    Over,
}

/// A client. Times are since the beginning of the test.
pub struct Client {
    /// The SDK's own half.
    pub holder: Holder,
    /// What it asks for.
    pub feature: FeatureName,
    /// Its lease, once it asked.
    pub lease: Option<LeaseHandle>,
    /// Where it is on its way.
    pub phase: Phase,
    /// The deadline that is filed for it, in milliseconds.
    pub armed: Option<u64>,
    /// The latest time it was told, in milliseconds.
    pub told_ms: u64,
    /// When its checkout or its release was due, in milliseconds.
    pub asked_at: u64,
    /// The lease it holds now.
    pub held_since: Option<LeaseId>,
    /// Whether it ever held a seat.
    pub has_held: bool,
    /// Datagrams it had to send again.
    pub retries: u64,
    /// The renewal that is out: when it was due and when it was sent.
    renewal: Option<(Duration, Duration)>,
    start: Duration,
}

impl Client {
    /// A client that does `part` and renews every `every`.
    pub fn new(config: &HolderConfig, part: &Part, every: Option<Duration>) -> Self {
        let mut holder = Holder::new(config.clone(), identity("leasehold load"), Box::new(SystemEntropy));
        holder.renew_every(every);
        Self {
            holder,
            feature: part.feature.clone(),
            lease: None,
            phase: Phase::Waiting,
            armed: None,
            told_ms: 0,
            asked_at: 0,
            held_since: None,
            has_held: false,
            retries: 0,
            renewal: None,
            start: part.start,
        }
    }

    /// When it starts, in milliseconds.
    pub fn start_ms(&self) -> u64 {
        u64::try_from(self.start.as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes sealed frames sent at `sent` because of the deadline `due`. While it holds a seat they are a renewal, or
    /// one again.
    pub fn sent_data(&mut self, due: Option<u64>, sent: Duration) {
        let Some(due) = due else { return };
        match (self.phase, &self.renewal) {
            (Phase::Holding, None) => self.renewal = Some((Duration::from_millis(due), sent)),
            (Phase::Holding | Phase::Asking | Phase::Leaving, _) => self.retries += 1,
            _ => {}
        }
    }

    /// The renewal that is out has been answered: when it was due and when it was sent.
    pub fn answered(&mut self) -> Option<(Duration, Duration)> {
        self.renewal.take()
    }

    /// It holds `lease`. Returns the change in seats held: 1, or 0 if it held one already and a restarted server
    /// confirmed it.
    pub fn granted(&mut self, lease: LeaseId) -> i64 {
        if self.phase == Phase::Asking {
            self.phase = Phase::Holding;
        }
        self.has_held = true;
        self.renewal = None;
        if self.held_since.replace(lease).is_none() { 1 } else { 0 }
    }

    /// It holds nothing any more. Returns the change in seats held: -1, or 0 if it held none.
    pub fn lost(&mut self) -> i64 {
        self.renewal = None;
        if self.held_since.take().is_some() { -1 } else { 0 }
    }
}
