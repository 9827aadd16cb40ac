//! What a ledger must survive: crashes, failing syncs, full disks, changed bytes.

mod crash;
mod damage;
mod disk;
mod script;
mod trouble;

use std::sync::{Arc, mpsc::channel};

use super::{Ledger, LedgerError};
use crate::storage::{Storage, faulty::FaultyDisk};

/// This server.
pub(crate) const SERVER: u64 = 0x5eed;

/// Opens the ledger on `disk`, which heals when it is told to and not by itself.
pub(crate) fn open(disk: &FaultyDisk) -> Result<Ledger, LedgerError> {
    open_in(Arc::new(disk.clone()))
}

/// The same in any storage.
pub(crate) fn open_in(storage: Arc<dyn Storage>) -> Result<Ledger, LedgerError> {
    Ledger::open_unhealed(storage, SERVER, channel().0)
}

/// A new ledger on a disk of its own.
pub(crate) fn ledger() -> (FaultyDisk, Ledger) {
    let disk = FaultyDisk::default();
    let ledger = open(&disk).unwrap();
    (disk, ledger)
}
