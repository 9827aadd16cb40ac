//! The JSON of REST. Field names are snake_case and kept; fields are added, never renamed. An instant is RFC 3339 in UTC
//! and has a twin in milliseconds from now.

use leasehold_core::{FeatureStatus, LeaseStatus, RealmStatus, ReservationStatus, Shared};
use leasehold_protocol::{
    packet,
    time::{Now, UnixMillis},
    vocab::{FeatureName, RealmId},
};
use serde::Serialize;

use super::{AdminState, clock::ClockView};
use crate::instant::{rfc3339, wall_of};

/// `/api/v1/status`.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// The server's version.
    pub version: &'static str,
    /// The protocol's.
    pub protocol: u8,
    /// This installation, 16 hexadecimal digits.
    pub server_id: String,
    /// The process.
    pub pid: u32,
    /// When this answer was made.
    pub at: String,
    /// When the server started.
    pub started_at: String,
    /// How long ago that was.
    pub uptime_ms: u64,
    /// Where clients are listened to.
    pub udp: Vec<String>,
    /// Its realms.
    pub realms: Vec<RealmView>,
    /// How many features it serves.
    pub features: usize,
    /// Leases that are out.
    pub leases: u64,
    /// Sessions of clients that proved themselves.
    pub sessions: u64,
    /// Whether it grants seats.
    pub ready: bool,
    /// Whether it is on its way out.
    pub draining: bool,
    /// Until when it grants only to holders of a ticket, because it was not ended cleanly.
    pub blind_until: Option<String>,
    /// How long that is from now.
    pub blind_ms: Option<u64>,
    /// The machine's clock, and what licence dates are held against.
    pub clock: ClockView,
    /// What is not as it should be, each with its remedy.
    pub warnings: Vec<String>,
}

/// One realm.
#[derive(Clone, Debug, Serialize)]
pub struct RealmView {
    /// Its id, 8 hexadecimal digits.
    pub id: String,
    /// Its publisher.
    pub publisher: String,
    /// The fingerprint of the server's key in it: what `host#fingerprint` pins.
    pub fingerprint: String,
    /// Whether anybody may ask.
    pub open: bool,
    /// Certificates in force.
    pub certificates: usize,
    /// When the next one begins or ends by itself.
    pub next_change_at: Option<String>,
}

/// `/api/v1/features`.
#[derive(Clone, Debug, Serialize)]
pub struct FeaturesView {
    /// When this answer was made.
    pub at: String,
    /// By realm and name.
    pub features: Vec<FeatureView>,
}

/// One feature.
#[derive(Clone, Debug, Serialize)]
pub struct FeatureView {
    /// Its publisher.
    pub publisher: String,
    /// Its name.
    pub feature: String,
    /// The highest version there are rights for; else of the next to begin; else of the last that ended.
    pub version: String,
    /// Seats there are; null if they are not counted.
    pub count: Option<u32>,
    /// Seats out, with those of overdraft.
    pub used: u32,
    /// Seats of overdraft there are besides (L-13).
    pub overdraft: u32,
    /// Those of them that are out.
    pub overdraft_used: u32,
    /// From how many seats out on alerts rise (L-13).
    pub soft_limit: Option<u32>,
    /// Seats that upgrades add, which are in the count (L-8).
    pub upgraded_by: u32,
    /// The most seats one request may take, if that is less than all (L-7).
    pub largest: Option<u32>,
    /// The feature whose seats these are made of, and how many of those each takes (L-14).
    pub drawn_from: Option<String>,
    /// See `drawn_from`.
    pub drawn_each: Option<u32>,
    /// Of the seats out, those that stay with their holder after a release.
    pub lingering: u32,
    /// Units that are used up for ever (L-17).
    pub used_up: u64,
    /// Free seats that are withheld after a power cut, because grants of them may be lost (U-2).
    pub withheld: u32,
    /// Seats left, below zero in overage; null if they are not counted.
    pub free: Option<i64>,
    /// Seats out that no licence in force covers.
    pub overage: u32,
    /// Free seats that reservations keep for some (P-3).
    pub reserved: u32,
    /// How many leases hold the seats.
    pub leases: u32,
    /// How many wait for its seats.
    pub waiting: u32,
    /// When one of its rights ends next.
    pub next_end_at: Option<String>,
    /// How long that is from now.
    pub next_end_ms: Option<u64>,
    /// When its first right begins, if none is in force yet.
    pub starts_at: Option<String>,
    /// When its last right ended, if all have and none is to begin.
    pub ended_at: Option<String>,
    /// The certificates in force.
    pub lots: Vec<LotView>,
}

/// One certificate in force.
#[derive(Clone, Debug, Serialize)]
pub struct LotView {
    /// Its id.
    pub certificate: String,
    /// The version of its right.
    pub version: String,
    /// Its seats; null if they are not counted.
    pub count: Option<u32>,
    /// Its seats that are out.
    pub used: u32,
    /// Its last millisecond.
    pub ends_at: Option<String>,
}

/// `/api/v1/reservations`.
#[derive(Clone, Debug, Serialize)]
pub struct ReservationsView {
    /// When this answer was made.
    pub at: String,
    /// By realm, in the order of the policy.
    pub reservations: Vec<ReservationView>,
}

/// One reservation of the policy in force.
#[derive(Clone, Debug, Serialize)]
pub struct ReservationView {
    /// The publisher of the licences it keeps seats of.
    pub publisher: String,
    /// Its id.
    pub rule: String,
    /// Of which feature.
    pub feature: String,
    /// The lowest version that will do.
    pub version: String,
    /// Seats it asks for.
    pub seats: u32,
    /// Those of them that its members have.
    pub used: u32,
    /// Those of them that the licences in force cannot give it; 0: it is satisfied.
    pub short: u32,
}

/// `/api/v1/leases`: one page.
#[derive(Clone, Debug, Serialize)]
pub struct LeasesView {
    /// When this answer was made.
    pub at: String,
    /// Leases in all, after the filter.
    pub total: usize,
    /// How many were passed over.
    pub offset: usize,
    /// The most that may be on this page.
    pub limit: usize,
    /// In order of their slots.
    pub leases: Vec<LeaseView>,
}

/// One lease.
#[derive(Clone, Debug, Serialize)]
pub struct LeaseView {
    /// Its id, `slot.generation`.
    pub id: String,
    /// Its publisher.
    pub publisher: String,
    /// What for.
    pub feature: String,
    /// The version wanted.
    pub version: String,
    /// How many seats.
    pub seats: u32,
    /// Who holds them, in the holder's own words.
    pub user: String,
    /// On which host.
    pub host: String,
    /// At which display.
    pub display: Option<String>,
    /// With which program.
    pub process: String,
    /// In which process.
    pub pid: u32,
    /// For which project.
    pub project: Option<String>,
    /// What people call the machine.
    pub device_alias: Option<String>,
    /// The machine.
    pub device: String,
    /// The fingerprint of its key, which is proved.
    pub client: String,
    /// Where its session is.
    pub address: Option<String>,
    /// When it was granted.
    pub granted_at: String,
    /// How long ago that was.
    pub held_ms: u64,
    /// When it ends, if it is not renewed.
    pub expires_at: String,
    /// How long that is from now.
    pub remaining_ms: u64,
    /// How often it was renewed.
    pub renewals: u32,
    /// Seconds since its user last did something, as it says.
    pub idle_s: u32,
    /// Whether a long calculation is running, as it says.
    pub busy: bool,
    /// Whether there is unsaved work, as it says.
    pub unsaved: bool,
    /// Whether it stands above what the licences in force allow.
    pub overage: bool,
    /// Whether it was released, and its seats stay with its holder.
    pub lingers: bool,
}

/// Why seats are not granted to just anybody; empty if they are.
pub(super) fn not_ready(state: &AdminState, now: Now) -> Vec<String> {
    let mut reasons = Vec::new();
    if state.is_draining() {
        reasons.push("the server is shutting down".to_owned());
    }
    if state.shared.realms().is_empty() {
        reasons.push("no publisher is trusted: there is nothing to serve".to_owned());
    } else if state.shared.realms().iter().all(|realm| realm.certificates == 0) {
        reasons.push("no licence is in force".to_owned());
    }
    if let Some(ms) = blind_ms(state, now) {
        reasons.push(format!("restarted: for {ms} ms more only holders of a ticket are granted seats"));
    }
    if let Some(failing) = state.journal.failing() {
        reasons.push(format!("the journal cannot be written, so nothing new is granted: {}", failing.why));
    }
    reasons
}

fn blind_ms(state: &AdminState, now: Now) -> Option<u64> {
    state.shared.blind_until(now.mono).map(|until| until.ms_since(now.mono))
}

impl StatusView {
    pub(super) fn of(state: &AdminState, now: Now) -> Self {
        Self {
            version: crate::VERSION,
            protocol: packet::VERSION,
            server_id: format!("{:016x}", state.server_id),
            pid: std::process::id(),
            at: rfc3339(now.wall),
            started_at: rfc3339(state.started.wall),
            uptime_ms: now.mono.ms_since(state.started.mono),
            udp: state.udp.iter().map(ToString::to_string).collect(),
            realms: state.shared.realms().iter().map(RealmView::of).collect(),
            features: state.shared.features(now).len(),
            leases: state.shared.live_leases(),
            sessions: state.shared.live_sessions(),
            ready: not_ready(state, now).is_empty(),
            draining: state.is_draining(),
            blind_until: state.shared.blind_until(now.mono).map(|until| rfc3339(wall_of(until, now))),
            blind_ms: blind_ms(state, now),
            clock: ClockView::of(state, now),
            warnings: state.warnings.load().to_vec(),
        }
    }
}

impl RealmView {
    fn of(realm: &RealmStatus) -> Self {
        Self {
            id: realm.id.to_string(),
            publisher: realm.publisher.to_string(),
            fingerprint: realm.fingerprint.to_string(),
            open: realm.open,
            certificates: realm.certificates,
            next_change_at: realm.next_change.map(rfc3339),
        }
    }
}

/// Names of publishers by realm. A realm that went meanwhile keeps its id.
struct Publishers(Vec<RealmStatus>);

impl Publishers {
    fn of(&self, id: RealmId) -> String {
        self.0.iter().find(|realm| realm.id == id).map_or_else(|| id.to_string(), |realm| realm.publisher.to_string())
    }
}

impl FeaturesView {
    pub(super) fn of(shared: &Shared, now: Now) -> Self {
        let publishers = Publishers(shared.realms());
        let features = shared.features(now);
        let features = features.iter().map(|f| FeatureView::of(f, publishers.of(f.realm), now)).collect();
        Self { at: rfc3339(now.wall), features }
    }
}

impl ReservationsView {
    pub(super) fn of(shared: &Shared, now: Now) -> Self {
        let publishers = Publishers(shared.realms());
        let view = |r: ReservationStatus| ReservationView {
            publisher: publishers.of(r.realm),
            rule: r.rule,
            feature: r.feature.to_string(),
            version: r.version.to_string(),
            seats: r.seats,
            used: r.used,
            short: r.short,
        };
        Self { at: rfc3339(now.wall), reservations: shared.reservations().into_iter().map(view).collect() }
    }
}

impl FeatureView {
    fn of(feature: &FeatureStatus, publisher: String, now: Now) -> Self {
        let lot = |lot: &leasehold_core::LotStatus| LotView {
            certificate: lot.certificate.to_string(),
            version: lot.version.to_string(),
            count: lot.count,
            used: lot.used,
            ends_at: lot.ends.map(rfc3339),
        };
        Self {
            publisher,
            feature: feature.name.to_string(),
            version: feature.version.to_string(),
            count: feature.count,
            used: feature.used,
            overdraft: feature.overdraft,
            overdraft_used: feature.overdraft_used,
            soft_limit: feature.soft_limit,
            upgraded_by: feature.upgraded_by,
            largest: feature.largest,
            drawn_from: feature.drawn.as_ref().map(|(name, _)| name.to_string()),
            drawn_each: feature.drawn.as_ref().map(|(_, each)| *each),
            lingering: feature.lingering,
            used_up: feature.used_up,
            withheld: feature.withheld,
            free: feature.count.map(|_| feature.free),
            overage: feature.overage,
            reserved: feature.reserved,
            leases: feature.leases,
            waiting: feature.waiting,
            next_end_at: feature.next_end.map(rfc3339),
            next_end_ms: feature.next_end.map(|UnixMillis(ms)| ms.saturating_sub(now.wall.0)),
            starts_at: feature.not_started.map(rfc3339),
            ended_at: feature.ended.map(rfc3339),
            lots: feature.lots.iter().map(lot).collect(),
        }
    }
}

impl LeasesView {
    pub(super) fn of(shared: &Shared, now: Now, feature: Option<&FeatureName>, offset: usize, limit: usize) -> Self {
        let publishers = Publishers(shared.realms());
        let mut leases = shared.leases(now);
        leases.retain(|lease| feature.is_none_or(|feature| lease.feature == *feature));
        let page = leases.iter().skip(offset).take(limit);
        Self {
            at: rfc3339(now.wall),
            total: leases.len(),
            offset,
            limit,
            leases: page.map(|lease| LeaseView::of(lease, publishers.of(lease.realm), now)).collect(),
        }
    }
}

impl LeaseView {
    fn of(lease: &LeaseStatus, publisher: String, now: Now) -> Self {
        let holder = &*lease.holder;
        let text = |label: &Option<leasehold_protocol::vocab::Label>| label.as_ref().map(ToString::to_string);
        Self {
            id: lease.id.to_string(),
            publisher,
            feature: lease.feature.to_string(),
            version: lease.version.to_string(),
            seats: lease.seats.get(),
            user: holder.user.to_string(),
            host: holder.host.to_string(),
            display: text(&holder.display),
            process: holder.process.to_string(),
            pid: holder.pid,
            project: text(&holder.project),
            device_alias: text(&holder.device_alias),
            device: holder.device.to_string(),
            client: lease.client.to_string(),
            address: lease.address.map(|address| address.to_string()),
            granted_at: rfc3339(lease.granted_wall),
            held_ms: now.mono.ms_since(lease.granted_at),
            expires_at: rfc3339(wall_of(lease.deadline, now)),
            remaining_ms: lease.remaining_ms,
            renewals: lease.renewals,
            idle_s: lease.activity.idle_s,
            busy: lease.activity.busy,
            unsaved: lease.activity.unsaved,
            overage: lease.overage,
            lingers: lease.lingers,
        }
    }
}
