//! What rights were used for that end by being used: when trials were begun (L-16), and how many units of meters are gone (L-17).
//! Before the ledger this was a text file, `uses`, which is taken over once.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use blake2::{Blake2s256, Digest as _};
use leasehold_core::{Event, Past};
use leasehold_protocol::{hex, time::UnixMillis, vocab::CertificateId};
use redb::ReadableTable as _;
use serde_json::json;

use super::{
    By, Deed, Ledger, LedgerError, Who, audit,
    book::Change,
    tables::{META, TRIALS, UNITS, key, meta},
};
use crate::state::{Folder, StateError};

/// The text file of before.
const OLD_USES: &str = "uses";

/// Where workers note what was used.
#[derive(Clone, Debug)]
pub struct Uses(pub Ledger);

impl Uses {
    /// Notes what `events` have used; they may hold anything else besides. Durable when this returns.
    ///
    /// # Errors
    /// If it cannot be kept: the uses count as long as this server runs, and it is counted how many they were.
    pub fn note<'e>(&self, events: impl IntoIterator<Item = &'e Event>) -> Result<(), LedgerError> {
        let uses: Vec<Use> = events.into_iter().filter_map(used).collect();
        if uses.is_empty() {
            return Ok(());
        }
        let kept = self.0.write(|change| uses.iter().try_for_each(|one| add(change, one)));
        kept.inspect_err(|_| _ = self.0.0.uses_lost.fetch_add(uses.len() as u64, Relaxed))
    }
}

/// One use of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Trial(CertificateId, UnixMillis),
    Units(CertificateId, i64),
}

fn used(event: &Event) -> Option<Use> {
    match event {
        Event::TrialBegan { certificate, at, .. } => Some(Use::Trial(*certificate, *at)),
        Event::Metered { certificate, units, .. } => Some(Use::Units(*certificate, *units)),
        _ => None,
    }
}

/// The first use of a trial stays the first; units add up.
fn add(change: &Change, one: &Use) -> Result<(), redb::Error> {
    match one {
        Use::Trial(CertificateId(id), at) => {
            let mut table = change.tx.open_table(TRIALS)?;
            let first = table.get(id)?.map_or(at.0, |first| first.value().min(at.0));
            table.insert(id, first)?;
        }
        Use::Units(CertificateId(id), units) => {
            let mut table = change.tx.open_table(UNITS)?;
            let sum = table.get(id)?.map_or(0, |sum| sum.value()).saturating_add(*units);
            table.insert(id, sum)?;
        }
    }
    Ok(())
}

impl Ledger {
    /// What was used before.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn past(&self) -> Result<Past, LedgerError> {
        self.read(|reading| {
            let mut past = Past::default();
            for entry in reading.open_table(TRIALS)?.iter()? {
                let (id, at) = entry?;
                past.trials.insert(CertificateId(*id.value()), UnixMillis(at.value()));
            }
            for entry in reading.open_table(UNITS)?.iter()? {
                let (id, units) = entry?;
                past.used.insert(CertificateId(*id.value()), units.value().max(0).unsigned_abs());
            }
            Ok(past)
        })
    }
}

/// Takes over the text file `uses` of `folder`, if there is one: all of it in one change, after which the file is `uses.migrated`.
/// Interrupted anywhere it is done again or is done.
///
/// # Errors
/// If the file cannot be read, understood or renamed.
pub fn migrate(folder: &mut Folder, ledger: &Ledger) -> Result<(), MigrateError> {
    let Some(text) = folder.read_long(OLD_USES)? else { return Ok(()) };
    let uses = read(&text).map_err(|what| StateError::Damaged {
        path: folder.join(OLD_USES),
        what,
        remedy: "remove it to forget what trials and meters were used",
    })?;
    let bound = hex::encode(&Blake2s256::digest(text.as_bytes()));
    ledger.write(|change| {
        // Taken over before, and not renamed then. Any other text is of an older program that ran meanwhile, and began with nothing.
        if meta(&change.tx.open_table(META)?, key::USES_FROM)?.as_deref() == Some(&bound) {
            return Ok(());
        }
        uses.iter().try_for_each(|one| add(change, one))?;
        change.tx.open_table(META)?.insert(key::USES_FROM, &*bound)?;
        let by = By { who: Who::File, from: OLD_USES.to_owned() };
        let after = json!({ "uses": uses.len() });
        audit::append(change, &Deed { by: &by, action: "uses.migrate", before: json!(null), after }).map(drop)
    })?;
    Ok(folder.rename(OLD_USES, "uses.migrated")?)
}

/// Why the text file is not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The file.
    #[error(transparent)]
    File(#[from] StateError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

const HEAD: &str = "leasehold-uses 1\n";

/// What the file says; which line says nothing that could be.
///
/// ```text
/// leasehold-uses 1
/// trial 7328591a1a507560 1790812800000
/// units 0a4fd70bd0e14a2c 3
/// units 0a4fd70bd0e14a2c -3
/// ```
fn read(text: &str) -> Result<Vec<Use>, String> {
    let (mut trials, mut units) = (BTreeMap::new(), BTreeMap::<CertificateId, i64>::new());
    let body = text.strip_prefix(HEAD).ok_or("it does not begin as such a file does")?;
    // What follows the last line end was cut short: the grant it was about was not answered.
    let whole = body.rfind('\n').map_or("", |end| &body[..end]);
    for (nth, line) in whole.lines().enumerate() {
        let wrong = || format!("line {} is {line:?}", nth + 2);
        let words: Vec<&str> = line.split(' ').collect();
        let [what, id, number] = words[..] else { return Err(wrong()) };
        let id = hex::decode(id).map(CertificateId).ok_or_else(wrong)?;
        match what {
            "trial" => {
                let at = UnixMillis(number.parse().map_err(|_| wrong())?);
                trials.entry(id).and_modify(|first: &mut UnixMillis| *first = at.min(*first)).or_insert(at);
            }
            "units" => {
                let sum = units.entry(id).or_default();
                *sum = sum.saturating_add(number.parse().map_err(|_| wrong())?);
            }
            _ => return Err(wrong()),
        }
    }
    let trials = trials.into_iter().map(|(id, at)| Use::Trial(id, at));
    Ok(trials.chain(units.into_iter().map(|(id, units)| Use::Units(id, units))).collect())
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::vocab::RealmId;

    use super::*;
    use crate::ledger::tests::{ledger, open};

    const ID: CertificateId = CertificateId([7; 8]);

    fn units(units: i64) -> Event {
        Event::Metered { realm: RealmId(1), certificate: ID, units }
    }

    fn trial(at: u64) -> Event {
        Event::TrialBegan { realm: RealmId(1), certificate: ID, at: UnixMillis(at) }
    }

    #[test]
    fn what_was_used_is_there_at_the_next_start_and_the_first_use_of_a_trial_stays_the_first() {
        let (disk, ledger) = ledger();
        assert_eq!(ledger.past().unwrap(), Past::default());
        Uses(ledger.clone()).note(&[units(3), trial(5), units(-2), trial(9)]).unwrap();
        ledger.close();
        let expected = Past { trials: [(ID, UnixMillis(5))].into(), used: [(ID, 1)].into() };
        assert_eq!(open(&disk).unwrap().past().unwrap(), expected);
    }

    #[test]
    fn uses_that_could_not_be_kept_are_counted() {
        let (_, ledger) = ledger();
        ledger.close();
        assert!(Uses(ledger.clone()).note(&[units(3), trial(5)]).is_err());
        assert!(Uses(ledger.clone()).note(&[]).is_ok());
        assert_eq!(ledger.uses_lost(), 2);
    }

    #[test]
    fn a_line_that_was_cut_short_says_nothing_and_a_wrong_one_is_named() {
        let text = format!("{HEAD}units {ID} 3\nunits {ID} 4");
        for len in HEAD.len()..text.len() {
            let uses = read(&text[..len]).unwrap();
            assert!(uses.is_empty() || uses == [Use::Units(ID, 3)], "{len}");
        }
        assert_eq!(read(&format!("{HEAD}units {ID} 3\nunits x 4\n")), Err("line 3 is \"units x 4\"".to_owned()));
        assert!(read("").is_err());
    }

    #[test]
    fn the_file_of_before_is_taken_over_once_wherever_it_is_interrupted() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(scratch.path()).unwrap();
        let (_, ledger) = ledger();
        let text = format!("{HEAD}trial {ID} 50\nunits {ID} 7\nunits {ID} -2\n");
        let expected = Past { trials: [(ID, UnixMillis(50))].into(), used: [(ID, 5)].into() };
        // Twice: as if the power had gone between the change and the new name.
        for _ in 0..2 {
            folder.write(OLD_USES, &text).unwrap();
            migrate(&mut folder, &ledger).unwrap();
            assert_eq!(ledger.past().unwrap(), expected);
            assert!(!folder.join(OLD_USES).exists() && folder.join("uses.migrated").exists());
        }
        migrate(&mut folder, &ledger).unwrap();
        // An older program ran meanwhile.
        folder.write(OLD_USES, &format!("{HEAD}units {ID} 1\n")).unwrap();
        migrate(&mut folder, &ledger).unwrap();
        assert_eq!(ledger.past().unwrap().used, [(ID, 6)].into());
        let actions: Vec<String> = ledger.entries(1, 9).unwrap().into_iter().map(|entry| entry.action).collect();
        assert_eq!(actions, ["uses.migrate", "uses.migrate"]);
        folder.write(OLD_USES, "something else").unwrap();
        let refused = migrate(&mut folder, &ledger).unwrap_err().to_string();
        assert!(refused.contains("uses is damaged: it does not begin"), "{refused}");
        assert!(folder.join(OLD_USES).exists());
    }
}
