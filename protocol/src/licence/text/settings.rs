//! Tokens to settings, and settings to a signed certificate.

use super::{
    Place, TextError,
    lexer::{Kind, Token},
};
use crate::{
    licence::{
        canonical::{self, Algorithm, SignedCertificate},
        certificate::Draft,
        error::LicenceError,
        keys::{KeyId, PublisherKey},
    },
    vocab::FeatureName,
};

/// Every setting a certificate may have, in the order they are written in.
pub const SETTINGS: [&str; 45] = [
    "publisher",
    "feature",
    "version",
    "count",
    "type",
    "dialect",
    "pools",
    "zone",
    "start",
    "end",
    "trial",
    "lease-ttl",
    "grace",
    "share",
    "share-limit",
    "linger",
    "min-checkout",
    "borrow-max",
    "soft-limit",
    "overdraft",
    "metered",
    "undo",
    "package",
    "suite",
    "cost",
    "supersedes",
    "server-keys",
    "server-hostids",
    "client-hostids",
    "match-rate",
    "platforms",
    "vm",
    "terminal-server",
    "class",
    "maintenance-end",
    "part-number",
    "selectors",
    "vendor-string",
    "serial",
    "licensee",
    "issuer",
    "issued",
    "notice",
    "retention",
    "sign",
];

const SIGN: &str = "sign";

pub(super) type Refusal = (Place, LicenceError);

pub(super) struct Sign {
    pub(super) key_id: KeyId,
    pub(super) algorithm: Algorithm,
    pub(super) signature: Vec<u8>,
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
pub(super) struct Setting<'s, 't> {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) value: &'s [Token<'t>],
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

pub(super) fn not_a_setting(token: &Token<'_>) -> Refusal {
    let why = match &token.kind {
        Kind::Bad(e) => e.clone(),
        kind => TextError::NotASetting(shown(kind)),
    };
    (token.place, why.into())
}

pub(super) fn shown(kind: &Kind<'_>) -> String {
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
