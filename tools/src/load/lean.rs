//! A *lean session*: the protocol's client half with nothing around it, for load that must cost less than what it tests.
//!
//! The SDK's holder keeps a lease through every trouble and remembers much for it. A lean session remembers two keys, two
//! counters and a replay window; whoever drives it owns the leases, the retries, the sockets and the clock. No method
//! blocks, and none but a handshake and a grant allocates.
//!
//! ```text
//! Opening::new ── hello() to the server ── handle(RETRY) ⇒ Again ── hello() ── handle(HELLO2) ⇒ Open(Session)
//! ask::renew(&mut plaintext, …); ask::pad(&mut plaintext); session.seal(&plaintext, &mut datagram)
//! session.open(&mut datagram) ⇒ plaintext; answer::read(plaintext) ⇒ Answer, Answer, …
//! ```
//!
//! Absent: the search for servers, proofs, rekeying after 12 h, the path challenge of a new address. A load test is over
//! by then, or does not do that.

pub mod answer;
pub mod ask;
mod opening;
mod session;

pub use answer::Answer;
pub use ask::RequestForm;
pub use opening::{Opening, Step};
pub use session::{Session, Spent};

use leasehold_protocol::{
    crypto::{PublicKey, SiteKey},
    packet::{self, Packet},
    vocab::RealmId,
};

/// The server a session is with: what a client knows before it says a word.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its key in the realm.
    pub key: PublicKey,
    /// The realm; never 0.
    pub realm: RealmId,
    /// The site's key, all zeros at an open site.
    pub site: SiteKey,
}

/// The session of ours that a server's datagram names in clear: which [`Opening`] or [`Session`] to hand it to. `None`
/// for what is no datagram of a server to a client.
#[must_use]
pub fn sid_of_answer(datagram: &[u8]) -> Option<u32> {
    match packet::read_to_client(datagram) {
        Ok(Packet::Retry(retry)) => Some(retry.client_sid.get()),
        Ok(Packet::Hello2(hello)) => Some(hello.client_sid.get()),
        Ok(Packet::Data(data)) => Some(data.receiver_sid.get()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
