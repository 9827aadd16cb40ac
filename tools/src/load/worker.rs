//! One thread of a population: its clients, their sockets, one event loop.
//!
//! A client is the SDK's own sans-IO half. Every holder is called at the very millisecond it asked for, even when this
//! thread comes late, so that its pace never drifts; what is measured counts from that millisecond. A stall, whoever's
//! it is, is seen in full.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use leasehold::holder::{CheckoutSpec, Destination, HolderConfig, HolderEvent, LeaseState, Target};
use leasehold_protocol::{
    packet::{self, DATAGRAM_MAX, PacketType},
    time::{Mono, Now, UnixMillis},
    vocab::{SeatCount, Version},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    audit::Audit,
    client::{Client, Phase},
    lean,
    plan::Part,
    series::{Recorder, Series},
    tally::Kind,
    wire,
};
use crate::exit::Failure;

/// What all threads share: the figures that are watched while they change.
#[derive(Debug, Default)]
pub struct Watch {
    /// Renewals answered so far.
    pub renewals: AtomicU64,
    /// Clients that have the first answer to each of their leases, yes or no.
    pub settled: AtomicU64,
    /// Clients that have released, or never held.
    pub finished: AtomicU64,
    /// Set: release everything and end.
    pub end: AtomicBool,
    /// The zero of the test's clock: set when every thread has made its clients, which takes a while.
    pub epoch: OnceLock<Instant>,
}

/// What a thread is told.
#[derive(Clone)]
pub struct Task {
    /// Where all threads meet before the test begins.
    pub ready: Arc<Barrier>,
    /// The wall clock at that zero.
    pub wall: UnixMillis,
    /// The server.
    pub target: Target,
    /// As every client has it.
    pub config: HolderConfig,
    /// This thread's clients.
    pub parts: Vec<Part>,
    /// Leases of each.
    pub leases_per_client: u32,
    /// How often each renews; `None` is the server's pace.
    pub every: Option<Duration>,
    /// How many sockets they share.
    pub sockets: usize,
    /// Addresses to send from, in turn; at least one.
    pub sources: Vec<IpAddr>,
    /// Figures to keep up to date.
    pub watch: Arc<Watch>,
    /// The checks.
    pub audit: Arc<Audit>,
    /// The seconds.
    pub series: Arc<Series>,
}

/// How long releases may go unanswered at the end.
const RELEASE_PATIENCE_MS: u64 = 5_000;
/// Clients that leave between two looks at what came.
const LEAVE_A_TURN: usize = 64;
/// How long the thread sleeps at most: the end is noticed that soon.
const SLEEP_MAX_MS: u64 = 20;
/// Datagrams taken from one socket before the timers have their turn.
const BATCH: usize = 64;

/// Runs a thread's clients from their start to the end of their release.
///
/// # Errors
/// If there are no sockets for it, or one of them fails.
pub fn run(task: Task) -> Result<(), Failure> {
    let made = Made::new(&task);
    // Also after a failure: the others must not wait for ever.
    task.ready.wait();
    let epoch = *task.watch.epoch.get_or_init(Instant::now);
    let mut worker = made?.begin(task, epoch)?;
    while !worker.is_done() {
        worker.turn()?;
    }
    worker.finish()
}

/// A thread's part before the test begins.
struct Made {
    sockets: Vec<UdpSocket>,
    clients: Vec<Client>,
}

struct Worker {
    task: Task,
    epoch: Instant,
    sockets: Vec<UdpSocket>,
    clients: Vec<Client>,
    /// Which client a session id of ours belongs to, per socket.
    routes: Vec<HashMap<u32, usize>>,
    /// Deadlines; a client's latest entry counts, older ones are skipped.
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    recorder: Recorder,
    /// When the last client was told to leave, once they are.
    ending_since: Option<u64>,
    /// How many were.
    left: usize,
    buffer: Vec<u8>,
}

impl Made {
    fn new(task: &Task) -> Result<Self, Failure> {
        let sources = task.sources.iter().cycle().take(task.sockets);
        let sockets = sources.map(|source| wire::open(*source)).collect::<io::Result<Vec<_>>>();
        let sockets = sockets.map_err(|e| {
            Failure::new("cannot open the sockets of the load test")
                .because_of(&e)
                .remedy("allow more files: ulimit -n 4096")
        })?;
        let clients = task.parts.iter().map(|part| Client::new(&task.config, part, task.every)).collect();
        Ok(Self { sockets, clients })
    }

    fn begin(self, task: Task, epoch: Instant) -> Result<Worker, Failure> {
        let Self { sockets, clients } = self;
        let timers = clients.iter().enumerate().map(|(i, client)| Reverse((client.start_ms(), i))).collect();
        let routes = vec![HashMap::new(); sockets.len()];
        let (recorder, buffer) = (Recorder::new(task.series.clone())?, Vec::with_capacity(DATAGRAM_MAX));
        Ok(Worker { task, epoch, sockets, clients, routes, timers, recorder, ending_since: None, left: 0, buffer })
    }
}

impl Worker {
    fn is_done(&self) -> bool {
        let all = || self.clients.iter().all(|client| client.phase == Phase::Over);
        let late = |since| self.now_ms() >= since + RELEASE_PATIENCE_MS;
        self.ending_since.is_some_and(|since| late(since) || all())
    }

    fn finish(mut self) -> Result<(), Failure> {
        let counts = &mut self.recorder.tally.counts;
        for client in &self.clients {
            counts.retries += client.retries;
            counts.never_held += u64::from(self.task.leases_per_client) - client.ever_held();
            counts.not_released += if client.phase == Phase::Over { 0 } else { client.not_released() };
        }
        self.recorder.finish()
    }

    fn turn(&mut self) -> Result<(), Failure> {
        self.recorder.tick(self.now())?;
        if self.ending_since.is_none() && self.task.watch.end.load(Ordering::Relaxed) {
            self.ending_since = Some(self.now_ms());
        }
        self.leave();
        self.run_timers();
        for socket in self.ready_sockets()? {
            self.receive_all(socket)?;
        }
        Ok(())
    }

    /// Everything that is due, each client at the millisecond it asked for.
    fn run_timers(&mut self) {
        let now_ms = self.now_ms();
        while let Some(&Reverse((due, client))) = self.timers.peek() {
            if due > now_ms {
                break;
            }
            self.timers.pop();
            match self.clients[client].phase {
                Phase::Waiting if self.ending_since.is_none() => self.start(client, due),
                _ if self.clients[client].armed == Some(due) => {
                    self.clients[client].armed = None;
                    let now = self.at(client, due);
                    self.clients[client].holder.handle_timeout(now);
                    self.drain(client, Some(due));
                }
                _ => {}
            }
        }
    }

    fn start(&mut self, client: usize, due: u64) {
        let now = self.at(client, due);
        let (target, start) = (self.task.target.clone(), &mut self.clients[client]);
        start.phase = Phase::Asking;
        start.asked_at = due;
        start.holder.connect(now, target);
        for _ in 0..self.task.leases_per_client {
            let feature = start.feature.clone();
            let spec = CheckoutSpec { feature, version: Version::ANY, seats: SeatCount::ONE, claim: None };
            let handle = start.holder.checkout(now, spec);
            start.ask(handle);
        }
        self.drain(client, None);
    }

    /// Has some more clients give their seats back, once it is time: all at once would be more than any socket holds, and the
    /// answers would be lost to ourselves.
    fn leave(&mut self) {
        let more = self.left..self.clients.len().min(self.left + LEAVE_A_TURN);
        if self.ending_since.is_none() || more.is_empty() {
            return;
        }
        let now_ms = self.now_ms();
        self.ending_since = Some(now_ms);
        self.left = more.end;
        for i in more {
            let now = self.at(i, now_ms);
            let client = &mut self.clients[i];
            match client.phase {
                Phase::Waiting | Phase::Over => client.phase = Phase::Over,
                Phase::Asking | Phase::Holding => {
                    client.phase = Phase::Leaving;
                    client.asked_at = now_ms;
                    let audit = &self.task.audit;
                    // Before the releases are sent: from then on the seats may be somebody else's.
                    client.drop_all().for_each(|lease| audit.gone(client.feature_index, lease));
                    client.holder.close(now);
                    self.drain(i, None);
                }
                Phase::Leaving => {}
            }
        }
    }

    fn receive_all(&mut self, socket: usize) -> Result<(), Failure> {
        let mut datagram = [0; DATAGRAM_MAX + 1];
        for _ in 0..BATCH {
            match self.sockets[socket].recv_from(&mut datagram) {
                Ok((len, from)) => self.receive(socket, from, &mut datagram[..len]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // An ICMP answer to something we sent: the server is not there at this moment.
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
                Err(e) => return Err(Failure::new("a socket of the load test failed").because_of(&e)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, socket: usize, from: SocketAddr, datagram: &mut [u8]) {
        self.recorder.tally.counts.datagrams_received += 1;
        let client = lean::sid_of_answer(datagram).and_then(|sid| self.routes[socket].get(&sid).copied());
        let Some(client) = client else {
            self.recorder.tally.counts.datagrams_strange += 1;
            return;
        };
        let now = self.at(client, self.now_ms());
        self.clients[client].holder.handle_datagram(now, from, datagram);
        self.drain(client, None);
    }

    /// Sends what a client has to send, takes its events, and notes its next deadline. `due`: the deadline it was called
    /// for, which is what a renewal it sends counts from.
    fn drain(&mut self, client: usize, due: Option<u64>) {
        self.send(client, due);
        while let Some(event) = self.clients[client].holder.poll_event() {
            self.on_event(client, event);
        }
        let next = self.clients[client].holder.poll_timeout().map(|at| at.0);
        if next != self.clients[client].armed {
            self.clients[client].armed = next;
            self.timers.extend(next.map(|at| Reverse((at, client))));
        }
    }

    fn send(&mut self, client: usize, due: Option<u64>) {
        let socket = client % self.sockets.len();
        let mut datagram = std::mem::take(&mut self.buffer);
        while let Some(to) = self.clients[client].holder.poll_transmit(&mut datagram) {
            let Destination::To(address) = to else { continue };
            match packet::classify(&datagram) {
                Ok(PacketType::Hello1) => {
                    self.routes[socket].extend(wire::sid_of_hello(&datagram).map(|sid| (sid, client)));
                }
                Ok(PacketType::DataToServer) => {
                    let sent = self.now();
                    self.clients[client].sent_data(due, sent);
                }
                _ => {}
            }
            self.recorder.tally.counts.datagrams_sent += 1;
            if self.sockets[socket].send_to(&datagram, address).is_err() {
                self.recorder.tally.counts.send_failures += 1;
            }
        }
        self.buffer = datagram;
    }

    fn on_event(&mut self, index: usize, event: HolderEvent) {
        let now = self.now();
        let (client, watch) = (&mut self.clients[index], &self.task.watch);
        let (tally, audit) = (&mut self.recorder.tally, &self.task.audit);
        match event {
            HolderEvent::Connected { .. } => tally.counts.connects += 1,
            HolderEvent::Granted { lease, grant, .. } => {
                let first = client.granted(lease, grant.lease);
                if first.is_first {
                    tally.record(Kind::Checkout, now.saturating_sub(Duration::from_millis(client.asked_at)));
                } else if first.was.is_none() {
                    tally.counts.regained += 1;
                }
                if client.phase == Phase::Leaving {
                    // It came too late, and the holder gives it back by itself.
                    client.gone(lease);
                    return;
                }
                first.was.into_iter().for_each(|was| audit.gone(client.feature_index, was));
                audit.granted(client.feature_index, grant.lease);
                settle(watch, client);
            }
            HolderEvent::Denied { lease, deny } => {
                *tally.denials.entry(deny.code).or_default() += 1;
                if client.denied(lease) {
                    tally.record(Kind::Denial, now.saturating_sub(Duration::from_millis(client.asked_at)));
                }
                settle(watch, client);
            }
            HolderEvent::Renewed { .. } => {
                watch.renewals.fetch_add(1, Ordering::Relaxed);
                tally.counts.operations += 1;
                if let Some((due, sent)) = client.answered() {
                    tally.record(Kind::Answer, now.saturating_sub(sent));
                    let took = now.saturating_sub(due);
                    match self.task.every {
                        Some(every) => tally.record_paced(Kind::Renewal, took, every),
                        None => tally.record(Kind::Renewal, took),
                    }
                }
            }
            HolderEvent::StateChanged { lease, state } => match state {
                LeaseState::Retrying { .. } => tally.counts.danger += 1,
                LeaseState::Lost { .. } => {
                    tally.counts.lost += 1;
                    client.gone(lease).into_iter().for_each(|was| audit.gone(client.feature_index, was));
                }
                _ => {}
            },
            HolderEvent::Released { lease, .. } => {
                tally.record(Kind::Release, now.saturating_sub(Duration::from_millis(client.asked_at)));
                client.released(lease);
            }
            HolderEvent::Closed if client.phase == Phase::Leaving => {
                client.phase = Phase::Over;
                watch.finished.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Sleeps until the next deadline or datagram, to the microsecond; which sockets have something.
    fn ready_sockets(&self) -> Result<Vec<usize>, Failure> {
        let next = self.timers.peek().map_or(u64::MAX, |Reverse((due, _))| *due);
        let limit = self.now() + Duration::from_millis(SLEEP_MAX_MS);
        let wait = Duration::from_millis(next).min(limit).saturating_sub(self.now());
        let mut fds: Vec<PollFd<'_>> = self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => Ok((0..fds.len()).filter(|i| !fds[*i].revents().is_empty()).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(e) => Err(Failure::new("cannot wait for the sockets of the load test").because(e)),
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// Both clocks at `ms` of the test's, but never before what the client has already been told.
    fn at(&mut self, client: usize, ms: u64) -> Now {
        let client = &mut self.clients[client];
        client.told_ms = client.told_ms.max(ms);
        Now { mono: Mono(client.told_ms), wall: UnixMillis(self.task.wall.0 + client.told_ms) }
    }
}

/// Notes a client that has the first answer to each of its leases.
fn settle(watch: &Watch, client: &mut Client) {
    if client.phase == Phase::Asking && client.has_all_answers() {
        client.phase = if client.ever_held() > 0 { Phase::Holding } else { Phase::Over };
        watch.settled.fetch_add(1, Ordering::Relaxed);
        watch.finished.fetch_add(u64::from(client.phase == Phase::Over), Ordering::Relaxed);
    }
}
