//! What `lint` found, for people and for programs.

use std::{fmt::Write, time::Duration};

use leasehold_protocol::{
    licence::{Certificate, PublisherKey, SeatLimit, SignedCertificate},
    time::UnixMillis,
};
use serde_json::{Value, json};

use super::{beside::Beside, standing::Standing};
use crate::{
    exit::{Exit, Failure},
    human,
    issue::{
        problem::{Problem, WIDTH},
        sign::key_type,
    },
    output::{BAD, FAINT, GOOD, WARN, paint},
};

/// Everything that was found.
#[derive(Debug)]
pub(in crate::issue) struct Lint {
    pub(in crate::issue) now: UnixMillis,
    pub(in crate::issue) keys: Vec<PublisherKey>,
    pub(in crate::issue) warnings: Vec<String>,
    pub(in crate::issue) files: Vec<FileReport>,
    /// What is read before those.
    pub(in crate::issue) beside: Beside,
}

/// What was found in one file.
#[derive(Debug, Default)]
pub(in crate::issue) struct FileReport {
    pub(in crate::issue) name: String,
    /// Why it could not be read at all.
    pub(in crate::issue) unreadable: Option<String>,
    /// For a template: how many certificates it asks for.
    pub(in crate::issue) template: Option<usize>,
    /// A template's mistakes.
    pub(in crate::issue) problems: Vec<Problem>,
    /// Certificates that would be left out.
    pub(in crate::issue) refused: Vec<Problem>,
    /// Certificates whose signatures hold.
    pub(in crate::issue) signed: Vec<SignedCertificate>,
    /// What each of those is good for.
    pub(in crate::issue) standings: Vec<Standing>,
}

impl FileReport {
    pub(in crate::issue) fn of(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    pub(in crate::issue) fn unreadable(name: String, failure: &Failure) -> Self {
        Self { unreadable: Some(failure.why().join(": ")), ..Self::of(name) }
    }

    fn is_good(&self) -> bool {
        let sound = self.problems.is_empty() && self.refused.is_empty() && self.unreadable.is_none();
        let empty = self.template.is_none() && self.signed.is_empty();
        sound && !empty && self.standings.iter().all(Standing::is_good)
    }
}

impl Lint {
    /// The documented status.
    pub(in crate::issue) fn exit(&self) -> Exit {
        if self.files.iter().any(|file| file.unreadable.is_some()) {
            Exit::USAGE
        } else if self.files.iter().all(FileReport::is_good) && self.warnings.is_empty() {
            Exit::OK
        } else {
            Exit::FAILURE
        }
    }

    /// For people.
    pub(in crate::issue) fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for warning in &self.warnings {
            line(&mut out, format_args!("{} {warning}", paint(WARN, "warning:")));
        }
        if self.keys.is_empty() && self.files.iter().any(|file| file.template.is_none()) {
            let no_keys =
                "no publisher's key is trusted, so no certificate can hold: give one with --publisher-key FILE";
            line(&mut out, format_args!("{} {no_keys}", paint(WARN, "warning:")));
        }
        for file in &self.files {
            self.render_file(file, colour, &mut out);
        }
        out + &self.beside.render()
    }

    fn render_file(&self, file: &FileReport, colour: bool, out: &mut String) {
        line(out, format_args!("{}", heading(file)));
        for (signed, standing) in file.signed.iter().zip(&file.standings) {
            line(out, format_args!("  {}", self.certificate_line(signed, standing)));
        }
        for problem in file.refused.iter().chain(&file.problems) {
            out.push_str(&problem.render(colour, WIDTH));
        }
    }

    fn certificate_line(&self, signed: &SignedCertificate, standing: &Standing) -> String {
        let c = &signed.certificate;
        let style = match standing {
            Standing::InForce => GOOD,
            Standing::NotStarted => WARN,
            _ => BAD,
        };
        let at = signed.place.map_or_else(String::new, |place| format!("line {}, {}", place.line, signed.id));
        let what = format!("{} {}, {}, {}", c.feature, c.version, seats(c), key_type(c));
        format!("{what}: {} {}", paint(style, self.sentence(c, standing)), paint(FAINT, format!("({at})")))
    }

    /// What it is good for, with every date as an instant and the time to it (L-9).
    fn sentence(&self, c: &Certificate, standing: &Standing) -> String {
        let until = c.ends_at().map_or_else(|| "permanent".to_owned(), |end| format!("until {}", self.instant(end, c)));
        match standing {
            Standing::InForce => format!("in force, {until}"),
            Standing::NotStarted => {
                let start = c.starts_at().unwrap_or_default();
                format!("not started, begins {}; {until}", self.instant(start, c))
            }
            Standing::Expired => format!("expired, ended {}", self.instant(c.ends_at().unwrap_or_default(), c)),
            Standing::Replaced { by } => format!("replaced by the later exclusive certificate {by}"),
            Standing::OtherServer => "for other servers: server-keys does not name the key of this one".to_owned(),
            Standing::Again => "the same certificate as one before: counts once".to_owned(),
            Standing::Not(report) => report.sentence.clone(),
        }
    }

    /// `2026-12-31T22:59:59Z (Europe/Paris; 39 d 2 h left)`.
    fn instant(&self, at: UnixMillis, c: &Certificate) -> String {
        let (now, then) = (self.now.0, at.0);
        let distance = human::show(Duration::from_millis(now.abs_diff(then)));
        let way = if then >= now { "from now" } else { "ago" };
        format!("{} ({}, {distance} {way})", human::instant(at), c.zone)
    }

    /// For programs.
    pub(in crate::issue) fn to_json(&self) -> Value {
        let key =
            |key: &PublisherKey| json!({ "publisher": key.publisher().as_str(), "key_id": key.key_id().to_string() });
        json!({
            "now": human::instant(self.now),
            "keys": self.keys.iter().map(key).collect::<Vec<_>>(),
            "warnings": self.warnings,
            "files": self.files.iter().map(|file| self.file_json(file)).collect::<Vec<_>>(),
            "beside": self.beside.to_json(),
            "good": self.exit() == Exit::OK,
        })
    }

    fn file_json(&self, file: &FileReport) -> Value {
        let certificates = file.signed.iter().zip(&file.standings);
        json!({
            "file": file.name,
            "kind": if file.template.is_some() { "template" } else { "licence" },
            "good": file.is_good(),
            "unreadable": file.unreadable,
            "certificates": certificates.map(|(signed, standing)| self.certificate_json(signed, standing)).collect::<Vec<_>>(),
            "refused": file.refused.iter().map(problem_json).collect::<Vec<_>>(),
            "problems": file.problems.iter().map(problem_json).collect::<Vec<_>>(),
        })
    }

    fn certificate_json(&self, signed: &SignedCertificate, standing: &Standing) -> Value {
        let c = &signed.certificate;
        let seats = match c.count {
            SeatLimit::Counted(seats) => Some(seats.get()),
            SeatLimit::Uncounted => None,
        };
        let seconds_left = c.ends_at().map(|end| (i128::from(end.0) - i128::from(self.now.0)).div_euclid(1000));
        json!({
            "id": signed.id.to_string(),
            "key_id": signed.key_id.to_string(),
            "line": signed.place.map(|place| place.line),
            "publisher": c.publisher.as_str(),
            "feature": c.feature.as_str(),
            "version": c.version.to_string(),
            "seats": seats,
            "type": key_type(c),
            "zone": c.zone,
            "starts": c.starts_at().map(human::instant),
            "ends": c.ends_at().map(human::instant),
            "seconds_left": seconds_left.and_then(|s| i64::try_from(s).ok()),
            "lease_ttl_ms": c.lease_ttl_ms(),
            "server_keys": c.terms.server_keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "standing": standing.word(),
            "replaced_by": match standing { Standing::Replaced { by } => Some(by.to_string()), _ => None },
            "sentence": self.sentence(c, standing),
        })
    }
}

fn heading(file: &FileReport) -> String {
    let (name, bad) = (&file.name, file.refused.len() + file.problems.len());
    let said = match (&file.unreadable, file.template) {
        (Some(why), _) => return format!("{name}: {} {why}", paint(BAD, "cannot be read:")),
        (None, Some(wanted)) if bad == 0 => format!("a template for {}, no mistakes", certificates(wanted)),
        (None, Some(_)) => format!("a template with {}", human::count(bad as u64, "mistake")),
        (None, None) if file.signed.is_empty() && bad == 0 => "no certificate in it".to_owned(),
        (None, None) => format!("{} whose signatures hold, {bad} refused", certificates(file.signed.len())),
    };
    format!("{name}: {said}")
}

fn certificates(number: usize) -> String {
    human::count(number as u64, "certificate")
}

fn seats(c: &Certificate) -> String {
    match c.count {
        SeatLimit::Counted(seats) => human::count(seats.get(), "seat"),
        SeatLimit::Uncounted => "uncounted".to_owned(),
    }
}

fn problem_json(problem: &Problem) -> Value {
    let (line, column) = problem.line_column();
    let expected = Some(problem.what_was_expected()).filter(|text| !text.is_empty());
    json!({ "line": line, "column": column, "message": problem.message(), "expected": expected, "help": problem.what_to_do() })
}

fn line(out: &mut String, said: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{said}");
}
