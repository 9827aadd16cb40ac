//! The real sockets on this machine: the real server, the real SDK, nothing simulated.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use leasehold::{Activity, CheckoutError, Client, ConnectError, Found, Item, Lease, LeaseState, LossCause, Misuse};
use leasehold_protocol::{licence::PublisherKey, vocab::Denial};
use leasehold_server::{HttpListen, ListenOn, Running, Settings};
use leasehold_tests::{
    binary::{House, until},
    plan::Feature,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn feature(name: &str, seats: u32, ttl_s: u32) -> Feature {
    Feature { name: name.into(), seats, ttl_s, grace_s: 1 }
}

/// Settings of a server on loopback, at `port` or a free one.
fn settings(house: &House, port: u16) -> Settings {
    Settings {
        listen: vec![ListenOn::Address([127, 0, 0, 1].into())],
        port,
        http: HttpListen::On([127, 0, 0, 1].into(), None),
        data_dir: house.path("state"),
        licences: vec![house.path("acme.lic")],
        publisher_keys: vec![house.path("acme.pub")],
        ..Settings::default()
    }
}

async fn serve(house: &House, port: u16) -> Running {
    Running::start(settings(house, port)).await.unwrap_or_else(|e| panic!("{e}"))
}

fn publisher_key(house: &House) -> PublisherKey {
    let text = std::fs::read_to_string(house.path("acme.pub")).unwrap();
    PublisherKey::parse(&text).unwrap()
}

/// A client that knows the publisher and nothing else, and looks at `port`.
fn builder(house: &House, port: u16) -> leasehold::ClientBuilder {
    let builder = Client::builder().environment(false).in_memory().publisher_key(publisher_key(house));
    builder.port(port).open_within(PATIENCE).answer_within(PATIENCE)
}

fn named(house: &House, address: SocketAddr) -> leasehold::ClientBuilder {
    builder(house, address.port()).broadcast(false).server(&address.to_string())
}

fn seats_out(running: &Running) -> u32 {
    running.shared().features(leasehold_server::clock_now()).iter().map(|f| f.used).sum()
}

/// Waits without standing in the runtime's way.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not in {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_finds_the_server_and_a_seat_is_taken_kept_and_given_back() {
    let house = House::with(&[feature("VR_MODE", 3, 2)]);
    let running = serve(&house, 0).await;
    let began = Instant::now();
    let client = builder(&house, running.udp_address().port()).open().await.unwrap();
    println!("found by broadcast and proved in {:?}", began.elapsed());
    let server = client.server().unwrap();
    assert_eq!(server.found, Found::Broadcast);
    assert_eq!(server.fingerprint, house.fingerprint);
    let asked = Instant::now();
    let lease = client.checkout("VR_MODE").version("4.8").seats(2).await.unwrap();
    println!("two seats granted in {:?}", asked.elapsed());
    assert_eq!((lease.seats().get(), lease.state(), seats_out(&running)), (2, LeaseState::Healthy, 2));
    // Its TTL is 2 s: three renewals are kept heartbeats.
    let renewals = || running.shared().leases(leasehold_server::clock_now()).first().map_or(0, |l| l.renewals);
    eventually("three renewals", || renewals() >= 3).await;
    assert_eq!(lease.state(), LeaseState::Healthy);
    lease.checkin().await.unwrap();
    assert_eq!(seats_out(&running), 0);
    running.shared().check_ledger().unwrap();
    client.close().await;
    running.stop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_says_why_who_has_the_seats_and_when_to_ask_again() {
    let house = House::with(&[feature("VR_MODE", 2, 30)]);
    let running = serve(&house, 0).await;
    let client = named(&house, running.udp_address()).open().await.unwrap();
    assert!(matches!(client.server().unwrap().found, Found::Named(_)));
    let held = client.checkout("VR_MODE").seats(2).await.unwrap();
    let denied = |outcome: Result<Lease, CheckoutError>| match outcome {
        Err(CheckoutError::Denied(denied)) => *denied,
        other => panic!("{other:?}"),
    };
    let full = denied(client.checkout("VR_MODE").await);
    assert_eq!((full.code, full.seats_out, full.seats_total), (Denial::NO_SEAT, 2, 2));
    assert!(full.may_clear() && full.retry_after().is_some() && !full.sentence.is_empty());
    let next = full.next_due.expect("who is due back next");
    assert!(next.in_ms <= 30_000);
    assert_eq!(denied(client.checkout("VR_MODE").seats(3).await).code, Denial::TOO_MANY_SEATS);
    let newer = denied(client.checkout("VR_MODE").version("9.0").await);
    assert_eq!((newer.code, newer.may_clear()), (Denial::VERSION_TOO_HIGH, false));
    let unknown = denied(client.checkout("CAM").await);
    assert_eq!((unknown.code, unknown.may_clear()), (Denial::NO_SUCH_FEATURE, false));
    assert!(matches!(client.checkout("no such name!").await, Err(CheckoutError::ApiMisuse(_))));
    assert_eq!(seats_out(&running), 2);
    held.checkin().await.unwrap();
    running.stop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_lease_gives_its_seats_back_and_a_waiting_checkout_gets_them() {
    let house = House::with(&[feature("VR_MODE", 1, 60)]);
    let running = serve(&house, 0).await;
    let (first, second) = (named(&house, running.udp_address()), named(&house, running.udp_address()));
    let (first, second) = (first.open().await.unwrap(), second.open().await.unwrap());
    let held = first.checkout("VR_MODE").await.unwrap();
    let waiting = tokio::spawn(async move {
        let lease = second.checkout("VR_MODE").retry_for(PATIENCE).await;
        (lease, second)
    });
    eventually("the second one is denied", || counter(&running, "denials") >= 1).await;
    drop(held);
    let (lease, _second) = waiting.await.unwrap();
    assert_eq!(lease.unwrap().state(), LeaseState::Healthy);
    eventually("the guard went with the task's value", || seats_out(&running) == 0).await;
    running.stop_now().await;
}

fn counter(running: &Running, name: &str) -> u64 {
    running.shared().counters().iter().find(|(known, _)| *known == name).map_or(0, |(_, n)| *n)
}

#[test]
fn the_blocking_client_needs_no_runtime() {
    let house = House::with(&[feature("VR_MODE", 1, 60), feature("CAM", 5, 60)]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = runtime.block_on(serve(&house, 0));
    let client = leasehold::blocking::Client::open(named(&house, running.udp_address())).unwrap();
    let lease = client.checkout("VR_MODE").send().unwrap();
    assert_eq!(seats_out(&running), 1);
    let features = client.features().unwrap();
    let lines: Vec<_> = features.iter().map(|f| (f.name.as_str(), f.count, f.used)).collect();
    assert_eq!(lines, [("CAM", Some(5), 0), ("VR_MODE", Some(1), 1)]);
    lease.checkin().unwrap();
    drop(client.checkout("CAM").seats(5).send().unwrap());
    until(PATIENCE, "the dropped guard's seats are back", || (seats_out(&running) == 0).then_some(()));
    client.close();
    runtime.block_on(running.stop_now());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_back_is_told_of_and_the_lease_goes_on() {
    let house = House::with(&[feature("VR_MODE", 1, 4)]);
    let running = serve(&house, 0).await;
    let address = running.udp_address();
    let client = named(&house, address).open().await.unwrap();
    let lease = client.checkout("VR_MODE").await.unwrap();
    let mut states = lease.states();
    let told = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(event) = states.next().await {
            let is_back = event.state == LeaseState::Healthy;
            seen.push(event);
            if is_back && seen.len() > 1 {
                break;
            }
        }
        seen
    });
    // As a crash: nothing is said.
    drop(running);
    let lost = lease.lost().await;
    println!("lost: {lost}");
    let running = serve(&house, address.port()).await;
    assert_eq!((running.blind_until(), seats_out(&running)), (None, 1), "the lease is there again");
    let seen = tokio::time::timeout(PATIENCE, told).await.expect("regained").unwrap();
    let names: Vec<_> = seen.iter().map(|event| name_of(&event.state)).collect();
    assert_eq!(names, ["retrying", "grace", "lost", "healthy"], "{seen:#?}");
    assert!(seen.windows(2).all(|two| two[0].at <= two[1].at), "times run forward");
    assert_eq!((lease.state(), seats_out(&running)), (LeaseState::Healthy, 1));
    lease.checkin().await.unwrap();
    assert_eq!(seats_out(&running), 0);
    running.stop_now().await;
}

const fn name_of(state: &LeaseState) -> &'static str {
    match state {
        LeaseState::Asking => "asking",
        LeaseState::Healthy => "healthy",
        LeaseState::Retrying { .. } => "retrying",
        LeaseState::Grace { .. } => "grace",
        LeaseState::Lost { .. } => "lost",
        LeaseState::Released => "released",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_publishers_blessing_is_named_and_not_used() {
    let (house, other) = (House::with(&[feature("VR_MODE", 1, 60)]), House::with(&[feature("VR_MODE", 1, 60)]));
    let running = serve(&house, 0).await;
    let wrong = named(&other, running.udp_address()).open_within(Duration::from_secs(3)).open().await;
    match wrong {
        Err(ConnectError::NotTrusted { address, .. }) => assert_eq!(address, running.udp_address()),
        other => panic!("{other:?}"),
    }
    assert_eq!(seats_out(&running), 0);
    running.stop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_an_answer_with_a_remedy_and_in_time() {
    let house = House::with(&[feature("VR_MODE", 1, 60)]);
    let running = serve(&house, 0).await;
    let address = running.udp_address();
    running.stop_now().await;
    let began = Instant::now();
    let limit = Duration::from_millis(800);
    let error = named(&house, address).open_within(limit).open().await.expect_err("nobody is there");
    assert!(began.elapsed() < limit + Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(matches!(error, ConnectError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("leasehold serve"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_once_get_every_seat_and_not_one_more() {
    const CLIENTS: u32 = 40;
    let house = House::with(&[feature("VR_MODE", 25, 60)]);
    let running = serve(&house, 0).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let builder = named(&house, running.udp_address());
        tasks.spawn(async move {
            let client = builder.open().await.unwrap();
            let outcome = client.checkout("VR_MODE").await;
            (client, outcome)
        });
    }
    let outcomes = tasks.join_all().await;
    let granted = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    assert_eq!((granted, seats_out(&running)), (25, 25));
    let denied = |outcome: &Result<Lease, CheckoutError>| match outcome {
        Err(CheckoutError::Denied(denied)) => denied.code == Denial::NO_SEAT,
        _ => false,
    };
    assert_eq!(outcomes.iter().filter(|(_, outcome)| denied(outcome)).count(), 15);
    running.shared().check_ledger().unwrap();
    drop(outcomes);
    eventually("all seats are back", || seats_out(&running) == 0).await;
    running.stop_now().await;
}

async fn hold_all(clients: &[Client]) -> Vec<Lease> {
    let mut held = vec![];
    for client in clients {
        held.push(client.checkout("CAD").await.unwrap());
    }
    held
}

async fn first_seat(clients: Vec<Client>) -> Result<(usize, Lease), CheckoutError> {
    leasehold::first_of(clients.iter().map(|client| client.checkout("CAD").wait(Duration::from_secs(60)))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rr_23_whoever_waits_at_three_servers_keeps_exactly_one_seat() {
    const SERVERS: usize = 3;
    let houses: Vec<House> = (0..SERVERS).map(|_| House::with(&[feature("CAD", 1, 300)])).collect();
    let (mut servers, mut programs, mut holders) = (vec![], vec![], vec![]);
    for house in &houses {
        let running = serve(house, 0).await;
        programs.push(named(house, running.udp_address()).open().await.unwrap());
        holders.push(named(house, running.udp_address()).open().await.unwrap());
        servers.push(running);
    }
    let waiting = |servers: &[Running]| -> Vec<u32> {
        let of = |running: &Running| running.shared().features(leasehold_server::clock_now())[0].waiting;
        servers.iter().map(of).collect()
    };
    let out = |servers: &[Running]| servers.iter().map(seats_out).sum::<u32>();
    for round in 0..12 {
        let held = hold_all(&holders).await;
        let asked = tokio::spawn(first_seat(programs.clone()));
        eventually("it waits at all three", || waiting(&servers) == [1; SERVERS]).await;
        // One seat comes back, or all of them in the same moment.
        let count = [1, 2, SERVERS][round % 3];
        let first = round % SERVERS;
        let kept: Vec<_> = held
            .into_iter()
            .enumerate()
            .filter_map(|(n, lease)| {
                let goes = (n + SERVERS - first) % SERVERS < count;
                (!goes).then_some(lease)
            })
            .collect();
        let (which, lease) = asked.await.unwrap().unwrap();
        assert!((which + SERVERS - first) % SERVERS < count, "round {round}: server {which} had no seat");
        let others = u32::try_from(kept.len()).unwrap();
        eventually("every other seat and place is given up", || {
            out(&servers) == others + 1 && waiting(&servers) == [0; SERVERS]
        })
        .await;
        // And it stays so: whatever was asked before this has been answered.
        for client in &programs {
            client.features().await.unwrap();
        }
        assert_eq!((out(&servers), lease.state()), (others + 1, LeaseState::Healthy));
        drop((lease, kept));
        eventually("all are back", || out(&servers) == 0).await;
    }
    // A server that goes away is one fewer to wait for.
    let mut held = hold_all(&holders).await;
    let asked = tokio::spawn(first_seat(programs.clone()));
    eventually("it waits at all three", || waiting(&servers) == [1; SERVERS]).await;
    servers.remove(0).stop_now().await;
    held.pop();
    assert_eq!(asked.await.unwrap().unwrap().0, 2);
    for running in servers {
        running.shared().check_ledger().unwrap();
        running.stop_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn po_26_an_idle_program_is_asked_and_its_seat_goes_to_whoever_waits() {
    const IDLE: Activity = Activity { idle_s: 600, busy: false, unsaved: false };
    let house = House::with(&[feature("CAD", 1, 6)]);
    let policy = house.path("policy.toml");
    std::fs::write(&policy, "[[reclaim]]\nid = \"idle-cad\"\nidle-s = 300\nnotice-s = 10\nfeatures = [\"CAD\"]\n")
        .unwrap();
    let running = Running::start(Settings { policy: Some(policy), ..settings(&house, 0) }).await.unwrap();
    let (ann, bob) = (named(&house, running.udp_address()), named(&house, running.udp_address()));
    let (ann, bob) = (ann.open().await.unwrap(), bob.open().await.unwrap());
    let lease = ann.checkout("CAD").await.unwrap();
    let mut asked = lease.let_goes();
    lease.set_activity(IDLE);
    let waiting = tokio::spawn(async move { bob.checkout("CAD").wait(Duration::from_secs(60)).await });

    // With the next renewal the server knows, and asks.
    let told = tokio::time::timeout(PATIENCE, asked.next()).await.unwrap().unwrap();
    assert_eq!((&*told.rule, told.waiting, told.until.is_some()), ("idle-cad", 1, true));
    // She is at work: it is taken back.
    lease.set_activity(Activity { unsaved: true, ..IDLE });
    let told = tokio::time::timeout(PATIENCE, asked.next()).await.unwrap().unwrap();
    assert_eq!(told.until, None);
    assert!(lease.state() == LeaseState::Healthy && !waiting.is_finished());
    // She is not: it is lost when the notice is over, and bob has it at once.
    lease.set_activity(IDLE);
    let told = tokio::time::timeout(PATIENCE, asked.next()).await.unwrap().unwrap();
    assert!(told.until.is_some());
    let began = Instant::now();
    let lost = tokio::time::timeout(PATIENCE, lease.lost()).await.unwrap();
    assert_eq!(lost.why, LossCause::Denied(Denial::RECLAIMED));
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    let lent =
        tokio::time::timeout(Duration::from_secs(2), waiting).await.expect("within two seconds").unwrap().unwrap();
    assert_eq!((lent.state(), seats_out(&running)), (LeaseState::Healthy, 1));
    lease.checkin().await.unwrap();
    running.shared().check_ledger().unwrap();
    running.stop_now().await;
}

#[tokio::test]
async fn r_9_a_bundle_is_held_whole_or_not_at_all() {
    let house = House::with(&[feature("SOLVER", 3, 30), feature("MESH", 1, 30), feature("SUITE", 1, 30)]);
    let running = serve(&house, 0).await;
    let (ann, bob) = (
        named(&house, running.udp_address()).open().await.unwrap(),
        named(&house, running.udp_address()).open().await.unwrap(),
    );
    let wanted = || [Item::new("SOLVER").seats(2), Item::new("MESH")];

    let first = ann.bundle(wanted()).or([Item::new("SUITE")]).await.unwrap();
    let told: Vec<_> =
        first.leases().iter().map(|lease| (lease.feature().as_str(), lease.seats().get(), lease.state())).collect();
    assert_eq!(told, [("SOLVER", 2, LeaseState::Healthy), ("MESH", 1, LeaseState::Healthy)]);
    assert_eq!((first.alternative(), seats_out(&running)), (0, 3));
    let second = bob.bundle(wanted()).or([Item::new("SUITE")]).await.unwrap();
    assert_eq!((second.alternative(), second.leases().len(), seats_out(&running)), (1, 1, 4));

    let Err(CheckoutError::Denied(denied)) = bob.bundle(wanted()).await else { panic!("there is no MESH") };
    assert_eq!((denied.code, denied.feature.as_str(), seats_out(&running)), (Denial::NO_SEAT, "SOLVER", 4));
    // As many as there are.
    let rest = bob.bundle([Item::new("SOLVER").seats(3).at_least(1)]).await.unwrap();
    assert_eq!((rest.leases()[0].seats().get(), seats_out(&running)), (1, 5));
    rest.checkin().await.unwrap();

    // One that is patient has it as soon as the last of it is back; one that was given up holds nothing.
    let patient = bob.bundle(wanted()).retry_for(PATIENCE);
    let (held, ()) = tokio::join!(patient, async { first.checkin().await.unwrap() });
    assert_eq!((held.unwrap().leases().len(), second.alternative()), (2, 1));
    let given_up =
        tokio::time::timeout(Duration::from_millis(200), ann.bundle([Item::new("SUITE")]).retry_for(PATIENCE));
    assert!(given_up.await.is_err());
    drop(second);
    eventually("everything is back", || seats_out(&running) == 0).await;

    let wrong = ann.bundle([Item::new("MESH"), Item::new("MESH")]).await;
    assert!(matches!(wrong, Err(CheckoutError::ApiMisuse(Misuse::Bundle(_)))), "{wrong:?}");
    running.stop_now().await;
}
