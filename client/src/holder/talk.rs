//! What is said inside a session: leases, queries, and how frames share datagrams.

use std::time::Duration;

use leasehold_protocol::{
    Entropy,
    frame::{self, Frames},
    message::{
        Bundle, ClientFrame, ClientGoodbye, Deny, Grant, Known, LetGo, ProofQuery, Queued, Released, Renewed,
        ServerFrame, Wait,
    },
    packet::PLAINTEXT_MAX,
    time::{Mono, Now},
    vocab::OperationId,
};

use super::{
    Destination, Holder, HolderEvent, LeaseHandle, LeaseState, Place,
    attempt::Stage,
    lease::{Lease, Outcome},
    query::Query,
    session::Session,
};

/// The least plaintext of a datagram with a REQUEST, so that its GRANT is not longer (SPEC 2.4).
const REQUEST_PAD: usize = 512;

impl Holder {
    /// Opens a DATA datagram and does what its frames say.
    pub(super) fn on_data(&mut self, now: Now, sid: u32, counter: u64, bytes: &mut [u8]) -> Option<()> {
        if let Some(session) = self.session.as_mut().filter(|s| s.client_sid == sid) {
            let frames = read_frames(session.unseal(now.mono, counter, bytes)?, &mut self.ignored);
            self.heard_from_server();
            frames.into_iter().for_each(|frame| self.on_frame(now, frame));
            return Some(());
        }
        if let Some((session, _)) = self.previous.as_mut().filter(|(s, until)| s.client_sid == sid && now.mono < *until)
        {
            let frames = read_frames(session.unseal(now.mono, counter, bytes)?, &mut self.ignored);
            // What that server does not know says nothing of this one.
            let frames = frames.into_iter().filter(|frame| !matches!(frame, ServerFrame::Unsupported(_)));
            frames.for_each(|frame| self.on_frame(now, frame));
            return Some(());
        }
        let attempt = self.attempts.iter_mut().find(|a| a.sid == sid)?;
        let Stage::Proving { session, ask } = &mut attempt.stage else { return None };
        let asked = ask.id;
        let frames = read_frames(session.unseal(now.mono, counter, bytes)?, &mut self.ignored);
        for frame in frames {
            match frame {
                ServerFrame::Proof(proof) if proof.operation == asked => self.on_proof(now, sid, &proof.certificate),
                _ => {}
            }
        }
        Some(())
    }

    fn on_frame(&mut self, now: Now, frame: ServerFrame) {
        match frame {
            ServerFrame::Grant(grant) => self.on_grant(now.mono, grant),
            ServerFrame::Deny(deny) => self.on_deny(now.mono, deny),
            ServerFrame::Queued(queued) => self.on_queued(now.mono, &queued),
            ServerFrame::Renewed(renewed) => self.on_renewed(now.mono, &renewed),
            ServerFrame::RenewedMany(renewed) => self.on_renewed_many(now.mono, &renewed),
            ServerFrame::Released(released) => self.on_released(&released),
            ServerFrame::FeatureInfo(mut page) => self.on_page(now.mono, |q, now, e| q.on_features(now, &mut page, e)),
            ServerFrame::LicenceInfo(mut page) => self.on_page(now.mono, |q, now, e| q.on_licences(now, &mut page, e)),
            ServerFrame::LetGo(told) => self.on_let_go(now.mono, &told),
            ServerFrame::PathChallenge(token) => self.frames.push(ClientFrame::PathResponse(token)),
            ServerFrame::Goodbye(goodbye) => {
                self.leaving = true;
                let (code, back_in_ms) = (goodbye.code, goodbye.back_in_ms);
                self.events.push_back(HolderEvent::ServerGoodbye { code, back_in_ms });
            }
            ServerFrame::Unsupported(told) => {
                self.on_unsupported(now.mono, told.frame_type);
                self.on_no_queues(now.mono, told.frame_type);
                if told.frame_type == Bundle::KIND {
                    self.on_no_bundles(now.mono);
                }
                self.on_unknown_query(told.frame_type);
            }
            // The answer to a key confirmation: nothing to do.
            ServerFrame::Proof(_) => {}
        }
    }

    fn on_grant(&mut self, now: Mono, grant: Box<Grant>) {
        let Some(by) = self.session.as_ref().map(|s| s.mark) else { return };
        let pace = self.pace;
        let mut nonsense = None;
        for (handle, lease) in &mut self.leases {
            let before = lease.state();
            match lease.on_grant(now, by, &grant, pace, &mut *self.entropy) {
                Outcome::Lives { took_ms } => {
                    tell_change(&mut self.events, *handle, before, lease);
                    self.events.push_back(HolderEvent::Granted { lease: *handle, grant, took_ms });
                    return;
                }
                Outcome::Nonsense(what) => {
                    nonsense = Some(*handle);
                    self.events.push_back(HolderEvent::Misbehaved { lease: *handle, what });
                    break;
                }
                _ => {}
            }
        }
        match nonsense {
            Some(handle) => self.begin_release(now, handle),
            None => self.on_grant_of_bundle(now, by, grant),
        }
    }

    fn on_queued(&mut self, now: Mono, queued: &Queued) {
        for (handle, lease) in &mut self.leases {
            if let Outcome::Waits { again_at } = lease.on_queued(now, queued, &mut *self.entropy) {
                let expected = queued.expected_ms.map(|ms| Duration::from_millis(ms.into()));
                let place = Place { place: queued.place, length: queued.length, expected, why: queued.code };
                self.events.push_back(HolderEvent::Queued { lease: *handle, place, again_at });
                return;
            }
        }
    }

    fn on_let_go(&mut self, now: Mono, told: &LetGo) {
        let _ = self.leases.values_mut().any(|lease| lease.on_let_go(now, told));
    }

    /// The server is older than WAIT.
    fn on_no_queues(&mut self, now: Mono, frame_type: u8) {
        if let Some(session) = self.session.as_mut().filter(|_| frame_type == Wait::KIND) {
            session.has_queues = false;
            self.leases.values_mut().for_each(|lease| lease.ask_without_queue(now));
        }
    }

    fn on_renewed(&mut self, now: Mono, renewed: &Renewed) {
        let pace = self.pace;
        for (handle, lease) in &mut self.leases {
            let before = lease.state();
            if let Outcome::Lives { took_ms } = lease.on_renewed(now, renewed, pace, &mut *self.entropy) {
                self.events.push_back(HolderEvent::Renewed { lease: *handle, took_ms, overage: renewed.overage });
                tell_change(&mut self.events, *handle, before, lease);
                return;
            }
        }
    }

    fn on_deny(&mut self, now: Mono, deny: Box<Deny>) {
        let mut over = None;
        if self.bundles.values().any(|bundle| bundle.asks_by(deny.operation)) {
            return self.on_deny_of_bundle(now, deny);
        }
        for (handle, lease) in &mut self.leases {
            let before = lease.state();
            match lease.on_deny(now, &deny, &mut *self.entropy) {
                Outcome::Stale => continue,
                Outcome::Waits { again_at } => {
                    self.events.push_back(HolderEvent::Waiting { lease: *handle, deny, again_at });
                }
                Outcome::NeverWas => {
                    over = Some(*handle);
                    self.events.push_back(HolderEvent::Denied { lease: *handle, deny });
                }
                Outcome::Ended => self.events.push_back(HolderEvent::Denied { lease: *handle, deny }),
                Outcome::AskedAnew | Outcome::Lives { .. } | Outcome::Nonsense(_) => {}
            }
            tell_change(&mut self.events, *handle, before, lease);
            break;
        }
        if let Some(mut lease) = over.and_then(|handle| self.leases.remove(&handle)) {
            // A copy of the request may be under way and find a seat that is free by then: nobody would ever use it.
            if lease.was_repeated() {
                lease.release(now, &mut *self.entropy);
                self.withdrawn.push(lease);
            }
        }
    }

    fn on_released(&mut self, released: &Released) {
        self.withdrawn.retain(|lease| !lease.is_released_by(released.operation));
        let found = self.leases.iter().find(|(_, lease)| lease.is_released_by(released.operation));
        if let Some((handle, _)) = found {
            let lease = *handle;
            self.leases.remove(&lease);
            self.events.push_back(HolderEvent::Released { lease, outcome: Some(released.outcome) });
        }
    }

    /// Gives a page to the query it answers, which says by `take` whether it was the last.
    fn on_page(&mut self, now: Mono, mut take: impl FnMut(&mut Query, Mono, &mut dyn Entropy) -> Option<bool>) {
        let Self { queries, entropy, events, .. } = self;
        let mut over: Option<OperationId> = None;
        for (operation, query) in queries.iter_mut() {
            if let Some(last) = take(query, now, &mut **entropy) {
                over = last.then_some(*operation);
                break;
            }
        }
        if let Some((operation, query)) = over.and_then(|operation| queries.remove_entry(&operation)) {
            events.push_back(query.into_event(operation));
        }
    }

    /// Ends the queries whose frames this server does not know.
    fn on_unknown_query(&mut self, frame_type: u8) {
        let Self { queries, events, .. } = self;
        queries.retain(|operation, query| {
            let asks = query.asks_by(frame_type);
            if asks {
                events.push_back(HolderEvent::Licences { operation: *operation, licences: None });
            }
            !asks
        });
    }

    pub(super) fn begin_release(&mut self, now: Mono, handle: LeaseHandle) {
        let Some(lease) = self.leases.get_mut(&handle).filter(|l| l.state() != LeaseState::Released) else { return };
        let told = lease.release(now, &mut *self.entropy);
        self.events.push_back(HolderEvent::StateChanged { lease: handle, state: LeaseState::Released });
        if !told {
            self.leases.remove(&handle);
            self.events.push_back(HolderEvent::Released { lease: handle, outcome: None });
        }
    }

    /// Lets the clock act on every lease and collects what they ask.
    pub(super) fn turn_leases(&mut self, now: Mono) {
        let connected = self.session.is_some();
        for (handle, lease) in &mut self.leases {
            let before = lease.state();
            lease.advance(now, connected, &mut *self.entropy);
            let news = lease.take_news().map(|plea| HolderEvent::AskedToLetGo { lease: *handle, plea });
            self.events.extend(news);
            tell_change(&mut self.events, *handle, before, lease);
        }
        self.join_renewals(now);
        self.ask_for_leases(now);
        self.ask_for_bundles(now);
        self.forget_leases(now);
    }

    /// What every lease asks, renewals packed.
    fn ask_for_leases(&mut self, now: Mono) {
        let Self { leases, withdrawn, entropy, events, frames, session, identity, common, pace, .. } = self;
        let Some(session) = session else { return };
        let mut renewals = Vec::new();
        for (handle, lease) in leases {
            let before = lease.state();
            match lease.question(now, (session.mark, session.has_queues), &identity.who, *pace, &mut **entropy) {
                Some(ClientFrame::Renew(renew)) if session.renews_many && !lease.renews_alone() => {
                    renewals.push((*handle, renew));
                }
                question => frames.extend(question),
            }
            tell_change(events, *handle, before, lease);
        }
        common.pack(now, renewals, &mut **entropy, frames);
        let withdrawn = withdrawn.iter_mut();
        frames.extend(withdrawn.filter_map(|lease| {
            lease.question(now, (session.mark, session.has_queues), &identity.who, *pace, &mut **entropy)
        }));
    }

    /// Gives up releases that nobody answered for as long as the lease could have lived.
    fn forget_leases(&mut self, now: Mono) {
        let Self { leases, withdrawn, events, .. } = self;
        withdrawn.retain(|lease| !lease.is_forgotten(now));
        leases.retain(|handle, lease| {
            let forgotten = lease.is_forgotten(now);
            if forgotten {
                events.push_back(HolderEvent::Released { lease: *handle, outcome: None });
            }
            !forgotten
        });
    }

    pub(super) fn turn_queries(&mut self, now: Mono) {
        if self.session.is_some() {
            let Self { queries, entropy, frames, .. } = self;
            let due = queries.values_mut().filter_map(|query| query.question(now, &mut **entropy));
            frames.extend(due);
        }
    }

    /// Whether [`Holder::close`] has nothing left to do.
    pub(super) fn is_closed(&self) -> bool {
        self.closing && self.leases.is_empty() && self.withdrawn.is_empty()
    }

    /// Ends the session once every release is over.
    pub(super) fn finish_closing(&mut self) {
        if !self.is_closed() || self.closed {
            return;
        }
        self.closed = true;
        self.target = None;
        self.search = None;
        self.attempts.clear();
        self.frames.push(ClientFrame::Goodbye(ClientGoodbye));
        self.flush();
        self.session = None;
        self.previous = None;
        self.events.push_back(HolderEvent::Closed);
    }

    /// Seals what has been collected into as few datagrams as it takes.
    pub(super) fn flush(&mut self) {
        let Some(session) = &mut self.session else {
            self.frames.clear();
            return;
        };
        if self.frames.is_empty() && self.unconfirmed {
            // Nothing to say, but the server must see the new keys used, or it may forget them.
            let operation = OperationId(self.entropy.next_u64());
            self.frames.push(ClientFrame::ProofQuery(ProofQuery { operation }));
        }
        let mut packer = Packer { session, plaintext: Vec::new(), out: &mut self.out };
        for frame in self.frames.drain(..) {
            self.unconfirmed = false;
            packer.add(&frame);
        }
        packer.seal(0);
    }
}

/// Collects frames into a datagram until it is full.
struct Packer<'a> {
    session: &'a mut Session,
    plaintext: Vec<u8>,
    out: &'a mut std::collections::VecDeque<(Destination, Vec<u8>)>,
}

impl Packer<'_> {
    fn add(&mut self, frame: &ClientFrame) {
        let alone = pad_of(frame);
        if alone > 0 {
            self.seal(0);
        }
        if frame.append_to(&mut self.plaintext).is_err() {
            self.seal(0);
            // A frame fits an empty datagram: every text in it is bounded. If one did not, it would be left out.
            let _ = frame.append_to(&mut self.plaintext);
        }
        if alone > 0 {
            self.seal(alone);
        }
    }

    fn seal(&mut self, pad: usize) {
        if self.plaintext.is_empty() {
            return;
        }
        frame::pad(&mut self.plaintext, pad);
        let mut datagram = Vec::new();
        self.session.seal(&self.plaintext, &mut datagram);
        self.out.push_back((Destination::To(self.session.server.address), datagram));
        self.plaintext.clear();
    }
}

/// The length a frame's datagram is padded to because its answer may be that long; 0 for frames that share one.
const fn pad_of(frame: &ClientFrame) -> usize {
    match frame {
        ClientFrame::Request(_) | ClientFrame::Wait(_) => REQUEST_PAD,
        ClientFrame::FeatureQuery(_)
        | ClientFrame::LicenceQuery(_)
        | ClientFrame::ProofQuery(_)
        | ClientFrame::Bundle(_) => PLAINTEXT_MAX,
        _ => 0,
    }
}

/// One frame in a datagram of its own.
pub(super) fn sealed_alone(session: &mut Session, frame: &ClientFrame) -> Option<Vec<u8>> {
    let (mut plaintext, mut datagram) = (Vec::new(), Vec::new());
    frame.append_to(&mut plaintext).ok()?;
    frame::pad(&mut plaintext, pad_of(frame));
    session.seal(&plaintext, &mut datagram);
    Some(datagram)
}

/// The frames this build knows; unknown ones are skipped (W-9), and what cannot be read ends the datagram.
fn read_frames(plaintext: &[u8], ignored: &mut u64) -> Vec<ServerFrame> {
    let mut known = Vec::new();
    for raw in Frames::new(plaintext) {
        match raw.and_then(ServerFrame::decode) {
            Ok(Known::Frame(frame)) => known.push(frame),
            Ok(Known::Unknown(_)) => {}
            Err(_) => *ignored += 1,
        }
    }
    known
}

pub(super) fn tell_change(
    events: &mut std::collections::VecDeque<HolderEvent>,
    handle: LeaseHandle,
    before: LeaseState,
    lease: &Lease,
) {
    let state = lease.state();
    if state != before {
        events.push_back(HolderEvent::StateChanged { lease: handle, state });
    }
}
