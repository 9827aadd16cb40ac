//! Seats and versions.

use std::{fmt, num::NonZeroU32};

use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    error::DecodeError as BinError,
};

/// Why a number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// A seat count of 0, or above the limit.
    #[error("a seat count is 1 to 2147483647")]
    Seats,
    /// Not `major.minor` or `major.minor.patch`.
    #[error("a version is major.minor or major.minor.patch, each 0 to 65535")]
    Version,
}

/// How many seats. 1 to 2 147 483 647 (L-2): a count always fits an `i32`, so sums fit an `i64` with room to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct SeatCount(NonZeroU32);

impl SeatCount {
    /// One seat.
    pub const ONE: Self = Self(NonZeroU32::MIN);
    /// The most seats one certificate may grant.
    pub const MAX: Self = Self(NonZeroU32::new(i32::MAX as u32).unwrap());

    /// `seats` as a count.
    ///
    /// # Errors
    /// If it is 0 or above [`SeatCount::MAX`].
    pub fn new(seats: u32) -> Result<Self, NumberError> {
        NonZeroU32::new(seats).map(Self).filter(|count| *count <= Self::MAX).ok_or(NumberError::Seats)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for SeatCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C> Decode<C> for SeatCount {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, BinError> {
        Self::new(u32::decode(decoder)?).map_err(|_| BinError::Other("not a seat count"))
    }
}

impl<'de, C> BorrowDecode<'de, C> for SeatCount {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, BinError> {
        Self::decode(decoder)
    }
}

/// A feature's version, `major.minor` or `major.minor.patch` (L-2), each part 0 to 65 535 and compared as a number:
/// 4.10 is above 4.9. A right of version v answers a request for v or lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Version {
    /// First part.
    pub major: u16,
    /// Second part.
    pub minor: u16,
    /// Third part; 0 and absent are the same version.
    pub patch: u16,
}

impl Version {
    /// Version 0.0: asks for whatever there is.
    pub const ANY: Self = Self { major: 0, minor: 0, patch: 0 };
}

impl std::str::FromStr for Version {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let part = |p: &str| {
            let digits = !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| p.parse().ok()).flatten().ok_or(NumberError::Version)
        };
        let parts: Vec<&str> = text.split('.').collect();
        match parts[..] {
            [major, minor] => Ok(Self { major: part(major)?, minor: part(minor)?, patch: 0 }),
            [major, minor, patch] => Ok(Self { major: part(major)?, minor: part(minor)?, patch: part(patch)? }),
            _ => Err(NumberError::Version),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            0 => f.pad(&format!("{}.{}", self.major, self.minor)),
            patch => f.pad(&format!("{}.{}.{patch}", self.major, self.minor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let v = |text: &str| text.parse::<Version>().unwrap();
        assert!(v("4.10") > v("4.9"));
        assert_eq!(v("4.8.0"), v("4.8"));
        assert_eq!(v("4.8.2").to_string(), "4.8.2");
    }

    #[test]
    fn a_version_has_two_or_three_parts_of_digits() {
        for bad in ["", "4", "4.", ".8", "4.8.1.0", "4.x", "4.+8", "4.65536", " 4.8"] {
            assert_eq!(bad.parse::<Version>(), Err(NumberError::Version), "{bad:?}");
        }
    }

    #[test]
    fn seat_counts_have_both_ends_of_their_range() {
        assert_eq!(SeatCount::new(0), Err(NumberError::Seats));
        assert_eq!(SeatCount::new(2_147_483_648), Err(NumberError::Seats));
        assert_eq!(SeatCount::new(2_147_483_647), Ok(SeatCount::MAX));
    }
}
