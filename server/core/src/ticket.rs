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

use crate::{ServerConfig, realm::Realm};

/// Whom a ticket is for and what it says.
pub(crate) struct Bearer<'a> {
    pub(crate) client: &'a PublicKey,
    pub(crate) claim: &'a ClaimKey,
    pub(crate) feature: &'a FeatureName,
    pub(crate) seats: SeatCount,
}

/// Seals the ticket of `lease`.
pub(crate) fn seal(
    config: &ServerConfig,
    realm: &Realm,
    bearer: &Bearer<'_>,
    lease: LeaseId,
    now: Now,
    entropy: &mut dyn Entropy,
) -> SealedTicket {
    let ticket = Ticket {
        cluster_id: config.cluster_id.into(),
        server_id: short_id(config).into(),
        epoch: 0.into(),
        feature: feature_hash(bearer.feature).into(),
        slot: lease.slot().into(),
        generation: lease.generation().into(),
        seats: bearer.seats.get().into(),
        holder: holder_hash(bearer.client, bearer.claim),
        log_number: 0.into(),
        issued_ms: now.wall.0.into(),
    };
    // A realm always has a key: see its constructor.
    realm.ticket_keys.first().map_or(SealedTicket([0; _]), |key| key.seal(&ticket, entropy))
}

/// Whether `request` of `client` shows a ticket of this cluster for this very claim, feature and number of seats.
pub(crate) fn is_shown(config: &ServerConfig, realm: &Realm, client: &PublicKey, request: &Request) -> bool {
    let Some(sealed) = &request.ticket else { return false };
    let opened = realm.ticket_keys.iter().find_map(|key| key.open(sealed).ok());
    opened.is_some_and(|ticket| {
        ticket.cluster_id.get() == config.cluster_id
            && ticket.feature.get() == feature_hash(&request.feature)
            && ticket.seats.get() == request.seats.get()
            && ticket.holder == holder_hash(client, &request.claim)
    })
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
