//! Strangers: those who send noise, those who forge addresses, those who say again what they overheard.

use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use leasehold_protocol::{
    Entropy,
    crypto::Keypair,
    message::{ClientFrame, FeatureQuery, ProofQuery},
    vocab::ClaimKey,
};
use leasehold_tests::{
    HOUR, Lan, MINUTE, Plan, SECOND,
    net::{Flight, Sender},
    raw::Raw,
    rng::Rng,
    stranger::Stranger,
};

/// Datagrams of the flood: "must show 5" asks for 10^6.
const FLOOD: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

fn stranger(lan: &Lan) -> Stranger {
    Stranger::new(Rng::new(lan.seed()).fork(0xf100d), lan.servers[0].public_key(), lan.servers[0].realm())
}

/// Datagram `n` of a stranger, from an address that nobody has.
fn flight(stranger: &mut Stranger, lan: &Lan, n: u64) -> Flight {
    let bytes = stranger.datagram(n);
    let host = u8::try_from(stranger.rng.below(250)).unwrap_or(0);
    let from = ([203, 0, 113, host], u16::try_from(stranger.rng.within(&(1..=65_535))).unwrap_or(1)).into();
    let (to, broadcast) = (lan.servers[0].address, n.is_multiple_of(5));
    Flight { id: u64::MAX - n, sender: Sender::Stranger, from, to, broadcast, heard: 0, bytes }
}

#[test]
fn a_closed_site_answers_nothing_to_a_flood_of_random_and_valid_looking_datagrams() {
    let mut lan = Plan::seeded(81).closed_site().feature("cad", 10).check_every(10_000).start();
    let seats: Vec<_> = (0..10).map(|_| lan.checkout("cad", 1)).collect();
    lan.run_for(MINUTE);
    assert!(seats.iter().all(|seat| lan.holds(*seat)));
    let mut stranger = stranger(&lan);
    let before = lan.report.to_strangers;
    for burst in 0..FLOOD / 1000 {
        let flights: Vec<_> = (0..1000).map(|n| flight(&mut stranger, &lan, burst * 1000 + n)).collect();
        lan.flood(flights);
        lan.run_for(SECOND / 2);
    }
    assert_eq!(lan.report.to_strangers, before, "answers");
    assert!(seats.iter().all(|seat| lan.holds(*seat)), "the flood cost somebody a lease");
    assert_eq!(lan.report.lost, 0);
    let received = lan.servers[0].counter("datagrams_received");
    println!("{FLOOD} datagrams of strangers, {received} received in all, 0 answers, 10 leases kept");
}

#[test]
fn an_open_site_never_sends_a_stranger_more_than_it_got() {
    let mut lan = Plan::seeded(82).feature("cad", 10).check_every(10_000).start();
    let seat = lan.checkout("cad", 1);
    lan.run_for(MINUTE);
    let mut stranger = stranger(&lan);
    for burst in 0..FLOOD / 10_000 {
        let flights: Vec<_> = (0..1000).map(|n| flight(&mut stranger, &lan, burst * 1000 + n)).collect();
        lan.flood(flights);
        lan.run_for(SECOND);
    }
    let answers = lan.report.to_strangers;
    assert!(answers > 0, "an open site answers HELLO1 with RETRY");
    assert!(lan.worst_ratio() <= 1.0, "{}", lan.worst_ratio());
    assert!(lan.holds(seat));
    println!("{answers} answers to strangers, worst ratio {:.3}", lan.worst_ratio());
}

/// Says everything again that a client says: sooner than the client's own copy arrives, from an address of the liar's
/// choice; and later, from the true one.
fn parrot(victim: SocketAddr, heard: Rc<RefCell<Vec<Flight>>>) -> leasehold_tests::lan::Tap {
    Box::new(move |flight: &Flight, rng: &mut Rng| {
        heard.borrow_mut().push(flight.clone());
        let forged = Flight { from: victim, sender: Sender::Stranger, heard: 0, ..flight.clone() };
        let again = Flight { sender: Sender::Stranger, ..flight.clone() };
        match rng.below(3) {
            0 => vec![(0, forged)],
            1 => vec![(0, again), (rng.within(&(1..=100_000)), forged)],
            _ => vec![(rng.within(&(1..=200_000)), again)],
        }
    })
}

#[test]
fn overheard_datagrams_said_again_from_anywhere_change_nothing_and_amplify_nothing() {
    for seed in 0..5 {
        let mut lan = Plan::seeded(830 + seed).latency_ms(5..=50).feature("cad", 5).check_every(50).start();
        let heard = Rc::new(RefCell::new(Vec::new()));
        let victim: SocketAddr = ([203, 0, 113, 9], 53_000).into();
        lan.tap(parrot(victim, Rc::clone(&heard)));
        let seats: Vec<_> = (0..5).map(|_| lan.checkout("cad", 1)).collect();
        for _ in 0..6 {
            lan.run_for(10 * MINUTE);
            assert!(lan.clients.len() == 5 && lan.seats_out(0, "cad") <= 5);
        }
        assert!(seats.iter().all(|seat| lan.holds(*seat)), "seed {}", lan.seed());
        assert_eq!(lan.report.lost, 0);
        let victims = lan.servers[0].accounts.of(victim);
        assert!(!victims.proved && victims.sent_unproved <= victims.received, "{victims:?}");
        // And all of it once more, long after, in one go.
        let all = heard.take();
        let grants = lan.report.server_grants;
        let accepted = lan.servers[0].counter("data_accepted");
        let count = all.len();
        lan.flood(all.into_iter().map(|f| Flight { sender: Sender::Stranger, ..f }).collect());
        lan.run_for(SECOND);
        assert_eq!(lan.report.server_grants, grants);
        println!("seed {}: {count} overheard datagrams said again, {accepted} accepted before", lan.seed());
        lan.run_for(HOUR);
        assert!(seats.iter().all(|seat| lan.holds(*seat)));
        lan.check_ledger();
    }
}

#[test]
fn one_sessions_datagrams_are_noise_to_another() {
    let mut lan = Plan::seeded(84).feature("cad", 10).start();
    let (mut a, mut b) = (Raw::new(&mut lan, 0), Raw::new(&mut lan, 0));
    a.connect(&mut lan);
    b.connect(&mut lan);
    let request = a.request("cad", 1, ClaimKey([1; 16]));
    assert_eq!(a.ask(&mut lan, &[request], 512).len(), 1);
    let request = b.request("cad", 1, ClaimKey([2; 16]));
    assert_eq!(b.ask(&mut lan, &[request], 512).len(), 1);
    let request = a.request("cad", 1, ClaimKey([3; 16]));
    let mut sealed = a.seal(&[request], 512);
    let theirs = b.seal(&[], 32);
    sealed[4..8].copy_from_slice(&theirs[4..8]);
    let (before, forged) = (lan.seats_out(0, "cad"), lan.servers[0].counter("drop_forged"));
    a.put(&mut lan, sealed);
    lan.run_for(SECOND);
    assert_eq!(lan.seats_out(0, "cad"), before);
    assert_eq!(lan.servers[0].counter("drop_forged"), forged + 1);
}

#[test]
fn every_bit_of_a_sealed_datagram_counts() {
    let mut lan = Plan::seeded(85).feature("cad", 100).check_every(1000).start();
    let mut raw = Raw::new(&mut lan, 0);
    raw.connect(&mut lan);
    let request = raw.request("cad", 1, ClaimKey([1; 16]));
    let sealed = raw.seal(&[request], 0);
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        raw.put(&mut lan, changed);
    }
    lan.run_for(SECOND);
    assert!(raw.answers(&mut lan).is_empty());
    assert_eq!(lan.seats_out(0, "cad"), 0);
    raw.put(&mut lan, sealed);
    lan.run_for(SECOND);
    assert_eq!(lan.seats_out(0, "cad"), 1, "the one that nobody changed is taken");
}

#[test]
fn an_authentic_client_that_talks_nonsense_harms_nobody() {
    let mut lan = Plan::seeded(86).feature("cad", 3).check_every(500).start();
    let seat = lan.checkout("cad", 1);
    let mut raw = Raw::new(&mut lan, 0);
    raw.connect(&mut lan);
    let mut rng = Rng::new(lan.seed());
    for n in 0..3000_u64 {
        let mut plaintext = vec![0; usize::try_from(rng.within(&(0..=1168))).unwrap_or(0)];
        rng.fill(&mut plaintext);
        if n % 2 == 0 && plaintext.len() > 4 {
            // A frame header that is right, around nonsense.
            plaintext[0] = u8::try_from(rng.below(32)).unwrap_or(2);
            plaintext[1] = 0;
            let len = u16::try_from(plaintext.len() - 4).unwrap_or(0);
            plaintext[2..4].copy_from_slice(&len.to_le_bytes());
        }
        let sealed = raw.seal_plaintext(&plaintext);
        raw.put(&mut lan, sealed);
        if n % 100 == 0 {
            lan.run_for(SECOND);
        }
    }
    lan.run_for(10 * MINUTE);
    assert!(lan.holds(seat));
    assert_eq!(lan.seats_out(0, "cad"), 1);
}

#[test]
fn a_new_address_gets_no_more_than_it_gave_until_it_echoes_the_challenge() {
    let names: Vec<String> = (0..40).map(|n| format!("a_feature_with_quite_a_long_name_{n}")).collect();
    let mut lan = names.iter().fold(Plan::seeded(87), |plan, name| plan.feature(name, 10)).start();
    let mut raw = Raw::new(&mut lan, 0);
    raw.connect(&mut lan);
    for _ in 0..50 {
        raw.roam(&mut lan);
        for _ in 0..5 {
            let operation = raw.operation();
            let query = ClientFrame::FeatureQuery(FeatureQuery { operation, only: None, after: None });
            let proof = ClientFrame::ProofQuery(ProofQuery { operation: raw.operation() });
            let short = raw.seal(&[query, proof], 0);
            raw.put(&mut lan, short);
        }
        lan.run_for(SECOND);
    }
    assert!(lan.worst_ratio() <= 1.0, "{}", lan.worst_ratio());
}

#[test]
fn keys_that_are_no_points_and_handshakes_of_strangers_leave_nothing_behind() {
    let mut lan = Plan::seeded(88).feature("cad", 3).start();
    for _ in 0..200 {
        let mut raw = Raw::new(&mut lan, 0);
        raw.keys = Keypair::from_private([0; 32]);
        raw.connect(&mut lan);
    }
    let seat = lan.checkout("cad", 1);
    lan.run_for(MINUTE);
    assert!(lan.holds(seat));
    assert_eq!(lan.servers[0].shared().map(|s| s.live_sessions()), Some(1), "half-open handshakes are no sessions");
}
