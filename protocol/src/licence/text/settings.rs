//! Tokens to claims, and claims to a signed certificate.

use std::str::FromStr;

use super::{
    Place, TextError,
    lexer::{Kind, Token},
};
use crate::{
    hex,
    licence::{
        base64,
        canonical::{self, Algorithm, SignedCertificate},
        certificate::{Draft, KeyType, SeatLimit},
        dates::check_zone,
        error::LicenceError,
        keys::{KeyId, PublisherKey},
        nearest::nearest,
    },
    vocab::{FeatureName, SeatCount},
};

/// Every setting a certificate may have, in the order they are written in.
pub const SETTINGS: [&str; 16] = [
    "publisher",
    "feature",
    "version",
    "count",
    "type",
    "zone",
    "start",
    "end",
    "lease-ttl",
    "grace",
    "server-keys",
    "vendor-string",
    "serial",
    "issuer",
    "notice",
    "sign",
];

const SIGN: &str = "sign";
const TYPES: [&str; 2] = ["exclusive", "additive"];

pub(super) type Refusal = (Place, LicenceError);

struct Sign {
    key_id: KeyId,
    algorithm: Algorithm,
    signature: Vec<u8>,
}

/// The certificate these tokens spell, if its signature holds. `head` is where it begins.
pub(super) fn certificate(
    tokens: &[Token<'_>],
    head: Place,
    keys: &[PublisherKey],
) -> Result<SignedCertificate, Refusal> {
    let (mut draft, mut sign) = (Draft::default(), None);
    for setting in settings(tokens)? {
        match setting.name {
            SIGN => sign = Some((setting.sign()?, setting.place)),
            _ => setting.put_into(&mut draft)?,
        }
    }
    let missing = |name| (head, TextError::Missing(name).into());
    let (sign, at) = sign.ok_or(missing(SIGN))?;
    let certificate = draft.finish().map_err(|e| match e {
        crate::licence::ClaimError::Missing(name) => missing(name),
        other => (head, other.into()),
    })?;
    let signed = canonical::verify_claims(certificate, sign.algorithm, sign.key_id, &sign.signature, keys);
    let mut signed = signed.map_err(|e| (if e.is_about_signing() { at } else { head }, e))?;
    signed.place = Some(head);
    Ok(signed)
}

/// The feature these tokens speak of, whatever else is wrong with them.
pub(super) fn feature_of(tokens: &[Token<'_>]) -> Option<FeatureName> {
    tokens.windows(3).find_map(|three| match three {
        [
            Token { kind: Kind::Word("feature"), .. },
            Token { kind: Kind::Equals, .. },
            Token { kind: Kind::Word(name), .. },
        ] => FeatureName::new(name).ok(),
        _ => None,
    })
}

/// One `name = value`: the value is everything up to the next `name =`.
struct Setting<'s, 't> {
    name: &'static str,
    place: Place,
    value: &'s [Token<'t>],
}

fn settings<'s, 't>(tokens: &'s [Token<'t>]) -> Result<Vec<Setting<'s, 't>>, Refusal> {
    let mut found: Vec<Setting<'s, 't>> = Vec::new();
    let mut rest = tokens;
    while let Some((first, behind)) = rest.split_first() {
        let (Kind::Word(word), Some((Token { kind: Kind::Equals, .. }, behind))) = (&first.kind, behind.split_first())
        else {
            return Err(not_a_setting(first));
        };
        let name = SETTINGS.into_iter().find(|name| name == word);
        let name = name.ok_or_else(|| (first.place, TextError::unknown(word).into()))?;
        if let Some(earlier) = found.iter().find(|setting| setting.name == name) {
            return Err((first.place, TextError::SetTwice { name, first: earlier.place }.into()));
        }
        let (value, next) = behind.split_at(value_len(behind));
        found.push(Setting { name, place: first.place, value });
        rest = next;
    }
    Ok(found)
}

fn value_len(tokens: &[Token<'_>]) -> usize {
    let begins_setting = |at: usize| {
        matches!(tokens[at].kind, Kind::Word(_)) && tokens.get(at + 1).is_some_and(|next| next.kind == Kind::Equals)
    };
    (0..tokens.len()).find(|&at| begins_setting(at)).unwrap_or(tokens.len())
}

fn not_a_setting(token: &Token<'_>) -> Refusal {
    let why = match &token.kind {
        Kind::Bad(e) => e.clone(),
        kind => TextError::NotASetting(shown(kind)),
    };
    (token.place, why.into())
}

fn shown(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Word(word) => (*word).to_owned(),
        Kind::Text(text) => text.clone(),
        Kind::Equals => "=".to_owned(),
        Kind::Comma => ",".to_owned(),
        Kind::Open => "{".to_owned(),
        Kind::Close => "}".to_owned(),
        Kind::Bad(_) => "\"".to_owned(),
    }
}

impl Setting<'_, '_> {
    fn put_into(&self, draft: &mut Draft) -> Result<(), Refusal> {
        let terms = &mut draft.terms;
        match self.name {
            "publisher" => draft.publisher = Some(self.parsed("a name of 1 to 64 bytes, quoted if it has spaces")?),
            "feature" => draft.feature = Some(self.parsed("1 to 64 letters, digits, _ - . or +")?),
            "version" => draft.version = Some(self.parsed("a version such as 4.8 or 4.8.1")?),
            "count" => draft.count = Some(self.count()?),
            "type" => draft.key_type = Some(self.key_type()?),
            "zone" => draft.zone = Some(self.zone()?),
            "start" => draft.start = self.day("always", "a day such as 2026-01-31, or always")?,
            "end" => draft.end = self.day("permanent", "a day such as 2026-12-31, or permanent")?,
            "lease-ttl" => terms.lease_ttl_s = Some(self.seconds()?),
            "grace" => terms.grace_s = Some(self.seconds()?),
            "server-keys" => {
                terms.server_keys = self.list("fingerprints of 32 hexadecimal digits, separated by commas")?;
            }
            "vendor-string" => terms.vendor_string = Some(self.text()?),
            "serial" => terms.serial = Some(self.text()?),
            "issuer" => terms.issuer = Some(self.text()?),
            "notice" => terms.notice = Some(self.text()?),
            _ => return Err((self.place, TextError::unknown(self.name).into())),
        }
        Ok(())
    }

    fn count(&self) -> Result<SeatLimit, Refusal> {
        const EXPECTED: &str = "a number of seats from 1 to 2147483647, or uncounted";
        let word = self.one(EXPECTED)?;
        if word == "uncounted" {
            return Ok(SeatLimit::Uncounted);
        }
        let seats = digits(word).and_then(|seats| SeatCount::new(seats).ok());
        seats.map(SeatLimit::Counted).ok_or_else(|| self.value(word, EXPECTED, &["uncounted"]))
    }

    fn key_type(&self) -> Result<KeyType, Refusal> {
        const EXPECTED: &str = "exclusive or additive";
        match self.one(EXPECTED)? {
            "exclusive" => Ok(KeyType::Exclusive),
            "additive" => Ok(KeyType::Additive),
            other => Err(self.value(other, EXPECTED, &TYPES)),
        }
    }

    fn zone(&self) -> Result<String, Refusal> {
        const EXPECTED: &str = "a time zone such as UTC or Europe/Paris";
        let zone = self.one(EXPECTED)?;
        check_zone(zone).map(|()| zone.to_owned()).map_err(|_| self.value(zone, EXPECTED, &["UTC"]))
    }

    fn day<T: FromStr>(&self, never: &'static str, expected: &'static str) -> Result<Option<T>, Refusal> {
        match self.one(expected)? {
            word if word == never => Ok(None),
            word => word.parse().map(Some).map_err(|_| self.value(word, expected, &[never])),
        }
    }

    fn seconds(&self) -> Result<u32, Refusal> {
        const EXPECTED: &str = "a time such as 300s, 5m or 2h";
        let word = self.one(EXPECTED)?;
        parse_seconds(word).ok_or_else(|| self.value(word, EXPECTED, &[]))
    }

    fn list<T: FromStr>(&self, expected: &'static str) -> Result<Vec<T>, Refusal> {
        let items = self.value.split(|token| token.kind == Kind::Comma);
        items
            .map(|item| match item {
                [Token { kind: Kind::Word(word), .. }] => word.parse().map_err(|_| self.value(word, expected, &[])),
                _ => Err(self.wrong(expected)),
            })
            .collect()
    }

    fn text(&self) -> Result<String, Refusal> {
        self.one("one word, or a text in double quotes").map(str::to_owned)
    }

    fn parsed<T: FromStr>(&self, expected: &'static str) -> Result<T, Refusal> {
        let word = self.one(expected)?;
        word.parse().map_err(|_| self.value(word, expected, &[]))
    }

    /// `<key id>:<algorithm>:<base64>`, in as many pieces as mail made of it.
    fn sign(&self) -> Result<Sign, Refusal> {
        const EXPECTED: &str = "key id, algorithm and signature, as in 1a2b3c4d:ed25519:...";
        let words = self.value.iter().map(|token| match token.kind {
            Kind::Word(word) => Ok(word),
            _ => Err(self.wrong(EXPECTED)),
        });
        let whole = words.collect::<Result<String, Refusal>>()?;
        let wrong = || self.value(&whole, EXPECTED, &[]);
        let (key_id, rest) = whole.split_once(':').ok_or_else(wrong)?;
        let (algorithm, signature) = rest.split_once(':').ok_or_else(wrong)?;
        let algorithm = Algorithm::named(algorithm).map_err(|e| (self.place, e))?;
        let key_id = hex::decode(key_id).map(KeyId).ok_or_else(wrong)?;
        Ok(Sign { key_id, algorithm, signature: base64::decode(signature).ok_or_else(wrong)? })
    }

    /// The value, if it is one word or one quoted text.
    fn one(&self, expected: &'static str) -> Result<&str, Refusal> {
        match self.value {
            [Token { kind: Kind::Word(word), .. }] => Ok(word),
            [Token { kind: Kind::Text(text), .. }] => Ok(text),
            _ => Err(self.wrong(expected)),
        }
    }

    /// The value is not of the shape it should have.
    fn wrong(&self, expected: &'static str) -> Refusal {
        if let Some(bad) = self.value.iter().find(|token| matches!(token.kind, Kind::Bad(_))) {
            return not_a_setting(bad);
        }
        let found: Vec<String> = self.value.iter().map(|token| shown(&token.kind)).collect();
        self.value(&found.join(" "), expected, &[])
    }

    fn value(&self, found: &str, expected: &'static str, words: &[&'static str]) -> Refusal {
        let meant = nearest(found, words.iter().copied());
        let place = self.value.first().map_or(self.place, |token| token.place);
        let found = found.chars().take(80).collect();
        (place, TextError::Value { name: self.name, found, expected, meant }.into())
    }
}

/// Seconds of a time such as `300s`, `5m` or `2h`; `None` if it is none or does not fit.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<u32> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        _ => return None,
    };
    digits(&text[..text.len() - 1])?.checked_mul(unit)
}

fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
