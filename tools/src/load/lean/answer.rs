//! The answers a load reads.

use leasehold_protocol::{
    DecodeError,
    frame::Frames,
    message::{Deny, FeatureInfo, Grant, Known, Released, Renewed, RenewedMany, RenewedManyView, ServerFrame},
    vocab::OperationId,
};

/// One frame of a server. Answers to one renewal or release lie in it as they are and that to many in the datagram; the
/// others are boxed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Seats, to a REQUEST.
    Granted(Box<Grant>),
    /// The lease goes on, to a RENEW.
    Renewed(Renewed),
    /// How each lease goes on, to a RENEW_MANY.
    RenewedMany(RenewedManyView<'a>),
    /// The seats are free, to a RELEASE.
    Released(Released),
    /// No, to a REQUEST or a RENEW.
    Denied(Box<Deny>),
    /// A page of features, to a FEATURE_QUERY.
    Features(Box<FeatureInfo>),
    /// The server goes away, challenges a path, or says what this build does not read.
    Other,
}

impl Answer<'_> {
    /// The operation it answers; `None` if it answers none.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Granted(grant) => Some(grant.operation),
            Self::Renewed(renewed) => Some(renewed.operation),
            Self::RenewedMany(many) => Some(many.operation()),
            Self::Released(released) => Some(released.operation),
            Self::Denied(deny) => Some(deny.operation),
            Self::Features(page) => Some(page.operation),
            Self::Other => None,
        }
    }
}

impl From<ServerFrame> for Answer<'_> {
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
pub fn read(plaintext: &[u8]) -> impl Iterator<Item = Result<Answer<'_>, DecodeError>> {
    Frames::new(plaintext).map(|raw| {
        let raw = raw?;
        if raw.kind == RenewedMany::KIND {
            return RenewedManyView::read(raw.body).map(Answer::RenewedMany);
        }
        Ok(match ServerFrame::decode(raw)? {
            Known::Frame(frame) => frame.into(),
            Known::Unknown(_) => Answer::Other,
        })
    })
}
