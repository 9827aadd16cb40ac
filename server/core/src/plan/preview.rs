//! What certificates grant, asked of nobody's server: for those who want to know before they load them, and for tests.

use std::collections::BTreeMap;

use leasehold_protocol::{
    crypto::Fingerprint,
    licence::SignedCertificate,
    time::UnixMillis,
    vocab::{CertificateId, FeatureName, HostId, RealmId},
};

use super::{
    Loaded, PlanReport,
    compile::{self, Step, compile},
};

/// Who serves certificates, as far as it matters to what they grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// The realm.
    pub realm: RealmId,
    /// The server's key in it; `None`: server keys are not judged.
    pub fingerprint: Option<Fingerprint>,
    /// What the server's machine can be recognised by; `None`: server hostids are not judged (L-19).
    pub hostids: Option<Vec<HostId>>,
    /// When trials were begun here (L-16).
    pub trials: BTreeMap<CertificateId, UnixMillis>,
    /// Units that were used up here before (L-17).
    pub used: BTreeMap<CertificateId, u64>,
}

/// What was used on a server before it was started this time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// When trials were begun (L-16).
    pub trials: BTreeMap<CertificateId, UnixMillis>,
    /// Units that were used up (L-17).
    pub used: BTreeMap<CertificateId, u64>,
}

impl Default for ServedBy {
    /// A server of no realm, of which nothing else is known.
    fn default() -> Self {
        Self { realm: RealmId(0), fingerprint: None, hostids: None, trials: BTreeMap::new(), used: BTreeMap::new() }
    }
}

/// What loading `certificates`, in that order, would do at the instant `at`. Nothing is loaded by it.
#[must_use]
pub fn preview(certificates: Vec<SignedCertificate>, here: &ServedBy, at: UnixMillis) -> PlanReport {
    let held: Vec<Loaded> = certificates.into_iter().map(|signed| Loaded::new(signed, here)).collect();
    let draft = compile(&held, here, at);
    PlanReport { realm: here.realm, at, lines: draft.lines, next_change: draft.next_change, overage: 0 }
}

/// The seats `certificates` give `feature` from `from` on, one step for each change up to `until`: exactly what a server
/// does by itself as time passes (L-9).
#[must_use]
pub fn timetable(
    certificates: Vec<SignedCertificate>,
    here: &ServedBy,
    feature: &FeatureName,
    from: UnixMillis,
    until: UnixMillis,
) -> Vec<Step> {
    let held: Vec<Loaded> = certificates.into_iter().map(|signed| Loaded::new(signed, here)).collect();
    compile::timetable(&held, here, feature, from, until)
}
