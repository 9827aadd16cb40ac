//! Tickets: made with every grant, believed after a restart (SPEC 3.8).

use leasehold_protocol::{
    Entropy,
    crypto::{
        PublicKey,
        mac::holder_hash,
        ticket::{SealedTicket, Ticket},
    },
    message::Request,
    time::Now,
    vocab::{ClaimKey, FeatureName, LeaseId, SeatCount},
};

use crate::{ServerConfig, Shared, realm::Realm};

/// Whom a ticket is for and what it says.
pub(crate) struct Bearer<'a> {
    pub(crate) client: &'a PublicKey,
    pub(crate) claim: &'a ClaimKey,
    pub(crate) feature: &'a FeatureName,
    pub(crate) seats: SeatCount,
}

/// Seals the ticket of `lease`.
pub(crate) fn seal(
    shared: &Shared,
    realm: &Realm,
    bearer: &Bearer<'_>,
    lease: LeaseId,
    now: Now,
    entropy: &mut dyn Entropy,
) -> SealedTicket {
    let config = &shared.config;
    let ticket = Ticket {
        cluster_id: config.cluster_id.into(),
        server_id: short_id(config).into(),
        epoch: epoch(config).into(),
        feature: feature_hash(bearer.feature).into(),
        slot: lease.slot().into(),
        generation: lease.generation().into(),
        seats: bearer.seats.get().into(),
        holder: holder_hash(bearer.client, bearer.claim),
        log_number: shared.log().into(),
        issued_ms: now.wall.0.into(),
    };
    // A realm always has a key: see its constructor.
    realm.ticket_keys.first().map_or(SealedTicket([0; _]), |key| key.seal(&ticket, entropy))
}

/// A ticket that was shown and is honoured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// How far the log had come when it was made.
    pub(crate) log: u64,
    /// Whether it was made since this server was started.
    pub(crate) is_of_this_life: bool,
}

/// What `request` of `client` shows: a ticket of this cluster for this very claim, feature and number of seats.
pub(crate) fn shown(config: &ServerConfig, realm: &Realm, client: &PublicKey, request: &Request) -> Option<Shown> {
    let sealed = request.ticket.as_ref()?;
    let ticket = realm.ticket_keys.iter().find_map(|key| key.open(sealed).ok())?;
    let is_good = ticket.cluster_id.get() == config.cluster_id
        && ticket.feature.get() == feature_hash(&request.feature)
        && ticket.seats.get() == request.seats.get()
        && ticket.holder == holder_hash(client, &request.claim);
    is_good.then(|| Shown { log: ticket.log_number.get(), is_of_this_life: ticket.epoch.get() == epoch(config) })
}

/// This life of the server, as tickets name it.
#[expect(clippy::cast_possible_truncation, reason = "the wire has room for the low half")]
const fn epoch(config: &ServerConfig) -> u32 {
    config.boot_id as u32
}

/// This server as tickets and HELLO2 name it within its cluster.
#[expect(clippy::cast_possible_truncation, reason = "the wire has room for the low half")]
pub(crate) const fn short_id(config: &ServerConfig) -> u32 {
    config.server_id as u32
}

fn feature_hash(feature: &FeatureName) -> u32 {
    use blake2::{Blake2s256, Digest};
    let digest = Blake2s256::digest(feature.as_str());
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}
