//! A licence server in a simulated world: the core's `Engine` unchanged, one per worker, and what we saw it do.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use leasehold_core::{
    Engine, Event, HeldLease, Mark, Path, RealmConfig, ServerConfig, Shared, WallKeeper, WallStatus, wall::gap_of,
};
use leasehold_protocol::{
    Entropy,
    crypto::{Fingerprint, Keypair, PublicKey, ticket::TicketKey},
    licence::{KeyType, SignedCertificate},
    time::{Mono, Now},
    vocab::{ClaimKey, Denial, FeatureName, LeaseId, RealmId},
};

use crate::{
    accounts::Accounts,
    clock::{Clock, Instant},
    lan::EXPIRY_SLACK_MS,
    model::{Checked, Model, Violation, ensure},
    net::Flight,
    plan::{Plan, label},
    rng::Rng,
};

/// What a server said it did, in the twin's words.
#[derive(Clone, Debug)]
pub enum Told {
    /// Seats went out, until that instant by the server's word.
    Granted { claim: ClaimKey, lease: LeaseId, pool: usize, seats: u64, until: Instant },
    /// A lease goes on, until that instant by the server's word.
    Renewed { claim: ClaimKey, pool: usize, until: Instant },
    /// Seats came back by their holder's wish.
    Released { claim: ClaimKey },
    /// Seats came back because nobody renewed.
    Expired { claim: ClaimKey },
    /// No. A renewal's denial names no feature.
    Denied { claim: ClaimKey, pool: Option<usize>, seats: u64, code: Denial },
    /// Something the twin has no opinion about.
    Other,
}

/// What a server that starts knows of the life before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// There is nothing to know.
    Clean,
    /// Nothing, and for so long it is careful because of it.
    Blind(Duration),
    /// Everything: it was killed, and its machine ran on.
    Whole,
    /// Everything but the last grants: its machine went down with it. For so long it withholds what may be out.
    PowerCut(Duration),
}

/// A lease that is out again.
#[derive(Clone, Copy, Debug)]
pub struct Back {
    /// Its claim.
    pub claim: ClaimKey,
    /// What it is called.
    pub lease: LeaseId,
    /// Until when, by the server's word.
    pub until: Instant,
}

/// One server.
pub struct Server {
    /// Its address.
    pub address: SocketAddr,
    /// Its machine's clocks.
    pub clock: Clock,
    /// Which life it is in, counted from 1.
    pub life: u32,
    /// Bytes in and out in this life.
    pub accounts: Accounts,
    /// The largest ratio of bytes sent to bytes received with an unproved address, over all lives.
    pub worst_ratio: f64,
    number: usize,
    keys: Keypair,
    ticket_key: TicketKey,
    licence: Vec<SignedCertificate>,
    pools: BTreeMap<FeatureName, usize>,
    rng: Rng,
    running: Option<Running>,
    journal: Journal,
    /// How late it was, as last written down, and when that was.
    mark: Option<(Mark, Mono)>,
}

/// What it has written down: every lease that is out, and of whose grants some may not be on the disk yet, the newest last.
#[derive(Debug, Default)]
struct Journal {
    held: BTreeMap<LeaseId, HeldLease>,
    unsynced: Vec<(LeaseId, FeatureName, u32)>,
    /// Until when it was blind, and until when it withheld seats, by its own clock; and from where in the log on grants may be lost.
    blind_until: Option<Mono>,
    withheld: Option<(Mono, u64)>,
}

struct Running {
    shared: Arc<Shared>,
    engines: Vec<Engine>,
    armed: Vec<Instant>,
    leases: BTreeMap<LeaseId, (ClaimKey, usize)>,
    data: BTreeSet<u64>,
    keeper: WallKeeper,
}

/// How often a server writes down how late it is, in milliseconds.
const MARK_MS: u64 = 60_000;
/// How far its calendar may be behind without suspicion, in milliseconds: the server's default.
const TOLERANCE_MS: u64 = 26 * 3_600_000;

impl Server {
    /// Server `number` of `plan`, not started.
    #[must_use]
    pub fn new(plan: &Plan, number: usize) -> Self {
        let mut rng = Rng::new(plan.seed).fork(0x5e12_0000 + number as u64);
        let octet = u8::try_from(number + 1).unwrap_or(u8::MAX);
        let keys = Keypair::generate(&mut rng);
        let mut secret = [0; 32];
        rng.fill(&mut secret);
        let drift = i64::try_from(rng.within(&(0..=2 * plan.drift_ppm))).unwrap_or(0);
        let drift_ppm = drift - i64::try_from(plan.drift_ppm).unwrap_or(0);
        Self {
            address: ([10, 0, 0, octet], leasehold_protocol::DEFAULT_PORT).into(),
            clock: Clock {
                boot_ms: rng.within(&(1_000..=1_000_000_000)),
                drift_ppm,
                wall_ahead_ms: plan.wall_ahead_ms(),
            },
            life: 0,
            accounts: Accounts::of_life(0),
            worst_ratio: 0.0,
            number,
            keys,
            ticket_key: TicketKey { id: 1, secret },
            licence: Vec::new(),
            pools: BTreeMap::new(),
            rng,
            running: None,
            journal: Journal::default(),
            mark: None,
        }
    }

    /// Puts a licence where the server finds it when it starts.
    pub fn install(&mut self, licence: Vec<SignedCertificate>) {
        // An upgrade's seats are its feature's.
        let own = licence.iter().filter(|c| c.certificate.key_type != KeyType::Upgrade);
        self.pools = own.enumerate().map(|(i, c)| (c.certificate.feature.clone(), i)).collect();
        self.licence = licence;
    }

    /// Starts it; which leases are out again, and how many seats of each feature are withheld.
    pub fn boot(&mut self, plan: &Plan, at: Instant, memory: Memory) -> (Vec<Back>, Vec<(usize, u64)>) {
        let mut keeper = self.wake_keeper(at, memory);
        let now = keeper.read(self.clock.now(at));
        let number = self.number as u64 + 1;
        if let Memory::PowerCut(_) = memory {
            self.journal.lose();
        }
        let mut journal = std::mem::take(&mut self.journal).after(memory, now.mono, u64::from(self.life) * 2);
        let config = ServerConfig {
            server_id: number,
            cluster_id: number,
            boot_id: self.rng.draw(),
            handshakes_per_second: 10_000,
            handshakes_per_prefix: 10_000,
            blind_until: journal.blind_until,
            // It has never synced more than once: the life before came to two less.
            log_begins: u64::from(self.life) * 2 + 2,
            ..ServerConfig::default()
        };
        let realm = RealmConfig {
            publisher: label(crate::plan::PUBLISHER),
            keys: self.keys.clone(),
            site: plan.site.clone(),
            ticket_keys: vec![self.ticket_key.clone()],
        };
        let shared = Shared::new(config, vec![realm], &mut self.rng);
        let _report = shared.load(self.realm(), self.licence.clone(), now);
        let mut back = Vec::new();
        let mut leases = BTreeMap::new();
        if let Memory::Whole | Memory::PowerCut(_) = memory {
            let _done = shared.restore(journal.held.values().cloned().collect(), now);
            for lease in shared.leases(now) {
                let Some(&pool) = self.pools.get(&lease.feature) else { continue };
                leases.insert(lease.id, (lease.claim, pool));
                back.push(Back { claim: lease.claim, lease: lease.id, until: self.clock.when(lease.deadline) });
            }
        } else {
            journal.held.clear();
        }
        if let Some((until, lost_from)) = journal.withheld {
            let _all = shared.withhold(until, lost_from);
        }
        self.journal = journal;
        let withheld =
            shared.features(now).into_iter().filter_map(|f| Some((*self.pools.get(&f.name)?, f.withheld.into())));
        let withheld = withheld.collect();
        let draws: Vec<u64> = (0..plan.workers).map(|_| self.rng.draw()).collect();
        let engine = |seed: u64| Engine::new(Arc::clone(&shared), Box::new(Rng::new(seed)));
        let engines = draws.into_iter().map(engine).collect();
        self.life += 1;
        self.accounts = Accounts::of_life(self.life);
        let armed = vec![Instant::MAX; plan.workers];
        self.running = Some(Running { shared, engines, armed, leases, data: BTreeSet::new(), keeper });
        (back, withheld)
    }

    /// The effective wall time of a life that begins, by what the one before wrote down.
    fn wake_keeper(&self, at: Instant, memory: Memory) -> WallKeeper {
        let rebooted = matches!(memory, Memory::PowerCut(_));
        let mark = self.mark.map(|(mark, _)| if rebooted { mark.rebooted() } else { mark });
        WallKeeper::start(self.clock.now(at), mark, TOLERANCE_MS)
    }

    /// What a worker reads, as the real one does: the effective time, and the engine is told where the calendar is.
    fn read_clock(&mut self, at: Instant, worker: usize) -> Now {
        let raw = self.clock.now(at);
        let Some(running) = &mut self.running else { return raw };
        let now = running.keeper.read(raw);
        running.engines[worker].note_raw(gap_of(raw).saturating_sub(running.keeper.gap_ms()));
        if self.mark.is_none_or(|(_, written)| now.mono >= written.plus_ms(MARK_MS)) {
            self.mark = Some((running.keeper.mark(now.mono), now.mono));
        }
        now
    }

    /// How its clocks stand, if it runs.
    pub fn clock_status(&mut self, at: Instant) -> Option<WallStatus> {
        let raw = self.clock.now(at);
        self.running.as_mut().map(|running| running.keeper.status(raw))
    }

    /// An administrator says that its calendar is right.
    pub fn confirm_clock(&mut self, at: Instant) {
        let raw = self.clock.now(at);
        if let Some(running) = &mut self.running {
            running.keeper.confirm(raw);
            self.mark = Some((running.keeper.mark(raw.mono), raw.mono));
        }
    }

    /// Its process dies.
    pub fn crash(&mut self) {
        self.running = None;
    }

    /// Whether its process runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// What its workers share, if it runs.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.running.as_ref().map(|r| &r.shared)
    }

    /// Its public key.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.keys.public()
    }

    /// What people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.keys.public().fingerprint()
    }

    /// The realm it serves.
    #[must_use]
    pub fn realm(&self) -> RealmId {
        RealmId::of(&label(crate::plan::PUBLISHER))
    }

    /// The true instant at which seats granted at `at` are free if nobody renews: TTL later by this server's clock.
    #[must_use]
    pub fn free_at(&self, at: Instant, ttl_ms: u64) -> Instant {
        self.clock.when(self.clock.now(at).mono.plus_ms(ttl_ms))
    }

    /// Hands it a datagram; says which worker got it.
    ///
    /// # Errors
    /// If it took a datagram for new that it had taken before.
    pub fn receive(&mut self, at: Instant, mut flight: Flight) -> Result<usize, Violation> {
        self.accounts.received(&flight);
        let workers = self.running.as_ref().map_or(1, |running| running.engines.len());
        let worker = if flight.broadcast { 0 } else { worker_of(flight.from, workers) };
        let now = self.read_clock(at, worker);
        let Some(running) = &mut self.running else { return Ok(0) };
        let is_data = flight.bytes.get(1).is_some_and(|b| b & 15 == 6);
        let again = is_data && !running.data.insert(flight.id);
        let path = Path { broadcast: flight.broadcast, ..Path::unicast(flight.from) };
        running.engines[worker].handle_datagram(now, path, &mut flight.bytes);
        if again {
            running.check_replays(at)?;
        }
        Ok(worker)
    }

    /// Runs a worker's timers, if `at` is when it wanted to be woken.
    pub fn timeout(&mut self, at: Instant, worker: usize) -> bool {
        if self.running.as_ref().is_none_or(|r| r.armed[worker] != at) {
            return false;
        }
        let now = self.read_clock(at, worker);
        let Some(running) = &mut self.running else { return false };
        running.armed[worker] = Instant::MAX;
        running.engines[worker].handle_timeout(now);
        true
    }

    /// The instant to wake a worker at, if it is a new one.
    pub fn rearm(&mut self, at: Instant, worker: usize) -> Option<Instant> {
        let running = self.running.as_mut()?;
        let wanted = running.engines[worker].poll_timeout().map(|mono| self.clock.when(mono).max(at));
        let was = std::mem::replace(&mut running.armed[worker], wanted.unwrap_or(Instant::MAX));
        wanted.filter(|wanted| *wanted != was)
    }

    /// The next datagram a worker sends.
    pub fn poll_transmit(&mut self, worker: usize, out: &mut Vec<u8>) -> Option<SocketAddr> {
        self.worst_ratio = self.worst_ratio.max(self.accounts.worst_ratio());
        self.running.as_mut()?.engines[worker].poll_transmit(out).map(|transmit| transmit.to)
    }

    /// The next thing a worker says it did.
    pub fn poll_event(&mut self, worker: usize) -> Option<Told> {
        let event = self.running.as_mut()?.engines[worker].poll_event()?;
        Some(self.told(event))
    }

    fn told(&mut self, event: Event) -> Told {
        self.journal.note(&event);
        let (clock, pools) = (self.clock, &self.pools);
        let Some(Running { leases, keeper, .. }) = &mut self.running else { return Told::Other };
        match event {
            Event::SessionOpened { client, clock_ahead_ms, .. } => {
                keeper.heard(client, clock_ahead_ms);
                Told::Other
            }
            Event::Granted(g) => {
                let Some(&pool) = pools.get(&g.feature) else { return Told::Other };
                leases.insert(g.lease, (g.claim, pool));
                let (seats, until) = (u64::from(g.seats.get()), clock.when(g.deadline));
                Told::Granted { claim: g.claim, lease: g.lease, pool, seats, until }
            }
            Event::Renewed { lease, deadline, .. } => leases
                .get(&lease)
                .map_or(Told::Other, |&(claim, pool)| Told::Renewed { claim, pool, until: clock.when(deadline) }),
            Event::Released(ended) => Told::Released { claim: ended.claim },
            Event::Expired(ended) => Told::Expired { claim: ended.claim },
            Event::Denied(d) => {
                let pool = d.feature.as_ref().and_then(|name| pools.get(name)).copied();
                let seats = d.seats.map_or(0, |s| u64::from(s.get()));
                Told::Denied { claim: d.claim, pool, seats, code: d.code }
            }
            _ => Told::Other,
        }
    }

    /// Plants a fault, for its present life.
    #[cfg(feature = "planted-faults")]
    pub fn plant(&self, fault: leasehold_core::Fault) {
        if let Some(running) = &self.running {
            running.shared.plant(fault);
        }
    }

    /// Asks it to end.
    pub fn begin_drain(&mut self, at: Instant) {
        let now = self.read_clock(at, 0);
        let Some(running) = &mut self.running else { return };
        running.shared.begin_drain();
        running.engines.iter_mut().for_each(|engine| engine.begin_goodbye(now));
    }

    /// Seats of `feature` it says are out.
    #[must_use]
    pub fn seats_out(&self, at: Instant, feature: &str) -> u64 {
        let Some(running) = &self.running else { return 0 };
        let features = running.shared.features(running.now(self.clock, at));
        features.iter().filter(|f| f.name.as_str() == feature).map(|f| u64::from(f.used)).sum()
    }

    /// One of its counters; 0 if it does not run.
    ///
    /// # Panics
    /// If there is no such counter: the test is wrong.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.running.as_ref().map_or(0, |running| running.counter(name))
    }

    /// Every check that concerns this server.
    ///
    /// # Errors
    /// If a rule is broken.
    pub fn check(&self, at: Instant, model: &Model) -> Checked {
        let Some(running) = &self.running else { return Ok(()) };
        let server = self.number;
        running.shared.check_ledger().map_err(|e| Violation { at, what: format!("server {server}: {e}") })?;
        running.check_replays(at)?;
        let overdue = model.overdue(at, server, EXPIRY_SLACK_MS);
        ensure(at, overdue == 0, || format!("server {server} has not noticed {overdue} ends in {EXPIRY_SLACK_MS} ms"))?;
        self.check_seats(at, running, model)?;
        self.check_leases(at, running, model)
    }

    /// Each lease it lists is one the twin knows, with the same end.
    fn check_leases(&self, at: Instant, running: &Running, model: &Model) -> Checked {
        for lease in running.shared.leases(running.now(self.clock, at)) {
            let said = (lease.id, self.clock.when(lease.deadline));
            let known = model.deadline(self.number, lease.claim);
            ensure(at, known == Some(said), || {
                format!("server {} lists lease {} until {}, by the rules {known:?}", self.number, said.0, said.1)
            })?;
        }
        Ok(())
    }

    /// What it says is out lies between what stands by the rules and what it has not said came back.
    fn check_seats(&self, at: Instant, running: &Running, model: &Model) -> Checked {
        for feature in running.shared.features(running.now(self.clock, at)) {
            let Some(&pool) = self.pools.get(&feature.name) else { continue };
            let least = model.seats_out(at, self.number, pool);
            let most = model.seats_recorded(self.number, pool);
            let said = u64::from(feature.used);
            ensure(at, (least..=most).contains(&said), || {
                format!("server {} says {said} {} are out, by the rules {least}", self.number, feature.name)
            })?;
        }
        Ok(())
    }
}

impl Journal {
    /// What the next life finds of it, which the log had come to `log` for certain before: also what this one did not know (U-2).
    fn after(mut self, memory: Memory, now: Mono, log: u64) -> Self {
        self.blind_until = self.blind_until.filter(|until| *until > now);
        self.withheld = self.withheld.filter(|(until, _)| *until > now);
        match memory {
            Memory::Blind(wait) => self.blind_until = self.blind_until.max(Some(now.plus(wait))),
            Memory::PowerCut(wait) => {
                let own = log.saturating_sub(1);
                let from = self.withheld.map_or(own, |(_, before)| before.min(own));
                self.withheld = Some((now.plus(wait), from));
            }
            Memory::Clean | Memory::Whole => {}
        }
        self
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Granted(granted) => {
                self.held.insert(granted.lease, HeldLease::from(&**granted));
                self.unsynced.push((granted.lease, granted.feature.clone(), granted.credit));
            }
            Event::Released(ended) | Event::Expired(ended) => drop(self.held.remove(&ended.lease)),
            _ => {}
        }
    }

    /// Loses as many of the last grants of each feature as may be out and not on the disk.
    fn lose(&mut self) {
        let mut lost: BTreeMap<FeatureName, u32> = BTreeMap::new();
        for (lease, feature, credit) in self.unsynced.drain(..).rev() {
            let so_far = lost.entry(feature).or_default();
            // Those that have ended since count as well: they were written before.
            let seats = self.held.get(&lease).map_or(1, |held| held.seats.get());
            *so_far = so_far.saturating_add(seats);
            if *so_far <= credit {
                self.held.remove(&lease);
            }
        }
    }
}

impl Running {
    /// What it takes the time for, without looking at its calendar.
    fn now(&self, clock: Clock, at: Instant) -> Now {
        let raw = clock.now(at);
        Now { wall: self.keeper.at(raw.mono), ..raw }
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.shared.counters();
        let found = counters.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("the core has no counter {name:?}")).1
    }

    /// Promise S3: no datagram counts twice.
    fn check_replays(&self, at: Instant) -> Checked {
        let (accepted, distinct) = (self.counter("data_accepted"), self.data.len() as u64);
        ensure(at, accepted <= distinct, || format!("{accepted} DATA accepted of {distinct} different ones: a replay"))
    }
}

/// Which of `workers` gets what comes from `from`: the kernel's `SO_REUSEPORT` choice, in spirit.
fn worker_of(from: SocketAddr, workers: usize) -> usize {
    let ip = match from.ip() {
        std::net::IpAddr::V4(ip) => u64::from(ip.to_bits()),
        std::net::IpAddr::V6(_) => 0,
    };
    let hash = Rng::new(ip << 16 | u64::from(from.port())).draw();
    usize::try_from(hash % workers.max(1) as u64).unwrap_or(0)
}
