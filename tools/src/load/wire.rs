//! The load test's sockets, and the clear parts of datagrams that tell whose they are.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

use leasehold::holder::Target;
use leasehold_protocol::packet::{self, Packet};

/// A burst of answers waits here rather than being lost to ourselves.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The server's address: the sockets must be of its family.
pub fn server_of(target: &Target) -> SocketAddr {
    match target {
        Target::Known { address, .. } => *address,
        Target::Discover { to, .. } => to.first().copied().unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
    }
}

/// A socket that can reach `server` and never blocks.
///
/// # Errors
/// If the system has none left.
pub fn open(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    // The system gives what it allows; too little shows as retries.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    Ok(socket)
}

/// The session of ours that a HELLO1 opens.
pub fn sid_of_hello(datagram: &[u8]) -> Option<u32> {
    match packet::read_to_server(datagram) {
        Ok(Packet::Hello1(hello)) => Some(hello.client_sid.get()),
        _ => None,
    }
}
