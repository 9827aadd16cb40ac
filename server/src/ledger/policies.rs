//! Versions of the policy: every one that was in force, with when, by whom and what from.

use leasehold_protocol::time::UnixMillis;
use redb::{ReadTransaction, ReadableTable as _};
use serde::{Deserialize, Serialize};

use super::{
    By, Deed, Ledger, LedgerError, Who, audit,
    book::Change,
    tables::{POLICIES, POLICY_TEXTS, wrong},
};
use crate::instant::rfc3339;

/// What is known of a version, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    at: u64,
    who: Who,
    from: String,
    what: String,
    rules: usize,
    bytes: usize,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyVersion {
    /// From 1 on.
    pub number: u64,
    /// When it came in force, as RFC 3339.
    pub at: String,
    /// The same in ms since 1970.
    pub at_ms: u64,
    /// By what right it was put in force.
    pub who: Who,
    /// From where.
    pub from: String,
    /// How: `start`, `file`, `apply`, `rollback`, `rollback to N`.
    pub what: String,
    /// How many rules of all kinds it has.
    pub rules: usize,
    /// How long its text is.
    pub bytes: usize,
}

/// A policy that is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct KeptPolicy<'a> {
    /// Its text.
    pub text: &'a str,
    /// How many rules it has.
    pub rules: usize,
    /// How it comes in force.
    pub what: &'a str,
}

fn told(number: u64, json: &str) -> Result<PolicyVersion, redb::Error> {
    let kept: Kept = serde_json::from_str(json).map_err(|e| wrong(format!("policy version {number}: {e}")))?;
    let Kept { at, who, from, what, rules, bytes } = kept;
    Ok(PolicyVersion { number, at: rfc3339(UnixMillis(at)), at_ms: at, who, from, what, rules, bytes })
}

/// Keeps `policy` if it is another than the newest; before the first one, if it says anything.
fn keep(change: &Change, by: &By, policy: &KeptPolicy<'_>) -> Result<(), redb::Error> {
    let mut texts = change.tx.open_table(POLICY_TEXTS)?;
    let newest = texts.last()?.map(|(number, text)| (number.value(), text.value() == policy.text));
    // A server without a policy has no version of it, until there was one.
    if newest.map_or(policy.text.is_empty(), |(_, is_same)| is_same) {
        return Ok(());
    }
    let number = newest.map_or(1, |(number, _)| number + 1);
    let KeptPolicy { text, rules, what } = *policy;
    let kept =
        Kept { at: change.at.0, who: by.who, from: by.from.clone(), what: what.to_owned(), rules, bytes: text.len() };
    let json = serde_json::to_string(&kept).map_err(|e| wrong(e.to_string()))?;
    change.tx.open_table(POLICIES)?.insert(number, &*json)?;
    texts.insert(number, text)?;
    Ok(())
}

fn newest(reading: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    Ok(reading.open_table(POLICIES)?.last()?.map(|(number, _)| number.value()))
}

impl Ledger {
    /// Enters `deed` in the audit and keeps the `policy` it puts in force, unless it is the newest there is: both or neither. Durable
    /// when it returns.
    ///
    /// # Errors
    /// If it cannot be kept: the policy must not be put in force then.
    pub fn record_policy(&self, deed: &Deed<'_>, policy: &KeptPolicy<'_>) -> Result<(), LedgerError> {
        self.write(|change| {
            keep(change, deed.by, policy)?;
            audit::append(change, deed).map(drop)
        })
    }

    /// All versions of the policy, oldest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn policies(&self) -> Result<Vec<PolicyVersion>, LedgerError> {
        self.read(|reading| {
            let table = reading.open_table(POLICIES)?;
            let all = table.iter()?;
            all.map(|entry| entry.map_err(Into::into).and_then(|(n, json)| told(n.value(), json.value()))).collect()
        })
    }

    /// The text of version `number`; `None` if there is no such version.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn policy_text(&self, number: u64) -> Result<Option<String>, LedgerError> {
        self.read(|reading| Ok(reading.open_table(POLICY_TEXTS)?.get(number)?.map(|text| text.value().to_owned())))
    }

    /// The number of the newest version.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn newest_policy(&self) -> Result<Option<u64>, LedgerError> {
        self.read(newest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::ledger::tests::ledger;

    #[test]
    fn a_version_is_kept_when_it_is_another_than_the_newest() {
        let (_, ledger) = ledger();
        assert_eq!(ledger.newest_policy().unwrap(), None);
        let by = By { who: Who::RestToken, from: "127.0.0.1:5".into() };
        let deed = Deed { by: &by, action: "policy.apply", before: Value::Null, after: Value::Null };
        for text in ["", "one", "one", "two", "one"] {
            ledger.record_policy(&deed, &KeptPolicy { text, rules: 3, what: "apply" }).unwrap();
        }
        let versions = ledger.policies().unwrap();
        let text = |n| ledger.policy_text(n).unwrap();
        assert_eq!((versions.len(), ledger.newest_policy().unwrap(), text(4)), (3, Some(3), None));
        assert_eq!((text(1), text(2), text(3)), (Some("one".into()), Some("two".into()), Some("one".into())));
        let second = &versions[1];
        assert_eq!((second.number, &*second.from, second.rules, second.bytes), (2, "127.0.0.1:5", 3, 3));
        assert_eq!(ledger.entry_count().unwrap(), 6, "each is in the audit");
    }
}
