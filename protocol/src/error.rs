//! Bytes that could not be read: which field, where, and what was wrong with it.

use std::fmt;

/// Why bytes are not what they should be. Ends as a counter, never as a line of log per packet: a stranger's noise is
/// not our error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The field that could not be read, as SPEC names it.
    pub field: &'static str,
    /// Offset in bytes from the start of what was handed in.
    pub offset: usize,
    /// What was wrong.
    pub kind: DecodeErrorKind,
}

/// What was wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end inside the field.
    Truncated,
    /// Bytes are left over after the last field.
    Trailing,
    /// More bytes than the field may have.
    TooLong,
    /// The first byte is not ours.
    Magic,
    /// A protocol version this build does not speak.
    Version,
    /// Reserved bits or bytes that are not zero.
    Reserved,
    /// A packet or frame type from the wrong side, or an unknown packet type.
    Direction,
    /// A value outside its range.
    Range,
    /// A name with characters that are not allowed, or text that is not UTF-8.
    Text,
}

impl DecodeError {
    /// An error in `field`, which starts `offset` bytes in.
    #[must_use]
    pub const fn new(field: &'static str, offset: usize, kind: DecodeErrorKind) -> Self {
        Self { field, offset, kind }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::Truncated => "ends too early",
            DecodeErrorKind::Trailing => "is followed by bytes that belong to nothing",
            DecodeErrorKind::TooLong => "is too long",
            DecodeErrorKind::Magic => "does not start a leasehold datagram",
            DecodeErrorKind::Version => "names a protocol version this build does not speak",
            DecodeErrorKind::Reserved => "has reserved bits set",
            DecodeErrorKind::Direction => "comes from the wrong side",
            DecodeErrorKind::Range => "is out of range",
            DecodeErrorKind::Text => "holds characters that are not allowed",
        };
        write!(f, "{} at byte {} {what}", self.field, self.offset)
    }
}

impl std::error::Error for DecodeError {}
