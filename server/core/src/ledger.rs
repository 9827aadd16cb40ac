//! The seat equation.

use leasehold_protocol::vocab::{CertificateId, FeatureName, LeaseId};

/// A sum that does not come out: a defect of this program, never of anything received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// `free + leased == capacity` does not hold.
    #[error("the seats of {feature} from certificate {certificate} do not add up: {free} free and {leased} leased are not the {capacity} there are")]
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
