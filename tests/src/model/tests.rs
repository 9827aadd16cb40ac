use super::*;

const A: ClaimKey = ClaimKey([1; 16]);
const B: ClaimKey = ClaimKey([2; 16]);

fn twin(capacity: u64) -> Model {
    Model::new(vec![Pool { name: "cad".into(), capacity, ttl_ms: 1000 }], 1)
}

fn held(slot: u32, deadline: Instant) -> Held {
    Held { pool: 0, seats: 1, lease: LeaseId::new(slot, 1), deadline, forgotten: false }
}

#[test]
fn a_seat_granted_twice_is_noticed() {
    let mut twin = twin(1);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    assert!(twin.granted(999, 0, B, held(1, 1999)).is_err());
    assert!(twin.granted(1000, 0, B, held(1, 2000)).is_ok(), "free in the millisecond of its deadline");
}

#[test]
fn a_second_lease_for_one_claim_is_noticed() {
    let mut twin = twin(5);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    assert!(twin.granted(10, 0, A, held(0, 1010)).is_ok(), "the same answer again");
    assert!(twin.granted(20, 0, A, held(1, 1020)).is_err());
}

#[test]
fn an_expiry_before_its_deadline_is_noticed() {
    let mut twin = twin(1);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    assert!(twin.expired(999, 0, A).is_err());
}

#[test]
fn seats_taken_from_under_a_believer_are_noticed() {
    let mut twin = twin(1);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    twin.believes(5, A, 0, 1).unwrap();
    assert!(twin.expired(1000, 0, A).is_err());
}

#[test]
fn a_belief_that_outlives_its_seats_is_noticed() {
    let mut twin = twin(1);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    twin.believes(5, A, 0, 1).unwrap();
    assert!(twin.doubts(1001, A).is_err());
}

#[test]
fn a_denial_of_free_seats_is_noticed() {
    let mut twin = twin(1);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    assert!(twin.denied(999, 0, (B, 0, 1), Denial::NO_SEAT).is_ok());
    assert!(twin.denied(1000, 0, (B, 0, 1), Denial::NO_SEAT).is_err());
    assert!(twin.denied(0, 0, (B, 0, 1), Denial::TOO_MANY_SEATS).is_err());
}

#[test]
fn what_a_restarted_server_forgot_is_not_free() {
    let mut twin = twin(1);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    twin.forgot(0);
    assert!(twin.granted(500, 0, B, held(0, 1500)).is_err());
    assert!(twin.granted(500, 0, A, held(0, 1500)).is_ok(), "its own holder may have it back");
}

#[test]
fn a_renewal_of_what_had_ended_is_noticed() {
    let mut twin = twin(1);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    assert!(twin.renewed(999, 0, A, 1999).is_ok());
    assert!(twin.renewed(1999, 0, A, 2999).is_err());
}

#[test]
fn a_claim_that_was_given_back_and_granted_again_is_noticed() {
    let mut twin = twin(5);
    twin.granted(0, 0, A, held(0, 1000)).unwrap();
    twin.released(10, 0, A).unwrap();
    assert!(twin.granted(20, 0, A, held(1, 1020)).is_err());
}
