//! The licence search path (L-18): files, folders and servers, in order; and rights that are granted from files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use leasehold_protocol::{
    licence::{PublisherKey, SignedCertificate, text},
    message::LotUse,
    time::UnixMillis,
    vocab::{Denial, FeatureName, HostId, LeaseId, SeatCount, Version},
};
use tokio::sync::{broadcast, watch};

use super::{
    answers::{Granted, Held, LeaseEvent, View},
    clock,
};
use crate::{
    holder::{CheckoutSpec, LeaseState, LossCause},
    local::{LocalAnswer, ask, is_believed},
};

/// One entry of a search path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A licence file, or a folder of `*.lic` files.
    Files(PathBuf),
    /// A server's address.
    Server(String),
}

/// The entries of a search path with `:` between them. One that has a `/` in it, ends in `.lic` or is there as a file or folder
/// is that; any other is a server. `port@host`, and `host:port` in brackets, are servers.
pub(crate) fn places(text: &str) -> Vec<Place> {
    text.split(':').map(str::trim).filter(|entry| !entry.is_empty()).map(place).collect()
}

pub(crate) fn place(entry: &str) -> Place {
    let path = Path::new(entry);
    let is_file = entry.contains('/') || path.extension().is_some_and(|ending| ending == "lic") || path.exists();
    if is_file { Place::Files(path.to_owned()) } else { Place::Server(entry.to_owned()) }
}

/// Certificates on this machine, those whose signatures hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) certificates: Vec<SignedCertificate>,
    /// Of each, which of `files` it is from.
    from: Vec<usize>,
    files: Vec<PathBuf>,
    /// What signatures hold under.
    pub(crate) keys: Vec<PublisherKey>,
    /// What could not be used, each with the reason.
    pub(crate) refused: Vec<String>,
    machine: Vec<HostId>,
    /// The latest instant this machine's clock has shown, and where that is kept.
    seen: Option<UnixMillis>,
    mark: Option<PathBuf>,
}

/// The file that keeps the latest instant, in the client's state folder.
const MARK: &str = "latest-instant";
/// The right of a lease is looked at so often: a machine may have slept in between.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Shelf {
    /// Reads the files of `places`; `state` is the client's state folder.
    pub(crate) fn read(places: &[Place], keys: &[PublisherKey], machine: Vec<HostId>, state: Option<&Path>) -> Self {
        let mark = state.map(|folder| folder.join(MARK));
        let mut shelf = Self { machine, mark, keys: keys.to_vec(), ..Self::default() };
        let mut seen = BTreeSet::new();
        let files = places.iter().filter_map(|place| match place {
            Place::Files(path) => Some(path),
            Place::Server(_) => None,
        });
        for file in files.flat_map(|path| licence_files(path)) {
            if seen.insert(file.clone()) {
                shelf.add(&file);
            }
        }
        shelf.look_at_clock();
        shelf
    }

    /// Whether there is anything that could grant.
    pub(crate) fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    fn add(&mut self, path: &Path) {
        let shown = path.display();
        let file = fs::metadata(path).and_then(|meta| match meta.len() <= text::FILE_MAX as u64 {
            true => fs::read_to_string(path),
            false => Err(std::io::Error::other("it is longer than any licence file")),
        });
        match file {
            Ok(said) => {
                let report = text::read(&said, &self.keys);
                self.from.extend(report.applied.iter().map(|_| self.files.len()));
                self.files.push(path.to_owned());
                self.certificates.extend(report.applied);
                let why = |r: text::Refused| format!("{shown}:{}:{}: {}", r.place.line, r.place.column, r.why);
                self.refused.extend(report.refused.into_iter().map(why));
            }
            Err(e) => self.refused.push(format!("{shown}: {e}")),
        }
    }

    /// Each file with what it says, in the order of the search path.
    pub(crate) fn by_file(&self) -> impl Iterator<Item = (&Path, Vec<&SignedCertificate>)> {
        self.files.iter().enumerate().map(|(file, path)| {
            let of_file = self.from.iter().zip(&self.certificates).filter(move |(from, _)| **from == file);
            (path.as_path(), of_file.map(|(_, signed)| signed).collect())
        })
    }

    /// The file of the certificate at `index`.
    pub(crate) fn file_of(&self, index: usize) -> &Path {
        &self.files[self.from[index]]
    }

    /// Which certificate here grants `feature` in any version to this machine now.
    pub(crate) fn granting(&self, feature: &FeatureName) -> Option<usize> {
        match ask(&self.certificates, feature, Version::ANY, &self.machine, clock::now().wall) {
            LocalAnswer::Granted(index) => Some(index),
            LocalAnswer::Refused(..) | LocalAnswer::Silent => None,
        }
    }

    /// Notes what the clock shows, if it is later than ever (T-5). A file that cannot be written is no failure.
    fn look_at_clock(&mut self) {
        let Some(mark) = &self.mark else { return };
        let before = fs::read_to_string(mark).ok().and_then(|text| text.trim().parse().ok()).map(UnixMillis);
        let now = clock::now().wall;
        self.seen = before.into_iter().chain(self.seen).max();
        if !self.is_empty() && self.seen.is_none_or(|seen| seen < now) {
            let _ = fs::write(mark, format!("{}\n", now.0));
        }
    }

    /// Grants what `spec` asks for, if a certificate here does; a refusal if one speaks of it and refuses.
    pub(crate) fn checkout(&mut self, spec: &CheckoutSpec) -> Option<Result<(Held, LocalGuard), (Denial, String)>> {
        let now = clock::now().wall;
        match ask(&self.certificates, &spec.feature, spec.version, &self.machine, now) {
            LocalAnswer::Silent => None,
            LocalAnswer::Refused(code, why) => Some(Err((code, why))),
            LocalAnswer::Granted(index) => {
                self.look_at_clock();
                if !is_believed(now, self.seen) {
                    let why = "this machine's clock was set back by more than 26 hours: set it right";
                    return Some(Err((Denial::CLOCK, why.to_owned())));
                }
                Some(Ok(hold(&self.certificates[index], spec.seats)))
            }
        }
    }
}

/// `path` if it is a file, or the licence files in it, in order of their names.
fn licence_files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return vec![path.to_owned()] };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|ending| ending == "lic")).collect();
    files.sort();
    files
}

/// Keeps a local lease; dropped, it ends.
#[derive(Debug)]
pub(crate) struct LocalGuard {
    _alive: mpsc::Sender<()>,
}

/// A lease of `signed`, which nobody has to renew. At the end of the right it is lost, and says why.
fn hold(signed: &SignedCertificate, seats: SeatCount) -> (Held, LocalGuard) {
    let now = clock::now();
    let event = LeaseEvent { state: LeaseState::Healthy, at: clock::wall_of(now.mono, now), until: None };
    let (view, views) = watch::channel(View { event, id: LeaseId::NONE });
    let (events, receiver) = broadcast::channel(4);
    let (alive, ended) = mpsc::channel();
    let right_ends = signed.certificate.ends_at();
    let lots = vec![LotUse { certificate: signed.id, version: signed.certificate.version, seats }];
    let held = Held { grant: Granted { seats, lots, right_ends }, view: views, events: receiver, pleas: None };
    let watch = move || watch_end(right_ends, &ended, &view, &events);
    // Without a thread the lease goes on to the program's end, which is what the program wants.
    let _ = std::thread::Builder::new().name("leasehold-local".to_owned()).spawn(watch);
    (held, LocalGuard { _alive: alive })
}

/// Waits for the end of the right, or of the lease.
fn watch_end(
    ends: Option<UnixMillis>,
    ended: &mpsc::Receiver<()>,
    view: &watch::Sender<View>,
    events: &broadcast::Sender<LeaseEvent>,
) {
    let mut lost = false;
    loop {
        let now = clock::now();
        if !lost && ends.is_some_and(|ends| ends < now.wall) {
            lost = true;
            let state = LeaseState::Lost { at: now.mono, why: LossCause::Denied(Denial::EXPIRED) };
            let event = LeaseEvent { state, at: clock::wall_of(now.mono, now), until: None };
            let _ = view.send(View { event, id: LeaseId::NONE });
            let _ = events.send(event);
        }
        let left = ends.filter(|_| !lost).map(|ends| Duration::from_millis(ends.0.saturating_sub(now.wall.0) + 1));
        let wait = left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
        if !matches!(ended.recv_timeout(wait), Err(mpsc::RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_mixes_files_folders_and_servers() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().display().to_string();
        let files = |path: &str| Place::Files(path.into());
        let text = format!("{folder}:lic1: /etc/acme.lic :5097@lic2:a.lic");
        let server = |name: &str| Place::Server(name.to_owned());
        assert_eq!(
            places(&text),
            [files(&folder), server("lic1"), files("/etc/acme.lic"), server("5097@lic2"), files("a.lic")]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_and_stops_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("a.lic"), "certificate {").unwrap();
        fs::write(scratch.path().join("b.lic"), [0xff, 0xfe]).unwrap();
        let places = [Place::Files(scratch.path().into()), Place::Files("/nowhere/x.lic".into())];
        let shelf = Shelf::read(&places, &[], vec![], None);
        assert!(shelf.is_empty());
        assert_eq!(shelf.refused.len(), 3, "{:?}", shelf.refused);
    }
}
