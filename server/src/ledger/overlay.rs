//! A file that is looked at and not touched: what is written stays in memory. redb repairs what a crash left as it opens a file, and
//! a file that we cannot trust must stay as it is.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use redb::StorageBackend;

use super::backend::BLOCK;
use crate::storage::Stored;

/// A file and what would be other in it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Arc<dyn Stored>,
    would: Mutex<Would>,
    /// Where was read last: near what is wrong, if something is.
    last_read: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Would {
    len: u64,
    /// What of the file still counts: it is shorter than `len` if the file was to be cut and grown again.
    counts: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Nothing is other yet.
    ///
    /// # Errors
    /// If the file's length cannot be had.
    pub(super) fn of(file: Arc<dyn Stored>, last_read: Arc<AtomicU64>) -> io::Result<Self> {
        let len = file.len()?;
        let would = Mutex::new(Would { len, counts: len, blocks: BTreeMap::new() });
        Ok(Self { file, would, last_read })
    }

    fn would(&self) -> MutexGuard<'_, Would> {
        self.would.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Block number `block` as the file has it, with zeros after its end.
    fn block(&self, would: &Would, block: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(BLOCK).unwrap_or(0)];
        let at = block * BLOCK;
        let there = usize::try_from(would.counts.saturating_sub(at).min(BLOCK)).unwrap_or(0);
        if there > 0 {
            self.file.read_at(at, &mut bytes[..there])?;
        }
        Ok(bytes)
    }
}

/// Where in its block the byte `at` is.
fn within(at: u64) -> usize {
    usize::try_from(at % BLOCK).unwrap_or(0)
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.would().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.last_read.store(offset, Relaxed);
        let would = self.would();
        if offset + out.len() as u64 > would.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut left) = (offset, out);
        while !left.is_empty() {
            let bytes = match would.blocks.get(&(at / BLOCK)) {
                Some(bytes) => bytes,
                None => &self.block(&would, at / BLOCK)?,
            };
            let from = &bytes[within(at)..];
            let (now, later) = left.split_at_mut(from.len().min(left.len()));
            now.copy_from_slice(&from[..now.len()]);
            at += now.len() as u64;
            left = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut would = self.would();
        would.len = len;
        would.counts = would.counts.min(len);
        would.blocks.retain(|block, _| block * BLOCK < len);
        if let Some(last) = would.blocks.get_mut(&(len / BLOCK)) {
            last[within(len)..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut would = self.would();
        let (mut at, mut left) = (offset, data);
        while !left.is_empty() {
            let mut bytes = match would.blocks.remove(&(at / BLOCK)) {
                Some(bytes) => bytes,
                None => self.block(&would, at / BLOCK)?,
            };
            let to = &mut bytes[within(at)..];
            let (now, later) = left.split_at(to.len().min(left.len()));
            to[..now.len()].copy_from_slice(now);
            would.blocks.insert(at / BLOCK, bytes);
            at += now.len() as u64;
            left = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Storage as _, faulty::FaultyDisk};

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays_as_it_is() {
        let disk = FaultyDisk::default();
        let file = disk.open("a").unwrap();
        file.set_len(2 * BLOCK).unwrap();
        file.write_at(BLOCK - 2, b"abcd").unwrap();
        let before = disk.bytes("a");
        let over = Overlay::of(file, Arc::default()).unwrap();
        let read = |at, len| {
            let mut out = vec![9; len];
            over.read(at, &mut out).map(|()| out)
        };
        over.write(BLOCK - 1, b"xy").unwrap();
        assert_eq!(read(BLOCK - 3, 6).unwrap(), b"\0axyd\0");
        over.set_len(BLOCK).unwrap();
        assert!(read(BLOCK - 1, 2).is_err());
        over.set_len(4 * BLOCK).unwrap();
        assert_eq!(read(BLOCK - 2, 4).unwrap(), b"ax\0\0", "what was cut off is zeros");
        assert_eq!(read(3 * BLOCK, 3).unwrap(), b"\0\0\0");
        assert_eq!((over.len().unwrap(), over.last_read.load(Relaxed)), (4 * BLOCK, 3 * BLOCK));
        assert_eq!(disk.bytes("a"), before);
    }
}
