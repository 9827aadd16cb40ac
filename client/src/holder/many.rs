//! Renewals that share a frame (SPEC 5.17): which leases each frame named, so that its answer finds them.

use leasehold_protocol::{
    Entropy,
    message::{Claimed, ClientFrame, RENEW_MANY_MAX, Renew, RenewMany, RenewedMany},
    time::Mono,
    vocab::OperationId,
};

use super::{Holder, HolderEvent, LeaseHandle, lease::Outcome, talk::tell_change};

/// The frames that are out and not answered.
#[derive(Default)]
pub(super) struct Common {
    sent: Vec<Sent>,
}

/// One RENEW_MANY.
struct Sent {
    operation: OperationId,
    /// When it went out, once and for all: another try is another frame.
    at: Mono,
    /// In the frame's order.
    leases: Vec<Renewing>,
}

/// A lease in a frame, and what it was asking then.
struct Renewing {
    handle: LeaseHandle,
    ask: OperationId,
}

/// Answers to frames older than this are not waited for: what the leases ask by then is another operation (SPEC 9.2).
const WAIT_MS: u64 = 30_000;

impl Common {
    /// Puts `renewals` into as few frames as it takes: one for each 64 whose holders do the same. One by itself stays what
    /// it is.
    pub(super) fn pack(
        &mut self,
        now: Mono,
        mut renewals: Vec<(LeaseHandle, Renew)>,
        entropy: &mut dyn Entropy,
        frames: &mut Vec<ClientFrame>,
    ) {
        self.sent.retain(|sent| now.ms_since(sent.at) < WAIT_MS);
        renewals.sort_by_key(|(_, Renew { activity: a, .. })| (a.idle_s, a.busy, a.unsaved));
        for alike in renewals.chunk_by(|(_, one), (_, other)| one.activity == other.activity) {
            for few in alike.chunks(RENEW_MANY_MAX) {
                frames.push(match few {
                    [(_, alone)] => ClientFrame::Renew(*alone),
                    many => ClientFrame::RenewMany(Box::new(self.note(now, OperationId(entropy.next_u64()), many))),
                });
            }
        }
    }

    /// The frame for `renewals`, which are of one activity, remembered.
    fn note(&mut self, now: Mono, operation: OperationId, renewals: &[(LeaseHandle, Renew)]) -> RenewMany {
        let renewing = |(handle, renew): &(LeaseHandle, Renew)| Renewing { handle: *handle, ask: renew.operation };
        self.sent.push(Sent { operation, at: now, leases: renewals.iter().map(renewing).collect() });
        let claimed = |(_, renew): &(LeaseHandle, Renew)| Claimed { lease: renew.lease, proof: renew.claim.fold() };
        let activity = renewals.first().map(|(_, renew)| renew.activity).unwrap_or_default();
        RenewMany { operation, activity, leases: renewals.iter().map(claimed).collect() }
    }

    /// The frame that `answer` answers. One that speaks of more or fewer leases answers none.
    fn take(&mut self, answer: &RenewedMany) -> Option<Sent> {
        let is_it = |sent: &Sent| sent.operation == answer.operation && sent.leases.len() == answer.leases.len();
        let found = self.sent.iter().position(is_it)?;
        Some(self.sent.swap_remove(found))
    }
}

impl Holder {
    /// Whoever is half way to its own renewal goes along with one that is due, and from then on they fall due together.
    pub(super) fn join_renewals(&mut self, now: Mono) {
        if self.session.is_none() || !self.leases.values().any(|lease| lease.renewal_is_due(now)) {
            return;
        }
        self.pace.drawn = self.entropy.next_u64();
        let near = self.leases.values_mut().filter(|lease| lease.may_renew_along(now));
        near.for_each(|lease| lease.renew_now(now, &mut *self.entropy));
    }

    pub(super) fn on_renewed_many(&mut self, now: Mono, answer: &RenewedMany) {
        let Some(sent) = self.common.take(answer) else { return };
        let pace = self.pace;
        for (Renewing { handle, ask }, extended) in sent.leases.into_iter().zip(&answer.leases) {
            let Some(lease) = self.leases.get_mut(&handle) else { continue };
            let before = lease.state();
            let outcome = lease.on_extended(now, (ask, sent.at), *extended, pace, &mut *self.entropy);
            if let (Outcome::Lives { took_ms }, Some(extended)) = (outcome, extended) {
                self.events.push_back(HolderEvent::Renewed { lease: handle, took_ms, overage: extended.overage });
            }
            tell_change(&mut self.events, handle, before, lease);
        }
    }

    /// The server is older than RENEW_MANY: what went out so is asked at once, each lease by itself.
    pub(super) fn on_unsupported(&mut self, now: Mono, frame_type: u8) {
        if frame_type != RenewMany::KIND {
            return;
        }
        if let Some(session) = &mut self.session {
            session.renews_many = false;
        }
        for Renewing { handle, ask } in self.common.sent.drain(..).flat_map(|sent| sent.leases) {
            if let Some(lease) = self.leases.get_mut(&handle) {
                lease.renew_again(now, ask);
            }
        }
    }
}
