//! `leasehold keygen`: a publisher's keys: the current pair and the next one, their rotation, their passphrase.

mod rotate;

pub(super) use rotate::rotate;

use std::path::{Path, PathBuf};

use clap::ValueHint;
use leasehold_protocol::{
    licence::{PublisherKey, PublisherSecret, SecretFile},
    vocab::Label,
};
use leasehold_server::clock::SystemEntropy;

use super::{
    files::{self, PLAIN, SECRET},
    passphrase::{self, Passphrase, PassphraseArgs},
};
use crate::{
    exit::{Exit, Failure},
    local::shell_path,
    output,
};

/// Makes a publisher's keys: NAME.key, which signs licences, NAME.pub, which checks them, and the pair that comes next. Also
/// rotates them, and changes a key's passphrase.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct KeygenArgs {
    /// Who grants the licences: letters, digits and _ - . +, up to 64; it names the files, too
    #[arg(long, short, value_name = "NAME", value_parser = publisher_name, required_unless_present = "change_passphrase",
        default_value = "", hide_default_value = true)]
    pub publisher: String,

    /// Folder for the files; made if it is not there
    #[arg(long, short, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,

    /// Replace keys that are there. Without the old .key nothing can be issued for programs that trust the old .pub
    #[arg(long)]
    pub force: bool,

    /// Make the next pair the current one, keep the old one under its key id, and make a new next one
    #[arg(long, conflicts_with = "force")]
    pub rotate: bool,

    /// Put the secret keys under a passphrase, which is asked for, or is in --passphrase-file
    #[arg(long)]
    pub passphrase: bool,

    /// Change the passphrase of a secret key, or put it under one; asks for both, or reads them from --passphrase-file and
    /// --new-passphrase-file
    #[arg(long, value_name = "NAME.key", conflicts_with_all = ["publisher", "rotate", "force", "passphrase"],
        value_hint = ValueHint::FilePath)]
    pub change_passphrase: Option<PathBuf>,

    /// File whose first line is the new passphrase
    #[arg(long, value_name = "FILE", requires = "change_passphrase", value_hint = ValueHint::FilePath)]
    pub new_passphrase_file: Option<PathBuf>,

    /// Take the passphrase off, instead of changing it
    #[arg(long, requires = "change_passphrase", conflicts_with = "new_passphrase_file")]
    pub bare: bool,

    #[command(flatten)]
    pub from: PassphraseArgs,
}

/// Makes the keys and says what to do with them.
///
/// # Errors
/// If there are keys already, or the folder cannot be written.
pub fn keygen(args: &KeygenArgs) -> Result<Exit, Failure> {
    let said = match (&args.change_passphrase, args.rotate) {
        (Some(key), _) => change_passphrase(args, key)?,
        (None, true) => rotate(args)?,
        (None, false) => make(args)?,
    };
    output::result(&said)?;
    Ok(Exit::OK)
}

/// Makes both pairs; returns what to tell.
pub(super) fn make(args: &KeygenArgs) -> Result<String, Failure> {
    let (current, next) = (Pair::current(args), Pair::next(args));
    std::fs::create_dir_all(&args.out)
        .map_err(|e| Failure::new(format!("cannot make the folder {}", args.out.display())).because_of(&e))?;
    let there = [&current.key, &current.public, &next.key, &next.public].into_iter().find(|path| path.exists());
    if let Some(there) = there.filter(|_| !args.force) {
        return Err(files::exists(there));
    }
    let passphrase = new_passphrase(args)?;
    let key = current.make(args, passphrase.as_ref())?;
    next.make(args, passphrase.as_ref())?;
    Ok(next_steps(args, &key, passphrase.is_some()))
}

/// Two files of one pair.
struct Pair {
    key: PathBuf,
    public: PathBuf,
}

impl Pair {
    fn current(args: &KeygenArgs) -> Self {
        Self::named(args, "")
    }

    fn next(args: &KeygenArgs) -> Self {
        Self::named(args, ".next")
    }

    fn named(args: &KeygenArgs, which: &str) -> Self {
        let shown = if args.out.as_os_str() == "." { Path::new("") } else { &args.out };
        let path = |ending: &str| shown.join(format!("{}{which}.{ending}", args.publisher));
        Self { key: path("key"), public: path("pub") }
    }

    /// Makes it. The public half first: one without the other is no loss then.
    fn make(&self, args: &KeygenArgs, passphrase: Option<&Passphrase>) -> Result<PublisherKey, Failure> {
        let name = Label::new(&args.publisher).map_err(|e| Failure::usage(format!("--publisher: {e}")))?;
        let secret = PublisherSecret::generate(&name, &mut SystemEntropy);
        let text = passphrase::to_text(&secret, passphrase)?;
        files::write_whole(&self.public, &secret.public().to_text(), PLAIN, args.force)?;
        files::write_whole(&self.key, &text, SECRET, args.force)?;
        Ok(secret.public())
    }
}

/// The passphrase new keys get, if they get one.
fn new_passphrase(args: &KeygenArgs) -> Result<Option<Passphrase>, Failure> {
    let file = args.from.passphrase_file.as_deref();
    (args.passphrase || file.is_some()).then(|| passphrase::new(file)).transpose()
}

pub(super) fn change_passphrase(args: &KeygenArgs, path: &Path) -> Result<String, Failure> {
    let was = match passphrase::read(path)? {
        SecretFile::Bare(_) => "was under no passphrase",
        SecretFile::Sealed(_) => "was under another passphrase",
    };
    let secret = passphrase::read_secret(path, args.from.passphrase_file.as_deref())?;
    let passphrase = match args.bare {
        true => None,
        false => Some(passphrase::new(args.new_passphrase_file.as_deref())?),
    };
    files::write_whole(path, &passphrase::to_text(&secret, passphrase.as_ref())?, SECRET, true)?;
    let (key, id) = (shell_path(path), secret.public().key_id());
    let is = if args.bare { "is under none now: keep it to yourself" } else { "is under a new one now" };
    Ok(format!("{key} (key {id}) {was}, and {is}. Copies of the file that were made before are as they were.\n"))
}

fn next_steps(args: &KeygenArgs, key: &PublisherKey, sealed: bool) -> String {
    let (current, next) = (Pair::current(args), Pair::next(args));
    let [secret, public] = [&current.key, &current.public].map(|path| shell_path(path));
    let [next_secret, next_public] = [&next.key, &next.public].map(|path| shell_path(path));
    let publisher = &args.publisher;
    let guard = if sealed { "Under your passphrase" } else { "Only you can read it" };
    format!(
        "made the keys of the publisher {publisher}, key id {}\n\
         \n  {secret}\n    SECRET: signs licences. {guard}; keep a copy in a safe place, and off servers.\
         \n  {public}\n    checks licences. For every licence server and for your program; no secret.\
         \n  {next_secret}, {next_public}\n    the pair that comes next. Give the .pub to servers and programs today, beside the other; lock the .key away.\
         \n    `leasehold keygen --publisher {publisher} --rotate` changes to it, and nobody has to be told.\n\
         \nnext, make a template, sign it and look at the result:\n\
         \n  leasehold issue --example > licence.toml\
         \n  leasehold issue licence.toml --key {secret} -o {publisher}.lic\
         \n  leasehold lint {publisher}.lic --publisher-key {public}\n",
        key.key_id()
    )
}

fn publisher_name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'));
    if text.is_empty() || text.len() > Label::LEN_MAX || !plain || text.starts_with(['.', '-']) {
        return Err("a publisher's name is 1 to 64 letters, digits, _ - . or +, and begins with none of . and -".into());
    }
    Ok(text.to_owned())
}
