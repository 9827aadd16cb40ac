//! REQUEST: seats, please.

use std::sync::Arc;

use leasehold_protocol::{
    licence::nearest::nearest,
    message::{Grant, LotUse, NextDue, Request, ServerFrame},
    time::{Mono, Now, UnixMillis},
    vocab::{FeatureName, LeaseId, Version},
};

use super::{
    Engine,
    data::Sender,
    refusal::{Asked, Refusal, Stand, narrow},
};
use crate::{
    Ended, Event, Fault, Granted, Shared,
    book::Book,
    claims::{Claim, ClaimGuard},
    counters::Counter,
    lease::{Leases, Opening, Record},
    lock,
    plan::{FeaturePlan, Lot, Plan, serving},
    pool::{Renewal, Terms},
    realm::Realm,
    ticket::{self, Bearer},
};

/// Hostids of a holder that are read (SPEC 5.3).
const HOSTIDS_MAX: usize = 8;
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
    event: Event,
    counter: Counter,
}

impl Engine {
    pub(super) fn on_request(&mut self, now: Now, sender: &Sender, mut request: Request) {
        let shared = self.shared.clone();
        let realm = &shared.realms[sender.client.realm];
        request.holder.hostids.truncate(HOSTIDS_MAX);
        let asking = Asking { shared: &shared, realm, now, sender, request: &request };
        let decided = asking.decide(&mut self.ended);
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
        let mut lots = record.uses;
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
        self.events.push_back(held.event);
    }
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
    fn decide(&self, ended: &mut Vec<Ended>) -> Result<Held, Refusal> {
        let claim = self.shared.leases.claims.lock(self.realm.identity.id, self.request.claim);
        match claim.get() {
            Some(Claim::Released { .. }) => return Err(Refusal::released()),
            Some(Claim::Lease { lease, owner }) if !self.shared.planted.is(Fault::ClaimGrantedTwice) => {
                if let Some(known) = self.repeat(lease, owner, ended) {
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
        self.make_room(ended);
        self.realm.planner.with_plan(|plan| self.checkout(plan, claim, by_ticket.is_some(), ended))
    }

    /// Answers a request whose claim key stands for `lease`; `None` if that lease has ended, so that this is a fresh
    /// request.
    fn repeat(&self, lease: LeaseId, owner: u64, ended: &mut Vec<Ended>) -> Option<Result<Held, Refusal>> {
        let (leases, request) = (&self.shared.leases, self.request);
        ended.extend(leases.expire(lease, self.now.mono));
        let record = leases.record(lease)?;
        if owner != self.sender.client.owner {
            return Some(Err(Refusal::not_yours()));
        }
        let same =
            record.pool.name == request.feature && record.seats == request.seats && record.version == request.version;
        if !same {
            return Some(Err(Refusal::claim_in_use(&record.pool.name, record.version, record.seats)));
        }
        let lasts_ms = self.shared.planted.is(Fault::ExpiryOneTtlEarly).then_some(1);
        match leases.renew(lease, self.now.mono, &self.terms(), lasts_ms) {
            Renewal::Alive { deadline, .. } => {
                let event = Event::Renewed { lease, deadline, activity: None };
                Some(Ok(Held { lease, record, event, counter: Counter::GrantsRepeated }))
            }
            // Another worker ended it in between.
            Renewal::Due | Renewal::NoSuchLease | Renewal::NotYours => {
                ended.extend(leases.expire(lease, self.now.mono));
                None
            }
        }
    }

    /// If every slot is in use, sweeps what is due, whatever its feature.
    fn make_room(&self, ended: &mut Vec<Ended>) {
        let leases = &self.shared.leases;
        let is_full = || leases.slab.live() >= u64::from(leases.slab.len_max());
        while is_full() && leases.wakeups.next().is_some_and(|next| next <= self.now.mono) {
            leases.expire_due(self.now.mono, SWEEP_STEP, ended);
        }
    }

    fn checkout(
        &self,
        plan: &Plan,
        mut claim: ClaimGuard<'_>,
        by_ticket: bool,
        ended: &mut Vec<Ended>,
    ) -> Result<Held, Refusal> {
        let (request, leases) = (self.request, &self.shared.leases);
        let feature = plan.features.get(&request.feature).ok_or_else(|| self.unknown(plan))?;
        self.check_right(feature)?;
        let mut book = lock(&feature.pool.book);
        let uses = self.take(&mut book, feature, ended)?;
        let terms = LotTerms::of(feature, &uses);
        let lasts_ms = if self.shared.planted.is(Fault::ExpiryOneTtlEarly) { 1 } else { terms.ttl_ms };
        let deadline = self.now.mono.plus_ms(u64::from(lasts_ms));
        let record = Record {
            pool: feature.pool.clone(),
            claim: request.claim,
            client: self.sender.client.fingerprint,
            version: request.version,
            seats: request.seats,
            uses,
            holder: Arc::new(request.holder.clone()),
            granted: self.now,
            number: 0,
            ttl_ms: terms.ttl_ms,
            grace_ms: terms.grace_ms,
            right_ends: terms.right_ends,
        };
        let opening = Opening { terms: self.terms(), record: record.clone(), deadline };
        let Some(lease) = leases.open(&mut book, opening) else {
            book.give_back(&record.uses);
            return Err(Refusal::too_many_leases(leases.slab.len_max()));
        };
        claim.set_lease(lease, self.sender.client.owner);
        let event = Event::Granted(Box::new(self.granted(lease, &record, deadline, by_ticket)));
        let counter = if by_ticket { Counter::GrantsByTicket } else { Counter::Grants };
        Ok(Held { lease, record, event, counter })
    }

    /// Takes the seats, after sweeping this feature's due leases if there are not enough: a seat is free in the very
    /// millisecond its lease ends, on whichever worker it was granted (E-5).
    fn take(&self, book: &mut Book, feature: &FeaturePlan, ended: &mut Vec<Ended>) -> Result<Vec<LotUse>, Refusal> {
        let (request, leases) = (self.request, &self.shared.leases);
        let counted: Option<u64> = serving(&feature.lots, request.version).map(|lot| lot.count().map(u64::from)).sum();
        if let Some(fitting) = counted.filter(|fitting| *fitting < u64::from(request.seats.get())) {
            return Err(Refusal::too_many_seats(&request.feature, request.seats, self.stand(book, feature, fitting)));
        }
        let too_many = self.shared.planted.is(Fault::OneSeatTooMany);
        loop {
            if let Some(uses) = book.take(request.version, request.seats, too_many) {
                return Ok(uses);
            }
            if !book.has_due(self.now.mono) {
                let stand = self.stand(book, feature, counted.unwrap_or(0));
                return Err(Refusal::no_seat(&request.feature, request.seats, stand));
            }
            // No more than it takes: after an outage a whole site may be due at once.
            leases.expire_all_of(book, self.now.mono, &mut SWEEP_STEP.clone(), ended);
        }
    }

    /// Whether some right is in force for the version asked for; if not, why.
    fn check_right(&self, feature: &FeaturePlan) -> Result<(), Refusal> {
        let (name, wanted) = (&self.request.feature, self.request.version);
        if serving(&feature.lots, wanted).next().is_some() {
            return Ok(());
        }
        let fits = |(version, _): &&(Version, _)| *version >= wanted;
        if let Some((version, starts)) = feature.later.iter().find(fits) {
            return Err(Refusal::not_started(name, *version, *starts, self.now));
        }
        if let Some((version, ended)) = feature.ended.iter().find(fits) {
            return Err(Refusal::expired(name, *version, *ended));
        }
        let rights = feature.lots.iter().map(|lot| lot.version);
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

    fn stand(&self, book: &mut Book, feature: &FeaturePlan, fitting: u64) -> Stand {
        Stand {
            out: narrow(book.out()),
            total: book.capacity().map_or(u32::MAX, narrow),
            fitting: narrow(fitting),
            overage: narrow(book.overage()),
            next_due: self.next_due(book),
            rule: rule(&feature.lots),
        }
    }

    /// Whose seats are due back next. Everybody may see it as long as there is no policy that hides it.
    fn next_due(&self, book: &mut Book) -> Option<NextDue> {
        let leases: &Leases = &self.shared.leases;
        let (lease, deadline) = book.next_due(&leases.slab)?;
        let holder = leases.record(lease).map(|record| record.holder);
        Some(NextDue {
            user: holder.as_ref().map(|holder| holder.user.clone()),
            host: holder.as_ref().map(|holder| holder.host.clone()),
            in_ms: narrow(deadline.ms_since(self.now.mono)),
        })
    }

    fn terms(&self) -> Terms {
        Terms { claim: self.request.claim, owner: self.sender.client.owner, session: self.sender.sid }
    }

    fn granted(&self, lease: LeaseId, record: &Record, deadline: Mono, by_ticket: bool) -> Granted {
        Granted {
            realm: self.realm.identity.id,
            lease,
            claim: record.claim,
            client: record.client,
            operation: self.request.operation,
            feature: record.pool.name.clone(),
            version: record.version,
            seats: record.seats,
            lots: record.uses.clone(),
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
}

impl LotTerms {
    fn of(feature: &FeaturePlan, uses: &[LotUse]) -> Self {
        let used = |lot: &&Lot| uses.iter().any(|used| used.certificate == lot.certificate);
        let lots = || feature.lots.iter().filter(used);
        Self {
            ttl_ms: lots().map(|lot| lot.ttl_ms).min().unwrap_or(2000),
            grace_ms: lots().map(|lot| lot.grace_ms).min().unwrap_or(0),
            right_ends: lots().filter_map(|lot| lot.ends).min(),
        }
    }
}

/// The certificates of `lots`, as the rule that decided.
fn rule(lots: &[Lot]) -> String {
    match lots {
        [] => "the certificates that are loaded".to_owned(),
        [lot] => format!("certificate {}", lot.certificate),
        [first, rest @ ..] => format!("certificate {} and {} more", first.certificate, rest.len()),
    }
}
