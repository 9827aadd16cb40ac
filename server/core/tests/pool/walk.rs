//! Stock and twin walk side by side. One thread, so there is no excuse: every answer must be the twin's.

use std::{collections::BTreeMap, sync::Arc};

use leasehold_core::pool::{BucketId, Due, Rank, Stock, Sums, Terms, Use, Worker};
use leasehold_protocol::{
    message::Activity,
    time::Mono,
    vocab::{ClaimProof, LeaseId},
};

use crate::{
    dice::Dice,
    model::{Bucket, Lease, Twin},
    operations::{Operation, Start},
};

/// A stock, its workers, and the twin of all that.
pub struct Walk {
    stock: Arc<Stock>,
    hands: Vec<Hand>,
    ids: Vec<BucketId>,
    twin: Twin,
    /// What was taken and is neither given back nor in a lease.
    purse: Vec<Vec<Use>>,
    /// The last leases that were closed.
    stale: Vec<LeaseId>,
    now: Mono,
    claims: Dice,
}

/// A place for a worker, and what that worker has begun.
#[derive(Default)]
struct Hand {
    worker: Option<Worker>,
    reserved: Vec<LeaseId>,
    ended: Vec<LeaseId>,
}

/// More than so many takes are not kept: the oldest is given back first.
const PURSE_MAX: usize = 64;
const STALE_MAX: usize = 16;

impl Walk {
    pub fn new(start: &Start) -> Self {
        let mut walk = Self {
            stock: Stock::new(start.leases_max),
            hands: (0..start.workers).map(|_| Hand::default()).collect(),
            ids: vec![],
            twin: Twin::new(start.leases_max as usize),
            purse: vec![],
            stale: vec![],
            now: Mono(0),
            claims: Dice(7),
        };
        (0..start.buckets).for_each(|n| walk.add_bucket(start.uncounted == Some(n)));
        walk
    }

    fn add_bucket(&mut self, is_uncounted: bool) {
        let id = if is_uncounted { self.stock.add_uncounted() } else { self.stock.add_bucket() };
        let id = id.expect("ten buckets are not too many");
        assert_eq!((id.index() as usize, id.is_counted()), (self.ids.len(), !is_uncounted));
        self.ids.push(id);
        self.twin.buckets.push(Bucket { is_uncounted, ..Bucket::default() });
    }

    fn who(&self, who: usize) -> usize {
        who % self.hands.len()
    }

    /// The worker at place `who`, who joins if nobody is there.
    fn worker(&mut self, who: usize) -> &mut Worker {
        let who = self.who(who);
        let join = || self.stock.join().expect("four workers are not too many");
        self.hands[who].worker.get_or_insert_with(join)
    }

    fn bucket(&self, bucket: usize) -> BucketId {
        self.ids[bucket % self.ids.len()]
    }

    /// One of the leases that are out or, one time in eight, of those that were.
    fn lease(&self, which: usize) -> LeaseId {
        let live = self.twin.leases.keys().chain(self.twin.ended.keys());
        match (self.twin.live(), self.stale.len()) {
            (_, stale @ 1..) if which.is_multiple_of(8) => self.stale[which % stale],
            (0, _) => LeaseId::NONE,
            (count, _) => *live.into_iter().nth(which % count).unwrap(),
        }
    }

    pub fn step(&mut self, operation: &Operation) {
        match *operation {
            Operation::Take { who, bucket, seats, is_chosen } => self.take(who, bucket, seats, rank(is_chosen)),
            Operation::TakeAll { who, ref wants, is_chosen } => self.take_all(who, wants, rank(is_chosen)),
            Operation::TakeInOrder { who, ref buckets, seats, is_chosen } => {
                self.take_in_order(who, buckets, seats, rank(is_chosen));
            }
            Operation::Give { who, which } => self.give(who, which, usize::MAX),
            Operation::GiveOne { who, which } => self.give(who, which, 1),
            Operation::SetCapacity { who, bucket, capacity } => self.set_capacity(who, bucket, capacity),
            Operation::SetWaited { who, bucket, waited } => self.set_waited(who, bucket, waited),
            Operation::Count { who, bucket } => self.count(who, bucket),
            Operation::Audit { who, bucket } => self.audit(who, bucket),
            Operation::Reserve { who } => drop(self.reserve(who)),
            Operation::Unreserve { who } => self.unreserve(who),
            Operation::Open { who, which, ttl_ms } => self.open(who, which, ttl_ms),
            Operation::OpenEmpty { who, ttl_ms } => self.open_over(who, &[], ttl_ms),
            Operation::Renew { which, ttl_ms, is_strange, idle_s } => self.renew(which, ttl_ms, is_strange, idle_s),
            Operation::End { who, which } => self.end(who, which),
            Operation::Release { who, which } => self.release(who, which),
            Operation::EndIfDue { who, which } => self.end_if_due(who, which),
            Operation::Close { who } => self.close(who),
            Operation::Sweep { who, budget } => self.sweep(who, budget),
            Operation::Wait { ms } => self.now = self.now.plus_ms(ms),
            Operation::Leave { who } => self.leave(who),
        }
        self.glance();
    }

    fn take(&mut self, who: usize, bucket: usize, seats: u32, rank: Rank) {
        let want = Use { bucket: self.bucket(bucket), seats };
        let taken = self.worker(who).take(want.bucket, seats, rank);
        assert_eq!(taken, self.twin.take_all(&[want], rank));
        self.keep(taken.is_ok(), vec![want]);
    }

    fn take_all(&mut self, who: usize, wants: &[(usize, u32)], rank: Rank) {
        let mut uses: Vec<Use> = vec![];
        for (bucket, seats) in wants {
            let bucket = self.bucket(*bucket);
            if uses.iter().all(|used| used.bucket != bucket) {
                uses.push(Use { bucket, seats: *seats });
            }
        }
        let taken = self.worker(who).take_all(&uses, rank);
        assert_eq!(taken, self.twin.take_all(&uses, rank));
        self.keep(taken.is_ok(), uses);
    }

    fn take_in_order(&mut self, who: usize, order: &[usize], seats: u32, rank: Rank) {
        let mut buckets: Vec<BucketId> = vec![];
        for bucket in order.iter().map(|bucket| self.bucket(*bucket)) {
            if !buckets.contains(&bucket) {
                buckets.push(bucket);
            }
        }
        let mut uses = vec![];
        let taken = self.worker(who).take_in_order(&buckets, seats, rank, &mut uses).map(|()| uses);
        assert_eq!(taken, self.twin.take_in_order(&buckets, seats, rank));
        self.keep(taken.is_ok(), taken.unwrap_or_default());
    }

    fn keep(&mut self, taken: bool, uses: Vec<Use>) {
        if taken {
            self.purse.push(uses);
        }
        if self.purse.len() > PURSE_MAX {
            self.give(0, 0, usize::MAX);
        }
    }

    /// Gives up to `seats` seats of one bucket of one take back, or the whole of it.
    fn give(&mut self, who: usize, which: usize, seats: usize) {
        let Some(which) = which.checked_rem(self.purse.len()) else { return };
        let mut uses = self.purse.swap_remove(which);
        if let (1, Some(first)) = (seats, uses.first_mut().filter(|first| first.seats > 1)) {
            let one = Use { bucket: first.bucket, seats: 1 };
            first.seats -= 1;
            self.purse.push(std::mem::replace(&mut uses, vec![one]));
        }
        for used in uses {
            let waited = self.worker(who).give(used.bucket, used.seats);
            assert_eq!(waited, self.twin.give(&[used]), "somebody waits for {:?}", used.bucket);
        }
    }

    fn set_capacity(&mut self, who: usize, bucket: usize, capacity: i64) {
        let bucket = self.bucket(bucket);
        self.worker(who).set_capacity(bucket, capacity);
        if bucket.is_counted() {
            self.twin.bucket(bucket).capacity = capacity;
        }
    }

    fn set_waited(&mut self, who: usize, bucket: usize, waited: bool) {
        let bucket = self.bucket(bucket);
        self.worker(who).set_waited(bucket, waited);
        self.twin.bucket(bucket).waited = waited && bucket.is_counted();
    }

    fn count(&mut self, who: usize, bucket: usize) {
        let bucket = self.bucket(bucket);
        assert_eq!(self.worker(who).count(bucket), self.twin.bucket(bucket).free(), "free of {bucket:?}");
    }

    fn audit(&mut self, who: usize, bucket: usize) {
        let bucket = self.bucket(bucket);
        let (found, sums) = (self.worker(who).audit(bucket), self.twin.sums(bucket));
        assert!(found.is_none_or(Sums::is_balanced), "{found:?} of {bucket:?}");
        let is_excused = found.is_none() && self.twin.is_giving(bucket);
        assert!(found == sums || is_excused, "{found:?} of {bucket:?}, not {sums:?}");
    }

    fn reserve(&mut self, who: usize) -> Option<LeaseId> {
        let reserved = self.worker(who).reserve();
        assert_eq!(reserved.is_none(), self.twin.is_full(), "{} leases are out", self.twin.live());
        let who = self.who(who);
        self.hands[who].reserved.extend(reserved);
        reserved.inspect(|id| self.twin.reserve(*id))
    }

    fn unreserve(&mut self, who: usize) {
        let at = self.who(who);
        let Some(id) = self.hands[at].reserved.pop() else { return };
        self.worker(who).unreserve(id);
        self.twin.reserved.remove(&id);
    }

    fn open(&mut self, who: usize, which: usize, ttl_ms: u32) {
        let Some(which) = which.checked_rem(self.purse.len()) else { return };
        let uses = self.purse[which].clone();
        let before = self.twin.leases.len();
        self.open_over(who, &uses, ttl_ms);
        if self.twin.leases.len() > before {
            self.purse.swap_remove(which);
        }
    }

    fn open_over(&mut self, who: usize, uses: &[Use], ttl_ms: u32) {
        let (at, deadline) = (self.who(who), self.now.plus_ms(ttl_ms.into()));
        if self.hands[at].reserved.is_empty() {
            self.reserve(who);
        }
        let Some(id) = self.hands[at].reserved.pop() else { return };
        let (claim, owner) = (ClaimProof(self.claims.roll()), self.claims.roll());
        let terms = Terms { claim, owner, session: 1 };
        self.worker(who).publish(id, &terms, ttl_ms, deadline, uses);
        let (deadline, uses) = (deadline.max(Mono(1)), uses.to_vec());
        let lease = Lease { deadline, ttl_ms, uses, terms, renewals: 0, activity: Activity::default() };
        self.twin.publish(id, lease);
    }

    fn renew(&mut self, which: usize, ttl_ms: Option<u32>, is_strange: bool, idle_s: Option<u32>) {
        let id = self.lease(which);
        let known = self.twin.leases.get(&id).or_else(|| self.twin.ended.get(&id)).map(|lease| lease.terms);
        let mut terms = known.unwrap_or(Terms { claim: ClaimProof(0), owner: 0, session: 0 });
        terms.session = u32::try_from(self.now.0 % 1000).unwrap();
        terms.owner ^= u64::from(is_strange);
        let activity = idle_s.map(|idle_s| Activity { idle_s, busy: idle_s > 3, unsaved: idle_s % 2 == 1 });
        let renewed = self.stock.slab().renew(id, self.now, &terms, ttl_ms, activity);
        assert_eq!(renewed, self.twin.renew(id, self.now, &terms, ttl_ms, activity), "renewal of {id}");
    }

    fn end(&mut self, who: usize, which: usize) {
        let (at, id) = (self.who(who), self.lease(which));
        let ended = self.worker(who).end(id);
        assert_eq!(ended, self.twin.end(id), "end of {id}");
        self.hands[at].ended.extend(ended.map(|_| id));
    }

    fn release(&mut self, who: usize, which: usize) {
        let id = self.lease(which);
        let released = self.worker(who).release(id);
        assert_eq!(released, self.twin.end(id), "release of {id}");
        if released.is_some() {
            let waited =
                self.twin.ended[&id].uses.iter().any(|used| self.twin.buckets[used.bucket.index() as usize].waited);
            self.closed(id, waited);
        }
    }

    fn end_if_due(&mut self, who: usize, which: usize) {
        let (at, id, now) = (self.who(who), self.lease(which), self.now);
        let due = self.worker(who).end_if_due(id, now);
        assert_eq!(due, self.twin.end_if_due(id, now), "end of {id} if it is due");
        if matches!(due, Due::Ended(_)) {
            self.hands[at].ended.push(id);
        }
    }

    fn close(&mut self, who: usize) {
        let at = self.who(who);
        let Some(id) = self.hands[at].ended.pop() else { return };
        assert_eq!(self.stock.slab().renewals(id.slot()), self.twin.ended[&id].renewals, "renewals of {id}");
        let waited = self.worker(who).close(id);
        self.closed(id, waited);
    }

    fn closed(&mut self, id: LeaseId, waited: bool) {
        assert_eq!(waited, self.twin.close(id), "somebody waits for the seats of {id}");
        self.stale.push(id);
        if self.stale.len() > STALE_MAX {
            self.stale.swap_remove(0);
        }
    }

    fn sweep(&mut self, who: usize, budget: usize) {
        let (now, mut left, mut swept) = (self.now, budget, vec![]);
        let mut close = |worker: &mut Worker, id, deadline| swept.push((id, deadline, worker.close(id)));
        let is_done = self.worker(who).sweep(now, &mut left, &mut close);
        let due = self.twin.due(now);
        assert_eq!(swept.len(), due.len().min(budget), "as many as are due, and no more than the budget");
        assert_eq!((left, is_done), (budget - swept.len(), due.len() == swept.len()));
        for (id, deadline, waited) in swept {
            assert_eq!(due.get(&id), Some(&deadline), "{id} was due");
            assert_eq!(self.twin.end(id), Some(deadline), "{id} was swept once");
            self.closed(id, waited);
        }
    }

    /// Who leaves has finished what was begun.
    fn leave(&mut self, who: usize) {
        let at = self.who(who);
        while !self.hands[at].ended.is_empty() {
            self.close(who);
        }
        while !self.hands[at].reserved.is_empty() {
            self.unreserve(who);
        }
        self.hands[at].worker = None;
    }

    /// What can be read without touching a word.
    fn glance(&self) {
        assert_eq!(self.stock.live(), self.twin.live() as u64, "leases");
        for (bucket, twin) in self.ids.iter().zip(&self.twin.buckets) {
            assert_eq!(
                (self.stock.capacity(*bucket), self.stock.out(*bucket)),
                (twin.capacity, twin.out),
                "{bucket:?}"
            );
        }
    }

    /// Looks at everything there is, as worker `who`.
    pub fn look(&mut self, who: usize) {
        self.check_ledger();
        for bucket in 0..self.twin.buckets.len() {
            self.count(who, bucket);
            self.audit(who, bucket);
        }
        let (slab, reached) = (self.stock.slab(), self.stock.slab().indices());
        for (id, lease) in &self.twin.leases {
            assert_eq!(slab.deadline_of(*id), Some(lease.deadline), "deadline of {id}");
            assert!(slab.soonest().is_some_and(|soonest| soonest <= lease.deadline), "{id} would be overlooked");
            let view = slab.view(id.slot()).expect("a lease can be seen");
            let seen = (view.id, view.deadline, view.session, view.renewals, view.activity, view.overage);
            assert_eq!(seen, (*id, lease.deadline, lease.terms.session, lease.renewals, lease.activity, false));
        }
        assert_eq!(reached.filter(|slot| slab.view(*slot).is_some()).count(), self.twin.leases.len(), "no other lease");
        self.stale.iter().for_each(|id| assert_eq!(slab.deadline_of(*id), None, "{id} was closed"));
    }

    /// The twin's own books: what is out of a bucket is in somebody's purse or in a lease.
    fn check_ledger(&self) {
        let leases = self.twin.leases.values().chain(self.twin.ended.values()).map(|lease| &lease.uses);
        let mut out = BTreeMap::<BucketId, i64>::new();
        for used in self.purse.iter().chain(leases).flatten() {
            *out.entry(used.bucket).or_default() += i64::from(used.seats);
        }
        for (bucket, twin) in self.ids.iter().zip(&self.twin.buckets) {
            assert_eq!(out.get(bucket).copied().unwrap_or(0), twin.out, "{bucket:?}");
        }
    }

    /// Ends everything, and finds every seat at home.
    pub fn finish(mut self) {
        self.now = self.now.plus_ms(1 << 32);
        self.sweep(0, usize::MAX);
        (0..self.hands.len()).for_each(|who| self.leave(who));
        while !self.purse.is_empty() {
            self.give(0, 0, usize::MAX);
        }
        self.look(0);
        assert!(self.twin.buckets.iter().all(|bucket| bucket.out == 0) && self.stock.live() == 0);
    }
}

fn rank(is_chosen: bool) -> Rank {
    if is_chosen { Rank::Chosen } else { Rank::Newcomer }
}
