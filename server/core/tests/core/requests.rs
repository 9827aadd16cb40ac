//! What is granted and what is denied.

use leasehold_core::{Event, ServerConfig};
use leasehold_protocol::{
    crypto::SiteKey,
    message::{ClientFrame, FeatureQuery, ProofQuery, ReleaseOutcome, ServerFrame},
    vocab::{Denial, FeatureName, OperationId, Version},
};

use crate::rig::{Client, Lot, Site};

#[test]
fn a_seat_is_granted_renewed_and_given_back() {
    let mut site = Site::new();
    site.load(&[Lot::of("VR_MODE", 2)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "VR_MODE", 2).unwrap();
    assert_eq!((grant.ttl_ms, grant.renew_after_ms, grant.grace_ms), (295_000, 100_000, 0));
    assert_eq!((grant.seats.get(), grant.lots.len(), grant.right_ends), (2, 1, None));
    assert_eq!((site.feature("VR_MODE").used, site.feature("VR_MODE").free), (2, 0));

    site.advance(100_000);
    let renewed = client.renew(&mut site, grant.lease, grant.claim).unwrap();
    assert_eq!((renewed.ttl_ms, renewed.renew_after_ms, renewed.overage), (295_000, 100_000, false));
    let lease = &site.shared.leases(site.now)[0];
    assert_eq!((lease.remaining_ms, lease.renewals, lease.address), (300_000, 1, Some(client.from)));

    assert_eq!(client.release(&mut site, grant.lease, grant.claim), ReleaseOutcome::Freed);
    assert_eq!((site.feature("VR_MODE").used, site.shared.live_leases()), (0, 0));
    let kinds: Vec<_> = site.events.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 4, "{:?}", site.events);
    assert!(matches!(&site.events[3], Event::Released(ended) if ended.renewals == 1));
}

#[test]
fn the_client_is_told_less_time_than_the_server_waits() {
    for (ttl_s, told_ms) in [(2, 1780), (20, 17_800), (300, 295_000), (86_400, 85_534_000)] {
        let mut site = Site::new();
        site.load(&[Lot::of("A", 1).ttl_s(ttl_s)]);
        let grant = Client::connected(1, &mut site).request(&mut site, "A", 1).unwrap();
        assert_eq!((grant.ttl_ms, grant.renew_after_ms), (told_ms, ttl_s * 1000 / 3));
        assert_eq!(site.shared.leases(site.now)[0].remaining_ms, u64::from(ttl_s) * 1000);
    }
}

#[test]
fn rr_29_a_denial_says_what_there_is_and_who_is_due_back_next() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 3)]);
    let (mut one, mut two) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
    one.request(&mut site, "A", 1).unwrap();
    site.advance(1000);
    two.request(&mut site, "A", 2).unwrap();
    let deny = two.request(&mut site, "A", 1).unwrap_err();
    assert_eq!((deny.code, deny.seats_out, deny.seats_total), (Denial::NO_SEAT, 3, 3));
    let due = deny.next_due.unwrap();
    assert_eq!((due.user.unwrap().as_str(), due.host.unwrap().as_str(), due.in_ms), ("ada", "host10.0.0.1", 299_000));
    assert_eq!(deny.retry_after_ms, Some(1000));
    assert_eq!(
        deny.sentence,
        "all 3 seats of A are out; the next is due back in 4 min: ask again, or have a seat given back"
    );
    assert!(deny.rule.starts_with("certificate "), "{}", deny.rule);
    site.advance(298_900);
    let deny = two.request(&mut site, "A", 1).unwrap_err();
    assert_eq!(deny.retry_after_ms, Some(101), "one millisecond after the next seat is due");
}

#[test]
fn rr_27_each_reason_has_its_own_code_and_a_sentence_that_helps() {
    let mut site = Site::new();
    site.load(&[
        Lot::of("CAD", 2),
        Lot::of("LATER", 1).start("2026-02-01"),
        Lot::of("GONE", 1).end("2025-12-31"),
        Lot::of("BOTH", 1),
        Lot::of("BOTH", 1).version("5.0").end("2025-12-31"),
    ]);
    let mut client = Client::connected(1, &mut site);
    let mut denied = |feature: &str, version: &str, seats: u32| {
        let claim = client.claim();
        let mut request = client.request_frame(claim, feature, seats);
        request.version = version.parse().unwrap();
        let deny = client.send_request(&mut site, &request).unwrap_err();
        (deny.code, deny.sentence)
    };
    let says = |(code, sentence): (Denial, String), expected: Denial, words: &str| {
        assert_eq!(code, expected);
        assert!(sentence.contains(words), "{sentence}");
    };
    says(denied("NOPE_AT_ALL", "1.0", 1), Denial::NO_SUCH_FEATURE, "check the name");
    says(denied("CDA", "1.0", 1), Denial::NO_SUCH_FEATURE, "did you mean CAD?");
    says(denied("CAD", "4.9", 1), Denial::VERSION_TOO_HIGH, "rights up to 4.8: ask for 4.8 or lower");
    says(denied("CAD", "4.8", 3), Denial::TOO_MANY_SEATS, "3 seats of CAD asked for and there are 2 in all");
    says(denied("LATER", "4.8", 1), Denial::NOT_STARTED, "begins at 2026-02-01T00:00:00Z, in 26 days");
    says(denied("GONE", "4.8", 1), Denial::EXPIRED, "ended at 2025-12-31T23:59:59Z: have a newer licence");
    says(denied("BOTH", "5.0", 1), Denial::EXPIRED, "BOTH 5.0 ended");
}

#[test]
fn a_sentence_with_the_longest_names_still_fits() {
    let mut site = Site::new();
    let name = "F".repeat(64);
    site.load(&[Lot::of(&name, 2_000_000_000).version("65535.65535.65535")]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, &name, 2_000_000_000).unwrap();
    // The client checks the lengths of every denial.
    client.request(&mut site, &name, 2_000_000_000).unwrap_err();
    client.request(&mut site, &name, 2_000_000_001).unwrap_err();
    client.request(&mut site, &"G".repeat(64), 1).unwrap_err();
}

#[test]
fn several_frames_of_one_datagram_are_answered_in_order_and_together() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    let frames: Vec<_> = (0..10).map(|_| client.renew_frame(grant.lease, grant.claim)).collect();
    let datagram = client.seal(&frames, 0);
    let said = site.feed(client.from, &datagram);
    assert_eq!(said.len(), 1);
    let operations: Vec<_> = client
        .open(&said)
        .into_iter()
        .map(|frame| match frame {
            ServerFrame::Renewed(renewed) => renewed.operation,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(operations.is_sorted() && operations.len() == 10, "{operations:?}");
}

#[test]
fn answers_that_do_not_fit_one_datagram_take_as_few_as_they_need() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 100)]);
    let mut client = Client::connected(1, &mut site);
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let claim = client.claim();
            ClientFrame::Request(Box::new(client.request_frame(claim, "A", 1)))
        })
        .collect();
    let datagram = client.seal(&requests, 0);
    let said = site.feed(client.from, &datagram);
    assert_eq!(said.len(), 2, "8 grants of about 190 bytes");
    assert_eq!(client.open(&said).len(), 8);
}

#[test]
fn frames_beyond_the_64th_are_not_read() {
    let mut site = Site::new();
    let mut client = Client::connected(1, &mut site);
    let plaintext = [0x7e, 0, 0, 0].repeat(70);
    let datagram = client.seal_bytes(plaintext, 0);
    let answers = client.open(&site.feed(client.from, &datagram));
    assert_eq!(answers.len(), 64);
    assert_eq!((site.counter("frames_unknown"), site.counter("frames_too_many")), (64, 1));
}

#[test]
fn a_frame_of_an_unknown_type_is_answered_and_the_others_go_on() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut client = Client::connected(1, &mut site);
    let mut plaintext = vec![0x70, 0, 3, 0, 1, 2, 3];
    // A renewal that is too short by itself does not spoil what follows it either.
    plaintext.extend_from_slice(&[0x04, 0, 2, 0, 9, 9]);
    client
        .renew_frame(leasehold_protocol::vocab::LeaseId::NONE, leasehold_protocol::vocab::ClaimKey([1; 16]))
        .append_to(&mut plaintext)
        .unwrap();
    let datagram = client.seal_bytes(plaintext, 0);
    let answers = client.open(&site.feed(client.from, &datagram));
    assert!(matches!(&answers[0], ServerFrame::Unsupported(unsupported) if unsupported.frame_type == 0x70));
    assert!(matches!(&answers[1], ServerFrame::Deny(deny) if deny.code == Denial::NO_SUCH_LEASE));
    assert_eq!((answers.len(), site.counter("frames_bad")), (2, 1));
}

#[test]
fn features_are_listed_a_page_at_a_time() {
    let mut site = Site::new();
    let lots: Vec<_> = (0..50).map(|n| Lot::of(&format!("FEATURE_{n:02}"), n + 1)).collect();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "FEATURE_07", 3).unwrap();
    let (mut after, mut lines, mut pages) = (None, vec![], 0);
    loop {
        let query = FeatureQuery { operation: OperationId(pages), only: None, after: after.take() };
        let answers = client.ask(&mut site, &[ClientFrame::FeatureQuery(query)]);
        let [ServerFrame::FeatureInfo(info)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(info.operation, OperationId(pages));
        lines.extend(info.features.clone());
        pages += 1;
        if !info.more {
            break;
        }
        after = info.features.last().map(|line| line.name.clone());
    }
    assert!(pages > 1);
    assert_eq!(lines.len(), 50);
    assert!(lines.is_sorted_by_key(|line| line.name.clone()));
    assert_eq!(
        (lines[7].used, lines[7].count, lines[7].version),
        (3, Some(8), Version { major: 4, minor: 8, patch: 0 })
    );

    let only = FeatureQuery { operation: OperationId(9), only: FeatureName::new("FEATURE_07").ok(), after: None };
    let answers = client.ask(&mut site, &[ClientFrame::FeatureQuery(only)]);
    assert!(matches!(&answers[..], [ServerFrame::FeatureInfo(info)] if info.features.len() == 1 && !info.more));
}

#[test]
fn the_proof_is_the_first_certificate_that_names_the_servers_key() {
    let mut site = Site::new();
    let ours = site.keys.public().fingerprint();
    let lots = [
        Lot::of("A", 1),
        Lot::of("B", 1).end("2025-01-01").terms(|terms| terms.server_keys = vec![ours]),
        Lot::of("C", 1).terms(|terms| terms.server_keys = vec![ours]),
    ];
    let mut client = Client::connected(1, &mut site);
    let query = [ClientFrame::ProofQuery(ProofQuery { operation: OperationId(1) })];
    let shown = |client: &mut Client, site: &mut Site| match &client.ask(site, &query)[..] {
        [ServerFrame::Proof(proof)] => proof.certificate.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(&mut client, &mut site), Vec::<u8>::new());
    site.load(&lots);
    assert_eq!(shown(&mut client, &mut site), site.sign(&lots[2]).cose);
}

#[test]
fn as_many_leases_as_there_is_room_for_and_then_a_denial_that_says_so() {
    let mut site = Site::with(ServerConfig { leases_max: 3, ..ServerConfig::default() }, SiteKey::OPEN);
    site.load(&[Lot::of("A", 100), Lot::of("B", 100).ttl_s(2)]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 1).unwrap();
    client.request(&mut site, "A", 1).unwrap();
    client.request(&mut site, "B", 1).unwrap();
    let deny = client.request(&mut site, "A", 1).unwrap_err();
    assert_eq!(deny.code, Denial::TOO_MANY_LEASES);
    assert_eq!(site.feature("A").used, 2);
    // The one of another feature runs out: its slot serves this one in the same millisecond, sweeper or not.
    site.sleep(2000);
    client.request(&mut site, "A", 1).unwrap();
}

#[test]
fn a_draining_server_denies_new_requests_and_keeps_what_is_out() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    site.shared.begin_drain();
    let deny = client.request(&mut site, "A", 1).unwrap_err();
    assert_eq!((deny.code, deny.retry_after_ms), (Denial::SHUTTING_DOWN, Some(5000)));
    client.request_as(&mut site, grant.claim, "A", 1).unwrap();
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    assert_eq!(client.release(&mut site, grant.lease, grant.claim), ReleaseOutcome::Freed);
}

#[test]
fn rr_33_who_holds_a_lease_is_told_in_the_words_of_his_machine() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 2)]);
    let mut client = Client::connected(7, &mut site);
    let claim = client.claim();
    let mut request = client.request_frame(claim, "A", 1);
    let label = |text: &str| leasehold_protocol::vocab::Label::new(text).unwrap();
    (request.holder.display, request.holder.project) = (Some(label(":1")), Some(label("wing")));
    client.send_request(&mut site, &request).unwrap();
    let all = site.shared.leases(site.now);
    let [lease] = &all[..] else { panic!("{all:?}") };
    assert_eq!(*lease.holder, request.holder);
    assert_eq!((lease.holder.process.as_str(), lease.holder.pid, lease.address), ("solver", 4711, Some(client.from)));
}
