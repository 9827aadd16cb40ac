//! Renewals that share a frame.

use std::collections::BTreeSet;

use leasehold_protocol::{
    message::{Activity, ClientFrame, RenewMany, RenewedMany},
    time::Mono,
};

use super::{
    super::{HolderEvent, LeaseHandle, LeaseState},
    lan::Lan,
};

const HOUR: u64 = 3_600_000;
/// The server's TTL less the margin, and its pace.
const TTL_MS: u64 = 297_000;
const EVERY_MS: u64 = 100_000;

/// A world with `n` leases that are held, and nothing heard yet.
fn holding(seed: u64, n: usize) -> (Lan, Vec<LeaseHandle>) {
    let mut lan = Lan::with_server(seed);
    lan.server().seats = n;
    lan.run_until(1_000, Lan::connected);
    let leases: Vec<_> = (0..n).map(|_| lan.checkout("cad")).collect();
    lan.run_until(1_000, |lan| leases.iter().all(|lease| lan.state(*lease) == Some(LeaseState::Healthy)));
    lan.server().heard.clear();
    (lan, leases)
}

/// Runs until the server has heard a datagram, and some milliseconds more.
fn run_to_the_next_datagram(lan: &mut Lan) {
    let heard = lan.servers[0].1.heard.len();
    lan.run_until(2 * EVERY_MS, |lan| lan.servers[0].1.heard.len() > heard);
}

fn frames_for_many(lan: &mut Lan) -> Vec<RenewMany> {
    let many =
        |frame: &ClientFrame| if let ClientFrame::RenewMany(many) = frame { Some((**many).clone()) } else { None };
    lan.server().frames().filter_map(many).collect()
}

fn deadline(lan: &Lan, lease: LeaseHandle) -> Option<Mono> {
    lan.holder.lease_info(lease).and_then(|info| info.deadline)
}

fn renewals_told(lan: &Lan) -> usize {
    lan.count(|event| matches!(event, HolderEvent::Renewed { .. }))
}

fn always_healthy(lan: &Lan, leases: &[LeaseHandle]) -> bool {
    leases.iter().all(|lease| lan.state(*lease) == Some(LeaseState::Healthy) && lan.states(*lease).len() == 1)
}

#[test]
fn leases_checked_out_together_are_renewed_in_one_frame_and_one_lease_in_a_frame_of_its_own() {
    let (mut lan, leases) = holding(1, 20);
    lan.run_for(HOUR);
    let frames = frames_for_many(&mut lan);
    assert!((33..=40).contains(&frames.len()), "{} frames at 100 s ± 10 %", frames.len());
    assert!(frames.iter().all(|many| many.leases.len() == 20));
    assert_eq!((lan.server().heard.len(), lan.server().frames().count()), (frames.len(), frames.len()));
    assert_eq!(renewals_told(&lan), 20 * frames.len());
    assert!(always_healthy(&lan, &leases));
    let operations: BTreeSet<_> = frames.iter().map(|many| many.operation).collect();
    assert_eq!(operations.len(), frames.len(), "each frame is an operation of its own");

    let (mut lan, _) = holding(1, 1);
    lan.run_for(HOUR);
    assert!(lan.server().frames().all(|frame| matches!(frame, ClientFrame::Renew(_))));
}

#[test]
fn leases_checked_out_at_any_time_are_in_step_after_a_few_renewals() {
    for seed in 0..20 {
        let mut lan = Lan::with_server(seed);
        lan.server().seats = 40;
        for n in 0..40 {
            lan.checkout("cad");
            lan.run_for(1_000 + seed * 13 * n % 11_000);
        }
        lan.run_for(3 * EVERY_MS);
        lan.server().heard.clear();
        lan.run_for(HOUR);
        let frames = frames_for_many(&mut lan);
        let all = frames.iter().filter(|many| many.leases.len() == 40).count();
        assert!(
            all + 2 >= frames.len() && lan.server().heard.len() == frames.len(),
            "seed {seed}: {all} of {frames:?}"
        );
        assert!((33..=42).contains(&frames.len()), "seed {seed}: {} frames", frames.len());
    }
}

#[test]
fn a_lease_is_not_renewed_before_a_third_of_its_pace_for_the_sake_of_others() {
    let (mut lan, _) = holding(2, 1);
    for _ in 0..200 {
        lan.run_for(17_000);
        if lan.server().leases.len() < 10 {
            lan.server().seats = 10;
            lan.checkout("cad");
        }
    }
    let mut last = std::collections::BTreeMap::new();
    for (at, event) in &lan.events {
        let (HolderEvent::Renewed { lease, .. } | HolderEvent::Granted { lease, .. }) = event else { continue };
        if let Some(before) = last.insert(*lease, *at) {
            assert!(at.ms_since(before) >= EVERY_MS / 3, "{lease:?} at {before:?} and at {at:?}");
        }
    }
    assert_eq!(last.len(), 10);
}

#[test]
fn a_hundred_and_fifty_leases_take_three_datagrams() {
    let (mut lan, leases) = holding(3, 150);
    run_to_the_next_datagram(&mut lan);
    lan.run_for(100);
    let frames = frames_for_many(&mut lan);
    assert_eq!(frames.iter().map(|many| many.leases.len()).collect::<Vec<_>>(), [64, 64, 22]);
    assert_eq!((lan.server().heard.len(), renewals_told(&lan)), (3, 150));
    let named: BTreeSet<_> = frames.iter().flat_map(|many| &many.leases).map(|one| one.lease).collect();
    assert_eq!(named.len(), 150);
    lan.run_for(HOUR);
    let datagrams = lan.server().heard.len();
    assert!(always_healthy(&lan, &leases) && datagrams <= 3 * 41, "{datagrams}: they stay together");
}

#[test]
fn leases_whose_holders_do_different_things_share_a_datagram_and_not_a_frame() {
    let (mut lan, leases) = holding(4, 6);
    let busy = Activity { idle_s: 0, busy: true, unsaved: false };
    let idle = Activity { idle_s: 900, busy: false, unsaved: true };
    leases[..2].iter().for_each(|lease| lan.holder.set_activity(*lease, busy));
    lan.holder.set_activity(leases[4], idle);
    run_to_the_next_datagram(&mut lan);
    lan.run_for(100);
    let [datagram] = &lan.server().heard[..] else { panic!("one datagram") };
    let said: Vec<_> = datagram
        .iter()
        .map(|frame| match frame {
            ClientFrame::RenewMany(many) => (many.activity, many.leases.len()),
            ClientFrame::Renew(renew) => (renew.activity, 1),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, [(Activity::default(), 3), (busy, 2), (idle, 1)]);
    assert_eq!(renewals_told(&lan), 6);
}

#[test]
fn after_a_lost_answer_the_leases_are_asked_for_in_a_new_frame_and_their_deadlines_count_from_it() {
    let (mut lan, leases) = holding(5, 3);
    lan.tamper = |_| Vec::new();
    run_to_the_next_datagram(&mut lan);
    let first = lan.now.0 - 1;
    lan.tamper = |bytes| vec![bytes];
    run_to_the_next_datagram(&mut lan);
    lan.run_for(10);
    let frames = frames_for_many(&mut lan);
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].leases, frames[1].leases);
    assert_ne!(frames[0].operation, frames[1].operation);
    for lease in leases {
        assert_eq!(deadline(&lan, lease), Some(Mono(first + 500 + TTL_MS)));
        assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
    }
    let took: Vec<_> = lan
        .events
        .iter()
        .filter_map(|(_, event)| if let HolderEvent::Renewed { took_ms, .. } = event { Some(*took_ms) } else { None })
        .collect();
    assert_eq!(took, [502; 3], "the wait is told from the first try on");
}

#[test]
fn a_late_answer_to_the_first_frame_counts_from_that_one_and_the_second_adds_nothing() {
    let (mut lan, leases) = holding(6, 3);
    lan.wire.delay_ms = (400, 400);
    run_to_the_next_datagram(&mut lan);
    let first = lan.now.0 - 400;
    lan.run_for(401);
    assert_eq!(renewals_told(&lan), 3);
    lan.run_for(2_000);
    assert_eq!((frames_for_many(&mut lan).len(), renewals_told(&lan)), (2, 3), "the second frame was answered too");
    assert!(leases.iter().all(|lease| deadline(&lan, *lease) == Some(Mono(first + TTL_MS))));
}

#[test]
fn leases_that_were_left_out_are_asked_for_one_by_one_at_once_and_go_with_the_others_again_later() {
    let (mut lan, leases) = holding(7, 4);
    let forgotten: Vec<_> = lan.server().leases.keys().take(2).copied().collect();
    lan.server().leases.retain(|claim, _| !forgotten.contains(claim));
    run_to_the_next_datagram(&mut lan);
    lan.run_for(10);
    let said: BTreeSet<_> = lan
        .server()
        .frames()
        .skip(1)
        .map(|frame| match frame {
            ClientFrame::Renew(alone) => ("renew", alone.claim),
            ClientFrame::Request(afresh) => ("request", afresh.claim),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(frames_for_many(&mut lan).iter().map(|many| many.leases.len()).collect::<Vec<_>>(), [4]);
    assert_eq!(said, ["renew", "request"].iter().flat_map(|verb| forgotten.iter().map(|c| (*verb, *c))).collect());
    assert_eq!(lan.server().frames().count(), 1 + 2 + 2);
    assert!(always_healthy(&lan, &leases), "the programs notice nothing");
    run_to_the_next_datagram(&mut lan);
    assert_eq!(frames_for_many(&mut lan).last().map(|many| many.leases.len()), Some(4));
}

#[test]
fn a_server_that_does_not_know_the_frame_gets_renewals_one_by_one_until_the_session_ends() {
    let (mut lan, leases) = holding(8, 30);
    lan.server().renews_many = false;
    run_to_the_next_datagram(&mut lan);
    lan.run_for(10);
    let lens: Vec<_> = lan.server().heard.iter().map(Vec::len).collect();
    assert_eq!(lens, [1, 26, 4], "asked again at once");
    assert_eq!(renewals_told(&lan), 30);
    lan.run_for(HOUR);
    assert_eq!(frames_for_many(&mut lan).len(), 1);
    assert!(always_healthy(&lan, &leases));

    lan.server().renews_many = true;
    lan.server().restart(true);
    lan.run_for(HOUR);
    assert!(frames_for_many(&mut lan).len() > 30, "the next session tries again");
    assert!(leases.iter().all(|lease| lan.state(*lease) == Some(LeaseState::Healthy)));
}

#[test]
fn an_answer_for_another_number_of_leases_or_to_another_frame_is_none() {
    let spoils: [fn(&mut RenewedMany); 2] = [|many| many.leases.truncate(2), |many| many.operation.0 ^= 1];
    for spoil in spoils {
        let (mut lan, leases) = holding(9, 3);
        lan.server().spoil_many = spoil;
        run_to_the_next_datagram(&mut lan);
        lan.run_for(1_000);
        assert_eq!(renewals_told(&lan), 0);
        assert!(leases.iter().all(|lease| matches!(lan.state(*lease), Some(LeaseState::Retrying { .. }))));
        lan.server().spoil_many = |_| {};
        lan.run_for(5_000);
        assert!(leases.iter().all(|lease| lan.state(*lease) == Some(LeaseState::Healthy)));
    }
}

#[test]
fn a_lease_released_while_its_frame_is_out_stays_released() {
    let (mut lan, leases) = holding(10, 3);
    lan.wire.delay_ms = (100, 100);
    run_to_the_next_datagram(&mut lan);
    lan.release(leases[1]);
    lan.run_for(1_000);
    assert_eq!(leases.iter().map(|lease| lan.state(*lease).is_some()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((renewals_told(&lan), lan.server().leases.len()), (2, 2));
}

#[test]
fn loss_doubles_and_reordering_lose_none_of_many_leases() {
    for seed in 0..4 {
        let (mut lan, leases) = holding(seed, 100);
        lan.wire.lost = 30;
        lan.wire.doubled = 20;
        lan.wire.delay_ms = (0, 200);
        lan.run_for(2 * HOUR);
        assert!(leases.iter().all(|lease| lan.states(*lease).iter().all(|(_, s)| s.is_held())), "seed {seed}");
        assert_eq!((lan.server().leases.len(), lan.server().requests().len()), (100, 0), "seed {seed}");
        // Frames that had to be repeated did not fall apart.
        let (datagrams, renewals) = (lan.server().heard.len(), renewals_told(&lan));
        assert!(renewals >= 100 * 66 && datagrams * 20 < renewals, "seed {seed}: {renewals} in {datagrams}");
    }
}
