//! A client that says what the test wants and reads what it gets.

use std::net::SocketAddr;

use leasehold_core::{Answer, Question, Transmit};
use leasehold_protocol::{
    Entropy,
    crypto::{
        Keypair, SessionKeys,
        mac::MacKey,
        noise::{ClientInfo, Initiator},
        open_datagram, seal_datagram,
    },
    frame::{self, Frames},
    message::{
        Activity, Bundle, BundleItem, ClientFrame, Deny, Grant, Holder, Known, Release, ReleaseOutcome, Renew, Renewed,
        Request, ServerFrame,
    },
    packet::{self, Hello1, Packet, PacketType, Prefix},
    vocab::{ClaimKey, Denial, DeviceId, FeatureName, Label, LeaseId, OperationId, SeatCount},
};
use zerocopy::IntoBytes;

use super::{Seeded, Site};

/// A denial, as far as [`Client::would`] tells of one.
pub fn told(deny: &Deny) -> (Denial, String, String) {
    (deny.code, deny.sentence.clone(), deny.rule.clone())
}

pub struct Client {
    pub keys: Keypair,
    pub instance: [u8; 8],
    pub from: SocketAddr,
    pub session: Option<OpenSession>,
    pub entropy: Seeded,
    next_sid: u32,
    next_operation: u64,
}

#[derive(Clone)]
pub struct OpenSession {
    pub server_sid: u32,
    pub keys: SessionKeys,
    pub send_next: u64,
}

impl Client {
    /// A device at 10.0.0.`n`, with a key and an instance of its own.
    pub fn new(n: u8) -> Self {
        let mut entropy = Seeded(1000 + u64::from(n));
        Self {
            keys: Keypair::generate(&mut entropy),
            instance: entropy.next_u64().to_le_bytes(),
            from: SocketAddr::from(([10, 0, 0, n], 40_000)),
            session: None,
            entropy,
            next_sid: 1,
            next_operation: 1,
        }
    }

    /// A client with an open session.
    pub fn connected(n: u8, site: &mut Site) -> Self {
        let mut client = Self::new(n);
        client.connect(site);
        client
    }

    /// The same program on the same device, somewhere else, with no session yet.
    pub fn moved_to(&self, from: SocketAddr) -> Self {
        let (keys, entropy) = (self.keys.clone(), self.entropy.clone());
        Self { keys, entropy, from, session: None, ..*self }
    }

    pub fn operation(&mut self) -> OperationId {
        self.next_operation += 1;
        OperationId(self.next_operation)
    }

    pub fn claim(&mut self) -> ClaimKey {
        ClaimKey::random(&mut self.entropy)
    }

    /// HELLO1 without a cookie, and the handshake that can read its answer.
    pub fn hello1(&mut self, site: &Site) -> (Initiator, Hello1) {
        self.next_sid += 1;
        let info = ClientInfo {
            unix_ms: site.now.wall.0.into(),
            instance: self.instance,
            sdk_version: 1.into(),
            capabilities: 0.into(),
        };
        let server = site.keys.public();
        let (initiator, noise) =
            Initiator::start(&self.keys, &server, &site.key, site.realm(), &info, &mut self.entropy).unwrap();
        let mut hello = Hello1 {
            prefix: Prefix::of(PacketType::Hello1),
            realm: site.realm().0.into(),
            client_sid: self.next_sid.into(),
            zero: 0.into(),
            noise,
            mac1: [0; 16],
            cookie: [0; 16],
        };
        hello.mac1 = MacKey::hello(&server, &site.key).of(&hello.as_bytes()[..136]);
        (initiator, hello)
    }

    /// A HELLO1 with the cookie the server asks for.
    pub fn hello1_with_cookie(&mut self, site: &mut Site) -> (Initiator, Hello1) {
        let (initiator, mut hello) = self.hello1(site);
        let said = site.feed(self.from, hello.as_bytes());
        let [(transmit, datagram)] = &said[..] else { panic!("one RETRY, not {said:?}") };
        assert_eq!(transmit.to, self.from);
        let Ok(Packet::Retry(retry)) = packet::read_to_client(datagram) else { panic!("not a RETRY") };
        assert_eq!(retry.mac1_echo, hello.mac1);
        hello.cookie = retry.cookie;
        (initiator, hello)
    }

    /// A handshake up to HELLO2: a session the server has not heard anything under yet.
    pub fn handshake(&mut self, site: &mut Site) -> OpenSession {
        let (initiator, hello) = self.hello1_with_cookie(site);
        let said = site.feed(self.from, hello.as_bytes());
        let [(_, datagram)] = &said[..] else { panic!("one HELLO2, not {said:?}") };
        finish(initiator, datagram)
    }

    pub fn connect(&mut self, site: &mut Site) {
        self.session = Some(self.handshake(site));
    }

    /// A sealed datagram with `frames`, its plaintext padded to at least `len_min`.
    pub fn seal(&mut self, frames: &[ClientFrame], len_min: usize) -> Vec<u8> {
        let mut plaintext = vec![];
        frames.iter().for_each(|frame| frame.append_to(&mut plaintext).unwrap());
        self.seal_bytes(plaintext, len_min)
    }

    pub fn seal_bytes(&mut self, mut plaintext: Vec<u8>, len_min: usize) -> Vec<u8> {
        frame::pad(&mut plaintext, len_min);
        let session = self.session.as_mut().expect("a session");
        let mut out = vec![];
        let (kind, counter) = (PacketType::DataToServer, session.send_next);
        seal_datagram(&session.keys.send, kind, session.server_sid, counter, &plaintext, &mut out);
        session.send_next += 1;
        out
    }

    /// The frames of what the server said to this client.
    pub fn open(&self, said: &[(Transmit, Vec<u8>)]) -> Vec<ServerFrame> {
        let session = self.session.as_ref().expect("a session");
        let mut frames = vec![];
        for (transmit, datagram) in said {
            assert_eq!(transmit.to, self.from);
            assert!(datagram.len() <= packet::DATAGRAM_MAX);
            let mut datagram = datagram.clone();
            let plaintext = open_datagram(&session.keys.receive, &mut datagram).expect("sealed for this session");
            for raw in Frames::new(plaintext) {
                match ServerFrame::decode(raw.unwrap()).unwrap() {
                    Known::Frame(frame) => frames.push(frame),
                    Known::Unknown(kind) => panic!("frame type {kind}"),
                }
            }
        }
        frames
    }

    /// Sends `frames` in one datagram, as an SDK would pad it, and returns the answers.
    pub fn ask(&mut self, site: &mut Site, frames: &[ClientFrame]) -> Vec<ServerFrame> {
        let len_min = frames.iter().map(padding).max().unwrap_or(0);
        let datagram = self.seal(frames, len_min);
        let said = site.feed(self.from, &datagram);
        self.open(&said)
    }

    pub fn request_frame(&mut self, claim: ClaimKey, feature: &str, seats: u32) -> Request {
        Request {
            operation: self.operation(),
            claim,
            feature: FeatureName::new(feature).unwrap(),
            version: "4.8".parse().unwrap(),
            seats: SeatCount::new(seats).unwrap(),
            holder: self.holder(),
            ticket: None,
        }
    }

    /// Sends a request as it is and returns the answer.
    /// What the server says it would answer, were it asked now: `Ok` for seats, else a denial's code, sentence and rule.
    pub fn would(&self, site: &Site, request: &Request) -> Result<(), (Denial, String, String)> {
        let Request { feature, version, seats, holder, .. } = request.clone();
        let question = Question { realm: site.realm(), feature, version, seats, holder, address: self.from.ip() };
        match site.shared.explain(&question, site.now).unwrap().answer {
            Answer::Seats | Answer::SeatsOf(_) => Ok(()),
            Answer::No { code, sentence, rule } => Err((code, sentence, rule)),
        }
    }

    pub fn send_request(&mut self, site: &mut Site, request: &Request) -> Result<Grant, Box<Deny>> {
        let answers = self.ask(site, &[ClientFrame::Request(Box::new(request.clone()))]);
        match &answers[..] {
            [ServerFrame::Grant(grant)] => {
                assert_eq!((grant.operation, grant.claim), (request.operation, request.claim));
                Ok((**grant).clone())
            }
            [ServerFrame::Deny(deny)] => {
                assert_eq!((deny.operation, deny.claim), (request.operation, request.claim));
                assert!(deny.sentence.len() <= 200 && deny.rule.len() <= 100);
                Err(deny.clone())
            }
            other => panic!("a grant or a denial, not {other:?}"),
        }
    }

    /// A bundle of these alternatives, each of features with the seats wanted and the fewest that will do.
    pub fn bundle_frame(&mut self, claim: ClaimKey, alternatives: &[&[(&str, u32, u32)]]) -> Bundle {
        let item = |(feature, seats, at_least): &(&str, u32, u32)| BundleItem {
            feature: FeatureName::new(feature).unwrap(),
            version: "4.8".parse().unwrap(),
            seats: SeatCount::new(*seats).unwrap(),
            at_least: SeatCount::new(*at_least).unwrap(),
        };
        let alternatives = alternatives.iter().map(|items| items.iter().map(item).collect()).collect();
        Bundle { operation: self.operation(), claim, alternatives, holder: self.holder() }
    }

    /// Sends a bundle and returns all grants, or the denial.
    pub fn send_bundle(&mut self, site: &mut Site, bundle: &Bundle) -> Result<Vec<Grant>, Box<Deny>> {
        let answers = self.ask(site, &[ClientFrame::Bundle(Box::new(bundle.clone()))]);
        let mut grants = vec![];
        for answer in answers {
            match answer {
                ServerFrame::Grant(grant) => grants.push(*grant),
                ServerFrame::Deny(deny) => {
                    assert!(grants.is_empty() && deny.operation == bundle.operation, "all or nothing");
                    assert!(deny.sentence.len() <= 200 && deny.rule.len() <= 100);
                    return Err(deny);
                }
                other => panic!("grants or a denial, not {other:?}"),
            }
        }
        Ok(grants)
    }

    pub fn bundle(&mut self, site: &mut Site, alternatives: &[&[(&str, u32, u32)]]) -> Result<Vec<Grant>, Box<Deny>> {
        let claim = self.claim();
        let bundle = self.bundle_frame(claim, alternatives);
        self.send_bundle(site, &bundle)
    }

    pub fn request_as(
        &mut self,
        site: &mut Site,
        claim: ClaimKey,
        feature: &str,
        seats: u32,
    ) -> Result<Grant, Box<Deny>> {
        let request = self.request_frame(claim, feature, seats);
        self.send_request(site, &request)
    }

    pub fn request(&mut self, site: &mut Site, feature: &str, seats: u32) -> Result<Grant, Box<Deny>> {
        let claim = self.claim();
        self.request_as(site, claim, feature, seats)
    }

    pub fn renew_frame(&mut self, lease: LeaseId, claim: ClaimKey) -> ClientFrame {
        ClientFrame::Renew(Renew { lease, claim, operation: self.operation(), activity: Activity::default() })
    }

    pub fn renew(&mut self, site: &mut Site, lease: LeaseId, claim: ClaimKey) -> Result<Renewed, Box<Deny>> {
        let frame = self.renew_frame(lease, claim);
        match &self.ask(site, &[frame])[..] {
            [ServerFrame::Renewed(renewed)] => Ok(*renewed),
            [ServerFrame::Deny(deny)] => Err(deny.clone()),
            other => panic!("renewed or a denial, not {other:?}"),
        }
    }

    pub fn release(&mut self, site: &mut Site, lease: LeaseId, claim: ClaimKey) -> ReleaseOutcome {
        let operation = self.operation();
        match &self.ask(site, &[ClientFrame::Release(Release { lease, claim, operation })])[..] {
            [ServerFrame::Released(released)] => {
                assert_eq!((released.lease, released.operation), (lease, operation));
                released.outcome
            }
            other => panic!("released, not {other:?}"),
        }
    }

    fn holder(&self) -> Holder {
        let label = |text: &str| Label::new(text).unwrap();
        Holder {
            user: label("ada"),
            host: label(&format!("host{}", self.from.ip())),
            display: None,
            process: label("solver"),
            pid: 4711,
            project: None,
            device: DeviceId([9; 16]),
            device_alias: None,
            share: None,
            hostids: vec![],
        }
    }
}

/// The session a HELLO2 opens.
pub fn finish(mut initiator: Initiator, datagram: &[u8]) -> OpenSession {
    let Ok(Packet::Hello2(hello2)) = packet::read_to_client(datagram) else { panic!("not a HELLO2") };
    let (_, keys) = initiator.finish(&hello2.noise).expect("an authentic HELLO2");
    OpenSession { server_sid: hello2.server_sid.get(), keys, send_next: 0 }
}

/// How long an SDK makes the plaintext of a datagram with this frame (SPEC 2.4).
fn padding(frame: &ClientFrame) -> usize {
    match frame {
        ClientFrame::Request(_) => 512,
        ClientFrame::FeatureQuery(_) | ClientFrame::LicenceQuery(_) | ClientFrame::ProofQuery(_) => {
            packet::PLAINTEXT_MAX
        }
        _ => 0,
    }
}
