//! The slots by themselves, one thread at a time.

use super::*;

const TTL_MS: u32 = 1000;

fn terms(claim: u8, owner: u64) -> Terms {
    Terms { claim: ClaimKey([claim; 16]), owner, session: 9 }
}

fn granted(slab: &Slab, claim: u8, at: u64) -> LeaseId {
    let id = slab.reserve().unwrap();
    slab.publish(id, &terms(claim, 7), TTL_MS, Mono(at + 1000));
    id
}

#[test]
fn a_slot_is_one_cache_line() {
    assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
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
fn a_lease_is_renewed_until_the_millisecond_before_its_deadline() {
    let slab = Slab::new(8);
    let id = granted(&slab, 1, 0);
    let alive = |deadline| Renewal::Alive { deadline: Mono(deadline), ttl_ms: TTL_MS, overage: false };
    assert_eq!(slab.renew(id, Mono(999), &terms(1, 7), None), alive(1999));
    assert_eq!(slab.renew(id, Mono(1999), &terms(1, 7), None), Renewal::Due);
    assert_eq!(slab.end_if_due(id, Mono(1998)), Due::Later(Mono(1999)));
    assert_eq!(slab.end_if_due(id, Mono(1999)), Due::Ended(Mono(1999)));
    assert_eq!(slab.end_if_due(id, Mono(1999)), Due::Gone);
}

#[test]
fn a_renewal_with_an_older_clock_never_shortens_a_lease() {
    let slab = Slab::new(8);
    let id = granted(&slab, 1, 500);
    let alive = Renewal::Alive { deadline: Mono(1500), ttl_ms: TTL_MS, overage: false };
    assert_eq!(slab.renew(id, Mono(499), &terms(1, 7), None), alive);
}

#[test]
fn only_the_right_claim_of_the_right_client_is_renewed() {
    let slab = Slab::new(8);
    let id = granted(&slab, 1, 0);
    assert_eq!(slab.renew(id, Mono(1), &terms(2, 7), None), Renewal::NoSuchLease);
    assert_eq!(slab.renew(id, Mono(1), &terms(1, 8), None), Renewal::NotYours);
    let never = LeaseId::new(id.slot(), id.generation() + 1);
    assert_eq!(slab.renew(never, Mono(1), &terms(1, 7), None), Renewal::NoSuchLease);
    assert_eq!(slab.renew(LeaseId::new(4_000_000, 1), Mono(1), &terms(1, 7), None), Renewal::NoSuchLease);
}

#[test]
fn a_slot_used_again_has_another_id() {
    let slab = Slab::new(1);
    let first = granted(&slab, 1, 0);
    assert_eq!(slab.reserve(), None);
    assert_eq!(slab.end(first), Some(Mono(1000)));
    assert_eq!(slab.end(first), None);
    slab.recycle(first.slot());
    let second = granted(&slab, 1, 0);
    assert_eq!(second.slot(), first.slot());
    assert_ne!(second, first);
    assert_eq!(slab.renew(first, Mono(1), &terms(1, 7), None), Renewal::NoSuchLease);
    assert_eq!(slab.live(), 1);
}

#[test]
fn overage_is_told_with_the_next_renewal_and_leaves_the_ttl_alone() {
    let slab = Slab::new(1);
    let id = granted(&slab, 1, 0);
    slab.set_overage(id, true);
    let alive = Renewal::Alive { deadline: Mono(1001), ttl_ms: TTL_MS, overage: true };
    assert_eq!(slab.renew(id, Mono(1), &terms(1, 7), None), alive);
    slab.set_overage(id, false);
    assert!(!slab.view(id.slot()).unwrap().overage);
}
