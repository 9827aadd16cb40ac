//! Several features at once, all of them or none.

use std::time::Duration;

use leasehold_protocol::{
    message::{BundleItem, ClientFrame},
    vocab::{Denial, SeatCount, Version},
};

use super::{
    super::{BundleRefused, HolderEvent, LeaseHandle, LeaseState},
    lan::Lan,
};

const BOTH: [(&str, u32, u32); 2] = [("SOLVER", 4, 2), ("MESH", 1, 1)];

fn granted(lan: &Lan) -> Vec<Vec<LeaseHandle>> {
    let leases = |event: &HolderEvent| match event {
        HolderEvent::BundleGranted { leases, .. } => Some(leases.iter().map(|(lease, _)| *lease).collect()),
        _ => None,
    };
    lan.events.iter().filter_map(|(_, event)| leases(event)).collect()
}

fn refused(lan: &Lan) -> Vec<BundleRefused> {
    let why = |event: &HolderEvent| match event {
        HolderEvent::BundleRefused { why, .. } => Some(why.clone()),
        _ => None,
    };
    lan.events.iter().filter_map(|(_, event)| why(event)).collect()
}

#[test]
fn it_is_held_once_all_of_it_is_heard_and_each_lease_lives_by_itself() {
    let mut lan = Lan::with_server(1);
    lan.server().items_lost = 1;
    lan.bundle(&BOTH, None);
    lan.run_for(400);
    assert_eq!((granted(&lan).len(), lan.server().leases.len()), (0, 2), "half of the answer was lost");
    lan.run_for(400);
    let [leases] = &granted(&lan)[..] else { panic!("it was asked again and told") };
    assert_eq!((leases.len(), lan.server().leases.len()), (2, 2), "the same leases");
    let seats = leases.iter().map(|lease| lan.holder.lease_info(*lease).unwrap().seats.get()).collect::<Vec<_>>();
    assert_eq!(seats, [2, 1], "as many as the server says");
    lan.run_for(3_600_000);
    assert!(leases.iter().all(|lease| lan.state(*lease) == Some(LeaseState::Healthy)));
    lan.release(leases[0]);
    lan.run_for(100);
    assert_eq!((lan.state(leases[0]), lan.state(leases[1])), (None, Some(LeaseState::Healthy)));
    assert_eq!(lan.server().leases.len(), 1);
}

#[test]
fn a_denial_is_of_all_of_it_and_one_that_is_patient_asks_again() {
    let mut lan = Lan::with_server(2);
    lan.server().seats = 1;
    lan.bundle(&BOTH, None);
    lan.run_for(400);
    let [BundleRefused::Denied { item, deny }] = &refused(&lan)[..] else { panic!("{:?}", refused(&lan)) };
    assert_eq!((item.feature.as_str(), deny.code, lan.server().leases.len()), ("MESH", Denial::NO_SEAT, 0));
    lan.bundle(&BOTH, Some(Duration::from_secs(60)));
    lan.run_for(5_000);
    assert_eq!((granted(&lan).len(), refused(&lan).len()), (0, 1));
    lan.server().seats = 2;
    lan.run_for(2_000);
    assert_eq!((granted(&lan).len(), refused(&lan).len()), (1, 1));
}

#[test]
fn one_that_is_given_up_is_given_back_whatever_was_heard_of_it() {
    let mut lan = Lan::with_server(3);
    lan.server().items_lost = 1;
    let bundle = lan.bundle(&BOTH, None);
    lan.run_for(300);
    assert_eq!(lan.server().leases.len(), 2);
    let now = lan.clock();
    lan.holder.abandon_bundle(now, bundle);
    lan.drain();
    lan.run_for(1_000);
    assert_eq!((lan.server().leases.len(), granted(&lan).len(), refused(&lan).len()), (0, 0, 0));
}

#[test]
fn a_server_that_is_older_says_so_and_is_not_asked_for_a_part_of_it() {
    let mut lan = Lan::with_server(4);
    lan.server().has_bundles = false;
    lan.bundle(&BOTH, Some(Duration::from_secs(60)));
    lan.run_for(1_000);
    assert_eq!(refused(&lan), [BundleRefused::Unsupported]);
    assert!(!lan.server().frames().any(|frame| matches!(frame, ClientFrame::Request(_))));
}

#[test]
fn more_seats_than_were_asked_for_are_no_answer() {
    let mut lan = Lan::with_server(5);
    lan.server().spoil = |grant| grant.seats = SeatCount::new(9).unwrap();
    lan.bundle(&BOTH, None);
    lan.run_for(1_000);
    assert!(matches!(refused(&lan)[..], [BundleRefused::Misbehaved(_)]));
    assert_eq!(lan.server().leases.len(), 0, "it is given back");
}

#[test]
fn one_of_a_wrong_form_or_too_long_for_a_datagram_is_not_asked() {
    let mut lan = Lan::with_server(6);
    let now = lan.clock();
    let item = |name: String| BundleItem {
        feature: name.parse().unwrap(),
        version: Version::ANY,
        seats: SeatCount::ONE,
        at_least: SeatCount::ONE,
    };
    assert!(lan.holder.checkout_bundle(now, vec![], None).unwrap_err().contains("at least one"));
    let long: Vec<Vec<BundleItem>> =
        (0..8).map(|a| (0..8).map(|n| item(format!("{}{a}{n}", "X".repeat(60)))).collect()).collect();
    assert!(lan.holder.checkout_bundle(now, long, None).unwrap_err().contains("does not fit"));
}
