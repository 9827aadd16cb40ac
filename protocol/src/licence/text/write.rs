//! Signed certificates to text that survives mail.

use super::SETTINGS;
use crate::licence::{
    base64,
    canonical::{Algorithm, SignedCertificate},
    certificate::{KeyType, SeatLimit},
};

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
    let one = |value: String| Some(vec![value]);
    let count = match c.count {
        SeatLimit::Counted(seats) => seats.to_string(),
        SeatLimit::Uncounted => "uncounted".to_owned(),
    };
    let key_type = match c.key_type {
        KeyType::Exclusive => "exclusive",
        KeyType::Additive => "additive",
    };
    let seconds = |s: Option<u32>| s.map(|s| vec![format!("{s}s")]);
    let text = |text: &Option<String>| text.as_deref().map(quoted);
    [
        Some(word_or_quoted(c.publisher.as_str())),
        one(c.feature.to_string()),
        one(c.version.to_string()),
        one(count),
        one(key_type.to_owned()),
        one(c.zone.clone()),
        c.start.map(|day| vec![day.to_string()]),
        one(c.end.map_or("permanent".to_owned(), |day| day.to_string())),
        seconds(t.lease_ttl_s),
        seconds(t.grace_s),
        server_keys(signed),
        text(&t.vendor_string),
        text(&t.serial),
        text(&t.issuer),
        text(&t.notice),
        Some(sign(signed)),
    ]
}

fn server_keys(signed: &SignedCertificate) -> Option<Vec<String>> {
    let keys = &signed.certificate.terms.server_keys;
    let (last, others) = keys.split_last()?;
    Some(others.iter().map(|key| format!("{key},")).chain([last.to_string()]).collect())
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
fn quoted(text: &str) -> Vec<String> {
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
