//! Waiting in a server's queue.

use std::time::Duration;

use leasehold_protocol::{
    message::{ClientFrame, Wait},
    vocab::Denial,
};

use super::{
    super::{HolderEvent, LeaseHandle, LeaseState, Place},
    lan::Lan,
};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// A LAN whose server has one seat, which is out.
fn full(seed: u64) -> Lan {
    let mut lan = Lan::with_server(seed);
    lan.server().seats = 1;
    lan.hold("cad");
    lan
}

fn waits(lan: &mut Lan) -> Vec<Wait> {
    lan.server()
        .frames()
        .filter_map(|f| if let ClientFrame::Wait(wait) = f { Some((**wait).clone()) } else { None })
        .collect()
}

fn places(lan: &Lan, of: LeaseHandle) -> Vec<Place> {
    let place = |event: &HolderEvent| match event {
        HolderEvent::Queued { lease, place, .. } if *lease == of => Some(*place),
        _ => None,
    };
    lan.events.iter().filter_map(|(_, event)| place(event)).collect()
}

#[test]
fn a_checkout_waits_keeps_its_place_and_has_the_grant_the_moment_it_is_told() {
    let mut lan = full(1);
    let lease = lan.checkout_in_turn("cad", TEN_MINUTES);
    lan.run_for(30_500);
    assert_eq!(lan.state(lease), Some(LeaseState::Asking));
    let told = places(&lan, lease);
    assert!((25..=32).contains(&told.len()), "about once a second: {}", told.len());
    let first = told[0];
    assert_eq!(
        (first.place, first.length, first.expected, first.why),
        (1, 1, Some(Duration::from_secs(7)), Denial::NO_SEAT)
    );
    let grant = lan.server().serve_next(13_350);
    lan.announce(&grant);
    lan.run_for(200);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy), "well before it would have asked again");
    lan.run_for(100_000);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy), "renewed before the fifteen seconds were over");
    assert_eq!(lan.server().leases.len(), 2);
}

#[test]
fn a_grant_that_is_lost_is_found_by_asking_again() {
    let mut lan = full(2);
    let lease = lan.checkout_in_turn("cad", TEN_MINUTES);
    lan.run_for(5_000);
    drop(lan.server().serve_next(13_350));
    lan.run_for(1_500);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
}

#[test]
fn a_grant_told_twice_or_after_another_place_is_one_lease() {
    let mut lan = full(3);
    lan.wire.doubled = 50;
    lan.wire.delay_ms = (0, 900);
    let lease = lan.checkout_in_turn("cad", TEN_MINUTES);
    lan.run_for(20_000);
    let grant = lan.server().serve_next(13_350);
    lan.announce(&grant);
    lan.announce(&grant);
    lan.run_for(60_000);
    assert!(lan.states(lease).iter().all(|(_, state)| state.is_held()), "{:?}", lan.states(lease));
    assert_eq!(lan.server().leases.len(), 2);
}

#[test]
fn at_the_end_of_its_patience_it_asks_once_without_a_queue_and_leaves_it() {
    let mut lan = full(4);
    let lease = lan.checkout_in_turn("cad", Duration::from_secs(20));
    lan.run_for(25_000);
    assert_eq!(lan.state(lease), None);
    let denied =
        |event: &HolderEvent| matches!(event, HolderEvent::Denied { deny, .. } if deny.code == Denial::NO_SEAT);
    assert_eq!(lan.count(denied), 1);
    let last =
        lan.server().frames().filter(|f| matches!(f, ClientFrame::Wait(_) | ClientFrame::Request(_))).last().cloned();
    assert!(matches!(last, Some(ClientFrame::Request(_))), "{last:?}");
    lan.run_for(5_000);
    assert_eq!(lan.server().waiting.len(), 0, "a WAIT that was held up cannot bring it back");
}

#[test]
fn who_gives_up_leaves_the_queue() {
    let mut lan = full(5);
    let lease = lan.checkout_in_turn("cad", TEN_MINUTES);
    lan.run_for(3_000);
    assert_eq!(lan.server().waiting.len(), 1);
    lan.release(lease);
    lan.run_for(1_000);
    assert_eq!((lan.server().waiting.len(), lan.state(lease)), (0, None));
}

#[test]
fn a_server_without_queues_is_asked_again_as_it_says() {
    let mut lan = full(6);
    lan.server().has_queues = false;
    let lease = lan.checkout_in_turn("cad", TEN_MINUTES);
    lan.run_for(10_000);
    assert_eq!(waits(&mut lan).len(), 1, "once, and never again");
    assert!(lan.server().requests().len() > 8);
    lan.server().seats = 2;
    lan.run_for(2_000);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
}

#[test]
fn a_wait_goes_on_at_a_server_that_was_started_anew() {
    let mut lan = full(7);
    let lease = lan.checkout_in_turn("cad", TEN_MINUTES);
    lan.run_for(5_000);
    lan.server().restart(true);
    lan.server().waiting.clear();
    lan.run_for(20_000);
    assert_eq!((lan.server().waiting.len(), lan.state(lease)), (1, Some(LeaseState::Asking)));
    let claims: std::collections::BTreeSet<_> = waits(&mut lan).iter().map(|wait| wait.request.claim).collect();
    assert_eq!(claims.len(), 1, "the same claim");
    let grant = lan.server().serve_next(13_350);
    lan.announce(&grant);
    lan.run_for(200);
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
}

#[test]
fn heavy_loss_keeps_the_place() {
    for seed in 10..18 {
        let mut lan = full(seed);
        lan.wire.lost = 30;
        lan.wire.doubled = 20;
        lan.wire.delay_ms = (0, 400);
        let lease = lan.checkout_in_turn("cad", TEN_MINUTES);
        lan.run_for(120_000);
        assert_eq!((lan.server().waiting.len(), lan.state(lease)), (1, Some(LeaseState::Asking)), "seed {seed}");
        drop(lan.server().serve_next(13_350));
        lan.run_until(10_000, |lan| lan.state(lease) == Some(LeaseState::Healthy));
        lan.run_for(60_000);
        assert!(lan.states(lease).iter().all(|(_, state)| state.is_held()), "seed {seed}: {:?}", lan.states(lease));
    }
}
