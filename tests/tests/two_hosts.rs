//! Hosts on a real network: namespaces joined by a bridge. Skipped with a loud line where namespaces are not allowed.

use std::{
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use leasehold_protocol::{
    crypto::{Keypair, PublicKey, SiteKey, mac::MacKey},
    hex,
    packet::Hello1,
    vocab::RealmId,
};
use leasehold_tests::{
    binary::{House, Process, command, json, run, until},
    hosts::Hosts,
    plan::{Feature, PUBLISHER, label},
    rng::Rng,
    stranger::Stranger,
};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use zerocopy::FromBytes;

const PATIENCE: Duration = Duration::from_secs(30);
const SERVER: u8 = 1;
const CLIENT: u8 = 2;
const OTHER: u8 = 3;
const PORT: u16 = leasehold_protocol::DEFAULT_PORT;

/// A server on host 1 and room for clients on the others.
struct Network {
    house: House,
    server: Process,
    hosts: Hosts,
}

impl Network {
    fn new(seats: u32, ttl_s: u32, closed: bool) -> Option<Self> {
        let hosts = Hosts::new(3)?;
        let house = House::with(&[Feature { name: "VR_MODE".into(), seats, ttl_s, grace_s: 0 }]);
        let mut serve = command(house.serve());
        if closed {
            serve.arg("--site-key").arg(house.close_site());
        }
        house.client_environment(&mut serve, "server");
        serve.args(["--log-format", "json"]);
        let mut server = Process::start(hosts.on(SERVER, &serve));
        server.wait_for("serving", PATIENCE);
        Some(Self { house, server, hosts })
    }

    /// A command of the program on a host that knows no server.
    fn client(&self, host: u8, words: &[&str]) -> Command {
        let mut client = command(words);
        self.house.client_environment(&mut client, &format!("client{host}"));
        client.env("LEASEHOLD_PUBLISHER_KEY", self.house.path("acme.pub"));
        self.hosts.on(host, &client)
    }

    fn status(&self) -> Value {
        let mut status = command(["status", "--json", "--leases"]);
        self.house.client_environment(&mut status, "admin");
        status.env("LEASEHOLD_DATA_DIR", self.house.path("state"));
        json(self.hosts.on(SERVER, &status))
    }

    fn used(&self) -> u64 {
        self.status()["features"][0]["used"].as_u64().unwrap_or_else(|| panic!("{}", self.status()))
    }

    fn leases(&self) -> Vec<Value> {
        self.status()["leases"].as_array().cloned().unwrap_or_default()
    }

    fn server_address() -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Hosts::address(SERVER)), PORT)
    }

    fn server_key(&self) -> PublicKey {
        let file = self.house.path("state").join("realms").join(PUBLISHER).join("server.key");
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find_map(|line| hex::decode::<32>(line.trim())).expect("a key in hex");
        Keypair::from_private(line).public()
    }

    fn stranger(&self) -> Stranger {
        Stranger::new(Rng::new(85), self.server_key(), RealmId::of(&label(PUBLISHER)))
    }
}

#[test]
fn a_client_on_another_host_finds_the_server_by_broadcast_and_holds_exactly_one_seat() {
    let Some(net) = Network::new(3, 60, false) else { return };
    let list = run(net.client(CLIENT, &["discover"]));
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    println!("leasehold discover:\n{text}");
    assert!(list.status.success() && text.contains("10.77.0.1"), "{text}{}", String::from_utf8_lossy(&list.stderr));
    assert!(text.contains(&net.house.fingerprint.to_string()), "{text}");
    let mut holder = Process::start(net.client(CLIENT, &["checkout", "VR_MODE", "--", "sleep", "5"]));
    until(PATIENCE, "one seat is out", || (net.used() == 1).then_some(()));
    let leases = net.leases();
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert!(leases[0]["address"].as_str().is_some_and(|at| at.starts_with("10.77.0.2:")), "{leases:?}");
    println!("while it runs: used {}, lease {}", net.used(), leases[0]);
    assert_eq!(holder.wait(PATIENCE), Some(0));
    assert_eq!((net.used(), net.leases().len()), (0, 0), "none after");
}

#[test]
fn a_holder_killed_on_its_host_is_followed_by_one_on_another() {
    let Some(net) = Network::new(1, 3, false) else { return };
    let mut holder = Process::start(net.client(CLIENT, &["checkout", "VR_MODE", "--", "sleep", "600"]));
    until(PATIENCE, "the seat is out", || (net.used() == 1).then_some(()));
    let mut next =
        Process::start(net.client(OTHER, &["checkout", "VR_MODE", "--retry-for", "30s", "--", "sleep", "60"]));
    holder.kill();
    let address = || net.leases().first().and_then(|lease| lease["address"].as_str().map(str::to_owned));
    until(PATIENCE, "the other host holds it", || address().filter(|at| at.starts_with("10.77.0.3:")));
    assert_eq!(net.used(), 1);
    next.kill();
}

#[test]
fn a_host_that_changes_its_address_keeps_its_lease_and_one_without_a_cable_gets_it_back() {
    let Some(net) = Network::new(2, 6, false) else { return };
    let mut holder = Process::start(net.client(CLIENT, &["checkout", "VR_MODE", "--", "sleep", "120"]));
    until(PATIENCE, "the seat is out", || (net.used() == 1).then_some(()));
    let id = net.leases()[0]["id"].clone();
    net.hosts.move_to(CLIENT, Ipv4Addr::new(10, 77, 0, 99));
    let moved = until(PATIENCE, "it renews from its new address", || {
        net.leases().into_iter().find(|lease| lease["address"].as_str().is_some_and(|at| at.starts_with("10.77.0.99:")))
    });
    assert_eq!((&moved["id"], net.used()), (&id, 1), "the same lease");
    net.hosts.cable(CLIENT, false);
    until(PATIENCE, "the server gives the seat up", || (net.used() == 0).then_some(()));
    net.hosts.cable(CLIENT, true);
    until(PATIENCE, "the holder has it again", || (net.used() == 1).then_some(()));
    holder.kill();
}

/// Datagrams with any source address: IPv4 and UDP headers by hand. Needs root, which making a namespace needed too.
struct Forger(Socket);

impl Forger {
    fn new() -> Self {
        Self(Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("root may forge"))
    }

    fn send(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> bool {
        let udp_len = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0];
        bytes[2..4].copy_from_slice(&(udp_len + 20).to_be_bytes());
        bytes.extend_from_slice(&from.ip().octets());
        bytes.extend_from_slice(&to.ip().octets());
        for number in [from.port(), to.port(), udp_len, 0] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(payload);
        self.0.send_to(&bytes, &SocketAddr::V4(to).into()).is_ok()
    }
}

/// Everything that comes to a host by UDP, whatever the port: datagrams and bytes of payload.
#[derive(Default)]
struct Catch {
    datagrams: AtomicU64,
    bytes: AtomicU64,
    over: AtomicBool,
}

impl Catch {
    fn listen(&self) {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("root may listen");
        let _ = socket.set_recv_buffer_size(64 << 20);
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let mut buffer = [MaybeUninit::uninit(); 2048];
        while !self.over.load(Ordering::Relaxed) {
            let Ok(len) = socket.recv(&mut buffer) else { continue };
            // IPv4 header without options, then UDP's.
            self.datagrams.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(len.saturating_sub(28) as u64, Ordering::Relaxed);
        }
    }
}

/// Datagrams of the flood on the wire; the simulator takes a million by default, this test with `LEASEHOLD_LONG`.
fn flood() -> u64 {
    let long = std::env::var_os("LEASEHOLD_LONG").is_some_and(|v| !v.is_empty());
    if long || !cfg!(debug_assertions) { 1_000_000 } else { 100_000 }
}

#[test]
fn a_victim_whose_address_is_forged_never_gets_more_than_was_sent_in_its_name() {
    let Some(net) = Network::new(3, 60, false) else { return };
    let mut holder = Process::start(net.client(CLIENT, &["checkout", "VR_MODE", "--", "sleep", "600"]));
    until(PATIENCE, "the seat is out", || (net.used() == 1).then_some(()));
    let (caught, sent) = (Catch::default(), AtomicU64::new(0));
    let victim = Hosts::address(OTHER);
    let server = SocketAddrV4::new(Hosts::address(SERVER), PORT);
    let mut stranger = net.stranger();
    let open_mac = MacKey::hello(&net.server_key(), &SiteKey::OPEN);
    thread::scope(|scope| {
        let listening = scope.spawn(|| net.hosts.inside(OTHER, || caught.listen()));
        net.hosts.inside(CLIENT, || {
            let forger = Forger::new();
            for n in 0..flood() / 5 {
                let mut datagram = stranger.datagram(n);
                // Everybody can make a mac that is right at an open site: half of the HELLO1s get a RETRY.
                if let Ok(hello) = Hello1::mut_from_bytes(&mut datagram) {
                    hello.mac1 = open_mac.of(&zerocopy::IntoBytes::as_bytes(hello)[..136]);
                }
                let port = 1024 + u16::try_from(n % 60_000).unwrap_or(0);
                if datagram.len() <= 1400 && forger.send(SocketAddrV4::new(victim, port), server, &datagram) {
                    sent.fetch_add(datagram.len() as u64, Ordering::Relaxed);
                }
            }
        });
        settle(|| caught.datagrams.load(Ordering::Relaxed));
        caught.over.store(true, Ordering::Relaxed);
        listening.join().expect("the victim listens");
    });
    let (sent, got) = (sent.into_inner(), caught.bytes.into_inner());
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = got as f64 / sent as f64;
    println!("{sent} bytes sent in the victim's name, {got} bytes came to it: ratio {ratio:.3}");
    assert!(got > 0, "an open site answers HELLO1 and DISCOVER: nothing arrived, so nothing was measured");
    assert!(got <= sent, "ratio {ratio:.3}");
    assert_eq!(net.used(), 1, "the holder lives on");
    holder.kill();
}

/// Waits until a number stands still for half a second.
fn settle(number: impl Fn() -> u64) {
    let mut last = number();
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = number();
        if now == last {
            return;
        }
        last = now;
    }
}

#[test]
fn a_closed_site_answers_nothing_to_random_and_valid_looking_datagrams() {
    let Some(net) = Network::new(3, 60, true) else { return };
    let mut stranger = net.stranger();
    let (answers, sent) = net.hosts.inside(CLIENT, || {
        let socket = UdpSocket::bind((Hosts::address(CLIENT), 0)).expect("a socket");
        socket.set_broadcast(true).expect("broadcast");
        socket.set_nonblocking(true).expect("no waiting");
        let everybody = SocketAddr::from(([10, 77, 0, 255], PORT));
        let (mut answers, mut sent, mut buffer) = (0_u64, 0_u64, [0; 2048]);
        for n in 0..flood() {
            let datagram = stranger.datagram(n);
            let to = if n.is_multiple_of(7) { everybody } else { Network::server_address() };
            sent += u64::from(socket.send_to(&datagram, to).is_ok());
            if n.is_multiple_of(64) {
                thread::yield_now();
                while socket.recv(&mut buffer).is_ok() {
                    answers += 1;
                }
            }
        }
        socket.set_nonblocking(false).expect("waiting");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        while socket.recv(&mut buffer).is_ok() {
            answers += 1;
        }
        (answers, sent)
    });
    println!("{sent} datagrams of a stranger, {answers} answers");
    assert!(sent > flood() / 2, "only {sent} could be sent");
    assert_eq!(answers, 0);
    let seat = run(net.client(OTHER, &["checkout", "VR_MODE", "--", "true"]));
    assert!(!seat.status.success(), "without the site's key nobody gets in");
    let mut member = net.client(OTHER, &["checkout", "VR_MODE", "--", "true"]);
    member.env("LEASEHOLD_SITE_KEY", net.house.path("site.key"));
    let seat = run(member);
    assert!(seat.status.success(), "with it a seat is had: {}", String::from_utf8_lossy(&seat.stderr));
    assert!(net.server.id() > 0);
}
