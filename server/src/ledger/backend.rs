//! What redb reads and writes: our file. It remembers what went wrong first, how long the file was to become, and what was written
//! since the last sync that succeeded.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

use crate::storage::Stored;

/// What is noted of writes, in bytes: a page of redb's.
pub(super) const BLOCK: u64 = 4096;

/// The file as redb sees it.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) file: Arc<dyn Stored>,
    pub(super) trouble: Arc<Trouble>,
}

/// What went wrong with a file.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    first: Option<Fault>,
    /// The length that could not be had for want of space.
    wanted: Option<u64>,
    /// Blocks written since the last sync that succeeded.
    unsynced: BTreeSet<u64>,
}

/// The first thing that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: io::ErrorKind,
    /// What failed and where, such as `byte 4096 cannot be written: …`.
    pub(super) what: String,
}

impl Trouble {
    /// What failed first, if anything did.
    pub(super) fn first(&self) -> Option<Fault> {
        self.noted().first.clone()
    }

    /// The length that could not be had for want of space.
    pub(super) fn wanted(&self) -> Option<u64> {
        self.noted().wanted
    }

    /// What was written and may not be on the disk, whatever a reader sees.
    pub(super) fn unsynced(&self) -> BTreeSet<u64> {
        self.noted().unsynced.clone()
    }

    /// What was written is on the disk, and nothing is wrong any more.
    pub(super) fn is_over(&self) {
        *self.noted() = Noted::default();
    }

    fn failed(&self, what: String, source: io::Error) -> io::Error {
        let fault = Fault { kind: source.kind(), what: format!("{what}: {source}") };
        self.noted().first.get_or_insert(fault);
        source
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len().map_err(|e| self.trouble.failed("its length cannot be had".into(), e))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let read = self.file.read_at(offset, out);
        read.map_err(|e| self.trouble.failed(format!("byte {offset} cannot be read"), e))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(|e| {
            if e.kind() == io::ErrorKind::StorageFull {
                self.trouble.noted().wanted = Some(len);
            }
            self.trouble.failed(format!("it cannot be made {len} bytes long"), e)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync().map_err(|e| self.trouble.failed("it cannot be synced to the disk".into(), e))?;
        self.trouble.noted().unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        self.trouble.noted().unsynced.extend(offset / BLOCK..end.div_ceil(BLOCK));
        self.file.write_at(offset, data).map_err(|e| self.trouble.failed(format!("byte {offset} cannot be written"), e))
    }
}

/// Writes again what was written since the last sync that succeeded, and syncs. After a sync that failed the system may show what is
/// not on the disk, and will not write it a second time by itself.
pub(super) fn write_again(file: &dyn Stored, unsynced: &BTreeSet<u64>) -> io::Result<()> {
    let len = file.len()?;
    for at in unsynced.iter().map(|block| block * BLOCK).filter(|at| *at < len) {
        let mut bytes = vec![0; usize::try_from(BLOCK.min(len - at)).unwrap_or(0)];
        file.read_at(at, &mut bytes)?;
        file.write_at(at, &bytes)?;
    }
    file.sync()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{
        Storage as _,
        faulty::{Fails, FaultyDisk, Left},
    };

    #[test]
    fn the_first_fault_is_kept_with_its_place_and_what_was_not_synced_is_written_again() {
        let disk = FaultyDisk::default();
        let file = disk.open("a").unwrap();
        let backend = Backend { file: file.clone(), trouble: Arc::default() };
        backend.set_len(3 * BLOCK).unwrap();
        backend.write(BLOCK - 1, b"ab").unwrap();
        disk.fail(Fails::Syncs, io::ErrorKind::Other);
        assert!(backend.sync_data().is_err());
        disk.give_room(3 * BLOCK);
        assert!(backend.set_len(4 * BLOCK).is_err());
        let trouble = &backend.trouble;
        assert_eq!(trouble.unsynced(), [0, 1].into());
        assert_eq!((trouble.wanted(), trouble.first().unwrap().kind), (Some(4 * BLOCK), io::ErrorKind::Other));
        assert!(trouble.first().unwrap().what.starts_with("it cannot be synced to the disk: "), "{trouble:?}");
        disk.mend();
        write_again(&*file, &trouble.unsynced()).unwrap();
        assert_eq!(&disk.after_crash(Left::Nothing).bytes("a")[4095..4097], b"ab");
        backend.sync_data().unwrap();
        assert!(trouble.unsynced().is_empty());
    }
}
