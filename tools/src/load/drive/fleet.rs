//! The clients of one thread and their sessions, which stay open from phase to phase.

use std::{net::SocketAddr, sync::atomic::Ordering};

use leasehold_protocol::{Entropy, crypto::Keypair, vocab::ClaimKey};
use leasehold_server::{clock::SystemEntropy, clock_now};

use super::{
    Driver, HANDSHAKES, Stage,
    flight::What,
    net::{self, Inlet, Outlet},
};
use crate::{
    exit::{Exit, Failure},
    load::lean::{Opening, Peer, Session, Spent, Step},
};

/// What a fleet is made for.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// The server.
    pub server: SocketAddr,
    /// Its key, realm and site.
    pub peer: Peer,
    /// Sockets the clients share.
    pub sockets: usize,
    /// Addresses to send from.
    pub sources: Vec<std::net::IpAddr>,
}

/// The clients of one thread.
pub struct Fleet {
    pub(super) clients: Vec<Client>,
    pub(super) inlet: Inlet,
    pub(super) outlet: Outlet,
}

/// A client: a key, a session, a socket it shares.
pub struct Client {
    link: Link,
    /// Its socket.
    pub(super) socket: usize,
    /// The claim its greeting releases: of no lease, ever.
    pub(super) greeting: ClaimKey,
}

enum Link {
    Closed,
    Opening { opening: Box<Opening>, next: u64, tries: u8 },
    Open(Box<Session>),
}

/// The low bits of a session id are the client's place in its thread; the others are random.
const INDEX_BITS: u32 = 20;
/// Waits after each HELLO1; after the last the server is taken for dead (SPEC 9.4, for one that has been heard).
const HELLO_WAITS_US: [u64; 6] = [250_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 4_000_000];

/// The most clients in one thread.
pub const CLIENTS_MAX: u32 = 1 << INDEX_BITS;

/// Which client of its thread a session id is of.
pub const fn index_of(sid: u32) -> u32 {
    sid & (CLIENTS_MAX - 1)
}

impl Fleet {
    /// `clients` clients without sessions.
    ///
    /// # Errors
    /// If the system has not enough sockets.
    pub fn new(plan: &FleetPlan, clients: u32) -> Result<Self, Failure> {
        let (inlet, outlet) = net::open(plan.server, plan.sockets, &plan.sources)?;
        let client = |i: u32| Client {
            link: Link::Closed,
            socket: i as usize % plan.sockets,
            greeting: ClaimKey::random(&mut SystemEntropy),
        };
        Ok(Self { clients: (0..clients).map(client).collect(), inlet, outlet })
    }
}

impl Client {
    /// Whether its session is open.
    pub const fn is_open(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    /// Its session's id.
    pub fn sid(&self) -> Option<u32> {
        match &self.link {
            Link::Closed => None,
            Link::Opening { opening, .. } => Some(opening.sid()),
            Link::Open(session) => Some(session.sid()),
        }
    }

    /// Seals a plaintext in its session; `None` without one.
    pub fn seal(&mut self, plaintext: &[u8], datagram: &mut Vec<u8>) -> Option<Result<(), Spent>> {
        match &mut self.link {
            Link::Open(session) => Some(session.seal(plaintext, datagram)),
            _ => None,
        }
    }

    /// Opens a datagram of its session.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        match &mut self.link {
            Link::Open(session) => session.open(datagram),
            _ => None,
        }
    }
}

impl Driver {
    /// Begins the handshakes that are due, and sends those again that wait.
    pub(super) fn open_sessions(&mut self) -> Result<(), Failure> {
        let due = self.sessions_due();
        while self.opened < due && self.opened - self.greeted < HANDSHAKES {
            let index = self.opened;
            self.opened += 1;
            match self.clients[index as usize].link {
                Link::Open(_) => self.greeted(),
                _ => self.open_session(index)?,
            }
        }
        if self.greeted == self.task.clients {
            self.opening = Vec::new();
            self.stage = Stage::Filling(self.task.mix.filled(self.task.clients * self.task.leases_per_client));
            return Ok(());
        }
        self.hello_again()
    }

    /// How many clients should have begun by now.
    fn sessions_due(&self) -> u32 {
        let (ramp, all) = (super::micros(self.task.ramp), u64::from(self.task.clients));
        let due = if self.now >= ramp { all } else { (self.now * all / ramp.max(1) + 1).min(all) };
        u32::try_from(due).unwrap_or(u32::MAX)
    }

    fn open_session(&mut self, index: u32) -> Result<(), Failure> {
        let mut entropy = SystemEntropy;
        let keys = Keypair::generate(&mut entropy);
        let sid = (u32::from_le_bytes(first_half(entropy.next_u64())) & !(CLIENTS_MAX - 1)) | index;
        // 0 is no session id.
        let sid = if sid == 0 { CLIENTS_MAX } else { sid };
        let instance = entropy.next_u64().to_le_bytes();
        let opening = Opening::named(sid, &self.task.peer, &keys, instance, clock_now().wall, &mut entropy);
        let opening = opening.map_err(|e| Failure::new("the server's key is no key").because_of(&e))?;
        let client = &mut self.clients[index as usize];
        self.outlet.push(client.socket, opening.hello());
        client.link = Link::Opening { opening: Box::new(opening), next: self.now + HELLO_WAITS_US[0], tries: 1 };
        self.opening.push(index);
        Ok(())
    }

    /// Sends HELLO1 again where nothing came back.
    fn hello_again(&mut self) -> Result<(), Failure> {
        let clients = &self.clients;
        self.opening.retain(|index| matches!(clients[*index as usize].link, Link::Opening { .. }));
        for index in &self.opening {
            let client = &mut self.clients[*index as usize];
            let Link::Opening { opening, next, tries } = &mut client.link else { continue };
            if self.now < *next {
                continue;
            }
            let Some(wait) = HELLO_WAITS_US.get(usize::from(*tries)) else { return Err(no_session()) };
            (*next, *tries) = (self.now + wait, *tries + 1);
            self.recorder.tally.counts.retries += 1;
            self.outlet.push(client.socket, opening.hello());
        }
        Ok(())
    }

    /// Takes a datagram of a handshake.
    pub(super) fn shake(&mut self, index: u32, datagram: &[u8]) {
        let client = &mut self.clients[index as usize];
        let Link::Opening { opening, .. } = &mut client.link else { return };
        match opening.handle(datagram) {
            Step::Ignored => {}
            Step::Again => self.outlet.push(client.socket, opening.hello()),
            Step::Open(session) => {
                client.link = Link::Open(Box::new(session));
                self.recorder.tally.counts.connects += 1;
                // The server forgets a session that says nothing.
                self.start(What::Greeting, index, self.now, false);
            }
        }
    }

    /// A client's session works.
    pub(super) fn greeted(&mut self) {
        self.greeted += 1;
        self.task.shared.settled.fetch_add(1, Ordering::Relaxed);
    }
}

fn no_session() -> Failure {
    Failure::new("the server does not answer a handshake")
        .exit(Exit::UNREACHABLE)
        .because("it limits handshakes, those of one network too, and drops the others in silence")
        .remedy("open the sessions more slowly: --ramp 60s")
}

fn first_half(n: u64) -> [u8; 4] {
    let b = n.to_le_bytes();
    [b[0], b[1], b[2], b[3]]
}
