//! Everything workers share: leases, sessions, certificates and limits. An administrator reads it from any thread.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use leasehold_protocol::{
    Entropy,
    licence::SignedCertificate,
    time::{Mono, Now, UnixMillis},
    vocab::{CertificateId, HostId, RealmId},
};

use crate::{
    FeatureStatus, LeaseStatus, LedgerError, Past, PlanReport, RealmConfig, RealmStatus, ReservationStatus, ServedBy,
    ServerConfig,
    book::Pool,
    counters::Counters,
    doubt::Doubt,
    lease::Leases,
    ledger, lock,
    plan::{STEP_BACK_MAX_MS, Stock},
    planted::Planted,
    policy::Policy,
    pool::{Tally, Worker},
    realm::Realm,
    reclaim::Pleas,
    session::{CookieJar, PrefixSketch, RateBucket, SessionTable},
    status::feature_status,
};

/// Everything workers share. One per server; every [`Engine`](crate::Engine) holds it, and so may the administration.
pub struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) realms: Vec<Arc<Realm>>,
    pub(crate) leases: Leases,
    pub(crate) sessions: SessionTable,
    pub(crate) cookies: CookieJar,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) planted: Planted,
    pub(crate) doubt: Doubt,
    /// Who may take seats at all.
    pub(crate) policy: ArcSwap<Policy>,
    /// Who was asked to let an idle seat go.
    pub(crate) pleas: Pleas,
    draining: Tally,
    /// The administration's hand in the seats: it loads licences and counts.
    pub(crate) office: Mutex<Worker>,
    /// The next instant at which a certificate begins or ends, on the wall and as far as can be told on the lease clock.
    change_wall: Tally,
    change_mono: Tally,
    /// The last instant at which one began or had ended, on the wall.
    changed_wall: Tally,
    /// By how much the wall clock is ahead of the lease clock, as last looked at; [`NEVER`] before the first look.
    clock_gap: Tally,
    /// Held while those three are noted, so that the newest plans are noted last.
    noting: Mutex<()>,
}

/// How much may be asked by those who have not proved who they are.
pub(crate) struct Limits {
    pub(crate) handshakes: RateBucket,
    pub(crate) handshakes_by_prefix: PrefixSketch,
    pub(crate) discovers: RateBucket,
    pub(crate) discovers_by_prefix: PrefixSketch,
}

const NEVER: u64 = u64::MAX;
/// How far wall clock and lease clock may part between two looks before all sessions are dropped, in milliseconds.
const CLOCKS_PART_MAX_MS: u64 = 2000;
/// From how much on a smaller difference is noted as the new gap: workers read their clocks a little apart, and need not
/// write over each other for it.
const CLOCKS_PART_NOTED_MS: u64 = 100;

impl Shared {
    /// A server with these realms and no licences yet. Two realms of one publisher are one: the first stays.
    #[must_use]
    pub fn new(config: ServerConfig, realms: Vec<RealmConfig>, entropy: &mut dyn Entropy) -> Arc<Self> {
        let mut kept: Vec<Arc<Realm>> = Vec::new();
        for realm in realms {
            if kept.iter().all(|other| other.identity.id != realm.id()) {
                kept.push(Realm::new(realm, entropy));
            }
        }
        let leases = Leases::new(config.leases_max);
        let office = leases.stock.join().expect("a new stock has a place for a worker");
        Arc::new(Self {
            leases,
            office: Mutex::new(office),
            sessions: SessionTable::new(&config),
            cookies: CookieJar::new(entropy),
            limits: Limits::new(&config, entropy),
            realms: kept,
            doubt: Doubt::new(&config),
            config,
            counters: Counters::default(),
            planted: Planted::default(),
            policy: ArcSwap::default(),
            pleas: Pleas::default(),
            draining: Tally::default(),
            change_wall: Tally::new(NEVER),
            change_mono: Tally::new(NEVER),
            changed_wall: Tally::default(),
            clock_gap: Tally::new(NEVER),
            noting: Mutex::default(),
        })
    }

    /// Puts `certificates` in place of everything loaded into `realm` before, in that order (L-4), and says what became
    /// of each. Holders keep what they hold: what nothing in force covers any more is overage (L-10).
    ///
    /// For a realm that is not here, every certificate is reported as another realm's.
    pub fn load(&self, realm: RealmId, certificates: Vec<SignedCertificate>, now: Now) -> PlanReport {
        let Some(realm) = self.realm(realm) else { return PlanReport::of_no_realm(realm, certificates, now.wall) };
        let report = {
            let mut office = lock(&self.office);
            realm.planner.load(certificates, now, &realm.identity, self.stock(realm, &mut office))
        };
        self.note_changes(now);
        report
    }

    /// Tells `realm` what its server can be recognised by (L-19), and what was used on it before (L-16, L-17): for what is
    /// loaded from here on.
    pub fn serve_as(&self, realm: RealmId, hostids: Vec<HostId>, past: &Past) {
        if let Some(realm) = self.realm(realm) {
            realm.planner.serve_as(hostids, past);
        }
    }

    /// Who serves `realm`, as far as it matters to what certificates grant; `None` if it is not here. For
    /// [`preview`](crate::preview) and [`timetable`](crate::timetable).
    #[must_use]
    pub fn served_by(&self, realm: RealmId) -> Option<ServedBy> {
        self.realm(realm).map(|realm| realm.planner.served_by(&realm.identity))
    }

    /// Begins the trial `certificate`; whether it had not begun before.
    pub(crate) fn begin_trial(&self, realm: &Realm, certificate: CertificateId, now: Now, worker: &mut Worker) -> bool {
        let begun = realm.planner.begin_trial(certificate, now, &realm.identity, self.stock(realm, worker));
        if begun {
            self.note_changes(now);
        }
        begun
    }

    /// Puts `policy` in place of the one before, for requests from now on: no lease ends by it (P-6).
    pub fn set_policy(&self, policy: Policy) {
        let (policy, mut office) = (Arc::new(policy), lock(&self.office));
        self.policy.store(policy.clone());
        for realm in &self.realms {
            realm.planner.rule(policy.clone(), self.stock(realm, &mut office));
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// The realms, in the order they were configured.
    #[must_use]
    pub fn realms(&self) -> Vec<RealmStatus> {
        let status = |realm: &Arc<Realm>| {
            let (identity, plan) = (&realm.identity, realm.planner.plan());
            RealmStatus {
                id: identity.id,
                publisher: identity.publisher.clone(),
                key: identity.key,
                fingerprint: identity.fingerprint,
                open: realm.site.is_open(),
                certificates: plan.applied,
                next_change: plan.next_change,
            }
        };
        self.realms.iter().map(status).collect()
    }

    /// How many plans were put in force, over all realms: by loading, and by dates. Who has seen as many has seen the one in force.
    #[must_use]
    pub fn plans(&self) -> u64 {
        self.realms.iter().map(|realm| realm.planner.plans()).sum()
    }

    /// What has become of every certificate by `now`, realm by realm, each in the order they were loaded in.
    #[must_use]
    pub fn reports(&self, now: Now) -> Vec<PlanReport> {
        let mut office = lock(&self.office);
        let report = |realm: &Arc<Realm>| realm.planner.report(now, &realm.identity, &realm.pools, &mut office);
        self.realms.iter().map(report).collect()
    }

    /// Every feature that a certificate names or of which seats are out, by realm and name; each of its lots at one instant,
    /// in which no checkout was half done. Stops nobody.
    #[must_use]
    pub fn features(&self, now: Now) -> Vec<FeatureStatus> {
        let (mut all, mut office) = (Vec::new(), lock(&self.office));
        for realm in &self.realms {
            // A plan is replaced by the engines alone, which tell about it; this reads the one in force.
            let plan = realm.planner.plan();
            let mut status = |pool: &Arc<Pool>| feature_status(pool, plan.features.get(&pool.name), now, &mut office);
            all.extend(realm.pools.all().iter().filter_map(&mut status));
        }
        all
    }

    /// Every reservation of the policy in force, realm by realm, in the order of the file; of a realm that has no licence for its
    /// feature, none.
    #[must_use]
    pub fn reservations(&self) -> Vec<ReservationStatus> {
        let of = |pool: &Arc<Pool>| {
            let all = lock(&pool.book).reservations(&pool.name);
            all.into_iter()
                .map(|(r, used, short)| ReservationStatus {
                    realm: pool.realm,
                    rule: r.id,
                    feature: r.feature,
                    version: r.version,
                    seats: r.seats,
                    used,
                    short,
                })
                .collect::<Vec<_>>()
        };
        let places: BTreeMap<String, usize> =
            self.policy.load().reservations().iter().enumerate().map(|(place, r)| (r.id.clone(), place)).collect();
        let in_realm = |realm: &Arc<Realm>| {
            let mut all: Vec<ReservationStatus> = realm.pools.all().iter().flat_map(of).collect();
            all.sort_by_key(|status| places.get(&status.rule).copied());
            all
        };
        self.realms.iter().flat_map(in_realm).collect()
    }

    /// Every lease that has not reached its deadline, in order of its slot, each as it was at one moment.
    #[must_use]
    pub fn leases(&self, now: Now) -> Vec<LeaseStatus> {
        self.leases.statuses(now, |sid| self.sessions.address(sid))
    }

    /// Checks the seat equation, `free + leased == capacity`, for every bucket, and the leases against it one by one. Stops
    /// nobody, and is never wrong about it: a bucket that never keeps still is passed over, and so are the leases if workers
    /// are at work all the time.
    ///
    /// # Errors
    /// The first sum that does not come out.
    pub fn check_ledger(&self) -> Result<(), LedgerError> {
        let pools: Vec<Arc<Pool>> = self.realms.iter().flat_map(|realm| realm.pools.all()).collect();
        ledger::check(&pools, &self.leases, &mut lock(&self.office))
    }

    /// Every counter since the start, by name, over all engines.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters.totals()
    }

    /// From now on new requests are denied with "shutting down" and DISCOVERs are not answered; renewals and releases go
    /// on, and so do requests for a lease that is alive.
    pub fn begin_drain(&self) {
        self.draining.set(1);
    }

    /// Whether [`Shared::begin_drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get() != 0
    }

    /// Leases that are out, with those that are past their deadline and not yet swept; without the server's own for seats that stay
    /// after a release.
    #[must_use]
    pub fn live_leases(&self) -> u64 {
        self.leases.held()
    }

    /// Sessions whose clients proved themselves and that have not ended.
    #[must_use]
    pub fn live_sessions(&self) -> u64 {
        self.sessions.live()
    }

    /// Plants a fault, for a simulator that must notice it.
    #[cfg(feature = "planted-faults")]
    pub fn plant(&self, fault: crate::Fault) {
        self.planted.set(fault);
    }

    pub(crate) fn realm(&self, id: RealmId) -> Option<&Arc<Realm>> {
        self.realms.iter().find(|realm| realm.identity.id == id)
    }

    /// Brings every realm's plan up to `now` if some certificate begins or ends by it (L-9); runs `each` for those that
    /// changed.
    pub(crate) fn keep_plans_current(&self, now: Now, worker: &mut Worker, mut each: impl FnMut(RealmId)) {
        let far_behind = now.wall.0 < self.changed_wall.get().saturating_sub(STEP_BACK_MAX_MS);
        if now.wall.0 < self.change_wall.get() && !far_behind {
            return;
        }
        for realm in &self.realms {
            if realm.planner.keep_current(now, &realm.identity, self.stock(realm, worker)) {
                each(realm.identity.id);
            }
        }
        self.note_changes(now);
    }

    /// Notes when the next plan changes by itself, as seen from `now`.
    pub(crate) fn note_changes(&self, now: Now) {
        let _noting = lock(&self.noting);
        let next = self.realms.iter().filter_map(|realm| realm.planner.plan().next_change).min();
        let wall = next.map_or(NEVER, |UnixMillis(at)| at);
        let mono = if wall == NEVER { NEVER } else { now.mono.0.saturating_add(wall.saturating_sub(now.wall.0)) };
        let last = self.realms.iter().map(|realm| realm.planner.plan().since).max().unwrap_or_default();
        self.changed_wall.set(last.0);
        self.change_wall.set(wall);
        self.change_mono.set(mono);
    }

    /// Looks at both clocks, of which the wall clock is the machine's own, as it was read. If they parted by more than 2 s since the
    /// last look, this machine may be the copy of a snapshot, and a counter of ours may be used again (SPEC 3.6.4): all sessions are
    /// dropped, and `each` is told by how much the wall clock moved and how many there were. Leases do not notice.
    pub(crate) fn look_at_clocks(&self, now: Now, each: impl FnOnce(i64, u64)) {
        let gap = now.wall.0.wrapping_sub(now.mono.0);
        let parted = |seen: u64| if seen == NEVER { 0 } else { gap.wrapping_sub(seen).cast_signed() };
        let seen = self.clock_gap.get();
        if seen != NEVER && parted(seen).unsigned_abs() < CLOCKS_PART_NOTED_MS {
            return;
        }
        let by_ms = {
            // One worker notices; the others find it noted.
            let _noting = lock(&self.noting);
            let by_ms = parted(self.clock_gap.get());
            self.clock_gap.set(gap);
            by_ms
        };
        if by_ms.unsigned_abs() > CLOCKS_PART_MAX_MS {
            each(by_ms, self.sessions.close_all());
        }
    }

    /// When the next plan changes by itself, as far as could be told when it was last looked at.
    pub(crate) fn next_change(&self) -> Option<Mono> {
        Some(self.change_mono.get()).filter(|at| *at != NEVER).map(Mono)
    }

    fn stock<'a>(&'a self, realm: &'a Realm, worker: &'a mut Worker) -> Stock<'a> {
        Stock { pools: &realm.pools, leases: &self.leases, worker, ttl_default_ms: self.config.lease_ttl_default_ms }
    }
}

impl Limits {
    fn new(config: &ServerConfig, entropy: &mut dyn Entropy) -> Self {
        Self {
            handshakes: RateBucket::new(config.handshakes_per_second),
            handshakes_by_prefix: PrefixSketch::new(config.handshakes_per_prefix, entropy),
            discovers: RateBucket::new(config.discovers_per_second),
            discovers_by_prefix: PrefixSketch::new(config.discovers_per_prefix, entropy),
        }
    }
}
