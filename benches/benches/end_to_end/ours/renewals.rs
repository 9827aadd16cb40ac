//! Renewals: by one frame for each, or for as many as a frame takes.

use std::{io, net::UdpSocket};

use leasehold_benches::blast::Dialect;
use leasehold_cli::load::lean::{Answer, Peer, ask};
use leasehold_protocol::{
    DecodeError, frame,
    message::{Activity, Claimed, ClientFrame, Renew, Renewed, ServerFrame},
    packet::{DATA_HEADER_LEN, TAG_LEN},
    vocab::{ClaimKey, LeaseId, OperationId},
};

use super::{
    Crowd,
    crowd::{Held, tag_of},
};

/// Clients that renew.
pub struct Renewals {
    crowd: Crowd,
    /// Of each session.
    held: Vec<Vec<Held>>,
    /// Whose turn it is, on each socket.
    turns: Vec<usize>,
    /// Of each session, whether a renewal was denied.
    denied: Vec<bool>,
}

/// Appends the renewal of all `held` to `plaintext`: as a client does it, by a RENEW for one and a RENEW_MANY for more.
fn append(plaintext: &mut Vec<u8>, held: &[Held], operation: OperationId) -> Result<(), DecodeError> {
    match held {
        [one] => ask::renew(plaintext, operation, one.lease, &one.claim),
        many => {
            let claimed = |held: &Held| Claimed { lease: held.lease, proof: held.claim.fold() };
            ask::renew_many(plaintext, operation, many.iter().map(claimed))
        }
    }
}

impl Renewals {
    /// `each` of them behind every socket, with `leases` each: handshakes are done and seats are taken when this returns.
    pub fn open(peer: &Peer, sockets: &[UdpSocket], each: usize, leases: usize) -> io::Result<Self> {
        let mut crowd = Crowd::open(peer, sockets, each)?;
        let take = |n| (0..leases).map(|_| crowd.check_out(n, &sockets[n / each])).collect();
        let held = (0..sockets.len() * each).map(take).collect::<io::Result<_>>()?;
        let (turns, denied) = (vec![0; sockets.len()], vec![false; crowd.len()]);
        Ok(Self { crowd, held, turns, denied })
    }

    /// Clients that have lost a lease.
    pub fn lost(&self) -> usize {
        self.denied.iter().filter(|denied| **denied).count()
    }

    /// A renewal of client `n`, sealed: what somebody on its way could have seen.
    pub fn overheard(&mut self, n: usize) -> Vec<u8> {
        let (mut datagram, operation) = (Vec::new(), self.crowd.operation(0));
        let held = &self.held[n];
        self.crowd.seal(n, &mut datagram, |plaintext| append(plaintext, held, operation));
        datagram
    }

    /// Whose turn it is to ask on `socket`.
    fn turn(&mut self, socket: usize) -> usize {
        let each = self.crowd.len() / self.turns.len();
        let turn = &mut self.turns[socket];
        *turn = (*turn + 1) % each;
        socket * each + *turn
    }
}

impl Dialect for Renewals {
    fn ask(&mut self, socket: usize, tag: u16, out: &mut Vec<u8>) {
        let n = self.turn(socket);
        let held = &self.held[n];
        let operation = self.crowd.operation(tag);
        self.crowd.seal(n, out, |plaintext| append(plaintext, held, operation));
    }

    /// A question is a frame, and so is its answer. One that does not renew every lease is none.
    fn take(&mut self, _: usize, answer: &mut [u8]) -> Option<u16> {
        let (n, answers) = self.crowd.open_datagram(answer)?;
        let mut whose = None;
        for answer in answers {
            match answer {
                Answer::Renewed(renewed) => whose = Some(tag_of(renewed.operation)),
                Answer::RenewedMany(many) if many.leases().all(|lease| lease.is_some()) => {
                    whose = Some(tag_of(many.operation()));
                }
                Answer::RenewedMany(_) | Answer::Denied(_) => self.denied[n] = true,
                _ => {}
            }
        }
        whose
    }
}

/// How long the datagram of one renewal is, and that of its answer.
pub fn sizes() -> Result<[usize; 2], DecodeError> {
    let (lease, operation) = (LeaseId::new(1, 1), OperationId(1));
    let renew = Renew { lease, claim: ClaimKey([0; 16]), operation, activity: Activity::default() };
    let renewed = Renewed { lease, operation, ttl_ms: 1, renew_after_ms: 1, overage: false };
    let (mut there, mut back) = (Vec::new(), Vec::new());
    ClientFrame::Renew(renew).append_to(&mut there)?;
    ServerFrame::Renewed(renewed).append_to(&mut back)?;
    Ok([there, back].map(|mut plaintext| {
        frame::pad(&mut plaintext, 0);
        DATA_HEADER_LEN + plaintext.len() + TAG_LEN
    }))
}
