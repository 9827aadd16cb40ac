//! The frame bodies (SPEC 5): what a client asks and what a server answers.
//!
//! Bodies are bincode; the hot ones (renew, renewed, the two for many, release, released, the path challenge) have fixed
//! layouts and cost no decoder. A body never changes within version 1: what is new gets a frame type of its own, which an
//! older peer answers with `unsupported` (W-9).

mod answer;
mod hot;
mod many;
mod request;

use std::sync::Arc;

pub use answer::{
    Deny, FeatureInfo, FeatureLine, Grant, LetGo, LicenceInfo, LicenceLine, LotUse, NextDue, Proof, Queued,
    ServerGoodbye, Unsupported,
};
pub use hot::{Activity, PathToken, Release, ReleaseOutcome, Released, Renew, Renewed};
pub use many::{Claimed, Extended, RENEW_MANY_MAX, RenewMany, RenewManyView, RenewedMany, RenewedManyView};
pub use request::{Bundle, BundleItem, ClientGoodbye, FeatureQuery, Holder, LicenceQuery, ProofQuery, Request, Wait};

use crate::{
    codec,
    error::{DecodeError, DecodeErrorKind},
    frame::{self, RawFrame},
};

/// A frame from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// 0x02: seats, please.
    Request(Box<Request>),
    /// 0x04: I am still here.
    Renew(Renew),
    /// 0x06: I am done.
    Release(Release),
    /// 0x08: what is there?
    FeatureQuery(FeatureQuery),
    /// 0x0a: show me that a publisher named your key.
    ProofQuery(ProofQuery),
    /// 0x0c: this session is over.
    Goodbye(ClientGoodbye),
    /// 0x0e: the token of a path challenge, sent back over that path.
    PathResponse(PathToken),
    /// 0x10: we are all still here.
    RenewMany(Box<RenewMany>),
    /// 0x12: which certificates do the seats come from?
    LicenceQuery(LicenceQuery),
    /// 0x14: seats, please, and a place in the queue if there are none.
    Wait(Box<Wait>),
    /// 0x16: all of these seats, or all of those.
    Bundle(Box<Bundle>),
}

/// A frame from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFrame {
    /// 0x03: here are your seats.
    Grant(Box<Grant>),
    /// 0x05: no, and why.
    Deny(Box<Deny>),
    /// 0x07: your lease goes on.
    Renewed(Renewed),
    /// 0x09: your seats are free.
    Released(Released),
    /// 0x0b: what there is.
    FeatureInfo(Box<FeatureInfo>),
    /// 0x0d: a publisher named my key.
    Proof(Proof),
    /// 0x0f: this server is going away.
    Goodbye(ServerGoodbye),
    /// 0x11: send this token back if you are really there.
    PathChallenge(PathToken),
    /// 0x13: I do not know that frame type.
    Unsupported(Unsupported),
    /// 0x15: how each of your leases fared. Shared, so that who says it often can keep the room for the next one.
    RenewedMany(Arc<RenewedMany>),
    /// 0x17: from these.
    LicenceInfo(Box<LicenceInfo>),
    /// 0x19: you are in the queue.
    Queued(Queued),
    /// 0x1d: somebody waits, and your seat is idle.
    LetGo(Box<LetGo>),
}

/// A frame that was whole: known, or of a type from a newer peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// A frame this build reads.
    Frame(T),
    /// A type it does not. A server answers it with `unsupported`, a client skips it.
    Unknown(u8),
}

impl LicenceQuery {
    /// Its frame's type: what an older server names when it does not know it.
    pub const KIND: u8 = 0x12;
}

impl Wait {
    /// Its frame's type: what an older server names when it does not know it.
    pub const KIND: u8 = 0x14;
}

impl Queued {
    /// Its frame's type.
    pub const KIND: u8 = 0x19;
}

impl LetGo {
    /// Its frame's type.
    pub const KIND: u8 = 0x1d;
}

impl LicenceInfo {
    /// Its frame's type.
    pub const KIND: u8 = 0x17;
}

impl ClientFrame {
    /// Reads one frame from a client.
    ///
    /// # Errors
    /// If the type is a server's, or the body is not exactly what the type says.
    pub fn decode(raw: RawFrame<'_>) -> Result<Known<Self>, DecodeError> {
        let body = raw.body;
        Ok(Known::Frame(match raw.kind {
            0x02 => Self::Request(Box::new(codec::decode("request", body)?)),
            0x04 => Self::Renew(Renew::read(body)?),
            0x06 => Self::Release(Release::read(body)?),
            0x08 => Self::FeatureQuery(codec::decode("feature query", body)?),
            0x0a => Self::ProofQuery(codec::decode("proof query", body)?),
            0x0c => Self::Goodbye(codec::decode("goodbye", body)?),
            0x0e => Self::PathResponse(PathToken::read(body)?),
            RenewMany::KIND => Self::RenewMany(Box::new(RenewMany::read(body)?)),
            LicenceQuery::KIND => Self::LicenceQuery(codec::decode("licence query", body)?),
            Wait::KIND => Self::Wait(Box::new(codec::decode("wait", body)?)),
            Bundle::KIND => Self::Bundle(Box::new(codec::decode("bundle", body)?)),
            odd if odd & 1 == 1 => return Err(DecodeError::new("frame type", 0, DecodeErrorKind::Direction)),
            unknown => return Ok(Known::Unknown(unknown)),
        }))
    }

    /// Appends this frame to `plaintext`.
    ///
    /// # Errors
    /// If it does not fit; `plaintext` is then as it was.
    pub fn append_to(&self, plaintext: &mut Vec<u8>) -> Result<(), DecodeError> {
        frame::append(plaintext, self.kind(), |out| match self {
            Self::Request(body) => codec::encode(&**body, out),
            Self::Renew(body) => body.write(out),
            Self::Release(body) => body.write(out),
            Self::FeatureQuery(body) => codec::encode(body, out),
            Self::ProofQuery(body) => codec::encode(body, out),
            Self::Goodbye(body) => codec::encode(body, out),
            Self::PathResponse(body) => body.write(out),
            Self::RenewMany(body) => body.write(out),
            Self::LicenceQuery(body) => codec::encode(body, out),
            Self::Wait(body) => codec::encode(&**body, out),
            Self::Bundle(body) => codec::encode(&**body, out),
        })
    }

    /// The frame's type byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Request(_) => 0x02,
            Self::Renew(_) => 0x04,
            Self::Release(_) => 0x06,
            Self::FeatureQuery(_) => 0x08,
            Self::ProofQuery(_) => 0x0a,
            Self::Goodbye(_) => 0x0c,
            Self::PathResponse(_) => 0x0e,
            Self::RenewMany(_) => RenewMany::KIND,
            Self::LicenceQuery(_) => LicenceQuery::KIND,
            Self::Wait(_) => Wait::KIND,
            Self::Bundle(_) => Bundle::KIND,
        }
    }
}

impl ServerFrame {
    /// Reads one frame from a server.
    ///
    /// # Errors
    /// If the type is a client's, or the body is not exactly what the type says.
    pub fn decode(raw: RawFrame<'_>) -> Result<Known<Self>, DecodeError> {
        let body = raw.body;
        Ok(Known::Frame(match raw.kind {
            0x03 => Self::Grant(Box::new(codec::decode("grant", body)?)),
            0x05 => Self::Deny(Box::new(codec::decode("deny", body)?)),
            0x07 => Self::Renewed(Renewed::read(body)?),
            0x09 => Self::Released(Released::read(body)?),
            0x0b => Self::FeatureInfo(Box::new(codec::decode("feature info", body)?)),
            0x0d => Self::Proof(codec::decode("proof", body)?),
            0x0f => Self::Goodbye(codec::decode("goodbye", body)?),
            0x11 => Self::PathChallenge(PathToken::read(body)?),
            0x13 => Self::Unsupported(codec::decode("unsupported", body)?),
            RenewedMany::KIND => Self::RenewedMany(Arc::new(RenewedMany::read(body)?)),
            LicenceInfo::KIND => Self::LicenceInfo(Box::new(codec::decode("licence info", body)?)),
            Queued::KIND => Self::Queued(codec::decode("queued", body)?),
            LetGo::KIND => Self::LetGo(Box::new(codec::decode("let go", body)?)),
            even if even & 1 == 0 => return Err(DecodeError::new("frame type", 0, DecodeErrorKind::Direction)),
            unknown => return Ok(Known::Unknown(unknown)),
        }))
    }

    /// Appends this frame to `plaintext`.
    ///
    /// # Errors
    /// If it does not fit; `plaintext` is then as it was.
    pub fn append_to(&self, plaintext: &mut Vec<u8>) -> Result<(), DecodeError> {
        frame::append(plaintext, self.kind(), |out| match self {
            Self::Grant(body) => codec::encode(&**body, out),
            Self::Deny(body) => codec::encode(&**body, out),
            Self::Renewed(body) => body.write(out),
            Self::Released(body) => body.write(out),
            Self::FeatureInfo(body) => codec::encode(&**body, out),
            Self::Proof(body) => codec::encode(body, out),
            Self::Goodbye(body) => codec::encode(body, out),
            Self::PathChallenge(body) => body.write(out),
            Self::Unsupported(body) => codec::encode(body, out),
            Self::RenewedMany(body) => body.write(out),
            Self::LicenceInfo(body) => codec::encode(&**body, out),
            Self::Queued(body) => codec::encode(body, out),
            Self::LetGo(body) => codec::encode(&**body, out),
        })
    }

    /// The frame's type byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Grant(_) => 0x03,
            Self::Deny(_) => 0x05,
            Self::Renewed(_) => 0x07,
            Self::Released(_) => 0x09,
            Self::FeatureInfo(_) => 0x0b,
            Self::Proof(_) => 0x0d,
            Self::Goodbye(_) => 0x0f,
            Self::PathChallenge(_) => 0x11,
            Self::Unsupported(_) => 0x13,
            Self::RenewedMany(_) => RenewedMany::KIND,
            Self::LicenceInfo(_) => LicenceInfo::KIND,
            Self::Queued(_) => Queued::KIND,
            Self::LetGo(_) => LetGo::KIND,
        }
    }
}
