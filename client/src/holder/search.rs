//! A search for a server (S-3): whom it asks when, and which answers it takes up.

use std::net::SocketAddr;

use leasehold_protocol::{
    Entropy,
    crypto::PublicKey,
    time::{Mono, Now},
};

use super::{
    Destination, HolderConfig, ServerSeen, Target,
    attempt::{KNOCK_MS, Purpose},
    pace::jittered,
    probe::{OfferHint, Probe},
};

/// A search under way.
pub(super) struct Search {
    pub(super) probe: Probe,
    /// It began because the server fell silent: a sign of life ends it.
    pub(super) after_silence: bool,
    began: Mono,
    asks: usize,
    next_ask: Mono,
    knocks: u32,
    /// When the last server is knocked at again.
    next_knock: Mono,
    /// Handshakes begun since the last asking.
    tried: usize,
    answered: u32,
    refused: Vec<(SocketAddr, PublicKey, Mono)>,
    /// Cluster members that offers told of, asked along with the targets.
    peers: Vec<SocketAddr>,
}

/// Waits between askings; then the last one, ± 20 %.
const GAPS_MS: [u64; 7] = [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000];
/// After so many askings without a session the program is told.
const FAILED_AFTER: usize = 3;
/// Servers tried at the same time, and between two askings (SPEC 6.3.2).
pub(super) const CANDIDATES_MAX: usize = 8;
/// How long an answer nobody named waits for one that somebody did.
const HEAD_START_MS: u64 = 40;
/// A server that was rejected is not tried again for so long.
const REFUSED_MS: u64 = 30_000;
/// Rejections remembered: more than the strangers of a hostile network, so that an honest server gets its turn.
const REFUSED_MAX: usize = 256;
const PEERS_MAX: usize = 8;

impl Search {
    /// A search that asks first at `at`.
    pub(super) fn new(config: &HolderConfig, at: Mono, after_silence: bool) -> Self {
        Self {
            probe: Probe::new(&config.site, config.wanted_realm()),
            after_silence,
            began: at,
            asks: 0,
            next_ask: at,
            knocks: 0,
            next_knock: at,
            tried: 0,
            answered: 0,
            refused: Vec::new(),
            peers: Vec::new(),
        }
    }

    pub(super) fn next(&self) -> Mono {
        self.next_ask.min(self.next_knock)
    }

    /// Asks again at `now` whatever the schedule says: the targets have changed.
    pub(super) fn hasten(&mut self, now: Mono) {
        self.next_ask = now;
        self.next_knock = now;
    }

    /// The DISCOVERs due at `now`, and what to tell the program if the search is getting long.
    pub(super) fn ask(
        &mut self,
        now: Now,
        target: &Target,
        entropy: &mut dyn Entropy,
        mut send: impl FnMut(Destination, Vec<u8>),
    ) -> Option<(u64, u32)> {
        if now.mono < self.next_ask {
            return None;
        }
        let gap = GAPS_MS[self.asks.min(GAPS_MS.len() - 1)];
        self.next_ask = now.mono.plus_ms(jittered(gap, 20, entropy));
        self.asks += 1;
        self.tried = 0;
        if let Target::Discover { to, broadcast, .. } = target {
            let datagram = self.probe.ask(entropy);
            let peers = self.peers.iter().filter(|p| !to.contains(p));
            to.iter().chain(peers).for_each(|at| send(Destination::To(*at), datagram.clone()));
            if *broadcast {
                send(Destination::Broadcast, datagram);
            }
        }
        (self.asks > FAILED_AFTER).then(|| (now.mono.ms_since(self.began), self.answered))
    }

    /// Whether to try the servers whose keys are known, and how: at first with patience, then with a knock now and then.
    pub(super) fn knock(&mut self, now: Mono, entropy: &mut dyn Entropy) -> Option<Purpose> {
        if now < self.next_knock {
            return None;
        }
        self.next_knock = now.plus_ms(jittered(KNOCK_MS, 20, entropy));
        self.knocks = self.knocks.saturating_add(1);
        Some(if self.knocks == 1 { Purpose::Return } else { Purpose::Knock })
    }

    /// Takes note of an offer. Returns when a handshake with that server may begin, if one may.
    pub(super) fn consider(&mut self, now: Mono, target: &Target, hint: &OfferHint) -> Option<Mono> {
        self.answered = self.answered.saturating_add(1);
        for peer in &hint.peers {
            if self.peers.len() < PEERS_MAX && !self.peers.contains(peer) {
                self.peers.push(*peer);
            }
        }
        let pinned = target.pin(hint.address) == Some(hint.key.fingerprint());
        if !pinned && self.tried >= CANDIDATES_MAX || self.is_refused(now, hint) {
            return None;
        }
        self.tried += 1;
        let named = pinned || target.names(hint.address);
        let others = matches!(target, Target::Discover { to, .. } if !to.is_empty());
        Some(if others && !named { now.max(self.began.plus_ms(HEAD_START_MS)) } else { now })
    }

    /// Notes that a server is not to be tried again for a while.
    pub(super) fn refuse(&mut self, now: Mono, server: ServerSeen) {
        if self.refused.len() == REFUSED_MAX {
            self.refused.remove(0);
        }
        self.refused.push((server.address, server.key, now.plus_ms(REFUSED_MS)));
    }

    fn is_refused(&self, now: Mono, hint: &OfferHint) -> bool {
        self.refused.iter().any(|(at, key, until)| (*at, *key) == (hint.address, hint.key) && now < *until)
    }
}
