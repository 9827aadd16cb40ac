//! Small values by name, for those who must not lose one: the highest the clock ever read, the number of a log.

use redb::ReadableTable as _;

use super::{Ledger, LedgerError, tables::VALUES};

impl Ledger {
    /// What was last put under `name`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.read(|reading| Ok(reading.open_table(VALUES)?.get(name)?.map(|value| value.value().to_vec())))
    }

    /// Puts `value` under `name`, in place of what was there. Durable when it returns.
    ///
    /// # Errors
    /// If it cannot be kept: what was there still is.
    pub fn put(&self, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.write(|change| Ok(change.tx.open_table(VALUES)?.insert(name, value).map(drop)?))
    }

    /// Puts `value` under `name` if it is higher than the number there, which stands as 8 bytes, big-endian. The number that is there
    /// then. Durable when it returns.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn raise(&self, name: &str, value: u64) -> Result<u64, LedgerError> {
        self.write(|change| {
            let mut table = change.tx.open_table(VALUES)?;
            let there = table.get(name)?.and_then(|bytes| bytes.value().first_chunk().copied().map(u64::from_be_bytes));
            let highest = value.max(there.unwrap_or(0));
            table.insert(name, highest.to_be_bytes().as_slice())?;
            Ok(highest)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::tests::ledger;

    #[test]
    fn a_value_is_the_last_one_put_and_a_number_only_rises() {
        let (disk, ledger) = ledger();
        assert_eq!(ledger.get("clock").unwrap(), None);
        ledger.put("name", b"one").unwrap();
        ledger.put("name", b"two").unwrap();
        assert_eq!(
            [ledger.raise("clock", 5), ledger.raise("clock", 3), ledger.raise("clock", 9)].map(Result::unwrap),
            [5, 5, 9]
        );
        ledger.close();
        let again = crate::ledger::tests::open(&disk).unwrap();
        assert_eq!(again.get("name").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(again.get("clock").unwrap(), Some(9_u64.to_be_bytes().to_vec()));
    }
}
