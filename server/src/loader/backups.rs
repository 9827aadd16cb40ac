//! The data folder in one file, while nobody changes it.

use leasehold_protocol::time::Now;

use super::Loader;
use crate::{
    backup::{self, BackupError, Beside},
    ledger::{LEDGER, Ledger, LedgerError},
};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailed {
    /// The ledger cannot be read, or does not take that it was.
    #[error(transparent)]
    Ledger(LedgerError),
    /// A file cannot be read.
    #[error(transparent)]
    Files(#[from] BackupError),
}

impl Loader {
    /// A backup of everything that cannot be made anew.
    ///
    /// # Errors
    /// If something of it cannot be read.
    pub(crate) fn back_up(&self, ledger: &Ledger, now: Now) -> Result<Vec<u8>, BackupFailed> {
        let folder = self.folder.path();
        let named = self.licences.named.iter().chain(&self.publisher_keys);
        let outside = named.filter(|path| !path.starts_with(folder)).map(|path| path.display().to_string());
        let beside = Beside {
            policy: self.policy_text.clone(),
            files: vec![(LEDGER.to_owned(), ledger.snapshot().map_err(BackupFailed::Ledger)?)],
            ttl_ms: self.serving.ttl_ms(),
            outside: outside.collect(),
        };
        Ok(backup::take(folder, beside, now.wall)?)
    }
}
