//! A handshake under way (SPEC 3.1 to 3.5): HELLO1, RETRY with a cookie, HELLO1, HELLO2.

use leasehold_protocol::{
    Entropy,
    crypto::{
        Keypair,
        mac::MacKey,
        noise::{ClientInfo, HandshakeFailed, Initiator},
    },
    packet::{self, Hello1, Hello2, Packet, PacketType, Prefix, Retry},
    time::UnixMillis,
};
use zerocopy::{FromZeros, IntoBytes};

use super::{Peer, Session};
use crate::hand::SDK_VERSION;

/// A handshake that has begun: one HELLO1, sent as often as it takes.
pub struct Opening {
    initiator: Initiator,
    mac: MacKey,
    hello: Hello1,
}

/// What a datagram did to a handshake.
pub enum Step {
    /// Nothing: it was not of this handshake, or forged.
    Ignored,
    /// It brought a cookie: send [`Opening::hello`] again at once.
    Again,
    /// The handshake is over. The server forgets a session that does not send anything (SPEC 3.6).
    Open(Session),
}

const MAC1_AT: usize = 136;
const RETRY_TAG_AT: usize = 40;
const HELLO2_MAC1_AT: usize = 96;

impl Opening {
    /// A handshake of the client `keys` with `peer`. Sessions of equal `keys` and `instance` replace each other; a
    /// handshake of the same two with an earlier `now` may be refused.
    ///
    /// # Errors
    /// If the peer's key is no usable key.
    pub fn new(
        peer: &Peer,
        keys: &Keypair,
        instance: [u8; 8],
        now: UnixMillis,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, HandshakeFailed> {
        let sid = u32::try_from(entropy.next_u64() >> 32).unwrap_or(1).max(1);
        Self::named(sid, peer, keys, instance, now, entropy)
    }

    /// The same under a session id of the caller's: not 0, and hard to guess where that matters. One that tells whose
    /// session it is spares a search for each datagram.
    ///
    /// # Errors
    /// If the peer's key is no usable key.
    pub fn named(
        sid: u32,
        peer: &Peer,
        keys: &Keypair,
        instance: [u8; 8],
        now: UnixMillis,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, HandshakeFailed> {
        let info =
            ClientInfo { unix_ms: now.0.into(), instance, sdk_version: SDK_VERSION.into(), capabilities: 0.into() };
        let (initiator, noise) = Initiator::start(keys, &peer.key, &peer.site, peer.realm, &info, entropy)?;
        let mac = MacKey::hello(&peer.key, &peer.site);
        let mut hello = Hello1::new_zeroed();
        hello.prefix = Prefix::of(PacketType::Hello1);
        hello.realm = peer.realm.0.into();
        hello.client_sid = sid.into();
        hello.noise = noise;
        hello.mac1 = mac.of(&hello.as_bytes()[..MAC1_AT]);
        Ok(Self { initiator, mac, hello })
    }

    /// The id that the server's datagrams will name.
    #[must_use]
    pub fn sid(&self) -> u32 {
        self.hello.client_sid.get()
    }

    /// The HELLO1 to send, with the newest cookie. Sending it again costs the server no key agreement.
    #[must_use]
    pub fn hello(&self) -> &[u8] {
        self.hello.as_bytes()
    }

    /// Takes a datagram that names our id. What is forged or another's changes nothing.
    pub fn handle(&mut self, datagram: &[u8]) -> Step {
        match packet::read_to_client(datagram) {
            Ok(Packet::Retry(retry)) => self.retry(retry),
            Ok(Packet::Hello2(hello)) => self.finish(hello).map_or(Step::Ignored, Step::Open),
            _ => Step::Ignored,
        }
    }

    fn retry(&mut self, retry: &Retry) -> Step {
        let ours = retry.mac1_echo == self.hello.mac1 && self.mac.verify(&retry.as_bytes()[..RETRY_TAG_AT], &retry.tag);
        // An old cookie again is an answer to an old HELLO1: no reason to send another one.
        if !ours || retry.cookie == self.hello.cookie {
            return Step::Ignored;
        }
        self.hello.cookie = retry.cookie;
        Step::Again
    }

    fn finish(&mut self, hello: &Hello2) -> Option<Session> {
        let ours = hello.client_sid == self.hello.client_sid;
        if !ours || !self.mac.verify(&hello.as_bytes()[..HELLO2_MAC1_AT], &hello.mac1) {
            return None;
        }
        let (info, keys) = self.initiator.finish(&hello.noise).ok()?;
        Some(Session::new(self.sid(), hello.server_sid.get(), info.boot_id.get(), keys))
    }
}

const _: () = assert!(size_of::<Hello1>() == MAC1_AT + 32 && size_of::<Retry>() == RETRY_TAG_AT + 16);
const _: () = assert!(size_of::<Hello2>() == HELLO2_MAC1_AT + 16);
