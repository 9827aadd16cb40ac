//! What a server's answers make of a lease.

use leasehold_protocol::{
    Entropy,
    message::{Deny, Extended, Grant, Queued, Renewed},
    time::Mono,
    vocab::{Denial, OperationId, SeatCount},
};

use super::{
    super::{LeaseState, LossCause, Misbehaved, pace::jittered_by, session::ServerMark},
    Granted, Lease, Pace, Patience, Verb,
};

/// What an answer came to.
pub(in crate::holder) enum Outcome {
    /// It is not an answer to what is being asked: late, doubled, or not ours.
    Stale,
    /// An answer outside the protocol.
    Nonsense(Misbehaved),
    /// The lease lives on; `took_ms` since the question was first sent.
    Lives { took_ms: u64 },
    /// The checkout is patient and asks again.
    Waits { again_at: Mono },
    /// A "no" that changes nothing the program must know: the holder asks otherwise.
    AskedAnew,
    /// A "no" to a lease that is held.
    Ended,
    /// A "no" to a checkout: the lease never was.
    NeverWas,
}

/// A server's hint to ask again is never followed sooner than this: a seat due back in a moment is asked for within 50 ms
/// of it, and a hint of nothing makes no flood.
pub(in crate::holder) const HINT_MIN_MS: u64 = 25;
/// How long to wait where a server gives no hint.
const HINT_DEFAULT_MS: u64 = 2_000;
/// An answer that is of no use is not asked for again sooner than this.
const USELESS_MS: u64 = 500;

impl Lease {
    pub(in crate::holder) fn on_grant(
        &mut self,
        now: Mono,
        by: ServerMark,
        grant: &Grant,
        pace: Pace,
        entropy: &mut dyn Entropy,
    ) -> Outcome {
        let asked = self.answered(Verb::Request, grant.operation, grant.claim);
        let Some(first) = asked.or_else(|| self.waited_for(grant)) else { return Outcome::Stale };
        if let Some(what) = nonsense(grant, self.spec.seats, self.spec.seats) {
            return Outcome::Nonsense(what);
        }
        let granted = Granted {
            by,
            lease: grant.lease,
            ticket: grant.ticket,
            seats: grant.seats,
            deadline: first,
            grace_until: first,
            grace_ms: grant.grace_ms,
            renew_at: first,
            renew_slack_ms: 0,
            right_ends: grant.right_ends,
        };
        self.granted = Some(granted);
        self.extend(now, first, (grant.ttl_ms, grant.renew_after_ms), pace, entropy)
    }

    /// When the WAIT was first sent that `grant` was given for in its turn, after a place had been the answer.
    fn waited_for(&self, grant: &Grant) -> Option<Mono> {
        let (operation, first) = self.queued.filter(|_| self.state == LeaseState::Asking)?;
        (operation == grant.operation && grant.claim == self.claim).then_some(first)
    }

    /// A place in the queue: it is asked for again, so that it is kept.
    pub(in crate::holder) fn on_queued(&mut self, now: Mono, queued: &Queued, entropy: &mut dyn Entropy) -> Outcome {
        let Some(first) = self.answered(Verb::Request, queued.operation, queued.claim) else { return Outcome::Stale };
        let Some(until) = self.patience.until().filter(|_| self.state == LeaseState::Asking) else {
            return Outcome::Stale;
        };
        self.queued = Some((queued.operation, first));
        let after_ms = u64::from(queued.ask_after_ms).min(u64::from(queued.ttl_ms) / 2).max(HINT_MIN_MS);
        let again_at = now.plus_ms(after_ms).min(until.max(now));
        self.ask_for(Verb::Request, again_at, entropy);
        Outcome::Waits { again_at }
    }

    pub(in crate::holder) fn on_renewed(
        &mut self,
        now: Mono,
        renewed: &Renewed,
        pace: Pace,
        entropy: &mut dyn Entropy,
    ) -> Outcome {
        let ours = self.granted.as_ref().is_some_and(|g| g.lease == renewed.lease);
        match self.answered(Verb::Renew, renewed.operation, self.claim) {
            Some(first) if ours => self.extend(now, first, (renewed.ttl_ms, renewed.renew_after_ms), pace, entropy),
            _ => Outcome::Stale,
        }
    }

    /// What a frame for many, sent at `sent`, brought the lease that asked `ask` in it. Its deadline counts from that frame,
    /// whichever other tries there were before or after (SPEC 5.17.6).
    pub(in crate::holder) fn on_extended(
        &mut self,
        now: Mono,
        (ask, sent): (OperationId, Mono),
        extended: Option<Extended>,
        pace: Pace,
        entropy: &mut dyn Entropy,
    ) -> Outcome {
        if self.answered(Verb::Renew, ask, self.claim).is_none() {
            return Outcome::Stale;
        }
        let Some(Extended { ttl_ms, renew_after_ms, .. }) = extended else {
            self.ask_for(Verb::Renew, now, entropy);
            self.alone = true;
            return Outcome::AskedAnew;
        };
        self.extend(now, sent, (ttl_ms, renew_after_ms), pace, entropy)
    }

    /// A deadline counts from when the question was first sent: the server's own counts from later.
    fn extend(
        &mut self,
        now: Mono,
        first: Mono,
        (ttl_ms, renew_after_ms): (u32, u32),
        pace: Pace,
        entropy: &mut dyn Entropy,
    ) -> Outcome {
        self.courtesy.note_answered();
        let Some(granted) = &mut self.granted else { return Outcome::Stale };
        let asked_at = self.ask.as_ref().and_then(|(_, ask)| ask.first_sent()).unwrap_or(first);
        let ttl_ms = u64::from(ttl_ms);
        let asked_ms = pace.renew_every_ms.unwrap_or(u64::from(renew_after_ms));
        let every_ms = if (1..ttl_ms).contains(&asked_ms) { asked_ms } else { ttl_ms / 3 };
        granted.deadline = first.plus_ms(ttl_ms);
        granted.grace_until = granted.deadline.plus_ms(u64::from(granted.grace_ms));
        granted.renew_at = first.plus_ms(jittered_by(every_ms, 10, pace.drawn));
        // Of two leases of one pace, one is never more than half a turn behind the other: all of them are together after a
        // turn and a half, whenever each was checked out.
        granted.renew_slack_ms = every_ms / 2;
        if granted.deadline <= now {
            // It came so late that it is over already. Ask again, but not in a circle at the network's speed.
            self.ask_for(Verb::Request, now.plus_ms(USELESS_MS), entropy);
            return Outcome::AskedAnew;
        }
        self.ask = None;
        self.patience = Patience::None;
        self.queued = None;
        self.state = LeaseState::Healthy;
        Outcome::Lives { took_ms: now.ms_since(asked_at) }
    }

    pub(in crate::holder) fn on_deny(&mut self, now: Mono, deny: &Deny, entropy: &mut dyn Entropy) -> Outcome {
        let verb = match self.ask {
            Some((verb @ (Verb::Request | Verb::Renew), ref ask))
                if ask.id == deny.operation && deny.claim == self.claim && ask.first_sent().is_some() =>
            {
                verb
            }
            _ => return Outcome::Stale,
        };
        if self.state == LeaseState::Asking {
            return self.refused(now, deny, entropy);
        }
        if verb == Verb::Renew && deny.code == Denial::NO_SUCH_LEASE {
            self.ask_for(Verb::Request, now, entropy);
            return Outcome::AskedAnew;
        }
        if deny.code == Denial::RECLAIMED {
            self.let_go(now, entropy);
            return Outcome::Ended;
        }
        if is_passing(deny.code) {
            self.ask_for(Verb::Request, now.plus_ms(self.hint_ms(now, deny)), entropy);
            if self.state == LeaseState::Healthy {
                self.state = LeaseState::Retrying { since: now };
            }
            return Outcome::AskedAnew;
        }
        self.state = LeaseState::Lost { at: now, why: LossCause::Denied(deny.code) };
        self.ask = None;
        if deny.code.may_clear() && deny.retry_after_ms.is_some() {
            self.ask_for(Verb::Request, now.plus_ms(self.hint_ms(now, deny).max(1_000)), entropy);
        }
        Outcome::Ended
    }

    /// "No" to a checkout: the end, unless it is patient and waiting can help.
    fn refused(&mut self, now: Mono, deny: &Deny, entropy: &mut dyn Entropy) -> Outcome {
        let Some(until) = self.patience.until().filter(|until| *until > now && deny.retry_after_ms.is_some()) else {
            return Outcome::NeverWas;
        };
        // The last asking of all is at the very end of the patience.
        let again_at = now.plus_ms(self.hint_ms(now, deny)).min(until);
        self.ask_for(Verb::Request, again_at, entropy);
        Outcome::Waits { again_at }
    }

    fn hint_ms(&self, now: Mono, deny: &Deny) -> u64 {
        let hint = deny.retry_after_ms.map_or(HINT_DEFAULT_MS, u64::from);
        let left = match (&self.state, &self.granted) {
            (LeaseState::Healthy | LeaseState::Retrying { .. }, Some(g)) => g.deadline.ms_since(now) / 4,
            _ => u64::MAX,
        };
        hint.min(left).max(HINT_MIN_MS)
    }
}

/// What no server may grant who is asked for so many seats, or for as few as `least`.
pub(in crate::holder) fn nonsense(grant: &Grant, seats: SeatCount, least: SeatCount) -> Option<Misbehaved> {
    if !(least..=seats).contains(&grant.seats) {
        return Some(Misbehaved::SeatCount { asked: seats, granted: grant.seats });
    }
    (grant.ttl_ms == 0).then_some(Misbehaved::NoLifetime)
}

/// Denials that say something of the server's moment and nothing of the lease.
const fn is_passing(code: Denial) -> bool {
    matches!(code, Denial::RESTARTING | Denial::SHUTTING_DOWN | Denial::NOT_LEADER)
}
