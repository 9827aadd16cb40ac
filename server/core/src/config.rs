//! What a server is told about itself before it starts.

use leasehold_protocol::{
    crypto::{Keypair, SiteKey, ticket::TicketKey},
    time::Mono,
    vocab::{Label, RealmId},
};

/// One server's numbers. [`Default`] fits a site of a quarter of a million machines and costs nothing before they come:
/// every table grows as it fills.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// This server, told in OFFER and HELLO2; its low 32 bits stand in tickets. Made once per installation.
    pub server_id: u64,
    /// The cluster it belongs to; its own id when it stands alone. Tickets of another cluster are refused.
    pub cluster_id: u64,
    /// Drawn once per start: a client that sees it change knows the server restarted.
    pub boot_id: u64,
    /// The UDP port told in OFFER. Default 5097.
    pub port: u16,
    /// The most leases at once, 1 to 2^24. Default 2^20, about 270 MB when all are out: 250 bytes each, and what holders say of
    /// themselves once a session.
    pub leases_max: u32,
    /// The most sessions at once, 1 to 2^20. Default 2^18, about 90 MB when all are open: 330 bytes each.
    pub sessions_max: u32,
    /// The most handshakes between HELLO2 and their first DATA. Default 4 096; the oldest makes room.
    pub half_open_max: u32,
    /// Noise handshakes a second, from all addresses. Default 1 000: each costs about a millisecond of one core.
    pub handshakes_per_second: u32,
    /// Noise handshakes a second from one /24 or /56. Default half of all, so that no network takes every one.
    pub handshakes_per_prefix: u32,
    /// OFFERs a second, to all addresses. Default 200.
    pub discovers_per_second: u32,
    /// OFFERs a second to one /24 or /56. Default 50: 250 machines switched on together are served in 5 s.
    pub discovers_per_prefix: u32,
    /// A broadcast DISCOVER is answered after a random wait of up to this, in milliseconds. Default 50: the servers of a
    /// network do not all answer at once.
    pub discover_delay_max_ms: u64,
    /// Whether a DISCOVER sent to this very server is answered although its source is not on a network of ours. Default
    /// yes: an OFFER is never longer than its question, and a routed site could not find its server otherwise.
    pub discover_unicast_off_link: bool,
    /// How long a lease lives without a renewal where its certificate does not say, in milliseconds, 2 000 to
    /// 86 400 000. Default 300 000: about 20 tries before it is lost.
    pub lease_ttl_default_ms: u64,
    /// Until then only holders who show a ticket are granted seats, because this server may have granted them before it
    /// was restarted and does not remember. `None`: it remembers, or there is nothing to remember.
    pub blind_until: Option<Mono>,
    /// The number its log begins with in this life: two more than what it had come to for certain in the one before, so that a
    /// ticket of another life with this number or a higher one proves the store to be old. 0: there is no log.
    pub log_begins: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            server_id: 1,
            cluster_id: 1,
            boot_id: 1,
            port: leasehold_protocol::DEFAULT_PORT,
            leases_max: 1 << 20,
            sessions_max: 1 << 18,
            half_open_max: 4096,
            handshakes_per_second: 1000,
            handshakes_per_prefix: 500,
            discovers_per_second: 200,
            discovers_per_prefix: 50,
            discover_delay_max_ms: 50,
            discover_unicast_off_link: true,
            lease_ttl_default_ms: 300_000,
            blind_until: None,
            log_begins: 0,
        }
    }
}

/// One publisher on this server: its own keys, licences and seats.
#[derive(Clone)]
pub struct RealmConfig {
    /// Whose: names the realm.
    pub publisher: Label,
    /// The server's static key in this realm.
    pub keys: Keypair,
    /// What a client must know to be heard; [`SiteKey::OPEN`] for anybody.
    pub site: SiteKey,
    /// What tickets are sealed with, newest first; the others are still opened. If empty, a key is drawn that no other
    /// start and no other server knows.
    pub ticket_keys: Vec<TicketKey>,
}

impl RealmConfig {
    /// The realm's id.
    #[must_use]
    pub fn id(&self) -> RealmId {
        RealmId::of(&self.publisher)
    }
}
