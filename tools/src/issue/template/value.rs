//! One setting's value.

use std::{fmt::Display, str::FromStr};

use leasehold_protocol::{
    crypto::Fingerprint,
    licence::{
        Day, KeyType, SeatLimit,
        certificate::{LEASE_TTL_MIN_S, SERVER_KEYS_MAX, TERM_MAX_S, TEXT_MAX},
        dates::check_zone,
        error::LicenceError,
        nearest::nearest,
        text::{Claims, SETTINGS, TextError, parse_seconds, quote},
    },
    vocab::SeatCount,
};
use toml::{Spanned, de::DeValue};

use super::{Reader, Settings};

type Value<'i> = Spanned<DeValue<'i>>;

/// What was expected instead, and perhaps what to do.
struct Wrong {
    expected: String,
    help: Option<String>,
}

type Read<T> = Result<T, Wrong>;

impl Reader<'_> {
    /// Reads `value` into the setting `name`, or notes what is wrong with it.
    pub(super) fn set(&mut self, settings: &mut Settings, name: &'static str, value: &Value<'_>) {
        settings.spans.insert(name, value.span());
        if let Err(wrong) = read(settings, name, value.get_ref()) {
            let found = self.source.as_str().get(value.span()).unwrap_or_default();
            let found: String = found.chars().take(60).collect();
            let problem = self.source.problem(value.span(), format!("{name} is {found}"));
            self.problems.push(problem.expected(format!("expected {}", wrong.expected)).help(wrong.help));
        }
    }
}

fn read(settings: &mut Settings, name: &str, value: &DeValue<'_>) -> Read<()> {
    let s = settings;
    match name {
        "name" => s.name = Some(parsed(value, "a feature's name: 1 to 64 letters, digits, _ - . or +, in quotes")?),
        "version" => s.version = Some(version(value)?),
        "count" => s.count = Some(count(value)?),
        "type" => s.key_type = Some(key_type(value)?),
        "zone" => s.zone = Some(zone(value)?),
        "start" => s.start = Some(day(value, "always")?),
        "end" => s.end = Some(day(value, "permanent")?),
        "lease-ttl" => s.lease_ttl_s = Some(seconds(value, LEASE_TTL_MIN_S)?),
        "grace" => s.grace_s = Some(seconds(value, 0)?),
        "server-keys" => s.server_keys = Some(server_keys(value)?),
        "vendor-string" => s.vendor_string = Some(text(value)?),
        "serial" => s.serial = Some(text(value)?),
        "issuer" => s.issuer = Some(text(value)?),
        "notice" => s.notice = Some(text(value)?),
        other => term(s, other, value)?,
    }
    Ok(())
}

/// A setting that TOML spells as licence files do, but for brackets and quotes.
fn term(settings: &mut Settings, name: &str, value: &DeValue<'_>) -> Read<()> {
    let spelt = spelt(name, value)?;
    let mut claims = Claims::default();
    match claims.set(name, &spelt) {
        Ok(()) => {}
        Err(LicenceError::Text(TextError::Value { expected, meant, .. })) => {
            let help = meant.map(|word| format!("did you mean {word:?}?"));
            return Err(Wrong { expected: expected.to_owned(), help });
        }
        Err(e) => return Err(wrong(e.to_string())),
    }
    if let Some(name) = SETTINGS.into_iter().find(|known| *known == name) {
        settings.terms.insert(name, spelt);
    }
    Ok(())
}

/// Settings that are texts, which licence files have in quotes.
const TEXTS: [&str; 2] = ["licensee", "part-number"];
/// Settings that are lists.
const LISTS: [&str; 8] =
    ["share", "package", "suite", "supersedes", "server-hostids", "client-hostids", "platforms", "selectors"];

/// `value` as it stands in a licence file.
fn spelt(name: &str, value: &DeValue<'_>) -> Read<String> {
    let list = || wrong("a list such as [\"one\", \"two\"]");
    match value {
        DeValue::Array(items) if LISTS.contains(&name) => {
            let items: Option<Vec<String>> = items.iter().map(|item| item.get_ref().as_str().map(quote)).collect();
            items.map(|items| items.join(", ")).ok_or_else(list)
        }
        _ if LISTS.contains(&name) => Err(list()),
        DeValue::String(text) if TEXTS.contains(&name) => Ok(quote(text)),
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Datetime(day) => Ok(day.to_string()),
        _ => Err(wrong("a word or a text in quotes, or a number")),
    }
}

fn wrong(expected: impl Into<String>) -> Wrong {
    Wrong { expected: expected.into(), help: None }
}

/// The value is not one of `words`; if it is nearly, the help says which.
fn no_such_word(found: &str, expected: &str, words: &[&str]) -> Wrong {
    let meant = nearest(found, words.iter().copied());
    Wrong { expected: expected.to_owned(), help: meant.map(|word| format!("did you mean {word:?}?")) }
}

fn parsed<T: FromStr>(value: &DeValue<'_>, expected: &str) -> Read<T> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong(expected))
}

fn version<T: FromStr>(value: &DeValue<'_>) -> Read<T> {
    match value {
        // TOML would make 4.1 of 4.10.
        DeValue::Float(number) => Err(Wrong {
            expected: "a version in quotes".to_owned(),
            help: Some(format!(
                "write version = \"{}\": without quotes it is a number, and 4.10 would be 4.1",
                number.as_str()
            )),
        }),
        _ => parsed(value, "a version such as \"4.8\" or \"4.8.1\", each part 0 to 65535, in quotes"),
    }
}

fn count(value: &DeValue<'_>) -> Read<SeatLimit> {
    const EXPECTED: &str = "a number of seats from 1 to 2147483647, or \"uncounted\"";
    match value {
        DeValue::Integer(number) => {
            let seats = u32::from_str_radix(number.as_str(), number.radix()).ok();
            let seats = seats.and_then(|seats| SeatCount::new(seats).ok());
            seats.map(SeatLimit::Counted).ok_or_else(|| wrong(EXPECTED))
        }
        DeValue::String(word) if word == "uncounted" => Ok(SeatLimit::Uncounted),
        DeValue::String(word) if word.parse::<u32>().is_ok() => {
            Err(Wrong { expected: EXPECTED.to_owned(), help: Some("a number stands without quotes".to_owned()) })
        }
        DeValue::String(word) => Err(no_such_word(word, EXPECTED, &["uncounted"])),
        _ => Err(wrong(EXPECTED)),
    }
}

fn key_type(value: &DeValue<'_>) -> Read<KeyType> {
    const EXPECTED: &str = "\"exclusive\", \"additive\" or \"upgrade\"";
    let Some(word) = value.as_str() else { return Err(wrong(EXPECTED)) };
    let known = KeyType::ALL.into_iter().find(|kind| kind.name() == word);
    known.ok_or_else(|| no_such_word(word, EXPECTED, &KeyType::ALL.map(KeyType::name)))
}

fn zone(value: &DeValue<'_>) -> Read<String> {
    const EXPECTED: &str = "a time zone such as \"UTC\" or \"Europe/Paris\"";
    let zone = value.as_str().ok_or_else(|| wrong(EXPECTED))?;
    let names = || jiff::tz::TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect::<Vec<_>>();
    check_zone(zone).map(|()| zone.to_owned()).map_err(|_| {
        let names = names();
        no_such_word(zone, EXPECTED, &names.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

fn day(value: &DeValue<'_>, never: &str) -> Read<Option<Day>> {
    let expected = || format!("a day such as 2026-12-31, or \"{never}\"");
    let one = |day: &dyn Display| day.to_string().parse().map(Some).map_err(|_| wrong(expected()));
    match value {
        DeValue::Datetime(day) if day.time.is_none() => one(day),
        DeValue::Datetime(_) => Err(Wrong {
            expected: expected(),
            help: Some("a licence begins and ends with whole days of its zone".to_owned()),
        }),
        DeValue::String(word) if word == never => Ok(None),
        DeValue::String(word) => one(word).map_err(|_| no_such_word(word, &expected(), &[never])),
        _ => Err(wrong(expected())),
    }
}

fn seconds(value: &DeValue<'_>, min: u32) -> Read<u32> {
    let expected =
        || format!("a time from {min}s to {}h in quotes, such as \"300s\", \"5m\" or \"2h\"", TERM_MAX_S / 3600);
    match value {
        DeValue::Integer(number) => {
            Err(Wrong { expected: expected(), help: Some(format!("a time needs its unit: \"{}s\"?", number.as_str())) })
        }
        _ => {
            let seconds = value.as_str().and_then(parse_seconds);
            seconds.filter(|s| (min..=TERM_MAX_S).contains(s)).ok_or_else(|| wrong(expected()))
        }
    }
}

fn server_keys(value: &DeValue<'_>) -> Read<Vec<Fingerprint>> {
    let refused = || Wrong {
        expected: format!("a list of up to {SERVER_KEYS_MAX} fingerprints of 32 hexadecimal digits: [\"…\", \"…\"]"),
        help: Some(
            "`leasehold serve` shows a server's fingerprint when it starts, `leasehold discover` those in reach"
                .to_owned(),
        ),
    };
    let items = value.as_array().filter(|items| items.len() <= SERVER_KEYS_MAX).ok_or_else(refused)?;
    let keys = items.iter().map(|item| item.get_ref().as_str().and_then(|text| text.parse().ok()));
    keys.collect::<Option<_>>().ok_or_else(refused)
}

fn text(value: &DeValue<'_>) -> Read<String> {
    let fits =
        |text: &&str| !text.is_empty() && text.len() <= TEXT_MAX && !text.chars().any(|c| c.is_control() && c != '\n');
    let text = value.as_str().filter(fits);
    text.map(str::to_owned)
        .ok_or_else(|| wrong(format!("a text of 1 to {TEXT_MAX} bytes without control characters, in quotes")))
}
