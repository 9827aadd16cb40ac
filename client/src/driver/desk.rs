//! Where the program and the holder meet: who waits for which answer, and until when.

mod bundles;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use leasehold_protocol::{
    message::{Activity, BundleItem, Grant},
    time::{Mono, Now},
    vocab::{FeatureName, LeaseId, OperationId},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    answers::{
        BundleAnswer, CheckoutAnswer, Held, LeaseEvent, LetGo, Listed, OpenAnswer, Patience, QueryAnswer,
        ReleaseAnswer, ServerInfo, View, Waiter,
    },
    clock::{self, SleepWatch},
    net::Net,
    plan::Plan,
    state::State,
};
use crate::{
    error::{CheckoutError, Denied},
    holder::{BundleHandle, CheckoutSpec, Holder, HolderEvent, LeaseHandle, LeaseState, Place, Plea},
};

/// A client's holder, its sockets, and everybody who waits.
#[derive(Debug)]
pub(crate) struct Desk {
    holder: Holder,
    net: Net,
    state: State,
    plan: Plan,
    sleep: SleepWatch,
    leases: BTreeMap<LeaseHandle, Slot>,
    queries: BTreeMap<OperationId, Waiter<QueryAnswer>>,
    bundles: BTreeMap<BundleHandle, (Waiter<BundleAnswer>, Vec<Vec<BundleItem>>)>,
    opening: Option<Waiter<OpenAnswer>>,
    /// When the client ends even if not everything is released.
    closing: Option<Mono>,
    closed: Vec<oneshot::Sender<()>>,
    over: bool,
    server: Option<ServerInfo>,
    /// When names may be looked up again.
    look_up_after: Mono,
    look_up: bool,
    out: Vec<u8>,
}

/// What the thread has to do beside waiting.
pub(crate) struct Turn {
    pub(crate) over: bool,
    pub(crate) reopen: bool,
    pub(crate) look_up: Vec<(usize, String, u16)>,
    pub(crate) wait: Duration,
}

#[derive(Debug)]
struct Slot {
    spec: CheckoutSpec,
    waiter: Option<Waiter<CheckoutAnswer>>,
    view: watch::Sender<View>,
    events: broadcast::Sender<LeaseEvent>,
    /// What is asked of it now, or was last.
    pleas: watch::Sender<Option<LetGo>>,
    released: Option<Waiter<ReleaseAnswer>>,
    /// Who is told of places in the queue.
    places: Option<mpsc::UnboundedSender<Place>>,
}

/// The clocks are looked at this often while a lease is held: a timer does not run while the machine sleeps.
const WATCH: Duration = Duration::from_secs(2);
/// Names are looked up again at most this often.
const LOOK_UP_AGAIN_MS: u64 = 10_000;
/// Changes a reader of a lease's events may be behind before it misses some.
const EVENTS_KEPT: usize = 64;

impl Slot {
    fn new(spec: CheckoutSpec, now: Now) -> Self {
        let event = LeaseEvent { state: LeaseState::Asking, at: clock::wall_of(now.mono, now), until: None };
        let (view, events) = (View { event, id: LeaseId::NONE }, broadcast::channel(EVENTS_KEPT).0);
        let (view, pleas) = (watch::channel(view).0, watch::channel(None).0);
        Self { spec, waiter: None, view, events, pleas, released: None, places: None }
    }

    fn held(&self, grant: Box<Grant>) -> Held {
        Held {
            grant: grant.into(),
            view: self.view.subscribe(),
            events: self.events.subscribe(),
            pleas: Some(self.pleas.subscribe()),
        }
    }
}

impl Desk {
    pub(crate) fn new(holder: Holder, net: Net, state: State, plan: Plan) -> Self {
        let mut desk = Self {
            holder,
            net,
            state,
            plan,
            sleep: SleepWatch::new(),
            leases: BTreeMap::new(),
            queries: BTreeMap::new(),
            bundles: BTreeMap::new(),
            opening: None,
            closing: None,
            closed: Vec::new(),
            over: false,
            server: None,
            look_up_after: Mono(0),
            look_up: true,
            out: Vec::new(),
        };
        desk.resolve_literals();
        desk.retarget();
        desk
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn server(&self) -> Option<ServerInfo> {
        self.server.clone()
    }

    /// Whether anybody named a server.
    pub(crate) fn names_servers(&self) -> bool {
        !self.plan.servers.is_empty()
    }

    /// Waits for the first server, for as long as `patience`.
    pub(crate) fn open(&mut self, patience: Duration) -> oneshot::Receiver<OpenAnswer> {
        let (waiter, answer) = Waiter::new(clock::now().mono, patience);
        // The search began with the thread: a server next door may have been found before anybody asked.
        match self.server.clone().filter(|_| self.holder.server().is_some()) {
            Some(found) => {
                let _ = waiter.reply.send(Ok(found));
            }
            None => self.opening = Some(waiter),
        }
        self.drain();
        self.give_up_if_hopeless();
        answer
    }

    /// Asks for seats; `how` says what becomes of a denial that may clear. `limit`: for an answer of any kind.
    pub(crate) fn checkout(
        &mut self,
        spec: CheckoutSpec,
        how: Patience,
        limit: Duration,
    ) -> (LeaseHandle, oneshot::Receiver<CheckoutAnswer>) {
        let now = clock::now();
        let (waiter, answer) = Waiter::new(now.mono, limit);
        let (handle, places) = match how {
            Patience::None => (self.holder.checkout(now, spec.clone()), None),
            Patience::Asks(patience) => (self.holder.checkout_patiently(now, spec.clone(), patience), None),
            Patience::Queues(patience, places) => (self.holder.checkout_in_turn(now, spec.clone(), patience), places),
        };
        let slot = Slot { waiter: Some(waiter), places, ..Slot::new(spec, now) };
        self.leases.insert(handle, slot);
        self.drain();
        (handle, answer)
    }

    /// Gives a lease back; with a `limit` somebody waits for the answer that long.
    pub(crate) fn release(
        &mut self,
        lease: LeaseHandle,
        limit: Option<Duration>,
    ) -> Option<oneshot::Receiver<ReleaseAnswer>> {
        let now = clock::now();
        let mut answer = None;
        if let (Some(slot), Some(limit)) = (self.leases.get_mut(&lease), limit) {
            let (waiter, receiver) = Waiter::new(now.mono, limit);
            slot.released = Some(waiter);
            answer = Some(receiver);
        }
        if let Some(slot) = self.leases.get_mut(&lease) {
            slot.places = None;
        }
        self.holder.release(now, lease);
        self.drain();
        answer
    }

    pub(crate) fn set_activity(&mut self, lease: LeaseHandle, activity: Activity) {
        self.holder.set_activity(lease, activity);
        self.holder.handle_timeout(clock::now());
        self.drain();
    }

    /// Asks what there is; `ask` says what of.
    pub(crate) fn query(
        &mut self,
        only: Option<FeatureName>,
        limit: Duration,
        ask: fn(&mut Holder, Now, Option<FeatureName>) -> OperationId,
    ) -> oneshot::Receiver<QueryAnswer> {
        let now = clock::now();
        let (waiter, answer) = Waiter::new(now.mono, limit);
        let operation = ask(&mut self.holder, now, only);
        self.queries.insert(operation, waiter);
        self.drain();
        answer
    }

    /// Releases everything and ends, after `limit` at the latest.
    pub(crate) fn close(&mut self, limit: Duration, done: Option<oneshot::Sender<()>>) {
        let now = clock::now();
        self.closing = Some(now.mono.plus(limit));
        self.closed.extend(done);
        self.holder.close(now);
        self.drain();
    }

    /// Nobody gets an answer any more.
    pub(crate) fn end(&mut self) {
        self.over = true;
        self.leases.clear();
        self.queries.clear();
        self.bundles.clear();
        self.opening = None;
        for done in self.closed.drain(..) {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }

    pub(crate) fn receive(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        self.holder.handle_datagram(clock::now(), from, bytes);
        self.drain();
    }

    pub(crate) fn receivers(&self) -> Vec<UdpSocket> {
        self.net.receivers()
    }

    pub(crate) fn wear_out(&mut self) {
        self.net.wear_out();
    }

    /// New sockets; the server sees a new address and follows it.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.net.reopen()?;
        self.holder.resumed(clock::now());
        self.drain();
        Ok(())
    }

    pub(crate) fn resolved(&mut self, server: usize, addresses: &[SocketAddr]) {
        self.plan.resolved(server, addresses);
        self.retarget();
        self.give_up_if_hopeless();
        self.drain();
    }

    /// Does what is due and says what to wait for.
    pub(crate) fn turn(&mut self) -> Turn {
        let now = clock::now();
        if self.sleep.slept() {
            self.holder.resumed(now);
            self.look_up = true;
        }
        self.holder.handle_timeout(now);
        self.drain();
        self.time_out(clock::now());
        let look_up = if std::mem::take(&mut self.look_up) { self.names(now.mono) } else { Vec::new() };
        Turn { over: self.over, reopen: self.net.take_worn(), look_up, wait: self.wait(clock::now().mono) }
    }

    fn wait(&self, now: Mono) -> Duration {
        let holder = self.holder.poll_timeout();
        let opening = self.opening.as_ref().map(|w| w.until);
        let checkouts = self.leases.values().filter_map(|slot| slot.waiter.as_ref().map(|w| w.until)).min();
        let releases = self.leases.values().filter_map(|slot| slot.released.as_ref().map(|w| w.until)).min();
        let queries = self.queries.values().map(|w| w.until).min();
        let bundles = self.bundles.values().map(|(w, _)| w.until).min();
        let next = [holder, opening, checkouts, releases, queries, bundles, self.closing].into_iter().flatten().min();
        let most = if self.leases.is_empty() { Duration::from_secs(3_600) } else { WATCH };
        next.map_or(most, |at| at.since(now).min(most))
    }

    /// Sends what the holder wants sent and hands on what it has to say.
    fn drain(&mut self) {
        let now = clock::now();
        loop {
            while let Some(to) = self.holder.poll_transmit(&mut self.out) {
                self.net.send(to, &self.out);
            }
            let Some(event) = self.holder.poll_event() else { return };
            self.on_event(now, event);
        }
    }

    fn on_event(&mut self, now: Now, event: HolderEvent) {
        match event {
            HolderEvent::Connected { address, key, realm, rtt_ms } => {
                let (fingerprint, found) = (key.fingerprint(), self.plan.found(address));
                let round_trip = Duration::from_millis(rtt_ms);
                self.on_connected(ServerInfo { address, fingerprint, key, realm, found, round_trip });
            }
            HolderEvent::ServerRejected { address, why } => {
                self.plan.reject(address, why);
                self.give_up_if_hopeless();
            }
            HolderEvent::ConnectFailed { .. } => self.look_up = now.mono >= self.look_up_after,
            HolderEvent::Granted { lease, grant, .. } => self.on_granted(now, lease, grant),
            HolderEvent::Denied { lease, deny } => {
                let denied = self.leases.get(&lease).map(|slot| Denied::new(&slot.spec, *deny));
                if let Some(denied) = denied {
                    self.answer_checkout(lease, CheckoutError::Denied(Box::new(denied)));
                }
            }
            HolderEvent::Waiting { lease, again_at, .. } => {
                // The server answers: the limit on its silence begins again.
                if let Some(waiter) = self.leases.get_mut(&lease).and_then(|slot| slot.waiter.as_mut()) {
                    waiter.until = again_at.plus(waiter.patience);
                }
            }
            HolderEvent::Queued { lease, place, again_at } => {
                if let Some(slot) = self.leases.get_mut(&lease) {
                    // Nobody may be listening.
                    let _ = slot.places.as_ref().map(|places| places.send(place));
                    if let Some(waiter) = slot.waiter.as_mut() {
                        waiter.until = again_at.plus(waiter.patience);
                    }
                }
            }
            HolderEvent::AskedToLetGo { lease, plea: Plea { until, rule, waiting, .. } } => {
                if let Some(slot) = self.leases.get(&lease) {
                    let until = until.map(|until| clock::wall_of(until, now));
                    // Nobody may be listening: then the server takes it.
                    slot.pleas.send_replace(Some(LetGo { until, rule, waiting }));
                }
            }
            HolderEvent::BundleGranted { bundle, alternative, leases } => {
                self.on_bundle_granted(now, bundle, alternative, leases);
            }
            HolderEvent::BundleRefused { bundle, why } => self.on_bundle_refused(bundle, why),
            HolderEvent::BundleWaiting { bundle, again_at, .. } => self.on_bundle_waiting(bundle, again_at),
            HolderEvent::Misbehaved { lease, what } => {
                self.answer_checkout(lease, CheckoutError::ServerMisbehaved(what));
            }
            HolderEvent::StateChanged { lease, state } => self.on_state(now, lease, state),
            HolderEvent::Released { lease, .. } => {
                if let Some(waiter) = self.leases.remove(&lease).and_then(|slot| slot.released) {
                    let _ = waiter.reply.send(Ok(()));
                }
            }
            HolderEvent::Features { operation, features } => {
                self.answer_query(operation, Ok(Listed::Features(features)));
            }
            HolderEvent::Licences { operation, licences } => {
                let unsupported = CheckoutError::Unsupported { what: "which licences its seats come from" };
                self.answer_query(operation, licences.map(Listed::Licences).ok_or(unsupported));
            }
            HolderEvent::Closed => self.end(),
            HolderEvent::Offered { .. } | HolderEvent::Renewed { .. } | HolderEvent::ServerGoodbye { .. } => {}
        }
    }

    fn answer_query(&mut self, operation: OperationId, answer: QueryAnswer) {
        if let Some(waiter) = self.queries.remove(&operation) {
            let _ = waiter.reply.send(answer);
        }
    }

    fn on_connected(&mut self, server: ServerInfo) {
        self.plan.remember(&mut self.state, server.address, &server.key);
        self.server = Some(server.clone());
        // From here on the key just seen is the one expected there.
        self.retarget();
        if let Some(waiter) = self.opening.take() {
            let _ = waiter.reply.send(Ok(server));
        }
    }

    fn on_granted(&mut self, now: Now, lease: LeaseHandle, grant: Box<Grant>) {
        let Some(slot) = self.leases.get_mut(&lease) else { return };
        slot.view.send_modify(|view| view.id = grant.lease);
        slot.places = None;
        let Some(waiter) = slot.waiter.take() else { return };
        let held = slot.held(grant);
        if waiter.reply.send(Ok(held)).is_err() {
            // Nobody waits any more: the seats go back.
            self.holder.release(now, lease);
        }
    }

    fn on_state(&mut self, now: Now, lease: LeaseHandle, state: LeaseState) {
        let Some(slot) = self.leases.get(&lease) else { return };
        let deadline = self.holder.lease_info(lease).and_then(|info| info.deadline);
        let (at, until) = match state {
            LeaseState::Healthy | LeaseState::Retrying { .. } => (now.mono, deadline),
            LeaseState::Grace { until } => (deadline.unwrap_or(now.mono), Some(until)),
            LeaseState::Lost { at, .. } => (at, None),
            LeaseState::Asking | LeaseState::Released => (now.mono, None),
        };
        let on_wall = |instant| clock::wall_of(instant, now);
        let event = LeaseEvent { state, at: on_wall(at), until: until.map(on_wall) };
        slot.view.send_modify(|view| view.event = event);
        let _ = slot.events.send(event);
    }

    /// "No", in one of its forms. Only a checkout has somebody who waits for it; a lease's state tells the rest.
    fn answer_checkout(&mut self, lease: LeaseHandle, error: CheckoutError) {
        if let Some(waiter) = self.leases.get_mut(&lease).and_then(|slot| slot.waiter.take()) {
            let _ = waiter.reply.send(Err(error));
            self.leases.remove(&lease);
        }
    }

    /// Answers everybody who has waited long enough.
    fn time_out(&mut self, now: Now) {
        if self.opening.as_ref().is_some_and(|w| w.until <= now.mono) {
            self.fail_opening(now.mono);
        }
        let remedy = self.remedy();
        let unreachable = |since| CheckoutError::Unreachable { waited: now.mono.since(since), remedy: remedy.clone() };
        let mut abandoned = Vec::new();
        for (lease, slot) in &mut self.leases {
            if let Some(waiter) = slot.waiter.take_if(|w| w.until <= now.mono) {
                slot.places = None;
                abandoned.push(*lease);
                let _ = waiter.reply.send(Err(unreachable(waiter.since)));
            }
            if let Some(waiter) = slot.released.take_if(|w| w.until <= now.mono) {
                let _ = waiter.reply.send(Err(unreachable(waiter.since)));
            }
        }
        let late: Vec<_> = self.queries.iter().filter(|(_, w)| w.until <= now.mono).map(|(id, _)| *id).collect();
        for operation in late {
            self.holder.cancel_query(operation);
            if let Some(waiter) = self.queries.remove(&operation) {
                let _ = waiter.reply.send(Err(unreachable(waiter.since)));
            }
        }
        self.time_out_bundles(now, unreachable);
        for lease in abandoned {
            self.holder.release(now, lease);
        }
        self.drain();
        if self.closing.is_some_and(|until| until <= now.mono) {
            self.end();
        }
    }

    fn fail_opening(&mut self, now: Mono) {
        if let Some(waiter) = self.opening.take() {
            let _ = waiter.reply.send(Err(self.plan.failure(&self.state, now.since(waiter.since))));
        }
    }

    fn give_up_if_hopeless(&mut self) {
        if self.opening.is_some() && self.plan.is_hopeless() {
            self.fail_opening(clock::now().mono);
        }
    }

    fn remedy(&self) -> String {
        match &self.server {
            Some(server) => format!("is the one at {} still running? `leasehold doctor` looks into it", server.address),
            None => format!("tried {}", self.plan.tried().join(", ")),
        }
    }

    fn retarget(&mut self) {
        self.holder.connect(clock::now(), self.plan.target(&self.state));
    }

    fn resolve_literals(&mut self) {
        let literal = |host: &str| host.parse::<IpAddr>().ok();
        let known: Vec<_> =
            self.plan.servers.iter().map(|s| literal(s.host()).map(|ip| SocketAddr::new(ip, s.port()))).collect();
        for (i, address) in known.into_iter().enumerate() {
            if let Some(address) = address {
                self.plan.resolved(i, &[address]);
            }
        }
    }

    fn names(&mut self, now: Mono) -> Vec<(usize, String, u16)> {
        self.look_up_after = now.plus_ms(LOOK_UP_AGAIN_MS);
        let servers = self.plan.servers.iter().enumerate();
        let names = servers.filter(|(_, server)| server.host().parse::<IpAddr>().is_err());
        names.map(|(i, server)| (i, server.host().to_owned(), server.port())).collect()
    }
}
