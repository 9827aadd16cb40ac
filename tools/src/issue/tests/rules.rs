//! One row for each rule L-1 to L-19 and each clause of L-8: template in, seats over time and load report out. The page is
//! `tools/tests/golden/rules.md`; `LEASEHOLD_WRITE_GOLDEN=1` writes it anew.

mod rows;

use std::fmt::Write;

use leasehold::local::{LocalAnswer, ask};
use leasehold_core::{ServedBy, preview, timetable};
use leasehold_protocol::{
    licence::{Day, SignedCertificate, canonical, text},
    time::UnixMillis,
    vocab::{FeatureName, HostId, Version},
};

use super::*;

/// One row.
struct Row {
    rule: &'static str,
    says: &'static str,
    /// Read one after the other.
    templates: Vec<&'static str>,
    /// What becomes of the licence file on its way.
    on_the_way: fn(String) -> String,
    /// Whether a program asks for A by itself, with no server.
    local: bool,
}

/// When everything is loaded, and until when is looked.
const LOADED: &str = "2026-06-01";
const UNTIL: &str = "2028-01-01";

impl Row {
    fn new(rule: &'static str, says: &'static str, templates: &[&'static str]) -> Self {
        Self { rule, says, templates: templates.to_vec(), on_the_way: |text| text, local: false }
    }

    fn told(&self) -> String {
        let mut out = format!("### {}: {}\n", self.rule, self.says);
        let mut files = Vec::new();
        for template in &self.templates {
            write!(out, "\n```\n{}\n```\n", template.trim()).unwrap();
            match Template::read("template", template, Some(secret("acme").public().publisher())) {
                Ok(read) => files.push(signed(&read)),
                Err(problems) => {
                    let drawn = problems.render();
                    let plain = anstream::adapter::strip_str(&drawn).to_string();
                    return out + &format!("\n```text\nnothing is signed:\n{}\n```\n", plain.trim_end());
                }
            }
        }
        let mut certificates: Vec<SignedCertificate> = Vec::new();
        out += "\n```text\n";
        for file in files {
            let loaded = text::read(&(self.on_the_way)(file), &[secret("acme").public()]);
            for refused in loaded.refused {
                writeln!(out, "refused: {}", refused.why).unwrap();
            }
            certificates.extend(loaded.applied);
        }
        out += &if self.local { asked(&certificates) } else { served(&certificates) };
        out + "```\n"
    }
}

fn signed(template: &Template) -> String {
    let all: Vec<_> = template.certificates.iter().map(|c| canonical::sign(c, &secret("acme"))).collect();
    text::write(&all, "")
}

fn machine() -> Vec<HostId> {
    ["machine:m1", "disk:d1", "host:server1"].map(|id| id.parse().unwrap()).to_vec()
}

fn served(certificates: &[SignedCertificate]) -> String {
    let realm = secret("acme").public().realm();
    let here = ServedBy { realm, hostids: Some(machine()), ..ServedBy::default() };
    let mut out = String::new();
    for feature in ["A", "B", "T"].map(|name| FeatureName::new(name).unwrap()) {
        let speaks = |signed: &SignedCertificate| {
            let components = signed.certificate.terms.components.iter().flat_map(|c| &c.features);
            signed.certificate.feature == feature || components.map(|(name, _)| name).any(|name| *name == feature)
        };
        if !certificates.iter().any(speaks) {
            continue;
        }
        for step in timetable(certificates.to_vec(), &here, &feature, instant(LOADED), instant(UNTIL)) {
            let seats = step.seats.map_or("uncounted".to_owned(), |seats| seats.to_string());
            let largest = match step.largest {
                Some(largest) if step.seats != Some(largest) => format!(", at most {largest} in one request"),
                _ => String::new(),
            };
            let over =
                if step.overdraft > 0 { format!(", and {} of overdraft", step.overdraft) } else { String::new() };
            writeln!(out, "{feature} from {}: {seats}{largest}{over}", stamp(step.at)).unwrap();
        }
    }
    for line in preview(certificates.to_vec(), &here, instant(LOADED)).lines {
        let rule = line.outcome.rule().map_or_else(String::new, |rule| format!(" [{rule}]"));
        writeln!(out, "{}{rule}: {}", line.outcome.word(), named(&line.sentence)).unwrap();
    }
    if out.is_empty() { "no certificates: the server runs, serves nothing, and says so\n".to_owned() } else { out }
}

fn asked(certificates: &[SignedCertificate]) -> String {
    let feature = FeatureName::new("A").unwrap();
    match ask(certificates, &feature, Version::ANY, &machine(), instant(LOADED)) {
        LocalAnswer::Granted(_) => "granted by the program itself\n".to_owned(),
        LocalAnswer::Refused(code, why) => format!("refused by the program itself ({code}): {}\n", named(&why)),
        LocalAnswer::Silent => "left to a server\n".to_owned(),
    }
}

/// Certificate ids change with every claim.
fn named(sentence: &str) -> String {
    let is_id = |word: &str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    sentence.split(' ').filter(|word| !is_id(word)).collect::<Vec<_>>().join(" ")
}

fn instant(day: &str) -> UnixMillis {
    day.parse::<Day>().unwrap().first_instant("UTC").unwrap()
}

fn stamp(at: UnixMillis) -> String {
    crate::human::instant(at)
}

#[test]
fn every_rule_has_a_row_that_says_what_it_does_to_a_template() {
    let head = "# Licence rules, from the template\n\nEach row: templates as they are read, one after the other; then the seats of each feature over time and the \
        load report, as of\n2026-06-01 on a server whose machine shows `machine:m1`, `disk:d1` and `host:server1`. Written and compared by\n\
        `cargo test -p leasehold-cli --lib rules`.\n\n";
    let rows = rows::all();
    for rule in (1..=19).map(|n| format!("L-{n}")) {
        let is_of = |row: &&Row| row.rule.split([' ', ',']).any(|word| word == rule);
        assert!(rows.iter().any(|row| is_of(&row)), "{rule} has no row");
    }
    let page = format!("{head}{}", rows.iter().map(Row::told).collect::<Vec<_>>().join("\n"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rules.md");
    if std::env::var_os("LEASEHOLD_WRITE_GOLDEN").is_some() {
        fs::write(path, &page).unwrap();
    }
    let golden = fs::read_to_string(path).unwrap();
    for (ours, theirs) in page.split("\n### ").zip(golden.split("\n### ")) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(page.len(), golden.len());
}
