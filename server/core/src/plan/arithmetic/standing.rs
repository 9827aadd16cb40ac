//! Which certificates can count on this server at all, whatever the time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use leasehold_protocol::{
    crypto::Fingerprint,
    licence::{KeyType, hostids::matched},
    vocab::FeatureName,
};

use super::super::{Loaded, ServedBy, report::Outcome};

/// For each certificate, why it never counts here; `None` if it may.
pub(super) fn standing(held: &[Loaded], here: &ServedBy) -> Vec<Option<Outcome>> {
    let mut seen = HashSet::new();
    let mut all: Vec<Option<Outcome>> = held.iter().map(|loaded| alone(loaded, here, &mut seen)).collect();
    let cyclic = cyclic(held, &all);
    for (loaded, outcome) in held.iter().zip(&mut all) {
        let draws =
            loaded.signed.certificate.terms.cost.is_some() || loaded.signed.certificate.terms.components.is_some();
        if outcome.is_none() && draws && cyclic.contains(&loaded.signed.certificate.feature) {
            *outcome = Some(Outcome::Cycle);
        }
    }
    all
}

fn alone(loaded: &Loaded, here: &ServedBy, seen: &mut HashSet<[u8; 8]>) -> Option<Outcome> {
    let (signed, certificate) = (&loaded.signed, &loaded.signed.certificate);
    let terms = &certificate.terms;
    if signed.realm() != here.realm {
        return Some(Outcome::OtherRealm);
    }
    let own = |key: &Fingerprint| terms.server_keys.contains(key);
    if !terms.server_keys.is_empty() && !here.fingerprint.as_ref().is_none_or(own) {
        return Some(Outcome::OtherServer);
    }
    let rate = terms.match_rate.unwrap_or(0);
    if here.hostids.as_ref().is_some_and(|hostids| !matched(&terms.server_hostids, hostids, rate).holds) {
        return Some(Outcome::OtherMachine);
    }
    if !matches!(certificate.key_type, KeyType::Exclusive | KeyType::Additive | KeyType::Upgrade) {
        return Some(Outcome::UnknownKind);
    }
    (!seen.insert(signed.id.0)).then_some(Outcome::Duplicate)
}

/// The features whose seats are made of their own, round a circle (L-14).
fn cyclic<'h>(held: &'h [Loaded], outcomes: &[Option<Outcome>]) -> BTreeSet<&'h FeatureName> {
    let mut edges: BTreeMap<&FeatureName, BTreeSet<&FeatureName>> = BTreeMap::new();
    for (loaded, _) in held.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_none()) {
        let certificate = &loaded.signed.certificate;
        if let Some(cost) = &certificate.terms.cost {
            edges.entry(&certificate.feature).or_default().insert(&cost.of);
        }
        for (component, _) in certificate.terms.components.iter().flat_map(|components| &components.features) {
            edges.entry(component).or_default().insert(&certificate.feature);
        }
    }
    circles(&edges)
}

/// The nodes of `edges` that lie on a circle: those that are left when whoever leads nowhere, and then whoever nobody
/// leads to, has been taken away again and again.
fn circles<'h>(edges: &BTreeMap<&'h FeatureName, BTreeSet<&'h FeatureName>>) -> BTreeSet<&'h FeatureName> {
    let forward = prune(edges);
    let mut backward: BTreeMap<&FeatureName, BTreeSet<&FeatureName>> = BTreeMap::new();
    for (from, to) in edges.iter().filter(|(from, _)| forward.contains(*from)) {
        for to in to.iter().filter(|to| forward.contains(*to)) {
            backward.entry(to).or_default().insert(from);
        }
    }
    prune(&backward)
}

/// The nodes from which a way leads on for ever.
fn prune<'h>(edges: &BTreeMap<&'h FeatureName, BTreeSet<&'h FeatureName>>) -> BTreeSet<&'h FeatureName> {
    let mut into: BTreeMap<&FeatureName, Vec<&'h FeatureName>> = BTreeMap::new();
    let mut ways: BTreeMap<&'h FeatureName, usize> = BTreeMap::new();
    for (from, to) in edges {
        ways.insert(from, to.len());
        to.iter().for_each(|to| into.entry(to).or_default().push(from));
    }
    let mut dead: Vec<&FeatureName> = into.keys().copied().filter(|name| !ways.contains_key(name)).collect();
    while let Some(end) = dead.pop() {
        for from in into.get(end).into_iter().flatten() {
            if let Some(left) = ways.get_mut(from) {
                *left -= 1;
                if *left == 0 {
                    ways.remove(from);
                    dead.push(from);
                }
            }
        }
    }
    ways.into_keys().collect()
}
