//! What each certificate would be good for at an instant, as a server judges it (L-6 to L-19).

use std::collections::BTreeMap;

use leasehold_core::{CertificateReport, Outcome, ServedBy, preview};
use leasehold_protocol::{
    crypto::Fingerprint,
    licence::SignedCertificate,
    time::UnixMillis,
    vocab::{CertificateId, RealmId},
};

use super::report::Lint;

/// What a certificate whose signature holds would be good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::issue) enum Standing {
    /// Its seats are there.
    InForce,
    /// It begins by itself.
    NotStarted,
    /// It has ended.
    Expired,
    /// A later exclusive certificate makes the feature's seats from itself.
    Replaced {
        /// That certificate.
        by: CertificateId,
    },
    /// The same certificate stands in a file before.
    Again,
    /// It names the servers that may serve it, and this one is not among them.
    OtherServer,
    /// Something else keeps it from counting, in the server's words.
    Not(Box<CertificateReport>),
}

impl Standing {
    fn of(report: CertificateReport) -> Self {
        match report.outcome {
            Outcome::Applied => Self::InForce,
            Outcome::NotStarted { .. } => Self::NotStarted,
            Outcome::Expired { .. } => Self::Expired,
            Outcome::Muted { by } => Self::Replaced { by },
            Outcome::Duplicate => Self::Again,
            Outcome::OtherServer => Self::OtherServer,
            _ => Self::Not(Box::new(report)),
        }
    }

    /// The word for it in JSON.
    pub(in crate::issue) const fn word(&self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::NotStarted => "not-started",
            Self::Expired => "expired",
            Self::Replaced { .. } => "replaced",
            Self::Again => "duplicate",
            Self::OtherServer => "other-server",
            Self::Not(report) => report.outcome.word(),
        }
    }

    /// Whether nobody need do anything about it.
    pub(in crate::issue) const fn is_good(&self) -> bool {
        matches!(self, Self::InForce | Self::NotStarted)
    }
}

/// The fingerprint of the server in question in each realm; where there is none, server keys are not judged.
pub(super) type Servers = BTreeMap<RealmId, Fingerprint>;

/// Fills in the standing of every certificate of `lint`'s files, read in this order after those it stands beside.
pub(super) fn judge(lint: &mut Lint, servers: &Servers, now: UnixMillis) {
    let (before, own): (Vec<&SignedCertificate>, Vec<_>) =
        (lint.beside.signed(), lint.files.iter().flat_map(|file| &file.signed).cloned().collect());
    let own: Vec<&SignedCertificate> = own.iter().collect();
    let all: Vec<&SignedCertificate> = before.iter().chain(&own).copied().collect();
    let mut standings = standings(&all, servers, now).into_iter();
    let of_those_before: Vec<Standing> = standings.by_ref().take(before.len()).collect();
    lint.beside.compare(&own, &of_those_before, servers, now);
    for file in &mut lint.files {
        file.standings = standings.by_ref().take(file.signed.len()).collect();
    }
}

/// The standing of each certificate of `all`, read in this order: each realm by itself, as a server has it.
pub(in crate::issue) fn standings(all: &[&SignedCertificate], servers: &Servers, now: UnixMillis) -> Vec<Standing> {
    let mut by_realm: BTreeMap<RealmId, Vec<SignedCertificate>> = BTreeMap::new();
    for signed in all {
        by_realm.entry(signed.realm()).or_default().push((*signed).clone());
    }
    let judged = |(realm, certificates): (RealmId, Vec<SignedCertificate>)| {
        let here = ServedBy { realm, fingerprint: servers.get(&realm).copied(), ..ServedBy::default() };
        (realm, preview(certificates, &here, now).lines.into_iter())
    };
    let mut lines: BTreeMap<RealmId, _> = by_realm.into_iter().map(judged).collect();
    let next = |signed: &&SignedCertificate| {
        let line = lines.get_mut(&signed.realm()).and_then(Iterator::next);
        // Each certificate has its line.
        line.map_or(Standing::Again, Standing::of)
    };
    all.iter().map(next).collect()
}
