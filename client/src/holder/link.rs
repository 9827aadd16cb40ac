//! The way to a server: searching, shaking hands, noticing silence, changing keys.

use std::net::SocketAddr;

use leasehold_protocol::{
    Entropy,
    message::{ClientFrame, ProofQuery},
    packet::{self, Packet},
    time::{Mono, Now},
};

use super::{
    Destination, Holder, HolderEvent, RejectReason, ServerSeen, Target,
    attempt::{Attempt, Origin, Purpose, Stage, Step},
    pace::Ask,
    probe::OfferHint,
    search::{CANDIDATES_MAX, Search},
    session::Session,
    trust::Verdict,
};

/// Wall clock against lease clock: a jump beyond this may be a restored snapshot, whose nonces have been used before.
const CLOCK_JUMP_MS: u128 = 2_000;
/// Handshakes after such a jump are spread over this.
const JUMP_SPREAD_MS: u64 = 1_000;
/// How long answers under the keys before are still read.
const PREVIOUS_MS: u64 = 10_000;
/// Tries without a word that make the server doubtful, and how many after it said goodbye.
const SILENT_TRIES: usize = 3;
const SILENT_TRIES_LEAVING: usize = 1;
/// The first sight of silence goes to the same server; everybody is asked only after this.
const RETURN_HEAD_START_MS: u64 = 750;
/// A change of keys that failed is tried again after this.
const REKEY_AGAIN_MS: u64 = 600_000;
/// A server asked for its certificate so often without an answer is given up.
const PROOF_TRIES: u32 = 4;

impl Holder {
    /// Looks at the clocks: a lease clock and a wall clock that part tell of a snapshot, and end every session.
    pub(super) fn observe(&mut self, now: Now) {
        let offset = i128::from(now.wall.0) - i128::from(now.mono.0);
        let before = self.clock_offset_ms.replace(offset).unwrap_or(offset);
        if (offset - before).unsigned_abs() <= CLOCK_JUMP_MS {
            return;
        }
        self.previous = None;
        self.attempts.clear();
        if self.session.take().is_some() {
            let at = now.mono.plus_ms(self.entropy.next_u64() % JUMP_SPREAD_MS);
            self.search = Some(Search::new(&self.config, at, false));
        }
    }

    pub(super) fn link_timeout(&self) -> Option<Mono> {
        let attempts = self.attempts.iter().map(Attempt::next).min();
        let search = self.search.as_ref().filter(|_| self.target.is_some()).map(Search::next);
        let rekey = self.session.as_ref().map(Session::rekey_at);
        [attempts, search, rekey].into_iter().flatten().min()
    }

    pub(super) fn turn_link(&mut self, now: Now) {
        if self.session.as_ref().is_some_and(|s| s.is_spent(now.mono)) {
            self.session = None;
        }
        self.notice_silence(now.mono);
        self.notice_rekey(now.mono);
        if self.session.is_none() && self.search.is_none() && self.target.is_some() && !self.is_closed() {
            self.search = Some(Search::new(&self.config, now.mono, false));
        }
        self.turn_search(now);
        self.turn_attempts(now);
    }

    /// Three tries in a row that nothing answered: the server may have restarted and forgotten the session.
    fn notice_silence(&mut self, now: Mono) {
        let Some(session) = &self.session else { return };
        let heard = session.heard();
        let limit = if self.leaving { SILENT_TRIES_LEAVING } else { SILENT_TRIES };
        let silent = self.leases.values().any(|lease| lease.is_unheard(now, heard, limit))
            || self.queries.values().any(|query| query.is_unheard(now, heard, limit))
            || self.bundles.values().any(|bundle| bundle.is_unheard(now, heard, limit));
        if !silent || self.search.is_some() {
            return;
        }
        let server = session.server;
        self.search = Some(Search::new(&self.config, now.plus_ms(RETURN_HEAD_START_MS), true));
        self.begin_attempt(now, server, Purpose::Return);
    }

    fn notice_rekey(&mut self, now: Mono) {
        let Some(session) = &mut self.session else { return };
        if now >= session.rekey_at() {
            session.rekey_again_at(now.plus_ms(REKEY_AGAIN_MS));
            let server = session.server;
            self.begin_attempt(now, server, Purpose::Rekey);
        }
    }

    fn turn_search(&mut self, now: Now) {
        let (Some(search), Some(target)) = (&mut self.search, &self.target) else { return };
        let out = &mut self.out;
        let failed = search.ask(now, target, &mut *self.entropy, |to, bytes| out.push_back((to, bytes)));
        if let Some((waited_ms, answered)) = failed {
            self.events.push_back(HolderEvent::ConnectFailed { waited_ms, answered });
        }
        if let Some(purpose) = search.knock(now.mono, &mut *self.entropy) {
            self.knock(now.mono, purpose);
        }
    }

    /// Tries the servers whose keys are known: the one named outright, and the last one.
    fn knock(&mut self, now: Mono, purpose: Purpose) {
        let known = match self.target {
            Some(Target::Known { address, key, realm }) => Some(ServerSeen { address, key, realm }),
            _ => None,
        };
        let last = self.last_server.filter(|last| known.is_none_or(|known| known.address != last.address));
        for server in [known, last].into_iter().flatten() {
            self.begin_attempt(now, server, purpose);
        }
    }

    fn begin_attempt(&mut self, at: Mono, server: ServerSeen, purpose: Purpose) {
        if self.attempts.iter().any(|a| is_same(a.server, server)) {
            return;
        }
        let mut origin = Origin { config: &self.config, identity: &self.identity, entropy: &mut *self.entropy };
        self.attempts.push(Attempt::new(server, purpose, at, &mut origin));
    }

    fn turn_attempts(&mut self, now: Now) {
        let Self { attempts, out, config, identity, entropy, .. } = self;
        let mut origin = Origin { config, identity, entropy: &mut **entropy };
        let mut over = Vec::new();
        for attempt in attempts.iter_mut() {
            match attempt.step(now, &mut origin) {
                Step::Nothing => {}
                Step::Send(datagram) => out.push_back((Destination::To(attempt.server.address), datagram)),
                Step::Over { answered } => over.push((attempt.sid, answered)),
            }
            if let Some(asked) = ask_for_proof(attempt, now.mono, origin.entropy) {
                match asked {
                    Some(datagram) => out.push_back((Destination::To(attempt.server.address), datagram)),
                    None => over.push((attempt.sid, true)),
                }
            }
        }
        for (sid, answered) in over {
            self.end_attempt(now.mono, sid, answered.then_some(RejectReason::NoAnswer));
        }
    }

    fn end_attempt(&mut self, now: Mono, sid: u32, why: Option<RejectReason>) {
        let Some(i) = self.attempts.iter().position(|a| a.sid == sid) else { return };
        let attempt = self.attempts.remove(i);
        let Some(why) = why else { return };
        if let Some(search) = self.search.as_mut().filter(|_| why != RejectReason::NoAnswer) {
            search.refuse(now, attempt.server);
        }
        self.events.push_back(HolderEvent::ServerRejected { address: attempt.server.address, why });
    }

    /// Reads one datagram; what the receive path of SPEC 2.2 refuses ends here.
    pub(super) fn receive(&mut self, now: Now, from: SocketAddr, bytes: &mut [u8]) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let used = match packet::read_to_client(bytes) {
            Ok(Packet::Retry(retry)) => self.on_retry(now.mono, retry),
            Ok(Packet::Hello2(hello)) => self.on_hello2(now, hello),
            Ok(Packet::Offer(offer)) => self.on_offer(now.mono, from, bytes, &offer),
            Ok(Packet::Data(header)) => {
                let (sid, counter) = (header.receiver_sid.get(), header.counter.get());
                self.on_data(now, sid, counter, bytes)
            }
            _ => None,
        };
        if used.is_none() {
            self.ignored += 1;
        }
    }

    fn on_retry(&mut self, now: Mono, retry: &packet::Retry) -> Option<()> {
        let sid = retry.client_sid.get();
        let attempt = self.attempts.iter_mut().find(|a| a.sid == sid)?;
        let datagram = attempt.on_retry(now, retry)?;
        self.out.push_back((Destination::To(attempt.server.address), datagram));
        Some(())
    }

    fn on_offer(&mut self, now: Mono, from: SocketAddr, bytes: &[u8], offer: &packet::Offer<'_>) -> Option<()> {
        let (search, target) = (self.search.as_mut()?, self.target.as_ref()?);
        let hint = search.probe.accept(from, bytes, offer)?;
        let OfferHint { address, realm, key, server_id, weight, .. } = hint;
        self.events.push_back(HolderEvent::Offered { from: address, key, realm, server_id, weight });
        let server = ServerSeen { address, key, realm };
        if self.attempts.iter().any(|a| is_same(a.server, server)) {
            return Some(());
        }
        let begin_at = search.consider(now, target, &hint)?;
        let pinned = target.pin(address) == Some(key.fingerprint());
        if self.attempts.len() >= CANDIDATES_MAX && !(pinned && self.make_room()) {
            return Some(());
        }
        self.begin_attempt(begin_at, server, Purpose::Candidate { pinned });
        Some(())
    }

    /// Drops the newest candidate that nobody pinned, for one that somebody did.
    fn make_room(&mut self) -> bool {
        let unpinned = |a: &Attempt| a.purpose == Purpose::Candidate { pinned: false };
        let found = self.attempts.iter().rposition(unpinned);
        found.map(|i| self.attempts.remove(i)).is_some()
    }

    fn on_hello2(&mut self, now: Now, hello: &packet::Hello2) -> Option<()> {
        let sid = hello.client_sid.get();
        let attempt = self.attempts.iter_mut().find(|a| a.sid == sid)?;
        let session = attempt.on_hello2(now.mono, hello, &mut *self.entropy)?;
        let ServerSeen { address, key, realm } = attempt.server;
        if let Some(expected) =
            self.target.as_ref().and_then(|t| t.pin(address)).filter(|pin| *pin != key.fingerprint())
        {
            self.end_attempt(now.mono, sid, Some(RejectReason::WrongKey { expected, found: key.fingerprint() }));
            return Some(());
        }
        match self.trust.judge(&self.config, &key, realm, now.wall) {
            Verdict::Trusted => self.adopt(now.mono, sid, session),
            Verdict::ProofWanted => {
                attempt.stage =
                    Stage::Proving { session: Box::new(session), ask: Ask::at(now.mono, &mut *self.entropy) };
                // One session of one client per server: another handshake's first DATA would end this one.
                self.attempts.retain(|a| a.sid == sid || a.server.key != key);
            }
        }
        Some(())
    }

    /// Makes `session` the one to speak in.
    pub(super) fn adopt(&mut self, now: Mono, sid: u32, session: Session) {
        let found = self.attempts.iter().find(|a| a.sid == sid);
        let (rekeyed, rtt_ms) = found.map_or((false, 0), |a| (a.purpose == Purpose::Rekey, a.rtt_ms(now)));
        let (ServerSeen { address, key, realm }, mark) = (session.server, session.mark);
        self.attempts.clear();
        self.search = None;
        self.leaving = false;
        self.unconfirmed = true;
        self.last_server = Some(session.server);
        let before = self.session.replace(session);
        let same = before.as_ref().is_some_and(|b| b.mark == mark);
        self.previous = before.filter(|_| same).map(|b| (b, now.plus_ms(PREVIOUS_MS)));
        if rekeyed && same {
            return;
        }
        let leases = self.leases.values_mut().chain(&mut self.withdrawn);
        leases.for_each(|lease| lease.reconnected(now, mark, &mut *self.entropy));
        self.queries.values_mut().for_each(|query| query.reconnected(now));
        self.bundles.values_mut().for_each(|bundle| bundle.reconnected(now));
        self.events.push_back(HolderEvent::Connected { address, key, realm, rtt_ms });
    }

    /// A sign of life on the session in use: what began because of silence is over.
    pub(super) fn heard_from_server(&mut self) {
        let proving = self.attempts.iter().any(|a| matches!(a.stage, Stage::Proving { .. }));
        if self.search.as_ref().is_some_and(|s| s.after_silence) && !proving {
            self.search = None;
            self.attempts.retain(|a| a.purpose == Purpose::Rekey);
        }
    }

    /// A certificate shown in a handshake: the server is used, or rejected for it.
    pub(super) fn on_proof(&mut self, now: Now, sid: u32, certificate: &[u8]) {
        let Some(i) = self.attempts.iter().position(|a| a.sid == sid) else { return };
        let ServerSeen { key, realm, .. } = self.attempts[i].server;
        match self.trust.check(&self.config, &key, realm, now.wall, certificate) {
            Err(why) => self.end_attempt(now.mono, sid, Some(why)),
            Ok(()) => {
                if let Stage::Proving { session, .. } = std::mem::replace(&mut self.attempts[i].stage, Stage::Ready) {
                    self.adopt(now.mono, sid, *session);
                    self.unconfirmed = false;
                }
            }
        }
    }
}

/// Whether two ways lead to one server by one address.
fn is_same(a: ServerSeen, b: ServerSeen) -> bool {
    (a.address, a.key) == (b.address, b.key)
}

/// The datagram that asks a server for its certificate, if it is time for one. `Some(None)`: it was asked often enough.
fn ask_for_proof(attempt: &mut Attempt, now: Mono, entropy: &mut dyn Entropy) -> Option<Option<Vec<u8>>> {
    let Stage::Proving { session, ask } = &mut attempt.stage else { return None };
    if now < ask.next() {
        return None;
    }
    if ask.tries() >= PROOF_TRIES {
        return Some(None);
    }
    ask.sent(now, u64::MAX, entropy.next_u64());
    let question = ClientFrame::ProofQuery(ProofQuery { operation: ask.id });
    Some(super::talk::sealed_alone(session, &question))
}
