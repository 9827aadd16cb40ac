//! A folder of the file system.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::{Storage, Stored};

/// The files of one folder, each for its owner alone.
#[derive(Clone, Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// The files of `folder`, which is there.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

impl Storage for Disk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        let path = self.path(name);
        let is_new = !fs::exists(&path)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(Arc::new(file))
    }

    fn open_existing(&self, name: &str) -> io::Result<Option<Arc<dyn Stored>>> {
        match File::open(self.path(name)) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Stored for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, at)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.metadata()?.len();
        if len <= now {
            return Self::set_len(self, len);
        }
        match fallocate(self, FallocateFlags::empty(), now, len - now) {
            // A file system that cannot take the place in advance.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Self::set_len(self, len),
            done => Ok(done?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_was_written_and_takes_its_place_in_advance() {
        let scratch = tempfile::tempdir().unwrap();
        let disk = Disk::new(scratch.path());
        assert!(disk.open_existing("a").unwrap().is_none());
        let file = disk.open("a").unwrap();
        file.set_len(8192).unwrap();
        file.write_at(4096, b"here").unwrap();
        file.sync().unwrap();
        let (read, blocks) =
            (disk.open_existing("a").unwrap().unwrap(), fs::metadata(disk.path("a")).unwrap().blocks());
        let mut out = [9; 5];
        read.read_at(4095, &mut out).unwrap();
        assert_eq!((&out, read.len().unwrap()), (b"\0here", 8192));
        assert!(blocks * 512 >= 8192, "{blocks} blocks");
        assert_eq!(read.read_at(8190, &mut out).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.set_len(10).unwrap();
        assert_eq!(read.len().unwrap(), 10);
    }

    #[test]
    fn a_file_that_lost_its_name_says_so() {
        let scratch = tempfile::tempdir().unwrap();
        let disk = Disk::new(scratch.path());
        let file = disk.open("a").unwrap();
        assert!(file.is_linked().unwrap());
        fs::remove_file(disk.path("a")).unwrap();
        assert!(!file.is_linked().unwrap());
    }
}
