//! One lease as its holder sees it: what to ask next, and what the clock makes of it.

mod answers;
mod courtesy;

use leasehold_protocol::{
    Entropy,
    crypto::ticket::SealedTicket,
    message::{self, Activity, ClientFrame, LetGo, Release, Renew, Request, Wait},
    time::{Mono, UnixMillis},
    vocab::{ClaimKey, Denial, LeaseId, OperationId, SeatCount},
};

use super::{CheckoutSpec, LeaseState, LossCause, Plea, pace::Ask, session::ServerMark};
pub(super) use answers::{HINT_MIN_MS, Outcome, nonsense};
use courtesy::Courtesy;

/// A lease, from asking to the answer to its release.
pub(super) struct Lease {
    spec: CheckoutSpec,
    claim: ClaimKey,
    state: LeaseState,
    granted: Option<Granted>,
    /// What is being asked, if anything.
    ask: Option<(Verb, Ask)>,
    /// The renewal being asked goes in a frame of its own: from a common one it was left out, and only a DENY says why.
    alone: bool,
    patience: Patience,
    /// The WAIT that was last answered by a place, and when it was first sent: a grant may come for it at any time.
    queued: Option<(OperationId, Mono)>,
    /// How many questions went out: with the first, a server may know of it.
    asked: u32,
    /// When a release nobody answers is given up.
    release_until: Mono,
    courtesy: Courtesy,
    /// It is lost, and is being given back: its time to let go was up.
    lets_go: bool,
}

/// What a checkout does that is denied and may be granted later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It ends.
    None,
    /// It asks again when the server says so.
    Asks { until: Mono },
    /// It waits in the server's queue.
    Queues { until: Mono },
}

/// What the server gave.
#[derive(Clone, Debug)]
struct Granted {
    by: ServerMark,
    lease: LeaseId,
    ticket: SealedTicket,
    seats: SeatCount,
    deadline: Mono,
    grace_until: Mono,
    grace_ms: u32,
    renew_at: Mono,
    /// How much earlier than `renew_at` it may go along with another lease's renewal.
    renew_slack_ms: u64,
    right_ends: Option<UnixMillis>,
}

/// A lease's particulars, for people and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Its name before and after it exists.
    pub claim: ClaimKey,
    /// Its id on the server; `None` before the first grant.
    pub id: Option<LeaseId>,
    /// Seats granted; those asked for before the first grant.
    pub seats: SeatCount,
    /// How it is doing.
    pub state: LeaseState,
    /// Until when it lives without a renewal; `None` before the first grant.
    pub deadline: Option<Mono>,
    /// When the right itself ends, if it does.
    pub right_ends: Option<UnixMillis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Request,
    Renew,
    Release,
}

/// How the whole of a holder's leases pace their renewals.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Instead of the server's, for load tests.
    pub(super) renew_every_ms: Option<u64>,
    /// The jitter until renewals next go out: leases renewed together stay together, answered or not.
    pub(super) drawn: u64,
}

/// A release is given up after this long when no grant ever told the lease's TTL: the longest default.
const UNKNOWN_TTL_MS: u64 = 300_000;
/// A release of a lease past its deadline is still tried for this long.
const LATE_RELEASE_MS: u64 = 5_000;

impl Patience {
    /// Until when, if at all.
    const fn until(self) -> Option<Mono> {
        match self {
            Self::None => None,
            Self::Asks { until } | Self::Queues { until } => Some(until),
        }
    }
}

impl Lease {
    pub(super) fn new(now: Mono, mut spec: CheckoutSpec, patience: Patience, entropy: &mut dyn Entropy) -> Self {
        let claim = spec.claim.take().unwrap_or_else(|| ClaimKey::random(entropy));
        Self {
            spec,
            claim,
            state: LeaseState::Asking,
            granted: None,
            ask: Some((Verb::Request, Ask::at(now, entropy))),
            alone: false,
            patience,
            queued: None,
            asked: 0,
            release_until: Mono(0),
            courtesy: Courtesy::default(),
            lets_go: false,
        }
    }

    /// An item of a bundle for which `ask` was asked so often.
    pub(super) fn of_bundle(now: Mono, spec: CheckoutSpec, asked: (&Ask, u32), entropy: &mut dyn Entropy) -> Self {
        let (ask, asked) = (Some((Verb::Request, asked.0.clone())), asked.1);
        Self { ask, asked, ..Self::new(now, spec, Patience::None, entropy) }
    }

    /// What its program is doing from now on.
    pub(super) fn set_activity(&mut self, activity: Activity) {
        self.courtesy.set_activity(activity);
    }

    /// Notes what a server asks of it; whether it is this lease that is meant.
    pub(super) fn on_let_go(&mut self, now: Mono, told: &LetGo) -> bool {
        let is_ours = told.claim == self.claim && self.granted.as_ref().is_some_and(|g| g.lease == told.lease);
        if is_ours && self.state.is_held() {
            self.courtesy.hear(now, told.clone());
        }
        is_ours
    }

    /// What its program is to be told of that.
    pub(super) const fn take_news(&mut self) -> Option<Plea> {
        self.courtesy.take_news()
    }

    pub(super) const fn state(&self) -> LeaseState {
        self.state
    }

    pub(super) fn info(&self) -> LeaseInfo {
        let granted = self.granted.as_ref();
        LeaseInfo {
            claim: self.claim,
            id: granted.map(|g| g.lease),
            seats: granted.map_or(self.spec.seats, |g| g.seats),
            state: self.state,
            deadline: granted.map(|g| g.deadline),
            right_ends: granted.and_then(|g| g.right_ends),
        }
    }

    /// When [`Lease::advance`] is next wanted. `connected`: questions can be sent.
    pub(super) fn next(&self, connected: bool) -> Option<Mono> {
        let asks =
            self.ask.as_ref().map(|(_, ask)| ask.next()).filter(|_| connected || self.state == LeaseState::Healthy);
        let gives_up = self.is_going().then_some(self.release_until);
        let answers = self.courtesy.next().filter(|_| self.state == LeaseState::Healthy && self.ask.is_none());
        let turns = self.granted.as_ref().and_then(|g| match self.state {
            LeaseState::Healthy if self.ask.is_none() => Some(g.renew_at.min(g.deadline)),
            LeaseState::Healthy | LeaseState::Retrying { .. } => Some(g.deadline),
            LeaseState::Grace { until } => Some(until),
            _ => None,
        });
        [asks, gives_up, answers, turns].into_iter().flatten().min()
    }

    /// Lets the clock act: renewals fall due, deadlines pass.
    pub(super) fn advance(&mut self, now: Mono, connected: bool, entropy: &mut dyn Entropy) {
        let Some(granted) = &self.granted else { return };
        let (deadline, grace_until, renew_at) = (granted.deadline, granted.grace_until, granted.renew_at);
        if self.state.is_held() && now >= deadline {
            self.state = if now < grace_until {
                LeaseState::Grace { until: grace_until }
            } else {
                LeaseState::Lost { at: grace_until, why: LossCause::Unreachable }
            };
            if !matches!(self.ask, Some((Verb::Request, _))) {
                // past its deadline a renewal is a fresh request in the same round trip.
                self.ask_for(Verb::Request, now, entropy);
            }
        }
        if self.state == LeaseState::Healthy && self.ask.is_none() && (self.courtesy.is_due(now) || now >= renew_at) {
            self.ask_for(Verb::Renew, now, entropy);
            self.courtesy.note_begun();
        }
        match &self.ask {
            Some((_, ask)) if self.state == LeaseState::Healthy && !connected && ask.next() <= now => {
                self.state = LeaseState::Retrying { since: ask.first_sent().unwrap_or(now) };
            }
            _ => {}
        }
    }

    /// Whether a renewal of it may go out at `now` because another's does, before its own time.
    pub(super) fn may_renew_along(&self, now: Mono) -> bool {
        let near = |g: &Granted| now.plus_ms(g.renew_slack_ms) >= g.renew_at;
        self.state == LeaseState::Healthy && self.ask.is_none() && self.granted.as_ref().is_some_and(near)
    }

    /// Begins a renewal at once: along with another's, or because the machine woke.
    pub(super) fn renew_now(&mut self, now: Mono, entropy: &mut dyn Entropy) {
        if self.state == LeaseState::Healthy && self.ask.is_none() {
            self.ask_for(Verb::Renew, now, entropy);
        }
    }

    /// Asks `ask` again at once, if it is a renewal that is being asked.
    pub(super) fn renew_again(&mut self, now: Mono, ask: OperationId) {
        if let Some((Verb::Renew, asking)) = &mut self.ask
            && asking.id == ask
        {
            asking.restart(now);
        }
    }

    /// Whether its renewal must not share a frame with others.
    pub(super) const fn renews_alone(&self) -> bool {
        self.alone
    }

    /// Whether what it does next is a renewal that is due.
    pub(super) fn renewal_is_due(&self, now: Mono) -> bool {
        matches!(&self.ask, Some((Verb::Renew, ask)) if ask.next() <= now)
    }

    /// What it asks the server of `mark` at `now`, if anything is due. Notes the try.
    pub(super) fn question(
        &mut self,
        now: Mono,
        (mark, has_queues): (ServerMark, bool),
        who: &message::Holder,
        pace: Pace,
        entropy: &mut dyn Entropy,
    ) -> Option<ClientFrame> {
        let (verb, ask) = self.ask.as_mut()?;
        if ask.next() > now {
            return None;
        }
        // A lease id means nothing to a server that did not draw it.
        if *verb == Verb::Renew && self.granted.as_ref().is_none_or(|g| g.by != mark) {
            *verb = Verb::Request;
        }
        if *verb != Verb::Release && ask.is_stale(now) {
            *ask = Ask::at(now, entropy);
        }
        let left_ms = match (&self.state, &self.granted) {
            (LeaseState::Healthy | LeaseState::Retrying { .. }, Some(g)) => g.deadline.ms_since(now),
            _ => u64::MAX,
        };
        ask.sent(now, left_ms, pace.drawn);
        self.asked = self.asked.saturating_add(1);
        if self.state == LeaseState::Healthy && ask.tries() > 1 {
            self.state = LeaseState::Retrying { since: ask.first_sent().unwrap_or(now) };
        }
        let (verb, operation, is_first) = (*verb, ask.id, ask.tries() == 1);
        if verb == Verb::Renew {
            self.courtesy.note_sent(is_first);
        }
        let frame = self.frame(now, verb, operation, who);
        Some(match frame {
            // The last asking of all is one without a queue: it leaves the place if it is denied.
            ClientFrame::Request(request) if has_queues && self.queues(now) => {
                ClientFrame::Wait(Box::new(Wait { request: *request, queue_only: false }))
            }
            frame => frame,
        })
    }

    fn frame(&self, now: Mono, verb: Verb, operation: OperationId, who: &message::Holder) -> ClientFrame {
        let (claim, granted) = (self.claim, self.granted.as_ref());
        let lease = granted.map_or(LeaseId::NONE, |g| g.lease);
        match verb {
            Verb::Renew => ClientFrame::Renew(Renew { lease, claim, operation, activity: self.courtesy.activity() }),
            Verb::Release => ClientFrame::Release(Release { lease, claim, operation }),
            Verb::Request => ClientFrame::Request(Box::new(Request {
                operation,
                claim,
                feature: self.spec.feature.clone(),
                version: self.spec.version,
                seats: self.spec.seats,
                holder: who.clone(),
                // Past its deadline the seat may be somebody else's, and a server that has forgotten both of them would
                // believe the ticket.
                ticket: granted.filter(|g| now < g.deadline).map(|g| g.ticket),
            })),
        }
    }

    /// Whether it asks for a place in the queue rather than for a seat now or never.
    fn queues(&self, now: Mono) -> bool {
        let patient = matches!(self.patience, Patience::Queues { until } if now < until);
        patient && self.state == LeaseState::Asking
    }

    /// The server has no queues: what was asked so is asked at once without.
    pub(super) fn ask_without_queue(&mut self, now: Mono) {
        if self.queues(now)
            && let Some((Verb::Request, ask)) = &mut self.ask
            && ask.first_sent().is_some()
        {
            ask.restart(now);
        }
    }

    /// Whether its question has gone unheard by a session last heard from at `heard`.
    pub(super) fn is_unheard(&self, now: Mono, heard: Option<Mono>, limit: usize) -> bool {
        self.ask.as_ref().is_some_and(|(_, ask)| ask.next() <= now && ask.is_unheard(heard, limit))
    }

    /// A new session: what was being asked is asked at once, and a server that did not grant the lease is asked for it
    /// afresh.
    pub(super) fn reconnected(&mut self, now: Mono, mark: ServerMark, entropy: &mut dyn Entropy) {
        let stranger = self.granted.as_ref().is_some_and(|g| g.by != mark);
        match &mut self.ask {
            Some((_, ask)) => ask.restart(now),
            None if stranger && self.state.is_held() => self.ask_for(Verb::Request, now, entropy),
            None => {}
        }
    }

    /// Begins its release. Returns whether there is anything to tell a server.
    pub(super) fn release(&mut self, now: Mono, entropy: &mut dyn Entropy) -> bool {
        if self.state == LeaseState::Released {
            return true;
        }
        self.release_until = match &self.granted {
            Some(g) => g.deadline.max(now.plus_ms(LATE_RELEASE_MS)),
            None => now.plus_ms(UNKNOWN_TTL_MS),
        };
        self.state = LeaseState::Released;
        self.ask_for(Verb::Release, now, entropy);
        self.asked > 0
    }

    /// Tells its program that it is lost, and gives it back: somebody waits, and the server renews it no more.
    pub(super) fn let_go(&mut self, now: Mono, entropy: &mut dyn Entropy) {
        self.release(now, entropy);
        self.state = LeaseState::Lost { at: now, why: LossCause::Denied(Denial::RECLAIMED) };
        (self.courtesy, self.lets_go) = (Courtesy::default(), true);
    }

    /// Whether it is being given back.
    fn is_going(&self) -> bool {
        self.state == LeaseState::Released || self.lets_go
    }

    /// Whether a copy of its last question may still be on its way after an answer to it came.
    pub(super) const fn was_repeated(&self) -> bool {
        self.asked > 1
    }

    /// Whether a RELEASED with `operation` answers its release.
    pub(super) fn is_released_by(&self, operation: OperationId) -> bool {
        self.answered(Verb::Release, operation, self.claim).is_some()
    }

    /// Whether its release has gone unanswered for as long as the lease could have lived.
    pub(super) fn is_forgotten(&self, now: Mono) -> bool {
        self.is_going() && now >= self.release_until
    }

    fn ask_for(&mut self, verb: Verb, at: Mono, entropy: &mut dyn Entropy) {
        self.ask = Some((verb, Ask::at(at, entropy)));
        self.alone = false;
    }

    /// When the question of `verb` that `operation` names was first sent, if that is what is being asked.
    fn answered(&self, verb: Verb, operation: OperationId, claim: ClaimKey) -> Option<Mono> {
        let (asking, ask) = self.ask.as_ref()?;
        (*asking == verb && ask.id == operation && claim == self.claim).then(|| ask.first_sent())?
    }
}
