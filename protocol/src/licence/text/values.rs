//! The value of a setting, as what it means.

use std::str::FromStr;

use super::{
    TextError,
    lexer::{Kind, Token},
    settings::{Refusal, Setting, Sign, not_a_setting, shown},
};
use crate::{
    hex,
    licence::{
        base64,
        canonical::Algorithm,
        certificate::{
            Class, Components, Cost, Dialect, Draft, KeyType, Metered, Permission, Pooling, SeatLimit, ShareBy, Terms,
            Together,
        },
        dates::check_zone,
        keys::KeyId,
        nearest::nearest,
    },
    vocab::{FeatureName, SeatCount, Version},
};

impl Setting<'_, '_> {
    pub(super) fn put_into(&self, draft: &mut Draft) -> Result<(), Refusal> {
        match self.name {
            "publisher" => draft.publisher = Some(self.parsed("a name of 1 to 64 bytes, quoted if it has spaces")?),
            "feature" => draft.feature = Some(self.parsed("1 to 64 letters, digits, _ - . or +")?),
            "version" => draft.version = Some(self.parsed("a version such as 4.8 or 4.8.1")?),
            "count" => draft.count = Some(self.count()?),
            "type" => {
                draft.key_type = Some(self.one_of(&KeyType::ALL, KeyType::name, "exclusive, additive or upgrade")?);
            }
            "zone" => draft.zone = Some(self.zone()?),
            "start" => draft.start = self.day("always", "a day such as 2026-01-31, or always")?,
            "end" => draft.end = self.day("permanent", "a day such as 2026-12-31, or permanent")?,
            _ => self.put_term(&mut draft.terms)?,
        }
        Ok(())
    }

    fn put_term(&self, terms: &mut Terms) -> Result<(), Refusal> {
        match self.name {
            "dialect" => terms.dialect = self.one_of(Dialect::ALL, Dialect::name, "replace or first")?,
            "pools" => terms.pools = self.one_of(Pooling::ALL, Pooling::name, "joined or separate")?,
            "trial" => terms.trial_days = Some(self.days()?),
            "lease-ttl" => terms.lease_ttl_s = Some(self.seconds()?),
            "grace" => terms.grace_s = Some(self.seconds()?),
            "share" => terms.share = Some(self.share()?),
            "share-limit" => terms.share_limit = Some(self.whole("a number from 2 on")?),
            "linger" => terms.linger_s = Some(self.seconds()?),
            "min-checkout" => terms.min_checkout_s = Some(self.seconds()?),
            "borrow-max" => terms.borrow_max_s = Some(self.seconds()?),
            "soft-limit" => terms.soft_limit = Some(self.seats()?),
            "overdraft" => terms.overdraft = Some(self.seats()?),
            "metered" => terms.metered = Some(self.one_of(Metered::ALL, Metered::name, "consumed or reusable")?),
            "undo" => terms.undo_s = Some(self.seconds()?),
            "package" => self.put_components(Together::Package, terms)?,
            "suite" => self.put_components(Together::Suite, terms)?,
            "cost" => terms.cost = Some(self.cost()?),
            "supersedes" => terms.supersedes = self.list("feature:NAME or certificate:ID, separated by commas")?,
            _ => self.put_place(terms)?,
        }
        Ok(())
    }

    fn put_place(&self, terms: &mut Terms) -> Result<(), Refusal> {
        const HOSTIDS: &str = "hostids such as ethernet:0012ab34cd56 or any, separated by commas";
        let permission = || self.one_of(Permission::ALL, Permission::name, "allowed or refused");
        match self.name {
            "server-keys" => {
                terms.server_keys = self.list("fingerprints of 32 hexadecimal digits, separated by commas")?;
            }
            "server-hostids" => terms.server_hostids = self.list(HOSTIDS)?,
            "client-hostids" => terms.client_hostids = self.list(HOSTIDS)?,
            "match-rate" => terms.match_rate = Some(self.percent()?),
            "platforms" => terms.platforms = self.list("platforms such as x86_64-linux, separated by commas")?,
            "vm" => terms.vm = permission()?,
            "terminal-server" => terms.terminal_server = permission()?,
            _ => self.put_word(terms)?,
        }
        Ok(())
    }

    fn put_word(&self, terms: &mut Terms) -> Result<(), Refusal> {
        const DAY: &str = "a day such as 2026-12-31";
        match self.name {
            "class" => terms.class = self.one_of(Class::ALL, Class::name, "standard, demo or education")?,
            "maintenance-end" => terms.maintenance_end = Some(self.parsed(DAY)?),
            "part-number" => terms.part_number = Some(self.text()?),
            "selectors" => terms.selectors = self.list("words or quoted texts, separated by commas")?,
            "vendor-string" => terms.vendor_string = Some(self.text()?),
            "serial" => terms.serial = Some(self.text()?),
            "licensee" => terms.licensee = Some(self.text()?),
            "issuer" => terms.issuer = Some(self.text()?),
            "issued" => terms.issued = Some(self.parsed(DAY)?),
            "notice" => terms.notice = Some(self.text()?),
            "retention" => terms.retention_days = Some(self.days()?),
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

    fn seats(&self) -> Result<SeatCount, Refusal> {
        const EXPECTED: &str = "a number of seats from 1 to 2147483647";
        let word = self.one(EXPECTED)?;
        digits(word).and_then(|seats| SeatCount::new(seats).ok()).ok_or_else(|| self.value(word, EXPECTED, &[]))
    }

    fn whole(&self, expected: &'static str) -> Result<u32, Refusal> {
        let word = self.one(expected)?;
        digits(word).ok_or_else(|| self.value(word, expected, &[]))
    }

    fn percent(&self) -> Result<u8, Refusal> {
        const EXPECTED: &str = "a percentage from 0 to 100, such as 50";
        let rate = self.whole(EXPECTED)?;
        u8::try_from(rate).map_err(|_| self.value(&rate.to_string(), EXPECTED, &[]))
    }

    /// The one of `all` that is called as the value says.
    fn one_of<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str, expected: &'static str) -> Result<T, Refusal> {
        let word = self.one(expected)?;
        let words: Vec<&'static str> = all.iter().copied().map(name).collect();
        let found = words.iter().position(|known| *known == word);
        found.map(|at| all[at]).ok_or_else(|| self.value(word, expected, &words))
    }

    fn share(&self) -> Result<ShareBy, Refusal> {
        const EXPECTED: &str = "user, host, display and share-id, or site, separated by commas";
        let known = || ShareBy::WORDS.map(|(_, word)| word);
        let one = |word: &str| ShareBy::WORDS.iter().find(|(_, known)| *known == word).map(|(by, _)| *by);
        let words: Vec<String> = self.list(EXPECTED)?;
        let all = words.iter().try_fold(ShareBy::default(), |all, word| {
            one(word).map(|by| all.with(by)).ok_or_else(|| self.value(word, EXPECTED, &known()))
        })?;
        ShareBy::from_bits(all.bits()).ok_or_else(|| self.wrong(EXPECTED))
    }

    fn put_components(&self, together: Together, terms: &mut Terms) -> Result<(), Refusal> {
        const EXPECTED: &str = "features, each with its version if not 0.0, as CAD@4.8, separated by commas";
        let words: Vec<String> = self.list(EXPECTED)?;
        let one = |word: &String| named_version(word).ok_or_else(|| self.value(word, EXPECTED, &[]));
        let features = words.iter().map(one).collect::<Result<_, _>>()?;
        if terms.components.is_some() {
            let (name, other) = (together.name(), terms.components_name());
            return Err((self.place, crate::licence::ClaimError::Conflict { name, other }.into()));
        }
        terms.components = Some(Components { together, features });
        Ok(())
    }

    /// `3 of TOKENS` or `3 of TOKENS@2.0`.
    fn cost(&self) -> Result<Cost, Refusal> {
        const EXPECTED: &str = "a cost such as: 3 of TOKENS, or 3 of TOKENS@2.0";
        let [
            Token { kind: Kind::Word(seats), .. },
            Token { kind: Kind::Word("of"), .. },
            Token { kind: Kind::Word(of), .. },
        ] = self.value
        else {
            return Err(self.wrong(EXPECTED));
        };
        let seats = digits(seats).and_then(|seats| SeatCount::new(seats).ok());
        let (Some(seats), Some((of, version))) = (seats, named_version(of)) else { return Err(self.wrong(EXPECTED)) };
        Ok(Cost { seats, of, version })
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
        const EXPECTED: &str = "a time such as 300s, 5m, 2h or 30d";
        let word = self.one(EXPECTED)?;
        parse_seconds(word).ok_or_else(|| self.value(word, EXPECTED, &[]))
    }

    fn days(&self) -> Result<u16, Refusal> {
        const EXPECTED: &str = "a number of days such as 30d";
        let word = self.one(EXPECTED)?;
        let days = word.strip_suffix('d').and_then(digits).and_then(|days| days.try_into().ok());
        days.ok_or_else(|| self.value(word, EXPECTED, &[]))
    }

    fn list<T: FromStr>(&self, expected: &'static str) -> Result<Vec<T>, Refusal> {
        let items = self.value.split(|token| token.kind == Kind::Comma);
        items
            .map(|item| {
                let [Token { kind, .. }] = item else { return Err(self.wrong(expected)) };
                let text = match kind {
                    Kind::Word(word) => word,
                    Kind::Text(text) => text.as_str(),
                    _ => return Err(self.wrong(expected)),
                };
                text.parse().map_err(|_| self.value(text, expected, &[]))
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
    pub(super) fn sign(&self) -> Result<Sign, Refusal> {
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

/// Seconds of a time such as `300s`, `5m`, `2h` or `30d`; `None` if it is none or does not fit.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<u32> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        _ => return None,
    };
    digits(&text[..text.len() - 1])?.checked_mul(unit)
}

/// `NAME@VERSION`, or `NAME` of any version.
fn named_version(word: &str) -> Option<(FeatureName, Version)> {
    let (name, version) = word.split_once('@').unwrap_or((word, "0.0"));
    Some((FeatureName::new(name).ok()?, version.parse().ok()?))
}

fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
