//! A network in memory: one holder, some servers, a clock that jumps from one event to the next, and faults on the wire.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use leasehold_protocol::{
    Entropy,
    crypto::{Keypair, PublicKey, SiteKey},
    message::{self, BundleItem},
    time::{Mono, Now, UnixMillis},
    vocab::{DeviceId, FeatureName, Label, RealmId, SeatCount, Version},
};

use super::{
    super::{
        BundleHandle, CheckoutSpec, Destination, Holder, HolderConfig, HolderEvent, Identity, LeaseHandle, LeaseState,
        Target,
    },
    server::{TestServer, seeded},
};

/// Everything there is.
pub(super) struct Lan {
    pub(super) now: Mono,
    pub(super) wall_ahead_ms: u64,
    pub(super) holder: Holder,
    pub(super) servers: Vec<(SocketAddr, TestServer)>,
    /// More addresses of the first server.
    pub(super) also_at: Vec<SocketAddr>,
    pub(super) events: Vec<(Mono, HolderEvent)>,
    pub(super) wire: Wire,
    /// What the holder sent, and when.
    pub(super) sent: Vec<(Mono, Destination, Vec<u8>)>,
    /// Changes what servers answer; returning nothing swallows it.
    pub(super) tamper: fn(Vec<u8>) -> Vec<Vec<u8>>,
    flying: BTreeMap<(Mono, u64), Flight>,
    flights: u64,
}

/// What the network does to datagrams, in percent and milliseconds.
pub(super) struct Wire {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) delay_ms: (u64, u64),
    rng: Box<dyn Entropy>,
}

enum Flight {
    ToServer(usize, SocketAddr, Vec<u8>),
    ToHolder(SocketAddr, Vec<u8>),
}

/// More turns than this without the clock moving is a loop.
const TURNS_MAX: u32 = 2_000;
pub(super) const HOLDER: &str = "192.0.2.200:40000";

pub(super) fn server_at(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 5097))
}

pub(super) fn config() -> HolderConfig {
    HolderConfig { realm: RealmId::ANY, publisher_keys: Vec::new(), site: SiteKey::OPEN, sdk_version: 1 }
}

pub(super) fn everybody() -> Target {
    Target::Discover { to: Vec::new(), broadcast: true, pins: Vec::new() }
}

pub(super) fn spec(feature: &str) -> CheckoutSpec {
    let feature = FeatureName::new(feature).unwrap();
    CheckoutSpec { feature, version: Version::ANY, seats: SeatCount::ONE, claim: None }
}

fn identity(entropy: &mut dyn Entropy) -> Identity {
    let name = |text| Label::new(text).unwrap();
    let who = message::Holder {
        user: name("ada"),
        host: name("desk"),
        display: None,
        process: name("test"),
        pid: 1,
        project: None,
        device: DeviceId([4; 16]),
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    };
    Identity { keys: Keypair::generate(entropy), instance: [1; 8], who }
}

impl Lan {
    pub(super) fn new(seed: u64, config: HolderConfig) -> Self {
        let mut entropy = seeded(seed);
        let identity = identity(&mut entropy);
        Self {
            now: Mono(1_000),
            wall_ahead_ms: 1_700_000_000_000,
            holder: Holder::new(config, identity, Box::new(entropy)),
            servers: Vec::new(),
            also_at: Vec::new(),
            events: Vec::new(),
            wire: Wire { lost: 0, doubled: 0, delay_ms: (1, 1), rng: Box::new(seeded(seed + 1_000)) },
            sent: Vec::new(),
            tamper: |bytes| vec![bytes],
            flying: BTreeMap::new(),
            flights: 0,
        }
    }

    /// One server, one holder that looks for it by broadcast.
    pub(super) fn with_server(seed: u64) -> Self {
        let mut lan = Self::new(seed, config());
        lan.servers.push((server_at(1), TestServer::new(seed + 7)));
        lan.connect(everybody());
        lan
    }

    pub(super) fn server(&mut self) -> &mut TestServer {
        &mut self.servers[0].1
    }

    pub(super) fn key(&self, i: usize) -> PublicKey {
        self.servers[i].1.keys.public()
    }

    pub(super) fn clock(&self) -> Now {
        Now { mono: self.now, wall: UnixMillis(self.now.0 + self.wall_ahead_ms) }
    }

    pub(super) fn connect(&mut self, target: Target) {
        let now = self.clock();
        self.holder.connect(now, target);
        self.drain();
    }

    pub(super) fn checkout(&mut self, feature: &str) -> LeaseHandle {
        let now = self.clock();
        let lease = self.holder.checkout(now, spec(feature));
        self.drain();
        lease
    }

    pub(super) fn patient_checkout(&mut self, feature: &str, patience: Duration) -> LeaseHandle {
        let now = self.clock();
        let lease = self.holder.checkout_patiently(now, spec(feature), patience);
        self.drain();
        lease
    }

    pub(super) fn checkout_in_turn(&mut self, feature: &str, patience: Duration) -> LeaseHandle {
        let now = self.clock();
        let lease = self.holder.checkout_in_turn(now, spec(feature), patience);
        self.drain();
        lease
    }

    /// A bundle of one alternative: features, each with the seats wanted and the fewest that will do.
    pub(super) fn bundle(&mut self, items: &[(&str, u32, u32)], patience: Option<Duration>) -> BundleHandle {
        let item = |(feature, seats, at_least): &(&str, u32, u32)| BundleItem {
            feature: spec(feature).feature,
            version: spec(feature).version,
            seats: SeatCount::new(*seats).unwrap(),
            at_least: SeatCount::new(*at_least).unwrap(),
        };
        let now = self.clock();
        let bundle = self.holder.checkout_bundle(now, vec![items.iter().map(item).collect()], patience).unwrap();
        self.drain();
        bundle
    }

    pub(super) fn release(&mut self, lease: LeaseHandle) {
        let now = self.clock();
        self.holder.release(now, lease);
        self.drain();
    }

    /// A lease that is held.
    pub(super) fn hold(&mut self, feature: &str) -> LeaseHandle {
        let lease = self.checkout(feature);
        self.run_until(10_000, |lan| lan.state(lease) == Some(LeaseState::Healthy));
        lease
    }

    pub(super) fn state(&self, lease: LeaseHandle) -> Option<LeaseState> {
        self.holder.lease_state(lease)
    }

    /// Hands a datagram to the holder as if `from` had sent it.
    pub(super) fn inject(&mut self, from: SocketAddr, mut bytes: Vec<u8>) {
        let now = self.clock();
        self.holder.handle_datagram(now, from, &mut bytes);
        self.drain();
    }

    pub(super) fn announce(&mut self, say: &message::ServerFrame) {
        let at = self.servers[0].0;
        for datagram in self.server().announce(say) {
            self.fly(Flight::ToHolder(at, datagram));
        }
    }

    pub(super) fn run_for(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        self.run(end, |_| false);
    }

    /// Runs until `done`, and fails if that takes longer than `ms`. Returns how long it took.
    pub(super) fn run_until(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> u64 {
        let (began, end) = (self.now, self.now.plus_ms(ms));
        assert!(self.run(end, done), "not within {ms} ms; events: {:#?}", self.events);
        self.now.ms_since(began)
    }

    fn run(&mut self, end: Mono, done: impl Fn(&Self) -> bool) -> bool {
        let mut turns = 0;
        while !done(self) {
            let flight = self.flying.keys().next().map(|(at, _)| *at);
            let wanted = self.holder.poll_timeout();
            let next = [flight, wanted].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return done(self);
            }
            turns = if next > self.now { 0 } else { turns + 1 };
            assert!(turns < TURNS_MAX, "the holder keeps asking for {wanted:?} at {:?}", self.now);
            self.now = self.now.max(next);
            self.step();
            if next == end && self.flying.is_empty() && turns > 2 {
                return done(self);
            }
        }
        true
    }

    fn step(&mut self) {
        let now = self.clock();
        match self
            .flying
            .first_entry()
            .filter(|entry| entry.key().0 <= now.mono)
            .map(std::collections::btree_map::OccupiedEntry::remove)
        {
            Some(Flight::ToServer(i, at, mut bytes)) => {
                for answer in self.servers[i].1.handle(HOLDER.parse().unwrap(), &mut bytes) {
                    for answer in (self.tamper)(answer) {
                        self.fly(Flight::ToHolder(at, answer));
                    }
                }
            }
            Some(Flight::ToHolder(from, mut bytes)) => self.holder.handle_datagram(now, from, &mut bytes),
            None => self.holder.handle_timeout(now),
        }
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(to) = self.holder.poll_transmit(&mut out) {
            self.sent.push((self.now, to, out.clone()));
            let first = self.also_at.iter().map(|at| (0, *at));
            let all = self.servers.iter().enumerate().map(|(i, (at, _))| (i, *at)).chain(first);
            let reached: Vec<(usize, SocketAddr)> = match to {
                Destination::Broadcast => all.collect(),
                Destination::To(there) => all.filter(|(_, at)| *at == there).collect(),
            };
            reached.into_iter().for_each(|(i, at)| self.fly(Flight::ToServer(i, at, out.clone())));
        }
        while let Some(event) = self.holder.poll_event() {
            self.events.push((self.now, event));
        }
    }

    fn fly(&mut self, flight: Flight) {
        let copies = 1 + u64::from(self.wire.chance(self.wire.doubled));
        for _ in 0..copies {
            if self.wire.chance(self.wire.lost) {
                continue;
            }
            let at = self.now.plus_ms(self.wire.delay());
            self.flights += 1;
            let copy = match &flight {
                Flight::ToServer(i, at, bytes) => Flight::ToServer(*i, *at, bytes.clone()),
                Flight::ToHolder(from, bytes) => Flight::ToHolder(*from, bytes.clone()),
            };
            self.flying.insert((at, self.flights), copy);
        }
    }

    /// The states a lease went through, with when.
    pub(super) fn states(&self, of: LeaseHandle) -> Vec<(Mono, LeaseState)> {
        let change = |(at, event): &(Mono, HolderEvent)| match event {
            HolderEvent::StateChanged { lease, state } if *lease == of => Some((*at, *state)),
            _ => None,
        };
        self.events.iter().filter_map(change).collect()
    }

    pub(super) fn count(&self, is: impl Fn(&HolderEvent) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| is(event)).count()
    }

    pub(super) fn connected(&self) -> bool {
        self.holder.server().is_some()
    }
}

impl Wire {
    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.rng.next_u64() % 100 < percent
    }

    fn delay(&mut self) -> u64 {
        let (least, most) = self.delay_ms;
        least + self.rng.next_u64() % (most - least + 1)
    }
}
