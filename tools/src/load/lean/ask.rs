//! The frames a load asks with, appended to a plaintext that is used again and again.
//!
//! Every function takes the plaintext so far and leaves it as it was if the frame does not fit, so several frames share a
//! datagram. [`pad`] comes last.

use leasehold_protocol::{
    DecodeError,
    frame::{self, FRAME_HEADER_LEN},
    message::{Activity, Claimed, ClientFrame, FeatureQuery, Holder, Release, Renew, RenewMany, Request},
    vocab::{ClaimKey, FeatureName, LeaseId, OperationId, SeatCount, Version},
};

/// A plaintext with a REQUEST is padded to this, so that every GRANT fits the bytes it was asked with (SPEC 2.4.4).
pub const REQUEST_PLAINTEXT_MIN: usize = 512;
/// The same for FEATURE_QUERY.
pub const QUERY_PLAINTEXT_MIN: usize = 1_152;

/// Operation ids of a load are at least this: REQUEST writes them at full length then, and only they change in it.
pub const OPERATION_MIN: u64 = 1 << 63;

const REQUEST: u8 = 0x02;
/// Where the operation id ends and what is the same for every REQUEST of a form begins: marker and 8 bytes, claim key 16.
const OPERATION_LEN: usize = 9;
const CLAIM_LEN: usize = 16;
/// What SPEC 5.2.2 puts before an integer of 8 bytes.
const EIGHT_BYTES: u8 = 253;

/// A REQUEST that is sent many times with other operation ids and claim keys: encoded once.
#[derive(Clone, Debug)]
pub struct RequestForm {
    /// The body behind the claim key.
    rest: Vec<u8>,
}

impl RequestForm {
    /// Asks for `seats` seats of any version of `feature`, for `holder`, without a ticket.
    ///
    /// # Errors
    /// If the holder's words do not fit a frame.
    pub fn new(feature: &FeatureName, seats: SeatCount, holder: &Holder) -> Result<Self, DecodeError> {
        let request = Request {
            operation: OperationId(OPERATION_MIN),
            claim: ClaimKey([0; CLAIM_LEN]),
            feature: feature.clone(),
            version: Version::ANY,
            seats,
            holder: holder.clone(),
            ticket: None,
        };
        let mut frame = Vec::new();
        ClientFrame::Request(Box::new(request)).append_to(&mut frame)?;
        Ok(Self { rest: frame.split_off(FRAME_HEADER_LEN + OPERATION_LEN + CLAIM_LEN) })
    }

    /// Appends the REQUEST with this operation id, which is at least [`OPERATION_MIN`], and claim key.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn append(&self, plaintext: &mut Vec<u8>, operation: OperationId, claim: &ClaimKey) -> Result<(), DecodeError> {
        debug_assert!(operation.0 >= OPERATION_MIN, "a shorter id has a shorter encoding");
        frame::append(plaintext, REQUEST, |out| {
            out.push(EIGHT_BYTES);
            out.extend_from_slice(&operation.0.to_le_bytes());
            out.extend_from_slice(&claim.0);
            out.extend_from_slice(&self.rest);
            Ok(())
        })
    }
}

/// Appends a RENEW: the lease goes on.
///
/// # Errors
/// If it does not fit: 26 go into one datagram.
pub fn renew(
    plaintext: &mut Vec<u8>,
    operation: OperationId,
    lease: LeaseId,
    claim: &ClaimKey,
) -> Result<(), DecodeError> {
    let renew = Renew { lease, claim: *claim, operation, activity: Activity::default() };
    ClientFrame::Renew(renew).append_to(plaintext)
}

/// Appends a RENEW_MANY: all of these go on, 1 to [`leasehold_protocol::message::RENEW_MANY_MAX`] of them.
///
/// # Errors
/// If they are none or too many, or do not fit: one with the most leases goes into a datagram.
pub fn renew_many(
    plaintext: &mut Vec<u8>,
    operation: OperationId,
    leases: impl IntoIterator<Item = Claimed>,
) -> Result<(), DecodeError> {
    RenewMany::append(plaintext, operation, Activity::default(), leases)
}

/// Appends a RELEASE; `lease` is [`LeaseId::NONE`] for a claim whose grant was never seen.
///
/// # Errors
/// If it does not fit: 32 go into one datagram.
pub fn release(
    plaintext: &mut Vec<u8>,
    operation: OperationId,
    lease: LeaseId,
    claim: &ClaimKey,
) -> Result<(), DecodeError> {
    ClientFrame::Release(Release { lease, claim: *claim, operation }).append_to(plaintext)
}

/// Appends a FEATURE_QUERY for the features after `after`, or for all.
///
/// # Errors
/// If it does not fit.
pub fn features(
    plaintext: &mut Vec<u8>,
    operation: OperationId,
    after: Option<&FeatureName>,
) -> Result<(), DecodeError> {
    ClientFrame::FeatureQuery(FeatureQuery { operation, only: None, after: after.cloned() }).append_to(plaintext)
}

/// Ends a plaintext: pads it to the step, and as far as the frames in it demand.
pub fn pad(plaintext: &mut Vec<u8>) {
    let need = frame::Frames::new(plaintext).map_while(Result::ok).map(|frame| match frame.kind {
        REQUEST => REQUEST_PLAINTEXT_MIN,
        0x08 => QUERY_PLAINTEXT_MIN,
        _ => 0,
    });
    let len_min = need.max().unwrap_or(0);
    frame::pad(plaintext, len_min);
}
