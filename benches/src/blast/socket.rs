//! One connected socket, of datagrams or of a stream.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::socket::{MsgFlags, recv, setsockopt, sockopt::RcvBuf},
};

use super::{Inbox, batch::Outbox};

/// One connected socket.
pub enum Socket {
    /// Datagrams.
    Datagrams(UdpSocket),
    /// Bytes in order.
    Stream(TcpStream),
}

/// A burst of answers waits here rather than being lost to ourselves.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

impl Socket {
    /// `count` sockets for datagrams, each with a port of its own, connected to `server`.
    ///
    /// # Errors
    /// If the system has none left.
    pub fn datagrams(server: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
        let one = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            // The system gives what it allows; too little shows as losses.
            setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER_BYTES)?;
            socket.connect(server)?;
            Ok(socket)
        };
        (0..count).map(one).collect()
    }

    /// `count` connections to `server`.
    ///
    /// # Errors
    /// If it does not take them.
    pub fn streams(server: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        let one = |_| {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            Ok(Self::Stream(stream))
        };
        (0..count).map(one).collect()
    }

    /// Takes what is there, without waiting; how many datagrams, or pieces of the stream, that were.
    pub(super) fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        let came = match self {
            Self::Datagrams(socket) => inbox.receive(socket),
            Self::Stream(stream) => match recv(stream.as_raw_fd(), inbox.room(), MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    inbox.note(len);
                    Ok(1)
                }
                Err(e) => Err(e),
            },
        };
        match came {
            Err(Errno::EAGAIN) => Ok(0),
            came => Ok(came?),
        }
    }

    pub(super) fn send(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        match self {
            _ if outbox.filled().is_empty() => Ok(()),
            Self::Datagrams(socket) => Ok(outbox.send(socket)?),
            Self::Stream(stream) => outbox.filled().iter().try_for_each(|bytes| stream.write_all(bytes)),
        }
    }
}

impl From<UdpSocket> for Socket {
    fn from(socket: UdpSocket) -> Self {
        Self::Datagrams(socket)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Datagrams(socket) => socket.as_fd(),
            Self::Stream(stream) => stream.as_fd(),
        }
    }
}

/// Sleeps until one of `sockets` has something, or `most` is over.
pub(super) fn sleep(sockets: &[&Socket], most: Duration) -> io::Result<()> {
    let mut fds: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    match ppoll(&mut fds, Some(most.into()), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
