//! The tables, as `server/docs/ledger.md` describes them.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// Name to text: what the ledger is.
pub(super) const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
/// Certificate to when its trial was begun, in ms since 1970.
pub(super) const TRIALS: TableDefinition<&[u8; 8], u64> = TableDefinition::new("trials");
/// Certificate to units of its meter that are gone.
pub(super) const UNITS: TableDefinition<&[u8; 8], i64> = TableDefinition::new("units");
/// Number to what is known of a version of the policy, as JSON.
pub(super) const POLICIES: TableDefinition<u64, &str> = TableDefinition::new("policies");
/// Number to the text of that version.
pub(super) const POLICY_TEXTS: TableDefinition<u64, &str> = TableDefinition::new("policy-texts");
/// Number to an entry: 32 bytes that bind the one before, and JSON.
pub(super) const AUDIT: TableDefinition<u64, &[u8]> = TableDefinition::new("audit");
/// Name to a small value.
pub(super) const VALUES: TableDefinition<&str, &[u8]> = TableDefinition::new("values");

/// What stands in [`META`].
pub(super) mod key {
    /// The form of the tables.
    pub(in super::super) const FORM: &str = "form";
    /// The server's id, 16 hexadecimal digits.
    pub(in super::super) const SERVER: &str = "server";
    /// When it was made, in ms since 1970.
    pub(in super::super) const MADE_AT: &str = "made-at";
    /// Which version made it.
    pub(in super::super) const MADE_BY: &str = "made-by";
    /// How many changes there were.
    pub(in super::super) const CHANGES: &str = "changes";
    /// The number of the newest audit entry, and what binds it.
    pub(in super::super) const AUDIT_HEAD: &str = "audit-head";
    /// What binds the text of the file `uses` that was taken over.
    pub(in super::super) const USES_FROM: &str = "uses-from";
}

/// Opens every table in a transaction of either kind.
macro_rules! open_all {
    ($tx:expr) => {{
        $tx.open_table(META)?;
        $tx.open_table(TRIALS)?;
        $tx.open_table(UNITS)?;
        $tx.open_table(POLICIES)?;
        $tx.open_table(POLICY_TEXTS)?;
        $tx.open_table(AUDIT)?;
        $tx.open_table(VALUES)?;
        Ok(())
    }};
}

/// Makes every table.
pub(super) fn make(tx: &WriteTransaction) -> Result<(), redb::Error> {
    open_all!(tx)
}

/// Opens every table, which fails if one is missing or of another kind.
pub(super) fn check(tx: &ReadTransaction) -> Result<(), redb::Error> {
    open_all!(tx)
}

/// What `table` says of `name`.
pub(super) fn meta(
    table: &impl ReadableTable<&'static str, &'static str>,
    name: &str,
) -> Result<Option<String>, redb::Error> {
    Ok(table.get(name)?.map(|text| text.value().to_owned()))
}

/// An error for what cannot be so in a ledger that this program wrote.
pub(super) fn wrong(what: impl Into<String>) -> redb::Error {
    redb::Error::Corrupted(what.into())
}
