//! The two directions of an open session (SPEC 4.1, 4.2).

use leasehold_protocol::{
    crypto::{ReplayWindow, SessionKeys, open_datagram, seal_datagram},
    packet::{self, Packet, PacketType},
};

/// An open session, about 150 bytes. What it sends goes from the socket that shook hands.
pub struct Session {
    sid: u32,
    server_sid: u32,
    boot_id: u64,
    keys: SessionKeys,
    next_counter: u64,
    window: ReplayWindow,
}

/// A session that has sent all it may: 2^32 datagrams (SPEC 3.7), hours at any rate. Shake hands again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has used up its 2^32 counters; it needs a new handshake")]
pub struct Spent;

/// Counters from this on are refused by the other side.
const COUNTER_END: u64 = 1 << 32;

impl Session {
    pub(super) fn new(sid: u32, server_sid: u32, boot_id: u64, keys: SessionKeys) -> Self {
        Self { sid, server_sid, boot_id, keys, next_counter: 0, window: ReplayWindow::default() }
    }

    /// Our id: what the server's datagrams name.
    #[must_use]
    pub const fn sid(&self) -> u32 {
        self.sid
    }

    /// Which start of the server this is: lease ids mean something to it and to no other.
    #[must_use]
    pub const fn boot_id(&self) -> u64 {
        self.boot_id
    }

    /// Seals `plaintext`, frames and padding, into `datagram`, which is cleared first.
    ///
    /// # Errors
    /// If the session is out of counters; `datagram` is then as it was.
    pub fn seal(&mut self, plaintext: &[u8], datagram: &mut Vec<u8>) -> Result<(), Spent> {
        if self.next_counter >= COUNTER_END {
            return Err(Spent);
        }
        let counter = self.next_counter;
        self.next_counter += 1;
        seal_datagram(&self.keys.send, PacketType::DataToServer, self.server_sid, counter, plaintext, datagram);
        Ok(())
    }

    /// Opens a DATA datagram in place and returns its plaintext. `None` if it is not one of this session, forged, or one
    /// that was opened before: then nothing has moved.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        let Ok(Packet::Data(header)) = packet::read_to_client(datagram) else { return None };
        let (sid, counter) = (header.receiver_sid.get(), header.counter.get());
        if sid != self.sid || counter >= COUNTER_END || !self.window.is_new(counter) {
            return None;
        }
        let plaintext = open_datagram(&self.keys.receive, datagram).ok()?;
        self.window.accept(counter).then_some(plaintext)
    }

    #[cfg(test)]
    pub(super) fn spend(&mut self) {
        self.next_counter = COUNTER_END;
    }
}
