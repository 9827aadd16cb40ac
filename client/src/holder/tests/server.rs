//! A small server for these tests: the protocol's own responder, a few seats, and a script of faults. It knows nothing of
//! the real one.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use leasehold_protocol::{
    Entropy,
    crypto::{
        Keypair, PublicKey, ReplayWindow, SessionKeys, SiteKey,
        mac::{CookieSecret, MacKey},
        noise::{Responder, ServerInfo},
        open_datagram, seal_datagram,
        ticket::SealedTicket,
    },
    frame::{self, Frames},
    message::{
        Activity, Bundle, BundleItem, Claimed, ClientFrame, Deny, Extended, FeatureInfo, FeatureLine, Grant, Known,
        LetGo, LicenceInfo, LicenceLine, LicenceQuery, Proof, Queued, ReleaseOutcome, Released, RenewMany, Renewed,
        RenewedMany, Request, ServerFrame, Unsupported, Wait,
    },
    packet::{self, Discover, Hello1, Hello2, OfferHead, Packet, PacketType, Prefix, Retry},
    vocab::{ClaimKey, Denial, LeaseId, RealmId},
};
use zerocopy::{FromZeros, IntoBytes};

/// A server with a script.
pub(crate) struct TestServer {
    pub(crate) keys: Keypair,
    pub(crate) site: SiteKey,
    pub(crate) realm: RealmId,
    pub(crate) port: u16,
    pub(crate) boot_id: u64,
    pub(crate) up: bool,
    /// Believes no cookie.
    pub(crate) only_retries: bool,
    /// What PROOF shows.
    pub(crate) proof: Vec<u8>,
    pub(crate) seats: usize,
    pub(crate) ttl_ms: u32,
    pub(crate) renew_after_ms: u32,
    pub(crate) grace_ms: u32,
    /// Answers every request and renewal instead of the seats.
    pub(crate) deny: Option<(Denial, Option<u32>)>,
    /// Knows RENEW_MANY.
    pub(crate) renews_many: bool,
    /// Has queues.
    pub(crate) has_queues: bool,
    pub(crate) has_bundles: bool,
    /// How many items' answers are lost of the next bundle.
    pub(crate) items_lost: usize,
    /// Who waits in them.
    pub(crate) waiting: Vec<Request>,
    /// Changes each answer to a RENEW_MANY.
    pub(crate) spoil_many: fn(&mut RenewedMany),
    /// Changes each grant.
    pub(crate) spoil: fn(&mut Grant),
    pub(crate) features: Vec<FeatureLine>,
    /// `None`: it does not know the question.
    pub(crate) licences: Option<Vec<LicenceLine>>,
    pub(crate) features_per_page: usize,
    /// Put before the answer to each renewal that tells of idleness.
    pub(crate) reminder: Option<LetGo>,
    /// Put before the next answer.
    pub(crate) also_say: Vec<ServerFrame>,
    /// Raw frames put before every answer.
    pub(crate) raw_frame: Option<(u8, Vec<u8>)>,
    /// Every frame that arrived, datagram by datagram.
    pub(crate) heard: Vec<Vec<ClientFrame>>,
    /// Lengths of plaintexts in and out, datagram by datagram.
    pub(crate) lengths: Vec<(usize, usize)>,
    pub(crate) leases: BTreeMap<ClaimKey, LeaseId>,
    sessions: Vec<ServerSession>,
    cookies: CookieSecret,
    entropy: Box<dyn Entropy>,
    next_slot: u32,
}

struct ServerSession {
    sid: u32,
    client_sid: u32,
    client: PublicKey,
    keys: SessionKeys,
    window: ReplayWindow,
    counter: u64,
    confirmed: bool,
}

pub(crate) fn seeded(seed: u64) -> impl Entropy {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }
}

impl TestServer {
    pub(crate) fn new(seed: u64) -> Self {
        let mut entropy: Box<dyn Entropy> = Box::new(seeded(seed));
        Self {
            keys: Keypair::generate(&mut *entropy),
            site: SiteKey::OPEN,
            realm: RealmId(77),
            port: 5097,
            boot_id: seed,
            up: true,
            only_retries: false,
            proof: Vec::new(),
            seats: 10,
            ttl_ms: 297_000,
            renew_after_ms: 100_000,
            grace_ms: 0,
            deny: None,
            renews_many: true,
            has_queues: true,
            has_bundles: true,
            items_lost: 0,
            waiting: Vec::new(),
            spoil_many: |_| {},
            spoil: |_| {},
            features: Vec::new(),
            licences: None,
            features_per_page: 2,
            reminder: None,
            also_say: Vec::new(),
            raw_frame: None,
            heard: Vec::new(),
            lengths: Vec::new(),
            leases: BTreeMap::new(),
            sessions: Vec::new(),
            cookies: CookieSecret([seed as u8; 32]),
            entropy,
            next_slot: 0,
        }
    }

    /// Forgets everything but its keys and, if `keep`, its leases.
    pub(crate) fn restart(&mut self, keep: bool) {
        self.sessions.clear();
        self.boot_id += 1;
        if !keep {
            self.leases.clear();
        }
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = &ClientFrame> {
        self.heard.iter().flatten()
    }

    pub(crate) fn requests(&self) -> Vec<&Request> {
        self.frames().filter_map(|f| if let ClientFrame::Request(r) = f { Some(&**r) } else { None }).collect()
    }

    /// What it answers to one datagram.
    pub(crate) fn handle(&mut self, from: SocketAddr, bytes: &mut [u8]) -> Vec<Vec<u8>> {
        if !self.up {
            return Vec::new();
        }
        match packet::read_to_server(bytes) {
            Ok(Packet::Discover(discover)) => vec![self.offer(discover)],
            Ok(Packet::Hello1(hello)) => vec![self.hello(from, hello)],
            Ok(Packet::Data(header)) => {
                let (sid, counter) = (header.receiver_sid.get(), header.counter.get());
                self.data(sid, counter, bytes)
            }
            other => panic!("a client sent {other:?}"),
        }
    }

    pub(crate) fn offer(&self, discover: &Discover) -> Vec<u8> {
        let mut head = OfferHead::new_zeroed();
        head.prefix = Prefix::of(PacketType::Offer);
        head.realm = self.realm.0.into();
        head.nonce_echo = discover.nonce;
        head.server_id = self.boot_id.into();
        head.cluster_id = self.boot_id.into();
        head.server_key = self.keys.public().0;
        head.port = self.port.into();
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(&MacKey::discovery(&self.site).of(&bytes));
        bytes
    }

    fn hello(&mut self, from: SocketAddr, hello: &Hello1) -> Vec<u8> {
        let mac = MacKey::hello(&self.keys.public(), &self.site);
        assert!(mac.verify(&hello.as_bytes()[..136], &hello.mac1), "a HELLO1 for another server");
        let proved = self.cookies.verify(&hello.cookie, from, hello.client_sid.get(), self.realm);
        if self.only_retries || !proved {
            let mut retry = Retry::new_zeroed();
            retry.prefix = Prefix::of(PacketType::Retry);
            retry.client_sid = hello.client_sid;
            retry.mac1_echo = hello.mac1;
            retry.cookie = self.cookies.cookie(from, hello.client_sid.get(), self.realm);
            retry.tag = mac.of(&retry.as_bytes()[..40]);
            return retry.as_bytes().to_vec();
        }
        let responder =
            Responder::accept(&self.keys, &self.site, self.realm, &hello.noise, &mut *self.entropy).unwrap();
        let client = responder.client;
        let mut info = ServerInfo::new_zeroed();
        info.boot_id = self.boot_id.into();
        let (noise, keys) = responder.reply(&info).unwrap();
        let (sid, client_sid) = (self.entropy.next_u64() as u32, hello.client_sid.get());
        let window = ReplayWindow::default();
        self.sessions.push(ServerSession { sid, client_sid, client, keys, window, counter: 0, confirmed: false });
        let mut reply = Hello2::new_zeroed();
        reply.prefix = Prefix::of(PacketType::Hello2);
        reply.server_sid = sid.into();
        reply.client_sid = hello.client_sid;
        reply.noise = noise;
        reply.mac1 = mac.of(&reply.as_bytes()[..96]);
        reply.as_bytes().to_vec()
    }

    fn data(&mut self, sid: u32, counter: u64, bytes: &mut [u8]) -> Vec<Vec<u8>> {
        let Some(i) = self.sessions.iter().position(|s| s.sid == sid) else { return Vec::new() };
        let session = &mut self.sessions[i];
        let plaintext = match open_datagram(&session.keys.receive, bytes) {
            Ok(plaintext) if session.window.accept(counter) => plaintext.to_vec(),
            _ => return Vec::new(),
        };
        if !std::mem::replace(&mut session.confirmed, true) {
            // W-3: the session before ends with the first DATA under the new keys.
            let client = session.client;
            self.sessions.retain(|s| s.sid == sid || s.client != client || !s.confirmed);
        }
        let mut frames = Vec::new();
        for raw in Frames::new(&plaintext) {
            match ClientFrame::decode(raw.unwrap()).unwrap() {
                Known::Frame(frame) => frames.push(frame),
                Known::Unknown(kind) => panic!("a client sent a frame of type {kind}"),
            }
        }
        let mut answers = std::mem::take(&mut self.also_say);
        let is_idle = |activity: Activity| activity.idle_s >= 900 && !activity.busy && !activity.unsaved;
        for frame in &frames {
            if let (ClientFrame::Renew(renew), Some(reminder)) = (frame, &self.reminder)
                && is_idle(renew.activity)
            {
                answers.push(ServerFrame::LetGo(Box::new(reminder.clone())));
            }
            match frame {
                ClientFrame::Bundle(bundle) => answers.extend(self.bundle(bundle)),
                frame => answers.extend(self.answer(frame)),
            }
        }
        self.heard.push(frames);
        self.seal(sid, plaintext.len(), &answers)
    }

    fn seal(&mut self, sid: u32, asked_len: usize, answers: &[ServerFrame]) -> Vec<Vec<u8>> {
        let mut plaintext = Vec::new();
        if let Some((kind, body)) = &self.raw_frame {
            frame::append(&mut plaintext, *kind, |out| {
                out.extend_from_slice(body);
                Ok(())
            })
            .unwrap();
        }
        answers.iter().for_each(|answer| answer.append_to(&mut plaintext).unwrap());
        if plaintext.is_empty() {
            return Vec::new();
        }
        frame::pad(&mut plaintext, 0);
        self.lengths.push((asked_len, plaintext.len()));
        let Some(session) = self.sessions.iter_mut().find(|s| s.sid == sid) else { return Vec::new() };
        let mut datagram = Vec::new();
        let kind = PacketType::DataToClient;
        seal_datagram(&session.keys.send, kind, session.client_sid, session.counter, &plaintext, &mut datagram);
        session.counter += 1;
        vec![datagram]
    }

    /// Something it says to everybody without being asked.
    pub(crate) fn announce(&mut self, say: &ServerFrame) -> Vec<Vec<u8>> {
        let sids: Vec<_> = self.sessions.iter().filter(|s| s.confirmed).map(|s| s.sid).collect();
        sids.into_iter().flat_map(|sid| self.seal(sid, 0, std::slice::from_ref(say))).collect()
    }

    fn answer(&mut self, frame: &ClientFrame) -> Option<ServerFrame> {
        Some(match frame {
            ClientFrame::Request(request) => self.request(request),
            ClientFrame::Wait(_) if !self.has_queues => {
                ServerFrame::Unsupported(Unsupported { frame_type: Wait::KIND })
            }
            ClientFrame::Wait(wait) => self.queued(&wait.request),
            ClientFrame::Bundle(_) => unreachable!("answered by several frames"),
            ClientFrame::Renew(renew) if self.deny.is_none() && self.leases.get(&renew.claim) == Some(&renew.lease) => {
                let (ttl_ms, renew_after_ms) = (self.ttl_ms, self.renew_after_ms);
                let (lease, operation) = (renew.lease, renew.operation);
                ServerFrame::Renewed(Renewed { lease, operation, ttl_ms, renew_after_ms, overage: false })
            }
            ClientFrame::Renew(renew) => {
                let (code, hint) = self.deny.unwrap_or((Denial::NO_SUCH_LEASE, None));
                self.denial(renew.operation, renew.claim, code, hint)
            }
            ClientFrame::RenewMany(_) if !self.renews_many => {
                ServerFrame::Unsupported(Unsupported { frame_type: RenewMany::KIND })
            }
            ClientFrame::RenewMany(asked) => {
                let leases = asked.leases.iter().map(|one| self.extended(one)).collect();
                let mut renewed = RenewedMany { operation: asked.operation, leases };
                (self.spoil_many)(&mut renewed);
                ServerFrame::RenewedMany(Arc::new(renewed))
            }
            ClientFrame::Release(release) => {
                self.waiting.retain(|request| request.claim != release.claim);
                let freed = self.leases.remove(&release.claim).is_some();
                let outcome = if freed { ReleaseOutcome::Freed } else { ReleaseOutcome::NotHeld };
                ServerFrame::Released(Released { lease: release.lease, operation: release.operation, outcome })
            }
            ClientFrame::FeatureQuery(query) => {
                let after = |f: &&FeatureLine| query.after.as_ref().is_none_or(|after| f.name > *after);
                let all: Vec<_> = self.features.iter().filter(after).cloned().collect();
                let more = all.len() > self.features_per_page;
                let features = all.into_iter().take(self.features_per_page).collect();
                ServerFrame::FeatureInfo(Box::new(FeatureInfo { operation: query.operation, features, more }))
            }
            ClientFrame::LicenceQuery(query) => match &self.licences {
                Some(licences) => {
                    let from = |line: &&LicenceLine| query.from.as_ref().is_none_or(|from| line.feature >= *from);
                    let skip = usize::try_from(query.skip).unwrap();
                    let all: Vec<_> = licences.iter().filter(from).skip(skip).cloned().collect();
                    let more = all.len() > self.features_per_page;
                    let licences = all.into_iter().take(self.features_per_page).collect();
                    ServerFrame::LicenceInfo(Box::new(LicenceInfo { operation: query.operation, licences, more }))
                }
                None => ServerFrame::Unsupported(Unsupported { frame_type: LicenceQuery::KIND }),
            },
            ClientFrame::ProofQuery(query) => {
                ServerFrame::Proof(Proof { operation: query.operation, certificate: self.proof.clone() })
            }
            ClientFrame::Goodbye(_) | ClientFrame::PathResponse(_) => return None,
        })
    }

    fn extended(&self, one: &Claimed) -> Option<Extended> {
        let holds = |(claim, lease): (&ClaimKey, &LeaseId)| claim.fold() == one.proof && *lease == one.lease;
        let is_held = self.deny.is_none() && self.leases.iter().any(holds);
        is_held.then_some(Extended { ttl_ms: self.ttl_ms, renew_after_ms: self.renew_after_ms, overage: false })
    }

    fn request(&mut self, request: &Request) -> ServerFrame {
        if let Some((code, hint)) = self.deny {
            return self.denial(request.operation, request.claim, code, hint);
        }
        if self.leases.len() >= self.seats && !self.leases.contains_key(&request.claim) {
            return self.denial(request.operation, request.claim, Denial::NO_SEAT, Some(1_000));
        }
        self.next_slot += 1;
        let fresh = LeaseId::new(self.next_slot, 1);
        let lease = *self.leases.entry(request.claim).or_insert(fresh);
        let mut grant = Grant {
            operation: request.operation,
            claim: request.claim,
            lease,
            ttl_ms: self.ttl_ms,
            renew_after_ms: self.renew_after_ms,
            grace_ms: self.grace_ms,
            seats: request.seats,
            lots: Vec::new(),
            right_ends: None,
            ticket: SealedTicket([5; 106]),
        };
        (self.spoil)(&mut grant);
        ServerFrame::Grant(Box::new(grant))
    }

    /// All of the first alternative, or as much of it as `items_lost` leaves to come through this time.
    fn bundle(&mut self, bundle: &Bundle) -> Vec<ServerFrame> {
        if !self.has_bundles {
            return vec![ServerFrame::Unsupported(Unsupported { frame_type: Bundle::KIND })];
        }
        let items = bundle.alternatives.first().into_iter().flatten().zip(0_u8..);
        let request = |(item, index): (&BundleItem, u8)| Request {
            operation: bundle.operation,
            claim: Bundle::claim_of(bundle.claim, index),
            feature: item.feature.clone(),
            version: item.version,
            seats: item.at_least,
            holder: bundle.holder.clone(),
            ticket: None,
        };
        let requests: Vec<Request> = items.map(request).collect();
        let mut answers: Vec<ServerFrame> = requests.iter().map(|request| self.request(request)).collect();
        if answers.iter().any(|answer| matches!(answer, ServerFrame::Deny(_))) {
            answers.retain(|answer| matches!(answer, ServerFrame::Deny(_)));
            answers.truncate(1);
            requests.iter().for_each(|request| _ = self.leases.remove(&request.claim));
        }
        answers.split_off(std::mem::take(&mut self.items_lost).min(answers.len()))
    }

    fn queued(&mut self, request: &Request) -> ServerFrame {
        let denied = match self.request(request) {
            ServerFrame::Deny(deny) if deny.code == Denial::NO_SEAT => deny,
            answer => return answer,
        };
        let place = self.waiting.iter().position(|known| known.claim == request.claim);
        let place = place.unwrap_or_else(|| {
            self.waiting.push(request.clone());
            self.waiting.len() - 1
        });
        self.waiting[place] = request.clone();
        ServerFrame::Queued(Queued {
            operation: request.operation,
            claim: request.claim,
            code: denied.code,
            place: u32::try_from(place + 1).unwrap(),
            length: u32::try_from(self.waiting.len()).unwrap(),
            expected_ms: Some(7_000),
            ttl_ms: 15_000,
            ask_after_ms: 1_000,
        })
    }

    /// The grant of whoever waits first; its lease is of `ttl_ms`.
    pub(crate) fn serve_next(&mut self, ttl_ms: u32) -> ServerFrame {
        let request = self.waiting.remove(0);
        self.seats += 1;
        let ServerFrame::Grant(grant) = self.request(&request) else { panic!("not granted") };
        ServerFrame::Grant(Box::new(Grant { ttl_ms, renew_after_ms: ttl_ms / 3, ..*grant }))
    }

    fn denial(
        &self,
        operation: leasehold_protocol::vocab::OperationId,
        claim: ClaimKey,
        code: Denial,
        retry_after_ms: Option<u32>,
    ) -> ServerFrame {
        ServerFrame::Deny(Box::new(Deny {
            operation,
            claim,
            code,
            sentence: "no".into(),
            rule: String::new(),
            seats_out: 1,
            seats_total: 1,
            next_due: None,
            retry_after_ms,
        }))
    }
}
