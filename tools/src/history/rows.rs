//! Lines of the history as cells, as CSV and as JSON.

use std::{collections::HashMap, time::Duration};

use leasehold_protocol::vocab::Denial;
use leasehold_server::{
    history::{Entry, Filter, Gap, NameKey, Reader, Row},
    instant::rfc3339,
};
use serde_json::{Value, json};

use super::told;
use crate::{exit::Failure, human, output};

/// What pseudonyms stand for, as far as somebody may know.
#[derive(Default)]
pub(super) struct Names(Option<(HashMap<String, Vec<u8>>, NameKey)>);

impl Names {
    /// All of them, for who has the key.
    pub(super) fn open(sealed: HashMap<String, Vec<u8>>, key: NameKey) -> Self {
        Self(Some((sealed, key)))
    }

    /// The name, or the pseudonym where it is not known.
    fn of(&self, pseudonym: Option<&String>) -> Option<String> {
        let pseudonym = pseudonym?;
        Some(self.opened(pseudonym).unwrap_or_else(|| pseudonym.clone()))
    }

    fn opened(&self, pseudonym: &str) -> Option<String> {
        let (sealed, key) = self.0.as_ref()?;
        key.open(pseudonym, sealed.get(pseudonym)?)
    }

    /// A denial's sentence: there is none without the names in it.
    fn sentence(&self, row: &Row) -> Option<String> {
        row.sentence.as_ref().and_then(|pseudonym| self.opened(pseudonym))
    }
}

/// Of the table for people.
pub(super) const HEADING: &[&str] =
    &["event", "time", "kind", "feature", "version", "seats", "user", "host", "held", "lease or reason"];

pub(super) fn cells(entry: &Entry, names: &Names) -> Vec<String> {
    let none = || "-".to_owned();
    let row = match entry {
        Entry::Gap(gap) => {
            let mut cells = vec![none(); HEADING.len()];
            (cells[1], cells[2]) = (rfc3339(gap.from), "GAP".to_owned());
            cells[HEADING.len() - 1] = format!("until {}: {}: {}", rfc3339(gap.to), missing(gap), gap.why);
            return cells;
        }
        Entry::Row(row) => row,
    };
    let or_none = |text: Option<String>| text.unwrap_or_else(none);
    let is_mark = row.feature.is_none() && row.code.is_none();
    vec![
        row.id.to_string(),
        rfc3339(row.at),
        row.kind.clone(),
        or_none(row.feature.clone()),
        or_none(row.version.clone()),
        or_none(row.seats.filter(|_| !is_mark).map(|seats| seats.to_string())),
        or_none(names.of(row.user.as_ref())),
        or_none(names.of(row.host.as_ref())),
        or_none(row.held_ms.map(|ms| human::show(Duration::from_millis(ms)))),
        or_none(reason(row, names)),
    ]
}

/// What is most worth knowing of a line besides.
fn reason(row: &Row, names: &Names) -> Option<String> {
    if let Some(code) = row.code {
        let words = names.sentence(row).or_else(|| row.rule.clone()).unwrap_or_default();
        return Some(format!("{}: {words}", Denial(code)));
    }
    if let Some(by_ms) = row.by_ms {
        let (way, by) = (if by_ms < 0 { "back" } else { "ahead" }, Duration::from_millis(by_ms.unsigned_abs()));
        return Some(format!("the clock was set {way} by {}", human::show(by)));
    }
    match (&row.lease, &row.rule) {
        (Some(lease), Some(rule)) => Some(format!("{lease}, by rule {rule}")),
        (Some(lease), _) => {
            Some(if row.by_ticket == Some(true) { format!("{lease}, by its ticket") } else { lease.clone() })
        }
        (None, Some(before)) => {
            Some(format!("before: {before}; {} out again", human::count(row.seats.unwrap_or(0), "lease")))
        }
        (None, None) => None,
    }
}

fn missing(gap: &Gap) -> String {
    gap.events.map_or_else(
        || "nobody knows how much is missing".to_owned(),
        |events| format!("{} missing", human::count(events, "event")),
    )
}

/// Of CSV, and the names in JSON. They are kept.
const COLUMNS: [&str; 24] = [
    "time",
    "kind",
    "publisher",
    "feature",
    "version",
    "seats",
    "lease",
    "user",
    "host",
    "project",
    "held_ms",
    "code",
    "denial",
    "rule",
    "by_ticket",
    "sentence",
    "until",
    "missing",
    "display",
    "clock_set_by_ms",
    "event",
    "address",
    "device",
    "certificates",
];

pub(super) fn json(entry: &Entry, names: &Names) -> Value {
    let values = match entry {
        Entry::Gap(gap) => {
            return json!({
                "time": rfc3339(gap.from), "kind": "gap", "until": rfc3339(gap.to), "missing": gap.events, "why": gap.why
            });
        }
        Entry::Row(row) => values(row, names),
    };
    COLUMNS
        .iter()
        .zip(values)
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| ((*name).to_owned(), value))
        .collect()
}

fn values(row: &Row, names: &Names) -> [Value; 24] {
    [
        rfc3339(row.at).into(),
        row.kind.clone().into(),
        row.realm.clone().into(),
        row.feature.clone().into(),
        row.version.clone().into(),
        row.seats.into(),
        row.lease.clone().into(),
        names.of(row.user.as_ref()).into(),
        names.of(row.host.as_ref()).into(),
        names.of(row.project.as_ref()).into(),
        row.held_ms.into(),
        row.code.into(),
        row.code.map(|code| Denial(code).to_string()).into(),
        row.rule.clone().into(),
        row.by_ticket.into(),
        names.sentence(row).into(),
        Value::Null,
        Value::Null,
        names.of(row.display.as_ref()).into(),
        row.by_ms.into(),
        row.id.into(),
        names.of(row.address.as_ref()).into(),
        names.of(row.device.as_ref()).into(),
        row.lots.clone().into(),
    ]
}

/// Writes what `filter` asks for to stdout as CSV, as it is read: a history of years is longer than memory. Whether something was
/// left out.
pub(super) fn csv(reader: &Reader, filter: &Filter, names: &Names) -> Result<bool, Failure> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let mut outcome = line(&mut out, COLUMNS.map(str::to_owned));
    let left_out = reader.each(filter, |entry| {
        outcome = line(&mut out, csv_cells(&entry, names)).and_then(|()| hand_on(&mut out, CHUNK));
        outcome.is_ok()
    });
    outcome?;
    hand_on(&mut out, 0)?;
    left_out.map_err(|e| told(&e))
}

/// Bytes that are written at a time.
const CHUNK: usize = 1 << 16;

fn line(out: &mut csv::Writer<Vec<u8>>, cells: [String; 24]) -> Result<(), Failure> {
    out.write_record(cells).map_err(|e| Failure::new("cannot write the history as CSV").because_of(&e))
}

/// Writes what has been collected, if it is as much as `enough`.
fn hand_on(out: &mut csv::Writer<Vec<u8>>, enough: usize) -> Result<(), Failure> {
    if out.get_ref().len() < enough {
        return Ok(());
    }
    let full = std::mem::replace(out, csv::Writer::from_writer(Vec::new()));
    let bytes = full.into_inner().map_err(|e| Failure::new("cannot write the history as CSV").because_of(e.error()))?;
    output::bytes(&bytes)
}

fn csv_cells(entry: &Entry, names: &Names) -> [String; 24] {
    match entry {
        Entry::Row(row) => values(row, names).map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        }),
        Entry::Gap(gap) => {
            let mut cells = [const { String::new() }; 24];
            (cells[0], cells[1]) = (rfc3339(gap.from), "gap".to_owned());
            (cells[15], cells[16]) = (gap.why.clone(), rfc3339(gap.to));
            cells[17] = gap.events.map_or_else(String::new, |events| events.to_string());
            cells
        }
    }
}
