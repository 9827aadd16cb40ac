//! A disk in memory that crashes, tears and fails as a test wants it.
//!
//! Every change (a name, a write, a length, a sync) is a step. A test runs a script once to count the steps, and then once for each
//! step with a crash there; [`FaultyDisk::after_crash`] is the disk that the next start finds.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Storage, Stored};

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    files: BTreeMap<String, Contents>,
    steps: u64,
    crash_at: Option<u64>,
    faults: Vec<Fault>,
    /// Bytes that all files together may have.
    room: Option<u64>,
}

#[derive(Clone, Default)]
struct Contents {
    /// As it is on the disk for certain.
    durable: Vec<u8>,
    /// As a reader sees it.
    current: Vec<u8>,
    /// What was done since the last sync.
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All: the process was killed, the machine runs on. A write that was under way is there up to the end of a page.
    All,
    /// Nothing.
    Nothing,
    /// Any part of it, torn at any byte and in any order; which, by this number.
    Torn(u64),
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fails {
    /// Writes and lengths.
    Writes,
    /// Syncs; what was written since the last is lost to the disk although readers see it.
    Syncs,
}

struct Fault {
    /// Of which file; of all, if it is not said.
    file: Option<String>,
    what: Fails,
    error: io::ErrorKind,
}

/// What the system writes in one go.
const PAGE: usize = 4096;

struct FaultyFile {
    disk: FaultyDisk,
    name: String,
}

impl FaultyDisk {
    /// Steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.world().steps
    }

    /// The power goes, or the process dies, in step number `step`; everything fails from there on.
    pub(crate) fn crash_at(&self, step: u64) {
        self.world().crash_at = Some(step);
    }

    /// Whether it has crashed.
    pub(crate) fn has_crashed(&self) -> bool {
        let world = self.world();
        world.crash_at.is_some_and(|at| world.steps > at)
    }

    /// From now on `what` fails with `error`.
    pub(crate) fn fail(&self, what: Fails, error: io::ErrorKind) {
        self.world().faults.push(Fault { file: None, what, error });
    }

    /// The same of the file `name` alone.
    pub(crate) fn fail_of(&self, name: &str, what: Fails, error: io::ErrorKind) {
        self.world().faults.push(Fault { file: Some(name.to_owned()), what, error });
    }

    /// All files together may have `bytes`.
    pub(crate) fn give_room(&self, bytes: u64) {
        self.world().room = Some(bytes);
    }

    /// Nothing fails any more, and there is room.
    pub(crate) fn mend(&self) {
        let mut world = self.world();
        world.faults.clear();
        world.room = None;
    }

    /// Somebody removes the file `name`.
    pub(crate) fn remove(&self, name: &str) {
        self.world().files.remove(name);
    }

    /// The bytes of `name` as a reader sees them.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.world().files.get(name).map(|contents| contents.current.clone()).unwrap_or_default()
    }

    /// Somebody changes the byte at `at` of `name`.
    pub(crate) fn flip(&self, name: &str, at: usize, by: u8) {
        let mut world = self.world();
        let contents = world.files.get_mut(name).expect("a file");
        contents.current[at] ^= by;
        contents.durable.clone_from(&contents.current);
        contents.since.clear();
    }

    /// What the next start finds.
    pub(crate) fn after_crash(&self, left: Left) -> Self {
        let world = self.world();
        let mut dice = match left {
            Left::Torn(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            _ => 1,
        };
        let files = world.files.iter().map(|(name, contents)| {
            let bytes = match left {
                Left::All => contents.current.clone(),
                Left::Nothing => contents.durable.clone(),
                Left::Torn(_) => contents.torn(&mut dice),
            };
            (name.clone(), Contents { durable: bytes.clone(), current: bytes, ..Contents::default() })
        });
        Self(Arc::new(Mutex::new(World { files: files.collect(), ..World::default() })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn sync(&mut self) {
        for change in self.since.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn torn(&self, dice: &mut u64) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut chosen: Vec<Change> = Vec::new();
        for change in &self.since {
            let roll = next(dice);
            match change {
                _ if roll.is_multiple_of(3) => {}
                Change::Write { at, bytes } if roll % 3 == 1 => {
                    let len = usize::try_from(next(dice)).unwrap_or(0) % (bytes.len() + 1);
                    chosen.push(Change::Write { at: *at, bytes: bytes[..len].to_vec() });
                }
                whole => chosen.push(whole.clone()),
            }
        }
        chosen.iter().for_each(|change| change.apply(&mut bytes));
        bytes
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                if file.len() < at + bytes.len() {
                    file.resize(at + bytes.len(), 0);
                }
                file[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Len(len) => file.resize(*len, 0),
        }
    }
}

fn next(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice >> 11
}

impl World {
    /// Counts a step; whether it is the one at which all ends.
    fn step(&mut self, name: &str, what: Fails) -> io::Result<bool> {
        let number = self.steps;
        self.steps += 1;
        if self.crash_at.is_some_and(|at| number > at) {
            return Err(io::Error::other("the machine is off"));
        }
        let hits = |fault: &&Fault| fault.what == what && fault.file.as_deref().is_none_or(|file| file == name);
        if let Some(fault) = self.faults.iter().find(hits) {
            return Err(fault.error.into());
        }
        Ok(self.crash_at == Some(number))
    }

    fn change(&mut self, name: &str, change: Change) -> io::Result<()> {
        let crashes = self.step(name, Fails::Writes)?;
        let others: usize = self.files.iter().filter(|(other, _)| *other != name).map(|(_, c)| c.current.len()).sum();
        // One that was removed is written to no more by any name.
        let Some(contents) = self.files.get_mut(name) else { return Ok(()) };
        let wanted = match &change {
            Change::Write { at, bytes } => at + bytes.len(),
            Change::Len(len) => *len,
        };
        let grows = wanted > contents.current.len();
        if grows && self.room.is_some_and(|room| (others + wanted) as u64 > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match &change {
            // A process that is killed ends between two pages of what it writes.
            Change::Write { at, bytes } if crashes => {
                let kept = ((at + bytes.len()) / PAGE * PAGE).saturating_sub(*at);
                Change::Write { at: *at, bytes: bytes[..kept].to_vec() }.apply(&mut contents.current);
            }
            whole => whole.apply(&mut contents.current),
        }
        contents.since.push(change);
        if crashes { Err(io::Error::other("the machine is off")) } else { Ok(()) }
    }
}

impl Storage for FaultyDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn Stored>> {
        let mut world = self.world();
        if !world.files.contains_key(name) {
            if world.step(name, Fails::Writes)? {
                return Err(io::Error::other("the machine is off"));
            }
            world.files.insert(name.to_owned(), Contents::default());
        }
        Ok(Arc::new(FaultyFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn open_existing(&self, name: &str) -> io::Result<Option<Arc<dyn Stored>>> {
        let file = || Arc::new(FaultyFile { disk: self.clone(), name: name.to_owned() }) as Arc<dyn Stored>;
        Ok(self.world().files.contains_key(name).then(file))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("faulty").join(name)
    }
}

impl FaultyFile {
    fn with<T>(&self, look: impl FnOnce(&Contents) -> T) -> T {
        let world = self.disk.world();
        look(world.files.get(&self.name).unwrap_or(&Contents::default()))
    }
}

impl Stored for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|contents| contents.current.len() as u64))
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        self.with(|contents| match contents.current.get(at..at + out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        self.disk.world().change(&self.name, Change::Write { at, bytes: bytes.to_vec() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.world().change(&self.name, Change::Len(usize::try_from(len).map_err(io::Error::other)?))
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let is_off = world.crash_at.is_some_and(|at| world.steps > at);
        let stepped = world.step(&self.name, Fails::Syncs);
        let Some(contents) = world.files.get_mut(&self.name) else { return stepped.map(drop) };
        match stepped {
            Ok(false) => contents.sync(),
            Ok(true) => return Err(io::Error::other("the machine is off")),
            // The system takes what it could not write for written; how long a file is it keeps elsewhere.
            Err(_) if is_off => {}
            Err(_) => contents.since.retain(|change| matches!(change, Change::Len(_))),
        }
        stepped.map(drop)
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.disk.world().files.contains_key(&self.name))
    }
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyDisk").field("steps", &self.steps()).finish_non_exhaustive()
    }
}

impl fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyFile").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> FaultyDisk {
        let disk = FaultyDisk::default();
        let file = disk.open("a").unwrap();
        file.write_at(0, b"old").unwrap();
        file.sync().unwrap();
        file.write_at(0, b"new").unwrap();
        file.write_at(3, b" and more").unwrap();
        disk
    }

    #[test]
    fn what_was_synced_is_there_after_a_crash_and_of_the_rest_any_part() {
        let disk = written();
        assert_eq!(disk.after_crash(Left::All).bytes("a"), b"new and more");
        assert_eq!(disk.after_crash(Left::Nothing).bytes("a"), b"old");
        let torn: std::collections::BTreeSet<Vec<u8>> =
            (0..200).map(|seed| disk.after_crash(Left::Torn(seed)).bytes("a")).collect();
        assert!(torn.len() > 10, "{torn:?}");
        assert!(torn.contains(&b"old and more"[..]), "reordered: {torn:?}");
    }

    #[test]
    fn a_crash_tears_the_write_under_way_and_everything_fails_from_there_on() {
        let disk = FaultyDisk::default();
        let file = disk.open("a").unwrap();
        disk.crash_at(disk.steps());
        assert!(file.write_at(4094, b"four").is_err());
        assert!(disk.has_crashed() && file.sync().is_err());
        assert_eq!(disk.after_crash(Left::All).bytes("a")[4094..], *b"fo");
    }

    #[test]
    fn what_a_sync_could_not_write_is_not_written_by_the_next_one() {
        let disk = written();
        let file = disk.open("a").unwrap();
        disk.fail(Fails::Syncs, io::ErrorKind::Other);
        assert!(file.sync().is_err());
        disk.mend();
        file.write_at(0, b"N").unwrap();
        file.sync().unwrap();
        assert_eq!(disk.bytes("a"), b"New and more");
        assert_eq!(disk.after_crash(Left::Nothing).bytes("a"), b"Nld");
        file.write_at(0, b"x").unwrap();
        disk.crash_at(disk.steps());
        assert!(file.sync().is_err() && file.sync().is_err());
        let torn = (0..20).map(|seed| disk.after_crash(Left::Torn(seed)).bytes("a"));
        assert!(torn.into_iter().any(|bytes| bytes == b"xld"), "when the machine is off nothing is lost any more");
    }

    #[test]
    fn a_full_disk_takes_what_has_its_place_and_nothing_more() {
        let disk = FaultyDisk::default();
        let file = disk.open("a").unwrap();
        file.set_len(100).unwrap();
        disk.give_room(100);
        file.write_at(90, &[1; 10]).unwrap();
        assert_eq!(file.write_at(91, &[1; 10]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.open("b").unwrap().set_len(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.mend();
        file.write_at(91, &[1; 10]).unwrap();
        disk.fail(Fails::Syncs, io::ErrorKind::Other);
        assert!(file.sync().is_err());
    }

    #[test]
    fn somebody_changes_a_byte_and_somebody_removes_the_file() {
        let disk = written();
        let file = disk.open("a").unwrap();
        disk.flip("a", 1, 0x20);
        assert_eq!(disk.bytes("a"), b"nEw and more");
        disk.remove("a");
        assert!(!file.is_linked().unwrap() && file.write_at(0, b"x").is_ok());
        assert!(disk.open_existing("a").unwrap().is_none());
    }
}
