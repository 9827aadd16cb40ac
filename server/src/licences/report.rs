//! What became of every licence file, for the log, the banner and `/api/v1/licences`.

use std::collections::BTreeMap;

use leasehold_core::{CertificateReport, PlanReport};
use leasehold_protocol::{
    licence::SignedCertificate,
    time::{Now, UnixMillis},
    vocab::{Label, RealmId},
};
use serde::Serialize;

use super::{Found, FoundFile};
use crate::instant::rfc3339;

/// What became of every licence file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LicenceReport {
    /// When the files were read.
    pub read_at: String,
    /// How long reading, checking and putting them in force took, in milliseconds.
    pub took_ms: u64,
    /// Each file, in the order of reading.
    pub files: Vec<FileReport>,
    /// Seats that are out and that no certificate in force covers.
    pub overage: u64,
    /// The next instant at which a certificate begins or ends by itself.
    pub next_change_at: Option<String>,
    /// How many plans had been put in force when this was written.
    #[serde(skip)]
    pub(crate) plans: u64,
    /// When the files were read, for the metrics.
    #[serde(skip)]
    pub(crate) read: UnixMillis,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its path.
    pub path: String,
    /// Why nothing of it could be read.
    pub problem: Option<String>,
    /// Certificates whose signatures hold, in the file's order.
    pub certificates: Vec<CertificateLine>,
    /// Certificates that were refused.
    pub refused: Vec<RefusedLine>,
}

/// What became of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateLine {
    /// Its id.
    pub id: String,
    /// Its publisher.
    pub publisher: String,
    /// What it is for.
    pub feature: String,
    /// The version of its right.
    pub version: String,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// Column in the line, from 1.
    pub column: Option<u32>,
    /// `applied`, `muted`, `not_started`, `expired`, `duplicate`, `other_realm`, `other_server` or `unknown_kind`.
    pub outcome: &'static str,
    /// The same in words.
    pub sentence: String,
    /// The rule that decided, if one is against it: `L-6` and so on.
    pub rule: Option<&'static str>,
    /// What it says and this server does not act upon.
    pub warnings: Vec<String>,
}

/// A certificate that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedLine {
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in the line, from 1.
    pub column: u32,
    /// The feature it names; not to be trusted.
    pub feature: Option<String>,
    /// Why it was refused.
    pub why: String,
}

impl LicenceReport {
    /// Certificates in force.
    #[must_use]
    pub fn applied(&self) -> usize {
        self.lines().filter(|line| line.outcome == "applied").count()
    }

    /// Certificates refused, and files that could not be read.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.files.iter().map(|file| file.refused.len() + usize::from(file.problem.is_some())).sum()
    }

    fn lines(&self) -> impl Iterator<Item = &CertificateLine> {
        self.files.iter().flat_map(|file| &file.certificates)
    }

    /// How many certificates there are of each outcome, and how many were refused.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<&'static str, usize> {
        let mut outcomes = BTreeMap::from([("refused", self.files.iter().map(|file| file.refused.len()).sum())]);
        self.lines().for_each(|line| *outcomes.entry(line.outcome).or_default() += 1);
        outcomes
    }

    /// Writes the report to the log: what is wrong as warnings, what is in force as `info`. Of ten thousand certificates of
    /// one outcome the first ones say enough.
    pub fn log(&self) {
        let mut told: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut is_told = |outcome: &'static str| {
            let n = told.entry(outcome).or_default();
            *n += 1;
            *n <= LINES_LOGGED_MAX
        };
        for file in &self.files {
            let path = &file.path;
            if let Some(problem) = &file.problem {
                tracing::warn!("{path} {problem}");
            }
            for refused in file.refused.iter().filter(|_| is_told("refused")) {
                tracing::warn!("{path}:{}:{}: refused: {}", refused.line, refused.column, refused.why);
            }
            for line in &file.certificates {
                let (at, column) = (line.line.unwrap_or(0), line.column.unwrap_or(0));
                if is_told(line.outcome) {
                    tracing::info!(id = line.id, outcome = line.outcome, "{path}:{at}:{column}: {}", line.sentence);
                }
                for warning in line.warnings.iter().filter(|_| is_told("warning")) {
                    tracing::warn!(id = line.id, "{path}:{at}:{column}: {warning}");
                }
            }
        }
        let untold: usize = told.values().map(|n| n.saturating_sub(LINES_LOGGED_MAX)).sum();
        tracing::info!(
            applied = self.applied(),
            faults = self.faults(),
            overage = self.overage,
            took_ms = self.took_ms,
            untold,
            "licences loaded"
        );
    }
}

/// Lines of the log for each outcome: the others are counted, and told in full by `leasehold licence list`.
const LINES_LOGGED_MAX: usize = 50;

impl LicenceReport {
    /// The same with what has become of each certificate since: `plans` tells it in the same order.
    pub(crate) fn again(&self, plans: Vec<PlanReport>, number: u64) -> Self {
        let overage = plans.iter().map(|plan| plan.overage).sum();
        let next_change_at = plans.iter().filter_map(|plan| plan.next_change).min().map(rfc3339);
        let mut lines: BTreeMap<RealmId, _> =
            plans.into_iter().map(|plan| (plan.realm, plan.lines.into_iter())).collect();
        let mut report = Self { overage, next_change_at, plans: number, ..self.clone() };
        for line in report.files.iter_mut().flat_map(|file| &mut file.certificates) {
            let realm = Label::new(&line.publisher).map(|publisher| RealmId::of(&publisher));
            let plan = realm.ok().and_then(|realm| lines.get_mut(&realm)).and_then(Iterator::next);
            // Only if it is the same one: another list of certificates has been loaded otherwise, and its report is under way.
            if let Some(plan) = plan.filter(|plan| plan.id.to_string() == line.id) {
                (line.outcome, line.rule) = (plan.outcome.word(), plan.outcome.rule());
                (line.sentence, line.warnings) = (plan.sentence, plan.warnings);
            }
        }
        report
    }
}

/// Joins what the files held with what the core made of it. The core reports each realm's certificates in the order it
/// was given them, which is the order of the files.
pub(super) fn of(found: Found, plans: BTreeMap<u32, PlanReport>, now: Now) -> LicenceReport {
    let overage = plans.values().map(|plan| plan.overage).sum();
    let next_change = plans.values().filter_map(|plan| plan.next_change).min();
    let mut lines: BTreeMap<u32, _> = plans.into_iter().map(|(realm, plan)| (realm, plan.lines.into_iter())).collect();
    let mut next = |certificate: &SignedCertificate| {
        let plan = lines.get_mut(&certificate.certificate.realm().0);
        line(certificate, plan.and_then(Iterator::next))
    };
    let files = found.files.into_iter().map(|file| file_report(file, &mut next)).collect();
    let next_change_at = next_change.map(rfc3339);
    LicenceReport { read_at: rfc3339(now.wall), took_ms: 0, files, overage, next_change_at, plans: 0, read: now.wall }
}

fn file_report(file: FoundFile, next: &mut impl FnMut(&SignedCertificate) -> CertificateLine) -> FileReport {
    let path = file.path.display().to_string();
    match file.outcome {
        Err(problem) => FileReport { path, problem: Some(problem), certificates: Vec::new(), refused: Vec::new() },
        Ok(report) => FileReport {
            path,
            problem: None,
            certificates: report.applied.iter().map(next).collect(),
            refused: report
                .refused
                .into_iter()
                .map(|refused| RefusedLine {
                    line: refused.place.line,
                    column: refused.place.column,
                    feature: refused.feature.map(|feature| feature.to_string()),
                    why: refused.why.to_string(),
                })
                .collect(),
        },
    }
}

fn line(signed: &SignedCertificate, plan: Option<CertificateReport>) -> CertificateLine {
    let certificate = &signed.certificate;
    let rule = plan.as_ref().and_then(|plan| plan.outcome.rule());
    let (outcome, sentence, warnings) = plan
        .map_or(("other_realm", "no realm of this server serves it".into(), Vec::new()), |p| {
            (p.outcome.word(), p.sentence, p.warnings)
        });
    CertificateLine {
        id: signed.id.to_string(),
        publisher: certificate.publisher.to_string(),
        feature: certificate.feature.to_string(),
        version: certificate.version.to_string(),
        line: signed.place.as_ref().map(|place| place.line),
        column: signed.place.as_ref().map(|place| place.column),
        outcome,
        sentence,
        rule,
        warnings,
    }
}
