//! The keys, ids and draws every vector is made from. `testdata/README.md` lists them for other implementations.

use std::net::SocketAddr;

use leasehold_protocol::{
    Entropy,
    crypto::{Keypair, SiteKey, mac::CookieSecret, ticket::TicketKey},
    vocab::{ClaimKey, Label, LeaseId, OperationId, RealmId},
};

/// 32 bytes that count up from `first`.
pub fn counting(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first.wrapping_add(u8::try_from(i).expect("below 32")))
}

/// The client's static private key.
pub const CLIENT_STATIC: u8 = 0x20;
/// The server's static private key.
pub const SERVER_STATIC: u8 = 0x60;
/// The client's ephemeral private key.
pub const CLIENT_EPHEMERAL: u8 = 0xa0;
/// The server's ephemeral private key.
pub const SERVER_EPHEMERAL: u8 = 0xc0;
/// The site key.
pub const SITE: u8 = 0xe0;
/// The cookie secret.
pub const COOKIE: u8 = 0x80;
/// The secret of the ticket key.
pub const TICKET: u8 = 0x40;
/// The id of the ticket key.
pub const TICKET_KEY_ID: u16 = 3;
/// The first of the 24 counting bytes of the ticket's nonce.
pub const TICKET_NONCE: u8 = 0x10;

/// The publisher's secret key.
pub const PUBLISHER_SECRET: u8 = 0x90;

/// The client's session id.
pub const CLIENT_SID: u32 = 0x0102_0304;
/// The server's session id.
pub const SERVER_SID: u32 = 0x0a0b_0c0d;
/// The server.
pub const SERVER_ID: u64 = 0x5e17;
/// Its cluster.
pub const CLUSTER_ID: u64 = 0xc105;
/// This life of it.
pub const BOOT_ID: u64 = 0x0b00_7000_0000_0001;
/// The client's wall clock, and the ticket's time: 2026-11-22T08:00:00Z.
pub const UNIX_MS: u64 = 1_795_334_400_000;
/// The SDK's version, 0.1.0.
pub const SDK_VERSION: u32 = 0x0000_1000;
/// This process of the client.
pub const INSTANCE: [u8; 8] = *b"instance";
/// The publisher whose realm it is.
pub const PUBLISHER: &str = "acme";

/// The claim all frames are about.
pub const CLAIM: ClaimKey = ClaimKey(*b"claim key 16 b..");
/// The lease it got: slot 5, generation 2.
pub const LEASE: LeaseId = LeaseId::new(5, 2);
/// The operation they belong to.
pub const OPERATION: OperationId = OperationId(0x0123_4567_89ab_cdef);

pub fn realm() -> RealmId {
    RealmId::of(&Label::new(PUBLISHER).expect("a label"))
}

pub fn client() -> Keypair {
    Keypair::from_private(counting(CLIENT_STATIC))
}

pub fn server() -> Keypair {
    Keypair::from_private(counting(SERVER_STATIC))
}

pub fn site() -> SiteKey {
    SiteKey(counting(SITE))
}

pub fn cookie_secret() -> CookieSecret {
    CookieSecret(counting(COOKIE))
}

pub fn ticket_key() -> TicketKey {
    TicketKey { id: TICKET_KEY_ID, secret: counting(TICKET) }
}

/// Where the client sends from.
pub fn client_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 50_123))
}

/// A source that counts up from `first` at each draw.
pub fn draws(first: u8) -> impl Entropy {
    move |bytes: &mut [u8]| bytes.copy_from_slice(&counting(first)[..bytes.len()])
}
