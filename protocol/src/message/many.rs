//! Renewals by the dozen: all that one client renews at one moment, in one frame each way (SPEC 5.17).

use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::hot::{Activity, BUSY, OVERAGE, UNSAVED, put};
use crate::{
    error::{DecodeError, DecodeErrorKind},
    frame,
    vocab::{ClaimProof, LeaseId, OperationId},
};

/// The most leases one RENEW_MANY names: 1 044 bytes of frame, which leaves a datagram room for some smaller ones.
pub const RENEW_MANY_MAX: usize = 64;

/// We are all still here (R-4, SPEC 5.17). Answered by RENEWED_MANY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewMany {
    /// Which asking this is. Another try is another one: what it says of a lease is worth more.
    pub operation: OperationId,
    /// What the holder of all of them is doing.
    pub activity: Activity,
    /// Which leases, 1 to [`RENEW_MANY_MAX`]. One that is named twice is renewed twice.
    pub leases: Vec<Claimed>,
}

/// A lease and the proof that the asker knows its claim key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which lease.
    pub lease: LeaseId,
    /// Whose: a wrong proof feeds nobody's lease.
    pub proof: ClaimProof,
}

/// How each of your leases fared (SPEC 5.17).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewedMany {
    /// Which asking this answers.
    pub operation: OperationId,
    /// As many as were asked for, in that order; `None` for one that was not renewed. A RENEW of its own says why.
    pub leases: Vec<Option<Extended>>,
}

/// How a lease goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    /// As in GRANT, counted from when the client sent the frame; never 0.
    pub ttl_ms: u32,
    /// As in GRANT.
    pub renew_after_ms: u32,
    /// The lease stands above what the licence now allows (L-10).
    pub overage: bool,
}

/// A RENEW_MANY where it lies: what a server reads, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct RenewManyView<'a> {
    head: &'a RenewManyHead,
    leases: &'a [ClaimedBytes],
}

/// A RENEWED_MANY where it lies: what a client reads that asks so often that it wants no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewedManyView<'a> {
    head: &'a RenewedManyHead,
    leases: &'a [ExtendedBytes],
}

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RenewManyHead {
    operation: U64,
    idle_s: U32,
    flags: U32,
}

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ClaimedBytes {
    lease: U64,
    proof: U64,
}

#[derive(Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RenewedManyHead {
    operation: U64,
}

#[derive(Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ExtendedBytes {
    ttl_ms: U32,
    renew_after_ms: U32,
    flags: U32,
}

impl<'a> RenewManyView<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is not exactly the head and 1 to [`RENEW_MANY_MAX`] leases, or a reserved flag is set.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (head, leases) = head_and_entries::<RenewManyHead, ClaimedBytes>("renew many", body)?;
        if head.flags.get() & !(BUSY | UNSAVED) != 0 {
            return Err(DecodeError::new("renew many flags", 12, DecodeErrorKind::Reserved));
        }
        Ok(Self { head, leases })
    }

    /// Which asking this is.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        OperationId(self.head.operation.get())
    }

    /// What the holder is doing.
    #[must_use]
    pub fn activity(&self) -> Activity {
        Activity::of(self.head.idle_s.get(), self.head.flags.get())
    }

    /// Which leases.
    pub fn leases(&self) -> impl ExactSizeIterator<Item = Claimed> + use<'a> {
        self.leases.iter().map(|b| Claimed { lease: LeaseId(b.lease.get()), proof: ClaimProof(b.proof.get()) })
    }
}

impl<'a> RenewedManyView<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is not exactly the head and 1 to [`RENEW_MANY_MAX`] entries, a reserved flag is set, or an entry that was not
    /// renewed says more.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (head, leases) = head_and_entries::<RenewedManyHead, ExtendedBytes>("renewed many", body)?;
        leases.iter().enumerate().try_for_each(|(i, bytes)| bytes.check(i))?;
        Ok(Self { head, leases })
    }

    /// Which asking this answers.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        OperationId(self.head.operation.get())
    }

    /// How each lease goes on, in the order of the question; `None` for one that was not renewed.
    pub fn leases(&self) -> impl ExactSizeIterator<Item = Option<Extended>> + use<'a> {
        self.leases.iter().map(ExtendedBytes::get)
    }
}

impl RenewMany {
    /// The frame's type byte.
    pub const KIND: u8 = 0x10;

    /// Appends the frame that renews `leases`, 1 to [`RENEW_MANY_MAX`], to `plaintext`: for who has them elsewhere and asks
    /// so often that it wants no allocation.
    ///
    /// # Errors
    /// If there are too few or too many, or it does not fit; `plaintext` is then as it was.
    pub fn append(
        plaintext: &mut Vec<u8>,
        operation: OperationId,
        activity: Activity,
        leases: impl IntoIterator<Item = Claimed>,
    ) -> Result<(), DecodeError> {
        frame::append(plaintext, Self::KIND, |out| write(out, operation, activity, leases))
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let view = RenewManyView::read(body)?;
        Ok(Self { operation: view.operation(), activity: view.activity(), leases: view.leases().collect() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        write(out, self.operation, self.activity, self.leases.iter().copied())
    }
}

impl RenewedMany {
    /// The frame's type byte.
    pub const KIND: u8 = 0x15;

    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let view = RenewedManyView::read(body)?;
        Ok(Self { operation: view.operation(), leases: view.leases().collect() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        count("renewed many", self.leases.len())?;
        put(out, &RenewedManyHead { operation: self.operation.0.into() })?;
        self.leases.iter().try_for_each(|one| put(out, &ExtendedBytes::of(*one)))
    }
}

impl ExtendedBytes {
    fn of(one: Option<Extended>) -> Self {
        let Some(Extended { ttl_ms, renew_after_ms, overage }) = one else { return Self::new_zeroed() };
        let flags = (u32::from(overage) * OVERAGE).into();
        Self { ttl_ms: ttl_ms.into(), renew_after_ms: renew_after_ms.into(), flags }
    }

    /// Whether this may be the `i`-th of a body.
    fn check(&self, i: usize) -> Result<(), DecodeError> {
        let (ttl_ms, renew_after_ms, flags) = (self.ttl_ms.get(), self.renew_after_ms.get(), self.flags.get());
        if flags & !OVERAGE != 0 || ttl_ms == 0 && (renew_after_ms, flags) != (0, 0) {
            let at = size_of::<RenewedManyHead>() + i * size_of::<Self>();
            return Err(DecodeError::new("renewed many entry", at, DecodeErrorKind::Reserved));
        }
        Ok(())
    }

    fn get(&self) -> Option<Extended> {
        let (ttl_ms, renew_after_ms) = (self.ttl_ms.get(), self.renew_after_ms.get());
        let overage = self.flags.get() & OVERAGE != 0;
        (ttl_ms != 0).then_some(Extended { ttl_ms, renew_after_ms, overage })
    }
}

/// The body of a RENEW_MANY. What is one too many is written to be counted.
fn write(
    out: &mut Vec<u8>,
    operation: OperationId,
    activity: Activity,
    leases: impl IntoIterator<Item = Claimed>,
) -> Result<(), DecodeError> {
    let (idle_s, flags) = (activity.idle_s.into(), activity.flags().into());
    put(out, &RenewManyHead { operation: operation.0.into(), idle_s, flags })?;
    let mut len = 0;
    for one in leases.into_iter().take(RENEW_MANY_MAX + 1) {
        put(out, &ClaimedBytes { lease: one.lease.0.into(), proof: one.proof.0.into() })?;
        len += 1;
    }
    count("renew many", len)
}

/// A body that is a head and then 1 to [`RENEW_MANY_MAX`] entries.
fn head_and_entries<'a, H, E>(name: &'static str, body: &'a [u8]) -> Result<(&'a H, &'a [E]), DecodeError>
where
    H: FromBytes + KnownLayout + Immutable + Unaligned,
    E: FromBytes + Immutable + Unaligned,
{
    let (head, rest) =
        H::ref_from_prefix(body).map_err(|_| DecodeError::new(name, body.len(), DecodeErrorKind::Truncated))?;
    let len = rest.len() / size_of::<E>();
    count(name, len)?;
    let trailing = DecodeError::new(name, body.len() - rest.len() % size_of::<E>(), DecodeErrorKind::Trailing);
    Ok((head, <[E]>::ref_from_bytes_with_elems(rest, len).map_err(|_| trailing)?))
}

fn count(name: &'static str, len: usize) -> Result<(), DecodeError> {
    match len {
        0 => Err(DecodeError::new(name, 0, DecodeErrorKind::Truncated)),
        1..=RENEW_MANY_MAX => Ok(()),
        _ => Err(DecodeError::new(name, RENEW_MANY_MAX, DecodeErrorKind::TooLong)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::{FRAME_HEADER_LEN, Frames},
        message::{ClientFrame, Known, ServerFrame},
        packet::PLAINTEXT_MAX,
    };

    fn claimed(len: usize) -> impl Iterator<Item = Claimed> {
        (1..).map(|n| Claimed { lease: LeaseId(n), proof: ClaimProof(!n) }).take(len)
    }

    fn question(len: usize) -> ClientFrame {
        let leases = claimed(len).collect();
        ClientFrame::RenewMany(Box::new(RenewMany { operation: OperationId(7), activity: Activity::default(), leases }))
    }

    fn answer(len: usize) -> ServerFrame {
        let one = Some(Extended { ttl_ms: 5, renew_after_ms: 2, overage: true });
        let leases = [one, None].into_iter().cycle().take(len).collect();
        ServerFrame::RenewedMany(std::sync::Arc::new(RenewedMany { operation: OperationId(7), leases }))
    }

    #[test]
    fn any_number_up_to_64_comes_back_and_its_answer_with_a_challenge_is_never_longer() {
        for len in 1..=RENEW_MANY_MAX {
            let (mut asked, mut said) = (Vec::new(), Vec::new());
            question(len).append_to(&mut asked).unwrap();
            answer(len).append_to(&mut said).unwrap();
            let raw = |bytes| Frames::new(bytes).next().unwrap().unwrap();
            assert_eq!(ClientFrame::decode(raw(&asked)), Ok(Known::Frame(question(len))));
            assert_eq!(ServerFrame::decode(raw(&said)), Ok(Known::Frame(answer(len))));
            assert!(asked.len() <= PLAINTEXT_MAX && FRAME_HEADER_LEN + 8 + said.len() <= asked.len(), "{len}");
        }
    }

    #[test]
    fn what_is_written_from_an_iterator_and_read_where_it_lies_is_the_same() {
        for len in [1, 2, RENEW_MANY_MAX] {
            let (mut asked, mut streamed, mut said) = (vec![1], vec![1], Vec::new());
            question(len).append_to(&mut asked).unwrap();
            RenewMany::append(&mut streamed, OperationId(7), Activity::default(), claimed(len)).unwrap();
            assert_eq!(asked, streamed);
            let answer = answer(len);
            answer.append_to(&mut said).unwrap();
            let view = RenewedManyView::read(&said[FRAME_HEADER_LEN..]).unwrap();
            let read = RenewedMany { operation: view.operation(), leases: view.leases().collect() };
            assert_eq!(answer, ServerFrame::RenewedMany(read.into()));
        }
    }

    #[test]
    fn none_and_65_are_neither_written_nor_read() {
        for len in [0, RENEW_MANY_MAX + 1] {
            let mut out = Vec::new();
            assert!(question(len).append_to(&mut out).is_err() && answer(len).append_to(&mut out).is_err());
            assert!(RenewMany::append(&mut out, OperationId(7), Activity::default(), claimed(len)).is_err());
            assert!(out.is_empty());
            assert!(RenewMany::read(&vec![0; 16 + 16 * len]).is_err(), "{len}");
            assert!(RenewedMany::read(&vec![0; 8 + 12 * len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_lease_that_was_not_renewed_says_nothing_else() {
        let body = |ttl: u8, after: u8, flags: u8| {
            let entry = [ttl, 0, 0, 0, after, 0, 0, 0, flags, 0, 0, 0];
            RenewedMany::read(&[&[0; 8][..], &[0; 12], &entry].concat())
        };
        assert_eq!(body(0, 0, 0).unwrap().leases, [None, None]);
        for (ttl, after, flags) in [(0, 1, 0), (0, 0, 1), (1, 0, 2)] {
            assert_eq!(
                body(ttl, after, flags),
                Err(DecodeError::new("renewed many entry", 20, DecodeErrorKind::Reserved))
            );
        }
    }
}
