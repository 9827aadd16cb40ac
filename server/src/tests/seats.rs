use std::{net::SocketAddr, time::Duration};

use leasehold_protocol::{DISCOVERY_GROUP, crypto::Keypair, message::ServerFrame, vocab::Denial};
use tokio::{io::Interest, net::UdpSocket, sync::oneshot, time::timeout};
use zerocopy::IntoBytes;

use super::{
    client::{Client, PATIENCE, a_discover, discover, socket},
    http::get,
    site::{Site, eventually, publisher},
};
use crate::{Ending, ReloadError, Running, clock::SystemEntropy, clock_now, run_with};

pub fn bearer(running: &Running) -> String {
    format!("Bearer {}", std::fs::read_to_string(running.rest_token_path()).unwrap().trim())
}

#[tokio::test]
async fn a_seat_goes_out_is_renewed_is_seen_and_comes_back() {
    let site = Site::new();
    site.licence("a.lic", "VR_MODE", 2, 300);
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    let grant = client.request("VR_MODE").await.unwrap();
    assert!(matches!(client.renew(&grant).await, ServerFrame::Renewed(_)));

    let (address, bearer) = (running.http_address().unwrap(), bearer(&running));
    let features = get(address, "/api/v1/features", Some(&bearer)).await.json();
    let feature = &features["features"][0];
    assert_eq!((&feature["feature"], &feature["used"], &feature["free"]), (&"VR_MODE".into(), &1.into(), &1.into()));
    let leases = get(address, "/api/v1/leases?feature=VR_MODE&limit=1", Some(&bearer)).await.json();
    assert_eq!((&leases["total"], &leases["leases"][0]["user"]), (&1.into(), &"ada".into()));
    assert_eq!(leases["leases"][0]["renewals"], 1);
    assert_eq!(get(address, "/api/v1/leases?feature=OTHER", Some(&bearer)).await.json()["total"], 0);
    assert_eq!(get(address, "/api/v1/leases?offset=1", Some(&bearer)).await.json()["leases"], serde_json::json!([]));
    assert_eq!(get(address, "/readyz", Some(&bearer)).await.status, 200);
    let metrics = get(address, "/metrics", Some(&bearer)).await.body;
    let used = "leasehold_feature_seats_used{publisher=\"acme\",feature=\"VR_MODE\"} 1";
    assert!(metrics.contains(used), "{metrics}");

    assert!(matches!(client.release(&grant).await, ServerFrame::Released(_)));
    assert_eq!(running.shared().live_leases(), 0);
    running.shared().check_ledger().unwrap();
    running.stop_now().await;
}

#[tokio::test]
async fn many_clients_are_spread_over_workers_and_served_alike() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 20, 300);
    let running = site.start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(running.udp_address()).await;
        let grant = client.request("CAD").await.unwrap();
        clients.push((client, grant));
    }
    let mut late = Client::connect(running.udp_address()).await;
    assert_eq!(late.request("CAD").await.unwrap_err().code, Denial::NO_SEAT);
    for (client, grant) in &mut clients {
        client.release(grant).await;
    }
    assert!(late.request("CAD").await.is_ok());
    running.shared().check_ledger().unwrap();
    running.stop_now().await;
}

#[tokio::test]
async fn a_server_is_found_by_broadcast_though_it_is_bound_to_one_address() {
    let site = Site::new();
    let running = site.start().await;
    let socket = socket().await;
    let port = running.udp_address().port();
    let found = discover(&socket, SocketAddr::from(([127, 255, 255, 255], port))).await;
    assert_eq!((found.from, found.port), (running.udp_address(), port));
    assert_eq!(found.key, running.shared().realms()[0].key);
    running.stop_now().await;
}

#[tokio::test]
async fn a_broadcast_is_answered_once_by_a_server_on_every_address() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.listen = crate::Settings::default().listen;
    let running = Running::start(settings).await.unwrap();
    let socket = socket().await;
    let port = running.udp_address().port();
    let found = discover(&socket, SocketAddr::from(([127, 255, 255, 255], port))).await;
    assert_eq!(found.from.ip(), std::net::IpAddr::from([127, 0, 0, 1]), "from the address that faces the asker");
    let offers = || running.shared().counters().iter().find(|(name, _)| *name == "offers_sent").map(|(_, n)| *n);
    assert_eq!(offers(), Some(1));
    let copies = running.banner();
    assert!(copies.contains("udp 0.0.0.0:"), "{copies}");
    running.stop_now().await;
}

#[tokio::test]
async fn answers_leave_from_the_address_that_was_asked() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let mut settings = site.settings();
    settings.listen = crate::Settings::default().listen;
    let running = Running::start(settings).await.unwrap();
    let asked = SocketAddr::new(site.address, running.udp_address().port());
    let mut client = Client::connect(asked).await;
    assert!(client.request("CAD").await.is_ok());
    running.stop_now().await;
}

#[tokio::test]
async fn datagrams_that_the_kernel_joined_are_answered_one_by_one() {
    let site = Site::new();
    let running = site.start().await;
    let socket = socket().await;
    let state = quinn_udp::UdpSocketState::new((&socket).into()).unwrap();
    let joined: Vec<u8> = (0..3).flat_map(|_| a_discover()).collect();
    let segment_size = Some(joined.len() / 3);
    let destination = running.udp_address();
    let all = quinn_udp::Transmit { destination, ecn: None, contents: &joined, segment_size, src_ip: None };
    state.try_send((&socket).into(), &all).unwrap();
    // Its answers come joined as well, to a socket that takes them so.
    let mut answers = 0;
    while answers < 3 {
        answers += timeout(PATIENCE, receive_joined(&socket, &state)).await.expect("three answers");
    }
    assert_eq!(answers, 3);
    running.stop_now().await;
}

/// Two hundred handshakes come at once, and a renewal behind them: it is heard between two of them.
#[tokio::test]
async fn a_renewal_is_answered_while_handshakes_wait() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let mut settings = site.settings();
    settings.workers = 1;
    let running = Running::start(settings).await.unwrap();
    let server = running.udp_address();
    let mut client = Client::connect(server).await;
    let grant = client.request("CAD").await.unwrap();
    let socket = socket().await;
    let found = discover(&socket, server).await;
    let keys = Keypair::generate(&mut SystemEntropy);
    let mut knocking = Vec::new();
    for _ in 0..200 {
        knocking.push(Client::knock(&socket, server, &found, &keys).await.1);
    }
    for hello in &knocking {
        socket.send_to(hello.as_bytes(), server).await.unwrap();
    }
    let before = handshakes(&running);
    assert!(matches!(client.renew(&grant).await, ServerFrame::Renewed(_)));
    let meanwhile = handshakes(&running) - before;
    assert!(meanwhile < 50, "{meanwhile} handshakes went before it");
    running.stop_now().await;
}

fn handshakes(running: &Running) -> u64 {
    running.shared().counters().iter().find(|(name, _)| *name == "handshakes").unwrap().1
}

/// How many datagrams came in what the kernel hands over next.
async fn receive_joined(socket: &UdpSocket, state: &quinn_udp::UdpSocketState) -> usize {
    let mut buffer = vec![0; 65_536];
    loop {
        socket.readable().await.unwrap();
        let mut meta = [quinn_udp::RecvMeta::default()];
        let slices = &mut [std::io::IoSliceMut::new(&mut buffer)];
        let taken = socket.try_io(Interest::READABLE, || state.recv(socket.into(), slices, &mut meta));
        if taken.is_ok() {
            return meta[0].len.div_ceil(meta[0].stride);
        }
    }
}

#[tokio::test]
async fn a_server_without_discovery_is_not_found_by_broadcast() {
    let site = Site::new();
    let mut settings = site.settings();
    (settings.discovery, settings.workers) = (false, 1);
    let running = Running::start(settings).await.unwrap();
    assert!(running.banner().contains("broadcast discovery is off"));
    let socket = socket().await;
    let port = running.udp_address().port();
    super::client::send_discover(&socket, SocketAddr::from(([127, 255, 255, 255], port))).await;
    let group = SocketAddr::from((DISCOVERY_GROUP, port));
    // A machine without a multicast route cannot even send it.
    let _ = socket.send_to(&[0; 192], group).await;
    // The unicast question comes later and is answered: the others were not.
    let found = discover(&socket, running.udp_address()).await;
    assert_eq!(found.from, running.udp_address());
    let counters = running.shared().counters();
    assert!(counters.contains(&("offers_sent", 1)), "{counters:?}");
    running.stop_now().await;
}

#[tokio::test]
async fn a_drain_denies_waits_for_the_last_lease_and_leaves_no_marker() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 2, 300);
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    let grant = client.request("CAD").await.unwrap();
    let stopping = tokio::spawn(running.drain_and_stop(Duration::from_secs(60)));
    let ServerFrame::Goodbye(goodbye) = client.next().await else { panic!("no goodbye") };
    assert_eq!(goodbye.code, Denial::SHUTTING_DOWN);
    assert_eq!(client.request("CAD").await.unwrap_err().code, Denial::SHUTTING_DOWN);
    client.release(&grant).await;
    let report = stopping.await.unwrap();
    assert_eq!(report.leases_out, 0);
    assert!(!site.data_dir().join("serving").exists());
    let again = site.start().await;
    assert_eq!(again.blind_until(), None);
    again.stop_now().await;
}

#[tokio::test]
async fn a_silent_holders_seat_is_free_when_its_ttl_is_over() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 2);
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    let began = clock_now().mono;
    client.request("CAD").await.unwrap();
    let mut second = Client::connect(running.udp_address()).await;
    assert_eq!(second.request("CAD").await.unwrap_err().code, Denial::NO_SEAT);
    running.drained(Duration::from_secs(20)).await;
    assert_eq!(running.shared().live_leases(), 0);
    let took = clock_now().mono.ms_since(began);
    assert!((2000..2500).contains(&took), "{took} ms");
    assert!(second.request("CAD").await.is_ok());
    running.stop_now().await;
}

#[tokio::test]
async fn a_reload_takes_new_licences_and_a_bad_file_changes_nothing() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let running = site.start().await;
    let features = |running: &Running| {
        let features = running.shared().features(clock_now());
        features.iter().map(|f| format!("{} {:?}", f.name, f.count)).collect::<Vec<_>>()
    };
    assert_eq!(features(&running), ["CAD Some(1)"]);

    let good = site.licence("b.lic", "VR_MODE", 5, 300);
    let signed = std::fs::read_to_string(&good).unwrap();
    std::fs::write(&good, signed.replace("count = 5", "count = 50")).unwrap();
    let refused = running.reload().unwrap_err();
    assert!(matches!(refused, ReloadError::Faults(_)));
    assert!(refused.to_string().contains("b.lic:") && refused.to_string().contains("signature"), "{refused}");
    assert_eq!(features(&running), ["CAD Some(1)"]);

    std::fs::write(&good, signed).unwrap();
    assert_eq!(running.reload().unwrap().applied(), 2);
    assert_eq!(features(&running), ["CAD Some(1)", "VR_MODE Some(5)"]);
    let banner = running.banner();
    for part in ["a.lic, b.lic   2 features, 6 seats, permanent", "leasehold checkout CAD --server 127.97."] {
        assert!(banner.contains(part), "{part:?} in\n{banner}");
    }
    running.stop_now().await;
}

#[tokio::test]
async fn a_publishers_next_key_is_taken_at_a_reload_and_a_new_publisher_at_the_next_start() {
    let mut site = Site::new();
    let running = site.start().await;
    site.publisher = publisher("acme");
    site.write("publishers/next.pub", &site.publisher.public().to_text());
    site.write("publishers/bolt.pub", &publisher("bolt").public().to_text());
    site.licence("a.lic", "CAD", 1, 300);
    assert_eq!(running.reload().unwrap().applied(), 1);
    assert!(running.warnings().iter().any(|w| w.contains("bolt came after the start")), "{:?}", running.warnings());
    running.stop_now().await;
    let running = site.start().await;
    assert_eq!(running.shared().realms().len(), 2);
    assert!(running.warnings().is_empty(), "{:?}", running.warnings());
    running.stop_now().await;
}

#[tokio::test]
async fn signals_reload_and_end_the_server() {
    let site = Site::new();
    let (tell, told) = oneshot::channel();
    let settings = site.settings();
    let serving = tokio::spawn(run_with(settings, |running| {
        let facts = (running.udp_address(), running.http_address().unwrap(), bearer(running));
        tell.send(facts).unwrap();
    }));
    let (udp, http, bearer) = told.await.unwrap();
    let ours = rustix::process::getpid();
    site.licence("a.lic", "CAD", 1, 300);
    rustix::process::kill_process(ours, rustix::process::Signal::HUP).unwrap();
    eventually("the new licence is served", || async {
        get(http, "/api/v1/features", Some(&bearer)).await.json()["features"][0]["feature"] == "CAD"
    })
    .await;

    let mut client = Client::connect(udp).await;
    let grant = client.request("CAD").await.unwrap();
    rustix::process::kill_process(ours, rustix::process::Signal::TERM).unwrap();
    assert!(matches!(client.next().await, ServerFrame::Goodbye(_)));
    client.release(&grant).await;
    let Ending::Stopped(report) = serving.await.unwrap().unwrap() else { panic!("ended otherwise") };
    assert_eq!(report.leases_out, 0);
}
