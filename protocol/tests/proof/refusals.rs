//! What is not exactly right is refused: cut short, gone on too long, from the wrong side, with reserved bits, out of
//! range.

use leasehold_protocol::{
    crypto::{TransportKey, mac::MacKey, open_datagram},
    error::{DecodeError, DecodeErrorKind},
    frame::{Frames, RawFrame},
    message::{ClientFrame, Known, ServerFrame},
    packet::{self, DATAGRAM_MAX, Packet},
};

use crate::{fixed, page::Page, page::var, vectors};

/// Reads a datagram as the side it is meant for does.
fn read(bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    if bytes.get(1).is_some_and(|b| b & 1 == 0) { packet::read_to_server(bytes) } else { packet::read_to_client(bytes) }
}

fn is_data(page: &Page) -> bool {
    page.name.starts_with("data-")
}

fn data_key(page: &Page) -> TransportKey {
    let keys = vectors::handshake();
    TransportKey::new(if page.name == "data-to-server" { &keys.to_server } else { &keys.to_client })
}

/// Each body of every frame vector, as (name, whether a client sends it, type, body).
fn bodies() -> Vec<(&'static str, bool, u8, Vec<u8>)> {
    let client =
        vectors::client_frames().into_iter().map(|v| (v.page.name, true, v.frame.kind(), v.page.bytes[4..].to_vec()));
    let server =
        vectors::server_frames().into_iter().map(|v| (v.page.name, false, v.frame.kind(), v.page.bytes[4..].to_vec()));
    client.chain(server).collect()
}

/// Why a body is refused; `None` if it is read.
fn refused(from_client: bool, kind: u8, body: &[u8]) -> Option<DecodeError> {
    let raw = RawFrame { kind, body };
    if from_client { ClientFrame::decode(raw).err() } else { ServerFrame::decode(raw).err() }
}

#[test]
fn every_datagram_of_the_vectors_is_read_by_its_side_and_refused_by_the_other() {
    for page in vectors::datagrams() {
        assert!(read(&page.bytes).is_ok(), "{}", page.name);
        let even = page.bytes[1] & 1 == 0;
        let other = if even { packet::read_to_client } else { packet::read_to_server };
        assert_eq!(other(&page.bytes).unwrap_err().kind, DecodeErrorKind::Direction, "{}", page.name);
    }
}

#[test]
fn every_prefix_of_every_datagram_is_refused() {
    for page in vectors::datagrams() {
        for len in 0..page.bytes.len() {
            let mut cut = page.bytes[..len].to_vec();
            // A cut DATA may have a length that DATA can have. Then it does not authenticate.
            let stands = read(&cut).is_ok();
            assert!(!stands || is_data(&page) && len % 32 == 0, "{} cut to {len}", page.name);
            if is_data(&page) {
                assert!(open_datagram(&data_key(&page), &mut cut).is_err(), "{} cut to {len}", page.name);
            }
        }
    }
}

#[test]
fn every_single_trailing_byte_of_a_datagram_is_refused() {
    for page in vectors::datagrams() {
        for extra in 0..=255 {
            let mut long = page.bytes.clone();
            long.push(extra);
            assert_eq!(read(&long).unwrap_err().kind, DecodeErrorKind::Trailing, "{} and {extra}", page.name);
        }
    }
}

#[test]
fn what_is_longer_than_a_datagram_is_refused_unread() {
    let mut long = vectors::data_to_server().bytes;
    long.resize(DATAGRAM_MAX + 1, 0);
    assert_eq!(read(&long).unwrap_err(), DecodeError::new("datagram", DATAGRAM_MAX, DecodeErrorKind::TooLong));
    long.pop();
    assert!(read(&long).is_err(), "1 200 is no length of DATA");
    long.truncate(16 + packet::PLAINTEXT_MAX + 16);
    assert!(read(&long).is_ok(), "1 184 is the longest there is");
}

#[test]
fn magic_version_flags_and_unknown_types_are_refused() {
    for page in vectors::datagrams() {
        for bit in 0..32 {
            let mut bytes = page.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Changing the type may make another type of it, of which only the length or the mac can tell.
            let is_type = (8..12).contains(&bit);
            assert!(is_type || read(&bytes).is_err(), "{} bit {bit}", page.name);
        }
    }
    for kind in [0, 1, 4, 10, 11, 12, 13, 14, 15] {
        let mut bytes = vectors::data_to_server().bytes;
        bytes[1] = 0x10 | kind;
        let (server, client) = (packet::read_to_server(&bytes), packet::read_to_client(&bytes));
        assert!(server.is_err() && client.is_err(), "type {kind}");
    }
}

#[test]
fn reserved_bytes_of_datagrams_are_zero_or_refused() {
    let reserved: &[(Page, std::ops::Range<usize>)] = &[
        (vectors::hello1(), 12..16),
        (vectors::hello2(), 12..16),
        (vectors::discover(), 18..24),
        (vectors::discover(), 40..192),
    ];
    for (page, range) in reserved {
        for at in range.clone() {
            for bit in 0..8 {
                let mut bytes = page.bytes.clone();
                bytes[at] = 1 << bit;
                let expected = DecodeError::new("reserved", at, DecodeErrorKind::Reserved);
                assert_eq!(read(&bytes).unwrap_err(), expected, "{}", page.name);
            }
        }
    }
}

#[test]
fn an_offer_of_more_than_four_peers_is_refused() {
    for count in 0..=255 {
        let mut bytes = vectors::offer("offer", 4).bytes;
        bytes[68] = count;
        assert_eq!(read(&bytes).is_ok(), count == 4, "{count} peers");
    }
}

#[test]
fn any_changed_bit_that_a_mac_covers_is_noticed() {
    let hello = MacKey::hello(&fixed::server().public(), &fixed::site());
    let discovery = MacKey::discovery(&fixed::site());
    let covered: [(Page, usize, &MacKey); 5] = [
        (vectors::hello1(), 136, &hello),
        (vectors::retry(), 40, &hello),
        (vectors::hello2(), 96, &hello),
        (vectors::discover(), 24, &discovery),
        (vectors::offer("offer", 4), 141, &discovery),
    ];
    for (page, at, key) in covered {
        for bit in 0..(at + 16) * 8 {
            let mut bytes = page.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mac = bytes[at..at + 16].try_into().expect("16 bytes");
            assert!(!key.verify(&bytes[..at], mac), "{} bit {bit}", page.name);
        }
    }
}

#[test]
fn every_prefix_of_every_body_and_every_byte_too_many_is_refused() {
    for (name, from_client, kind, body) in bodies() {
        assert_eq!(refused(from_client, kind, &body), None, "{name}");
        for len in 0..body.len() {
            let is_whole = is_whole_for_fewer(name, len);
            assert_eq!(refused(from_client, kind, &body[..len]).is_none(), is_whole, "{name} cut to {len}");
        }
        for extra in 0..=255 {
            let long = [&body[..], &[extra]].concat();
            let error = refused(from_client, kind, &long).expect("one byte too many");
            assert_eq!(error.kind, DecodeErrorKind::Trailing, "{name} and {extra}");
        }
    }
}

/// Whether a body of so many bytes is whole, for fewer leases: only the frame's length tells how many there are.
fn is_whole_for_fewer(name: &str, len: usize) -> bool {
    match name {
        "renew-many" => len > 16 && (len - 16).is_multiple_of(16),
        "renewed-many" => len > 8 && (len - 8).is_multiple_of(12),
        _ => false,
    }
}

#[test]
fn every_prefix_of_every_frame_is_refused_by_the_splitter() {
    for (name, _, kind, body) in bodies() {
        let len = u16::try_from(body.len()).expect("fits").to_le_bytes();
        let frame = [&[kind, 0, len[0], len[1]], &body[..]].concat();
        for cut in 1..frame.len() {
            let mut frames = Frames::new(&frame[..cut]);
            assert_eq!(frames.next().map(|f| f.unwrap_err().kind), Some(DecodeErrorKind::Truncated), "{name} at {cut}");
            assert_eq!(frames.next(), None, "{name} at {cut}");
        }
    }
}

#[test]
fn what_stands_before_a_bad_frame_was_whole() {
    let renew = vectors::data_to_server();
    let mut bytes = renew.bytes.clone();
    let mut plaintext = open_datagram(&data_key(&renew), &mut bytes).expect("opens").to_vec();
    plaintext[45] = 1;
    let frames: Vec<_> = Frames::new(&plaintext).collect();
    assert_eq!(frames.len(), 2);
    assert!(matches!(frames[0], Ok(frame) if frame.kind == 0x04));
    assert_eq!(frames[1], Err(DecodeError::new("frame flags", 45, DecodeErrorKind::Reserved)));
}

#[test]
fn a_frame_of_the_wrong_side_is_refused_and_a_new_one_is_not() {
    for (name, from_client, kind, body) in bodies() {
        let error = refused(!from_client, kind, &body).expect("the wrong side");
        assert_eq!(error.kind, DecodeErrorKind::Direction, "{name}");
    }
    for kind in 1..=255 {
        let raw = RawFrame { kind, body: b"whatever" };
        let (client, server) = (ClientFrame::decode(raw), ServerFrame::decode(raw));
        let (of_client, of_server) = (kind % 2 == 0 && kind > 0x16, kind % 2 == 1 && kind > 0x1d || kind == 1);
        assert!(!of_client || client == Ok(Known::Unknown(kind)), "{kind}");
        assert!(!of_server || server == Ok(Known::Unknown(kind)), "{kind}");
    }
}

#[test]
fn reserved_flags_of_the_hot_bodies_are_refused() {
    let last_four = |name: &str| {
        let (_, from_client, kind, body) = bodies().into_iter().find(|(n, ..)| *n == name).expect("a vector");
        (from_client, kind, body)
    };
    for (name, allowed) in [("renew", 0b11), ("renewed", 0b1), ("renewed-many", 0b1)] {
        let (from_client, kind, mut body) = last_four(name);
        let at = body.len() - 4;
        for bit in 0..32 {
            let flags = 1u32 << bit;
            body[at..].copy_from_slice(&flags.to_le_bytes());
            assert_eq!(refused(from_client, kind, &body).is_none(), flags & allowed != 0, "{name} bit {bit}");
        }
    }
    let (_, _, renew_many) = last_four("renew-many");
    for bit in 0..32 {
        let flags = 1u32 << bit;
        let body = [&renew_many[..12], &flags.to_le_bytes(), &renew_many[16..]].concat();
        assert_eq!(refused(true, 0x10, &body).is_none(), flags & 0b11 != 0, "renew-many bit {bit}");
    }
    let (from_client, kind, mut body) = last_four("released");
    let at = body.len() - 4;
    for outcome in [0u32, 1, 2, 3, 256, u32::MAX] {
        body[at..].copy_from_slice(&outcome.to_le_bytes());
        assert_eq!(refused(from_client, kind, &body).is_none(), matches!(outcome, 1 | 2), "outcome {outcome}");
    }
}

/// A REQUEST of the given parts, everything else as in the first vector.
fn request(feature: &[u8], seats: &[u8], user: &[u8], option: u8) -> Vec<u8> {
    let mut body = [&var(1)[..], &[7; 16], &var(feature.len() as u64), feature, &[4, 8, 0], seats].concat();
    body.extend([&var(user.len() as u64)[..], user, &[1, b'h', option, 1, b'p', 1, 0]].concat());
    body.extend([[0xdd; 16].as_slice(), &[0, 0, 0, 0]].concat());
    body
}

#[test]
fn values_outside_their_range_are_refused() {
    let why = |body: &[u8]| refused(true, 0x02, body).map(|e| e.kind);
    let name_64 = [b'x'; 64];
    assert_eq!(why(&request(b"VR", &[1], b"u", 0)), None);
    assert_eq!(why(&request(&name_64, &[1], &name_64, 0)), None);
    // Names: empty, one byte too long, a character that is not allowed, text that is not UTF-8.
    for bad in [&b""[..], &[b'x'; 65], b"a b", "é".as_bytes(), b"a\n", b"\xff"] {
        assert!(why(&request(bad, &[1], b"u", 0)).is_some(), "feature {bad:?}");
    }
    for bad in [&b""[..], &[b'x'; 65], b"a\nb", b"\x7f", "\u{85}".as_bytes(), b"\xff", b"\xc0\x80"] {
        assert!(why(&request(b"VR", &[1], bad, 0)).is_some(), "user {bad:?}");
    }
    // Seats: none, and one above the most.
    assert_eq!(why(&request(b"VR", &[0], b"u", 0)), Some(DecodeErrorKind::Range));
    assert_eq!(why(&request(b"VR", &[252, 0, 0, 0, 0x80], b"u", 0)), Some(DecodeErrorKind::Range));
    assert_eq!(why(&request(b"VR", &[252, 0xff, 0xff, 0xff, 0x7f], b"u", 0)), None);
    // An option is 0 or 1.
    for tag in 2..=255 {
        assert_eq!(why(&request(b"VR", &[1], b"u", tag)), Some(DecodeErrorKind::Range), "tag {tag}");
    }
}

#[test]
fn integers_are_read_up_to_their_own_width_and_no_wider() {
    let seats = |spelled: &[u8]| refused(true, 0x02, &request(b"VR", spelled, b"u", 0)).is_none();
    // SPEC 5.2.4: longer than needed is read, wider than the field is not.
    assert!(seats(&[5]) && seats(&[251, 5, 0]) && seats(&[252, 5, 0, 0, 0]));
    assert!(!seats(&[253, 5, 0, 0, 0, 0, 0, 0, 0]));
    assert!(!seats(&[&[254][..], &[5], &[0; 15]].concat()));
    assert!(!seats(&[255]));
    let operation = |spelled: &[u8]| refused(true, 0x0a, spelled).is_none();
    assert!(operation(&[5]) && operation(&[253, 5, 0, 0, 0, 0, 0, 0, 0]));
    assert!(!operation(&[&[254][..], &[5], &[0; 15]].concat()) && !operation(&[255]));
    let code = |spelled: &[u8]| refused(false, 0x0f, &[spelled, &[0]].concat()).is_none();
    assert!(code(&[5]) && code(&[251, 5, 0]));
    assert!(!code(&[252, 5, 0, 0, 0]));
}

#[test]
fn a_truth_is_0_or_1() {
    for byte in 0..=255 {
        assert_eq!(refused(false, 0x0b, &[1, 0, byte]).is_none(), byte < 2, "{byte}");
    }
}
