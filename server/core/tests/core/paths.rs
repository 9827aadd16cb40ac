//! Never more to an unproved address than came from it (W-4), and roaming that costs nothing (W-8).

use std::net::SocketAddr;

use leasehold_protocol::{
    message::{ClientFrame, FeatureQuery, ProofQuery, ServerFrame},
    vocab::{Denial, LeaseId, OperationId},
};

use crate::rig::{Client, Lot, Site};

fn away() -> SocketAddr {
    "192.0.2.66:6666".parse().unwrap()
}

#[test]
fn a_client_that_moves_is_answered_at_once_and_proves_its_new_address() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    client.from = away();
    let frame = client.renew_frame(grant.lease, grant.claim);
    let answers = client.ask(&mut site, &[frame]);
    let [ServerFrame::PathChallenge(token), ServerFrame::Renewed(_)] = answers[..] else { panic!("{answers:?}") };
    assert!(client.ask(&mut site, &[ClientFrame::PathResponse(token)]).is_empty());
    assert_eq!((site.counter("paths_changed"), site.counter("paths_proved")), (1, 1));
    // Proved: no more challenges.
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    assert_eq!(site.shared.leases(site.now)[0].address, Some(away()));
}

#[test]
fn an_empty_datagram_from_a_new_address_is_challenged_and_nothing_else_is_said() {
    let mut site = Site::new();
    let mut client = Client::connected(1, &mut site);
    assert!(client.ask(&mut site, &[]).is_empty(), "from where the handshake was, there is nothing to say");
    client.from = away();
    let answers = client.ask(&mut site, &[]);
    let [ServerFrame::PathChallenge(token)] = answers[..] else { panic!("{answers:?}") };
    let wrong = leasehold_protocol::message::PathToken([0; 8]);
    let answers = client.ask(&mut site, &[ClientFrame::PathResponse(wrong)]);
    assert_eq!(answers, [ServerFrame::PathChallenge(token)]);
    assert!(client.ask(&mut site, &[ClientFrame::PathResponse(token)]).is_empty());
    assert!(client.ask(&mut site, &[]).is_empty());
}

#[test]
fn a_request_an_sdk_padded_is_granted_in_the_first_round_trip_from_a_new_address() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 1).unwrap();
    client.from = away();
    let claim = client.claim();
    let request = client.request_frame(claim, "A", 1);
    let answers = client.ask(&mut site, &[ClientFrame::Request(Box::new(request))]);
    assert!(matches!(answers[..], [ServerFrame::PathChallenge(_), ServerFrame::Grant(_)]), "{answers:?}");
}

#[test]
fn a_denial_that_does_not_fit_goes_without_its_words() {
    let mut site = Site::new();
    let mut client = Client::connected(1, &mut site);
    client.renew(&mut site, LeaseId::NONE, leasehold_protocol::vocab::ClaimKey([0; 16])).unwrap_err();
    client.from = away();
    let frame = client.renew_frame(LeaseId::new(3, 4), leasehold_protocol::vocab::ClaimKey([0; 16]));
    let answers = client.ask(&mut site, &[frame]);
    let [ServerFrame::PathChallenge(_), ServerFrame::Deny(deny)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((deny.code, deny.sentence.as_str(), deny.retry_after_ms), (Denial::NO_SUCH_LEASE, "", Some(0)));
    assert_eq!(site.counter("answers_shortened"), 1);
}

#[test]
fn a_question_too_short_for_its_answer_gets_a_challenge_and_the_answer_later() {
    let mut site = Site::new();
    let lots: Vec<_> = (0..20).map(|n| Lot::of(&format!("FEATURE_{n:02}"), 1)).collect();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "FEATURE_01", 1).unwrap();
    client.from = away();
    let query = ClientFrame::FeatureQuery(FeatureQuery { operation: OperationId(1), only: None, after: None });
    let short = client.seal(std::slice::from_ref(&query), 0);
    let answers = client.open(&site.feed(client.from, &short));
    let [ServerFrame::PathChallenge(token)] = answers[..] else { panic!("{answers:?}") };
    assert_eq!(site.counter("answers_withheld"), 1);
    client.ask(&mut site, &[ClientFrame::PathResponse(token)]);
    let short = client.seal(std::slice::from_ref(&query), 0);
    assert!(matches!(client.open(&site.feed(client.from, &short))[..], [ServerFrame::FeatureInfo(_)]));
}

#[test]
fn a_copied_datagram_sent_first_from_elsewhere_shoots_at_nobody_and_takes_nothing() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let home = client.from;
    for _ in 0..50 {
        let query = ClientFrame::ProofQuery(ProofQuery { operation: OperationId(1) });
        let frame = client.renew_frame(grant.lease, grant.claim);
        let datagram = client.seal(&[frame, query], 0);
        site.feed(away(), &datagram);
        assert!(site.feed(home, &datagram).is_empty(), "the original comes second and is a replay");
        let (received, sent) = site.traffic[&away()];
        assert!(sent <= received, "{sent} sent to the victim, {received} from it");
        // The true client's next datagram brings its answers home.
        client.renew(&mut site, grant.lease, grant.claim).unwrap();
    }
}

#[test]
fn a_datagram_overtaken_by_a_newer_one_from_elsewhere_is_answered_where_it_came_from() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let home = client.from;
    let frames = [client.renew_frame(grant.lease, grant.claim), client.renew_frame(grant.lease, grant.claim)];
    let [old, new] = frames.map(|frame| client.seal(&[frame], 0));
    site.feed(away(), &new);
    let said = site.feed(home, &old);
    assert_eq!(said[0].0.to, home);
    assert_eq!(site.counter("paths_changed"), 1);
    // From a third address, unknown to us, no more than it sent.
    let frames = [client.renew_frame(grant.lease, grant.claim), client.renew_frame(grant.lease, grant.claim)];
    let [old, new] = frames.map(|frame| client.seal(&[frame], 0));
    site.feed(away(), &new);
    let third = "198.51.100.3:3333".parse().unwrap();
    site.feed(third, &old);
    let (received, sent) = site.traffic[&third];
    assert!(sent > 0 && sent <= received);
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let mut site = Site::new();
    let mut path = leasehold_core::Path::unicast(away());
    path.local = Some([192, 0, 2, 1].into());
    let (_, hello) = Client::new(1).hello1(&site);
    let said = site.feed_over(path, zerocopy::IntoBytes::as_bytes(&hello));
    assert_eq!((said[0].0.to, said[0].0.from), (away(), path.local));
}
