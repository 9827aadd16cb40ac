//! Where a datagram came from and where one goes.

use std::net::{IpAddr, SocketAddr};

/// How a datagram reached us, as the socket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its source address. Anybody can write any address there.
    pub from: SocketAddr,
    /// Which of our addresses it was sent to, if the socket knows: the answer leaves from there.
    pub local: Option<IpAddr>,
    /// Whether the source lies in a network of the interface it came in on. Asked for broadcast DISCOVERs alone.
    pub on_link: bool,
    /// Whether it was sent to a broadcast address or a multicast group.
    pub broadcast: bool,
}

impl Path {
    /// A datagram sent to us alone, from `from` on a network of ours.
    #[must_use]
    pub const fn unicast(from: SocketAddr) -> Self {
        Self { from, local: None, on_link: true, broadcast: false }
    }

    pub(crate) const fn back(&self) -> Transmit {
        Transmit { to: self.from, from: self.local }
    }
}

/// Where the datagram that [`Engine::poll_transmit`](crate::Engine::poll_transmit) wrote goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Its destination.
    pub to: SocketAddr,
    /// The address it must leave from, if that matters: a machine with several answers from the one that was asked.
    pub from: Option<IpAddr>,
}
