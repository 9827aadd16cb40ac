//! Idle seats go to those who wait, once their holders were asked (R-14, PO-26).

use leasehold_core::{
    Event,
    policy::{Group, Groups, Policy, Reclaim, Rules},
};
use leasehold_protocol::{
    Entropy,
    message::{Activity, ClientFrame, Deny, Grant, LetGo, RenewMany, Renewed, ServerFrame},
    vocab::{ClaimKey, Denial, LeaseId},
};

use crate::rig::{Hall, Lot, Seeded};

const IDLE: Activity = Activity { idle_s: 600, busy: false, unsaved: false };
const AT_WORK: Activity = Activity { idle_s: 5, busy: false, unsaved: false };

/// Idle for ten minutes, ten seconds' notice.
fn rule(busy_max_s: Option<u32>) -> Reclaim {
    Reclaim { id: "idle".into(), idle_s: 600, notice_s: 10, busy_max_s, group: 0, features: None }
}

fn policy(rule: Reclaim) -> Policy {
    let everyone = Group { everyone: true, ..Group::default() };
    Policy::new(Groups::new(vec![everyone], true).unwrap(), Rules { reclaims: vec![rule], ..Rules::default() })
}

fn hall(lots: &[Lot], clients: u8) -> Hall {
    let hall = Hall::new(lots, clients);
    hall.site.shared.set_policy(policy(rule(None)));
    hall
}

/// Renews and says what the holder is doing; what was said besides.
fn renew(hall: &mut Hall, n: usize, grant: &Grant, activity: Activity) -> (Result<Renewed, Box<Deny>>, Option<LetGo>) {
    let ClientFrame::Renew(mut frame) = hall.clients[n].renew_frame(grant.lease, grant.claim) else { panic!() };
    frame.activity = activity;
    let (first, mut told) = (hall.ask(n, &ClientFrame::Renew(frame)), None);
    let answer = match first {
        ServerFrame::LetGo(before) => {
            told = Some(*before);
            hall.heard
                .get_mut(&hall.clients[n].from)
                .and_then(std::collections::VecDeque::pop_front)
                .expect("an answer")
        }
        answer => answer,
    };
    let answer = match answer {
        ServerFrame::Renewed(renewed) => Ok(renewed),
        ServerFrame::Deny(deny) => Err(deny),
        other => panic!("{other:?}"),
    };
    assert_eq!(plea(hall, n), None, "what is asked comes before the answer");
    (answer, told)
}

/// The LET_GO that client `n` has heard last.
fn plea(hall: &mut Hall, n: usize) -> Option<LetGo> {
    let from = hall.clients[n].from;
    let heard = hall.heard.entry(from).or_default();
    let mut last = None;
    heard.retain(|frame| match frame {
        ServerFrame::LetGo(told) => {
            last = Some((**told).clone());
            false
        }
        _ => true,
    });
    last
}

/// Lets `s` seconds go by, in which client `n` keeps his place.
fn wait(hall: &mut Hall, n: usize, claim: ClaimKey, s: u64) {
    for _ in 0..s {
        hall.advance(1_000);
        if hall.unasked_is_there(n) {
            return;
        }
        hall.wait(n, claim, 1);
    }
}

fn reclaimed(hall: &Hall) -> Vec<(LeaseId, String)> {
    let of = |event: &Event| match event {
        Event::Reclaimed(taken) => Some((taken.lease, taken.rule.clone())),
        _ => None,
    };
    hall.site.events.iter().filter_map(of).collect()
}

#[test]
fn po_26_an_idle_seat_is_asked_for_and_taken_once_somebody_waits() {
    let mut hall = hall(&[Lot::of("A", 1).ttl_s(300)], 2);
    let held = hall.request(0, 1).grant();
    assert_eq!(renew(&mut hall, 0, &held, IDLE).1, None);
    // Nobody waits: whatever the rule says, nobody is disturbed.
    hall.advance(120_000);
    assert_eq!((plea(&mut hall, 0), renew(&mut hall, 0, &held, IDLE).1), (None, None));
    assert_eq!(hall.site.engine.poll_timeout().map(|at| at > hall.site.now.mono), Some(true));

    let claim = hall.queue(1, 1);
    hall.advance(250);
    let told = plea(&mut hall, 0).unwrap();
    assert_eq!((told.lease, told.claim, told.in_ms, &*told.rule), (held.lease, held.claim, Some(10_000), "idle"));
    assert_eq!(told.waiting, 1);
    // It may have been lost: each renewal brings it again, with what is left.
    wait(&mut hall, 1, claim, 4);
    let again = renew(&mut hall, 0, &held, IDLE).1.unwrap();
    assert!((5_000..=6_000).contains(&again.in_ms.unwrap()), "{again:?}");
    wait(&mut hall, 1, claim, 7);
    assert_eq!(reclaimed(&hall), [(held.lease, "idle".to_owned())]);
    assert_eq!((hall.site.counter("reclaimed"), hall.site.counter("let_go_asked")), (1, 1));

    // Whoever was not heard of keeps what he was promised; it is renewed no more, whatever he says now.
    assert!(hall.unasked(1).is_none());
    for activity in [IDLE, AT_WORK] {
        let denied = renew(&mut hall, 0, &held, activity).0.unwrap_err();
        assert_eq!((denied.code, &*denied.rule), (Denial::RECLAIMED, "policy rule idle"));
        assert_eq!(denied.retry_after_ms, None);
    }
    let request = hall.clients[0].request_frame(held.claim, "A", 1);
    let again = hall.told(0, &ClientFrame::Request(Box::new(request))).denied();
    assert_eq!(again.code, Denial::RECLAIMED, "nor by asking afresh");
    // Somebody else is told nothing of it.
    let strange = Grant { claim: ClaimKey([9; 16]), ..held.clone() };
    assert_eq!(renew(&mut hall, 1, &strange, IDLE).0.unwrap_err().code, Denial::NO_SUCH_LEASE);
    // Whoever was, lets go.
    hall.release(0, &held);
    let grant = hall.unasked(1).expect("in turn");
    assert_eq!(grant.claim, claim);
    assert!(hall.request(0, 1).denied().code == Denial::NO_SEAT && plea(&mut hall, 1).is_none());
}

#[test]
fn po_26_the_seat_of_a_program_that_does_not_answer_is_free_at_its_deadline() {
    let mut hall = hall(&[Lot::of("A", 1).ttl_s(60)], 2);
    let held = hall.request(0, 1).grant();
    renew(&mut hall, 0, &held, IDLE).0.unwrap();
    let claim = hall.queue(1, 1);
    wait(&mut hall, 1, claim, 59);
    assert!(hall.unasked(1).is_none());
    assert_eq!(renew(&mut hall, 0, &held, IDLE).0.unwrap_err().code, Denial::RECLAIMED);
    wait(&mut hall, 1, claim, 2);
    assert_eq!(hall.unasked(1).expect("in turn").claim, claim);
    assert_eq!(renew(&mut hall, 0, &held, IDLE).0.unwrap_err().code, Denial::NO_SUCH_LEASE);
}

#[test]
fn r_14_who_is_at_work_again_keeps_his_seat_and_so_does_everybody_if_nobody_waits_any_more() {
    let mut hall = hall(&[Lot::of("A", 1).ttl_s(300)], 2);
    let held = hall.request(0, 1).grant();
    renew(&mut hall, 0, &held, IDLE).0.unwrap();
    let claim = hall.queue(1, 1);
    hall.advance(250);
    assert!(plea(&mut hall, 0).is_some());
    let (renewed, told) = renew(&mut hall, 0, &held, AT_WORK);
    assert!(renewed.is_ok() && told.is_none(), "{told:?}");
    wait(&mut hall, 1, claim, 20);
    assert!(hall.unasked(1).is_none() && reclaimed(&hall).is_empty());
    // Idle again: asked again, with all of the notice.
    assert!(renew(&mut hall, 0, &held, IDLE).0.is_ok());
    hall.advance(500);
    assert_eq!(plea(&mut hall, 0).unwrap().in_ms, Some(10_000));
    // He who waited goes.
    hall.advance(9_000);
    let operation = hall.clients[1].operation();
    let release = leasehold_protocol::message::Release { lease: LeaseId::NONE, claim, operation };
    hall.ask(1, &ClientFrame::Release(release));
    hall.advance(500);
    assert_eq!(plea(&mut hall, 0).unwrap().in_ms, None, "never mind");
    hall.advance(10_000);
    assert!(renew(&mut hall, 0, &held, IDLE).0.is_ok() && reclaimed(&hall).is_empty());
}

#[test]
fn po_27_idle_is_what_the_program_says_and_not_whether_it_renews() {
    let mut hall = hall(&[Lot::of("A", 2).ttl_s(60)], 3);
    let (open, quiet) = (hall.request(0, 1).grant(), hall.request(1, 1).grant());
    let claim = hall.queue(2, 1);
    // Both renew as they must: one whose user went away an hour ago and says so, and one that never says anything.
    for _ in 0..6 {
        wait(&mut hall, 2, claim, 5);
        if reclaimed(&hall).is_empty() {
            assert!(renew(&mut hall, 0, &open, Activity { idle_s: 3_600, ..AT_WORK }).0.is_ok());
        }
        let (renewed, told) = renew(&mut hall, 1, &quiet, Activity::default());
        assert!(renewed.is_ok() && told.is_none(), "it is never idle");
    }
    assert_eq!(reclaimed(&hall), [(open.lease, "idle".to_owned())]);
}

#[test]
fn r_14_a_rule_that_is_in_force_no_more_asks_for_nothing() {
    let mut hall = hall(&[Lot::of("A", 1).ttl_s(300)], 2);
    let held = hall.request(0, 1).grant();
    renew(&mut hall, 0, &held, IDLE).0.unwrap();
    let claim = hall.queue(1, 1);
    hall.advance(250);
    assert!(plea(&mut hall, 0).is_some());
    hall.site.shared.set_policy(Policy::default());
    hall.advance(500);
    assert_eq!(plea(&mut hall, 0).unwrap().in_ms, None, "never mind");
    wait(&mut hall, 1, claim, 20);
    assert!(reclaimed(&hall).is_empty() && renew(&mut hall, 0, &held, IDLE).0.is_ok());
}

#[test]
fn r_14_busy_and_unsaved_are_left_alone_until_their_limit() {
    for (busy, unsaved) in [(true, false), (false, true)] {
        let mut hall = hall(&[Lot::of("A", 1).ttl_s(300)], 2);
        let held = hall.request(0, 1).grant();
        renew(&mut hall, 0, &held, Activity { idle_s: 100_000, busy, unsaved }).0.unwrap();
        let claim = hall.queue(1, 1);
        wait(&mut hall, 1, claim, 30);
        assert!(plea(&mut hall, 0).is_none() && reclaimed(&hall).is_empty(), "without a limit never");
        hall.site.shared.set_policy(policy(rule(Some(3_600))));
        renew(&mut hall, 0, &held, Activity { idle_s: 3_599, busy, unsaved }).0.unwrap();
        wait(&mut hall, 1, claim, 15);
        assert!(plea(&mut hall, 0).is_none() && reclaimed(&hall).is_empty(), "not before the limit");
        renew(&mut hall, 0, &held, Activity { idle_s: 3_600, busy, unsaved }).0.unwrap();
        wait(&mut hall, 1, claim, 15);
        assert_eq!(reclaimed(&hall).len(), 1);
        hall.release(0, &held);
        assert!(hall.unasked(1).is_some());
    }
}

#[test]
fn r_14_the_most_idle_are_asked_first_and_no_more_than_are_needed() {
    let mut hall = hall(&[Lot::of("A", 4).ttl_s(300)], 6);
    let held: Vec<Grant> = (0..4).map(|n| hall.request(n, 1).grant()).collect();
    for (n, idle_s) in [(0, 700), (1, 900), (2, 650), (3, 10)] {
        renew(&mut hall, n, &held[n], Activity { idle_s, ..IDLE }).0.unwrap();
    }
    let claims = [hall.queue(4, 1), hall.queue(5, 1)];
    hall.advance(250);
    let asked: Vec<bool> = (0..4).map(|n| plea(&mut hall, n).is_some()).collect();
    assert_eq!(asked, [true, true, false, false]);
    // One lets go at once: the other one is needed still, and nobody else.
    hall.release(1, &held[1]);
    assert!(hall.unasked(4).is_some());
    wait(&mut hall, 5, claims[1], 11);
    assert_eq!(reclaimed(&hall), [(held[0].lease, "idle".to_owned())]);
    hall.release(0, &held[0]);
    assert!(hall.unasked(5).is_some() && plea(&mut hall, 2).is_none());
}

#[test]
fn r_14_the_most_idle_of_thousands_is_found_in_bounded_turns() {
    let mut hall = hall(&[Lot::of("A", 3_000).ttl_s(300)], 2);
    let held: Vec<Grant> = (0..3_000).map(|_| hall.request(0, 1).grant()).collect();
    renew(&mut hall, 0, &held[5], IDLE).0.unwrap();
    renew(&mut hall, 0, &held[2_900], Activity { idle_s: 900, ..IDLE }).0.unwrap();
    hall.queue(1, 1);
    hall.advance(10);
    assert_eq!(plea(&mut hall, 0), None, "not all were looked at yet");
    hall.advance(100);
    assert_eq!(plea(&mut hall, 0).unwrap().lease, held[2_900].lease);
}

#[test]
fn r_14_a_seat_that_would_not_serve_who_waits_is_not_asked_for() {
    let mut hall =
        hall(&[Lot::of("A", 1).version("5.0").ttl_s(300), Lot::of("A", 1).version("1.0").serial("old").ttl_s(300)], 3);
    // Of the old version: whoever waits wants 4.8.
    let claim = hall.clients[0].claim();
    let mut request = hall.clients[0].request_frame(claim, "A", 1);
    request.version = "1.0".parse().unwrap();
    let new = hall.request(1, 1).grant();
    let old = hall.told(0, &ClientFrame::Request(Box::new(request))).grant();
    renew(&mut hall, 0, &old, IDLE).0.unwrap();
    renew(&mut hall, 1, &new, AT_WORK).0.unwrap();
    let claim = hall.queue(2, 1);
    wait(&mut hall, 2, claim, 20);
    assert!(plea(&mut hall, 0).is_none() && reclaimed(&hall).is_empty());
}

#[test]
fn r_14_leases_renewed_together_are_asked_one_by_one() {
    let mut hall = hall(&[Lot::of("A", 2).ttl_s(300)], 2);
    let held = [hall.request(0, 1).grant(), hall.request(0, 1).grant()];
    held.iter().for_each(|grant| renew(&mut hall, 0, grant, IDLE).0.map(drop).unwrap());
    hall.queue(1, 1);
    hall.advance(250);
    let told = plea(&mut hall, 0).unwrap();
    let leases = held
        .iter()
        .map(|grant| leasehold_protocol::message::Claimed { lease: grant.lease, proof: grant.claim.fold() })
        .collect();
    let operation = hall.clients[0].operation();
    let many = RenewMany { operation, activity: IDLE, leases };
    let ServerFrame::LetGo(again) = hall.ask(0, &ClientFrame::RenewMany(Box::new(many))) else { panic!() };
    assert_eq!(again.lease, told.lease);
    let heard = hall.heard.get_mut(&hall.clients[0].from).unwrap();
    let Some(ServerFrame::RenewedMany(said)) = heard.pop_front() else { panic!("the other one is not needed") };
    assert!(said.leases.iter().all(Option::is_some));
}

/// Random days: people who come, wait, work, rest and go, and a rule for idle seats. Never a seat too many, never one that was at work
/// taken, and whoever waits is served when a seat is idle long enough.
#[test]
fn r_14_on_random_days_nobody_at_work_loses_a_seat() {
    let (mut taken, mut kept) = (0, 0);
    for seed in 0..12 {
        let mut hall = hall(&[Lot::of("A", 3).ttl_s(60)], 6);
        let mut dice = Seeded(seed);
        let mut dice = |sides: u64| usize::try_from(dice.next_u64() % sides).unwrap();
        let mut held: Vec<Option<(Grant, Activity)>> = vec![None; 6];
        let mut waits: Vec<Option<ClaimKey>> = vec![None; 6];
        for _ in 0..400 {
            let n = dice(6);
            match (held[n].clone(), waits[n]) {
                (Some((grant, _)), _) => {
                    let activity = [IDLE, AT_WORK, Activity { busy: true, ..IDLE }][dice(3)];
                    match renew(&mut hall, n, &grant, activity).0 {
                        Ok(_) => held[n] = Some((grant, activity)),
                        Err(_) => held[n] = None,
                    }
                    if held[n].is_some() && dice(12) == 0 {
                        let (grant, _) = held[n].take().unwrap();
                        hall.release(n, &grant);
                    }
                }
                (None, Some(claim)) => {
                    if let crate::rig::Told::Grant(grant) = hall.wait(n, claim, 1) {
                        (held[n], waits[n]) = (Some((*grant, Activity::default())), None);
                    }
                }
                (None, None) => {
                    let claim = hall.clients[n].claim();
                    match hall.wait(n, claim, 1) {
                        crate::rig::Told::Grant(grant) => held[n] = Some((*grant, Activity::default())),
                        _ => waits[n] = Some(claim),
                    }
                }
            }
            let before = reclaimed(&hall).len();
            hall.advance(500 + dice(2_000) as u64);
            for (lease, _) in reclaimed(&hall)[before..].to_vec() {
                let of =
                    |held: &Option<(Grant, Activity)>| held.as_ref().is_some_and(|(grant, _)| grant.lease == lease);
                if let Some(n) = held.iter().position(of) {
                    let (grant, activity) = held[n].take().unwrap();
                    assert!(rule(None).takes(activity), "{activity:?}");
                    // Half of them let go, the others are not heard of any more.
                    if dice(2) == 0 {
                        hall.release(n, &grant);
                    }
                }
                taken += 1;
            }
            for n in 0..6 {
                if let Some(grant) = hall.unasked(n)
                    && waits[n] == Some(grant.claim)
                {
                    (held[n], waits[n]) = (Some((grant, Activity::default())), None);
                    kept += 1;
                }
            }
            hall.site.shared.check_ledger().unwrap();
            assert!(hall.site.feature("A").used <= 3);
        }
    }
    assert!(taken > 20 && kept > 20, "{taken} taken, {kept} granted in turn");
}
