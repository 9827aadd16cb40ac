//! The `.lic` file: certificates as text people can read (L-1, SPEC 7.1, 7.2).
//!
//! ```text
//! # anything outside the braces is for people
//! certificate {
//!   publisher = demo
//!   feature = VR_MODE
//!   version = 4.8
//!   count = 10
//!   end = 2026-12-31
//!   sign = 1a2b3c4d:ed25519:
//!     q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJC
//!     rze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kK
//! }
//! ```
//!
//! What mail and editors do to text does no harm: the order of settings, spaces, tabs, line ends, a byte order mark,
//! `> ` before lines, lines broken at a space or inside the signature. A changed value does, to that certificate alone.

mod claims;
mod error;
mod lexer;
mod settings;
#[cfg(test)]
mod tests;
mod values;
mod write;

use std::{collections::HashMap, fmt};

pub use claims::{Claims, quote};
pub use error::TextError;
pub use settings::SETTINGS;
pub use values::parse_seconds;
pub use write::write;

use self::lexer::{Kind, Lexer, Token};
use super::{canonical::SignedCertificate, error::LicenceError, keys::PublisherKey};
use crate::vocab::FeatureName;

/// The longest licence file, in bytes: 16 MiB, room for as many certificates as it may hold.
pub const FILE_MAX: usize = 16 << 20;
/// The most certificates one file may hold.
pub const CERTIFICATES_MAX: usize = 10_000;

/// Where something stands in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1; CR, LF and CRLF each end one.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Bytes before it.
    pub offset: usize,
    /// Its length in bytes.
    pub len: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What a file held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Certificates whose signatures hold, in the file's order (L-4).
    pub applied: Vec<SignedCertificate>,
    /// What was left out, and why.
    pub refused: Vec<Refused>,
}

/// A certificate that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where the trouble is.
    pub place: Place,
    /// The feature it names, if it can be read: not to be trusted, only to be shown.
    pub feature: Option<FeatureName>,
    /// Why.
    pub why: LicenceError,
}

/// Reads a licence file, checking every certificate with `keys`. One bad certificate is named; the rest still loads.
#[must_use]
pub fn read(text: &str, keys: &[PublisherKey]) -> LoadReport {
    let mut report = LoadReport::default();
    if text.len() > FILE_MAX {
        report.refuse(Place { line: 1, column: 1, offset: 0, len: 0 }, None, TextError::FileTooLong(text.len()).into());
        return report;
    }
    let mut reader = Reader { lexer: Lexer::new(text), keys, report, seen: HashMap::new(), blocks: 0 };
    reader.run();
    reader.report
}

impl LoadReport {
    fn refuse(&mut self, place: Place, feature: Option<FeatureName>, why: LicenceError) {
        self.refused.push(Refused { place, feature, why });
    }
}

struct Reader<'t, 'k> {
    lexer: Lexer<'t>,
    keys: &'k [PublisherKey],
    report: LoadReport,
    /// Certificates by their bytes: the same one twice is one.
    seen: HashMap<Vec<u8>, Place>,
    blocks: usize,
}

const BLOCK: &str = "certificate";

impl<'t> Reader<'t, '_> {
    /// Prose, until something in it looks like ours.
    fn run(&mut self) {
        let mut before: Option<Token<'t>> = None;
        while let Some(token) = self.lexer.next_outside() {
            // A file of nothing but braces must not become a report many times its size.
            let too_many = self.blocks >= CERTIFICATES_MAX && token.kind == Kind::Open;
            if too_many || self.report.refused.len() >= CERTIFICATES_MAX {
                return self.report.refuse(token.place, None, TextError::TooManyCertificates.into());
            }
            match (&token.kind, before.take()) {
                (Kind::Open, Some(Token { kind: Kind::Word(BLOCK), place })) => {
                    self.blocks += 1;
                    self.block(place);
                }
                (Kind::Open, word) => self.foreign_block(word, token.place),
                (Kind::Equals, Some(Token { kind: Kind::Word(name), place })) if SETTINGS.contains(&name) => {
                    self.report.refuse(place, None, TextError::SettingOutside(name.to_owned()).into());
                }
                (Kind::Close, _) => self.report.refuse(token.place, None, TextError::CloseOutside.into()),
                _ => before = Some(token),
            }
        }
    }

    fn foreign_block(&mut self, word: Option<Token<'t>>, open: Place) {
        let (found, place) = match word {
            Some(Token { kind: Kind::Word(word), place }) => (word, place),
            _ => ("", open),
        };
        self.report.refuse(place, None, TextError::UnknownBlock(found.to_owned()).into());
        drop(self.tokens());
    }

    /// One certificate, from behind its opening brace.
    fn block(&mut self, head: Place) {
        let (tokens, closed) = self.tokens();
        let outcome = match closed {
            true => settings::certificate(&tokens, head, self.keys),
            false => Err((head, TextError::NotClosed.into())),
        };
        let (place, why) = match outcome {
            Ok(signed) => match self.seen.insert(signed.cose.clone(), head) {
                None => return self.report.applied.push(signed),
                Some(first) => (head, TextError::SameAgain(first).into()),
            },
            Err(refused) => refused,
        };
        self.report.refuse(place, settings::feature_of(&tokens), why);
    }

    /// The tokens of a block and whether it was closed. One that was not ends where the next certificate begins.
    fn tokens(&mut self) -> (Vec<Token<'t>>, bool) {
        let mut tokens: Vec<Token<'t>> = Vec::new();
        loop {
            let start = self.lexer.clone();
            let Some(token) = self.lexer.next_inside() else { return (tokens, false) };
            match token.kind {
                Kind::Close => return (tokens, true),
                Kind::Open => {
                    // Read this brace again, and the word before it, outside.
                    let word = tokens.pop_if(|t| t.kind == Kind::Word(BLOCK));
                    self.lexer = word.map_or(start, |word| self.lexer.at(word.place));
                    return (tokens, false);
                }
                _ => tokens.push(token),
            }
        }
    }
}
