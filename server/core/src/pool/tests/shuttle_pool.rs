//! Longer runs of more workers, in random orders: takes and bundles of any size, the planner's changes, leases that are
//! renewed, released and swept. Afterwards nothing is lost and nothing is there twice.

use std::sync::Arc;

use leasehold_protocol::{time::Mono, vocab::LeaseId};
use shuttle::{
    rand::{Rng, thread_rng},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    laid::{CLOSED, Laid, TTL_MS, lay, terms},
    shuffle,
};
use crate::pool::{BucketId, Rank, Renewal, Short, Use, Worker};

const STEPS: usize = 4;

/// What a worker holds, and how it came by it.
struct Holder {
    worker: Worker,
    buckets: Vec<BucketId>,
    held: Vec<Use>,
}

impl Holder {
    fn new(worker: Worker, buckets: &[BucketId]) -> Self {
        Self { worker, buckets: buckets.to_vec(), held: vec![] }
    }

    /// Takes one to three seats of one to three buckets, in any order, or gives something back.
    fn step(&mut self) {
        if !self.held.is_empty() && thread_rng().gen_bool(0.4) {
            let used = self.held.swap_remove(thread_rng().gen_range(0..self.held.len()));
            self.worker.give(used.bucket, used.seats);
            return;
        }
        let wants = self.wants();
        if self.worker.take_all(&wants, Rank::Newcomer).is_ok() {
            self.held.extend(wants);
        }
    }

    fn wants(&self) -> Vec<Use> {
        let (first, count) = (thread_rng().gen_range(0..3), thread_rng().gen_range(1..=self.buckets.len()));
        let by = thread_rng().gen_range(1..=2);
        let bucket = |n| self.buckets[(first + n * by) % self.buckets.len()];
        (0..count).map(|n| Use { bucket: bucket(n), seats: thread_rng().gen_range(1..=3) }).collect()
    }

    fn works(mut self) -> Self {
        (0..STEPS).for_each(|_| self.step());
        self
    }

    fn has_of(&self, bucket: BucketId) -> i64 {
        self.held.iter().filter(|used| used.bucket == bucket).map(|used| i64::from(used.seats)).sum()
    }
}

/// Sees to it that what `holders` hold is what is out, of every bucket, and that all of it comes back.
fn settle(holders: Vec<Holder>) {
    let buckets = holders[0].buckets.clone();
    let mut workers = vec![];
    let held = |bucket| holders.iter().map(|holder| holder.has_of(bucket)).sum::<i64>();
    let outs: Vec<_> = buckets.iter().map(|bucket| held(*bucket)).collect();
    for mut holder in holders {
        if workers.is_empty() {
            buckets.iter().zip(&outs).for_each(|(bucket, out)| holder.worker.expect_out(*bucket, *out));
        }
        holder.held.iter().for_each(|used| drop(holder.worker.give(used.bucket, used.seats)));
        workers.push(holder.worker);
    }
    buckets.iter().for_each(|bucket| workers[0].expect_out(*bucket, 0));
}

#[test]
fn seats_of_crossing_bundles_are_neither_lost_nor_granted_twice() {
    shuffle(|| {
        let Laid { buckets, workers, .. } = lay(&[
            (3, [CLOSED, Some(1), CLOSED, Some(0)]),
            (1, [Some(2), CLOSED, CLOSED, Some(2)]),
            (0, [Some(1), Some(1), Some(2), CLOSED]),
        ]);
        let holders = workers.map(|worker| Holder::new(worker, &buckets));
        let threads = holders.map(|holder| thread::spawn(move || holder.works()));
        settle(threads.map(|thread| thread.join().unwrap()).into());
    });
}

#[test]
fn a_plan_that_changes_meanwhile_neither_makes_nor_loses_seats() {
    shuffle(|| {
        let Laid { buckets, workers: [plans, takes, also], .. } =
            lay(&[(3, [CLOSED, Some(2), CLOSED]), (1, [CLOSED, CLOSED, Some(2)]), (0, [CLOSED, Some(1), Some(1)])]);
        let holders = [takes, also].map(|worker| Holder::new(worker, &buckets));
        let threads = holders.map(|holder| thread::spawn(move || holder.works()));
        let planner = change_plans(Holder::new(plans, &buckets));
        let mut holders: Vec<_> = threads.map(|thread| thread.join().unwrap()).into();
        holders.push(planner);
        settle(holders);
    });
}

/// Changes capacities and flags at random, and looks: nobody may be seen to have taken what there was not.
fn change_plans(mut planner: Holder) -> Holder {
    for _ in 0..STEPS {
        let bucket = planner.buckets[thread_rng().gen_range(0..planner.buckets.len())];
        match thread_rng().gen_range(0..4) {
            0 => planner.worker.set_capacity(bucket, thread_rng().gen_range(0..6)),
            1 => planner.worker.set_waited(bucket, thread_rng().gen_bool(0.5)),
            2 => drop(planner.worker.count(bucket)),
            _ => {
                let sums = planner.worker.audit(bucket);
                assert!(sums.is_none_or(|sums| sums.is_balanced()), "{sums:?}");
            }
        }
    }
    planner
}

#[test]
fn no_capacity_is_exceeded_and_no_count_is_below_nothing() {
    shuffle(|| {
        let Laid { buckets, workers, .. } = lay(&[(1, [CLOSED, Some(1), Some(1), CLOSED])]);
        let (bucket, out) = (buckets[0], Arc::new(AtomicUsize::new(0)));
        let [mut looks, takers @ ..] = workers;
        let threads = takers.map(|mut worker| {
            let out = out.clone();
            thread::spawn(move || {
                for _ in 0..STEPS {
                    if worker.takes(bucket, 1) {
                        assert!(out.fetch_add(1, Ordering::SeqCst) < 3, "a fourth seat of three");
                        out.fetch_sub(1, Ordering::SeqCst);
                        worker.give(bucket, 1);
                    }
                }
            })
        });
        for _ in 0..STEPS {
            let free = looks.count(bucket);
            assert!((0..=3).contains(&free), "{free} free of three");
        }
        threads.map(|thread| thread.join().unwrap());
        looks.expect_out(bucket, 0);
    });
}

#[test]
fn nobody_is_denied_a_seat_that_somebody_must_have_left() {
    shuffle(|| {
        // Three workers, never more than one seat each: the third seat is always somewhere.
        let Laid { buckets, workers, .. } = lay(&[(0, [Some(3), CLOSED, CLOSED]), (3, [CLOSED; 3])]);
        let threads = workers.map(|mut worker| {
            let buckets = buckets.clone();
            thread::spawn(move || {
                for _ in 0..STEPS {
                    assert!(worker.takes_all(&buckets), "one of each was free all the time");
                    buckets.iter().for_each(|bucket| drop(worker.give(*bucket, 1)));
                }
                worker
            })
        });
        let [mut worker, ..] = threads.map(|thread| thread.join().unwrap());
        buckets.iter().for_each(|bucket| worker.expect_out(*bucket, 0));
    });
}

#[test]
fn every_lease_ends_once_however_it_ends() {
    shuffle(|| {
        let Laid { stock, buckets, workers: [mut opens, ends, also] } = lay(&[(0, [Some(3), CLOSED, CLOSED])]);
        let bucket = buckets[0];
        let ids: Arc<[_]> = (1..=3).map(|claim| opens.opens(bucket, claim, 1000)).collect();
        let ended = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let threads = [ends, also, opens].map(|worker| {
            let (ids, ended) = (ids.clone(), ended.clone());
            thread::spawn(move || end_somehow(worker, &ids, &ended))
        });
        let [mut worker, ..] = threads.map(|thread| thread.join().unwrap());
        worker.sweeps(100_000);
        worker.expect_out(bucket, 0);
        assert_eq!(stock.live(), 0);
        assert!(ended.iter().all(|times| times.load(Ordering::SeqCst) <= 1), "ended twice: {ended:?}");
    });
}

/// Renews, releases and sweeps, and now and then opens another lease with the seat and the slot that came free.
fn end_somehow(mut worker: Worker, ids: &[LeaseId], ended: &[AtomicUsize; 3]) -> Worker {
    let bucket = BucketId(0);
    for _ in 0..STEPS {
        let n = thread_rng().gen_range(0..3);
        let note = |id| ids.iter().position(|other| *other == id).map(|n| ended[n].fetch_add(1, Ordering::SeqCst));
        match thread_rng().gen_range(0..4) {
            0 => {
                let claim = u8::try_from(n + 1).unwrap();
                let renewal = worker.stock().slab().renew(ids[n], Mono(900), &terms(claim), None, None);
                assert_ne!(renewal, Renewal::Due, "it was alive at 900, or gone");
            }
            1 => {
                if worker.end(ids[n]).is_some() {
                    note(ids[n]);
                    worker.close(ids[n]);
                }
            }
            2 => drop(worker.sweep(Mono(1000), &mut 2, |worker, id, _| {
                note(id);
                worker.close(id);
            })),
            _ => {
                let Some(id) = worker.reserve() else { continue };
                match worker.take(bucket, 1, Rank::Newcomer) {
                    Ok(()) => worker.publish(id, &terms(9), TTL_MS, Mono(3000), &[Use { bucket, seats: 1 }]),
                    Err(short) => {
                        assert_eq!(short, Short::NoSeat);
                        worker.unreserve(id);
                    }
                }
            }
        }
    }
    worker
}
