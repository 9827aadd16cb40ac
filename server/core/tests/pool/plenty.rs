//! Where there are seats for all who ask, nobody is denied: not while seats move, not by a half that is given back, not
//! while a planner brings them together. No history is recorded here, so nothing slows the threads down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use leasehold_core::pool::{BucketId, Rank, Stock, Use, Worker};

use crate::{
    dice::{Dice, told},
    history::sit_between,
    watch::watch,
};

const BUCKETS: usize = 3;
/// Seats of each bucket that are there all the time.
const SEATS: i64 = 4;
/// Seats that come and go on top of them.
const EXTRA: i64 = 3;

/// A bucket, and who may ask for its seats.
struct Bucket {
    id: BucketId,
    /// Seats nobody has and nobody is about to ask for: who takes from here first is owed a grant.
    room: AtomicI64,
    /// Seats that were granted and that nobody is about to give back.
    granted: AtomicI64,
}

struct Ground {
    stock: Arc<Stock>,
    _idle: Vec<Worker>,
    buckets: Vec<Bucket>,
    /// The room of all of them together, where seats are taken from any.
    room: AtomicI64,
    grants: AtomicU64,
}

/// How seats are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    /// Of one bucket, or of each of several.
    Named,
    /// Of any.
    Anywhere,
}

/// Moves `seats` out of `from`, if they are there.
fn move_seats(from: &AtomicI64, seats: i64) -> bool {
    from.fetch_update(SeqCst, SeqCst, |there| (there >= seats).then_some(there - seats)).is_ok()
}

impl Ground {
    fn new() -> Self {
        let stock = Stock::new(1);
        let mut planner = stock.join().unwrap();
        let bucket = |_| {
            let id = stock.add_bucket().unwrap();
            planner.set_capacity(id, SEATS);
            Bucket { id, room: AtomicI64::new(SEATS), granted: AtomicI64::new(0) }
        };
        let buckets = (0..BUCKETS).map(bucket).collect();
        let _idle = sit_between(&stock);
        Self { stock, _idle, buckets, room: AtomicI64::new(SEATS * BUCKETS as i64), grants: AtomicU64::new(0) }
    }

    /// Finds room for `seats` of every bucket in `wanted`, as far as there is, and takes exactly those.
    fn take(&self, worker: &mut Worker, wanted: &[usize], seats: u32, uses: &mut Vec<Use>) {
        let wanted = wanted.iter().map(|n| &self.buckets[*n]);
        let found = wanted.filter(|bucket| move_seats(&bucket.room, seats.into()));
        uses.clear();
        uses.extend(found.map(|bucket| Use { bucket: bucket.id, seats }));
        let taken = match uses[..] {
            [] => return,
            [Use { bucket, seats }] => worker.take(bucket, seats, Rank::Newcomer),
            _ => worker.take_all(uses, Rank::Newcomer),
        };
        assert_eq!(taken, Ok(()), "there were seats for {uses:?}");
        self.note_granted(uses);
    }

    /// The same wherever there is room, if there is enough in all of them together.
    fn take_anywhere(&self, worker: &mut Worker, seats: u32, uses: &mut Vec<Use>) {
        if move_seats(&self.room, seats.into()) {
            let ids: Vec<_> = self.buckets.iter().map(|bucket| bucket.id).collect();
            worker.take_in_order(&ids, seats, Rank::Newcomer, uses).expect("there were seats in all of them together");
            self.note_granted(uses);
        }
    }

    fn note_granted(&self, uses: &[Use]) {
        self.grants.fetch_add(1, SeqCst);
        for used in uses {
            self.buckets[used.bucket.index() as usize].granted.fetch_add(i64::from(used.seats), SeqCst);
        }
    }

    /// Gives back seats that anybody was granted.
    fn give(&self, worker: &mut Worker, bucket: usize, seats: u32) {
        let bucket = &self.buckets[bucket];
        if move_seats(&bucket.granted, seats.into()) {
            worker.give(bucket.id, seats);
            bucket.room.fetch_add(seats.into(), SeqCst);
            self.room.fetch_add(seats.into(), SeqCst);
        }
    }

    fn step(&self, taking: Taking, worker: &mut Worker, is_planner: bool, dice: &mut Dice, uses: &mut Vec<Use>) {
        let (bucket, seats) = (dice.below(BUCKETS), dice.seats(3));
        match dice.below(32) {
            0 if is_planner => worker.set_capacity(self.buckets[bucket].id, SEATS + i64::from(dice.seats(4)) - 1),
            1 => {
                let free = worker.count(self.buckets[bucket].id);
                // From any bucket, extra seats may be taken as well, and are then missing when they go.
                let least = if taking == Taking::Named { 0 } else { -EXTRA };
                assert!((least..=SEATS + EXTRA).contains(&free), "{free} seats are free");
            }
            2..15 if taking == Taking::Anywhere => self.take_anywhere(worker, seats, uses),
            2..8 => self.take(worker, &[bucket], seats, uses),
            8..13 => self.take(worker, &[bucket, (bucket + 1) % BUCKETS], 1, uses),
            13 | 14 => self.take(worker, &[2, 0, 1], seats, uses),
            15 => thread::yield_now(),
            _ => self.give(worker, bucket, seats),
        }
    }

    fn check_ledger(&self) {
        let mut worker = self.stock.join().unwrap();
        for bucket in &self.buckets {
            let sums = worker.audit(bucket.id).expect("nobody is in the middle of anything");
            assert!(sums.is_balanced() && sums.out == bucket.granted.load(SeqCst), "{sums:?}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it is played against real time")]
#[expect(clippy::disallowed_macros, reason = "how much was tried is what one wants to know of it")]
fn play(threads: u64, taking: Taking) {
    let seconds = Duration::from_secs_f64(told("LEASEHOLD_HISTORY_SECONDS", 1.0));
    let (ground, progress, (over, is_over), start) = (Ground::new(), AtomicU64::new(0), channel(), Instant::now());
    thread::scope(|scope| {
        let (ground, progress) = (&ground, &progress);
        scope.spawn(move || watch(&is_over, progress));
        for n in 0..threads {
            let (over, mut dice, mut uses) = (over.clone(), Dice(n), vec![]);
            scope.spawn(move || {
                while start.elapsed() < seconds {
                    // Comes and goes: seats stay behind in cells of workers who left.
                    let mut worker = ground.stock.join().unwrap();
                    (0..2000).for_each(|_| ground.step(taking, &mut worker, n == 0, &mut dice, &mut uses));
                    progress.fetch_add(1, SeqCst);
                }
                drop(over);
            });
        }
        drop(over);
    });
    ground.check_ledger();
    println!("{threads} threads, {taking:?}: {} grants in {:?}", ground.grants.load(SeqCst), start.elapsed());
}

#[test]
fn two_threads_for_whom_there_are_seats_are_never_denied() {
    play(2, Taking::Named);
}

#[test]
fn six_threads_for_whom_there_are_seats_are_never_denied() {
    play(6, Taking::Named);
}

#[test]
fn threads_for_whom_there_are_seats_in_all_buckets_together_are_never_denied() {
    play(3, Taking::Anywhere);
}
