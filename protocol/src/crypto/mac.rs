//! The keyed macs a stranger fails at for the price of one hash, and the cookie that proves an address (SPEC 3.2).

use std::net::SocketAddr;

use blake2::{
    Blake2s256, Blake2sMac, Digest,
    digest::{FixedOutput, KeyInit, Update, consts::U16},
};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use super::{PublicKey, SiteKey};
use crate::vocab::RealmId;

/// A BLAKE2s-128 key for one purpose.
#[derive(Clone, ZeroizeOnDrop)]
pub struct MacKey([u8; 32]);

impl MacKey {
    /// For HELLO1, RETRY and HELLO2 with the server that owns `server`.
    #[must_use]
    pub fn hello(server: &PublicKey, site: &SiteKey) -> Self {
        Self(derive(b"leasehold mac1 v1", &[&server.0, &site.0]))
    }

    /// For DISCOVER and OFFER at this site.
    #[must_use]
    pub fn discovery(site: &SiteKey) -> Self {
        Self(derive(b"leasehold discover v1", &[&site.0]))
    }

    /// For the mark of wall time that a server keeps beside its ticket key, whose secret is `secret` (T-5).
    #[must_use]
    pub fn clock_mark(secret: &[u8; 32]) -> Self {
        Self(derive(b"leasehold clock mark v1", &[secret]))
    }

    /// The mac of `bytes`.
    #[must_use]
    pub fn of(&self, bytes: &[u8]) -> [u8; 16] {
        keyed(&self.0, &[bytes])
    }

    /// Whether `mac` is the mac of `bytes`, in constant time.
    #[must_use]
    pub fn verify(&self, bytes: &[u8], mac: &[u8; 16]) -> bool {
        self.of(bytes).ct_eq(mac).into()
    }
}

/// The secret behind cookies: what proves that an address can hear us, with no state kept for it. Lives 120 s; the one
/// before is accepted too.
#[derive(Clone, ZeroizeOnDrop)]
pub struct CookieSecret(pub [u8; 32]);

impl CookieSecret {
    /// The cookie for a client at `from` that calls its session `client_sid`.
    #[must_use]
    pub fn cookie(&self, from: SocketAddr, client_sid: u32, realm: RealmId) -> [u8; 16] {
        let ip = match from.ip() {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            std::net::IpAddr::V6(ip) => ip,
        };
        let port = from.port().to_le_bytes();
        keyed(&self.0, &[&ip.octets(), &port, &client_sid.to_le_bytes(), &realm.0.to_le_bytes()])
    }

    /// Whether `cookie` is that cookie, in constant time.
    #[must_use]
    pub fn verify(&self, cookie: &[u8; 16], from: SocketAddr, client_sid: u32, realm: RealmId) -> bool {
        self.cookie(from, client_sid, realm).ct_eq(cookie).into()
    }
}

/// 16 bytes that stand for one claim of one client: what a ticket is bound to (SPEC 3.8).
#[must_use]
pub fn holder_hash(client: &PublicKey, claim: &crate::vocab::ClaimKey) -> [u8; 16] {
    let digest = derive(b"leasehold holder v1", &[&client.0, &claim.0]);
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

fn derive(label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    Digest::update(&mut hash, label);
    parts.iter().for_each(|part| Digest::update(&mut hash, part));
    hash.finalize().into()
}

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Blake2sMac::<U16>::new(key.into());
    parts.iter().for_each(|part| Update::update(&mut mac, part));
    mac.finalize_fixed().into()
}
