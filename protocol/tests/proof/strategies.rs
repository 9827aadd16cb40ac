//! Values of every body, generated.

use std::sync::Arc;

use leasehold_protocol::{
    crypto::ticket::SealedTicket,
    message::{
        Activity, Bundle, BundleItem, Claimed, ClientFrame, ClientGoodbye, Deny, Extended, FeatureInfo, FeatureLine,
        FeatureQuery, Grant, Holder, LetGo, LicenceInfo, LicenceLine, LicenceQuery, LotUse, NextDue, PathToken, Proof,
        ProofQuery, Queued, Release, ReleaseOutcome, Released, Renew, RenewMany, Renewed, RenewedMany, Request,
        ServerFrame, ServerGoodbye, Unsupported, Wait,
    },
    time::UnixMillis,
    vocab::{
        CertificateId, ClaimKey, ClaimProof, Denial, DeviceId, FeatureName, HostId, HostIdKind, Label, LeaseId,
        OperationId, SeatCount, Version,
    },
};
use proptest::{collection::vec, option::of, prelude::*};

/// Integers whose encodings take every length: small, and around each step.
fn wide() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=255u64,
        prop::sample::select(vec![
            250,
            251,
            252,
            65_535,
            65_536,
            u64::from(u32::MAX),
            u64::from(u32::MAX) + 1,
            u64::MAX
        ]),
        any::<u64>(),
    ]
}

fn wide32() -> impl Strategy<Value = u32> {
    wide().prop_map(|n| u32::try_from(n & u64::from(u32::MAX)).expect("masked"))
}

fn wide16() -> impl Strategy<Value = u16> {
    wide().prop_map(|n| u16::try_from(n & 0xffff).expect("masked"))
}

fn operation() -> impl Strategy<Value = OperationId> {
    wide().prop_map(OperationId)
}

fn claim() -> impl Strategy<Value = ClaimKey> {
    any::<[u8; 16]>().prop_map(ClaimKey)
}

fn lease() -> impl Strategy<Value = LeaseId> {
    wide().prop_map(LeaseId)
}

fn seats() -> impl Strategy<Value = SeatCount> {
    wide32().prop_map(|n| SeatCount::new((n & 0x7fff_ffff).max(1)).expect("in range"))
}

fn version() -> impl Strategy<Value = Version> {
    (wide16(), wide16(), wide16()).prop_map(|(major, minor, patch)| Version { major, minor, patch })
}

fn feature() -> impl Strategy<Value = FeatureName> {
    "[A-Za-z0-9_.+-]{1,64}".prop_map(|name| FeatureName::new(&name).expect("in the set"))
}

fn label() -> impl Strategy<Value = Label> {
    prop_oneof!["[a-z0-9]{1,8}", "\\PC{1,70}"].prop_map(|text| Label::lossy(&text))
}

fn ticket() -> impl Strategy<Value = SealedTicket> {
    vec(any::<u8>(), 106).prop_map(|bytes| SealedTicket(bytes.try_into().expect("106")))
}

fn hostid() -> impl Strategy<Value = HostId> {
    (any::<u8>(), label()).prop_map(|(kind, value)| HostId { kind: HostIdKind(kind), value })
}

fn holder() -> impl Strategy<Value = Holder> {
    let words = (label(), label(), of(label()), label(), of(label()), of(label()), of(label()));
    (words, wide32(), any::<[u8; 16]>(), vec(hostid(), 0..4)).prop_map(|(words, pid, device, hostids)| {
        let (user, host, display, process, project, device_alias, share) = words;
        Holder { user, host, display, process, pid, project, device: DeviceId(device), device_alias, share, hostids }
    })
}

fn request() -> impl Strategy<Value = Request> {
    (operation(), claim(), feature(), version(), seats(), holder(), of(ticket())).prop_map(
        |(operation, claim, feature, version, seats, holder, ticket)| Request {
            operation,
            claim,
            feature,
            version,
            seats,
            holder,
            ticket,
        },
    )
}

fn bundle() -> impl Strategy<Value = Bundle> {
    let item = (feature(), version(), seats(), seats());
    let item = item.prop_map(|(feature, version, seats, at_least)| BundleItem { feature, version, seats, at_least });
    (operation(), claim(), vec(vec(item, 0..3), 0..3), holder())
        .prop_map(|(operation, claim, alternatives, holder)| Bundle { operation, claim, alternatives, holder })
}

fn activity() -> impl Strategy<Value = Activity> {
    (any::<u32>(), any::<bool>(), any::<bool>()).prop_map(|(idle_s, busy, unsaved)| Activity { idle_s, busy, unsaved })
}

/// Any frame of a client, as far as one body fits a datagram.
pub fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        4 => request().prop_map(|body| ClientFrame::Request(Box::new(body))),
        2 => (request(), any::<bool>()).prop_map(|(request, queue_only)| {
            ClientFrame::Wait(Box::new(Wait { request, queue_only }))
        }),
        2 => bundle().prop_map(|body| ClientFrame::Bundle(Box::new(body))),
        1 => (lease(), claim(), operation(), activity())
            .prop_map(|(lease, claim, operation, activity)| ClientFrame::Renew(Renew { lease, claim, operation, activity })),
        1 => (lease(), claim(), operation())
            .prop_map(|(lease, claim, operation)| ClientFrame::Release(Release { lease, claim, operation })),
        2 => (operation(), of(feature()), of(feature()))
            .prop_map(|(operation, only, after)| ClientFrame::FeatureQuery(FeatureQuery { operation, only, after })),
        2 => (operation(), of(feature()), of(feature()), wide32()).prop_map(|(operation, only, from, skip)| {
            ClientFrame::LicenceQuery(LicenceQuery { operation, only, from, skip })
        }),
        1 => operation().prop_map(|operation| ClientFrame::ProofQuery(ProofQuery { operation })),
        1 => Just(ClientFrame::Goodbye(ClientGoodbye)),
        1 => any::<[u8; 8]>().prop_map(|token| ClientFrame::PathResponse(PathToken(token))),
        1 => (operation(), activity(), vec((lease(), wide()), 1..65)).prop_map(|(operation, activity, leases)| {
            let claimed = |(lease, proof)| Claimed { lease, proof: ClaimProof(proof) };
            let leases = leases.into_iter().map(claimed).collect();
            ClientFrame::RenewMany(Box::new(RenewMany { operation, activity, leases }))
        }),
    ]
}

fn lot() -> impl Strategy<Value = LotUse> {
    (any::<[u8; 8]>(), version(), seats()).prop_map(|(id, version, seats)| LotUse {
        certificate: CertificateId(id),
        version,
        seats,
    })
}

fn grant() -> impl Strategy<Value = Grant> {
    let ids = (operation(), claim(), lease());
    let times = (wide32(), wide32(), wide32(), of(wide()));
    (ids, times, seats(), vec(lot(), 0..20), ticket()).prop_map(|(ids, times, seats, lots, ticket)| Grant {
        operation: ids.0,
        claim: ids.1,
        lease: ids.2,
        ttl_ms: times.0,
        renew_after_ms: times.1,
        grace_ms: times.2,
        seats,
        lots,
        right_ends: times.3.map(UnixMillis),
        ticket,
    })
}

fn next_due() -> impl Strategy<Value = NextDue> {
    (of(label()), of(label()), wide32()).prop_map(|(user, host, in_ms)| NextDue { user, host, in_ms })
}

fn deny() -> impl Strategy<Value = Deny> {
    let ids = (operation(), claim(), wide16());
    let words = ("\\PC{0,60}", "[ -~]{0,100}");
    (ids, words, wide32(), wide32(), of(next_due()), of(wide32())).prop_map(
        |(ids, (sentence, rule), seats_out, seats_total, next_due, retry_after_ms)| Deny {
            operation: ids.0,
            claim: ids.1,
            code: Denial(ids.2),
            sentence,
            rule,
            seats_out,
            seats_total,
            next_due,
            retry_after_ms,
        },
    )
}

fn feature_line() -> impl Strategy<Value = FeatureLine> {
    (feature(), version(), of(wide32()), wide32(), of(wide())).prop_map(|(name, version, count, used, end)| {
        FeatureLine { name, version, count, used, next_end: end.map(UnixMillis) }
    })
}

fn licence_line() -> impl Strategy<Value = LicenceLine> {
    let seats = (of(wide32()), wide32(), wide32(), wide32());
    let rest = (of(wide()), of(wide()), vec(any::<u8>(), 0..200));
    (feature(), any::<[u8; 8]>(), version(), seats, rest).prop_map(|(feature, id, version, seats, rest)| LicenceLine {
        feature,
        certificate: CertificateId(id),
        version,
        count: seats.0,
        upgraded_by: seats.1,
        overdraft: seats.2,
        used: seats.3,
        starts: rest.0.map(UnixMillis),
        ends: rest.1.map(UnixMillis),
        signed: rest.2,
    })
}

fn extended() -> impl Strategy<Value = Extended> {
    (1..=u32::MAX, any::<u32>(), any::<bool>()).prop_map(|(ttl_ms, renew_after_ms, overage)| Extended {
        ttl_ms,
        renew_after_ms,
        overage,
    })
}

fn outcome() -> impl Strategy<Value = ReleaseOutcome> {
    prop_oneof![Just(ReleaseOutcome::Freed), Just(ReleaseOutcome::NotHeld)]
}

/// Any frame of a server, as far as one body fits a datagram.
pub fn server_frame() -> impl Strategy<Value = ServerFrame> {
    prop_oneof![
        3 => grant().prop_map(|body| ServerFrame::Grant(Box::new(body))),
        3 => deny().prop_map(|body| ServerFrame::Deny(Box::new(body))),
        1 => (lease(), operation(), any::<u32>(), any::<u32>(), any::<bool>())
            .prop_map(|(lease, operation, ttl_ms, renew_after_ms, overage)| {
                ServerFrame::Renewed(Renewed { lease, operation, ttl_ms, renew_after_ms, overage })
            }),
        1 => (lease(), operation(), outcome())
            .prop_map(|(lease, operation, outcome)| ServerFrame::Released(Released { lease, operation, outcome })),
        3 => (operation(), vec(feature_line(), 0..11), any::<bool>()).prop_map(|(operation, features, more)| {
            ServerFrame::FeatureInfo(Box::new(FeatureInfo { operation, features, more }))
        }),
        3 => (operation(), vec(licence_line(), 0..6), any::<bool>()).prop_map(|(operation, licences, more)| {
            ServerFrame::LicenceInfo(Box::new(LicenceInfo { operation, licences, more }))
        }),
        2 => (operation(), vec(any::<u8>(), 0..1136))
            .prop_map(|(operation, certificate)| ServerFrame::Proof(Proof { operation, certificate })),
        1 => (wide16(), of(wide32()))
            .prop_map(|(code, back_in_ms)| ServerFrame::Goodbye(ServerGoodbye { code: Denial(code), back_in_ms })),
        1 => any::<[u8; 8]>().prop_map(|token| ServerFrame::PathChallenge(PathToken(token))),
        1 => any::<u8>().prop_map(|frame_type| ServerFrame::Unsupported(Unsupported { frame_type })),
        2 => (operation(), claim(), wide16(), wide32(), wide32(), of(wide32()), wide32(), wide32()).prop_map(
            |(operation, claim, code, place, length, expected_ms, ttl_ms, ask_after_ms)| {
                let code = Denial(code);
                ServerFrame::Queued(Queued { operation, claim, code, place, length, expected_ms, ttl_ms, ask_after_ms })
            }
        ),
        1 => (lease(), claim(), of(wide32()), ".{0,60}", wide32()).prop_map(|(lease, claim, in_ms, rule, waiting)| {
            ServerFrame::LetGo(Box::new(LetGo { lease, claim, in_ms, rule, waiting }))
        }),
        1 => (operation(), vec(of(extended()), 1..65))
            .prop_map(|(operation, leases)| ServerFrame::RenewedMany(Arc::new(RenewedMany { operation, leases }))),
    ]
}
