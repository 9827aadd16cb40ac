//! The typed claims of one certificate (L-2).

use super::{
    dates::{Day, check_zone},
    error::ClaimError,
};
use crate::{
    crypto::Fingerprint,
    time::UnixMillis,
    vocab::{FeatureName, Label, RealmId, SeatCount, Version},
};

/// How long a holder may go without renewing where the certificate does not say, in seconds.
pub const LEASE_TTL_DEFAULT_S: u32 = 300;
/// The shortest lease TTL, in seconds: room for a lost heartbeat and its repetition.
pub const LEASE_TTL_MIN_S: u32 = 2;
/// The longest lease TTL and the longest grace, in seconds: a day.
pub const TERM_MAX_S: u32 = 86_400;
/// The longest text of a certificate, in bytes.
pub const TEXT_MAX: usize = 1024;
/// The most server keys one certificate may name.
pub const SERVER_KEYS_MAX: usize = 32;
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

/// What a certificate does to its feature's pool. The `#[non_exhaustive]` leaves room for upgrade, package and token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyType {
    /// Makes the pool from itself (L-6).
    #[default]
    Exclusive,
    /// Adds a lot to the pool (L-7).
    Additive,
}

/// Terms of a certificate that have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The longest a holder may go without renewing, in seconds, 2 to 86 400; `None` leaves it to the server's
    /// default of 300.
    pub lease_ttl_s: Option<u32>,
    /// How long a program may go on after that while no server answers, in seconds, 0 to 86 400; `None` is 0.
    pub grace_s: Option<u32>,
    /// Fingerprints of the servers that may serve it; empty: any. What PROOF shows (W-5).
    pub server_keys: Vec<Fingerprint>,
    /// Free text for the application.
    pub vendor_string: Option<String>,
    /// The publisher's number for this grant.
    pub serial: Option<String>,
    /// Who issued it, for people.
    pub issuer: Option<String>,
    /// What to show to people.
    pub notice: Option<String>,
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

    /// Whether the claims are in their ranges and fit each other.
    ///
    /// # Errors
    /// The first rule they break.
    pub fn check(&self) -> Result<(), ClaimError> {
        check_zone(&self.zone)?;
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end < start
        {
            return Err(ClaimError::EndsBeforeStart { start, end });
        }
        self.terms.check()?;
        if self.count == SeatLimit::Uncounted && self.terms.server_keys.is_empty() {
            return Err(ClaimError::UncountedUnlocked);
        }
        Ok(())
    }

    /// The same claims with what has no order put into the one order that is signed.
    pub(super) fn in_canonical_order(mut self) -> Self {
        self.terms.server_keys.sort_unstable();
        self.terms.server_keys.dedup();
        self
    }
}

impl Terms {
    fn check(&self) -> Result<(), ClaimError> {
        check_range("lease-ttl", self.lease_ttl_s, LEASE_TTL_MIN_S)?;
        check_range("grace", self.grace_s, 0)?;
        if self.server_keys.len() > SERVER_KEYS_MAX {
            let why = format!("{} are named, and at most {SERVER_KEYS_MAX} may be", self.server_keys.len());
            return Err(ClaimError::Value { name: "server-keys", why });
        }
        check_text("vendor-string", self.vendor_string.as_deref())?;
        check_text("serial", self.serial.as_deref())?;
        check_text("issuer", self.issuer.as_deref())?;
        check_text("notice", self.notice.as_deref())
    }
}

fn check_range(name: &'static str, seconds: Option<u32>, min: u32) -> Result<(), ClaimError> {
    match seconds {
        Some(found) if !(min..=TERM_MAX_S).contains(&found) => {
            Err(ClaimError::Range { name, found: found.into(), min: min.into(), max: TERM_MAX_S.into() })
        }
        _ => Ok(()),
    }
}

/// Texts are shown to people: nothing in them may move a cursor.
fn check_text(name: &'static str, text: Option<&str>) -> Result<(), ClaimError> {
    let refused = |why: String| Err(ClaimError::Value { name, why });
    match text {
        Some("") => refused("it is empty; leave it out".to_owned()),
        Some(text) if text.len() > TEXT_MAX => refused(format!("{} bytes, and at most {TEXT_MAX} fit", text.len())),
        Some(text) => match text.chars().find(|c| c.is_control() && *c != '\n') {
            Some(c) => refused(format!("the control character {c:?} is not allowed in it")),
            None => Ok(()),
        },
        None => Ok(()),
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
