//! The lease of a request: opened with seats of its own, or with those it shares.

use std::sync::Arc;

use leasehold_protocol::{
    message::Holder,
    time::UnixMillis,
    vocab::{CertificateId, FeatureName, HostId, HostIdKind, LeaseId, Version},
};

use super::{Asking, Held, Step};
use crate::{
    Event, Fault,
    book::lot_uses,
    claims::ClaimGuard,
    counters::Counter,
    engine::refusal::Refusal,
    lease::{AskedFor, Opening, Record},
    plan::{FeaturePlan, Lot, Plan},
    pool::Use,
};

impl Asking<'_> {
    /// Takes the seats and opens the lease. Nothing is locked but the claim key.
    pub(super) fn checkout(
        &self,
        mut claim: ClaimGuard<'_>,
        by_ticket: bool,
        step: &mut Step<'_>,
    ) -> Result<Held, Refusal> {
        let (request, leases) = (self.request, &self.shared.leases);
        let (mut plan, uses) = self.take(step)?;
        if let Some(trial) = fresh_trial(&plan, &request.feature, &uses)
            && self.shared.begin_trial(self.realm, trial, self.now, step.worker)
        {
            step.began.push(trial);
            // The lease is told of the end that the trial has from here on.
            let dated = self.realm.planner.glance();
            if dated.features.contains_key(&request.feature) {
                plan = dated;
            }
        }
        let feature = plan.features.get(&request.feature).ok_or_else(|| self.unknown(&plan))?;
        let lots = lot_uses(leases, &uses);
        let terms = LotTerms::of(feature, &uses);
        let lasts_ms = if self.shared.planted.is(Fault::ExpiryOneTtlEarly) { 1 } else { terms.ttl_ms };
        let deadline = self.now.mono.plus_ms(u64::from(lasts_ms));
        let record = self.record(feature, &terms);
        let opening = Opening { terms: self.terms(), record, uses: &uses, deadline };
        let Some(record) = leases.open(step.worker, opening) else {
            uses.iter().for_each(|used| _ = step.worker.give(used.bucket, used.seats));
            return Err(Refusal::too_many_leases(leases.stock.slab().leases_max()));
        };
        if !self.realm.planner.is_still(&plan) {
            leases.settle_in(step.worker, &record);
        }
        let lease = record.id;
        claim.set_lease(lease, self.sender.client.owner);
        let event = Event::Granted(Box::new(self.granted(&record, lots.clone(), deadline, by_ticket)));
        let counter = if by_ticket { Counter::GrantsByTicket } else { Counter::Grants };
        let units = if record.is_metered { leases.units(&uses) } else { Vec::new() };
        Ok(Held { lease, record, lots, event, counter, units })
    }

    fn record(&self, feature: &FeaturePlan, terms: &LotTerms) -> Record {
        Record {
            id: LeaseId::NONE,
            pool: feature.seats().clone(),
            drawn: self.asked_for(feature),
            claim: self.request.claim,
            client: self.sender.client.fingerprint,
            version: self.of_lots(feature),
            seats: self.request.seats,
            holder: self.holder(),
            granted: self.now,
            number: 0,
            ttl_ms: terms.ttl_ms,
            grace_ms: terms.grace_ms,
            right_ends: terms.right_ends,
            is_metered: terms.is_metered,
        }
    }

    /// The version that is wanted of the lots.
    pub(super) fn of_lots(&self, feature: &FeaturePlan) -> Version {
        feature.drawn.as_ref().map_or(self.request.version, |drawn| drawn.version)
    }

    pub(super) fn asked_for(&self, feature: &FeaturePlan) -> Option<Arc<AskedFor>> {
        let (version, each) = (self.request.version, feature.each());
        let asked = || Arc::new(AskedFor { pool: feature.pool.clone(), version, each });
        feature.drawn.as_ref().map(|_| asked())
    }

    /// What the machine that asks shows of itself, its address with it; nothing where no lot is locked.
    pub(super) fn machine(&self, feature: &FeaturePlan) -> Vec<HostId> {
        if feature.lots.iter().all(|lot| lot.lock.is_none()) {
            return Vec::new();
        }
        let address = HostId::new(HostIdKind::IP, &self.sender.path.from.ip().to_canonical().to_string());
        self.request.holder.hostids.iter().cloned().chain(address).collect()
    }

    /// The holder's words, shared with the other leases of the same session.
    fn holder(&self) -> Arc<Holder> {
        let holder = &self.request.holder;
        let known = self.shared.sessions.with(self.sender.sid, |session| session.intern(holder));
        known.unwrap_or_else(|| Arc::new(holder.clone()))
    }
}

/// The terms of a lease: of several lots, the strictest.
struct LotTerms {
    ttl_ms: u32,
    grace_ms: u32,
    right_ends: Option<UnixMillis>,
    is_metered: bool,
}

impl LotTerms {
    fn of(feature: &FeaturePlan, uses: &[Use]) -> Self {
        let used = |lot: &&Lot| uses.iter().any(|used| used.bucket == lot.bucket);
        let lots = || feature.lots.iter().filter(used);
        Self {
            ttl_ms: lots().map(|lot| lot.ttl_ms).min().unwrap_or(2000),
            grace_ms: lots().map(|lot| lot.grace_ms).min().unwrap_or(0),
            right_ends: lots().filter_map(|lot| lot.ends).min(),
            is_metered: lots().any(|lot| lot.meter.is_some()),
        }
    }
}

/// The trial among the lots of `uses` whose first use this is (L-16).
fn fresh_trial(plan: &Plan, feature: &FeatureName, uses: &[Use]) -> Option<CertificateId> {
    let used = |lot: &&Lot| lot.is_fresh_trial && uses.iter().any(|used| used.bucket == lot.bucket);
    plan.features.get(feature)?.lots.iter().find(used).map(|lot| lot.certificate)
}
