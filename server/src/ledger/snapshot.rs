//! The ledger as one file, while it is in use: for a backup (U-5).

use super::{LEDGER, Ledger, LedgerError};

impl Ledger {
    /// The bytes of its file between two changes: what the next start would find if this process ended now.
    ///
    /// # Errors
    /// If it is closed or failing, or its file cannot be read.
    pub fn snapshot(&self) -> Result<Vec<u8>, LedgerError> {
        // Nothing becomes durable meanwhile; what is, is in the file.
        let book = self.book();
        if book.open.is_none() {
            return Err(book.refusal());
        }
        let failed = |e: std::io::Error| LedgerError::Failing { path: self.0.path.clone(), why: e.to_string() };
        let file = self.0.storage.open(LEDGER).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(0, &mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{By, Deed, tests::ledger};
    use crate::{
        ledger::Ledger,
        storage::{Storage as _, faulty::FaultyDisk},
    };

    #[test]
    fn a_snapshot_opens_with_everything_that_was_acknowledged() {
        let (_disk, ledger) = ledger();
        for n in 0..20 {
            let deed = Deed { by: &By::server(""), action: "test", before: n.into(), after: serde_json::Value::Null };
            ledger.record(&deed).unwrap();
            let (bytes, there) = (ledger.snapshot().unwrap(), FaultyDisk::default());
            let file = there.open(super::LEDGER).unwrap();
            file.write_at(0, &bytes).unwrap();
            file.sync().unwrap();
            let again: Ledger = super::super::tests::open(&there).unwrap();
            assert_eq!(again.entry_count().unwrap(), ledger.entry_count().unwrap());
            assert!(again.verify().unwrap().is_ok());
        }
        ledger.close();
        assert!(ledger.snapshot().is_err());
    }
}
