//! What each certificate would be good for at an instant (L-6, L-9).

use std::collections::{BTreeMap, BTreeSet};

use leasehold_protocol::{
    crypto::Fingerprint,
    licence::{KeyType, SignedCertificate},
    time::UnixMillis,
    vocab::{CertificateId, FeatureName, RealmId},
};

use super::report::FileReport;

/// What a certificate whose signature holds would be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Standing {
    /// The word for it in JSON.
    pub(in crate::issue) const fn word(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::NotStarted => "not-started",
            Self::Expired => "expired",
            Self::Replaced { .. } => "replaced",
            Self::Again => "duplicate",
            Self::OtherServer => "other-server",
        }
    }

    /// Whether nobody need do anything about it.
    pub(in crate::issue) const fn is_good(self) -> bool {
        matches!(self, Self::InForce | Self::NotStarted)
    }
}

/// The fingerprint of the server in question in each realm; where there is none, server keys are not judged.
type Servers = BTreeMap<RealmId, Fingerprint>;

/// Fills in the standing of every certificate of `files`, read in this order.
pub(super) fn judge(files: &mut [FileReport], servers: &Servers, now: UnixMillis) {
    let all: Vec<&SignedCertificate> = files.iter().flat_map(|file| &file.signed).collect();
    let mut standings = standings(&all, servers, now).into_iter();
    for file in files {
        file.standings = standings.by_ref().take(file.signed.len()).collect();
    }
}

/// The standing of each certificate of `all`, read in this order.
pub(in crate::issue) fn standings(all: &[&SignedCertificate], servers: &Servers, now: UnixMillis) -> Vec<Standing> {
    let mut seen = BTreeSet::new();
    let alone = |signed: &SignedCertificate| match () {
        () if names_others(signed, servers) => Standing::OtherServer,
        () if signed.certificate.ends_at().is_some_and(|end| end < now) => Standing::Expired,
        () if signed.certificate.starts_at().is_some_and(|start| start > now) => Standing::NotStarted,
        () => Standing::InForce,
    };
    let mut standings: Vec<Standing> =
        all.iter().map(|signed| if seen.insert(signed.id) { alone(signed) } else { Standing::Again }).collect();
    let last = last_exclusives(all, &standings);
    for (signed, standing) in all.iter().zip(&mut standings) {
        match last.get(&pool_of(signed)) {
            Some(&by) if *standing == Standing::InForce && by != signed.id => *standing = Standing::Replaced { by },
            _ => {}
        }
    }
    standings
}

/// The exclusive certificate in force that was read last, for each feature that has one: it replaces all others (L-6).
fn last_exclusives(
    all: &[&SignedCertificate],
    standings: &[Standing],
) -> BTreeMap<(RealmId, FeatureName), CertificateId> {
    let in_force = all.iter().zip(standings).filter(|(_, standing)| **standing == Standing::InForce);
    let exclusive = in_force.filter(|(signed, _)| signed.certificate.key_type == KeyType::Exclusive);
    exclusive.map(|(signed, _)| (pool_of(signed), signed.id)).collect()
}

fn names_others(signed: &SignedCertificate, servers: &Servers) -> bool {
    let named = &signed.certificate.terms.server_keys;
    !named.is_empty() && servers.get(&signed.realm()).is_some_and(|own| !named.contains(own))
}

fn pool_of(signed: &SignedCertificate) -> (RealmId, FeatureName) {
    (signed.realm(), signed.certificate.feature.clone())
}
