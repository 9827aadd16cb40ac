//! The slots by themselves, one thread at a time.

use std::sync::Arc;

use leasehold_protocol::vocab::ClaimKey;

use super::*;
use crate::pool::slot::{DEADLINE_MAX, GENERATION_MAX, next_generation};
use crate::pool::{Rank, Stock, Worker};

const TTL_MS: u32 = 5000;

fn terms(claim: u8, owner: u64) -> Terms {
    // One byte alone: what a slot keeps of a key is folded, and equal halves would cancel out.
    let mut key = [0; 16];
    key[0] = claim;
    Terms { claim: ClaimKey(key).fold(), owner, session: 9 }
}

fn stock(leases_max: u32) -> (Arc<Stock>, Worker) {
    let stock = Stock::new(leases_max);
    let worker = stock.join().unwrap();
    (stock, worker)
}

/// A lease over nothing that was opened at `at`.
fn granted(worker: &mut Worker, claim: u8, at: u64) -> LeaseId {
    let id = worker.reserve().unwrap();
    worker.publish(id, &terms(claim, 7), TTL_MS, Mono(at + u64::from(TTL_MS)), &[]);
    id
}

fn renew(stock: &Stock, id: LeaseId, now: u64, terms: &Terms) -> Renewal {
    stock.slab().renew(id, Mono(now), terms, None, None)
}

const fn alive(deadline: u64) -> Renewal {
    Renewal::Alive { deadline: Mono(deadline), ttl_ms: TTL_MS, overage: false }
}

#[test]
fn what_a_renewal_touches_is_half_a_cache_line() {
    assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (32, 32));
    assert_eq!(size_of::<Tenure>(), 16);
}

#[test]
fn the_hot_word_keeps_generation_and_deadline_apart_at_every_width() {
    for g in [0, 1, GENERATION_MAX - 1, GENERATION_MAX] {
        for d in [0, 1, DEADLINE_MAX - 1, DEADLINE_MAX] {
            let word = hot(g, Mono(d));
            assert_eq!((generation(word), deadline(word)), (g, Mono(d)));
        }
    }
    assert_eq!(deadline(hot(1, Mono(u64::MAX))), Mono(DEADLINE_MAX));
    assert_eq!(next_generation(GENERATION_MAX), 1);
}

#[test]
fn a_use_comes_back_as_it_was_packed() {
    for bucket in [0, 1, u32::MAX] {
        for seats in [1, u32::MAX - 1] {
            let used = Use { bucket: BucketId(bucket), seats };
            assert_eq!(Use::unpack(used.pack()), Some(used));
        }
    }
    assert_eq!(Use::unpack(0), None);
}

#[test]
fn a_lease_is_renewed_until_the_millisecond_before_its_deadline() {
    let (stock, mut worker) = stock(8);
    let id = granted(&mut worker, 1, 0);
    assert_eq!(renew(&stock, id, 4999, &terms(1, 7)), alive(9999));
    assert_eq!(renew(&stock, id, 9999, &terms(1, 7)), Renewal::Due);
    assert_eq!(worker.end_if_due(id, Mono(9998)), Due::Later(Mono(9999)));
    assert_eq!(worker.end_if_due(id, Mono(9999)), Due::Ended(Mono(9999)));
    assert_eq!(worker.end_if_due(id, Mono(9999)), Due::Gone);
}

#[test]
fn a_renewal_with_an_older_clock_never_shortens_a_lease() {
    let (stock, mut worker) = stock(8);
    let id = granted(&mut worker, 1, 500);
    assert_eq!(renew(&stock, id, 499, &terms(1, 7)), alive(5500));
}

#[test]
fn a_renewal_may_ask_for_another_ttl_and_leaves_the_leases_own_alone() {
    let (stock, mut worker) = stock(8);
    let id = granted(&mut worker, 1, 0);
    assert_eq!(stock.slab().renew(id, Mono(1), &terms(1, 7), Some(90_000), None), alive(90_001));
    assert_eq!(renew(&stock, id, 90_000, &terms(1, 7)), alive(95_000));
}

#[test]
fn only_the_right_claim_of_the_right_client_is_renewed() {
    let (stock, mut worker) = stock(8);
    let id = granted(&mut worker, 1, 0);
    let never = LeaseId::new(id.slot(), id.generation() + 1);
    assert_eq!(renew(&stock, id, 1, &terms(2, 7)), Renewal::NoSuchLease);
    assert_eq!(renew(&stock, id, 1, &terms(1, 8)), Renewal::NoSuchLease);
    assert_eq!(renew(&stock, never, 1, &terms(1, 7)), Renewal::NoSuchLease);
    assert_eq!(renew(&stock, LeaseId::new(4_000_000, 1), 1, &terms(1, 7)), Renewal::NoSuchLease);
    assert_eq!(stock.slab().deadline_of(id), Some(Mono(5000)));
}

#[test]
fn a_slot_used_again_has_another_id() {
    let (stock, mut worker) = stock(1);
    let first = granted(&mut worker, 1, 0);
    assert_eq!(worker.end(first), Some(Mono(5000)));
    assert_eq!(worker.end(first), None);
    worker.close(first);
    let second = granted(&mut worker, 1, 0);
    assert_eq!(second.slot(), first.slot());
    assert_ne!(second, first);
    assert_eq!(renew(&stock, first, 1, &terms(1, 7)), Renewal::NoSuchLease);
    assert_eq!(stock.live(), 1);
}

#[test]
fn there_are_no_more_leases_than_there_may_be_whoever_holds_the_slots() {
    let (stock, mut worker) = stock(2);
    let ids = [granted(&mut worker, 1, 0), granted(&mut worker, 2, 0)];
    let mut other = stock.join().unwrap();
    assert_eq!((worker.reserve(), other.reserve()), (None, None));
    worker.end(ids[0]).unwrap();
    worker.close(ids[0]);
    let id = other.reserve().expect("the slot lies in the first one's hand, and is not counted");
    other.unreserve(id);
    assert!(worker.reserve().is_some());
}

#[test]
fn a_lease_has_as_many_uses_as_it_was_opened_with() {
    let (stock, mut worker) = stock(4);
    let all: Vec<_> = (1..=4).map(|seats| Use { bucket: stock.add_bucket().unwrap(), seats }).collect();
    for used in &all {
        worker.set_capacity(used.bucket, 4);
    }
    for count in 0..=all.len() {
        let uses = &all[..count];
        worker.take_all(uses, Rank::Newcomer).unwrap();
        let id = worker.reserve().unwrap();
        worker.publish(id, &terms(1, 7), TTL_MS, Mono(5000), uses);
        assert_eq!(stock.slab().uses(id.slot()), uses);
        worker.end(id).unwrap();
        assert!(!worker.close(id), "nobody waits");
        for used in &all {
            assert_eq!((worker.count(used.bucket), stock.out(used.bucket)), (4, 0));
        }
    }
}

#[test]
fn uses_that_are_replaced_are_given_back_in_place_of_the_first_ones() {
    let (stock, mut worker) = stock(4);
    let all: Vec<_> = (0..3).map(|_| Use { bucket: stock.add_bucket().unwrap(), seats: 1 }).collect();
    let id = worker.reserve().unwrap();
    worker.publish(id, &terms(1, 7), TTL_MS, Mono(5000), &all);
    stock.slab().set_uses(id.slot(), &all[2..]);
    assert_eq!(stock.slab().uses(id.slot()), &all[2..]);
    worker.end(id).unwrap();
    worker.close(id);
    assert_eq!([0, 1, 2].map(|n| worker.count(all[n].bucket)), [0, 0, 1]);
}

#[test]
fn overage_is_told_with_the_next_renewal_and_leaves_the_ttl_alone() {
    let (stock, mut worker) = stock(1);
    let id = granted(&mut worker, 1, 0);
    stock.slab().set_overage(id, true);
    let above = Renewal::Alive { deadline: Mono(5001), ttl_ms: TTL_MS, overage: true };
    assert_eq!(renew(&stock, id, 1, &terms(1, 7)), above);
    stock.slab().set_overage(id, false);
    assert!(!stock.slab().view(id.slot()).unwrap().overage);
}

#[test]
fn a_view_shows_what_the_holder_said_last() {
    let (stock, mut worker) = stock(1);
    let id = granted(&mut worker, 1, 0);
    let busy = Activity { idle_s: 77, busy: true, unsaved: false };
    stock.slab().renew(id, Mono(1), &terms(1, 7), None, Some(busy));
    renew(&stock, id, 2, &Terms { session: 10, ..terms(1, 7) });
    let view = stock.slab().view(id.slot()).unwrap();
    assert_eq!((view.id, view.deadline, view.activity), (id, Mono(5002), busy));
    assert_eq!((view.session, view.renewals), (10, 2));
    worker.end(id).unwrap();
    assert!(stock.slab().view(id.slot()).is_none());
    assert_eq!(stock.slab().renewals(id.slot()), 2, "also right after it was ended");
}

#[test]
fn a_sweep_ends_what_is_due_within_its_budget_and_nothing_else() {
    let (stock, mut worker) = stock(8);
    let due: Vec<_> = (0..3).map(|claim| granted(&mut worker, claim, 0)).collect();
    let later = granted(&mut worker, 9, 1);
    let mut sweep = |budget: usize, now| {
        let (mut left, mut ended) = (budget, vec![]);
        let all = worker.sweep(Mono(now), &mut left, |worker, id, _| {
            worker.close(id);
            ended.push(id);
        });
        assert_eq!(budget - left, ended.len());
        (all, ended)
    };
    assert_eq!(sweep(9, 4999), (true, vec![]));
    assert_eq!(sweep(2, 5000), (false, due[..2].to_vec()));
    assert_eq!(sweep(9, 5000), (true, due[2..].to_vec()));
    assert_eq!(sweep(9, 5001), (true, vec![later]));
    assert_eq!(stock.live(), 0);
}

#[test]
fn leases_that_were_written_down_keep_their_names_and_what_lies_between_is_free() {
    let (stock, mut worker) = stock(300);
    let ids = [
        LeaseId::new(200, 7),
        LeaseId::new(3, GENERATION_MAX),
        LeaseId::new(3, 5),
        LeaseId::new(0, 1),
        LeaseId::NONE,
        LeaseId::new(u32::MAX, 1),
    ];
    assert_eq!(worker.set_aside(&ids), [2, 4, 5], "twice the same slot, no name, no such slot");
    for id in [ids[0], ids[1], ids[3]] {
        worker.publish(id, &terms(1, 7), TTL_MS, Mono(9000), &[]);
        assert_eq!(renew(&stock, id, 5000, &terms(1, 7)), alive(10_000));
    }
    let mut fresh: Vec<LeaseId> = (0..297).map(|_| granted(&mut worker, 2, 0)).collect();
    assert!(worker.reserve().is_none(), "as many as there may be");
    fresh.sort_unstable();
    fresh.dedup_by_key(|id| id.slot());
    assert_eq!(fresh.len(), 297);
    assert!(fresh.iter().all(|id| ids.iter().all(|other| other.slot() != id.slot()) && id.generation() == 1));
    worker.release(ids[0]).unwrap();
    assert_eq!(worker.reserve().map(|id| (id.slot(), id.generation())), Some((200, 8)));
}
