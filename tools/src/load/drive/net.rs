//! The sockets of one thread, in batches both ways.
//!
//! Sending is by `sendmmsg`, one datagram as one datagram: `UDP_SEGMENT` would be cheaper for us and for a server on the
//! same machine, and real clients, each on a machine of its own, do not send like that. Receiving takes what the server
//! joined (GRO) as it comes.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    fd::OwnedFd,
    net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg},
};

use crate::exit::Failure;

/// Room for bursts, both ways: what does not fit would be lost to ourselves.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// The longest thing one buffer can be given: with GRO the kernel joins datagrams up to the largest IP packet.
const BUFFER_LEN: usize = 64 * 1024;
/// Datagrams in one system call. Measured on the server's side: 32 to 64 give all there is to gain.
const SEND_BATCH: usize = 64;
/// Receive batches taken from one socket before the others have their turn.
const TURNS: usize = 4;
/// Events taken at once; more wait for the next turn.
const EVENTS: usize = 256;

/// What comes in.
pub struct Inlet {
    sockets: Arc<[UdpSocket]>,
    states: Vec<UdpSocketState>,
    epoll: OwnedFd,
    bytes: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
}

/// Which sockets have something: used again for every look.
#[derive(Default)]
pub struct Ready {
    events: Vec<epoll::Event>,
    /// Their indices.
    pub sockets: Vec<usize>,
}

/// What goes out: queued per socket, sent together.
pub struct Outlet {
    sockets: Arc<[UdpSocket]>,
    queues: Vec<Queue>,
    /// Sockets with something in their queue.
    waiting: Vec<usize>,
    /// Datagrams the system took.
    pub sent: u64,
    /// Datagrams it did not take.
    pub failed: u64,
}

/// Datagrams one after another, and where each ends.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// `count` sockets that talk to `server`, from the addresses `sources` in turn.
///
/// # Errors
/// If the system has not that many.
pub fn open(server: SocketAddr, count: usize, sources: &[IpAddr]) -> Result<(Inlet, Outlet), Failure> {
    let made = (0..count).map(|i| socket(server, sources[i % sources.len()])).collect::<io::Result<Vec<_>>>();
    let failed = |e: &dyn std::error::Error| {
        Failure::new(format!("cannot open the {count} sockets of a thread of the load test"))
            .because_of(e)
            .remedy("allow more files (ulimit -n 65536), or use fewer --sources")
    };
    let sockets: Arc<[UdpSocket]> = made.map_err(|e| failed(&e))?.into();
    let states = sockets.iter().map(|socket| UdpSocketState::new(socket.into())).collect::<io::Result<Vec<_>>>();
    let states = states.map_err(|e| failed(&e))?;
    let epoll = watching(&sockets).map_err(|e| failed(&e))?;
    let queues = sockets.iter().map(|_| Queue::default()).collect();
    let outlet = Outlet { sockets: sockets.clone(), queues, waiting: Vec::new(), sent: 0, failed: 0 };
    let bytes = vec![0; BATCH_SIZE * BUFFER_LEN];
    Ok((Inlet { sockets, states, epoll, bytes, meta: [RecvMeta::default(); BATCH_SIZE] }, outlet))
}

/// Addresses of this machine to send from: `count` of 127.0.0.0/8, from 127.1.0.1 on; with 0, whatever the system picks.
///
/// # Errors
/// If `server` is not on IPv4 loopback: elsewhere those addresses lead nowhere.
pub fn sources(server: SocketAddr, count: u32) -> Result<Vec<IpAddr>, Failure> {
    let loopback = matches!(server.ip(), IpAddr::V4(ip) if ip.is_loopback());
    match (count, server.ip()) {
        (0, IpAddr::V4(_)) => Ok(vec![Ipv4Addr::UNSPECIFIED.into()]),
        (0, IpAddr::V6(_)) => Ok(vec![std::net::Ipv6Addr::UNSPECIFIED.into()]),
        _ if loopback => Ok((1..=count).map(|n| Ipv4Addr::from_bits(0x7f01_0000 + n).into()).collect()),
        _ => Err(Failure::usage(format!("--sources {count} does not work against {server}"))
            .because("only a server on 127.0.0.0/8 can be reached from many addresses of this machine")
            .remedy("leave --sources away, or test a server on this machine's loopback")),
    }
}

fn socket(server: SocketAddr, source: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((source, 0))?;
    // The system gives what it allows; too little shows as retries.
    let options = socket2::SockRef::from(&socket);
    let _ = options.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = options.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    Ok(socket)
}

fn watching(sockets: &[UdpSocket]) -> io::Result<OwnedFd> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (i, socket) in sockets.iter().enumerate() {
        epoll::add(&set, socket, epoll::EventData::new_u64(i as u64), epoll::EventFlags::IN)?;
    }
    Ok(set)
}

impl Inlet {
    /// Sleeps until something has come, at most for `wait`, to the microsecond; which sockets have something goes into
    /// `ready`.
    ///
    /// # Errors
    /// If the system refuses to wait.
    pub fn wait(&mut self, wait: Duration, ready: &mut Ready) -> Result<(), Failure> {
        let failed = |e| Failure::new("cannot wait for the sockets of the load test").because(e);
        ready.sockets.clear();
        if !wait.is_zero() {
            // `epoll_wait` counts in milliseconds, `ppoll` in nanoseconds, and an epoll is a file like any other.
            let timeout =
                Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(1), tv_nsec: wait.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
                Ok(_) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        ready.events.clear();
        ready.events.reserve(EVENTS);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready.events), Some(&now)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(failed(e)),
        }
        ready.sockets.extend(ready.events.iter().filter_map(|event| usize::try_from(event.data.u64()).ok()));
        Ok(())
    }

    /// Takes what this socket has, up to a few batches, datagram by datagram.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn take(&mut self, socket: usize, mut each: impl FnMut(&mut [u8])) -> Result<(), Failure> {
        for _ in 0..TURNS {
            let filled = match self.fill(socket) {
                Ok(filled) => filled,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                // An ICMP answer to something we sent: the server is not there at this moment.
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => continue,
                Err(e) => return Err(Failure::new("a socket of the load test failed").because_of(&e)),
            };
            for (buffer, meta) in self.bytes.chunks_exact_mut(BUFFER_LEN).zip(&self.meta[..filled]) {
                buffer[..meta.len.min(BUFFER_LEN)].chunks_mut(meta.stride.max(1)).for_each(&mut each);
            }
            if filled < BATCH_SIZE {
                return Ok(());
            }
        }
        Ok(())
    }

    fn fill(&mut self, socket: usize) -> io::Result<usize> {
        let mut buffers = self.bytes.chunks_exact_mut(BUFFER_LEN);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        let filled = self.states[socket].recv((&self.sockets[socket]).into(), &mut slices, &mut self.meta)?;
        Ok(filled.min(BATCH_SIZE))
    }
}

impl Outlet {
    /// Queues a datagram.
    pub fn push(&mut self, socket: usize, datagram: &[u8]) {
        let queue = &mut self.queues[socket];
        if queue.ends.is_empty() {
            self.waiting.push(socket);
        }
        queue.bytes.extend_from_slice(datagram);
        queue.ends.push(queue.bytes.len());
    }

    /// Sends everything that is queued. What the system does not take is lost on the way: it is asked for again.
    pub fn flush(&mut self) {
        for socket in self.waiting.drain(..) {
            let queue = &mut self.queues[socket];
            let sent = queue.send(&self.sockets[socket]);
            self.sent += sent as u64;
            self.failed += (queue.ends.len() - sent) as u64;
            queue.bytes.clear();
            queue.ends.clear();
        }
    }
}

impl Queue {
    /// How many went out.
    fn send(&self, socket: &UdpSocket) -> usize {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let slices: Vec<[IoSlice<'_>; 1]> =
            starts.zip(&self.ends).map(|(start, end)| [IoSlice::new(&self.bytes[start..*end])]).collect();
        let mut sent = 0;
        for batch in slices.chunks(SEND_BATCH) {
            let mut control: Vec<_> = batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let headers = batch.iter().zip(&mut control).map(|(slice, control)| MMsgHdr::new(slice, control));
            let mut headers: Vec<_> = headers.collect();
            let mut rest = &mut headers[..];
            // An error is that of the first message, and of an ICMP answer to an earlier one: that one is tried once more.
            let mut tries = 2;
            while !rest.is_empty() && tries > 0 {
                match sendmmsg(socket, rest, SendFlags::empty()) {
                    Ok(n) => {
                        sent += n;
                        rest = &mut rest[n..];
                    }
                    Err(_) => tries -= 1,
                }
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_on_loopback_and_only_for_a_server_there() {
        let addresses = sources(([127, 0, 0, 1], 5097).into(), 300).unwrap();
        assert_eq!((addresses.len(), addresses[0]), (300, IpAddr::from([127, 1, 0, 1])));
        assert_eq!(addresses[299], IpAddr::from([127, 1, 1, 44]));
        let failure = sources(([192, 0, 2, 1], 5097).into(), 2).unwrap_err();
        assert!(failure.what().contains("--sources 2"), "{failure:?}");
        assert_eq!(sources(([192, 0, 2, 1], 5097).into(), 0).unwrap(), [IpAddr::from([0, 0, 0, 0])]);
    }

    #[test]
    fn what_is_queued_goes_out_in_order_from_the_source_it_was_queued_for_and_answers_come_in() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let (mut inlet, mut outlet) = open(to, 2, &sources(to, 2).unwrap()).unwrap();
        for n in 0..100u8 {
            outlet.push(usize::from(n % 2), &[n; 40]);
        }
        outlet.flush();
        assert_eq!((outlet.sent, outlet.failed), (100, 0));
        let (mut buffer, mut last) = ([0; 64], [None; 2]);
        for _ in 0..100 {
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            let n = buffer[0];
            assert_eq!((len, from.ip()), (40, IpAddr::from([127, 1, 0, 1 + n % 2])));
            assert!(last[usize::from(n % 2)].replace(n) < Some(n), "in order");
            server.send_to(&buffer[..len], from).unwrap();
        }
        let (mut seen, mut ready) = (0, Ready::default());
        while seen < 100 {
            inlet.wait(Duration::from_secs(5), &mut ready).unwrap();
            assert!(!ready.sockets.is_empty(), "{seen} of 100 came");
            for socket in &ready.sockets {
                inlet.take(*socket, |datagram| seen += usize::from(datagram.len() == 40)).unwrap();
            }
        }
        inlet.wait(Duration::from_micros(200), &mut ready).unwrap();
        assert!(ready.sockets.is_empty());
    }
}
