//! One row for each rule of the licence arithmetic, L-4 to L-19, and each clause of L-8: certificates in, seats over time and
//! load report out. The rows are a page, `tests/golden/licence_rules.md`, for people too; `LEASEHOLD_WRITE_GOLDEN=1` writes
//! it anew.
//!
//! The rules that are not about arithmetic are shown where they live: L-1 and L-2 in `protocol/src/licence` (`reflow`,
//! `damage`, `kinds`), L-3 in `tools/src/issue`, L-5 in `server/src/tests`, L-18 in `client/src/local`.

mod rows;

use std::fmt::Write as _;

use leasehold_core::{ServedBy, Step, preview, timetable};
use leasehold_protocol::{
    licence::{PublisherSecret, SignedCertificate, canonical, text},
    time::UnixMillis,
    vocab::{FeatureName, Label, RealmId},
};

use crate::rig::Lot;

/// One row: what is loaded, and when it is looked at.
struct Row {
    rule: &'static str,
    says: &'static str,
    certificates: Vec<Lot>,
    feature: &'static str,
    /// At the beginning of which day, in UTC, it is loaded.
    loaded: &'static str,
    /// Until which day its seats are followed.
    until: &'static str,
    here: fn(&mut ServedBy, &[SignedCertificate]),
}

impl Row {
    fn new(rule: &'static str, says: &'static str, certificates: Vec<Lot>) -> Self {
        let (loaded, until) = ("2026-06-01", "2028-01-01");
        Self { rule, says, certificates, feature: "A", loaded, until, here: |_, _| {} }
    }

    fn on(self, loaded: &'static str, until: &'static str) -> Self {
        Self { loaded, until, ..self }
    }

    fn at(self, here: fn(&mut ServedBy, &[SignedCertificate])) -> Self {
        Self { here, ..self }
    }

    fn told(&self) -> String {
        let secret = publisher();
        let mut line = 0;
        let sign = |lot: &Lot| {
            line += 1;
            let mut signed = canonical::sign(&lot.certificate, &secret);
            signed.place = Some(text::Place { line, column: 1, offset: 0, len: 0 });
            signed
        };
        let certificates: Vec<SignedCertificate> = self.certificates.iter().map(sign).collect();
        let realm = RealmId::of(&Label::new("acme").unwrap());
        let mut here = ServedBy { realm, hostids: Some(Vec::new()), ..ServedBy::default() };
        (self.here)(&mut here, &certificates);
        let mut out = format!("### {}: {}\n\n```text\n", self.rule, self.says);
        for (nth, signed) in certificates.iter().enumerate() {
            writeln!(out, "{}: {}", nth + 1, written(signed)).unwrap();
        }
        let (from, until) = (instant(self.loaded), instant(self.until));
        let feature = FeatureName::new(self.feature).unwrap();
        writeln!(out, "\nseats of {feature}, loaded {}:", stamp(from)).unwrap();
        for step in timetable(certificates.clone(), &here, &feature, from, until) {
            writeln!(out, "  from {}: {}", stamp(step.at), seats(&step)).unwrap();
        }
        let report = preview(certificates, &here, from);
        writeln!(out, "\nload report:").unwrap();
        for line in report.lines {
            let rule = line.outcome.rule().map_or_else(String::new, |rule| format!(" [{rule}]"));
            writeln!(out, "  {}: {}{rule}: {}", line.place.unwrap(), line.outcome.word(), named(&line.sentence))
                .unwrap();
            line.warnings.iter().for_each(|warning| writeln!(out, "    warning: {warning}").unwrap());
        }
        out + "```\n"
    }
}

fn publisher() -> PublisherSecret {
    PublisherSecret::generate(&Label::new("acme").unwrap(), &mut |bytes: &mut [u8]| bytes.fill(1))
}

/// The settings of a certificate, without what is the same for all.
fn written(signed: &SignedCertificate) -> String {
    let file = text::write(std::slice::from_ref(signed), "");
    let block = file.split_once("{\n").unwrap().1;
    let mut settings = block.split("\n  ").map(|setting| setting.split_whitespace().collect::<Vec<_>>().join(" "));
    let usual = ["publisher =", "zone = UTC", "end = permanent", "sign ="];
    let mut kept: Vec<String> = Vec::new();
    for setting in settings.by_ref() {
        if setting.starts_with("sign =") {
            break;
        }
        if setting.contains(" = ") {
            kept.push(setting);
        } else if let Some(last) = kept.last_mut() {
            *last += &format!(" {setting}");
        }
    }
    kept.retain(|setting| !usual.iter().any(|usual| setting.starts_with(usual)));
    kept.join("; ")
}

/// Certificate ids change with every claim: the page names certificates by their lines.
fn named(sentence: &str) -> String {
    let words = sentence.split(' ').filter(|word| !(word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit())));
    words.collect::<Vec<_>>().join(" ")
}

fn instant(day: &str) -> UnixMillis {
    day.parse::<leasehold_protocol::licence::Day>().unwrap().first_instant("UTC").unwrap()
}

fn stamp(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap()).unwrap().to_string()
}

fn seats(step: &Step) -> String {
    let mut said = step.seats.map_or("uncounted".to_owned(), |seats| seats.to_string());
    if step.largest != step.seats {
        write!(said, ", at most {} in one request", step.largest.unwrap()).unwrap();
    }
    if step.overdraft > 0 {
        write!(said, ", and {} of overdraft", step.overdraft).unwrap();
    }
    said
}

#[test]
fn every_rule_gives_the_seats_and_the_report_of_its_row() {
    let head = "# The licence arithmetic, row by row\n\nEach row: the certificates in file order, the seats they give over time, and the load \
                report. `server/core/docs/licences.md`\nexplains the rules. This page is written and compared by `cargo test -p leasehold-core \
                licence_rules`.\n\n";
    let told: Vec<String> = rows::all().iter().map(Row::told).collect();
    let page = format!("{head}{}", told.join("\n"));
    if writes() {
        return write(&page);
    }
    let golden = include_str!("../golden/licence_rules.md");
    for (ours, theirs) in page.split("\n### ").zip(golden.split("\n### ")) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(page.len(), golden.len());
}

#[expect(clippy::disallowed_methods, reason = "whoever changes a rule writes the page anew")]
fn writes() -> bool {
    std::env::var_os("LEASEHOLD_WRITE_GOLDEN").is_some()
}

#[expect(clippy::disallowed_methods, reason = "see above")]
fn write(page: &str) {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/licence_rules.md"), page).unwrap();
}
