//! A server that is killed over and over under its holders: no lease is lost, no seat is granted twice, newcomers are served at once
//! (promises A1, U-2).
//!
//! `LEASEHOLD_KILLS` and `LEASEHOLD_HOLDERS` make it longer: 200 and 1000 are what is promised.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use leasehold::{Client, Lease};
use leasehold_protocol::licence::PublisherKey;
use leasehold_tests::{
    binary::{House, Process, free_port},
    plan::Feature,
};
use serde_json::Value;

use crate::{PATIENCE, Site, start};

/// Short enough that nobody comes back by chance, long enough for a session to be found dead and made anew.
const TTL_S: u32 = 30;
/// How long the server lives between two kills: two renewals of everybody fall into three of its lives.
const LIFE: Duration = Duration::from_secs(4);
/// How soon after its start the server serves somebody who never held a seat.
const SERVED_WITHIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 1 });

pub fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn client(house: &House, port: u16) -> leasehold::ClientBuilder {
    let key = PublisherKey::parse(&std::fs::read_to_string(house.path("acme.pub")).unwrap()).unwrap();
    let builder = Client::builder().environment(false).in_memory().publisher_key(key).broadcast(false);
    builder.server(&format!("127.0.0.1:{port}")).open_within(PATIENCE).answer_within(PATIENCE)
}

/// Programs that hold a seat each, in clients of their own, and how many of them lost it.
pub struct Holders {
    held: Vec<(Client, Arc<Lease>)>,
    lost: Arc<Mutex<Vec<String>>>,
}

impl Holders {
    pub async fn of(house: &House, port: u16, number: usize) -> Self {
        let (mut held, lost): (_, Arc<Mutex<Vec<String>>>) = (Vec::new(), Arc::default());
        for _ in 0..number {
            let client = client(house, port).open().await.unwrap();
            let lease = Arc::new(client.checkout("CAD").await.unwrap());
            let (watched, lost) = (lease.clone(), lost.clone());
            tokio::spawn(async move {
                let why = watched.lost().await.to_string();
                lost.lock().unwrap().push(why);
            });
            held.push((client, lease));
        }
        Self { held, lost }
    }

    pub fn client(&self, number: usize) -> &Client {
        &self.held[number].0
    }

    /// None has lost its lease.
    pub fn are_well(&self) {
        let lost = self.lost.lock().unwrap().clone();
        assert!(lost.is_empty(), "{lost:?}");
    }

    pub async fn end(self) {
        for (client, lease) in self.held {
            drop(lease);
            client.close().await;
        }
    }
}

/// Seats and leases of the one feature, and what the server found at its start.
fn told(site: &Site) -> (u64, u64, u64) {
    let status = site.status();
    let feature = &status["features"][0];
    let number = |name: &str| feature[name].as_u64().unwrap_or_else(|| panic!("{name} in {feature}"));
    (number("used"), number("leases"), number("overage"))
}

/// A newcomer takes a seat and gives it back; how long that took.
async fn newcomer(house: &House, port: u16) -> Duration {
    let began = Instant::now();
    let client = client(house, port).open().await.unwrap();
    let lease = client.checkout("CAD").await.unwrap();
    let took = began.elapsed();
    lease.checkin().await.unwrap();
    client.close().await;
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_no_lease_and_serves_newcomers_at_once() {
    let (kills, number) = (count("LEASEHOLD_KILLS", 4), count("LEASEHOLD_HOLDERS", 40));
    let seats = u32::try_from(number).unwrap() + 1;
    let house = House::with(&[Feature { name: "CAD".into(), seats, ttl_s: TTL_S, grace_s: 0 }]);
    let port = free_port();
    let server = start(&house, port, TTL_S);
    let mut site = Site { house, port, ttl_s: TTL_S, server };
    let holders = Holders::of(&site.house, port, number).await;
    let (mut slowest, mut starts) = (Duration::ZERO, Vec::new());
    for kill in 1..=kills {
        site.server.kill();
        let began = Instant::now();
        site.server = start(&site.house, port, TTL_S);
        let up = began.elapsed();
        let served = up + newcomer(&site.house, port).await;
        assert!(served <= SERVED_WITHIN, "kill {kill}: a newcomer was served after {served:?}");
        let (used, leases, overage) = told(&site);
        assert_eq!((used, leases, overage), (number as u64, number as u64, 0), "kill {kill}");
        slowest = slowest.max(served);
        starts.push(up);
        tokio::time::sleep(LIFE).await;
        holders.are_well();
    }
    starts.sort();
    println!(
        "{kills} kills under {number} holders: 0 leases lost, 0 seats too many; up again after {:?} (median), first new grant after \
         {slowest:?} at most",
        starts[starts.len() / 2]
    );
    holders.end().await;
}

/// What the REST of the server says at `path`.
pub fn ask(site: &Site, words: &[&str]) -> Value {
    leasehold_tests::binary::json(site.house.admin(site.port, words))
}

#[test]
fn what_is_written_down_can_be_looked_at_while_the_server_runs_and_after_it_was_killed() {
    let mut site = Site::with("CAD", 40, 60);
    let holder = Process::start(site.client("holder", &["checkout", "CAD", "-n", "3", "--", "sleep", "60"]));
    let out = leasehold_tests::binary::until(PATIENCE, "the holder holds", || site.the_lease());
    let store = ask(&site, &["store", "info", "--json"]);
    assert_eq!(
        (&store["store"]["journal"]["state"], &store["store"]["before"]["how"]),
        (&"ok".into(), &"nothing".into())
    );
    site.server.kill();
    let folder = site.house.path("state").display().to_string();
    let checked = ask(&site, &["store", "check", &folder, "--json"]);
    assert_eq!((&checked["journal"]["leases"], &checked["journal"]["findings"]), (&1.into(), &Value::Array(vec![])));
    site.server = start(&site.house, site.port, site.ttl_s);
    let store = ask(&site, &["store", "info", "--json"]);
    assert_eq!((&store["store"]["before"]["how"], &store["store"]["before"]["leases"]), (&"killed".into(), &1.into()));
    assert_eq!(site.the_lease().unwrap()["id"], out["id"]);
    drop(holder);
}
