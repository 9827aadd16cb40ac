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
    /// What the certificate says and this server does not act upon, each with what it does instead.
    pub warnings: Vec<String>,
}

/// What became of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its seats are there.
    Applied,
    /// An exclusive certificate makes the feature's pool from itself (L-6, dialect `replace`).
    Muted {
        /// That certificate.
        by: CertificateId,
    },
    /// An exclusive one that was read before stays (L-6, dialect `first`).
    Discarded {
        /// That certificate.
        by: CertificateId,
    },
    /// It says what a seat is made of, and the feature has seats of its own (L-14).
    OwnSeats {
        /// A certificate that gives it some.
        by: CertificateId,
    },
    /// It says what a seat is made of, and so does one that was read before (L-14).
    SecondPrice {
        /// That certificate.
        by: CertificateId,
    },
    /// Another one takes its rights away (L-15).
    Superseded {
        /// That certificate.
        by: CertificateId,
    },
    /// It raises nothing (L-8).
    UpgradeRefused {
        /// The rule it breaks.
        rule: UpgradeRule,
        /// From when on it would not, if that can be told.
        from: Option<UnixMillis>,
    },
    /// What its seats are made of leads back to them (L-14).
    Cycle,
    /// What its seats are made of is not here (L-14).
    NothingToDraw,
    /// One of its seats would be made of more than any feature has (L-14).
    TooDear,
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
    /// It was a trial, and has ended (L-16).
    TrialOver {
        /// Its last millisecond.
        ended: UnixMillis,
    },
    /// The same certificate was read before, and counts once.
    Duplicate,
    /// It is another publisher's.
    OtherRealm,
    /// It names the servers that may serve it, and this one is not among them.
    OtherServer,
    /// It names the machines that may serve it, and this is none of them (L-19).
    OtherMachine,
    /// It is of a kind this build does not know.
    UnknownKind,
    /// This server has held more certificates since its start than it has room for.
    NoRoom,
}

/// What keeps an upgrade from raising anything (L-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeRule {
    /// There is no exclusive certificate in force.
    NoExclusive,
    /// It is uncounted.
    Uncounted,
    /// The exclusive certificate is.
    OfUncounted,
    /// The exclusive certificate counts units.
    OfMetered,
    /// It is of a higher version than the exclusive certificate.
    VersionAbove,
    /// It begins before the exclusive certificate, or ends after it.
    NotWithin,
    /// The sum would be more than a count may be.
    TooMany,
}

impl Outcome {
    /// One word for it, which stays the same for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Muted { .. } => "muted",
            Self::Discarded { .. } => "discarded",
            Self::OwnSeats { .. } => "own_seats",
            Self::SecondPrice { .. } => "second_price",
            Self::Superseded { .. } => "superseded",
            Self::UpgradeRefused { .. } => "upgrade_refused",
            Self::Cycle => "cycle",
            Self::NothingToDraw => "nothing_to_draw",
            Self::TooDear => "too_dear",
            Self::NotStarted { .. } => "not_started",
            Self::Expired { .. } => "expired",
            Self::TrialOver { .. } => "trial_over",
            Self::Duplicate => "duplicate",
            Self::OtherRealm => "other_realm",
            Self::OtherServer => "other_server",
            Self::OtherMachine => "other_machine",
            Self::UnknownKind => "unknown_kind",
            Self::NoRoom => "no_room",
        }
    }

    /// The rule of the licence arithmetic that decided, as `server/core/docs/licences.md` numbers them; `None` if no rule is
    /// against it.
    #[must_use]
    pub const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Applied | Self::NoRoom => None,
            Self::Muted { .. } | Self::Discarded { .. } => Some("L-6"),
            Self::Superseded { .. } => Some("L-15"),
            Self::UpgradeRefused { .. } => Some("L-8"),
            Self::OwnSeats { .. } | Self::SecondPrice { .. } | Self::Cycle | Self::NothingToDraw | Self::TooDear => {
                Some("L-14")
            }
            Self::NotStarted { .. } | Self::Expired { .. } => Some("L-9"),
            Self::TrialOver { .. } => Some("L-16"),
            Self::Duplicate => Some("L-4"),
            Self::OtherRealm | Self::UnknownKind => Some("L-2"),
            Self::OtherServer => Some("L-12"),
            Self::OtherMachine => Some("L-19"),
        }
    }
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
            warnings: Vec::new(),
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
