//! The frames a server sends (SPEC 5.4 to 5.12).

use leasehold_protocol::{
    message::{
        Deny, Extended, FeatureInfo, FeatureLine, Grant, LetGo, LicenceInfo, LicenceLine, LotUse, NextDue, PathToken,
        Proof, Queued, ReleaseOutcome, Released, Renewed, RenewedMany, ServerFrame, ServerGoodbye, Unsupported,
    },
    time::UnixMillis,
    vocab::{CertificateId, Denial, FeatureName, Label, SeatCount, Version},
};

use super::FrameVector;
use crate::{fixed, page::Page};

fn seats(count: u32) -> SeatCount {
    SeatCount::new(count).expect("a count")
}

fn vector(page: Page, body: Page, frame: ServerFrame) -> FrameVector<ServerFrame> {
    FrameVector { page: page.frame(frame.kind(), body), frame }
}

pub fn all() -> Vec<FrameVector<ServerFrame>> {
    vec![
        grant(),
        deny(),
        deny_bare(),
        vector(
            Page::new("renewed", "RENEWED", "Your lease goes on (SPEC 5.5)."),
            renewed(),
            ServerFrame::Renewed(Renewed {
                lease: fixed::LEASE,
                operation: fixed::OPERATION,
                ttl_ms: 295_000,
                renew_after_ms: 100_000,
                overage: true,
            }),
        ),
        released("released", "RELEASED", "Your seats are free (SPEC 5.9).", ReleaseOutcome::Freed, 1),
        released(
            "released-not-held",
            "RELEASED, nothing held",
            "There was nothing to free; stop asking all the same (SPEC 5.9).",
            ReleaseOutcome::NotHeld,
            2,
        ),
        feature_info(),
        licence_info(),
        queued(),
        let_go(),
        proof(),
        proof_none(),
        goodbye(),
        vector(
            Page::new("path-challenge", "PATH_CHALLENGE", "Send this token back if you are really there (SPEC 5.10)."),
            Page::new("", "PATH_CHALLENGE", "").raw("token", b"over you", "unpredictable"),
            ServerFrame::PathChallenge(PathToken(*b"over you")),
        ),
        vector(
            Page::new("unsupported", "UNSUPPORTED", "I do not know frame type 0x7e (SPEC 5.12)."),
            Page::new("", "UNSUPPORTED", "").u8("frame_type", 0x7e, "one byte, whatever its value"),
            ServerFrame::Unsupported(Unsupported { frame_type: 0x7e }),
        ),
        vector(
            Page::new(
                "unsupported-high",
                "UNSUPPORTED, a high type",
                "A byte is a byte also above 250 (SPEC 5.2, 5.12).",
            ),
            Page::new("", "UNSUPPORTED", "").u8("frame_type", 0xfe, "one byte, whatever its value"),
            ServerFrame::Unsupported(Unsupported { frame_type: 0xfe }),
        ),
        renewed_many(),
    ]
}

fn grant() -> FrameVector<ServerFrame> {
    let ticket = super::sealed_ticket();
    let body = Page::new("", "GRANT", "")
        .var("operation", fixed::OPERATION.0, "")
        .raw("claim", &fixed::CLAIM.0, "")
        .var("lease", fixed::LEASE.0, "slot 5, generation 2")
        .var("ttl_ms", 295_000, "300 s less the margin of 5 s")
        .var("renew_after_ms", 100_000, "a third of 300 s")
        .var("grace_ms", 0, "")
        .var("seats", 2, "")
        .list("lots", 2)
        .raw("lots[0].certificate", &[0xc1; 8], "")
        .version("lots[0].version", [5, 0, 0])
        .var("lots[0].seats", 1, "")
        .raw("lots[1].certificate", &[0xc2; 8], "")
        .version("lots[1].version", [4, 10, 2])
        .var("lots[1].seats", 1, "")
        .some("right_ends")
        .var("right_ends", fixed::UNIX_MS + 86_400_000, "2026-11-23T08:00:00Z")
        .raw("ticket", &ticket.0, "");
    let lot = |id: u8, [major, minor, patch]: [u16; 3]| LotUse {
        certificate: CertificateId([id; 8]),
        version: Version { major, minor, patch },
        seats: seats(1),
    };
    let grant = Grant {
        operation: fixed::OPERATION,
        claim: fixed::CLAIM,
        lease: fixed::LEASE,
        ttl_ms: 295_000,
        renew_after_ms: 100_000,
        grace_ms: 0,
        seats: seats(2),
        lots: vec![lot(0xc1, [5, 0, 0]), lot(0xc2, [4, 10, 2])],
        right_ends: Some(UnixMillis(fixed::UNIX_MS + 86_400_000)),
        ticket,
    };
    vector(Page::new("grant", "GRANT", "Here are your seats (SPEC 5.4)."), body, ServerFrame::Grant(Box::new(grant)))
}

fn deny() -> FrameVector<ServerFrame> {
    let body = Page::new("", "DENY", "")
        .var("operation", fixed::OPERATION.0, "")
        .raw("claim", &fixed::CLAIM.0, "")
        .var("code", 5, "no-seat")
        .text("sentence", "every seat of VR_MODE is out")
        .text("rule", "c1c1c1c1c1c1c1c1")
        .var("seats_out", 300, "")
        .var("seats_total", 250, "")
        .some("next_due")
        .some("next_due.user")
        .text("next_due.user", "bob")
        .none("next_due.host")
        .var("next_due.in_ms", 251, "")
        .some("retry_after_ms")
        .var("retry_after_ms", 250, "");
    let deny = Deny {
        operation: fixed::OPERATION,
        claim: fixed::CLAIM,
        code: Denial::NO_SEAT,
        sentence: "every seat of VR_MODE is out".into(),
        rule: "c1c1c1c1c1c1c1c1".into(),
        seats_out: 300,
        seats_total: 250,
        next_due: Some(NextDue { user: Some(Label::new("bob").expect("a label")), host: None, in_ms: 251 }),
        retry_after_ms: Some(250),
    };
    let page = Page::new("deny", "DENY", "Every seat is out; bob's is due back next (SPEC 5.6).");
    vector(page, body, ServerFrame::Deny(Box::new(deny)))
}

fn deny_bare() -> FrameVector<ServerFrame> {
    let body = Page::new("", "DENY", "")
        .var("operation", 0, "")
        .raw("claim", &fixed::CLAIM.0, "")
        .var("code", 65_535, "a code of a later day")
        .text("sentence", "")
        .text("rule", "")
        .var("seats_out", 0, "")
        .var("seats_total", 0, "")
        .none("next_due")
        .none("retry_after_ms");
    let deny = Deny {
        operation: leasehold_protocol::vocab::OperationId(0),
        claim: fixed::CLAIM,
        code: Denial(65_535),
        sentence: String::new(),
        rule: String::new(),
        seats_out: 0,
        seats_total: 0,
        next_due: None,
        retry_after_ms: None,
    };
    let page = Page::new(
        "deny-bare",
        "DENY, with nothing",
        "A code this build does not know, and no more said (SPEC 5.6, 8.2).",
    );
    vector(page, body, ServerFrame::Deny(Box::new(deny)))
}

fn let_go() -> FrameVector<ServerFrame> {
    let body = Page::new("", "LET_GO", "")
        .var("lease", fixed::LEASE.0, "slot 5, for the second time")
        .raw("claim", &fixed::CLAIM.0, "")
        .some("in_ms")
        .var("in_ms", 60_000, "a minute to save in")
        .text("rule", "idle-cad")
        .var("waiting", 2, "");
    let rule = "idle-cad".to_owned();
    let told = LetGo { lease: fixed::LEASE, claim: fixed::CLAIM, in_ms: Some(60_000), rule, waiting: 2 };
    vector(
        Page::new("let-go", "LET_GO", "Two wait, and the seat is idle (SPEC 5.20)."),
        body,
        ServerFrame::LetGo(Box::new(told)),
    )
}

fn queued() -> FrameVector<ServerFrame> {
    let body = Page::new("", "QUEUED", "")
        .var("operation", fixed::OPERATION.0, "of the WAIT")
        .raw("claim", &fixed::CLAIM.0, "")
        .var("code", 5, "no-seat")
        .var("place", 3, "two before")
        .var("length", 300, "")
        .some("expected_ms")
        .var("expected_ms", 90_000, "")
        .var("ttl_ms", 15_000, "")
        .var("ask_after_ms", 1_000, "");
    let queued = Queued {
        operation: fixed::OPERATION,
        claim: fixed::CLAIM,
        code: Denial::NO_SEAT,
        place: 3,
        length: 300,
        expected_ms: Some(90_000),
        ttl_ms: 15_000,
        ask_after_ms: 1_000,
    };
    vector(Page::new("queued", "QUEUED", "You are the third (SPEC 5.19)."), body, ServerFrame::Queued(queued))
}

/// The body of the RENEWED that the vectors send.
pub fn renewed() -> Page {
    Page::new("", "RENEWED", "")
        .u64("lease", fixed::LEASE.0, "slot 5, generation 2")
        .u64("operation", fixed::OPERATION.0, "")
        .u32("ttl_ms", 295_000, "300 s less the margin of 5 s")
        .u32("renew_after_ms", 100_000, "a third of 300 s")
        .u32("flags", 1, "bit 0: overage")
}

fn renewed_many() -> FrameVector<ServerFrame> {
    let body = Page::new("", "RENEWED_MANY", "")
        .u64("operation", fixed::OPERATION.0, "")
        .u32("leases[0].ttl_ms", 295_000, "300 s less the margin of 5 s")
        .u32("leases[0].renew_after_ms", 100_000, "a third of 300 s")
        .u32("leases[0].flags", 1, "bit 0: overage")
        .raw("leases[1]", &[0; 12], "not renewed: a RENEW of its own says why")
        .u32("leases[2].ttl_ms", 295_000, "")
        .u32("leases[2].renew_after_ms", 100_000, "")
        .u32("leases[2].flags", 0, "");
    let extended = |overage| Some(Extended { ttl_ms: 295_000, renew_after_ms: 100_000, overage });
    let leases = vec![extended(true), None, extended(false)];
    let page = Page::new("renewed-many", "RENEWED_MANY", "Two of your three leases go on (SPEC 5.17).");
    let frame = RenewedMany { operation: fixed::OPERATION, leases };
    vector(page, body, ServerFrame::RenewedMany(std::sync::Arc::new(frame)))
}

fn released(
    name: &'static str,
    title: &'static str,
    intro: &'static str,
    outcome: ReleaseOutcome,
    code: u32,
) -> FrameVector<ServerFrame> {
    let body = Page::new("", "RELEASED", "")
        .u64("lease", fixed::LEASE.0, "slot 5, generation 2")
        .u64("operation", fixed::OPERATION.0, "")
        .u32("outcome", code, if code == 1 { "freed" } else { "not held" });
    let frame = Released { lease: fixed::LEASE, operation: fixed::OPERATION, outcome };
    vector(Page::new(name, title, intro), body, ServerFrame::Released(frame))
}

fn feature_info() -> FrameVector<ServerFrame> {
    let body = Page::new("", "FEATURE_INFO", "")
        .var("operation", fixed::OPERATION.0, "")
        .list("features", 2)
        .text("features[0].name", "MESH")
        .version("features[0].version", [1, 0, 0])
        .none("features[0].count")
        .var("features[0].used", 0, "")
        .none("features[0].next_end")
        .text("features[1].name", "VR_MODE")
        .version("features[1].version", [5, 0, 0])
        .some("features[1].count")
        .var("features[1].count", 250, "")
        .var("features[1].used", 251, "")
        .some("features[1].next_end")
        .var("features[1].next_end", fixed::UNIX_MS, "2026-11-22T08:00:00Z")
        .u8("more", 1, "true: ask again after VR_MODE");
    let name = |text: &str| FeatureName::new(text).expect("a feature name");
    let line = |text: &str, major, count, used, next_end| FeatureLine {
        name: name(text),
        version: Version { major, minor: 0, patch: 0 },
        count,
        used,
        next_end,
    };
    let info = FeatureInfo {
        operation: fixed::OPERATION,
        features: vec![
            line("MESH", 1, None, 0, None),
            line("VR_MODE", 5, Some(250), 251, Some(UnixMillis(fixed::UNIX_MS))),
        ],
        more: true,
    };
    let page = Page::new("feature-info", "FEATURE_INFO", "A page of two features, with more to come (SPEC 5.7).");
    vector(page, body, ServerFrame::FeatureInfo(Box::new(info)))
}

fn licence_info() -> FrameVector<ServerFrame> {
    let signed: Vec<u8> = (0..32).collect();
    let body = Page::new("", "LICENCE_INFO", "")
        .var("operation", fixed::OPERATION.0, "")
        .list("licences", 1)
        .text("licences[0].feature", "VR_MODE")
        .raw("licences[0].certificate", &[1, 2, 3, 4, 5, 6, 7, 8], "")
        .version("licences[0].version", [5, 0, 0])
        .some("licences[0].count")
        .var("licences[0].count", 8, "exclusive 5 and two upgrades")
        .var("licences[0].upgraded_by", 3, "")
        .var("licences[0].overdraft", 1, "")
        .var("licences[0].used", 2, "")
        .none("licences[0].starts")
        .some("licences[0].ends")
        .var("licences[0].ends", fixed::UNIX_MS, "2026-11-22T08:00:00Z")
        .var("licences[0].signed length", 32, "bytes follow")
        .raw("licences[0].signed", &signed, "a COSE_Sign1 as it was signed (SPEC 7); here 32 bytes that stand for one")
        .u8("more", 0, "false");
    let line = LicenceLine {
        feature: FeatureName::new("VR_MODE").expect("a feature name"),
        certificate: CertificateId([1, 2, 3, 4, 5, 6, 7, 8]),
        version: Version { major: 5, minor: 0, patch: 0 },
        count: Some(8),
        upgraded_by: 3,
        overdraft: 1,
        used: 2,
        starts: None,
        ends: Some(UnixMillis(fixed::UNIX_MS)),
        signed,
    };
    let info = LicenceInfo { operation: fixed::OPERATION, licences: vec![line], more: false };
    let page = Page::new("licence-info", "LICENCE_INFO", "One certificate that two upgrades raise (SPEC 5.18).");
    vector(page, body, ServerFrame::LicenceInfo(Box::new(info)))
}

fn proof() -> FrameVector<ServerFrame> {
    let certificate: Vec<u8> = (0..=255).collect();
    let body = Page::new("", "PROOF", "")
        .var("operation", fixed::OPERATION.0, "")
        .var("certificate length", 256, "bytes follow")
        .raw("certificate", &certificate, "a COSE_Sign1 as it was signed (SPEC 7); here 256 bytes that stand for one");
    let page = Page::new("proof", "PROOF", "A publisher named my key (SPEC 5.8).");
    vector(page, body, ServerFrame::Proof(Proof { operation: fixed::OPERATION, certificate }))
}

fn proof_none() -> FrameVector<ServerFrame> {
    let body = Page::new("", "PROOF", "").var("operation", fixed::OPERATION.0, "").var("certificate length", 0, "none");
    let page = Page::new("proof-none", "PROOF, none", "No certificate names my key (SPEC 5.8).");
    vector(page, body, ServerFrame::Proof(Proof { operation: fixed::OPERATION, certificate: Vec::new() }))
}

fn goodbye() -> FrameVector<ServerFrame> {
    let body =
        Page::new("", "GOODBYE", "").var("code", 19, "shutting-down").some("back_in_ms").var("back_in_ms", 30_000, "");
    let page = Page::new(
        "goodbye-from-server",
        "GOODBYE from a server",
        "This server is going away for half a minute (SPEC 5.11).",
    );
    let goodbye = ServerGoodbye { code: Denial::SHUTTING_DOWN, back_in_ms: Some(30_000) };
    vector(page, body, ServerFrame::Goodbye(goodbye))
}
