//! `leasehold backup` and `leasehold restore`: a server's state folder in one file, and back (U-5).

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use hyper::{Method, body::Bytes};
use leasehold_server::backup::{Backup, Manifest};
use serde_json::json;

use crate::{
    block_on,
    exit::{Exit, Failure},
    human::count,
    local::{LocalArgs, RestArgs, full_shell_path, shell_path},
    output::{self, GOOD, WARN, paint},
    say,
};

/// Where to.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Asks the running server, which goes on serving. In the file is everything that cannot be made anew: keys, the token, licences, publishers, the
policy, the ledger with its audit. Not in it: the leases that are out (they prove themselves by their tickets), usage history, and files
that the configuration names elsewhere. Whoever has the file has the server's keys: keep it as you keep those.

Examples:
  leasehold backup /backup/leasehold-$(date +%F).tar
  leasehold restore /backup/leasehold-2026-11-27.tar --data-dir /var/lib/leasehold")]
pub struct BackupArgs {
    /// The file to write; one that is there is replaced
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    rest: RestArgs,
}

/// From where, and where to.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The backup is read and checked whole before anything is written, and put in place in one step. No server may run on the folder. The
server that is started on it then grants only to programs that hold a seat, for one TTL: it cannot know what was granted since.

Exit status: 0 done; 1 the backup is damaged or something is in the way, and nothing was changed.

Examples:
  leasehold restore leasehold.tar --check                      is it whole, and what is in it
  leasehold restore leasehold.tar --data-dir /var/lib/leasehold
  leasehold restore leasehold.tar --replace                    what is there is kept beside it")]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Put it in the place of what is there, which is kept beside it
    #[arg(long)]
    replace: bool,

    /// Only read it, and say what it is
    #[arg(long, conflicts_with = "replace")]
    check: bool,

    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    local: LocalArgs,
}

/// Takes a backup.
///
/// # Errors
/// If no server answers, or the file cannot be written.
pub fn back_up(args: &BackupArgs) -> Result<Exit, Failure> {
    let rest = args.rest.rest()?;
    let bytes = block_on(rest.bytes(Method::GET, "/api/v1/backup", Bytes::new()))?;
    // What was written is what will be read.
    let backup = Backup::read(&bytes[..]).map_err(|e| Failure::new("the server sent no backup").because_of(&e))?;
    write_whole(&args.file, &bytes).map_err(|e| {
        Failure::new(format!("{} cannot be written", args.file.display())).because_of(&e).remedy("name another file")
    })?;
    let Manifest { server_id, outside, made, .. } = &backup.manifest;
    if args.json {
        let (file, bytes, files) = (&args.file, bytes.len(), backup.len());
        output::json(&json!({
            "schema": 1, "file": file, "bytes": bytes, "files": files, "server_id": server_id, "made": made, "outside": outside,
        }))?;
        return Ok(Exit::OK);
    }
    for path in outside {
        say!("{} {path} lies outside the state folder and is not in it", paint(WARN, "!"));
    }
    let (what, files) = (shell_path(&args.file), count(backup.len() as u64, "file"));
    output::result(&format!("{} {what}: {files} of server {server_id}, {} KiB", paint(GOOD, "✓"), bytes.len() / 1024))?;
    Ok(Exit::OK)
}

/// Puts a backup back.
///
/// # Errors
/// If it is damaged, something is in the way, or it cannot be written.
pub fn restore(args: &RestoreArgs) -> Result<Exit, Failure> {
    let name = args.file.display();
    let file = File::open(&args.file).map_err(|e| Failure::new(format!("{name} cannot be read")).because_of(&e))?;
    let backup = Backup::read(std::io::BufReader::new(file))
        .map_err(|e| Failure::new(format!("{name} is not put back")).because_of(&e))?;
    let folder = args.local.settings()?.data_dir;
    let before = if args.check {
        None
    } else {
        let put = backup.put_back(&folder, args.replace);
        put.map_err(|e| Failure::new(format!("{name} is not put back")).because_of(&e))?
    };
    if args.json {
        let folder = (!args.check).then_some(&folder);
        output::json(&json!({ "schema": 1, "backup": backup.manifest, "folder": folder, "before": before }))?;
        return Ok(Exit::OK);
    }
    output::result(&told(&backup, (!args.check).then_some(&folder), before.as_deref()))?;
    Ok(Exit::OK)
}

fn told(backup: &Backup, folder: Option<&PathBuf>, before: Option<&Path>) -> String {
    let Manifest { server_id, made, version, outside, .. } = &backup.manifest;
    let files = count(backup.len() as u64, "file");
    let mut lines =
        vec![format!("{} {files} of server {server_id}, taken {made} by leasehold {version}", paint(GOOD, "✓"))];
    if let Some(folder) = folder {
        lines.push(format!("  put in place as {}", full_shell_path(folder)));
    }
    if let Some(before) = before {
        lines.push(format!("  what was there is in {}", full_shell_path(before)));
    }
    if backup.policy().is_some() {
        lines.push("  the policy that was in force is in it: tar -xOf FILE policy.toml".to_owned());
    }
    lines.extend(
        outside.iter().map(|path| format!("{} {path} was outside of it: put it back yourself", paint(WARN, "!"))),
    );
    if folder.is_some() {
        lines.push("  the server started on it grants only to programs that hold a seat, for one TTL".to_owned());
    }
    lines.join("\n")
}

/// Writes a file with secrets, for its owner alone: the old one or the new one, whatever happens.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let coming = path.with_added_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&coming)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&coming, path)
}
