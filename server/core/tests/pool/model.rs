//! What a pool is, said so slowly that nobody can doubt it: plain integers and maps, one thing after the other.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_core::pool::{BUNDLE_MAX, BucketId, Due, Rank, Renewal, Short, Sums, Terms, Use};
use leasehold_protocol::{message::Activity, time::Mono, vocab::LeaseId};

/// The twin of a stock.
#[derive(Debug)]
pub struct Twin {
    pub buckets: Vec<Bucket>,
    /// Leases that were opened and not ended.
    pub leases: BTreeMap<LeaseId, Lease>,
    /// Leases that were ended and not closed.
    pub ended: BTreeMap<LeaseId, Lease>,
    /// Slots that were reserved and neither published nor given back, as the leases they would become.
    pub reserved: BTreeSet<LeaseId>,
    /// The newest lease of each slot: the next one must be newer.
    newest: BTreeMap<u32, u32>,
    leases_max: usize,
}

/// The twin of a bucket: free seats are what there is less what is out, nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// Its seats never run out.
    pub is_uncounted: bool,
    pub capacity: i64,
    pub out: i64,
    pub waited: bool,
}

/// The twin of a lease.
#[derive(Clone, Debug)]
pub struct Lease {
    pub deadline: Mono,
    pub ttl_ms: u32,
    pub uses: Vec<Use>,
    pub terms: Terms,
    pub renewals: u32,
    pub activity: Activity,
}

impl Bucket {
    pub const fn free(self) -> i64 {
        if self.is_uncounted { i64::MAX } else { self.capacity - self.out }
    }

    fn check(self, seats: i64, rank: Rank) -> Result<(), Short> {
        if rank == Rank::Newcomer && self.waited {
            return Err(Short::Waited);
        }
        if self.free() < seats { Err(Short::NoSeat) } else { Ok(()) }
    }
}

impl Twin {
    pub fn new(leases_max: usize) -> Self {
        Self {
            buckets: vec![],
            leases: BTreeMap::new(),
            ended: BTreeMap::new(),
            reserved: BTreeSet::new(),
            newest: BTreeMap::new(),
            leases_max,
        }
    }

    pub fn bucket(&mut self, bucket: BucketId) -> &mut Bucket {
        &mut self.buckets[bucket.index() as usize]
    }

    /// All or none. Of several buckets that are short, the first decides what the answer is.
    pub fn take_all(&mut self, wants: &[Use], rank: Rank) -> Result<(), Short> {
        if wants.len() > BUNDLE_MAX {
            return Err(Short::TooWide);
        }
        wants.iter().try_for_each(|want| self.bucket(want.bucket).check(i64::from(want.seats), rank))?;
        wants.iter().for_each(|want| self.bucket(want.bucket).out += i64::from(want.seats));
        Ok(())
    }

    /// From the first as many as there are, then from the next.
    pub fn take_in_order(&mut self, buckets: &[BucketId], seats: u32, rank: Rank) -> Result<Vec<Use>, Short> {
        let (mut left, mut uses) = (i64::from(seats), vec![]);
        for bucket in buckets.iter().copied() {
            self.bucket(bucket).check(i64::MIN, rank)?;
            let share = self.bucket(bucket).free().clamp(0, left);
            left -= share;
            if share > 0 {
                uses.push(Use { bucket, seats: u32::try_from(share).unwrap() });
            }
            if left == 0 {
                return self.take_all(&uses, rank).map(|()| uses);
            }
        }
        Err(Short::NoSeat)
    }

    /// Whether somebody waits for any of them.
    pub fn give(&mut self, uses: &[Use]) -> bool {
        uses.iter().for_each(|used| self.bucket(used.bucket).out -= i64::from(used.seats));
        uses.iter().any(|used| self.bucket(used.bucket).waited)
    }

    /// The three numbers of a bucket that is counted.
    pub fn sums(&mut self, bucket: BucketId) -> Option<Sums> {
        let Bucket { capacity, out, is_uncounted, .. } = *self.bucket(bucket);
        (!is_uncounted).then_some(Sums { free: capacity - out, out, capacity })
    }

    /// Whether a lease was ended and is not closed that has seats of `bucket`.
    pub fn is_giving(&self, bucket: BucketId) -> bool {
        self.ended.values().flat_map(|lease| &lease.uses).any(|used| used.bucket == bucket)
    }

    /// Leases that are out, with those that were ended and not closed.
    pub fn live(&self) -> usize {
        self.leases.len() + self.ended.len()
    }

    pub fn is_full(&self) -> bool {
        self.live() >= self.leases_max
    }

    /// Notes what a slot that was reserved will be called. It must be nobody else's, and its name a new one.
    pub fn reserve(&mut self, id: LeaseId) {
        let others = self.leases.keys().chain(self.ended.keys()).chain(&self.reserved);
        assert!(others.into_iter().all(|other| other.slot() != id.slot()), "the slot of {id} is somebody's");
        let newest = self.newest.get(&id.slot()).copied().unwrap_or(0);
        assert!(id.generation() > newest, "{id} is named like a lease before it");
        self.reserved.insert(id);
    }

    pub fn publish(&mut self, id: LeaseId, lease: Lease) {
        assert!(self.reserved.remove(&id), "{id} was reserved");
        self.newest.insert(id.slot(), id.generation());
        self.leases.insert(id, lease);
    }

    pub fn renew(
        &mut self,
        id: LeaseId,
        now: Mono,
        terms: &Terms,
        ttl_ms: Option<u32>,
        activity: Option<Activity>,
    ) -> Renewal {
        let Some(lease) = self.leases.get_mut(&id) else { return Renewal::NoSuchLease };
        if (lease.terms.claim, lease.terms.owner) != (terms.claim, terms.owner) {
            return Renewal::NoSuchLease;
        }
        if lease.deadline <= now {
            return Renewal::Due;
        }
        lease.deadline = lease.deadline.max(now.plus_ms(ttl_ms.unwrap_or(lease.ttl_ms).into()));
        lease.terms.session = terms.session;
        lease.renewals += 1;
        lease.activity = activity.unwrap_or(lease.activity);
        Renewal::Alive { deadline: lease.deadline, ttl_ms: lease.ttl_ms, overage: false }
    }

    pub fn end(&mut self, id: LeaseId) -> Option<Mono> {
        let lease = self.leases.remove(&id)?;
        let deadline = lease.deadline;
        self.ended.insert(id, lease);
        Some(deadline)
    }

    pub fn end_if_due(&mut self, id: LeaseId, now: Mono) -> Due {
        match self.leases.get(&id).map(|lease| lease.deadline) {
            None => Due::Gone,
            Some(deadline) if deadline > now => Due::Later(deadline),
            Some(deadline) => {
                self.end(id);
                Due::Ended(deadline)
            }
        }
    }

    /// Whether somebody waits for one of the seats that come back.
    pub fn close(&mut self, id: LeaseId) -> bool {
        let lease = self.ended.remove(&id).expect("who closes a lease has ended it");
        self.give(&lease.uses)
    }

    /// Every lease that is due.
    pub fn due(&self, now: Mono) -> BTreeMap<LeaseId, Mono> {
        let due = |(id, lease): (&LeaseId, &Lease)| (lease.deadline <= now).then_some((*id, lease.deadline));
        self.leases.iter().filter_map(due).collect()
    }
}
