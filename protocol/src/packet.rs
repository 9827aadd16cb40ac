//! The datagrams, byte for byte (SPEC 2). Fixed layouts checked at compile time; a view costs no copy.
//!
//! Reading them is the first and cheapest thing a receiver does: size, magic, version, direction and reserved bits,
//! before any cryptography (SPEC 2.2).

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use crate::error::{DecodeError, DecodeErrorKind};

/// The first byte of every datagram.
pub const MAGIC: u8 = 0x1e;
/// The protocol version this build speaks; the high half of the second byte.
pub const VERSION: u8 = 1;
/// The smallest datagram, in bytes.
pub const DATAGRAM_MIN: usize = 32;
/// The largest datagram, in bytes: below every path's MTU, so none is ever fragmented.
pub const DATAGRAM_MAX: usize = 1200;
/// The bytes of a DATA datagram before its ciphertext; also what the AEAD authenticates beside it.
pub const DATA_HEADER_LEN: usize = 16;
/// The AEAD's tag.
pub const TAG_LEN: usize = 16;
/// The most plaintext one DATA datagram carries: 1 200 less header and tag, rounded down to the padding step.
pub const PLAINTEXT_MAX: usize = 1152;
/// Plaintext is padded with zeros to a multiple of this, so that sizes tell little.
pub const PADDING_STEP: usize = 32;
/// Peers an OFFER lists at most.
pub const OFFER_PEERS_MAX: usize = 4;

/// What a datagram is. Even types go from client to server, odd ones back; each side drops its own kind unread (W-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// A client's first and third message of a handshake.
    Hello1 = 2,
    /// The server's cookie for an address that has not proved itself.
    Retry = 3,
    /// The server's half of the handshake.
    Hello2 = 5,
    /// Sealed frames to the server.
    DataToServer = 6,
    /// Sealed frames to the client.
    DataToClient = 7,
    /// Is there a server?
    Discover = 8,
    /// Here is one.
    Offer = 9,
}

impl PacketType {
    /// Whether a server reads this type (the others are a server's own kind).
    #[must_use]
    pub const fn is_to_server(self) -> bool {
        self as u8 & 1 == 0
    }

    const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            2 => Self::Hello1,
            3 => Self::Retry,
            5 => Self::Hello2,
            6 => Self::DataToServer,
            7 => Self::DataToClient,
            8 => Self::Discover,
            9 => Self::Offer,
            _ => return None,
        })
    }
}

/// The four bytes every datagram begins with (SPEC 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Prefix {
    magic: u8,
    version_type: u8,
    flags: U16,
}

impl Prefix {
    /// The prefix of a datagram of type `kind`.
    #[must_use]
    pub const fn of(kind: PacketType) -> Self {
        Self { magic: MAGIC, version_type: VERSION << 4 | kind as u8, flags: U16::new(0) }
    }
}

/// HELLO1, client to server, 168 bytes (SPEC 3.3).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Hello1 {
    /// Type 2.
    pub prefix: Prefix,
    /// Which publisher's realm.
    pub realm: U32,
    /// The client's session id, echoed in every answer.
    pub client_sid: U32,
    /// Zero.
    pub zero: U32,
    /// Noise message 1: ephemeral key 32, sealed static key 48, sealed client info 40.
    pub noise: [u8; 120],
    /// Keyed mac over everything before it.
    pub mac1: [u8; 16],
    /// The cookie of the last RETRY; zeros at first.
    pub cookie: [u8; 16],
}

/// RETRY, server to client, 56 bytes (SPEC 3.4).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Retry {
    /// Type 3.
    pub prefix: Prefix,
    /// The client's session id.
    pub client_sid: U32,
    /// The `mac1` of the HELLO1 this answers: an off-path liar cannot know it.
    pub mac1_echo: [u8; 16],
    /// What to put into the next HELLO1.
    pub cookie: [u8; 16],
    /// Keyed mac over everything before it.
    pub tag: [u8; 16],
}

/// HELLO2, server to client, 112 bytes (SPEC 3.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Hello2 {
    /// Type 5.
    pub prefix: Prefix,
    /// The server's session id: what the client writes into its DATA.
    pub server_sid: U32,
    /// The client's session id.
    pub client_sid: U32,
    /// Zero.
    pub zero: U32,
    /// Noise message 2: ephemeral key 32, sealed server info 48.
    pub noise: [u8; 80],
    /// Keyed mac over everything before it.
    pub mac1: [u8; 16],
}

/// The clear part of DATA, 16 bytes; ciphertext and a 16-byte tag follow (SPEC 4.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DataHeader {
    /// Type 6 or 7.
    pub prefix: Prefix,
    /// The receiver's session id.
    pub receiver_sid: U32,
    /// The nonce; counts up from 0 in each direction.
    pub counter: U64,
}

/// DISCOVER, client to server, 192 bytes, the last 152 of them zeros so that no OFFER is longer (SPEC 6.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Discover {
    /// Type 8.
    pub prefix: Prefix,
    /// Which realm, or 0 for any.
    pub realm: U32,
    /// Echoed in the OFFER.
    pub nonce: [u8; 8],
    /// Bit n set: the client speaks version n.
    pub versions: U16,
    /// Zero.
    pub zero: [u8; 6],
    /// Keyed mac over everything before it, keyed by the site key.
    pub mac: [u8; 16],
    /// Zeros.
    pub padding: [u8; 152],
}

/// The fixed part of an OFFER, 69 bytes; up to four [`OfferPeer`] and a 16-byte mac follow (SPEC 6.3).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct OfferHead {
    /// Type 9.
    pub prefix: Prefix,
    /// The realm offered.
    pub realm: U32,
    /// The nonce of the DISCOVER.
    pub nonce_echo: [u8; 8],
    /// This server.
    pub server_id: U64,
    /// The cluster it belongs to; its own id when it stands alone.
    pub cluster_id: U64,
    /// Its static X25519 key in that realm.
    pub server_key: [u8; 32],
    /// The UDP port to use, which may differ from where the DISCOVER went.
    pub port: U16,
    /// Higher is better: free capacity as the server judges it, 0 to 65 535.
    pub weight: U16,
    /// How many peers follow.
    pub peer_count: u8,
}

/// Another server of the same cluster, as an OFFER lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct OfferPeer {
    /// IPv6 address, or IPv4 as `::ffff:a.b.c.d`.
    pub address: [u8; 16],
    /// UDP port.
    pub port: U16,
}

/// An OFFER split into its parts.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The fixed part.
    pub head: &'a OfferHead,
    /// Peers, at most [`OFFER_PEERS_MAX`].
    pub peers: &'a [OfferPeer],
    /// Keyed mac over everything before it.
    pub mac: &'a [u8; 16],
}

/// A datagram whose size, magic, version, type and reserved fields are right. Nothing in it is authentic yet.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// Type 2.
    Hello1(&'a Hello1),
    /// Type 3.
    Retry(&'a Retry),
    /// Type 5.
    Hello2(&'a Hello2),
    /// Types 6 and 7: the clear header; ciphertext and tag are the bytes from [`DATA_HEADER_LEN`] on.
    Data(&'a DataHeader),
    /// Type 8.
    Discover(&'a Discover),
    /// Type 9.
    Offer(Offer<'a>),
}

/// The type of a datagram, by its prefix and size alone (SPEC 2.2, steps 1 to 3).
///
/// # Errors
/// If size, magic, version, flags or type are wrong.
pub fn classify(bytes: &[u8]) -> Result<PacketType, DecodeError> {
    if bytes.len() < DATAGRAM_MIN {
        return Err(DecodeError::new("datagram", bytes.len(), DecodeErrorKind::Truncated));
    }
    if bytes.len() > DATAGRAM_MAX {
        return Err(DecodeError::new("datagram", DATAGRAM_MAX, DecodeErrorKind::TooLong));
    }
    if bytes[0] != MAGIC {
        return Err(DecodeError::new("magic", 0, DecodeErrorKind::Magic));
    }
    if bytes[1] >> 4 != VERSION {
        return Err(DecodeError::new("version", 1, DecodeErrorKind::Version));
    }
    if bytes[2..4] != [0, 0] {
        return Err(DecodeError::new("flags", 2, DecodeErrorKind::Reserved));
    }
    PacketType::from_nibble(bytes[1] & 15).ok_or(DecodeError::new("type", 1, DecodeErrorKind::Direction))
}

/// Reads a datagram a server received: clients' types only.
///
/// # Errors
/// If it is not one, byte for byte.
pub fn read_to_server(bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    read(bytes, true)
}

/// Reads a datagram a client received: servers' types only.
///
/// # Errors
/// If it is not one, byte for byte.
pub fn read_to_client(bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    read(bytes, false)
}

fn read(bytes: &[u8], to_server: bool) -> Result<Packet<'_>, DecodeError> {
    let kind = classify(bytes)?;
    if kind.is_to_server() != to_server {
        return Err(DecodeError::new("type", 1, DecodeErrorKind::Direction));
    }
    match kind {
        PacketType::Hello1 => {
            let hello: &Hello1 = exactly(bytes, "hello1")?;
            zeros(&bytes[12..16], 12)?;
            Ok(Packet::Hello1(hello))
        }
        PacketType::Retry => exactly(bytes, "retry").map(Packet::Retry),
        PacketType::Hello2 => {
            let hello: &Hello2 = exactly(bytes, "hello2")?;
            zeros(&bytes[12..16], 12)?;
            Ok(Packet::Hello2(hello))
        }
        PacketType::DataToServer | PacketType::DataToClient => {
            let (header, _) = DataHeader::ref_from_prefix(bytes)
                .map_err(|_| DecodeError::new("data", bytes.len(), DecodeErrorKind::Truncated))?;
            sealed_len(bytes.len() - DATA_HEADER_LEN - TAG_LEN)?;
            Ok(Packet::Data(header))
        }
        PacketType::Discover => {
            let discover: &Discover = exactly(bytes, "discover")?;
            zeros(&discover.zero, 18)?;
            zeros(&discover.padding, 40)?;
            Ok(Packet::Discover(discover))
        }
        PacketType::Offer => read_offer(bytes).map(Packet::Offer),
    }
}

fn read_offer(bytes: &[u8]) -> Result<Offer<'_>, DecodeError> {
    let truncated = DecodeError::new("offer", bytes.len(), DecodeErrorKind::Truncated);
    let (head, rest) = OfferHead::ref_from_prefix(bytes).map_err(|_| truncated.clone())?;
    let count = usize::from(head.peer_count);
    if count > OFFER_PEERS_MAX {
        return Err(DecodeError::new("offer peer count", 68, DecodeErrorKind::Range));
    }
    let (peers, rest) = <[OfferPeer]>::ref_from_prefix_with_elems(rest, count).map_err(|_| truncated.clone())?;
    let mac = rest.first_chunk::<16>().ok_or(truncated)?;
    if rest.len() > 16 {
        return Err(DecodeError::new("offer", bytes.len() - rest.len() + 16, DecodeErrorKind::Trailing));
    }
    Ok(Offer { head, peers, mac })
}

// SPEC 4.3: what was padded by the rule is 32 bytes or a multiple; anything else never came from an honest sender, and
// is dropped before it costs an AEAD.
fn sealed_len(len: usize) -> Result<(), DecodeError> {
    match len {
        len if len < PADDING_STEP => Err(DecodeError::new("data", DATA_HEADER_LEN, DecodeErrorKind::Truncated)),
        len if len > PLAINTEXT_MAX => Err(DecodeError::new("data", DATA_HEADER_LEN, DecodeErrorKind::TooLong)),
        len if !len.is_multiple_of(PADDING_STEP) => {
            Err(DecodeError::new("data", DATA_HEADER_LEN + len, DecodeErrorKind::Trailing))
        }
        _ => Ok(()),
    }
}

fn exactly<'a, T: FromBytes + KnownLayout + Immutable + Unaligned>(
    bytes: &'a [u8],
    name: &'static str,
) -> Result<&'a T, DecodeError> {
    T::ref_from_bytes(bytes).map_err(|_| {
        let kind = if bytes.len() < size_of::<T>() { DecodeErrorKind::Truncated } else { DecodeErrorKind::Trailing };
        DecodeError::new(name, bytes.len().min(size_of::<T>()), kind)
    })
}

fn zeros(bytes: &[u8], offset: usize) -> Result<(), DecodeError> {
    match bytes.iter().position(|b| *b != 0) {
        None => Ok(()),
        Some(i) => Err(DecodeError::new("reserved", offset + i, DecodeErrorKind::Reserved)),
    }
}

const _: () = {
    assert!(size_of::<Prefix>() == 4);
    assert!(size_of::<Hello1>() == 168);
    assert!(size_of::<Retry>() == 56);
    assert!(size_of::<Hello2>() == 112);
    assert!(size_of::<DataHeader>() == DATA_HEADER_LEN);
    assert!(size_of::<Discover>() == 192);
    // The factor-1.0 rule holds by layout (SPEC 2.4).
    assert!(size_of::<Hello2>() <= size_of::<Hello1>() && size_of::<Retry>() <= size_of::<Hello1>());
    assert!(
        size_of::<OfferHead>() + OFFER_PEERS_MAX * size_of::<OfferPeer>() + 16 <= size_of::<Discover>(),
        "an OFFER is never longer than the DISCOVER it answers"
    );
    assert!(DATA_HEADER_LEN + PLAINTEXT_MAX + TAG_LEN <= DATAGRAM_MAX);
    assert!(PLAINTEXT_MAX.is_multiple_of(PADDING_STEP));
};
