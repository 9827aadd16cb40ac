//! A draft meets the seats that are out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, MutexGuard},
};

use leasehold_protocol::{
    licence::{
        SeatLimit, Terms,
        certificate::{LEASE_TTL_MIN_S, Metered, ShareBy, TERM_MAX_S, Together},
        hostids::ClientLock,
    },
    vocab::{CertificateId, FeatureName},
};

use super::{
    Drawn, FeaturePlan, Loaded, Lot, Meter, Plan, Stock,
    arithmetic::{DraftFeature, DraftLot, Draw},
    compile::DraftPlan,
};
use crate::{
    book::{Book, Pool},
    lease::LotName,
    linger::Stay,
    lock,
    pool::BucketId,
    realm::RealmIdentity,
};

/// The plan of `draft`, with a bucket for every lot, and the certificates there was no room for: indices into `held`.
pub(super) fn plan_of(
    held: &[Loaded],
    used: &BTreeMap<CertificateId, u64>,
    draft: DraftPlan,
    stock: &Stock<'_>,
    identity: &RealmIdentity,
) -> (Plan, Vec<usize>) {
    let (mut features, mut drawn, mut no_room) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, mut feature) in draft.features {
        if let Some(draw) = feature.drawn.take() {
            drawn.push((name.clone(), draw));
        }
        match stock.pools.of(&name, stock.leases) {
            Some(pool) => {
                let mut plan = feature_of(held, &pool, feature, stock, &mut no_room);
                plan.lots.iter_mut().for_each(|lot| lot.used_before = used.get(&lot.source).copied().unwrap_or(0));
                features.insert(name, plan);
            }
            None => no_room.extend(feature.lots.iter().map(|lot| lot.source)),
        }
    }
    for (name, draw) in drawn {
        draw_from(held, &name, &draw, &mut features);
    }
    let names_us = |index: &&usize| held[**index].signed.certificate.terms.server_keys.contains(&identity.fingerprint);
    let proof = draft.applied.iter().find(names_us).map(|index| held[*index].signed.cose.clone());
    let plan = Plan {
        features,
        proof: proof.unwrap_or_default(),
        applied: draft.applied.len() - no_room.len(),
        since: draft.since,
        next_change: draft.next_change,
    };
    (plan, no_room)
}

/// Puts `plan` in force by `put_in_force`, and gives every pool whose lots are others than before its new ones.
///
/// First all buckets of those pools are set waited, old and new: a checkout that meets one waits for the book, that is for
/// this to be over, finds other lots in the book than it knows of, and begins again under the new plan. Then the plan is put in force, and only then are its seats moved. Features
/// whose lots stay notice nothing, and no renewal does.
///
/// A pool whose feature is not named any more keeps its leases and loses its capacity: what is out is overage (L-10).
pub(super) fn install(plan: Plan, stock: &mut Stock<'_>, put_in_force: impl FnOnce(Plan)) {
    let lots_of =
        |plan: &Plan, name: &FeatureName| plan.features.get(name).map_or_else(Vec::new, |f| f.own_lots().to_vec());
    let all = stock.pools.all();
    let pools: Vec<(&Arc<Pool>, Vec<Lot>)> = all.iter().map(|pool| (pool, lots_of(&plan, &pool.name))).collect();
    let mut changing: Vec<(&Arc<Pool>, Vec<Lot>, MutexGuard<'_, Book>)> = Vec::new();
    for (pool, lots) in pools {
        let book = lock(&pool.book);
        if !book.is_of(&lots) {
            book.set_waited(stock.worker, true);
            lots.iter().for_each(|lot| stock.worker.set_waited(lot.bucket, true));
            changing.push((pool, lots, book));
        }
    }
    put_in_force(plan);
    let mut gone = BTreeSet::new();
    for (_, lots, book) in &mut changing {
        book.install(stock.worker, lots);
        gone.extend(book.gone(stock.worker));
    }
    let mut holders = stock.leases.holders_of(&gone);
    for (pool, _, book) in &mut changing {
        stock.leases.rehome_all(stock.worker, book, holders.remove(&pool.id).unwrap_or_default());
        if !book.queue.is_empty() {
            stock.leases.queues.stir(pool);
        }
    }
}

fn feature_of(
    held: &[Loaded],
    pool: &Arc<Pool>,
    draft: DraftFeature,
    stock: &Stock<'_>,
    no_room: &mut Vec<usize>,
) -> FeaturePlan {
    let mut lots = Vec::with_capacity(draft.lots.len());
    for lot in draft.lots {
        match bucket_of(held, &lot, pool, stock) {
            Some(bucket) => lots.push(lot_of(held, &lot, bucket, stock.ttl_default_ms)),
            None => no_room.push(lot.source),
        }
    }
    let (later, ended, soft_limit) = (draft.later, draft.ended, draft.soft_limit);
    FeaturePlan { pool: pool.clone(), lots, drawn: None, soft_limit, later, ended }
}

/// Gives the feature `name` the lots of the one its seats are made of (L-14).
fn draw_from(held: &[Loaded], name: &FeatureName, draw: &Draw, features: &mut BTreeMap<FeatureName, FeaturePlan>) {
    let Some((pool, lots)) = features.get(&draw.from).map(|from| (from.pool.clone(), from.lots.clone())) else {
        return;
    };
    if let Some(feature) = features.get_mut(name) {
        feature.lots = lots;
        if !draw.is_component {
            // A token buys seats; what those are shared by is for who asks for them by name.
            feature.lots.iter_mut().for_each(|lot| lot.share = None);
        }
        feature.drawn = Some(Drawn {
            pool,
            each: draw.each,
            by: held[draw.by].signed.clone(),
            answers: draw.answers,
            version: draw.version,
        });
    }
}

/// The bucket of a lot: the one it had before, or a new one.
fn bucket_of(held: &[Loaded], lot: &DraftLot, pool: &Pool, stock: &Stock<'_>) -> Option<BucketId> {
    let key = (held[lot.source].signed.id, lot.kind, held[lot.shown].signed.id);
    if let Some(entry) = lock(&pool.book).entries.get(&key) {
        return Some(entry.bucket);
    }
    let bucket = match lot.seats {
        SeatLimit::Counted(_) => stock.leases.stock.add_bucket()?,
        SeatLimit::Uncounted => stock.leases.stock.add_uncounted()?,
    };
    let shown = &held[lot.shown].signed;
    let (certificate, version) = (shown.id, shown.certificate.version);
    let meter = meter_of(&shown.certificate.terms);
    stock.leases.name_lot(LotName { bucket, certificate, version, feature: pool.name.clone(), pool: pool.id, meter });
    Some(bucket)
}

fn meter_of(terms: &Terms) -> Option<Meter> {
    let undo_ms = u64::from(terms.undo_s.unwrap_or(0)) * 1000;
    terms.metered.map(|metered| Meter { reusable: metered == Metered::Reusable, undo_ms })
}

/// What its seats are shared by: what it says, or, of a package, the user and the host (L-14). Units of a meter are used by each.
fn share_of(terms: &Terms) -> Option<ShareBy> {
    let is_package = terms.components.as_ref().is_some_and(|components| components.together == Together::Package);
    let by = terms.share.or(is_package.then_some(ShareBy::USER.with(ShareBy::HOST)));
    by.filter(|_| terms.metered.is_none())
}

/// How long its seats stay after a release. What is used up by each use stays with nobody.
fn stay_of(terms: &Terms) -> Stay {
    let ms = |s: Option<u32>| u64::from(s.filter(|_| terms.metered.is_none()).unwrap_or(0)) * 1000;
    Stay { linger_ms: ms(terms.linger_s), least_ms: ms(terms.min_checkout_s) }
}

fn lot_of(held: &[Loaded], lot: &DraftLot, bucket: BucketId, ttl_default_ms: u64) -> Lot {
    let loaded = &held[lot.shown];
    let (certificate, terms) = (&loaded.signed.certificate, &loaded.signed.certificate.terms);
    let ttl_ms = terms.lease_ttl_s.map_or(ttl_default_ms, |s| u64::from(s) * 1000);
    let ttl_ms = ttl_ms.clamp(u64::from(LEASE_TTL_MIN_S) * 1000, u64::from(TERM_MAX_S) * 1000);
    Lot {
        source: held[lot.source].signed.id,
        kind: lot.kind,
        group: lot.group,
        upgraded_by: lot.upgraded_by,
        lock: ClientLock::of(terms).map(Arc::new),
        share: share_of(terms),
        share_limit: terms.share_limit,
        stay: stay_of(terms),
        meter: meter_of(terms),
        used_before: 0,
        is_fresh_trial: loaded.trial.is_some_and(|trial| trial.ends.is_none()),
        certificate: loaded.signed.id,
        signed: loaded.signed.clone(),
        version: certificate.version,
        seats: lot.seats,
        starts: loaded.starts,
        ends: lot.ends,
        ttl_ms: u32::try_from(ttl_ms).unwrap_or(u32::MAX),
        grace_ms: terms.grace_s.unwrap_or(0).min(TERM_MAX_S) * 1000,
        bucket,
    }
}
