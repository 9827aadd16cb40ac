//! The sans-IO half: everything a client decides, with no clock, socket or runtime of its own.
//!
//! # Contract
//! Feed a [`Holder`] datagrams and the time; after each call drain [`Holder::poll_transmit`] and
//! [`Holder::poll_event`] to `None`, then sleep until [`Holder::poll_timeout`] or the next datagram. `now` never goes
//! backwards on its lease clock. Calling early, late or twice is harmless, and no input makes it panic.
//!
//! # What it does by itself
//! It searches until some server proves itself, keeps one session, renews every lease at the server's pace, repeats
//! what is not answered, comes back to a server that restarted, moves to another where the old one stays away, and tells
//! for each lease how it stands. Nothing it does blocks, and a lease's state is never better than the truth.

mod attempt;
mod bundle;
mod event;
mod lease;
mod link;
mod many;
mod pace;
mod probe;
mod query;
mod search;
mod session;
mod setup;
mod talk;
#[cfg(test)]
pub(crate) mod tests;
mod trust;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

pub use bundle::{BundleHandle, BundleRefused};
pub use event::{HolderEvent, LeaseState, LossCause, Misbehaved, Place, Plea, RejectReason};
pub use lease::LeaseInfo;
pub use probe::{OfferHint, Probe};
pub use setup::{CheckoutSpec, Destination, HolderConfig, Identity, LeaseHandle, Target};

use attempt::Attempt;
use bundle::Bundle;
use lease::{Lease, Pace, Patience};
use leasehold_protocol::{
    Entropy,
    crypto::PublicKey,
    message::{Activity, ClientFrame},
    time::{Mono, Now},
    vocab::{FeatureName, OperationId, RealmId},
};
use many::Common;
use query::Query;
use search::Search;
use session::Session;
use trust::Trust;

/// A client: one session with one server, and the leases held through it.
pub struct Holder {
    config: HolderConfig,
    identity: Identity,
    entropy: Box<dyn Entropy>,
    target: Option<Target>,
    trust: Trust,
    search: Option<Search>,
    attempts: Vec<Attempt>,
    session: Option<Session>,
    /// The session before: answers under its keys may still be on their way.
    previous: Option<(Session, Mono)>,
    last_server: Option<ServerSeen>,
    /// The new session has carried nothing yet, so the server does not know that we have its keys.
    unconfirmed: bool,
    /// The server said goodbye: its first silence is believed.
    leaving: bool,
    closing: bool,
    closed: bool,
    leases: BTreeMap<LeaseHandle, Lease>,
    /// Checkouts that are over and whose request may still be on its way to the server: it is told so.
    withdrawn: Vec<Lease>,
    bundles: BTreeMap<BundleHandle, Bundle>,
    next_lease: u64,
    /// Renewals that went out in frames for many.
    common: Common,
    queries: BTreeMap<OperationId, Query>,
    pace: Pace,
    /// Wall clock less lease clock when last looked at.
    clock_offset_ms: Option<i128>,
    ignored: u64,
    frames: Vec<ClientFrame>,
    out: VecDeque<(Destination, Vec<u8>)>,
    events: VecDeque<HolderEvent>,
}

/// The server a holder last had a session with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key.
    pub key: PublicKey,
    /// The realm it serves us in.
    pub realm: RealmId,
}

impl Holder {
    /// A holder that knows no server yet: [`Holder::connect`] tells it where to look.
    #[must_use]
    pub fn new(config: HolderConfig, identity: Identity, mut entropy: Box<dyn Entropy>) -> Self {
        let pace = Pace { renew_every_ms: None, drawn: entropy.next_u64() };
        Self {
            config,
            identity,
            entropy,
            target: None,
            trust: Trust::default(),
            search: None,
            attempts: Vec::new(),
            session: None,
            previous: None,
            last_server: None,
            unconfirmed: false,
            leaving: false,
            closing: false,
            closed: false,
            leases: BTreeMap::new(),
            withdrawn: Vec::new(),
            bundles: BTreeMap::new(),
            next_lease: 1,
            common: Common::default(),
            queries: BTreeMap::new(),
            pace,
            clock_offset_ms: None,
            ignored: 0,
            frames: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Sets where to look, now and whenever the server is lost. While there is no session a search begins, or goes on
    /// with the new targets at once; a session that works is kept.
    pub fn connect(&mut self, now: Now, target: Target) {
        self.observe(now);
        self.target = Some(target);
        if let Some(search) = &mut self.search {
            search.hasten(now.mono);
        }
        self.turn(now);
    }

    /// Asks for seats. [`HolderEvent::Granted`] or [`HolderEvent::Denied`] answers; while there is no session it waits
    /// for one.
    pub fn checkout(&mut self, now: Now, spec: CheckoutSpec) -> LeaseHandle {
        self.begin_checkout(now, spec, Patience::None)
    }

    /// As [`Holder::checkout`]; a denial that may clear is answered by asking again when the server says so, for as
    /// long as `patience`.
    pub fn checkout_patiently(&mut self, now: Now, spec: CheckoutSpec, patience: Duration) -> LeaseHandle {
        self.begin_checkout(now, spec, Patience::Asks { until: now.mono.plus(patience) })
    }

    /// As [`Holder::checkout`], with a place in the server's queue for as long as `patience`: [`HolderEvent::Queued`] tells
    /// of it. A server that has no queues is asked again as by [`Holder::checkout_patiently`].
    pub fn checkout_in_turn(&mut self, now: Now, spec: CheckoutSpec, patience: Duration) -> LeaseHandle {
        self.begin_checkout(now, spec, Patience::Queues { until: now.mono.plus(patience) })
    }

    fn begin_checkout(&mut self, now: Now, spec: CheckoutSpec, patience: Patience) -> LeaseHandle {
        self.observe(now);
        let handle = LeaseHandle(self.next_lease);
        self.next_lease += 1;
        let lease = Lease::new(now.mono, spec, patience, &mut *self.entropy);
        self.leases.insert(handle, lease);
        self.turn(now);
        handle
    }

    /// Gives seats back, or abandons a checkout that is not answered yet. Repeated until a server answers or the lease
    /// must have ended by itself; then [`HolderEvent::Released`]. A handle that names nothing is ignored.
    pub fn release(&mut self, now: Now, lease: LeaseHandle) {
        self.observe(now);
        self.begin_release(now.mono, lease);
        self.turn(now);
    }

    /// What the lease's holder is doing: sent with its next renewal, and at the next
    /// [`Holder::handle_timeout`] if a server has asked for its seat.
    pub fn set_activity(&mut self, lease: LeaseHandle, activity: Activity) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.set_activity(activity);
        }
    }

    /// Asks what features there are; [`HolderEvent::Features`] answers with all pages joined.
    pub fn query_features(&mut self, now: Now, only: Option<FeatureName>) -> OperationId {
        self.observe(now);
        let (operation, query) = Query::features(now.mono, only, &mut *self.entropy);
        self.begin_query(now, operation, query)
    }

    /// Asks which certificates the seats come from; [`HolderEvent::Licences`] answers with all pages joined.
    pub fn query_licences(&mut self, now: Now, only: Option<FeatureName>) -> OperationId {
        self.observe(now);
        let (operation, query) = Query::licences(now.mono, only, &mut *self.entropy);
        self.begin_query(now, operation, query)
    }

    fn begin_query(&mut self, now: Now, operation: OperationId, query: Query) -> OperationId {
        self.queries.insert(operation, query);
        self.turn(now);
        operation
    }

    /// Asks no more pages of a query; no event follows.
    pub fn cancel_query(&mut self, operation: OperationId) {
        self.queries.remove(&operation);
    }

    /// Releases every lease, then ends the session; [`HolderEvent::Closed`] is the last event.
    pub fn close(&mut self, now: Now) {
        self.observe(now);
        self.closing = true;
        self.queries.clear();
        let all: Vec<_> = self.leases.keys().copied().collect();
        all.into_iter().for_each(|lease| self.begin_release(now.mono, lease));
        std::mem::take(&mut self.bundles).values().for_each(|bundle| self.withdraw(now.mono, bundle));
        self.turn(now);
    }

    /// The machine slept or changed its network: every lease is renewed at once and a search asks again at once.
    pub fn resumed(&mut self, now: Now) {
        self.observe(now);
        self.leases.values_mut().for_each(|lease| lease.renew_now(now.mono, &mut *self.entropy));
        if let Some(search) = &mut self.search {
            search.hasten(now.mono);
        }
        self.turn(now);
    }

    /// Feeds one datagram that came from `from`. What is not authentic or not wanted is dropped.
    pub fn handle_datagram(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8]) {
        self.observe(now);
        self.receive(now, from, bytes);
        self.turn(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.observe(now);
        self.turn(now);
    }

    /// Takes the next datagram to send: clears and fills `out`.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Destination> {
        let (to, datagram) = self.out.pop_front()?;
        out.clear();
        out.extend_from_slice(&datagram);
        Some(to)
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<HolderEvent> {
        self.events.pop_front()
    }

    /// When [`Holder::handle_timeout`] is next wanted. `None`: nothing pending.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let connected = self.session.is_some();
        let link = self.link_timeout();
        let leases = self.leases.values().chain(&self.withdrawn).filter_map(|lease| lease.next(connected)).min();
        let queries = self.queries.values().map(Query::next).min().filter(|_| connected);
        let bundles = self.bundles.values().map(Bundle::next).min().filter(|_| connected);
        [link, leases, queries, bundles].into_iter().flatten().min()
    }

    /// How a lease stands. `None` after its denial or the end of its release.
    #[must_use]
    pub fn lease_state(&self, lease: LeaseHandle) -> Option<LeaseState> {
        self.leases.get(&lease).map(Lease::state)
    }

    /// A lease's particulars. `None` after its denial or the end of its release.
    #[must_use]
    pub fn lease_info(&self, lease: LeaseHandle) -> Option<LeaseInfo> {
        self.leases.get(&lease).map(Lease::info)
    }

    /// Renews every so often instead of at the server's pace, ± 10 %, from each lease's next renewal on. For load
    /// tests; `None` goes back to the server's pace.
    pub fn renew_every(&mut self, every: Option<Duration>) {
        self.pace.renew_every_ms = every.map(|every| Mono(0).plus(every).0.max(1));
    }

    /// The server of the present session.
    #[must_use]
    pub fn server(&self) -> Option<ServerSeen> {
        self.session.as_ref().map(|s| s.server)
    }

    /// Datagrams and frames dropped because they were forged, replayed, malformed or not for us.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// One turn of everything that time moves; each part is harmless when nothing is due.
    fn turn(&mut self, now: Now) {
        self.turn_link(now);
        self.turn_leases(now.mono);
        self.turn_queries(now.mono);
        self.finish_closing();
        self.flush();
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { session, leases, .. } = self;
        let server = session.as_ref().map(|s| s.server.address);
        f.debug_struct("Holder").field("server", &server).field("leases", &leases.len()).finish_non_exhaustive()
    }
}
