//! Several clients of one server, each of whom hears what is sent to him whenever it is.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use leasehold_protocol::{
    message::{ClientFrame, Deny, Grant, Queued, Release, ReleaseOutcome, ServerFrame, Wait},
    vocab::ClaimKey,
};

use super::{Client, Lot, Site};

/// One server and several clients, each of whom hears what is sent to him whenever it is.
pub struct Hall {
    pub site: Site,
    pub clients: Vec<Client>,
    pub heard: BTreeMap<SocketAddr, VecDeque<ServerFrame>>,
    /// Whether what is sent unasked gets lost.
    pub deaf: bool,
}

#[derive(Debug, PartialEq)]
pub enum Told {
    Grant(Box<Grant>),
    Queued(Queued),
    Deny(Box<Deny>),
}

impl Told {
    pub fn grant(self) -> Grant {
        match self {
            Self::Grant(grant) => *grant,
            other => panic!("a grant, not {other:?}"),
        }
    }

    pub fn queued(self) -> Queued {
        match self {
            Self::Queued(queued) => queued,
            other => panic!("a place, not {other:?}"),
        }
    }

    pub fn denied(self) -> Box<Deny> {
        match self {
            Self::Deny(deny) => deny,
            other => panic!("a denial, not {other:?}"),
        }
    }
}

impl Hall {
    pub fn new(lots: &[Lot], clients: u8) -> Self {
        let mut site = Site::new();
        site.load(lots);
        let clients = (1..=clients).map(|n| Client::connected(n, &mut site)).collect();
        Self { site, clients, heard: BTreeMap::new(), deaf: false }
    }

    pub fn hand_out(&mut self, said: Vec<(leasehold_core::Transmit, Vec<u8>)>) {
        for (to, datagram) in said {
            let client = self.clients.iter().find(|client| client.from == to.to).expect("somebody");
            let frames = client.open(&[(to, datagram)]);
            self.heard.entry(to.to).or_default().extend(frames);
        }
    }

    /// What `frame` of client `n` is answered; what others hear besides is theirs.
    pub fn ask(&mut self, n: usize, frame: &ClientFrame) -> ServerFrame {
        let datagram = self.clients[n].seal(std::slice::from_ref(frame), 512);
        let from = self.clients[n].from;
        self.heard.entry(from).or_default().clear();
        let mut said = self.site.feed(from, &datagram);
        if self.deaf {
            said.retain(|(to, _)| to.to == from);
        }
        self.hand_out(said);
        self.heard.get_mut(&from).and_then(VecDeque::pop_front).expect("an answer")
    }

    pub fn told(&mut self, n: usize, frame: &ClientFrame) -> Told {
        match self.ask(n, frame) {
            ServerFrame::Grant(grant) => Told::Grant(grant),
            ServerFrame::Queued(queued) => Told::Queued(queued),
            ServerFrame::Deny(deny) => Told::Deny(deny),
            other => panic!("{other:?}"),
        }
    }

    pub fn wait(&mut self, n: usize, claim: ClaimKey, seats: u32) -> Told {
        let request = self.clients[n].request_frame(claim, "A", seats);
        self.told(n, &ClientFrame::Wait(Box::new(Wait { request, queue_only: false })))
    }

    pub fn request(&mut self, n: usize, seats: u32) -> Told {
        let claim = self.clients[n].claim();
        let request = self.clients[n].request_frame(claim, "A", seats);
        self.told(n, &ClientFrame::Request(Box::new(request)))
    }

    /// A new claim of client `n`, in the queue for `seats`.
    pub fn queue(&mut self, n: usize, seats: u32) -> ClaimKey {
        let claim = self.clients[n].claim();
        self.wait(n, claim, seats).queued();
        claim
    }

    pub fn release(&mut self, n: usize, grant: &Grant) {
        let operation = self.clients[n].operation();
        let release = Release { lease: grant.lease, claim: grant.claim, operation };
        let ServerFrame::Released(released) = self.ask(n, &ClientFrame::Release(release)) else { panic!() };
        assert_eq!(released.outcome, ReleaseOutcome::Freed);
    }

    /// The grant that client `n` heard without asking.
    pub fn unasked(&mut self, n: usize) -> Option<Grant> {
        let from = self.clients[n].from;
        let heard = self.heard.entry(from).or_default();
        let at = heard.iter().position(|frame| matches!(frame, ServerFrame::Grant(_)))?;
        let Some(ServerFrame::Grant(grant)) = heard.remove(at) else { return None };
        Some(*grant)
    }

    /// Whether client `n` has heard a grant he did not ask for just now.
    pub fn unasked_is_there(&self, n: usize) -> bool {
        let heard = self.heard.get(&self.clients[n].from);
        heard.is_some_and(|heard| heard.iter().any(|frame| matches!(frame, ServerFrame::Grant(_))))
    }

    /// Renews what client `n` was granted unasked: it is his for good then.
    pub fn keep(&mut self, n: usize, grant: &Grant) {
        let frame = self.clients[n].renew_frame(grant.lease, grant.claim);
        let ServerFrame::Renewed(_) = self.ask(n, &frame) else { panic!("not renewed") };
    }

    pub fn advance(&mut self, ms: u64) {
        let said = self.site.advance(ms);
        self.hand_out(said);
    }
}
