//! DISCOVER: is there a server? (SPEC 6.)

use leasehold_protocol::{
    packet::{Discover, OfferHead, PacketType, Prefix, VERSION},
    time::Now,
    vocab::RealmId,
};
use zerocopy::IntoBytes;

use super::Engine;
use crate::{Path, counters::Counter};

/// Bytes of DISCOVER that its mac covers: all before it.
const MAC_OFFSET: usize = 24;

/// Ports above 1 023 that answer whatever they are sent, or are amplifiers themselves: a DISCOVER that claims to come
/// from one is somebody else's weapon.
const SERVICE_PORTS: &[u16] = &[
    1194, 1434, 1701, 1900, 2049, 3074, 3283, 3389, 3478, 3702, 5060, 5093, 5353, 5355, 5683, 10001, 11211, 19132,
    27015,
];

impl Engine {
    pub(super) fn on_discover(&mut self, now: Now, path: Path, discover: &Discover) {
        match self.answer_discover(now, path, discover) {
            Ok(()) => self.counters.count(Counter::Offers),
            Err(counter) => self.counters.count(counter),
        }
    }

    fn answer_discover(&mut self, now: Now, path: Path, discover: &Discover) -> Result<(), Counter> {
        let shared = self.shared.clone();
        let port = path.from.port();
        if port < 1024 || SERVICE_PORTS.contains(&port) {
            return Err(Counter::DropServicePort);
        }
        let realm = &shared.realms[self.realm_asked_for(discover)?];
        if discover.versions.get() & 1 << VERSION == 0 {
            return Err(Counter::DropUnspoken);
        }
        let must_be_on_link = path.broadcast || !shared.config.discover_unicast_off_link;
        if must_be_on_link && !path.on_link && !path.from.ip().to_canonical().is_loopback() {
            return Err(Counter::DropOffLink);
        }
        if shared.is_draining() {
            return Err(Counter::DropWhileDraining);
        }
        self.counters.count(Counter::Discovers);
        let limits = &shared.limits;
        if !limits.discovers_by_prefix.take(now.mono, path.from) || !limits.discovers.take(now.mono) {
            return Err(Counter::DropRateLimited);
        }
        let mut offer = self.outbox.buffer();
        offer.clear();
        let head = OfferHead {
            prefix: Prefix::of(PacketType::Offer),
            realm: realm.identity.id.0.into(),
            nonce_echo: discover.nonce,
            server_id: shared.config.server_id.into(),
            cluster_id: shared.config.cluster_id.into(),
            server_key: realm.identity.key.0,
            port: shared.config.port.into(),
            weight: self.weight(now).into(),
            peer_count: 0,
        };
        offer.extend_from_slice(head.as_bytes());
        let mac = realm.discovery_mac.of(&offer);
        offer.extend_from_slice(&mac);
        if path.broadcast {
            let delay_ms = self.entropy.next_u64() % (shared.config.discover_delay_max_ms + 1);
            self.outbox.push_at(now.mono.plus_ms(delay_ms), path.back(), offer);
            self.outbox.release(now.mono);
        } else {
            self.outbox.push(path.back(), offer);
        }
        Ok(())
    }

    /// The realm a DISCOVER is for, as an index: the one it names, or, if it does not care, one of those whose site key it
    /// knows, chosen by its nonce.
    fn realm_asked_for(&self, discover: &Discover) -> Result<usize, Counter> {
        let (realms, asked) = (&self.shared.realms, RealmId(discover.realm.get()));
        let is_named = |index: &usize| asked == RealmId::ANY || realms[*index].identity.id == asked;
        let named: Vec<usize> = (0..realms.len()).filter(is_named).collect();
        if named.is_empty() {
            return Err(Counter::DropUnknownRealm);
        }
        let covered = &discover.as_bytes()[..MAC_OFFSET];
        let knows = |index: &usize| realms[*index].discovery_mac.verify(covered, &discover.mac);
        let known: Vec<usize> = named.into_iter().filter(knows).collect();
        let pick = usize::from(discover.nonce[0]) % known.len().max(1);
        known.get(pick).copied().ok_or(Counter::DropBadMac)
    }

    /// How welcome a new client is, 0 to 65 535: the share of lease slots that are free; nobody while the server waits for
    /// the leases it may have granted before a restart.
    fn weight(&self, now: Now) -> u16 {
        if self.shared.blind_until(now.mono).is_some() {
            return 0;
        }
        let stock = &self.shared.leases.stock;
        let (live, max) = (stock.live(), u64::from(stock.slab().leases_max()));
        u16::try_from(u64::from(u16::MAX) * max.saturating_sub(live) / max).unwrap_or(u16::MAX)
    }
}
