//! A check counts only when a deliberately broken build makes it fail: each fault the core can be given, one world that
//! must notice it, and the same world without it that must not.
//!
//! `cargo test --release -p leasehold-tests --features planted-faults --test planted_faults -- --nocapture` prints what
//! each check said.

use std::time::Duration;

use leasehold_core::Fault;
use leasehold_protocol::{
    message::{ClientFrame, FeatureQuery, Release},
    vocab::{ClaimKey, LeaseId},
};
use leasehold_tests::{Checked, HOUR, Lan, MINUTE, Plan, SECOND, Violation, raw::Raw};

/// Runs `world` with `fault` in its server and without it; returns what the checks said of the first.
fn noticed(fault: Fault, start: impl Fn() -> Lan, world: impl Fn(&mut Lan) -> Checked) -> Violation {
    let mut sound = start();
    if let Err(violation) = world(&mut sound) {
        panic!("the world without {fault:?} is broken too: {violation}");
    }
    let mut lan = start();
    lan.servers[0].plant(fault);
    let said = world(&mut lan).err().unwrap_or_else(|| panic!("nothing noticed {fault:?}"));
    println!("{fault:?}: {said}");
    said
}

/// "Must show 4" of the first issue in small: the same conditions, fewer clients.
fn busy_lan() -> Lan {
    let plan = Plan::seeded(4).loss(30).duplication(20).latency_ms(5..=500).feature("cad", 40);
    let mut lan = plan.check_every(50).start();
    for _ in 0..60 {
        let client = lan.client();
        lan.churn(client, "cad", (SECOND, 20 * MINUTE), (SECOND, 5 * MINUTE));
    }
    lan
}

fn an_hour(lan: &mut Lan) -> Checked {
    lan.try_run_for(HOUR)?;
    lan.check()
}

#[test]
fn a_replay_window_that_accepts_twice_is_noticed() {
    let said = noticed(Fault::ReplayAcceptedTwice, busy_lan, an_hour);
    assert!(said.what.contains("a replay"), "{said}");
}

#[test]
fn an_expiry_one_ttl_early_is_noticed() {
    let said = noticed(Fault::ExpiryOneTtlEarly, busy_lan, an_hour);
    assert!(said.what.contains("before its deadline") || said.what.contains("where the TTL makes it"), "{said}");
}

#[test]
fn a_claim_granted_twice_is_noticed() {
    let said = noticed(Fault::ClaimGrantedTwice, busy_lan, an_hour);
    assert!(said.what.contains("beside"), "{said}");
}

#[test]
fn one_seat_too_many_is_noticed() {
    noticed(Fault::OneSeatTooMany, busy_lan, an_hour);
}

#[test]
fn forgotten_releases_are_noticed() {
    // Seats held for less than a request may be delayed: releases overtake the requests' retries.
    let start = || {
        let plan = Plan::seeded(5).loss(30).duplication(20).latency_ms(5..=2000).feature("cad", 1000);
        let mut lan = plan.check_every(50).start();
        for _ in 0..60 {
            let client = lan.client();
            lan.churn(client, "cad", (SECOND / 2, 2 * SECOND), (SECOND / 10, SECOND));
        }
        lan
    };
    let said = noticed(Fault::TombstonesForgotten, start, |lan| lan.try_run_for(10 * MINUTE));
    assert!(said.what.contains("given back and granted again"), "{said}");
}

#[test]
fn a_release_of_somebody_elses_claim_is_noticed() {
    let start = || Plan::seeded(6).feature("cad", 1).start();
    let said = noticed(Fault::ForeignRelease, start, |lan| {
        let seat = lan.checkout("cad", 1);
        lan.try_run_for(5 * SECOND)?;
        let claim: ClaimKey = lan.watched(seat).claim;
        let mut thief = Raw::new(lan, 0);
        thief.connect(lan);
        let operation = thief.operation();
        let release = thief.seal(&[ClientFrame::Release(Release { lease: LeaseId::NONE, claim, operation })], 0);
        thief.put(lan, release);
        lan.try_run_for(SECOND)
    });
    assert!(said.what.contains("under a holder that believes in it"), "{said}");
}

#[test]
fn an_answer_longer_than_its_question_to_an_unproved_address_is_noticed() {
    let names: Vec<String> = (0..40).map(|n| format!("a_feature_with_quite_a_long_name_{n}")).collect();
    let start = || names.iter().fold(Plan::seeded(7), |plan, name| plan.feature(name, 10)).start();
    let said = noticed(Fault::AmplificationUnchecked, start, |lan| {
        let mut raw = Raw::new(lan, 0);
        raw.connect(lan);
        raw.roam(lan);
        for _ in 0..20 {
            let operation = raw.operation();
            let query = ClientFrame::FeatureQuery(FeatureQuery { operation, only: None, after: None });
            let short = raw.seal(&[query], 0);
            raw.put(lan, short);
            lan.try_run_for(Duration::from_millis(100))?;
        }
        Ok(())
    });
    assert!(said.what.contains("unproved"), "{said}");
}
