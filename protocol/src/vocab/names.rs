//! Words that people chose: feature names, users, hosts.

use std::fmt;

use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    error::DecodeError as BinError,
};

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing there.
    #[error("empty name")]
    Empty,
    /// Longer than the limit, in bytes.
    #[error("name longer than {0} bytes")]
    TooLong(usize),
    /// A character that is not allowed.
    #[error("character {0:?} is not allowed in a name")]
    Character(char),
}

/// What a certificate grants rights to, by name.
///
/// 1 to 64 of ASCII letters, digits, `_ - . +`, compared byte by byte. Source: L-2, SPEC 5.1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct FeatureName(Box<str>);

impl FeatureName {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// `name` as a feature name.
    ///
    /// # Errors
    /// If it is empty, too long or holds a character outside the set above.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'));
        checked(name, Self::LEN_MAX, bad).map(Self)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A word about a holder: user, host, display, process, project, alias, share id; also a publisher's name.
///
/// 1 to 64 bytes of UTF-8 with no control characters. Source: R-1, SPEC 5.1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct Label(Box<str>);

impl Label {
    /// The longest label, in bytes.
    pub const LEN_MAX: usize = 64;

    /// `text` as a label.
    ///
    /// # Errors
    /// If it is empty, too long or holds a control character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        checked(text, Self::LEN_MAX, char::is_control).map(Self)
    }

    /// The nearest label to `text`: control characters become `?`, what is too long is cut at a character, nothing
    /// becomes `?`. For words from the operating system, which may be anything.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let mut kept = String::new();
        for c in text.chars().map(|c| if c.is_control() { '?' } else { c }) {
            if kept.len() + c.len_utf8() > Self::LEN_MAX {
                break;
            }
            kept.push(c);
        }
        if kept.is_empty() {
            kept.push('?');
        }
        Self(kept.into_boxed_str())
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn checked(text: &str, len_max: usize, bad: impl Fn(char) -> bool) -> Result<Box<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > len_max {
        return Err(NameError::TooLong(len_max));
    }
    text.chars().find(|&c| bad(c)).map_or_else(|| Ok(text.into()), |c| Err(NameError::Character(c)))
}

// A name off the wire is checked as one typed in is: a value of these types is always valid.
macro_rules! text_type {
    ($name:ident) => {
        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, BinError> {
                let text = String::decode(decoder)?;
                Self::new(&text).map_err(|_| BinError::Other(concat!("not a ", stringify!($name))))
            }
        }

        impl<'de, C> BorrowDecode<'de, C> for $name {
            fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, BinError> {
                Self::decode(decoder)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

text_type!(FeatureName);
text_type!(Label);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_names_are_letters_digits_and_four_signs() {
        assert!(FeatureName::new("VR_MODE-2.1+x").is_ok());
        assert_eq!(FeatureName::new(""), Err(NameError::Empty));
        assert_eq!(FeatureName::new("a b"), Err(NameError::Character(' ')));
        assert_eq!(FeatureName::new(&"x".repeat(65)), Err(NameError::TooLong(64)));
    }

    #[test]
    fn a_label_from_the_system_is_cut_at_a_character_and_never_empty() {
        assert_eq!(Label::lossy(&"é".repeat(60)).as_str().len(), 64);
        assert_eq!(Label::lossy("").as_str(), "?");
        assert_eq!(Label::lossy("a\nb").as_str(), "a?b");
    }
}
