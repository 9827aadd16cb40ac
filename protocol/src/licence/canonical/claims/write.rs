//! Claims to bytes.

use minicbor::Encoder;

use super::{
    super::cose::{Written, written},
    key,
};
use crate::{
    licence::certificate::{
        Certificate, Class, Components, Dialect, KeyType, Metered, Permission, Pooling, SeatLimit, ShareBy, Superseded,
        Terms, Together,
    },
    vocab::{FeatureName, HostId, SeatCount, Version},
};

/// The canonical bytes of `certificate`, whose lists are in canonical order.
pub(in super::super) fn encode(certificate: &Certificate) -> Vec<u8> {
    let mut map = Map::default();
    map.what_and_when(certificate);
    map.first_terms(&certificate.terms);
    map.seats(&certificate.terms);
    map.composed(&certificate.terms);
    map.places(&certificate.terms);
    map.words(&certificate.terms);
    map.bytes()
}

type Out<'a> = Encoder<&'a mut Vec<u8>>;

/// Entries in the order they are put in, which is that of their keys.
#[derive(Default)]
struct Map {
    entries: u64,
    bytes: Vec<u8>,
}

impl Map {
    fn put(&mut self, key: u64, value: impl FnOnce(&mut Out<'_>) -> Written) {
        self.entries += 1;
        self.bytes.extend(written(|e| {
            e.u64(key)?;
            value(e)
        }));
    }

    fn number(&mut self, key: u64, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.put(key, |e| e.u64(value.into())?.ok());
        }
    }

    fn text(&mut self, key: u64, text: Option<&str>) {
        if let Some(text) = text {
            self.put(key, |e| e.str(text)?.ok());
        }
    }

    fn list<T>(&mut self, key: u64, list: &[T], mut item: impl FnMut(&mut Out<'_>, &T) -> Written) {
        if list.is_empty() {
            return;
        }
        self.put(key, |e| {
            e.array(list.len() as u64)?;
            list.iter().try_for_each(|one| item(e, one))
        });
    }

    fn bytes(self) -> Vec<u8> {
        let mut out = written(|e| e.map(self.entries)?.ok());
        out.extend(self.bytes);
        out
    }

    fn what_and_when(&mut self, c: &Certificate) {
        self.text(key::PUBLISHER, Some(c.publisher.as_str()));
        self.text(key::FEATURE, Some(c.feature.as_str()));
        self.put(key::VERSION, |e| version(e, c.version));
        self.put(key::COUNT, |e| match c.count {
            SeatLimit::Counted(seats) => e.u32(seats.get())?.ok(),
            SeatLimit::Uncounted => e.null()?.ok(),
        });
        self.number(key::TYPE, Some(ordinal(&KeyType::ALL, c.key_type)));
        self.text(key::ZONE, Some(&c.zone));
        self.text(key::START, c.start.map(|day| day.to_string()).as_deref());
        self.text(key::END, c.end.map(|day| day.to_string()).as_deref());
    }

    fn first_terms(&mut self, t: &Terms) {
        self.number(key::LEASE_TTL, t.lease_ttl_s);
        self.number(key::GRACE, t.grace_s);
        self.list(key::SERVER_KEYS, &t.server_keys, |e, server| e.bytes(&server.0)?.ok());
        self.text(key::VENDOR_STRING, t.vendor_string.as_deref());
        self.text(key::SERIAL, t.serial.as_deref());
        self.text(key::ISSUER, t.issuer.as_deref());
        self.text(key::NOTICE, t.notice.as_deref());
    }

    fn seats(&mut self, t: &Terms) {
        self.number(key::DIALECT, unless_default(Dialect::ALL, t.dialect));
        self.number(key::POOLS, unless_default(Pooling::ALL, t.pools));
        self.number(key::TRIAL, t.trial_days);
        self.number(key::SHARE, t.share.map(ShareBy::bits));
        self.number(key::SHARE_LIMIT, t.share_limit);
        self.number(key::LINGER, t.linger_s);
        self.number(key::MIN_CHECKOUT, t.min_checkout_s);
        self.number(key::BORROW_MAX, t.borrow_max_s);
        self.number(key::SOFT_LIMIT, t.soft_limit.map(SeatCount::get));
        self.number(key::OVERDRAFT, t.overdraft.map(SeatCount::get));
        self.number(key::METERED, t.metered.map(|metered| ordinal(Metered::ALL, metered)));
        self.number(key::UNDO, t.undo_s);
    }

    fn composed(&mut self, t: &Terms) {
        let of = |kind| t.components.as_ref().filter(|components| components.together == kind);
        self.components(key::PACKAGE, of(Together::Package));
        self.components(key::SUITE, of(Together::Suite));
        if let Some(cost) = &t.cost {
            self.put(key::COST, |e| {
                e.array(3)?.u32(cost.seats.get())?;
                feature(e, &cost.of)?;
                version(e, cost.version)
            });
        }
        self.list(key::SUPERSEDES, &t.supersedes, |e, superseded| match superseded {
            Superseded::Feature(name) => feature(e, name),
            Superseded::Certificate(id) => e.bytes(&id.0)?.ok(),
        });
    }

    fn components(&mut self, key: u64, components: Option<&Components>) {
        let features = components.map_or(&[][..], |components| &components.features);
        self.list(key, features, |e, (name, at)| {
            e.array(2)?;
            feature(e, name)?;
            version(e, *at)
        });
    }

    fn places(&mut self, t: &Terms) {
        self.list(key::SERVER_HOSTIDS, &t.server_hostids, hostid);
        self.list(key::CLIENT_HOSTIDS, &t.client_hostids, hostid);
        self.number(key::MATCH_RATE, t.match_rate);
        self.list(key::PLATFORMS, &t.platforms, |e, platform| e.str(platform.as_str())?.ok());
        self.number(key::VM, unless_default(Permission::ALL, t.vm));
        self.number(key::TERMINAL_SERVER, unless_default(Permission::ALL, t.terminal_server));
    }

    fn words(&mut self, t: &Terms) {
        self.number(key::CLASS, unless_default(Class::ALL, t.class));
        self.text(key::MAINTENANCE_END, t.maintenance_end.map(|day| day.to_string()).as_deref());
        self.text(key::PART_NUMBER, t.part_number.as_deref());
        self.list(key::SELECTORS, &t.selectors, |e, selector| e.str(selector)?.ok());
        self.text(key::LICENSEE, t.licensee.as_deref());
        self.text(key::ISSUED, t.issued.map(|day| day.to_string()).as_deref());
        self.number(key::RETENTION, t.retention_days);
    }
}

fn version(e: &mut Out<'_>, version: Version) -> Written {
    e.array(3)?.u16(version.major)?.u16(version.minor)?.u16(version.patch)?.ok()
}

fn feature(e: &mut Out<'_>, name: &FeatureName) -> Written {
    e.str(name.as_str())?.ok()
}

fn hostid(e: &mut Out<'_>, hostid: &HostId) -> Written {
    e.array(2)?.u8(hostid.kind.0)?.str(hostid.value.as_str())?.ok()
}

/// The number of `value` among `all`.
fn ordinal<T: PartialEq>(all: &[T], value: T) -> u64 {
    all.iter().position(|one| *one == value).unwrap_or(0) as u64
}

/// The same, and nothing for the first, which is the default.
fn unless_default<T: PartialEq>(all: &[T], value: T) -> Option<u64> {
    Some(ordinal(all, value)).filter(|number| *number > 0)
}
