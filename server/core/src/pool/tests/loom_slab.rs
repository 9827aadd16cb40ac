//! Models of the lease slots.

use std::sync::Arc;

use leasehold_protocol::{time::Mono, vocab::ClaimKey};
use loom::thread;

use super::{
    explore,
    laid::{CLOSED, Laid, TTL_MS, lay, terms},
};
use crate::pool::{
    Due, FreeList, Link, Renewal, Slab, Terms, Use,
    sync::{AtomicU64, Ordering},
};

/// Places of a free list, and what their owners wrote there.
struct Places {
    list: FreeList,
    links: [Link; 3],
    notes: [AtomicU64; 3],
}

impl Places {
    /// All were used and came back, so that the list itself is raced for.
    fn new() -> Arc<Self> {
        let links = std::array::from_fn(|_| Link::new());
        let notes = std::array::from_fn(|_| AtomicU64::new(0));
        let places = Self { list: FreeList::new(), links, notes };
        let all: Vec<_> = std::iter::from_fn(|| places.pop()).collect();
        all.iter().for_each(|index| places.push(*index));
        Arc::new(places)
    }

    fn pop(&self) -> Option<u32> {
        self.list.pop(3, |i| self.links.get(i as usize))
    }

    fn push(&self, index: u32) {
        self.list.push(index, &self.links[index as usize]);
    }
}

#[test]
fn a_free_slot_is_taken_by_one() {
    explore(Some(5), || {
        let places = Places::new();
        // The rival takes two and puts the first back: the top is the same again and what is below it is not.
        let rival = thread::spawn({
            let places = places.clone();
            move || {
                let (first, second) = (places.pop(), places.pop());
                first.inspect(|index| places.push(*index));
                second
            }
        });
        let mine = places.pop();
        let theirs = rival.join().unwrap();
        let rest = std::iter::from_fn(|| places.pop());
        let mut taken: Vec<_> = [mine, theirs].into_iter().flatten().chain(rest).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2], "each slot has one owner");
    });
}

#[test]
fn who_takes_a_free_slot_sees_what_its_last_owner_wrote() {
    explore(None, || {
        let places = Places::new();
        let mine = places.pop().unwrap();
        let rival = thread::spawn({
            let places = places.clone();
            move || {
                let index = places.pop().unwrap();
                (index == mine).then(|| places.notes[mine as usize].load(Ordering::Relaxed))
            }
        });
        places.notes[mine as usize].store(7, Ordering::Relaxed);
        places.push(mine);
        assert_ne!(rival.join().unwrap(), Some(0));
    });
}

#[test]
fn a_slot_that_another_worker_used_gets_a_new_name() {
    explore(None, || {
        let Laid { buckets, workers: [mut ends, mut opens], .. } = lay(&[(0, [Some(4), Some(1)])]);
        let bucket = buckets[0];
        // Every slot there may ever be was used once: what the other worker gets is this one's, or none.
        let leases: Vec<_> = (0..4).map(|_| ends.opens(bucket, 1, 9000)).collect();
        let old: Vec<_> = leases.clone();
        let ender = thread::spawn(move || {
            for id in &leases[..2] {
                ends.end(*id).unwrap();
                ends.close(*id);
            }
        });
        let new = opens.reserve();
        ender.join().unwrap();
        assert!(new.is_none_or(|new| !old.contains(&new)), "{new:?} was the name of another lease");
    });
}

#[test]
fn who_sees_a_lease_sees_its_proof_and_its_seats() {
    explore(None, || {
        let Laid { stock, buckets, workers: [mut grants, mut ends] } = lay(&[(1, [CLOSED, CLOSED])]);
        let used = Use { bucket: buckets[0], seats: 1 };
        assert!(grants.takes(used.bucket, 1));
        let id = grants.reserve().unwrap();
        let granter = thread::spawn(move || {
            grants.publish(id, &terms(1), TTL_MS, Mono(9000), &[used]);
            grants
        });
        let seen = stock.slab().deadline_of(id).is_some();
        if seen {
            assert!(matches!(
                stock.slab().renew(id, Mono(8000), &terms(1), None, None),
                Renewal::Alive { ttl_ms: TTL_MS, .. }
            ));
            assert!(ends.end(id).is_some());
            assert_eq!(stock.slab().uses(id.slot()), [used]);
            ends.close(id);
        }
        granter.join().unwrap();
        ends.expect_out(used.bucket, (!seen).into());
    });
}

#[test]
fn of_release_and_expiry_exactly_one_wins_and_the_seat_comes_back_once() {
    explore(None, || {
        let Laid { buckets, workers: [mut releases, mut expires], .. } = lay(&[(0, [Some(1), CLOSED])]);
        let bucket = buckets[0];
        let id = releases.opens(bucket, 1, 1000);
        let release = thread::spawn(move || {
            let released = releases.end(id).is_some();
            if released {
                releases.close(id);
            }
            (releases, released)
        });
        let expired = matches!(expires.end_if_due(id, Mono(1000)), Due::Ended(Mono(1000)));
        if expired {
            expires.close(id);
        }
        let (released, stock) = (release.join().unwrap().1, expires.stock().clone());
        assert!(expired ^ released, "one of them gives the seat back");
        expires.expect_out(bucket, 0);
        assert_eq!(stock.live(), 0);
    });
}

/// A slab in which `claim` has a lease until 1000, and the worker that opened it.
fn one_lease() -> (Laid<1>, leasehold_protocol::vocab::LeaseId) {
    let mut laid = lay(&[(0, [Some(2)])]);
    let id = laid.workers[0].opens(laid.buckets[0], 1, 1000);
    (laid, id)
}

fn renew(slab: &Slab, id: leasehold_protocol::vocab::LeaseId, now: u64, terms: &Terms) -> Renewal {
    slab.renew(id, Mono(now), terms, Some(TTL_MS), None)
}

#[test]
fn a_lease_that_a_renewal_answered_is_not_expired_behind_its_back() {
    explore(None, || {
        let (Laid { stock, workers: [mut sweeps], .. }, id) = one_lease();
        // This worker's clock says 999, the sweeper's says 1000.
        let sweeper = thread::spawn(move || sweeps.end_if_due(id, Mono(1000)));
        let renewal = renew(stock.slab(), id, 999, &terms(1));
        let swept = sweeper.join().unwrap();
        match renewal {
            Renewal::Alive { deadline, .. } => {
                assert_eq!(deadline, Mono(2999));
                assert_eq!(swept, Due::Later(Mono(2999)));
            }
            other => {
                assert_eq!(other, Renewal::NoSuchLease);
                assert_eq!(swept, Due::Ended(Mono(1000)));
            }
        }
    });
}

#[test]
fn a_lease_that_was_released_is_renewed_before_or_not_at_all() {
    explore(None, || {
        let (Laid { stock, workers: [mut releases], .. }, id) = one_lease();
        let release = thread::spawn(move || releases.end(id));
        let renewal = renew(stock.slab(), id, 999, &terms(1));
        let released = release.join().unwrap();
        match renewal {
            Renewal::Alive { .. } => assert_eq!(released, Some(Mono(2999)), "a release never fails"),
            other => assert_eq!((other, released), (Renewal::NoSuchLease, Some(Mono(1000)))),
        }
        assert_eq!(stock.slab().deadline_of(id), None);
    });
}

#[test]
fn of_two_renewals_the_later_deadline_stands() {
    explore(None, || {
        let (Laid { stock, workers: [worker], .. }, id) = one_lease();
        let late = thread::spawn({
            let stock = stock.clone();
            move || renew(stock.slab(), id, 900, &terms(1))
        });
        let early = renew(stock.slab(), id, 500, &terms(1));
        for renewal in [early, late.join().unwrap()] {
            assert!(matches!(renewal, Renewal::Alive { .. }));
        }
        assert_eq!(stock.slab().deadline_of(id), Some(Mono(2900)));
        drop(worker);
    });
}

#[test]
fn a_late_renewal_of_a_reused_slot_feeds_nobody() {
    explore(None, || {
        let (Laid { stock, buckets, workers: [mut worker] }, old) = one_lease();
        let other = thread::spawn(move || {
            worker.end(old).unwrap();
            worker.close(old);
            (worker.opens(buckets[0], 2, 1001), worker)
        });
        let late = renew(stock.slab(), old, 500, &terms(1));
        let (new, worker) = other.join().unwrap();
        assert_eq!(new.slot(), old.slot());
        assert!(matches!(late, Renewal::Alive { deadline: Mono(2500), .. } | Renewal::NoSuchLease));
        assert_eq!(stock.slab().deadline_of(new), Some(Mono(1001)), "the stranger's deadline did not move");
        assert_eq!(stock.slab().deadline_of(old), None);
        drop(worker);
    });
}

#[test]
fn a_forged_renewal_opens_neither_of_two_leases() {
    explore(Some(5), || {
        let (Laid { stock, buckets, workers: [mut worker] }, old) = one_lease();
        let other = thread::spawn(move || {
            worker.end(old).unwrap();
            worker.close(old);
            worker.opens(buckets[0], 2, 1001)
        });
        // Half of the first claim, half of the second; and the second's proof for the first's name.
        let mut mixed = [1; 16];
        mixed[8..].fill(2);
        let forged = Terms { claim: ClaimKey(mixed).fold(), owner: 2, session: 0 };
        assert_eq!(renew(stock.slab(), old, 500, &forged), Renewal::NoSuchLease);
        assert_eq!(renew(stock.slab(), old, 500, &terms(2)), Renewal::NoSuchLease);
        let new = other.join().unwrap();
        assert_eq!(stock.slab().deadline_of(new), Some(Mono(1001)));
    });
}
