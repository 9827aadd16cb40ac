//! Which certificates are in force at an instant, and why the others are not.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_protocol::{
    licence::{KeyType, SeatLimit},
    time::UnixMillis,
    vocab::{FeatureName, Version},
};

use super::{
    Loaded,
    report::{CertificateReport, Outcome},
};
use crate::{realm::RealmIdentity, wording};

/// A plan that has no pools yet: indices into the certificates it was made from.
pub(super) struct Draft {
    pub(super) plan: DraftPlan,
    pub(super) lines: Vec<CertificateReport>,
    pub(super) next_change: Option<UnixMillis>,
}

/// What [`super::install`] turns into a plan.
pub(super) struct DraftPlan {
    pub(super) features: BTreeMap<FeatureName, DraftFeature>,
    pub(super) applied: Vec<usize>,
    pub(super) since: UnixMillis,
    pub(super) next_change: Option<UnixMillis>,
}

/// One feature of a draft.
#[derive(Default)]
pub(super) struct DraftFeature {
    pub(super) lots: Vec<usize>,
    pub(super) later: Vec<(Version, UnixMillis)>,
    pub(super) ended: Vec<(Version, UnixMillis)>,
}

/// Compiles `held` for the instant `at`.
pub(super) fn compile(held: &[Loaded], identity: &RealmIdentity, at: UnixMillis) -> Draft {
    let mut outcomes = usable(held, identity);
    let mut by_feature: BTreeMap<&FeatureName, Vec<usize>> = BTreeMap::new();
    for (index, loaded) in held.iter().enumerate().filter(|(index, _)| outcomes[*index].is_none()) {
        by_feature.entry(&loaded.signed.certificate.feature).or_default().push(index);
    }
    let mut features = BTreeMap::new();
    for (name, indices) in &by_feature {
        features.insert((*name).clone(), feature(held, indices, at, &mut outcomes));
    }
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Applied)).collect();
    let (since, next_change) = changes_around(held, by_feature.values().flatten(), at);
    let applied = (0..held.len()).filter(|index| outcomes[*index] == Outcome::Applied).collect();
    let lines = held.iter().zip(outcomes).map(|(loaded, outcome)| line(held, loaded, outcome)).collect();
    Draft { plan: DraftPlan { features, applied, since, next_change }, lines, next_change }
}

/// Which certificates can never count here, whatever the time: `Some` for those.
fn usable(held: &[Loaded], identity: &RealmIdentity) -> Vec<Option<Outcome>> {
    let mut seen = BTreeSet::new();
    let check = |loaded: &Loaded| {
        let (certificate, servers) = (&loaded.signed.certificate, &loaded.signed.certificate.terms.server_keys);
        if loaded.signed.realm() != identity.id {
            return Some(Outcome::OtherRealm);
        }
        if !servers.is_empty() && !servers.contains(&identity.fingerprint) {
            return Some(Outcome::OtherServer);
        }
        if !matches!(certificate.key_type, KeyType::Exclusive | KeyType::Additive) {
            return Some(Outcome::UnknownKind);
        }
        (!seen.insert(loaded.signed.id)).then_some(Outcome::Duplicate)
    };
    held.iter().map(check).collect()
}

/// One feature's certificates, `indices` in file order, sorted into those in force and the others.
fn feature(held: &[Loaded], indices: &[usize], at: UnixMillis, outcomes: &mut [Option<Outcome>]) -> DraftFeature {
    let mut draft = DraftFeature { lots: in_force(held, indices, at), ..DraftFeature::default() };
    for &index in indices {
        let (loaded, version) = (&held[index], held[index].signed.certificate.version);
        outcomes[index] = Some(match (loaded.starts, loaded.ends) {
            (_, Some(ended)) if loaded.has_ended(at) => {
                draft.ended.push((version, ended));
                Outcome::Expired { ended }
            }
            (Some(starts), _) if !loaded.has_started(at) => {
                if in_force(held, indices, starts).contains(&index) {
                    draft.later.push((version, starts));
                }
                Outcome::NotStarted { starts }
            }
            _ if draft.lots.binary_search(&index).is_ok() => Outcome::Applied,
            _ => Outcome::Muted { by: held[draft.lots[0]].signed.id },
        });
    }
    draft.lots.sort_by_key(|index| (held[*index].ends.map_or(u64::MAX, |ends| ends.0), *index));
    draft.later.sort_by_key(|(_, starts)| *starts);
    draft.ended.sort_by_key(|(_, ended)| std::cmp::Reverse(*ended));
    draft
}

/// L-6 in the dialect `replace`, and L-7: of the certificates alive at `at`, the last exclusive one alone; without any,
/// all additive ones.
fn in_force(held: &[Loaded], indices: &[usize], at: UnixMillis) -> Vec<usize> {
    let alive = || indices.iter().copied().filter(|index| held[*index].has_started(at) && !held[*index].has_ended(at));
    let exclusive = alive().rfind(|index| held[*index].signed.certificate.key_type == KeyType::Exclusive);
    exclusive.map_or_else(|| alive().collect(), |index| vec![index])
}

/// The last instant up to `at` and the first one after it at which one of `indices` begins or has ended.
fn changes_around<'a>(
    held: &[Loaded],
    indices: impl Iterator<Item = &'a usize>,
    at: UnixMillis,
) -> (UnixMillis, Option<UnixMillis>) {
    let instants = |index: &usize| {
        let loaded = &held[*index];
        [loaded.starts, loaded.ends.map(|ends| UnixMillis(ends.0.saturating_add(1)))]
    };
    let (past, future): (Vec<_>, Vec<_>) = indices.flat_map(instants).flatten().partition(|change| *change <= at);
    (past.into_iter().max().unwrap_or_default(), future.into_iter().min())
}

fn line(held: &[Loaded], loaded: &Loaded, outcome: Outcome) -> CertificateReport {
    let certificate = &loaded.signed.certificate;
    let seats = match certificate.count {
        SeatLimit::Counted(count) => wording::seats(count.get()),
        SeatLimit::Uncounted => "uncounted seats".to_owned(),
    };
    let what = format!("{seats} of {} {}", certificate.feature, certificate.version);
    let sentence = match outcome {
        Outcome::Applied => match loaded.ends {
            Some(ends) => format!("{what} in force until {}", wording::instant(ends)),
            None => format!("{what} in force, permanently"),
        },
        Outcome::Muted { by } => {
            let exclusive = held.iter().find(|other| other.signed.id == by);
            let place = exclusive.and_then(|other| other.signed.place.as_ref());
            let place = place.map_or_else(|| by.to_string(), |place| format!("{by} at {place}"));
            format!("{what} not in force: the exclusive certificate {place} makes the feature's pool from itself")
        }
        Outcome::NotStarted { starts } => format!("{what} begin at {}, by themselves", wording::instant(starts)),
        Outcome::Expired { ended } => {
            format!("{what} ended at {}: ask the publisher for new ones", wording::instant(ended))
        }
        Outcome::Duplicate => format!("{what} not counted again: the same certificate was read before"),
        Outcome::OtherRealm => {
            format!(
                "{what} not in force: they are from publisher {}, which this realm does not serve",
                certificate.publisher
            )
        }
        Outcome::OtherServer => format!(
            "{what} not in force: the certificate names the servers that may serve it, and the key of this one is not \
             among them: ask the publisher for a certificate that names it"
        ),
        // Told where buckets are made.
        Outcome::NoRoom => String::new(),
        Outcome::UnknownKind => format!("{what} not in force: this server does not know that kind of certificate"),
    };
    CertificateReport {
        id: loaded.signed.id,
        feature: certificate.feature.clone(),
        version: certificate.version,
        place: loaded.signed.place,
        outcome,
        sentence,
    }
}
