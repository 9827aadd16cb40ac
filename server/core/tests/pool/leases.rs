//! Leases on real threads: renewal, release, expiry and sweep fall over each other, and exactly one ends each lease.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use leasehold_core::pool::{BucketId, Due, Rank, Renewal, Stock, Terms, Use, Worker};
use leasehold_protocol::{
    time::Mono,
    vocab::{ClaimKey, LeaseId},
};

use crate::dice::{Dice, told};

const THREADS: usize = 4;
/// Leases at any time, of one seat each of one bucket, and of a second bucket every other time.
const PLACES: usize = 12;

/// One lease from its beginning to its end.
#[derive(Default)]
struct Life {
    id: AtomicU64,
    place: AtomicUsize,
    /// The latest deadline anybody was told.
    announced: AtomicU64,
    /// How often it was ended, by [`Way`].
    ended: [AtomicU32; 3],
    /// The deadline that whoever ended it was told.
    deadline: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Released,
    FoundDue,
    Swept,
}

struct Arena {
    stock: Arc<Stock>,
    buckets: [BucketId; 2],
    now: AtomicU64,
    lives: Vec<Life>,
    lived: AtomicUsize,
    /// Which life each place has now.
    places: Vec<AtomicUsize>,
    /// Which life each slot has had last.
    by_slot: Vec<AtomicUsize>,
}

impl Life {
    fn id(&self) -> LeaseId {
        LeaseId(self.id.load(SeqCst))
    }

    fn times_ended(&self) -> u32 {
        self.ended.iter().map(|ended| ended.load(SeqCst)).sum()
    }
}

impl Arena {
    fn new(lives: usize) -> Self {
        let stock = Stock::new(u32::try_from(PLACES).unwrap());
        let buckets = [stock.add_bucket().unwrap(), stock.add_bucket().unwrap()];
        let mut planner = stock.join().unwrap();
        buckets.iter().for_each(|bucket| planner.set_capacity(*bucket, PLACES as i64));
        Self {
            stock,
            buckets,
            now: AtomicU64::new(1),
            lives: (0..lives).map(|_| Life::default()).collect(),
            lived: AtomicUsize::new(0),
            places: (0..PLACES).map(|_| AtomicUsize::new(0)).collect(),
            by_slot: (0..4096).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    fn now(&self) -> Mono {
        Mono(self.now.load(SeqCst))
    }

    /// Begins the next life at `place`, unless all have been lived. There are seats for as many leases as there are
    /// places, and one place is empty: a denial would be wrong.
    fn open(&self, worker: &mut Worker, place: usize, ttl_ms: u32) {
        let n = self.lived.fetch_add(1, SeqCst);
        let Some(life) = self.lives.get(n) else { return };
        let uses = self.buckets.map(|bucket| Use { bucket, seats: 1 });
        let uses = if n.is_multiple_of(2) { &uses[..] } else { &uses[n / 2 % 2..][..1] };
        worker.take_all(uses, Rank::Newcomer).expect("a seat is free for every place");
        let id = worker.reserve().expect("a slot is free for every place");
        let deadline = self.now().plus_ms(ttl_ms.into());
        life.id.store(id.0, SeqCst);
        life.place.store(place, SeqCst);
        life.announced.store(deadline.0, SeqCst);
        self.by_slot[id.slot() as usize].store(n, SeqCst);
        worker.publish(id, &terms(n), ttl_ms, deadline, uses);
        self.places[place].store(n, SeqCst);
    }

    /// Whoever has ended and closed a lease comes by here and begins another.
    fn ended(&self, worker: &mut Worker, n: usize, way: Way, deadline: Mono, ttl_ms: u32) {
        let life = &self.lives[n];
        life.deadline.store(deadline.0, SeqCst);
        life.ended[way as usize].fetch_add(1, SeqCst);
        self.open(worker, life.place.load(SeqCst), ttl_ms);
    }

    fn renew(&self, n: usize, ttl_ms: Option<u32>, is_strange: bool) {
        let (life, mut terms) = (&self.lives[n], terms(n));
        terms.owner ^= u64::from(is_strange);
        let (was_ended, announced, now) = (life.times_ended() > 0, life.announced.load(SeqCst), self.now());
        match self.stock.slab().renew(life.id(), now, &terms, ttl_ms, None) {
            Renewal::Alive { deadline, ttl_ms: own_ttl_ms, .. } => {
                assert!(!was_ended && !is_strange, "what has ended, or is somebody else's, is not renewed");
                assert!(deadline >= now.plus_ms(ttl_ms.unwrap_or(own_ttl_ms).into()), "it lives as long as was asked");
                life.announced.fetch_max(deadline.0, SeqCst);
            }
            Renewal::Due => {
                assert!(!was_ended && !is_strange && announced <= now.0, "due before the deadline it was promised");
            }
            Renewal::NoSuchLease => {}
        }
    }

    fn release(
        &self,
        worker: &mut Worker,
        n: usize,
        ttl_ms: u32,
        release: impl Fn(&mut Worker, LeaseId) -> Option<Mono>,
    ) {
        let was_ended = self.lives[n].times_ended() > 0;
        if let Some(deadline) = release(worker, self.lives[n].id()) {
            assert!(!was_ended, "a lease ends once");
            self.ended(worker, n, Way::Released, deadline, ttl_ms);
        }
    }

    fn end_if_due(&self, worker: &mut Worker, n: usize, ttl_ms: u32) {
        let life = &self.lives[n];
        let (was_ended, announced, now) = (life.times_ended() > 0, life.announced.load(SeqCst), self.now());
        match worker.end_if_due(life.id(), now) {
            Due::Ended(deadline) => {
                assert!(!was_ended && deadline <= now, "ended at {now:?}, before {deadline:?}");
                worker.close(life.id());
                self.ended(worker, n, Way::FoundDue, deadline, ttl_ms);
            }
            Due::Later(deadline) => assert!(!was_ended && deadline > now && deadline.0 >= announced),
            Due::Gone => {}
        }
    }

    fn sweep(&self, worker: &mut Worker, now: Mono, ttl_ms: u32) {
        worker.sweep(now, &mut 3, |worker, id, deadline| {
            let n = self.by_slot[id.slot() as usize].load(SeqCst);
            assert_eq!(self.lives[n].id(), id, "what is swept is the lease in its slot");
            assert!(deadline <= now, "swept at {now:?}, before {deadline:?}");
            worker.close(id);
            self.ended(worker, n, Way::Swept, deadline, ttl_ms);
        });
    }

    fn step(&self, worker: &mut Worker, dice: &mut Dice) {
        let newest = self.places[dice.below(PLACES)].load(SeqCst);
        let n = if dice.once_in(8) { newest - newest.min(dice.below(40)) } else { newest };
        let ttl_ms = dice.seats(20);
        match dice.below(16) {
            0..8 => self.renew(n, dice.once_in(2).then_some(ttl_ms), dice.once_in(16)),
            8 => self.release(worker, n, ttl_ms, Worker::release),
            9 => {
                let end_and_close = |worker: &mut Worker, id| worker.end(id).inspect(|_| _ = worker.close(id));
                self.release(worker, n, ttl_ms, end_and_close);
            }
            10..13 => self.end_if_due(worker, n, ttl_ms),
            13 => self.sweep(worker, self.now(), ttl_ms),
            14 => drop(self.now.fetch_add(dice.roll() % 8, SeqCst)),
            _ => thread::yield_now(),
        }
    }
}

fn terms(n: usize) -> Terms {
    let mut dice = Dice(n as u64);
    Terms { claim: ClaimKey(u128::from(dice.roll()).to_le_bytes()).fold(), owner: dice.roll(), session: 1 }
}

#[test]
#[expect(clippy::disallowed_macros, reason = "how much was checked is what one wants to know of it")]
fn every_lease_is_ended_once_and_none_before_the_deadline_it_was_promised() {
    let lives = told("LEASEHOLD_LIVES", 50_000);
    let arena = Arena::new(lives);
    let mut first = arena.stock.join().unwrap();
    (0..PLACES).for_each(|place| arena.open(&mut first, place, 10));
    thread::scope(|scope| {
        for n in 0..THREADS as u64 {
            let (arena, mut worker, mut dice) = (&arena, arena.stock.join().unwrap(), Dice(n));
            scope.spawn(move || {
                while arena.lived.load(SeqCst) < lives {
                    arena.step(&mut worker, &mut dice);
                }
            });
        }
    });
    let end = arena.now().plus_ms(1 << 30);
    (0..PLACES).for_each(|_| arena.sweep(&mut first, end, 1));
    let mut ways = [0; 3];
    for life in &arena.lives {
        assert_eq!(life.times_ended(), 1, "{} is ended once", life.id());
        assert!(life.deadline.load(SeqCst) >= life.announced.load(SeqCst), "no sooner than was promised");
        ways.iter_mut().zip(&life.ended).for_each(|(way, ended)| *way += ended.load(SeqCst));
    }
    println!("{lives} leases: released, found due, swept: {ways:?}");
    assert!(ways.iter().all(|way| *way > 0), "{ways:?}");
    assert_eq!(arena.stock.live(), 0);
    for bucket in arena.buckets {
        let sums = first.audit(bucket).expect("nobody is in the middle of anything");
        assert_eq!((sums.free, sums.out, sums.capacity), (PLACES as i64, 0, PLACES as i64));
    }
}
