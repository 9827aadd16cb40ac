//! One session.

use std::sync::Arc;

use leasehold_protocol::{
    crypto::{Fingerprint, PublicKey, ReplayWindow, SessionKeys, open_datagram, seal_datagram},
    message::{Holder, PathToken},
    packet::PacketType,
    time::Mono,
};

use super::route::Route;
use crate::Path;

/// Who is at the other end, as the handshake proved it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// Which realm, as an index.
    pub(crate) realm: usize,
    pub(crate) key: PublicKey,
    pub(crate) fingerprint: Fingerprint,
    /// Key and realm, hashed: what leases keep.
    pub(crate) owner: u64,
    /// Drawn once per process.
    pub(crate) instance: [u8; 8],
    /// What it calls the session: what our DATA says.
    pub(crate) client_sid: u32,
    /// By how much its calendar is ahead of our boot clock, by its own word, in milliseconds.
    pub(crate) clock_ahead_ms: i64,
}

/// A session, half-open until its first DATA verified.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) route: Route,
    pub(crate) confirmed: bool,
    /// When its client was last heard.
    pub(crate) heard_at: Mono,
    /// Whether it was told that this server goes away.
    pub(crate) told_goodbye: bool,
    /// Who its client last said holds the seats: all leases it asked for in the same words share them.
    holder: Option<Arc<Holder>>,
    keys: SessionKeys,
    window: ReplayWindow,
    /// One above the highest counter received.
    received_next: u64,
    /// The next counter to send with: never used twice.
    send_next: u64,
    opened_at: Mono,
    forged: u32,
}

/// Why a datagram of a session was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its counter was seen, or is so old that we cannot tell, or is beyond what is ever used.
    Replayed,
    /// It does not authenticate.
    Forged,
    /// The session is past its age and must go.
    TooOld,
    /// So many did not authenticate that the session must go (SPEC 4.2).
    Attacked,
}

/// Sessions older than this are refused (SPEC 4.2), in milliseconds: 24 hours. Clients handshake anew at 12.
pub(super) const AGE_MAX_MS: u64 = 24 * 3600 * 1000;
/// Counters from this on are refused, in either direction.
const COUNTER_MAX: u64 = 1 << 32;
/// A session with this many datagrams that did not authenticate is closed; RFC 9001 allows 2^36 for this cipher.
const FORGED_MAX: u32 = 1 << 30;

impl Session {
    pub(crate) fn new(client: Client, keys: SessionKeys, path: Path, now: Mono) -> Self {
        Self {
            client,
            route: Route::proved(path),
            confirmed: false,
            heard_at: now,
            told_goodbye: false,
            holder: None,
            keys,
            window: ReplayWindow::default(),
            received_next: 0,
            send_next: 0,
            opened_at: now,
            forged: 0,
        }
    }

    /// The words of `holder`, kept once for all leases of this session that were asked for in them.
    pub(crate) fn intern(&mut self, holder: &Holder) -> Arc<Holder> {
        match &self.holder {
            Some(known) if **known == *holder => known.clone(),
            _ => self.holder.insert(Arc::new(holder.clone())).clone(),
        }
    }

    /// Opens `datagram`, whose counter is `counter`, in place (SPEC 4.2): window, then AEAD, and only then anything
    /// changes. Returns the plaintext and whether its counter is the highest so far.
    pub(crate) fn open<'a>(
        &mut self,
        now: Mono,
        counter: u64,
        datagram: &'a mut [u8],
        forget_window: bool,
    ) -> Result<(&'a [u8], bool), Refused> {
        if self.is_too_old(now) {
            return Err(Refused::TooOld);
        }
        // SPEC 4.2.2: nobody has authenticated this counter yet; one that is out of range ends its datagram and not the session.
        if counter >= COUNTER_MAX || (!self.window.is_new(counter) && !forget_window) {
            return Err(Refused::Replayed);
        }
        let Ok(plaintext) = open_datagram(&self.keys.receive, datagram) else {
            self.forged = self.forged.saturating_add(1);
            return Err(if self.forged >= FORGED_MAX { Refused::Attacked } else { Refused::Forged });
        };
        self.window.accept(counter);
        let is_newest = counter >= self.received_next;
        self.received_next = self.received_next.max(counter + 1);
        self.heard_at = self.heard_at.max(now);
        Ok((plaintext, is_newest))
    }

    /// Notes an authentic datagram; whether the session moved to another address by it.
    pub(crate) fn heard(&mut self, path: Path, len: usize, is_newest: bool, token: impl FnOnce() -> PathToken) -> bool {
        self.route.heard(path, len, is_newest, token)
    }

    /// Seals `plaintext` into `out`; whether there was a counter left for it.
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> bool {
        if self.send_next >= COUNTER_MAX {
            return false;
        }
        let counter = self.send_next;
        self.send_next += 1;
        seal_datagram(&self.keys.send, PacketType::DataToClient, self.client.client_sid, counter, plaintext, out);
        true
    }

    pub(crate) const fn is_too_old(&self, now: Mono) -> bool {
        now.ms_since(self.opened_at) >= AGE_MAX_MS
    }
}
