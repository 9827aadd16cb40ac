//! A program that holds seats, in a simulated world: the SDK's `Holder` unchanged, and what we saw it say.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive};

use leasehold::holder::{Holder, LeaseHandle, LeaseState};
use leasehold_protocol::{
    message::{Deny, FeatureLine},
    vocab::{ClaimKey, Denial, LeaseId},
};

use crate::{
    clock::{Clock, Instant},
    rng::Rng,
};

/// One seat (or several asked for at once) of one client, as a test names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// Which client.
    pub client: usize,
    /// Which of its leases.
    pub lease: u64,
}

/// What we saw of one lease.
#[derive(Debug)]
pub struct Watched {
    /// Its claim.
    pub claim: ClaimKey,
    /// Which feature.
    pub pool: usize,
    /// How many seats.
    pub seats: u64,
    /// Its states, with when it came to them.
    pub history: Vec<(Instant, LeaseState)>,
    /// The lease ids it was granted under, each once, in order.
    pub leases: Vec<LeaseId>,
    /// When it was last granted.
    pub granted_at: Option<Instant>,
    /// Grants heard.
    pub grants: u64,
    /// Renewals heard.
    pub renewals: u64,
    /// Denials heard.
    pub denials: Vec<(Instant, Deny)>,
    /// Places in a queue that were told, and when.
    pub places: Vec<(Instant, u32)>,
    /// Whether the program gave it back, and when it heard that the seats are free.
    pub given_back: bool,
    /// When the server's answer to that came.
    pub released_at: Option<Instant>,
    /// Whether the twin counts it as believed.
    pub believed: bool,
}

impl Watched {
    pub(crate) const fn new(claim: ClaimKey, pool: usize, seats: u64) -> Self {
        Self {
            claim,
            pool,
            seats,
            history: Vec::new(),
            leases: Vec::new(),
            granted_at: None,
            grants: 0,
            renewals: 0,
            denials: Vec::new(),
            places: Vec::new(),
            given_back: false,
            released_at: None,
            believed: false,
        }
    }

    /// The last denial's code.
    #[must_use]
    pub fn last_denial(&self) -> Option<Denial> {
        self.denials.last().map(|(_, deny)| deny.code)
    }
}

/// What a client does by itself, again and again.
#[derive(Clone, Debug)]
pub struct Habit {
    /// The feature it takes a seat of.
    pub pool: usize,
    /// How long it keeps it, in milliseconds.
    pub hold_ms: RangeInclusive<u64>,
    /// How long it rests between two, in milliseconds.
    pub rest_ms: RangeInclusive<u64>,
    /// The lease it holds or asks for.
    pub current: Option<u64>,
}

/// One program on one machine.
pub struct Client {
    /// The thing itself.
    pub holder: Holder,
    /// Its machine's clocks.
    pub clock: Clock,
    /// Its address.
    pub address: SocketAddr,
    /// Its leases.
    pub leases: BTreeMap<u64, Watched>,
    /// What it does by itself.
    pub habit: Option<Habit>,
    /// Its machine sleeps.
    pub asleep: bool,
    /// It was killed.
    pub dead: bool,
    /// Servers it is connected to, one after another: when, and which.
    pub connections: Vec<(Instant, SocketAddr)>,
    /// Servers it turned away: when, which and why.
    pub rejections: Vec<(Instant, SocketAddr, String)>,
    /// When it noticed that no server answers.
    pub failures: Vec<Instant>,
    /// Features it was told of.
    pub features: Vec<FeatureLine>,
    pub(crate) rng: Rng,
    pub(crate) armed: Instant,
    pub(crate) heard: BTreeMap<usize, u32>,
}

impl Client {
    /// A program at `address`.
    #[must_use]
    pub const fn new(holder: Holder, clock: Clock, address: SocketAddr, rng: Rng) -> Self {
        Self {
            holder,
            clock,
            address,
            leases: BTreeMap::new(),
            habit: None,
            asleep: false,
            dead: false,
            connections: Vec::new(),
            rejections: Vec::new(),
            failures: Vec::new(),
            features: Vec::new(),
            rng,
            armed: Instant::MAX,
            heard: BTreeMap::new(),
        }
    }

    /// Whether its program runs.
    #[must_use]
    pub const fn runs(&self) -> bool {
        !self.asleep && !self.dead
    }

    /// The state of one of its leases.
    #[must_use]
    pub fn state(&self, lease: u64) -> Option<LeaseState> {
        self.holder.lease_state(LeaseHandle(lease))
    }
}

/// Whether a program in this state goes on using its seats by right: the client's own deadline has not come.
#[must_use]
pub const fn is_holding(state: &LeaseState) -> bool {
    matches!(state, LeaseState::Healthy | LeaseState::Retrying { .. })
}
