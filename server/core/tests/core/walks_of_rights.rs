//! Random days with every kind of right: licences come and go under leases of tokens, suites, upgrades, overdraft, separate
//! pools, trials, meters, packages, shared and lingering seats. Whatever happens, the ledger comes out, and nothing goes out that there is not.

use leasehold_protocol::{
    Entropy,
    licence::certificate::{Components, Cost, Dialect, KeyType, Metered, Pooling, ShareBy, Together},
    message::Grant,
    vocab::{Denial, FeatureName, Label, LeaseId, SeatCount, Version},
};

use crate::rig::{Client, Lot, Seeded, Site, told};

const FEATURES: [&str; 8] = ["A", "C", "D", "S", "M", "E", "P", "Q"];
/// Those whose seats are shared by the people who ask.
const SHARED: [&str; 3] = ["E", "P", "Q"];
const PEOPLE: [&str; 3] = ["ann", "bob", "eve"];

fn name(text: &str) -> FeatureName {
    FeatureName::new(text).unwrap()
}

fn upgrade(seats: u32) -> Lot {
    let mut lot = Lot::of("A", seats);
    lot.certificate.key_type = KeyType::Upgrade;
    lot
}

/// Licences of one day: bits of `n`.
fn licences(n: u64) -> Vec<Lot> {
    let seats = |n| SeatCount::new(n).unwrap();
    let separate = |t: &mut leasehold_protocol::licence::Terms| t.pools = Pooling::Separate;
    let cost = Cost { seats: seats(2), of: name("A"), version: Version::ANY };
    let suite = Components { together: Together::Suite, features: vec![(name("D"), Version::ANY)] };
    let package = Components { together: Together::Package, features: vec![(name("E"), Version::ANY)] };
    let all = [
        Lot::of("A", 5).exclusive().ttl_s(10).terms(|t| t.overdraft = Some(seats(2))),
        Lot::of("A", 4).ttl_s(20).terms(separate),
        upgrade(1),
        upgrade(2).end("2026-01-05"),
        Lot::of("A", 3).exclusive().ttl_s(10).terms(|t| {
            (t.dialect, t.pools, t.linger_s) = (Dialect::First, Pooling::Separate, Some(4));
        }),
        Lot::of("C", 1).uncounted().ttl_s(10).terms(|t| t.cost = Some(cost)),
        Lot::of("S", 4).ttl_s(15).terms(|t| t.components = Some(suite)),
        Lot::of("M", 40).ttl_s(10).terms(|t| (t.metered, t.undo_s) = (Some(Metered::Consumed), Some(5))),
        Lot::of("A", 6).ttl_s(10).serial("trial").terms(|t| t.trial_days = Some(1)),
        Lot::of("C", 2).ttl_s(10),
        Lot::of("P", 3).ttl_s(12).terms(|t| t.components = Some(package)),
        Lot::of("P", 2).ttl_s(12).end("2026-01-05").serial("by user").terms(|t| t.share = Some(ShareBy::USER)),
        Lot::of("Q", 4).ttl_s(10).terms(|t| (t.share, t.linger_s) = (Some(ShareBy::USER), Some(7))),
        Lot::of("S", 2).ttl_s(10).serial("least").terms(|t| t.min_checkout_s = Some(9)),
        Lot::of("Q", 3).ttl_s(14).serial("whole site").terms(|t| t.share = Some(ShareBy::SITE)),
    ];
    all.into_iter().enumerate().filter(|(bit, _)| n >> bit & 1 == 1).map(|(_, lot)| lot).collect()
}

struct Walk {
    site: Site,
    clients: Vec<Client>,
    held: Vec<(usize, Grant)>,
    dice: Seeded,
    granted: usize,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut site = Site::new();
        site.load(&licences(seed | 1));
        let clients = (1..=3).map(|n| Client::connected(n, &mut site)).collect();
        Self { site, clients, held: vec![], dice: Seeded(seed), granted: 0 }
    }

    fn dice(&mut self, sides: usize) -> usize {
        usize::try_from(self.dice.next_u64() % sides as u64).unwrap()
    }

    fn step(&mut self) {
        match self.dice(12) {
            0..5 => self.request(),
            5..7 => self.renew(),
            7..9 => self.release(),
            9 => {
                let ms = [1, 40, 999, 5_000, 9_999][self.dice(5)];
                if self.dice(2) == 0 { self.site.sleep(ms) } else { drop(self.site.advance(ms)) }
            }
            10 if self.dice(6) == 0 => {
                let licences = licences(self.dice.next_u64());
                self.site.load(&licences);
            }
            11 if self.dice(20) == 0 => drop(self.site.advance(6 * 3_600_000)),
            _ => {
                let who = self.dice(3);
                self.clients[who].connect(&mut self.site);
            }
        }
        self.site.shared.check_ledger().unwrap();
        self.check_seats();
    }

    /// What a feature's seats come from, and how many of them one of its own takes.
    fn source(&self, feature: &str) -> (String, u32) {
        let features = self.site.shared.features(self.site.now);
        let found = features.iter().find(|f| f.name.as_str() == feature);
        match found.and_then(|f| f.drawn.clone()) {
            Some((from, each)) => (from.to_string(), each),
            None => (feature.to_owned(), 1),
        }
    }

    /// Free seats of whatever `feature` takes its seats from, below zero while there is overage.
    fn free(&self, feature: &str) -> i64 {
        let (from, _) = self.source(feature);
        let features = self.site.shared.features(self.site.now);
        features.iter().find(|f| f.name.as_str() == from).map_or(0, |f| f.free)
    }

    fn request(&mut self) {
        let (who, seats) = (self.dice(3), 1 + u32::try_from(self.dice(3)).unwrap());
        let feature = FEATURES[self.dice(FEATURES.len())];
        let (_, each) = self.source(feature);
        let claim = self.clients[who].claim();
        let mut request = self.clients[who].request_frame(claim, feature, seats);
        request.holder.user = Label::lossy(PEOPLE[self.dice(PEOPLE.len())]);
        // What is due is swept first: whoever only asks sweeps nothing.
        self.site.advance(0);
        let foretold = self.clients[who].would(&self.site, &request);
        let answer = self.clients[who].send_request(&mut self.site, &request);
        assert_eq!(foretold, answer.as_ref().map(|_| ()).map_err(|deny| told(deny)), "R-12: {feature}");
        match answer {
            // What is shared may stand beside overage; that it adds up is for the ledger.
            Ok(grant) if SHARED.contains(&feature) => {
                self.granted += 1;
                self.held.push((who, grant));
            }
            Ok(grant) => {
                assert!(self.free(feature) >= 0, "a seat too many of {feature}");
                let taken: u32 = grant.lots.iter().map(|lot| lot.seats.get()).sum();
                assert_eq!(taken, seats * each, "all of them, at the price that holds");
                self.of_one_pool(feature, &grant);
                self.granted += 1;
                self.held.push((who, grant));
            }
            Err(deny) if deny.code == Denial::NO_SEAT => {
                let (from, _) = self.source(feature);
                let features = self.site.shared.features(self.site.now);
                let of = features.iter().find(|f| f.name.as_str() == from).unwrap();
                let fits = of.free >= i64::from(seats * each) && of.overage == 0 && of.largest.is_none();
                assert!(
                    !fits || of.lots.iter().any(|lot| lot.version < "4.8".parse().unwrap()),
                    "{feature}: {}",
                    deny.sentence
                );
            }
            Err(_) => {}
        }
    }

    /// L-7: where pools are separate, a request is served from one of them. An upgrade's seats are its exclusive one's.
    fn of_one_pool(&self, feature: &str, grant: &Grant) {
        let (from, _) = self.source(feature);
        let features = self.site.shared.features(self.site.now);
        let of = features.iter().find(|f| f.name.as_str() == from).unwrap();
        let group = |certificate| of.lots.iter().find(|lot| lot.certificate == certificate).map(|lot| lot.group);
        if of.largest.is_some() {
            let groups: std::collections::BTreeSet<_> = grant.lots.iter().map(|lot| group(lot.certificate)).collect();
            assert_eq!(groups.len(), 1, "{:?} of {:?}", grant.lots, of.lots);
        }
    }

    /// What is out is never more than there is, but for overage, which the status tells.
    fn check_seats(&self) {
        for feature in self.site.shared.features(self.site.now).iter().filter(|f| f.drawn.is_none()) {
            let Some(count) = feature.count else { continue };
            let there = i64::from(count + feature.overdraft) - i64::try_from(feature.used_up).unwrap();
            assert_eq!(feature.free, there - i64::from(feature.used), "{feature:?}");
            assert!(i64::from(feature.used) <= there.max(0) + i64::from(feature.overage), "{feature:?}");
        }
    }

    fn renew(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let n = self.dice(self.held.len());
        let (who, grant) = self.held[n].clone();
        if self.clients[who].renew(&mut self.site, grant.lease, grant.claim).is_err() {
            self.held.swap_remove(n);
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

#[test]
fn whatever_rights_come_and_go_the_ledger_comes_out_and_every_seat_comes_back() {
    let mut granted = 0;
    for seed in 0..40 {
        let mut walk = Walk::new(seed);
        (0..400).for_each(|_| walk.step());
        granted += walk.granted;
        walk.site.advance(60_000);
        assert_eq!(walk.site.shared.live_leases(), 0);
        let features = walk.site.shared.features(walk.site.now);
        assert!(features.iter().all(|f| f.used == 0 && f.overage == 0), "{features:?}");
        walk.site.shared.check_ledger().unwrap();
    }
    assert!(granted > 1000, "{granted} grants are too few to mean anything");
}
