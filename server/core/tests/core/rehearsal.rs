//! A policy rehearsed: what is answered under it, with the licences in force and nothing of the server touched (P-6).

use leasehold_core::{
    Answer, Question,
    policy::{Group, Groups, Limit, Per, Policy, Rules},
};
use leasehold_protocol::{
    licence::certificate::ShareBy,
    message::Request,
    vocab::{Denial, Label},
};

use crate::rig::{Client, Lot, Seeded, Site};

fn one_each() -> Policy {
    let everyone = Group { everyone: true, ..Group::default() };
    let limit = Limit { id: "one".into(), max: 1, per: Per::User, group: 0, exempt: None, features: None };
    Policy::new(Groups::new(vec![everyone], true).unwrap(), Rules { limits: vec![limit], ..Rules::default() })
}

fn question(client: &mut Client, site: &Site, user: &str, seats: u32) -> Question {
    let claim = client.claim();
    let Request { feature, version, seats, mut holder, .. } = client.request_frame(claim, "A", seats);
    holder.user = Label::lossy(user);
    Question { realm: site.realm(), feature, version, seats, holder, address: client.from.ip() }
}

fn code(answer: &Answer) -> Option<Denial> {
    if let Answer::No { code, .. } = answer { Some(*code) } else { None }
}

#[test]
fn p_6_a_rehearsal_answers_as_the_server_would_and_touches_nothing_of_it() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 3).version("5.0").exclusive().terms(|t| t.linger_s = Some(100))]);
    let mut client = Client::connected(1, &mut site);
    // What is out on the server is not out there.
    client.request(&mut site, "A", 3).unwrap();
    let mut stage = site.shared.rehearsal(one_each(), site.now, &mut Seeded(1));
    let (ann, bob) = (question(&mut client, &site, "ann", 1), question(&mut client, &site, "bob", 1));
    let (first, lease) = stage.ask(&ann).unwrap();
    assert_eq!((code(&first), lease.is_some()), (None, true));
    assert_eq!(code(&stage.ask(&ann).unwrap().0), Some(Denial::LIMIT_REACHED));
    assert_eq!(code(&stage.ask(&bob).unwrap().0), None);
    assert_eq!(code(&stage.ask(&question(&mut client, &site, "eve", 9)).unwrap().0), Some(Denial::TOO_MANY_SEATS));
    stage.check_ledger().unwrap();
    // Given back they stay with nobody: how long that lasted then is told by the history itself.
    stage.give_back(lease.unwrap());
    stage.give_back(lease.unwrap());
    let (again, lease) = stage.ask(&ann).unwrap();
    assert!(code(&again).is_none() && lease.is_some());
    stage.check_ledger().unwrap();
    assert_eq!((site.feature("A").used, site.shared.live_leases()), (3, 1));
    assert!(site.shared.policy().is_empty());
    site.shared.check_ledger().unwrap();
}

#[test]
fn p_6_shared_seats_are_shared_there_too() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).exclusive().terms(|t| t.share = Some(ShareBy::USER))]);
    let mut client = Client::connected(1, &mut site);
    let mut stage = site.shared.rehearsal(Policy::default(), site.now, &mut Seeded(2));
    let (ann, bob) = (question(&mut client, &site, "ann", 1), question(&mut client, &site, "bob", 1));
    let both: Vec<_> = (0..2).map(|_| stage.ask(&ann).unwrap().1.unwrap()).collect();
    assert_eq!(code(&stage.ask(&bob).unwrap().0), Some(Denial::NO_SEAT));
    both.into_iter().for_each(|lease| stage.give_back(lease));
    assert_eq!(code(&stage.ask(&bob).unwrap().0), None);
    stage.check_ledger().unwrap();
}
