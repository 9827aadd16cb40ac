//! Checkouts and releases in turn: two questions a pair.

use std::{io, net::UdpSocket};

use leasehold_benches::blast::{Dialect, lane_of};
use leasehold_cli::load::lean::{Answer, Peer, ask};

use super::{
    Crowd,
    crowd::{Held, tag_of},
};

/// Clients that take a seat and give it back, over and over; one in each lane.
pub struct Pairs {
    crowd: Crowd,
    /// Of each lane.
    state: Vec<State>,
    window: usize,
}

/// Where a client is on its way.
#[derive(Clone, Copy)]
enum State {
    /// Has nothing; asks under a claim, and would hold this lease.
    Without(Held),
    /// Has a seat.
    With(Held),
}

impl Pairs {
    /// One client in each of the `window` lanes of every socket. Each has held a seat once when this returns.
    pub fn open(peer: &Peer, sockets: &[UdpSocket], window: usize) -> io::Result<Self> {
        let mut crowd = Crowd::open(peer, sockets, window)?;
        let mut state = Vec::with_capacity(crowd.len());
        for n in 0..crowd.len() {
            let socket = &sockets[n / window];
            let held = crowd.check_out(n, socket)?;
            crowd.check_in(n, socket, held)?;
            state.push(State::Without(held));
        }
        Ok(Self { crowd, state, window })
    }
}

impl Dialect for Pairs {
    fn ask(&mut self, socket: usize, tag: u16, out: &mut Vec<u8>) {
        let n = socket * self.window + lane_of(tag);
        let operation = self.crowd.operation(tag);
        match &mut self.state[n] {
            State::With(held) => {
                let held = *held;
                self.crowd.seal(n, out, |plaintext| ask::release(plaintext, operation, held.lease, &held.claim));
            }
            State::Without(held) => {
                held.claim = self.crowd.claim();
                let claim = held.claim;
                self.crowd.seal_request(n, out, operation, claim);
            }
        }
    }

    fn take(&mut self, _: usize, answer: &mut [u8]) -> Option<u16> {
        let (n, mut answers) = self.crowd.open_datagram(answer)?;
        let answer = answers.next()?;
        let tag = tag_of(answer.operation()?);
        match (answer, self.state[n]) {
            (Answer::Granted(grant), State::Without(held)) if grant.claim == held.claim => {
                self.state[n] = State::With(Held { lease: grant.lease, ..held });
            }
            (Answer::Released(_), State::With(held)) => self.state[n] = State::Without(held),
            _ => return None,
        }
        Some(tag)
    }
}
