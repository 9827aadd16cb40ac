//! A client made of protocol parts: as much as a test of the shell needs. The SDK is on the other side of the wall.

use std::{net::SocketAddr, time::Duration};

use leasehold_protocol::{
    Entropy as _,
    crypto::{
        Keypair, PublicKey, SessionKeys, SiteKey,
        mac::MacKey,
        noise::{ClientInfo, Initiator},
        open_datagram, seal_datagram,
        ticket::SealedTicket,
    },
    frame::{Frames, pad},
    message::{ClientFrame, Deny, Grant, Holder, Known, Release, Renew, Request, ServerFrame},
    packet::{Discover, Hello1, Packet, PacketType, Prefix, read_to_client},
    vocab::{ClaimKey, DeviceId, FeatureName, Label, OperationId, RealmId, SeatCount, Version},
};
use tokio::{net::UdpSocket, time::timeout};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::clock::SystemEntropy;

/// How long an answer on loopback is waited for before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Found {
    pub realm: RealmId,
    pub key: PublicKey,
    pub port: u16,
    pub from: SocketAddr,
}

pub struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    client_sid: u32,
    server_sid: u32,
    keys: SessionKeys,
    counter: u64,
}

/// Sends a DISCOVER to `to` from `socket`; the first OFFER.
pub async fn discover(socket: &UdpSocket, to: SocketAddr) -> Found {
    send_discover(socket, to).await;
    let (datagram, from) = receive(socket).await.expect("an offer");
    let Ok(Packet::Offer(offer)) = read_to_client(&datagram) else { panic!("{datagram:x?}") };
    let head = offer.head;
    Found { realm: RealmId(head.realm.get()), key: PublicKey(head.server_key), port: head.port.get(), from }
}

pub async fn send_discover(socket: &UdpSocket, to: SocketAddr) {
    socket.send_to(&a_discover(), to).await.unwrap();
}

/// A DISCOVER for any realm of an open site.
pub fn a_discover() -> Vec<u8> {
    let mut discover = Discover::new_zeroed();
    discover.prefix = Prefix::of(PacketType::Discover);
    SystemEntropy.fill(&mut discover.nonce);
    discover.versions = 2.into();
    discover.mac = MacKey::discovery(&SiteKey::OPEN).of(&discover.as_bytes()[..24]);
    discover.as_bytes().to_vec()
}

/// The next datagram, or `None` if none comes in the time an answer never takes.
pub async fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 2048];
    let (len, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.ok()?.ok()?;
    buffer.truncate(len);
    Some((buffer, from))
}

pub async fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.set_broadcast(true).unwrap();
    socket
}

impl Client {
    /// Finds the server at `server` by asking it, and shakes hands.
    pub async fn connect(server: SocketAddr) -> Self {
        let socket = socket().await;
        let found = discover(&socket, server).await;
        Self::shake_hands(socket, server, &found, &Keypair::generate(&mut SystemEntropy)).await
    }

    pub async fn shake_hands(socket: UdpSocket, server: SocketAddr, found: &Found, keys: &Keypair) -> Self {
        let (mut initiator, hello) = Self::knock(&socket, server, found, keys).await;
        socket.send_to(hello.as_bytes(), server).await.unwrap();
        let (datagram, from) = receive(&socket).await.expect("a hello2");
        assert_eq!(from, server, "the answer leaves from the address that was asked");
        let Ok(Packet::Hello2(hello2)) = read_to_client(&datagram) else { panic!("{datagram:x?}") };
        let (_, keys) = initiator.finish(&hello2.noise).unwrap();
        let (client_sid, server_sid) = (hello.client_sid.get(), hello2.server_sid.get());
        Self { socket, server, client_sid, server_sid, keys, counter: 0 }
    }

    /// A handshake up to the cookie: the HELLO1 that is returned will be answered by a session.
    pub async fn knock(socket: &UdpSocket, server: SocketAddr, found: &Found, keys: &Keypair) -> (Initiator, Hello1) {
        let info = ClientInfo { unix_ms: 0.into(), instance: [7; 8], sdk_version: 0.into(), capabilities: 0.into() };
        let (initiator, noise) =
            Initiator::start(keys, &found.key, &SiteKey::OPEN, found.realm, &info, &mut SystemEntropy).unwrap();
        let client_sid = u32::from_le_bytes(SystemEntropy.next_u64().to_le_bytes()[..4].try_into().unwrap());
        let mut hello = Hello1::new_zeroed();
        hello.prefix = Prefix::of(PacketType::Hello1);
        (hello.realm, hello.client_sid, hello.noise) = (found.realm.0.into(), client_sid.into(), noise);
        let mac = MacKey::hello(&found.key, &SiteKey::OPEN);
        hello.mac1 = mac.of(&hello.as_bytes()[..136]);
        socket.send_to(hello.as_bytes(), server).await.unwrap();
        let (datagram, _) = receive(socket).await.expect("a retry");
        let Ok(Packet::Retry(retry)) = read_to_client(&datagram) else { panic!("{datagram:x?}") };
        hello.cookie = retry.cookie;
        (initiator, hello)
    }

    pub async fn send(&mut self, frame: &ClientFrame) {
        let mut plaintext = Vec::new();
        frame.append_to(&mut plaintext).unwrap();
        pad(&mut plaintext, 512);
        let mut datagram = Vec::new();
        let kind = PacketType::DataToServer;
        seal_datagram(&self.keys.send, kind, self.server_sid, self.counter, &plaintext, &mut datagram);
        self.counter += 1;
        self.socket.send_to(&datagram, self.server).await.unwrap();
    }

    /// The next frame that is no path challenge.
    pub async fn next(&mut self) -> ServerFrame {
        loop {
            let (mut datagram, _) = receive(&self.socket).await.expect("an answer");
            let Ok(Packet::Data(header)) = read_to_client(&datagram) else { panic!("{datagram:x?}") };
            assert_eq!(header.receiver_sid.get(), self.client_sid);
            let plaintext = open_datagram(&self.keys.receive, &mut datagram).unwrap();
            for raw in Frames::new(plaintext) {
                match ServerFrame::decode(raw.unwrap()).unwrap() {
                    Known::Frame(ServerFrame::PathChallenge(_)) | Known::Unknown(_) => {}
                    Known::Frame(frame) => return frame,
                }
            }
        }
    }

    pub async fn request(&mut self, feature: &str) -> Result<Grant, Deny> {
        self.request_with(feature, ClaimKey::random(&mut SystemEntropy), None).await
    }

    pub async fn request_with(
        &mut self,
        feature: &str,
        claim: ClaimKey,
        ticket: Option<SealedTicket>,
    ) -> Result<Grant, Deny> {
        let request = Request {
            operation: OperationId(SystemEntropy.next_u64()),
            claim,
            feature: FeatureName::new(feature).unwrap(),
            version: Version::ANY,
            seats: SeatCount::ONE,
            holder: holder(),
            ticket,
        };
        self.send(&ClientFrame::Request(Box::new(request))).await;
        match self.next().await {
            ServerFrame::Grant(grant) => Ok(*grant),
            ServerFrame::Deny(deny) => Err(*deny),
            other => panic!("{other:?}"),
        }
    }

    pub async fn renew(&mut self, grant: &Grant) -> ServerFrame {
        let operation = OperationId(SystemEntropy.next_u64());
        let renew = Renew { lease: grant.lease, claim: grant.claim, operation, activity: Default::default() };
        self.send(&ClientFrame::Renew(renew)).await;
        self.next().await
    }

    pub async fn release(&mut self, grant: &Grant) -> ServerFrame {
        let operation = OperationId(SystemEntropy.next_u64());
        self.send(&ClientFrame::Release(Release { lease: grant.lease, claim: grant.claim, operation })).await;
        self.next().await
    }
}

fn holder() -> Holder {
    let label = |text| Label::new(text).unwrap();
    Holder {
        user: label("ada"),
        host: label("ws-042"),
        display: None,
        process: label("cad"),
        pid: 4121,
        project: None,
        device: DeviceId::default(),
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    }
}
