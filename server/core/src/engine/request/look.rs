//! What a request is decided by, looked at once more without taking anything.

use std::{net::SocketAddr, sync::Arc};

use leasehold_protocol::{
    message::Request,
    time::Now,
    vocab::{ClaimKey, Denial, HostId, LeaseId, OperationId, SeatCount},
};

use super::{Asking, HOSTIDS_MAX};
use crate::{
    Path, Shared,
    book::{Book, Pool, Want, choices, counts_of},
    engine::{Sender, refusal::Refusal},
    explain::{Answer, Explanation, Looked, LookedLot, Question},
    joint::ShareKey,
    linger::Waits,
    lock, narrow,
    plan::{FeaturePlan, Lot, LotKind},
    policy::Verdict,
    pool::Worker,
    queue::Asks,
    quota::Hurdle,
    realm::Realm,
    reclaim::{Need, WAITERS_LOOKED_AT},
    session::Client,
};

impl Shared {
    /// What `question` would be answered at `now`, and what decides. Nothing is taken, nobody is stopped; a seat that is due and was not
    /// swept yet counts as out. `None`: there is no such realm.
    #[must_use]
    pub fn explain(&self, question: &Question, now: Now) -> Option<Explanation> {
        let index = self.realms.iter().position(|realm| realm.identity.id == question.realm)?;
        let realm = &self.realms[index];
        let Question { feature, version, seats, holder, address, .. } = question.clone();
        let mut request = Request {
            operation: OperationId(0),
            claim: ClaimKey([0; 16]),
            feature,
            version,
            seats,
            holder,
            ticket: None,
        };
        request.holder.hostids.truncate(HOSTIDS_MAX);
        let client = Client {
            realm: index,
            key: realm.identity.key,
            fingerprint: realm.identity.fingerprint,
            owner: 0,
            instance: [0; 8],
            client_sid: 0,
            clock_ahead_ms: 0,
        };
        let sender = Sender { sid: 0, client, path: Path::unicast(SocketAddr::new(address, 0)), len: 0 };
        let asking =
            Asking { shared: self, realm, now, sender: &sender, request: &request, waits: None, offered_ms: None };
        let mut worker = lock(&self.office);
        let answer = match asking.would(&mut worker) {
            Ok(None) => Answer::Seats,
            Ok(Some(lease)) => Answer::SeatsOf(lease),
            Err(refusal) => refusal.into_answer(),
        };
        Some(Explanation { answer, looked: asking.look(&mut worker) })
    }
}

/// What those who wait for seats of `pool` need, as far as seats of others would help them.
pub(in crate::engine) fn needs_of(
    shared: &Shared,
    realm: &Realm,
    pool: &Arc<Pool>,
    now: Now,
    worker: &mut Worker,
) -> Need {
    let (mut need, mut waiters, mut last) = (Need::default(), Vec::new(), None);
    {
        let book = lock(&pool.book);
        need.waiting = narrow(book.queue.waiting(now.mono) as u64);
        while let Some((turn, asks)) = book.queue.next(last).filter(|_| waiters.len() < WAITERS_LOOKED_AT) {
            last = Some(turn);
            waiters.push(asks);
        }
    }
    for asks in waiters {
        let Asks { sender, request } = &*asks;
        let asking = Asking { shared, realm, now, sender, request, waits: None, offered_ms: None };
        if asking.would(worker).is_err_and(|refusal| refusal.code == Denial::NO_SEAT) {
            asking.add_to(&mut need);
        }
    }
    need
}

impl Asking<'_> {
    /// Adds the seats that this request waits for.
    fn add_to(&self, need: &mut Need) {
        let plan = self.realm.planner.glance();
        let Some(feature) = plan.features.get(&self.request.feature) else { return };
        let machine = self.machine(feature);
        let Ok(want) = self.want(feature, &machine) else { return };
        need.seats = need.seats.saturating_add(want.seats.get());
        need.buckets.extend(choices(&feature.lots, &want).into_iter().flatten());
    }

    /// What decides, with its numbers; `None` if no certificate names the feature.
    pub(super) fn look(&self, worker: &mut Worker) -> Option<Looked> {
        let plan = self.realm.planner.glance();
        let feature = plan.features.get(&self.request.feature)?;
        let machine = self.machine(feature);
        let (admits, access) = self.access();
        let mut looked = Looked {
            access,
            admits,
            drawn: feature.drawn.as_ref().map(|drawn| drawn.pool.name.clone()),
            takes: self.cost(feature).map_or(0, SeatCount::get),
            more_lots: narrow(feature.lots.len().saturating_sub(Looked::MOST) as u64),
            leases: self.leases(),
            ..Looked::default()
        };
        let lots = feature.lots.iter().take(Looked::MOST);
        looked.lots = lots.map(|lot| self.look_at(feature, lot, &machine, worker)).collect();
        let book = lock(&feature.seats().book);
        looked.waiting = narrow(book.queue.waiting(self.now.mono) as u64);
        if book.quotas.is_on()
            && let Ok(want) = self.want(feature, &machine)
        {
            let case = book.quotas.case(self.asked(feature, &want));
            (looked.limits, looked.reservations) = book.quotas.look(&case, Looked::MOST);
            looked.kept = narrow(book.reserved(worker));
        }
        Some(looked)
    }

    fn look_at(&self, feature: &FeaturePlan, lot: &Lot, machine: &[HostId], worker: &mut Worker) -> LookedLot {
        let is_lower = lot.version < self.of_lots(feature);
        let locked = lot.lock.as_ref().and_then(|lock| lock.lets_in(machine).err()).map(|(code, _)| code);
        LookedLot {
            certificate: lot.certificate,
            version: lot.version,
            is_overdraft: lot.kind == LotKind::Overdraft,
            count: lot.count(),
            out: narrow(counts_of(worker, lot.bucket).0.unsigned_abs()),
            no: if is_lower { Some(Denial::VERSION_TOO_HIGH) } else { locked },
        }
    }

    /// Whether rules of access let him in, and which decides.
    fn access(&self) -> (bool, Option<String>) {
        let (policy, request) = (self.shared.policy.load(), self.request);
        match policy.judge(&request.feature, &request.holder, self.sender.path.from.ip()) {
            Verdict::Allowed(rule) => (true, rule.map(|rule| rule.id.clone())),
            Verdict::Excluded(rule) | Verdict::NotIncluded(rule) => (false, Some(rule.id.clone())),
        }
    }

    fn leases(&self) -> (u32, u32) {
        let stock = &self.shared.leases.stock;
        (narrow(stock.live()), stock.slab().leases_max())
    }

    /// What would be answered to a fresh claim without a ticket; of seats that somebody has already, whose.
    fn would(&self, worker: &mut Worker) -> Result<Option<LeaseId>, Refusal> {
        if self.shared.is_draining() {
            return Err(Refusal::shutting_down());
        }
        if let Some(until) = self.shared.blind_until(self.now.mono) {
            return Err(Refusal::restarting(until.ms_since(self.now.mono)));
        }
        if self.shared.is_storage_failing() {
            return Err(Refusal::storage_failing());
        }
        self.check_policy()?;
        let plan = self.realm.planner.glance();
        let feature = plan.features.get(&self.request.feature).ok_or_else(|| self.unknown(&plan))?;
        let machine = self.machine(feature);
        self.check_right(feature, &machine)?;
        let want = self.want(feature, &machine)?;
        let there = self.would_share(feature, &machine, want.seats.get());
        if there.is_some() {
            return Ok(there);
        }
        let fitting = self.fitting(worker, feature, &want)?;
        self.check_room()?;
        let hurdle = self.would_take(worker, &lock(&feature.seats().book), feature, &want);
        hurdle.map(|()| None).map_err(|hurdle| {
            let stand = self.stand(worker, feature, fitting.unwrap_or(0));
            self.denied(feature, &want, hurdle, stand)
        })
    }

    fn would_take(
        &self,
        worker: &mut Worker,
        book: &Book,
        feature: &FeaturePlan,
        want: &Want<'_>,
    ) -> Result<(), Hurdle> {
        let case = book.quotas.is_on().then(|| book.quotas.case(self.asked(feature, want)));
        book.would_take(worker, want, case.as_ref())
    }

    /// The lease whose seats would be shared, or taken over.
    pub(super) fn would_share(&self, feature: &FeaturePlan, machine: &[HostId], seats: u32) -> Option<LeaseId> {
        let (leases, pool) = (&self.shared.leases, feature.seats());
        let shared = feature.shares().into_iter().find_map(|by| {
            let key = ShareKey::of(by, &self.request.holder)?.into();
            let serves = |uses: &[_], sharers| self.will_do(feature, Some((by, sharers)), machine, uses);
            leases.join(pool, &key, seats, self.now.mono, serves, |_| (None, ())).map(|(carrier, ())| carrier)
        });
        shared.or_else(|| {
            let who = Waits::new(&feature.pool, &self.request.holder, self.request.seats);
            let is_alive = |lease: LeaseId| {
                let deadline = leases.stock.slab().deadline_of(lease);
                deadline.is_some_and(|deadline| deadline > self.now.mono)
            };
            let serves = |lease: LeaseId| self.will_do_again(feature, machine, &leases.uses_of(lease));
            let stayed = feature.lots.iter().any(|lot| !lot.stay.is_none()).then(|| lock(&pool.joints).waiting(&who));
            stayed.into_iter().flatten().find(|lease| is_alive(*lease) && serves(*lease))
        })
    }
}
