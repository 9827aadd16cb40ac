//! A session's two directions: sealing, opening, the replay window and the limits of RELIABILITY 4.5.

use leasehold_protocol::{
    Entropy,
    crypto::{PublicKey, ReplayWindow, SessionKeys, noise::ServerInfo, open_datagram, seal_datagram},
    packet::PacketType,
    time::Mono,
};

use super::{ServerSeen, pace::jittered};

/// A session with one server.
pub(super) struct Session {
    /// What the server's DATA names us by.
    pub(super) client_sid: u32,
    /// Where our DATA goes.
    pub(super) server: ServerSeen,
    /// Who is there, and since which start.
    pub(super) mark: ServerMark,
    /// Whether it is sent renewals in frames for many: until it says that it does not know them (W-9).
    pub(super) renews_many: bool,
    /// Whether it is asked for places in its queues, likewise.
    pub(super) has_queues: bool,
    server_sid: u32,
    keys: SessionKeys,
    next_counter: u64,
    window: ReplayWindow,
    heard: Option<Mono>,
    forged: u32,
    rekey_at: Mono,
    dies_at: Mono,
}

/// One start of one server: lease ids mean something to it and to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerMark {
    pub(super) key: PublicKey,
    pub(super) boot_id: u64,
}

/// What HELLO1 and HELLO2 settled.
pub(super) struct Settled {
    pub(super) client_sid: u32,
    pub(super) server_sid: u32,
    pub(super) server: ServerSeen,
    pub(super) info: ServerInfo,
    pub(super) keys: SessionKeys,
}

const REKEY_MS: u64 = 12 * 3_600_000;
const DEATH_MS: u64 = 24 * 3_600_000;
/// Counters from this on are refused by the other side (SPEC 3.7).
const COUNTER_MAX: u64 = 1 << 32;
const FORGED_MAX: u32 = 1 << 30;

impl Session {
    /// The session that a handshake ended in at `now`.
    pub(super) fn open(now: Mono, settled: Settled, entropy: &mut dyn Entropy) -> Self {
        let Settled { client_sid, server_sid, server, info, keys } = settled;
        Self {
            client_sid,
            server,
            mark: ServerMark { key: server.key, boot_id: info.boot_id.get() },
            renews_many: true,
            has_queues: true,
            server_sid,
            keys,
            next_counter: 0,
            window: ReplayWindow::default(),
            heard: None,
            forged: 0,
            rekey_at: now.plus_ms(jittered(REKEY_MS, 10, entropy)),
            dies_at: now.plus_ms(DEATH_MS),
        }
    }

    /// Seals `plaintext` into `out`.
    pub(super) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let counter = self.next_counter;
        self.next_counter += 1;
        if self.next_counter == COUNTER_MAX / 2 {
            self.rekey_at = Mono(0);
        }
        seal_datagram(&self.keys.send, PacketType::DataToServer, self.server_sid, counter, plaintext, out);
    }

    /// Opens a DATA datagram whose header says `counter`. Nothing moves unless it is authentic and new.
    pub(super) fn unseal<'a>(&mut self, now: Mono, counter: u64, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        if counter >= COUNTER_MAX || !self.window.is_new(counter) {
            return None;
        }
        let Ok(plaintext) = open_datagram(&self.keys.receive, datagram) else {
            self.forged = self.forged.saturating_add(1);
            return None;
        };
        if !self.window.accept(counter) {
            return None;
        }
        self.heard = Some(now);
        Some(plaintext)
    }

    /// When something authentic last came.
    pub(super) const fn heard(&self) -> Option<Mono> {
        self.heard
    }

    /// When new keys are wanted: after 12 h ± 10 %, or at once after 2^31 datagrams (SPEC 3.7).
    pub(super) const fn rekey_at(&self) -> Mono {
        self.rekey_at
    }

    /// Puts the next try for new keys off until `at`.
    pub(super) fn rekey_again_at(&mut self, at: Mono) {
        self.rekey_at = at;
    }

    /// Whether it must not be used any more: 24 h old, out of counters, or too many forgeries.
    pub(super) const fn is_spent(&self, now: Mono) -> bool {
        now.0 >= self.dies_at.0 || self.next_counter >= COUNTER_MAX || self.forged >= FORGED_MAX
    }
}
