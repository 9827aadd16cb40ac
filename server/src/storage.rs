//! Files that must lose nothing, behind one trait: so that a test can put a disk under them that tears, reorders and fails.
//!
//! What is written is there for every later reader at once, and is there after a crash of this process. After a crash of the
//! machine only what was written before a [`Stored::sync`] that succeeded is there for certain; of what came later any part may be,
//! in any order.
//!
//! | module | owns |
//! |---|---|
//! | `disk` | a folder of the file system |
//! | `faulty` | a disk in memory that crashes, tears and fails as a test wants it |

mod disk;
#[cfg(test)]
pub(crate) mod faulty;

use std::{fmt, io, path::PathBuf, sync::Arc};

pub use disk::Disk;

/// A folder of files.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Opens the file `name` for reading and writing; an empty one is made if there is none, and its name is durable then.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>>;

    /// Opens the file `name` if it is there, for reading: nothing is made or changed.
    ///
    /// # Errors
    /// What the system says, but that it is not there.
    fn open_existing(&self, name: &str) -> io::Result<Option<Arc<dyn Stored>>>;

    /// Where the file `name` is, for people.
    fn path(&self, name: &str) -> PathBuf;
}

/// One open file.
pub trait Stored: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has none.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads the bytes from `at` on, as many as `out` has.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::UnexpectedEof`] if there are fewer.
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` from `at` on.
    ///
    /// # Errors
    /// What the system says; some of the bytes may be written then.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes it `len` bytes long. What is added reads as zeros, and its place on the disk is taken now: writing there does not fail for
    /// want of space later.
    ///
    /// # Errors
    /// What the system says, [`io::ErrorKind::StorageFull`] above all; it is as long as before then.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written before is on the disk.
    ///
    /// # Errors
    /// What the system says. What was written since the last success may be lost then, and syncing again does not bring it back: it has to be
    /// written again, elsewhere.
    fn sync(&self) -> io::Result<()>;

    /// Whether it still has a name: one that somebody has removed is lost when it is closed.
    ///
    /// # Errors
    /// What the system says.
    fn is_linked(&self) -> io::Result<bool>;
}
