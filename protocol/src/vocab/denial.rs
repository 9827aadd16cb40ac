//! Answers of "no".

use std::fmt;

use bincode::{Decode, Encode};

/// Why a request was answered "no" (R-11, SPEC 5.6). An open `u16` space: a code this build does not know is kept and
/// printed, because an old client must be able to say what a newer server said. A denial is an answer, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Denial(pub u16);

macro_rules! denials {
    ($($name:ident = $code:literal, $word:literal, $clears:literal, $doc:literal;)*) => {
        impl Denial {
            $(#[doc = $doc] pub const $name: Self = Self($code);)*

            /// Every code this build knows, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code's name in lower case with hyphens, as logs, JSON and exit messages print it; `None` for a code
            /// from a newer server.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($code => Some($word),)* _ => None }
            }

            /// What the code says, one sentence; `None` for a code from a newer server.
            #[must_use]
            pub const fn meaning(self) -> Option<&'static str> {
                match self.0 { $($code => Some($doc),)* _ => None }
            }

            /// Whether waiting can help without anybody changing a licence or a policy. Unknown codes say no.
            #[must_use]
            pub const fn may_clear(self) -> bool {
                match self.0 { $($code => $clears,)* _ => false }
            }
        }
    };
}

denials! {
    NO_SUCH_FEATURE = 1, "no-such-feature", false, "No certificate names this feature.";
    VERSION_TOO_HIGH = 2, "version-too-high", false, "There are rights, all of a lower version than wanted.";
    NOT_STARTED = 3, "not-started", true, "The right begins later.";
    EXPIRED = 4, "expired", false, "The right has ended.";
    NO_SEAT = 5, "no-seat", true, "Every seat is out.";
    TOO_MANY_SEATS = 6, "too-many-seats", false, "More seats were asked for than there are in all.";
    RESERVED = 7, "reserved", true, "The free seats are withheld for others.";
    EXCLUDED = 8, "excluded", false, "A rule excludes this holder.";
    NOT_INCLUDED = 9, "not-included", false, "An include rule exists and this holder is not in it.";
    LIMIT_REACHED = 10, "limit-reached", true, "A limit for this user, host or group is reached.";
    HOSTID_MISMATCH = 11, "hostid-mismatch", false, "The right is locked to another machine.";
    VM_NOT_ALLOWED = 12, "vm-not-allowed", false, "The right does not run in virtual machines.";
    PLATFORM = 13, "platform", false, "The right is for another platform.";
    ZONE = 14, "zone", false, "The right is for another time zone.";
    CLOCK = 15, "clock", false, "The server's or the client's clock is not believable.";
    QUEUE_FULL = 16, "queue-full", true, "The queue has no place left.";
    TOO_MANY_LEASES = 17, "too-many-leases", true, "The server holds as many leases as it was given room for.";
    NOT_LEADER = 18, "not-leader", true, "Another server of the cluster answers this.";
    SHUTTING_DOWN = 19, "shutting-down", true, "The server is going away; try again or try another.";
    BORROW_NOT_ALLOWED = 20, "borrow-not-allowed", false, "Policy or the certificate forbids borrowing.";
    WRONG_KEYWORD = 21, "wrong-keyword", false, "The borrow keyword is not right, or none was needed.";
    NOT_ASSIGNED = 22, "not-assigned", false, "A named right that is assigned to somebody else.";
    NO_SUCH_LEASE = 23, "no-such-lease", true, "A renewal for a lease this server does not hold: ask afresh with the same claim key.";
    RELEASED = 24, "released", false, "This claim key was released; a claim key is never used twice.";
    NOT_YOURS = 25, "not-yours", false, "This claim key belongs to another client.";
    RESTARTING = 26, "restarting", true, "The server restarted and is waiting for the leases it may have granted before to come back.";
    BAD_REQUEST = 27, "bad-request", false, "The request is well formed and makes no sense.";
    STORAGE = 28, "storage-failing", true, "The server's storage fails, and it could not remember the grant.";
    RECLAIMED = 29, "reclaimed", false, "The seat was idle, somebody waits for it, and a rule keeps it for whoever is next.";
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("denial-{}", self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_names_are_unique() {
        for (i, denial) in Denial::ALL.iter().enumerate() {
            assert_eq!(usize::from(denial.0), i + 1);
            assert_eq!(Denial::ALL.iter().filter(|d| d.name() == denial.name()).count(), 1);
        }
    }

    #[test]
    fn an_unknown_code_is_kept_and_printed() {
        assert_eq!(Denial(900).to_string(), "denial-900");
        assert!(!Denial(900).may_clear());
    }
}
