//! The load test's sockets, and the clear parts of datagrams that tell whose they are.

use std::{
    io,
    net::{IpAddr, UdpSocket},
};

use leasehold_protocol::packet::{self, Packet};

/// A burst of answers waits here rather than being lost to ourselves.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A socket that sends from `source` and never blocks.
///
/// # Errors
/// If the system has none left.
pub fn open(source: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((source, 0))?;
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
