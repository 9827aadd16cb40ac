//! Everything workers share.

use std::sync::Arc;

use leasehold_protocol::{Entropy, licence::SignedCertificate, time::Now, vocab::RealmId};

use crate::{
    FeatureStatus, LeaseStatus, LedgerError, PlanReport, RealmConfig, RealmStatus, ServerConfig, planted::Planted,
};

/// Everything workers share.
pub struct Shared {
    #[allow(dead_code)]
    config: ServerConfig,
    #[allow(dead_code)]
    realms: Vec<RealmConfig>,
    #[allow(dead_code)]
    planted: Planted,
}

impl Shared {
    /// A server with these realms and no licences yet.
    #[must_use]
    pub fn new(config: ServerConfig, realms: Vec<RealmConfig>, entropy: &mut dyn Entropy) -> Arc<Self> {
        let _ = entropy.next_u64();
        Arc::new(Self { config, realms, planted: Planted::default() })
    }

    /// Puts `certificates` in place of everything loaded into `realm` before.
    pub fn load(&self, realm: RealmId, certificates: Vec<SignedCertificate>, now: Now) -> PlanReport {
        drop(certificates);
        PlanReport { realm, at: now.wall, lines: Vec::new(), next_change: None, overage: 0 }
    }

    /// The realms, in the order they were configured.
    #[must_use]
    pub fn realms(&self) -> Vec<RealmStatus> {
        Vec::new()
    }

    /// Every feature, by realm and name.
    #[must_use]
    pub fn features(&self, _now: Now) -> Vec<FeatureStatus> {
        Vec::new()
    }

    /// Every lease, in order of its slot.
    #[must_use]
    pub fn leases(&self, _now: Now) -> Vec<LeaseStatus> {
        Vec::new()
    }

    /// Checks the seat equation for every bucket, and the leases against it.
    ///
    /// # Errors
    /// The first sum that does not come out.
    pub fn check_ledger(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Every counter, by name.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// From now on new requests are denied; renewals and releases go on.
    pub fn begin_drain(&self) {}

    /// Leases that are out.
    #[must_use]
    pub fn live_leases(&self) -> u64 {
        0
    }

    /// Sessions whose clients proved themselves.
    #[must_use]
    pub fn live_sessions(&self) -> u64 {
        0
    }

    /// Plants a fault, for a simulator that must notice it.
    #[cfg(feature = "planted-faults")]
    pub fn plant(&self, fault: crate::Fault) {
        self.planted.set(fault);
    }
}
