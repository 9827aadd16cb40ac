//! `leasehold keygen`: a publisher's key pair.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use leasehold_protocol::{licence::PublisherSecret, vocab::Label};
use leasehold_server::clock::SystemEntropy;

use super::files::{self, PLAIN, SECRET};
use crate::{
    exit::{Exit, Failure},
    local::shell_path,
    output,
};

/// Makes NAME.key, which signs licences, and NAME.pub, which checks them.
#[derive(clap::Args, Clone, Debug)]
pub struct KeygenArgs {
    /// Who grants the licences: letters, digits and _ - . +, up to 64; it names the files, too
    #[arg(long, short, value_name = "NAME", value_parser = publisher_name)]
    pub publisher: String,

    /// Folder for the two files; made if it is not there
    #[arg(long, short, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,

    /// Replace keys that are there. Without the old .key nothing can be issued for programs that trust the old .pub
    #[arg(long)]
    pub force: bool,
}

/// Makes the keys and says what to do with them.
///
/// # Errors
/// If there are keys already, or the folder cannot be written.
pub fn keygen(args: &KeygenArgs) -> Result<Exit, Failure> {
    output::result(&make(args)?)?;
    Ok(Exit::OK)
}

/// Makes the keys; returns what to tell.
pub(super) fn make(args: &KeygenArgs) -> Result<String, Failure> {
    let name = Label::new(&args.publisher).map_err(|e| Failure::usage(format!("--publisher: {e}")))?;
    let secret = PublisherSecret::generate(&name, &mut SystemEntropy);
    let folder = &args.out;
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::new(format!("cannot make the folder {}", folder.display())).because_of(&e))?;
    let shown = if folder.as_os_str() == "." { Path::new("") } else { folder };
    let path = |ending: &str| shown.join(format!("{}.{ending}", args.publisher));
    let (secret_path, public_path) = (path("key"), path("pub"));
    if let Some(there) = [&secret_path, &public_path].into_iter().find(|path| !args.force && path.exists()) {
        return Err(files::exists(there));
    }
    files::write_whole(&secret_path, &secret.to_text(), SECRET, args.force)?;
    files::write_whole(&public_path, &secret.public().to_text(), PLAIN, args.force)?;
    Ok(next_steps(&args.publisher, &secret, &secret_path, &public_path))
}

fn next_steps(publisher: &str, secret: &PublisherSecret, key: &Path, public: &Path) -> String {
    let (id, key, public) = (secret.public().key_id(), shell_path(key), shell_path(public));
    format!(
        "made the keys of the publisher {publisher}, key id {id}\n\
         \n  {key}\n    SECRET: signs licences. Only you can read it; keep a copy in a safe place, and off servers.\
         \n  {public}\n    checks licences. For every licence server and for your program; no secret.\n\
         \nnext, make a template, sign it and look at the result:\n\
         \n  leasehold issue --example > licence.toml\
         \n  leasehold issue licence.toml --key {key} -o {publisher}.lic\
         \n  leasehold lint {publisher}.lic --publisher-key {public}\n"
    )
}

fn publisher_name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'));
    if text.is_empty() || text.len() > Label::LEN_MAX || !plain || text.starts_with(['.', '-']) {
        return Err("a publisher's name is 1 to 64 letters, digits, _ - . or +, and begins with none of . and -".into());
    }
    Ok(text.to_owned())
}
