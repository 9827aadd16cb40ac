//! The slow and obvious twin: who holds what, by the rules alone, stepped beside the real thing.
//!
//! It is told what a server says it did and what its clients believe, and says no when the two cannot both be right.
//! It sums over every lease each time: nothing here is clever enough to be wrong in an interesting way.

use std::{collections::BTreeMap, fmt};

use leasehold_protocol::vocab::{ClaimKey, Denial, LeaseId};

use crate::clock::Instant;

/// A rule that was broken, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// True time.
    pub at: Instant,
    /// Which, in a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} ms: {}", self.at, self.what)
    }
}

impl std::error::Error for Violation {}

/// What a check says.
pub type Checked = Result<(), Violation>;

/// The seats of one feature on each server.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The feature's name.
    pub name: String,
    /// Seats on one server.
    pub capacity: u64,
    /// Its leases' TTL.
    pub ttl_ms: u64,
}

/// A lease as the rules see it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Which feature.
    pub pool: usize,
    /// How many seats.
    pub seats: u64,
    /// What the server calls it.
    pub lease: LeaseId,
    /// The true instant from which its seats are free if nobody renews it.
    pub deadline: Instant,
    /// The server that granted it has forgotten it since.
    pub forgotten: bool,
}

#[derive(Clone, Copy, Debug)]
struct Belief {
    pool: usize,
    seats: u64,
}

/// How long a server must remember that a claim was given back, in milliseconds.
pub const TOMBSTONE_MS: u64 = 60_000;

/// The twin.
#[derive(Debug, Default)]
pub struct Model {
    /// Features.
    pub pools: Vec<Pool>,
    /// The most seats clients believed in at one instant, by feature.
    pub believed_peak: Vec<u64>,
    /// How late after its deadline the latest expiry was noticed, in milliseconds.
    pub expiry_latest_ms: u64,
    servers: u64,
    held: BTreeMap<(usize, ClaimKey), Held>,
    given_back: BTreeMap<(usize, ClaimKey), Instant>,
    believed: BTreeMap<ClaimKey, Belief>,
    /// Seats that a server keeps back after a power cut, by server and feature, and until when at the latest.
    kept_back: BTreeMap<(usize, usize), (u64, Instant)>,
}

impl Model {
    /// A twin of `servers` servers that each serve `pools`.
    #[must_use]
    pub fn new(pools: Vec<Pool>, servers: usize) -> Self {
        let believed_peak = vec![0; pools.len()];
        Self { pools, believed_peak, servers: servers as u64, ..Self::default() }
    }

    /// A server says that it granted. `deadline` is when its seats are free again by the rules: TTL after now, by the
    /// server's own clock.
    ///
    /// # Errors
    /// If there was no seat, or the claim already holds another lease.
    pub fn granted(&mut self, at: Instant, server: usize, claim: ClaimKey, new: Held) -> Checked {
        let key = (server, claim);
        // A claim key is never used twice; a server remembers that for a minute at least (SPEC 5.9).
        let revived = self.given_back.get(&key).is_some_and(|back| at < back + TOMBSTONE_MS);
        ensure(at, !revived, || format!("claim {claim} was given back and granted again"))?;
        if let Some(old) = self.held.get(&key) {
            let same = old.forgotten || old.lease == new.lease || old.deadline <= at;
            ensure(at, same, || format!("claim {claim} got lease {} beside {}", new.lease, old.lease))?;
        }
        let used = self.used(at, server, new.pool, claim, true);
        let Pool { name, capacity, .. } = &self.pools[new.pool];
        ensure(at, used + new.seats <= *capacity, || {
            format!("{} of {name} granted with {used} of {capacity} out on server {server}", new.seats)
        })?;
        self.held.insert(key, new);
        Ok(())
    }

    /// A server says that it renewed: held until `deadline` now.
    ///
    /// # Errors
    /// If the rules say that the lease had ended.
    pub fn renewed(&mut self, at: Instant, server: usize, claim: ClaimKey, deadline: Instant) -> Checked {
        let live = self.held.get_mut(&(server, claim)).filter(|held| held.deadline > at && !held.forgotten);
        let Some(held) = live else {
            return broken(at, format!("server {server} renewed claim {claim}, which had ended"));
        };
        held.deadline = held.deadline.max(deadline);
        Ok(())
    }

    /// A server says that a holder gave its seats back.
    ///
    /// # Errors
    /// If that holder still believes in them.
    pub fn released(&mut self, at: Instant, server: usize, claim: ClaimKey) -> Checked {
        self.held.remove(&(server, claim));
        self.given_back.insert((server, claim), at);
        self.still_backed(at, server, claim, "released")
    }

    /// A server says that nobody renewed in time.
    ///
    /// # Errors
    /// If the deadline had not come, had long passed, or the holder still believes in its seats.
    pub fn expired(&mut self, at: Instant, server: usize, claim: ClaimKey) -> Checked {
        let Some(held) = self.held.remove(&(server, claim)) else {
            return broken(at, format!("server {server} ended claim {claim}, which it did not hold"));
        };
        ensure(at, held.deadline <= at, || {
            let early = held.deadline - at;
            format!("server {server} ended lease {} of claim {claim} {early} ms before its deadline", held.lease)
        })?;
        self.expiry_latest_ms = self.expiry_latest_ms.max(at - held.deadline);
        self.still_backed(at, server, claim, "expired")
    }

    /// A server says no.
    ///
    /// # Errors
    /// If it says that there is no seat, and there is.
    pub fn denied(&self, at: Instant, server: usize, asked: (ClaimKey, usize, u64), code: Denial) -> Checked {
        let (claim, pool, seats) = asked;
        let Pool { name, capacity, .. } = &self.pools[pool];
        let used = self.used(at, server, pool, claim, false);
        let wrong = match code {
            Denial::NO_SEAT => used + seats + self.kept_back(at, server, pool) <= *capacity,
            Denial::TOO_MANY_SEATS => seats <= *capacity,
            _ => false,
        };
        ensure(at, !wrong, || format!("{code} said of {seats} {name} with {used} of {capacity} out on server {server}"))
    }

    /// A server lost its memory: what it had granted stands until its deadline all the same.
    pub fn forgot(&mut self, server: usize) {
        self.held.iter_mut().filter(|((s, _), _)| *s == server).for_each(|(_, held)| held.forgotten = true);
        self.given_back.retain(|(s, _), _| *s != server);
    }

    /// A server that lost its memory has found it written down: a lease is out again until `until`, under the name it had.
    ///
    /// # Errors
    /// If it was never granted, or had been given back.
    pub fn remembers(
        &mut self,
        at: Instant,
        server: usize,
        claim: ClaimKey,
        (lease, until): (LeaseId, Instant),
    ) -> Checked {
        let Some(held) = self.held.get_mut(&(server, claim)).filter(|held| held.lease == lease) else {
            return broken(
                at,
                format!("server {server} remembers lease {lease} of claim {claim}, which it never granted"),
            );
        };
        (held.forgotten, held.deadline) = (false, held.deadline.max(until));
        Ok(())
    }

    /// A server keeps seats back until `until`, of each feature so many.
    pub fn withheld(&mut self, server: usize, until: Instant, all: Vec<(usize, u64)>) {
        self.kept_back.extend(all.into_iter().map(|(pool, seats)| ((server, pool), (seats, until))));
    }

    fn kept_back(&self, at: Instant, server: usize, pool: usize) -> u64 {
        self.kept_back.get(&(server, pool)).filter(|(_, until)| at <= *until).map_or(0, |(seats, _)| *seats)
    }

    /// A client believes from now on that it may use its seats.
    ///
    /// # Errors
    /// If no server holds them for it, or clients now believe in more seats than there are.
    pub fn believes(&mut self, at: Instant, claim: ClaimKey, pool: usize, seats: u64) -> Checked {
        ensure(at, self.is_held(at, claim), || format!("claim {claim} believes in a lease nobody holds for it"))?;
        self.believed.insert(claim, Belief { pool, seats });
        let total: u64 = self.believed.values().filter(|b| b.pool == pool).map(|b| b.seats).sum();
        self.believed_peak[pool] = self.believed_peak[pool].max(total);
        let Pool { name, capacity, .. } = &self.pools[pool];
        ensure(at, total <= capacity * self.servers, || format!("{total} of {capacity} {name} in use at once"))
    }

    /// A client stops believing: its deadline came, it gave the seats back, or its machine sleeps.
    ///
    /// # Errors
    /// If by then its seats could have been somebody else's already.
    pub fn doubts(&mut self, at: Instant, claim: ClaimKey) -> Checked {
        let believed = self.believed.remove(&claim).is_some();
        let late = believed && !self.held.iter().any(|((_, c), held)| *c == claim && held.deadline >= at);
        ensure(at, !late, || format!("claim {claim} was believed in until after its seats were free"))
    }

    /// Whether a server holds seats for `claim` now.
    #[must_use]
    pub fn is_held(&self, at: Instant, claim: ClaimKey) -> bool {
        (0..self.held_servers()).any(|s| self.held.get(&(s, claim)).is_some_and(|held| held.deadline > at))
    }

    /// Seats of `pool` that `server` should say are out: not what it has forgotten.
    #[must_use]
    pub fn seats_out(&self, at: Instant, server: usize, pool: usize) -> u64 {
        let mine = self.held.iter().filter(|((s, _), held)| *s == server && held.pool == pool);
        mine.filter(|(_, held)| !held.forgotten && held.deadline > at).map(|(_, held)| held.seats).sum()
    }

    /// Seats of `pool` that `server` granted and has not said came back.
    #[must_use]
    pub fn seats_recorded(&self, server: usize, pool: usize) -> u64 {
        let mine = self.held.iter().filter(|((s, _), held)| *s == server && held.pool == pool && !held.forgotten);
        mine.map(|(_, held)| held.seats).sum()
    }

    /// When the lease of `claim` on `server` ends by the rules, if the server has one that it has not said came back.
    #[must_use]
    pub fn deadline(&self, server: usize, claim: ClaimKey) -> Option<(LeaseId, Instant)> {
        let held = self.held.get(&(server, claim)).filter(|held| !held.forgotten)?;
        Some((held.lease, held.deadline))
    }

    /// Leases that `server` remembers and that stand past their deadline by more than `slack_ms`.
    #[must_use]
    pub fn overdue(&self, at: Instant, server: usize, slack_ms: u64) -> usize {
        let mine = self.held.iter().filter(|((s, _), held)| *s == server && !held.forgotten);
        mine.filter(|(_, held)| held.deadline + slack_ms < at).count()
    }

    /// Claims that clients believe in.
    #[must_use]
    pub fn believers(&self) -> usize {
        self.believed.len()
    }

    fn used(&self, at: Instant, server: usize, pool: usize, but: ClaimKey, forgotten_too: bool) -> u64 {
        let others = self.held.iter().filter(|((s, claim), held)| *s == server && *claim != but && held.pool == pool);
        let live = others.filter(|(_, held)| held.deadline > at && (forgotten_too || !held.forgotten));
        live.map(|(_, held)| held.seats).sum()
    }

    fn still_backed(&self, at: Instant, server: usize, claim: ClaimKey, how: &str) -> Checked {
        let orphan = self.believed.contains_key(&claim) && !self.is_held(at, claim);
        ensure(at, !orphan, || format!("server {server} {how} claim {claim} under a holder that believes in it"))
    }

    fn held_servers(&self) -> usize {
        usize::try_from(self.servers).unwrap_or(usize::MAX)
    }
}

/// An error unless `right`.
///
/// # Errors
/// Unless `right`.
pub fn ensure(at: Instant, right: bool, what: impl FnOnce() -> String) -> Checked {
    if right { Ok(()) } else { broken(at, what()) }
}

fn broken(at: Instant, what: String) -> Checked {
    Err(Violation { at, what })
}

#[cfg(test)]
mod tests;
