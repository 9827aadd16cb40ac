//! A server that keeps the handshake's rules and no other.

use std::{net::SocketAddr, sync::OnceLock};

use leasehold_protocol::{
    crypto::{
        Keypair, SessionKeys, SiteKey,
        mac::MacKey,
        noise::{Responder, ServerInfo},
        open_datagram, seal_datagram,
    },
    frame::{self, Frames},
    message::{ClientFrame, Known, ServerFrame},
    packet::{self, Discover, Hello1, Hello2, OfferHead, PLAINTEXT_MAX, Packet, PacketType, Prefix, Retry},
    vocab::{Label, RealmId},
};
use zerocopy::{FromZeros, IntoBytes};

use super::answers;
use crate::chance::{Chance, counting};

/// Handshakes one server of one input answers: they take most of the time.
const HANDSHAKES_MAX: usize = 3;
/// Questions remembered, newest first.
const ASKED_MAX: usize = 16;

pub struct Server {
    pub address: SocketAddr,
    pub keys: Keypair,
    pub realm: RealmId,
    boot_id: u64,
    sessions: Vec<Session>,
    asked: Vec<ClientFrame>,
    handshakes: usize,
}

/// Made once: a key pair costs as much as a hundred operations.
fn server_keys() -> &'static [Keypair; 2] {
    static KEYS: OnceLock<[Keypair; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [Keypair::from_private([0x70; 32]), Keypair::from_private([0x71; 32])])
}

struct Session {
    client_sid: u32,
    keys: SessionKeys,
    counter: u64,
}

impl Server {
    pub fn new(number: u8) -> Self {
        Self {
            address: SocketAddr::from(([192, 0, 2, number], 5097)),
            keys: server_keys()[usize::from(number)].clone(),
            realm: RealmId::of(&Label::lossy("fuzz")),
            boot_id: u64::from(number),
            sessions: Vec::new(),
            asked: Vec::new(),
            handshakes: 0,
        }
    }

    /// It forgets everything.
    pub fn restart(&mut self) {
        self.sessions.clear();
        self.boot_id += 16;
    }

    /// What it says to a datagram of the holder, which is one that servers read.
    pub fn hear(&mut self, bytes: &[u8], chance: &mut Chance<'_>) -> Vec<Vec<u8>> {
        match packet::read_to_server(bytes) {
            Ok(Packet::Hello1(hello)) => self.on_hello(hello, chance).into_iter().collect(),
            Ok(Packet::Discover(discover)) => vec![self.offer(discover, chance)],
            Ok(Packet::Data(header)) => {
                let sid = header.receiver_sid.get();
                self.on_data(sid, bytes);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn mac(&self) -> MacKey {
        MacKey::hello(&self.keys.public(), &SiteKey::OPEN)
    }

    fn on_hello(&mut self, hello: &Hello1, chance: &mut Chance<'_>) -> Option<Vec<u8>> {
        if hello.realm.get() != self.realm.0 || !self.mac().verify(&hello.as_bytes()[..136], &hello.mac1) {
            return None;
        }
        if hello.cookie == [0; 16] && chance.coin() {
            let mut retry = Retry::new_zeroed();
            retry.prefix = Prefix::of(PacketType::Retry);
            (retry.client_sid, retry.mac1_echo, retry.cookie) = (hello.client_sid, hello.mac1, [5; 16]);
            retry.tag = self.mac().of(&retry.as_bytes()[..40]);
            return Some(retry.as_bytes().to_vec());
        }
        if self.handshakes == HANDSHAKES_MAX {
            return None;
        }
        self.handshakes += 1;
        let entropy = &mut counting(u64::from(hello.client_sid.get()));
        let responder = Responder::accept(&self.keys, &SiteKey::OPEN, self.realm, &hello.noise, entropy);
        let info = ServerInfo {
            cluster_id: 1.into(),
            boot_id: self.boot_id.into(),
            server_id: 1.into(),
            limits: chance.u32().into(),
            log_number: 0.into(),
        };
        let (noise, keys) = responder.and_then(|r| r.reply(&info)).expect("an honest HELLO1");
        let server_sid = u32::try_from(self.sessions.len()).expect("few");
        self.sessions.push(Session { client_sid: hello.client_sid.get(), keys, counter: 0 });
        let mut reply = Hello2::new_zeroed();
        reply.prefix = Prefix::of(PacketType::Hello2);
        (reply.server_sid, reply.client_sid, reply.noise) = (server_sid.into(), hello.client_sid, noise);
        reply.mac1 = self.mac().of(&reply.as_bytes()[..96]);
        Some(reply.as_bytes().to_vec())
    }

    fn offer(&self, discover: &Discover, chance: &mut Chance<'_>) -> Vec<u8> {
        let mut head = OfferHead::new_zeroed();
        head.prefix = Prefix::of(PacketType::Offer);
        head.realm = self.realm.0.into();
        head.nonce_echo = discover.nonce;
        head.server_key = self.keys.public().0;
        head.port = if chance.below(8) == 7 { u16::from(chance.byte()).into() } else { self.address.port().into() };
        head.peer_count = u8::try_from(chance.below(5)).expect("small");
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend((0..18 * usize::from(head.peer_count)).map(|_| chance.byte()));
        let mac = MacKey::discovery(&SiteKey::OPEN).of(&bytes);
        bytes.extend_from_slice(&mac);
        bytes
    }

    fn on_data(&mut self, sid: u32, bytes: &[u8]) {
        let Some(session) = self.sessions.get(sid as usize) else { return };
        let mut copy = bytes.to_vec();
        let Ok(plaintext) = open_datagram(&session.keys.receive, &mut copy) else { return };
        for raw in Frames::new(plaintext) {
            let frame = ClientFrame::decode(raw.expect("a holder writes whole frames")).expect("and good bodies");
            let Known::Frame(frame) = frame else { panic!("a holder writes frames of version 1") };
            self.asked.insert(0, frame);
        }
        self.asked.truncate(ASKED_MAX);
    }

    /// Says something under the newest session, or an older one.
    pub fn say(&mut self, chance: &mut Chance<'_>) -> Option<Vec<u8>> {
        let mut plaintext = Vec::new();
        if chance.below(8) == 7 {
            plaintext.extend_from_slice(chance.bytes(PLAINTEXT_MAX));
        } else {
            for _ in 0..=chance.below(3) {
                let frame: ServerFrame = answers::any(chance, &self.asked);
                let _ = frame.append_to(&mut plaintext);
            }
        }
        frame::pad(&mut plaintext, 0);
        let age = if chance.below(8) == 7 { chance.below(3) } else { 0 };
        let session = self.sessions.iter_mut().rev().nth(age)?;
        let jump = if chance.below(16) == 15 { u64::from(chance.byte()) } else { 0 };
        let (counter, mut out) = (session.counter + jump, Vec::new());
        session.counter = counter + 1;
        seal_datagram(&session.keys.send, PacketType::DataToClient, session.client_sid, counter, &plaintext, &mut out);
        Some(out)
    }
}
