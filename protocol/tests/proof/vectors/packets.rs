//! The datagrams (SPEC 2, 3.3 to 3.5, 4.1, 6.1, 6.3).

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use leasehold_protocol::crypto::mac::MacKey;

use crate::{
    by_hand::{self, Handshake, Parties},
    fixed,
    page::{Page, hex},
};

/// What the client and server of the vectors say to each other.
pub fn handshake() -> Handshake {
    by_hand::handshake(&Parties {
        client: fixed::counting(fixed::CLIENT_STATIC),
        server: fixed::counting(fixed::SERVER_STATIC),
        client_ephemeral: fixed::counting(fixed::CLIENT_EPHEMERAL),
        server_ephemeral: fixed::counting(fixed::SERVER_EPHEMERAL),
        site: fixed::counting(fixed::SITE),
        prologue: &[&b"leasehold v1"[..], &fixed::realm().0.to_le_bytes()].concat(),
        client_info: &client_info().bytes,
        server_info: &server_info().bytes,
    })
}

fn prefix(page: Page, kind: u8, name: &str) -> Page {
    page.u8("magic", 0x1e, "every datagram")
        .u8("version, type", 0x10 | kind, &format!("version 1, type {kind}: {name}"))
        .u16("flags", 0, "always")
}

fn client_info() -> Page {
    Page::new("", "Sealed inside: client info", "The payload of Noise message 1, 24 bytes (SPEC 3.3).")
        .u64("unix_ms", fixed::UNIX_MS, "2026-11-22T08:00:00Z")
        .raw("instance", &fixed::INSTANCE, "this process")
        .u32("sdk_version", fixed::SDK_VERSION, "0.1.0")
        .u32("capabilities", 0, "always in version 1")
}

fn server_info() -> Page {
    Page::new("", "Sealed inside: server info", "The payload of Noise message 2, 32 bytes (SPEC 3.5).")
        .u64("cluster_id", fixed::CLUSTER_ID, "")
        .u64("boot_id", fixed::BOOT_ID, "")
        .u32("server_id", u32::try_from(fixed::SERVER_ID).expect("small"), "low half of the server's id")
        .u32("limits", 0, "always in version 1")
        .u64("log_number", 9, "")
}

fn hello_mac(page: Page, field: &str) -> Page {
    let mac = MacKey::hello(&fixed::server().public(), &fixed::site()).of(&page.bytes);
    page.raw(field, &mac, "over every byte before it")
}

fn hello1_up_to_mac(page: Page) -> Page {
    let message = handshake().message1;
    let page = prefix(page, 2, "HELLO1")
        .u32("realm", fixed::realm().0, "of publisher `acme`")
        .u32("client_sid", fixed::CLIENT_SID, "")
        .u32("zero", 0, "always")
        .raw("noise: e", &message[..32], "the client's ephemeral public key")
        .raw("noise: s", &message[32..80], "the client's static public key, sealed")
        .raw("noise: payload", &message[80..], "client info, sealed");
    hello_mac(page, "mac1")
}

pub fn hello1() -> Page {
    let page =
        Page::new("hello1", "HELLO1, the first", "A client that has no cookie yet begins a handshake (SPEC 3.3).");
    hello1_up_to_mac(page).raw("cookie", &[0; 16], "none yet").sealing(client_info())
}

fn cookie() -> [u8; 16] {
    fixed::cookie_secret().cookie(fixed::client_address(), fixed::CLIENT_SID, fixed::realm())
}

pub fn hello1_with_cookie() -> Page {
    let page = Page::new(
        "hello1-with-cookie",
        "HELLO1 with the cookie",
        "The same HELLO1 again, byte for byte but for the cookie that RETRY brought (SPEC 3.3).",
    );
    hello1_up_to_mac(page).raw("cookie", &cookie(), "as RETRY gave it").sealing(client_info())
}

pub fn retry() -> Page {
    let mac1: [u8; 16] = hello1().bytes[136..152].try_into().expect("16 bytes");
    let page =
        Page::new("retry", "RETRY", "The answer to the first HELLO1, which came from 192.0.2.7 port 50123 (SPEC 3.4).");
    let page = prefix(page, 3, "RETRY")
        .u32("client_sid", fixed::CLIENT_SID, "")
        .raw("mac1_echo", &mac1, "the `mac1` of the HELLO1")
        .raw("cookie", &cookie(), "of that address, session id and realm");
    hello_mac(page, "tag")
}

pub fn hello2() -> Page {
    let message = handshake().message2;
    let page = Page::new("hello2", "HELLO2", "The server's half of the handshake (SPEC 3.5).");
    let page = prefix(page, 5, "HELLO2")
        .u32("server_sid", fixed::SERVER_SID, "")
        .u32("client_sid", fixed::CLIENT_SID, "")
        .u32("zero", 0, "always")
        .raw("noise: e", &message[..32], "the server's ephemeral public key")
        .raw("noise: payload", &message[32..], "server info, sealed");
    hello_mac(page, "mac1").sealing(server_info())
}

/// Where the counter of the vectors stands: not at 0, so that its byte order shows.
const COUNTER: u64 = 0x0102;

fn data(page: Page, kind: u8, name: &str, sid: u32, key: &[u8; 32], plaintext: Page) -> Page {
    let page = prefix(page, kind, name).u32("receiver_sid", sid, "").u64("counter", COUNTER, "also the nonce");
    let nonce: [u8; 12] = [&[0; 4][..], &COUNTER.to_le_bytes()].concat().try_into().expect("12 bytes");
    let mut sealed = plaintext.bytes.clone();
    let tag = ChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&nonce.into(), &page.bytes, sealed.as_mut_slice().into())
        .expect("short");
    page.raw("ciphertext", &sealed, "the plaintext below")
        .raw(
            "tag",
            &tag,
            &format!("key {}, nonce {}, the 16 bytes before the ciphertext authenticated", hex(key), hex(&nonce)),
        )
        .sealing(plaintext)
}

fn padded(page: Page) -> Page {
    let padding = page.bytes.len().next_multiple_of(32) - page.bytes.len();
    page.raw("padding", &vec![0; padding], "zeros to a multiple of 32")
}

pub fn data_to_server() -> Page {
    let page = Page::new(
        "data-to-server",
        "DATA to the server",
        "Two frames, RENEW and PATH_RESPONSE, in one datagram (SPEC 4.1, 4.3).",
    );
    let plaintext = Page::new("", "Sealed inside: two frames", "The plaintext, 64 bytes (SPEC 4.3).")
        .frame(0x04, super::requests::renew())
        .frame(0x0e, super::requests::path_response());
    data(page, 6, "DATA to the server", fixed::SERVER_SID, &handshake().to_server, padded(plaintext))
}

pub fn data_to_client() -> Page {
    let page = Page::new(
        "data-to-client",
        "DATA to the client",
        "One frame, RENEWED, which fills 32 bytes exactly (SPEC 4.1, 4.3).",
    );
    let plaintext = Page::new("", "Sealed inside: one frame", "The plaintext, 32 bytes (SPEC 4.3).")
        .frame(0x07, super::answers::renewed());
    data(page, 7, "DATA to the client", fixed::CLIENT_SID, &handshake().to_client, plaintext)
}

const NONCE: [u8; 8] = *b"discover";

pub fn discover() -> Page {
    let page = Page::new("discover", "DISCOVER", "Is there a server of `acme`? (SPEC 6.1)");
    let page = prefix(page, 8, "DISCOVER")
        .u32("realm", fixed::realm().0, "of publisher `acme`")
        .raw("nonce", &NONCE, "echoed in the OFFER")
        .u16("versions", 2, "bit 1: version 1")
        .raw("zero", &[0; 6], "always");
    let mac = MacKey::discovery(&fixed::site()).of(&page.bytes);
    page.raw("mac", &mac, "over every byte before it").raw("padding", &[0; 152], "so that no OFFER is longer")
}

pub fn offer(name: &'static str, peers: u8) -> Page {
    let page = Page::new(name, "OFFER", "Here is a server, for the DISCOVER of these vectors (SPEC 6.3).");
    let mut page = prefix(page, 9, "OFFER")
        .u32("realm", fixed::realm().0, "of publisher `acme`")
        .raw("nonce_echo", &NONCE, "of the DISCOVER")
        .u64("server_id", fixed::SERVER_ID, "")
        .u64("cluster_id", fixed::CLUSTER_ID, "")
        .raw("server_key", &fixed::server().public().0, "its static X25519 key in this realm")
        .u16("port", 5097, "UDP")
        .u16("weight", 40_000, "")
        .u8("peer_count", peers, &format!("{peers} follow"));
    for peer in 1..=peers {
        let address = std::net::Ipv4Addr::new(192, 0, 2, peer).to_ipv6_mapped().octets();
        page = page.raw(&format!("peer {peer} address"), &address, &format!("::ffff:192.0.2.{peer}")).u16(
            &format!("peer {peer} port"),
            5097,
            "UDP",
        );
    }
    let mac = MacKey::discovery(&fixed::site()).of(&page.bytes);
    page.raw("mac", &mac, "over every byte before it")
}
