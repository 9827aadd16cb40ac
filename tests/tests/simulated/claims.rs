//! One claim key is one lease and one seat, whatever is sent, how often and from where.

use leasehold_protocol::{
    message::{ClientFrame, Release, ReleaseOutcome, ServerFrame},
    vocab::{ClaimKey, Denial, LeaseId},
};
use leasehold_tests::{Lan, MINUTE, Plan, SECOND, raw::Raw};

fn grants(frames: &[ServerFrame]) -> Vec<LeaseId> {
    let lease = |frame: &ServerFrame| match frame {
        ServerFrame::Grant(grant) => Some(grant.lease),
        _ => None,
    };
    frames.iter().filter_map(lease).collect()
}

fn denials(frames: &[ServerFrame]) -> Vec<Denial> {
    let code = |frame: &ServerFrame| match frame {
        ServerFrame::Deny(deny) => Some(deny.code),
        _ => None,
    };
    frames.iter().filter_map(code).collect()
}

#[test]
fn one_claim_sent_a_hundred_times_from_ten_addresses_across_a_session_change_is_one_seat() {
    let mut lan = Plan::seeded(71).workers(2).feature("cad", 100).start();
    let mut raw = Raw::new(&mut lan, 0);
    raw.connect(&mut lan);
    let claim = ClaimKey([7; 16]);
    let mut leases = Vec::new();
    for round in 0..10 {
        raw.roam(&mut lan);
        if round == 5 {
            raw.connect(&mut lan);
        }
        let same = raw.request("cad", 1, claim);
        for n in 0..10 {
            let frame = if n % 2 == 0 { same.clone() } else { raw.request("cad", 1, claim) };
            let sealed = raw.seal(&[frame], 512);
            raw.put(&mut lan, sealed);
        }
        lan.run_for(SECOND);
        leases.extend(grants(&raw.answers(&mut lan)));
        assert_eq!(lan.seats_out(0, "cad"), 1, "round {round}");
    }
    leases.dedup();
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert_eq!(lan.servers[0].shared().map(|s| s.live_leases()), Some(1));
    assert!(lan.worst_ratio() <= 1.0);
    lan.check_ledger();
}

#[test]
fn a_claim_belongs_to_the_client_that_made_it() {
    let mut lan = Plan::seeded(72).feature("cad", 10).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(SECOND);
    let claim = lan.watched(seat).claim;
    let mut thief = Raw::new(&mut lan, 0);
    thief.connect(&mut lan);
    let request = thief.request("cad", 1, claim);
    assert_eq!(denials(&thief.ask(&mut lan, &[request], 512)), [Denial::NOT_YOURS]);
    let release = release_of(&mut thief, claim);
    thief.ask(&mut lan, &[release], 0);
    assert!(lan.holds(seat));
    assert_eq!(lan.seats_out(0, "cad"), 1);
    lan.run_for(10 * MINUTE);
    assert!(lan.holds(seat));
}

fn release_of(raw: &mut Raw, claim: ClaimKey) -> ClientFrame {
    ClientFrame::Release(Release { lease: LeaseId::NONE, claim, operation: raw.operation() })
}

#[test]
fn a_request_that_arrives_after_its_release_takes_no_seat() {
    let mut lan = Plan::seeded(73).feature("cad", 10).start();
    let mut raw = Raw::new(&mut lan, 0);
    raw.connect(&mut lan);
    for seen_before in [true, false] {
        let claim = ClaimKey([if seen_before { 1 } else { 2 }; 16]);
        let request = raw.request("cad", 1, claim);
        if seen_before {
            assert_eq!(grants(&raw.ask(&mut lan, std::slice::from_ref(&request), 512)).len(), 1);
        }
        let release = release_of(&mut raw, claim);
        let first = outcome(&raw.ask(&mut lan, std::slice::from_ref(&release), 0));
        assert_eq!(first, [if seen_before { ReleaseOutcome::Freed } else { ReleaseOutcome::NotHeld }]);
        assert_eq!(outcome(&raw.ask(&mut lan, &[release], 0)).len(), 1, "a release is always answered");
        assert_eq!(denials(&raw.ask(&mut lan, &[request], 512)), [Denial::RELEASED]);
        assert_eq!(lan.seats_out(0, "cad"), 0);
    }
}

fn outcome(frames: &[ServerFrame]) -> Vec<ReleaseOutcome> {
    let outcome = |frame: &ServerFrame| match frame {
        ServerFrame::Released(released) => Some(released.outcome),
        _ => None,
    };
    frames.iter().filter_map(outcome).collect()
}

#[test]
fn the_old_session_works_until_the_first_word_under_the_new_one() {
    let mut lan = Plan::seeded(74).feature("cad", 10).start();
    let mut raw = Raw::new(&mut lan, 0);
    raw.connect(&mut lan);
    let request = raw.request("cad", 1, ClaimKey([1; 16]));
    assert_eq!(grants(&raw.ask(&mut lan, &[request], 512)).len(), 1);
    let old = raw.connect(&mut lan).unwrap();
    let new = raw.resume(old).unwrap();
    let request = raw.request("cad", 1, ClaimKey([2; 16]));
    assert_eq!(grants(&raw.ask(&mut lan, &[request], 512)).len(), 1, "the old session still works");
    let old = raw.resume(new).unwrap();
    let request = raw.request("cad", 1, ClaimKey([3; 16]));
    assert_eq!(grants(&raw.ask(&mut lan, &[request], 512)).len(), 1, "the new one does");
    raw.resume(old);
    let request = raw.request("cad", 1, ClaimKey([4; 16]));
    assert!(raw.ask(&mut lan, &[request], 512).is_empty(), "and now the old one does not");
    assert_eq!(lan.seats_out(0, "cad"), 3);
}

#[test]
fn too_many_seats_too_high_a_version_and_unknown_features_are_named_as_such() {
    let mut lan: Lan = Plan::seeded(75).feature("cad", 3).start();
    let mut raw = Raw::new(&mut lan, 0);
    raw.connect(&mut lan);
    let all_but_one = raw.request("cad", 2, ClaimKey([1; 16]));
    assert_eq!(grants(&raw.ask(&mut lan, &[all_but_one], 512)).len(), 1);
    let two = raw.request("cad", 2, ClaimKey([2; 16]));
    let answer = raw.ask(&mut lan, &[two], 512);
    assert_eq!(denials(&answer), [Denial::NO_SEAT]);
    let Some(ServerFrame::Deny(deny)) = answer.first() else { panic!("{answer:?}") };
    assert_eq!((deny.seats_out, deny.seats_total), (2, 3));
    assert!(deny.retry_after_ms.is_some() && deny.next_due.is_some() && !deny.sentence.is_empty());
    let four = raw.request("cad", 4, ClaimKey([3; 16]));
    assert_eq!(denials(&raw.ask(&mut lan, &[four], 512)), [Denial::TOO_MANY_SEATS]);
    let unknown = raw.request("cam", 1, ClaimKey([4; 16]));
    assert_eq!(denials(&raw.ask(&mut lan, &[unknown], 512)), [Denial::NO_SUCH_FEATURE]);
}
