//! Tickets: the sealed proof of a lease, kept by its client, readable by servers alone (SPEC 3.8).
//!
//! A ticket lets a restarted server honour what it has forgotten, and another server of a cluster adopt a client. It is
//! bound to one claim key of one client key: stolen, it is useless.

use bincode::{Decode, Encode};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};
use zeroize::ZeroizeOnDrop;

use super::Forged;
use crate::Entropy;

/// What a ticket says, 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ticket {
    /// The cluster that granted.
    pub cluster_id: U64,
    /// The server within it.
    pub server_id: U32,
    /// Which life of that server's allotment; 0 on a single server.
    pub epoch: U32,
    /// The feature: the first four bytes of the BLAKE2s-256 of its name, little-endian.
    pub feature: U32,
    /// The lease's slot.
    pub slot: U32,
    /// The lease's generation.
    pub generation: U32,
    /// Seats.
    pub seats: U32,
    /// Whose: see [`super::mac::holder_hash`].
    pub holder: [u8; 16],
    /// How far the journal had come; 0 without one.
    pub log_number: U64,
    /// When it was granted, milliseconds since 1970.
    pub issued_ms: U64,
}

/// A ticket as clients carry it: key id 2, nonce 24, sealed [`Ticket`] 64, tag 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedTicket(pub [u8; TICKET_LEN]);

/// Bytes of a sealed ticket.
pub const TICKET_LEN: usize = 2 + NONCE_LEN + size_of::<Ticket>() + 16;
const NONCE_LEN: usize = 24;

/// A key that seals tickets. All servers of a cluster hold it; random 24-byte nonces mean they need no shared counter.
#[derive(Clone, ZeroizeOnDrop)]
pub struct TicketKey {
    /// Which key, for rotation.
    #[zeroize(skip)]
    pub id: u16,
    /// The key.
    pub secret: [u8; 32],
}

impl TicketKey {
    /// Seals `ticket`.
    pub fn seal(&self, ticket: &Ticket, entropy: &mut dyn Entropy) -> SealedTicket {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let id = U16::new(self.id);
        let mut body = [0; size_of::<Ticket>()];
        body.copy_from_slice(ticket.as_bytes());
        let tag = XChaCha20Poly1305::new((&self.secret).into())
            .encrypt_inout_detached(&nonce.into(), id.as_bytes(), body.as_mut_slice().into())
            .expect("a ticket is far shorter than the cipher's limit");
        let mut out = [0; TICKET_LEN];
        out[..2].copy_from_slice(id.as_bytes());
        out[2..26].copy_from_slice(&nonce);
        out[26..90].copy_from_slice(&body);
        out[90..].copy_from_slice(&tag);
        SealedTicket(out)
    }

    /// Opens a ticket sealed under this key.
    ///
    /// # Errors
    /// If it was sealed under another key, or any bit of it was changed.
    pub fn open(&self, sealed: &SealedTicket) -> Result<Ticket, Forged> {
        let bytes = &sealed.0;
        if bytes[..2] != self.id.to_le_bytes() {
            return Err(Forged);
        }
        let nonce: [u8; NONCE_LEN] = bytes[2..26].try_into().map_err(|_| Forged)?;
        let tag: [u8; 16] = bytes[90..].try_into().map_err(|_| Forged)?;
        let mut body: [u8; size_of::<Ticket>()] = bytes[26..90].try_into().map_err(|_| Forged)?;
        XChaCha20Poly1305::new((&self.secret).into())
            .decrypt_inout_detached(&nonce.into(), &bytes[..2], body.as_mut_slice().into(), &tag.into())
            .map_err(|_| Forged)?;
        Ticket::read_from_bytes(&body).map_err(|_| Forged)
    }
}

const _: () = assert!(size_of::<Ticket>() == 64 && TICKET_LEN == 106);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_under_its_own_key_and_unchanged_only() {
        let key = TicketKey { id: 3, secret: [9; 32] };
        let ticket = Ticket {
            cluster_id: 1.into(),
            server_id: 2.into(),
            epoch: 0.into(),
            feature: 4.into(),
            slot: 5.into(),
            generation: 6.into(),
            seats: 70_000.into(),
            holder: [8; 16],
            log_number: 0.into(),
            issued_ms: 10.into(),
        };
        let sealed = key.seal(&ticket, &mut |bytes: &mut [u8]| bytes.fill(1));
        assert_eq!(key.open(&sealed), Ok(ticket));
        assert!(TicketKey { id: 3, secret: [8; 32] }.open(&sealed).is_err());
        assert!(TicketKey { id: 4, secret: [9; 32] }.open(&sealed).is_err());
        for bit in 0..TICKET_LEN * 8 {
            let mut forged = sealed;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(&forged), Err(Forged), "bit {bit}");
        }
    }
}
