//! One holder driven by hand: the SDK's sans-IO half over one socket of ours, a step at a time and timed to the
//! microsecond. What `demo` shows and `load` measures with; applications use [`leasehold::Client`].

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use leasehold::holder::{Destination, Holder, HolderConfig, HolderEvent, Identity};
use leasehold_protocol::{
    Entropy,
    crypto::Keypair,
    message,
    packet::DATAGRAM_MAX,
    time::Now,
    vocab::{DeviceId, Label},
};
use leasehold_server::{clock::SystemEntropy, clock_now};

use crate::exit::Failure;

/// The SDK version that HELLO1 carries: ours.
pub const SDK_VERSION: u32 = 1 << 12;

/// A holder with its socket.
pub struct Hand {
    holder: Holder,
    socket: UdpSocket,
    /// Where a datagram to everybody goes.
    broadcast: Vec<SocketAddr>,
    events: VecDeque<HolderEvent>,
    /// What the next step is timed from.
    began: Instant,
}

impl Hand {
    /// A holder that sends from `from`, and to `broadcast` when it means everybody.
    ///
    /// # Errors
    /// If the system has no socket for it.
    pub fn new(config: HolderConfig, from: IpAddr, broadcast: Vec<SocketAddr>) -> Result<Self, Failure> {
        let no_socket = |e| Failure::new(format!("cannot open a UDP socket on {from}")).because_of(&e);
        let socket = UdpSocket::bind((from, 0)).map_err(no_socket)?;
        socket.set_broadcast(true).map_err(no_socket)?;
        let holder = Holder::new(config, identity("leasehold"), Box::new(SystemEntropy));
        Ok(Self { holder, socket, broadcast, events: VecDeque::new(), began: Instant::now() })
    }

    /// Does something to the holder, at this moment: a step begins.
    pub fn act<T>(&mut self, action: impl FnOnce(&mut Holder, Now) -> T) -> T {
        self.began = Instant::now();
        let done = action(&mut self.holder, clock_now());
        self.send();
        done
    }

    /// Lets the holder work until `pick` takes one of its events, at most for `limit`. Events that `pick` does not take
    /// are dropped. The time told is that from the beginning of the step; the next step begins here.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn wait<T>(
        &mut self,
        limit: Duration,
        mut pick: impl FnMut(HolderEvent) -> Option<T>,
    ) -> Result<Option<(T, Duration)>, Failure> {
        let waiting = Instant::now();
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(picked) = pick(event) {
                    let took = self.began.elapsed();
                    self.began = Instant::now();
                    return Ok(Some((picked, took)));
                }
            }
            let left = limit.saturating_sub(waiting.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            self.turn(left)?;
        }
    }

    /// Waits for one datagram or the holder's own deadline, at most for `left`.
    fn turn(&mut self, left: Duration) -> Result<(), Failure> {
        let now = clock_now();
        let due = self.holder.poll_timeout().map(|due| due.since(now.mono));
        let wait = due.map_or(left, |due| due.min(left)).max(Duration::from_micros(500));
        let broken = |e| Failure::new("the UDP socket failed").because_of(&e);
        self.socket.set_read_timeout(Some(wait)).map_err(broken)?;
        let mut buffer = [0; DATAGRAM_MAX + 1];
        match self.socket.recv_from(&mut buffer) {
            Ok((len, from)) => self.holder.handle_datagram(clock_now(), from, &mut buffer[..len]),
            // A refused connection is an ICMP answer to an earlier datagram: nobody is there yet, which time will tell.
            Err(e)
                if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(broken(e)),
        }
        self.holder.handle_timeout(clock_now());
        self.send();
        Ok(())
    }

    fn send(&mut self) {
        let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
        while let Some(to) = self.holder.poll_transmit(&mut datagram) {
            let all = match to {
                Destination::To(address) => vec![address],
                Destination::Broadcast => self.broadcast.clone(),
            };
            for address in all {
                // One that does not get out is one that was lost on the way: the holder asks again.
                let _ = self.socket.send_to(&datagram, address);
            }
        }
        while let Some(event) = self.holder.poll_event() {
            self.events.push_back(event);
        }
    }
}

/// A fresh device with a key of its own, in this machine's words.
#[must_use]
pub fn identity(process: &str) -> Identity {
    let mut entropy = SystemEntropy;
    let (mut instance, mut device) = ([0; 8], [0; 16]);
    entropy.fill(&mut instance);
    entropy.fill(&mut device);
    let who = leasehold::this_process();
    let who = message::Holder { process: Label::lossy(process), device: DeviceId(device), ..who };
    Identity { keys: Keypair::generate(&mut entropy), instance, who }
}
