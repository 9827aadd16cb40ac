//! The folder itself: made, checked, locked; its files read and written whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::process;

/// Why the data folder cannot be used. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It is not there and cannot be made.
    #[error("the data folder {} cannot be made: {source}; name another one by --data-dir", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else has its name.
    #[error("{} is not a folder; name another one by --data-dir", .0.display())]
    NotAFolder(PathBuf),
    /// Another server has it.
    #[error("the data folder {} is in use by {holder}; stop that server, or name another folder by --data-dir", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// A file in it cannot be read.
    #[error("{} cannot be read: {source}; check its owner and mode (chmod 600 {0})", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file in it cannot be written.
    #[error("{} cannot be written: {source}; check the folder's owner, its mode and the space left", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file in it does not say what it should.
    #[error("{} is damaged: {what}; restore it from a backup, or {remedy}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What happens without it.
        remedy: &'static str,
    },
}

/// A data folder that this server holds until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    warnings: Vec<String>,
    _lock: File,
}

/// No file of ours is longer; a longer one is not ours.
const FILE_LEN_MAX: u64 = 64 * 1024;

impl Folder {
    /// Makes the folder if it is not there, checks its mode, and takes it.
    ///
    /// # Errors
    /// If it cannot be made or used, or another server has it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        make(path)?;
        let lock = take(path)?;
        let mut folder = Self { path: path.to_owned(), warnings: Vec::new(), _lock: lock };
        folder.check_mode(path, 0o700);
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is not as it should be, each with the command that ends it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The path of `name` in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The secret in the file `name`, or `None` if there is no such file.
    ///
    /// # Errors
    /// If it is there and cannot be read, or is not text.
    pub fn read(&mut self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.join(name);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(FILE_LEN_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => {
                self.check_mode(&path, 0o600);
                Ok(Some(text))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    /// The same of a file that may be of any length.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub(crate) fn read_long(&mut self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    /// Gives the file `name` the name `to`, which survives a power cut; what had that name is gone.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub(crate) fn rename(&self, name: &str, to: &str) -> Result<(), StateError> {
        let path = self.join(name);
        let renamed = fs::rename(&path, self.join(to)).and_then(|()| sync_folder(&path));
        renamed.map_err(|source| StateError::Write { path, source })
    }

    /// Writes the file `name` whole, for its owner alone: after a power cut it is the old one or the new one, on disk
    /// before this returns.
    ///
    /// # Errors
    /// If it cannot be written; the old file is then as it was.
    pub fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        let path = self.join(name);
        write_whole(&path, text).map_err(|source| StateError::Write { path, source })
    }

    /// Removes the file `name`; one that is not there is removed already.
    ///
    /// # Errors
    /// If it is there and stays.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.join(name);
        match fs::remove_file(&path).and_then(|()| sync_folder(&path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StateError::Write { path, source }),
            Ok(()) => Ok(()),
        }
    }

    /// Makes the folder `name` in it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make_folder(&self, name: &str) -> Result<(), StateError> {
        make(&self.join(name))
    }

    /// Files of the folder `name` that end in `.extension`, in order of name. A folder that is not there has none.
    ///
    /// # Errors
    /// If it is there and cannot be listed.
    pub fn list(&self, name: &str, extension: &str) -> Result<Vec<PathBuf>, StateError> {
        let path = self.join(name);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        };
        let mut paths = entries.map_err(|source| StateError::Read { path, source })?;
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        paths.sort();
        Ok(paths)
    }

    /// Warns if `path`, here or elsewhere, lets others in: `wanted` are the bits it may have.
    pub fn check_mode(&mut self, path: &Path, wanted: u32) {
        let Ok(mode) = fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777) else { return };
        if mode & !wanted != 0 {
            let path = path.display();
            self.warnings.push(format!("{path} is open to others (mode {mode:o}): chmod {wanted:o} {path}"));
        }
    }
}

fn make(path: &Path) -> Result<(), StateError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(_) if path.exists() => Err(StateError::NotAFolder(path.to_owned())),
        Err(source) => Err(StateError::Make { path: path.to_owned(), source }),
    }
}

/// Takes the folder for this process. The system gives it back however the process ends.
fn take(folder: &Path) -> Result<File, StateError> {
    let path = folder.join("lock");
    let failed = |source| StateError::Write { path: path.clone(), source };
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let known = file.take(32).read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
            let holder = known.map_or_else(|| "another server".into(), process::describe);
            return Err(StateError::Locked { path: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// Writes the whole of a file, so that it is the old one or the new one at any time, whatever happens.
pub(crate) fn write_whole(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let temporary = path.with_added_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes.as_ref())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

/// Makes a new or removed name in the folder of `path` survive a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_and_its_files_are_for_their_owner_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(&scratch.path().join("a/b")).unwrap();
        folder.write("secret", "text").unwrap();
        assert_eq!((mode(folder.path()), mode(&folder.join("secret"))), (0o700, 0o600));
        assert_eq!(folder.read("secret").unwrap().as_deref(), Some("text"));
        assert_eq!(folder.read("other").unwrap(), None);
        assert!(folder.warnings().is_empty());
    }

    #[test]
    fn modes_that_let_others_in_are_named_with_the_command() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("state");
        drop(Folder::open(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let folder = Folder::open(&path).unwrap();
        assert!(folder.warnings()[0].ends_with(&format!("chmod 700 {}", path.display())), "{:?}", folder.warnings());
    }

    #[test]
    fn a_second_server_is_told_who_has_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let first = Folder::open(scratch.path()).unwrap();
        let refused = Folder::open(scratch.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        assert!(Folder::open(scratch.path()).is_ok());
    }

    #[test]
    fn a_file_in_the_folders_place_is_said_so() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(matches!(Folder::open(&path), Err(StateError::NotAFolder(_))));
    }
}
