//! Our primitives under snow against a published vector of another implementation: cacophony (Haskell), its
//! `vectors/cacophony.txt`, the entry for this suite, as snow's source carries it in `tests/vectors`.

use snow::HandshakeState;

use super::{Primitives, params};
use crate::{
    Entropy,
    crypto::{Keypair, TransportKey},
    hex,
};

const PROLOGUE: &str = "4a6f686e2047616c74";
const PSK: &str = "54686973206973206d7920417573747269616e20706572737065637469766521";
const INIT_STATIC: &str = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
const INIT_EPHEMERAL: &str = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
const RESP_STATIC: &str = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
const RESP_PUBLIC: &str = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62";
const RESP_EPHEMERAL: &str = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
const HANDSHAKE_HASH: &str = "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5";

/// Payload and ciphertext of each message: two of the handshake, then transport, the initiator's and the responder's in
/// turn, each direction counting from 0.
const MESSAGES: [(&str, &str); 6] = [
    (
        "4c756477696720766f6e204d69736573",
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
         001e21de9f98ddd8e2ad57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab50009\
         80c84831215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f",
    ),
    (
        "4d757272617920526f746862617264",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
         cb765f2caef0751b8f007572dab0322217755c0632f365717edbf34d33e87a",
    ),
    ("462e20412e20486179656b", "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"),
    ("4361726c204d656e676572", "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"),
    ("4a65616e2d426170746973746520536179", "6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"),
    (
        "457567656e2042f6686d20766f6e2042617765726b",
        "dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292",
    ),
];

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| hex::decode::<1>(&text[i..i + 2]).unwrap()[0]).collect()
}

fn key(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap()
}

/// Gives the ephemeral key of the vector, as the handshake's one draw.
fn draw(text: &'static str) -> impl Entropy {
    move |out: &mut [u8]| out.copy_from_slice(&bytes(text))
}

fn parties() -> (HandshakeState, HandshakeState) {
    let (prologue, psk) = (bytes(PROLOGUE), key(PSK));
    let keys = Keypair::from_private(key(INIT_STATIC));
    let initiator = snow::Builder::with_resolver(params(), Primitives::boxed(&keys, &mut draw(INIT_EPHEMERAL)))
        .local_private_key(keys.private())
        .and_then(|b| b.remote_public_key(&key(RESP_PUBLIC))?.psk(2, &psk)?.prologue(&prologue)?.build_initiator());
    let keys = Keypair::from_private(key(RESP_STATIC));
    let responder = snow::Builder::with_resolver(params(), Primitives::boxed(&keys, &mut draw(RESP_EPHEMERAL)))
        .local_private_key(keys.private())
        .and_then(|b| b.psk(2, &psk)?.prologue(&prologue)?.build_responder());
    (initiator.unwrap(), responder.unwrap())
}

#[test]
fn the_handshake_and_transport_agree_with_cacophony() {
    let (mut initiator, mut responder) = parties();
    for (i, (payload, ciphertext)) in MESSAGES[..2].iter().enumerate() {
        let (sender, receiver) =
            if i == 0 { (&mut initiator, &mut responder) } else { (&mut responder, &mut initiator) };
        let mut message = [0; 256];
        let len = sender.write_message(&bytes(payload), &mut message).unwrap();
        assert_eq!(hex::encode(&message[..len]), *ciphertext, "message {i}");
        let mut read = [0; 256];
        let len = receiver.read_message(&message[..len], &mut read).unwrap();
        assert_eq!(hex::encode(&read[..len]), *payload, "message {i}");
    }
    assert_eq!(hex::encode(initiator.get_handshake_hash()), HANDSHAKE_HASH);

    // From here the transport is ours, with the keys that the handshake gave.
    let keys = initiator.dangerously_get_raw_split();
    assert_eq!(keys, responder.dangerously_get_raw_split());
    for (i, (payload, ciphertext)) in MESSAGES[2..].iter().enumerate() {
        let key = TransportKey::new(if i % 2 == 0 { &keys.0 } else { &keys.1 });
        let counter = u64::try_from(i / 2).unwrap();
        let mut sealed = bytes(payload);
        let tag = key.seal(counter, &[], &mut sealed);
        assert_eq!(hex::encode(&[&sealed[..], &tag].concat()), *ciphertext, "transport message {i}");
        key.open(counter, &[], &mut sealed, &tag).unwrap();
        assert_eq!(sealed, bytes(payload));
    }
}
