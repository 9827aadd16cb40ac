//! A worker's sockets: waiting for all of them, and choosing the one an answer leaves from.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdSocket},
    task::Poll,
};

use leasehold_core::Transmit;
use quinn_udp::UdpSocketState;
use tokio::net::UdpSocket;

use super::{
    Interfaces,
    discovery::{Companion, Membership},
    sockets::{one_by_one, quiet},
};

/// One socket.
pub(super) struct Port {
    pub io: UdpSocket,
    pub state: UdpSocketState,
    pub bound: SocketAddr,
    /// The discovery groups it has joined.
    pub membership: Membership,
    role: Role,
}

#[derive(Clone, Copy)]
enum Role {
    /// Hears clients that have a session, and sends.
    Main,
    /// Hears everybody else who knows its address.
    Door,
    /// Hears broadcasts for a main socket; the address answers leave from, if it is one.
    Companion(Option<IpAddr>),
}

impl Port {
    fn new(socket: StdSocket, role: Role, steered: bool) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let bound = socket.local_addr()?;
        // Who knocks is asked which of our networks he is in: elsewhere than at a door, nobody does.
        let only = steered && matches!(role, Role::Main) && !bound.ip().is_unspecified();
        quiet(&socket, only.then(|| bound.ip()));
        if matches!(role, Role::Door) {
            one_by_one(&socket);
        }
        Ok(Self { io: UdpSocket::from_std(socket)?, state, bound, membership: Membership::default(), role })
    }

    /// Whether answers leave from it.
    const fn is_main(&self) -> bool {
        matches!(self.role, Role::Main)
    }

    /// Whether it is where everybody knocks who has no session.
    pub const fn is_door(&self) -> bool {
        matches!(self.role, Role::Door)
    }

    /// Whether it is bound to an address of ours, and not to one that is everybody's.
    pub const fn is_ours(&self) -> bool {
        matches!(self.role, Role::Main | Role::Door)
    }

    /// The address that answers to what a companion heard leave from, where it is always the same.
    pub const fn answers_from(&self) -> Option<IpAddr> {
        match self.role {
            Role::Main | Role::Door => None,
            Role::Companion(address) => address,
        }
    }

    /// Whether it can hear the discovery group once it has joined.
    pub const fn hears_group(&self) -> bool {
        let ip = self.bound.ip();
        ip.is_multicast() || (ip.is_ipv4() && ip.is_unspecified())
    }
}

/// All sockets of a worker.
pub(super) struct Ports(Vec<Port>);

impl Ports {
    /// Of these sockets, in the order they are served in: those of clients, doors, and those that hear broadcasts. To be called
    /// inside the worker's runtime. `steered`: the kernel tells clients and doors apart.
    ///
    /// # Errors
    /// If a socket's options cannot be set.
    pub fn new([main, doors]: [Vec<StdSocket>; 2], companions: Vec<Companion>, steered: bool) -> io::Result<Self> {
        let main = main.into_iter().map(|socket| Port::new(socket, Role::Main, steered));
        let doors = doors.into_iter().map(|socket| Port::new(socket, Role::Door, steered));
        let companions = companions.into_iter().map(|c| Port::new(c.socket, Role::Companion(c.answers_from), steered));
        main.chain(doors).chain(companions).collect::<io::Result<_>>().map(Self)
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Port> {
        self.0.iter_mut()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Port> {
        self.0.iter()
    }

    /// Waits until one of them has something.
    pub async fn readable(&self) {
        poll_fn(|context| {
            let ready = self.iter().any(|port| port.io.poll_recv_ready(context).is_ready());
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The number of the socket to send from, and the source address to name on it: a socket bound to one address has no
    /// choice.
    pub fn for_path(&self, transmit: &Transmit, interfaces: &Interfaces) -> Option<(usize, Option<IpAddr>)> {
        let fits = |port: &Port| port.is_main() && port.bound.is_ipv4() == transmit.to.is_ipv4();
        let find = |test: &dyn Fn(&Port) -> bool| self.iter().position(|port| fits(port) && test(port));
        let any = || find(&|port| port.bound.ip().is_unspecified());
        let facing =
            || find(&|port| interfaces.of_address(port.bound.ip()).is_some_and(|net| net.contains(transmit.to.ip())));
        let bound_to = |from: IpAddr| find(&move |port| port.bound.ip() == from);
        match transmit.from {
            Some(from) => bound_to(from).map(|port| (port, None)).or_else(|| any().map(|port| (port, Some(from)))),
            None => any().or_else(facing).map(|port| (port, None)),
        }
        .or_else(|| find(&|_| true).map(|port| (port, None)))
    }
}

impl std::ops::Index<usize> for Ports {
    type Output = Port;

    fn index(&self, index: usize) -> &Port {
        &self.0[index]
    }
}
