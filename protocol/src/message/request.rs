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
