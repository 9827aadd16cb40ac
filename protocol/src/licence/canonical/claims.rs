//! The claims as a deterministic CBOR map (RFC 8949 §4.2): small integer keys in ascending order, absent means absent.

use std::str::FromStr;

use minicbor::{Decoder, Encoder, decode::Error as CborError};

use super::cose::{Written, written};
use crate::{
    crypto::Fingerprint,
    licence::{
        certificate::{Certificate, Draft, KeyType, SeatLimit},
        error::{ClaimError, LicenceError},
    },
    vocab::{SeatCount, Version},
};

/// The keys of SPEC 7.3. A key is never used twice for different things; what is new gets the next number.
mod key {
    pub(super) const PUBLISHER: u64 = 1;
    pub(super) const FEATURE: u64 = 2;
    pub(super) const VERSION: u64 = 3;
    pub(super) const COUNT: u64 = 4;
    pub(super) const TYPE: u64 = 5;
    pub(super) const ZONE: u64 = 6;
    pub(super) const START: u64 = 7;
    pub(super) const END: u64 = 8;
    pub(super) const LEASE_TTL: u64 = 9;
    pub(super) const GRACE: u64 = 10;
    pub(super) const SERVER_KEYS: u64 = 11;
    pub(super) const VENDOR_STRING: u64 = 12;
    pub(super) const SERIAL: u64 = 13;
    pub(super) const ISSUER: u64 = 14;
    pub(super) const NOTICE: u64 = 15;
}

const EXCLUSIVE: u8 = 0;
const ADDITIVE: u8 = 1;

/// The canonical bytes of `certificate`, whose server keys are in canonical order.
pub(super) fn encode(certificate: &Certificate) -> Vec<u8> {
    written(|e| {
        e.map(entries(certificate))?;
        what_and_how_much(e, certificate)?;
        when(e, certificate)?;
        terms(e, certificate)
    })
}

/// Reads a map that [`encode`] could have written, and nothing else.
pub(super) fn decode(payload: &[u8]) -> Result<Certificate, LicenceError> {
    let mut reader = Reader { decoder: Decoder::new(payload), draft: Draft::default() };
    let entries = reader.decoder.map().ok().flatten().ok_or(LicenceError::Malformed("the claims are not a map"))?;
    for _ in 0..entries {
        reader.claim()?;
    }
    let certificate = reader.draft.finish()?;
    // Order, duplicates, long forms and trailing bytes in one comparison.
    match encode(&certificate) == payload {
        true => Ok(certificate),
        false => Err(LicenceError::Malformed("the claims are not in canonical form")),
    }
}

fn entries(c: &Certificate) -> u64 {
    let t = &c.terms;
    let optional = [
        c.start.is_some(),
        c.end.is_some(),
        t.lease_ttl_s.is_some(),
        t.grace_s.is_some(),
        !t.server_keys.is_empty(),
        t.vendor_string.is_some(),
        t.serial.is_some(),
        t.issuer.is_some(),
        t.notice.is_some(),
    ];
    6 + optional.iter().map(|&there| u64::from(there)).sum::<u64>()
}

type Out<'a> = Encoder<&'a mut Vec<u8>>;

fn what_and_how_much(e: &mut Out<'_>, c: &Certificate) -> Written {
    e.u64(key::PUBLISHER)?.str(c.publisher.as_str())?.u64(key::FEATURE)?.str(c.feature.as_str())?;
    let Version { major, minor, patch } = c.version;
    e.u64(key::VERSION)?.array(3)?.u16(major)?.u16(minor)?.u16(patch)?.u64(key::COUNT)?;
    match c.count {
        SeatLimit::Counted(seats) => e.u32(seats.get())?,
        SeatLimit::Uncounted => e.null()?,
    };
    let key_type = match c.key_type {
        KeyType::Exclusive => EXCLUSIVE,
        KeyType::Additive => ADDITIVE,
    };
    e.u64(key::TYPE)?.u8(key_type)?.ok()
}

fn when(e: &mut Out<'_>, c: &Certificate) -> Written {
    e.u64(key::ZONE)?.str(&c.zone)?;
    if let Some(day) = c.start {
        e.u64(key::START)?.str(&day.to_string())?;
    }
    if let Some(day) = c.end {
        e.u64(key::END)?.str(&day.to_string())?;
    }
    Ok(())
}

fn terms(e: &mut Out<'_>, c: &Certificate) -> Written {
    let t = &c.terms;
    for (key, seconds) in [(key::LEASE_TTL, t.lease_ttl_s), (key::GRACE, t.grace_s)] {
        if let Some(seconds) = seconds {
            e.u64(key)?.u32(seconds)?;
        }
    }
    if !t.server_keys.is_empty() {
        e.u64(key::SERVER_KEYS)?.array(t.server_keys.len() as u64)?;
        t.server_keys.iter().try_for_each(|server| e.bytes(&server.0)?.ok())?;
    }
    let texts = [
        (key::VENDOR_STRING, &t.vendor_string),
        (key::SERIAL, &t.serial),
        (key::ISSUER, &t.issuer),
        (key::NOTICE, &t.notice),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            e.u64(key)?.str(text)?;
        }
    }
    Ok(())
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    draft: Draft,
}

impl Reader<'_> {
    fn claim(&mut self) -> Result<(), LicenceError> {
        let key = self.decoder.u64().map_err(broken)?;
        match key {
            key::PUBLISHER => self.draft.publisher = Some(self.parsed("publisher")?),
            key::FEATURE => self.draft.feature = Some(self.parsed("feature")?),
            key::VERSION => self.draft.version = Some(self.version().map_err(broken)?),
            key::COUNT => self.draft.count = Some(self.count()?),
            key::TYPE => self.draft.key_type = Some(self.key_type()?),
            key::ZONE => self.draft.zone = Some(self.text()?),
            key::START => self.draft.start = Some(self.parsed("start")?),
            key::END => self.draft.end = Some(self.parsed("end")?),
            key::LEASE_TTL => self.draft.terms.lease_ttl_s = Some(self.decoder.u32().map_err(broken)?),
            key::GRACE => self.draft.terms.grace_s = Some(self.decoder.u32().map_err(broken)?),
            key::SERVER_KEYS => self.draft.terms.server_keys = self.server_keys().map_err(broken)?,
            key::VENDOR_STRING => self.draft.terms.vendor_string = Some(self.text()?),
            key::SERIAL => self.draft.terms.serial = Some(self.text()?),
            key::ISSUER => self.draft.terms.issuer = Some(self.text()?),
            key::NOTICE => self.draft.terms.notice = Some(self.text()?),
            unknown => return Err(LicenceError::UnknownClaim(unknown)),
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String, LicenceError> {
        self.decoder.str().map(str::to_owned).map_err(broken)
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &'static str) -> Result<T, LicenceError> {
        let text = self.decoder.str().map_err(broken)?;
        text.parse().map_err(|e: T::Err| ClaimError::Value { name, why: e.to_string() }.into())
    }

    fn version(&mut self) -> Result<Version, CborError> {
        if self.decoder.array()? != Some(3) {
            return Err(CborError::message("a version has three parts"));
        }
        Ok(Version { major: self.decoder.u16()?, minor: self.decoder.u16()?, patch: self.decoder.u16()? })
    }

    fn count(&mut self) -> Result<SeatLimit, LicenceError> {
        if self.decoder.datatype().map_err(broken)? == minicbor::data::Type::Null {
            return self.decoder.null().map(|()| SeatLimit::Uncounted).map_err(broken);
        }
        let seats = SeatCount::new(self.decoder.u32().map_err(broken)?);
        seats.map(SeatLimit::Counted).map_err(|e| ClaimError::Value { name: "count", why: e.to_string() }.into())
    }

    fn key_type(&mut self) -> Result<KeyType, LicenceError> {
        match self.decoder.u8().map_err(broken)? {
            EXCLUSIVE => Ok(KeyType::Exclusive),
            ADDITIVE => Ok(KeyType::Additive),
            other => Err(ClaimError::Value {
                name: "type",
                why: format!("{other} is a type of certificate from a newer leasehold; update this one"),
            }
            .into()),
        }
    }

    fn server_keys(&mut self) -> Result<Vec<Fingerprint>, CborError> {
        let wrong = || CborError::message("a fingerprint has 16 bytes");
        let keys = self.decoder.array()?.ok_or_else(wrong)?;
        let one = |decoder: &mut Decoder<'_>| decoder.bytes()?.try_into().map(Fingerprint).map_err(|_| wrong());
        (0..keys).map(|_| one(&mut self.decoder)).collect()
    }
}

fn broken(_: CborError) -> LicenceError {
    LicenceError::Malformed("a claim is not of its type")
}
