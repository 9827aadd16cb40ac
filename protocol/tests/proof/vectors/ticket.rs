//! Tickets, open and sealed (SPEC 3.8).

use blake2::{Blake2s256, Digest};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use leasehold_protocol::crypto::{
    mac::holder_hash,
    ticket::{SealedTicket, Ticket},
};

use crate::{fixed, page::Page};

fn feature_hash(name: &str) -> u32 {
    let digest = Blake2s256::digest(name.as_bytes());
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// What the ticket of the vectors says.
pub fn ticket() -> Ticket {
    Ticket {
        cluster_id: fixed::CLUSTER_ID.into(),
        server_id: u32::try_from(fixed::SERVER_ID).expect("small").into(),
        epoch: 0.into(),
        feature: feature_hash("VR_MODE").into(),
        slot: fixed::LEASE.slot().into(),
        generation: fixed::LEASE.generation().into(),
        seats: 2.into(),
        holder: holder_hash(&fixed::client().public(), &fixed::CLAIM),
        log_number: 9.into(),
        issued_ms: fixed::UNIX_MS.into(),
    }
}

pub fn page() -> Page {
    Page::new("ticket", "Ticket, open", "What a server seals into a ticket; never on the wire like this (SPEC 3.8).")
        .u64("cluster_id", fixed::CLUSTER_ID, "")
        .u32("server_id", u32::try_from(fixed::SERVER_ID).expect("small"), "low half of the server's id")
        .u32("epoch", 0, "a single server")
        .u32("feature", feature_hash("VR_MODE"), "hash of `VR_MODE`")
        .u32("slot", fixed::LEASE.slot(), "")
        .u32("generation", fixed::LEASE.generation(), "")
        .u32("seats", 2, "")
        .raw("holder", &holder_hash(&fixed::client().public(), &fixed::CLAIM), "hash of client key and claim key")
        .u64("log_number", 9, "")
        .u64("issued_ms", fixed::UNIX_MS, "2026-11-22T08:00:00Z")
}

pub fn sealed_page() -> Page {
    let id = fixed::TICKET_KEY_ID.to_le_bytes();
    let nonce = &fixed::counting(fixed::TICKET_NONCE)[..24];
    let mut body = page().bytes;
    let tag = XChaCha20Poly1305::new((&fixed::counting(fixed::TICKET)).into())
        .encrypt_inout_detached(nonce.try_into().expect("24 bytes"), &id, body.as_mut_slice().into())
        .expect("short");
    Page::new("ticket-sealed", "Ticket, sealed", "The ticket of these vectors as a client carries it (SPEC 3.8).")
        .u16("key_id", fixed::TICKET_KEY_ID, "also the authenticated data")
        .raw("nonce", nonce, "random; here it counts up from 10")
        .raw("ciphertext", &body, "the open ticket")
        .raw("tag", &tag, "")
        .sealing(page())
}

pub fn sealed() -> SealedTicket {
    SealedTicket(sealed_page().bytes.try_into().expect("106 bytes"))
}
