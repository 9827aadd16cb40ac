//! A data folder in one file, and back (U-5). The file is a tar archive that any tool can open:
//!
//! ```text
//! backup.json        what it is: form, version, server id, when, the longest TTL, and each file with its checksum
//! files/...          the files, under their names in the data folder
//! policy.toml        the policy in force, wherever its file is
//! ```
//!
//! Everything that cannot be made anew is in it: keys, the token, licences, publishers, the ledger. The journal of leases is not: leases
//! of the time of the backup are over when it is put back, and a lease that is out proves itself by its ticket. So a server that starts on a
//! restored folder is blind for one TTL. Usage history is not in it either: it is a file of its own that any SQL tool copies.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use blake2::{Blake2s256, Digest as _};
use leasehold_protocol::{hex, time::UnixMillis};
use serde::{Deserialize, Serialize};

use crate::{
    instant::rfc3339,
    state::{Folder, StateError, write_whole},
};

/// The form of backup files that this version writes, and the newest it reads.
pub const FORM: u32 = 1;

/// The longest backup that is read, in bytes.
const LEN_MAX: u64 = 4 << 30;
const MANIFEST: &str = "backup.json";
const POLICY: &str = "policy.toml";
const FILES: &str = "files";
/// Files of a data folder that belong to a running server, or are made anew.
const LEFT_OUT: [&str; 7] =
    ["lock", "serving", "journal.0", "journal.1", "usage.sqlite", "usage.sqlite-wal", "usage.sqlite-shm"];

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORM`].
    pub form: u32,
    /// The version of the program that wrote it.
    pub version: String,
    /// Whose it is.
    pub server_id: String,
    /// When, RFC 3339.
    pub made: String,
    /// The longest TTL that leases had, in milliseconds.
    pub ttl_ms: u64,
    /// Files that the server reads and that lie elsewhere: they are not in it.
    #[serde(default)]
    pub outside: Vec<String>,
    /// Each file with its BLAKE2s-256 in hexadecimal digits.
    pub files: BTreeMap<String, String>,
}

/// Why there is no backup, or it cannot be put back. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file of the data folder.
    #[error("{} cannot be read: {source}; check its owner and mode", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no such file, or was changed.
    #[error("this is no backup that can be put back: {0}; use another one")]
    Damaged(String),
    /// A newer version wrote it.
    #[error(
        "this backup has form {0}, and this version of leasehold knows forms up to {FORM}: use the version that wrote it"
    )]
    Newer(u32),
    /// There is something in its place.
    #[error("{} is there and is not empty; name another folder by --data-dir, or put the backup in its place by --replace", .0.display())]
    InTheWay(PathBuf),
    /// The folder cannot be written, or a server runs on it.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file cannot be written.
    #[error("{} cannot be written: {source}; nothing has been changed", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is taken besides the files that lie in the folder.
#[derive(Debug, Default)]
pub struct Beside {
    /// The policy in force; empty if there is none.
    pub policy: String,
    /// Files whose bytes are not to be read from the folder, because somebody writes to them: name and bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// The longest TTL of the leases, in milliseconds.
    pub ttl_ms: u64,
    /// Files that the server reads and that lie elsewhere.
    pub outside: Vec<String>,
}

/// A backup of the data folder at `folder`.
///
/// # Errors
/// If a file cannot be read.
pub fn take(folder: &Path, beside: Beside, now: UnixMillis) -> Result<Vec<u8>, BackupError> {
    let mut files: BTreeMap<String, Vec<u8>> = beside.files.into_iter().collect();
    gather(folder, Path::new(""), &mut files)?;
    let server_id = files.get("server.id").map(|id| String::from_utf8_lossy(id).trim().to_owned()).unwrap_or_default();
    let mut named: BTreeMap<String, Vec<u8>> =
        files.into_iter().map(|(name, bytes)| (format!("{FILES}/{name}"), bytes)).collect();
    if !beside.policy.is_empty() {
        named.insert(POLICY.to_owned(), beside.policy.into_bytes());
    }
    let manifest = Manifest {
        form: FORM,
        version: crate::VERSION.to_owned(),
        server_id,
        made: rfc3339(now),
        ttl_ms: beside.ttl_ms,
        outside: beside.outside,
        files: named.iter().map(|(name, bytes)| (name.clone(), sum(bytes))).collect(),
    };
    let head = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    let mut archive = tar::Builder::new(Vec::new());
    // Writing into memory cannot fail.
    for (name, bytes) in [(MANIFEST.to_owned(), head)].into_iter().chain(named) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now.0 / 1000);
        let _ = archive.append_data(&mut header, name, &bytes[..]);
    }
    Ok(archive.into_inner().unwrap_or_default())
}

/// Everything in `folder`/`below` that belongs into a backup and is not in `files` yet.
fn gather(folder: &Path, below: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), BackupError> {
    let here = folder.join(below);
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Read { path, source }
    };
    for entry in fs::read_dir(&here).map_err(unreadable(&here))? {
        let entry = entry.map_err(unreadable(&here))?;
        let path = below.join(entry.file_name());
        let Some(name) = path.to_str().map(str::to_owned) else { continue };
        let kind = entry.file_type().map_err(unreadable(&entry.path()))?;
        // A link to a file is the file; one to a folder is not gone after, for it may lead round.
        let is_file = kind.is_file() || kind.is_symlink() && entry.path().is_file();
        if kind.is_dir() {
            gather(folder, &path, files)?;
        } else if is_file && belongs(&name) && !files.contains_key(&name) {
            files.insert(name, fs::read(entry.path()).map_err(unreadable(&entry.path()))?);
        }
    }
    Ok(())
}

fn belongs(name: &str) -> bool {
    // Half-written files of ours end in .new.
    !LEFT_OUT.contains(&name) && !name.ends_with(".new")
}

/// A backup that was read and holds together.
#[derive(Debug)]
pub struct Backup {
    /// What it says of itself.
    pub manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

impl Backup {
    /// Reads the whole of `archive` and holds every file against its checksum.
    ///
    /// # Errors
    /// If anything of it is not as it should be: then nothing is put back.
    pub fn read(archive: impl io::Read) -> Result<Self, BackupError> {
        let damaged = |e: &dyn std::fmt::Display| BackupError::Damaged(e.to_string());
        let mut found = BTreeMap::new();
        let mut archive = tar::Archive::new(io::Read::take(archive, LEN_MAX));
        for entry in archive.entries().map_err(|e| damaged(&e))? {
            let mut entry = entry.map_err(|e| damaged(&e))?;
            let name = entry.path().map_err(|e| damaged(&e))?.to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut entry, &mut bytes).map_err(|e| damaged(&e))?;
            found.insert(name, bytes);
        }
        let head = found.remove(MANIFEST).ok_or_else(|| damaged(&format!("it has no {MANIFEST}")))?;
        let manifest: Manifest = serde_json::from_slice(&head).map_err(|e| damaged(&format!("{MANIFEST}: {e}")))?;
        if manifest.form > FORM {
            return Err(BackupError::Newer(manifest.form));
        }
        check(&manifest, &found).map_err(BackupError::Damaged)?;
        Ok(Self { manifest, files: found })
    }

    /// The policy that was in force, if there was one.
    #[must_use]
    pub fn policy(&self) -> Option<&[u8]> {
        self.files.get(POLICY).map(Vec::as_slice)
    }

    /// How many files it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts it into the place of `folder`, whole or not at all. What was there is kept beside it with `replace`: where.
    ///
    /// # Errors
    /// If something is in the way, a server runs on it, or it cannot be written: then everything is as it was.
    pub fn put_back(&self, folder: &Path, replace: bool) -> Result<Option<PathBuf>, BackupError> {
        let is_there = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if is_there {
            // No server runs on it, or this says which.
            drop(Folder::open(folder)?);
            if !replace {
                return Err(BackupError::InTheWay(folder.to_owned()));
            }
        }
        let coming = folder.with_added_extension("restoring");
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| BackupError::Write { path, source }
        };
        if coming.exists() {
            fs::remove_dir_all(&coming).map_err(at(&coming))?;
        }
        self.unpack(&coming)?;
        let before = is_there.then(|| free_name(folder));
        if let Some(before) = &before {
            fs::rename(folder, before).map_err(at(before))?;
        }
        fs::rename(&coming, folder).map_err(at(folder))?;
        Ok(before)
    }

    fn unpack(&self, folder: &Path) -> Result<(), BackupError> {
        let made = Folder::open(folder)?;
        for (name, bytes) in &self.files {
            let Some(name) = name.strip_prefix("files/") else { continue };
            let path = folder.join(name);
            if let Some(parent) = Path::new(name).parent().filter(|parent| !parent.as_os_str().is_empty()) {
                made.make_folder(&parent.to_string_lossy())?;
            }
            write_whole(&path, bytes).map_err(|source| BackupError::Write { path, source })?;
        }
        // Seats may be out that this folder knows nothing of.
        made.write("serving", &format!("ttl_ms {}\n", self.manifest.ttl_ms))?;
        made.remove("lock")?;
        Ok(())
    }
}

/// What is wrong with the files of a backup, if anything is.
fn check(manifest: &Manifest, found: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    for (name, wanted) in &manifest.files {
        let bytes = found.get(name).ok_or_else(|| format!("{name} is missing"))?;
        if sum(bytes) != *wanted {
            return Err(format!("{name} is not what it was when it was written"));
        }
    }
    for name in found.keys() {
        let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || !manifest.files.contains_key(name) {
            return Err(format!("{name:?} does not belong into it"));
        }
    }
    Ok(())
}

/// A name beside `folder` that nothing has.
fn free_name(folder: &Path) -> PathBuf {
    let names = (1..).map(|n| folder.with_added_extension(format!("before-{n}")));
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| folder.with_added_extension("before"))
}

fn sum(bytes: &[u8]) -> String {
    hex::encode(&Blake2s256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_767_614_400_000);

    /// A data folder with something of everything.
    fn folder(scratch: &Path) -> PathBuf {
        let path = scratch.join("state");
        let folder = Folder::open(&path).unwrap();
        for (name, text) in [("server.id", "00000000000000aa\n"), ("ticket.key", "1 00\n"), ("serving", "ttl_ms 5\n")] {
            folder.write(name, text).unwrap();
        }
        folder.make_folder("realms/acme").unwrap();
        folder.write("realms/acme/server.key", "key\n").unwrap();
        folder.write("journal.0", "leases").unwrap();
        path
    }

    fn beside() -> Beside {
        Beside {
            policy: "rules = []\n".into(),
            files: vec![("ledger.redb".into(), vec![1, 2])],
            ttl_ms: 300_000,
            outside: vec![],
        }
    }

    #[test]
    fn a_folder_comes_back_as_it_was_and_is_careful_about_what_was_out() {
        let scratch = tempfile::tempdir().unwrap();
        let taken = take(&folder(scratch.path()), beside(), NOW).unwrap();
        let backup = Backup::read(&taken[..]).unwrap();
        let manifest = &backup.manifest;
        assert_eq!((&*manifest.server_id, &*manifest.made), ("00000000000000aa", "2026-01-05T12:00:00.000Z"));
        assert_eq!(backup.policy(), Some(&b"rules = []\n"[..]));
        let to = scratch.path().join("there");
        assert_eq!(backup.put_back(&to, false).unwrap(), None);
        let read = |name: &str| fs::read_to_string(to.join(name)).ok();
        assert_eq!(read("realms/acme/server.key").as_deref(), Some("key\n"));
        assert_eq!((fs::read(to.join("ledger.redb")).unwrap(), read("journal.0")), (vec![1, 2], None));
        assert_eq!(read("serving").as_deref(), Some("ttl_ms 300000\n"));
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(to.join("ticket.key")).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_in_the_way_is_kept_and_only_moved_when_that_is_wished() {
        let scratch = tempfile::tempdir().unwrap();
        let state = folder(scratch.path());
        let backup = Backup::read(&take(&state, beside(), NOW).unwrap()[..]).unwrap();
        fs::write(state.join("added.lic"), "since").unwrap();
        assert!(matches!(backup.put_back(&state, false), Err(BackupError::InTheWay(_))));
        let held = Folder::open(&state).unwrap();
        assert!(matches!(backup.put_back(&state, true), Err(BackupError::State(StateError::Locked { .. }))));
        drop(held);
        let before = backup.put_back(&state, true).unwrap().unwrap();
        assert!(before.join("added.lic").exists() && !state.join("added.lic").exists());
        assert_ne!(backup.put_back(&state, true).unwrap().unwrap(), before);
    }

    #[test]
    fn a_backup_that_was_changed_is_refused_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let taken = take(&folder(scratch.path()), beside(), NOW).unwrap();
        let good = Backup::read(&taken[..]).unwrap().files;
        let mut refused = 0;
        for at in 0..taken.len() {
            let mut changed = taken.clone();
            changed[at] ^= 0x20;
            match Backup::read(&changed[..]) {
                // A changed time, or a byte between two files.
                Ok(read) => assert_eq!(read.files, good, "byte {at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 1000, "{refused}");
        assert!(Backup::read(&b"no archive at all"[..]).is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let mut manifest =
            Backup::read(&take(&folder(tempfile::tempdir().unwrap().path()), beside(), NOW).unwrap()[..])
                .unwrap()
                .manifest;
        let elsewhere = "files/../../etc/passwd".to_owned();
        manifest.files = [(elsewhere.clone(), sum(b"x"))].into();
        assert!(check(&manifest, &[(elsewhere, b"x".to_vec())].into()).is_err());
    }
}
