//! What can go wrong, sorted by whose fault it is.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use leasehold_protocol::{
    crypto::Fingerprint,
    message::{Deny, NextDue},
    vocab::{Denial, FeatureName, NameError, NumberError, SeatCount, Version},
};

use crate::{
    address::AddressError,
    holder::{CheckoutSpec, Misbehaved, RejectReason},
};

/// Why there is no seat, or no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The server said no. An answer, not a failure: [`Denied::may_clear`] tells whether waiting can help.
    #[error("{0}")]
    Denied(Box<Denied>),
    /// No server answered in time. The request was withdrawn.
    #[error("no licence server answered within {}; {remedy}", Span(*waited))]
    Unreachable {
        /// How long it was waited for.
        waited: Duration,
        /// What to look at.
        remedy: String,
    },
    /// A server that proved itself gave an answer outside the protocol. It was discarded.
    #[error("the licence server gave an answer outside the protocol: {0}; it and this program may not fit together")]
    ServerMisbehaved(Misbehaved),
    /// The server is older than this program and does not know the question. Everything else works with it.
    #[error("this licence server is older than this program and does not tell {what}: update the server to see it")]
    Unsupported {
        /// What was asked for, in words.
        what: &'static str,
    },
    /// The program asked for something that cannot be. Found by reading code, never by bad luck on the network.
    #[error("{0}")]
    ApiMisuse(Misuse),
}

/// A request the program must not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The client was made before a fork, and its thread and keys stayed with the parent.
    #[error("this client belongs to the process before the fork: open another one in the child")]
    Forked,
    /// The client was closed.
    #[error("this client was closed: open another one")]
    Closed,
    /// Not a feature's name.
    #[error("not a feature name: {0}")]
    Feature(NameError),
    /// Not a version, or not a seat count.
    #[error("not a version or seat count: {0}")]
    Number(NumberError),
    /// A bundle of a form that cannot be asked for.
    #[error("{0}")]
    Bundle(&'static str),
    /// Nothing to ask for.
    #[error("the first of no checkouts: name at least one")]
    NoCheckout,
}

/// A server's "no", with everything it said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denied {
    /// What was asked for.
    pub feature: FeatureName,
    /// In which version.
    pub version: Version,
    /// How many seats.
    pub seats: SeatCount,
    /// Why, for programs: stable, and open to codes this build does not know.
    pub code: Denial,
    /// Why, for people, in the server's words.
    pub sentence: String,
    /// The rule that decided; empty if the server does not say.
    pub rule: String,
    /// Seats out in that moment.
    pub seats_out: u32,
    /// Seats there are.
    pub seats_total: u32,
    /// Who is due back next, as far as policy lets us see.
    pub next_due: Option<NextDue>,
    /// When asking again makes sense; `None` if waiting cannot help.
    pub retry_after: Option<Duration>,
}

impl Denied {
    /// A denial by a licence file on this machine.
    #[cfg(feature = "tokio")]
    pub(crate) fn local(spec: &CheckoutSpec, code: Denial, sentence: String) -> Self {
        Self {
            feature: spec.feature.clone(),
            version: spec.version,
            seats: spec.seats,
            code,
            sentence,
            rule: "a licence file on this machine".to_owned(),
            seats_out: 0,
            seats_total: 0,
            next_due: None,
            retry_after: None,
        }
    }

    /// The denial of what `spec` asked for: what a program that drives a [`Holder`](crate::holder::Holder) itself shows.
    #[must_use]
    pub fn new(spec: &CheckoutSpec, deny: Deny) -> Self {
        Self {
            feature: spec.feature.clone(),
            version: spec.version,
            seats: spec.seats,
            code: deny.code,
            sentence: deny.sentence,
            rule: deny.rule,
            seats_out: deny.seats_out,
            seats_total: deny.seats_total,
            next_due: deny.next_due,
            retry_after: deny.retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
        }
    }

    /// Whether waiting can help without anybody changing a licence or a policy. The server's own hint decides, unless this build knows
    /// that the code never passes: three seats above a limit of two are denied as long as they are asked for (SPEC 5.6).
    #[must_use]
    pub const fn may_clear(&self) -> bool {
        self.retry_after.is_some() && (self.code.may_clear() || self.code.name().is_none())
    }

    /// When asking again makes sense; `None` if waiting cannot help.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.feature)?;
        if self.version != Version::ANY {
            write!(f, " {}", self.version)?;
        }
        let plural = if self.seats == SeatCount::ONE { "" } else { "s" };
        write!(f, ", {} seat{plural}: denied, {}", self.seats, self.code)?;
        if !self.sentence.is_empty() {
            write!(f, ": {}", self.sentence.trim_end_matches('.'))?;
        }
        if self.seats_total > 0 {
            write!(f, "; {} of {} seats are out", self.seats_out, self.seats_total)?;
        }
        if !self.rule.is_empty() {
            write!(f, "; decided by {}", self.rule)?;
        }
        if let Some(next) = &self.next_due {
            write_next_due(f, next)?;
        }
        self.retry_after.map_or(Ok(()), |after| write!(f, "; ask again in {}", Span(after)))
    }
}

fn write_next_due(f: &mut fmt::Formatter<'_>, next: &NextDue) -> fmt::Result {
    f.write_str("; next due back")?;
    match (&next.user, &next.host) {
        (Some(user), Some(host)) => write!(f, " from {user} on {host}")?,
        (Some(one), None) | (None, Some(one)) => write!(f, " from {one}")?,
        (None, None) => {}
    }
    write!(f, " in {} unless renewed", Span(Duration::from_millis(next.in_ms.into())))
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answered anywhere.
    #[error(
        "no licence server answered within {}; tried {}; start one with `leasehold serve`, or name one: \
         LEASEHOLD_SERVER=host[:port]",
        Span(*waited),
        Several(tried)
    )]
    NotFound {
        /// Everything that was tried, in words.
        tried: Vec<String>,
        /// How long.
        waited: Duration,
    },
    /// Servers answered, and none of them is one to trust.
    #[error("the licence server at {address} is not used: {why}; ask its administrator, or name another server")]
    NotTrusted {
        /// Where one is.
        address: SocketAddr,
        /// Why not.
        why: RejectReason,
    },
    /// A server has another key than the one written beside its address.
    #[error(
        "the licence server at {address} has the key {found}, and {expected} is pinned for it; if its key was changed \
         on purpose, change the fingerprint after the # of its address"
    )]
    PinnedKeyDiffers {
        /// Where it is.
        address: SocketAddr,
        /// The pinned fingerprint.
        expected: Fingerprint,
        /// The one it has.
        found: Fingerprint,
    },
    /// A server has another key than when it was first seen.
    #[error(
        "the licence server {server} has the key {found} and had {expected} when it was first seen; if its key was \
         changed on purpose, remove its line from {}", file.display()
    )]
    ServerKeyChanged {
        /// As `known_servers` names it.
        server: String,
        /// The remembered fingerprint.
        expected: Fingerprint,
        /// The one it has now.
        found: Fingerprint,
        /// The file that remembers.
        file: PathBuf,
    },
    /// A server's name or address makes no sense.
    #[error("{from} names a server that cannot be: {error}")]
    Address {
        /// Who says so: the program, or `LEASEHOLD_SERVER`.
        from: &'static str,
        /// What is wrong.
        error: AddressError,
    },
    /// The operating system refuses what a client needs.
    #[error("the operating system refuses {what}: {error}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What it said.
        error: std::io::Error,
    },
}

/// A duration as people say it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (0, ms) => write!(f, "{ms} ms"),
            (s @ 1..=9, ms) if ms >= 100 => write!(f, "{s}.{} s", ms / 100),
            (s @ 0..=119, _) => write!(f, "{s} s"),
            (s, _) if s < 7_200 => write!(f, "{} min", s / 60),
            (s, _) => write!(f, "{} h", s / 3_600),
        }
    }
}

/// A list as people read it.
struct Several<'a>(&'a [String]);

impl fmt::Display for Several<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("nothing") } else { f.write_str(&self.0.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_what_was_asked_what_there_is_and_what_to_do() {
        let denied = Denied {
            feature: FeatureName::new("VR_MODE").unwrap(),
            version: "4.8".parse().unwrap(),
            seats: SeatCount::new(2).unwrap(),
            code: Denial::NO_SEAT,
            sentence: "every seat is out.".into(),
            rule: String::new(),
            seats_out: 5,
            seats_total: 5,
            next_due: Some(NextDue { user: None, host: None, in_ms: 130_000 }),
            retry_after: Some(Duration::from_millis(1_500)),
        };
        assert_eq!(
            denied.to_string(),
            "VR_MODE 4.8, 2 seats: denied, no-seat: every seat is out; 5 of 5 seats are out; next due back in 2 min \
             unless renewed; ask again in 1.5 s"
        );
        assert!(denied.may_clear());
        let never = Denied { code: Denial::LIMIT_REACHED, retry_after: None, ..denied.clone() };
        assert!(!never.may_clear(), "more than the limit is denied for good");
        let newer = Denied { code: Denial(900), ..denied };
        assert!(newer.may_clear(), "the server's hint decides for a code we do not know");
        assert!(newer.to_string().contains("denial-900"));
    }
}
