//! What must be true of a server, kept in the simplest way: who holds what until when, by what the engine said happened,
//! and how many bytes went where.

use std::{collections::BTreeMap, net::SocketAddr};

use leasehold_core::{Event, LeaseStatus};
use leasehold_protocol::{
    crypto::Fingerprint,
    message::{ClientFrame, Grant},
    time::{Mono, Now},
    vocab::{ClaimKey, LeaseId, OperationId},
};

use super::client::Client;

/// How long a released claim key is remembered at least (SPEC 5.15.5).
const TOMBSTONE_MS: u64 = 60_000;

#[derive(Default)]
pub struct Twin {
    leases: BTreeMap<LeaseId, Held>,
    /// Every lease there was, for answers that were overtaken by the lease's end in their own datagram.
    granted: BTreeMap<LeaseId, ClaimKey>,
    accounts: BTreeMap<SocketAddr, Account>,
    /// Claims whose release was told, and when: their keys stand for nothing any more.
    released: BTreeMap<ClaimKey, Mono>,
    /// What was asked in the operation at hand: by whom, about which claim.
    releases: Vec<(Fingerprint, ClaimKey)>,
    requests: Vec<(Fingerprint, ClaimKey, OperationId)>,
    /// Whether the datagram at hand was sealed by a client.
    pub authentic: bool,
}

#[derive(Clone, Debug)]
struct Held {
    claim: ClaimKey,
    client: Fingerprint,
    deadline: Mono,
}

#[derive(Default)]
struct Account {
    received: usize,
    sent: usize,
    proved: bool,
}

impl Twin {
    /// The server forgot: its tables are empty, and so is this one. Addresses stay proved: nobody has moved.
    pub fn forget_leases(&mut self) {
        self.leases.clear();
        self.granted.clear();
        self.released.clear();
    }

    /// A lease that is or was, by any number.
    pub fn some_lease(&self, n: u8) -> LeaseId {
        let n = usize::from(n) % self.leases.len().max(1);
        self.leases.keys().nth(n).copied().unwrap_or(LeaseId::new(n.try_into().expect("small"), 1))
    }

    /// An address proved that it hears.
    pub fn prove(&mut self, address: SocketAddr) {
        self.accounts.entry(address).or_default().proved = true;
    }

    pub fn received(&mut self, from: SocketAddr, len: usize) {
        self.accounts.entry(from).or_default().received += len;
    }

    /// W-4: no more goes to an address than came from it, unless it has proved itself.
    pub fn sent(&mut self, to: SocketAddr, len: usize) {
        let account = self.accounts.entry(to).or_default();
        account.sent += len;
        let (sent, received) = (account.sent, account.received);
        assert!(account.proved || sent <= received, "{sent} bytes to {to}, {received} from there");
    }

    /// A client is about to say `frame` from `from`.
    pub fn said(&mut self, from: SocketAddr, frame: &ClientFrame, client: &Client) {
        match frame {
            ClientFrame::Release(release) => self.releases.push((client.fingerprint(), release.claim)),
            ClientFrame::Request(request) => {
                self.requests.push((client.fingerprint(), request.claim, request.operation));
            }
            // The token of a challenge proves the address it was heard at, and no other.
            ClientFrame::PathResponse(token) if client.knows(*token) && client.challenged_at == Some(from) => {
                self.prove(from);
            }
            _ => {}
        }
    }

    pub fn happened(&mut self, now: Now, event: &Event) {
        let told = matches!(event, Event::Granted(_) | Event::Renewed { .. } | Event::Released(_) | Event::Denied(_));
        assert!(!told || self.authentic, "{event:?} by a datagram that nobody sealed, or sealed for another time");
        // exactly one TTL from the moment it is handled.
        let full = now.mono.plus_ms(u64::from(super::TTL_S) * 1000);
        match event {
            Event::Granted(granted) => {
                let asked = (granted.client, granted.claim, granted.operation);
                assert!(self.requests.contains(&asked), "nobody asked for {granted:?}");
                assert_eq!(granted.deadline, full, "{granted:?}");
                let released = self.released.get(&granted.claim);
                assert!(
                    released.is_none_or(|at| now.mono.ms_since(*at) > TOMBSTONE_MS),
                    "{granted:?} after {released:?}"
                );
                let held = Held { claim: granted.claim, client: granted.client, deadline: granted.deadline };
                assert!(self.leases.insert(granted.lease, held).is_none(), "{granted:?} is held already");
                self.granted.insert(granted.lease, granted.claim);
                self.one_lease_a_claim(now, granted.claim);
            }
            Event::Renewed { lease, deadline, .. } => {
                let held = self.leases.get_mut(lease).unwrap_or_else(|| panic!("{lease} is renewed and not held"));
                assert!(held.deadline > now.mono && *deadline == full, "{lease}: {held:?}, then {deadline:?}");
                held.deadline = *deadline;
            }
            Event::Expired(ended) => {
                let held = self.leases.remove(&ended.lease).unwrap_or_else(|| panic!("{ended:?} is not held"));
                assert!(held.deadline <= now.mono, "{ended:?} before {:?}", held.deadline);
            }
            Event::Released(ended) => {
                let held = self.leases.remove(&ended.lease).unwrap_or_else(|| panic!("{ended:?} is not held"));
                assert!(self.releases.contains(&(held.client, held.claim)), "{ended:?} by nobody's wish");
                self.released.insert(held.claim, now.mono);
            }
            _ => {}
        }
    }

    /// one claim key, one lease. One past its deadline has ended, though nobody may have swept it yet.
    fn one_lease_a_claim(&self, now: Now, claim: ClaimKey) {
        let live = self.leases.values().filter(|held| held.claim == claim && held.deadline > now.mono).count();
        assert_eq!(live, 1, "leases of {claim}");
    }

    /// A client heard of a grant: it is one that happened, and it is told of no more time than it has.
    pub fn told(&self, grant: &Grant) {
        assert_eq!(self.granted.get(&grant.lease), Some(&grant.claim), "{grant:?} never happened");
        assert!(grant.ttl_ms < super::TTL_S * 1000 && grant.renew_after_ms < grant.ttl_ms, "{grant:?}");
    }

    /// The server shows exactly the leases that must be alive.
    pub fn agrees(&mut self, now: Now, shown: &[LeaseStatus]) {
        let shown: BTreeMap<LeaseId, (ClaimKey, Mono)> =
            shown.iter().map(|lease| (lease.id, (lease.claim, lease.deadline))).collect();
        let alive = self.leases.iter().filter(|(_, held)| held.deadline > now.mono);
        let alive: BTreeMap<LeaseId, (ClaimKey, Mono)> =
            alive.map(|(id, held)| (*id, (held.claim, held.deadline))).collect();
        assert_eq!(shown, alive);
        self.releases.clear();
        self.requests.clear();
    }
}
