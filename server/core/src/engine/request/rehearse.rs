//! Requests of other days, asked under another policy (P-6).

use std::{net::SocketAddr, sync::Arc};

use leasehold_protocol::{
    Entropy,
    message::Request,
    time::Now,
    vocab::{ClaimKey, LeaseId, OperationId},
};

use super::{Asking, HOSTIDS_MAX, Said, Step};
use crate::{
    Path, RealmConfig, ServerConfig, Shared,
    engine::Sender,
    explain::{Answer, Question},
    lease::owner_of,
    policy::Policy,
    pool::Worker,
    session::Client,
};

/// A server's licences with no lease out, and a policy: for who asks what would have been answered. Nothing of the server that serves is
/// touched, and no time goes by: what was taken is out until it is given back.
pub struct Rehearsal {
    shared: Arc<Shared>,
    worker: Worker,
    now: Now,
    claims: u128,
}

impl Shared {
    /// A rehearsal of `policy` with the licences that are in force at `now`. `entropy` need not be secret: nobody is told anything.
    ///
    /// # Panics
    /// Never: a worker of a server that nobody else knows finds a place.
    #[must_use]
    pub fn rehearsal(&self, policy: Policy, now: Now, entropy: &mut dyn Entropy) -> Rehearsal {
        let realm = |realm: &Arc<crate::realm::Realm>| RealmConfig {
            publisher: realm.identity.publisher.clone(),
            keys: realm.keys.clone(),
            site: realm.site.clone(),
            ticket_keys: Vec::new(),
        };
        let leases_max = self.leases.stock.slab().leases_max();
        let config = ServerConfig { leases_max, ..ServerConfig::default() };
        let shared = Self::new(config, self.realms.iter().map(realm).collect(), entropy);
        for realm in &self.realms {
            let (certificates, hostids, past) = realm.planner.loaded();
            shared.serve_as(realm.identity.id, hostids, &past);
            shared.load(realm.identity.id, certificates, now);
        }
        shared.set_policy(policy);
        let worker = shared.leases.stock.join().expect("a place for one worker");
        Rehearsal { shared, worker, now, claims: 0 }
    }
}

impl Rehearsal {
    /// Asks `question`: seats that go out are out until [`Rehearsal::give_back`]. `None`: there is no such realm.
    pub fn ask(&mut self, question: &Question) -> Option<(Answer, Option<LeaseId>)> {
        let index = self.shared.realms.iter().position(|realm| realm.identity.id == question.realm)?;
        let (shared, realm) = (self.shared.clone(), &self.shared.realms[index]);
        self.claims += 1;
        let Question { feature, version, seats, holder, address, .. } = question.clone();
        let claim = ClaimKey(self.claims.to_le_bytes());
        let mut request = Request { operation: OperationId(0), claim, feature, version, seats, holder, ticket: None };
        request.holder.hostids.truncate(HOSTIDS_MAX);
        let fingerprint = realm.identity.fingerprint;
        let client = Client {
            realm: index,
            key: realm.identity.key,
            fingerprint,
            owner: owner_of(fingerprint, realm.identity.id),
            instance: [0; 8],
            client_sid: 0,
            clock_ahead_ms: 0,
        };
        let sender = Sender { sid: 0, client, path: Path::unicast(SocketAddr::new(address, 0)), len: 0 };
        let now = self.now;
        let asking =
            Asking { shared: &shared, realm, now, sender: &sender, request: &request, waits: None, offered_ms: None };
        let mut ended = Vec::new();
        let decided = asking.decide(&mut Step::new(&mut self.worker, &mut ended));
        Some(match decided {
            Ok(Said::Held(held)) => (Answer::Seats, Some(held.lease)),
            // Nobody waits here.
            Ok(Said::Queued(_)) => (Answer::Seats, None),
            Err(refusal) => (refusal.into_answer(), None),
        })
    }

    /// Gives the seats of `lease` back; they do not stay with anybody.
    pub fn give_back(&mut self, lease: LeaseId) {
        if self.worker.end(lease).is_some() {
            self.shared.leases.close(&mut self.worker, lease, self.now.mono, false);
        }
    }

    /// Whether the seats add up.
    ///
    /// # Errors
    /// Which do not.
    pub fn check_ledger(&self) -> Result<(), crate::LedgerError> {
        self.shared.check_ledger()
    }
}
