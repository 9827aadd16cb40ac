//! A client that shakes hands by the rules and then says what it likes.

use std::{net::SocketAddr, sync::OnceLock};

use leasehold_protocol::{
    crypto::{
        Keypair, SessionKeys, SiteKey,
        mac::MacKey,
        noise::{ClientInfo, Initiator},
        open_datagram, seal_datagram,
        ticket::SealedTicket,
    },
    frame::{self, Frames},
    message::{
        Activity, Claimed, ClientFrame, ClientGoodbye, FeatureQuery, Holder, Known, LicenceQuery, PathToken,
        ProofQuery, Release, Renew, RenewMany, Request, ServerFrame,
    },
    packet::{self, Discover, Hello1, PLAINTEXT_MAX, Packet, PacketType, Prefix},
    time::Now,
    vocab::{ClaimKey, DeviceId, FeatureName, Label, LeaseId, OperationId, RealmId, SeatCount, Version},
};
use zerocopy::{FromZeros, IntoBytes};

use super::{ADDRESSES, publisher, server_keys, twin::Twin};
use crate::chance::{Chance, counting};

/// Sessions a client remembers and may go back to.
const SESSIONS_MAX: usize = 3;
/// Claim keys there are: few, so that clients meet on them.
const CLAIMS: usize = 5;

pub struct Client {
    number: u8,
    /// Where it sends from, as an index of the addresses.
    pub at: usize,
    site: SiteKey,
    hello: Option<Hello>,
    /// Newest first.
    sessions: Vec<Session>,
    next_sid: u32,
    tickets: [Option<SealedTicket>; CLAIMS],
    leases: [LeaseId; CLAIMS],
    token: PathToken,
    /// Where `token` was heard.
    pub challenged_at: Option<SocketAddr>,
}

struct Hello {
    initiator: Initiator,
    packet: Hello1,
    cookie_is_new: bool,
}

struct Session {
    client_sid: u32,
    server_sid: u32,
    keys: SessionKeys,
    counter: u64,
}

fn device_keys(number: u8) -> &'static Keypair {
    static KEYS: OnceLock<[Keypair; 3]> = OnceLock::new();
    // The third client is the first one's device in another process.
    &KEYS.get_or_init(|| [0x11, 0x12, 0x11].map(|byte| Keypair::from_private([byte; 32])))[usize::from(number)]
}

/// The claim key of a number. One byte alone: what a renewal shows of a key is folded, and equal halves would cancel out.
fn claim(n: usize) -> ClaimKey {
    let mut key = [0; 16];
    key[0] = u8::try_from(n).expect("small");
    ClaimKey(key)
}

impl Client {
    pub fn new(number: u8, site: SiteKey) -> Self {
        Self {
            number,
            at: number.into(),
            site,
            hello: None,
            sessions: Vec::new(),
            next_sid: 1 + u32::from(number) * 1_000,
            tickets: [None; CLAIMS],
            leases: [LeaseId::NONE; CLAIMS],
            token: PathToken([0; 8]),
            challenged_at: None,
        }
    }

    pub fn forget_sessions(&mut self) {
        self.hello = None;
    }

    /// Who it is, as leases tell: clients of one device key are one.
    pub fn fingerprint(&self) -> leasehold_protocol::crypto::Fingerprint {
        device_keys(self.number).public().fingerprint()
    }

    /// A first HELLO1. `stale`: with a cookie that is no good.
    pub fn hello1(&mut self, now: Now, stale: bool) -> Vec<u8> {
        let info = ClientInfo {
            unix_ms: now.wall.0.into(),
            instance: [self.number; 8],
            sdk_version: 0.into(),
            capabilities: 0.into(),
        };
        self.next_sid += 1;
        let entropy = &mut counting(u64::from(self.next_sid));
        let (server, realm) = (server_keys().public(), RealmId::of(&publisher()));
        let (initiator, noise) =
            Initiator::start(device_keys(self.number), &server, &self.site, realm, &info, entropy).expect("good keys");
        let mut packet = Hello1::new_zeroed();
        packet.prefix = Prefix::of(PacketType::Hello1);
        (packet.realm, packet.client_sid, packet.noise) = (realm.0.into(), self.next_sid.into(), noise);
        packet.mac1 = self.mac().of(&packet.as_bytes()[..136]);
        packet.cookie = if stale { [7; 16] } else { [0; 16] };
        let bytes = packet.as_bytes().to_vec();
        self.hello = Some(Hello { initiator, packet, cookie_is_new: false });
        bytes
    }

    /// The same HELLO1 with the cookie of a RETRY that came.
    pub fn hello1_again(&mut self) -> Option<Vec<u8>> {
        let hello = self.hello.as_mut().filter(|hello| hello.cookie_is_new)?;
        hello.cookie_is_new = false;
        Some(hello.packet.as_bytes().to_vec())
    }

    fn mac(&self) -> MacKey {
        MacKey::hello(&server_keys().public(), &self.site)
    }

    /// Seals `plaintext`, padded, under the newest session or the one `age` before it.
    pub fn seal(&mut self, mut plaintext: Vec<u8>, age: usize) -> Option<Vec<u8>> {
        frame::pad(&mut plaintext, 0);
        let session = self.sessions.get_mut(age)?;
        let mut out = Vec::new();
        let sid = session.server_sid;
        seal_datagram(&session.keys.send, PacketType::DataToServer, sid, session.counter, &plaintext, &mut out);
        session.counter += 1;
        Some(out)
    }

    pub fn seal_frames(&mut self, frames: &[ClientFrame], chance: &mut Chance<'_>) -> Option<Vec<u8>> {
        let mut plaintext = Vec::new();
        for frame in frames {
            let _ = frame.append_to(&mut plaintext);
        }
        frame::pad(&mut plaintext, chance.one_of(&[0, 0, 512, PLAINTEXT_MAX]));
        let age = if chance.below(8) == 7 { chance.below(SESSIONS_MAX) } else { 0 };
        if chance.below(16) == 15
            && let Some(session) = self.sessions.get_mut(age)
        {
            // Some of its datagrams were lost.
            session.counter += u64::from(chance.byte());
        }
        self.seal(plaintext, age)
    }

    /// A frame about one of the claims, which may be another client's.
    pub fn any_frame(&self, chance: &mut Chance<'_>, twin: &Twin) -> ClientFrame {
        let n = chance.below(CLAIMS);
        let operation = OperationId(u64::from(chance.byte() % 16));
        let lease = match chance.byte() % 8 {
            0 => LeaseId::NONE,
            1 => LeaseId(chance.u64()),
            2 => twin.some_lease(chance.byte()),
            _ => self.leases[n],
        };
        match chance.byte() % 12 {
            0..=4 => ClientFrame::Request(Box::new(self.request(n, operation, chance))),
            5 | 6 => {
                let how = chance.byte();
                let activity = Activity { idle_s: 3, busy: how & 1 == 1, unsaved: false };
                match how & 2 == 2 {
                    true => ClientFrame::RenewMany(Box::new(self.renew_many((n, lease), operation, activity))),
                    false => ClientFrame::Renew(Renew { lease, claim: claim(n), operation, activity }),
                }
            }
            7 | 8 => ClientFrame::Release(Release { lease, claim: claim(n), operation }),
            9 => {
                let name = |chance: &mut Chance<'_>| if chance.coin() { FeatureName::new("MESH").ok() } else { None };
                let (only, from) = (name(chance), name(chance));
                match chance.coin() {
                    true => ClientFrame::FeatureQuery(FeatureQuery { operation, only, after: from }),
                    false => {
                        ClientFrame::LicenceQuery(LicenceQuery { operation, only, from, skip: chance.below(3) as u32 })
                    }
                }
            }
            10 if chance.below(4) == 3 => ClientFrame::Goodbye(ClientGoodbye),
            10 => ClientFrame::ProofQuery(ProofQuery { operation }),
            _ if chance.below(8) == 7 => ClientFrame::PathResponse(PathToken(chance.array())),
            _ => ClientFrame::PathResponse(self.token),
        }
    }

    /// A frame for all its claims, and `lease` under claim `n`, which may be one of them once more.
    fn renew_many(&self, (n, lease): (usize, LeaseId), operation: OperationId, activity: Activity) -> RenewMany {
        let claimed = |(n, lease): (usize, LeaseId)| Claimed { lease, proof: claim(n).fold() };
        let leases = self.leases.iter().copied().enumerate().chain([(n, lease)]).map(claimed).collect();
        RenewMany { operation, activity, leases }
    }

    /// Whether `token` is the one it was last challenged with.
    pub fn knows(&self, token: PathToken) -> bool {
        token == self.token
    }

    fn request(&self, n: usize, operation: OperationId, chance: &mut Chance<'_>) -> Request {
        let word = |text: &str| Label::lossy(text);
        let ticket = match chance.byte() % 4 {
            0 => None,
            1 => Some(SealedTicket([chance.byte(); 106])),
            _ => self.tickets[n],
        };
        Request {
            operation,
            claim: claim(n),
            feature: FeatureName::new(chance.one_of(&["VR", "VR", "VR", "MESH", "NONE"])).expect("a name"),
            version: Version { major: chance.one_of(&[0, 0, 4, 5]), minor: 0, patch: 0 },
            seats: SeatCount::new(chance.one_of(&[1, 1, 1, 2, 3, 4, 0x7fff_ffff])).expect("a count"),
            holder: Holder {
                user: word("ada"),
                host: word("ws"),
                display: None,
                process: word("render"),
                pid: 1,
                project: None,
                device: DeviceId([self.number; 16]),
                device_alias: None,
                share: None,
                hostids: Vec::new(),
            },
            ticket,
        }
    }

    /// Hears a datagram that the server sent to `to`, if it listens there.
    pub fn hear(&mut self, to: SocketAddr, bytes: &[u8], twin: &mut Twin) {
        if to != ADDRESSES[self.at] {
            return;
        }
        match packet::read_to_client(bytes) {
            Ok(Packet::Retry(retry)) => {
                let mac = self.mac();
                let Some(hello) = &mut self.hello else { return };
                if retry.client_sid == hello.packet.client_sid && retry.mac1_echo == hello.packet.mac1 {
                    assert!(mac.verify(&retry.as_bytes()[..40], &retry.tag));
                    (hello.packet.cookie, hello.cookie_is_new) = (retry.cookie, true);
                }
            }
            Ok(Packet::Hello2(reply)) => {
                let Some(hello) = &mut self.hello else { return };
                if reply.client_sid != hello.packet.client_sid {
                    return;
                }
                // A second answer to one HELLO1 is no answer any more.
                let Ok((_, keys)) = hello.initiator.finish(&reply.noise) else { return };
                let (client_sid, server_sid) = (reply.client_sid.get(), reply.server_sid.get());
                self.sessions.insert(0, Session { client_sid, server_sid, keys, counter: 0 });
                self.sessions.truncate(SESSIONS_MAX);
                self.hello = None;
            }
            Ok(Packet::Data(header)) => self.on_data(header.receiver_sid.get(), to, bytes, twin),
            _ => {}
        }
    }

    fn on_data(&mut self, sid: u32, to: SocketAddr, bytes: &[u8], twin: &mut Twin) {
        let Some(session) = self.sessions.iter().find(|session| session.client_sid == sid) else { return };
        let mut copy = bytes.to_vec();
        // Of two sessions that one HELLO1 led to, this client knows the keys of one.
        let Ok(plaintext) = open_datagram(&session.keys.receive, &mut copy) else { return };
        for raw in Frames::new(plaintext) {
            let frame = ServerFrame::decode(raw.expect("a server writes whole frames")).expect("and good bodies");
            let Known::Frame(frame) = frame else { panic!("a server writes frames of version 1") };
            self.on_frame(frame, to, twin);
        }
    }

    fn on_frame(&mut self, frame: ServerFrame, to: SocketAddr, twin: &mut Twin) {
        match frame {
            ServerFrame::Grant(grant) => {
                let n = usize::from(grant.claim.0[0]);
                self.leases[n] = grant.lease;
                self.tickets[n] = Some(grant.ticket);
                twin.told(&grant);
            }
            ServerFrame::PathChallenge(token) => {
                (self.token, self.challenged_at) = (token, Some(to));
            }
            _ => {}
        }
    }
}

/// A DISCOVER of somebody who knows the site.
pub fn discover(realm: RealmId, site: &SiteKey, nonce: [u8; 8]) -> Vec<u8> {
    let mut discover = Discover::new_zeroed();
    discover.prefix = Prefix::of(PacketType::Discover);
    (discover.realm, discover.nonce, discover.versions) = (realm.0.into(), nonce, 2.into());
    discover.mac = MacKey::discovery(site).of(&discover.as_bytes()[..24]);
    discover.as_bytes().to_vec()
}
