//! Leases: opened, renewed, ended.
//!
//! What a renewal and an end need lies in the [pool](crate::pool); what a lease is besides lies in a record of the same
//! number, which a renewal never touches.

mod record;

use std::sync::{Arc, Mutex, OnceLock};

use leasehold_protocol::{
    crypto::Fingerprint,
    message::Activity,
    time::{Mono, Now},
    vocab::{CertificateId, ClaimKey, LeaseId, RealmId},
};

pub(crate) use record::{AskedFor, LotName, LotTerms, Record};

use crate::{
    Ended, LeaseStatus,
    book::{Pool, lot_uses},
    claims::Claims,
    joint::{Gates, Handed},
    lock,
    pool::{BUCKETS_MAX, BucketId, Chunks, Due, Rank, Renewal, Stock, Tally, Terms, Use, Worker},
    queue::Queues,
};

/// All leases of all realms.
#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) stock: Arc<Stock>,
    pub(crate) claims: Claims,
    pub(crate) records: Chunks<Mutex<Option<Box<Record>>>>,
    /// By bucket.
    lots: Chunks<OnceLock<LotName>, 1024>,
    pub(crate) grants: Tally,
    pools: Tally,
    rulings: Tally,
    /// Who waits for seats.
    pub(crate) queues: Queues,
    /// Who asks for what may be shared.
    pub(crate) gates: Gates,
    /// Leases for seats that stay after a release, opened and ended so far.
    stays: [Tally; 2],
}

/// A lease about to be opened: the caller has taken its seats.
pub(crate) struct Opening<'a> {
    pub(crate) terms: Terms,
    pub(crate) record: Record,
    pub(crate) uses: &'a [Use],
    /// When it ends, if it is not renewed.
    pub(crate) deadline: Mono,
}

impl Leases {
    /// No leases yet, and room for `len_max`.
    pub(crate) fn new(len_max: u32) -> Self {
        let stock = Stock::new(len_max.clamp(1, 1 << 24));
        Self {
            claims: Claims::default(),
            records: Chunks::new(stock.slab().slots_max()),
            lots: Chunks::new(BUCKETS_MAX),
            grants: Tally::default(),
            pools: Tally::default(),
            rulings: Tally::default(),
            queues: Queues::default(),
            gates: Gates::default(),
            stays: <[Tally; 2]>::default(),
            stock,
        }
    }

    /// Opens a lease, in the slot that was set aside for it if its record names one; `None` if there are as many as there may be,
    /// and the caller still has the seats.
    ///
    /// The record is there before the lease can be seen, and its lock is what keeps the uses of a lease as they are: who
    /// ends the lease takes the record out first, who moves its seats holds it.
    pub(crate) fn open(&self, worker: &mut Worker, opening: Opening<'_>) -> Option<Record> {
        let Opening { terms, mut record, uses, deadline } = opening;
        let is_new = record.id == LeaseId::NONE;
        if is_new {
            record.id = worker.reserve()?;
        }
        let id = record.id;
        if record.number == 0 {
            record.number = self.next_number();
        }
        let Some(place) = self.records.reach(id.slot(), Mutex::default) else {
            if is_new {
                worker.unreserve(id);
            }
            return None;
        };
        *lock(place) = Some(Box::new(record.clone()));
        worker.publish(id, &terms, record.ttl_ms, deadline, uses);
        self.count_lease(worker, &record, true);
        Some(record)
    }

    /// A number for a grant to come; never 0.
    pub(crate) fn next_number(&self) -> u64 {
        self.grants.add(1) + 1
    }

    /// Leases that are out and that somebody holds: without those for seats that stay after a release.
    pub(crate) fn held(&self) -> u64 {
        let [opened, ended] = &self.stays;
        let ended = ended.get();
        self.stock.live().saturating_sub(opened.get().saturating_sub(ended))
    }

    /// Renews `id` for who shows `terms`. Touches one slot and no lock.
    pub(crate) fn renew(
        &self,
        id: LeaseId,
        now: Mono,
        terms: &Terms,
        lasts_ms: Option<u32>,
        activity: Option<Activity>,
    ) -> Renewal {
        self.stock.slab().renew(id, now, terms, lasts_ms, activity)
    }

    /// Whether `id` is alive under `claim` and belongs to another than `owner`. A slot keeps the two folded into one; the
    /// record tells which of them was wrong.
    pub(crate) fn is_of_another(&self, id: LeaseId, claim: ClaimKey, owner: u64) -> bool {
        self.record(id).is_some_and(|r| r.claim == claim && owner_of(r.client, r.pool.realm) != owner)
    }

    /// The record of `id`, if it is alive.
    pub(crate) fn record(&self, id: LeaseId) -> Option<Record> {
        self.record_and_uses(id).map(|(record, _)| record)
    }

    /// The record of `id` and whose seats it has, if it is alive.
    pub(crate) fn record_and_uses(&self, id: LeaseId) -> Option<(Record, Vec<Use>)> {
        let record = lock(self.records.get(id.slot())?);
        let record = record.as_deref().filter(|record| record.id == id)?;
        self.stock.slab().deadline_of(id)?;
        Some((record.clone(), self.stock.slab().uses(id.slot())))
    }

    /// Ends `id` at `at` by its holder's wish; `None` if it has ended before.
    pub(crate) fn release(&self, worker: &mut Worker, id: LeaseId, at: Mono) -> Option<Ended> {
        worker.end(id)?;
        self.close(worker, id, at, true)
    }

    /// Ends `id` if it has reached its deadline.
    pub(crate) fn expire(&self, worker: &mut Worker, id: LeaseId, now: Mono) -> Option<Ended> {
        match worker.end_if_due(id, now) {
            Due::Ended(deadline) => self.close(worker, id, deadline, false),
            Due::Later(_) | Due::Gone => None,
        }
    }

    /// Ends the leases that have reached their deadline, at most `budget` of them, and looks at a bounded number; whether
    /// nothing was left. What is left is due at once again.
    pub(crate) fn expire_due(&self, worker: &mut Worker, now: Mono, mut budget: usize, ended: &mut Vec<Ended>) -> bool {
        worker.sweep(now, &mut budget, |worker, id, deadline| ended.extend(self.close(worker, id, deadline, false)))
    }

    /// Ends the leases of `pool` that have reached their deadline, at most `budget` of them.
    pub(crate) fn expire_due_of(
        &self,
        worker: &mut Worker,
        pool: &Pool,
        now: Mono,
        budget: usize,
        ended: &mut Vec<Ended>,
    ) {
        let is_ours = |bucket| self.pool_of(bucket) == Some(pool.id);
        let close = |worker: &mut Worker, id, deadline| ended.extend(self.close(worker, id, deadline, false));
        worker.sweep_of(now, is_ours, budget, close);
    }

    /// Takes a lease out of the books that the caller has just ended; its seats are free then, unless they stay with its holder or
    /// with those that share them.
    pub(crate) fn close(&self, worker: &mut Worker, id: LeaseId, at: Mono, released: bool) -> Option<Ended> {
        let record = self.records.get(id.slot()).and_then(|record| lock(record).take());
        let undone = match &record {
            Some(record) if record.is_metered => self.use_up(worker, record, at, released),
            _ => Vec::new(),
        };
        let slab = self.stock.slab();
        let (renewals, was_over) = (slab.renewals(id.slot()), slab.is_over(id.slot()));
        let stays = record.as_ref().filter(|_| released).and_then(|record| record.stay.until(record.granted.mono, at));
        let (waited, handed) = match &record {
            Some(record) if record.is_joint() || stays.is_some() => self.close_jointly(worker, record, at, stays),
            Some(record) => (self.give_back(worker, record, None), None),
            None => (worker.close(id), None),
        };
        let record = record?;
        self.count_lease(worker, &record, false);
        if let Some(handed) = &handed {
            self.settle_heir(worker, handed);
        }
        if waited || was_over {
            self.tend(worker, &record.pool, record.number);
        }
        Some(Ended {
            realm: record.pool.realm,
            lease: id,
            claim: record.claim,
            feature: record.feature().clone(),
            seats: record.seats,
            holder: record.holder,
            granted_at: record.granted.mono,
            at,
            renewals,
            undone,
            stays_until: stays.filter(|_| handed.is_some()),
            lingered: record.lingers,
        })
    }

    /// Gives back the seats of a lease that has ended, in one step with what rules count of it; `handed` are those that passed to
    /// another, which are counted as its. Whether somebody waits for one of them.
    pub(crate) fn give_back(&self, worker: &mut Worker, record: &Record, handed: Option<&Handed>) -> bool {
        if !record.pool.is_ruled() {
            return worker.close(record.id);
        }
        let mut book = lock(&record.pool.book);
        let waited = worker.close(record.id);
        book.quotas.leave(record.number);
        if let Some(handed) = handed
            && let Some(heir) = self.record(handed.heir)
        {
            let case = book.quotas.case(heir.asked());
            book.enter(heir.number, case, &handed.uses);
        }
        waited || !book.queue.is_empty()
    }

    /// Counts what grant `number` of `pool` had as `heir`'s, in one step.
    pub(crate) fn pass_on(&self, pool: &Pool, number: Option<u64>, heir: LeaseId) {
        if !pool.is_ruled() {
            return;
        }
        let mut book = lock(&pool.book);
        if let (Some(number), Some((heir, uses))) = (number, self.record_and_uses(heir)) {
            book.quotas.leave(number);
            let case = book.quotas.case(heir.asked());
            book.enter(heir.number, case, &uses);
        }
    }

    /// Takes the units a lease has used up out of what there is, before they would come back with its end; what it gives
    /// back instead, because it was released soon enough (L-17).
    fn use_up(&self, worker: &mut Worker, record: &Record, at: Mono, released: bool) -> Vec<(CertificateId, u32)> {
        let mut undone = Vec::new();
        let held = at.ms_since(record.granted.mono);
        let mut book = lock(&record.pool.book);
        for used in self.stock.slab().uses(record.id.slot()) {
            let Some((lot, meter)) = self.lot(used.bucket).and_then(|lot| lot.meter.map(|meter| (lot, meter))) else {
                continue;
            };
            if meter.reusable {
                continue;
            }
            if released && held < meter.undo_ms {
                undone.push((lot.certificate, used.seats));
            } else {
                book.use_up(worker, used);
            }
        }
        undone
    }

    /// Counts a lease that was opened, or closed; and its seats, where they are not seats of its own feature.
    fn count_lease(&self, worker: &mut Worker, record: &Record, opened: bool) {
        let mut count = |bucket: BucketId, n: u32| {
            if opened {
                // An uncounted bucket has a seat for everybody.
                let _ = worker.take(bucket, n, Rank::Chosen);
            } else {
                worker.give(bucket, n);
            }
        };
        count(record.pool.leases, 1);
        if record.lingers.is_some() {
            self.stays[usize::from(!opened)].add(1);
        }
        if let Some(bucket) = record.lingers.and_then(|_| record.asked_for().lingering(&self.stock)) {
            count(bucket, record.seats.get());
        }
        if let Some(bucket) = record.drawn.as_ref().and_then(|drawn| drawn.pool.drawn_out(&self.stock)) {
            count(bucket, record.seats.get());
        }
    }

    /// The units of `uses` that are used up by a grant (L-17).
    pub(crate) fn units(&self, uses: &[Use]) -> Vec<(CertificateId, u32)> {
        let consumed = |used: &Use| {
            let lot = self.lot(used.bucket)?;
            lot.meter.filter(|meter| !meter.reusable).map(|_| (lot.certificate, used.seats))
        };
        uses.iter().filter_map(consumed).collect()
    }

    /// What `bucket` is of.
    pub(crate) fn lot(&self, bucket: BucketId) -> Option<LotName> {
        self.lot_at(bucket.index())
    }

    /// What bucket number `index` is of.
    pub(crate) fn lot_at(&self, index: u32) -> Option<LotName> {
        self.lots.get(index)?.get().cloned()
    }

    /// The pool `bucket` is of.
    pub(crate) fn pool_of(&self, bucket: BucketId) -> Option<u32> {
        Some(self.lots.get(bucket.index())?.get()?.pool)
    }

    /// Notes what a bucket is of.
    pub(crate) fn name_lot(&self, name: LotName) {
        if let Some(lot) = self.lots.reach(name.bucket.index(), OnceLock::new) {
            let _ = lot.set(name);
        }
    }

    /// A number for a new pool.
    pub(crate) fn next_pool_id(&self) -> u32 {
        u32::try_from(self.pools.add(1)).unwrap_or(u32::MAX)
    }

    /// A number for a policy that a pool is counted by; never 0.
    pub(crate) fn next_ruling(&self) -> u64 {
        self.rulings.add(1) + 1
    }

    /// Every lease, in order of its slot, each as it was at one moment. `address_of` knows where a session is.
    pub(crate) fn statuses(
        &self,
        now: Now,
        address_of: impl Fn(u32) -> Option<std::net::SocketAddr>,
    ) -> Vec<LeaseStatus> {
        self.stock.slab().indices().filter_map(|slot| self.status(slot, now, &address_of)).collect()
    }

    fn status(
        &self,
        slot: u32,
        now: Now,
        address_of: impl Fn(u32) -> Option<std::net::SocketAddr>,
    ) -> Option<LeaseStatus> {
        let record = lock(self.records.get(slot)?);
        let (record, view) = (record.as_deref()?, self.stock.slab().view(slot)?);
        // Past its deadline a lease has ended, whether or not anybody swept it.
        (view.deadline > now.mono && view.id == record.id).then(|| LeaseStatus {
            id: view.id,
            realm: record.pool.realm,
            claim: record.claim,
            client: record.client,
            feature: record.feature().clone(),
            version: record.wanted(),
            seats: record.seats,
            lots: lot_uses(self, &self.stock.slab().uses(slot)),
            holder: record.holder.clone(),
            granted_at: record.granted.mono,
            granted_wall: record.granted.wall,
            deadline: view.deadline,
            remaining_ms: view.deadline.ms_since(now.mono),
            renewals: view.renewals,
            activity: view.activity,
            overage: view.overage,
            lingers: record.lingers.is_some(),
            address: address_of(view.session),
        })
    }
}

/// Which realm a client speaks in and with which key, in 64 bits: what a lease keeps of its owner. The key's share is
/// half of its fingerprint, so that finding another key for it takes 2^64 tries, and guessing the claim key as well.
pub(crate) fn owner_of(client: Fingerprint, realm: RealmId) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&client.0[..8]);
    u64::from_le_bytes(half) ^ u64::from(realm.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
