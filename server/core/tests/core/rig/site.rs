//! One server, one publisher, one clock.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use leasehold_core::{
    Engine, Event, FeatureStatus, HeldLease, Path, PlanReport, RealmConfig, Restoration, ServerConfig, Shared, Transmit,
};
use leasehold_protocol::{
    crypto::{Keypair, SiteKey, ticket::TicketKey},
    licence::{Certificate, KeyType, PublisherSecret, SeatLimit, SignedCertificate, Terms, canonical},
    time::{Mono, Now, UnixMillis},
    vocab::{FeatureName, Label, RealmId, SeatCount},
};

use super::Seeded;

/// A server, and what it said so far.
pub struct Site {
    pub shared: Arc<Shared>,
    pub engine: Engine,
    pub now: Now,
    pub keys: Keypair,
    pub key: SiteKey,
    pub publisher: PublisherSecret,
    pub events: Vec<Event>,
    /// Bytes from and to each address, over all datagrams.
    pub traffic: BTreeMap<SocketAddr, (usize, usize)>,
    config: ServerConfig,
}

/// A certificate in few words.
#[derive(Clone, Debug)]
pub struct Lot {
    pub certificate: Certificate,
}

/// 2026-01-05, 12:00 UTC, and a minute after boot.
fn noon() -> Now {
    Now { mono: Mono(60_000), wall: UnixMillis(1_767_614_400_000) }
}

impl Site {
    /// An open site with default numbers.
    pub fn new() -> Self {
        Self::with(ServerConfig::default(), SiteKey::OPEN)
    }

    pub fn with(config: ServerConfig, key: SiteKey) -> Self {
        let keys = Keypair::generate(&mut Seeded(1));
        let publisher = PublisherSecret::generate(&Label::new("acme").unwrap(), &mut Seeded(2));
        let (shared, engine) = start(&config, &keys, &key);
        Self { shared, engine, now: noon(), keys, key, publisher, events: vec![], traffic: BTreeMap::new(), config }
    }

    /// The same server, killed and started again: it remembers its keys and nothing else.
    pub fn restart(&mut self, config: ServerConfig) {
        (self.shared, self.engine) = start(&config, &self.keys, &self.key);
        self.config = config;
    }

    /// The leases that are out, as who reads every event would have written them down.
    pub fn written(&self) -> Vec<HeldLease> {
        let mut held = BTreeMap::new();
        for event in &self.events {
            match event {
                Event::Granted(granted) => drop(held.insert(granted.lease, HeldLease::from(&**granted))),
                Event::Released(ended) | Event::Expired(ended) => drop(held.remove(&ended.lease)),
                _ => {}
            }
        }
        held.into_values().collect()
    }

    /// Killed and started again with `lots`, and with what was written down.
    pub fn revive(&mut self, lots: &[Lot]) -> Restoration {
        let written = self.written();
        self.restart(ServerConfig { boot_id: self.config.boot_id + 1, ..self.config.clone() });
        self.load(lots);
        let done = self.shared.restore(written, self.now);
        self.shared.check_ledger().unwrap();
        done
    }

    /// One more worker of the same server.
    pub fn worker(&self, seed: u64) -> Engine {
        Engine::new(self.shared.clone(), Box::new(Seeded(seed)))
    }

    pub fn realm(&self) -> RealmId {
        RealmId::of(&Label::new("acme").unwrap())
    }

    pub fn sign(&self, lot: &Lot) -> SignedCertificate {
        canonical::sign(&lot.certificate, &self.publisher)
    }

    pub fn load(&mut self, lots: &[Lot]) -> PlanReport {
        let signed = lots.iter().map(|lot| self.sign(lot)).collect();
        self.shared.load(self.realm(), signed, self.now)
    }

    /// Feeds `bytes` and returns what the server says to anybody.
    pub fn feed(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<(Transmit, Vec<u8>)> {
        self.feed_over(Path::unicast(from), bytes)
    }

    pub fn feed_over(&mut self, path: Path, bytes: &[u8]) -> Vec<(Transmit, Vec<u8>)> {
        self.traffic.entry(path.from).or_default().0 += bytes.len();
        self.engine.handle_datagram(self.now, path, &mut bytes.to_vec());
        while self.engine.handle_waiting(self.now) {}
        self.drain()
    }

    /// Moves both clocks by `ms`, stopping wherever the engine wants to be called.
    pub fn advance(&mut self, ms: u64) -> Vec<(Transmit, Vec<u8>)> {
        let (end, mut said) = (self.now.mono.plus_ms(ms), vec![]);
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.step_to(at.max(self.now.mono));
            self.engine.handle_timeout(self.now);
            said.extend(self.drain());
        }
        self.step_to(end);
        said
    }

    /// Moves both clocks by `ms` and calls nobody: a server that was too busy to look.
    pub fn sleep(&mut self, ms: u64) {
        self.step_to(self.now.mono.plus_ms(ms));
    }

    pub fn drain(&mut self) -> Vec<(Transmit, Vec<u8>)> {
        let (mut said, mut out) = (vec![], vec![]);
        while let Some(transmit) = self.engine.poll_transmit(&mut out) {
            self.traffic.entry(transmit.to).or_default().1 += out.len();
            said.push((transmit, out.clone()));
        }
        self.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
        self.shared.check_ledger().unwrap();
        said
    }

    pub fn feature(&self, name: &str) -> FeatureStatus {
        let all = self.shared.features(self.now);
        all.into_iter().find(|feature| feature.name.as_str() == name).expect("a feature of that name")
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.shared.counters().into_iter().find(|(n, _)| *n == name).expect("a counter of that name").1
    }

    fn step_to(&mut self, at: Mono) {
        let ms = at.ms_since(self.now.mono);
        self.now = Now { mono: at, wall: UnixMillis(self.now.wall.0 + ms) };
    }
}

impl Lot {
    /// An additive certificate that is always in force.
    pub fn of(feature: &str, seats: u32) -> Self {
        let certificate = Certificate {
            publisher: Label::new("acme").unwrap(),
            feature: FeatureName::new(feature).unwrap(),
            version: "4.8".parse().unwrap(),
            count: SeatLimit::Counted(SeatCount::new(seats).unwrap()),
            key_type: KeyType::Additive,
            zone: "UTC".to_owned(),
            start: None,
            end: None,
            terms: Terms::default(),
        };
        Self { certificate }
    }

    pub fn version(mut self, version: &str) -> Self {
        self.certificate.version = version.parse().unwrap();
        self
    }

    pub fn exclusive(mut self) -> Self {
        self.certificate.key_type = KeyType::Exclusive;
        self
    }

    pub fn uncounted(mut self) -> Self {
        self.certificate.count = SeatLimit::Uncounted;
        self
    }

    pub fn start(mut self, day: &str) -> Self {
        self.certificate.start = Some(day.parse().unwrap());
        self
    }

    pub fn end(mut self, day: &str) -> Self {
        self.certificate.end = Some(day.parse().unwrap());
        self
    }

    pub fn zone(mut self, zone: &str) -> Self {
        self.certificate.zone = zone.to_owned();
        self
    }

    pub fn ttl_s(mut self, s: u32) -> Self {
        self.certificate.terms.lease_ttl_s = Some(s);
        self
    }

    pub fn serial(mut self, serial: &str) -> Self {
        self.certificate.terms.serial = Some(serial.to_owned());
        self
    }

    pub fn terms(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        change(&mut self.certificate.terms);
        self
    }
}

fn start(config: &ServerConfig, keys: &Keypair, site: &SiteKey) -> (Arc<Shared>, Engine) {
    let realm = RealmConfig {
        publisher: Label::new("acme").unwrap(),
        keys: keys.clone(),
        site: site.clone(),
        ticket_keys: vec![TicketKey { id: 2, secret: [8; 32] }, TicketKey { id: 1, secret: [7; 32] }],
    };
    let shared = Shared::new(config.clone(), vec![realm], &mut Seeded(3));
    let engine = Engine::new(shared.clone(), Box::new(Seeded(4)));
    (shared, engine)
}
