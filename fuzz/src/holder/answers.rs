//! Frames a server may send: to the point, beside it, or out of bounds.

use leasehold_protocol::{
    crypto::ticket::SealedTicket,
    message::{
        Bundle, ClientFrame, Deny, Extended, FeatureInfo, FeatureLine, Grant, LetGo, LicenceInfo, LicenceLine,
        LicenceQuery, LotUse, PathToken, Proof, Queued, ReleaseOutcome, Released, RenewMany, Renewed, RenewedMany,
        ServerFrame, ServerGoodbye, Unsupported, Wait,
    },
    time::UnixMillis,
    vocab::{CertificateId, ClaimKey, Denial, FeatureName, LeaseId, OperationId, SeatCount, Version},
};

use crate::chance::Chance;

/// An answer to one of `asked`, most of the time; otherwise a frame nobody asked for.
pub fn any(chance: &mut Chance<'_>, asked: &[ClientFrame]) -> ServerFrame {
    let at = chance.byte();
    let question = asked.get(usize::from(at) % asked.len().max(1));
    match question {
        Some(question) if at < 224 => to(question, chance),
        _ => unasked(chance, OperationId(at.into()), ClaimKey([at; 16])),
    }
}

fn to(question: &ClientFrame, chance: &mut Chance<'_>) -> ServerFrame {
    match question {
        ClientFrame::Request(r) if chance.below(4) > 0 => {
            let seats = if chance.below(8) == 7 { SeatCount::MAX } else { r.seats };
            grant(chance, r.operation, r.claim, seats)
        }
        ClientFrame::Request(r) => deny(chance, r.operation, r.claim),
        ClientFrame::Wait(_) if chance.below(8) == 7 => {
            ServerFrame::Unsupported(Unsupported { frame_type: Wait::KIND })
        }
        ClientFrame::Wait(w) => match chance.below(4) {
            0 => grant(chance, w.request.operation, w.request.claim, w.request.seats),
            1 => deny(chance, w.request.operation, w.request.claim),
            _ => queued(chance, w.request.operation, w.request.claim),
        },
        ClientFrame::Bundle(_) if chance.below(8) == 7 => {
            ServerFrame::Unsupported(Unsupported { frame_type: Bundle::KIND })
        }
        ClientFrame::Bundle(b) => {
            // One item's answer; whether the others come is another question.
            let items = b.alternatives.iter().flatten().count().max(1);
            let n = chance.below(items);
            let claim = Bundle::claim_of(b.claim, u8::try_from(n).unwrap_or(0));
            let seats = b.alternatives.iter().flatten().next().map_or(SeatCount::ONE, |item| item.seats);
            if chance.coin() { grant(chance, b.operation, claim, seats) } else { deny(chance, b.operation, claim) }
        }
        ClientFrame::Renew(r) if chance.below(4) > 0 => ServerFrame::Renewed(Renewed {
            lease: r.lease,
            operation: r.operation,
            ttl_ms: ttl_ms(chance),
            renew_after_ms: ttl_ms(chance) / 3,
            overage: chance.coin(),
        }),
        ClientFrame::Renew(r) if chance.coin() => ServerFrame::LetGo(Box::new(LetGo {
            lease: r.lease,
            claim: r.claim,
            in_ms: maybe(chance),
            rule: String::new(),
            waiting: 1,
        })),
        ClientFrame::Renew(r) => deny(chance, r.operation, r.claim),
        ClientFrame::RenewMany(_) if chance.below(8) == 7 => {
            ServerFrame::Unsupported(Unsupported { frame_type: RenewMany::KIND })
        }
        ClientFrame::RenewMany(r) => renewed_many(chance, r),
        ClientFrame::Release(r) => ServerFrame::Released(Released {
            lease: r.lease,
            operation: r.operation,
            outcome: chance.one_of(&[ReleaseOutcome::Freed, ReleaseOutcome::NotHeld]),
        }),
        ClientFrame::FeatureQuery(q) => features(chance, q.operation),
        ClientFrame::LicenceQuery(_) if chance.below(8) == 7 => {
            ServerFrame::Unsupported(Unsupported { frame_type: LicenceQuery::KIND })
        }
        ClientFrame::LicenceQuery(q) => licences(chance, q.operation),
        ClientFrame::ProofQuery(q) => proof(chance, q.operation),
        ClientFrame::Goodbye(_) | ClientFrame::PathResponse(_) => unasked(chance, OperationId(0), ClaimKey([0; 16])),
    }
}

/// Most of the leases go on, and now and then there are fewer than were asked for.
fn renewed_many(chance: &mut Chance<'_>, asked: &RenewMany) -> ServerFrame {
    let len = if chance.below(8) == 7 { 1 } else { asked.leases.len() };
    let extended = |chance: &mut Chance<'_>| {
        let ttl_ms = ttl_ms(chance);
        (ttl_ms > 0).then(|| Extended { ttl_ms, renew_after_ms: ttl_ms / 3, overage: chance.coin() })
    };
    let leases = (0..len).map(|_| extended(chance)).collect();
    ServerFrame::RenewedMany(std::sync::Arc::new(RenewedMany { operation: asked.operation, leases }))
}

fn unasked(chance: &mut Chance<'_>, operation: OperationId, claim: ClaimKey) -> ServerFrame {
    match chance.byte() % 8 {
        0 => ServerFrame::PathChallenge(PathToken(chance.array())),
        1 => ServerFrame::Unsupported(Unsupported { frame_type: chance.byte() }),
        2 | 3 => ServerFrame::Goodbye(ServerGoodbye { code: denial(chance), back_in_ms: maybe(chance) }),
        4 => features(chance, operation),
        5 => proof(chance, operation),
        6 => deny(chance, operation, claim),
        _ => grant(chance, operation, claim, SeatCount::ONE),
    }
}

/// From nothing to 49 days, with sensible ones in between.
fn ttl_ms(chance: &mut Chance<'_>) -> u32 {
    match chance.byte() % 8 {
        0 => 0,
        1 => 1,
        2 => chance.u32(),
        3 => u32::MAX,
        4 => 2_000,
        _ => 295_000,
    }
}

fn maybe(chance: &mut Chance<'_>) -> Option<u32> {
    if chance.coin() { Some(ttl_ms(chance)) } else { None }
}

fn denial(chance: &mut Chance<'_>) -> Denial {
    Denial(u16::from(chance.byte() % 32))
}

fn grant(chance: &mut Chance<'_>, operation: OperationId, claim: ClaimKey, seats: SeatCount) -> ServerFrame {
    let lots = (0..chance.below(4)).map(|i| LotUse {
        certificate: CertificateId([u8::try_from(i).expect("small"); 8]),
        version: Version::ANY,
        seats: SeatCount::ONE,
    });
    ServerFrame::Grant(Box::new(Grant {
        operation,
        claim,
        lots: lots.collect(),
        lease: LeaseId(if chance.below(8) == 7 { chance.u64() } else { 1 << 32 | 5 }),
        ttl_ms: ttl_ms(chance),
        renew_after_ms: ttl_ms(chance) / 3,
        grace_ms: if chance.coin() { ttl_ms(chance) } else { 0 },
        seats,
        right_ends: maybe(chance).map(|ms| UnixMillis(1_795_334_400_000 + u64::from(ms))),
        ticket: SealedTicket([chance.byte(); 106]),
    }))
}

fn queued(chance: &mut Chance<'_>, operation: OperationId, claim: ClaimKey) -> ServerFrame {
    ServerFrame::Queued(Queued {
        operation,
        claim,
        code: denial(chance),
        place: chance.u32(),
        length: chance.u32(),
        expected_ms: maybe(chance),
        ttl_ms: ttl_ms(chance),
        ask_after_ms: ttl_ms(chance),
    })
}

fn deny(chance: &mut Chance<'_>, operation: OperationId, claim: ClaimKey) -> ServerFrame {
    ServerFrame::Deny(Box::new(Deny {
        operation,
        claim,
        code: denial(chance),
        sentence: "no".into(),
        rule: String::new(),
        seats_out: chance.u32(),
        seats_total: 1,
        next_due: None,
        retry_after_ms: maybe(chance),
    }))
}

fn features(chance: &mut Chance<'_>, operation: OperationId) -> ServerFrame {
    let line = |chance: &mut Chance<'_>| FeatureLine {
        name: FeatureName::new(&format!("F{}", chance.byte())).expect("a name"),
        version: Version::ANY,
        count: maybe(chance),
        used: 0,
        next_end: None,
    };
    let features = (0..chance.below(5)).map(|_| line(chance)).collect();
    ServerFrame::FeatureInfo(Box::new(FeatureInfo { operation, features, more: chance.coin() }))
}

fn licences(chance: &mut Chance<'_>, operation: OperationId) -> ServerFrame {
    let line = |chance: &mut Chance<'_>| LicenceLine {
        feature: FeatureName::new(&format!("F{}", chance.byte() % 4)).expect("a name"),
        certificate: CertificateId([chance.byte(); 8]),
        version: Version::ANY,
        count: maybe(chance),
        upgraded_by: chance.u32(),
        overdraft: 0,
        used: chance.u32(),
        starts: None,
        ends: None,
        signed: vec![chance.byte(); 9],
    };
    let licences = (0..chance.below(5)).map(|_| line(chance)).collect();
    ServerFrame::LicenceInfo(Box::new(LicenceInfo { operation, licences, more: chance.coin() }))
}

/// A certificate that names server 0, one that names nobody, or bytes.
fn proof(chance: &mut Chance<'_>, operation: OperationId) -> ServerFrame {
    let certificate = match chance.byte() % 4 {
        0 => Vec::new(),
        1 => chance.bytes(300).to_vec(),
        named => crate::licence_text::naming()[usize::from(named) - 2].cose.clone(),
    };
    ServerFrame::Proof(Proof { operation, certificate })
}
