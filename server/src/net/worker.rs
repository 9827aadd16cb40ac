//! A worker: waits for datagrams, feeds its engine, drains it, repeats, with bounded work a turn.

use std::{
    future::ready,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use leasehold_core::{Engine, Event, Path};
use leasehold_protocol::time::{Mono, Now};
use quinn_udp::RecvMeta;
use socket2::SockRef;
use tokio::{
    runtime::Runtime,
    sync::{Notify, mpsc},
    task::yield_now,
    time::{Instant, sleep},
};

use super::{
    Interfaces, NetCounters, Wiring,
    batch::{Asking, Batch},
    discovery::companions,
    held::Held,
    interfaces::Destination,
    outgoing::Outgoing,
    ports::Ports,
    workers::Order,
};
use crate::{
    clock::{SteadyClock, SystemEntropy, until},
    events,
    journal::Noted,
};

/// How often a worker looks around although nothing happened: after a suspend its timer is late, because the runtime's
/// clock stood still and the lease clock did not.
const LOOK_AROUND_MS: u64 = 1000;
/// How often a debug log says what was dropped.
const LOG_DROPS_MS: u64 = 60_000;
/// Receive errors in a row after which a worker pauses: an interface that went away must not become a busy loop.
const ERRORS_IN_A_ROW: u32 = 16;
/// While more renewals come than one batch holds, every so many batches one is taken at the door: it is last, and not shut.
const DOOR_EVERY: u32 = 4;
/// That pause.
const ERROR_REST: Duration = Duration::from_millis(20);

/// One worker, before it runs.
pub(super) struct Worker {
    lead: bool,
    engine: Engine,
    ports: Ports,
    batch: Batch,
    orders: mpsc::UnboundedReceiver<Order>,
    wiring: Wiring,
    /// Which list of interfaces the groups were joined for.
    joined_for: Option<u64>,
    look_around_at: Mono,
    drops_logged_at: Mono,
    drops_logged: u64,
    errors_in_a_row: u32,
    /// Counts the times datagrams were taken.
    turn: u32,
    /// The last of them took some at a door.
    knocked: bool,
    /// Answers that wait for the disk.
    held: Held,
    /// Room for what is noted.
    room: Vec<u8>,
}

/// Runs `worker` to its end.
pub(super) fn run(worker: Worker, runtime: &Runtime) {
    let notice = FailureNotice(worker.wiring.worker_failed.clone());
    runtime.block_on(worker.run());
    drop(notice);
}

/// Tells of a panic on its way out.
struct FailureNotice(Arc<Notify>);

impl Drop for FailureNotice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

impl Worker {
    /// A worker with `sockets` and doors of its own among those bound to `bound`.
    ///
    /// # Errors
    /// If a socket option cannot be had.
    pub fn new(
        number: usize,
        sockets: [Vec<UdpSocket>; 2],
        bound: &[SocketAddr],
        orders: mpsc::UnboundedReceiver<Order>,
        steered: bool,
        wiring: &Wiring,
        runtime: &Runtime,
    ) -> io::Result<Self> {
        let _context = runtime.enter();
        let lead = number == 0;
        let mut engine = Engine::new(wiring.shared.clone(), Box::new(SystemEntropy));
        engine.tell_renewals(events::renewals_are_logged());
        let hears = lead && wiring.discovery;
        let companions = if hears { companions(bound, &wiring.interfaces.get()) } else { Vec::new() };
        Ok(Self {
            lead,
            engine,
            ports: Ports::new(sockets, companions, steered)?,
            batch: Batch::new(),
            orders,
            wiring: wiring.clone(),
            joined_for: None,
            look_around_at: Mono(0),
            drops_logged_at: Mono(0),
            drops_logged: 0,
            errors_in_a_row: 0,
            turn: 0,
            knocked: false,
            held: Held::new(wiring.journal.synced()),
            room: Vec::new(),
        })
    }

    async fn run(mut self) {
        let mut timer = pin!(sleep(Duration::ZERO));
        // What it keeps for the system's calls must not move to another thread.
        let mut outgoing = Outgoing::new(self.wiring.journal.clone());
        let mut armed = None;
        loop {
            if let Some(now) = self.look_before_sleep(&mut outgoing).await {
                self.run_due(now, &mut outgoing).await;
                continue;
            }
            let due = self.next_due();
            // A timer is a millisecond late at times: what is due already does not wait for one.
            let waits = until(due) > Duration::ZERO;
            if waits && armed != Some(due) {
                timer.as_mut().reset(Instant::now() + until(due));
                armed = Some(due);
            }
            let now = tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Goodbye) => self.goodbye(),
                    Some(Order::Stop) | None => break,
                },
                () = self.ports.readable() => self.receive(&mut outgoing, Asking::IfTold).await.unwrap_or_else(|| self.now()),
                () = self.held.changed(), if !self.held.is_empty() => self.now(),
                () = &mut timer, if waits => self.now(),
                () = ready(()), if !waits => self.now(),
            };
            if timer.is_elapsed() {
                armed = None;
            }
            self.run_due(now, &mut outgoing).await;
            if !waits || self.knocked {
                // Without a pause the runtime would not look at its sockets while there is other work, and renewals would
                // wait for all of it.
                yield_now().await;
            }
        }
    }

    fn next_due(&self) -> Mono {
        self.engine.poll_timeout().map_or(self.look_around_at, |due| due.min(self.look_around_at))
    }

    fn now(&mut self) -> Now {
        read_clock(&self.wiring.clock, &mut self.engine)
    }

    fn goodbye(&mut self) -> Now {
        let now = self.now();
        self.engine.begin_goodbye(now);
        now
    }

    /// Goes on asking for datagrams for as long as the settings say: a request that comes meanwhile finds us awake. `None` when
    /// none came, or something else is to be done.
    async fn look_before_sleep(&mut self, outgoing: &mut Outgoing) -> Option<Now> {
        if self.wiring.busy_poll.is_zero() {
            return None;
        }
        let end = std::time::Instant::now() + self.wiring.busy_poll;
        while self.orders.is_empty()
            && !self.orders.is_closed()
            && until(self.next_due()) > Duration::ZERO
            && !self.held.may_be_due()
            && std::time::Instant::now() < end
        {
            let taken = self.receive(outgoing, Asking::Anyway).await;
            if taken.is_some() {
                return taken;
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Takes at most one batch from each socket. One clock reading for each, after it was taken. The last one is returned.
    async fn receive(&mut self, outgoing: &mut Outgoing, asking: Asking) -> Option<Now> {
        let mut last = None;
        let interfaces = self.wiring.interfaces.get();
        self.turn = self.turn.wrapping_add(1);
        let mut pressed = false;
        self.knocked = false;
        for index in 0..self.ports.iter().len() {
            let port = &self.ports[index];
            let is_door = port.is_door();
            if is_door && pressed && !self.turn.is_multiple_of(DOOR_EVERY) {
                continue;
            }
            let clock = || read_clock(&self.wiring.clock, &mut self.engine);
            match self.batch.fill(&port.io, &port.state, asking, clock) {
                Ok(now) => {
                    last = Some(now);
                    NetCounters::add(&self.wiring.counters.receive_batches);
                    self.errors_in_a_row = 0;
                    pressed |= !is_door && self.batch.is_full();
                    self.knocked |= is_door;
                    self.handle_batch(now, index, &interfaces, outgoing).await;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => self.receive_failed(&e).await,
            }
        }
        last
    }

    async fn handle_batch(&mut self, now: Now, port: usize, interfaces: &Arc<Interfaces>, outgoing: &mut Outgoing) {
        for i in 0..self.batch.len() {
            let (meta, _) = self.batch.datagrams(i);
            let Some(path) = self.path(now, port, &meta, interfaces) else { continue };
            let (_, datagrams) = self.batch.datagrams(i);
            for datagram in datagrams {
                self.engine.handle_datagram(now, path, datagram);
                let Self { engine, wiring, held, room, ports, .. } = self;
                // What was used up is on disk before the grant that used it leaves.
                match drain_events(engine, wiring, now, room, outgoing) {
                    Noted::After(number) => held.keep(number, engine),
                    _ => outgoing.collect(engine, ports, interfaces, &wiring.counters).await,
                }
            }
        }
        outgoing.flush(&self.ports, &self.wiring.counters).await;
    }

    async fn receive_failed(&mut self, e: &io::Error) {
        NetCounters::add(&self.wiring.counters.receive_errors);
        tracing::debug!("receiving failed: {e}");
        self.errors_in_a_row += 1;
        if self.errors_in_a_row.is_multiple_of(ERRORS_IN_A_ROW) {
            sleep(ERROR_REST).await;
        }
    }

    /// How a datagram reached us; `None` if it is another worker's copy of a broadcast, or discovery is off.
    fn path(&self, now: Now, port: usize, meta: &RecvMeta, interfaces: &Arc<Interfaces>) -> Option<Path> {
        if meta.addr.port() == 0 {
            // Nobody can be answered there, and an answer that the system refuses may take others with it.
            NetCounters::add(&self.wiring.counters.receive_from_port_0);
            return None;
        }
        let port = &self.ports[port];
        let (from, index) = (meta.addr.ip(), meta.interface_index);
        let destination = meta.dst_ip.map_or(Destination::Ours, |ip| interfaces.destination(ip));
        let destination = match destination {
            Destination::Unknown if self.wiring.interfaces.refresh_on_demand(now.mono) => {
                meta.dst_ip.map_or(Destination::Ours, |ip| self.wiring.interfaces.get().destination(ip))
            }
            known => known,
        };
        let on_link = interfaces.is_on_link(from, index);
        if destination != Destination::Everybody && port.is_ours() {
            let local = if port.bound.ip().is_unspecified() { meta.dst_ip } else { Some(port.bound.ip()) };
            return Some(Path { from: meta.addr, local, on_link, broadcast: false });
        }
        // Of a broadcast the door has its own copy as well.
        if port.is_door() || !self.takes_broadcast() {
            return None;
        }
        let on_link = on_link
            || (self.wiring.interfaces.refresh_on_demand(now.mono) && {
                self.wiring.interfaces.get().is_on_link(from, index)
            });
        let local = port.answers_from().or_else(|| interfaces.facing(from, index));
        Some(Path { from: meta.addr, local, on_link, broadcast: true })
    }

    fn takes_broadcast(&self) -> bool {
        let counters = &self.wiring.counters;
        match (self.wiring.discovery, self.lead) {
            (false, _) => NetCounters::add(&counters.broadcast_ignored),
            (true, false) => NetCounters::add(&counters.broadcast_copies),
            (true, true) => return true,
        }
        false
    }

    /// Runs what is due, handshakes too, drains, and looks around once a second.
    async fn run_due(&mut self, now: Now, outgoing: &mut Outgoing) {
        if self.engine.poll_due().is_some_and(|due| due <= now.mono) {
            self.engine.handle_timeout(now);
        } else if self.engine.has_waiting() {
            self.engine.handle_waiting(now);
        }
        let Self { engine, wiring, held, room, ports, .. } = self;
        let interfaces = wiring.interfaces.get();
        match drain_events(engine, wiring, now, room, outgoing) {
            Noted::After(number) => held.keep(number, engine),
            _ => outgoing.collect(engine, ports, &interfaces, &wiring.counters).await,
        }
        while !held.is_empty()
            && let Some(letter) = held.next()
        {
            outgoing.post(letter, ports, &interfaces, &wiring.counters).await;
        }
        outgoing.flush(&self.ports, &self.wiring.counters).await;
        if now.mono >= self.look_around_at {
            self.look_around(now);
        }
    }

    fn look_around(&mut self, now: Now) {
        self.look_around_at = now.mono.plus_ms(LOOK_AROUND_MS);
        if self.lead && now.mono >= self.drops_logged_at.plus_ms(LOG_DROPS_MS) {
            self.drops_logged_at = now.mono;
            self.drops_logged = events::log_drops(&self.wiring.shared, self.drops_logged);
        }
        // Also when nothing changed: a group that could not be joined before may be joinable by then.
        let read_again = self.lead && self.wiring.interfaces.refresh_if_old(now.mono);
        let seen = Some(self.wiring.interfaces.changes());
        if self.wiring.discovery && (read_again || self.joined_for != seen) {
            self.joined_for = seen;
            self.join_groups();
        }
    }

    /// Every socket of every worker joins, though only the first one answers: where one socket of a reuse-port group has joined, Linux
    /// (seen on 6.18) hands a multicast datagram to any one of them, by the hash of its addresses. With all of them joined
    /// each gets a copy.
    fn join_groups(&mut self) {
        let interfaces = self.wiring.interfaces.get();
        let main: Vec<IpAddr> = self.ports.iter().filter(|port| port.is_ours()).map(|port| port.bound.ip()).collect();
        for port in self.ports.iter_mut().filter(|port| port.hears_group()) {
            let only = if port.is_ours() { None } else { Some(&*main) };
            port.membership.refresh(SockRef::from(&port.io), &interfaces, only);
        }
    }
}

/// The time for the steps that follow; the engine is told where the machine's calendar is (E-7).
fn read_clock(clock: &SteadyClock, engine: &mut Engine) -> Now {
    let reading = clock.read();
    engine.note_raw(reading.raw_ahead_ms);
    reading.now
}

/// Passes on what happened; what came of it.
fn drain_events(engine: &mut Engine, wiring: &Wiring, now: Now, room: &mut Vec<u8>, outgoing: &mut Outgoing) -> Noted {
    let mut noted = Noted::Nothing;
    while let Some(event) = engine.poll_event() {
        events::log(&event);
        noted = noted.max(wiring.journal.note(&event, now, room));
        if let Err(e) = wiring.uses.note([&event]) {
            tracing::error!("{e}: what was used counts until this server ends, and is forgotten then");
        }
        if let Event::SessionOpened { client, clock_ahead_ms, .. } = event {
            wiring.clock.heard(client, clock_ahead_ms);
        }
        if matches!(event, Event::Released(_) | Event::Expired(_) | Event::LingerEnded(_)) {
            wiring.lease_ended.notify_waiters();
        }
        wiring.history.note(event, now);
    }
    if noted > Noted::Nothing {
        outgoing.note();
    }
    noted
}
