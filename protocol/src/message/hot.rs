//! The bodies every heartbeat is made of: fixed layouts, read where they lie (W-6).

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::{
    error::{DecodeError, DecodeErrorKind},
    vocab::{ClaimKey, LeaseId, OperationId},
};

/// What a holder is doing, sent with every renewal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Seconds since its user last did something.
    pub idle_s: u32,
    /// A long calculation is running: not to be asked for its seat.
    pub busy: bool,
    /// There is unsaved work.
    pub unsaved: bool,
}

/// I am still here (R-4, SPEC 5.5). Answered by RENEWED or DENY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renew {
    /// Which lease.
    pub lease: LeaseId,
    /// Whose: a wrong key feeds nobody's lease.
    pub claim: ClaimKey,
    /// Which asking this is.
    pub operation: OperationId,
    /// What the holder is doing.
    pub activity: Activity,
}

/// Your lease goes on (SPEC 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Which lease.
    pub lease: LeaseId,
    /// Which asking this answers.
    pub operation: OperationId,
    /// As in GRANT, counted from when the client sent the renewal.
    pub ttl_ms: u32,
    /// As in GRANT.
    pub renew_after_ms: u32,
    /// The lease stands above what the licence now allows (L-10): it lives until its next release or expiry.
    pub overage: bool,
}

/// I am done (R-6, SPEC 5.9). Always answered, known lease or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which lease; [`LeaseId::NONE`] if the grant was never seen.
    pub lease: LeaseId,
    /// Whose.
    pub claim: ClaimKey,
    /// Which asking this is.
    pub operation: OperationId,
}

/// Your seats are free (SPEC 5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The lease as the client named it.
    pub lease: LeaseId,
    /// Which asking this answers.
    pub operation: OperationId,
    /// What there was to free.
    pub outcome: ReleaseOutcome,
}

/// What a release found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// A lease, which has ended now.
    Freed,
    /// None: it had ended before, or never was. The client may stop asking all the same.
    NotHeld,
}

/// Eight bytes that travel to an address and back (W-8, SPEC 5.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PathToken(pub [u8; 8]);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RenewBytes {
    lease: U64,
    claim: [u8; 16],
    operation: U64,
    idle_s: U32,
    flags: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RenewedBytes {
    lease: U64,
    operation: U64,
    ttl_ms: U32,
    renew_after_ms: U32,
    flags: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ReleaseBytes {
    lease: U64,
    claim: [u8; 16],
    operation: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ReleasedBytes {
    lease: U64,
    operation: U64,
    outcome: U32,
}

pub(super) const BUSY: u32 = 1;
pub(super) const UNSAVED: u32 = 2;
pub(super) const OVERAGE: u32 = 1;

impl Activity {
    pub(super) const fn of(idle_s: u32, flags: u32) -> Self {
        Self { idle_s, busy: flags & BUSY != 0, unsaved: flags & UNSAVED != 0 }
    }

    pub(super) fn flags(self) -> u32 {
        u32::from(self.busy) * BUSY + u32::from(self.unsaved) * UNSAVED
    }
}

impl Renew {
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let b: &RenewBytes = layout("renew", body)?;
        let flags = b.flags.get();
        if flags & !(BUSY | UNSAVED) != 0 {
            return Err(DecodeError::new("renew flags", 36, DecodeErrorKind::Reserved));
        }
        Ok(Self {
            lease: LeaseId(b.lease.get()),
            claim: ClaimKey(b.claim),
            operation: OperationId(b.operation.get()),
            activity: Activity::of(b.idle_s.get(), flags),
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        put(
            out,
            &RenewBytes {
                lease: self.lease.0.into(),
                claim: self.claim.0,
                operation: self.operation.0.into(),
                idle_s: self.activity.idle_s.into(),
                flags: self.activity.flags().into(),
            },
        )
    }
}

impl Renewed {
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let b: &RenewedBytes = layout("renewed", body)?;
        if b.flags.get() & !OVERAGE != 0 {
            return Err(DecodeError::new("renewed flags", 24, DecodeErrorKind::Reserved));
        }
        Ok(Self {
            lease: LeaseId(b.lease.get()),
            operation: OperationId(b.operation.get()),
            ttl_ms: b.ttl_ms.get(),
            renew_after_ms: b.renew_after_ms.get(),
            overage: b.flags.get() & OVERAGE != 0,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        put(
            out,
            &RenewedBytes {
                lease: self.lease.0.into(),
                operation: self.operation.0.into(),
                ttl_ms: self.ttl_ms.into(),
                renew_after_ms: self.renew_after_ms.into(),
                flags: (u32::from(self.overage) * OVERAGE).into(),
            },
        )
    }
}

impl Release {
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let b: &ReleaseBytes = layout("release", body)?;
        Ok(Self { lease: LeaseId(b.lease.get()), claim: ClaimKey(b.claim), operation: OperationId(b.operation.get()) })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        put(out, &ReleaseBytes { lease: self.lease.0.into(), claim: self.claim.0, operation: self.operation.0.into() })
    }
}

impl Released {
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let b: &ReleasedBytes = layout("released", body)?;
        let outcome = match b.outcome.get() {
            1 => ReleaseOutcome::Freed,
            2 => ReleaseOutcome::NotHeld,
            _ => return Err(DecodeError::new("release outcome", 16, DecodeErrorKind::Range)),
        };
        Ok(Self { lease: LeaseId(b.lease.get()), operation: OperationId(b.operation.get()), outcome })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let outcome: u32 = match self.outcome {
            ReleaseOutcome::Freed => 1,
            ReleaseOutcome::NotHeld => 2,
        };
        put(
            out,
            &ReleasedBytes { lease: self.lease.0.into(), operation: self.operation.0.into(), outcome: outcome.into() },
        )
    }
}

impl PathToken {
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        layout::<Self>("path token", body).copied()
    }

    pub(super) fn write(self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        put(out, &self)
    }
}

fn layout<'a, T: FromBytes + KnownLayout + Immutable + Unaligned>(
    name: &'static str,
    body: &'a [u8],
) -> Result<&'a T, DecodeError> {
    T::ref_from_bytes(body).map_err(|_| {
        let kind = if body.len() < size_of::<T>() { DecodeErrorKind::Truncated } else { DecodeErrorKind::Trailing };
        DecodeError::new(name, body.len().min(size_of::<T>()), kind)
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of every body writer")]
pub(super) fn put<T: IntoBytes + Immutable>(out: &mut Vec<u8>, layout: &T) -> Result<(), DecodeError> {
    out.extend_from_slice(layout.as_bytes());
    Ok(())
}
