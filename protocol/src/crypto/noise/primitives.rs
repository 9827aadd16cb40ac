//! X25519, ChaCha20-Poly1305 and BLAKE2s for snow, from the crates the rest of this room uses. snow's own resolvers
//! would bring a second copy of fifteen crates.

use blake2::{Blake2s256, Digest};
use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{BoxedCryptoResolver, CryptoResolver},
    types::{Cipher, Dh, Hash, Random},
};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::{
    Entropy,
    crypto::{
        Keypair,
        transport::{TAG_LEN, TransportKey},
    },
};

/// Resolves the one suite we speak. Carries the seed of the one ephemeral key a handshake draws, and the static key whose
/// public half is known already: working it out again would be a sixth of the handshake.
pub(super) struct Primitives {
    seed: Zeroizing<[u8; 32]>,
    own: Keypair,
}

impl Primitives {
    pub(super) fn boxed(own: &Keypair, entropy: &mut dyn Entropy) -> BoxedCryptoResolver {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        Box::new(Self { seed, own: own.clone() })
    }
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneDraw(Some(self.seed.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let key = || X25519 { own: self.own.clone(), private: Zeroizing::default(), public: [0; 32] };
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(key()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::Blake2s).then(|| Box::new(Blake2s(Blake2s256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly(None)) as Box<dyn Cipher>)
    }
}

/// The randomness of one ephemeral key, given out once: a second draw would repeat it, so it fails instead.
struct OneDraw(Option<Zeroizing<[u8; 32]>>);

impl Random for OneDraw {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let seed = self.0.take().ok_or(Error::Rng)?;
        if dest.len() != seed.len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&*seed);
        Ok(())
    }
}

struct X25519 {
    own: Keypair,
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        self.private.copy_from_slice(private);
        let is_own: bool = self.private.ct_eq(self.own.private()).into();
        self.public =
            if is_own { self.own.public().0 } else { PublicKey::from(&StaticSecret::from(*self.private)).to_bytes() };
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *private)?;
        self.set(&*private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public: [u8; 32] = public.get(..32).and_then(|key| key.try_into().ok()).ok_or(Error::Dh)?;
        let shared = StaticSecret::from(*self.private).diffie_hellman(&PublicKey::from(public));
        // A low-order point would let a stranger choose the result.
        if !shared.was_contributory() {
            return Err(Error::Dh);
        }
        out[..32].copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.finalize_reset());
    }
}

/// snow's cipher over ours, so that handshake and transport are sealed by the same code.
struct ChaChaPoly(Option<TransportKey>);

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(TransportKey::new(key));
    }

    fn encrypt(&self, nonce: u64, aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        // snow seals only after `set`; the trait has no way to say otherwise.
        let Some(key) = &self.0 else { return 0 };
        let len = plaintext.len();
        out[..len].copy_from_slice(plaintext);
        let tag = key.seal(nonce, aad, &mut out[..len]);
        out[len..len + TAG_LEN].copy_from_slice(&tag);
        len + TAG_LEN
    }

    fn decrypt(&self, nonce: u64, aad: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let (body, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Error::Decrypt)?;
        out[..body.len()].copy_from_slice(body);
        key.open(nonce, aad, &mut out[..body.len()], tag).map_err(|_| Error::Decrypt)?;
        Ok(body.len())
    }
}
