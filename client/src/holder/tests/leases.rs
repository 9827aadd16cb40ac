//! Leases: asking, renewing, losing, regaining, giving back.

use std::time::Duration;

use leasehold_protocol::{
    message::{Activity, ClientFrame, FeatureLine, LicenceLine, ReleaseOutcome, ServerFrame, ServerGoodbye},
    time::Mono,
    vocab::{CertificateId, Denial, FeatureName, LeaseId, Version},
};

use super::{
    super::{HolderEvent, LeaseHandle, LeaseState, LossCause, Misbehaved},
    lan::{Lan, everybody, server_at},
    server::TestServer,
};

const HOUR: u64 = 3_600_000;

fn denied(code: Denial) -> impl Fn(&HolderEvent) -> bool {
    move |event| matches!(event, HolderEvent::Denied { deny, .. } if deny.code == code)
}

fn released(of: LeaseHandle, with: Option<ReleaseOutcome>) -> impl Fn(&HolderEvent) -> bool {
    move |event| matches!(event, HolderEvent::Released { lease, outcome } if *lease == of && *outcome == with)
}

#[test]
fn a_lease_is_found_asked_for_renewed_at_the_servers_pace_and_given_back() {
    let mut lan = Lan::with_server(1);
    let lease = lan.hold("cad");
    assert!(lan.now.0 < 1_100, "a broadcast, a handshake and a request take a few round trips");
    lan.run_for(HOUR);
    let renewals = lan.server().frames().filter(|f| matches!(f, ClientFrame::Renew(_))).count();
    assert!((33..=40).contains(&renewals), "{renewals} renewals at 100 s ± 10 %");
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));

    lan.release(lease);
    lan.run_for(1_000);
    assert_eq!(lan.count(released(lease, Some(ReleaseOutcome::Freed))), 1);
    assert_eq!((lan.state(lease), lan.server().leases.len()), (None, 0));
    assert_eq!(lan.holder.ignored(), 0);
}

#[test]
fn heavy_loss_doubles_and_reordering_lose_no_lease() {
    for seed in 0..8 {
        let mut lan = Lan::with_server(seed);
        lan.wire.lost = 30;
        lan.wire.doubled = 20;
        lan.wire.delay_ms = (0, 500);
        let lease = lan.checkout("cad");
        lan.run_until(60_000, |lan| lan.state(lease) == Some(LeaseState::Healthy));
        lan.run_for(2 * HOUR);
        assert!(lan.states(lease).iter().all(|(_, s)| s.is_held()), "seed {seed}: {:?}", lan.states(lease));
        let claims = lan.server().requests().iter().map(|r| r.claim).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((claims.len(), lan.server().leases.len()), (1, 1), "seed {seed}");
    }
}

#[test]
fn silence_goes_from_healthy_by_retrying_and_grace_to_lost_at_the_right_instants() {
    let mut lan = Lan::with_server(3);
    lan.server().grace_ms = 60_000;
    let lease = lan.hold("cad");
    let asked_at = lan.events.iter().find_map(|(at, e)| match e {
        HolderEvent::Granted { took_ms, .. } => Some(at.0 - took_ms),
        _ => None,
    });
    lan.server().up = false;
    lan.run_for(500_000);
    let states = lan.states(lease);
    let deadline = states.iter().find_map(|(at, s)| matches!(s, LeaseState::Grace { .. }).then_some(*at)).unwrap();
    assert_eq!(deadline.0, asked_at.unwrap() + 297_000, "from the first sending");
    let until = deadline.plus_ms(60_000);
    let LeaseState::Retrying { since } = states[1].1 else { panic!("{states:?}") };
    assert!((90_000..=111_000).contains(&since.0), "the first renewal is sent at a third of the TTL: {since:?}");
    assert_eq!(states[1].0, since.plus_ms(500), "and doubted when its second try goes out");
    assert_eq!(
        states[2..],
        [(deadline, LeaseState::Grace { until }), (until, LeaseState::Lost { at: until, why: LossCause::Unreachable })]
    );
}

#[test]
fn a_lost_lease_comes_back_under_the_same_claim() {
    let mut lan = Lan::with_server(4);
    let lease = lan.hold("cad");
    let claim = *lan.server().leases.keys().next().unwrap();
    lan.server().up = false;
    lan.run_for(400_000);
    assert!(matches!(lan.state(lease), Some(LeaseState::Lost { why: LossCause::Unreachable, .. })));
    lan.server().up = true;
    lan.server().restart(false);
    lan.run_until(15_000, |lan| lan.state(lease) == Some(LeaseState::Healthy));
    let last = lan.server().requests().last().map(|r| (r.claim, r.ticket.is_some())).unwrap();
    assert_eq!(last, (claim, false), "the same claim; its ticket is worth nothing any more, and is not shown");
    assert_eq!(lan.server().leases.len(), 1);
}

#[test]
fn a_server_that_restarted_is_found_again_within_five_seconds_of_the_first_unanswered_try() {
    for seed in 0..20 {
        let mut lan = Lan::with_server(seed);
        let lease = lan.hold("cad");
        lan.server().restart(true);
        let heard = lan.server().heard.len();
        lan.run_until(120_000, |lan| lan.servers[0].1.heard.len() > heard && lan.connected());
        lan.run_until(5_000, |lan| lan.count(|e| matches!(e, HolderEvent::Connected { .. })) >= 2);
        let tried = lan.states(lease).into_iter().find_map(|(_, s)| match s {
            LeaseState::Retrying { since } => Some(since),
            _ => None,
        });
        let took = lan.now.ms_since(tried.unwrap());
        assert!(took < 5_000, "seed {seed}: {took} ms");
        lan.run_for(1_000);
        assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
        assert_eq!(lan.server().leases.len(), 1);
    }
}

#[test]
fn a_short_ttl_gets_its_tries_before_its_deadline() {
    let mut lan = Lan::with_server(6);
    (lan.server().ttl_ms, lan.server().renew_after_ms) = (1_780, 666);
    let lease = lan.hold("cad");
    lan.run_for(60_000);
    assert_eq!(lan.states(lease).len(), 1, "healthy all the time");
    lan.server().restart(true);
    lan.run_for(10_000);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
    assert!(lan.states(lease).iter().all(|(_, s)| s.is_held()), "a restart fits into 1.8 s: {:?}", lan.states(lease));
}

#[test]
fn a_renewal_for_a_lease_the_server_forgot_becomes_a_request_in_the_next_round_trip() {
    let mut lan = Lan::with_server(7);
    let lease = lan.hold("cad");
    lan.server().leases.clear();
    lan.run_for(120_000);
    assert_eq!(lan.states(lease).len(), 1, "the program notices nothing");
    assert_eq!((lan.server().requests().len(), lan.server().leases.len()), (2, 1));
}

#[test]
fn a_denial_ends_a_checkout_and_keeps_codes_this_build_does_not_know() {
    let mut lan = Lan::with_server(8);
    lan.server().deny = Some((Denial(900), None));
    let lease = lan.checkout("cad");
    lan.run_for(1_000);
    assert_eq!((lan.count(denied(Denial(900))), lan.state(lease)), (1, None));
    let told = lan.events.iter().find_map(|(_, e)| match e {
        HolderEvent::Denied { deny, .. } => Some(deny.code.to_string()),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("denial-900"));
}

#[test]
fn a_right_that_ends_ends_the_lease_for_good_and_a_taken_seat_until_it_is_free() {
    let mut lan = Lan::with_server(9);
    let lease = lan.hold("cad");
    lan.server().deny = Some((Denial::EXPIRED, None));
    lan.run_for(120_000);
    assert!(matches!(lan.state(lease), Some(LeaseState::Lost { why: LossCause::Denied(Denial::EXPIRED), .. })));
    let asked = lan.server().heard.len();
    lan.run_for(HOUR);
    assert_eq!(lan.server().heard.len(), asked, "nothing is asked again");

    let mut lan = Lan::with_server(10);
    let lease = lan.hold("cad");
    lan.server().deny = Some((Denial::NO_SEAT, Some(2_000)));
    lan.run_for(150_000);
    assert!(matches!(lan.state(lease), Some(LeaseState::Lost { why: LossCause::Denied(Denial::NO_SEAT), .. })));
    lan.server().deny = None;
    lan.run_until(5_000, |lan| lan.state(lease) == Some(LeaseState::Healthy));
}

#[test]
fn a_restarting_server_costs_no_lease_that_is_still_within_its_deadline() {
    let mut lan = Lan::with_server(11);
    let lease = lan.hold("cad");
    lan.server().deny = Some((Denial::RESTARTING, Some(30_000)));
    lan.run_for(200_000);
    assert!(matches!(lan.state(lease), Some(LeaseState::Retrying { .. })), "{:?}", lan.state(lease));
    lan.server().deny = None;
    lan.run_for(40_000);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
}

#[test]
fn a_patient_checkout_asks_again_at_the_servers_hint_with_the_same_claim_and_a_new_operation() {
    let mut lan = Lan::with_server(12);
    lan.server().deny = Some((Denial::NO_SEAT, Some(4_000)));
    let lease = lan.patient_checkout("cad", Duration::from_secs(60));
    lan.run_for(30_000);
    let (asked, claims, operations) = {
        let requests = lan.server().requests();
        let claims: std::collections::BTreeSet<_> = requests.iter().map(|r| r.claim).collect();
        let operations: std::collections::BTreeSet<_> = requests.iter().map(|r| r.operation).collect();
        (requests.len(), claims.len(), operations.len())
    };
    assert_eq!((asked, claims, operations), (8, 1, 8), "at 0, 4, 8 ... 28 s");
    assert_eq!(lan.state(lease), Some(LeaseState::Asking));
    lan.server().deny = None;
    lan.run_until(4_100, |lan| lan.state(lease) == Some(LeaseState::Healthy));
}

#[test]
fn patience_ends_in_the_denial_and_a_denial_without_a_hint_ends_it_at_once() {
    let mut lan = Lan::with_server(13);
    lan.server().deny = Some((Denial::NO_SEAT, Some(40_000)));
    let lease = lan.patient_checkout("cad", Duration::from_secs(60));
    lan.run_for(59_000);
    assert_eq!(lan.count(denied(Denial::NO_SEAT)), 0);
    lan.run_for(2_000);
    assert_eq!((lan.count(denied(Denial::NO_SEAT)), lan.state(lease)), (1, None));
    assert_eq!(lan.server().requests().len(), 3, "at 0, 40 and, for the last time, 60 s");

    lan.server().deny = Some((Denial::NO_SUCH_FEATURE, None));
    lan.patient_checkout("cad", Duration::from_secs(60));
    lan.run_for(1_000);
    assert_eq!(lan.count(denied(Denial::NO_SUCH_FEATURE)), 1);
}

#[test]
fn an_abandoned_checkout_withdraws_what_it_asked() {
    let mut lan = Lan::with_server(14);
    lan.run_until(1_000, Lan::connected);
    let lease = lan.checkout("cad");
    lan.release(lease);
    lan.run_for(1_000);
    let release =
        lan.server().frames().find_map(|f| if let ClientFrame::Release(r) = f { Some(r.lease) } else { None });
    assert_eq!((release, lan.server().leases.len()), (Some(LeaseId::NONE), 0));
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::Granted { .. })), 0);

    let mut offline = Lan::new(1, super::lan::config());
    let never = offline.checkout("cad");
    offline.release(never);
    assert_eq!(offline.count(released(never, None)), 1, "nothing was asked, so nothing must be told");
}

#[test]
fn a_release_is_repeated_until_it_is_answered_or_the_lease_must_be_over() {
    let mut lan = Lan::with_server(15);
    let lease = lan.hold("cad");
    lan.server().up = false;
    lan.release(lease);
    lan.run_for(60_000);
    lan.server().up = true;
    lan.run_until(15_000, |lan| lan.state(lease).is_none());
    assert_eq!(lan.count(released(lease, Some(ReleaseOutcome::Freed))), 1);
    let operations: std::collections::BTreeSet<_> = lan
        .server()
        .frames()
        .filter_map(|f| match f {
            ClientFrame::Release(r) => Some(r.operation),
            _ => None,
        })
        .collect();
    assert_eq!(operations.len(), 1, "one operation, however often it is sent");

    let lease = lan.hold("cad");
    lan.server().up = false;
    lan.release(lease);
    lan.run_for(296_000);
    assert_eq!(lan.state(lease), Some(LeaseState::Released));
    lan.run_for(5_000);
    assert_eq!(lan.count(released(lease, None)), 1);
}

#[test]
fn a_request_is_as_long_as_the_longest_answer_to_it() {
    let mut lan = Lan::with_server(17);
    lan.hold("cad");
    lan.server().features = (0..9).map(|n| line(&format!("f{n}"))).collect();
    let now = lan.clock();
    lan.holder.query_features(now, None);
    lan.drain();
    lan.run_for(1_000);
    assert!(!lan.server().lengths.is_empty());
    assert!(lan.server().lengths.iter().all(|(asked, answered)| asked >= answered), "{:?}", lan.server().lengths);
}

fn line(name: &str) -> FeatureLine {
    let name = FeatureName::new(name).unwrap();
    FeatureLine { name, version: Version::ANY, count: Some(3), used: 1, next_end: None }
}

#[test]
fn all_pages_of_a_feature_query_come_as_one_list() {
    let mut lan = Lan::with_server(18);
    lan.wire.lost = 20;
    let names: Vec<String> = (0..7).map(|n| format!("feature{n}")).collect();
    lan.server().features = names.iter().map(|name| line(name)).collect();
    let now = lan.clock();
    let asked = lan.holder.query_features(now, None);
    lan.drain();
    lan.run_for(120_000);
    let found = lan.events.iter().find_map(|(_, event)| match event {
        HolderEvent::Features { operation, features } if *operation == asked => Some(features.clone()),
        _ => None,
    });
    assert_eq!(found.unwrap().iter().map(|f| f.name.to_string()).collect::<Vec<_>>(), names);
}

/// `count` licences of `feature`, told apart by their ids.
fn licences(feature: &str, count: u8) -> Vec<LicenceLine> {
    let line = |id| LicenceLine {
        feature: FeatureName::new(feature).unwrap(),
        certificate: CertificateId([id; 8]),
        version: Version::ANY,
        count: Some(3),
        upgraded_by: 1,
        overdraft: 0,
        used: 0,
        starts: None,
        ends: None,
        signed: vec![id; 20],
    };
    (0..count).map(line).collect()
}

fn licences_of(lan: &mut Lan) -> Vec<Option<Vec<LicenceLine>>> {
    let now = lan.clock();
    let asked = lan.holder.query_licences(now, None);
    lan.drain();
    lan.run_for(120_000);
    let found = lan.events.iter().filter_map(|(_, event)| match event {
        HolderEvent::Licences { operation, licences } if *operation == asked => Some(licences.clone()),
        _ => None,
    });
    found.collect()
}

#[test]
fn all_pages_of_a_licence_query_come_as_one_list_with_each_once() {
    let mut lan = Lan::with_server(22);
    lan.wire.lost = 20;
    let all = [licences("a", 1), licences("b", 9), licences("c", 2)].concat();
    lan.server().licences = Some(all.clone());
    assert_eq!(licences_of(&mut lan), [Some(all)]);
}

#[test]
fn a_server_that_does_not_know_the_question_is_not_asked_for_ever() {
    let mut lan = Lan::with_server(23);
    assert_eq!(licences_of(&mut lan), [None]);
    let asked = lan.server().frames().filter(|frame| matches!(frame, ClientFrame::LicenceQuery(_))).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_list_that_does_not_go_on_is_ended() {
    let mut lan = Lan::with_server(19);
    // Out of order: the second page starts before the first one ended, for ever.
    lan.server().features = ["b", "a", "d", "c"].map(line).to_vec();
    lan.server().features_per_page = 1;
    let now = lan.clock();
    lan.holder.query_features(now, None);
    lan.drain();
    lan.run_for(60_000);
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::Features { .. })), 1);
}

#[test]
fn a_grant_for_other_seats_than_asked_is_given_back_and_told() {
    let mut lan = Lan::with_server(20);
    lan.server().spoil = |grant| grant.seats = leasehold_protocol::vocab::SeatCount::new(3).unwrap();
    let lease = lan.checkout("cad");
    lan.run_for(1_000);
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::Misbehaved { what: Misbehaved::SeatCount { .. }, .. })), 1);
    assert_eq!((lan.state(lease), lan.server().leases.len()), (None, 0));
}

#[test]
fn a_goodbye_is_told_and_the_first_silence_after_it_is_believed() {
    let mut lan = Lan::with_server(21);
    lan.servers.push((server_at(2), TestServer::new(99)));
    lan.servers[1].1.up = false;
    let lease = lan.hold("cad");
    lan.announce(&ServerFrame::Goodbye(ServerGoodbye { code: Denial::SHUTTING_DOWN, back_in_ms: Some(9) }));
    lan.run_for(100);
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::ServerGoodbye { back_in_ms: Some(9), .. })), 1);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
    lan.server().up = false;
    lan.servers[1].1.up = true;
    lan.run_for(120_000);
    assert_eq!((lan.state(lease), lan.servers[1].1.leases.len()), (Some(LeaseState::Healthy), 1), "it moved");
    assert!(lan.states(lease).iter().all(|(_, s)| s.is_held()));
    let renewals = lan.servers[1].1.frames().filter(|f| matches!(f, ClientFrame::Renew(_))).count();
    let requests = lan.servers[1].1.requests().len();
    assert!(requests == 1 && renewals == 0, "a stranger is asked, not sent another's lease id");
}

#[test]
fn closing_gives_everything_back_and_says_goodbye() {
    let mut lan = Lan::with_server(22);
    let leases = [lan.hold("cad"), lan.hold("cam"), lan.checkout("sim")];
    lan.wire.lost = 30;
    let now = lan.clock();
    lan.holder.close(now);
    lan.drain();
    lan.run_until(60_000, |lan| lan.count(|e| *e == HolderEvent::Closed) == 1);
    assert!(lan.server().leases.is_empty() && leases.iter().all(|l| lan.state(*l).is_none()));
    assert!(matches!(lan.events.last(), Some((_, HolderEvent::Closed))));
    lan.run_for(HOUR);
    assert_eq!(lan.holder.poll_timeout(), None, "and rests");
}

#[test]
fn a_machine_that_slept_past_its_deadline_says_so_and_asks_at_once() {
    let mut lan = Lan::with_server(23);
    let lease = lan.hold("cad");
    lan.server().leases.clear();
    // Both clocks move: this is sleep, and the session stays.
    lan.now = lan.now.plus_ms(8 * HOUR);
    let now = lan.clock();
    lan.holder.resumed(now);
    lan.drain();
    assert!(matches!(lan.state(lease), Some(LeaseState::Lost { .. })));
    lan.run_until(1_000, |lan| lan.state(lease) == Some(LeaseState::Healthy));
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::Connected { .. })), 1);
}

#[test]
fn activity_goes_out_with_the_next_renewal() {
    let mut lan = Lan::with_server(24);
    let lease = lan.hold("cad");
    let activity = Activity { idle_s: 40, busy: true, unsaved: false };
    lan.holder.set_activity(lease, activity);
    lan.run_for(120_000);
    let told = lan.server().frames().find_map(|f| if let ClientFrame::Renew(r) = f { Some(r.activity) } else { None });
    assert_eq!(told, Some(activity));
}

#[test]
fn a_pace_set_for_load_replaces_the_servers() {
    let mut lan = Lan::with_server(25);
    lan.holder.renew_every(Some(Duration::from_secs(1)));
    lan.hold("cad");
    lan.run_for(100_000);
    let renewals = lan.server().frames().filter(|f| matches!(f, ClientFrame::Renew(_))).count();
    assert!((90..=112).contains(&renewals), "{renewals}");
}

#[test]
fn an_answer_that_comes_after_its_own_deadline_is_asked_for_again_and_not_in_a_circle() {
    let mut lan = Lan::with_server(26);
    lan.run_until(1_000, Lan::connected);
    lan.server().ttl_ms = 300;
    lan.wire.delay_ms = (400, 400);
    let lease = lan.checkout("cad");
    lan.run_for(20_000);
    assert_eq!(lan.state(lease), Some(LeaseState::Asking));
    assert!(lan.server().requests().len() < 60, "{}", lan.server().requests().len());
    assert_eq!(lan.now, Mono(lan.now.0));
    lan.connect(everybody());
}

#[test]
fn a_hint_of_nothing_makes_no_flood_and_a_short_one_is_followed_promptly() {
    let mut lan = Lan::with_server(27);
    lan.server().deny = Some((Denial::NO_SEAT, Some(0)));
    let lease = lan.patient_checkout("cad", Duration::from_secs(60));
    lan.run_for(10_000);
    let asked = lan.server().requests().len();
    assert!(asked < 400, "{asked} in 10 s");
    lan.server().deny = None;
    lan.run_until(50, |lan| lan.state(lease) == Some(LeaseState::Healthy));
}
