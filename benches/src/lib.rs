//! What the benches share: typical frames and a seeded source of bytes. `benches/README.md` says how to run them.

use leasehold_protocol::{
    Entropy,
    crypto::noise::{ClientInfo, ServerInfo},
    message::{Activity, Holder, Renew, Request},
    vocab::{ClaimKey, DeviceId, FeatureName, Label, LeaseId, OperationId, SeatCount, Version},
};

/// Bytes that are the same in every run.
pub fn seeded(seed: u64) -> impl Entropy {
    let mut state = seed;
    move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
    }
}

/// A request as an application on a workstation sends it.
#[must_use]
pub fn request() -> Request {
    Request {
        operation: OperationId(77),
        claim: ClaimKey([7; 16]),
        feature: FeatureName::new("VR_MODE").expect("a constant name"),
        version: Version { major: 4, minor: 8, patch: 0 },
        seats: SeatCount::ONE,
        holder: holder(),
        ticket: None,
    }
}

/// Who asks.
#[must_use]
pub fn holder() -> Holder {
    Holder {
        user: Label::lossy("maria"),
        host: Label::lossy("ws-042"),
        display: Some(Label::lossy(":0")),
        process: Label::lossy("my-app"),
        pid: 4121,
        project: None,
        device: DeviceId([1; 16]),
        device_alias: None,
        share: None,
        hostids: Vec::new(),
    }
}

/// A renewal.
#[must_use]
pub const fn renew() -> Renew {
    Renew {
        lease: LeaseId::new(12, 3),
        claim: ClaimKey([7; 16]),
        operation: OperationId(78),
        activity: Activity { idle_s: 4, busy: false, unsaved: true },
    }
}

/// What a client says in HELLO1.
#[must_use]
pub fn client_info() -> ClientInfo {
    ClientInfo { unix_ms: 1.into(), instance: [2; 8], sdk_version: 3.into(), capabilities: 0.into() }
}

/// What a server says in HELLO2.
#[must_use]
pub fn server_info() -> ServerInfo {
    ServerInfo { cluster_id: 1.into(), boot_id: 2.into(), server_id: 3.into(), limits: 0.into(), log_number: 0.into() }
}

#[cfg(target_os = "linux")]
pub mod blast;
pub mod contest;
pub mod counter;
pub mod crowd;
pub mod desk;
pub mod latency;
pub mod machine;
pub mod numbers;
pub mod plot;
pub mod report;
pub mod rivals;
#[cfg(target_os = "linux")]
pub mod served;
pub mod wave;
mod world;

pub use world::{Pair, World};
