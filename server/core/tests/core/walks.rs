//! Random days of a small site: whatever happens, the sums come out, and the same day twice is the same day.

use leasehold_core::{Event, HeldLease, ServerConfig};
use leasehold_protocol::{
    Entropy,
    message::Grant,
    vocab::{Denial, LeaseId},
};

use crate::rig::{Client, Lot, Seeded, Site};

pub struct Walk {
    pub site: Site,
    clients: Vec<Client>,
    held: Vec<(usize, Grant)>,
    dice: Seeded,
    said: Vec<u8>,
    /// Which licences are loaded.
    loaded: u64,
}

/// Licences a site may have on one day: lots, versions and counts that come and go.
fn licences(n: u64) -> Vec<Lot> {
    let all = [
        Lot::of("A", 3).ttl_s(10),
        Lot::of("A", 2).ttl_s(20).version("5.0"),
        Lot::of("A", 4).ttl_s(10).end("2026-01-05"),
        Lot::of("A", 1).exclusive().ttl_s(5).start("2026-01-06"),
        Lot::of("B", 2).ttl_s(30),
        Lot::of("A", 6).exclusive().ttl_s(10).serial("big"),
    ];
    all.into_iter().enumerate().filter(|(bit, _)| n >> bit & 1 == 1).map(|(_, lot)| lot).collect()
}

impl Walk {
    pub fn new(seed: u64) -> Self {
        let mut site = Site::new();
        site.load(&licences(0b111));
        let loaded = 0b111;
        let clients = (1..=3).map(|n| Client::connected(n, &mut site)).collect();
        Self { site, clients, held: vec![], dice: Seeded(seed), said: vec![], loaded }
    }

    fn dice(&mut self, sides: usize) -> usize {
        usize::try_from(self.dice.next_u64() % sides as u64).unwrap()
    }

    pub fn step(&mut self) {
        match self.dice(12) {
            0..5 => self.request(),
            5..8 => self.renew(),
            8 => self.release(),
            9 => {
                let ms = [1, 40, 999, 5_000, 9_999][self.dice(5)];
                if self.dice(2) == 0 { self.site.sleep(ms) } else { drop(self.site.advance(ms)) }
            }
            10 if self.dice(8) == 0 => {
                self.loaded = self.dice.next_u64();
                self.site.load(&licences(self.loaded));
            }
            11 if self.dice(16) == 0 => drop(self.site.advance(6 * 3_600_000)),
            _ => {
                let who = self.dice(3);
                self.clients[who].connect(&mut self.site);
            }
        }
        self.site.shared.check_ledger().unwrap();
    }

    /// Kills the server and starts it again with the same licences and with `held`.
    pub fn revive(&mut self, held: Vec<HeldLease>) {
        self.site.restart(ServerConfig::default());
        self.site.load(&licences(self.loaded));
        self.site.shared.restore(held, self.site.now);
        self.site.shared.check_ledger().unwrap();
        self.clients.iter_mut().for_each(|client| client.connect(&mut self.site));
    }

    fn request(&mut self) {
        let (who, seats) = (self.dice(3), 1 + u32::try_from(self.dice(3)).unwrap());
        let feature = if self.dice(4) == 0 { "B" } else { "A" };
        let over_before = self.over(feature);
        let outcome = self.clients[who].request(&mut self.site, feature, seats);
        match outcome {
            Ok(grant) => {
                self.said.extend_from_slice(&grant.lease.0.to_le_bytes());
                assert_eq!(over_before, 0, "nobody new while seats are over");
                assert!(self.site.feature(feature).free >= 0, "a seat too many");
                self.held.push((who, grant));
            }
            Err(deny) => {
                self.said.extend_from_slice(deny.sentence.as_bytes());
                if deny.code == Denial::NO_SEAT {
                    let feature = self.site.feature(feature);
                    assert!(feature.free < i64::from(seats) || feature.lots.len() > 1, "denied with seats to spare");
                }
            }
        }
    }

    /// Seats above the licences in force, less those a request may find past their deadline.
    fn over(&self, feature: &str) -> i64 {
        let alive: u32 = self
            .site
            .shared
            .leases(self.site.now)
            .iter()
            .filter(|lease| lease.feature.as_str() == feature)
            .map(|lease| lease.seats.get())
            .sum();
        let features = self.site.shared.features(self.site.now);
        let count = features.iter().find(|f| f.name.as_str() == feature).and_then(|f| f.count).unwrap_or(0);
        (i64::from(alive) - i64::from(count)).max(0)
    }

    fn renew(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let n = self.dice(self.held.len());
        let (who, grant) = self.held[n].clone();
        match self.clients[who].renew(&mut self.site, grant.lease, grant.claim) {
            Ok(renewed) => self.said.push(u8::from(renewed.overage)),
            Err(deny) => {
                assert_eq!(deny.code, Denial::NO_SUCH_LEASE);
                self.held.swap_remove(n);
            }
        }
    }

    fn release(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let n = self.dice(self.held.len());
        let (who, grant) = self.held.swap_remove(n);
        let id = if n.is_multiple_of(2) { grant.lease } else { LeaseId::NONE };
        self.clients[who].release(&mut self.site, id, grant.claim);
    }
}

fn walked(seed: u64, steps: usize) -> Walk {
    let mut walk = Walk::new(seed);
    (0..steps).for_each(|_| walk.step());
    walk
}

#[test]
fn on_random_days_no_seat_is_granted_too_many_and_none_is_lost() {
    for seed in 0..20 {
        let mut walk = walked(seed, 400);
        walk.site.advance(60_000);
        let features = walk.site.shared.features(walk.site.now);
        assert!(features.iter().all(|feature| feature.used == 0), "seed {seed}: {features:?}");
        assert_eq!(walk.site.shared.live_leases(), 0, "seed {seed}");
        let grants = walk.site.events.iter().filter(|event| matches!(event, Event::Granted(_))).count();
        let end = |event: &&Event| matches!(event, Event::Released(_) | Event::Expired(_));
        assert_eq!(grants, walk.site.events.iter().filter(end).count(), "seed {seed}");
        assert!(grants > 20, "seed {seed}: a day worth walking");
    }
}

#[test]
fn the_same_inputs_with_the_same_entropy_give_the_same_outputs() {
    let (one, two) = (walked(7, 300), walked(7, 300));
    assert_eq!(one.said, two.said);
    assert_eq!(one.site.events, two.site.events);
    assert_eq!(one.site.traffic, two.site.traffic);
    assert_ne!(one.said, walked(8, 300).said);
}
