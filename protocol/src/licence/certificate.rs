//! The typed claims of one certificate (L-2).
//!
//! | module | owns |
//! |---|---|
//! | [`terms`] | everything that has a default |
//! | `check` | the ranges, and which claims fit each other |

mod check;
pub mod terms;

pub use terms::{Class, Components, Cost, Dialect, Metered, Permission, Pooling, ShareBy, Superseded, Terms, Together};

use super::{dates::Day, error::ClaimError};
use crate::{
    time::UnixMillis,
    vocab::{FeatureName, Label, RealmId, SeatCount, Version},
};

/// How long a holder may go without renewing where the certificate does not say, in seconds.
pub const LEASE_TTL_DEFAULT_S: u32 = 300;
/// The shortest lease TTL, in seconds: room for a lost heartbeat and its repetition.
pub const LEASE_TTL_MIN_S: u32 = 2;
/// The longest lease TTL and the longest grace, in seconds: a day.
pub const TERM_MAX_S: u32 = 86_400;
/// The longest borrow, linger, minimum checkout and undo window, in seconds: 400 days.
pub const SPAN_MAX_S: u32 = 400 * 86_400;
/// The longest trial and the longest retention of personal data, in days: ten years.
pub const DAYS_MAX: u16 = 3660;
/// The longest text of a certificate, in bytes.
pub const TEXT_MAX: usize = 1024;
/// The most server keys one certificate may name.
pub const SERVER_KEYS_MAX: usize = 32;
/// The most entries of any other list of a certificate.
pub const LIST_MAX: usize = 64;
/// The zone of a certificate that names none.
pub const ZONE_DEFAULT: &str = "UTC";

/// Rights to one feature of one publisher, as its publisher signs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Who grants: names the realm (SPEC 1.4).
    pub publisher: Label,
    /// What for.
    pub feature: FeatureName,
    /// Up to which version.
    pub version: Version,
    /// How many seats.
    pub count: SeatLimit,
    /// What it does to the feature's pool.
    pub key_type: KeyType,
    /// The zone its days are days of: an IANA name. Default `UTC` (L-9).
    pub zone: String,
    /// First day; `None` has always begun.
    pub start: Option<Day>,
    /// Last day; `None` is permanent.
    pub end: Option<Day>,
    /// Everything else that was granted.
    pub terms: Terms,
}

/// How many seats a certificate grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatLimit {
    /// So many.
    Counted(SeatCount),
    /// Any number (L-12).
    Uncounted,
}

/// What a certificate does to its feature's pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// Makes the pool from itself (L-6).
    #[default]
    Exclusive,
    /// Adds a lot to the pool (L-7).
    Additive,
    /// Raises the count of the exclusive certificate (L-8).
    Upgrade,
}

impl KeyType {
    /// Every type, in the order of their numbers in SPEC 7.3.
    pub const ALL: [Self; 3] = [Self::Exclusive, Self::Additive, Self::Upgrade];

    /// The word for it in licence files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Additive => "additive",
            Self::Upgrade => "upgrade",
        }
    }
}

impl Certificate {
    /// The realm it grants in: its publisher's.
    #[must_use]
    pub fn realm(&self) -> RealmId {
        RealmId::of(&self.publisher)
    }

    /// The instant it begins (L-9); `None` if it always has.
    #[must_use]
    pub fn starts_at(&self) -> Option<UnixMillis> {
        self.start.and_then(|day| day.first_instant(&self.zone).ok())
    }

    /// The last millisecond it is good for (L-9); `None` if it is permanent.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixMillis> {
        self.end.and_then(|day| day.last_instant(&self.zone).ok())
    }

    /// The longest a holder may go without renewing, in milliseconds; the default where nothing is said.
    #[must_use]
    pub fn lease_ttl_ms(&self) -> u64 {
        u64::from(self.terms.lease_ttl_s.unwrap_or(LEASE_TTL_DEFAULT_S)) * 1000
    }

    /// Whether its seats are counted.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        matches!(self.count, SeatLimit::Counted(_))
    }
}

/// A certificate as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) publisher: Option<Label>,
    pub(super) feature: Option<FeatureName>,
    pub(super) version: Option<Version>,
    pub(super) count: Option<SeatLimit>,
    pub(super) key_type: Option<KeyType>,
    pub(super) zone: Option<String>,
    pub(super) start: Option<Day>,
    pub(super) end: Option<Day>,
    pub(super) terms: Terms,
}

impl Draft {
    /// The whole certificate, with defaults for what may be left out.
    pub(super) fn finish(self) -> Result<Certificate, ClaimError> {
        let missing = ClaimError::Missing;
        Ok(Certificate {
            publisher: self.publisher.ok_or(missing("publisher"))?,
            feature: self.feature.ok_or(missing("feature"))?,
            version: self.version.ok_or(missing("version"))?,
            count: self.count.ok_or(missing("count"))?,
            key_type: self.key_type.unwrap_or_default(),
            zone: self.zone.unwrap_or_else(|| ZONE_DEFAULT.to_owned()),
            start: self.start,
            end: self.end,
            terms: self.terms,
        })
    }
}
