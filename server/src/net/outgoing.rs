//! Answers on their way out: collected while a batch is handled, and sent with as few system calls as it takes.
//!
//! Sending is the dearest thing a server does: half of what a request costs goes into the kernel's way out. So answers
//! that stand behind one another for the same peer leave as one segmented datagram (`UDP_SEGMENT`), and all others from
//! the same socket by one `sendmmsg`.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

use leasehold_core::{Engine, Transmit};
use nix::{
    cmsg_space,
    libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo},
    sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg},
};
use tokio::{io::Interest, time::timeout};

use super::{
    Interfaces, NetCounters,
    ports::{Port, Ports},
};
use crate::journal::Journal;

/// Answers that are collected before they are sent: two full batches of questions.
const OUTGOING_MAX: usize = 64;

/// How long a full socket is waited for before the datagram is given up: its client asks again in half a second.
const SEND_WAIT: Duration = Duration::from_millis(20);

/// The most bytes one segmented datagram may have: what an IP packet holds, less its headers.
const JOINED_MAX: usize = 65_000;

/// One answer.
struct Letter {
    bytes: Vec<u8>,
    /// The socket it leaves from.
    port: usize,
    /// The address it must leave from, where the socket has several.
    from: Option<IpAddr>,
    to: SocketAddr,
}

/// The answers of one batch, in buffers that are used again.
pub(super) struct Outgoing {
    letters: Vec<Letter>,
    filled: usize,
    journal: Arc<Journal>,
    /// Whether an answer says what is noted and not yet handed to the system.
    is_noted: bool,
    addresses: Vec<Option<SockaddrStorage>>,
    joined: Vec<u8>,
    headers: Headers,
}

/// What `sendmmsg` writes its arguments into, by what they carry besides.
struct Headers {
    plain: MultiHeaders<SockaddrStorage>,
    from_v4: MultiHeaders<SockaddrStorage>,
    from_v6: MultiHeaders<SockaddrStorage>,
}

/// What can leave together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// So many datagrams for one peer, each of this many bytes but the last, which may have fewer.
    Joined { count: usize, segment: usize },
    /// So many datagrams from one socket and address.
    Apart { count: usize },
}

impl Outgoing {
    pub fn new(journal: Arc<Journal>) -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        let letter = |_| Letter { bytes: Vec::new(), port: 0, from: None, to: nowhere };
        Self {
            letters: (0..OUTGOING_MAX).map(letter).collect(),
            filled: 0,
            journal,
            is_noted: false,
            addresses: Vec::with_capacity(OUTGOING_MAX),
            joined: Vec::new(),
            headers: Headers {
                plain: MultiHeaders::preallocate(OUTGOING_MAX, None),
                from_v4: MultiHeaders::preallocate(OUTGOING_MAX, Some(cmsg_space!(in_pktinfo))),
                from_v6: MultiHeaders::preallocate(OUTGOING_MAX, Some(cmsg_space!(in6_pktinfo))),
            },
        }
    }

    /// Takes everything `engine` has to say, and sends it whenever there is no room for more.
    pub async fn collect(
        &mut self,
        engine: &mut Engine,
        ports: &Ports,
        interfaces: &Interfaces,
        counters: &NetCounters,
    ) {
        while let Some(transmit) = engine.poll_transmit(&mut self.letters[self.filled].bytes) {
            self.add(&transmit, ports, interfaces, counters);
            if self.filled == OUTGOING_MAX {
                self.flush(ports, counters).await;
            }
        }
    }

    /// Something was noted that an answer says: it is handed to the system before any answer leaves.
    pub const fn note(&mut self) {
        self.is_noted = true;
    }

    /// Adds an answer that has waited, and sends what there is if there is no room for more.
    pub async fn post(
        &mut self,
        (transmit, bytes): (Transmit, Vec<u8>),
        ports: &Ports,
        interfaces: &Interfaces,
        counters: &NetCounters,
    ) {
        self.letters[self.filled].bytes = bytes;
        self.add(&transmit, ports, interfaces, counters);
        if self.filled == OUTGOING_MAX {
            self.flush(ports, counters).await;
        }
    }

    /// Addresses what was written into the next letter.
    fn add(&mut self, transmit: &Transmit, ports: &Ports, interfaces: &Interfaces, counters: &NetCounters) {
        let Some((port, from)) = ports.for_path(transmit, interfaces) else {
            return NetCounters::add(&counters.send_unreachable);
        };
        let letter = &mut self.letters[self.filled];
        (letter.port, letter.from, letter.to) = (port, from, transmit.to);
        self.filled += 1;
    }

    /// Sends everything that was added. What cannot be sent is counted and dropped: its client asks again.
    pub async fn flush(&mut self, ports: &Ports, counters: &NetCounters) {
        if std::mem::take(&mut self.is_noted) {
            self.journal.flush();
        }
        let mut at = 0;
        while at < self.filled {
            let port = &ports[self.letters[at].port];
            let run = self.run(at, port.state.max_gso_segments());
            let sent = port.io.try_io(Interest::WRITABLE, || match run {
                Run::Joined { count, segment } => self.send_joined(port, at, count, segment),
                Run::Apart { count } => self.send_apart(port, at, count),
            });
            at += match sent {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let waited = timeout(SEND_WAIT, port.io.writable()).await;
                    if waited.is_err() {
                        NetCounters::add(&counters.send_dropped);
                    }
                    usize::from(waited.is_err())
                }
                // The kernel or the interface does not segment, which `max_gso_segments` tells from now on: once more.
                Err(_) if matches!(run, Run::Joined { .. }) && port.state.max_gso_segments() < 2 => 0,
                Err(e) => {
                    // Of several apart, it was the first that failed.
                    counters.send_failed(&e);
                    run.lost()
                }
            };
        }
        self.filled = 0;
    }

    /// What can leave together from number `at` on, where one datagram may have up to `segments_max` segments.
    fn run(&self, at: usize, segments_max: usize) -> Run {
        let rest = &self.letters[at..self.filled];
        let count = for_one_peer(rest, segments_max);
        if count > 1 {
            return Run::Joined { count, segment: rest[0].bytes.len() };
        }
        let begins_run = |i: &usize| for_one_peer(&rest[*i..], segments_max) > 1;
        let same_way = |i: &usize| rest[*i].way() == rest[0].way();
        Run::Apart { count: 1 + (1..rest.len()).take_while(same_way).take_while(|i| !begins_run(i)).count() }
    }

    fn send_joined(&mut self, port: &Port, at: usize, count: usize, segment: usize) -> io::Result<usize> {
        self.joined.clear();
        for letter in &self.letters[at..at + count] {
            self.joined.extend_from_slice(&letter.bytes);
        }
        let first = &self.letters[at];
        port.state.try_send(
            (&port.io).into(),
            &quinn_udp::Transmit {
                destination: first.to,
                ecn: None,
                contents: &self.joined,
                segment_size: Some(segment),
                src_ip: first.from,
            },
        )?;
        Ok(count)
    }

    fn send_apart(&mut self, port: &Port, at: usize, count: usize) -> io::Result<usize> {
        let letters = &self.letters[at..at + count];
        self.addresses.clear();
        self.addresses.extend(letters.iter().map(|letter| Some(SockaddrStorage::from(letter.to))));
        let slices: [[IoSlice<'_>; 1]; OUTGOING_MAX] =
            std::array::from_fn(|i| [IoSlice::new(letters.get(i).map_or(&[], |letter| &letter.bytes))]);
        let (fd, slices, addresses) = (port.io.as_raw_fd(), &slices[..count], &self.addresses);
        let flags = MsgFlags::empty();
        let sent = match letters[0].from {
            None => sendmmsg(fd, &mut self.headers.plain, slices, addresses, [], flags)?.count(),
            Some(IpAddr::V4(from)) => {
                let from = pktinfo_v4(from);
                let from = [ControlMessage::Ipv4PacketInfo(&from)];
                sendmmsg(fd, &mut self.headers.from_v4, slices, addresses, from, flags)?.count()
            }
            Some(IpAddr::V6(from)) => {
                let from = in6_pktinfo { ipi6_ifindex: 0, ipi6_addr: in6_addr { s6_addr: from.octets() } };
                let from = [ControlMessage::Ipv6PacketInfo(&from)];
                sendmmsg(fd, &mut self.headers.from_v6, slices, addresses, from, flags)?.count()
            }
        };
        Ok(sent)
    }
}

impl Letter {
    /// Which socket it leaves from, and which address.
    const fn way(&self) -> (usize, Option<IpAddr>) {
        (self.port, self.from)
    }

    /// Whether `next` can be a segment behind it: all segments are of one length, but the last may be shorter.
    fn may_precede(&self, next: &Self, segment: usize) -> bool {
        let fits = self.bytes.len() == segment && next.bytes.len() <= segment;
        fits && self.to == next.to && self.way() == next.way()
    }
}

/// How many of `letters`, from the first on, can be segments of one datagram.
fn for_one_peer(letters: &[Letter], segments_max: usize) -> usize {
    let segment = letters[0].bytes.len();
    let fit = (JOINED_MAX / segment.max(1)).min(segments_max).max(1);
    1 + letters.windows(2).take(fit - 1).take_while(|pair| pair[0].may_precede(&pair[1], segment)).count()
}

fn pktinfo_v4(from: Ipv4Addr) -> in_pktinfo {
    // Only the source is named; the kernel chooses the interface by its routes.
    let address = |ip: Ipv4Addr| in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address(from), ipi_addr: address(Ipv4Addr::UNSPECIFIED) }
}

impl Run {
    /// How many datagrams an error took with it.
    const fn lost(self) -> usize {
        match self {
            Self::Joined { count, .. } => count,
            Self::Apart { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn outgoing(letters: &[(SocketAddr, usize)]) -> Outgoing {
        let journal = crate::journal::tests::running(&crate::storage::faulty::FaultyDisk::default());
        let mut outgoing = Outgoing::new(Arc::new(journal));
        for (to, len) in letters {
            let letter = &mut outgoing.letters[outgoing.filled];
            (letter.to, letter.from) = (*to, None);
            // Told apart by their first byte.
            letter.bytes = vec![u8::try_from(outgoing.filled).unwrap(); *len];
            outgoing.filled += 1;
        }
        outgoing
    }

    fn peer(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn runs(letters: &[(u16, usize)], segments_max: usize) -> Vec<Run> {
        let letters: Vec<_> = letters.iter().map(|(port, len)| (peer(*port), *len)).collect();
        let (outgoing, mut at, mut runs) = (outgoing(&letters), 0, Vec::new());
        while at < outgoing.filled {
            let run = outgoing.run(at, segments_max);
            at += match run {
                Run::Joined { count, .. } | Run::Apart { count } => count,
            };
            runs.push(run);
        }
        runs
    }

    #[test]
    fn what_goes_to_one_peer_is_joined_and_the_rest_goes_apart() {
        use Run::{Apart, Joined};
        assert_eq!(runs(&[(1, 96), (2, 96), (3, 80)], 64), [Apart { count: 3 }]);
        assert_eq!(
            runs(&[(1, 96), (1, 96), (1, 80), (1, 80)], 64),
            [Joined { count: 3, segment: 96 }, Apart { count: 1 }]
        );
        assert_eq!(
            runs(&[(1, 96), (2, 96), (2, 96), (3, 96)], 64),
            [Apart { count: 1 }, Joined { count: 2, segment: 96 }, Apart { count: 1 }]
        );
        assert_eq!(runs(&[(1, 80), (1, 96)], 64), [Apart { count: 2 }], "a longer one cannot follow");
        assert_eq!(
            runs(&[(1, 96); 5], 2),
            [Joined { count: 2, segment: 96 }, Joined { count: 2, segment: 96 }, Apart { count: 1 }]
        );
        assert_eq!(runs(&[(1, 96); 3], 1), [Apart { count: 3 }], "where nothing can be segmented");
    }

    /// What arrives at `sockets`, each datagram's first byte and length.
    fn arrived(sockets: &[UdpSocket]) -> Vec<Vec<(u8, usize)>> {
        let all = |socket: &UdpSocket| {
            socket.set_nonblocking(true).unwrap();
            let mut buffer = [0; 2048];
            std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|len| (buffer[0], len))).collect()
        };
        sockets.iter().map(all).collect()
    }

    #[tokio::test]
    async fn every_answer_reaches_its_peer_whole_joined_or_apart() {
        let peers: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let to = |i: usize| peers[i].local_addr().unwrap();
        let ports = Ports::new([vec![UdpSocket::bind("127.0.0.1:0").unwrap()], Vec::new()], Vec::new(), true).unwrap();
        let counters = NetCounters::default();
        let mut outgoing = outgoing(&[(to(0), 96), (to(1), 96), (to(1), 96), (to(1), 80), (to(2), 64), (to(0), 1200)]);
        outgoing.flush(&ports, &counters).await;
        assert_eq!(outgoing.filled, 0);
        assert_eq!(arrived(&peers), [vec![(0, 96), (5, 1200)], vec![(1, 96), (2, 96), (3, 80)], vec![(4, 64)]]);
    }

    #[tokio::test]
    async fn an_answer_leaves_from_the_address_it_must_and_one_that_cannot_takes_no_other_with_it() {
        let peers: Vec<_> = (0..2).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let ports = Ports::new([vec![UdpSocket::bind("0.0.0.0:0").unwrap()], Vec::new()], Vec::new(), true).unwrap();
        let counters = NetCounters::default();
        let mut outgoing = outgoing(&[
            (peers[0].local_addr().unwrap(), 64),
            // Port 0 is nobody's: the kernel refuses it.
            (peer(0), 64),
            (peers[1].local_addr().unwrap(), 64),
        ]);
        outgoing.letters[0].from = Some([127, 7, 7, 7].into());
        outgoing.letters[1].from = Some([127, 7, 7, 8].into());
        outgoing.letters[2].from = Some([127, 7, 7, 8].into());
        outgoing.flush(&ports, &counters).await;
        for (socket, ip) in peers.iter().zip([[127, 7, 7, 7], [127, 7, 7, 8]]) {
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let (_, from) = socket.recv_from(&mut [0; 128]).unwrap();
            assert_eq!(from.ip(), IpAddr::from(ip));
        }
        let failed: u64 = counters.snapshot().iter().filter(|(name, ..)| name.starts_with("send_")).map(|c| c.2).sum();
        assert_eq!(failed, 1);
    }
}
