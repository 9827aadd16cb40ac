//! The driver over real sockets on loopback, against the scripted server of the holder's tests.

mod local;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use leasehold_protocol::{
    message::{ClientFrame, FeatureLine},
    vocab::{Denial, FeatureName, LeaseId, Version},
};

use crate::{
    CheckoutError, Client, ClientBuilder, ConnectError, DiscoverOptions, Found, LeaseState, LossCause, Misuse,
    ServerAddress, blocking, discover, holder::tests::server::TestServer,
};

/// A scripted server on a port of its own.
struct Site {
    address: SocketAddr,
    server: Arc<Mutex<TestServer>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    fn start(seed: u64) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), TestServer::new(seed))
    }

    #[expect(clippy::disallowed_methods, reason = "a server's socket, in a test")]
    fn start_at(at: SocketAddr, mut server: TestServer) -> Self {
        let socket = UdpSocket::bind(at).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        server.port = address.port();
        let (server, stop) = (Arc::new(Mutex::new(server)), Arc::new(AtomicBool::new(false)));
        let (shared, stopped) = (Arc::clone(&server), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut bytes = [0; 2_048];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut bytes) else { continue };
                let answers = shared.lock().unwrap().handle(from, &mut bytes[..len]);
                answers.iter().for_each(|answer| drop(socket.send_to(answer, from)));
            }
        });
        Self { address, server, stop, thread: Some(thread) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut TestServer) -> T) -> T {
        act(&mut self.server.lock().unwrap())
    }

    /// Waits until the server's script has come so far; what is waited for takes milliseconds.
    async fn until(&self, come: impl Fn(&TestServer) -> bool) {
        let long = tokio::time::timeout(Duration::from_secs(20), async {
            while !self.with(|server| come(server)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        long.await.expect("the server saw it");
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder().server(&self.address.to_string()).environment(false).broadcast(false).in_memory()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}

fn line(name: &str) -> FeatureLine {
    let name = FeatureName::new(name).unwrap();
    FeatureLine { name, version: Version::ANY, count: Some(3), used: 1, next_end: None }
}

#[tokio::test]
async fn a_seat_is_checked_out_held_and_given_back() {
    let site = Site::start(1);
    let client = site.builder().open().await.unwrap();
    let server = client.server().unwrap();
    assert_eq!((server.address, server.found), (site.address, Found::Named(site.address.to_string())));
    let lease = client.checkout("VR_MODE").version("4.8").seats(2).await.unwrap();
    assert_eq!((lease.seats().get(), lease.state()), (2, LeaseState::Healthy));
    assert_ne!(lease.id(), LeaseId::NONE);
    assert!(lease.now().until.unwrap() > lease.now().at);
    let asked = site.with(|s| (s.requests()[0].version.to_string(), s.requests()[0].holder.pid));
    assert_eq!(asked, ("4.8".to_owned(), std::process::id()));
    lease.checkin().await.unwrap();
    assert_eq!(site.with(|s| s.leases.len()), 0);
    client.close().await;
}

#[tokio::test]
async fn dropping_gives_back_without_waiting_and_withdraws_what_is_unanswered() {
    let site = Site::start(2);
    let client = site.builder().open().await.unwrap();
    let lease = client.checkout("VR_MODE").await.unwrap();
    drop(lease);
    site.until(|s| s.leases.is_empty()).await;

    site.with(|s| s.deny = Some((Denial::NO_SEAT, Some(60_000))));
    let patient = client.checkout("VR_MODE").retry_for(Duration::from_secs(600));
    let waited = tokio::time::timeout(Duration::from_millis(100), patient.send()).await;
    assert!(waited.is_err(), "it waits");
    site.until(|s| s.frames().filter(|f| matches!(f, ClientFrame::Release(_))).count() == 2).await;

    let lease = {
        site.with(|s| s.deny = None);
        client.checkout("VR_MODE").await.unwrap()
    };
    drop((client, lease));
    site.until(|s| s.leases.is_empty() && s.frames().any(|f| matches!(f, ClientFrame::Goodbye(_)))).await;
}

#[tokio::test]
async fn a_denial_says_everything_and_a_patient_checkout_outlasts_it() {
    let site = Site::start(3);
    site.with(|s| s.deny = Some((Denial(900), Some(200))));
    let client = site.builder().open().await.unwrap();
    let Err(CheckoutError::Denied(denied)) = client.checkout("VR_MODE").await else { panic!() };
    assert_eq!((denied.code, denied.retry_after()), (Denial(900), Some(Duration::from_millis(200))));
    assert!(denied.may_clear() && denied.to_string().contains("denial-900"));
    site.with(|s| s.deny = Some((Denial::NO_SEAT, Some(100))));
    let patient = tokio::spawn({
        let client = client.clone();
        async move { client.checkout("VR_MODE").retry_for(Duration::from_secs(30)).await.map(|lease| lease.state()) }
    });
    site.until(|s| s.requests().len() >= 4).await;
    site.with(|s| s.deny = None);
    assert_eq!(patient.await.unwrap(), Ok(LeaseState::Healthy));
}

#[tokio::test]
async fn a_server_that_goes_is_told_as_states_and_its_return_regains_the_lease() {
    let site = Site::start(4);
    site.with(|s| (s.ttl_ms, s.renew_after_ms, s.grace_ms) = (900, 300, 200));
    let client = site.builder().open().await.unwrap();
    let lease = client.checkout("VR_MODE").await.unwrap();
    let mut states = lease.states();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    lease.on_change(move |event| drop(told.send(event.state.to_string()))).unwrap();
    site.with(|s| s.up = false);
    let lost = lease.lost().await;
    assert_eq!(lost.why, LossCause::Unreachable);
    site.with(|s| {
        s.restart(false);
        s.up = true;
    });
    let mut seen: Vec<String> = Vec::new();
    while seen.last().is_none_or(|last| last != "healthy") {
        let event = states.next().await.unwrap();
        assert_eq!(heard.recv().await.unwrap(), event.state.to_string(), "the callback hears the same");
        seen.push(event.state.to_string());
    }
    assert_eq!(seen, ["retrying", "grace", "lost", "healthy"]);
    let one_claim = site.with(|s| s.requests().windows(2).all(|two| two[0].claim == two[1].claim));
    assert!(one_claim, "the same lease all along");
}

#[tokio::test]
async fn heartbeats_go_on_while_the_program_blocks_its_only_thread() {
    let site = Site::start(5);
    site.with(|s| (s.ttl_ms, s.renew_after_ms) = (600, 150));
    let client = site.builder().open().await.unwrap();
    let lease = client.checkout("VR_MODE").await.unwrap();
    // The runtime of this test has one thread, and here it waits as a long calculation would.
    let seen = blocking_wait(|| site.with(|s| s.frames().filter(|f| matches!(f, ClientFrame::Renew(_))).count() >= 5));
    assert!(seen && lease.state() == LeaseState::Healthy);
}

/// Blocks this thread until `come`, by asking over and over.
fn blocking_wait(come: impl Fn() -> bool) -> bool {
    (0..4_000).any(|_| {
        std::thread::park_timeout(Duration::from_millis(5));
        come()
    })
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_what_was_tried() {
    let client = Client::builder().server("127.0.0.1:1").environment(false).broadcast(false).in_memory();
    let Err(e) = client.open_within(Duration::from_millis(100)).open().await else { panic!() };
    let message = e.to_string();
    assert!(matches!(e, ConnectError::NotFound { .. }) && message.contains("127.0.0.1:1"), "{message}");
    let nowhere = Client::builder().environment(false).broadcast(false).in_memory().open().await;
    assert!(matches!(nowhere, Err(ConnectError::NotFound { .. })), "and at once");
    let Err(e) = Client::connect("host:99999").await else { panic!() };
    assert!(e.to_string().contains("host:99999"), "{e}");
}

#[tokio::test]
async fn silence_ends_a_checkout_and_a_query_in_time_and_withdraws_them() {
    let site = Site::start(6);
    let client = site.builder().answer_within(Duration::from_millis(150)).open().await.unwrap();
    site.with(|s| s.up = false);
    let Err(CheckoutError::Unreachable { waited, remedy }) = client.checkout("VR_MODE").await else { panic!() };
    assert!(waited >= Duration::from_millis(150) && remedy.contains(&site.address.to_string()), "{remedy}");
    assert!(matches!(client.features().await, Err(CheckoutError::Unreachable { .. })));
    site.with(|s| s.up = true);
    site.until(|s| s.frames().any(|f| matches!(f, ClientFrame::Release(_)))).await;
    assert_eq!(site.with(|s| s.leases.len()), 0);
}

#[tokio::test]
async fn features_come_in_one_list() {
    let site = Site::start(7);
    site.with(|s| s.features = ["a", "b", "c", "d", "e"].map(line).to_vec());
    let client = site.builder().open().await.unwrap();
    assert_eq!(client.features().await.unwrap().len(), 5);
    site.with(|s| s.features.truncate(1));
    assert_eq!(client.feature("a").await.unwrap().unwrap().name.as_str(), "a");
    assert!(matches!(client.feature("a b").await, Err(CheckoutError::ApiMisuse(Misuse::Feature(_)))));
}

#[tokio::test]
async fn the_first_key_seen_is_kept_and_another_one_is_refused_with_the_file_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Site::start(8);
    let open = |site: &Site| {
        let text = site.address.to_string();
        Client::builder().server(&text).environment(false).broadcast(false).state_folder(dir.path()).open()
    };
    open(&site).await.unwrap().close().await;
    open(&site).await.unwrap().close().await;
    site.stop();
    let address = site.address;
    let other = Site::start_at(address, TestServer::new(99));
    let Err(e) = open(&other).await else { panic!("another key was believed") };
    let message = e.to_string();
    assert!(matches!(e, ConnectError::ServerKeyChanged { .. }), "{message}");
    assert!(message.contains(dir.path().join("known_servers").to_str().unwrap()), "{message}");
    let pinned = format!("{address}#{}", other.with(|s| s.keys.public().fingerprint()));
    let client = Client::builder().server(&pinned).environment(false).broadcast(false).state_folder(dir.path());
    client.open().await.unwrap().close().await;
    let wrong = format!("{address}#{}", "0".repeat(32));
    let client = Client::builder().server(&wrong).environment(false).in_memory();
    assert!(matches!(client.open().await, Err(ConnectError::PinnedKeyDiffers { .. })));
}

#[tokio::test]
async fn a_dead_server_in_the_list_costs_nothing_noticeable() {
    let site = Site::start(9);
    let list = format!("127.0.0.1:1,[::1]:1,{}", site.address);
    let client = Client::builder().server(&list).environment(false).broadcast(false).in_memory().open().await.unwrap();
    assert_eq!(client.server().unwrap().address, site.address);
}

#[tokio::test]
async fn a_server_on_this_machine_is_found_by_broadcast() {
    let site = Site::start(10);
    let port = site.address.port();
    let client = Client::builder().environment(false).port(port).in_memory().open().await.unwrap();
    assert_eq!(client.server().unwrap().found, Found::Broadcast);
    let options =
        DiscoverOptions { port, environment: false, listen: Duration::from_millis(200), ..Default::default() };
    let found = discover(options).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].address, found[0].fingerprint), (site.address, client.server().unwrap().fingerprint));
    let by_name = DiscoverOptions {
        servers: ServerAddress::list(&format!("localhost:{port}")).unwrap(),
        broadcast: false,
        environment: false,
        listen: Duration::from_millis(200),
        ..Default::default()
    };
    assert_eq!(discover(by_name).await.unwrap().len(), 1);
}

#[test]
fn the_blocking_twin_works_with_and_without_an_executor_around_it() {
    let site = Site::start(11);
    let round = || {
        let client = blocking::Client::open(site.builder()).unwrap();
        let lease = client.checkout("VR_MODE").version("4.8").send().unwrap();
        assert_eq!(lease.state(), LeaseState::Healthy);
        lease.checkin().unwrap();
        client.close();
    };
    round();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { round() });
}

#[tokio::test]
async fn misuse_is_named() {
    let site = Site::start(12);
    let client = site.builder().open().await.unwrap();
    assert_eq!(crate::first_of([]).await.err(), Some(CheckoutError::ApiMisuse(Misuse::NoCheckout)));
    assert!(matches!(client.checkout("").await, Err(CheckoutError::ApiMisuse(Misuse::Feature(_)))));
    assert!(matches!(client.checkout("x").seats(0).await, Err(CheckoutError::ApiMisuse(Misuse::Number(_)))));
    assert!(matches!(client.checkout("x").version("4").await, Err(CheckoutError::ApiMisuse(Misuse::Number(_)))));
    let (other, lease) = (client.clone(), client.checkout("x").await.unwrap());
    client.close().await;
    assert!(matches!(other.checkout("x").await, Err(CheckoutError::ApiMisuse(Misuse::Closed))));
    assert_eq!(lease.lost().await.why, LossCause::ClientClosed);
    assert_eq!(site.with(|s| s.leases.len()), 0, "closing gave it back");
    assert!(matches!(lease.checkin().await, Err(CheckoutError::ApiMisuse(Misuse::Closed))));
}

#[tokio::test]
async fn a_forked_child_is_told_to_open_its_own_client_and_cannot_touch_its_parents() {
    let site = Site::start(14);
    let client = site.builder().open().await.unwrap();
    let lease = client.checkout("VR_MODE").await.unwrap();
    let child = Client { handle: client.handle.as_in_a_child(), ..client.clone() };
    assert_eq!(child.checkout("x").await.err(), Some(CheckoutError::ApiMisuse(Misuse::Forked)));
    assert_eq!(child.features().await.err(), Some(CheckoutError::ApiMisuse(Misuse::Forked)));
    assert_eq!(child.server(), None);
    child.close().await;
    assert_eq!(lease.state(), LeaseState::Healthy);
    client.checkout("y").await.unwrap();
}

#[tokio::test]
async fn a_server_that_restarts_keeps_its_clients() {
    let mut site = Site::start(13);
    site.with(|s| (s.ttl_ms, s.renew_after_ms) = (20_000, 200));
    let client = site.builder().open().await.unwrap();
    let lease = client.checkout("VR_MODE").await.unwrap();
    site.stop();
    let again = Site::start_at(site.address, TestServer::new(13));
    again.until(|s| s.requests().len() == 1 && s.leases.len() == 1).await;
    assert!(again.with(|s| s.requests()[0].ticket.is_some()));
    assert!(lease.state().is_held());
    drop(lease);
    again.until(|s| s.leases.is_empty()).await;
}
