//! From one key to the next, without an instant at which a secret is nowhere: what was cut off half way is gone on with by the
//! same command.

use std::{fs, io, path::Path};

use leasehold_protocol::licence::{KeyId, PublisherKey, SecretFile};

use super::{KeygenArgs, Pair, new_passphrase};
use crate::{
    exit::Failure,
    issue::{files, passphrase},
    local::shell_path,
};

/// Makes the next pair the current one; returns what to tell.
pub(in crate::issue) fn rotate(args: &KeygenArgs) -> Result<String, Failure> {
    let (current, next) = (Pair::current(args), Pair::next(args));
    if !current.key.exists() {
        let failure = Failure::new(format!("{} is not there: there is nothing to rotate", current.key.display()));
        return Err(failure.remedy(format!("make keys: leasehold keygen --publisher {}", args.publisher)));
    }
    let mut said = Vec::new();
    if next.key.exists() {
        let old = id_of(&current.key)?;
        let new = id_of(&next.key)?;
        let kept = Pair::named(args, &format!(".{old}"));
        keep(&current.key, &kept.key)?;
        keep(&current.public, &kept.public)?;
        rename(&next.key, &current.key)?;
        said.push(format!(
            "from now on {} is key {new}; key {old} is kept as {}",
            shell_path(&current.key),
            shell_path(&kept.key)
        ));
        said.push(format!(
            "leave {} on servers and in programs as long as licences that it signed live",
            shell_path(&kept.public)
        ));
    }
    finish_public(&current, &next, &mut said)?;
    let is_sealed = matches!(passphrase::read(&current.key)?, SecretFile::Sealed(_));
    let passphrase = new_passphrase(&KeygenArgs { passphrase: args.passphrase || is_sealed, ..args.clone() })?;
    let key = next.make(args, passphrase.as_ref())?;
    said.push(format!(
        "made key {} as the next one: give {} to servers and programs, and lock {} away",
        key.key_id(),
        shell_path(&next.public),
        shell_path(&next.key)
    ));
    Ok(lines(&said))
}

/// The public half follows the secret one. What stands in `next` and fits neither is left of a pair that was not finished.
fn finish_public(current: &Pair, next: &Pair, said: &mut Vec<String>) -> Result<(), Failure> {
    if next.key.exists() || !next.public.exists() {
        return Ok(());
    }
    let text = files::read_text(&next.public)?;
    let public = PublisherKey::parse(&text)
        .map_err(|e| Failure::new(format!("{} is no public key", next.public.display())).because(e))?;
    if public.key_id() == id_of(&current.key)? {
        return rename(&next.public, &current.public);
    }
    said.push(format!("{} had no secret half, and was replaced", shell_path(&next.public)));
    fs::remove_file(&next.public).map_err(|e| failed("remove", &next.public, &e))
}

fn id_of(key: &Path) -> Result<KeyId, Failure> {
    Ok(passphrase::read(key)?.key_id())
}

/// A second name for the file `from`. If there is a file of that name, it must be this one.
fn keep(from: &Path, to: &Path) -> Result<(), Failure> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let same = files::read_text(from)? == files::read_text(to)?;
            if same { Ok(()) } else { Err(files::exists(to)) }
        }
        // A disk without hard links: a copy.
        Err(_) => {
            let mode = if to.extension().is_some_and(|ending| ending == "key") { files::SECRET } else { files::PLAIN };
            files::write_whole(to, &zeroize::Zeroizing::new(files::read_text(from)?), mode, false)
        }
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(|e| failed("rename", from, &e))?;
    // The names are on the disk before the next step is taken.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed("write", folder, &e))
}

fn failed(what: &str, path: &Path, e: &io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}", path.display())).because_of(e)
}

fn lines(said: &[String]) -> String {
    said.iter().map(|line| format!("{line}\n")).collect()
}
