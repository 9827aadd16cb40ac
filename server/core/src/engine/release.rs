//! RELEASE: I am done. Always answered, known lease or not: our first answer may have been lost, and the client
//! must be able to stop asking.

use leasehold_protocol::{
    message::{Release, ReleaseOutcome, Released, ServerFrame},
    time::Now,
};

use super::{Engine, data::Sender};
use crate::{Event, Fault, claims::Claim, counters::Counter};

impl Engine {
    pub(super) fn on_release(&mut self, now: Now, sender: &Sender, release: &Release) {
        let freed = self.release(now, sender, release);
        self.settle();
        let (outcome, counter) = match freed {
            true => (ReleaseOutcome::Freed, Counter::Releases),
            false => (ReleaseOutcome::NotHeld, Counter::ReleasesIdle),
        };
        self.counters.count(counter);
        self.answers.push(ServerFrame::Released(Released {
            lease: release.lease,
            operation: release.operation,
            outcome,
        }));
    }

    /// Ends what the claim key stands for, and remembers that it was released; whether there was something.
    ///
    /// The claim key decides, not the lease id: a client that never saw the grant has no id, and one that was granted
    /// twice in its lifetime may have an old one.
    fn release(&mut self, now: Now, sender: &Sender, release: &Release) -> bool {
        let shared = self.shared.clone();
        let realm = &shared.realms[sender.client.realm];
        let mut claim = shared.leases.claims.lock(realm.identity.id, release.claim);
        let freed = match claim.get() {
            // The same asking again gets the same answer (W-7).
            Some(Claim::Released { operation, freed, .. }) => return freed && operation == release.operation,
            Some(Claim::Lease { lease, owner }) => {
                let is_owner = owner == sender.client.owner || shared.planted.is(Fault::ForeignRelease);
                let deadline = shared.leases.stock.slab().deadline_of(lease);
                if deadline.is_some_and(|deadline| deadline <= now.mono) {
                    self.ended.extend(shared.leases.expire(&mut self.worker, lease, now.mono));
                }
                if !is_owner {
                    // Another client's: nothing of the asker's is held, and nothing is said about whose it is.
                    return false;
                }
                let alive = deadline.is_some_and(|deadline| deadline > now.mono);
                let ended = alive.then(|| shared.leases.release(&mut self.worker, lease, now.mono)).flatten();
                let freed = ended.is_some();
                for (certificate, units) in ended.iter().flat_map(|ended| &ended.undone) {
                    let (realm, units) = (realm.identity.id, -i64::from(*units));
                    self.events.push_back(Event::Metered { realm, certificate: *certificate, units });
                }
                self.events.extend(ended.map(|ended| Event::Released(Box::new(ended))));
                freed
            }
            None if shared.waits_for_another(realm, release.claim, sender.client.owner) => return false,
            None => {
                shared.leave_queue(realm, release.claim, sender.client.owner, &mut self.worker);
                false
            }
        };
        if shared.planted.is(Fault::TombstonesForgotten) {
            claim.clear();
        } else {
            claim.set_released(release.operation, now.mono, freed);
        }
        freed
    }
}
