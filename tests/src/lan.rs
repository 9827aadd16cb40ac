//! The simulated LAN: servers, clients and the wires between them, moved event by event, checked as they move.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fmt::Write as _,
    net::SocketAddr,
    time::Duration,
};

use leasehold::holder::{
    CheckoutSpec, Destination, Holder, HolderConfig, HolderEvent, Identity, LeaseHandle, LeaseState, Target,
};
use leasehold_protocol::{
    crypto::Keypair,
    message,
    vocab::{ClaimKey, DeviceId, RealmId, Version},
};

use crate::{
    client::{Client, Habit, Watched, is_holding},
    clock::{Clock, Instant, ms},
    model::{Checked, Model, Pool, Violation, ensure},
    net::{Flight, Network, Sender},
    plan::{Plan, Publisher, feature_name, label, seat_count},
    rng::Rng,
    server::{Server, Told},
};

mod acts;
mod report;

pub use report::Report;

/// How late an expiry may be noticed, in milliseconds: what "must show 3" of the first issue allows.
pub const EXPIRY_SLACK_MS: u64 = 50;
/// Events at one instant after which the world says that something spins.
const SPIN_LIMIT: u64 = 2_000_000;

/// Listens to every datagram a client sends and may add some of its own: each with its delay in milliseconds.
pub type Tap = Box<dyn FnMut(&Flight, &mut Rng) -> Vec<(u64, Flight)>>;

/// A simulated LAN.
///
/// Contract: every method that makes something happen checks the rules as it goes and panics with the seed, the
/// instant and the command to repeat it when one is broken; the `try_` twins return the violation instead.
pub struct Lan {
    /// True time.
    pub at: Instant,
    /// The wires.
    pub net: Network,
    /// The servers, rogues last.
    pub servers: Vec<Server>,
    /// The clients.
    pub clients: Vec<Client>,
    /// The twin.
    pub model: Model,
    /// What happened so far, in numbers.
    pub report: Report,
    pub(crate) plan: Plan,
    pub(crate) publisher: Publisher,
    pub(crate) rng: Rng,
    queue: BinaryHeap<Reverse<Due>>,
    next_seq: u64,
    by_address: BTreeMap<SocketAddr, usize>,
    taps: Vec<Tap>,
    mailboxes: BTreeMap<SocketAddr, Mailbox>,
    out: Vec<u8>,
    this_instant: u64,
}

/// What came to an address that no client of the world has.
#[derive(Default)]
struct Mailbox {
    datagrams: Vec<Vec<u8>>,
    heard: u32,
}

enum What {
    ToServer(usize, Flight),
    ToClient(Flight),
    ServerTimer(usize, usize),
    ClientTimer(usize),
    Habit(usize),
    Wake(usize),
}

struct Due {
    at: Instant,
    seq: u64,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

impl Lan {
    /// Begins the world of `plan`.
    #[must_use]
    pub fn start(plan: Plan) -> Self {
        let rng = Rng::new(plan.seed);
        let publisher = Publisher::seeded(plan.seed);
        let pool = |f: &crate::plan::Feature| Pool {
            name: f.name.clone(),
            capacity: u64::from(f.seats),
            ttl_ms: u64::from(f.ttl_s) * 1000,
        };
        let model = Model::new(plan.features.iter().map(pool).collect(), plan.servers);
        let mut lan = Self {
            at: 0,
            net: Network::new(plan.conditions.clone(), rng.fork(1)),
            servers: Vec::new(),
            clients: Vec::new(),
            model,
            report: Report::default(),
            publisher,
            rng: rng.fork(2),
            queue: BinaryHeap::new(),
            next_seq: 0,
            by_address: BTreeMap::new(),
            taps: Vec::new(),
            mailboxes: BTreeMap::new(),
            out: Vec::new(),
            this_instant: 0,
            plan,
        };
        for server in 0..lan.plan.servers + lan.plan.rogues {
            lan.servers.push(Server::new(&lan.plan, server));
        }
        let named: Vec<_> = lan.servers[..lan.plan.servers].iter().map(Server::fingerprint).collect();
        let licence = lan.publisher.sign(&lan.plan.features, &named);
        for server in 0..lan.servers.len() {
            lan.servers[server].install(licence.clone());
            lan.boot(server, None);
        }
        lan
    }

    /// Adds a listener on the wire.
    pub fn tap(&mut self, tap: Tap) {
        self.taps.push(tap);
    }

    /// Keeps what comes to `address` from now on.
    pub fn listen(&mut self, address: SocketAddr) {
        self.mailboxes.entry(address).or_default();
    }

    /// Whether anything came to `address`.
    #[must_use]
    pub fn has_mail(&self, address: SocketAddr) -> bool {
        self.mailboxes.get(&address).is_some_and(|mailbox| !mailbox.datagrams.is_empty())
    }

    /// Takes what came to `address`.
    pub fn mail(&mut self, address: SocketAddr) -> Vec<Vec<u8>> {
        self.mailboxes.get_mut(&address).map(|mailbox| std::mem::take(&mut mailbox.datagrams)).unwrap_or_default()
    }

    /// The life of the server that was last heard at `address`; 0 for none.
    #[must_use]
    pub fn heard_at(&self, address: SocketAddr) -> u32 {
        self.mailboxes.get(&address).map_or(0, |mailbox| mailbox.heard)
    }

    /// A new client, connecting.
    pub fn client(&mut self) -> usize {
        let number = self.clients.len();
        let address = self.fresh_address();
        let mut rng = self.rng.fork(0xc11e_0000 + number as u64);
        let clock = self.fresh_clock(&mut rng);
        let holder = self.fresh_holder(number, &mut rng);
        self.by_address.insert(address, number);
        self.clients.push(Client::new(holder, clock, address, rng));
        let (target, now) = (self.target(), self.clients[number].clock.now(self.at));
        self.clients[number].holder.connect(now, target);
        self.demand(|lan| lan.drain_client(number));
        number
    }

    fn fresh_holder(&self, number: usize, rng: &mut Rng) -> Holder {
        let config = HolderConfig {
            realm: RealmId::of(&label(crate::plan::PUBLISHER)),
            publisher_keys: vec![self.publisher.key()],
            site: self.plan.site.clone(),
            sdk_version: 1 << 24,
        };
        let mut instance = [0; 8];
        leasehold_protocol::Entropy::fill(rng, &mut instance);
        let who = message::Holder {
            user: label(&format!("user{number}")),
            host: label(&format!("host{number}")),
            display: None,
            process: label("sim"),
            pid: 1,
            project: None,
            device: DeviceId([0; 16]),
            device_alias: None,
            share: None,
            hostids: Vec::new(),
        };
        let identity = Identity { keys: Keypair::generate(rng), instance, who };
        Holder::new(config, identity, Box::new(rng.fork(3)))
    }

    fn fresh_clock(&self, rng: &mut Rng) -> Clock {
        let bound = self.plan.drift_ppm;
        let drift = i64::try_from(rng.within(&(0..=2 * bound))).unwrap_or(0) - i64::try_from(bound).unwrap_or(0);
        Clock { boot_ms: rng.within(&(1_000..=1_000_000_000)), drift_ppm: drift, wall_ahead_ms: 0 }
    }

    /// An address nobody had yet.
    pub fn fresh_address(&mut self) -> SocketAddr {
        self.report.addresses += 1;
        let n = self.report.addresses;
        let octet = |shift: u32| u8::try_from(n >> shift & 0xff).unwrap_or(0);
        ([10, 1 + octet(16), octet(8), octet(0)], 40_000).into()
    }

    fn target(&self) -> Target {
        let server = &self.servers[0];
        if self.plan.discovery {
            return Target::Discover { to: Vec::new(), broadcast: true, pins: Vec::new() };
        }
        if self.plan.servers > 1 {
            let to = self.servers[..self.plan.servers].iter().map(|s| s.address).collect();
            return Target::Discover { to, broadcast: false, pins: Vec::new() };
        }
        Target::Known { address: server.address, key: server.public_key(), realm: server.realm() }
    }

    // --- the event loop ---

    fn push(&mut self, at: Instant, what: What) {
        self.next_seq += 1;
        self.queue.push(Reverse(Due { at: at.max(self.at), seq: self.next_seq, what }));
    }

    /// Runs until true time has moved on by `time`.
    pub fn run_for(&mut self, time: Duration) {
        self.demand(|lan| lan.try_run_for(time));
    }

    /// As [`Lan::run_for`].
    ///
    /// # Errors
    /// If a rule was broken.
    pub fn try_run_for(&mut self, time: Duration) -> Checked {
        let end = self.at + ms(time);
        while self.queue.peek().is_some_and(|due| due.0.at <= end) {
            self.step()?;
        }
        self.at = end;
        Ok(())
    }

    /// Runs until `is_done` says so, at most for `limit`; says whether it did.
    pub fn run_until(&mut self, limit: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let end = self.at + ms(limit);
        while !is_done(self) {
            if self.queue.peek().is_none_or(|due| due.0.at > end) {
                self.at = end;
                return false;
            }
            self.demand(Self::step);
        }
        true
    }

    fn step(&mut self) -> Checked {
        let Some(Reverse(due)) = self.queue.pop() else { return Ok(()) };
        self.this_instant = if due.at == self.at { self.this_instant + 1 } else { 0 };
        self.at = due.at;
        self.report.events += 1;
        ensure(self.at, self.this_instant < SPIN_LIMIT, || "the world spins: timers in the past".into())?;
        match due.what {
            What::ToServer(server, flight) => self.to_server(server, flight)?,
            What::ToClient(flight) => self.to_client(flight)?,
            What::ServerTimer(server, worker) => self.server_timer(server, worker)?,
            What::ClientTimer(client) => self.client_timer(client)?,
            What::Habit(client) => self.act_out_habit(client)?,
            What::Wake(client) => self.wake(client)?,
        }
        let every = self.plan.check_every.unwrap_or(if self.clients.len() <= 20 { 1 } else { 1000 });
        if self.report.events.is_multiple_of(every) { self.check() } else { Ok(()) }
    }

    fn to_server(&mut self, server: usize, flight: Flight) -> Checked {
        if !self.servers[server].is_up() {
            return Ok(());
        }
        self.report.trace(self.at, &flight.bytes);
        let worker = self.servers[server].receive(self.at, flight)?;
        self.drain_server(server, worker)
    }

    fn server_timer(&mut self, server: usize, worker: usize) -> Checked {
        if !self.servers[server].timeout(self.at, worker) {
            return Ok(());
        }
        self.drain_server(server, worker)
    }

    fn to_client(&mut self, mut flight: Flight) -> Checked {
        let Some(&client) = self.by_address.get(&flight.to) else {
            if let Some(mailbox) = self.mailboxes.get_mut(&flight.to) {
                mailbox.heard = flight.heard;
                mailbox.datagrams.push(flight.bytes);
            }
            return Ok(());
        };
        let them = &mut self.clients[client];
        if !them.runs() {
            return Ok(());
        }
        self.report.trace(self.at, &flight.bytes);
        if let Sender::Server(server) = flight.sender {
            them.heard.insert(server, flight.heard);
        }
        them.holder.handle_datagram(them.clock.now(self.at), flight.from, &mut flight.bytes);
        self.drain_client(client)
    }

    fn client_timer(&mut self, client: usize) -> Checked {
        let them = &mut self.clients[client];
        if !them.runs() || them.armed != self.at {
            return Ok(());
        }
        them.armed = Instant::MAX;
        them.holder.handle_timeout(them.clock.now(self.at));
        self.drain_client(client)
    }

    // --- what comes out of a server ---

    fn drain_server(&mut self, server: usize, worker: usize) -> Checked {
        while let Some(told) = self.servers[server].poll_event(worker) {
            self.hear(server, told)?;
        }
        let mut out = std::mem::take(&mut self.out);
        while let Some(to) = self.servers[server].poll_transmit(worker, &mut out) {
            self.servers[server].accounts.sent(self.at, to, out.len())?;
            self.from_server(server, to, &out);
        }
        self.out = out;
        // A lease granted by one worker may be another's to end: all of them are asked.
        for worker in 0..self.plan.workers {
            if let Some(at) = self.servers[server].rearm(self.at, worker) {
                self.push(at, What::ServerTimer(server, worker));
            }
        }
        Ok(())
    }

    fn from_server(&mut self, server: usize, to: SocketAddr, bytes: &[u8]) {
        let client = self.by_address.get(&to).copied();
        self.report.to_strangers += u64::from(client.is_none());
        let arrivals = self.net.send(self.at, client, server, false);
        let flight = Flight {
            id: self.net.fresh_id(),
            sender: Sender::Server(server),
            from: self.servers[server].address,
            to,
            broadcast: false,
            heard: self.servers[server].life,
            bytes: bytes.to_vec(),
        };
        for at in arrivals.into_iter().flatten() {
            self.push(at, What::ToClient(flight.clone()));
        }
    }

    fn hear(&mut self, server: usize, told: Told) -> Checked {
        let at = self.at;
        let rogue = server >= self.plan.servers;
        match told {
            Told::Granted { .. } if rogue => {
                ensure(at, false, || format!("a client took a seat of server {server}, whose key nobody vouched for"))
            }
            Told::Granted { claim, lease, pool, seats, until } => {
                self.report.server_grants += 1;
                let deadline = self.free_at(server, pool, until)?;
                let held = crate::model::Held { pool, seats, lease, deadline, forgotten: false };
                self.model.granted(at, server, claim, held)
            }
            Told::Renewed { claim, pool, until } => {
                self.report.server_renewals += 1;
                let deadline = self.free_at(server, pool, until)?;
                self.model.renewed(at, server, claim, deadline)
            }
            Told::Released { claim } => self.model.released(at, server, claim),
            Told::Expired { claim } => {
                self.report.expiries += 1;
                self.model.expired(at, server, claim)
            }
            Told::Denied { claim, pool: Some(pool), seats, code } => {
                self.model.denied(at, server, (claim, pool, seats), code)
            }
            Told::Denied { .. } | Told::Other => Ok(()),
        }
    }

    /// When seats granted now are free again by the rules; the server must say the same.
    fn free_at(&self, server: usize, pool: usize, until: Instant) -> Result<Instant, Violation> {
        let deadline = self.servers[server].free_at(self.at, self.model.pools[pool].ttl_ms);
        let same = ensure(self.at, until == deadline, || {
            format!("server {server} set a deadline of {until} ms where the TTL makes it {deadline}")
        });
        same.map(|()| deadline)
    }

    // --- what comes out of a client ---

    fn drain_client(&mut self, client: usize) -> Checked {
        while let Some(event) = self.clients[client].holder.poll_event() {
            self.hear_client(client, event)?;
        }
        let mut out = std::mem::take(&mut self.out);
        while let Some(to) = self.clients[client].holder.poll_transmit(&mut out) {
            self.from_client(client, &to, &out);
        }
        self.out = out;
        let them = &mut self.clients[client];
        if let Some(mono) = them.holder.poll_timeout() {
            let at = them.clock.when(mono).max(self.at);
            if them.armed != at {
                them.armed = at;
                self.push(at, What::ClientTimer(client));
            }
        } else {
            them.armed = Instant::MAX;
        }
        Ok(())
    }

    fn from_client(&mut self, client: usize, to: &Destination, bytes: &[u8]) {
        let id = self.net.fresh_id();
        for server in 0..self.servers.len() {
            let address = self.servers[server].address;
            let broadcast = match to {
                Destination::To(to) if *to != address => continue,
                Destination::To(_) => false,
                Destination::Broadcast => true,
            };
            let them = &self.clients[client];
            let heard = if broadcast { 0 } else { them.heard.get(&server).copied().unwrap_or(0) };
            let flight = Flight {
                id,
                sender: Sender::Client(client),
                from: them.address,
                to: address,
                broadcast,
                heard,
                bytes: bytes.to_vec(),
            };
            self.overhear(&flight);
            for at in self.net.send(self.at, Some(client), server, true).into_iter().flatten() {
                self.push(at, What::ToServer(server, flight.clone()));
            }
        }
    }

    fn overhear(&mut self, flight: &Flight) {
        let mut taps = std::mem::take(&mut self.taps);
        for tap in &mut taps {
            for (delay_ms, extra) in tap(flight, &mut self.rng) {
                self.inject(delay_ms, extra);
            }
        }
        self.taps = taps;
    }

    /// Puts a stranger's datagram on the wire: it arrives in `delay_ms`, whatever the network's conditions.
    pub fn inject(&mut self, delay_ms: u64, flight: Flight) {
        let at = self.at + delay_ms;
        match self.servers.iter().position(|server| server.address == flight.to) {
            Some(server) => self.push(at, What::ToServer(server, flight)),
            None => self.push(at, What::ToClient(flight)),
        }
    }

    fn hear_client(&mut self, client: usize, event: HolderEvent) -> Checked {
        let at = self.at;
        match event {
            HolderEvent::Connected { address, .. } => self.clients[client].connections.push((at, address)),
            HolderEvent::ServerRejected { address, why } => {
                self.clients[client].rejections.push((at, address, why.to_string()));
            }
            HolderEvent::ConnectFailed { .. } => self.clients[client].failures.push(at),
            HolderEvent::Granted { lease, grant, .. } => return self.heard_grant(client, lease, &grant),
            HolderEvent::Denied { lease, deny } => return self.heard_denial(client, lease, &deny),
            HolderEvent::Renewed { lease, .. } => {
                self.report.renewals += 1;
                if let Some(watched) = self.clients[client].leases.get_mut(&lease.0) {
                    watched.renewals += 1;
                }
            }
            HolderEvent::StateChanged { lease, state } => return self.heard_state(client, lease, state),
            HolderEvent::Released { lease, .. } => {
                self.report.releases += 1;
                if let Some(watched) = self.clients[client].leases.get_mut(&lease.0) {
                    watched.released_at = Some(at);
                }
            }
            HolderEvent::Features { features, .. } => self.clients[client].features = features,
            _ => {}
        }
        Ok(())
    }

    fn heard_grant(&mut self, client: usize, lease: LeaseHandle, grant: &message::Grant) -> Checked {
        self.report.grants += 1;
        let at = self.at;
        let Some(watched) = self.clients[client].leases.get_mut(&lease.0) else { return Ok(()) };
        watched.grants += 1;
        watched.granted_at = Some(at);
        if !watched.leases.contains(&grant.lease) {
            watched.leases.push(grant.lease);
        }
        let right = grant.claim == watched.claim && u64::from(grant.seats.get()) == watched.seats;
        ensure(at, right, || format!("client {client} took a grant that is not what it asked for"))?;
        self.update_belief(client, lease.0)
    }

    fn heard_denial(&mut self, client: usize, lease: LeaseHandle, deny: &message::Deny) -> Checked {
        self.report.denials += 1;
        let at = self.at;
        let them = &mut self.clients[client];
        if let Some(watched) = them.leases.get_mut(&lease.0) {
            watched.denials.push((at, deny.clone()));
        }
        // A lease that was held once is asked for again by its holder: the habit keeps it as long as it meant to.
        let over = them.state(lease.0).is_none();
        if over && them.habit.as_ref().is_some_and(|habit| habit.current == Some(lease.0)) {
            self.rest(client);
        }
        self.update_belief(client, lease.0)
    }

    fn heard_state(&mut self, client: usize, lease: LeaseHandle, state: LeaseState) -> Checked {
        let at = self.at;
        if matches!(state, LeaseState::Lost { .. }) {
            self.report.lost += 1;
        }
        if let Some(watched) = self.clients[client].leases.get_mut(&lease.0) {
            watched.history.push((at, state));
        }
        self.update_belief(client, lease.0)
    }

    /// Tells the twin what one client believes of one lease now.
    fn update_belief(&mut self, client: usize, lease: u64) -> Checked {
        let at = self.at;
        let them = &mut self.clients[client];
        let holding = them.runs() && them.state(lease).as_ref().is_some_and(is_holding);
        let Some(watched) = them.leases.get_mut(&lease) else { return Ok(()) };
        let believes = holding && !watched.given_back;
        if believes == watched.believed {
            return Ok(());
        }
        watched.believed = believes;
        let Watched { claim, pool, seats, .. } = *watched;
        if believes { self.model.believes(at, claim, pool, seats) } else { self.model.doubts(at, claim) }
    }

    // --- checks ---

    /// Every check there is, now.
    ///
    /// # Errors
    /// If a rule is broken.
    pub fn check(&mut self) -> Checked {
        self.report.checks += 1;
        for server in 0..self.servers.len() {
            self.servers[server].check(self.at, &self.model)?;
        }
        Ok(())
    }

    /// Every check there is, now; panics with the seed if a rule is broken.
    pub fn check_ledger(&mut self) {
        self.demand(Self::check);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut line = String::new();
            let _ = write!(line, "the world of seed {} broke at {} ms; repeat with: ", self.plan.seed, self.at);
            eprintln!("{line}{}", report::repeat_command(self.plan.seed));
        }
    }
}
