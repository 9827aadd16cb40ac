//! The lease of a request: opened with seats of its own, or with those it shares.

use std::{ops::Not, sync::Arc};

use arc_swap::Guard;
use leasehold_protocol::{
    licence::certificate::ShareBy,
    message::{Holder, LotUse},
    time::Mono,
    vocab::{CertificateId, FeatureName, HostId, HostIdKind, LeaseId, Version},
};

use super::{Asking, Held, Step, seats::Taken};
use crate::{
    Event, Fault,
    book::lot_uses,
    claims::ClaimGuard,
    counters::Counter,
    engine::refusal::Refusal,
    joint::{self, Gate, Gates, ShareKey},
    lease::{AskedFor, LotTerms, Opening, Record},
    linger::Waits,
    lock,
    plan::{FeaturePlan, Lot, Plan},
    pool::{Use, Worker},
};

/// A lease that was opened.
pub(super) struct Opened {
    pub(super) record: Record,
    deadline: Mono,
    /// The seats the client is told of: its own, or those it shares.
    shown: Vec<LotUse>,
    /// Those that were taken for it.
    taken: Vec<LotUse>,
    /// Units of meters it uses up (L-17).
    units: Vec<(CertificateId, u32)>,
    /// How many seats of its pool may be out without being on disk (U-2).
    credit: u32,
}

impl Asking<'_> {
    /// Opens the lease, with seats of its own or with those it may share. Nothing is locked but the claim key, and the gate of what
    /// may be shared.
    pub(super) fn checkout(
        &self,
        claim: &mut ClaimGuard<'_>,
        by_ticket: bool,
        step: &mut Step<'_>,
    ) -> Result<Held, Refusal> {
        let gate = self.pass_gate();
        let opened = match gate.as_ref().and_then(|_| self.join(step)).or_else(|| self.take_over(step)) {
            Some(opened) => opened?,
            None => {
                let taken = self.take(step)?;
                self.open_taken(taken, step)?
            }
        };
        Ok(self.held(claim, opened, by_ticket))
    }

    /// Opens the lease of one who has waited, with the seats that were taken for him, or with those he may share: then his own
    /// go back.
    pub(in crate::engine) fn checkout_called(
        &self,
        claim: &mut ClaimGuard<'_>,
        taken: Taken,
        step: &mut Step<'_>,
    ) -> Result<Held, Refusal> {
        let gate = self.pass_gate();
        let opened = match gate.as_ref().and_then(|_| self.join(step)) {
            Some(opened) => {
                self.put_back(&taken, step.worker);
                opened?
            }
            None => self.open_taken(taken, step)?,
        };
        Ok(self.held(claim, opened, false))
    }

    pub(super) fn held(&self, claim: &mut ClaimGuard<'_>, opened: Opened, by_ticket: bool) -> Held {
        let (record, lots) = (opened.record, opened.shown);
        claim.set_lease(record.id, self.sender.client.owner);
        let event =
            Event::Granted(Box::new(self.granted(&record, (opened.taken, opened.credit), opened.deadline, by_ticket)));
        let counter = if by_ticket { Counter::GrantsByTicket } else { Counter::Grants };
        Held { lease: record.id, record, lots, event, counter, units: opened.units }
    }

    /// Opens a lease with the seats that were taken for it; if there is no room they go back.
    pub(super) fn open_taken(&self, taken: Taken, step: &mut Step<'_>) -> Result<Opened, Refusal> {
        let leases = &self.shared.leases;
        let Taken { plan, uses, number, ruling, .. } = taken;
        let plan = self.dated(plan, &uses, step);
        let feature = plan.features.get(&self.request.feature).ok_or_else(|| self.unknown(&plan))?;
        let joint = joint::key_of(feature, &uses, &self.request.holder);
        let pool = feature.seats();
        let mut joints = joint.as_ref().map(|_| lock(&pool.joints));
        let Some((record, deadline)) = self.open(step.worker, feature, (&uses, &uses), (number, joint)) else {
            drop(joints);
            self.give_back(pool, &uses, number, step.worker);
            return Err(Refusal::too_many_leases(leases.stock.slab().leases_max()));
        };
        if let (Some(joints), Some(key)) = (&mut joints, &record.joint) {
            joints.begin(key, record.id, record.taken());
        }
        drop(joints);
        if !self.realm.planner.is_still(&plan) {
            leases.settle_in(step.worker, &record);
        }
        if pool.ruling() != ruling {
            leases.count_in(&record);
        }
        let taken = lot_uses(leases, &uses);
        let units = if record.is_metered { leases.units(&uses) } else { Vec::new() };
        let credit = feature.credit();
        Ok(Opened { record, deadline, shown: taken.clone(), taken, units, credit })
    }

    /// The plan that knows the end of the trial which begins with `uses`, if one does (L-16).
    fn dated(&self, plan: Guard<Arc<Plan>>, uses: &[Use], step: &mut Step<'_>) -> Guard<Arc<Plan>> {
        let Some(trial) = fresh_trial(&plan, &self.request.feature, uses) else { return plan };
        if !self.shared.begin_trial(self.realm, trial, self.now, step.worker) {
            return plan;
        }
        step.began.push(trial);
        let dated = self.realm.planner.glance();
        if dated.features.contains_key(&self.request.feature) { dated } else { plan }
    }

    /// Opens a lease that has `uses`, on the terms of `like`, with the number it was given if that is not 0; `None` if there is no
    /// room for it.
    fn open(
        &self,
        worker: &mut Worker,
        feature: &FeaturePlan,
        (uses, like): (&[Use], &[Use]),
        (number, joint): (u64, Option<Arc<ShareKey>>),
    ) -> Option<(Record, Mono)> {
        let terms = LotTerms::of(feature, like);
        let ttl_ms = self.offered_ms.map_or(terms.ttl_ms, |offered| offered.min(terms.ttl_ms));
        let lasts_ms = if self.shared.planted.is(Fault::ExpiryOneTtlEarly) { 1 } else { ttl_ms };
        let deadline = self.now.mono.plus_ms(u64::from(lasts_ms));
        let record = Record { joint, number, ..self.record(feature, &terms) };
        let opening = Opening { terms: self.terms(), record, uses, deadline };
        Some((self.shared.leases.open(worker, opening)?, deadline))
    }

    /// Lets one request at a time through of those that may share seats with each other.
    fn pass_gate(&self) -> Option<Gate<'_>> {
        let (pool, key) = self.gate()?;
        Some(self.shared.leases.gates.pass(pool, &key))
    }

    /// What it has in common with those whose seats it may share, and the number of their pool.
    fn gate(&self) -> Option<(u32, ShareKey)> {
        let plan = self.realm.planner.glance();
        let feature = plan.features.get(&self.request.feature)?;
        let key = match &feature.shares()[..] {
            [] => return None,
            [by] => ShareKey::of(*by, &self.request.holder)?,
            // More than one rule: whoever asks for this feature.
            _ => ShareKey::of(ShareBy::SITE, &self.request.holder)?,
        };
        Some((feature.seats().id, key))
    }

    /// The number of the gate it has to pass, if any.
    pub(super) fn gate_number(&self) -> Option<usize> {
        self.gate().map(|(pool, key)| Gates::number(pool, &key))
    }

    /// Shares the seats of a lease that has what this request must have in common with it; `None` if there is none.
    pub(super) fn join(&self, step: &mut Step<'_>) -> Option<Result<Opened, Refusal>> {
        let plan = self.realm.planner.glance();
        let feature = plan.features.get(&self.request.feature)?;
        let seats = feature.shares().is_empty().not().then(|| self.cost(feature).ok())??;
        let machine = self.machine(feature);
        self.check_right(feature, &machine).ok()?;
        let leases = &self.shared.leases;
        for by in feature.shares() {
            let Some(key) = ShareKey::of(by, &self.request.holder).map(Arc::new) else { continue };
            let serves = |uses: &[Use], sharers| self.will_do(feature, Some((by, sharers)), &machine, uses);
            let open = |uses: &[Use]| match self.open(step.worker, feature, (&[], uses), (0, Some(key.clone()))) {
                Some((record, deadline)) => {
                    let (id, shown) = (record.id, lot_uses(leases, uses));
                    let credit = feature.credit();
                    (Some(id), Ok(Opened { record, deadline, shown, taken: Vec::new(), units: Vec::new(), credit }))
                }
                None => (None, Err(Refusal::too_many_leases(leases.stock.slab().leases_max()))),
            };
            let joined = leases.join(feature.seats(), &key, seats.get(), self.now.mono, serves, open);
            if let Some((carrier, joined)) = joined {
                // What was kept for its holder has somebody again.
                step.ended.extend(leases.end_if_it_lingers(step.worker, carrier, self.now.mono));
                return Some(joined);
            }
        }
        None
    }

    /// Takes over what this holder released and what stays for him; `None` if there is nothing.
    pub(super) fn take_over(&self, step: &mut Step<'_>) -> Option<Result<Opened, Refusal>> {
        let plan = self.realm.planner.glance();
        let feature = plan.features.get(&self.request.feature)?;
        if feature.lots.iter().all(|lot| lot.stay.is_none()) {
            return None;
        }
        let machine = self.machine(feature);
        self.check_right(feature, &machine).ok()?;
        let leases = &self.shared.leases;
        let who = Waits::new(&feature.pool, &self.request.holder, self.request.seats);
        let serves = |uses: &[Use]| self.will_do_again(feature, &machine, uses);
        let open = |worker: &mut Worker, uses: &[Use]| match self.open(worker, feature, (uses, uses), (0, None)) {
            Some((record, deadline)) => {
                let (id, shown) = (record.id, lot_uses(leases, uses));
                let credit = feature.credit();
                (Some(id), Ok(Opened { record, deadline, taken: shown.clone(), shown, units: Vec::new(), credit }))
            }
            None => (None, Err(Refusal::too_many_leases(leases.stock.slab().leases_max()))),
        };
        leases.take_over(step.worker, (feature.seats(), &who), self.now.mono, serves, open, step.ended)
    }

    /// Whether seats that another lease has answer this request, too; if they are to be shared, by what, and how many share them.
    pub(super) fn will_do(
        &self,
        feature: &FeaturePlan,
        shared: Option<(ShareBy, usize)>,
        machine: &[HostId],
        uses: &[Use],
    ) -> bool {
        let may_share = |lot: &Lot| {
            shared.is_none_or(|(by, sharers)| {
                let room = lot.share_limit.is_none_or(|most| u64::from(most) > sharers as u64);
                lot.share == Some(by) && room
            })
        };
        let answers = |used: &Use| {
            let lot = feature.lots.iter().find(|lot| lot.bucket == used.bucket);
            lot.is_some_and(|lot| may_share(lot) && lot.version >= self.of_lots(feature) && lot.lets_in(machine))
        };
        !uses.is_empty() && uses.iter().all(answers)
    }

    /// The same for seats that stayed: of so many, and no others.
    pub(super) fn will_do_again(&self, feature: &FeaturePlan, machine: &[HostId], uses: &[Use]) -> bool {
        let taken: u32 = uses.iter().map(|used| used.seats).sum();
        self.cost(feature).is_ok_and(|cost| cost.get() == taken) && self.will_do(feature, None, machine, uses)
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
            address: self.sender.path.from.ip(),
            granted: self.now,
            number: 0,
            ttl_ms: terms.ttl_ms,
            grace_ms: terms.grace_ms,
            right_ends: terms.right_ends,
            is_metered: terms.is_metered,
            joint: None,
            stay: terms.stay,
            lingers: None,
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
    pub(super) fn holder(&self) -> Arc<Holder> {
        let holder = &self.request.holder;
        let known = self.shared.sessions.with(self.sender.sid, |session| session.intern(holder));
        known.unwrap_or_else(|| Arc::new(holder.clone()))
    }
}

/// The trial among the lots of `uses` whose first use this is (L-16).
fn fresh_trial(plan: &Plan, feature: &FeatureName, uses: &[Use]) -> Option<CertificateId> {
    let used = |lot: &&Lot| lot.is_fresh_trial && uses.iter().any(|used| used.bucket == lot.bucket);
    plan.features.get(feature)?.lots.iter().find(used).map(|lot| lot.certificate)
}
