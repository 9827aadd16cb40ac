//! What a list of certificates grants at one instant: a pure function of the certificates, of who serves them, and of the
//! instant (L-6 to L-17, L-19). `server/core/docs/licences.md` says the rules in words.
//!
//! | module | decides |
//! |---|---|
//! | `standing` | which certificates can count here at all, whatever the time |
//! | `own` | the lots a feature has by itself: exclusive, additive, upgrade |
//! | `drawn` | features whose seats are made of another one's: tokens, suites |
//!
//! Nothing here is quadratic in the number of certificates.

mod drawn;
mod own;
mod standing;

use std::collections::{BTreeMap, HashMap};

use leasehold_protocol::{
    licence::{SeatLimit, certificate::Superseded},
    time::UnixMillis,
    vocab::{CertificateId, FeatureName, Version},
};

use super::{Loaded, LotKind, ServedBy, report::Outcome};

/// What `certificates` grant at an instant, and what became of each.
pub(super) struct Judged {
    pub(super) features: BTreeMap<FeatureName, DraftFeature>,
    /// One for each certificate.
    pub(super) outcomes: Vec<Outcome>,
}

/// One feature that has no pool yet. Indices are into the certificates it was made from.
#[derive(Debug, Default)]
pub(super) struct DraftFeature {
    /// Its own lots, in the order they serve in (L-11): regular before overdraft, sooner-ending before later, file order.
    pub(super) lots: Vec<DraftLot>,
    /// Its seats are made of another feature's; it has no lots then.
    pub(super) drawn: Option<Draw>,
    /// Rights that begin later: version and first millisecond, earliest first.
    pub(super) later: Vec<(Version, UnixMillis)>,
    /// Rights that have ended: version and last millisecond, latest first.
    pub(super) ended: Vec<(Version, UnixMillis)>,
    /// From how many seats on alerts rise (L-13); `None` if no lot says.
    pub(super) soft_limit: Option<u64>,
}

/// Seats of one certificate in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DraftLot {
    /// The certificate its seats come from.
    pub(super) source: usize,
    /// The certificate people see: for an upgrade, the exclusive one it raises (L-8).
    pub(super) shown: usize,
    pub(super) kind: LotKind,
    pub(super) seats: SeatLimit,
    pub(super) ends: Option<UnixMillis>,
    /// A request never spans two groups (L-7).
    pub(super) group: u32,
    /// Seats that upgrades add to the certificate; on its own lot.
    pub(super) upgraded_by: u32,
}

/// Where a feature's seats come from (L-14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    /// The feature that has the lots.
    pub(super) from: FeatureName,
    /// The lowest version of its rights that will do.
    pub(super) version: Version,
    /// Seats of it for each of ours.
    pub(super) each: u32,
    /// The certificate that says so.
    pub(super) by: usize,
    /// Up to which version it answers.
    pub(super) answers: Version,
    /// Whether we are a component of it.
    pub(super) is_component: bool,
}

/// Judges `held` at the instant `at`.
pub(super) fn judge(held: &[Loaded], here: &ServedBy, at: UnixMillis) -> Judged {
    let mut case = Case::new(held, here, at);
    case.supersede();
    let mut features: BTreeMap<FeatureName, DraftFeature> = BTreeMap::new();
    for (name, indices) in case.by_feature() {
        features.insert(name, own::feature(&mut case, &indices));
    }
    drawn::draw(&mut case, &mut features);
    let outcomes = case.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Applied)).collect();
    Judged { features, outcomes }
}

/// The instants at which what `held` grants may change: something begins, or has ended.
pub(super) fn instants<'a>(held: &'a [Loaded], here: &ServedBy) -> impl Iterator<Item = UnixMillis> + 'a {
    let outcomes = standing::standing(held, here);
    let counts = held.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_none());
    counts.flat_map(|(loaded, _)| [loaded.starts, loaded.ends.map(after)]).flatten()
}

/// The first instant after the last of a right.
pub(super) fn after(ends: UnixMillis) -> UnixMillis {
    UnixMillis(ends.0.saturating_add(1))
}

/// A judgement in the making.
struct Case<'h> {
    held: &'h [Loaded],
    at: UnixMillis,
    /// `None`: nothing has been found against it.
    outcomes: Vec<Option<Outcome>>,
}

impl<'h> Case<'h> {
    fn new(held: &'h [Loaded], here: &ServedBy, at: UnixMillis) -> Self {
        Self { held, at, outcomes: standing::standing(held, here) }
    }

    fn loaded(&self, index: usize) -> &'h Loaded {
        &self.held[index]
    }

    fn id(&self, index: usize) -> CertificateId {
        self.held[index].signed.id
    }

    fn is_open(&self, index: usize) -> bool {
        self.outcomes[index].is_none()
    }

    fn is_alive(&self, index: usize) -> bool {
        self.held[index].is_alive(self.at)
    }

    fn set(&mut self, index: usize, outcome: Outcome) {
        self.outcomes[index] = Some(outcome);
    }

    /// Takes out whatever a certificate that is alive supersedes (L-15): a certificate it names, and those of a feature it
    /// names that were read before it. One that is superseded itself goes on superseding: otherwise what it replaced would
    /// come back.
    fn supersede(&mut self) {
        let open = |case: &Self| (0..case.held.len()).filter(|index| case.is_open(*index)).collect::<Vec<_>>();
        let mut by_id: HashMap<CertificateId, usize> = HashMap::new();
        let mut by_feature: HashMap<&FeatureName, usize> = HashMap::new();
        for index in open(self) {
            if !self.is_alive(index) {
                continue;
            }
            for superseded in &self.held[index].signed.certificate.terms.supersedes {
                match superseded {
                    Superseded::Certificate(id) => _ = by_id.insert(*id, index),
                    // The last one that says so takes out all before it.
                    Superseded::Feature(name) => _ = by_feature.insert(name, index),
                }
            }
        }
        for index in open(self) {
            let signed = &self.held[index].signed;
            let by_feature = by_feature.get(&signed.certificate.feature).copied().filter(|by| *by > index);
            let by_id = by_id.get(&signed.id).copied().filter(|by| *by != index);
            if let Some(by) = by_id.or(by_feature) {
                self.set(index, Outcome::Superseded { by: self.id(by) });
            }
        }
    }

    /// Whatever is still open, by its feature, in file order. Every feature that any certificate of this realm names is
    /// there, so that a request for it is told what became of its rights.
    fn by_feature(&self) -> BTreeMap<FeatureName, Vec<usize>> {
        let mut by_feature: BTreeMap<FeatureName, Vec<usize>> = BTreeMap::new();
        for (index, loaded) in self.held.iter().enumerate() {
            if self.is_open(index) {
                by_feature.entry(loaded.signed.certificate.feature.clone()).or_default().push(index);
            }
        }
        by_feature
    }
}
