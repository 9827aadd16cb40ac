//! Where a session's client is, and how much may be sent there (W-4, W-8).

use std::net::SocketAddr;

use leasehold_protocol::message::PathToken;

use crate::Path;

/// The address of the newest authentic datagram of a session.
///
/// An address is *proved* when something that we sent there came back: the cookie of the handshake, or the token of a
/// path challenge. To any other, no more bytes go than came from it: whoever copies a client's datagram and sends it
/// first, from an address of his choosing, must not make us shoot at it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) path: Path,
    proved: bool,
    /// Bytes that came from the address, and that went there, while it was not proved.
    received: usize,
    sent: usize,
    token: PathToken,
    /// The last address that was proved: a client that comes back to it is believed at once.
    known: SocketAddr,
}

/// What may be sent in answer to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// Anything.
    Proved,
    /// So many bytes, and a challenge with this token.
    Challenge { bytes: usize, token: PathToken },
    /// So many bytes: the datagram was overtaken by a newer one from elsewhere, and its address is not the session's.
    Overtaken { bytes: usize },
}

impl Route {
    /// The route of a session whose handshake came over `path` with a valid cookie.
    pub(crate) const fn proved(path: Path) -> Self {
        Self { known: path.from, path, proved: true, received: 0, sent: 0, token: PathToken([0; 8]) }
    }

    /// Notes an authentic datagram of `len` bytes over `path`; `is_newest` if its counter is the highest so far. Whether
    /// the session moved to another address by it. `token` is drawn for that case.
    pub(crate) fn heard(&mut self, path: Path, len: usize, is_newest: bool, token: impl FnOnce() -> PathToken) -> bool {
        let moves = is_newest && path.from != self.path.from;
        if moves {
            let proved = path.from == self.known;
            *self = Self { path, proved, received: 0, sent: 0, token: token(), known: self.known };
        }
        if path.from == self.path.from {
            self.path = path;
            self.received = self.received.saturating_add(len);
        }
        moves
    }

    /// What may be sent in answer to a datagram of `len` bytes that came over `path`.
    pub(crate) fn allowance(&self, path: &Path, len: usize) -> Allowance {
        if path.from != self.path.from {
            return if path.from == self.known { Allowance::Proved } else { Allowance::Overtaken { bytes: len } };
        }
        if self.proved {
            return Allowance::Proved;
        }
        Allowance::Challenge { bytes: self.received - self.sent.min(self.received), token: self.token }
    }

    /// Notes `len` bytes sent to the address of `path`.
    pub(crate) fn note_sent(&mut self, path: &Path, len: usize) {
        if path.from == self.path.from && !self.proved {
            self.sent = self.sent.saturating_add(len);
        }
    }

    /// Notes that `token` came from the address of `path`; whether that proves it.
    pub(crate) fn answered(&mut self, path: &Path, token: PathToken) -> bool {
        let proves = !self.proved && path.from == self.path.from && token == self.token;
        if proves {
            self.proved = true;
            self.known = path.from;
        }
        proves
    }

    /// Whether something may be sent there that nobody asked for.
    pub(crate) const fn is_proved(&self) -> bool {
        self.proved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::unicast(text.parse().unwrap())
    }

    fn token(n: u8) -> impl FnOnce() -> PathToken {
        move || PathToken([n; 8])
    }

    #[test]
    fn a_new_address_gets_no_more_than_it_sent_until_it_answers_a_challenge() {
        let (home, away) = (path("10.0.0.1:1"), path("10.9.9.9:1"));
        let mut route = Route::proved(home);
        assert_eq!(route.allowance(&home, 96), Allowance::Proved);
        assert!(route.heard(away, 96, true, token(1)));
        assert_eq!(route.allowance(&away, 96), Allowance::Challenge { bytes: 96, token: PathToken([1; 8]) });
        route.note_sent(&away, 96);
        assert!(!route.heard(away, 64, true, token(2)));
        assert_eq!(route.allowance(&away, 64), Allowance::Challenge { bytes: 64, token: PathToken([1; 8]) });
        assert!(!route.answered(&away, PathToken([2; 8])));
        assert!(!route.answered(&home, PathToken([1; 8])), "the token must come from the address itself");
        assert!(route.answered(&away, PathToken([1; 8])));
        assert_eq!(route.allowance(&away, 1), Allowance::Proved);
    }

    #[test]
    fn the_address_proved_before_is_believed_at_once() {
        let (home, away) = (path("10.0.0.1:1"), path("10.9.9.9:1"));
        let mut route = Route::proved(home);
        route.heard(away, 96, true, token(1));
        assert!(route.heard(home, 96, true, token(2)));
        assert!(route.is_proved());
    }

    #[test]
    fn an_overtaken_datagram_moves_nothing_and_is_answered_within_its_own_length() {
        let (home, away) = (path("10.0.0.1:1"), path("10.9.9.9:1"));
        let mut route = Route::proved(home);
        assert!(!route.heard(away, 96, false, token(1)));
        assert_eq!(route.allowance(&away, 96), Allowance::Overtaken { bytes: 96 });
        assert!(route.is_proved());
    }
}
