//! The simulated LAN: servers, clients and the wires between them, moved event by event, checked as they move.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
    time::Duration,
};

use crate::{
    client::Client,
    clock::{Instant, ms},
    model::{Checked, Model, Pool, ensure},
    net::{Flight, Network},
    plan::{Plan, Publisher},
    rng::Rng,
    server::{Memory, Server},
};

mod acts;
mod hearing;
mod newcomers;
mod report;
mod wire;

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
        let licence = lan.publisher.licence(&lan.plan, &named);
        for server in 0..lan.servers.len() {
            lan.servers[server].install(licence.clone());
            lan.boot(server, Memory::Clean);
        }
        lan
    }

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
            What::ToServer(server, flight) => self.reach_server(server, flight)?,
            What::ToClient(flight) => self.reach_client(flight)?,
            What::ServerTimer(server, worker) => self.server_timer(server, worker)?,
            What::ClientTimer(client) => self.client_timer(client)?,
            What::Habit(client) => self.act_out_habit(client)?,
            What::Wake(client) => self.wake(client)?,
        }
        let every = self.plan.check_every.unwrap_or(if self.clients.len() <= 20 { 1 } else { 1000 });
        if self.report.events.is_multiple_of(every) { self.check() } else { Ok(()) }
    }

    fn server_timer(&mut self, server: usize, worker: usize) -> Checked {
        if !self.servers[server].timeout(self.at, worker) {
            return Ok(());
        }
        self.drain_server(server, worker)
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

    fn drain_server(&mut self, server: usize, worker: usize) -> Checked {
        while let Some(told) = self.servers[server].poll_event(worker) {
            self.hear(server, told)?;
        }
        let mut out = std::mem::take(&mut self.out);
        while let Some(to) = self.servers[server].poll_transmit(worker, &mut out) {
            self.servers[server].accounts.sent(self.at, to, out.len())?;
            self.server_sends(server, to, &out);
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

    fn drain_client(&mut self, client: usize) -> Checked {
        while let Some(event) = self.clients[client].holder.poll_event() {
            self.hear_client(client, event)?;
        }
        let mut out = std::mem::take(&mut self.out);
        while let Some(to) = self.clients[client].holder.poll_transmit(&mut out) {
            self.client_sends(client, &to, &out);
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
            let Self { plan: Plan { seed, .. }, at, .. } = self;
            eprintln!("the world of seed {seed} broke at {at} ms; repeat with: {}", report::repeat_command(*seed));
        }
    }
}
