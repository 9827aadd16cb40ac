//! A server's engine and clients that speak to it through nothing: what crosses is bytes.

use std::{net::SocketAddr, sync::Arc};

use leasehold_core::{Engine, Event, Path, RealmConfig, ServerConfig, Shared};
use leasehold_protocol::{
    crypto::{
        Keypair, SessionKeys, SiteKey, mac::MacKey, noise::Initiator, open_datagram, seal_datagram, ticket::TicketKey,
    },
    frame::{self, Frames},
    licence::{Certificate, KeyType, PublisherSecret, SeatLimit, Terms, canonical},
    message::{Activity, Claimed, ClientFrame, Known, RENEW_MANY_MAX, Release, Renew, RenewMany, ServerFrame},
    packet::{self, Hello1, Packet, PacketType, Prefix},
    time::{Mono, Now, UnixMillis},
    vocab::{ClaimKey, FeatureName, Label, LeaseId, OperationId, RealmId, SeatCount, Version},
};
use zerocopy::{FromZeros, IntoBytes};

use crate::{client_info, request, seeded};

/// One server with one feature, one worker, and a clock that stands still unless told.
pub struct World {
    engine: Engine,
    /// What an administrator reaches.
    pub shared: Arc<Shared>,
    keys: Keypair,
    realm: RealmId,
    now: Now,
    claims: u128,
    replies: Vec<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// Who is told what happens, before anybody is answered.
    pub listener: Option<Listener>,
}

/// Who is told what happens.
pub type Listener = Box<dyn FnMut(&Event, Now)>;

/// A client with an open session.
pub struct Pair {
    address: SocketAddr,
    keys: SessionKeys,
    server_sid: u32,
    counter: u64,
    operation: u64,
    lease: LeaseId,
    claim: ClaimKey,
    /// What it holds besides.
    more: Vec<Claimed>,
}

impl World {
    /// A server with `seats` seats of VR_MODE.
    ///
    /// # Panics
    /// If `seats` is no seat count.
    #[must_use]
    pub fn new(seats: u32) -> Self {
        let publisher = Label::lossy("acme");
        let (keys, realm) = (Keypair::generate(&mut seeded(1)), RealmId::of(&publisher));
        let ticket_keys = vec![TicketKey { id: 1, secret: [4; 32] }];
        let realms =
            vec![RealmConfig { publisher: publisher.clone(), keys: keys.clone(), site: SiteKey::OPEN, ticket_keys }];
        let config = ServerConfig { handshakes_per_second: u32::MAX, ..ServerConfig::default() };
        let shared = Shared::new(config, realms, &mut seeded(2));
        let now = Now { mono: Mono(60_000), wall: UnixMillis(1_767_614_400_000) };
        let secret = PublisherSecret::generate(&publisher, &mut seeded(3));
        shared.load(realm, vec![canonical::sign(&certificate(publisher, seats), &secret)], now);
        let engine = Engine::new(Arc::clone(&shared), Box::new(seeded(5)));
        Self { engine, shared, keys, realm, now, claims: 0, replies: Vec::new(), spare: Vec::new(), listener: None }
    }

    /// Gives the server one datagram and takes its answers.
    pub fn feed(&mut self, datagram: &mut [u8]) {
        self.feed_from(SocketAddr::from(([127, 0, 0, 1], 4000)), datagram);
    }

    const fn fresh_claim(&mut self) -> ClaimKey {
        self.claims += 1;
        ClaimKey(self.claims.to_le_bytes())
    }

    fn feed_from(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        let path = Path { from, local: None, on_link: true, broadcast: false };
        self.engine.handle_datagram(self.now, path, datagram);
        if self.engine.has_waiting() {
            while self.engine.handle_waiting(self.now) {}
        }
        while let Some(event) = self.engine.poll_event() {
            if let Some(listener) = &mut self.listener {
                listener(&event, self.now);
            }
        }
        let mut out = self.spare.pop().unwrap_or_default();
        while self.engine.poll_transmit(&mut out).is_some() {
            self.replies.push(std::mem::replace(&mut out, self.spare.pop().unwrap_or_default()));
        }
        self.spare.push(out);
    }
}

impl Pair {
    /// A client that has shaken hands.
    ///
    /// # Panics
    /// If the server does not answer as SPEC 3 says.
    pub fn connected(world: &mut World, n: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 4000));
        let (keys, server) = (Keypair::generate(&mut seeded(1000 + u64::from(n))), world.keys.public());
        let mut entropy = seeded(70_000 + u64::from(n));
        let mut info = client_info();
        info.instance = u64::from(n).to_le_bytes();
        let (mut initiator, noise) =
            Initiator::start(&keys, &server, &SiteKey::OPEN, world.realm, &info, &mut entropy).expect("a usable key");
        let mut hello = Hello1::new_zeroed();
        hello.prefix = Prefix::of(PacketType::Hello1);
        hello.realm = world.realm.0.into();
        hello.client_sid = (u32::from(n) + 1).into();
        hello.noise = noise;
        hello.mac1 = MacKey::hello(&server, &SiteKey::OPEN).of(&hello.as_bytes()[..136]);
        world.feed_from(address, &mut hello.as_bytes().to_vec());
        let retry = world.replies.pop().expect("a RETRY");
        let Ok(Packet::Retry(retry)) = packet::read_to_client(&retry) else { panic!("a RETRY") };
        hello.cookie = retry.cookie;
        world.feed_from(address, &mut hello.as_bytes().to_vec());
        let reply = world.replies.pop().expect("a HELLO2");
        let Ok(Packet::Hello2(reply)) = packet::read_to_client(&reply) else { panic!("a HELLO2") };
        let (_, keys) = initiator.finish(&reply.noise).expect("an authentic HELLO2");
        let claim = ClaimKey::random(&mut entropy);
        Self {
            address,
            keys,
            server_sid: reply.server_sid.get(),
            counter: 0,
            operation: 0,
            lease: LeaseId::NONE,
            claim,
            more: Vec::new(),
        }
    }

    /// A client that holds one seat.
    pub fn holding(world: &mut World, n: u16) -> Self {
        let mut pair = Self::connected(world, n);
        pair.check_out(world);
        pair
    }

    /// Takes `more` seats under claims of their own, and goes on with the first.
    pub fn hold_more(&mut self, world: &mut World, more: u32) {
        let first = (self.lease, self.claim);
        for _ in 0..more {
            self.claim = world.fresh_claim();
            self.check_out(world);
            self.more.push(Claimed { lease: self.lease, proof: self.claim.fold() });
        }
        (self.lease, self.claim) = first;
    }

    /// One heartbeat.
    pub fn renew(&mut self, world: &mut World) {
        let mut datagram = self.sealed_renewal();
        world.feed_from(self.address, &mut datagram);
        self.listen(world);
    }

    /// One seat taken and given back, under a fresh claim key as every checkout has.
    pub fn check_out_and_in(&mut self, world: &mut World) {
        self.claim = world.fresh_claim();
        self.check_out(world);
        let (lease, claim, operation) = (self.lease, self.claim, self.operation());
        self.ask(world, &ClientFrame::Release(Release { lease, claim, operation }), 0);
    }

    /// Asks for a seat where every one is out.
    ///
    /// # Panics
    /// If the server does not say no.
    pub fn ask_in_vain(&mut self, world: &mut World) {
        let (claim, operation) = (world.fresh_claim(), self.operation());
        let request = leasehold_protocol::message::Request { claim, operation, ..request() };
        let mut datagram = self.seal(&ClientFrame::Request(Box::new(request)), 512);
        world.feed(&mut datagram);
        let mut answer = world.replies.pop().expect("an answer");
        let plaintext = open_datagram(&self.keys.receive, &mut answer).expect("sealed for this session");
        let frame = Frames::new(plaintext).next().expect("a frame").expect("a whole frame");
        assert!(matches!(ServerFrame::decode(frame), Ok(Known::Frame(ServerFrame::Deny(_)))), "a denial");
        world.spare.push(answer);
    }

    /// A heartbeat, sealed and not sent.
    pub fn sealed_renewal(&mut self) -> Vec<u8> {
        let (lease, claim, operation) = (self.lease, self.claim, self.operation());
        self.seal(&ClientFrame::Renew(Renew { lease, claim, operation, activity: Activity::default() }), 0)
    }

    /// As many heartbeats as a frame takes, of leases from all over those it holds more; sealed and not sent.
    pub fn sealed_renewals(&mut self) -> Vec<u8> {
        let step = (self.more.len() / RENEW_MANY_MAX).max(1);
        let leases = self.more.iter().step_by(step).take(RENEW_MANY_MAX).copied().collect();
        let many = RenewMany { operation: self.operation(), activity: Activity::default(), leases };
        self.seal(&ClientFrame::RenewMany(Box::new(many)), 0)
    }

    /// Opens what the server answered and forgets it.
    ///
    /// # Panics
    /// If it does not authenticate, or says no.
    pub fn listen(&mut self, world: &mut World) {
        for mut datagram in std::mem::take(&mut world.replies) {
            let plaintext = open_datagram(&self.keys.receive, &mut datagram).expect("sealed for this session");
            for raw in Frames::new(plaintext) {
                match ServerFrame::decode(raw.expect("a whole frame")).expect("a frame") {
                    Known::Frame(ServerFrame::Grant(grant)) => self.lease = grant.lease,
                    Known::Frame(ServerFrame::Renewed(_) | ServerFrame::Released(_)) => {}
                    Known::Frame(ServerFrame::RenewedMany(said)) if said.leases.iter().all(Option::is_some) => {}
                    other => panic!("neither granted, renewed nor released: {other:?}"),
                }
            }
            world.spare.push(datagram);
        }
    }

    fn check_out(&mut self, world: &mut World) {
        let (claim, operation) = (self.claim, self.operation());
        let request = leasehold_protocol::message::Request { claim, operation, ..request() };
        self.ask(world, &ClientFrame::Request(Box::new(request)), 512);
    }

    fn ask(&mut self, world: &mut World, frame: &ClientFrame, len_min: usize) {
        let mut datagram = self.seal(frame, len_min);
        world.feed_from(self.address, &mut datagram);
        self.listen(world);
    }

    fn seal(&mut self, frame: &ClientFrame, len_min: usize) -> Vec<u8> {
        let (mut plaintext, mut out) = (Vec::with_capacity(512), Vec::with_capacity(1200));
        frame.append_to(&mut plaintext).expect("a frame that fits");
        frame::pad(&mut plaintext, len_min);
        seal_datagram(&self.keys.send, PacketType::DataToServer, self.server_sid, self.counter, &plaintext, &mut out);
        self.counter += 1;
        out
    }

    const fn operation(&mut self) -> OperationId {
        self.operation += 1;
        OperationId(self.operation)
    }
}

fn certificate(publisher: Label, seats: u32) -> Certificate {
    Certificate {
        publisher,
        feature: FeatureName::new("VR_MODE").expect("a constant name"),
        version: Version { major: 4, minor: 8, patch: 0 },
        count: SeatLimit::Counted(SeatCount::new(seats).expect("a seat count")),
        key_type: KeyType::Exclusive,
        zone: "UTC".to_owned(),
        start: None,
        end: None,
        terms: Terms::default(),
    }
}
