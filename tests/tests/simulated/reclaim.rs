//! Idle seats go to those who wait, on a bad network and with programs that do not answer: and nobody is granted a seat that
//! another program believes it has, which the world looks at after every step.

use std::time::Duration;

use leasehold_core::policy::{Group, Groups, Policy, Reclaim, Rules};
use leasehold_protocol::message::Activity;
use leasehold_tests::{Lan, MINUTE, Plan, SECOND, Seat};

const PATIENT: Duration = Duration::from_secs(3_600);
const IDLE: Activity = Activity { idle_s: 1_000, busy: false, unsaved: false };
const NOTICE_S: u32 = 20;

fn policy() -> Policy {
    let everyone = Group { everyone: true, ..Group::default() };
    let (id, idle_s, notice_s) = ("idle".into(), 900, NOTICE_S);
    let reclaims = vec![Reclaim { id, idle_s, notice_s, busy_max_s: None, group: 0, features: None }];
    Policy::new(Groups::new(vec![everyone], true).unwrap(), Rules { reclaims, ..Rules::default() })
}

/// Three seats of a TTL of `ttl_s`, all out; the first two are idle, and the server knows.
fn office(plan: Plan, ttl_s: u32) -> (Lan, Vec<Seat>) {
    let mut lan = plan.feature_with("cad", 3, ttl_s, 0).start();
    lan.servers[0].shared().unwrap().set_policy(policy());
    let seats: Vec<Seat> = (0..3).map(|_| lan.checkout("cad", 1)).collect();
    assert!(lan.run_until(MINUTE, |lan| seats.iter().all(|seat| lan.holds(*seat))));
    seats[..2].iter().for_each(|seat| lan.set_activity(*seat, IDLE));
    // With the next renewal.
    lan.run_for(Duration::from_secs(ttl_s.into()));
    assert!(seats.iter().all(|seat| lan.holds(*seat)), "nobody waits: nobody is disturbed");
    (lan, seats)
}

fn wait(lan: &mut Lan) -> Seat {
    let client = lan.client();
    lan.checkout_in_turn(client, "cad", 1, PATIENT)
}

#[test]
fn r_14_idle_seats_are_given_back_within_the_notice_whatever_is_lost() {
    for seed in 0..8 {
        let plan = Plan::seeded(900 + seed).workers(2).loss(20).duplication(5).latency_ms(1..=60);
        let (mut lan, seats) = office(plan, 300);
        let waiting = [wait(&mut lan), wait(&mut lan), wait(&mut lan)];
        // What is lost is said again every five seconds; a release and a grant may take some tries.
        let served = |lan: &Lan| waiting.iter().filter(|seat| lan.holds(**seat)).count();
        assert!(lan.run_until(Duration::from_secs(u64::from(NOTICE_S) + 15), |lan| served(lan) == 2), "seed {seed}");
        lan.run_for(5 * MINUTE);
        assert_eq!((served(&lan), lan.holds(seats[2])), (2, true), "seed {seed}: who is at work keeps his seat");
        assert!(!lan.holds(seats[0]) && !lan.holds(seats[1]));
        lan.release(seats[2]);
        assert!(lan.run_until(MINUTE, |lan| served(lan) == 3), "seed {seed}");
        lan.check_ledger();
    }
}

#[test]
fn r_14_whoever_is_back_at_work_keeps_his_seat() {
    for seed in 0..8 {
        let plan = Plan::seeded(920 + seed).workers(2).loss(10).latency_ms(1..=40);
        let (mut lan, seats) = office(plan, 300);
        let waiting = wait(&mut lan);
        // One is asked, and is at work again before his time is up; then so is the other.
        lan.run_for(5 * SECOND);
        seats[..2].iter().for_each(|seat| lan.set_activity(*seat, Activity { idle_s: 1, ..IDLE }));
        lan.run_for(3 * MINUTE);
        assert!(seats.iter().all(|seat| lan.holds(*seat)) && !lan.holds(waiting), "seed {seed}");
        lan.set_activity(seats[0], IDLE);
        // It is told with the next renewal, or at once if he was asked.
        assert!(lan.run_until(5 * MINUTE, |lan| lan.holds(waiting)), "seed {seed}");
        assert!(!lan.holds(seats[0]) && lan.holds(seats[1]));
        lan.check_ledger();
    }
}

#[test]
fn r_14_the_seat_of_a_program_that_is_cut_off_is_free_at_its_deadline_and_not_before() {
    for seed in 0..4 {
        let (mut lan, seats) = office(Plan::seeded(940 + seed).workers(2), 60);
        seats[..2].iter().for_each(|seat| lan.cut(seat.client, true));
        let waiting = wait(&mut lan);
        lan.run_for(Duration::from_secs(25));
        assert!(!lan.holds(waiting), "seed {seed}: both believe they have theirs");
        assert!(lan.run_until(MINUTE, |lan| lan.holds(waiting)), "seed {seed}");
        lan.check_ledger();
    }
}
