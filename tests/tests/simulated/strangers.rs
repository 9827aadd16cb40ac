//! Strangers: those who send noise, those who forge addresses, those who say again what they overheard.

use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use leasehold_protocol::{
    Entropy,
    crypto::{Keypair, PublicKey, SiteKey, mac::MacKey},
    message::{ClientFrame, FeatureQuery, ProofQuery},
    packet::{Discover, Hello1, PacketType, Prefix},
    vocab::ClaimKey,
};
use leasehold_tests::{
    HOUR, Lan, MINUTE, Plan, SECOND,
    net::{Flight, Sender},
    raw::Raw,
    rng::Rng,
};
use zerocopy::{FromBytes, IntoBytes};

/// Datagrams of the flood: "must show 5" asks for 10^6.
const FLOOD: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

/// Someone without the site's key who knows everything else: the server's key, the realm, the layouts.
struct Stranger {
    rng: Rng,
    server: PublicKey,
    to: SocketAddr,
}

impl Stranger {
    /// A datagram that is as right as a stranger can make it, or plain noise.
    fn datagram(&mut self, n: u64) -> Vec<u8> {
        match n % 8 {
            0 => self.noise(),
            1 => self.hello(&MacKey::hello(&self.server, &SiteKey::OPEN)),
            2 => {
                let mut key = [0; 32];
                self.rng.fill(&mut key);
                self.hello(&MacKey::hello(&self.server, &SiteKey(key)))
            }
            3 => self.discover(&MacKey::discovery(&SiteKey::OPEN)),
            4 => self.data(PacketType::DataToServer),
            5 => self.data(PacketType::DataToClient),
            6 => self.prefixed(),
            _ => [PacketType::Retry, PacketType::Hello2, PacketType::Offer]
                .map(|kind| self.of_kind(kind))
                .into_iter()
                .nth(usize::try_from(n / 8 % 3).unwrap_or(0))
                .unwrap_or_default(),
        }
    }

    fn noise(&mut self) -> Vec<u8> {
        let len = self.rng.within(&(0..=1500));
        self.random(len)
    }

    fn random(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// Every first byte and every type in turn, the rest noise.
    fn prefixed(&mut self) -> Vec<u8> {
        let len = self.rng.within(&(32..=1200));
        let mut bytes = self.random(len);
        bytes[0] = 0x1e;
        bytes[1] = 0x10 | (bytes[1] & 15);
        bytes[2..4].fill(0);
        bytes
    }

    fn of_kind(&mut self, kind: PacketType) -> Vec<u8> {
        let len = match kind {
            PacketType::Retry => 56,
            PacketType::Hello2 => 112,
            _ => 85,
        };
        let mut bytes = self.random(len);
        bytes[..4].copy_from_slice(Prefix::of(kind).as_bytes());
        bytes
    }

    fn hello(&mut self, mac: &MacKey) -> Vec<u8> {
        let bytes = self.random(168);
        let Ok(mut hello) = Hello1::read_from_bytes(&bytes) else { return bytes };
        hello.prefix = Prefix::of(PacketType::Hello1);
        hello.realm = 0x1234.into();
        hello.zero = 0.into();
        hello.mac1 = mac.of(&hello.as_bytes()[..136]);
        hello.as_bytes().to_vec()
    }

    fn discover(&mut self, mac: &MacKey) -> Vec<u8> {
        let mut nonce = [0; 8];
        self.rng.fill(&mut nonce);
        let mut discover = Discover {
            prefix: Prefix::of(PacketType::Discover),
            realm: 0.into(),
            nonce,
            versions: 2.into(),
            zero: [0; 6],
            mac: [0; 16],
            padding: [0; 152],
        };
        discover.mac = mac.of(&discover.as_bytes()[..24]);
        discover.as_bytes().to_vec()
    }

    fn data(&mut self, kind: PacketType) -> Vec<u8> {
        let len = self.rng.within(&(32..=1200));
        let mut bytes = self.random(len);
        bytes[..4].copy_from_slice(Prefix::of(kind).as_bytes());
        // Session ids are small numbers in this world: guess among the live ones.
        bytes[4..8].copy_from_slice(&u32::try_from(self.rng.below(64)).unwrap_or(0).to_le_bytes());
        bytes
    }

    fn flight(&mut self, n: u64) -> Flight {
        let bytes = self.datagram(n);
        let host = u8::try_from(self.rng.below(250)).unwrap_or(0);
        let from = ([203, 0, 113, host], u16::try_from(self.rng.within(&(1..=65_535))).unwrap_or(1)).into();
        let broadcast = n.is_multiple_of(5);
        Flight { id: u64::MAX - n, sender: Sender::Stranger, from, to: self.to, broadcast, heard: 0, bytes }
    }
}

fn stranger(lan: &Lan) -> Stranger {
    Stranger {
        rng: Rng::new(lan.seed()).fork(0xf100d),
        server: lan.servers[0].public_key(),
        to: lan.servers[0].address,
    }
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
        let flights: Vec<_> = (0..1000).map(|n| stranger.flight(burst * 1000 + n)).collect();
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
    let realm = lan.servers[0].realm().0;
    for burst in 0..FLOOD / 10_000 {
        let flights: Vec<_> = (0..1000)
            .map(|n| {
                let mut flight = stranger.flight(burst * 1000 + n);
                // At an open site everybody can make a mac1 and a realm that are right.
                if let Ok(hello) = Hello1::mut_from_bytes(&mut flight.bytes) {
                    hello.realm = realm.into();
                    let mac1 = MacKey::hello(&stranger.server, &SiteKey::OPEN).of(&hello.as_bytes()[..136]);
                    hello.mac1 = mac1;
                }
                flight
            })
            .collect();
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
