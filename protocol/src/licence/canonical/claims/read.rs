//! Bytes to claims.

use std::{fmt::Display, str::FromStr};

use minicbor::{Decoder, data::Type, decode::Error as CborError};

use super::{encode, key};
use crate::{
    crypto::Fingerprint,
    licence::{
        certificate::{
            Certificate, Class, Components, Cost, Dialect, Draft, KeyType, Metered, Permission, Pooling, SeatLimit,
            ShareBy, Superseded, Together,
        },
        error::{ClaimError, LicenceError},
    },
    vocab::{CertificateId, FeatureName, HostId, HostIdKind, Label, SeatCount, Version},
};

/// Reads a map that [`encode`] could have written, and nothing else.
pub(in super::super) fn decode(payload: &[u8]) -> Result<Certificate, LicenceError> {
    let mut reader = Reader { decoder: Decoder::new(payload), draft: Draft::default() };
    let entries = reader.decoder.map().ok().flatten().ok_or(LicenceError::Malformed("the claims are not a map"))?;
    for _ in 0..entries {
        reader.claim()?;
    }
    let certificate = reader.draft.finish()?;
    // Order, duplicates, long forms and trailing bytes in one comparison.
    match encode(&certificate.clone().in_canonical_order()) == payload {
        true => Ok(certificate),
        false => Err(LicenceError::Malformed("the claims are not in canonical form")),
    }
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    draft: Draft,
}

type Read<T> = Result<T, LicenceError>;

impl Reader<'_> {
    fn claim(&mut self) -> Read<()> {
        let key = self.decoder.u64().map_err(broken)?;
        let known = self.what_and_when(key)? || self.first_terms(key)? || self.seats(key)? || self.composed(key)?;
        if known || self.places(key)? || self.words(key)? { Ok(()) } else { Err(LicenceError::UnknownClaim(key)) }
    }

    fn what_and_when(&mut self, key: u64) -> Read<bool> {
        match key {
            key::PUBLISHER => self.draft.publisher = Some(self.parsed("publisher")?),
            key::FEATURE => self.draft.feature = Some(self.parsed("feature")?),
            key::VERSION => self.draft.version = Some(self.version()?),
            key::COUNT => self.draft.count = Some(self.count()?),
            key::TYPE => self.draft.key_type = Some(self.one_of("type", &KeyType::ALL)?),
            key::ZONE => self.draft.zone = Some(self.text()?),
            key::START => self.draft.start = Some(self.parsed("start")?),
            key::END => self.draft.end = Some(self.parsed("end")?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn first_terms(&mut self, key: u64) -> Read<bool> {
        match key {
            key::LEASE_TTL => self.draft.terms.lease_ttl_s = Some(self.number()?),
            key::GRACE => self.draft.terms.grace_s = Some(self.number()?),
            key::SERVER_KEYS => {
                self.draft.terms.server_keys =
                    self.list(|r| Ok(Fingerprint(r.fixed("a fingerprint has 16 bytes")?)))?;
            }
            key::VENDOR_STRING => self.draft.terms.vendor_string = Some(self.text()?),
            key::SERIAL => self.draft.terms.serial = Some(self.text()?),
            key::ISSUER => self.draft.terms.issuer = Some(self.text()?),
            key::NOTICE => self.draft.terms.notice = Some(self.text()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn seats(&mut self, key: u64) -> Read<bool> {
        match key {
            key::DIALECT => self.draft.terms.dialect = self.one_of("dialect", Dialect::ALL)?,
            key::POOLS => self.draft.terms.pools = self.one_of("pools", Pooling::ALL)?,
            key::TRIAL => self.draft.terms.trial_days = Some(self.days()?),
            key::SHARE => self.draft.terms.share = Some(self.share()?),
            key::SHARE_LIMIT => self.draft.terms.share_limit = Some(self.number()?),
            key::LINGER => self.draft.terms.linger_s = Some(self.number()?),
            key::MIN_CHECKOUT => self.draft.terms.min_checkout_s = Some(self.number()?),
            key::BORROW_MAX => self.draft.terms.borrow_max_s = Some(self.number()?),
            key::SOFT_LIMIT => self.draft.terms.soft_limit = Some(self.seat_count("soft-limit")?),
            key::OVERDRAFT => self.draft.terms.overdraft = Some(self.seat_count("overdraft")?),
            key::METERED => self.draft.terms.metered = Some(self.one_of("metered", Metered::ALL)?),
            key::UNDO => self.draft.terms.undo_s = Some(self.number()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn composed(&mut self, key: u64) -> Read<bool> {
        match key {
            key::PACKAGE => self.components(Together::Package)?,
            key::SUITE => self.components(Together::Suite)?,
            key::COST => self.draft.terms.cost = Some(self.cost()?),
            key::SUPERSEDES => self.draft.terms.supersedes = self.list(Self::superseded)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn places(&mut self, key: u64) -> Read<bool> {
        match key {
            key::SERVER_HOSTIDS => self.draft.terms.server_hostids = self.list(Self::hostid)?,
            key::CLIENT_HOSTIDS => self.draft.terms.client_hostids = self.list(Self::hostid)?,
            key::MATCH_RATE => self.draft.terms.match_rate = Some(self.decoder.u8().map_err(broken)?),
            key::PLATFORMS => self.draft.terms.platforms = self.list(|r| r.parsed("platforms"))?,
            key::VM => self.draft.terms.vm = self.one_of("vm", Permission::ALL)?,
            key::TERMINAL_SERVER => {
                self.draft.terms.terminal_server = self.one_of("terminal-server", Permission::ALL)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn words(&mut self, key: u64) -> Read<bool> {
        match key {
            key::CLASS => self.draft.terms.class = self.one_of("class", Class::ALL)?,
            key::MAINTENANCE_END => self.draft.terms.maintenance_end = Some(self.parsed("maintenance-end")?),
            key::PART_NUMBER => self.draft.terms.part_number = Some(self.text()?),
            key::SELECTORS => self.draft.terms.selectors = self.list(Self::text)?,
            key::LICENSEE => self.draft.terms.licensee = Some(self.text()?),
            key::ISSUED => self.draft.terms.issued = Some(self.parsed("issued")?),
            key::RETENTION => self.draft.terms.retention_days = Some(self.days()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn number(&mut self) -> Read<u32> {
        self.decoder.u32().map_err(broken)
    }

    fn days(&mut self) -> Read<u16> {
        self.decoder.u16().map_err(broken)
    }

    fn text(&mut self) -> Read<String> {
        self.decoder.str().map(str::to_owned).map_err(broken)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Read<T> {
        let text = self.decoder.str().map_err(broken)?;
        text.parse().map_err(|e: T::Err| ClaimError::Value { name, why: e.to_string() }.into())
    }

    /// A number that stands for one of `all`. One that does not is from a newer issuer.
    fn one_of<T: Copy>(&mut self, name: &'static str, all: &[T]) -> Read<T> {
        let number = self.decoder.u8().map_err(broken)?;
        all.get(usize::from(number)).copied().ok_or_else(|| {
            let why = format!("{number} is from a newer leasehold; update this one");
            ClaimError::Value { name, why }.into()
        })
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        // Collecting grows with what is really there: who promises more than follows breaks off.
        let len = self.decoder.array().map_err(broken)?;
        let len = len.ok_or(LicenceError::Malformed("a list has no definite length"))?;
        (0..len).map(|_| item(self)).collect()
    }

    fn array(&mut self, len: u64) -> Read<()> {
        match self.decoder.array().map_err(broken)? {
            Some(found) if found == len => Ok(()),
            _ => Err(LicenceError::Malformed("a claim is not of its shape")),
        }
    }

    fn fixed<const N: usize>(&mut self, wrong: &'static str) -> Read<[u8; N]> {
        let bytes = self.decoder.bytes().map_err(broken)?;
        bytes.try_into().map_err(|_| LicenceError::Malformed(wrong))
    }

    fn version(&mut self) -> Read<Version> {
        self.array(3)?;
        let mut part = || self.decoder.u16().map_err(broken);
        Ok(Version { major: part()?, minor: part()?, patch: part()? })
    }

    fn count(&mut self) -> Read<SeatLimit> {
        if self.decoder.datatype().map_err(broken)? == Type::Null {
            return self.decoder.null().map(|()| SeatLimit::Uncounted).map_err(broken);
        }
        self.seat_count("count").map(SeatLimit::Counted)
    }

    fn seat_count(&mut self, name: &'static str) -> Read<SeatCount> {
        let seats = SeatCount::new(self.number()?);
        seats.map_err(|e| ClaimError::Value { name, why: e.to_string() }.into())
    }

    fn share(&mut self) -> Read<ShareBy> {
        let bits = self.decoder.u8().map_err(broken)?;
        ShareBy::from_bits(bits).ok_or_else(|| {
            let why = format!("{bits} is from a newer leasehold; update this one");
            ClaimError::Value { name: "share", why }.into()
        })
    }

    fn components(&mut self, together: Together) -> Read<()> {
        let features = self.list(|r| {
            r.array(2)?;
            Ok((r.parsed::<FeatureName>(together.name())?, r.version()?))
        })?;
        if self.draft.terms.components.is_some() {
            return Err(ClaimError::Conflict { name: "package", other: "suite" }.into());
        }
        self.draft.terms.components = Some(Components { together, features });
        Ok(())
    }

    fn cost(&mut self) -> Read<Cost> {
        self.array(3)?;
        Ok(Cost { seats: self.seat_count("cost")?, of: self.parsed("cost")?, version: self.version()? })
    }

    fn superseded(&mut self) -> Read<Superseded> {
        match self.decoder.datatype().map_err(broken)? {
            Type::Bytes => {
                self.fixed("a certificate id has 8 bytes").map(|id| Superseded::Certificate(CertificateId(id)))
            }
            _ => self.parsed("supersedes").map(Superseded::Feature),
        }
    }

    fn hostid(&mut self) -> Read<HostId> {
        self.array(2)?;
        let kind = HostIdKind(self.decoder.u8().map_err(broken)?);
        let value: Label = self.parsed("hostids")?;
        Ok(HostId { kind, value })
    }
}

fn broken(_: CborError) -> LicenceError {
    LicenceError::Malformed("the claims break off or are not of their types")
}
