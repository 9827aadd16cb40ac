//! What is written is read back, and no bytes of any kind panic.

use leasehold_protocol::{
    codec::BODY_MAX,
    crypto::{PublicKey, SiteKey, TransportKey, noise::Responder, open_datagram, seal_datagram, ticket::SealedTicket},
    frame::{self, Frames, RawFrame},
    message::{ClientFrame, Known, ServerFrame},
    packet::{self, PLAINTEXT_MAX, PacketType},
    vocab::RealmId,
};
use proptest::{collection::vec, prelude::*};

use crate::{fixed, strategies, vectors};

/// Bytes that look like something: a vector with a few bytes changed and perhaps cut or continued.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = vectors::all().into_iter().map(|page| page.bytes).collect();
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(all), changes, any::<prop::sample::Index>(), vec(any::<u8>(), 0..8), any::<bool>()).prop_map(
        |(mut bytes, changes, cut, tail, cuts)| {
            for (at, value) in changes {
                let len = bytes.len();
                bytes[at.index(len)] = value;
            }
            if cuts {
                bytes.truncate(cut.index(bytes.len()));
                bytes.extend(tail);
            }
            bytes
        },
    )
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..1300), nearly()]
}

/// Everything that reads bytes off the wire, one after the other.
fn read_everything(bytes: &[u8]) {
    let _ = packet::classify(bytes);
    let _ = packet::read_to_server(bytes);
    let _ = packet::read_to_client(bytes);
    for raw in Frames::new(bytes).map_while(Result::ok) {
        let _ = ClientFrame::decode(raw);
        let _ = ServerFrame::decode(raw);
    }
    if let Some((kind, body)) = bytes.split_first() {
        let _ = ClientFrame::decode(RawFrame { kind: *kind, body });
        let _ = ServerFrame::decode(RawFrame { kind: *kind, body });
    }
    let _ = open_datagram(&TransportKey::new(&[1; 32]), &mut bytes.to_vec());
    if let Some(sealed) = bytes.first_chunk() {
        let _ = fixed::ticket_key().open(&SealedTicket(*sealed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn what_a_client_writes_is_read_back(frame in strategies::client_frame()) {
        let mut bytes = Vec::new();
        match frame.append_to(&mut bytes) {
            Ok(()) => {
                frame::pad(&mut bytes, 0);
                let mut frames = Frames::new(&bytes);
                let raw = frames.next().expect("a frame").expect("whole");
                prop_assert_eq!(ClientFrame::decode(raw), Ok(Known::Frame(frame)));
                prop_assert_eq!(frames.next(), None);
            }
            Err(_) => prop_assert!(bytes.is_empty(), "what does not fit leaves nothing"),
        }
    }

    #[test]
    fn what_a_server_writes_is_read_back(frame in strategies::server_frame()) {
        let mut bytes = Vec::new();
        match frame.append_to(&mut bytes) {
            Ok(()) => {
                frame::pad(&mut bytes, 0);
                let mut frames = Frames::new(&bytes);
                let raw = frames.next().expect("a frame").expect("whole");
                prop_assert_eq!(ServerFrame::decode(raw), Ok(Known::Frame(frame)));
                prop_assert_eq!(frames.next(), None);
            }
            Err(_) => prop_assert!(bytes.is_empty(), "what does not fit leaves nothing"),
        }
    }

    #[test]
    fn several_frames_come_back_in_order(frames in vec(strategies::client_frame(), 0..6)) {
        let mut bytes = Vec::new();
        let kept: Vec<ClientFrame> = frames.into_iter().filter(|frame| frame.append_to(&mut bytes).is_ok()).collect();
        frame::pad(&mut bytes, 0);
        prop_assert!(bytes.len() <= PLAINTEXT_MAX && bytes.len() % 32 == 0 && !bytes.is_empty());
        let read: Result<Vec<_>, _> = Frames::new(&bytes).map(|raw| raw.and_then(ClientFrame::decode)).collect();
        prop_assert_eq!(read, Ok(kept.into_iter().map(Known::Frame).collect()));
    }

    // SPEC 5.2.4: what is read may have been spelled longer than we would, never differently in value.
    #[test]
    fn what_is_read_is_written_back_no_longer_and_means_the_same(bytes in any_bytes(), kind in 1u8..0x14) {
        let body = &bytes[..bytes.len().min(BODY_MAX)];
        if let Ok(Known::Frame(frame)) = ClientFrame::decode(RawFrame { kind, body }) {
            let mut again = Vec::new();
            frame.append_to(&mut again).expect("it came from no more bytes");
            prop_assert!(again.len() <= body.len() + 4);
            let raw = RawFrame { kind, body: &again[4..] };
            prop_assert_eq!(ClientFrame::decode(raw), Ok(Known::Frame(frame)));
        }
        if let Ok(Known::Frame(frame)) = ServerFrame::decode(RawFrame { kind, body }) {
            let mut again = Vec::new();
            frame.append_to(&mut again).expect("it came from no more bytes");
            prop_assert!(again.len() <= body.len() + 4);
            let raw = RawFrame { kind, body: &again[4..] };
            prop_assert_eq!(ServerFrame::decode(raw), Ok(Known::Frame(frame)));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in any_bytes()) {
        read_everything(&bytes);
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_header_only(
        key in any::<[u8; 32]>(), sid in any::<u32>(), counter in any::<u64>(), steps in 1usize..36, flip in any::<prop::sample::Index>()
    ) {
        let plaintext = vec![0x5a; steps * 32];
        let mut sealed = Vec::new();
        seal_datagram(&TransportKey::new(&key), PacketType::DataToClient, sid, counter, &plaintext, &mut sealed);
        prop_assert!(packet::read_to_client(&sealed).is_ok());
        let mut forged = sealed.clone();
        let bit = flip.index(forged.len() * 8);
        forged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(open_datagram(&TransportKey::new(&key), &mut forged).is_err());
        prop_assert_eq!(open_datagram(&TransportKey::new(&key), &mut sealed), Ok(&plaintext[..]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_handshakes_never_authenticate(message in vec(any::<u8>(), 120), site in any::<[u8; 32]>(), realm in any::<u32>()) {
        let message = message.try_into().expect("120 bytes");
        let mut draws = fixed::draws(1);
        let accepted = Responder::accept(&fixed::server(), &SiteKey(site), RealmId(realm), &message, &mut draws);
        prop_assert!(accepted.is_err());
        // Keys of low order included: a zero key is one.
        let zero = leasehold_protocol::crypto::mac::MacKey::hello(&PublicKey([0; 32]), &SiteKey(site));
        prop_assert!(!zero.verify(&message, &[0; 16]));
    }
}
