//! One publisher on this server.

use std::sync::Arc;

use leasehold_protocol::{
    Entropy,
    crypto::{Fingerprint, Keypair, PublicKey, SiteKey, mac::MacKey, ticket::TicketKey},
    vocab::{Label, RealmId},
};

use crate::{RealmConfig, book::Pools, plan::Planner};

/// Own keys, certificates and seats; nothing shared with another realm but the socket and the room in the tables.
pub(crate) struct Realm {
    pub(crate) identity: RealmIdentity,
    /// The server's keys in this realm.
    pub(crate) keys: Keypair,
    /// What a client must know to be heard.
    pub(crate) site: SiteKey,
    /// Newest first, never empty.
    pub(crate) ticket_keys: Vec<TicketKey>,
    /// Of HELLO1, RETRY and HELLO2.
    pub(crate) hello_mac: MacKey,
    /// Of DISCOVER and OFFER.
    pub(crate) discovery_mac: MacKey,
    pub(crate) planner: Planner,
    pub(crate) pools: Pools,
}

/// What a realm is known by.
#[derive(Clone, Debug)]
pub(crate) struct RealmIdentity {
    pub(crate) id: RealmId,
    pub(crate) publisher: Label,
    pub(crate) key: PublicKey,
    pub(crate) fingerprint: Fingerprint,
}

impl Realm {
    pub(crate) fn new(config: RealmConfig, entropy: &mut dyn Entropy) -> Arc<Self> {
        let (id, key) = (config.id(), config.keys.public());
        let mut ticket_keys = config.ticket_keys;
        if ticket_keys.is_empty() {
            let mut secret = [0; 32];
            entropy.fill(&mut secret);
            ticket_keys.push(TicketKey { id: 0, secret });
        }
        Arc::new(Self {
            identity: RealmIdentity { id, publisher: config.publisher, key, fingerprint: key.fingerprint() },
            hello_mac: MacKey::hello(&key, &config.site),
            discovery_mac: MacKey::discovery(&config.site),
            keys: config.keys,
            site: config.site,
            ticket_keys,
            planner: Planner::default(),
            pools: Pools::new(id),
        })
    }
}
