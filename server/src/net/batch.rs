//! Receive buffers, used again for every batch, and what came with each datagram.

use std::io::{self, IoSliceMut};

use leasehold_protocol::time::Now;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use tokio::{io::Interest, net::UdpSocket};

/// The longest thing one buffer can be given: with GRO the kernel joins datagrams of one sender up to the largest IP
/// packet there is, and what does not fit is cut off. Only the pages that are written to take memory. Five cache lines more than
/// a power of two: the beginnings of all buffers would fall into one set of the cache otherwise, and push each other out.
const BUFFER_LEN: usize = 64 * 1024 + 5 * 64;

/// Buffers for one batch.
pub(super) struct Batch {
    bytes: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

/// When the system is asked for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// When the runtime was told that there are some.
    IfTold,
    /// Whatever it was told.
    Anyway,
}

impl Batch {
    pub fn new() -> Self {
        Self { bytes: vec![0; BATCH_SIZE * BUFFER_LEN], meta: [RecvMeta::default(); BATCH_SIZE], filled: 0 }
    }

    /// Takes what `socket` has, as far as there are buffers, in one system call, and reads `clock` after it.
    ///
    /// After, and not before: a client counts its lease from when it sent, so the time a datagram is handled at must not
    /// be earlier than that, however long this process was stopped in between (SPEC 5.14.4).
    ///
    /// # Errors
    /// What the system says; `WouldBlock` if there is nothing.
    pub fn fill(
        &mut self,
        socket: &UdpSocket,
        state: &UdpSocketState,
        asking: Asking,
        clock: impl FnOnce() -> Now,
    ) -> io::Result<Now> {
        self.filled = 0;
        let mut buffers = self.bytes.chunks_exact_mut(BUFFER_LEN);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        let mut take = || state.recv(socket.into(), &mut slices, &mut self.meta);
        let filled = match asking {
            Asking::IfTold => socket.try_io(Interest::READABLE, take)?,
            Asking::Anyway => take()?,
        };
        self.filled = filled.min(BATCH_SIZE);
        Ok(clock())
    }

    /// How many buffers were filled.
    pub const fn len(&self) -> usize {
        self.filled
    }

    /// Whether there were as many datagrams as there are buffers, and may be more.
    pub const fn is_full(&self) -> bool {
        self.filled == BATCH_SIZE
    }

    /// What came with buffer `i`, and its datagrams one by one: GRO may have joined several.
    pub fn datagrams(&mut self, i: usize) -> (RecvMeta, Datagrams<'_>) {
        let meta = self.meta[i];
        let start = i * BUFFER_LEN;
        let len = meta.len.min(BUFFER_LEN);
        (meta, Datagrams { rest: Some(&mut self.bytes[start..start + len]), stride: meta.stride.max(1) })
    }
}

/// The datagrams of one buffer. An empty datagram is one too: it came, and is to be counted.
pub(super) struct Datagrams<'a> {
    rest: Option<&'a mut [u8]>,
    stride: usize,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = &'a mut [u8];

    fn next(&mut self) -> Option<&'a mut [u8]> {
        let rest = self.rest.take()?;
        let (first, rest) = rest.split_at_mut(self.stride.min(rest.len()));
        self.rest = (!rest.is_empty()).then_some(rest);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::time::Mono;

    use super::*;

    fn lengths(len: usize, stride: usize) -> Vec<usize> {
        let mut bytes = vec![0; len];
        Datagrams { rest: Some(&mut bytes), stride }.map(|datagram| datagram.len()).collect()
    }

    #[test]
    fn joined_datagrams_come_apart_at_the_stride() {
        assert_eq!(lengths(300, 120), [120, 120, 60]);
        assert_eq!(lengths(240, 120), [120, 120]);
        assert_eq!(lengths(60, 120), [60]);
        assert_eq!(lengths(0, 1), [0]);
    }

    #[tokio::test]
    async fn a_batch_is_timed_after_it_was_taken_so_that_nothing_in_it_was_sent_later() {
        let ours = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        ours.set_nonblocking(true).unwrap();
        let (twin, client) = (ours.try_clone().unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let state = UdpSocketState::new((&ours).into()).unwrap();
        let socket = UdpSocket::from_std(ours).unwrap();
        client.send_to(b"asked", twin.local_addr().unwrap()).unwrap();
        socket.readable().await.unwrap();
        let mut batch = Batch::new();
        let clock = || {
            let left = twin.peek_from(&mut [0; 8]).map_err(|e| e.kind());
            assert_eq!(left, Err(io::ErrorKind::WouldBlock), "still waiting when the clock was read");
            Now { mono: Mono(7), ..Now::default() }
        };
        assert_eq!(batch.fill(&socket, &state, Asking::IfTold, clock).unwrap().mono, Mono(7));
        assert_eq!(batch.len(), 1);
    }
}
