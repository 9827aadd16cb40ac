//! Our own template language: what to sign, in TOML (L-3).
//!
//! Every mistake is named at once, with its place, what was expected and the nearest word. What a `[[feature]]` does not
//! say, the top of the file says for it.

mod draft;
mod example;
mod flexnet;
mod language;
mod value;
mod xml;

use std::{collections::BTreeMap, ops::Range};

use leasehold_protocol::{
    crypto::Fingerprint,
    licence::{
        Certificate, ClaimError, Day, KeyType, SeatLimit, Terms, canonical, certificate::ZONE_DEFAULT,
        nearest::nearest, text::Claims,
    },
    vocab::{FeatureName, Label, Version},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use example::EXAMPLE;
pub use language::Language;

use super::problem::{Problem, Problems, Text};

/// What a template asks to be signed.
#[derive(Debug)]
pub struct Template {
    /// One per `[[feature]]`, in the file's order.
    pub certificates: Vec<Certificate>,
    /// Where each begins.
    pub(super) spans: Vec<Range<usize>>,
    pub(super) source: Text,
    /// What is remarkable about it: what was left out, and what is meant where nothing is said.
    pub warnings: Vec<Problem>,
}

impl Template {
    /// Reads `text`, which is called `name`, for `publisher`; without one, as far as it can be read before there is a key.
    /// The language is the one it looks like.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(name: &str, text: &str, publisher: Option<&Label>) -> Result<Self, Problems> {
        Self::read_as(Language::of(text), name, text, publisher)
    }

    /// The same in a language that is known.
    ///
    /// # Errors
    /// Every mistake in it; of very many the first ones.
    pub fn read_as(language: Language, name: &str, text: &str, publisher: Option<&Label>) -> Result<Self, Problems> {
        let unnamed = Label::lossy("publisher");
        let publisher_or = publisher.unwrap_or(&unnamed);
        let source = Text::new(name, text);
        let read = match language {
            Language::Toml => return Self::read_toml(source, text, publisher),
            Language::Xml => xml::read(&source, publisher_or),
            Language::Flexnet => flexnet::read(&source, publisher_or),
        };
        let xml::Read { certificates, mut problems, warnings } = read;
        if problems.is_empty() && certificates.is_empty() {
            problems.push(source.problem(0..0, "there is no feature in it").expected("at least one"));
        }
        if !problems.is_empty() {
            problems.sort_by_key(Problem::line_column);
            problems.truncate(PROBLEMS_MAX);
            return Err(Problems(problems));
        }
        let (certificates, spans) = certificates.into_iter().unzip();
        Ok(Self { certificates, spans, source, warnings })
    }

    fn read_toml(source: Text, text: &str, publisher: Option<&Label>) -> Result<Self, Problems> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(Problems(errors.iter().take(PROBLEMS_MAX).map(|e| syntax(&source, e)).collect()));
        }
        let mut reader = Reader { source, publisher, problems: Vec::new() };
        let certificates = reader.file(table.get_ref());
        if !reader.problems.is_empty() {
            reader.problems.sort_by_key(Problem::line_column);
            reader.problems.truncate(PROBLEMS_MAX);
            return Err(Problems(reader.problems));
        }
        let (certificates, spans) = certificates.into_iter().unzip();
        Ok(Self { certificates, spans, source: reader.source, warnings: Vec::new() })
    }
}

/// Mistakes that are told of one template: who has more has one that was made over and over.
const PROBLEMS_MAX: usize = 100;

fn syntax(source: &Text, error: &toml::de::Error) -> Problem {
    source.problem(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()))
}

/// What the top of the file may say for all features.
const SHARED: [&str; 33] = [
    "zone",
    "start",
    "end",
    "lease-ttl",
    "grace",
    "server-keys",
    "vendor-string",
    "issuer",
    "notice",
    "dialect",
    "pools",
    "trial",
    "share",
    "share-limit",
    "linger",
    "min-checkout",
    "borrow-max",
    "metered",
    "undo",
    "supersedes",
    "server-hostids",
    "client-hostids",
    "match-rate",
    "platforms",
    "vm",
    "terminal-server",
    "class",
    "maintenance-end",
    "selectors",
    "licensee",
    "issued",
    "part-number",
    "retention",
];
/// What belongs to one feature alone.
const OWN: [&str; 10] =
    ["name", "version", "count", "type", "serial", "soft-limit", "overdraft", "package", "suite", "cost"];

/// Settings as far as they have been read, and where.
#[derive(Clone, Default)]
struct Settings {
    name: Option<FeatureName>,
    version: Option<Version>,
    count: Option<SeatLimit>,
    key_type: Option<KeyType>,
    zone: Option<String>,
    start: Option<Option<Day>>,
    end: Option<Option<Day>>,
    lease_ttl_s: Option<u32>,
    grace_s: Option<u32>,
    server_keys: Option<Vec<Fingerprint>>,
    vendor_string: Option<String>,
    serial: Option<String>,
    issuer: Option<String>,
    notice: Option<String>,
    /// Every other term, in the words of licence files.
    terms: BTreeMap<&'static str, String>,
    spans: BTreeMap<&'static str, Range<usize>>,
}

struct Reader<'p> {
    source: Text,
    publisher: Option<&'p Label>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn file(&mut self, table: &DeTable<'_>) -> Vec<(Certificate, Range<usize>)> {
        let (mut shared, mut features, mut publisher) = (Settings::default(), None, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "feature" => features = Some(value),
                "publisher" => publisher = self.publisher_of(value),
                name => match SHARED.into_iter().find(|shared| *shared == name) {
                    Some(name) => self.set(&mut shared, name, value),
                    None => {
                        self.unknown(key, &SHARED, &["publisher", "feature"], &OWN);
                    }
                },
            }
        }
        let publisher = self.publisher.cloned().or(publisher);
        let Some(features) = features.and_then(|value| self.features(value)) else { return Vec::new() };
        features
            .into_iter()
            .filter_map(|(span, table)| self.feature(&shared, publisher.as_ref(), span, table))
            .collect()
    }

    fn features<'v, 'i>(&mut self, value: &'v Spanned<DeValue<'i>>) -> Option<Vec<(Range<usize>, &'v DeTable<'i>)>> {
        let tables = value.get_ref().as_array().map(|items| {
            items.iter().map(|item| item.get_ref().as_table().map(|table| (item.span(), table))).collect::<Option<_>>()
        });
        if tables.is_none() {
            let problem = self.source.problem(value.span(), "feature is not a list of tables");
            self.problems.push(problem.expected("[[feature]], in double brackets, before each feature's settings"));
        }
        tables.flatten()
    }

    fn feature(
        &mut self,
        shared: &Settings,
        publisher: Option<&Label>,
        span: Range<usize>,
        table: &DeTable<'_>,
    ) -> Option<(Certificate, Range<usize>)> {
        let before = self.problems.len();
        let (mut own, mut meant) = (shared.clone(), Vec::new());
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match OWN.into_iter().chain(SHARED).find(|known| *known == name) {
                Some(name) => self.set(&mut own, name, value),
                None => meant.extend(self.unknown(key, &OWN, &SHARED, &[])),
            }
        }
        for (name, example) in
            [("name", "name = \"VR_MODE\""), ("version", "version = \"4.8\""), ("count", "count = 10")]
        {
            // Who wrote `cuont` did not forget the count.
            if !own.spans.contains_key(name) && !meant.contains(&name) {
                let problem = self.source.problem(span.clone(), format!("this feature has no {name}"));
                self.problems.push(problem.expected(format!("a line such as {example}")));
            }
        }
        // Rules between settings are judged once every setting is right by itself.
        if self.problems.len() > before {
            return None;
        }
        let spans = std::mem::take(&mut own.spans);
        let unnamed = Label::lossy("publisher");
        let certificate = own.certificate(publisher.unwrap_or(&unnamed))?;
        match canonical::check(&certificate) {
            Ok(()) => Some((certificate, span)),
            Err(e) => {
                let at = place_of(&e, &spans).unwrap_or(span);
                self.problems.push(broken_rule(&self.source, at, &e));
                None
            }
        }
    }

    fn publisher_of(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Label> {
        let wanted = value.get_ref().as_str().and_then(|text| Label::new(text).ok());
        let problem = match (&wanted, self.publisher) {
            (None, _) => self
                .source
                .problem(value.span(), "not a publisher's name")
                .expected("a name of 1 to 64 bytes, in quotes"),
            (Some(wanted), Some(signer)) if wanted != signer => self
                .source
                .problem(value.span(), format!("the template is {wanted}'s, and the key is {signer}'s"))
                .expected(format!("\"{signer}\", or the key of {wanted}"))
                .help(Some("a publisher signs for itself alone")),
            _ => return wanted,
        };
        self.problems.push(problem);
        None
    }

    /// Notes that there is no such setting; returns the one that was probably meant.
    fn unknown(
        &mut self,
        key: &Spanned<impl AsRef<str>>,
        here: &[&'static str],
        also_here: &[&'static str],
        elsewhere: &[&str],
    ) -> Option<&'static str> {
        let name = key.get_ref().as_ref();
        let problem = self.source.problem(key.span(), format!("unknown setting {name:?}"));
        let meant = nearest(name, here.iter().chain(also_here).copied());
        let misplaced = elsewhere.contains(&name);
        self.problems.push(match meant {
            _ if misplaced => problem
                .expected("a setting for the whole file")
                .help(Some(format!("{name} belongs below a [[feature]]"))),
            Some(meant) => problem.expected(format!("did you mean {meant:?}?")),
            None => {
                let words: Vec<&str> = here.iter().chain(also_here).copied().collect();
                problem.expected("no such setting").help(Some(format!("there are: {}", words.join(", "))))
            }
        });
        meant
    }
}

impl Settings {
    fn certificate(self, publisher: &Label) -> Option<Certificate> {
        let mut claims = Claims::default();
        // Each was read before, by itself.
        self.terms.iter().for_each(|(name, value)| _ = claims.set(name, value));
        let terms = claims.terms().clone();
        Some(Certificate {
            publisher: publisher.clone(),
            feature: self.name?,
            version: self.version?,
            count: self.count?,
            key_type: self.key_type.unwrap_or_default(),
            zone: self.zone.unwrap_or_else(|| ZONE_DEFAULT.to_owned()),
            start: self.start.flatten(),
            end: self.end.flatten(),
            terms: Terms {
                lease_ttl_s: self.lease_ttl_s,
                grace_s: self.grace_s,
                server_keys: self.server_keys.unwrap_or_default(),
                vendor_string: self.vendor_string,
                serial: self.serial,
                issuer: self.issuer,
                notice: self.notice,
                ..terms
            },
        })
    }
}

/// The setting a broken rule is about.
fn place_of(error: &ClaimError, spans: &BTreeMap<&'static str, Range<usize>>) -> Option<Range<usize>> {
    let name = match error {
        ClaimError::Range { name, .. } | ClaimError::Value { name, .. } => name,
        ClaimError::NotOfAnUpgrade(name) | ClaimError::NeedsCount(name) => name,
        ClaimError::Needs { name, .. } | ClaimError::Conflict { name, .. } => name,
        ClaimError::UncountedUpgrade => "count",
        ClaimError::CostAndCount => "cost",
        ClaimError::EndsBeforeStart { .. } => "end",
        ClaimError::UncountedUnlocked => "count",
        _ => "name",
    };
    spans.get(name).cloned()
}

fn broken_rule(source: &Text, at: Range<usize>, error: &ClaimError) -> Problem {
    let (expected, help) = match error {
        ClaimError::EndsBeforeStart { start, .. } => (format!("a day on or after {start}"), None),
        ClaimError::UncountedUnlocked => (
            "a number of seats, or server-keys beside it".to_owned(),
            Some("`leasehold serve` shows the fingerprint of a server; name it: server-keys = [\"…\"]"),
        ),
        _ => (String::new(), None),
    };
    source.problem(at, format!("the feature {error}")).expected(expected).help(help)
}
