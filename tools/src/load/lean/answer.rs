//! The answers a load reads.

use leasehold_protocol::{
    DecodeError,
    frame::Frames,
    message::{Deny, FeatureInfo, Grant, Known, Released, Renewed, ServerFrame},
    vocab::OperationId,
};

/// One frame of a server. Answers to renewals and releases lie in it as they are; the others are boxed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Seats, to a REQUEST.
    Granted(Box<Grant>),
    /// The lease goes on, to a RENEW.
    Renewed(Renewed),
    /// The seats are free, to a RELEASE.
    Released(Released),
    /// No, to a REQUEST or a RENEW.
    Denied(Box<Deny>),
    /// A page of features, to a FEATURE_QUERY.
    Features(Box<FeatureInfo>),
    /// The server goes away, challenges a path, or says what this build does not read.
    Other,
}

impl Answer {
    /// The operation it answers; `None` if it answers none.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Granted(grant) => Some(grant.operation),
            Self::Renewed(renewed) => Some(renewed.operation),
            Self::Released(released) => Some(released.operation),
            Self::Denied(deny) => Some(deny.operation),
            Self::Features(page) => Some(page.operation),
            Self::Other => None,
        }
    }
}

impl From<ServerFrame> for Answer {
    fn from(frame: ServerFrame) -> Self {
        match frame {
            ServerFrame::Grant(grant) => Self::Granted(grant),
            ServerFrame::Renewed(renewed) => Self::Renewed(renewed),
            ServerFrame::Released(released) => Self::Released(released),
            ServerFrame::Deny(deny) => Self::Denied(deny),
            ServerFrame::FeatureInfo(page) => Self::Features(page),
            _ => Self::Other,
        }
    }
}

/// The answers in a plaintext, first to last. A frame that cannot be read is an error: our own server sends none.
pub fn read(plaintext: &[u8]) -> impl Iterator<Item = Result<Answer, DecodeError>> {
    Frames::new(plaintext).map(|raw| {
        Ok(match ServerFrame::decode(raw?)? {
            Known::Frame(frame) => frame.into(),
            Known::Unknown(_) => Answer::Other,
        })
    })
}
