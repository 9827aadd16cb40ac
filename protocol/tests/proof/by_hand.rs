//! `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` written from SPEC 3.1 with nothing but a hash, a curve and a cipher: what the
//! crate's handshake must agree with, and where the vectors' session keys come from.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// A whole handshake, seen from both sides at once.
pub struct Handshake {
    /// Noise message 1.
    pub message1: Vec<u8>,
    /// Noise message 2.
    pub message2: Vec<u8>,
    /// The key of DATA to the server.
    pub to_server: [u8; 32],
    /// The key of DATA to the client.
    pub to_client: [u8; 32],
}

/// Who takes part: private keys, the site key and what each says.
pub struct Parties<'a> {
    pub client: [u8; 32],
    pub server: [u8; 32],
    pub client_ephemeral: [u8; 32],
    pub server_ephemeral: [u8; 32],
    pub site: [u8; 32],
    pub prologue: &'a [u8],
    pub client_info: &'a [u8],
    pub server_info: &'a [u8],
}

pub fn handshake(who: &Parties<'_>) -> Handshake {
    let public = |private: [u8; 32]| x25519(private, X25519_BASEPOINT_BYTES);
    let (client, server) = (public(who.client), public(who.server));
    let (e1, e2) = (public(who.client_ephemeral), public(who.server_ephemeral));

    let mut state = Symmetric::new(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
    state.mix_hash(who.prologue);
    state.mix_hash(&server);

    // -> e, es, s, ss
    let mut message1 = e1.to_vec();
    state.mix_hash(&e1);
    state.mix_key(&e1);
    state.mix_key(&x25519(who.client_ephemeral, server));
    message1.extend(state.encrypt_and_hash(&client));
    state.mix_key(&x25519(who.client, server));
    message1.extend(state.encrypt_and_hash(who.client_info));

    // <- e, ee, se, psk
    let mut message2 = e2.to_vec();
    state.mix_hash(&e2);
    state.mix_key(&e2);
    state.mix_key(&x25519(who.server_ephemeral, e1));
    state.mix_key(&x25519(who.server_ephemeral, client));
    state.mix_key_and_hash(&who.site);
    message2.extend(state.encrypt_and_hash(who.server_info));

    let [to_server, to_client, _] = hkdf(&state.chaining_key, b"");
    Handshake { message1, message2, to_server, to_client }
}

struct Symmetric {
    chaining_key: [u8; 32],
    hash: [u8; 32],
    key: [u8; 32],
}

impl Symmetric {
    fn new(name: &[u8]) -> Self {
        // Longer than 32 bytes, so it is hashed, not padded.
        let hash = blake2s(&[name]);
        Self { chaining_key: hash, hash, key: [0; 32] }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = blake2s(&[&self.hash, data]);
    }

    fn mix_key(&mut self, input: &[u8]) {
        [self.chaining_key, self.key, _] = hkdf(&self.chaining_key, input);
    }

    fn mix_key_and_hash(&mut self, input: &[u8]) {
        let [chaining_key, hash, key] = hkdf(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.mix_hash(&hash);
        self.key = key;
    }

    // Each key of this pattern seals exactly one thing, so the nonce is always 0.
    fn encrypt_and_hash(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = plaintext.to_vec();
        let tag = ChaCha20Poly1305::new((&self.key).into())
            .encrypt_inout_detached(&[0; 12].into(), &self.hash, sealed.as_mut_slice().into())
            .expect("short");
        sealed.extend_from_slice(&tag);
        self.mix_hash(&sealed);
        sealed
    }
}

fn hkdf(chaining_key: &[u8; 32], input: &[u8]) -> [[u8; 32]; 3] {
    let temp = hmac(chaining_key, &[input]);
    let one = hmac(&temp, &[&[1]]);
    let two = hmac(&temp, &[&one, &[2]]);
    let three = hmac(&temp, &[&two, &[3]]);
    [one, two, three]
}

// RFC 2104 over BLAKE2s with its block of 64 bytes.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| -> [u8; 64] { std::array::from_fn(|i| key.get(i).copied().unwrap_or(0) ^ with) };
    let inner = blake2s(&[&[&pad(0x36)[..]], parts].concat());
    blake2s(&[&pad(0x5c), &inner])
}

fn blake2s(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
