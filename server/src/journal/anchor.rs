//! How far the log has come, written down outside the data folder (T-4): so that a data folder that was put back, or one that was
//! removed, is noticed at the next start.
//!
//! It is written with every sync and not synced itself: after the power was cut it may be behind, and then it says nothing.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use leasehold_protocol::hex;

use crate::state::lock;

/// The file beside the data folder.
#[derive(Debug)]
pub(crate) struct Anchor {
    path: PathBuf,
    /// `None` if it cannot be written.
    file: Option<Mutex<File>>,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchored {
    pub(crate) server_id: u64,
    pub(crate) round: u64,
    /// The longest TTL that was granted for.
    pub(crate) ttl_ms: u64,
}

const HEAD: &str = "leasehold-anchor 1";
/// Numbers have all their digits, so that one line takes the place of another.
const LEN: usize = HEAD.len() + 3 * 21 + 1;

impl Anchor {
    /// Where the anchor of the data folder `folder` is: beside it.
    pub(crate) fn path_of(folder: &Path) -> PathBuf {
        folder.with_added_extension("anchor")
    }

    /// Opens it; what it said before, and why it cannot be written, if so.
    pub(crate) fn open(path: PathBuf) -> (Self, Option<Anchored>, Option<io::Error>) {
        let before = read(&path);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let (file, error) = match opened {
            Ok(file) => (Some(Mutex::new(file)), None),
            Err(e) => (None, Some(e)),
        };
        (Self { path, file }, before, error)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes that the log has come as far as this.
    pub(crate) fn write(&self, anchored: &Anchored) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        lock(file).write_all_at(anchored.line().as_bytes(), 0)
    }
}

impl Anchored {
    fn line(&self) -> String {
        let Self { server_id, round, ttl_ms } = self;
        format!("{HEAD} {server_id:020x} {round:020} {ttl_ms:020}\n")
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(HEAD)?.split_ascii_whitespace();
        let server_id = hex::decode::<8>(words.next()?.get(4..)?).map(u64::from_be_bytes)?;
        let (round, ttl_ms) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { server_id, round, ttl_ms })
    }
}

fn read(path: &Path) -> Option<Anchored> {
    let mut line = String::new();
    File::open(path).ok()?.take(LEN as u64).read_to_string(&mut line).ok()?;
    Anchored::read(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_is_what_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = Anchor::path_of(&scratch.path().join("data"));
        assert_eq!(path.file_name().unwrap(), "data.anchor");
        let (anchor, before, error) = Anchor::open(path.clone());
        assert!(before.is_none() && error.is_none());
        let mut said = Anchored { server_id: u64::MAX, round: u64::MAX, ttl_ms: 300_000 };
        anchor.write(&said).unwrap();
        said.round = 7;
        anchor.write(&said).unwrap();
        assert_eq!(Anchor::open(path.clone()).1, Some(said));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LEN as u64);
        std::fs::write(&path, "leasehold-anchor 1 what").unwrap();
        assert_eq!(Anchor::open(path).1, None);
    }

    #[test]
    fn where_it_cannot_be_written_the_server_goes_on() {
        let scratch = tempfile::tempdir().unwrap();
        let (anchor, _, error) = Anchor::open(scratch.path().join("no/such/folder.anchor"));
        assert!(error.is_some());
        anchor.write(&Anchored { server_id: 1, round: 1, ttl_ms: 1 }).unwrap();
    }
}
