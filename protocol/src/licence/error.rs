//! Why a certificate was refused, said so that somebody can do something about it.

use super::{
    dates::{DateError, Day},
    keys::KeyId,
};
use crate::vocab::Label;

/// Why a certificate is refused. None of its claims has any effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LicenceError {
    /// The bytes are no certificate.
    #[error("not a signed certificate: {0}")]
    Malformed(&'static str),
    /// Signed by an algorithm from a newer issuer, or not a name of one.
    #[error("signed with the algorithm {0:?}, which this build cannot check (it checks \"ed25519\"): update leasehold")]
    Algorithm(String),
    /// Signed by a key that was not handed in.
    #[error(
        "signed with key {0}, which is not trusted here: get the publisher's .pub file with that key id and give it with \
         --publisher-key FILE, or put it into the folder publishers/ of the data directory"
    )]
    UnknownKey(KeyId),
    /// The key is known and did not sign this.
    #[error(
        "the signature of key {key} ({signer}) does not hold: a value was changed after signing, or the signature is \
         damaged; get the original from {signer}"
    )]
    Signature {
        /// The key that is said to have signed.
        key: KeyId,
        /// Whose it is.
        signer: Label,
    },
    /// A publisher signed in the name of another.
    #[error("names the publisher {named:?} and was signed by {signer:?}: a publisher signs for itself alone")]
    Publisher {
        /// Who is said to grant.
        named: String,
        /// Who signed.
        signer: String,
    },
    /// A claim from a newer issuer. To leave it out would grant something that was never meant.
    #[error(
        "holds claim {0}, which this build does not know: the licence was issued by a newer leasehold; update this one"
    )]
    UnknownClaim(u64),
    /// Signed, and still not a certificate that makes sense.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The text cannot be read as a certificate.
    #[error(transparent)]
    Text(#[from] super::text::TextError),
}

impl LicenceError {
    /// Whether the trouble is with who signed and how, not with what was signed.
    pub(super) const fn is_about_signing(&self) -> bool {
        matches!(self, Self::Algorithm(_) | Self::UnknownKey(_) | Self::Signature { .. })
    }
}

/// A claim outside its range, or claims that contradict each other (L-2, L-9, L-12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// A claim every certificate has is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number outside its range.
    #[error("{name} is {found}, and must be {min} to {max}")]
    Range {
        /// Which claim.
        name: &'static str,
        /// Its value.
        found: u64,
        /// The lowest it may be.
        min: u64,
        /// The highest.
        max: u64,
    },
    /// A value that is not one of that claim's.
    #[error("{name} is not valid: {why}")]
    Value {
        /// Which claim.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A day or a zone that does not exist.
    #[error(transparent)]
    Date(#[from] DateError),
    /// It would end before it begins.
    #[error("starts on {start} and ends on {end}, before it starts")]
    EndsBeforeStart {
        /// First day.
        start: Day,
        /// Last day.
        end: Day,
    },
    /// Uncounted and locked to nothing (L-12): anybody could serve it to the whole world.
    #[error(
        "is uncounted and locked to nothing: name the servers that may serve it in server-keys or server-hostids, or the \
         machines that may use it in client-hostids"
    )]
    UncountedUnlocked,
    /// An upgrade without a count (L-8).
    #[error("is an upgrade and uncounted: an upgrade raises a count by a count")]
    UncountedUpgrade,
    /// A term that is the exclusive certificate's to say (L-8).
    #[error(
        "is an upgrade and sets {0}: an upgrade may set the feature, version, count, start, end, zone, server-keys, \
         server-hostids, match-rate, serial and issued; everything else is what the exclusive certificate says"
    )]
    NotOfAnUpgrade(&'static str),
    /// A term that needs counted seats.
    #[error("sets {0} and is uncounted: there is nothing to be {0} of")]
    NeedsCount(&'static str),
    /// A term that means nothing without another.
    #[error("sets {name} without {needs}")]
    Needs {
        /// The term.
        name: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// Two terms of which there can be only one.
    #[error("sets both {name} and {other}")]
    Conflict {
        /// The one.
        name: &'static str,
        /// The other.
        other: &'static str,
    },
    /// Seats made of another feature's seats, and a count (L-14).
    #[error(
        "sets cost and a count: seats that are made of another feature's are as many as those allow; write count = uncounted"
    )]
    CostAndCount,
    /// It is longer than certificates are, or would not fit into one datagram where it must (W-5).
    #[error("is {len} bytes when signed, and must not exceed {max}{}: shorten its texts and lists", reason(*.max))]
    TooLarge {
        /// Its length, in bytes.
        len: usize,
        /// The most it may have.
        max: usize,
    },
}

fn reason(max: usize) -> &'static str {
    match max {
        super::canonical::PROOF_MAX => ", because it names server-keys and is shown to clients in one datagram",
        _ => "",
    }
}
