//! The handshake: `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` (SPEC 3.1).
//!
//! snow owns the state machine; the primitives come from the same generation of crates as everything else here, through
//! `Primitives`. snow is used for the handshake only: its keys are taken out and the transport is ours, because a
//! stateful transport cannot live on datagrams (RUSTSEC-2024-0011 is a warning).

mod primitives;

use primitives::Primitives;
use snow::{HandshakeState, params::NoiseParams};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{Keypair, PublicKey, SiteKey, TransportKey};
use crate::{Entropy, vocab::RealmId};

/// Length of Noise message 1 with its sealed client info.
pub const MESSAGE1_LEN: usize = 120;
/// Length of Noise message 2 with its sealed server info.
pub const MESSAGE2_LEN: usize = 80;

/// What a client says of itself inside HELLO1, 24 bytes. Never changes a server's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ClientInfo {
    /// The client's wall clock, milliseconds since 1970.
    pub unix_ms: U64,
    /// Drawn once per process: tells two programs with one device key apart. A new session replaces the old one of
    /// the same device key *and* instance.
    pub instance: [u8; 8],
    /// SDK version: major 8 bits, minor 12, patch 12.
    pub sdk_version: U32,
    /// Zero in version 1.
    pub capabilities: U32,
}

/// What a server says of itself inside HELLO2, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ServerInfo {
    /// The cluster the server belongs to.
    pub cluster_id: U64,
    /// Drawn once per start: a client that sees it change knows the server restarted.
    pub boot_id: U64,
    /// The server within its cluster.
    pub server_id: U32,
    /// Zero in version 1.
    pub limits: U32,
    /// How far the server's journal had come; 0 without one.
    pub log_number: U64,
}

/// The two keys of a session.
#[derive(Clone)]
pub struct SessionKeys {
    /// For what we send.
    pub send: TransportKey,
    /// For what we receive.
    pub receive: TransportKey,
}

/// A handshake that failed. Says nothing more: the peer is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handshake does not authenticate")]
pub struct HandshakeFailed;

impl From<snow::Error> for HandshakeFailed {
    fn from(_: snow::Error) -> Self {
        Self
    }
}

/// A client between HELLO1 and HELLO2.
pub struct Initiator {
    state: HandshakeState,
}

impl Initiator {
    /// Starts a handshake with the server that owns `server`: the Noise part of HELLO1, which may be sent again with a
    /// cookie as it is.
    ///
    /// # Errors
    /// If `server` is not a usable key.
    pub fn start(
        keys: &Keypair,
        server: &PublicKey,
        site: &SiteKey,
        realm: RealmId,
        info: &ClientInfo,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, [u8; MESSAGE1_LEN]), HandshakeFailed> {
        let prologue = prologue(realm);
        let mut state = snow::Builder::with_resolver(params(), Primitives::boxed(keys, entropy))
            .local_private_key(keys.private())?
            .remote_public_key(&server.0)?
            .psk(2, &site.0)?
            .prologue(&prologue)?
            .build_initiator()?;
        let mut message = [0; MESSAGE1_LEN];
        let len = state.write_message(info.as_bytes(), &mut message)?;
        debug_assert_eq!(len, MESSAGE1_LEN);
        Ok((Self { state }, message))
    }

    /// Reads the Noise part of HELLO2. A forged one leaves this handshake as it was, so the true one can follow.
    ///
    /// # Errors
    /// If it does not authenticate.
    pub fn finish(&mut self, message: &[u8; MESSAGE2_LEN]) -> Result<(ServerInfo, SessionKeys), HandshakeFailed> {
        let mut info = [0; size_of::<ServerInfo>() + super::transport::TAG_LEN];
        let len = self.state.read_message(message, &mut info)?;
        let info = ServerInfo::read_from_bytes(&info[..len]).map_err(|_| HandshakeFailed)?;
        let (to_server, to_client) = self.state.dangerously_get_raw_split();
        Ok((info, SessionKeys { send: TransportKey::new(&to_server), receive: TransportKey::new(&to_client) }))
    }
}

/// A server that has read HELLO1 and may answer it.
pub struct Responder {
    state: HandshakeState,
    /// Who asks: proved by the handshake.
    pub client: PublicKey,
    /// What it said of itself.
    pub info: ClientInfo,
}

impl Responder {
    /// Reads the Noise part of a HELLO1.
    ///
    /// # Errors
    /// If it does not authenticate.
    pub fn accept(
        keys: &Keypair,
        site: &SiteKey,
        realm: RealmId,
        message: &[u8; MESSAGE1_LEN],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, HandshakeFailed> {
        let prologue = prologue(realm);
        let mut state = snow::Builder::with_resolver(params(), Primitives::boxed(keys, entropy))
            .local_private_key(keys.private())?
            .psk(2, &site.0)?
            .prologue(&prologue)?
            .build_responder()?;
        let mut info = [0; size_of::<ClientInfo>() + super::transport::TAG_LEN];
        let len = state.read_message(message, &mut info)?;
        let info = ClientInfo::read_from_bytes(&info[..len]).map_err(|_| HandshakeFailed)?;
        let client = state.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(HandshakeFailed)?;
        Ok(Self { state, client: PublicKey(client), info })
    }

    /// Writes the Noise part of HELLO2 and takes the session's keys out.
    ///
    /// # Errors
    /// Never for a handshake that [`Responder::accept`] returned; the type says so because snow's does.
    pub fn reply(mut self, info: &ServerInfo) -> Result<([u8; MESSAGE2_LEN], SessionKeys), HandshakeFailed> {
        let mut message = [0; MESSAGE2_LEN];
        self.state.write_message(info.as_bytes(), &mut message)?;
        let (to_server, to_client) = self.state.dangerously_get_raw_split();
        Ok((message, SessionKeys { send: TransportKey::new(&to_client), receive: TransportKey::new(&to_server) }))
    }
}

fn params() -> NoiseParams {
    // Known good: a constant that the tests parse too.
    "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s".parse().expect("a constant Noise name")
}

fn prologue(realm: RealmId) -> [u8; 16] {
    let mut bytes = *b"leasehold v1\0\0\0\0";
    bytes[12..].copy_from_slice(&realm.0.to_le_bytes());
    bytes
}

#[cfg(test)]
mod known_answers;

#[cfg(test)]
mod tests {
    use super::*;

    fn seeded(mut seed: u8) -> impl Entropy {
        move |bytes: &mut [u8]| {
            for byte in bytes {
                seed = seed.wrapping_mul(167).wrapping_add(13);
                *byte = seed;
            }
        }
    }

    fn client_info() -> ClientInfo {
        ClientInfo { unix_ms: 7.into(), instance: [3; 8], sdk_version: 1.into(), capabilities: 0.into() }
    }

    fn server_info() -> ServerInfo {
        ServerInfo {
            cluster_id: 1.into(),
            boot_id: 2.into(),
            server_id: 3.into(),
            limits: 0.into(),
            log_number: 9.into(),
        }
    }

    #[test]
    fn both_sides_agree_on_keys_and_learn_each_other() {
        let (client, server) = (Keypair::generate(&mut seeded(1)), Keypair::generate(&mut seeded(2)));
        let (site, realm) = (SiteKey([5; 32]), RealmId(6));
        let (mut initiator, one) =
            Initiator::start(&client, &server.public(), &site, realm, &client_info(), &mut seeded(3)).unwrap();
        let responder = Responder::accept(&server, &site, realm, &one, &mut seeded(4)).unwrap();
        assert_eq!((responder.client, responder.info), (client.public(), client_info()));
        let (two, theirs) = responder.reply(&server_info()).unwrap();
        let (info, ours) = initiator.finish(&two).unwrap();
        assert_eq!(info, server_info());

        let mut bytes = *b"a sealed message";
        let tag = ours.send.seal(0, b"header", &mut bytes);
        theirs.receive.open(0, b"header", &mut bytes, &tag).unwrap();
        assert_eq!(&bytes, b"a sealed message");
    }

    #[test]
    fn another_realm_site_key_or_server_does_not_authenticate() {
        let (client, server) = (Keypair::generate(&mut seeded(1)), Keypair::generate(&mut seeded(2)));
        let (site, realm) = (SiteKey([5; 32]), RealmId(6));
        let (mut initiator, one) =
            Initiator::start(&client, &server.public(), &site, realm, &client_info(), &mut seeded(3)).unwrap();
        let accept = |keys: &Keypair, realm| Responder::accept(keys, &site, realm, &one, &mut seeded(4));
        assert!(accept(&server, RealmId(7)).is_err());
        assert!(accept(&client, realm).is_err());
        // The pre-shared key enters with message 2: a wrong one shows at the client.
        let wrong = Responder::accept(&server, &SiteKey::OPEN, realm, &one, &mut seeded(4)).unwrap();
        assert!(initiator.finish(&wrong.reply(&server_info()).unwrap().0).is_err());
    }

    #[test]
    fn a_forged_answer_leaves_the_handshake_ready_for_the_true_one() {
        let (client, server) = (Keypair::generate(&mut seeded(1)), Keypair::generate(&mut seeded(2)));
        let (site, realm) = (SiteKey::OPEN, RealmId(6));
        let (mut initiator, one) =
            Initiator::start(&client, &server.public(), &site, realm, &client_info(), &mut seeded(3)).unwrap();
        let (two, _) =
            Responder::accept(&server, &site, realm, &one, &mut seeded(4)).unwrap().reply(&server_info()).unwrap();
        for byte in 0..MESSAGE2_LEN {
            let mut forged = two;
            forged[byte] ^= 1;
            assert!(initiator.finish(&forged).is_err(), "byte {byte}");
        }
        assert!(initiator.finish(&two).is_ok());
    }
}
