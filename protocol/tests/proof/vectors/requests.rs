//! The frames a client sends (SPEC 5.3 to 5.11).

use leasehold_protocol::{
    message::{
        Activity, Bundle, BundleItem, Claimed, ClientFrame, ClientGoodbye, FeatureQuery, Holder, LicenceQuery,
        PathToken, ProofQuery, Release, Renew, RenewMany, Request, Wait,
    },
    vocab::{ClaimProof, DeviceId, FeatureName, HostId, HostIdKind, Label, LeaseId, SeatCount, Version},
};

use super::FrameVector;
use crate::{fixed, page::Page};

fn label(text: &str) -> Label {
    Label::new(text).expect("a label")
}

fn feature(text: &str) -> FeatureName {
    FeatureName::new(text).expect("a feature name")
}

fn vector(page: Page, body: Page, frame: ClientFrame) -> FrameVector<ClientFrame> {
    FrameVector { page: page.frame(frame.kind(), body), frame }
}

pub fn all() -> Vec<FrameVector<ClientFrame>> {
    vec![
        request(),
        request_again(),
        vector(
            Page::new("renew", "RENEW", "I am still here: idle for 90 s, with unsaved work (SPEC 5.5)."),
            renew(),
            ClientFrame::Renew(Renew {
                lease: fixed::LEASE,
                claim: fixed::CLAIM,
                operation: fixed::OPERATION,
                activity: Activity { idle_s: 90, busy: false, unsaved: true },
            }),
        ),
        release(),
        release_unseen(),
        feature_query(),
        feature_query_next(),
        licence_query(),
        wait(),
        bundle(),
        vector(
            Page::new("proof-query", "PROOF_QUERY", "Show me that a publisher named your key (SPEC 5.8)."),
            Page::new("", "PROOF_QUERY", "").var("operation", fixed::OPERATION.0, ""),
            ClientFrame::ProofQuery(ProofQuery { operation: fixed::OPERATION }),
        ),
        vector(
            Page::new("goodbye-from-client", "GOODBYE from a client", "This session is over (SPEC 5.11)."),
            Page::new("", "GOODBYE", ""),
            ClientFrame::Goodbye(ClientGoodbye),
        ),
        vector(
            Page::new(
                "path-response",
                "PATH_RESPONSE",
                "The token of a path challenge, sent back over that path (SPEC 5.10).",
            ),
            path_response(),
            ClientFrame::PathResponse(PathToken(*b"over you")),
        ),
        renew_many(),
    ]
}

/// The fields of the first REQUEST.
fn first_body(name: &'static str) -> Page {
    let page = Page::new("", name, "")
        .var("operation", fixed::OPERATION.0, "")
        .raw("claim", &fixed::CLAIM.0, "")
        .text("feature", "VR_MODE")
        .version("version", [4, 8, 0])
        .var("seats", 2, "");
    with_ada(page).none("ticket")
}

fn with_ada(page: Page) -> Page {
    page.text("holder.user", "ada")
        .text("holder.host", "ws-17")
        .none("holder.display")
        .text("holder.process", "render")
        .var("holder.pid", 4711, "")
        .none("holder.project")
        .raw("holder.device", &[0xdd; 16], "")
        .none("holder.device_alias")
        .none("holder.share")
        .list("holder.hostids", 0)
}

fn ada() -> Holder {
    Holder {
        user: label("ada"),
        host: label("ws-17"),
        display: None,
        process: label("render"),
        pid: 4711,
        project: None,
        device: DeviceId([0xdd; 16]),
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    }
}

fn first_request() -> Request {
    Request {
        operation: fixed::OPERATION,
        claim: fixed::CLAIM,
        feature: feature("VR_MODE"),
        version: Version { major: 4, minor: 8, patch: 0 },
        seats: SeatCount::new(2).expect("a count"),
        holder: ada(),
        ticket: None,
    }
}

fn request() -> FrameVector<ClientFrame> {
    let page = Page::new("request", "REQUEST, the first", "Two seats of VR_MODE 4.8, please (SPEC 5.3).");
    vector(page, first_body("REQUEST"), ClientFrame::Request(Box::new(first_request())))
}

fn wait() -> FrameVector<ClientFrame> {
    let body = first_body("WAIT").u8("queue_only", 0, "no: now, if there are two");
    let page = Page::new("wait", "WAIT", "Two seats of VR_MODE 4.8, or a place in the queue (SPEC 5.19).");
    vector(page, body, ClientFrame::Wait(Box::new(Wait { request: first_request(), queue_only: false })))
}

fn bundle() -> FrameVector<ClientFrame> {
    let page = Page::new("", "BUNDLE", "")
        .var("operation", fixed::OPERATION.0, "")
        .raw("claim", &fixed::CLAIM.0, "of item 0; the others follow from it (SPEC 5.21.2)")
        .list("alternatives", 2)
        .list("items", 2);
    let item = |page: Page, name: &str, seats: u64, at_least: u64| {
        let page = page.text("feature", name).version("version", [0, 0, 0]);
        page.var("seats", seats, "").var("at_least", at_least, "")
    };
    let page = item(item(page, "SOLVER", 2, 1), "MESH", 1, 1).list("items", 1);
    let body = with_ada(item(page, "SUITE", 1, 1));
    let page = Page::new("bundle", "BUNDLE", "2 SOLVER (or 1) and 1 MESH, or 1 SUITE (SPEC 5.21).");
    let item = |name: &str, seats: u32, at_least: u32| BundleItem {
        feature: feature(name),
        version: Version::ANY,
        seats: SeatCount::new(seats).expect("a count"),
        at_least: SeatCount::new(at_least).expect("a count"),
    };
    let alternatives = vec![vec![item("SOLVER", 2, 1), item("MESH", 1, 1)], vec![item("SUITE", 1, 1)]];
    let bundle = Bundle { operation: fixed::OPERATION, claim: fixed::CLAIM, alternatives, holder: ada() };
    vector(page, body, ClientFrame::Bundle(Box::new(bundle)))
}

fn request_again() -> FrameVector<ClientFrame> {
    let ticket = super::sealed_ticket();
    let body = Page::new("", "REQUEST", "")
        .var("operation", 7, "")
        .raw("claim", &fixed::CLAIM.0, "")
        .text("feature", "VR_MODE")
        .version("version", [65535, 251, 250])
        .var("seats", 2_147_483_647, "the most there can be")
        .text("holder.user", "Ånger")
        .text("holder.host", "ws-17")
        .some("holder.display")
        .text("holder.display", ":0")
        .text("holder.process", "render")
        .var("holder.pid", 65_536, "")
        .some("holder.project")
        .text("holder.project", "bridge")
        .raw("holder.device", &[0xdd; 16], "")
        .some("holder.device_alias")
        .text("holder.device_alias", "Ada's tower")
        .some("holder.share")
        .text("holder.share", "night run")
        .list("holder.hostids", 2)
        .u8("hostids[0].kind", 2, "Ethernet")
        .text("hostids[0].value", "02005e000001")
        .u8("hostids[1].kind", 255, "a kind of a later day")
        .text("hostids[1].value", "x")
        .some("ticket")
        .raw("ticket", &ticket.0, "as the last GRANT gave it");
    let holder = Holder {
        user: label("Ånger"),
        host: label("ws-17"),
        display: Some(label(":0")),
        process: label("render"),
        pid: 65_536,
        project: Some(label("bridge")),
        device: DeviceId([0xdd; 16]),
        device_alias: Some(label("Ada's tower")),
        share: Some(label("night run")),
        hostids: vec![
            HostId { kind: HostIdKind::ETHERNET, value: label("02005e000001") },
            HostId { kind: HostIdKind(255), value: label("x") },
        ],
    };
    let request = Request {
        operation: leasehold_protocol::vocab::OperationId(7),
        claim: fixed::CLAIM,
        feature: feature("VR_MODE"),
        version: Version { major: 65535, minor: 251, patch: 250 },
        seats: SeatCount::MAX,
        holder,
        ticket: Some(ticket),
    };
    let page = Page::new(
        "request-again",
        "REQUEST, with everything",
        "The same claim asked for again after a restart: every option present, integers of every length (SPEC 5.3).",
    );
    vector(page, body, ClientFrame::Request(Box::new(request)))
}

/// The body of the RENEW that the vectors send.
pub fn renew() -> Page {
    Page::new("", "RENEW", "")
        .u64("lease", fixed::LEASE.0, "slot 5, generation 2")
        .raw("claim", &fixed::CLAIM.0, "")
        .u64("operation", fixed::OPERATION.0, "")
        .u32("idle_s", 90, "seconds")
        .u32("flags", 2, "bit 0 busy, bit 1 unsaved work")
}

/// The first entry's proof is spelled from the claim key's two halves, by hand: `claim ke` and `y 16 b..`.
fn renew_many() -> FrameVector<ClientFrame> {
    let (low, high) = (u64::from_le_bytes(*b"claim ke"), u64::from_le_bytes(*b" b..y 16"));
    let body = Page::new("", "RENEW_MANY", "")
        .u64("operation", fixed::OPERATION.0, "")
        .u32("idle_s", 90, "seconds")
        .u32("flags", 1, "bit 0 busy, bit 1 unsaved work")
        .u64("leases[0].lease", fixed::LEASE.0, "slot 5, generation 2")
        .u64("leases[0].proof", low ^ high, "of the claim key of the other vectors")
        .u64("leases[1].lease", LeaseId::new(6, 1).0, "slot 6, generation 1")
        .u64("leases[1].proof", 0, "a proof may be any number")
        .u64("leases[2].lease", fixed::LEASE.0, "the first once more, which is renewed twice")
        .u64("leases[2].proof", low ^ high, "");
    let first = Claimed { lease: fixed::LEASE, proof: fixed::CLAIM.fold() };
    let second = Claimed { lease: LeaseId::new(6, 1), proof: ClaimProof(0) };
    let frame = RenewMany {
        operation: fixed::OPERATION,
        activity: Activity { idle_s: 90, busy: true, unsaved: false },
        leases: vec![first, second, first],
    };
    let page = Page::new("renew-many", "RENEW_MANY", "We are all still here: three renewals in one frame (SPEC 5.17).");
    vector(page, body, ClientFrame::RenewMany(Box::new(frame)))
}

fn release() -> FrameVector<ClientFrame> {
    let body = Page::new("", "RELEASE", "")
        .u64("lease", fixed::LEASE.0, "slot 5, generation 2")
        .raw("claim", &fixed::CLAIM.0, "")
        .u64("operation", fixed::OPERATION.0, "");
    let page = Page::new("release", "RELEASE", "I am done (SPEC 5.9).");
    let frame = Release { lease: fixed::LEASE, claim: fixed::CLAIM, operation: fixed::OPERATION };
    vector(page, body, ClientFrame::Release(frame))
}

fn release_unseen() -> FrameVector<ClientFrame> {
    let body = Page::new("", "RELEASE", "")
        .u64("lease", 0, "none: only the claim key is known")
        .raw("claim", &fixed::CLAIM.0, "")
        .u64("operation", 8, "");
    let page = Page::new(
        "release-unseen",
        "RELEASE of a grant that was never seen",
        "The answer to the request may have been lost (SPEC 5.9).",
    );
    let operation = leasehold_protocol::vocab::OperationId(8);
    vector(page, body, ClientFrame::Release(Release { lease: LeaseId::NONE, claim: fixed::CLAIM, operation }))
}

fn feature_query() -> FrameVector<ClientFrame> {
    let body = Page::new("", "FEATURE_QUERY", "").var("operation", fixed::OPERATION.0, "").none("only").none("after");
    let page = Page::new("feature-query", "FEATURE_QUERY", "What is there? (SPEC 5.7)");
    vector(page, body, ClientFrame::FeatureQuery(FeatureQuery { operation: fixed::OPERATION, only: None, after: None }))
}

fn feature_query_next() -> FrameVector<ClientFrame> {
    let body = Page::new("", "FEATURE_QUERY", "")
        .var("operation", fixed::OPERATION.0, "")
        .some("only")
        .text("only", "VR_MODE")
        .some("after")
        .text("after", "MESH");
    let page =
        Page::new("feature-query-next", "FEATURE_QUERY, with everything", "One feature, after another (SPEC 5.7).");
    let query =
        FeatureQuery { operation: fixed::OPERATION, only: Some(feature("VR_MODE")), after: Some(feature("MESH")) };
    vector(page, body, ClientFrame::FeatureQuery(query))
}

fn licence_query() -> FrameVector<ClientFrame> {
    let body = Page::new("", "LICENCE_QUERY", "")
        .var("operation", fixed::OPERATION.0, "")
        .none("only")
        .some("from")
        .text("from", "MESH")
        .var("skip", 2, "");
    let page = Page::new(
        "licence-query",
        "LICENCE_QUERY",
        "Which certificates do the seats come from, after the first two of MESH? (SPEC 5.18)",
    );
    let query = LicenceQuery { operation: fixed::OPERATION, only: None, from: Some(feature("MESH")), skip: 2 };
    vector(page, body, ClientFrame::LicenceQuery(query))
}

/// The body of the PATH_RESPONSE that the vectors send.
pub fn path_response() -> Page {
    Page::new("", "PATH_RESPONSE", "").raw("token", b"over you", "as PATH_CHALLENGE had it")
}
