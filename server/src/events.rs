//! What the core did, as lines of log.
//!
//! Seats going out and coming back are `info`, refusals are `info` too because somebody will ask why; renewals are
//! `trace`, sessions `debug`. A datagram that was dropped is a counter and never a line: a stranger must not be able to
//! fill a disk.

use leasehold_core::{Ended, Event, Shared};
use tracing::{debug, error, info, trace};

/// Whether a renewal makes a line.
pub(crate) fn renewals_are_logged() -> bool {
    tracing::enabled!(tracing::Level::TRACE)
}

/// Writes the line of `event`.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Granted(granted) => info!(
            realm = %granted.realm,
            lease = %granted.lease,
            feature = %granted.feature,
            version = %granted.version,
            seats = granted.seats.get(),
            user = %granted.holder.user,
            host = %granted.holder.host,
            pid = granted.holder.pid,
            client = %granted.client,
            by_ticket = granted.by_ticket,
            "granted"
        ),
        Event::Renewed { lease, deadline, .. } => trace!(%lease, deadline_ms = deadline.0, "renewed"),
        Event::Released(ended) => log_ended(ended, "released"),
        Event::Expired(ended) => log_ended(ended, "expired"),
        Event::LingerEnded(ended) => log_ended(ended, "lingers no more"),
        Event::Reclaimed(taken) => info!(
            realm = %taken.realm,
            lease = %taken.lease,
            feature = %taken.feature,
            seats = taken.seats.get(),
            user = %taken.holder.user,
            host = %taken.holder.host,
            rule = taken.rule,
            "idle while somebody waits, and renewed no more"
        ),
        Event::AskedToLetGo { lease, rule, until } => info!(
            %lease,
            rule,
            until_ms = until.0,
            "idle while somebody waits: its holder was asked to let go"
        ),
        Event::Denied(denied) => info!(
            realm = %denied.realm,
            feature = denied.feature.as_ref().map(tracing::field::display),
            seats = denied.seats.map(leasehold_protocol::vocab::SeatCount::get),
            code = %denied.code,
            rule = denied.rule,
            client = %denied.client,
            "denied: {}", denied.sentence
        ),
        Event::SessionOpened { realm, client, from, replaced, .. } => {
            debug!(%realm, %client, %from, replaced, "session opened");
        }
        Event::SessionClosed { realm, client, why } => debug!(%realm, %client, ?why, "session closed"),
        Event::LedgerBroken(e) => error!(
            "the seats do not add up: {e}. This is a defect of leasehold: please report it, with this log; a restart counts anew"
        ),
        Event::StoreIsOld { ticket, ours, blind_until } => error!(
            ticket,
            ours,
            blind_until_ms = blind_until.0,
            "a client holds a seat that the data folder does not know of although it should: an old copy was put in its place. Only \
             programs that hold a seat are granted one for one TTL"
        ),
        Event::PlanChanged { realm, at } => info!(%realm, at_unix_ms = at.0, "licences began or ended by their dates"),
        other => debug!(?other, "event"),
    }
}

/// Writes what was dropped since the start as one line, if that is more than `before`; how many it is now.
pub(crate) fn log_drops(shared: &Shared, before: u64) -> u64 {
    let counters = shared.counters();
    let drops = || counters.iter().filter(|(name, count)| name.starts_with("drop_") && *count > 0);
    let total = drops().map(|(_, count)| count).sum();
    if total > before {
        let each: Vec<_> =
            drops().map(|(name, count)| format!("{}={count}", name.trim_start_matches("drop_"))).collect();
        debug!("datagrams dropped since the start: {}", each.join(" "));
    }
    total
}

fn log_ended(ended: &Ended, what: &str) {
    info!(
        realm = %ended.realm,
        lease = %ended.lease,
        feature = %ended.feature,
        seats = ended.seats.get(),
        user = %ended.holder.user,
        host = %ended.holder.host,
        held_ms = ended.at.ms_since(ended.granted_at),
        renewals = ended.renewals,
        "{what}"
    );
}
