//! What a stranger can send: noise, and datagrams as right as they can be made without the site's key.

use leasehold_protocol::{
    Entropy,
    crypto::{PublicKey, SiteKey, mac::MacKey},
    packet::{Discover, Hello1, PacketType, Prefix},
    vocab::RealmId,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::rng::Rng;

/// Someone without the site's key who knows everything else: the server's key, the realm, the layouts.
pub struct Stranger {
    /// Its chance.
    pub rng: Rng,
    server: PublicKey,
    realm: RealmId,
}

impl Stranger {
    /// One who knows the server's key and realm.
    #[must_use]
    pub const fn new(rng: Rng, server: PublicKey, realm: RealmId) -> Self {
        Self { rng, server, realm }
    }

    /// A datagram that is as right as a stranger can make it, or plain noise.
    pub fn datagram(&mut self, n: u64) -> Vec<u8> {
        match n % 8 {
            0 => self.noise(),
            1 => self.hello(&MacKey::hello(&self.server, &SiteKey::OPEN)),
            2 => {
                let mut key = [0; 32];
                self.rng.fill(&mut key);
                self.hello(&MacKey::hello(&self.server, &SiteKey(key)))
            }
            3 => self.discover(&MacKey::discovery(&SiteKey::OPEN)),
            4 => self.data(PacketType::DataToServer),
            5 => self.data(PacketType::DataToClient),
            6 => self.prefixed(),
            _ => [PacketType::Retry, PacketType::Hello2, PacketType::Offer]
                .map(|kind| self.of_kind(kind))
                .into_iter()
                .nth(usize::try_from(n / 8 % 3).unwrap_or(0))
                .unwrap_or_default(),
        }
    }

    fn noise(&mut self) -> Vec<u8> {
        let len = self.rng.within(&(0..=1500));
        self.random(len)
    }

    fn random(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// Every first byte and every type in turn, the rest noise.
    fn prefixed(&mut self) -> Vec<u8> {
        let len = self.rng.within(&(32..=1200));
        let mut bytes = self.random(len);
        bytes[0] = 0x1e;
        bytes[1] = 0x10 | (bytes[1] & 15);
        bytes[2..4].fill(0);
        bytes
    }

    fn of_kind(&mut self, kind: PacketType) -> Vec<u8> {
        let len = match kind {
            PacketType::Retry => 56,
            PacketType::Hello2 => 112,
            _ => 85,
        };
        let mut bytes = self.random(len);
        bytes[..4].copy_from_slice(Prefix::of(kind).as_bytes());
        bytes
    }

    fn hello(&mut self, mac: &MacKey) -> Vec<u8> {
        let bytes = self.random(168);
        let Ok(mut hello) = Hello1::read_from_bytes(&bytes) else { return bytes };
        hello.prefix = Prefix::of(PacketType::Hello1);
        hello.realm = self.realm.0.into();
        hello.zero = 0.into();
        hello.mac1 = mac.of(&hello.as_bytes()[..136]);
        hello.as_bytes().to_vec()
    }

    fn discover(&mut self, mac: &MacKey) -> Vec<u8> {
        let mut nonce = [0; 8];
        self.rng.fill(&mut nonce);
        let mut discover = Discover {
            prefix: Prefix::of(PacketType::Discover),
            realm: RealmId::ANY.0.into(),
            nonce,
            versions: 2.into(),
            zero: [0; 6],
            mac: [0; 16],
            padding: [0; 152],
        };
        discover.mac = mac.of(&discover.as_bytes()[..24]);
        discover.as_bytes().to_vec()
    }

    fn data(&mut self, kind: PacketType) -> Vec<u8> {
        let len = self.rng.within(&(32..=1200));
        let mut bytes = self.random(len);
        bytes[..4].copy_from_slice(Prefix::of(kind).as_bytes());
        // Session ids are small numbers in this world: guess among the live ones.
        bytes[4..8].copy_from_slice(&u32::try_from(self.rng.below(64)).unwrap_or(0).to_le_bytes());
        bytes
    }
}
