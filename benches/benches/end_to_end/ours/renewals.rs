//! Renewals, one or as many as fit into a datagram.

use std::{io, net::UdpSocket};

use leasehold_benches::blast::{Dialect, lane_of};
use leasehold_cli::load::lean::{Answer, Peer, ask};
use leasehold_protocol::{
    DecodeError, frame,
    message::{Activity, ClientFrame, Renew, Renewed, ServerFrame},
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
    /// Of each lane, how many renewals of the question with this tag wait for their answers.
    waiting: Vec<(u16, usize)>,
    /// Whose turn it is, on each socket.
    turns: Vec<usize>,
    window: usize,
    /// Of each session, whether a renewal was denied.
    denied: Vec<bool>,
}

/// Renewals that share a datagram: as many RENEW frames as fit.
pub const RENEWALS_MOST: usize = 26;

/// Appends the renewals of all `held` to `plaintext`.
fn append(
    plaintext: &mut Vec<u8>,
    held: &[Held],
    mut operations: impl Iterator<Item = OperationId>,
) -> Result<(), DecodeError> {
    held.iter()
        .zip(&mut operations)
        .try_for_each(|(held, operation)| ask::renew(plaintext, operation, held.lease, &held.claim))
}

impl Renewals {
    /// `each` of them behind every socket, with `leases` each, which has up to `window` questions out: handshakes are done
    /// and seats are taken when this returns.
    pub fn open(peer: &Peer, sockets: &[UdpSocket], window: usize, each: usize, leases: usize) -> io::Result<Self> {
        let mut crowd = Crowd::open(peer, sockets, each)?;
        let take = |n| (0..leases).map(|_| crowd.check_out(n, &sockets[n / each])).collect();
        let held = (0..sockets.len() * each).map(take).collect::<io::Result<_>>()?;
        let (turns, waiting) = (vec![0; sockets.len()], vec![(0, 0); sockets.len() * window]);
        let denied = vec![false; crowd.len()];
        Ok(Self { crowd, held, waiting, turns, window, denied })
    }

    /// Clients that have lost a lease.
    pub fn lost(&self) -> usize {
        self.denied.iter().filter(|denied| **denied).count()
    }

    /// A renewal of client `n`, sealed: what somebody on its way could have seen.
    pub fn overheard(&mut self, n: usize) -> Vec<u8> {
        let (mut datagram, operations) = (Vec::new(), self.crowd.operations(0, self.held[n].len()));
        let held = &self.held[n];
        self.crowd.seal(n, &mut datagram, |plaintext| append(plaintext, held, operations));
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
        self.waiting[socket * self.window + lane_of(tag)] = (tag, held.len());
        let operations = self.crowd.operations(tag, held.len());
        self.crowd.seal(n, out, |plaintext| append(plaintext, held, operations));
    }

    /// All answers of a datagram are to one question, and may come in more than one datagram.
    fn take(&mut self, socket: usize, answer: &mut [u8]) -> Option<u16> {
        let (n, answers) = self.crowd.open_datagram(answer)?;
        let mut whose = None;
        for answer in answers {
            let lane = answer.operation().map(tag_of).and_then(|tag| {
                let lane = self.waiting[socket * self.window..][..self.window].get_mut(lane_of(tag))?;
                Some(lane).filter(|(waits, _)| *waits == tag)
            });
            match (answer, lane) {
                (Answer::Renewed(_), Some((tag, left))) => {
                    *left = left.saturating_sub(1);
                    whose = (*left == 0).then_some(*tag);
                }
                (Answer::Denied(_), _) => self.denied[n] = true,
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
