//! Licence files and the publishers' keys that check them: read, reported, handed to the core.
//!
//! A file that is missing, or no file at all, stops nothing: the server runs, serves what it has and says what it
//! lacks. At a reload one bad file changes nothing at all, because then there is something that works to be kept.

mod report;
mod trust;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use leasehold_core::{PlanReport, Shared};
use leasehold_protocol::{
    licence::{PublisherKey, SignedCertificate, text},
    time::Now,
    vocab::{CertificateId, RealmId},
};

pub use report::{CertificateLine, FileReport, LicenceReport, RefusedLine};
pub use trust::{Trust, TrustError, read_site_key};

use crate::state::{ADDED, Folder, StateError};

/// Where licences come from, and who is believed.
#[derive(Clone, Debug)]
pub struct Licences {
    /// Files named by a setting.
    pub named: Vec<PathBuf>,
    /// Whose signatures count.
    pub keys: Vec<PublisherKey>,
    /// The TTL of leases whose certificate names none.
    pub default_ttl: Duration,
    /// Certificates that came over the network and live in memory alone, in the order they came.
    pub added: Vec<SignedCertificate>,
}

/// Stands for a path where certificates live in memory alone.
pub const MEMORY: &str = "added over the network, until the next restart";

/// Every licence file as it was found, checked and not yet in force.
#[derive(Debug, Default)]
pub struct Found {
    files: Vec<FoundFile>,
}

#[derive(Debug)]
struct FoundFile {
    path: PathBuf,
    outcome: Result<text::LoadReport, String>,
}

impl Licences {
    /// Reads every file anew, those named and `licences/*.lic` of the data folder, and checks every signature.
    ///
    /// # Errors
    /// If the folder cannot be listed. A file that cannot be read is part of what was found.
    pub fn read(&self, folder: &Folder) -> Result<Found, StateError> {
        let paths = each_once(self.named.iter().cloned().chain(folder.list("licences", "lic")?));
        let kept = Some(folder.join(ADDED)).filter(|path| path.exists());
        let files = paths.into_iter().chain(kept);
        let mut files: Vec<FoundFile> =
            files.map(|path| FoundFile { outcome: read(&path, &self.keys), path }).collect();
        if !self.added.is_empty() {
            let applied = self.added.iter().filter(|signed| self.is_trusted(signed)).cloned().collect();
            let outcome = Ok(text::LoadReport { applied, refused: Vec::new() });
            files.push(FoundFile { path: MEMORY.into(), outcome });
        }
        Ok(Found { files })
    }

    /// The longest TTL that leases under `found` may be granted for. The default counts only where a certificate leaves
    /// its TTL to the server: what is never granted must not make a restarted server wait.
    #[must_use]
    pub fn longest_ttl_ms(&self, found: &Found) -> u64 {
        let default_ms = u64::try_from(self.default_ttl.as_millis()).unwrap_or(u64::MAX);
        let own_s = found.certificates().map(|c| c.certificate.terms.lease_ttl_s);
        own_s.map(|own| own.map_or(default_ms, |s| u64::from(s) * 1000)).max().unwrap_or(0)
    }

    /// Whether the key that signed `signed` is trusted still.
    fn is_trusted(&self, signed: &SignedCertificate) -> bool {
        self.keys.iter().any(|key| key.key_id() == signed.key_id)
    }

    /// Puts what was found in place of what is in force, in every realm, and tells what became of each certificate.
    #[must_use]
    pub fn apply(&self, found: Found, shared: &Shared, now: Now) -> LicenceReport {
        let mut by_realm: BTreeMap<u32, Vec<SignedCertificate>> = BTreeMap::new();
        for realm in shared.realms() {
            by_realm.insert(realm.id.0, Vec::new());
        }
        for certificate in found.certificates() {
            by_realm.entry(certificate.certificate.realm().0).or_default().push(certificate.clone());
        }
        let plans = by_realm.into_iter().map(|(realm, list)| shared.load(RealmId(realm), list, now));
        let plans: BTreeMap<u32, PlanReport> = plans.map(|plan| (plan.realm.0, plan)).collect();
        report::of(found, plans, now)
    }
}

/// Files by their real paths, each once: one that is named may lie in the folder too.
fn each_once(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let new = |path: &PathBuf| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone()));
    paths.filter(new).collect()
}

impl Found {
    /// Every certificate whose signature holds, in order of files and places.
    pub fn certificates(&self) -> impl Iterator<Item = &SignedCertificate> {
        self.files.iter().filter_map(|file| file.outcome.as_ref().ok()).flat_map(|report| &report.applied)
    }

    /// The certificates of the file `path`.
    pub fn certificates_of<'a>(&'a self, path: &Path) -> impl Iterator<Item = &'a SignedCertificate> + use<'a> {
        let file = self.files.iter().find(|file| file.path == path);
        file.and_then(|file| file.outcome.as_ref().ok()).into_iter().flat_map(|report| &report.applied)
    }

    /// In which file the certificate `id` stands first, and in which line.
    #[must_use]
    pub fn place_of(&self, id: CertificateId) -> Option<(&Path, u32)> {
        self.files.iter().find_map(|file| {
            let signed = file.outcome.as_ref().ok()?.applied.iter().find(|signed| signed.id == id)?;
            Some((&*file.path, signed.place.map_or(0, |place| place.line)))
        })
    }

    /// The ids of all certificates in files other than `path`.
    #[must_use]
    pub fn in_files(&self, path: &str) -> BTreeSet<CertificateId> {
        let others = self.files.iter().filter(|file| file.path != Path::new(path));
        others.filter_map(|file| file.outcome.as_ref().ok()).flat_map(|r| &r.applied).map(|signed| signed.id).collect()
    }

    /// What keeps a reload from being believed: `file:line:column: why`, one a line. Empty if nothing does.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for file in &self.files {
            let path = file.path.display();
            match &file.outcome {
                Err(why) => faults.push(format!("{path}: {why}")),
                Ok(report) => faults.extend(
                    report.refused.iter().map(|r| format!("{path}:{}:{}: {}", r.place.line, r.place.column, r.why)),
                ),
            }
        }
        faults
    }
}

fn read(path: &Path, keys: &[PublisherKey]) -> Result<text::LoadReport, String> {
    read_text(path, text::FILE_MAX).map(|text| text::read(&text, keys))
}

/// The text of a regular file of at most `len_max` bytes.
fn read_text(path: &Path, len_max: usize) -> Result<String, String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err("is not a file".into());
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells "too long" from "just fits".
    file.take(len_max as u64 + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() > len_max {
        return Err(format!("is longer than {len_max} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| format!("is not text: byte {} is no UTF-8", e.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::site::Site;

    #[test]
    fn the_default_ttl_counts_only_where_a_certificate_leaves_it_to_the_server() {
        let site = Site::bare();
        site.licence("a.lic", "A", 1, 4);
        site.licence("b.lic", "B", 1, 9);
        let folder = Folder::open(&site.data_dir()).unwrap();
        let keys = vec![site.publisher.public()];
        let licences = Licences { named: vec![], keys, default_ttl: Duration::from_secs(300), added: vec![] };
        let found = licences.read(&folder).unwrap();
        assert_eq!(licences.longest_ttl_ms(&found), 9000);

        site.licence_without_ttl("c.lic", "C");
        assert_eq!(licences.longest_ttl_ms(&licences.read(&folder).unwrap()), 300_000);
        assert_eq!(licences.longest_ttl_ms(&Found { files: vec![] }), 0, "nothing can be granted");
    }
}
