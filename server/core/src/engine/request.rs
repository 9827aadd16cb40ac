//! REQUEST: seats, please.

mod bundle;
mod look;
mod opening;
mod rehearse;
mod right;
mod seats;
mod turn;

use leasehold_protocol::{
    message::{Grant, LotUse, Queued, Request, ServerFrame},
    time::{Mono, Now},
    vocab::{CertificateId, LeaseId},
};

use super::{
    Engine,
    data::Sender,
    refusal::{Asked, Refusal},
};
use crate::{
    Ended, Event, Fault, Granted, Shared,
    book::lot_uses,
    claims::{Claim, ClaimGuard},
    counters::Counter,
    lease::Record,
    pool::{Renewal, Terms, Worker},
    realm::Realm,
    ticket::{self, Bearer},
};

pub(super) use look::needs_of;
pub use rehearse::Rehearsal;
pub(super) use turn::Called;

/// Hostids of a holder that are read (SPEC 5.3).
const HOSTIDS_MAX: usize = 16;
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
pub(super) struct Held {
    lease: LeaseId,
    record: Record,
    lots: Vec<LotUse>,
    event: Event,
    counter: Counter,
    /// Units of meters it uses up (L-17).
    units: Vec<(CertificateId, u32)>,
}

impl Engine {
    /// Answers a request; `waits`: it asks for a place in the queue if there are no seats to have now, or in any case.
    pub(super) fn on_request(&mut self, now: Now, sender: &Sender, mut request: Request, waits: Option<bool>) {
        let shared = self.shared.clone();
        let realm = &shared.realms[sender.client.realm];
        request.holder.hostids.truncate(HOSTIDS_MAX);
        let asking = Asking { shared: &shared, realm, now, sender, request: &request, waits, offered_ms: None };
        let mut step = Step::new(&mut self.worker, &mut self.ended);
        let decided = asking.decide(&mut step);
        let Step { began, called, news, .. } = step;
        self.events.extend(news);
        self.tell_trials(&asking, began);
        // Seats that came back to make room are told about before the grant they made room for.
        self.settle();
        // Whoever waited is served before who came.
        self.open_called(now, called);
        let looked = decided.is_err().then(|| asking.look(&mut self.worker)).flatten();
        match decided {
            Ok(Said::Held(held)) => {
                let grant = self.grant(&asking, held);
                self.answers.push(grant);
            }
            Ok(Said::Queued(queued)) => {
                self.counters.count(Counter::Queued);
                self.answers.push(ServerFrame::Queued(queued));
            }
            Err(refusal) => {
                self.deny(sender, Asked::of(request, looked), refusal);
            }
        }
    }

    pub(super) fn tell_trials(&mut self, asking: &Asking<'_>, began: Vec<CertificateId>) {
        let (realm, at) = (asking.realm.identity.id, asking.now.wall);
        self.events.extend(began.into_iter().map(|certificate| Event::TrialBegan { realm, certificate, at }));
    }

    /// Tells about a grant, and makes the frame that does.
    pub(super) fn grant(&mut self, asking: &Asking<'_>, held: Held) -> ServerFrame {
        let (request, record) = (asking.request, held.record);
        let told = ClientTerms::of(asking.offered_ms.map_or(record.ttl_ms, |offered| offered.min(record.ttl_ms)));
        let client = &asking.sender.client.key;
        let bearer = Bearer { client, claim: &request.claim, feature: &request.feature, seats: request.seats };
        let ticket = ticket::seal(asking.shared, asking.realm, &bearer, held.lease, asking.now, &mut *self.entropy);
        let mut lots = held.lots;
        lots.truncate(LOTS_TOLD_MAX);
        let grant = ServerFrame::Grant(Box::new(Grant {
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
        }));
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
        grant
    }
}

/// What the decision of a request is made with, and the leases it ended on the way.
pub(super) struct Step<'a> {
    pub(super) worker: &'a mut Worker,
    pub(super) ended: &'a mut Vec<Ended>,
    /// Trials that were used for the first time.
    pub(super) began: Vec<CertificateId>,
    /// Those who waited and whose turn it is.
    pub(super) called: Vec<Called>,
    /// What else is to be told.
    pub(super) news: Vec<Event>,
    /// Whether who asks had his seats before this server was started anew.
    pub(super) returns: bool,
}

impl<'a> Step<'a> {
    pub(super) const fn new(worker: &'a mut Worker, ended: &'a mut Vec<Ended>) -> Self {
        Self { worker, ended, began: Vec::new(), called: Vec::new(), news: Vec::new(), returns: false }
    }
}

/// What a request that is not refused came to.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack, and nearly always the large one")]
enum Said {
    Held(Held),
    Queued(Queued),
}

/// One request being decided.
pub(super) struct Asking<'a> {
    pub(super) shared: &'a Shared,
    pub(super) realm: &'a Realm,
    pub(super) now: Now,
    pub(super) sender: &'a Sender,
    pub(super) request: &'a Request,
    /// Whether it waits if there is no seat, and if so, whether it does in any case.
    pub(super) waits: Option<bool>,
    /// How long a lease lives that its client has not heard of, if it did not ask for it just now.
    pub(super) offered_ms: Option<u32>,
}

impl Asking<'_> {
    /// Grants or refuses. The claim's lock is held throughout, so that the same claim on two workers is one lease.
    fn decide(&self, step: &mut Step<'_>) -> Result<Said, Refusal> {
        let mut claim = self.shared.leases.claims.lock(self.realm.identity.id, self.request.claim);
        let said = match self.decide_claim(&mut claim, step) {
            Ok(held) => Ok(Said::Held(held)),
            Err(refusal) if self.waits.is_some() && refusal.can_wait() && self.comes_back() => {
                return self.wait(&refusal, step).map(Said::Queued);
            }
            Err(refusal) if self.waits.is_some() && refusal.passes() => {
                self.keep_place();
                return Err(refusal);
            }
            Err(refusal) => Err(refusal),
        };
        let Sender { client, .. } = self.sender;
        self.shared.leave_queue(self.realm, self.request.claim, client.owner, step.worker);
        said
    }

    fn decide_claim(&self, claim: &mut ClaimGuard<'_>, step: &mut Step<'_>) -> Result<Held, Refusal> {
        match claim.get() {
            Some(Claim::Released { .. }) => return Err(Refusal::released()),
            Some(Claim::Lease { lease, owner }) if !self.shared.planted.is(Fault::ClaimGrantedTwice) => {
                if let Some(known) = self.repeat(lease, owner, step) {
                    return known;
                }
            }
            Some(Claim::Lease { .. }) | None => {}
        }
        let returns = self.admit(step)?;
        // Who had the seat before this server was started anew: it is not taken away by a rule (P-6).
        if !returns {
            self.check_policy()?;
        }
        step.returns = returns;
        self.make_room(step);
        self.checkout(claim, returns, step)
    }

    /// Whether a fresh request is let in at all, and if so, whether it [returns](Asking::returns).
    pub(super) fn admit(&self, step: &mut Step<'_>) -> Result<bool, Refusal> {
        if self.waits_for_another() {
            return Err(Refusal::not_yours());
        }
        if self.shared.is_draining() {
            return Err(Refusal::shutting_down());
        }
        let returns = self.returns(step)?;
        if !returns && self.shared.is_storage_failing() {
            return Err(Refusal::storage_failing());
        }
        Ok(returns)
    }

    /// Whether it shows a ticket of a grant that this server may have forgotten, and is honoured for it.
    fn returns(&self, step: &mut Step<'_>) -> Result<bool, Refusal> {
        let shown = ticket::shown(&self.shared.config, self.realm, &self.sender.client.key, self.request);
        if let Some(shown) = &shown {
            step.news.extend(self.shared.doubt_store(shown, self.now));
        }
        match (self.shared.blind_until(self.now.mono), &shown) {
            (Some(until), None) => Err(Refusal::restarting(until.ms_since(self.now.mono))),
            (Some(_), Some(_)) => Ok(true),
            (None, shown) => Ok(shown.as_ref().is_some_and(|shown| self.shared.may_be_lost(shown))),
        }
    }

    /// Answers a request whose claim key stands for `lease`; `None` if that lease has ended, so that this is a fresh
    /// request.
    pub(super) fn repeat(&self, lease: LeaseId, owner: u64, step: &mut Step<'_>) -> Option<Result<Held, Refusal>> {
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
        if let Some(rule) = self.shared.pleas.taken_by(lease) {
            return Some(Err(Refusal::reclaimed(lease, &rule.id)));
        }
        match leases.renew(lease, self.now.mono, &self.terms(), lasts_ms, None) {
            Renewal::Alive { deadline, .. } => {
                let event = Event::Renewed { lease, deadline, activity: None };
                let lots = match record.joint {
                    Some(_) => lot_uses(leases, &leases.shown_uses(&record)),
                    None => lot_uses(leases, &uses),
                };
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

    fn terms(&self) -> Terms {
        Terms { claim: self.request.claim.fold(), owner: self.sender.client.owner, session: self.sender.sid }
    }

    fn granted(&self, record: &Record, (lots, credit): (Vec<LotUse>, u32), deadline: Mono, by_ticket: bool) -> Granted {
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
            wall: self.now.wall,
            deadline,
            by_ticket,
            number: record.number,
            ttl_ms: record.ttl_ms,
            address: record.address,
            shares: record.joint.is_some(),
            pool: record.pool.id,
            credit,
        }
    }
}
