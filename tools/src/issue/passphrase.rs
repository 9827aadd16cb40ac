//! Passphrases of secret keys: asked for, or read from a file; and what Argon2id makes of them (SPEC 7.6.3).

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use argon2::{Algorithm, Argon2, Params, Version};
use leasehold_protocol::{
    Entropy,
    licence::{PublisherSecret, SealedSecret, SecretFile, Stretch},
};
use leasehold_server::clock::SystemEntropy;
use zeroize::Zeroizing;

use super::files;
use crate::exit::{Exit, Failure};

/// Text that is wiped when it is dropped.
pub(super) type Passphrase = Zeroizing<String>;

/// What it takes to try one passphrase: 64 MiB and some 0.1 s here. RFC 9106 names it (its second choice, with one lane of four)
/// for where memory is not free.
const MEMORY_KIB: u32 = 65_536;
const PASSES: u32 = 3;

/// Asks twice for a new passphrase, or reads it from `file`.
///
/// # Errors
/// If there is nobody to ask, both differ, or there is nothing in the file.
pub(super) fn new(file: Option<&Path>) -> Result<Passphrase, Failure> {
    if let Some(file) = file {
        return from_file(file);
    }
    let first = ask("new passphrase: ")?;
    if first.is_empty() {
        return Err(Failure::usage("an empty passphrase keeps nothing secret"));
    }
    match *ask("the same again: ")? == *first {
        true => Ok(first),
        false => Err(Failure::usage("the two differ, and nothing was changed")),
    }
}

/// The key in the file `path`, with its passphrase if it is under one: from `file`, or asked for.
///
/// # Errors
/// If the file holds no secret key, or the passphrase is another one.
pub(super) fn read_secret(path: &Path, file: Option<&Path>) -> Result<PublisherSecret, Failure> {
    match read(path)? {
        SecretFile::Bare(secret) => Ok(*secret),
        SecretFile::Sealed(sealed) => {
            let passphrase = match file {
                Some(file) => from_file(file)?,
                None => ask(&format!("passphrase of {} (key {}): ", path.display(), sealed.key_id()))?,
            };
            open(path, &sealed, &passphrase)
        }
    }
}

/// What the file `path` holds.
pub(super) fn read(path: &Path) -> Result<SecretFile, Failure> {
    let text = Zeroizing::new(files::read_text(path)?);
    SecretFile::parse(&text).map_err(|e| {
        Failure::new(format!("{} is not a key to sign with", path.display()))
            .because(e)
            .remedy("make one: leasehold keygen --publisher NAME")
    })
}

pub(super) fn open(path: &Path, sealed: &SealedSecret, passphrase: &str) -> Result<PublisherSecret, Failure> {
    let key = stretch(passphrase, sealed.stretch())?;
    sealed
        .open(&key)
        .map_err(|e| Failure::new(format!("{} stays closed", path.display())).because(e).exit(Exit::DENIED))
}

/// `secret` as a file, under `passphrase` if there is one.
pub(super) fn to_text(secret: &PublisherSecret, passphrase: Option<&Passphrase>) -> Result<Zeroizing<String>, Failure> {
    let Some(passphrase) = passphrase else { return Ok(secret.to_text()) };
    let mut salt = [0; 16];
    SystemEntropy.fill(&mut salt);
    let how = Stretch { memory_kib: MEMORY_KIB, passes: PASSES, lanes: 1, salt };
    Ok(Zeroizing::new(SealedSecret::seal(secret, how, &*stretch(passphrase, &how)?).to_text()))
}

fn stretch(passphrase: &str, how: &Stretch) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let failed = |e: argon2::Error| Failure::new("the passphrase cannot be used").because(e);
    let params = Params::new(how.memory_kib, how.passes, how.lanes, Some(32)).map_err(failed)?;
    let mut key = Zeroizing::new([0; 32]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(passphrase.as_bytes(), &how.salt, &mut *key).map_err(failed)?;
    Ok(key)
}

/// The first line of `file`.
fn from_file(file: &Path) -> Result<Passphrase, Failure> {
    let text = Zeroizing::new(files::read_text(file)?);
    let line = text.lines().next().unwrap_or_default();
    match line.is_empty() {
        true => Err(Failure::usage(format!("{} begins with no passphrase", file.display()))),
        false => Ok(Zeroizing::new(line.to_owned())),
    }
}

fn ask(prompt: &str) -> Result<Passphrase, Failure> {
    let nobody = |why: String| {
        Failure::usage("this key takes a passphrase, and there is no terminal to ask for it")
            .because(why)
            .remedy("name a file that only you can read: --passphrase-file FILE")
    };
    if !std::io::stderr().is_terminal() {
        return Err(nobody("standard error is no terminal".to_owned()));
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|e| nobody(e.to_string()))
}

/// Where a passphrase is read from.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct PassphraseArgs {
    /// File whose first line is the passphrase of the secret key [default: asked for, if the key is under one]
    #[arg(long, env = "LEASEHOLD_KEY_PASSPHRASE_FILE", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
}
