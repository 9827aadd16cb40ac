//! Many renewals in one frame: each fares as if it had come alone (SPEC 5.17).

use leasehold_core::{Event, Path};
use leasehold_protocol::{
    message::{Activity, Claimed, ClientFrame, Extended, Grant, RENEW_MANY_MAX, RenewMany, ServerFrame},
    time::Mono,
    vocab::{ClaimProof, Denial, LeaseId},
};

use crate::rig::{Client, Lot, Site};

fn claimed(grant: &Grant) -> Claimed {
    Claimed { lease: grant.lease, proof: grant.claim.fold() }
}

fn renew_many(client: &mut Client, leases: Vec<Claimed>) -> ClientFrame {
    let activity = Activity { idle_s: 7, busy: true, unsaved: false };
    ClientFrame::RenewMany(Box::new(RenewMany { operation: client.operation(), activity, leases }))
}

/// What the server makes of one frame.
fn ask(site: &mut Site, client: &mut Client, leases: Vec<Claimed>) -> Vec<Option<Extended>> {
    let frame = renew_many(client, leases);
    let ClientFrame::RenewMany(asked) = &frame else { unreachable!() };
    match &client.ask(site, std::slice::from_ref(&frame))[..] {
        [ServerFrame::RenewedMany(said)] if said.operation == asked.operation => {
            assert_eq!(said.leases.len(), asked.leases.len());
            said.leases.clone()
        }
        other => panic!("one answer, not {other:?}"),
    }
}

fn deadline(site: &Site, lease: LeaseId) -> Option<Mono> {
    site.shared.leases(site.now).iter().find(|status| status.id == lease).map(|status| status.deadline)
}

#[test]
fn all_of_64_leases_go_on_from_one_frame_and_say_what_their_holder_does() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 100).ttl_s(300)]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..RENEW_MANY_MAX).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    site.advance(100_000);
    site.events.clear();
    let said = ask(&mut site, &mut client, grants.iter().map(claimed).collect());
    let extended = Extended { ttl_ms: 295_000, renew_after_ms: 100_000, overage: false };
    assert_eq!(said, vec![Some(extended); RENEW_MANY_MAX]);
    let until = site.now.mono.plus_ms(300_000);
    for (grant, event) in grants.iter().zip(&site.events) {
        let activity = Some(Activity { idle_s: 7, busy: true, unsaved: false });
        assert_eq!(*event, Event::Renewed { lease: grant.lease, deadline: until, activity });
        assert_eq!(deadline(&site, grant.lease), Some(until));
    }
    assert_eq!((site.events.len(), site.counter("renewals")), (64, 64));
    assert_eq!((site.counter("denials"), site.counter("frames_bad")), (0, 0));
}

#[test]
fn what_is_not_the_askers_is_not_renewed_and_a_renewal_of_its_own_says_why() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let (mut mine, mut other) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
    let [first, second] = [0; 2].map(|_| mine.request(&mut site, "A", 1).unwrap());
    let theirs = other.request(&mut site, "A", 1).unwrap();
    site.sleep(1_000);
    let before = [second.lease, theirs.lease].map(|lease| deadline(&site, lease));
    let guess = Claimed { lease: second.lease, proof: ClaimProof(second.claim.fold().0 ^ 1) };
    let asked = vec![claimed(&theirs), claimed(&first), guess, Claimed { lease: LeaseId::NONE, ..guess }];
    let said = ask(&mut site, &mut mine, asked);
    assert_eq!(said.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!([second.lease, theirs.lease].map(|lease| deadline(&site, lease)), before);
    assert_eq!((site.counter("renewals"), site.counter("denials")), (1, 0));
    assert_eq!(mine.renew(&mut site, theirs.lease, theirs.claim).unwrap_err().code, Denial::NOT_YOURS);
    assert_eq!(mine.renew(&mut site, second.lease, theirs.claim).unwrap_err().code, Denial::NO_SUCH_LEASE);
    // Its holder's own frame renews it all the same.
    assert!(ask(&mut site, &mut other, vec![claimed(&theirs)])[0].is_some());
}

#[test]
fn a_lease_that_is_due_ends_in_that_very_frame_and_its_neighbours_go_on() {
    let mut site = Site::new();
    site.load(&[Lot::of("LONG", 2).ttl_s(300), Lot::of("SHORT", 1).ttl_s(10)]);
    let (mut client, mut next) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
    let grants = ["LONG", "SHORT", "LONG"].map(|feature| client.request(&mut site, feature, 1).unwrap());
    let due = site.now.mono.plus_ms(10_000);
    site.sleep(10_000);
    let said = ask(&mut site, &mut client, grants.iter().map(claimed).collect());
    assert_eq!(said.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    let ended = site.events.iter().find_map(|e| if let Event::Expired(ended) = e { Some(ended) } else { None });
    assert_eq!(ended.map(|ended| (ended.lease, ended.at)), Some((grants[1].lease, due)));
    next.request(&mut site, "SHORT", 1).unwrap();
}

#[test]
fn a_lease_that_is_named_twice_is_renewed_twice() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let said = ask(&mut site, &mut client, vec![claimed(&grant); 2]);
    assert!(said[0].is_some() && said[0] == said[1]);
    assert_eq!((site.counter("renewals"), site.shared.leases(site.now)[0].renewals), (2, 2));
}

#[test]
fn frames_for_many_share_a_datagram_and_each_has_its_own_answer() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 9)]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..9).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    let frames: Vec<_> =
        grants.chunks(4).map(|chunk| renew_many(&mut client, chunk.iter().map(claimed).collect())).collect();
    // Twice, because the second answer is written over the first.
    for _ in 0..2 {
        let lens: Vec<_> = client
            .ask(&mut site, &frames)
            .iter()
            .map(|said| match said {
                ServerFrame::RenewedMany(said) if said.leases.iter().all(Option::is_some) => said.leases.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lens, [4, 4, 1]);
    }
}

#[test]
fn the_answer_and_a_challenge_fit_where_the_question_came_from() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 64)]);
    let mut client = Client::connected(1, &mut site);
    let grants: Vec<_> = (0..RENEW_MANY_MAX).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    for len in 1..=RENEW_MANY_MAX {
        client.from = ([198, 51, 100, u8::try_from(len).unwrap()], 40_000).into();
        let frame = renew_many(&mut client, grants[..len].iter().map(claimed).collect());
        let answers = client.ask(&mut site, &[frame]);
        assert!(
            matches!(answers[..], [ServerFrame::PathChallenge(_), ServerFrame::RenewedMany(_)]),
            "{len}: {answers:?}"
        );
        let (received, sent) = site.traffic[&client.from];
        assert!(sent <= received, "{len}: {sent} bytes for {received}");
    }
    assert_eq!(site.counter("answers_withheld"), 0);
}

#[test]
fn a_frame_for_none_or_for_too_many_is_dropped_and_its_neighbour_is_not() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    for len in [0, 8, 16, 24, 16 + 65 * 16] {
        let mut plaintext = [&[0x10, 0][..], &u16::to_le_bytes(len), &vec![0; usize::from(len)]].concat();
        client.renew_frame(grant.lease, grant.claim).append_to(&mut plaintext).unwrap();
        let datagram = client.seal_bytes(plaintext, 0);
        site.engine.handle_datagram(site.now, Path::unicast(client.from), &mut datagram.clone());
        let said = site.drain();
        assert!(matches!(client.open(&said)[..], [ServerFrame::Renewed(_)]), "{len}");
    }
    assert_eq!(site.counter("frames_bad"), 5);
}
