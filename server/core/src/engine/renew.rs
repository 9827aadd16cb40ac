//! RENEW: I am still here.

use leasehold_protocol::{
    message::{Renew, Renewed, ServerFrame},
    time::Now,
};

use super::{
    Engine,
    data::Sender,
    refusal::{Asked, Refusal},
    request::ClientTerms,
};
use crate::{Event, Fault, counters::Counter, lease::Found, pool::Terms};

impl Engine {
    /// Renews a lease: one slot, no lock, no allocation but what the answer and the event take.
    pub(super) fn on_renew(&mut self, now: Now, sender: &Sender, renew: &Renew) {
        let terms = Terms { claim: renew.claim, owner: sender.client.owner, session: sender.sid };
        let lasts_ms = self.shared.planted.is(Fault::ExpiryOneTtlEarly).then_some(1);
        let refusal = match self.shared.leases.renew(renew.lease, now.mono, &terms, lasts_ms, Some(renew.activity)) {
            Found::Alive { deadline, ttl_ms, overage } => {
                let told = ClientTerms::of(ttl_ms);
                self.answers.push(ServerFrame::Renewed(Renewed {
                    lease: renew.lease,
                    operation: renew.operation,
                    ttl_ms: told.ttl_ms,
                    renew_after_ms: told.renew_after_ms,
                    overage,
                }));
                self.counters.count(Counter::Renewals);
                let activity = Some(renew.activity);
                self.events.push_back(Event::Renewed { lease: renew.lease, deadline, activity });
                return;
            }
            Found::Due => {
                // it has ended at its deadline, whether or not anybody swept it.
                self.ended.extend(self.shared.leases.expire(&mut self.worker, renew.lease, now.mono));
                self.settle();
                Refusal::no_such_lease(renew.lease)
            }
            Found::NoSuchLease => Refusal::no_such_lease(renew.lease),
            Found::NotYours => Refusal::not_yours(),
        };
        let asked = Asked { operation: renew.operation, claim: renew.claim, feature: None, seats: None };
        self.deny(sender, &asked, refusal);
    }
}
