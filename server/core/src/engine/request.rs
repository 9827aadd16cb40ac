//! REQUEST: seats, please.

use std::sync::Arc;

use arc_swap::Guard;
use leasehold_protocol::{
    licence::nearest::nearest,
    message::{Grant, Holder, LotUse, NextDue, Request, ServerFrame},
    time::{Mono, Now, UnixMillis},
    vocab::{CertificateId, FeatureName, HostId, HostIdKind, LeaseId, SeatCount, Version},
};

use super::{
    Engine,
    data::Sender,
    refusal::{Asked, Refusal, Stand, narrow},
};
use crate::{
    Ended, Event, Fault, Granted, Shared,
    book::{Counts, Pool, Want, choices, lot_uses},
    claims::{Claim, ClaimGuard},
    counters::Counter,
    lease::{AskedFor, Opening, Record},
    lock,
    plan::{FeaturePlan, Lot, Plan, groups, serving},
    pool::{BucketId, Rank, Renewal, Short, Terms, Use, Worker},
    realm::Realm,
    ticket::{self, Bearer},
};

/// Hostids of a holder that are read (SPEC 5.3).
const HOSTIDS_MAX: usize = 16;
/// Features a name that nobody knows is compared with, to guess what was meant: with more, a stranger's typing errors
/// would cost us too much.
const NAMES_COMPARED_MAX: usize = 256;
/// Leases that are looked at between two looks at whether there is room now.
const SWEEP_STEP: usize = 64;
/// Lots a GRANT lists at most, so that it fits its datagram whatever the lease spans. The ledger knows them all.
const LOTS_TOLD_MAX: usize = 32;

/// What a client is told about time (E-7). It counts from when it sent, we from when we handled, so its deadline comes
/// before ours by at least the margin, whatever the network did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientTerms {
    pub(super) ttl_ms: u32,
    pub(super) renew_after_ms: u32,
}

impl ClientTerms {
    /// For a lease that lives `ttl_ms` here: a margin of 1 % and 2 s, the 2 s less where the TTL is below 20 s.
    pub(super) const fn of(ttl_ms: u32) -> Self {
        let tenth = ttl_ms / 10;
        let margin_ms = ttl_ms / 100 + if tenth < 2000 { tenth } else { 2000 };
        Self { ttl_ms: ttl_ms - margin_ms, renew_after_ms: ttl_ms / 3 }
    }
}

/// A lease that answers a request, new or alive.
struct Held {
    lease: LeaseId,
    record: Record,
    lots: Vec<LotUse>,
    event: Event,
    counter: Counter,
    /// Units of meters it uses up (L-17).
    units: Vec<(CertificateId, u32)>,
}

impl Engine {
    pub(super) fn on_request(&mut self, now: Now, sender: &Sender, mut request: Request) {
        let shared = self.shared.clone();
        let realm = &shared.realms[sender.client.realm];
        request.holder.hostids.truncate(HOSTIDS_MAX);
        let asking = Asking { shared: &shared, realm, now, sender, request: &request };
        let mut step = Step { worker: &mut self.worker, ended: &mut self.ended, began: Vec::new() };
        let decided = asking.decide(&mut step);
        let (realm_id, at) = (realm.identity.id, now.wall);
        let began = step.began.into_iter().map(|certificate| Event::TrialBegan { realm: realm_id, certificate, at });
        self.events.extend(began);
        // Seats that came back to make room are told about before the grant they made room for.
        self.settle();
        match decided {
            Ok(held) => self.grant(&asking, held),
            Err(refusal) => {
                let (feature, seats) = (Some(request.feature.clone()), Some(request.seats));
                let asked = Asked { operation: request.operation, claim: request.claim, feature, seats };
                self.deny(sender, &asked, refusal);
            }
        }
    }

    fn grant(&mut self, asking: &Asking<'_>, held: Held) {
        let (request, record) = (asking.request, held.record);
        let told = ClientTerms::of(record.ttl_ms);
        let client = &asking.sender.client.key;
        let bearer = Bearer { client, claim: &request.claim, feature: &request.feature, seats: request.seats };
        let config = &asking.shared.config;
        let ticket = ticket::seal(config, asking.realm, &bearer, held.lease, asking.now, &mut *self.entropy);
        let mut lots = held.lots;
        lots.truncate(LOTS_TOLD_MAX);
        self.answers.push(ServerFrame::Grant(Box::new(Grant {
            operation: request.operation,
            claim: request.claim,
            lease: held.lease,
            ttl_ms: told.ttl_ms,
            renew_after_ms: told.renew_after_ms,
            grace_ms: record.grace_ms,
            seats: record.seats,
            lots,
            right_ends: record.right_ends,
            ticket,
        })));
        self.counters.count(held.counter);
        if held.counter == Counter::GrantsByTicket {
            self.counters.count(Counter::Grants);
        }
        let used = held.units.into_iter().map(|(certificate, units)| Event::Metered {
            realm: asking.realm.identity.id,
            certificate,
            units: i64::from(units),
        });
        self.events.extend(used);
        self.events.push_back(held.event);
    }
}

/// What the decision of a request is made with, and the leases it ended on the way.
struct Step<'a> {
    worker: &'a mut Worker,
    ended: &'a mut Vec<Ended>,
    /// Trials that were used for the first time.
    began: Vec<CertificateId>,
}

/// One request being decided.
struct Asking<'a> {
    shared: &'a Shared,
    realm: &'a Realm,
    now: Now,
    sender: &'a Sender,
    request: &'a Request,
}

impl Asking<'_> {
    /// Grants or refuses. The claim's lock is held throughout, so that the same claim on two workers is one lease.
    fn decide(&self, step: &mut Step<'_>) -> Result<Held, Refusal> {
        let claim = self.shared.leases.claims.lock(self.realm.identity.id, self.request.claim);
        match claim.get() {
            Some(Claim::Released { .. }) => return Err(Refusal::released()),
            Some(Claim::Lease { lease, owner }) if !self.shared.planted.is(Fault::ClaimGrantedTwice) => {
                if let Some(known) = self.repeat(lease, owner, step) {
                    return known;
                }
            }
            Some(Claim::Lease { .. }) | None => {}
        }
        if self.shared.is_draining() {
            return Err(Refusal::shutting_down());
        }
        let by_ticket = self.shared.config.blind_until.filter(|until| self.now.mono < *until);
        if let Some(until) = by_ticket
            && !ticket::is_shown(&self.shared.config, self.realm, &self.sender.client.key, self.request)
        {
            return Err(Refusal::restarting(until.ms_since(self.now.mono)));
        }
        self.make_room(step);
        self.checkout(claim, by_ticket.is_some(), step)
    }

    /// Answers a request whose claim key stands for `lease`; `None` if that lease has ended, so that this is a fresh
    /// request.
    fn repeat(&self, lease: LeaseId, owner: u64, step: &mut Step<'_>) -> Option<Result<Held, Refusal>> {
        let (leases, request) = (&self.shared.leases, self.request);
        step.ended.extend(leases.expire(step.worker, lease, self.now.mono));
        let (record, uses) = leases.record_and_uses(lease)?;
        if owner != self.sender.client.owner {
            return Some(Err(Refusal::not_yours()));
        }
        let (feature, version) = (record.feature(), record.wanted());
        if *feature != request.feature || record.seats != request.seats || version != request.version {
            return Some(Err(Refusal::claim_in_use(feature, version, record.seats)));
        }
        let lasts_ms = self.shared.planted.is(Fault::ExpiryOneTtlEarly).then_some(1);
        match leases.renew(lease, self.now.mono, &self.terms(), lasts_ms, None) {
            Renewal::Alive { deadline, .. } => {
                let event = Event::Renewed { lease, deadline, activity: None };
                let lots = lot_uses(leases, &uses);
                let counter = Counter::GrantsRepeated;
                Some(Ok(Held { lease, record, lots, event, counter, units: Vec::new() }))
            }
            // Another worker ended it in between.
            Renewal::Due | Renewal::NoSuchLease => {
                step.ended.extend(leases.expire(step.worker, lease, self.now.mono));
                None
            }
        }
    }

    /// If there are as many leases as there may be, sweeps what is due, whatever its feature.
    fn make_room(&self, step: &mut Step<'_>) {
        let stock = &self.shared.leases.stock;
        while stock.live() >= u64::from(stock.slab().leases_max()) && self.sweep(step) {}
    }

    /// Ends some of the leases of `pool` that are due, no more than it takes: after an outage a whole site may be. Whether
    /// there were any.
    fn sweep_pool(&self, pool: &Pool, step: &mut Step<'_>) -> bool {
        let before = step.ended.len();
        self.shared.leases.expire_due_of(step.worker, pool, self.now.mono, SWEEP_STEP, step.ended);
        step.ended.len() > before
    }

    /// Ends some of the leases that are due, of whatever feature; whether that may have changed anything.
    fn sweep(&self, step: &mut Step<'_>) -> bool {
        let before = step.ended.len();
        let all = self.shared.leases.expire_due(step.worker, self.now.mono, SWEEP_STEP, step.ended);
        !all || step.ended.len() > before
    }

    /// Takes the seats and opens the lease. Nothing is locked but the claim key.
    fn checkout(&self, mut claim: ClaimGuard<'_>, by_ticket: bool, step: &mut Step<'_>) -> Result<Held, Refusal> {
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
    fn of_lots(&self, feature: &FeaturePlan) -> Version {
        feature.drawn.as_ref().map_or(self.request.version, |drawn| drawn.version)
    }

    fn asked_for(&self, feature: &FeaturePlan) -> Option<Arc<AskedFor>> {
        let (version, each) = (self.request.version, feature.each());
        let asked = || Arc::new(AskedFor { pool: feature.pool.clone(), version, each });
        feature.drawn.as_ref().map(|_| asked())
    }

    /// What the machine that asks shows of itself, its address with it; nothing where no lot is locked.
    fn machine(&self, feature: &FeaturePlan) -> Vec<HostId> {
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

    /// Takes the seats under the plan in force, after sweeping due leases if there are not enough: a seat is free in the
    /// very millisecond its lease ends, on whichever worker it was granted (E-5).
    fn take(&self, step: &mut Step<'_>) -> Result<(Guard<Arc<Plan>>, Vec<Use>), Refusal> {
        let mut swept = false;
        loop {
            let plan = self.realm.planner.glance();
            let feature = plan.features.get(&self.request.feature).ok_or_else(|| self.unknown(&plan))?;
            let machine = self.machine(feature);
            self.check_right(feature, &machine)?;
            let want = Want { version: self.of_lots(feature), seats: self.cost(feature)?, machine: &machine };
            let fitting = self.fitting(step.worker, feature, &want)?;
            self.check_room()?;
            let mut uses = Vec::with_capacity(1);
            match self.take_from(step.worker, feature, &want, &mut uses) {
                Ok(()) => return Ok((plan, uses)),
                // And once more after there was nothing to sweep: another worker may have been at it.
                Err(_) if !swept => swept = !self.sweep_pool(feature.seats(), step),
                // Its seats were moved in the meantime.
                Err(_) if !self.realm.planner.is_still(&plan) => {}
                Err(_) => {
                    let stand = self.stand(step.worker, feature, fitting.unwrap_or(0));
                    return Err(self.no_seat(feature, &want, stand));
                }
            }
        }
    }

    /// Takes the seats from the lots that answer the version wanted, in the order of L-11; with the book in hand if somebody
    /// waits for them, or if one step cannot span as many lots as it takes.
    fn take_from(
        &self,
        worker: &mut Worker,
        feature: &FeaturePlan,
        want: &Want<'_>,
        uses: &mut Vec<Use>,
    ) -> Result<(), Short> {
        let seats = want.seats.get();
        let taken = match &feature.lots[..] {
            [only] => worker.take_in_order(&[only.bucket], seats, Rank::Newcomer, uses),
            lots => take_from_one(worker, &choices(lots, want), seats, uses),
        };
        match taken {
            Err(Short::Waited | Short::TooWide) => {
                let book = lock(&feature.seats().book);
                // Whoever held it may have put other lots in force: then nothing is taken under this plan.
                if book.is_of(&feature.lots) { book.take(worker, want, uses) } else { Err(Short::NoSeat) }
            }
            #[cfg(feature = "planted-faults")]
            Err(Short::NoSeat) if self.shared.planted.is(Fault::OneSeatTooMany) => {
                let free: i64 = serving(&feature.lots, want.version).map(|lot| worker.count(lot.bucket)).sum();
                let lot = serving(&feature.lots, want.version).next().filter(|_| free + 1 >= i64::from(seats));
                let lot = lot.ok_or(Short::NoSeat)?;
                worker.overdraw(lot.bucket, seats);
                uses.push(Use { bucket: lot.bucket, seats });
                Ok(())
            }
            decided => decided,
        }
    }

    /// Whether there is room for one more lease: asked before seats are taken, so that nobody is denied those for nothing.
    fn check_room(&self) -> Result<(), Refusal> {
        let stock = &self.shared.leases.stock;
        let leases_max = stock.slab().leases_max();
        if stock.live() < u64::from(leases_max) { Ok(()) } else { Err(Refusal::too_many_leases(leases_max)) }
    }

    /// How many seats of the lots the request takes (L-14).
    fn cost(&self, feature: &FeaturePlan) -> Result<SeatCount, Refusal> {
        let request = self.request;
        let seats = request.seats.get().checked_mul(feature.each()).and_then(|seats| SeatCount::new(seats).ok());
        seats.ok_or_else(|| Refusal::too_dear(&request.feature, request.seats, feature))
    }

    fn no_seat(&self, feature: &FeaturePlan, want: &Want<'_>, stand: Stand) -> Refusal {
        let (name, seats) = (&self.request.feature, self.request.seats);
        match &feature.drawn {
            Some(drawn) => Refusal::no_seat_to_draw(name, seats, want.seats, drawn, stand),
            None => Refusal::no_seat(name, seats, stand),
        }
    }

    /// How many seats there are for the version wanted that one request may take, if they are counted: a request for more
    /// can never be granted.
    fn fitting(&self, worker: &mut Worker, feature: &FeaturePlan, want: &Want<'_>) -> Result<Option<u64>, Refusal> {
        let fits = |group: Option<u32>| -> Option<u64> {
            let lots = serving(&feature.lots, want.version).filter(|lot| lot.lets_in(want.machine));
            lots.filter(|lot| group.is_none_or(|group| lot.group == group)).map(|lot| lot.count().map(u64::from)).sum()
        };
        let fitting = if feature.is_separate() {
            let each: Vec<Option<u64>> = groups(&feature.lots).into_iter().map(|group| fits(Some(group))).collect();
            if each.contains(&None) { None } else { each.into_iter().flatten().max() }
        } else {
            fits(None)
        };
        match fitting {
            Some(fitting) if fitting < u64::from(want.seats.get()) => {
                let stand = self.stand(worker, feature, fitting);
                Err(Refusal::too_many_seats(&self.request.feature, self.request.seats, feature, stand))
            }
            fitting => Ok(fitting),
        }
    }

    /// Whether some right is in force for the version asked for and the machine that asks; if not, why.
    fn check_right(&self, feature: &FeaturePlan, machine: &[HostId]) -> Result<(), Refusal> {
        let (name, wanted) = (&self.request.feature, self.request.version);
        let answers = feature.drawn.as_ref().is_none_or(|drawn| wanted <= drawn.answers);
        let lots = || serving(&feature.lots, self.of_lots(feature)).filter(|_| answers);
        if lots().any(|lot| lot.lets_in(machine)) {
            return Ok(());
        }
        let refused = |lot: &Lot| lot.lock.as_ref().and_then(|lock| lock.lets_in(machine).err());
        if let Some((code, why)) = lots().find_map(refused) {
            return Err(Refusal::locked(name, code, &why, rule(&feature.lots)));
        }
        let fits = |(version, _): &&(Version, _)| *version >= wanted;
        if let Some((version, starts)) = feature.later.iter().find(fits) {
            return Err(Refusal::not_started(name, *version, *starts, self.now));
        }
        if let Some((version, ended)) = feature.ended.iter().find(fits) {
            return Err(Refusal::expired(name, *version, *ended));
        }
        let rights = feature.lots.iter().map(|lot| feature.drawn.as_ref().map_or(lot.version, |drawn| drawn.answers));
        let others = feature.later.iter().map(|(version, _)| *version).chain(feature.ended.iter().map(|(v, _)| *v));
        match (rights.clone().max(), others.max()) {
            (Some(best), _) => Err(Refusal::version_too_high(name, wanted, best, rule(&feature.lots))),
            (None, Some(best)) => Err(Refusal::version_too_high(name, wanted, best, rule(&feature.lots))),
            // Every certificate of the feature is muted, which another one in force does: there is one.
            (None, None) => Err(Refusal::no_such_feature(name, None)),
        }
    }

    fn unknown(&self, plan: &Plan) -> Refusal {
        let name = &self.request.feature;
        let few = plan.features.len() <= NAMES_COMPARED_MAX;
        let names = plan.features.keys().filter(|_| few).map(FeatureName::as_str);
        Refusal::no_such_feature(name, nearest(name.as_str(), names))
    }

    fn stand(&self, worker: &mut Worker, feature: &FeaturePlan, fitting: u64) -> Stand {
        let (total, Counts { out, overage }) = {
            let book = lock(&feature.seats().book);
            (book.capacity().map(|seats| seats + book.overdraft(worker).0), book.stand(worker))
        };
        Stand {
            out: narrow(out),
            total: total.map_or(u32::MAX, narrow),
            fitting: narrow(fitting),
            overage: narrow(overage),
            next_due: self.next_due(feature),
            rule: rule(&feature.lots),
        }
    }

    /// Whose seats are due back next. Everybody may see it as long as there is no policy that hides it.
    fn next_due(&self, feature: &FeaturePlan) -> Option<NextDue> {
        let leases = &self.shared.leases;
        let (lease, deadline) = leases.next_due(feature.seats(), self.now.mono)?;
        let holder = leases.record(lease).map(|record| record.holder);
        Some(NextDue {
            user: holder.as_ref().map(|holder| holder.user.clone()),
            host: holder.as_ref().map(|holder| holder.host.clone()),
            in_ms: narrow(deadline.ms_since(self.now.mono)),
        })
    }

    fn terms(&self) -> Terms {
        Terms { claim: self.request.claim.fold(), owner: self.sender.client.owner, session: self.sender.sid }
    }

    fn granted(&self, record: &Record, lots: Vec<LotUse>, deadline: Mono, by_ticket: bool) -> Granted {
        Granted {
            realm: self.realm.identity.id,
            lease: record.id,
            claim: record.claim,
            client: record.client,
            operation: self.request.operation,
            feature: record.feature().clone(),
            version: record.wanted(),
            seats: record.seats,
            lots,
            holder: record.holder.clone(),
            at: self.now.mono,
            deadline,
            by_ticket,
        }
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

/// Takes `seats` from the first of `choices` that has them (L-7).
fn take_from_one(worker: &mut Worker, choices: &[Vec<BucketId>], seats: u32, uses: &mut Vec<Use>) -> Result<(), Short> {
    if let [only] = choices {
        return worker.take_in_order(only, seats, Rank::Newcomer, uses);
    }
    let taken = choices.iter().any(|buckets| worker.take_in_order(buckets, seats, Rank::Newcomer, uses).is_ok());
    // Whether there was an instant at which none had them is for who keeps the others from taking.
    if taken { Ok(()) } else { Err(Short::Waited) }
}

/// The certificates of `lots`, as the rule that decided.
fn rule(lots: &[Lot]) -> String {
    match lots {
        [] => "the certificates that are loaded".to_owned(),
        [lot] => format!("certificate {}", lot.certificate),
        [first, rest @ ..] => format!("certificate {} and {} more", first.certificate, rest.len()),
    }
}
