//! What a client asks.

use bincode::{Decode, Encode};

use crate::{
    crypto::ticket::SealedTicket,
    vocab::{ClaimKey, DeviceId, FeatureName, HostId, Label, OperationId, SeatCount, Version},
};

/// Asks for seats of one feature (R-1, SPEC 5.3). Answered by GRANT or DENY.
///
/// The same claim key again is the same lease: a lost answer is asked for again, a lease past its deadline is
/// asked for afresh, and neither can take seats twice.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    /// Which asking this is; a retry repeats it.
    pub operation: OperationId,
    /// Which lease this is, before and after it exists.
    pub claim: ClaimKey,
    /// What for.
    pub feature: FeatureName,
    /// The lowest version of the right that will do; 0.0 takes any.
    pub version: Version,
    /// How many, all or none.
    pub seats: SeatCount,
    /// Who will hold them.
    pub holder: Holder,
    /// The ticket of this lease's last grant, shown after a restart so that the server may honour what it has
    /// forgotten; `None` the first time.
    pub ticket: Option<SealedTicket>,
}

/// Asks for seats and, if there are none to have now, for a place in the queue for them (R-10, SPEC 5.19). Answered by GRANT,
/// QUEUED or DENY; asked again, it keeps the place.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Wait {
    /// What for, as without a queue.
    pub request: Request,
    /// Whether to go into the queue even if there are seats: they come by GRANT then, in turn.
    pub queue_only: bool,
}

/// Asks for seats of several features at once, all of them or none; or for those of another alternative (R-9, SPEC 5.21).
/// Answered by a GRANT for each item of one alternative, or by one DENY.
///
/// Each item is a lease of its own from then on: renewed, released and lost by itself. Its claim key follows from the
/// bundle's ([`Bundle::claim_of`]).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bundle {
    /// Which asking this is; a retry repeats it.
    pub operation: OperationId,
    /// What the claim keys of the items follow from.
    pub claim: ClaimKey,
    /// What will do: the first of these that can be had whole.
    pub alternatives: Vec<Vec<BundleItem>>,
    /// Who will hold them.
    pub holder: Holder,
}

/// Seats of one feature in a [`Bundle`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BundleItem {
    /// What for.
    pub feature: FeatureName,
    /// The lowest version of the right that will do; 0.0 takes any.
    pub version: Version,
    /// How many.
    pub seats: SeatCount,
    /// How many will do if there are not as many as that: never more than `seats`.
    pub at_least: SeatCount,
}

impl Bundle {
    /// Its frame's type: what an older server names when it does not know it.
    pub const KIND: u8 = 0x16;
    /// Items an alternative may have: as many as one step of the allocation core can take.
    pub const ITEMS_MAX: usize = 8;
    /// Alternatives it may have.
    pub const ALTERNATIVES_MAX: usize = 8;

    /// The claim key of item `index`, counted from 0 through all alternatives: the bundle's, with the index added to its last
    /// byte.
    #[must_use]
    pub fn claim_of(claim: ClaimKey, index: u8) -> ClaimKey {
        let mut key = claim;
        key.0[15] = key.0[15].wrapping_add(index);
        key
    }

    /// What is wrong with its form; `None` if nothing is.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let is_twice = |items: &[BundleItem]| {
            items.iter().enumerate().any(|(n, item)| items[..n].iter().any(|other| other.feature == item.feature))
        };
        match &self.alternatives[..] {
            [] => Some("a bundle names at least one feature"),
            all if all.len() > Self::ALTERNATIVES_MAX => Some("a bundle has at most 8 alternatives"),
            all if all.iter().any(Vec::is_empty) => Some("every alternative of a bundle names at least one feature"),
            all if all.iter().any(|items| items.len() > Self::ITEMS_MAX) => {
                Some("an alternative of a bundle names at most 8 features")
            }
            all if all.iter().any(|items| is_twice(items)) => {
                Some("an alternative of a bundle names each feature once: ask for more seats of it instead")
            }
            all if all.iter().flatten().any(|item| item.at_least > item.seats) => {
                Some("the least that will do is not more than the seats that are asked for")
            }
            _ => None,
        }
    }
}

/// Who holds a lease, in the words of the holder's machine. Shown to administrators and used by policy; proof of
/// nothing: what is proved is the client's key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Holder {
    /// Login name.
    pub user: Label,
    /// Host name.
    pub host: Label,
    /// Display or terminal, where there is one.
    pub display: Option<Label>,
    /// Program name.
    pub process: Label,
    /// Process id.
    pub pid: u32,
    /// Project tag the user or the program chose, for reports.
    pub project: Option<Label>,
    /// The machine.
    pub device: DeviceId,
    /// What people call the machine.
    pub device_alias: Option<Label>,
    /// Requests with equal share ids may share a seat where the certificate allows it.
    pub share: Option<Label>,
    /// What the machine can be recognised by (T-1). At most 16 are read.
    pub hostids: Vec<HostId>,
}

/// Asks what features there are (S-5). Answered by FEATURE_INFO, a page at a time, in order of name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FeatureQuery {
    /// Which asking this is.
    pub operation: OperationId,
    /// Only this feature; `None` for all.
    pub only: Option<FeatureName>,
    /// Start after this name: the last one of the page before.
    pub after: Option<FeatureName>,
}

/// Asks which certificates a feature's seats come from (S-5). Answered by LICENCE_INFO, a page at a time, in order of name
/// and, within one, in the order they serve in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LicenceQuery {
    /// Which asking this is.
    pub operation: OperationId,
    /// Only those of this feature; `None` for all.
    pub only: Option<FeatureName>,
    /// Begin at this name: that of the last licence of the page before.
    pub from: Option<FeatureName>,
    /// How many licences of that name were heard of.
    pub skip: u32,
}

/// Asks for PROOF. The first frame of a session where the client was given a publisher's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ProofQuery {
    /// Which asking this is.
    pub operation: OperationId,
}

/// Ends the session. Leases are not released by it: they end by their own RELEASE or their deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ClientGoodbye;
