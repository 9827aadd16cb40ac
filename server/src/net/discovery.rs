//! Hearing broadcast and multicast.
//!
//! A socket bound to every address hears broadcasts by itself and has only to join the group. One bound to a specific
//! address hears neither, so it is given companions: a socket on its network's broadcast address and one on the group.
//! Answers leave from the socket that is bound to the address itself.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use leasehold_protocol::DISCOVERY_GROUP;
use socket2::{InterfaceIndexOrAddress, SockRef};

use super::{
    interfaces::{Interface, Interfaces},
    sockets::hearing,
};

/// A companion socket: what it hears is for everybody.
#[derive(Debug)]
pub(super) struct Companion {
    pub socket: UdpSocket,
    /// The address answers leave from; `None` takes the one that faces the asker.
    pub answers_from: Option<IpAddr>,
}

/// The companions of sockets bound to `addresses`. One that cannot be had is logged: discovery is a convenience, and
/// clients that know the address still get their seats.
pub(super) fn companions(addresses: &[SocketAddr], interfaces: &Interfaces) -> Vec<Companion> {
    let specific: Vec<_> = addresses.iter().filter(|a| a.is_ipv4() && !a.ip().is_unspecified()).collect();
    let mut wanted = BTreeSet::new();
    for address in &specific {
        let net = interfaces.of_address(address.ip());
        let broadcast = net.and_then(Interface::broadcast);
        wanted.extend(broadcast.map(|ip| (SocketAddr::new(ip.into(), address.port()), Some(address.ip()))));
        let group = net.filter(|net| net.multicast);
        wanted.extend(group.map(|_| (SocketAddr::new(DISCOVERY_GROUP.into(), address.port()), None)));
    }
    let heard = wanted.into_iter().filter_map(|(place, answers_from)| match hearing(place) {
        Ok(socket) => Some(Companion { socket, answers_from }),
        Err(e) => {
            tracing::warn!("discovery by {place} is not heard: {e}");
            None
        }
    });
    heard.collect()
}

/// Which interfaces the group is joined on.
#[derive(Debug, Default)]
pub(super) struct Membership {
    joined: BTreeSet<u32>,
}

impl Membership {
    /// Joins the group on every multicast-capable IPv4 interface that is not joined yet, and forgets those that went:
    /// the system left the group for them.
    ///
    /// `only` names the interfaces that count, where the server listens on specific addresses.
    pub fn refresh(&mut self, socket: SockRef<'_>, interfaces: &Interfaces, only: Option<&[IpAddr]>) {
        let counts = |net: &&Interface| {
            net.multicast && net.address.is_ipv4() && only.is_none_or(|only| only.contains(&net.address))
        };
        let there: BTreeSet<u32> = interfaces.0.iter().filter(counts).map(|net| net.index).collect();
        self.joined.retain(|index| there.contains(index));
        for index in there {
            if !self.joined.contains(&index) && join(&socket, index).is_ok() {
                self.joined.insert(index);
            }
        }
    }
}

fn join(socket: &SockRef<'_>, index: u32) -> io::Result<()> {
    match socket.join_multicast_v4_n(&DISCOVERY_GROUP, &InterfaceIndexOrAddress::Index(index)) {
        // An interface that went and came back with its old number may still be joined.
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Ok(()),
        Err(e) => {
            tracing::debug!("the discovery group cannot be joined on interface {index}: {e}");
            Err(e)
        }
        Ok(()) => Ok(()),
    }
}
