//! Clients that renew while somebody else sends whatever may cost the server something.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use leasehold_benches::{
    blast::{Blaster, Load, Outcome, Pace, Socket},
    numbers::Rounds,
    report::Report,
    served::Cores,
};
use leasehold_cli::load::lean::{Opening, Peer};
use leasehold_protocol::{
    Entropy,
    crypto::Keypair,
    packet::{DATA_HEADER_LEN, PacketType, Prefix},
};
use leasehold_server::clock::{SystemEntropy, clock_now};
use zerocopy::IntoBytes;

use crate::{
    Effort,
    ours::{Ours, Renewals},
};

/// A thousand clients, each of which renews once a second.
const SOCKETS: usize = 50;
const CLIENTS_EACH: usize = 20;
const RATE: f64 = (SOCKETS * CLIENTS_EACH) as f64;
/// A lease is lost after ten renewals that came to nothing.
pub const TTL: Duration = Duration::from_secs(10);
/// As many as a server takes by default.
pub const HANDSHAKES: u32 = 1000;
/// Addresses that strangers send from.
const STRANGERS: u8 = 64;
/// Handshakes that strangers have up their sleeves, and overheard datagrams.
const STOCK: usize = 64;
/// The kindest a thread can be to others.
const NICEST: i32 = 19;

/// Strangers at work.
#[derive(Default)]
struct Flood {
    sent: AtomicU64,
    over: AtomicBool,
}

/// Measures renewals with nobody about, among strangers, and afterwards.
pub fn measure(effort: &Effort, cores: Cores, report: &mut Report) -> io::Result<()> {
    let Ours { served, address, peer, .. } = Ours::start(cores, TTL, HANDSHAKES)?;
    let sockets = Socket::datagrams(address, SOCKETS)?;
    let mut clients = Renewals::open(&peer, &sockets, CLIENTS_EACH, 1)?;
    let junk = junk(&peer, &mut clients)?;
    let mut load = Blaster::new(clients, sockets.into_iter().map(Socket::from).collect(), CLIENTS_EACH);
    let mut renew = |length| load.run(Pace::Sleepy(RATE), length, &|| served.cpu());
    let (calm, memory) = (renew(effort.flood / 2)?, served.resident());
    let flood = Flood::default();
    let flooded = thread::scope(|scope| {
        let strangers = scope.spawn(|| flood.send(address, &junk));
        let flooded = renew(effort.flood);
        flood.over.store(true, Ordering::Relaxed);
        strangers.join().expect("strangers do not panic")?;
        flooded
    })?;
    let grown = served.resident().saturating_sub(memory);
    let after = renew(effort.flood / 2)?;
    let phases = [("nobody else", &calm), ("strangers at work", &flooded), ("afterwards", &after)];
    for (name, outcome) in phases {
        note(report, "flood", name, outcome);
    }
    let title = format!("{RATE} clients that renew once a second, and strangers");
    report.table(&title, "| meanwhile | renewals p50, µs | p99, µs | unanswered | server busy |", phases.map(row));
    report.say(&format!(
        "Strangers sent {:.0} datagrams a second: noise, sessions that are not, datagrams of true sessions changed by \
         a bit, handshakes with and without a right mac, from {STRANGERS} addresses. Leases lost: {} of {RATE}. Memory \
         of the server: {:.1} MB more.",
        flood.sent.load(Ordering::Relaxed) as f64 / flooded.took.as_secs_f64(),
        load.dialect.lost(),
        grown as f64 / 1e6,
    ));
    Ok(())
}

/// Notes one phase for programs.
pub fn note(report: &mut Report, section: &str, name: &str, outcome: &Outcome) {
    let figures = [
        ("p50 µs", outcome.micros(0.5)),
        ("p99 µs", outcome.micros(0.99)),
        ("answered a second", outcome.per_second()),
        ("lost", outcome.share_lost()),
    ];
    for (unit, figure) in figures {
        report.note(section, name, unit, &Rounds::from_iter([figure]));
    }
}

fn row((name, outcome): (&str, &Outcome)) -> String {
    let (p50, p99) = (outcome.micros(0.5), outcome.micros(0.99));
    let (lost, busy) = (100.0 * outcome.share_lost(), 100.0 * outcome.busy());
    format!("| {name} | {p50:.0} | {p99:.0} | {lost:.2} % | {busy:.0} % |")
}

impl Flood {
    /// Sends `junk` round and round until it is over, from many addresses.
    fn send(&self, server: SocketAddr, junk: &[Vec<u8>]) -> io::Result<()> {
        // The clients' thread shares this processor, and is what is measured.
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICEST)?;
        let from = |n| {
            UdpSocket::bind((Ipv4Addr::new(127, 7, n, 1), 0)).and_then(|socket| socket.connect(server).map(|()| socket))
        };
        let sockets = (0..STRANGERS).map(from).collect::<io::Result<Vec<_>>>()?;
        for (socket, datagram) in sockets.iter().cycle().zip(junk.iter().cycle()) {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            // What the kernel has no room for is not sent.
            if socket.send(datagram).is_ok() {
                self.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// One of each kind after the other.
fn junk(peer: &Peer, clients: &mut Renewals) -> io::Result<Vec<Vec<u8>>> {
    let mut chance = SystemEntropy;
    let mut all = Vec::new();
    for n in 0..STOCK {
        let mut noise = vec![0; 96];
        chance.fill(&mut noise);
        let mut nobodys = noise.clone();
        nobodys[..4].copy_from_slice(Prefix::of(PacketType::DataToServer).as_bytes());
        let mut changed = clients.overheard(n);
        changed[DATA_HEADER_LEN] ^= 1;
        let keys = Keypair::generate(&mut chance);
        let hello = Opening::new(peer, &keys, [0; 8], clock_now().wall, &mut chance).map_err(io::Error::other)?;
        let hello = hello.hello().to_vec();
        let mut unmarked = hello.clone();
        unmarked[DATA_HEADER_LEN] ^= 1;
        all.extend([noise, nobodys, changed, unmarked, hello]);
    }
    Ok(all)
}
