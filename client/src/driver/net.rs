//! Sockets: one per address family, never blocking, thrown away and opened again when the system wants that.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use getifaddrs::{Address, InterfaceFlags};
use leasehold_protocol::DISCOVERY_GROUP;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::holder::Destination;

/// The sending side of a client's sockets.
#[derive(Debug)]
pub(crate) struct Net {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    /// The port DISCOVER is broadcast to.
    port: u16,
    /// Asked along with a broadcast: the server used last.
    hint: Option<SocketAddr>,
    /// A send failed in a way that a new socket may mend.
    worn: bool,
}

/// Broadcast addresses asked at most: a machine with more interfaces has most of them for containers.
const BROADCASTS_MAX: usize = 64;

impl Net {
    /// Opens what the system has: IPv4, IPv6 or both.
    ///
    /// # Errors
    /// If it has neither.
    pub(crate) fn open(port: u16, hint: Option<SocketAddr>) -> io::Result<Self> {
        let v4 = open(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into());
        let v6 = open(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, 0).into());
        match (v4, v6) {
            (Err(e), Err(_)) => Err(e),
            (v4, v6) => Ok(Self { v4: v4.ok(), v6: v6.ok(), port, hint, worn: false }),
        }
    }

    /// The same sockets once more, for whoever receives.
    pub(crate) fn receivers(&self) -> Vec<UdpSocket> {
        [&self.v4, &self.v6].into_iter().flatten().filter_map(|socket| socket.try_clone().ok()).collect()
    }

    /// Sends one datagram. One that cannot go out is lost as any other may be; what is owed is sent again.
    pub(crate) fn send(&mut self, to: Destination, datagram: &[u8]) {
        match to {
            Destination::To(address) => self.send_to(address, datagram),
            Destination::Broadcast => self.send_to_all(datagram),
        }
    }

    /// Opens the sockets afresh.
    ///
    /// # Errors
    /// If the system has neither IPv4 nor IPv6 to give; the old ones stay.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(self.port, self.hint)?;
        Ok(())
    }

    /// Notes that the sockets should be opened afresh.
    pub(crate) fn wear_out(&mut self) {
        self.worn = true;
    }

    /// Whether the sockets should be opened afresh; says so once.
    pub(crate) fn take_worn(&mut self) -> bool {
        std::mem::take(&mut self.worn)
    }

    fn send_to(&mut self, to: SocketAddr, datagram: &[u8]) {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        let Some(socket) = socket else { return };
        if let Err(e) = socket.send_to(datagram, to) {
            // A full buffer, no route, a firewall's or a peer's refusal pass by themselves. A socket whose address is
            // gone does not.
            use io::ErrorKind::{AddrNotAvailable, BrokenPipe, InvalidInput, NotConnected};
            self.worn |= matches!(e.kind(), AddrNotAvailable | BrokenPipe | InvalidInput | NotConnected);
        }
    }

    /// This machine, every broadcast address, the multicast group over every interface.
    fn send_to_all(&mut self, datagram: &[u8]) {
        let (broadcasts, interfaces) = reach();
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let wide = broadcasts.into_iter().map(IpAddr::from);
        for ip in here.into_iter().chain(wide) {
            self.send_to(SocketAddr::new(ip, self.port), datagram);
        }
        if let Some(hint) = self.hint {
            self.send_to(hint, datagram);
        }
        for interface in interfaces {
            let chosen = self.v4.as_ref().map(|socket| SockRef::from(socket).set_multicast_if_v4(&interface));
            if matches!(chosen, Some(Ok(()))) {
                self.send_to(SocketAddr::new(DISCOVERY_GROUP.into(), self.port), datagram);
            }
        }
    }
}

/// What a broadcast goes to, in words.
pub(crate) fn reach_in_words(port: u16) -> String {
    let (broadcasts, _) = reach();
    let list: Vec<String> = broadcasts.iter().map(ToString::to_string).collect();
    format!("broadcast to {} and multicast to {DISCOVERY_GROUP}, port {port}", list.join(" "))
}

/// The broadcast addresses of all interfaces that are up, and the interfaces' own for multicast.
fn reach() -> (Vec<Ipv4Addr>, Vec<Ipv4Addr>) {
    // A server on 127.0.0.1 listens here too.
    let (mut broadcasts, mut own) = (vec![Ipv4Addr::new(127, 255, 255, 255)], Vec::new());
    for interface in getifaddrs::getifaddrs().into_iter().flatten() {
        let Address::V4(address) = interface.address else { continue };
        if !interface.flags.contains(InterfaceFlags::UP) || own.len() >= BROADCASTS_MAX {
            continue;
        }
        if interface.flags.contains(InterfaceFlags::MULTICAST) {
            own.push(address.address);
        }
        let mask = address.netmask.map(u32::from).filter(|mask| mask.count_ones() < 31);
        if let Some(mask) = mask.filter(|_| interface.flags.contains(InterfaceFlags::BROADCAST)) {
            let all = Ipv4Addr::from(u32::from(address.address) | !mask);
            if !broadcasts.contains(&all) {
                broadcasts.push(all);
            }
        }
    }
    (broadcasts, own)
}

fn open(domain: Domain, at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if domain == Domain::IPV4 {
        socket.set_broadcast(true)?;
    } else {
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_reaches_a_socket_on_the_loopback_broadcast_address() {
        let server = open(Domain::IPV4, (Ipv4Addr::new(127, 255, 255, 255), 0).into()).unwrap();
        server.set_nonblocking(false).unwrap();
        server.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut net = Net::open(server.local_addr().unwrap().port(), None).unwrap();
        net.send(Destination::Broadcast, b"is anybody there");
        let mut bytes = [0; 64];
        let (len, _) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"is anybody there");
    }

    #[test]
    fn a_datagram_that_nobody_takes_is_no_error() {
        let mut net = Net::open(9, None).unwrap();
        for to in ["127.0.0.1:9", "[::1]:9", "255.255.255.255:9", "203.0.113.1:9"] {
            net.send(Destination::To(to.parse().unwrap()), b"x");
            net.send(Destination::To(to.parse().unwrap()), b"x");
        }
    }
}
