//! HELLO1s that wait their turn.
//!
//! A handshake costs as much as hundreds of renewals, and anybody who knows the server can ask for one. So a HELLO1 whose mac
//! is right is put aside, and a few are
//! answered between two batches of everything else: whoever holds a seat already is served first, whatever is asked at
//! the door. Where more come than can be answered the oldest go: their clients have asked again, or will.

use std::collections::VecDeque;

use leasehold_protocol::{packet::Hello1, time::Mono};

use crate::Path;

/// HELLO1s that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<Asked>);

/// One of them.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) at: Mono,
    pub(super) path: Path,
    /// As an index.
    pub(super) realm: usize,
    pub(super) hello: Hello1,
}

/// How many may wait: the handshakes one core does in a tenth of a second, in 60 KB.
const WAITING_MAX: usize = 256;
/// A HELLO1 that waited longer is not worth an answer, in milliseconds: its client asks again after half a second.
const PATIENCE_MS: u64 = 500;
/// What one turn may cost, in checks of a cookie: some 20 µs, or one handshake.
pub(super) const TURN: usize = 16;

impl Waiting {
    /// Puts `asked` behind the others; how many had to go for it.
    pub(super) fn push(&mut self, asked: Asked) -> usize {
        let full = self.0.len() >= WAITING_MAX;
        if full {
            self.0.pop_front();
        }
        self.0.push_back(asked);
        usize::from(full)
    }

    /// Takes the oldest that is still worth an answer, and says how many were not.
    pub(super) fn pop(&mut self, now: Mono) -> (usize, Option<Asked>) {
        let fresh = self.0.iter().position(|asked| now.ms_since(asked.at) < PATIENCE_MS);
        let stale = fresh.unwrap_or(self.0.len());
        self.0.drain(..stale);
        (stale, self.0.pop_front())
    }

    /// Since when the oldest waits.
    pub(super) fn since(&self) -> Option<Mono> {
        self.0.front().map(|asked| asked.at)
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn asked(at: u64) -> Asked {
        let path = Path::unicast(([10, 0, 0, 1], 4000).into());
        Asked { at: Mono(at), path, realm: 0, hello: Hello1::new_zeroed() }
    }

    #[test]
    fn the_oldest_go_first_and_go_away_first() {
        let mut waiting = Waiting::default();
        let shed: usize = (0..=WAITING_MAX as u64 + 1).map(|at| waiting.push(asked(at))).sum();
        assert_eq!((shed, waiting.since()), (2, Some(Mono(2))));
        let (stale, next) = waiting.pop(Mono(PATIENCE_MS + 4));
        assert_eq!((stale, next.map(|asked| asked.at)), (3, Some(Mono(5))));
        let (stale, next) = waiting.pop(Mono(10 * PATIENCE_MS));
        assert_eq!((stale, next.is_none(), waiting.since()), (WAITING_MAX - 4, true, None));
    }
}
