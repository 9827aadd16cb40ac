//! The first thing any stranger's bytes meet.

use bytes::BytesMut;
use leasehold_protocol::{
    codec::DatagramCodec,
    crypto::{PublicKey, SiteKey, TransportKey, mac::MacKey, open_datagram, ticket::SealedTicket, ticket::TicketKey},
    packet::{self, DATA_HEADER_LEN, DATAGRAM_MAX, DATAGRAM_MIN, Packet, PacketType},
};
use tokio_util::codec::Decoder;
use zerocopy::IntoBytes;

/// Reads `bytes` as a datagram in every way there is.
pub fn run(bytes: &[u8]) {
    crate::memory::within(4 * DATAGRAM_MAX + bytes.len(), || read(bytes));
}

fn read(bytes: &[u8]) {
    let kind = packet::classify(bytes);
    let (server, client) = (packet::read_to_server(bytes), packet::read_to_client(bytes));
    assert!(server.is_err() || client.is_err(), "one side at most reads it");
    match (&server, &client) {
        (Ok(packet), _) | (_, Ok(packet)) => whole(bytes, kind.expect("what is read has a type"), packet),
        _ => {}
    }
    framed(bytes, true, server.is_ok());
    framed(bytes, false, client.is_ok());
    let mut copy = bytes.to_vec();
    assert!(open_datagram(&TransportKey::new(&[1; 32]), &mut copy).is_err(), "nobody has this key");
    // What is behind the header is whatever the AEAD leaves: one of them wipes it.
    let header = DATA_HEADER_LEN.min(bytes.len());
    assert_eq!((copy.len(), &copy[..header]), (bytes.len(), &bytes[..header]), "the header is left as it was");
    if let Some(sealed) = bytes.first_chunk() {
        assert!(TicketKey { id: 3, secret: [7; 32] }.open(&SealedTicket(*sealed)).is_err(), "nobody has this key");
    }
}

/// A datagram that was read is its parts and nothing else.
fn whole(bytes: &[u8], kind: PacketType, packet: &Packet<'_>) {
    assert!((DATAGRAM_MIN..=DATAGRAM_MAX).contains(&bytes.len()));
    let parts = match (kind, packet) {
        (PacketType::Hello1, Packet::Hello1(p)) => p.as_bytes().to_vec(),
        (PacketType::Retry, Packet::Retry(p)) => p.as_bytes().to_vec(),
        (PacketType::Hello2, Packet::Hello2(p)) => p.as_bytes().to_vec(),
        (PacketType::Discover, Packet::Discover(p)) => p.as_bytes().to_vec(),
        (PacketType::Offer, Packet::Offer(p)) => {
            assert!(p.peers.len() <= packet::OFFER_PEERS_MAX);
            [p.head.as_bytes(), p.peers.as_bytes(), p.mac].concat()
        }
        (PacketType::DataToServer | PacketType::DataToClient, Packet::Data(header)) => {
            assert_eq!(bytes.len() % packet::PADDING_STEP, 0);
            [header.as_bytes(), &bytes[packet::DATA_HEADER_LEN..]].concat()
        }
        other => panic!("read as another type: {other:?}"),
    };
    assert_eq!(parts, bytes);
    // A mac nobody could make.
    let key = MacKey::hello(&PublicKey([9; 32]), &SiteKey([8; 32]));
    let (body, mac) = bytes.split_last_chunk().expect("32 bytes or more");
    assert!(!key.verify(body, mac));
}

/// The tokio codec says what the readers say, and takes the datagram whatever it is.
fn framed(bytes: &[u8], to_server: bool, good: bool) {
    let mut codec = if to_server { DatagramCodec::for_server() } else { DatagramCodec::for_client() };
    let mut buffer = BytesMut::from(bytes);
    match codec.decode(&mut buffer) {
        Ok(Some(datagram)) => assert!(good && datagram == bytes),
        Ok(None) => assert!(bytes.is_empty()),
        Err(_) => assert!(!good),
    }
    assert!(buffer.is_empty());
}
