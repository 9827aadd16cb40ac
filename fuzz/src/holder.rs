//! The client's sans-IO half between a program that does anything, a network that does anything and servers that hold
//! the keys and answer anything.

mod answers;
mod server;

use std::{collections::VecDeque, net::SocketAddr, sync::OnceLock, time::Duration};

use leasehold::holder::{
    BundleHandle, CheckoutSpec, Destination, Holder, HolderConfig, HolderEvent, Identity, LeaseHandle, LeaseState,
    Target,
};
use leasehold_protocol::{
    crypto::{Keypair, SiteKey},
    message::{self, Activity, BundleItem},
    packet::{self, DATAGRAM_MAX},
    time::{Mono, Now, UnixMillis},
    vocab::{ClaimKey, DeviceId, FeatureName, Label, OperationId, RealmId, SeatCount, Version},
};

use crate::chance::{Chance, counting};
use server::Server;

/// Operations one input gets at most; what is left of it is not looked at.
const OPERATIONS_MAX: usize = 250;
/// Leases at once: enough to fill a datagram with renewals.
const LEASES_MAX: usize = 40;
/// Queries at once.
const QUERIES_MAX: usize = 16;
/// Datagrams one operation may send at most: every lease and query its own, and a handshake with every candidate.
const BURST_MAX: usize = LEASES_MAX + QUERIES_MAX + 20;
/// How often a timeout may ask to be called again at the same moment.
const TURNS_MAX: usize = 4;

/// Plays the operations that `bytes` spell.
pub fn run(bytes: &[u8]) {
    let mut world = World::new(Chance::new(bytes));
    if world.begins_connected {
        world.begin_connected();
    }
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
    /// The handshake is behind it: half of all inputs need not find their way through one.
    begins_connected: bool,
    now: Now,
    holder: Holder,
    servers: [Server; 2],
    leases: Vec<LeaseHandle>,
    bundle: Option<BundleHandle>,
    queries: Vec<OperationId>,
    /// Datagrams of the servers on their way to the holder, with the server's number.
    inbound: VecDeque<(usize, Vec<u8>)>,
    /// The last ones delivered, to be delivered again.
    delivered: VecDeque<(SocketAddr, Vec<u8>)>,
    closing: bool,
    closed: bool,
}

fn label(text: &str) -> Label {
    Label::lossy(text)
}

fn identity() -> Identity {
    let who = message::Holder {
        user: label("ada"),
        host: label("ws-17"),
        display: None,
        process: label("render"),
        pid: 1,
        project: None,
        device: DeviceId([1; 16]),
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    };
    static KEYS: OnceLock<Keypair> = OnceLock::new();
    let keys = KEYS.get_or_init(|| Keypair::from_private([0x11; 32])).clone();
    Identity { keys, instance: [1; 8], who }
}

impl<'a> World<'a> {
    fn new(mut chance: Chance<'a>) -> Self {
        let setup = chance.byte();
        let publisher_keys = if setup & 1 == 1 { vec![crate::licence_text::secret().public()] } else { Vec::new() };
        let realm = if setup & 2 == 2 { RealmId::of(&label("fuzz")) } else { RealmId::ANY };
        let config = HolderConfig { realm, publisher_keys, site: SiteKey::OPEN, sdk_version: 0x1000 };
        let holder = Holder::new(config, identity(), Box::new(counting(u64::from(setup))));
        let now = Now { mono: Mono(1_000), wall: UnixMillis(1_795_334_400_000) };
        let servers = [Server::new(0), Server::new(1)];
        let (inbound, delivered) = (VecDeque::new(), VecDeque::new());
        let (leases, queries) = (Vec::new(), Vec::new());
        let (begins_connected, closing, closed) = (setup & 4 == 4, false, false);
        Self {
            chance,
            begins_connected,
            now,
            holder,
            servers,
            leases,
            bundle: None,
            queries,
            inbound,
            delivered,
            closing,
            closed,
        }
    }

    fn begin_connected(&mut self) {
        let chance = std::mem::replace(&mut self.chance, Chance::new(&[]));
        let server = &self.servers[0];
        let target = Target::Known { address: server.address, key: server.keys.public(), realm: server.realm };
        self.holder.connect(self.now, target);
        self.settle();
        while let Some((server, bytes)) = self.inbound.pop_front() {
            self.hand_over(self.servers[server].address, bytes);
            self.settle();
        }
        self.chance = chance;
    }

    fn operation(&mut self) {
        let operation = self.chance.byte() % 20;
        // `close` is the last thing a program does. The network goes on.
        let of_program = operation <= 4;
        match operation {
            _ if of_program && self.closing => {}
            0 => self.connect(),
            1 | 2 => self.checkout(),
            3 => self.on_lease(Holder::release),
            4 => {
                let only = if self.chance.coin() { FeatureName::new("VR").ok() } else { None };
                let query = match self.chance.coin() {
                    true => self.holder.query_features(self.now, only),
                    false => self.holder.query_licences(self.now, only),
                };
                self.queries.push(query);
                if self.queries.len() > QUERIES_MAX {
                    self.holder.cancel_query(self.queries.remove(0));
                }
            }
            5..=7 => self.wait(),
            8..=12 => self.deliver(),
            13 => self.answer(),
            14 => {
                self.answer();
                self.deliver();
            }
            15 => self.noise(),
            16 => self.again(),
            17 => self.tamper(),
            18 => self.inbound.clear(),
            _ => self.rarely(),
        }
    }

    fn rarely(&mut self) {
        match self.chance.byte() % 8 {
            0 => self.now.wall.0 = self.now.wall.0.wrapping_add(self.chance.u64() >> 20),
            1 => self.holder.resumed(self.now),
            2 => {
                let activity =
                    Activity { idle_s: self.chance.u32(), busy: self.chance.coin(), unsaved: self.chance.coin() };
                let lease = self.some_lease();
                self.holder.set_activity(lease, activity);
            }
            3 => {
                let every = if self.chance.coin() { Some(Duration::from_millis(self.chance.wait_ms())) } else { None };
                self.holder.renew_every(every);
            }
            4 => {
                let query = self.queries.first().copied().unwrap_or(OperationId(self.chance.u64()));
                self.holder.cancel_query(query);
            }
            5 => {
                let server = self.chance.below(2);
                self.servers[server].restart();
            }
            6 if self.chance.below(8) == 7 => {
                self.closing = true;
                self.holder.close(self.now);
            }
            7 if !self.closing => self.bundle(),
            _ => self.holder.handle_timeout(self.now),
        }
    }

    /// Asks for a bundle, or gives the last one up.
    fn bundle(&mut self) {
        if let Some(bundle) = self.bundle.take() {
            return self.holder.abandon_bundle(self.now, bundle);
        }
        if self.leases.len() >= LEASES_MAX {
            return;
        }
        let mut item = |name: &str| {
            let seats = SeatCount::new(u32::from(self.chance.byte()).max(1)).expect("a count");
            let feature = FeatureName::new(name).expect("a name");
            BundleItem { feature, version: Version::ANY, seats, at_least: SeatCount::ONE }
        };
        let alternatives = vec![vec![item("VR"), item("MESH")], vec![item("SUITE")]];
        let patience = self.chance.coin().then(|| Duration::from_millis(self.chance.wait_ms()));
        self.bundle = self.holder.checkout_bundle(self.now, alternatives, patience).ok();
    }

    fn connect(&mut self) {
        let server = &self.servers[self.chance.below(2)];
        let target = match self.chance.byte() % 4 {
            0 | 1 => Target::Known { address: server.address, key: server.keys.public(), realm: server.realm },
            2 => Target::Discover { to: vec![server.address], broadcast: false, pins: Vec::new() },
            _ => Target::Discover {
                to: Vec::new(),
                broadcast: true,
                pins: vec![(server.address, server.keys.public().fingerprint())],
            },
        };
        self.holder.connect(self.now, target);
    }

    fn checkout(&mut self) {
        if self.leases.len() >= LEASES_MAX {
            return;
        }
        let spec = CheckoutSpec {
            feature: FeatureName::new(self.chance.one_of(&["VR", "MESH"])).expect("a name"),
            version: Version::ANY,
            seats: SeatCount::new(u32::from(self.chance.byte()).max(1)).expect("a count"),
            claim: if self.chance.below(8) == 7 { Some(ClaimKey([self.chance.byte(); 16])) } else { None },
        };
        let patience = if self.chance.coin() { self.chance.wait_ms() } else { 0 };
        let patience = Duration::from_millis(patience);
        let lease = match self.chance.coin() {
            true => self.holder.checkout_in_turn(self.now, spec, patience),
            false => self.holder.checkout_patiently(self.now, spec, patience),
        };
        self.leases.push(lease);
    }

    fn some_lease(&mut self) -> LeaseHandle {
        let at = self.chance.byte();
        let known = self.leases.get(usize::from(at) % self.leases.len().max(1)).copied();
        known.unwrap_or(LeaseHandle(u64::from(at)))
    }

    fn on_lease(&mut self, act: impl FnOnce(&mut Holder, Now, LeaseHandle)) {
        let lease = self.some_lease();
        act(&mut self.holder, self.now, lease);
    }

    /// Time goes on: to the next timeout, or past it.
    fn wait(&mut self) {
        let by = match self.chance.coin() {
            true => self.holder.poll_timeout().map_or(1, |at| at.ms_since(self.now.mono)),
            false => self.chance.wait_ms(),
        };
        // A timeout may be for ever; a machine's clock is not.
        let by = by.min(400 * 86_400_000);
        self.now.mono = self.now.mono.plus_ms(by);
        self.now.wall.0 = self.now.wall.0.saturating_add(by);
        self.holder.handle_timeout(self.now);
    }

    /// The network brings what the servers have to say, in order or not.
    fn deliver(&mut self) {
        let at = if self.chance.below(4) == 3 { self.chance.byte().into() } else { 0 };
        if self.inbound.is_empty() {
            return;
        }
        let Some((server, bytes)) = self.inbound.remove(at % self.inbound.len()) else { return };
        let from = self.servers[server].address;
        self.hand_over(from, bytes);
    }

    fn hand_over(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        let mut copy = bytes.clone();
        self.holder.handle_datagram(self.now, from, &mut copy);
        self.delivered.push_front((from, bytes));
        self.delivered.truncate(8);
    }

    /// A server that holds the session's keys says something: an answer to what it was asked, or anything at all.
    fn answer(&mut self) {
        let server = self.chance.below(2);
        let said = self.servers[server].say(&mut self.chance);
        self.inbound.extend(said.into_iter().map(|bytes| (server, bytes)));
    }

    fn noise(&mut self) {
        let from = self.servers[self.chance.below(2)].address;
        let bytes = self.chance.bytes(DATAGRAM_MAX + 5).to_vec();
        self.hand_over(from, bytes);
    }

    fn again(&mut self) {
        let at = self.chance.below(8);
        if let Some((from, bytes)) = self.delivered.get(at).cloned() {
            self.hand_over(from, bytes);
        }
    }

    fn tamper(&mut self) {
        let at = self.chance.below(8);
        let Some((from, mut bytes)) = self.delivered.get(at).cloned() else { return };
        let index = usize::from(self.chance.byte()) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(index) {
            *byte ^= self.chance.byte();
        }
        self.hand_over(from, bytes);
    }

    /// After every operation: drain, and look at what must hold.
    fn settle(&mut self) {
        let mut sent = 0;
        for turn in 0.. {
            sent += self.drain();
            if self.holder.poll_timeout().is_none_or(|at| at > self.now.mono) {
                break;
            }
            assert!(turn < TURNS_MAX, "wanted again at {:?} and again", self.now.mono);
            self.holder.handle_timeout(self.now);
        }
        assert!(sent <= BURST_MAX, "{sent} datagrams at once");
        self.leases.retain(|lease| self.holder.lease_state(*lease).is_some());
        for lease in &self.leases {
            self.truthful(*lease);
        }
    }

    fn drain(&mut self) -> usize {
        let (mut out, mut sent) = (Vec::new(), 0);
        while let Some(to) = self.holder.poll_transmit(&mut out) {
            sent += 1;
            assert!(packet::read_to_server(&out).is_ok(), "a datagram no server reads");
            for (i, server) in self.servers.iter_mut().enumerate() {
                if to == Destination::Broadcast || to == Destination::To(server.address) {
                    let answers = server.hear(&out, &mut self.chance);
                    self.inbound.extend(answers.into_iter().map(|bytes| (i, bytes)));
                }
            }
        }
        // A network that holds more than this has lost the rest.
        self.inbound.truncate(64);
        while let Some(event) = self.holder.poll_event() {
            assert!(!self.closed, "{event:?} after the last event");
            match event {
                HolderEvent::Closed => self.closed = true,
                HolderEvent::BundleGranted { leases, .. } => {
                    self.leases.extend(leases.into_iter().map(|(lease, _)| lease));
                    self.bundle = None;
                }
                HolderEvent::BundleRefused { .. } => self.bundle = None,
                _ => {}
            }
        }
        sent
    }

    /// What a holder says of a lease is never better than the truth.
    fn truthful(&self, lease: LeaseHandle) {
        let info = self.holder.lease_info(lease).expect("it has a state");
        let (now, deadline) = (self.now.mono, info.deadline);
        match info.state {
            LeaseState::Healthy | LeaseState::Retrying { .. } => {
                assert!(info.id.is_some() && deadline.is_some_and(|at| at > now), "{info:?} at {now:?}");
            }
            LeaseState::Grace { until } => {
                assert!(until > now && deadline.is_some_and(|at| at <= now), "{info:?} at {now:?}");
            }
            LeaseState::Lost { at, .. } => assert!(at <= now, "{info:?} at {now:?}"),
            LeaseState::Asking | LeaseState::Released => {}
        }
    }
}
