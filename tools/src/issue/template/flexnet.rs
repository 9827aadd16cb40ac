//! Templates in the style of FlexNet: `SERVER`, `VENDOR`, `FEATURE`, `INCREMENT`, `PACKAGE` lines (L-3).
//! `tools/docs/templates.md` says what each word becomes.

mod keywords;

use std::{collections::BTreeMap, ops::Range};

use leasehold_protocol::{
    licence::{Certificate, nearest::nearest, text::quote},
    vocab::Label,
};

use super::{draft::Draft, xml::Read};
use crate::flexnet::{Word, lines};
use crate::issue::problem::{Problem, Text};
use keywords::{KEYWORDS, Meaning, day, hostid, platform, version};

const LINES: [&str; 8] = ["SERVER", "VENDOR", "DAEMON", "USE_SERVER", "FEATURE", "INCREMENT", "UPGRADE", "PACKAGE"];

/// Reads `source` for `publisher`.
pub(super) fn read(source: &Text, publisher: &Label) -> Read {
    let mut reader = Reader {
        source,
        publisher,
        out: Read::default(),
        server_hostids: Vec::new(),
        packages: BTreeMap::new(),
        signed: false,
    };
    match lines(source.as_str()) {
        Ok(all) => {
            // A package may be described after the line that grants it.
            all.iter().filter(|line| line[0].value == "PACKAGE").for_each(|line| reader.package(line));
            all.iter().for_each(|line| reader.line(line));
        }
        Err(broken) => {
            let at = broken.at.min(source.as_str().len());
            let problem = source.problem(at..at, "this line cannot be read");
            reader.out.problems.push(problem.expected(broken.expected));
        }
    }
    reader.out
}

/// A package: what is in it, and whether it is taken as a whole.
struct Package {
    components: Vec<(String, String, u32)>,
    is_suite: bool,
}

struct Reader<'s> {
    source: &'s Text,
    publisher: &'s Label,
    out: Read,
    /// Of the `SERVER` lines so far.
    server_hostids: Vec<String>,
    packages: BTreeMap<String, Package>,
    /// Whether a signature of another generator was met.
    signed: bool,
}

/// A certificate that lines make, in the words of licence files.
type Grant = Vec<(&'static str, String, String, Range<usize>)>;

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, message: String, expected: &str, help: Option<String>) {
        let problem: Problem = self.source.problem(span, message).expected(expected).help(help);
        self.out.problems.push(problem);
    }

    fn warn(&mut self, span: Range<usize>, message: String) {
        let warning = self.source.problem(span, message);
        self.out.warnings.push(warning);
    }

    fn line(&mut self, line: &[Word]) {
        match line[0].value.as_str() {
            "SERVER" => self.server(line),
            "VENDOR" | "DAEMON" => self.vendor(&line[0], line.get(1)),
            "USE_SERVER" | "PACKAGE" => {}
            "FEATURE" | "INCREMENT" => self.feature(line),
            "UPGRADE" => self.problem(
                line[0].span.clone(),
                "UPGRADE has no counterpart in leasehold".to_owned(),
                "in FlexNet it takes seats away from an older version",
                Some("write an INCREMENT line of the new version, and fewer seats of the old one".to_owned()),
            ),
            other => {
                let expected = match nearest(other, LINES) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("expected {}", LINES.join(", ")),
                };
                self.problem(line[0].span.clone(), format!("unknown line {other:?}"), &expected, None);
            }
        }
    }

    /// `SERVER host hostid [port]`: counted lines are for a server on that machine.
    fn server(&mut self, line: &[Word]) {
        let Some(word) = line.get(2) else {
            return self.problem(
                line[0].span.clone(),
                "this SERVER line has no hostid".to_owned(),
                "SERVER host hostid port",
                None,
            );
        };
        match hostid(&word.key.as_ref().map_or(word.value.clone(), |key| format!("{key}={}", word.value))) {
            Ok(id) => self.server_hostids.push(id),
            Err(e) => self.problem(word.span.clone(), "this is no hostid".to_owned(), &e, None),
        }
    }

    fn vendor(&mut self, line: &Word, vendor: Option<&Word>) {
        match vendor {
            None => self.problem(line.span.clone(), "no vendor is named here".to_owned(), "VENDOR NAME", None),
            Some(word) if word.value != self.publisher.as_str() => {
                let (found, ours) = (&word.value, self.publisher);
                let message = format!("the line is {found}'s, and the key is {ours}'s");
                let help = Some("a publisher signs for itself alone".to_owned());
                self.problem(word.span.clone(), message, &format!("{ours}, or the key of {found}"), help);
            }
            Some(_) => {}
        }
    }

    /// `PACKAGE name vendor [version] COMPONENTS="a b:2.0 c:2.0:3" [OPTIONS=SUITE]`.
    fn package(&mut self, line: &[Word]) {
        let of = |key: &str| line.iter().find(|word| word.key.as_deref() == Some(key));
        let (Some(name), Some(components)) = (line.get(1), of("COMPONENTS")) else {
            let expected = "PACKAGE NAME VENDOR COMPONENTS=\"a b:2.0\"";
            return self.problem(line[0].span.clone(), "this PACKAGE line is not whole".to_owned(), expected, None);
        };
        let component = |word: &str| {
            let mut parts = word.split(':');
            let name = parts.next().unwrap_or_default().to_owned();
            let at = parts.next().filter(|part| !part.is_empty()).unwrap_or("0.0").to_owned();
            (name, at, parts.next().and_then(|n| n.parse().ok()).unwrap_or(1))
        };
        let components = components.value.split_whitespace().map(component).collect();
        let is_suite = of("OPTIONS").is_some_and(|options| options.value.contains("SUITE"));
        self.packages.insert(name.value.clone(), Package { components, is_suite });
    }

    /// `FEATURE name vendor version expiry count [key] [KEY=value …]`.
    fn feature(&mut self, line: &[Word]) {
        let whole = line[0].span.clone();
        let [kind, name, vendor, at, expiry, count, rest @ ..] = line else {
            let expected = "FEATURE NAME VENDOR VERSION EXPIRY COUNT, such as FEATURE CAD acme 4.8 31-dec-2026 10";
            return self.problem(whole, format!("this {} line is not whole", line[0].value), expected, None);
        };
        let before = self.out.problems.len();
        self.vendor(kind, Some(vendor));
        let mut grant: Grant = Vec::new();
        let mut put = |name, value: String, word: &Word| {
            grant.push((name, value, word.key.clone().unwrap_or_else(|| name.to_owned()), word.value_span.clone()));
        };
        put("feature", name.value.clone(), name);
        put("version", version(&at.value), at);
        let is_counted = !matches!(count.value.as_str(), "0" | "uncounted");
        put("count", if is_counted { count.value.clone() } else { "uncounted".to_owned() }, count);
        put("end", day(&expiry.value).unwrap_or_else(|| expiry.value.clone()), expiry);
        let (key_type, dialect) =
            if kind.value == "FEATURE" { ("exclusive", "first") } else { ("additive", "replace") };
        put("type", key_type.to_owned(), kind);
        put("dialect", dialect.to_owned(), kind);
        if is_counted && !self.server_hostids.is_empty() {
            put("server-hostids", self.server_hostids.join(", "), kind);
        }
        if at.value.split('.').nth(1).is_some_and(|minor| minor.len() > 1) {
            let message =
                format!("FlexNet compares {} as a number, leasehold part by part: 4.10 is above 4.9", at.value);
            self.warn(at.span.clone(), message);
        }
        self.keywords(rest, &mut grant, &name.value);
        if self.out.problems.len() == before {
            self.grant(grant, &whole, &name.value);
        }
    }

    fn keywords(&mut self, rest: &[Word], grant: &mut Grant, feature: &str) {
        let mut remote = false;
        for (nth, word) in rest.iter().enumerate() {
            let key = word.key.clone().unwrap_or_else(|| word.value.clone());
            let Some((_, meaning)) = KEYWORDS.iter().find(|(name, _)| *name == key) else {
                self.unknown(word, nth, &key);
                continue;
            };
            remote |= key == "TS_OK";
            let mut put = |name, value: String| grant.push((name, value, key.clone(), word.value_span.clone()));
            match *meaning {
                Meaning::Same(name) => put(name, word.value.clone()),
                Meaning::Text(name) => put(name, quote(&word.value)),
                Meaning::Unit(name, unit) => put(name, format!("{}{unit}", word.value)),
                Meaning::Day(name) => put(name, day(&word.value).unwrap_or_else(|| word.value.clone())),
                Meaning::Signature => self.signature(word),
                Meaning::None(why) => {
                    self.problem(word.span.clone(), format!("{key} has no counterpart in leasehold"), why, None);
                }
                Meaning::Remark(why) => self.warn(word.span.clone(), format!("{key} is left out: {why}")),
                Meaning::Own => self.own(&key, word, grant, feature),
            }
        }
        if !remote {
            let end = rest.last().map_or(0..0, |word| word.span.clone());
            grant.push(("terminal-server", "refused".to_owned(), "TS_OK".to_owned(), end));
        }
    }

    /// A word nobody knows. The first without a key is the signature of old lines.
    fn unknown(&mut self, word: &Word, nth: usize, key: &str) {
        if word.key.is_none() && nth == 0 && word.value.len() >= 8 && word.value.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return self.signature(word);
        }
        let known = KEYWORDS.iter().map(|(name, _)| *name);
        let expected = match nearest(key, known) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "no such word".to_owned(),
        };
        let help = Some("tools/docs/templates.md lists every word and what it becomes".to_owned());
        self.problem(word.span.clone(), format!("unknown word {key:?}"), &expected, help);
    }

    /// Somebody else's signature: we sign anew. Told once.
    fn signature(&mut self, word: &Word) {
        if !self.signed {
            self.signed = true;
            self.warn(
                word.span.clone(),
                "signatures of the template are left out: the licence is signed anew".to_owned(),
            );
        }
    }

    fn own(&mut self, key: &str, word: &Word, grant: &mut Grant, feature: &str) {
        let span = word.value_span.clone();
        let mut put = |name, value: String| grant.push((name, value, key.to_owned(), span.clone()));
        match key {
            "TS_OK" => put("terminal-server", "allowed".to_owned()),
            "VM_PLATFORMS" => match word.value.as_str() {
                "PHYSICAL" => put("vm", "refused".to_owned()),
                _ => {
                    let why = "rights are not bound to virtual machines alone; expected PHYSICAL";
                    self.problem(word.span.clone(), format!("VM_PLATFORMS is {:?}", word.value), why, None);
                }
            },
            "BORROW" => put("borrow-max", format!("{}h", if word.key.is_some() { word.value.as_str() } else { "168" })),
            "SUPERSEDE" => {
                let named =
                    word.value.split_whitespace().filter(|_| word.key.is_some()).map(|name| format!("feature:{name}"));
                let named: Vec<String> = named.collect();
                put("supersedes", if named.is_empty() { format!("feature:{feature}") } else { named.join(", ") });
            }
            "PLATFORMS" => put("platforms", word.value.split_whitespace().map(platform).collect::<Vec<_>>().join(", ")),
            "DUP_GROUP" => self.share(word, grant),
            "HOSTID" => self.hostids(word, grant),
            _ => {}
        }
    }

    fn share(&mut self, word: &Word, grant: &mut Grant) {
        let by = |c| match c {
            'U' => Some("user"),
            'H' => Some("host"),
            'D' => Some("display"),
            'V' => Some("share-id"),
            _ => None,
        };
        let by: Option<Vec<&str>> = match word.value.as_str() {
            "NONE" => return,
            "SITE" => Some(vec!["site"]),
            letters => letters.chars().map(by).collect(),
        };
        match by {
            Some(by) => grant.push(("share", by.join(", "), "DUP_GROUP".to_owned(), word.value_span.clone())),
            None => {
                let expected = "expected letters of UHDV, SITE or NONE";
                self.problem(word.span.clone(), format!("DUP_GROUP is {:?}", word.value), expected, None);
            }
        }
    }

    fn hostids(&mut self, word: &Word, grant: &mut Grant) {
        let mut all = Vec::new();
        for one in word.value.split_whitespace() {
            match hostid(one) {
                Ok(id) => all.push(id),
                Err(e) => self.problem(word.span.clone(), format!("{one:?} is no hostid"), &e, None),
            }
        }
        grant.push(("client-hostids", all.join(", "), "HOSTID".to_owned(), word.value_span.clone()));
    }

    /// Makes the certificate, or one for each component of a plain package.
    fn grant(&mut self, mut grant: Grant, whole: &Range<usize>, name: &str) {
        let package = self.packages.get(name);
        let components = package.map_or(&[][..], |package| &package.components);
        if package.is_some_and(|package| !package.is_suite) {
            let all: Vec<Grant> = components.iter().map(|component| of_component(&grant, component)).collect();
            let message = format!("the package {name} becomes {} licences, one for each component", all.len());
            self.warn(whole.clone(), message);
            all.into_iter().for_each(|grant| self.finish(grant, whole));
            return;
        }
        if package.is_some() {
            let list: Vec<String> = components.iter().map(|(name, at, _)| format!("{name}@{}", version(at))).collect();
            grant.push(("package", list.join(", "), "COMPONENTS".to_owned(), whole.clone()));
        }
        self.finish(grant, whole);
    }

    fn finish(&mut self, grant: Grant, whole: &Range<usize>) {
        let mut draft = Draft::new(self.source);
        for (name, value, said, span) in grant {
            draft.set((name, &value), &said, span, &mut self.out.problems);
        }
        let certificate: Option<Certificate> = draft.finish(self.publisher, whole.clone(), &mut self.out.problems);
        self.out.certificates.extend(certificate.map(|certificate| (certificate, whole.clone())));
    }
}

/// What a package grants of one of its components.
fn of_component(grant: &Grant, (name, at, each): &(String, String, u32)) -> Grant {
    let changed = |(setting, value, said, span): &(&'static str, String, String, Range<usize>)| {
        let value = match *setting {
            "feature" => name.clone(),
            "version" if at != "0.0" => version(at),
            "count" => value.parse::<u64>().map_or_else(|_| value.clone(), |n| (n * u64::from(*each)).to_string()),
            _ => value.clone(),
        };
        (*setting, value, said.clone(), span.clone())
    };
    grant.iter().map(changed).collect()
}
