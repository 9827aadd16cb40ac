//! The seat equation.

use std::collections::BTreeMap;

use leasehold_protocol::vocab::{CertificateId, FeatureName, LeaseId};

use crate::{
    book::{Book, Pool},
    lease::Leases,
    lock,
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

/// Checks the buckets of `pool`, and its leases one by one. Its checkouts wait meanwhile, its renewals do not.
pub(crate) fn check_pool(pool: &Pool, leases: &Leases) -> Result<(), LedgerError> {
    let book = lock(&pool.book);
    check_book(pool, &book)?;
    let (mut held, mut wrong) = (BTreeMap::<CertificateId, i64>::new(), None);
    leases.held_in(&book, |lease, record| {
        let sum = record.uses.iter().map(|used| used.seats.get()).sum();
        if sum != record.seats.get() {
            wrong = Some(LedgerError::Lease { lease, seats: record.seats.get(), held: sum });
        }
        for used in &record.uses {
            *held.entry(used.certificate).or_default() += i64::from(used.seats.get());
        }
    });
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    for (certificate, entry) in &book.entries {
        let held = held.remove(certificate).unwrap_or(0);
        if held != entry.leased {
            return Err(slab_error(pool, *certificate, held, entry.leased));
        }
    }
    held.into_iter().next().map_or(Ok(()), |(certificate, held)| Err(slab_error(pool, certificate, held, 0)))
}

fn check_book(pool: &Pool, book: &Book) -> Result<(), LedgerError> {
    for (certificate, entry) in &book.entries {
        let (free, leased, capacity) = (entry.bucket.free(), entry.leased, entry.capacity);
        if free + leased != capacity || leased < 0 {
            let (feature, certificate) = (pool.name.clone(), *certificate);
            return Err(LedgerError::Bucket { feature, certificate, free, leased, capacity });
        }
    }
    Ok(())
}

fn slab_error(pool: &Pool, certificate: CertificateId, held: i64, leased: i64) -> LedgerError {
    LedgerError::Slab { feature: pool.name.clone(), certificate, held, leased }
}
