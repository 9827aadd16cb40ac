//! What servers and clients say happened, told to the twin.

use leasehold::holder::{HolderEvent, LeaseHandle, LeaseState};
use leasehold_protocol::message;

use super::Lan;
use crate::{
    client::{Watched, is_holding},
    clock::Instant,
    model::{Checked, Held, Violation, ensure},
    server::Told,
};

/// How long a lease lives that its client has not asked for just now, in milliseconds.
const OFFERED_MS: u64 = 15_000;

impl Lan {
    pub(super) fn hear(&mut self, server: usize, told: Told) -> Checked {
        let at = self.at;
        let rogue = server >= self.plan.servers;
        match told {
            Told::Granted { .. } if rogue => {
                ensure(at, false, || format!("a client took a seat of server {server}, whose key nobody vouched for"))
            }
            Told::Granted { claim, lease, pool, seats, until } => {
                self.report.server_grants += 1;
                // Whoever waited is granted the seats for a short while, until he says that he is still there (SPEC 5.19.2).
                let offered = self.servers[server].free_at(self.at, self.model.pools[pool].ttl_ms.min(OFFERED_MS));
                let deadline = if until == offered { offered } else { self.free_at(server, pool, until)? };
                let held = Held { pool, seats, lease, deadline, forgotten: false };
                self.model.granted(at, server, claim, held)
            }
            Told::Renewed { claim, pool, until } => {
                self.report.server_renewals += 1;
                let deadline = self.free_at(server, pool, until)?;
                self.model.renewed(at, server, claim, deadline)
            }
            Told::Released { claim } => self.model.released(at, server, claim),
            Told::Expired { claim } => {
                self.report.expiries += 1;
                self.model.expired(at, server, claim)
            }
            Told::Denied { claim, pool: Some(pool), seats, code } => {
                self.model.denied(at, server, (claim, pool, seats), code)
            }
            Told::Denied { .. } | Told::Other => Ok(()),
        }
    }

    /// When seats granted now are free again by the rules; the server must say the same.
    pub(super) fn free_at(&self, server: usize, pool: usize, until: Instant) -> Result<Instant, Violation> {
        let deadline = self.servers[server].free_at(self.at, self.model.pools[pool].ttl_ms);
        let same = ensure(self.at, until == deadline, || {
            format!("server {server} set a deadline of {until} ms where the TTL makes it {deadline}")
        });
        same.map(|()| deadline)
    }

    pub(super) fn hear_client(&mut self, client: usize, event: HolderEvent) -> Checked {
        let at = self.at;
        match event {
            HolderEvent::Queued { lease, place, .. } => {
                if let Some(watched) = self.clients[client].leases.get_mut(&lease.0) {
                    watched.places.push((at, place.place));
                }
            }
            HolderEvent::Connected { address, .. } => self.clients[client].connections.push((at, address)),
            HolderEvent::ServerRejected { address, why } => {
                self.clients[client].rejections.push((at, address, why.to_string()));
            }
            HolderEvent::ConnectFailed { .. } => self.clients[client].failures.push(at),
            HolderEvent::Granted { lease, grant, .. } => return self.heard_grant(client, lease, &grant),
            HolderEvent::Denied { lease, deny } => return self.heard_denial(client, lease, &deny),
            HolderEvent::Renewed { lease, .. } => {
                self.report.renewals += 1;
                if let Some(watched) = self.clients[client].leases.get_mut(&lease.0) {
                    watched.renewals += 1;
                }
            }
            HolderEvent::StateChanged { lease, state } => return self.heard_state(client, lease, state),
            HolderEvent::Released { lease, .. } => {
                self.report.releases += 1;
                if let Some(watched) = self.clients[client].leases.get_mut(&lease.0) {
                    watched.released_at = Some(at);
                }
            }
            HolderEvent::Features { features, .. } => self.clients[client].features = features,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn heard_grant(&mut self, client: usize, lease: LeaseHandle, grant: &message::Grant) -> Checked {
        self.report.grants += 1;
        let at = self.at;
        let Some(watched) = self.clients[client].leases.get_mut(&lease.0) else { return Ok(()) };
        watched.grants += 1;
        watched.granted_at = Some(at);
        if !watched.leases.contains(&grant.lease) {
            watched.leases.push(grant.lease);
        }
        let right = grant.claim == watched.claim && u64::from(grant.seats.get()) == watched.seats;
        ensure(at, right, || format!("client {client} took a grant that is not what it asked for"))?;
        self.update_belief(client, lease.0)
    }

    pub(super) fn heard_denial(&mut self, client: usize, lease: LeaseHandle, deny: &message::Deny) -> Checked {
        self.report.denials += 1;
        let at = self.at;
        let them = &mut self.clients[client];
        if let Some(watched) = them.leases.get_mut(&lease.0) {
            watched.denials.push((at, deny.clone()));
        }
        // A lease that was held once is asked for again by its holder: the habit keeps it as long as it meant to.
        let over = them.state(lease.0).is_none();
        if over && them.habit.as_ref().is_some_and(|habit| habit.current == Some(lease.0)) {
            self.rest(client);
        }
        self.update_belief(client, lease.0)
    }

    pub(super) fn heard_state(&mut self, client: usize, lease: LeaseHandle, state: LeaseState) -> Checked {
        let at = self.at;
        if matches!(state, LeaseState::Lost { .. }) {
            self.report.lost += 1;
        }
        if let Some(watched) = self.clients[client].leases.get_mut(&lease.0) {
            watched.history.push((at, state));
        }
        self.update_belief(client, lease.0)
    }

    /// Tells the twin what one client believes of one lease now.
    pub(super) fn update_belief(&mut self, client: usize, lease: u64) -> Checked {
        let at = self.at;
        let them = &mut self.clients[client];
        let holding = them.runs() && them.state(lease).as_ref().is_some_and(is_holding);
        let Some(watched) = them.leases.get_mut(&lease) else { return Ok(()) };
        let believes = holding && !watched.given_back;
        if believes == watched.believed {
            return Ok(());
        }
        watched.believed = believes;
        let Watched { claim, pool, seats, .. } = *watched;
        if believes { self.model.believes(at, claim, pool, seats) } else { self.model.doubts(at, claim) }
    }
}
