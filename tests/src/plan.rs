//! What a simulated world is made of, before it begins.

use std::{ops::RangeInclusive, time::Duration};

use leasehold_protocol::{
    Entropy,
    crypto::{Fingerprint, SiteKey},
    licence::{Certificate, KeyType, PublisherKey, PublisherSecret, SeatLimit, SignedCertificate, Terms, canonical},
    vocab::{FeatureName, Label, SeatCount, Version},
};

use crate::{clock::WALL_AT_START, lan::Lan, net::Conditions, rng::Rng};

/// The publisher of every simulated licence.
pub const PUBLISHER: &str = "acme";

/// One feature every server of the world serves.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Its seats, on each server.
    pub seats: u32,
    /// Its leases' TTL in seconds; 2 to 86 400.
    pub ttl_s: u32,
    /// Its grace in seconds.
    pub grace_s: u32,
}

/// Some of a feature's seats, until the end of a day.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// Which feature's: the first ones of the plan are the exclusive certificate's.
    pub feature: String,
    /// How many.
    pub seats: u32,
    /// Whose days.
    pub zone: &'static str,
    /// The last one; `None` is for ever.
    pub last_day: Option<&'static str>,
}

/// A world to be: [`Plan::start`] begins it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all chance comes from.
    pub seed: u64,
    /// The network at the beginning.
    pub conditions: Conditions,
    /// Servers that have the licence's blessing.
    pub servers: usize,
    /// Servers after those, with a copy of the licence that does not name their keys.
    pub rogues: usize,
    /// Workers of each server, each with its share of the source addresses.
    pub workers: usize,
    /// What they serve.
    pub features: Vec<Feature>,
    /// Seats of those features that upgrades give, each until the last instant of its last day (L-8).
    pub upgrades: Vec<Upgrade>,
    /// What every calendar says when the world begins, in milliseconds since 1970.
    pub calendar: u64,
    /// The site's key.
    pub site: SiteKey,
    /// How far clocks run fast or slow, at most, in millionths.
    pub drift_ppm: u64,
    /// Whether clients look for servers by broadcast instead of knowing their addresses.
    pub discovery: bool,
    /// How many events pass between two full checks; `None`: every event of a small world, each thousandth of a big one.
    pub check_every: Option<u64>,
}

impl Plan {
    /// One server with one worker, a good network, no features. `LEASEHOLD_SEED` in the environment overrides `seed`:
    /// that is how a failure is repeated.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed: seed_from_environment().unwrap_or(seed),
            conditions: Conditions::default(),
            servers: 1,
            rogues: 0,
            workers: 1,
            features: Vec::new(),
            upgrades: Vec::new(),
            calendar: WALL_AT_START,
            site: SiteKey::OPEN,
            drift_ppm: 0,
            discovery: false,
            check_every: None,
        }
    }

    /// Loses `percent` of the datagrams each way.
    #[must_use]
    pub const fn loss(mut self, percent: u32) -> Self {
        (self.conditions.loss_to_server, self.conditions.loss_to_client) = (percent, percent);
        self
    }

    /// Doubles `percent` of the datagrams.
    #[must_use]
    pub const fn duplication(mut self, percent: u32) -> Self {
        self.conditions.duplication = percent;
        self
    }

    /// Delays each datagram by so many milliseconds, drawn anew each time.
    #[must_use]
    pub const fn latency_ms(mut self, range: RangeInclusive<u64>) -> Self {
        self.conditions.latency_ms = range;
        self
    }

    /// Serves `seats` of `name` with a TTL of 300 s and no grace.
    #[must_use]
    pub fn feature(self, name: &str, seats: u32) -> Self {
        self.feature_with(name, seats, 300, 0)
    }

    /// Serves `seats` of `name` with that TTL and grace, in seconds.
    #[must_use]
    pub fn feature_with(mut self, name: &str, seats: u32, ttl_s: u32, grace_s: u32) -> Self {
        self.features.push(Feature { name: name.to_owned(), seats, ttl_s, grace_s });
        self
    }

    /// Of the seats of `feature`, so many are given by an upgrade.
    #[must_use]
    pub fn upgrade(mut self, feature: &str, seats: u32, zone: &'static str, last_day: Option<&'static str>) -> Self {
        self.upgrades.push(Upgrade { feature: feature.to_owned(), seats, zone, last_day });
        self
    }

    /// What every calendar says when the world begins, in milliseconds since 1970.
    #[must_use]
    pub const fn calendar(mut self, unix_ms: u64) -> Self {
        self.calendar = unix_ms;
        self
    }

    /// How much that is ahead of what it says otherwise.
    #[must_use]
    pub const fn wall_ahead_ms(&self) -> i64 {
        self.calendar.cast_signed() - WALL_AT_START.cast_signed()
    }

    /// So many servers, each with all the seats.
    #[must_use]
    pub const fn servers(mut self, servers: usize) -> Self {
        self.servers = servers;
        self
    }

    /// So many servers more whose keys the publisher never named.
    #[must_use]
    pub const fn rogues(mut self, rogues: usize) -> Self {
        self.rogues = rogues;
        self
    }

    /// So many workers on each server.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// A site with a key that strangers do not have.
    #[must_use]
    pub fn closed_site(mut self) -> Self {
        let mut key = [0; 32];
        Rng::new(self.seed).fork(0x517e).fill(&mut key);
        self.site = SiteKey(key);
        self
    }

    /// Clocks that run up to so many millionths fast or slow.
    #[must_use]
    pub const fn drift_ppm(mut self, drift_ppm: u64) -> Self {
        self.drift_ppm = drift_ppm;
        self
    }

    /// Clients that look for servers by broadcast.
    #[must_use]
    pub const fn discovery(mut self) -> Self {
        self.discovery = true;
        self
    }

    /// Full checks every so many events.
    #[must_use]
    pub const fn check_every(mut self, events: u64) -> Self {
        self.check_every = Some(events);
        self
    }

    /// The longest TTL of its features: how long a restarted server is blind.
    #[must_use]
    pub fn ttl_longest(&self) -> Duration {
        Duration::from_secs(self.features.iter().map(|f| u64::from(f.ttl_s)).max().unwrap_or(300))
    }

    /// Begins.
    #[must_use]
    pub fn start(self) -> Lan {
        Lan::start(self)
    }
}

/// The seeds a test of many worlds runs: `LEASEHOLD_SEED` alone if it is set, else `LEASEHOLD_SEEDS` or `default` of
/// them, from 1 on.
#[must_use]
pub fn seeds(default: u64) -> Vec<u64> {
    let count = std::env::var("LEASEHOLD_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    seed_from_environment().map_or_else(|| (1..=count).collect(), |seed| vec![seed])
}

fn seed_from_environment() -> Option<u64> {
    std::env::var("LEASEHOLD_SEED").ok().and_then(|seed| seed.parse().ok())
}

/// A publisher with its own keys.
pub struct Publisher {
    secret: PublisherSecret,
}

impl Publisher {
    /// The publisher of `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut rng = Rng::new(seed).fork(0x9b11);
        Self { secret: PublisherSecret::generate(&label(PUBLISHER), &mut rng) }
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> PublisherKey {
        self.secret.public()
    }

    /// The licence of `plan`: a certificate for each feature that names `servers`, and one for each upgrade.
    ///
    /// # Panics
    /// If an upgrade has more seats than its feature, or no day is its last: the test is wrong.
    #[must_use]
    pub fn licence(&self, plan: &Plan, servers: &[Fingerprint]) -> Vec<SignedCertificate> {
        let of = |f: &Feature| plan.upgrades.iter().filter(|u| u.feature == f.name).map(|u| u.seats).sum::<u32>();
        let own: Vec<Feature> = plan.features.iter().map(|f| Feature { seats: f.seats - of(f), ..f.clone() }).collect();
        let upgrade = |u: &Upgrade| {
            let feature = Feature { name: u.feature.clone(), seats: u.seats, ttl_s: 300, grace_s: 0 };
            let terms = Terms { server_keys: servers.to_vec(), ..Terms::default() };
            let end = u.last_day.map(|day| day.parse().unwrap_or_else(|e| panic!("{day}: {e}")));
            let (key_type, zone) = (KeyType::Upgrade, u.zone.to_owned());
            canonical::sign(&Certificate { key_type, zone, end, terms, ..certificate(&feature, servers) }, &self.secret)
        };
        self.sign(&own, servers).into_iter().chain(plan.upgrades.iter().map(upgrade)).collect()
    }

    /// A signed certificate for each feature that names `servers`.
    #[must_use]
    pub fn sign(&self, features: &[Feature], servers: &[Fingerprint]) -> Vec<SignedCertificate> {
        features.iter().map(|f| canonical::sign(&certificate(f, servers), &self.secret)).collect()
    }
}

fn certificate(feature: &Feature, servers: &[Fingerprint]) -> Certificate {
    Certificate {
        publisher: label(PUBLISHER),
        feature: feature_name(&feature.name),
        version: Version { major: 4, minor: 8, patch: 0 },
        count: SeatLimit::Counted(seat_count(feature.seats)),
        key_type: KeyType::Exclusive,
        zone: "UTC".to_owned(),
        start: None,
        end: None,
        terms: Terms {
            lease_ttl_s: Some(feature.ttl_s),
            grace_s: Some(feature.grace_s),
            server_keys: servers.to_vec(),
            ..Terms::default()
        },
    }
}

/// `text` as a label; a test's own words are always one.
#[must_use]
pub fn label(text: &str) -> Label {
    Label::lossy(text)
}

/// `name` as a feature name.
///
/// # Panics
/// If it is not one: the test is wrong.
#[must_use]
pub fn feature_name(name: &str) -> FeatureName {
    FeatureName::new(name).unwrap_or_else(|e| panic!("{name:?}: {e}"))
}

/// `seats` as a seat count.
///
/// # Panics
/// If it is not one: the test is wrong.
#[must_use]
pub fn seat_count(seats: u32) -> SeatCount {
    SeatCount::new(seats).unwrap_or_else(|e| panic!("{seats}: {e}"))
}
