//! One client of a population: a holder, and what is measured about it.

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
    /// Without the first answer to one of its leases.
    Asking,
    /// Holds seats, or did and wants them back.
    Holding,
    /// Gives them back.
    Leaving,
    /// Nothing more to do.
    Over,
}

/// A client. Times are since the beginning of the phase.
pub struct Client {
    /// The SDK's own half.
    pub holder: Holder,
    /// What it asks for.
    pub feature: FeatureName,
    /// Its index among the features of the test.
    pub feature_index: usize,
    /// Where it is on its way.
    pub phase: Phase,
    /// The deadline that is filed for it, in milliseconds.
    pub armed: Option<u64>,
    /// The latest time it was told, in milliseconds.
    pub told_ms: u64,
    /// When its checkouts or its releases were due, in milliseconds.
    pub asked_at: u64,
    /// Datagrams it had to send again.
    pub retries: u64,
    leases: Vec<Lease>,
    renewal: Option<Renewal>,
    start: Duration,
}

struct Lease {
    handle: LeaseHandle,
    /// The lease it is now.
    now: Option<LeaseId>,
    answer: Answer,
}

/// The first answer a lease had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    None,
    Granted,
    Denied,
    /// It was granted, and its release was answered.
    Released,
}

/// The datagram of renewals that was sent last. The holder joins the renewals of its leases, so its answers are many.
#[derive(Clone, Copy)]
struct Renewal {
    due: Duration,
    sent: Duration,
    answered: bool,
}

/// The SDK waits at least this long before it asks again (SPEC 9.1). What is sent sooner renews other leases of the client.
const AGAIN_MIN: Duration = Duration::from_millis(100);

/// What a grant changed.
pub struct Granted {
    /// The lease was never held before.
    pub is_first: bool,
    /// The lease it was until now.
    pub was: Option<LeaseId>,
}

impl Client {
    /// A client that does `part` and renews every `every`.
    pub fn new(config: &HolderConfig, part: &Part, every: Option<Duration>) -> Self {
        let mut holder = Holder::new(config.clone(), identity("leasehold load"), Box::new(SystemEntropy));
        holder.renew_every(every);
        Self {
            holder,
            feature: part.feature.clone(),
            feature_index: part.feature_index,
            phase: Phase::Waiting,
            armed: None,
            told_ms: 0,
            asked_at: 0,
            retries: 0,
            leases: Vec::new(),
            renewal: None,
            start: part.start,
        }
    }

    /// When it starts, in milliseconds.
    pub fn start_ms(&self) -> u64 {
        u64::try_from(self.start.as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes a lease it has asked for.
    pub fn ask(&mut self, handle: LeaseHandle) {
        self.leases.push(Lease { handle, now: None, answer: Answer::None });
    }

    /// Notes sealed frames sent at `sent` because of the deadline `due`. While it holds seats they are renewals, or the
    /// same ones again.
    pub fn sent_data(&mut self, due: Option<u64>, sent: Duration) {
        let Some(due) = due.map(Duration::from_millis) else { return };
        let is_again = |last: Renewal| !last.answered && due.saturating_sub(last.due) >= AGAIN_MIN;
        match (self.phase, self.renewal) {
            (Phase::Holding, last) if !last.is_some_and(is_again) => {
                self.renewal = Some(Renewal { due, sent, answered: false });
            }
            (Phase::Holding | Phase::Asking | Phase::Leaving, _) => self.retries += 1,
            _ => {}
        }
    }

    /// A renewal of the datagram sent last has been answered: when it was due and when it was sent.
    pub fn answered(&mut self) -> Option<(Duration, Duration)> {
        let renewal = self.renewal.as_mut()?;
        renewal.answered = true;
        Some((renewal.due, renewal.sent))
    }

    /// It holds `lease`, for the first time or again.
    pub fn granted(&mut self, handle: LeaseHandle, lease: LeaseId) -> Granted {
        self.renewal = None;
        let Some(of) = self.lease(handle) else { return Granted { is_first: true, was: None } };
        let is_first = of.answer != Answer::Granted;
        of.answer = Answer::Granted;
        Granted { is_first, was: of.now.replace(lease) }
    }

    /// A lease was denied. Whether that is its first answer.
    pub fn denied(&mut self, handle: LeaseHandle) -> bool {
        match self.lease(handle) {
            Some(of) if of.answer == Answer::None => {
                of.answer = Answer::Denied;
                true
            }
            _ => false,
        }
    }

    /// A lease is lost: which one it was.
    pub fn gone(&mut self, handle: LeaseHandle) -> Option<LeaseId> {
        self.renewal = None;
        self.lease(handle)?.now.take()
    }

    /// A release was answered.
    pub fn released(&mut self, handle: LeaseHandle) {
        if let Some(of) = self.lease(handle) {
            of.answer = Answer::Released;
        }
    }

    /// It lets go of everything: the leases it held.
    pub fn drop_all(&mut self) -> std::vec::IntoIter<LeaseId> {
        self.renewal = None;
        self.leases.iter_mut().filter_map(|lease| lease.now.take()).collect::<Vec<_>>().into_iter()
    }

    /// Whether each of its leases has had a first answer.
    pub fn has_all_answers(&self) -> bool {
        self.leases.iter().all(|lease| lease.answer != Answer::None)
    }

    /// How many of its leases it ever held.
    pub fn ever_held(&self) -> u64 {
        let held = |lease: &&Lease| matches!(lease.answer, Answer::Granted | Answer::Released);
        self.leases.iter().filter(held).count() as u64
    }

    /// Leases that were granted and whose release was not answered.
    pub fn not_released(&self) -> u64 {
        self.leases.iter().filter(|lease| lease.answer == Answer::Granted).count() as u64
    }

    fn lease(&mut self, handle: LeaseHandle) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.handle == handle)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::{crypto::SiteKey, vocab::RealmId};

    use super::*;

    fn holding() -> Client {
        let config =
            HolderConfig { realm: RealmId(1), publisher_keys: Vec::new(), site: SiteKey::OPEN, sdk_version: 1 };
        let feature = FeatureName::new("CAD_PRO").unwrap();
        let mut client = Client::new(&config, &Part { start: Duration::ZERO, feature, feature_index: 0 }, None);
        client.phase = Phase::Holding;
        client
    }

    #[test]
    fn a_renewal_counts_from_its_first_datagram_however_often_it_is_sent() {
        let ms = Duration::from_millis;
        let mut client = holding();
        client.sent_data(Some(1_000), ms(1_001));
        client.sent_data(Some(1_500), ms(1_502));
        assert_eq!((client.answered(), client.retries), (Some((ms(1_000), ms(1_001))), 1));
        client.sent_data(Some(9_000), ms(9_000));
        assert_eq!((client.answered(), client.retries), (Some((ms(9_000), ms(9_000))), 1));
    }

    #[test]
    fn renewals_of_other_leases_of_a_client_are_not_the_same_ones_again() {
        let mut client = holding();
        client.sent_data(Some(1_000), Duration::from_millis(1_000));
        client.sent_data(Some(1_040), Duration::from_millis(1_040));
        assert_eq!(client.retries, 0);
        client.sent_data(None, Duration::from_millis(1_500));
        assert_eq!(client.retries, 0, "what no deadline asked for is no retry");
    }
}
