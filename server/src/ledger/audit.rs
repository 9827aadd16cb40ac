//! The audit: who changed what, from where, before and after. Entries are numbered from 1 without a gap, and each carries what binds the
//! one before (BLAKE2s-256), so that none can be changed, taken out or put in without the chain breaking there. What binds the newest
//! stands in `meta`.

use std::fmt;

use blake2::{Blake2s256, Digest as _};
use leasehold_protocol::{hex, time::UnixMillis};
use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Ledger, LedgerError,
    book::Change,
    tables::{AUDIT, META, key, meta, wrong},
};
use crate::instant::rfc3339;

/// What binds an entry.
type Bond = [u8; 32];

/// What the first entry carries.
const NONE_BEFORE: Bond = [0; 32];

/// Who changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Who {
    /// Whoever has the token of REST.
    RestToken,
    /// Whoever may send signals to the server.
    Signal,
    /// Whoever may write the files it reads.
    File,
    /// The server by itself, or the program it is part of.
    Server,
}

/// Who, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// By what right.
    pub who: Who,
    /// An address, the name of a signal, the path of a file; may be empty.
    pub from: String,
}

impl By {
    /// The server itself.
    #[must_use]
    pub fn server(from: &str) -> Self {
        Self { who: Who::Server, from: from.to_owned() }
    }
}

/// What is done.
#[derive(Clone, Debug)]
pub struct Deed<'a> {
    /// Who does it.
    pub by: &'a By,
    /// What, such as `licence.add`.
    pub action: &'a str,
    /// What was before, in short; null if nothing was.
    pub before: Value,
    /// What is after, in short.
    pub after: Value,
}

/// An entry as it is kept: this, as JSON, is bound.
#[derive(Serialize, Deserialize)]
struct Kept {
    at: u64,
    who: Who,
    from: String,
    action: String,
    before: Value,
    after: Value,
}

/// An entry as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// From 1 on.
    pub number: u64,
    /// When, as RFC 3339.
    pub at: String,
    /// The same in ms since 1970.
    pub at_ms: u64,
    /// By what right.
    pub who: Who,
    /// From where.
    pub from: String,
    /// What.
    pub action: String,
    /// What was before.
    pub before: Value,
    /// What is after.
    pub after: Value,
    /// What binds the entry before, 64 hexadecimal digits.
    pub previous: String,
    /// What binds this one.
    pub hash: String,
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// How many entries it has: the number of the newest.
    pub entries: u64,
    /// What binds the newest, 64 hexadecimal digits: written down elsewhere, it binds all of them.
    pub hash: String,
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The first number that is not as it was written.
    pub number: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit chain breaks at entry {}: {}", self.number, self.why)
    }
}

/// What binds entry `number` that is kept as `bytes`.
fn bond(number: u64, bytes: &[u8]) -> Bond {
    let digest = Blake2s256::new().chain_update(b"leasehold audit v1").chain_update(number.to_be_bytes());
    digest.chain_update(bytes).finalize().into()
}

/// Adds an entry; its number.
pub(super) fn append(change: &Change, deed: &Deed<'_>) -> Result<u64, redb::Error> {
    let mut names = change.tx.open_table(META)?;
    let (last, previous) = match meta(&names, key::AUDIT_HEAD)? {
        Some(text) => head(&text).ok_or_else(|| wrong(format!("it says audit-head is {text:?}")))?,
        None => (0, NONE_BEFORE),
    };
    let kept = Kept {
        at: change.at.0,
        who: deed.by.who,
        from: deed.by.from.clone(),
        action: deed.action.to_owned(),
        before: deed.before.clone(),
        after: deed.after.clone(),
    };
    let mut bytes = previous.to_vec();
    serde_json::to_writer(&mut bytes, &kept).map_err(|e| wrong(e.to_string()))?;
    let number = last + 1;
    names.insert(key::AUDIT_HEAD, &*format!("{number} {}", hex::encode(&bond(number, &bytes))))?;
    change.tx.open_table(AUDIT)?.insert(number, &*bytes)?;
    Ok(number)
}

fn head(text: &str) -> Option<(u64, Bond)> {
    let (number, bond) = text.split_once(' ')?;
    Some((number.parse().ok()?, hex::decode(bond)?))
}

/// Whether the chain holds, or where it breaks first.
pub(super) fn verify(reading: &ReadTransaction) -> Result<Result<Chain, Broken>, redb::Error> {
    let names = reading.open_table(META)?;
    let (last, newest) = meta(&names, key::AUDIT_HEAD)?.and_then(|text| head(&text)).unwrap_or((0, NONE_BEFORE));
    let (mut number, mut previous) = (0, NONE_BEFORE);
    let broken = |number, why| Ok(Err(Broken { number, why }));
    for entry in reading.open_table(AUDIT)?.iter()? {
        let (key, value) = entry?;
        number += 1;
        if key.value() != number {
            return broken(number, "it is missing");
        }
        if value.value().first_chunk() != Some(&previous) {
            // What this one carries is not what binds the one before: that one was changed.
            return broken(number.saturating_sub(1).max(1), "it is not as it was written");
        }
        previous = bond(number, value.value());
    }
    match number {
        _ if number < last => broken(number + 1, "it is missing"),
        _ if number > last => broken(last + 1, "it was put in"),
        _ if previous != newest => broken(number, "it is not as it was written"),
        _ => Ok(Ok(Chain { entries: number, hash: hex::encode(&newest) })),
    }
}

fn told(number: u64, bytes: &[u8]) -> Result<Entry, redb::Error> {
    let parts = bytes.split_first_chunk::<32>().ok_or_else(|| wrong(format!("audit entry {number} is too short")))?;
    let kept: Kept = serde_json::from_slice(parts.1).map_err(|e| wrong(format!("audit entry {number}: {e}")))?;
    Ok(Entry {
        number,
        at: rfc3339(UnixMillis(kept.at)),
        at_ms: kept.at,
        who: kept.who,
        from: kept.from,
        action: kept.action,
        before: kept.before,
        after: kept.after,
        previous: hex::encode(parts.0),
        hash: hex::encode(&bond(number, bytes)),
    })
}

impl Ledger {
    /// Enters `deed` in the audit; its number. Durable when it returns: do it after, not before.
    ///
    /// # Errors
    /// If it cannot be kept: do not do it then.
    pub fn record(&self, deed: &Deed<'_>) -> Result<u64, LedgerError> {
        self.write(|change| append(change, deed))
    }

    /// Entries after number `after`, in order, `limit` at most.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        self.read(|reading| {
            let table = reading.open_table(AUDIT)?;
            let found = table.range(after.saturating_add(1)..)?.take(limit);
            found.map(|entry| entry.map_err(Into::into).and_then(|(n, bytes)| told(n.value(), bytes.value()))).collect()
        })
    }

    /// How many entries there are: the number of the newest.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn entry_count(&self) -> Result<u64, LedgerError> {
        self.read(|reading| Ok(reading.open_table(AUDIT)?.len()?))
    }

    /// Whether the chain of all entries holds, or where it breaks first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn verify(&self) -> Result<Result<Chain, Broken>, LedgerError> {
        self.read(verify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::ledger;

    fn with(count: u64) -> Ledger {
        let (_, ledger) = ledger();
        for n in 2..=count {
            let deed = Deed { by: &By::server("x"), action: "test", before: Value::Null, after: n.into() };
            assert_eq!(ledger.record(&deed).unwrap(), n, "one was made with the ledger");
        }
        ledger
    }

    #[test]
    fn entries_are_told_in_order_and_page_by_page() {
        let ledger = with(7);
        let numbers = |after, limit| -> Vec<u64> {
            ledger.entries(after, limit).unwrap().iter().map(|entry| entry.number).collect()
        };
        assert_eq!((numbers(0, 3), numbers(3, 100), numbers(7, 9)), (vec![1, 2, 3], vec![4, 5, 6, 7], vec![]));
        assert_eq!((numbers(u64::MAX, 9), ledger.entry_count().unwrap()), (vec![], 7));
        let entries = ledger.entries(0, 100).unwrap();
        assert!(entries.windows(2).all(|pair| pair[0].hash == pair[1].previous), "{entries:?}");
        assert_eq!((entries[2].after.clone(), &*entries[2].from, entries[2].who), (3.into(), "x", Who::Server));
        assert_eq!(ledger.verify().unwrap().unwrap(), Chain { entries: 7, hash: entries[6].hash.clone() });
    }

    #[test]
    fn whatever_is_changed_taken_out_or_put_in_the_first_wrong_number_is_named() {
        type Tamper = fn(&Change) -> Result<(), redb::Error>;
        let cases: [(Tamper, u64, &str); 6] = [
            (|c| rewritten(c, 3), 3, "it is not as it was written"),
            (|c| rewritten(c, 1), 1, "it is not as it was written"),
            (|c| rewritten(c, 7), 7, "it is not as it was written"),
            (|c| c.tx.open_table(AUDIT)?.remove(4).map(drop).map_err(Into::into), 4, "it is missing"),
            (|c| c.tx.open_table(AUDIT)?.remove(7).map(drop).map_err(Into::into), 7, "it is missing"),
            (put_in, 8, "it was put in"),
        ];
        for (tamper, number, why) in cases {
            let ledger = with(7);
            ledger.write(tamper).unwrap();
            assert_eq!(ledger.verify().unwrap().unwrap_err(), Broken { number, why });
        }
    }

    fn rewritten(change: &Change, number: u64) -> Result<(), redb::Error> {
        let mut table = change.tx.open_table(AUDIT)?;
        let mut bytes = table.get(number)?.unwrap().value().to_vec();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        table.insert(number, &*bytes)?;
        Ok(())
    }

    fn put_in(change: &Change) -> Result<(), redb::Error> {
        let mut table = change.tx.open_table(AUDIT)?;
        let bytes = bond(7, table.get(7)?.unwrap().value()).to_vec();
        table.insert(8, &*bytes)?;
        Ok(())
    }
}
