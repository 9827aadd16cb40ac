//! The text files publishers' keys live in: `name = value` lines and `#` comments, the kind and format first.

use zeroize::Zeroizing;

use super::{KeyId, PublisherKey, PublisherSecret, SealedSecret, SecretFile};
use crate::{hex, licence::nearest::nearest, vocab::Label};

/// Why a key file is refused. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Not a key file at all.
    #[error("line {line}: not a leasehold key file: expected {expected:?} as the first setting")]
    NotAKeyFile {
        /// Where something else stands.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The secret half where the public one belongs.
    #[error(
        "this is a SECRET key file; the .pub file beside it belongs here, and the secret one stays with the publisher"
    )]
    SecretGiven,
    /// The public half where the secret one belongs.
    #[error("this is a public key file, and signing needs the .key file beside it")]
    PublicGiven,
    /// A secret under a passphrase where there is none to give.
    #[error("this key is under a passphrase, and none was given")]
    Sealed,
    /// A file of a newer format.
    #[error("line {line}: key file format {found:?}; this build reads format 1: update leasehold")]
    Format {
        /// Where.
        line: usize,
        /// Which format.
        found: String,
    },
    /// A line that is no setting.
    #[error("line {line}: expected \"name = value\"")]
    NotASetting {
        /// Where.
        line: usize,
    },
    /// A setting key files do not have.
    #[error("line {line}: unknown setting {found:?}{}", suggestion(*.meant))]
    Unknown {
        /// Where.
        line: usize,
        /// What stands there.
        found: String,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// A setting for the second time.
    #[error("line {line}: {name} is set a second time")]
    Twice {
        /// Where.
        line: usize,
        /// Which.
        name: &'static str,
    },
    /// A setting that is not there.
    #[error("the setting {0:?} is missing")]
    Missing(&'static str),
    /// A value that is not one.
    #[error("line {line}: {name} must be {expected}")]
    Value {
        /// Where.
        line: usize,
        /// Of which setting.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// 32 bytes that are no public key.
    #[error("line {line}: key is not an Ed25519 public key: the file is damaged")]
    NotAPoint {
        /// Where.
        line: usize,
    },
    /// The key does not fit its own name.
    #[error(
        "line {line}: key-id is {stated} and the key's id is {actual}: the file is damaged or was put together from two"
    )]
    Id {
        /// Where.
        line: usize,
        /// What the file says.
        stated: KeyId,
        /// What the key is.
        actual: KeyId,
    },
}

fn suggestion(meant: Option<&str>) -> String {
    meant.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}

/// Which half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Public,
    Secret,
}

/// A public file.
pub(super) struct File {
    pub(super) publisher: Label,
    pub(super) id: (KeyId, usize),
    pub(super) key: Zeroizing<[u8; 32]>,
    pub(super) key_line: usize,
}

/// The settings of a file, by [`NAMES`]: value and line.
type Settings<'a> = [Option<Found<'a>>; 5];

const FORMAT: &str = "1";
const NAMES: [&str; 5] = ["publisher", "key-id", "algorithm", "key", SEALED];
/// Of a secret file alone.
const SEALED: &str = "sealed-key";

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Public => "leasehold-publisher-key",
            Self::Secret => "leasehold-secret-key",
        }
    }

    const fn first_line(self) -> &'static str {
        match self {
            Self::Public => "leasehold-publisher-key = 1",
            Self::Secret => "leasehold-secret-key = 1",
        }
    }
}

pub(super) fn read_public(text: &str) -> Result<File, KeyFileError> {
    let found = read(text, Kind::Public)?;
    let (publisher, id) = whose(&found)?;
    let (key, key_line) = bare(&found)?;
    Ok(File { publisher, id, key, key_line })
}

pub(super) fn read_secret(text: &str) -> Result<SecretFile, KeyFileError> {
    let found = read(text, Kind::Secret)?;
    let (publisher, id) = whose(&found)?;
    if let Some(sealed) = found[4] {
        return match found[3] {
            Some((_, line)) => Err(KeyFileError::Value { line, name: "key", expected: "left out beside sealed-key" }),
            None => Ok(SecretFile::Sealed(Box::new(SealedSecret::new(publisher, id, sealed)?))),
        };
    }
    let secret = PublisherSecret::of(publisher, &bare(&found)?.0);
    check_id(id, secret.public.id)?;
    Ok(SecretFile::Bare(Box::new(secret)))
}

fn read(text: &str, kind: Kind) -> Result<Settings<'_>, KeyFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = settings(text);
    check_kind(lines.next(), kind)?;
    let names = if kind == Kind::Secret { &NAMES[..] } else { &NAMES[..4] };
    let mut found = Settings::default();
    for (line, setting) in lines {
        let (name, value) = setting.ok_or(KeyFileError::NotASetting { line })?;
        let unknown =
            || KeyFileError::Unknown { line, found: name.to_owned(), meant: nearest(name, names.iter().copied()) };
        let which = names.iter().position(|n| *n == name).ok_or_else(unknown)?;
        if found[which].replace((value, line)).is_some() {
            return Err(KeyFileError::Twice { line, name: NAMES[which] });
        }
    }
    Ok(found)
}

/// Each line that says something, as `name` and `value`; lines end at any of CR, LF and CRLF.
fn settings(text: &str) -> impl Iterator<Item = (usize, Option<(&str, &str)>)> {
    let (mut line, mut after_cr) = (0, false);
    let lines = text.split_inclusive(['\n', '\r']).map(move |raw| {
        // The LF of a CRLF ends no line of its own.
        line += usize::from(!(after_cr && raw == "\n"));
        after_cr = raw.ends_with('\r');
        (line, raw.trim_ascii())
    });
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(at, line)| (at, line.split_once('=').map(|(name, value)| (name.trim_ascii(), value.trim_ascii()))))
}

fn check_kind(first: Option<(usize, Option<(&str, &str)>)>, kind: Kind) -> Result<(), KeyFileError> {
    let not_ours = |line| KeyFileError::NotAKeyFile { line, expected: kind.first_line() };
    let (line, setting) = first.ok_or(not_ours(1))?;
    let (name, format) = setting.ok_or(not_ours(line))?;
    match kind {
        _ if name == kind.word() && format == FORMAT => Ok(()),
        _ if name == kind.word() => Err(KeyFileError::Format { line, found: format.to_owned() }),
        Kind::Public if name == Kind::Secret.word() => Err(KeyFileError::SecretGiven),
        Kind::Secret if name == Kind::Public.word() => Err(KeyFileError::PublicGiven),
        _ => Err(not_ours(line)),
    }
}

type Found<'a> = (&'a str, usize);

fn get<'a>(found: &Settings<'a>, which: usize) -> Result<Found<'a>, KeyFileError> {
    found[which].ok_or(KeyFileError::Missing(NAMES[which]))
}

const fn bad(name: &'static str, line: usize, expected: &'static str) -> KeyFileError {
    KeyFileError::Value { line, name, expected }
}

/// Whose key it is, and its name.
fn whose(found: &Settings<'_>) -> Result<(Label, (KeyId, usize)), KeyFileError> {
    let (publisher, id, algorithm) = (get(found, 0)?, get(found, 1)?, get(found, 2)?);
    if algorithm.0 != "ed25519" {
        return Err(bad("algorithm", algorithm.1, "ed25519, the one algorithm this build knows"));
    }
    let name = publisher.0.strip_prefix('"').and_then(|n| n.strip_suffix('"')).unwrap_or(publisher.0);
    let publisher = Label::new(name).map_err(|_| bad("publisher", publisher.1, "a name of 1 to 64 bytes"))?;
    let stated = hex::decode(id.0).map(KeyId).ok_or(bad("key-id", id.1, "8 hexadecimal digits"))?;
    Ok((publisher, (stated, id.1)))
}

/// The 32 bytes, and their line.
fn bare(found: &Settings<'_>) -> Result<(Zeroizing<[u8; 32]>, usize), KeyFileError> {
    let (key, line) = get(found, 3)?;
    let bytes = hex::decode(key).map(Zeroizing::new).ok_or(bad("key", line, "64 hexadecimal digits"))?;
    Ok((bytes, line))
}

pub(super) fn check_id((stated, line): (KeyId, usize), actual: KeyId) -> Result<(), KeyFileError> {
    match stated == actual {
        true => Ok(()),
        false => Err(KeyFileError::Id { line, stated, actual }),
    }
}

const SECRET: &str = "\
# SECRET. Whoever has this file can issue licences in the publisher's name.
# Keep it off licence servers, out of e-mail and out of version control, and
# keep a copy in a safe place: nobody can make it again.
";

const UNDER_A_PASSPHRASE: &str = "\
# Under a passphrase: without it this file signs nothing, and nobody can make
# either of them again. Other passphrase: leasehold keygen --change-passphrase.
";

pub(super) fn write_public(key: &PublisherKey) -> String {
    let head = head(Kind::Public, &key.publisher, key.id);
    format!(
        "# The public key of a publisher of licences. Servers and programs check the\n\
         # publisher's licences with it. It is no secret: give it to every customer.\n{head}key = {}\n",
        hex::encode(key.bytes())
    )
}

pub(super) fn write_secret(secret: &PublisherSecret) -> Zeroizing<String> {
    let key = Zeroizing::new(hex::encode(secret.signing.as_bytes()));
    let head = head(Kind::Secret, &secret.public.publisher, secret.public.id);
    Zeroizing::new(format!("{SECRET}{head}key = {}\n", *key))
}

pub(super) fn write_sealed(publisher: &Label, id: KeyId, sealed: &str) -> String {
    format!("{SECRET}{UNDER_A_PASSPHRASE}{}{SEALED} = {sealed}\n", head(Kind::Secret, publisher, id))
}

fn head(kind: Kind, publisher: &Label, id: KeyId) -> String {
    let name = publisher.as_str();
    let plain = name.trim_ascii() == name && !name.starts_with('"');
    let quote = if plain { "" } else { "\"" };
    format!("{}\npublisher = {quote}{name}{quote}\nkey-id = {id}\nalgorithm = ed25519\n", kind.first_line())
}
