//! Certificates, compiled: for one realm and one instant, which rights there are, and what became of the others (E-1).
//!
//! A plan is immutable. Loading, and every midnight at which a certificate begins or ends, makes a new one; the seats that
//! are out outlive it, because they live in the pools, not here.

mod arithmetic;
mod compile;
mod install;
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
    licence::{Day, SeatLimit, SignedCertificate, certificate::ShareBy, hostids::ClientLock},
    time::{Now, UnixMillis},
    vocab::{CertificateId, FeatureName, HostId, Version},
};

use self::compile::compile;
pub use self::{
    compile::Step,
    preview::{Past, ServedBy, preview, timetable},
    report::{CertificateReport, Outcome, PlanReport, UpgradeRule},
};
use crate::{
    book::{Entry, Pool, Pools},
    lease::Leases,
    linger::Stay,
    lock,
    pool::{BucketId, Tally, Worker},
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

/// What a plan says about one feature.
#[derive(Debug)]
pub(crate) struct FeaturePlan {
    /// Its seats, which outlive every plan.
    pub(crate) pool: Arc<Pool>,
    /// The lots in force, in the order they serve in. Of a feature whose seats are made of another one's, that one's.
    pub(crate) lots: Vec<Lot>,
    /// Whose lots those are, if not its own, and how many of their seats one of ours is made of (L-14).
    pub(crate) drawn: Option<Drawn>,
    /// From how many seats on alerts rise (L-13).
    pub(crate) soft_limit: Option<u64>,
    /// Rights that begin later and will then be in force: version and first millisecond, earliest first.
    pub(crate) later: Vec<(Version, UnixMillis)>,
    /// Rights that have ended: version and last millisecond, latest first.
    pub(crate) ended: Vec<(Version, UnixMillis)>,
}

/// Where a feature's seats come from that has none of its own.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    /// Whose they are.
    pub(crate) pool: Arc<Pool>,
    /// Seats of it for each of ours.
    pub(crate) each: u32,
    /// The certificate that says so.
    pub(crate) by: Arc<SignedCertificate>,
    /// Up to which version of ours it answers.
    pub(crate) answers: Version,
    /// The lowest version of those seats that will do.
    pub(crate) version: Version,
}

/// What a lot's seats are beside the others of its feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LotKind {
    /// What was bought.
    Regular,
    /// What may be used above that, and is reported apart (L-13).
    Overdraft,
}

/// The seats of one certificate in force.
#[derive(Clone, Debug)]
pub(crate) struct Lot {
    /// The certificate its seats come from.
    pub(crate) source: CertificateId,
    /// What its seats are.
    pub(crate) kind: LotKind,
    /// A request never spans two groups (L-7).
    pub(crate) group: u32,
    /// Seats that upgrades add to it.
    pub(crate) upgraded_by: u32,
    /// What it demands of the machine that asks; `None`: nothing.
    pub(crate) lock: Option<Arc<ClientLock>>,
    /// What requests must have in common to share its seats; `None`: each takes seats of its own.
    pub(crate) share: Option<ShareBy>,
    /// How many leases may share a seat at most, the one that took it among them.
    pub(crate) share_limit: Option<u32>,
    /// How long its seats stay after a release.
    pub(crate) stay: Stay,
    /// Whether its seats are units that are used up, and how (L-17).
    pub(crate) meter: Option<Meter>,
    /// Units of it that were used up before this server was started (L-17).
    pub(crate) used_before: u64,
    /// Whether it is a trial whose first use is still to come (L-16).
    pub(crate) is_fresh_trial: bool,
    /// The certificate that people see: of an upgrade, the one it raises (L-8).
    pub(crate) certificate: CertificateId,
    /// The version of its right: answers requests for it or lower.
    pub(crate) version: Version,
    /// That, as its publisher signed it.
    pub(crate) signed: Arc<SignedCertificate>,
    /// Its seats.
    pub(crate) seats: SeatLimit,
    /// Its first millisecond.
    pub(crate) starts: Option<UnixMillis>,
    /// Its last millisecond.
    pub(crate) ends: Option<UnixMillis>,
    /// How long a lease of it lives without a renewal, in milliseconds.
    pub(crate) ttl_ms: u32,
    /// Its grace, in milliseconds.
    pub(crate) grace_ms: u32,
    /// Its seats.
    pub(crate) bucket: BucketId,
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
}

/// By what a lot is told from others: whose seats, of what kind, and under which certificate's name they are granted. A
/// bucket is named once (an upgrade that raises another exclusive than before gets one of its own), so that no grant
/// names a certificate that is not in force.
pub(crate) type LotKey = (CertificateId, LotKind, CertificateId);

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
        let Held { certificates, here } = &mut *held;
        certificates.iter_mut().filter(|loaded| loaded.signed.id == certificate).for_each(|loaded| loaded.date(here));
        self.replace(&held, now, identity, stock);
        true
    }

    fn replace(&self, held: &Held, now: Now, identity: &RealmIdentity, mut stock: Stock<'_>) -> PlanReport {
        let Held { certificates: held, here } = held;
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

/// How a lot's units are used (L-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meter {
    /// Whether they come back when a lease ends.
    pub(crate) reusable: bool,
    /// How soon after a grant a release gives them back in any case, in milliseconds.
    pub(crate) undo_ms: u64,
}

impl Lot {
    /// By what a lot is told from others, whatever else has changed about it.
    pub(crate) const fn key(&self) -> LotKey {
        (self.source, self.kind, self.certificate)
    }

    /// What a book begins with for it.
    pub(crate) const fn entry(&self) -> Entry {
        Entry { bucket: self.bucket, in_force: false, used_up: self.used_before }
    }

    /// Seats there are; `None` if they are not counted.
    pub(crate) const fn count(&self) -> Option<u32> {
        match self.seats {
            SeatLimit::Counted(count) => Some(count.get()),
            SeatLimit::Uncounted => None,
        }
    }

    /// The same as a bucket counts them.
    pub(crate) fn capacity(&self) -> Option<i64> {
        self.count().map(i64::from)
    }
}

/// The lots of `lots` that answer a request for `wanted`, in the order of L-11: regular before overdraft, exact version before
/// higher, then sooner-ending before later, then file order; the last two are the order `lots` are in.
pub(crate) fn serving(lots: &[Lot], wanted: Version) -> impl Iterator<Item = &Lot> {
    let regular = lots.partition_point(|lot| lot.kind == LotKind::Regular);
    let (regular, overdraft) = lots.split_at(regular);
    [regular, overdraft].into_iter().flat_map(move |lots| {
        let exact = lots.iter().filter(move |lot| lot.version == wanted);
        exact.chain(lots.iter().filter(move |lot| lot.version > wanted))
    })
}

/// The groups of `lots`, each in order of its first lot: a request is served from one of them (L-7).
pub(crate) fn groups(lots: &[Lot]) -> Vec<u32> {
    let mut groups: Vec<u32> = Vec::new();
    for lot in lots {
        if !groups.contains(&lot.group) {
            groups.push(lot.group);
        }
    }
    groups
}

impl FeaturePlan {
    /// The pool whose seats its requests take.
    pub(crate) fn seats(&self) -> &Arc<Pool> {
        self.drawn.as_ref().map_or(&self.pool, |drawn| &drawn.pool)
    }

    /// The lots that are its own.
    pub(crate) fn own_lots(&self) -> &[Lot] {
        if self.drawn.is_some() { &[] } else { &self.lots }
    }

    /// The seats of its largest pool; `None` if one is not counted.
    pub(crate) fn largest(&self) -> Option<u64> {
        let of = |group| -> Option<u64> {
            let lots = self.lots.iter().filter(|lot| lot.group == group);
            lots.map(|lot| lot.count().map(u64::from)).sum()
        };
        let pools: Option<Vec<u64>> = groups(&self.lots).into_iter().map(of).collect();
        pools?.into_iter().max()
    }

    /// What its seats may be shared by, in the order of its lots; nearly always nothing.
    pub(crate) fn shares(&self) -> Vec<ShareBy> {
        let mut shares = Vec::new();
        for by in self.lots.iter().filter_map(|lot| lot.share) {
            if !shares.contains(&by) {
                shares.push(by);
            }
        }
        shares
    }

    /// Whether its lots are several pools (L-7).
    pub(crate) fn is_separate(&self) -> bool {
        self.lots.windows(2).any(|two| two[0].group != two[1].group)
    }

    /// Seats of its lots for each of its own.
    pub(crate) fn each(&self) -> u32 {
        self.drawn.as_ref().map_or(1, |drawn| drawn.each)
    }
}

impl Lot {
    /// Whether a machine that shows `shown` may use it.
    pub(crate) fn lets_in(&self, shown: &[HostId]) -> bool {
        self.lock.as_ref().is_none_or(|lock| lock.lets_in(shown).is_ok())
    }
}
