//! The one who loads licences: at a signal, when a file changes, and over the administration's channel (L-4, L-5). Whoever
//! asks, it is done here, one at a time, and as if everything had just been read.
//!
//! What came over the channel is read after all files: first what was kept in `added.lic` of the data folder, then what
//! lives in memory alone, each in the order it came.

mod backups;
mod deeds;
mod policies;

pub use self::backups::BackupFailed;
pub use self::policies::{PolicyChange, PolicyInForce, PolicyRefused};

use std::sync::{Arc, atomic::Ordering::Relaxed};

use leasehold_core::{Past, Shared, Step, preview, timetable};
use leasehold_hostid::Machine;
use leasehold_protocol::{
    licence::{SignedCertificate, text},
    time::Now,
    vocab::{CertificateId, HostId, HostIdKind},
};
use serde::Serialize;

use crate::{
    admin::AdminState,
    clock::{self, SteadyClock},
    config::ConfigError,
    ledger::{By, LedgerError},
    licences::{Found, LicenceReport, Licences, MEMORY, Trust, TrustError},
    policy::{self, PolicyFile},
    remembered,
    settings::Settings,
    state::{ADDED, Folder, Serving, StateError},
};

/// Loads licences.
pub struct Loader {
    folder: Folder,
    serving: Serving,
    licences: Licences,
    publisher_keys: Vec<std::path::PathBuf>,
    policy: Option<std::path::PathBuf>,
    /// The text of the policy in force.
    policy_text: String,
    shared: Arc<Shared>,
    /// Warnings about files, which stay until the next reading.
    file_warnings: Vec<String>,
}

/// A loading that changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// A licence file is not as it should be: `file:line:column: why`, one a line.
    #[error("the licences in force are kept, because of:\n{}", .0.join("\n"))]
    Faults(Vec<String>),
    /// A publisher's key.
    #[error("the licences in force are kept: {0}")]
    Trust(#[from] TrustError),
    /// The policy file: `file:line:column: why`, one a line.
    #[error("the policy and the licences in force are kept, because of:\n{0}")]
    Policy(ConfigError),
    /// The data folder.
    #[error("the licences in force are kept: {0}")]
    State(#[from] StateError),
    /// What was to be done cannot be entered in the ledger.
    #[error("the licences in force are kept: {0}")]
    Ledger(#[from] LedgerError),
}

/// Why certificates were not added or removed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is nothing in what was sent.
    #[error("there is no certificate in what was sent: send the text of a licence file")]
    Nothing,
    /// Some of it is refused: `line L, column C: why`, one a line.
    #[error("nothing was added, because of:\n{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// No certificate of that id came over the network.
    #[error("no certificate {0} is loaded here: leasehold licence list shows those that are")]
    Unknown(CertificateId),
    /// It stands in a file that an administrator keeps.
    #[error("certificate {id} stands in {path}:{line}: remove it there, and leasehold licence reload")]
    InFile {
        /// Which.
        id: CertificateId,
        /// The file.
        path: String,
        /// Where in it.
        line: u32,
    },
    /// The files that are there are not as they should be.
    #[error(transparent)]
    Reload(#[from] ReloadError),
}

/// What adding did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddReport {
    /// Whether anything was changed.
    pub changed: bool,
    /// Whether it is there after a restart.
    pub persisted: bool,
    /// Each certificate that was sent, in order.
    pub certificates: Vec<AddedLine>,
    /// Seats of each feature they speak of.
    pub features: Vec<FeatureChange>,
}

/// What became of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddedLine {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub feature: String,
    /// `applied`, `muted` and so on, or `loaded_before`.
    pub outcome: &'static str,
    /// The same in words.
    pub sentence: String,
    /// What it says and this server does not act upon.
    pub warnings: Vec<String>,
}

/// Seats of a feature before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureChange {
    /// Its name.
    pub name: String,
    /// Seats before; `None` if they are not counted.
    pub before: Option<u64>,
    /// Seats after.
    pub after: Option<u64>,
}

impl Loader {
    pub(crate) fn new(
        settings: &Settings,
        folder: Folder,
        serving: Serving,
        licences: Licences,
        shared: Arc<Shared>,
        file_warnings: Vec<String>,
        policy_text: String,
    ) -> Self {
        let (publisher_keys, policy) = (settings.publisher_keys.clone(), settings.policy.clone());
        Self { folder, serving, licences, publisher_keys, policy, policy_text, shared, file_warnings }
    }

    /// Reads the publishers' keys and the licences anew and puts them in force. A publisher that was not known at the
    /// start has no realm yet: it is a warning to start again.
    ///
    /// # Errors
    /// If one file or certificate is not as it should be: nothing is changed then.
    pub fn reload(&mut self, by: &By, state: &AdminState) -> Result<Arc<LicenceReport>, ReloadError> {
        self.read_anew(by, state).inspect_err(|_| _ = state.reads_failed.fetch_add(1, Relaxed))
    }

    fn read_anew(&mut self, by: &By, state: &AdminState) -> Result<Arc<LicenceReport>, ReloadError> {
        // A machine may have been given another name or address since.
        tell_past(&self.shared, &Past::default());
        let trust = Trust::read(&self.publisher_keys, &self.folder.list("publishers", "pub")?)?;
        let policy = self.policy.as_deref().map(PolicyFile::read).transpose().map_err(ReloadError::Policy)?;
        let licences = Licences { keys: trust.keys.clone(), ..self.licences.clone() };
        self.enter_reload(by, &licences, policy.as_ref(), state)?;
        let report =
            self.put_in_force(licences, state).inspect_err(|e| deeds::undone(state, by, "licence.reload", e))?;
        self.file_warnings = self.folder.warnings().iter().chain(&trust.warnings).cloned().collect();
        self.file_warnings.extend(self.newcomers(&trust));
        if let Some(file) = policy {
            self.file_warnings.extend(file.warnings());
            tracing::info!(rules = file.policy.len(), "policy read");
            self.shared.set_policy(file.policy);
            self.policy_text = file.text;
        }
        self.refresh_warnings(state, state.clock.now());
        Ok(report)
    }

    /// Takes the certificates of `text` as if they had just been read after all others (L-5). With `persist` they are there
    /// after a restart: on disk before they are in force. With `dry_run` nothing is done but told.
    ///
    /// # Errors
    /// If anything of it is refused, or what is there already cannot be read: nothing is changed then.
    pub fn add(
        &mut self,
        text: &str,
        persist: bool,
        dry_run: bool,
        by: &By,
        state: &AdminState,
    ) -> Result<AddReport, ChangeError> {
        let sent = text::read(text, &self.licences.keys);
        if !sent.refused.is_empty() {
            let why = |r: &text::Refused| format!("{}: {}", r.place, r.why);
            return Err(ChangeError::Refused(sent.refused.iter().map(why).collect()));
        }
        if sent.applied.is_empty() {
            return Err(ChangeError::Nothing);
        }
        let found = self.read(&self.licences)?;
        let there: Vec<SignedCertificate> = found.certificates().cloned().collect();
        let is_new = |signed: &&SignedCertificate| there.iter().all(|other| other.id != signed.id);
        let new: Vec<SignedCertificate> = sent.applied.iter().filter(is_new).cloned().collect();
        let now = state.clock.now();
        let mut report = self.foretell(&there, &sent.applied, &new, now);
        report.persisted = persist && !dry_run;
        if dry_run || new.is_empty() && !persist {
            return Ok(report);
        }
        let (before, after) = deeds::added(&report);
        deeds::enter(state, by, "licence.add", before, after).map_err(ReloadError::from)?;
        let done = self.take_in(&sent.applied, new, persist, state);
        done.inspect_err(|e| deeds::undone(state, by, "licence.add", e))?;
        self.refresh_warnings(state, now);
        report.changed = true;
        Ok(report)
    }

    /// Puts those of `sent` that are `new` in force besides all others; with `persist` all of them are kept.
    fn take_in(
        &mut self,
        sent: &[SignedCertificate],
        new: Vec<SignedCertificate>,
        persist: bool,
        state: &AdminState,
    ) -> Result<(), ReloadError> {
        let mut licences = self.licences.clone();
        if persist {
            self.persist(sent, &mut licences)?;
        } else {
            licences.added.extend(new);
        }
        self.put_in_force(licences, state).map(drop)
    }

    /// Takes out a certificate that came over the network, from memory and from `added.lic`.
    ///
    /// # Errors
    /// If it is not one of those: nothing is changed then.
    pub fn remove(
        &mut self,
        id: CertificateId,
        by: &By,
        state: &AdminState,
    ) -> Result<Arc<LicenceReport>, ChangeError> {
        let found = self.read(&self.licences)?;
        let added_path = self.folder.join(ADDED);
        let (path, line) = found.place_of(id).ok_or(ChangeError::Unknown(id))?;
        let path = path.to_owned();
        if path != std::path::Path::new(MEMORY) && path != added_path {
            return Err(ChangeError::InFile { id, path: path.display().to_string(), line });
        }
        deeds::enter_removal(state, by, id, &found).map_err(ReloadError::from)?;
        let done = self.take_out(id, &found, path == added_path, state);
        let report = done.inspect_err(|e| deeds::undone(state, by, "licence.remove", e))?;
        self.refresh_warnings(state, state.clock.now());
        Ok(report)
    }

    fn take_out(
        &mut self,
        id: CertificateId,
        found: &Found,
        is_kept: bool,
        state: &AdminState,
    ) -> Result<Arc<LicenceReport>, ReloadError> {
        let mut licences = self.licences.clone();
        licences.added.retain(|signed| signed.id != id);
        if is_kept {
            let added = self.folder.join(ADDED);
            let kept: Vec<SignedCertificate> =
                found.certificates_of(&added).filter(|signed| signed.id != id).cloned().collect();
            self.write_added(&kept)?;
        }
        self.put_in_force(licences, state)
    }

    /// Writes the report again if a certificate has begun or ended by its date since.
    pub(crate) fn refresh_report(&self, state: &AdminState, now: Now) {
        let (known, plans) = (state.licences.load_full(), self.shared.plans());
        if known.plans != plans {
            state.licences.store(Arc::new(known.again(self.shared.reports(now), plans)));
        }
    }

    /// What is not as it should be.
    pub(crate) fn refresh_warnings(&self, state: &AdminState, now: Now) {
        let found = crate::banner::warnings(&self.shared, &state.licences.load(), now);
        let of_ledger = state.ledger.warnings();
        let of_policy = policy::beside_licences(&self.shared, now);
        let of_clock = clock::words::warnings(&state.clock.status(), now);
        let of_storage = remembered::warnings_of_storage(&state.remembered, &state.journal, &self.shared);
        let all = self
            .file_warnings
            .iter()
            .cloned()
            .chain(of_clock)
            .chain(of_storage)
            .chain(of_ledger)
            .chain(state.history.warning())
            .chain(found)
            .chain(of_policy)
            .collect();
        state.warnings.store(Arc::new(all));
    }

    /// The folders whose files are licences, keys or the policy.
    pub(crate) fn watched(&self) -> Vec<std::path::PathBuf> {
        // The folder of a bare name is the one we are in, which has no name that can be watched.
        let folder = |path: &std::path::Path| if path.as_os_str().is_empty() { ".".into() } else { path.to_owned() };
        let parent = |path: &std::path::PathBuf| path.parent().map(folder);
        let mut all = vec![self.folder.join("licences"), self.folder.join("publishers")];
        all.extend(self.licences.named.iter().filter_map(parent));
        all.extend(self.publisher_keys.iter().filter_map(parent));
        all.extend(self.policy.iter().filter_map(parent));
        all
    }

    /// Ends the server's life: see [`Serving::end`].
    pub(crate) fn end(self, leases_out: u64, clock: &SteadyClock) -> Result<(), StateError> {
        self.keep_time(clock);
        self.serving.end(&self.folder, leases_out, clock.now())
    }

    /// Writes down how late it is, for the next start (T-5). Without it that takes the mark before; nothing stops for it.
    pub(crate) fn keep_time(&self, clock: &SteadyClock) {
        if let Err(e) = clock.save(&self.folder) {
            tracing::warn!("{e}; until it can, a restart may not notice that the clock was set back");
        }
    }

    fn read(&self, licences: &Licences) -> Result<Found, ReloadError> {
        let found = licences.read(&self.folder)?;
        let faults = found.faults();
        if faults.is_empty() { Ok(found) } else { Err(ReloadError::Faults(faults)) }
    }

    fn put_in_force(&mut self, licences: Licences, state: &AdminState) -> Result<Arc<LicenceReport>, ReloadError> {
        let began = std::time::Instant::now();
        let found = self.read(&licences)?;
        self.serving.allow(&self.folder, licences.longest_ttl_ms(&found))?;
        let plans = self.shared.plans();
        let mut report = licences.apply(found, &self.shared, state.clock.now());
        // Of before: what begins or ends meanwhile is found by looking again.
        report.plans = plans;
        report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let report = Arc::new(report);
        report.log();
        self.licences = licences;
        state.licences.store(report.clone());
        Ok(report)
    }

    /// What adding `new`, of those that were `sent`, to those that are `there` would do.
    fn foretell(
        &self,
        there: &[SignedCertificate],
        sent: &[SignedCertificate],
        new: &[SignedCertificate],
        now: Now,
    ) -> AddReport {
        let mut certificates = Vec::new();
        let mut features: Vec<FeatureChange> = Vec::new();
        for signed in sent {
            let realm = signed.realm();
            let here = self.shared.served_by(realm);
            let of_realm = |list: &[SignedCertificate]| {
                list.iter().filter(|other| other.realm() == realm).cloned().collect::<Vec<_>>()
            };
            let (before, mut after) = (of_realm(there), of_realm(there));
            after.extend(of_realm(new));
            let report = here.as_ref().map(|here| preview(after.clone(), here, now.wall));
            let line = report.as_ref().and_then(|report| report.lines.iter().rfind(|line| line.id == signed.id));
            let is_new = new.iter().any(|other| other.id == signed.id);
            certificates.push(added_line(signed, line, is_new));
            let name = &signed.certificate.feature;
            if let Some(here) = here
                && features.iter().all(|change| change.name != name.as_str())
            {
                let seats = |list| seats_now(timetable(list, &here, name, now.wall, now.wall));
                features.push(FeatureChange { name: name.to_string(), before: seats(before), after: seats(after) });
            }
        }
        AddReport { changed: false, persisted: false, certificates, features }
    }

    /// Appends what was `sent` to `added.lic`, and takes out of memory what is there then.
    fn persist(&self, sent: &[SignedCertificate], licences: &mut Licences) -> Result<(), ReloadError> {
        let kept = licences.read(&self.folder)?;
        let path = self.folder.join(ADDED);
        let mut all: Vec<SignedCertificate> = kept.certificates_of(&path).cloned().collect();
        let in_files = kept.in_files(MEMORY);
        let missing = |signed: &&SignedCertificate| !in_files.contains(&signed.id);
        all.extend(sent.iter().filter(missing).cloned());
        self.write_added(&all)?;
        licences.added.retain(|signed| sent.iter().all(|other| other.id != signed.id));
        Ok(())
    }

    fn write_added(&self, all: &[SignedCertificate]) -> Result<(), ReloadError> {
        if all.is_empty() {
            return Ok(self.folder.remove(ADDED)?);
        }
        let comment =
            "Certificates that were added over the network and kept. leasehold licence remove ID takes one out.";
        Ok(self.folder.write(ADDED, &text::write(all, comment))?)
    }

    /// Publishers that are trusted and have no realm, because they came after the start.
    fn newcomers(&self, trust: &Trust) -> Vec<String> {
        let realms = self.shared.realms();
        let new = trust.publishers().into_iter().filter(|name| realms.iter().all(|realm| realm.publisher != *name));
        new.map(|name| format!("the publisher {name} came after the start: start again to serve its licences"))
            .collect()
    }
}

fn added_line(signed: &SignedCertificate, line: Option<&leasehold_core::CertificateReport>, is_new: bool) -> AddedLine {
    let said = |sentence: &str| (sentence.to_owned(), Vec::new());
    let (outcome, (sentence, warnings)) = match line {
        _ if !is_new => ("loaded_before", said("is loaded already and counts once")),
        Some(line) => (line.outcome.word(), (line.sentence.clone(), line.warnings.clone())),
        None => ("other_realm", said("is from a publisher whose key came after the start: start the server again")),
    };
    AddedLine {
        id: signed.id.to_string(),
        feature: signed.certificate.feature.to_string(),
        outcome,
        sentence,
        warnings,
    }
}

fn seats_now(steps: Vec<Step>) -> Option<u64> {
    steps.first().map_or(Some(0), |step| step.seats)
}

/// Tells every realm of `shared` what this machine can be recognised by, and what was used on it before.
pub(crate) fn tell_past(shared: &Shared, past: &Past) {
    let machine = Machine::this();
    for realm in shared.realms() {
        let mut hostids = machine.gather(&realm.publisher).hostids(HOSTIDS_MAX);
        hostids.extend(HostId::new(HostIdKind::SERVER_KEY, &realm.fingerprint.to_string()));
        shared.serve_as(realm.id, hostids, past);
    }
}

/// Hostids a server has, at most.
const HOSTIDS_MAX: usize = 64;
