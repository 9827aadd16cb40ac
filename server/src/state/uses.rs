//! What rights were used for that end by being used: when trials were begun (L-16), and how many units of meters are gone
//! (L-17). A file that is only appended to, one line a use, on disk before the answer that made it leaves this machine.
//!
//! ```text
//! leasehold-uses 1
//! trial 7328591a1a507560 1790812800000
//! units 0a4fd70bd0e14a2c 3
//! units 0a4fd70bd0e14a2c -3
//! ```
//!
//! A line that a crash cut short says nothing: the grant it was about was not answered. At the start the file is written
//! anew, one line for each certificate. Deleting the file makes every trial a new one; noticing that takes a record outside
//! this folder, which there is not yet (T-4).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use leasehold_core::{Event, Past};
use leasehold_protocol::{hex, time::UnixMillis, vocab::CertificateId};

use super::folder::{Folder, StateError};

const FILE: &str = "uses";
const HEAD: &str = "leasehold-uses 1\n";

/// The file, open for appending.
#[derive(Debug)]
pub struct Uses {
    path: PathBuf,
    file: Mutex<File>,
}

impl Uses {
    /// Reads what was used before, and opens the file for what will be.
    ///
    /// # Errors
    /// If it cannot be read or written, or a line of it says nothing that could be.
    pub fn open(folder: &mut Folder) -> Result<(Self, Past), StateError> {
        let path = folder.join(FILE);
        let past = match std::fs::read_to_string(&path) {
            Ok(text) => read(&text).map_err(|what| StateError::Damaged {
                path: path.clone(),
                what,
                remedy: "remove it to forget what trials and meters were used",
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Past::default(),
            Err(source) => return Err(StateError::Read { path, source }),
        };
        folder.write(FILE, &written(&past))?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|source| StateError::Write { path: path.clone(), source })?;
        Ok((Self { path, file: Mutex::new(file) }, past))
    }

    /// Notes what `events` have used; they may hold anything else besides. On disk when this returns.
    ///
    /// # Errors
    /// If it cannot be written: the uses count as long as this server runs.
    pub fn note<'e>(&self, events: impl IntoIterator<Item = &'e Event>) -> Result<(), StateError> {
        let lines: String = events.into_iter().filter_map(line).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let wrote = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data());
        wrote.map_err(|source| StateError::Write { path: self.path.clone(), source })
    }
}

fn line(event: &Event) -> Option<String> {
    match event {
        Event::TrialBegan { certificate, at, .. } => Some(format!("trial {certificate} {}\n", at.0)),
        Event::Metered { certificate, units, .. } => Some(format!("units {certificate} {units}\n")),
        _ => None,
    }
}

fn written(past: &Past) -> String {
    let mut text = HEAD.to_owned();
    for (certificate, at) in &past.trials {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "trial {certificate} {}", at.0);
    }
    for (certificate, units) in past.used.iter().filter(|(_, units)| **units > 0) {
        let _ = writeln!(text, "units {certificate} {units}");
    }
    text
}

/// What the file says; which line says nothing that could be.
fn read(text: &str) -> Result<Past, String> {
    let (mut trials, mut units) = (BTreeMap::new(), BTreeMap::<CertificateId, i64>::new());
    let body = text.strip_prefix(HEAD).ok_or("it does not begin as such a file does")?;
    // What follows the last line end was cut short.
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
            "units" => *units.entry(id).or_default() += number.parse::<i64>().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    let used = units.into_iter().map(|(id, units)| (id, units.max(0).unsigned_abs())).collect();
    Ok(Past { trials, used })
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::vocab::RealmId;

    use super::*;

    const ID: CertificateId = CertificateId([7; 8]);

    fn units(units: i64) -> Event {
        Event::Metered { realm: RealmId(1), certificate: ID, units }
    }

    fn trial(at: u64) -> Event {
        Event::TrialBegan { realm: RealmId(1), certificate: ID, at: UnixMillis(at) }
    }

    #[test]
    fn what_was_used_is_there_at_the_next_start_and_the_first_use_of_a_trial_stays_the_first() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(scratch.path()).unwrap();
        let (uses, past) = Uses::open(&mut folder).unwrap();
        assert_eq!(past, Past::default());
        uses.note(&[units(3), trial(5), units(-2), trial(9)]).unwrap();
        let expected = Past { trials: [(ID, UnixMillis(5))].into(), used: [(ID, 1)].into() };
        for _ in 0..2 {
            let (_, past) = Uses::open(&mut folder).unwrap();
            assert_eq!(past, expected);
        }
    }

    #[test]
    fn a_line_that_was_cut_short_says_nothing_and_a_wrong_one_is_named() {
        let text = format!("{HEAD}units {ID} 3\nunits {ID} 4");
        for len in HEAD.len()..text.len() {
            let used = read(&text[..len]).unwrap().used;
            assert!(used.is_empty() || used == [(ID, 3)].into(), "{len}");
        }
        assert_eq!(read(&format!("{HEAD}units {ID} 3\nunits x 4\n")), Err("line 3 is \"units x 4\"".to_owned()));
        assert!(read("").is_err());
    }
}
