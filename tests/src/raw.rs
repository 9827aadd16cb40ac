//! A client written by hand, that does what no honest one does: short datagrams, many addresses, other people's claims,
//! the same bytes twice. It speaks the protocol crate alone and knows no rule of behaviour.

use std::net::SocketAddr;

use leasehold_protocol::{
    Entropy,
    crypto::{
        Keypair, PublicKey, SessionKeys,
        mac::MacKey,
        noise::{ClientInfo, Initiator},
        open_datagram, seal_datagram,
    },
    frame::{self, Frames},
    message::{ClientFrame, Holder, Known, Request, ServerFrame},
    packet::{Hello1, Packet, PacketType, Prefix, read_to_client},
    vocab::{ClaimKey, DeviceId, OperationId, RealmId, Version},
};
use zerocopy::IntoBytes;

use crate::{
    clock::SECOND,
    lan::Lan,
    net::{Flight, Sender},
    plan::{feature_name, label, seat_count},
    rng::Rng,
};

/// Such a client, talking to one server of a world.
pub struct Raw {
    /// Where it sends from and listens; a test may change it.
    pub address: SocketAddr,
    /// Its device key.
    pub keys: Keypair,
    /// Its process.
    pub instance: [u8; 8],
    server: usize,
    rng: Rng,
    sid: u32,
    session: Option<Session>,
}

/// An open session, kept so that a test can go back to an old one.
#[derive(Clone)]
pub struct Session {
    keys: SessionKeys,
    server_sid: u32,
    counter: u64,
}

impl Raw {
    /// A client of server `server`, not connected.
    pub fn new(lan: &mut Lan, server: usize) -> Self {
        let address = lan.fresh_address();
        lan.listen(address);
        let mut rng = lan.rng.fork(u64::from(address.port()) << 32 ^ lan.report.addresses);
        let keys = Keypair::generate(&mut rng);
        Self { address, keys, instance: *b"by hand!", server, rng, sid: 0, session: None }
    }

    /// Moves to an address of its own that nobody has proved.
    pub fn roam(&mut self, lan: &mut Lan) {
        self.address = lan.fresh_address();
        lan.listen(self.address);
    }

    /// Opens a session: HELLO1, RETRY, HELLO1 again, HELLO2. Returns the one it had before.
    ///
    /// # Panics
    /// If the server does not answer as SPEC 3 says.
    pub fn connect(&mut self, lan: &mut Lan) -> Option<Session> {
        let (mut initiator, noise) = self.initiator(lan);
        self.sid = u32::try_from(self.rng.draw() >> 33).unwrap_or(1);
        self.put(lan, self.hello(lan, &noise, [0; 16]));
        let retry = self.take(lan, |packet| match packet {
            Packet::Retry(retry) => Some(retry.cookie),
            _ => None,
        });
        self.put(lan, self.hello(lan, &noise, retry));
        let (server_sid, message) = self.take(lan, |packet| match packet {
            Packet::Hello2(hello) => Some((hello.server_sid.get(), hello.noise)),
            _ => None,
        });
        let (_, keys) = initiator.finish(&message).expect("HELLO2 authenticates");
        self.session.replace(Session { keys, server_sid, counter: 0 })
    }

    /// Goes on with `session` instead of the one it has.
    pub fn resume(&mut self, session: Session) -> Option<Session> {
        self.session.replace(session)
    }

    fn initiator(&mut self, lan: &Lan) -> (Initiator, [u8; 120]) {
        let info = ClientInfo {
            unix_ms: lan.servers[self.server].clock.now(lan.at).wall.0.into(),
            instance: self.instance,
            sdk_version: 0.into(),
            capabilities: 0.into(),
        };
        let realm = RealmId::of(&label(crate::plan::PUBLISHER));
        let server: PublicKey = lan.servers[self.server].public_key();
        Initiator::start(&self.keys, &server, &lan.plan.site, realm, &info, &mut self.rng).expect("a usable key")
    }

    fn hello(&self, lan: &Lan, noise: &[u8; 120], cookie: [u8; 16]) -> Vec<u8> {
        let mut hello = Hello1 {
            prefix: Prefix::of(PacketType::Hello1),
            realm: RealmId::of(&label(crate::plan::PUBLISHER)).0.into(),
            client_sid: self.sid.into(),
            zero: 0.into(),
            noise: *noise,
            mac1: [0; 16],
            cookie,
        };
        let key = MacKey::hello(&lan.servers[self.server].public_key(), &lan.plan.site);
        hello.mac1 = key.of(&hello.as_bytes()[..136]);
        hello.as_bytes().to_vec()
    }

    fn take<T>(&self, lan: &mut Lan, read: impl Fn(Packet<'_>) -> Option<T>) -> T {
        lan.run_until(SECOND, |lan| lan.has_mail(self.address));
        let mail = lan.mail(self.address);
        let found = mail.iter().find_map(|bytes| read_to_client(bytes).ok().and_then(&read));
        found.expect("the server answers the handshake")
    }

    /// Puts `bytes` on the wire as they are, from its address. They arrive within this millisecond.
    pub fn put(&self, lan: &mut Lan, bytes: Vec<u8>) {
        let flight = self.flight(lan, bytes);
        lan.inject(0, flight);
    }

    /// A datagram of its, on no wire yet.
    #[must_use]
    pub fn flight(&self, lan: &mut Lan, bytes: Vec<u8>) -> Flight {
        let to = lan.servers[self.server].address;
        let heard = lan.heard_at(self.address);
        Flight {
            id: lan.net.fresh_id(),
            sender: Sender::Stranger,
            from: self.address,
            to,
            broadcast: false,
            heard,
            bytes,
        }
    }

    /// Seals `frames` into a datagram of at least `len_min` bytes of plaintext: what an honest client pads, this one
    /// need not.
    ///
    /// # Panics
    /// If it has no session, or the frames do not fit.
    pub fn seal(&mut self, frames: &[ClientFrame], len_min: usize) -> Vec<u8> {
        let mut plaintext = Vec::new();
        frames.iter().for_each(|f| f.append_to(&mut plaintext).expect("the frames fit"));
        frame::pad(&mut plaintext, len_min);
        self.seal_plaintext(&plaintext)
    }

    /// Seals any plaintext at all.
    ///
    /// # Panics
    /// If it has no session.
    pub fn seal_plaintext(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let session = self.session.as_mut().expect("a session");
        let (kind, counter) = (PacketType::DataToServer, session.counter);
        session.counter += 1;
        let mut out = Vec::new();
        seal_datagram(&session.keys.send, kind, session.server_sid, counter, plaintext, &mut out);
        out
    }

    /// Sends `frames` in one datagram and returns what came back to its address within a second.
    pub fn ask(&mut self, lan: &mut Lan, frames: &[ClientFrame], len_min: usize) -> Vec<ServerFrame> {
        let sealed = self.seal(frames, len_min);
        self.put(lan, sealed);
        lan.run_for(SECOND);
        self.answers(lan)
    }

    /// The frames that came to its address and open under its session.
    pub fn answers(&self, lan: &mut Lan) -> Vec<ServerFrame> {
        let Some(session) = &self.session else { return Vec::new() };
        let mut frames = Vec::new();
        for mut bytes in lan.mail(self.address) {
            let Ok(plaintext) = open_datagram(&session.keys.receive, &mut bytes) else { continue };
            frames.extend(Frames::new(plaintext).flatten().filter_map(|raw| match ServerFrame::decode(raw) {
                Ok(Known::Frame(frame)) => Some(frame),
                _ => None,
            }));
        }
        frames
    }

    /// A request under `claim`.
    pub fn request(&mut self, feature: &str, seats: u32, claim: ClaimKey) -> ClientFrame {
        ClientFrame::Request(Box::new(Request {
            operation: OperationId(self.rng.next_u64()),
            claim,
            feature: feature_name(feature),
            version: Version::ANY,
            seats: seat_count(seats),
            holder: self.holder(),
            ticket: None,
        }))
    }

    fn holder(&self) -> Holder {
        Holder {
            user: label("mallory"),
            host: label("nowhere"),
            display: None,
            process: label("raw"),
            pid: 1,
            project: None,
            device: DeviceId::default(),
            device_alias: None,
            share: None,
            hostids: Vec::new(),
        }
    }

    /// A fresh operation id.
    pub fn operation(&mut self) -> OperationId {
        OperationId(self.rng.next_u64())
    }
}
