//! The anchor: how many changes the ledger had at least, in a file of its own. A ledger that has fewer is an older one, put back by
//! somebody or by a damaged header; one that is gone while the anchor stands was removed.
//!
//! It is written after each commit and not synced: it may lag behind the ledger, and is never ahead of it. `ledger.anchor` has two copies
//! of 64 bytes, at 0 and at 512, written in turn: `LHANCHR1`, the number of changes as 8 bytes, big-endian, the first 16 bytes of
//! BLAKE2s-256 of both and the server's id, and zeros.

use std::{io, sync::Arc};

use blake2::{Blake2s256, Digest as _};

use crate::storage::{Storage, Stored};

/// Its file.
pub(super) const ANCHOR: &str = "ledger.anchor";

const MAGIC: &[u8; 8] = b"LHANCHR1";
const COPY: usize = 64;
const SECOND_AT: u64 = 512;
const LEN: u64 = 1024;

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Anchor {
    file: Arc<dyn Stored>,
    server_id: u64,
}

/// How many changes there were at least, as the anchor says; 0 if there is none that can be read.
pub(super) fn changes(storage: &dyn Storage, server_id: u64) -> io::Result<u64> {
    let Some(file) = storage.open_existing(ANCHOR)? else { return Ok(0) };
    let copy = |at| {
        let mut bytes = [0; COPY];
        file.read_at(at, &mut bytes).ok().and_then(|()| read(&bytes, server_id))
    };
    Ok(copy(0).max(copy(SECOND_AT)).unwrap_or(0))
}

impl Anchor {
    /// Opens it, and makes it if there is none.
    pub(super) fn open(storage: &dyn Storage, server_id: u64) -> io::Result<Self> {
        let file = storage.open(ANCHOR)?;
        if file.len()? < LEN {
            file.set_len(LEN)?;
        }
        Ok(Self { file, server_id })
    }

    /// Notes that there were `changes`.
    pub(super) fn note(&self, changes: u64) -> io::Result<()> {
        let at = if changes.is_multiple_of(2) { 0 } else { SECOND_AT };
        self.file.write_at(at, &written(changes, self.server_id))
    }
}

fn written(changes: u64, server_id: u64) -> [u8; COPY] {
    let mut bytes = [0; COPY];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&changes.to_be_bytes());
    let digest = Blake2s256::new().chain_update(&bytes[..16]).chain_update(server_id.to_be_bytes()).finalize();
    bytes[16..32].copy_from_slice(&digest[..16]);
    bytes
}

fn read(bytes: &[u8; COPY], server_id: u64) -> Option<u64> {
    let changes = u64::from_be_bytes(*bytes[8..].first_chunk()?);
    (written(changes, server_id) == *bytes).then_some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::faulty::FaultyDisk;

    #[test]
    fn the_higher_copy_counts_and_a_damaged_one_does_not() {
        let disk = FaultyDisk::default();
        assert_eq!(changes(&disk, 7).unwrap(), 0);
        let anchor = Anchor::open(&disk, 7).unwrap();
        assert_eq!(changes(&disk, 7).unwrap(), 0);
        for number in [1, 2, 3] {
            anchor.note(number).unwrap();
        }
        assert_eq!((changes(&disk, 7).unwrap(), changes(&disk, 8).unwrap()), (3, 0));
        for at in 0..COPY {
            disk.flip(ANCHOR, 512 + at, 1);
            assert_eq!(changes(&disk, 7).unwrap(), 2, "{at}");
            disk.flip(ANCHOR, 512 + at, 1);
        }
    }
}
