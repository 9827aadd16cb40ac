//! Certificates, compiled: for one realm and one instant, which rights there are, and what became of the others (E-1).
//!
//! A plan is immutable. Loading, and every midnight at which a certificate begins or ends, makes a new one; the seats that
//! are out outlive it, because they live in the pools, not here.

mod arithmetic;
mod compile;
mod install;
mod lots;
mod preview;
mod report;
mod words;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{Ordering, fence},
    },
};

use arc_swap::{ArcSwap, Guard};
use leasehold_protocol::{
    licence::{Day, SignedCertificate},
    time::{Now, UnixMillis},
    vocab::{CertificateId, FeatureName, HostId},
};

use self::compile::compile;
pub(crate) use self::lots::{Drawn, FeaturePlan, Lot, LotKey, LotKind, Meter, groups, serving};
pub use self::{
    compile::Step,
    preview::{Past, ServedBy, preview, timetable},
    report::{CertificateReport, Outcome, PlanReport, UpgradeRule},
};
use crate::{
    book::Pools,
    lease::Leases,
    lock,
    policy::Policy,
    pool::{Tally, Worker},
    realm::RealmIdentity,
};

/// What one realm grants at one time.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By name: every feature that any certificate names.
    pub(crate) features: BTreeMap<FeatureName, FeaturePlan>,
    /// The certificate PROOF shows: the first applied one that names the realm's key; empty if none does.
    pub(crate) proof: Vec<u8>,
    /// How many certificates are in force.
    pub(crate) applied: usize,
    /// The instants between which this plan is right: from the last change to the one before the next.
    pub(crate) since: UnixMillis,
    /// The next instant at which a certificate begins or ends.
    pub(crate) next_change: Option<UnixMillis>,
}

/// The plan of one realm and the certificates it is made from.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    plan: ArcSwap<Plan>,
    /// Locked while a plan is made and put in force.
    held: Mutex<Held>,
    /// How many plans were put in force.
    plans: Tally,
}

/// What plans are made from.
#[derive(Debug, Default)]
struct Held {
    certificates: Vec<Loaded>,
    here: ServedBy,
    /// By what seats are counted.
    policy: Arc<Policy>,
}

/// A certificate with its days turned into instants.
#[derive(Debug)]
pub(crate) struct Loaded {
    signed: Arc<SignedCertificate>,
    starts: Option<UnixMillis>,
    /// Its last millisecond; of a trial that has begun, the earlier of its own and the trial's.
    ends: Option<UnixMillis>,
    trial: Option<Trial>,
}

/// A right that ends some days after its first use (L-16).
#[derive(Clone, Copy, Debug)]
struct Trial {
    days: u16,
    /// Its last millisecond, once it has begun.
    ends: Option<UnixMillis>,
}

/// Where the seats are that a plan is about.
pub(crate) struct Stock<'a> {
    /// The realm's pools.
    pub(crate) pools: &'a Pools,
    /// The leases of every realm.
    pub(crate) leases: &'a Leases,
    /// Whose hand puts seats in and takes them out.
    pub(crate) worker: &'a mut Worker,
    /// How long a lease lives where its certificate does not say, in milliseconds.
    pub(crate) ttl_default_ms: u64,
}

/// A wall clock may step back by this much, in milliseconds, before a plan is made for an earlier time again: workers read
/// their clocks a little apart, and a plan must not flap between them.
pub(crate) const STEP_BACK_MAX_MS: u64 = 60_000;

impl Planner {
    /// The plan as it is now, to keep.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// The plan as it is now, for one request: no counter is touched. Another may be put in force at any time; who grants by
    /// it asks [`Planner::is_still`] afterwards.
    pub(crate) fn glance(&self) -> Guard<Arc<Plan>> {
        self.plan.load()
    }

    /// Whether `plan` is in force still, for who has just published a lease that was granted by it. If so, who puts the next
    /// one in force will find that lease.
    ///
    /// Ordering: the fence pairs with the one in [`Planner::put_in_force`]: a lease is published, then the plan is looked at;
    /// the plan is replaced, then leases are looked at. One of the two sees the other.
    pub(crate) fn is_still(&self, plan: &Arc<Plan>) -> bool {
        fence(Ordering::SeqCst);
        Arc::ptr_eq(&self.plan.load(), plan)
    }

    /// Ordering: see [`Planner::is_still`].
    fn put_in_force(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
        self.plans.add(1);
        fence(Ordering::SeqCst);
    }

    /// Puts `certificates` in place of all that were loaded before.
    pub(crate) fn load(
        &self,
        certificates: Vec<SignedCertificate>,
        now: Now,
        identity: &RealmIdentity,
        stock: Stock<'_>,
    ) -> PlanReport {
        let mut held = lock(&self.held);
        held.here.realm = identity.id;
        held.here.fingerprint = Some(identity.fingerprint);
        held.certificates = certificates.into_iter().map(|signed| Loaded::new(signed, &held.here)).collect();
        self.replace(&held, now, identity, stock)
    }

    /// Makes the plan for `now` if the one in force is for another time (L-9); whether it did.
    pub(crate) fn keep_current(&self, now: Now, identity: &RealmIdentity, stock: Stock<'_>) -> bool {
        if self.plan.load().is_for(now.wall) {
            return false;
        }
        let held = lock(&self.held);
        // Another worker may have been quicker.
        let is_stale = !self.plan.load().is_for(now.wall);
        if is_stale {
            self.replace(&held, now, identity, stock);
        }
        is_stale
    }

    /// How many plans were put in force: who has seen as many knows this one.
    pub(crate) fn plans(&self) -> u64 {
        self.plans.get()
    }

    /// What is become of every certificate by now: begun, ended, or put in the place of another by its date.
    pub(crate) fn report(&self, now: Now, identity: &RealmIdentity, pools: &Pools, worker: &mut Worker) -> PlanReport {
        let held = lock(&self.held);
        let draft = compile(&held.certificates, &held.here, now.wall);
        let overage = overage(pools, worker);
        PlanReport { realm: identity.id, at: now.wall, lines: draft.lines, next_change: draft.next_change, overage }
    }

    /// What the server can be recognised by, and what was used on it before: for the next loading.
    pub(crate) fn serve_as(&self, hostids: Vec<HostId>, past: &Past) {
        let mut held = lock(&self.held);
        held.here.hostids = Some(hostids);
        held.here.trials.extend(past.trials.iter().map(|(id, begun)| (*id, *begun)));
        held.here.used.extend(past.used.iter().map(|(id, units)| (*id, *units)));
    }

    /// The certificates that are loaded, in order; what the server can be recognised by; and what was used on it before.
    pub(crate) fn loaded(&self) -> (Vec<SignedCertificate>, Vec<HostId>, Past) {
        let held = lock(&self.held);
        let certificates = held.certificates.iter().map(|loaded| (*loaded.signed).clone()).collect();
        let ServedBy { hostids, trials, used, .. } = held.here.clone();
        (certificates, hostids.unwrap_or_default(), Past { trials, used })
    }

    /// Who serves.
    pub(crate) fn served_by(&self, identity: &RealmIdentity) -> ServedBy {
        let here = lock(&self.held).here.clone();
        ServedBy { realm: identity.id, fingerprint: Some(identity.fingerprint), ..here }
    }

    /// Notes that the trial `certificate` was used for the first time at `now`, and makes a plan that knows its end; `false`
    /// if it had begun before (L-16).
    pub(crate) fn begin_trial(
        &self,
        certificate: CertificateId,
        now: Now,
        identity: &RealmIdentity,
        stock: Stock<'_>,
    ) -> bool {
        let mut held = lock(&self.held);
        if held.here.trials.contains_key(&certificate) {
            return false;
        }
        held.here.trials.insert(certificate, now.wall);
        let Held { certificates, here, .. } = &mut *held;
        certificates.iter_mut().filter(|loaded| loaded.signed.id == certificate).for_each(|loaded| loaded.date(here));
        self.replace(&held, now, identity, stock);
        true
    }

    /// Counts seats by `policy` from now on.
    pub(crate) fn rule(&self, policy: Arc<Policy>, stock: Stock<'_>) {
        let mut held = lock(&self.held);
        held.policy = policy;
        stock.leases.rule(stock.pools, &self.plan.load(), &held.policy);
    }

    fn replace(&self, held: &Held, now: Now, identity: &RealmIdentity, mut stock: Stock<'_>) -> PlanReport {
        let Held { certificates: held, here, policy } = held;
        let draft = compile(held, here, now.wall);
        let mut report = PlanReport {
            realm: identity.id,
            at: now.wall,
            lines: draft.lines,
            next_change: draft.next_change,
            overage: 0,
        };
        let (plan, no_room) = install::plan_of(held, &here.used, draft.plan, &stock, identity);
        no_room.into_iter().for_each(|index| report.lines[index].leave_out());
        install::install(plan, &mut stock, |plan| self.put_in_force(plan));
        stock.leases.rule(stock.pools, &self.plan.load(), policy);
        report.overage = overage(stock.pools, stock.worker);
        report
    }
}

/// Seats of `pools` that are out and that nothing in force covers.
fn overage(pools: &Pools, worker: &mut Worker) -> u64 {
    pools.all().iter().map(|pool| lock(&pool.book).stand(worker).overage).sum()
}

impl Plan {
    fn is_for(&self, wall: UnixMillis) -> bool {
        self.next_change.is_none_or(|next| wall < next) && wall.0 >= self.since.0.saturating_sub(STEP_BACK_MAX_MS)
    }
}

impl Loaded {
    fn new(signed: SignedCertificate, here: &ServedBy) -> Self {
        let starts = signed.certificate.starts_at();
        let mut loaded = Self { signed: Arc::new(signed), starts, ends: None, trial: None };
        loaded.date(here);
        loaded
    }

    /// Finds out when it ends.
    fn date(&mut self, here: &ServedBy) {
        let certificate = &self.signed.certificate;
        let begun = here.trials.get(&self.signed.id);
        self.trial = certificate.terms.trial_days.map(|days| {
            let ends = begun.and_then(|begun| {
                let first = Day::at(*begun, &certificate.zone).ok()?;
                first.plus_days(days.into()).last_instant(&certificate.zone).ok()
            });
            Trial { days, ends }
        });
        let trial_ends = self.trial.and_then(|trial| trial.ends);
        self.ends = certificate.ends_at().into_iter().chain(trial_ends).min();
    }

    fn is_alive(&self, at: UnixMillis) -> bool {
        self.has_started(at) && !self.has_ended(at)
    }

    fn has_started(&self, at: UnixMillis) -> bool {
        self.starts.is_none_or(|starts| starts <= at)
    }

    fn has_ended(&self, at: UnixMillis) -> bool {
        self.ends.is_some_and(|ends| ends < at)
    }
}
