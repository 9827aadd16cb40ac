//! The files in `testdata/`: what the clauses say, what the crate writes and what the files hold are the same bytes.
//!
//! `LEASEHOLD_WRITE_VECTORS=1 cargo test -p leasehold-protocol --test proof` writes them anew. A vector that changes is
//! a new version of the protocol (SPEC 8.4), so that is for new ones.
#![expect(clippy::disallowed_methods, reason = "the room is pure, its test data are files")]

use std::{fmt::Write, fs, path::PathBuf};

use leasehold_protocol::{
    codec,
    crypto::{
        mac::MacKey,
        noise::{ClientInfo, Initiator, Responder, ServerInfo},
        open_datagram, seal_datagram,
    },
    frame::{self, Frames, RawFrame},
    message::{ClientFrame, Known, ServerFrame},
    packet::{self, Discover, Hello1, Hello2, OfferHead, OfferPeer, Packet, PacketType, Prefix, Retry},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    fixed,
    page::{bytes_of_markdown, hex},
    vectors,
};

fn testdata(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file)
}

pub fn writing() -> bool {
    std::env::var_os("LEASEHOLD_WRITE_VECTORS").is_some()
}

/// Compares `content` with the file, or writes it there.
fn agrees(file: &str, content: &[u8]) {
    let path = testdata(file);
    if writing() {
        fs::write(&path, content).expect("testdata can be written");
    }
    let held = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(held, content, "{file} is not what the clauses say");
}

#[test]
fn every_vector_is_what_its_file_holds_and_its_page_explains() {
    for page in vectors::all() {
        agrees(&format!("{}-v1.bin", page.name), &page.bytes);
        let markdown = page.markdown();
        agrees(&format!("{}-v1.md", page.name), markdown.as_bytes());
        assert_eq!(bytes_of_markdown(&markdown), page.bytes, "{}", page.name);
    }
}

#[test]
fn every_text_is_what_its_file_holds() {
    for (file, text) in vectors::licence_texts() {
        agrees(file, text.as_bytes());
    }
}

#[test]
fn testdata_holds_the_vectors_and_nothing_else() {
    agrees("README.md", readme().as_bytes());
    let mut wanted = vec!["README.md".to_owned()];
    for page in vectors::all() {
        wanted.extend([format!("{}-v1.bin", page.name), format!("{}-v1.md", page.name)]);
    }
    wanted.extend(vectors::licence_texts().into_iter().map(|(file, _)| file.to_owned()));
    let held = fs::read_dir(testdata("")).expect("testdata is there");
    let mut held: Vec<String> =
        held.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name")).collect();
    wanted.sort();
    held.sort();
    assert_eq!(held, wanted);
}

fn readme() -> String {
    let mut out = String::from(
        "# Golden vectors\n\nOne `.bin` and one `.md` that explains it for every packet, frame, ticket and signed certificate of \
         protocol version 1;\n`licence-v1.lic` holds the certificates as text, `licence-v1.pub` and `licence-v1.key` the keys that \
         signed them. `SPEC.md` 10\nlists the vectors. All are made from the values below; a test compares file, page, clauses and code.\n\n\
         \"counts from xx\" means that many bytes, each one more than the one before.\n\n| what | value |\n|---|---|\n",
    );
    let mut row = |what: &str, value: String| writeln!(out, "| {what} | {value} |").expect("a string takes it");
    let counting = |first: u8| format!("32 bytes, counts from {first:02x}");
    row("client static private key", counting(fixed::CLIENT_STATIC));
    row("client static public key", hex(&fixed::client().public().0));
    row("client ephemeral private key", counting(fixed::CLIENT_EPHEMERAL));
    row("server static private key", counting(fixed::SERVER_STATIC));
    row("server static public key", hex(&fixed::server().public().0));
    row("server fingerprint", fixed::server().public().fingerprint().to_string());
    row("server ephemeral private key", counting(fixed::SERVER_EPHEMERAL));
    row("site key", counting(fixed::SITE));
    row(
        "realm",
        format!("{} (hexadecimal, most significant digit first), of publisher `{}`", fixed::realm(), fixed::PUBLISHER),
    );
    row("client address", fixed::client_address().to_string());
    row("cookie secret", counting(fixed::COOKIE));
    row("key of DATA to the server", hex(&vectors::handshake().to_server));
    row("key of DATA to the client", hex(&vectors::handshake().to_client));
    row("ticket key", format!("id {}, secret {}", fixed::TICKET_KEY_ID, counting(fixed::TICKET)));
    row("publisher secret key", format!("{}, of publisher `{}`", counting(fixed::PUBLISHER_SECRET), fixed::PUBLISHER));
    row("publisher key id", vectors::publisher_secret().public().key_id().to_string());
    row("ticket nonce", format!("24 bytes, counts from {:02x}", fixed::TICKET_NONCE));
    out
}

#[test]
fn the_crate_writes_every_frame_as_the_clauses_say() {
    for vector in vectors::client_frames() {
        let mut written = Vec::new();
        vector.frame.append_to(&mut written).expect("a vector fits");
        assert_eq!(hex(&written), hex(&vector.page.bytes), "{}", vector.page.name);
    }
    for vector in vectors::server_frames() {
        let mut written = Vec::new();
        vector.frame.append_to(&mut written).expect("a vector fits");
        assert_eq!(hex(&written), hex(&vector.page.bytes), "{}", vector.page.name);
    }
}

fn only_frame(plaintext: &[u8]) -> RawFrame<'_> {
    let frames: Vec<_> = Frames::new(plaintext).collect::<Result<_, _>>().expect("whole frames");
    assert_eq!(frames.len(), 1);
    frames[0]
}

#[test]
fn the_crate_reads_every_frame_of_the_vectors() {
    for vector in vectors::client_frames() {
        let read = ClientFrame::decode(only_frame(&vector.page.bytes));
        assert_eq!(read, Ok(Known::Frame(vector.frame)), "{}", vector.page.name);
    }
    for vector in vectors::server_frames() {
        let read = ServerFrame::decode(only_frame(&vector.page.bytes));
        assert_eq!(read, Ok(Known::Frame(vector.frame)), "{}", vector.page.name);
    }
}

#[test]
fn there_is_a_vector_for_every_frame_type() {
    let mut kinds: Vec<u8> = vectors::client_frames().iter().map(|v| v.frame.kind()).collect();
    kinds.extend(vectors::server_frames().iter().map(|v| v.frame.kind()));
    kinds.sort_unstable();
    kinds.dedup();
    // Every type that either side knows.
    let empty = |kind| RawFrame { kind, body: &[] };
    let known = |kind: &u8| match kind % 2 {
        0 => !matches!(ClientFrame::decode(empty(*kind)), Ok(Known::Unknown(_))),
        _ => !matches!(ServerFrame::decode(empty(*kind)), Ok(Known::Unknown(_))),
    };
    assert_eq!(kinds, (1..=255).filter(known).collect::<Vec<u8>>());
}

fn client_info() -> ClientInfo {
    ClientInfo {
        unix_ms: fixed::UNIX_MS.into(),
        instance: fixed::INSTANCE,
        sdk_version: fixed::SDK_VERSION.into(),
        capabilities: 0.into(),
    }
}

fn server_info() -> ServerInfo {
    ServerInfo {
        cluster_id: fixed::CLUSTER_ID.into(),
        boot_id: fixed::BOOT_ID.into(),
        server_id: u32::try_from(fixed::SERVER_ID).expect("small").into(),
        limits: 0.into(),
        log_number: 9.into(),
    }
}

fn with_mac<const N: usize>(mut bytes: Vec<u8>, at: usize, key: &MacKey) -> [u8; N] {
    let mac = key.of(&bytes[..at]);
    bytes[at..at + 16].copy_from_slice(&mac);
    bytes.try_into().expect("the right size")
}

#[test]
fn the_crate_shakes_hands_as_the_clauses_say() {
    let (client, server, site, realm) = (fixed::client(), fixed::server(), fixed::site(), fixed::realm());
    let key = MacKey::hello(&server.public(), &site);

    let mut draws = fixed::draws(fixed::CLIENT_EPHEMERAL);
    let (mut initiator, noise) =
        Initiator::start(&client, &server.public(), &site, realm, &client_info(), &mut draws).expect("good keys");
    let hello1 = Hello1 {
        prefix: Prefix::of(PacketType::Hello1),
        realm: realm.0.into(),
        client_sid: fixed::CLIENT_SID.into(),
        zero: 0.into(),
        noise,
        mac1: [0; 16],
        cookie: [0; 16],
    };
    let hello1: [u8; 168] = with_mac(hello1.as_bytes().to_vec(), 136, &key);
    assert_eq!(hex(&hello1), hex(&vectors::hello1().bytes));

    let mut draws = fixed::draws(fixed::SERVER_EPHEMERAL);
    let responder = Responder::accept(&server, &site, realm, &noise, &mut draws).expect("a good message 1");
    assert_eq!((responder.client, responder.info), (client.public(), client_info()));
    let (noise, theirs) = responder.reply(&server_info()).expect("a good message 2");
    let hello2 = Hello2 {
        prefix: Prefix::of(PacketType::Hello2),
        server_sid: fixed::SERVER_SID.into(),
        client_sid: fixed::CLIENT_SID.into(),
        zero: 0.into(),
        noise,
        mac1: [0; 16],
    };
    let hello2: [u8; 112] = with_mac(hello2.as_bytes().to_vec(), 96, &key);
    assert_eq!(hex(&hello2), hex(&vectors::hello2().bytes));
    let (info, ours) = initiator.finish(&noise).expect("a good message 2");
    assert_eq!(info, server_info());

    // Both ends hold the keys the clauses lead to: each opens the other direction's vector and writes its own.
    let check =
        |page: crate::page::Page, sender: &leasehold_protocol::crypto::TransportKey, receiver: &_, kind, sid| {
            let mut bytes = page.bytes.clone();
            let plaintext = open_datagram(receiver, &mut bytes).expect("the vector opens").to_vec();
            let mut sealed = Vec::new();
            seal_datagram(sender, kind, sid, 0x0102, &plaintext, &mut sealed);
            assert_eq!(hex(&sealed), hex(&page.bytes));
        };
    check(vectors::data_to_server(), &ours.send, &theirs.receive, PacketType::DataToServer, fixed::SERVER_SID);
    check(vectors::data_to_client(), &theirs.send, &ours.receive, PacketType::DataToClient, fixed::CLIENT_SID);
}

#[test]
fn the_crate_writes_retry_discover_and_offer_as_the_clauses_say() {
    let (hello, discovery) =
        (MacKey::hello(&fixed::server().public(), &fixed::site()), MacKey::discovery(&fixed::site()));
    let first = Hello1::read_from_bytes(&vectors::hello1().bytes).expect("168 bytes");
    let again = Hello1::read_from_bytes(&vectors::hello1_with_cookie().bytes).expect("168 bytes");
    let retry = Retry {
        prefix: Prefix::of(PacketType::Retry),
        client_sid: first.client_sid,
        mac1_echo: first.mac1,
        cookie: again.cookie,
        tag: [0; 16],
    };
    let retry: [u8; 56] = with_mac(retry.as_bytes().to_vec(), 40, &hello);
    assert_eq!(hex(&retry), hex(&vectors::retry().bytes));
    let from = fixed::client_address();
    assert!(fixed::cookie_secret().verify(&again.cookie, from, fixed::CLIENT_SID, fixed::realm()));

    let discover = Discover {
        prefix: Prefix::of(PacketType::Discover),
        realm: fixed::realm().0.into(),
        nonce: *b"discover",
        versions: 2.into(),
        zero: [0; 6],
        mac: [0; 16],
        padding: [0; 152],
    };
    let discover: [u8; 192] = with_mac(discover.as_bytes().to_vec(), 24, &discovery);
    assert_eq!(hex(&discover), hex(&vectors::discover().bytes));

    for peers in [0u8, 4] {
        let head = OfferHead {
            prefix: Prefix::of(PacketType::Offer),
            realm: fixed::realm().0.into(),
            nonce_echo: *b"discover",
            server_id: fixed::SERVER_ID.into(),
            cluster_id: fixed::CLUSTER_ID.into(),
            server_key: fixed::server().public().0,
            port: 5097.into(),
            weight: 40_000.into(),
            peer_count: peers,
        };
        let peer = |i: u8| OfferPeer {
            address: std::net::Ipv4Addr::new(192, 0, 2, i).to_ipv6_mapped().octets(),
            port: 5097.into(),
        };
        let mut offer = head.as_bytes().to_vec();
        (1..=peers).for_each(|i| offer.extend_from_slice(peer(i).as_bytes()));
        let mac = discovery.of(&offer);
        offer.extend_from_slice(&mac);
        assert_eq!(hex(&offer), hex(&vectors::offer("", peers).bytes));
        let Ok(Packet::Offer(read)) = packet::read_to_client(&offer) else { panic!("an offer") };
        assert_eq!((read.peers.len(), read.mac), (usize::from(peers), &mac));
    }
}

#[test]
fn the_crate_seals_and_opens_the_ticket_of_the_vectors() {
    let key = fixed::ticket_key();
    let mut draws = fixed::draws(fixed::TICKET_NONCE);
    assert_eq!(hex(&key.seal(&vectors::ticket(), &mut draws).0), hex(&vectors::sealed_ticket().0));
    assert_eq!(key.open(&vectors::sealed_ticket()), Ok(vectors::ticket()));
}

#[test]
fn two_frames_and_their_padding_share_a_datagram() {
    let mut plaintext = Vec::new();
    for vector in vectors::client_frames() {
        if matches!(vector.page.name, "renew" | "path-response") {
            vector.frame.append_to(&mut plaintext).expect("both fit");
        }
    }
    frame::pad(&mut plaintext, 0);
    assert_eq!(plaintext.len(), 64);
    assert!(codec::BODY_MAX > plaintext.len());
    let mut sealed = Vec::new();
    let key = leasehold_protocol::crypto::TransportKey::new(&vectors::handshake().to_server);
    seal_datagram(&key, PacketType::DataToServer, fixed::SERVER_SID, 0x0102, &plaintext, &mut sealed);
    assert_eq!(sealed, vectors::data_to_server().bytes);
}
