//! The server's core, two workers over one table, between clients that keep no rule of behaviour and a network that does
//! anything. Beside it stands a twin that knows only what was said to have happened.

mod client;
mod twin;

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
};

use leasehold_core::{Engine, Event, Path, RealmConfig, ServerConfig, SessionEnd, Shared};
use leasehold_protocol::{
    crypto::{Keypair, SiteKey, ticket::TicketKey},
    frame::{self, Frames, RawFrame},
    licence::{Certificate, KeyType, SeatLimit, SignedCertificate, Terms, canonical},
    message::{ClientFrame, Known},
    packet::{self, DATAGRAM_MAX},
    time::{Mono, Now, UnixMillis},
    vocab::{FeatureName, Label, RealmId, SeatCount, Version},
};

use crate::chance::{Chance, counting};
use client::Client;
use twin::Twin;

/// Operations one input gets at most.
const OPERATIONS_MAX: usize = 200;
/// How often a timeout may ask to be called again at the same moment.
const TURNS_MAX: usize = 8;
/// Datagrams remembered, to be sent again.
const KEPT: usize = 12;
/// Handshakes one input gets: four fifths of all time go into them.
const HANDSHAKES_MAX: u32 = 5;
const TTL_S: u32 = 10;
const START: Mono = Mono(1_000_000);
const DAY_MS: u64 = 86_400_000;

/// Plays the operations that `bytes` spell.
pub fn run(bytes: &[u8]) {
    play(World::new(Chance::new(bytes)));
}

/// As [`run`], on a server with a fault put in on purpose: some input of the corpus must notice each.
#[cfg(feature = "planted-faults")]
pub fn run_with(fault: leasehold_core::Fault, bytes: &[u8]) {
    let mut world = World::new(Chance::new(bytes));
    world.fault = fault;
    world.shared.plant(fault);
    play(world);
}

fn play(mut world: World<'_>) {
    for _ in 0..OPERATIONS_MAX {
        if world.chance.is_over() {
            break;
        }
        world.operation();
        world.settle();
    }
}

struct World<'a> {
    chance: Chance<'a>,
    now: Now,
    site: SiteKey,
    shared: Arc<Shared>,
    engines: [Engine; 2],
    clients: [Client; 3],
    twin: Twin,
    /// What was sent to the server, newest first, with the address it came from.
    kept: VecDeque<(usize, Vec<u8>)>,
    starts: u64,
    handshakes: u32,
    #[cfg(feature = "planted-faults")]
    fault: leasehold_core::Fault,
}

/// Where datagrams come from. Clients move between them, and two may use one.
const ADDRESSES: [SocketAddr; 6] = [
    v4(10, 0, 0, 1, 50_001),
    v4(10, 0, 0, 1, 50_002),
    v4(10, 0, 7, 2, 50_001),
    v4(127, 0, 0, 1, 50_001),
    v4(10, 0, 0, 9, 53),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 5)), 50_001),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

fn publisher() -> Label {
    Label::new("fuzz").expect("a label")
}

fn server_keys() -> &'static Keypair {
    static KEYS: OnceLock<Keypair> = OnceLock::new();
    KEYS.get_or_init(|| Keypair::from_private([0x70; 32]))
}

/// Licences to change between: plenty, few, other terms, none.
fn licences() -> &'static [Vec<SignedCertificate>; 4] {
    static LICENCES: OnceLock<[Vec<SignedCertificate>; 4]> = OnceLock::new();
    LICENCES.get_or_init(|| {
        let mesh = signed("MESH", SeatLimit::Uncounted, KeyType::Exclusive, None);
        let counted = |n| SeatLimit::Counted(SeatCount::new(n).expect("a count"));
        let more = signed("VR", counted(2), KeyType::Additive, Some("2026-11-22"));
        [
            vec![signed("VR", counted(3), KeyType::Exclusive, None), mesh.clone()],
            vec![signed("VR", counted(1), KeyType::Exclusive, None)],
            vec![signed("VR", counted(1), KeyType::Exclusive, Some("2026-11-23")), more, mesh],
            Vec::new(),
        ]
    })
}

fn signed(feature: &str, count: SeatLimit, key_type: KeyType, end: Option<&str>) -> SignedCertificate {
    let certificate = Certificate {
        publisher: publisher(),
        feature: FeatureName::new(feature).expect("a name"),
        version: Version { major: 4, minor: 0, patch: 0 },
        count,
        key_type,
        zone: "UTC".into(),
        start: None,
        end: end.map(|day| day.parse().expect("a day")),
        terms: Terms { lease_ttl_s: Some(TTL_S), ..Terms::default() },
    };
    canonical::sign(&certificate, crate::licence_text::secret())
}

impl<'a> World<'a> {
    fn new(mut chance: Chance<'a>) -> Self {
        let setup = chance.byte();
        let site = if setup & 1 == 1 { SiteKey([9; 32]) } else { SiteKey::OPEN };
        let now = Now { mono: START, wall: UnixMillis(1_795_334_400_000) };
        let (shared, engines) = start(1, &site, None, now);
        let clients = [0, 1, 2].map(|n| Client::new(n, site.clone()));
        let (twin, kept) = (Twin::default(), VecDeque::new());
        Self {
            chance,
            now,
            site,
            shared,
            engines,
            clients,
            twin,
            kept,
            starts: 1,
            handshakes: 0,
            #[cfg(feature = "planted-faults")]
            fault: leasehold_core::Fault::None,
        }
    }

    fn operation(&mut self) {
        match self.chance.byte() % 18 {
            0 | 1 => self.connect(),
            2..=7 => self.ask(),
            8 => self.babble(),
            9 => self.noise(),
            10 => self.again(),
            11 => self.tamper(),
            12 | 13 => self.wait(),
            14 => {
                let (who, at) = (self.chance.below(3), self.chance.below(ADDRESSES.len()));
                self.clients[who].at = at;
            }
            15 => self.discover(),
            16 => {
                let certificates = licences()[self.chance.below(4)].clone();
                self.shared.load(RealmId::of(&publisher()), certificates, self.now);
            }
            _ => self.rarely(),
        }
    }

    fn rarely(&mut self) {
        match self.chance.byte() % 8 {
            0 => self.restart(),
            1 if self.chance.below(4) == 3 => self.shared.begin_drain(),
            2 => self.engines[0].begin_goodbye(self.now),
            3 => self.now.wall.0 = self.now.wall.0.wrapping_add_signed((self.chance.u64() as i64) >> 30),
            _ => self.engines[self.chance.below(2)].handle_timeout(self.now),
        }
    }

    /// The server forgets everything but its keys, and waits for those it may have granted to.
    fn restart(&mut self) {
        self.starts += 1;
        let blind_until = self.now.mono.plus_ms(u64::from(TTL_S) * 1000);
        (self.shared, self.engines) = start(self.starts, &self.site, Some(blind_until), self.now);
        #[cfg(feature = "planted-faults")]
        self.shared.plant(self.fault);
        self.twin.forget_leases();
        self.clients.iter_mut().for_each(Client::forget_sessions);
    }

    /// A whole handshake, as far as the server goes along.
    fn connect(&mut self) {
        if self.handshakes == HANDSHAKES_MAX {
            return;
        }
        self.handshakes += 1;
        let who = self.chance.below(3);
        let from = self.clients[who].at;
        let hello = self.clients[who].hello1(self.now, self.chance.coin());
        self.hand_over(from, hello);
        self.settle();
        if let Some(hello) = self.clients[who].hello1_again() {
            self.twin.prove(ADDRESSES[from]);
            self.hand_over(from, hello);
        }
    }

    /// One to four frames of a client that says what it likes.
    fn ask(&mut self) {
        let who = self.chance.below(3);
        let client = &mut self.clients[who];
        let mut frames = Vec::new();
        for _ in 0..=self.chance.below(4) {
            frames.push(client.any_frame(&mut self.chance, &self.twin));
        }
        let Some(bytes) = client.seal_frames(&frames, &mut self.chance) else { return };
        self.say(who, &frames, bytes);
    }

    /// A client that holds the keys seals any bytes at all.
    fn babble(&mut self) {
        let who = self.chance.below(3);
        let mut plaintext = self.chance.bytes(packet::PLAINTEXT_MAX).to_vec();
        frame::pad(&mut plaintext, 0);
        let known = |raw: RawFrame<'_>| match ClientFrame::decode(raw) {
            Ok(Known::Frame(frame)) => Some(frame),
            _ => None,
        };
        let frames: Vec<_> = Frames::new(&plaintext).map_while(Result::ok).filter_map(known).collect();
        if let Some(bytes) = self.clients[who].seal(plaintext, 0) {
            self.say(who, &frames, bytes);
        }
    }

    /// Hands over a datagram that a client sealed.
    fn say(&mut self, who: usize, frames: &[ClientFrame], bytes: Vec<u8>) {
        let from = self.clients[who].at;
        frames.iter().for_each(|frame| self.twin.said(ADDRESSES[from], frame, &self.clients[who]));
        self.twin.authentic = true;
        self.hand_over(from, bytes);
    }

    fn hand_over(&mut self, from: usize, bytes: Vec<u8>) {
        let worker = self.chance.below(2);
        let path = self.path(from);
        self.twin.received(path.from, bytes.len());
        let mut copy = bytes.clone();
        self.engines[worker].handle_datagram(self.now, path, &mut copy);
        self.kept.push_front((from, bytes));
        self.kept.truncate(KEPT);
    }

    fn path(&mut self, from: usize) -> Path {
        let flags = self.chance.byte();
        Path { from: ADDRESSES[from], local: None, on_link: flags & 1 == 0, broadcast: flags & 2 == 2 }
    }

    fn noise(&mut self) {
        let from = self.chance.below(ADDRESSES.len());
        let bytes = self.chance.bytes(DATAGRAM_MAX + 5).to_vec();
        self.hand_over(from, bytes);
    }

    fn again(&mut self) {
        let (n, from) = (self.chance.below(KEPT), self.chance.below(ADDRESSES.len()));
        if let Some((_, bytes)) = self.kept.get(n).cloned() {
            self.hand_over(from, bytes);
        }
    }

    fn tamper(&mut self) {
        let (n, from) = (self.chance.below(KEPT), self.chance.below(ADDRESSES.len()));
        let Some((_, mut bytes)) = self.kept.get(n).cloned() else { return };
        let at = (usize::from(self.chance.byte()) << 8 | usize::from(self.chance.byte())) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= self.chance.byte();
        }
        self.hand_over(from, bytes);
    }

    fn wait(&mut self) {
        let next = self.engines.iter().filter_map(Engine::poll_timeout).min();
        let by = match self.chance.coin() {
            true => next.map_or(1, |at| at.ms_since(self.now.mono)).min(86_400_000),
            false => self.chance.wait_ms(),
        };
        self.now.mono = self.now.mono.plus_ms(by);
        self.now.wall.0 = self.now.wall.0.saturating_add(by);
        let worker = self.chance.below(2);
        self.engines[worker].handle_timeout(self.now);
    }

    fn discover(&mut self) {
        let from = self.chance.below(ADDRESSES.len());
        let realm = if self.chance.coin() { RealmId::of(&publisher()) } else { RealmId::ANY };
        let bytes = client::discover(realm, &self.site, self.chance.array());
        self.hand_over(from, bytes);
    }

    /// After every operation: drain, and look at what must hold.
    fn settle(&mut self) {
        for turn in 0.. {
            self.drain();
            let next = self.engines.iter().filter_map(Engine::poll_timeout).min();
            if next.is_none_or(|at| at > self.now.mono) {
                break;
            }
            assert!(turn < TURNS_MAX, "wanted again at {:?} and again", self.now.mono);
            self.engines.iter_mut().for_each(|engine| engine.handle_timeout(self.now));
        }
        self.twin.authentic = false;
        self.shared.check_ledger().unwrap_or_else(|e| panic!("{e}"));
        self.twin.agrees(self.now, &self.shared.leases(self.now));
    }

    fn drain(&mut self) {
        let mut out = Vec::new();
        for engine in &mut self.engines {
            while let Some(event) = engine.poll_event() {
                if let Event::SessionClosed { why, .. } = &event {
                    let by_itself = match why {
                        SessionEnd::TooOld => self.now.mono.ms_since(START) >= DAY_MS,
                        why => *why == SessionEnd::Reclaimed,
                    };
                    assert!(by_itself || self.twin.authentic, "{event:?} by a datagram that nobody sealed");
                }
                if let Event::Granted(granted) = &event {
                    no_seat_too_many(&self.shared, self.now, &granted.feature);
                }
                self.twin.happened(self.now, &event);
            }
            while let Some(transmit) = engine.poll_transmit(&mut out) {
                assert!(packet::read_to_client(&out).is_ok(), "a datagram no client reads");
                self.twin.sent(transmit.to, out.len());
                for client in &mut self.clients {
                    client.hear(transmit.to, &out, &mut self.twin);
                }
            }
        }
    }
}

/// Where seats were granted, no more are out than there are: what stands above is never added to (L-10).
fn no_seat_too_many(shared: &Shared, now: Now, name: &FeatureName) {
    let features = shared.features(now);
    let feature = features.iter().find(|feature| feature.name == *name).expect("it was granted");
    assert!(feature.count.is_none_or(|count| feature.used <= count), "{feature:?}");
}

/// A server's start: small tables, so that they fill up.
fn start(boot_id: u64, site: &SiteKey, blind_until: Option<Mono>, now: Now) -> (Arc<Shared>, [Engine; 2]) {
    let config = ServerConfig {
        boot_id,
        leases_max: 6,
        sessions_max: 8,
        half_open_max: 4,
        handshakes_per_second: 8,
        handshakes_per_prefix: 6,
        discovers_per_second: 8,
        blind_until,
        ..ServerConfig::default()
    };
    let realm = RealmConfig {
        publisher: publisher(),
        keys: server_keys().clone(),
        site: site.clone(),
        ticket_keys: vec![TicketKey { id: 1, secret: [4; 32] }],
    };
    let shared = Shared::new(config, vec![realm], &mut counting(boot_id));
    shared.load(RealmId::of(&publisher()), licences()[0].clone(), now);
    let engines = [1, 2].map(|n| Engine::new(shared.clone(), Box::new(counting(boot_id << 8 | n))));
    (shared, engines)
}
