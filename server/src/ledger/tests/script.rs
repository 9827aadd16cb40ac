//! A script of changes of every kind, a plain twin that says what must be there after each, and a disk that is looked at before each
//! step of its own.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use leasehold_core::{Event, Past};
use leasehold_protocol::{
    time::UnixMillis,
    vocab::{CertificateId, RealmId},
};
use serde_json::json;

use crate::{
    ledger::{By, Deed, KeptPolicy, Ledger, LedgerError, Uses},
    storage::{Storage, Stored, faulty::FaultyDisk},
};

/// What is in a ledger, as far as it is not the time of day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) past: Past,
    pub(super) policies: Vec<String>,
    /// Of the audit: the action and what is after.
    pub(super) audit: Vec<(String, serde_json::Value)>,
    pub(super) values: BTreeMap<String, Vec<u8>>,
}

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Trial(u8, u64),
    Units(u8, i64),
    Policy(String),
    Audit(u64),
    Put(String, Vec<u8>),
    Raise(u64),
}

/// `count` steps of all kinds, always the same.
pub(super) fn script(count: u64) -> Vec<Step> {
    let step = |n: u64| {
        if n == 190 {
            // One so long that the file must grow.
            return Step::Policy("# long\n".repeat(100_000));
        }
        let kind = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let id = u8::try_from(kind % 7).unwrap();
        match kind % 6 {
            0 => Step::Trial(id, 1000 - n),
            1 => Step::Units(1, if n > 60 && n.is_multiple_of(3) { -1 } else { 3 }),
            2 => Step::Policy(format!("# {n}\n").repeat(if n.is_multiple_of(4) { 900 } else { 3 })),
            3 => Step::Audit(n),
            4 => Step::Put(format!("name {id}"), vec![id; usize::try_from(n % 50).unwrap()]),
            _ => Step::Raise(n / 2),
        }
    };
    (0..count).map(step).collect()
}

impl Step {
    /// Makes the change.
    pub(super) fn make(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let uses = |event: Event| Uses(ledger.clone()).note(&[event]);
        let (realm, by) = (RealmId(1), By::server("test"));
        let deed = |action, after| Deed { by: &by, action, before: json!(null), after };
        match self {
            Self::Trial(id, at) => {
                uses(Event::TrialBegan { realm, certificate: CertificateId([*id; 8]), at: UnixMillis(*at) })
            }
            Self::Units(id, units) => {
                uses(Event::Metered { realm, certificate: CertificateId([*id; 8]), units: *units })
            }
            Self::Policy(text) => {
                let kept = KeptPolicy { text, rules: 1, what: "apply" };
                ledger.record_policy(&deed("policy.apply", text.len().into()), &kept)
            }
            Self::Audit(n) => ledger.record(&deed("test", json!({ "n": n }))).map(drop),
            Self::Put(name, value) => ledger.put(name, value),
            Self::Raise(to) => ledger.raise("clock", *to).map(drop),
        }
    }
}

impl Contents {
    /// Of a ledger that was just made.
    pub(super) fn new() -> Self {
        Self { audit: vec![("ledger.make".into(), json!(null))], ..Self::default() }
    }

    /// The same after `step`.
    pub(super) fn after(&self, step: &Step) -> Self {
        let mut all = self.clone();
        match step {
            Step::Trial(id, at) => {
                let first = all.past.trials.entry(CertificateId([*id; 8])).or_insert(UnixMillis(*at));
                *first = UnixMillis(*at).min(*first);
            }
            Step::Units(id, units) => {
                // The script never goes below zero for good; the twin keeps what the ledger tells.
                let sum = all.past.used.entry(CertificateId([*id; 8])).or_default();
                *sum = sum.checked_add_signed(*units).expect("units that were used");
            }
            Step::Policy(text) => {
                all.policies.push(text.clone());
                all.audit.push(("policy.apply".into(), text.len().into()));
            }
            Step::Audit(n) => all.audit.push(("test".into(), json!({ "n": n }))),
            Step::Put(name, value) => _ = all.values.insert(name.clone(), value.clone()),
            Step::Raise(to) => {
                let there = all.values.get("clock").map_or(0, |b| u64::from_be_bytes(b[..].try_into().unwrap()));
                all.values.insert("clock".into(), there.max(*to).to_be_bytes().into());
            }
        }
        all
    }

    /// Of `ledger`.
    pub(super) fn of(ledger: &Ledger) -> Self {
        let names = (0..7).map(|id| format!("name {id}")).chain(["clock".to_owned()]);
        let entries = ledger.entries(0, 10_000).unwrap();
        let versions = ledger.policies().unwrap();
        Self {
            past: ledger.past().unwrap(),
            policies: versions.iter().map(|v| ledger.policy_text(v.number).unwrap().unwrap()).collect(),
            audit: entries.into_iter().map(|entry| (entry.action, entry.after)).collect(),
            values: names.filter_map(|name| ledger.get(&name).unwrap().map(|value| (name, value))).collect(),
        }
    }
}

/// What is called before each step of a disk, with the disk as it is then.
type Look = Box<dyn FnMut(&FaultyDisk, Kind) + Send>;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Write,
    Len,
    Sync,
}

/// A disk that is looked at before each step, and in the middle of each write.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) disk: FaultyDisk,
    look: Arc<Mutex<Look>>,
}

impl Watched {
    pub(super) fn new(look: impl FnMut(&FaultyDisk, Kind) + Send + 'static) -> Self {
        Self { disk: FaultyDisk::default(), look: Arc::new(Mutex::new(Box::new(look))) }
    }

    pub(super) fn look(&self, kind: Kind) {
        let mut look: MutexGuard<'_, Look> = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look(&self.disk, kind);
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.disk.fmt(f)
    }
}

impl Storage for Watched {
    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        self.look(Kind::Name);
        Ok(Arc::new(WatchedFile { all: self.clone(), file: self.disk.open(name)? }))
    }

    fn open_existing(&self, name: &str) -> io::Result<Option<Arc<dyn Stored>>> {
        let file = self.disk.open_existing(name)?;
        Ok(file.map(|file| Arc::new(WatchedFile { all: self.clone(), file }) as Arc<dyn Stored>))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

#[derive(Debug)]
struct WatchedFile {
    all: Watched,
    file: Arc<dyn Stored>,
}

impl Stored for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, out)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.all.look(Kind::Write);
        // Half of it, and then all of it: what is there twice is there once.
        self.file.write_at(at, &bytes[..bytes.len() / 2])?;
        self.all.look(Kind::Write);
        self.file.write_at(at, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.all.look(Kind::Len);
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.all.look(Kind::Sync);
        self.file.sync()
    }

    fn is_linked(&self) -> io::Result<bool> {
        self.file.is_linked()
    }
}
