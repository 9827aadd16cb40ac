//! What can be wrong with the text of a certificate.

use super::Place;
use crate::licence::nearest::nearest;

/// Why the text is no certificate; where is said beside it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// More text than any licence file has.
    #[error("the file has {0} bytes, and a licence file at most {max}: split it", max = super::FILE_MAX)]
    FileTooLong(usize),
    /// More certificates than one file may hold.
    #[error("more than {max} certificates in one file: split it; those before this one were read", max = super::CERTIFICATES_MAX)]
    TooManyCertificates,
    /// A block that is not ours.
    #[error("expected \"certificate\" before the \"{{\", found {0:?}")]
    UnknownBlock(String),
    /// A setting that belongs to no certificate.
    #[error("{0:?} is set outside a certificate: a brace before it is missing or one too many")]
    SettingOutside(String),
    /// A brace that closes nothing.
    #[error("this \"}}\" closes nothing: the \"certificate {{\" before it is missing")]
    CloseOutside,
    /// The text ends inside a certificate, or another begins there.
    #[error("this certificate is not closed by a \"}}\": part of it is missing")]
    NotClosed,
    /// A quoted text without its second quote.
    #[error(
        "this quoted text is not closed: expected a second \" before the next brace (a brace in a text is written \\u7b; or \\u7d;)"
    )]
    TextNotClosed,
    /// A `\` and something that does not follow it.
    #[error("unknown escape {0:?}: expected \\\\, \\\", \\n or \\u and hexadecimal digits and ;")]
    Escape(String),
    /// Something other than `name = value`.
    #[error("expected \"name = value\", found {0:?}")]
    NotASetting(String),
    /// A setting certificates do not have.
    #[error("unknown setting {found:?}{}", suggestion(*.meant))]
    UnknownSetting {
        /// What stands there.
        found: String,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// A setting for the second time.
    #[error("{name} is set a second time; the first is at {first}")]
    SetTwice {
        /// Which.
        name: &'static str,
        /// Where it was set before.
        first: Place,
    },
    /// A setting every certificate has.
    #[error("the setting {0:?} is missing")]
    Missing(&'static str),
    /// A value that is not one of that setting's.
    #[error("{name} is {found:?}: expected {expected}{}", suggestion(*.meant))]
    Value {
        /// Of which setting.
        name: &'static str,
        /// The value.
        found: String,
        /// What it should be.
        expected: &'static str,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// The same certificate for the second time: it grants what it grants, once.
    #[error("the same certificate as at {0}: it counts once")]
    SameAgain(Place),
}

impl TextError {
    pub(super) fn unknown(found: &str) -> Self {
        Self::UnknownSetting { found: found.to_owned(), meant: nearest(found, super::SETTINGS) }
    }
}

fn suggestion(meant: Option<&str>) -> String {
    meant.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}
