//! Signed certificates to text that survives mail.

use super::SETTINGS;
use crate::licence::{
    base64,
    canonical::{Algorithm, SignedCertificate},
    certificate::{Class, Dialect, Metered, Permission, Pooling, SeatLimit, Together},
};
use crate::vocab::{FeatureName, Version};

/// No line we may break is longer: mail that wraps at 60 columns or more leaves every comment whole.
const WIDTH: usize = 60;
const INDENT: &str = "    ";
/// The preamble of every file.
const PREAMBLE: &str = "A leasehold licence file. Spaces, line breaks and the order of settings may change; any other change \
                        makes a certificate void.";

/// The licence file of `certificates`, in their order, with `comment` above them for people.
#[must_use]
pub fn write(certificates: &[SignedCertificate], comment: &str) -> String {
    let mut out = String::new();
    for line in std::iter::once(PREAMBLE).chain(comment.lines()) {
        write_comment(line, &mut out);
    }
    for signed in certificates {
        out.push_str("\ncertificate {\n");
        for (name, value) in SETTINGS.into_iter().zip(values(signed)) {
            if let Some(pieces) = value {
                write_setting(name, &pieces, &mut out);
            }
        }
        out.push_str("}\n");
    }
    out
}

/// The value of each of [`SETTINGS`], in pieces that may stand on lines of their own.
fn values(signed: &SignedCertificate) -> [Option<Vec<String>>; SETTINGS.len()] {
    let (c, t) = (&signed.certificate, &signed.certificate.terms);
    let components =
        |kind| t.components.as_ref().filter(|c| c.together == kind).and_then(|c| list(&c.features, component));
    [
        Some(word_or_quoted(c.publisher.as_str())),
        one(Some(&c.feature)),
        one(Some(c.version)),
        one(Some(count(c.count))),
        one(Some(c.key_type.name())),
        one(unless_default(t.dialect).map(Dialect::name)),
        one(unless_default(t.pools).map(Pooling::name)),
        one(Some(&c.zone)),
        one(c.start),
        one(Some(c.end.map_or("permanent".to_owned(), |day| day.to_string()))),
        days(t.trial_days),
        seconds(t.lease_ttl_s),
        seconds(t.grace_s),
        t.share.map(|share| share.to_string().split_inclusive(' ').map(|word| word.trim().to_owned()).collect()),
        one(t.share_limit),
        seconds(t.linger_s),
        seconds(t.min_checkout_s),
        seconds(t.borrow_max_s),
        one(t.soft_limit),
        one(t.overdraft),
        one(t.metered.map(Metered::name)),
        seconds(t.undo_s),
        components(Together::Package),
        components(Together::Suite),
        t.cost.as_ref().map(|cost| cost.to_string().split(' ').map(str::to_owned).collect()),
        list(&t.supersedes, |one| vec![one.to_string()]),
        list(&t.server_keys, |key| vec![key.to_string()]),
        list(&t.server_hostids, |hostid| item(&hostid.to_string())),
        list(&t.client_hostids, |hostid| item(&hostid.to_string())),
        one(t.match_rate),
        list(&t.platforms, |platform| item(platform.as_str())),
        one(unless_default(t.vm).map(Permission::name)),
        one(unless_default(t.terminal_server).map(Permission::name)),
        one(unless_default(t.class).map(Class::name)),
        one(t.maintenance_end),
        text(t.part_number.as_ref()),
        list(&t.selectors, |selector| quoted(selector)),
        text(t.vendor_string.as_ref()),
        text(t.serial.as_ref()),
        text(t.licensee.as_ref()),
        text(t.issuer.as_ref()),
        one(t.issued),
        text(t.notice.as_ref()),
        days(t.retention_days),
        Some(sign(signed)),
    ]
}

fn one(value: Option<impl ToString>) -> Option<Vec<String>> {
    value.map(|value| vec![value.to_string()])
}

fn unless_default<T: Default + PartialEq>(value: T) -> Option<T> {
    Some(value).filter(|value| *value != T::default())
}

fn count(count: SeatLimit) -> String {
    match count {
        SeatLimit::Counted(seats) => seats.to_string(),
        SeatLimit::Uncounted => "uncounted".to_owned(),
    }
}

fn seconds(seconds: Option<u32>) -> Option<Vec<String>> {
    one(seconds.map(|s| format!("{s}s")))
}

fn days(days: Option<u16>) -> Option<Vec<String>> {
    one(days.map(|days| format!("{days}d")))
}

fn text(text: Option<&String>) -> Option<Vec<String>> {
    text.map(|text| quoted(text))
}

fn component((feature, version): &(FeatureName, Version)) -> Vec<String> {
    match *version {
        Version::ANY => vec![feature.to_string()],
        version => vec![format!("{feature}@{version}")],
    }
}

/// Items with commas between them; `None` if there are none.
fn list<T>(items: &[T], pieces: impl Fn(&T) -> Vec<String>) -> Option<Vec<String>> {
    let (last, others) = items.split_last()?;
    let mut all: Vec<String> = Vec::new();
    for item in others {
        let mut pieces = pieces(item);
        if let Some(end) = pieces.last_mut() {
            end.push(',');
        }
        all.extend(pieces);
    }
    all.extend(pieces(last));
    Some(all)
}

/// A word of a list, quoted if it is none: what is no sign and no space may stand in it.
fn item(text: &str) -> Vec<String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.+:/@".contains(&b));
    if plain { vec![text.to_owned()] } else { quoted(text) }
}

fn sign(signed: &SignedCertificate) -> Vec<String> {
    let signature = base64::encode(signed.signature());
    let (first, second) = signature.split_at(signature.len() / 2);
    let head = format!("{}:{}:", signed.key_id, Algorithm::Ed25519.name());
    vec![head, first.to_owned(), second.to_owned()]
}

fn word_or_quoted(text: &str) -> Vec<String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+'));
    if plain { vec![text.to_owned()] } else { quoted(text) }
}

/// `text` in quotes, as pieces between which one space stands.
pub(super) fn quoted(text: &str) -> Vec<String> {
    let mut pieces = vec!["\"".to_owned()];
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let piece = pieces.last_mut().map_or_else(String::new, std::mem::take);
        let lone_space = c == ' ' && before != ' ' && rest.peek().is_some_and(|&next| next != ' ');
        let last = pieces.len() - 1;
        pieces[last] = if lone_space { piece } else { piece + &escaped(c, before) };
        if lone_space {
            pieces.push(String::new());
        }
        before = c;
    }
    if let Some(last) = pieces.last_mut() {
        last.push('"');
    }
    pieces
}

/// What a reader would not see, or mail would take for its own, is spelt out.
fn escaped(c: char, before: char) -> String {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    match c {
        '\\' | '"' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '{' | '}' => format!("\\u{:x};", u32::from(c)),
        '>' if before.is_whitespace() => format!("\\u{:x};", u32::from(c)),
        _ if c.is_whitespace() || c.is_control() || invisible => format!("\\u{:x};", u32::from(c)),
        _ => c.to_string(),
    }
}

fn write_setting(name: &str, pieces: &[String], out: &mut String) {
    let mut line = format!("  {name} =");
    for piece in pieces {
        if line.chars().count() + 1 + piece.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = format!("{INDENT}{piece}");
        } else {
            line.push(' ');
            line.push_str(piece);
        }
    }
    out.push_str(&line);
    out.push('\n');
}

fn write_comment(text: &str, out: &mut String) {
    let mut line = "#".to_owned();
    for word in text.split_whitespace() {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
