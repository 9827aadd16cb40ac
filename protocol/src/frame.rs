//! What is inside a sealed datagram: frames of `type, flags, length, body`, then zeros (SPEC 4.3).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::U16};

use crate::{
    error::{DecodeError, DecodeErrorKind},
    packet::{PADDING_STEP, PLAINTEXT_MAX},
};

/// Bytes before each body.
pub const FRAME_HEADER_LEN: usize = 4;

/// The four bytes before a body.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FrameHeader {
    kind: u8,
    flags: u8,
    body_len: U16,
}

/// One frame as it lies in the plaintext. Type 0 never appears here: it is the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// What the body is; even from client to server, odd back.
    pub kind: u8,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// The frames of one plaintext, first to last.
///
/// Yields an error and then nothing more when the rest cannot be read: everything before it was whole.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    plaintext: &'a [u8],
    offset: usize,
}

impl<'a> Frames<'a> {
    /// The frames of `plaintext`.
    #[must_use]
    pub const fn new(plaintext: &'a [u8]) -> Self {
        Self { plaintext, offset: 0 }
    }

    fn read(&self) -> Result<Option<RawFrame<'a>>, DecodeError> {
        let rest = &self.plaintext[self.offset..];
        if rest.first().is_none_or(|kind| *kind == 0) {
            return match rest.iter().position(|b| *b != 0) {
                None => Ok(None),
                Some(i) => Err(DecodeError::new("padding", self.offset + i, DecodeErrorKind::Reserved)),
            };
        }
        let (header, rest) = FrameHeader::ref_from_prefix(rest)
            .map_err(|_| DecodeError::new("frame header", self.offset, DecodeErrorKind::Truncated))?;
        if header.flags != 0 {
            return Err(DecodeError::new("frame flags", self.offset + 1, DecodeErrorKind::Reserved));
        }
        let body = rest.get(..usize::from(header.body_len.get())).ok_or(DecodeError::new(
            "frame body",
            self.offset + FRAME_HEADER_LEN,
            DecodeErrorKind::Truncated,
        ))?;
        Ok(Some(RawFrame { kind: header.kind, body }))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<RawFrame<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.read();
        self.offset = match &frame {
            Ok(Some(frame)) => self.offset + FRAME_HEADER_LEN + frame.body.len(),
            Ok(None) | Err(_) => self.plaintext.len(),
        };
        frame.transpose()
    }
}

/// Appends one frame of type `kind` to `plaintext`, its body written by `write`.
///
/// # Errors
/// What `write` said, or that the plaintext would pass [`PLAINTEXT_MAX`]; `plaintext` is then as it was.
pub fn append(
    plaintext: &mut Vec<u8>,
    kind: u8,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let start = plaintext.len();
    plaintext.extend_from_slice(&[kind, 0, 0, 0]);
    let written = write(plaintext);
    let body_len = plaintext.len() - start - FRAME_HEADER_LEN;
    let too_long = DecodeError::new("plaintext", PLAINTEXT_MAX, DecodeErrorKind::TooLong);
    let outcome = match (written, u16::try_from(body_len)) {
        (Ok(()), Ok(len)) if plaintext.len() <= PLAINTEXT_MAX => {
            plaintext[start + 2..start + 4].copy_from_slice(&len.to_le_bytes());
            return Ok(());
        }
        (Ok(()), _) => Err(too_long),
        (Err(e), _) => Err(e),
    };
    plaintext.truncate(start);
    outcome
}

/// Pads `plaintext` with zeros to a multiple of [`PADDING_STEP`], and to `len_min` if that is more (a request is padded
/// to the size of the longest answer it may get, SPEC 2.4).
pub fn pad(plaintext: &mut Vec<u8>, len_min: usize) {
    let len = plaintext.len().max(len_min).max(1).next_multiple_of(PADDING_STEP).min(PLAINTEXT_MAX);
    if len > plaintext.len() {
        plaintext.resize(len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_order_and_padding_ends_them() {
        let mut plaintext = Vec::new();
        for (kind, body) in [(4, &b"first"[..]), (6, &b""[..]), (8, &[0; 40][..])] {
            append(&mut plaintext, kind, |out| {
                out.extend_from_slice(body);
                Ok(())
            })
            .unwrap();
        }
        pad(&mut plaintext, 0);
        assert_eq!(plaintext.len() % PADDING_STEP, 0);
        let frames: Vec<_> = Frames::new(&plaintext).map(Result::unwrap).map(|f| (f.kind, f.body.len())).collect();
        assert_eq!(frames, [(4, 5), (6, 0), (8, 40)]);
    }

    #[test]
    fn padding_that_is_not_zero_is_refused_and_ends_the_frames() {
        let mut frames = Frames::new(&[0, 0, 7, 0]);
        assert_eq!(frames.next(), Some(Err(DecodeError::new("padding", 2, DecodeErrorKind::Reserved))));
        assert_eq!(frames.next(), None);
    }

    #[test]
    fn what_does_not_fit_leaves_the_plaintext_as_it_was() {
        let mut plaintext = vec![1; PLAINTEXT_MAX - 8];
        let before = plaintext.clone();
        let refused = append(&mut plaintext, 4, |out| {
            out.extend_from_slice(&[0; 5]);
            Ok(())
        });
        assert!(refused.is_err());
        assert_eq!(plaintext, before);
    }
}
