//! RENEW and RENEW_MANY: I am still here, we are all still here.

use std::sync::Arc;

use leasehold_protocol::{
    message::{Activity, Extended, Renew, RenewManyView, Renewed, ServerFrame},
    time::Now,
    vocab::{ClaimProof, LeaseId},
};

use super::{
    Engine,
    data::Sender,
    refusal::{Asked, Refusal},
    request::ClientTerms,
};
use crate::{
    Event, Fault,
    counters::Counter,
    pool::{Renewal, Terms},
};

impl Engine {
    /// Renews a lease: one slot, no lock, no allocation but what the answer and the event take.
    pub(super) fn on_renew(&mut self, now: Now, sender: &Sender, renew: &Renew) {
        let Renew { lease, claim, operation, activity } = *renew;
        if let Some(Extended { ttl_ms, renew_after_ms, overage }) =
            self.extend(now, sender, (lease, claim.fold()), activity)
        {
            let renewed = Renewed { lease, operation, ttl_ms, renew_after_ms, overage };
            self.remind(now, lease, activity);
            return self.answers.push(ServerFrame::Renewed(renewed));
        }
        let refusal = match (self.shared.pleas.taken_by(lease), self.shared.leases.record(lease)) {
            (Some(rule), Some(record)) if record.claim == claim => Refusal::reclaimed(lease, &rule.id),
            _ if self.shared.leases.is_of_another(lease, claim, sender.client.owner) => Refusal::not_yours(),
            _ => Refusal::no_such_lease(lease),
        };
        self.deny(sender, Asked::by_name(operation, claim), refusal);
    }

    /// Renews as many leases as `body` names, one after another as [`Engine::on_renew`] does. What is refused is only told
    /// to be so: its holder asks why by a RENEW of its own.
    ///
    /// The answer is written over the last one, whose room nobody uses any more: no allocation, whatever the number.
    pub(super) fn on_renew_many(&mut self, now: Now, sender: &Sender, body: &[u8]) {
        let Ok(asked) = RenewManyView::read(body) else { return self.counters.count(Counter::FramesBad) };
        let mut said = self.said_many.take().unwrap_or_default();
        let answer = Arc::make_mut(&mut said);
        answer.operation = asked.operation();
        answer.leases.clear();
        let activity = asked.activity();
        answer.leases.extend(asked.leases().map(|one| self.extend(now, sender, (one.lease, one.proof), activity)));
        if self.shared.pleas.has_any() {
            asked.leases().for_each(|one| self.remind(now, one.lease, activity));
        }
        self.answers.push(ServerFrame::RenewedMany(said.clone()));
        self.said_many = Some(said);
    }

    /// Renews a lease for who shows the proof; `None` if it has ended, or never was, or is somebody else's.
    fn extend(
        &mut self,
        now: Now,
        sender: &Sender,
        (lease, claim): (LeaseId, ClaimProof),
        activity: Activity,
    ) -> Option<Extended> {
        if self.shared.pleas.has_any() && self.shared.pleas.taken_by(lease).is_some() {
            return None;
        }
        let terms = Terms { claim, owner: sender.client.owner, session: sender.sid };
        let lasts_ms = self.shared.planted.is(Fault::ExpiryOneTtlEarly).then_some(1);
        match self.shared.leases.renew(lease, now.mono, &terms, lasts_ms, Some(activity)) {
            Renewal::Alive { deadline, ttl_ms, overage } => {
                self.counters.count(Counter::Renewals);
                if self.tells_renewals {
                    self.events.push_back(Event::Renewed { lease, deadline, activity: Some(activity) });
                }
                let ClientTerms { ttl_ms, renew_after_ms } = ClientTerms::of(ttl_ms);
                Some(Extended { ttl_ms, renew_after_ms, overage })
            }
            Renewal::Due => {
                // it has ended at its deadline, whether or not anybody swept it.
                self.ended.extend(self.shared.leases.expire(&mut self.worker, lease, now.mono));
                self.settle();
                None
            }
            Renewal::NoSuchLease => None,
        }
    }
}
