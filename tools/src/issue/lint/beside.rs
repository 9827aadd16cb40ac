//! What licence files would do beside those that are read before them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use leasehold_core::{ServedBy, timetable};
use leasehold_protocol::{
    licence::{PublisherKey, SignedCertificate},
    time::UnixMillis,
    vocab::{FeatureName, RealmId},
};
use serde_json::{Value, json};

use super::{
    FileReport, licence,
    standing::{Servers, Standing, standings},
};
use crate::{
    exit::Failure,
    issue::files,
    output::{FAINT, STRONG, WARN, paint},
};

/// Files that are read before, and what becomes of them.
#[derive(Debug, Default)]
pub(in crate::issue) struct Beside {
    pub(in crate::issue) files: Vec<FileReport>,
    /// Certificates of them that fare otherwise than before: which, as what before, as what after.
    pub(in crate::issue) changed: Vec<(SignedCertificate, Standing, Standing)>,
    /// Seats of every feature that changes, before and after; `None`: not counted.
    pub(in crate::issue) seats: Vec<(FeatureName, Option<u64>, Option<u64>)>,
}

impl Beside {
    /// Reads licence files, and those of folders by name, as a server does.
    pub(in crate::issue) fn read(paths: &[PathBuf], keys: &[PublisherKey]) -> Result<Self, Failure> {
        let mut read = Self::default();
        for path in paths.iter().map(|path| licence_files(path)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            read.files.push(licence(path.display().to_string(), &files::read_text(&path)?, keys));
        }
        Ok(read)
    }

    pub(super) fn signed(&self) -> Vec<&SignedCertificate> {
        self.files.iter().flat_map(|file| &file.signed).collect()
    }

    /// Compares what is there without `more` and with it, whose standings beside the others are `after`.
    pub(super) fn compare(
        &mut self,
        more: &[&SignedCertificate],
        after: &[Standing],
        servers: &Servers,
        now: UnixMillis,
    ) {
        let own = self.signed();
        let before = standings(&own, servers, now);
        let fates = own.iter().zip(before.into_iter().zip(after));
        let changed: Vec<_> = fates
            .filter(|(_, (before, after))| before != *after)
            .map(|(signed, (before, after))| ((*signed).clone(), before, after.clone()))
            .collect();
        let all: Vec<&SignedCertificate> = own.iter().chain(more).copied().collect();
        let features: BTreeSet<(RealmId, &FeatureName)> =
            all.iter().map(|signed| (signed.realm(), &signed.certificate.feature)).collect();
        let compared = features.into_iter().map(|(realm, feature)| {
            let count = |of: &[&SignedCertificate]| seats(of, servers, realm, feature, now);
            (feature.clone(), count(&own), count(&all))
        });
        let seats = compared.filter(|(_, before, after)| before != after).collect();
        (self.changed, self.seats) = (changed, seats);
    }

    /// For people.
    pub(super) fn render(&self) -> String {
        if self.files.is_empty() {
            return String::new();
        }
        let files: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let mut out = format!("{} {}\n", paint(STRONG, "beside"), files.join(", "));
        for (signed, before, after) in &self.changed {
            let what = format!("{} {}", signed.certificate.feature, signed.certificate.version);
            let change = format!("{} before, {} then", before.word(), after.word());
            out += &format!("  {what}: {} {}\n", paint(WARN, change), paint(FAINT, format!("({})", signed.id)));
        }
        for (feature, before, after) in &self.seats {
            let show = |seats: &Option<u64>| seats.map_or_else(|| "uncounted".to_owned(), |seats| seats.to_string());
            out += &format!("  {feature}: {} → {} seats\n", show(before), show(after));
        }
        if self.changed.is_empty() && self.seats.is_empty() {
            out += "  nothing changes\n";
        }
        out
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let changed = |(signed, before, after): &(SignedCertificate, Standing, Standing)| {
            json!({ "id": signed.id.to_string(), "feature": signed.certificate.feature.as_str(),
                "before": before.word(), "after": after.word() })
        };
        let seats = |(feature, before, after): &(FeatureName, Option<u64>, Option<u64>)| json!({ "feature": feature.as_str(), "before": before, "after": after });
        json!({
            "files": self.files.iter().map(|file| &file.name).collect::<Vec<_>>(),
            "changed": self.changed.iter().map(changed).collect::<Vec<_>>(),
            "seats": self.seats.iter().map(seats).collect::<Vec<_>>(),
        })
    }
}

/// Seats of `feature` at `now`, from `certificates` alone.
fn seats(
    certificates: &[&SignedCertificate],
    servers: &BTreeMap<RealmId, leasehold_protocol::crypto::Fingerprint>,
    realm: RealmId,
    feature: &FeatureName,
    now: UnixMillis,
) -> Option<u64> {
    let of_realm =
        certificates.iter().filter(|signed| signed.realm() == realm).map(|signed| (*signed).clone()).collect();
    let here = ServedBy { realm, fingerprint: servers.get(&realm).copied(), ..ServedBy::default() };
    timetable(of_realm, &here, feature, now, now).first().map_or(Some(0), |step| step.seats)
}

/// `path`, or the licence files in it by name.
fn licence_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |e| Failure::new(format!("cannot read the folder {}", path.display())).because_of(&e);
    let entries = fs::read_dir(path).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "lic"));
    paths.sort();
    Ok(paths)
}
