//! Datagrams by the batch: `recvmmsg` and `sendmmsg`, with buffers that are used again.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg},
};

/// Datagrams a server takes in one call: more make it no faster.
pub const BATCH: usize = 64;

/// The longest datagram there is room for, in bytes; the longest of ours has 1 200.
const ROOM: usize = 2048;
/// Questions a socket has out at most.
const LANES: usize = 256;

/// Room for datagrams, and those that came last.
pub struct Inbox {
    bytes: Vec<u8>,
    lens: Vec<usize>,
    headers: MultiHeaders<()>,
}

/// Datagrams to send.
pub struct Outbox {
    datagrams: Vec<Vec<u8>>,
    used: usize,
    headers: MultiHeaders<()>,
}

impl Inbox {
    /// Room for `datagrams`.
    #[must_use]
    pub fn new(datagrams: usize) -> Self {
        let headers = MultiHeaders::preallocate(datagrams, None);
        Self { bytes: vec![0; datagrams * ROOM], lens: Vec::with_capacity(datagrams), headers }
    }

    /// Takes what a connected socket has; how many datagrams that were.
    pub(super) fn receive(&mut self, socket: &impl AsRawFd) -> Result<usize, Errno> {
        self.lens.clear();
        let mut rooms: Vec<_> = self.bytes.chunks_exact_mut(ROOM).map(|room| [IoSliceMut::new(room)]).collect();
        let came = recvmmsg(socket.as_raw_fd(), &mut self.headers, rooms.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        self.lens.extend(came.map(|datagram| datagram.bytes));
        Ok(self.lens.len())
    }

    /// Room for the bytes of a stream, of which [`Inbox::note`] says how many came.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[..ROOM]
    }

    /// That `len` bytes of a stream came.
    pub(super) fn note(&mut self, len: usize) {
        self.lens.clear();
        self.lens.push(len);
    }

    /// What came last.
    pub(super) fn filled(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(ROOM).zip(&self.lens).map(|(bytes, len)| &mut bytes[..*len])
    }
}

impl Outbox {
    /// Room for `datagrams`.
    pub(super) fn new(datagrams: usize) -> Self {
        Self {
            datagrams: vec![Vec::with_capacity(ROOM); datagrams],
            used: 0,
            headers: MultiHeaders::preallocate(datagrams, None),
        }
    }

    /// Nothing to send any more.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// The next datagram to send: empty, to be written.
    pub(super) fn next(&mut self) -> &mut Vec<u8> {
        let next = &mut self.datagrams[self.used];
        self.used += 1;
        next.clear();
        next
    }

    /// Whether there is no room for another one.
    pub(super) fn is_full(&self) -> bool {
        self.used == self.datagrams.len()
    }

    /// What is to be sent.
    pub(super) fn filled(&self) -> &[Vec<u8>] {
        &self.datagrams[..self.used]
    }

    /// Sends all over a connected socket. What the kernel has no room for is lost, as on a network.
    pub(super) fn send(&mut self, socket: &impl AsRawFd) -> Result<(), Errno> {
        let slices: Vec<_> = self.datagrams[..self.used].iter().map(|bytes| [IoSlice::new(bytes)]).collect();
        // To nobody by name: the socket is connected.
        let to = &[None; LANES][..slices.len()];
        match sendmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter(), to, [], MsgFlags::empty()) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
