//! The seat equation.

use std::{collections::BTreeMap, sync::Arc};

use leasehold_protocol::vocab::{CertificateId, FeatureName, LeaseId};

use crate::{
    book::Pool,
    lease::Leases,
    lock,
    pool::{BucketId, Sums, Worker},
};

/// A sum that does not come out: a defect of this program, never of anything received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// `free + leased == capacity` does not hold.
    #[error(
        "the seats of {feature} from certificate {certificate} do not add up: {free} free and {leased} leased are not the {capacity} there are"
    )]
    Bucket {
        /// The feature.
        feature: FeatureName,
        /// The certificate the bucket is of.
        certificate: CertificateId,
        /// Seats the counter says are free.
        free: i64,
        /// Seats the book says are out.
        leased: i64,
        /// Seats there are.
        capacity: i64,
    },
    /// The leases of the slab do not add up to what the book says is out.
    #[error("the leases of {feature} hold {held} seats of certificate {certificate}, and the book says {leased}")]
    Slab {
        /// The feature.
        feature: FeatureName,
        /// The certificate.
        certificate: CertificateId,
        /// What the leases hold.
        held: i64,
        /// What the book says.
        leased: i64,
    },
    /// What limits and reservations count is not what the leases hold.
    #[error("rules of the policy count seats of {feature} otherwise than its leases hold them")]
    Quotas {
        /// The feature.
        feature: FeatureName,
    },
    /// A lease's own seats do not add up to what it was granted.
    #[error("lease {lease} was granted {seats} seats and holds {held}")]
    Lease {
        /// Which lease.
        lease: LeaseId,
        /// What it was granted.
        seats: u32,
        /// What it holds.
        held: u32,
    },
}

/// How often the sum over all leases is tried while workers are at work, before only the buckets are held to account.
const TRIES_MAX: usize = 64;

/// Checks the buckets of `pools`, and the leases against them one by one. Stops nobody: the buckets are seen at one instant
/// each whatever goes on, the leases only if for the time of the look no worker was in the middle of anything.
pub(crate) fn check(pools: &[Arc<Pool>], leases: &Leases, worker: &mut Worker) -> Result<(), LedgerError> {
    for pool in pools {
        let buckets: Vec<BucketId> = lock(&pool.book).entries.values().map(|entry| entry.bucket).collect();
        for bucket in buckets {
            check_bucket(pool, bucket, leases, worker)?;
        }
    }
    for _ in 0..TRIES_MAX {
        let before = leases.stock.turns();
        let sums = sum_leases(leases);
        let outs: Vec<(Arc<Pool>, BucketId, i64)> = outs(pools, leases);
        let counted = check_quotas(pools, leases);
        if before.is_some() && leases.stock.turns() == before {
            let held = sums?;
            check_joints(pools, leases)?;
            counted?;
            let wrong = outs.iter().find(|(_, bucket, out)| held.get(bucket).copied().unwrap_or(0) != *out);
            return wrong.map_or(Ok(()), |(pool, bucket, leased)| {
                let (certificate, held) = (certificate(leases, *bucket), held.get(bucket).copied().unwrap_or(0));
                Err(LedgerError::Slab { feature: pool.name.clone(), certificate, held, leased: *leased })
            });
        }
        std::hint::spin_loop();
    }
    Ok(())
}

/// Checks one bucket, number `next` of those there are, and moves `next` on; a sum that does not come out.
pub(crate) fn audit_next(leases: &Leases, worker: &mut Worker, next: &mut u32) -> Option<LedgerError> {
    let index = *next;
    *next = if index + 1 < leases.stock.buckets() { index + 1 } else { 0 };
    let name = leases.lot_at(index)?;
    let sums = worker.audit(name.bucket)?;
    (!sums.is_balanced()).then(|| sums_error(name.feature, name.certificate, sums))
}

fn check_bucket(pool: &Pool, bucket: BucketId, leases: &Leases, worker: &mut Worker) -> Result<(), LedgerError> {
    match worker.audit(bucket) {
        Some(sums) if !sums.is_balanced() => Err(sums_error(pool.name.clone(), certificate(leases, bucket), sums)),
        _ => Ok(()),
    }
}

/// What the leases hold of each bucket, one by one.
fn sum_leases(leases: &Leases) -> Result<BTreeMap<BucketId, i64>, LedgerError> {
    let mut held = BTreeMap::<BucketId, i64>::new();
    for slot in leases.stock.slab().indices() {
        let Some(record) = leases.records.get(slot) else { continue };
        let record = lock(record);
        let Some(record) = record.as_deref() else { continue };
        let uses = leases.stock.slab().uses(slot);
        let sum: u32 = uses.iter().map(|used| used.seats).sum();
        // One that shares the seats of another has none of its own.
        let shares = record.joint.is_some() && sum == 0;
        if sum != record.taken() && !shares {
            return Err(LedgerError::Lease { lease: record.id, seats: record.taken(), held: sum });
        }
        for used in uses {
            *held.entry(used.bucket).or_default() += i64::from(used.seats);
        }
    }
    Ok(held)
}

/// Checks that of leases which share seats the first has them, and as many as it or any other wants.
fn check_joints(pools: &[Arc<Pool>], leases: &Leases) -> Result<(), LedgerError> {
    for pool in pools {
        for (seats, members) in lock(&pool.joints).all() {
            for (n, (id, wanted)) in members.iter().enumerate() {
                let held: u32 = leases.stock.slab().uses(id.slot()).iter().map(|used| used.seats).sum();
                let due = if n == 0 { seats } else { 0 };
                if held != due || *wanted > seats {
                    return Err(LedgerError::Lease { lease: *id, seats: *wanted, held });
                }
            }
        }
    }
    Ok(())
}

/// Checks that of a pool whose seats are counted by rules every lease with seats is counted, as often as it has some.
fn check_quotas(pools: &[Arc<Pool>], leases: &Leases) -> Result<(), LedgerError> {
    let mut counted = BTreeMap::new();
    for pool in pools {
        let book = lock(&pool.book);
        if book.quotas.is_on() {
            let sums = book.quotas.audit().ok_or_else(|| LedgerError::Quotas { feature: pool.name.clone() })?;
            counted.insert(pool.id, (pool, sums));
        }
    }
    let slots = if counted.is_empty() { 0..0 } else { leases.stock.slab().indices() };
    for slot in slots {
        let Some(record) = leases.records.get(slot) else { continue };
        let record = lock(record);
        let Some(record) = record.as_deref() else { continue };
        let Some((pool, sums)) = counted.get_mut(&record.pool.id) else { continue };
        let held: u32 = leases.stock.slab().uses(slot).iter().map(|used| used.seats).sum();
        if sums.remove(&record.number).unwrap_or(0) != held {
            return Err(LedgerError::Quotas { feature: pool.name.clone() });
        }
    }
    let left = counted.values().find(|(_, sums)| !sums.is_empty());
    left.map_or(Ok(()), |(pool, _)| Err(LedgerError::Quotas { feature: pool.name.clone() }))
}

/// What the workers say is out, by bucket.
fn outs(pools: &[Arc<Pool>], leases: &Leases) -> Vec<(Arc<Pool>, BucketId, i64)> {
    let out = |pool: &Arc<Pool>| {
        let book = lock(&pool.book);
        let out = |bucket| (pool.clone(), bucket, leases.stock.out(bucket));
        book.entries.values().map(|entry| out(entry.bucket)).collect::<Vec<_>>()
    };
    pools.iter().flat_map(out).collect()
}

fn certificate(leases: &Leases, bucket: BucketId) -> CertificateId {
    leases.lot(bucket).map_or(CertificateId([0; 8]), |lot| lot.certificate)
}

fn sums_error(feature: FeatureName, certificate: CertificateId, sums: Sums) -> LedgerError {
    let Sums { free, out, capacity } = sums;
    LedgerError::Bucket { feature, certificate, free, leased: out, capacity }
}
