//! A draft meets the seats that are out.

use std::{collections::BTreeMap, sync::Arc};

use leasehold_protocol::{
    licence::certificate::{LEASE_TTL_MIN_S, TERM_MAX_S},
    vocab::FeatureName,
};

use super::{
    FeaturePlan, Loaded, Lot, Plan, Stock,
    compile::{DraftFeature, DraftPlan},
};
use crate::{book::Pool, lock, realm::RealmIdentity};

/// Gives every pool of the realm its new lots, and makes the plan that refers to them. For the holder of the planner's
/// write lock: no request is being decided.
///
/// A pool whose feature is not named any more keeps its leases and loses its capacity: what is out is overage (L-10).
pub(super) fn install(held: &[Loaded], draft: DraftPlan, stock: Stock<'_>, identity: &RealmIdentity) -> Plan {
    let mut features = BTreeMap::new();
    for (name, feature) in draft.features {
        features.insert(name.clone(), plan_of(held, &name, feature, stock));
    }
    for pool in stock.pools.all() {
        let lots = features.get(&pool.name).map_or(&[][..], |feature: &FeaturePlan| &feature.lots);
        let mut book = lock(&pool.book);
        book.install(lots);
        stock.leases.rehome_all(&mut book);
    }
    let names_us = |index: &&usize| held[**index].signed.certificate.terms.server_keys.contains(&identity.fingerprint);
    let proof = draft.applied.iter().find(names_us).map(|index| held[*index].signed.cose.clone());
    Plan {
        features,
        proof: proof.unwrap_or_default(),
        applied: draft.applied.len(),
        since: draft.since,
        next_change: draft.next_change,
    }
}

fn plan_of(held: &[Loaded], name: &FeatureName, draft: DraftFeature, stock: Stock<'_>) -> FeaturePlan {
    let pool = stock.pools.of(name, stock.leases);
    let lots = draft.lots.iter().map(|index| lot_of(&held[*index], &pool, stock.ttl_default_ms)).collect();
    FeaturePlan { pool, lots, later: draft.later, ended: draft.ended }
}

fn lot_of(loaded: &Loaded, pool: &Arc<Pool>, ttl_default_ms: u64) -> Lot {
    let (certificate, terms) = (&loaded.signed.certificate, &loaded.signed.certificate.terms);
    let ttl_ms = terms.lease_ttl_s.map_or(ttl_default_ms, |s| u64::from(s) * 1000);
    let ttl_ms = ttl_ms.clamp(u64::from(LEASE_TTL_MIN_S) * 1000, u64::from(TERM_MAX_S) * 1000);
    Lot {
        certificate: loaded.signed.id,
        version: certificate.version,
        seats: certificate.count,
        ends: loaded.ends,
        ttl_ms: u32::try_from(ttl_ms).unwrap_or(u32::MAX),
        grace_ms: terms.grace_s.unwrap_or(0).min(TERM_MAX_S) * 1000,
        bucket: lock(&pool.book).bucket(loaded.signed.id),
    }
}
