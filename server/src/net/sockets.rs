//! Binding the workers' sockets, and saying who is in the way when that fails.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use nix::sys::socket::{
    setsockopt,
    sockopt::{IpRecvTos, Ipv4PacketInfo, Ipv6RecvPacketInfo, ReceiveTimestampns, UdpGroSegment},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{interfaces::Interfaces, steering::steer};
use crate::{
    process::{Transport, holder_of},
    settings::ListenOn,
};

/// Why the clients' port cannot be opened. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else has it.
    #[error("udp {address} is in use by {holder}; stop that program, or choose another port by --port {}", next_port(*.address))]
    InUse {
        /// The address and port wanted.
        address: SocketAddr,
        /// Who has it.
        holder: String,
    },
    /// Low ports want a privilege.
    #[error(
        "udp {0} may not be opened by this user; choose a port above 1023 by --port, or grant CAP_NET_BIND_SERVICE"
    )]
    NotAllowed(SocketAddr),
    /// No interface has the address.
    #[error("no interface of this machine has the address {address}; its addresses are {have}: choose one by --listen")]
    NotOurs {
        /// The address wanted.
        address: IpAddr,
        /// Those there are.
        have: String,
    },
    /// No interface has the name.
    #[error(
        "there is no network interface {name:?} with an address that is up; there is {have}: choose one by --listen"
    )]
    NoInterface {
        /// The name wanted.
        name: String,
        /// Those there are.
        have: String,
    },
    /// Something else.
    #[error("udp {address} cannot be opened: {source}; choose another address by --listen or another port by --port")]
    Other {
        /// The address and port wanted.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// One listening address with a socket for each worker.
#[derive(Debug)]
pub struct Listener {
    /// The address and the port really bound.
    pub address: SocketAddr,
    /// One per worker, in the workers' order: for clients that have a session.
    pub sockets: Vec<UdpSocket>,
    /// One more per worker: for whoever knocks.
    pub doors: Vec<UdpSocket>,
    /// Whether the kernel tells the two apart.
    pub steered: bool,
}

/// Asked of the kernel for each socket: room for about 3 000 datagrams that come while a worker is busy, which is as many as
/// it answers in 20 to 50 ms. With more room a server that is asked for too much would give answers that nobody waits for any
/// longer. The kernel gives less where `net.core.rmem_max` says so.
const SOCKET_BUFFER: usize = 1 << 20;

/// Attempts at a free port that every listening address has.
const FREE_PORT_TRIES: usize = 16;

/// The addresses that `listen` means on this machine, each once.
///
/// # Errors
/// If it names an interface that is not there.
pub fn resolve_listen(listen: &[ListenOn], interfaces: &Interfaces) -> Result<Vec<IpAddr>, BindError> {
    let mut addresses = Vec::new();
    for on in listen {
        match on {
            ListenOn::Address(address) => addresses.push(*address),
            ListenOn::Interface(name) => match interfaces.of_name(name) {
                found if found.is_empty() => {
                    let have = interfaces.names().join(", ");
                    return Err(BindError::NoInterface { name: name.clone(), have });
                }
                found => addresses.extend(found),
            },
        }
    }
    Ok(each_once(&addresses))
}

/// `addresses` without those that came before, and without those that an unspecified one of their family covers: a
/// second socket there would be in our own way.
fn each_once(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let covered = |ip: &IpAddr| {
        !ip.is_unspecified() && addresses.iter().any(|any| any.is_unspecified() && any.is_ipv4() == ip.is_ipv4())
    };
    let mut kept: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !covered(address) && !kept.contains(address) {
            kept.push(*address);
        }
    }
    kept
}

/// Binds `workers` sockets to each of `addresses` at `port`; with port 0, at one free port that all of them have.
///
/// `::` is left out where the machine has no IPv6 and `0.0.0.0` is there too: that is what the default asks for.
///
/// # Errors
/// If one cannot be bound.
pub fn bind(addresses: &[IpAddr], port: u16, workers: usize) -> Result<Vec<Listener>, BindError> {
    for _ in 1..FREE_PORT_TRIES {
        match bind_once(addresses, port, workers) {
            Err(BindError::InUse { .. }) if port == 0 => {}
            outcome => return outcome,
        }
    }
    bind_once(addresses, port, workers)
}

fn bind_once(addresses: &[IpAddr], port: u16, workers: usize) -> Result<Vec<Listener>, BindError> {
    let mut port = port;
    let mut listeners = Vec::new();
    for address in addresses {
        match listener(SocketAddr::new(*address, port), workers) {
            Ok(listener) => {
                port = listener.address.port();
                listeners.push(listener);
            }
            Err(_) if is_optional(*address, addresses) && !has_ipv6() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(listeners)
}

fn is_optional(address: IpAddr, among: &[IpAddr]) -> bool {
    address == Ipv6Addr::UNSPECIFIED && among.contains(&Ipv4Addr::UNSPECIFIED.into())
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The first socket is bound alone, so that a second server of the same user is refused instead of quietly taking half
/// of our clients; only then is the address opened to the other workers.
fn listener(address: SocketAddr, workers: usize) -> Result<Listener, BindError> {
    let first = socket(address).and_then(|socket| {
        socket.bind(&address.into())?;
        socket.set_reuse_port(true)?;
        Ok(UdpSocket::from(socket))
    });
    let first = first.map_err(|e| explain(address, e))?;
    let address = first.local_addr().map_err(|e| explain(address, e))?;
    let other = |_| {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        Ok(UdpSocket::from(socket))
    };
    // In the order that the kernel's program counts them in.
    let others = (1..2 * workers).map(other).collect::<io::Result<Vec<_>>>().map_err(|e| explain(address, e))?;
    let mut sockets: Vec<_> = std::iter::once(first).chain(others).collect();
    let steered = u16::try_from(workers).map_or(Err(io::ErrorKind::Unsupported.into()), |n| steer(&sockets[0], n));
    if let Err(e) = &steered {
        tracing::warn!(
            "udp {address}: the kernel does not tell renewals from handshakes: {e}; a flood of those will be felt"
        );
    }
    let doors = sockets.split_off(workers);
    Ok(Listener { address, sockets, doors, steered: steered.is_ok() })
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    } else {
        // Groups that other programs of this machine joined are not ours.
        socket.set_multicast_all_v4(false)?;
    }
    enlarge(&socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A smaller buffer than asked for loses datagrams sooner and breaks nothing, so a refusal is no error.
fn enlarge(socket: &Socket) {
    let asked = [socket.set_recv_buffer_size(SOCKET_BUFFER), socket.set_send_buffer_size(SOCKET_BUFFER)];
    if let Some(e) = asked.into_iter().find_map(Result::err) {
        tracing::debug!("the socket buffers keep their size: {e}");
    }
}

/// A socket that only hears what is sent to `address`, a broadcast address or a multicast group. Other servers of this
/// machine may hear it too: each gets its own copy.
pub(super) fn hearing(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from(socket))
}

/// Has the kernel leave out what quinn-udp asks it to say of each datagram and nobody reads here: its time and its traffic
/// class, and where it was sent to if that can only be `only`. Each costs a control message a datagram; where one
/// cannot be switched off, that is all that is lost.
pub(super) fn quiet(socket: &UdpSocket, only: Option<IpAddr>) {
    let mut told = vec![setsockopt(socket, ReceiveTimestampns, &false)];
    told.push(match only {
        Some(IpAddr::V6(_)) => setsockopt(socket, Ipv6RecvPacketInfo, &false),
        Some(IpAddr::V4(_)) => setsockopt(socket, Ipv4PacketInfo, &false),
        None => Ok(()),
    });
    told.push(if only.is_some_and(|ip| ip.is_ipv6()) { Ok(()) } else { setsockopt(socket, IpRecvTos, &false) });
    if let Some(e) = told.into_iter().find_map(Result::err) {
        tracing::debug!("the kernel goes on telling more than is read: {e}");
    }
}

/// Has the kernel hand over datagrams one by one, not several of a sender joined: a batch is to be no longer for that.
pub(super) fn one_by_one(socket: &UdpSocket) {
    if let Err(e) = setsockopt(socket, UdpGroSegment, &false) {
        tracing::debug!("the kernel goes on joining datagrams: {e}");
    }
}

fn explain(address: SocketAddr, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = holder_of(Transport::Udp, address).unwrap_or_else(|| "another program".into());
            BindError::InUse { address, holder }
        }
        io::ErrorKind::PermissionDenied => BindError::NotAllowed(address),
        io::ErrorKind::AddrNotAvailable => {
            let have = Interfaces::read().map(|list| list.0).unwrap_or_default();
            let have = have.iter().map(|net| net.address.to_string()).collect::<Vec<_>>().join(", ");
            BindError::NotOurs { address: address.ip(), have }
        }
        _ => BindError::Other { address, source },
    }
}

fn next_port(address: SocketAddr) -> u16 {
    address.port().checked_add(1).unwrap_or(leasehold_protocol::DEFAULT_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn all_workers_and_addresses_share_one_free_port() {
        let listeners = bind(&[LOOPBACK, [127, 0, 0, 2].into()], 0, 3).unwrap();
        let port = listeners[0].address.port();
        assert_ne!(port, 0);
        assert!(listeners.iter().all(|l| l.address.port() == port && (l.sockets.len(), l.doors.len()) == (3, 3)));
    }

    #[test]
    fn a_second_server_of_the_same_user_is_refused_and_told_who_is_first() {
        let first = bind(&[LOOPBACK], 0, 2).unwrap();
        let port = first[0].address.port();
        let refused = bind(&[LOOPBACK], port, 2).unwrap_err().to_string();
        assert!(refused.contains(&format!("udp 127.0.0.1:{port} is in use by ")), "{refused}");
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        assert!(refused.ends_with(&format!("--port {}", next_port(first[0].address))), "{refused}");
    }

    #[test]
    fn an_address_or_interface_that_is_not_here_is_answered_with_those_that_are() {
        // TEST-NET-3 of RFC 5737 is nobody's.
        let refused = bind(&[[203, 0, 113, 1].into()], 0, 1).unwrap_err().to_string();
        assert!(refused.contains("203.0.113.1; its addresses are") && refused.contains("127.0.0.1"), "{refused}");
        let interfaces = Interfaces::read().unwrap();
        let refused = resolve_listen(&[ListenOn::Interface("nope0".into())], &interfaces).unwrap_err().to_string();
        assert!(refused.contains("\"nope0\"") && refused.contains("lo"), "{refused}");
    }

    #[test]
    fn an_interfaces_name_means_its_addresses_each_once() {
        let interfaces = Interfaces::read().unwrap();
        let name = interfaces.of_address(LOOPBACK).unwrap().name.clone();
        let listen = [ListenOn::Interface(name), ListenOn::Address(LOOPBACK)];
        let found = resolve_listen(&listen, &interfaces).unwrap();
        assert_eq!(found.iter().filter(|ip| **ip == LOOPBACK).count(), 1);
        let listen =
            [listen[1].clone(), ListenOn::Address([0; 4].into()), ListenOn::Address(Ipv6Addr::LOCALHOST.into())];
        let found = resolve_listen(&listen, &interfaces).unwrap();
        assert_eq!(found, [IpAddr::from([0; 4]), Ipv6Addr::LOCALHOST.into()], "127.0.0.1 is in 0.0.0.0");
    }
}
