//! The yardstick: a server that does nothing. Whatever a server does with a datagram comes on top of this.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::UdpSocket,
    os::fd::AsRawFd,
};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

use super::{BATCH, Dialect};

/// Asks an echo: the tag, and zeros up to `question` bytes. The answer has `answer` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    /// Bytes there.
    pub question: usize,
    /// Bytes back.
    pub answer: usize,
}

/// The longest datagram an echo takes, in bytes.
const ROOM: usize = 2048;

impl Dialect for Echo {
    fn ask(&mut self, _: usize, tag: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&tag.to_le_bytes());
        out.resize(self.question, 0);
    }

    fn take(&mut self, _: usize, answer: &mut [u8]) -> Option<u16> {
        answer.first_chunk().filter(|_| answer.len() == self.answer).map(|tag| u16::from_le_bytes(*tag))
    }
}

/// Answers every datagram with its first `answer` bytes, for ever: `recvmmsg`, `sendmmsg`, 64 at a time, and nothing
/// besides.
///
/// # Errors
/// If the socket fails.
pub fn serve_echo(socket: &UdpSocket, answer: usize) -> io::Result<()> {
    let mut received: MultiHeaders<SockaddrIn> = MultiHeaders::preallocate(BATCH, None);
    let mut sent: MultiHeaders<SockaddrIn> = MultiHeaders::preallocate(BATCH, None);
    let mut bytes = vec![0; BATCH * ROOM];
    let mut came: Vec<(usize, Option<SockaddrIn>)> = Vec::with_capacity(BATCH);
    loop {
        came.clear();
        let mut rooms: Vec<_> = bytes.chunks_exact_mut(ROOM).map(|room| [IoSliceMut::new(room)]).collect();
        let messages = recvmmsg(socket.as_raw_fd(), &mut received, rooms.iter_mut(), MsgFlags::MSG_WAITFORONE, None)?;
        came.extend(messages.map(|message| (message.bytes.min(answer), message.address)));
        let answers = bytes.chunks_exact(ROOM).zip(&came).map(|(bytes, (len, _))| [IoSlice::new(&bytes[..*len])]);
        let (answers, to): (Vec<_>, Vec<_>) = (answers.collect(), came.iter().map(|(_, from)| *from).collect());
        sendmmsg(socket.as_raw_fd(), &mut sent, answers.iter(), to, [], MsgFlags::empty())?;
    }
}
