//! The bincode bodies once more, as plain numbers and text with wincode's derives: nothing of the crate's types is in
//! them, only the order and width of the fields as SPEC 5 lists them.

use leasehold_protocol::message::{
    Bundle, BundleItem, Deny, FeatureInfo, FeatureQuery, Grant, Holder, LetGo, LicenceInfo, LicenceQuery, Proof,
    ProofQuery, Queued, Request, ServerGoodbye, Unsupported, Wait,
};
use wincode::{SchemaRead, SchemaWrite};

type Version = (u16, u16, u16);

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct RequestMirror {
    operation: u64,
    claim: [u8; 16],
    feature: String,
    version: Version,
    seats: u32,
    holder: HolderMirror,
    ticket: Option<[u8; 106]>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct WaitMirror {
    request: RequestMirror,
    queue_only: bool,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct BundleMirror {
    operation: u64,
    claim: [u8; 16],
    alternatives: Vec<Vec<(String, Version, u32, u32)>>,
    holder: HolderMirror,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct QueuedMirror {
    operation: u64,
    claim: [u8; 16],
    code: u16,
    place: u32,
    length: u32,
    expected_ms: Option<u32>,
    ttl_ms: u32,
    ask_after_ms: u32,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct LetGoMirror {
    lease: u64,
    claim: [u8; 16],
    in_ms: Option<u32>,
    rule: String,
    waiting: u32,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct HolderMirror {
    user: String,
    host: String,
    display: Option<String>,
    process: String,
    pid: u32,
    project: Option<String>,
    device: [u8; 16],
    device_alias: Option<String>,
    share: Option<String>,
    hostids: Vec<(u8, String)>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct FeatureQueryMirror {
    operation: u64,
    only: Option<String>,
    after: Option<String>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct LicenceQueryMirror {
    operation: u64,
    only: Option<String>,
    from: Option<String>,
    skip: u32,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct ProofQueryMirror {
    operation: u64,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct GrantMirror {
    operation: u64,
    claim: [u8; 16],
    lease: u64,
    ttl_ms: u32,
    renew_after_ms: u32,
    grace_ms: u32,
    seats: u32,
    lots: Vec<([u8; 8], Version, u32)>,
    right_ends: Option<u64>,
    ticket: [u8; 106],
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct DenyMirror {
    operation: u64,
    claim: [u8; 16],
    code: u16,
    sentence: String,
    rule: String,
    seats_out: u32,
    seats_total: u32,
    next_due: Option<(Option<String>, Option<String>, u32)>,
    retry_after_ms: Option<u32>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct FeatureInfoMirror {
    operation: u64,
    features: Vec<FeatureLineMirror>,
    more: bool,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct FeatureLineMirror {
    name: String,
    version: Version,
    count: Option<u32>,
    used: u32,
    next_end: Option<u64>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct LicenceInfoMirror {
    operation: u64,
    licences: Vec<LicenceLineMirror>,
    more: bool,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct LicenceLineMirror {
    feature: String,
    certificate: [u8; 8],
    version: Version,
    count: Option<u32>,
    upgraded_by: u32,
    overdraft: u32,
    used: u32,
    starts: Option<u64>,
    ends: Option<u64>,
    signed: Vec<u8>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct ProofMirror {
    operation: u64,
    certificate: Vec<u8>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct GoodbyeMirror {
    code: u16,
    back_in_ms: Option<u32>,
}

#[derive(Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct UnsupportedMirror {
    frame_type: u8,
}

fn version(v: leasehold_protocol::vocab::Version) -> Version {
    (v.major, v.minor, v.patch)
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

fn option<T: ToString>(value: Option<&T>) -> Option<String> {
    value.map(T::to_string)
}

impl From<&Request> for RequestMirror {
    fn from(r: &Request) -> Self {
        Self {
            operation: r.operation.0,
            claim: r.claim.0,
            feature: text(&r.feature),
            version: version(r.version),
            seats: r.seats.get(),
            holder: HolderMirror::from(&r.holder),
            ticket: r.ticket.map(|ticket| ticket.0),
        }
    }
}

impl From<&Holder> for HolderMirror {
    fn from(h: &Holder) -> Self {
        Self {
            user: text(&h.user),
            host: text(&h.host),
            display: option(h.display.as_ref()),
            process: text(&h.process),
            pid: h.pid,
            project: option(h.project.as_ref()),
            device: h.device.0,
            device_alias: option(h.device_alias.as_ref()),
            share: option(h.share.as_ref()),
            hostids: h.hostids.iter().map(|id| (id.kind.0, text(&id.value))).collect(),
        }
    }
}

impl From<&Wait> for WaitMirror {
    fn from(w: &Wait) -> Self {
        Self { request: RequestMirror::from(&w.request), queue_only: w.queue_only }
    }
}

impl From<&Bundle> for BundleMirror {
    fn from(b: &Bundle) -> Self {
        let item = |i: &BundleItem| (text(&i.feature), version(i.version), i.seats.get(), i.at_least.get());
        Self {
            operation: b.operation.0,
            claim: b.claim.0,
            alternatives: b.alternatives.iter().map(|items| items.iter().map(item).collect()).collect(),
            holder: HolderMirror::from(&b.holder),
        }
    }
}

impl From<&Queued> for QueuedMirror {
    fn from(q: &Queued) -> Self {
        Self {
            operation: q.operation.0,
            claim: q.claim.0,
            code: q.code.0,
            place: q.place,
            length: q.length,
            expected_ms: q.expected_ms,
            ttl_ms: q.ttl_ms,
            ask_after_ms: q.ask_after_ms,
        }
    }
}

impl From<&LetGo> for LetGoMirror {
    fn from(l: &LetGo) -> Self {
        Self { lease: l.lease.0, claim: l.claim.0, in_ms: l.in_ms, rule: l.rule.clone(), waiting: l.waiting }
    }
}

impl From<&FeatureQuery> for FeatureQueryMirror {
    fn from(q: &FeatureQuery) -> Self {
        Self { operation: q.operation.0, only: option(q.only.as_ref()), after: option(q.after.as_ref()) }
    }
}

impl From<&LicenceQuery> for LicenceQueryMirror {
    fn from(q: &LicenceQuery) -> Self {
        Self { operation: q.operation.0, only: option(q.only.as_ref()), from: option(q.from.as_ref()), skip: q.skip }
    }
}

impl From<&ProofQuery> for ProofQueryMirror {
    fn from(q: &ProofQuery) -> Self {
        Self { operation: q.operation.0 }
    }
}

impl From<&Grant> for GrantMirror {
    fn from(g: &Grant) -> Self {
        Self {
            operation: g.operation.0,
            claim: g.claim.0,
            lease: g.lease.0,
            ttl_ms: g.ttl_ms,
            renew_after_ms: g.renew_after_ms,
            grace_ms: g.grace_ms,
            seats: g.seats.get(),
            lots: g.lots.iter().map(|lot| (lot.certificate.0, version(lot.version), lot.seats.get())).collect(),
            right_ends: g.right_ends.map(|end| end.0),
            ticket: g.ticket.0,
        }
    }
}

impl From<&Deny> for DenyMirror {
    fn from(d: &Deny) -> Self {
        let due = d.next_due.as_ref();
        Self {
            operation: d.operation.0,
            claim: d.claim.0,
            code: d.code.0,
            sentence: d.sentence.clone(),
            rule: d.rule.clone(),
            seats_out: d.seats_out,
            seats_total: d.seats_total,
            next_due: due.map(|due| (option(due.user.as_ref()), option(due.host.as_ref()), due.in_ms)),
            retry_after_ms: d.retry_after_ms,
        }
    }
}

impl From<&FeatureInfo> for FeatureInfoMirror {
    fn from(info: &FeatureInfo) -> Self {
        let line = |line: &leasehold_protocol::message::FeatureLine| FeatureLineMirror {
            name: text(&line.name),
            version: version(line.version),
            count: line.count,
            used: line.used,
            next_end: line.next_end.map(|end| end.0),
        };
        Self { operation: info.operation.0, features: info.features.iter().map(line).collect(), more: info.more }
    }
}

impl From<&LicenceInfo> for LicenceInfoMirror {
    fn from(info: &LicenceInfo) -> Self {
        let line = |line: &leasehold_protocol::message::LicenceLine| LicenceLineMirror {
            feature: text(&line.feature),
            certificate: line.certificate.0,
            version: version(line.version),
            count: line.count,
            upgraded_by: line.upgraded_by,
            overdraft: line.overdraft,
            used: line.used,
            starts: line.starts.map(|at| at.0),
            ends: line.ends.map(|at| at.0),
            signed: line.signed.clone(),
        };
        Self { operation: info.operation.0, licences: info.licences.iter().map(line).collect(), more: info.more }
    }
}

impl From<&Proof> for ProofMirror {
    fn from(p: &Proof) -> Self {
        Self { operation: p.operation.0, certificate: p.certificate.clone() }
    }
}

impl From<&ServerGoodbye> for GoodbyeMirror {
    fn from(g: &ServerGoodbye) -> Self {
        Self { code: g.code.0, back_in_ms: g.back_in_ms }
    }
}

impl From<&Unsupported> for UnsupportedMirror {
    fn from(u: &Unsupported) -> Self {
        Self { frame_type: u.frame_type }
    }
}
