//! A server asks for an idle seat.

use leasehold_protocol::{
    message::{Activity, ClientFrame, LetGo, ServerFrame},
    time::Mono,
    vocab::{ClaimKey, Denial, LeaseId},
};

use super::{
    super::{HolderEvent, LeaseHandle, LeaseState, LossCause, Plea},
    lan::Lan,
};

const IDLE: Activity = Activity { idle_s: 900, busy: false, unsaved: false };

fn holding(seed: u64) -> (Lan, LeaseHandle) {
    let mut lan = Lan::with_server(seed);
    let lease = lan.hold("cad");
    lan.holder.set_activity(lease, IDLE);
    lan.run_for(120_000);
    (lan, lease)
}

/// Says it, and again with each renewal that tells of idleness: as a server does, for the lease it granted.
fn ask(lan: &mut Lan, lease: LeaseHandle, in_ms: Option<u32>) {
    let info = lan.holder.lease_info(lease).unwrap();
    let told = LetGo { lease: info.id.unwrap(), claim: info.claim, in_ms, rule: "idle-cad".into(), waiting: 2 };
    lan.server().reminder = in_ms.map(|_| told.clone());
    lan.announce(&ServerFrame::LetGo(Box::new(told)));
}

fn pleas(lan: &Lan) -> Vec<Plea> {
    let plea = |event: &HolderEvent| match event {
        HolderEvent::AskedToLetGo { plea, .. } => Some(plea.clone()),
        _ => None,
    };
    lan.events.iter().filter_map(|(_, event)| plea(event)).collect()
}

/// The server renews it no more.
fn take(lan: &mut Lan) {
    lan.server().deny = Some((Denial::RECLAIMED, None));
}

fn losses(lan: &Lan) -> Vec<(LossCause, Mono)> {
    let loss = |event: &HolderEvent| match event {
        HolderEvent::StateChanged { state: LeaseState::Lost { why, at }, .. } => Some((*why, *at)),
        _ => None,
    };
    lan.events.iter().filter_map(|(_, event)| loss(event)).collect()
}

#[test]
fn an_idle_program_is_told_once_and_loses_the_seat_when_its_time_is_up() {
    let (mut lan, lease) = holding(70);
    for left in [10_000, 5_000] {
        ask(&mut lan, lease, Some(left));
        lan.run_for(5_000 - 100);
    }
    let told = pleas(&lan);
    assert_eq!((told.len(), told[0].waiting, &*told[0].rule), (1, 2, "idle-cad"));
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
    take(&mut lan);
    lan.run_for(2_500);
    let lost = losses(&lan);
    assert_eq!((lost.len(), lost[0].0), (1, LossCause::Denied(Denial::RECLAIMED)));
    let (until, at) = (told[0].until.unwrap(), lost[0].1);
    assert!(until.0.abs_diff(at.0) <= 1_200, "{at:?} {told:?}");
    assert!(lan.server().leases.is_empty(), "it was given back");
    assert_eq!(lan.state(lease), None);
    // What the program does with its handle then harms nobody.
    let now = lan.clock();
    lan.holder.release(now, lease);
    lan.run_for(1_000);
}

#[test]
fn what_a_server_meant_before_it_heard_of_work_is_not_what_it_means_when_the_time_is_up() {
    let (mut lan, lease) = holding(74);
    lan.holder.set_activity(lease, Activity { idle_s: 0, ..IDLE });
    lan.run_for(120_000);
    // It was on its way while the renewal was.
    ask(&mut lan, lease, Some(3_000));
    lan.server().reminder = None;
    lan.run_for(30_000);
    assert_eq!((lan.state(lease), losses(&lan).len()), (Some(LeaseState::Healthy), 0));
    assert!(pleas(&lan).last().is_none_or(|plea| plea.until.is_none()), "and its program is not left with it");
}

#[test]
fn a_lost_release_is_repeated_and_the_program_is_not_told_twice() {
    let (mut lan, lease) = holding(71);
    ask(&mut lan, lease, Some(2_000));
    lan.run_for(1_000);
    take(&mut lan);
    lan.wire.lost = 60;
    lan.run_for(60_000);
    lan.wire.lost = 0;
    lan.run_for(20_000);
    assert_eq!(losses(&lan).len(), 1);
    assert!(lan.server().leases.is_empty());
}

#[test]
fn whoever_is_at_work_says_so_at_once_and_keeps_the_seat() {
    for activity in
        [Activity { idle_s: 0, ..IDLE }, Activity { busy: true, ..IDLE }, Activity { unsaved: true, ..IDLE }]
    {
        let (mut lan, lease) = holding(72);
        ask(&mut lan, lease, Some(10_000));
        lan.run_for(1_000);
        let renewals = |lan: &mut Lan| {
            let told = |f: &ClientFrame| if let ClientFrame::Renew(renew) = f { Some(renew.activity) } else { None };
            lan.server().frames().filter_map(told).collect::<Vec<_>>()
        };
        let before = renewals(&mut lan).len();
        lan.holder.set_activity(lease, activity);
        lan.run_for(500);
        assert_eq!(renewals(&mut lan)[before..], [activity]);
        lan.run_for(60_000);
        assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
        let told = pleas(&lan);
        assert_eq!((told.len(), told[1].until), (2, None), "and is told that he may");
    }
}

#[test]
fn a_plea_that_is_taken_back_is_told_and_one_for_another_lease_is_nobodys() {
    let (mut lan, lease) = holding(73);
    ask(&mut lan, lease, Some(10_000));
    lan.run_for(1_000);
    ask(&mut lan, lease, None);
    ask(&mut lan, lease, None);
    lan.run_for(60_000);
    let told = pleas(&lan);
    assert_eq!((told.len(), told[1].until), (2, None));
    let info = lan.holder.lease_info(lease).unwrap();
    let wrong = LetGo { lease: LeaseId::new(77, 7), claim: info.claim, in_ms: Some(10), rule: "x".into(), waiting: 1 };
    lan.announce(&ServerFrame::LetGo(Box::new(wrong.clone())));
    let strange = LetGo { lease: info.id.unwrap(), claim: ClaimKey([7; 16]), ..wrong };
    lan.announce(&ServerFrame::LetGo(Box::new(strange)));
    lan.run_for(5_000);
    assert_eq!((pleas(&lan).len(), lan.state(lease)), (2, Some(LeaseState::Healthy)));
}
