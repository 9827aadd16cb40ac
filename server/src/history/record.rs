//! What is told of an event.

use std::{collections::HashMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use leasehold_core::{Ended, Event};
use leasehold_protocol::{
    message::{Holder, LotUse},
    time::{Now, UnixMillis},
    vocab::{RealmId, Version},
};

#[cfg(feature = "history")]
use super::names::NameKind;
use crate::{instant::wall_of, looked::LookedView};

/// How many things of a record stand in the file by pseudonyms.
#[cfg(feature = "history")]
pub(super) const NAMED: usize = 7;

/// What happened. The word is what stands in the file, and does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Seats went out.
    Granted,
    /// A request or a renewal was answered "no".
    Denied,
    /// Seats came back by their holder's wish.
    Released,
    /// Seats came back because nobody renewed.
    Expired,
    /// A lease is not renewed any more, because its holder was idle and somebody waits.
    Reclaimed,
    /// Seats that stayed with their holder after a release came free.
    LingerEnded,
    /// Wall clock and lease clock parted: somebody set the clock, or the machine came back from a snapshot.
    ClockSet,
    /// The server started.
    Started,
    /// The server ended as it should.
    Stopped,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Granted,
        Self::Denied,
        Self::Released,
        Self::Expired,
        Self::Reclaimed,
        Self::LingerEnded,
        Self::ClockSet,
        Self::Started,
        Self::Stopped,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Reclaimed => "reclaimed",
            Self::LingerEnded => "linger-ended",
            Self::ClockSet => "clock-set",
            Self::Started => "started",
            Self::Stopped => "stopped",
        }
    }

    /// Whether seats came back.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Released | Self::Expired | Self::LingerEnded)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// No kind has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind of event")]
pub struct NoSuchKind;

impl FromStr for Kind {
    type Err = NoSuchKind;

    fn from_str(text: &str) -> Result<Self, NoSuchKind> {
        Self::ALL.into_iter().find(|kind| kind.word() == text).ok_or(NoSuchKind)
    }
}

/// A version that was asked for; `None`: any.
fn version(wanted: Version) -> Option<String> {
    (wanted != Version::ANY).then(|| wanted.to_string())
}

/// The certificates that seats are of, as the file has them.
fn lots(uses: &[LotUse]) -> String {
    let lot = |LotUse { certificate, version, seats }: &LotUse| format!("{certificate}:{version}:{seats}");
    uses.iter().map(lot).collect::<Vec<_>>().join(" ")
}

/// Whether an event is one that the history tells of.
pub(super) const fn is_told(event: &Event) -> bool {
    matches!(
        event,
        Event::Granted(_)
            | Event::Denied(_)
            | Event::Released(_)
            | Event::Expired(_)
            | Event::Reclaimed(_)
            | Event::LingerEnded(_)
            | Event::ClocksParted { .. }
    )
}

/// One line of the history, before names become pseudonyms. What it has no value for is `None`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) at: UnixMillis,
    pub(super) kind: Kind,
    /// The publisher's name.
    pub(super) realm: Option<String>,
    pub(super) feature: Option<String>,
    pub(super) version: Option<String>,
    /// Of a start: leases of the life before that are out again.
    pub(super) seats: Option<u64>,
    pub(super) lease: Option<String>,
    pub(super) holder: Option<Arc<Holder>>,
    pub(super) held_ms: Option<u64>,
    pub(super) code: Option<u16>,
    /// Of a start: how the life before ended, in a word.
    pub(super) rule: Option<String>,
    /// Names those who are in it.
    pub(super) sentence: Option<String>,
    pub(super) by_ticket: Option<bool>,
    /// Of a clock that was set: by how much, below zero if back.
    pub(super) by_ms: Option<i64>,
    /// Where it was asked from.
    pub(super) address: Option<IpAddr>,
    /// Of a grant: the certificates its seats are of.
    pub(super) lots: Option<String>,
    /// Of a denial: what was looked at, as JSON.
    pub(super) looked: Option<String>,
}

impl Record {
    /// What is of no lease.
    pub(super) const fn mark(kind: Kind, at: UnixMillis) -> Self {
        Self {
            at,
            kind,
            realm: None,
            feature: None,
            version: None,
            seats: None,
            lease: None,
            holder: None,
            held_ms: None,
            code: None,
            rule: None,
            sentence: None,
            by_ticket: None,
            by_ms: None,
            address: None,
            lots: None,
            looked: None,
        }
    }

    /// What is told of `event`, seen at `now`; `None`: nothing.
    pub(super) fn of(event: Event, now: Now, realms: &HashMap<RealmId, String>) -> Option<Self> {
        let realm = |id: RealmId| Some(realms.get(&id).cloned().unwrap_or_else(|| id.to_string()));
        match event {
            Event::Granted(granted) => Some(Self {
                realm: realm(granted.realm),
                feature: Some(granted.feature.to_string()),
                version: version(granted.version),
                seats: Some(granted.seats.get().into()),
                lease: Some(granted.lease.to_string()),
                holder: Some(granted.holder),
                by_ticket: Some(granted.by_ticket),
                address: Some(granted.address),
                lots: Some(lots(&granted.lots)),
                ..Self::mark(Kind::Granted, granted.wall)
            }),
            Event::Denied(denied) => Some(Self {
                realm: realm(denied.realm),
                version: version(denied.version),
                feature: denied.feature.map(|feature| feature.to_string()),
                seats: denied.seats.map(|seats| seats.get().into()),
                holder: denied.holder,
                code: Some(denied.code.0),
                rule: Some(denied.rule),
                sentence: Some(denied.sentence),
                address: Some(denied.address),
                looked: denied.looked.and_then(|looked| serde_json::to_string(&LookedView::from(&*looked)).ok()),
                ..Self::mark(Kind::Denied, now.wall)
            }),
            Event::Released(ended) => Some(Self::of_end(*ended, Kind::Released, now, realm)),
            Event::Expired(ended) => Some(Self::of_end(*ended, Kind::Expired, now, realm)),
            Event::Reclaimed(taken) => Some(Self {
                realm: realm(taken.realm),
                feature: Some(taken.feature.to_string()),
                seats: Some(taken.seats.get().into()),
                lease: Some(taken.lease.to_string()),
                holder: Some(taken.holder),
                rule: Some(taken.rule),
                ..Self::mark(Kind::Reclaimed, now.wall)
            }),
            Event::LingerEnded(ended) => Some(Self::of_end(*ended, Kind::LingerEnded, now, realm)),
            Event::ClocksParted { by_ms, .. } => {
                Some(Self { by_ms: Some(by_ms), ..Self::mark(Kind::ClockSet, now.wall) })
            }
            _ => None,
        }
    }

    /// What it has that stands in the file by a pseudonym.
    #[cfg(feature = "history")]
    pub(super) fn named(&self) -> [(NameKind, Option<std::borrow::Cow<'_, str>>); NAMED] {
        let holder = self.holder.as_deref();
        [
            (NameKind::User, holder.map(|holder| holder.user.as_str().into())),
            (NameKind::Host, holder.map(|holder| holder.host.as_str().into())),
            (NameKind::Project, holder.and_then(|holder| Some(holder.project.as_ref()?.as_str().into()))),
            (NameKind::Display, holder.and_then(|holder| Some(holder.display.as_ref()?.as_str().into()))),
            (NameKind::Sentence, self.sentence.as_deref().map(Into::into)),
            (NameKind::Address, self.address.map(|address| address.to_string().into())),
            (NameKind::Device, holder.map(|holder| holder.device.to_string().into())),
        ]
    }

    fn of_end(ended: Ended, kind: Kind, now: Now, realm: impl Fn(RealmId) -> Option<String>) -> Self {
        // Of the time before seats stayed, the release tells that they stayed after.
        let since = ended.lingered.unwrap_or(ended.granted_at);
        Self {
            realm: realm(ended.realm),
            feature: Some(ended.feature.to_string()),
            seats: Some(ended.seats.get().into()),
            lease: Some(ended.lease.to_string()),
            held_ms: Some(ended.at.ms_since(since)),
            holder: Some(ended.holder),
            ..Self::mark(kind, wall_of(ended.at, now))
        }
    }
}
