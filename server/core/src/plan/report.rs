//! What became of each certificate that was loaded, in words.

use std::fmt;

use leasehold_protocol::{
    licence::{SignedCertificate, text::Place},
    time::UnixMillis,
    vocab::{CertificateId, FeatureName, RealmId, Version},
};

/// What loading did. Everything is in it, in the order of the file: nothing is passed over in silence (L-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanReport {
    /// In which realm.
    pub realm: RealmId,
    /// The instant the plan was compiled for.
    pub at: UnixMillis,
    /// One line per certificate, in the order they were read.
    pub lines: Vec<CertificateReport>,
    /// The next instant at which a certificate begins or ends by itself; the plan changes then without being asked.
    pub next_change: Option<UnixMillis>,
    /// Seats that are out and that nothing in force covers now (L-10).
    pub overage: u64,
}

/// What became of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateReport {
    /// Which.
    pub id: CertificateId,
    /// What it is for.
    pub feature: FeatureName,
    /// The version of its right.
    pub version: Version,
    /// Where it stands in its file, if it came from one.
    pub place: Option<Place>,
    /// What became of it.
    pub outcome: Outcome,
    /// The same in words, without the place.
    pub sentence: String,
}

/// What became of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its seats are there.
    Applied,
    /// A later exclusive certificate makes the feature's pool from itself (L-6).
    Muted {
        /// That certificate.
        by: CertificateId,
    },
    /// It begins later.
    NotStarted {
        /// Its first millisecond.
        starts: UnixMillis,
    },
    /// It has ended.
    Expired {
        /// Its last millisecond.
        ended: UnixMillis,
    },
    /// The same certificate was read before, and counts once.
    Duplicate,
    /// It is another publisher's.
    OtherRealm,
    /// It names the servers that may serve it, and this one is not among them.
    OtherServer,
    /// It is of a kind this build does not know.
    UnknownKind,
    /// This server has held more certificates since its start than it has room for.
    NoRoom,
}

impl PlanReport {
    /// The report of loading into a realm that is not here.
    pub(crate) fn of_no_realm(realm: RealmId, certificates: Vec<SignedCertificate>, at: UnixMillis) -> Self {
        let line = |signed: SignedCertificate| CertificateReport {
            id: signed.id,
            version: signed.certificate.version,
            place: signed.place,
            outcome: Outcome::OtherRealm,
            sentence: format!("not in force: this server has no realm for publisher {}", signed.certificate.publisher),
            feature: signed.certificate.feature,
        };
        Self { realm, at, lines: certificates.into_iter().map(line).collect(), next_change: None, overage: 0 }
    }

    /// The lines whose certificates are in force.
    pub fn applied(&self) -> impl Iterator<Item = &CertificateReport> {
        self.lines.iter().filter(|line| line.outcome == Outcome::Applied)
    }
}

impl CertificateReport {
    /// Says that there was no room for its seats.
    pub(crate) fn leave_out(&mut self) {
        self.outcome = Outcome::NoRoom;
        self.sentence = format!(
            "not in force: this server has held {} certificates since it was started and has room for no more: restart it",
            crate::pool::BUCKETS_MAX
        );
    }
}

impl fmt::Display for CertificateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.sentence),
            None => f.write_str(&self.sentence),
        }
    }
}
