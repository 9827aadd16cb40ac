//! What a certificate grants, in plain words: for the publisher before it is signed.

use std::time::Duration;

use leasehold_protocol::{
    licence::{
        Certificate, KeyType, SeatLimit, Terms,
        certificate::{Dialect, Metered, Permission, Pooling, Together},
    },
    time::UnixMillis,
    vocab::HostId,
};

use crate::{
    human,
    output::{STRONG, paint},
};

/// A paragraph about `c`, as seen at `now`.
pub(super) fn certificate(c: &Certificate, now: UnixMillis) -> String {
    let mut out = format!("{}\n", paint(STRONG, heading(c)));
    let lines = [what(c), when(c, now), seats(&c.terms), leases(&c.terms), places(&c.terms), words(&c.terms)];
    for line in lines.into_iter().flatten() {
        out += &format!("  {line}\n");
    }
    out
}

fn heading(c: &Certificate) -> String {
    let t = &c.terms;
    let seats = match (c.count, &t.cost) {
        (_, Some(cost)) => return format!("{} {}: each seat is made of {cost}", c.feature, c.version),
        (SeatLimit::Uncounted, _) => "any number of seats".to_owned(),
        (SeatLimit::Counted(n), _) if t.metered.is_some() => human::count(n.get(), "unit"),
        (SeatLimit::Counted(n), _) => human::count(n.get(), "seat"),
    };
    format!("{} {}: {seats}, for version {} and every lower one", c.feature, c.version, c.version)
}

fn what(c: &Certificate) -> Vec<String> {
    let t = &c.terms;
    let own = match (c.key_type, t.dialect, t.pools) {
        (KeyType::Upgrade, ..) => {
            "raises the count of the exclusive certificate of this feature; makes no pool, and is listed nowhere by itself"
        }
        (KeyType::Exclusive, Dialect::Replace, _) => {
            "makes the feature's pool from itself: whatever else grants this feature is muted, and the last such certificate wins"
        }
        (KeyType::Exclusive, Dialect::First, _) => {
            "makes the feature's pool; the first such certificate stays, later ones are discarded, additive ones are added"
        }
        (_, _, Pooling::Separate) => {
            "is a pool of its own beside the feature's others: a request takes its seats from one of them"
        }
        _ => "adds its seats to the feature's pool",
    };
    let mut lines = vec![own.to_owned()];
    if t.pools == Pooling::Separate && c.key_type == KeyType::Exclusive {
        lines.push("pools are separate: a request takes its seats from one of them".to_owned());
    }
    if let Some(components) = &t.components {
        let names: Vec<String> = components.features.iter().map(|(name, _)| name.to_string()).collect();
        let how = match components.together {
            Together::Package => "one component in use holds a whole seat for its holder",
            Together::Suite => "each component in use takes one of its seats",
        };
        lines.push(format!("holds {}: {how}", names.join(", ")));
    }
    if !t.supersedes.is_empty() {
        let names: Vec<String> = t.supersedes.iter().map(ToString::to_string).collect();
        lines.push(format!("takes away, while it is in force: {}", names.join(", ")));
    }
    lines
}

fn when(c: &Certificate, now: UnixMillis) -> Vec<String> {
    let instant = |at: UnixMillis| {
        let distance = human::show(Duration::from_millis(now.0.abs_diff(at.0)));
        let way = if at >= now { "from now" } else { "ago" };
        format!("{} ({}, {distance} {way})", human::instant(at), c.zone)
    };
    let from = c.starts_at().map_or("at once".to_owned(), instant);
    let until = c.ends_at().map_or("for ever".to_owned(), |at| format!("until {}", instant(at)));
    let mut lines = vec![format!("begins {from}, and is good {until}")];
    if c.end.is_some() {
        lines.push("at its end nobody is cut off: who holds a seat keeps it, and nothing new goes out".to_owned());
    }
    if let Some(days) = c.terms.trial_days {
        lines.push(format!("is a trial: it ends {} after its first use on a server", human::count(days, "day")));
    }
    lines
}

fn seats(t: &Terms) -> Vec<String> {
    let span = |s: u32| human::show(Duration::from_secs(s.into()));
    let mut lines = Vec::new();
    if let Some(soft) = t.soft_limit {
        lines.push(format!("alerts rise from {soft} seats on"));
    }
    if let Some(overdraft) = t.overdraft {
        lines.push(format!("{overdraft} more may go out, and are reported apart"));
    }
    match (t.metered, t.undo_s) {
        (Some(Metered::Consumed), Some(undo)) => {
            lines.push(format!("units are used up, unless a seat is given back within {}", span(undo)));
        }
        (Some(Metered::Consumed), None) => lines.push("units are used up for ever".to_owned()),
        (Some(Metered::Reusable), _) => lines.push("units come back with their lease".to_owned()),
        (None, _) => {}
    }
    if let Some(share) = t.share {
        lines.push(format!("requests of the same {share} may share a seat (not acted upon yet)"));
    }
    lines
}

fn leases(t: &Terms) -> Vec<String> {
    let span = |s: u32| human::show(Duration::from_secs(s.into()));
    let ttl = t.lease_ttl_s.map_or("the server's default".to_owned(), span);
    let mut lines = vec![format!(
        "a holder may go without renewing for {ttl}, and then for {} while no server answers",
        span(t.grace_s.unwrap_or(0))
    )];
    for (name, value) in
        [("linger", t.linger_s), ("minimum checkout", t.min_checkout_s), ("longest borrow", t.borrow_max_s)]
    {
        lines.extend(value.map(|s| format!("{name}: {} (not acted upon yet)", span(s))));
    }
    lines
}

fn places(t: &Terms) -> Vec<String> {
    let list = |ids: &[HostId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let rate = match t.match_rate {
        None | Some(0) => "one of".to_owned(),
        Some(rate) => format!("{rate} % of"),
    };
    let mut lines = Vec::new();
    if !t.server_keys.is_empty() {
        lines.push(format!(
            "may be served by {} alone, by their keys",
            human::count(t.server_keys.len() as u64, "server")
        ));
    }
    if !t.server_hostids.is_empty() {
        lines.push(format!("may be served by a machine with {rate} {}", list(&t.server_hostids)));
    }
    if !t.client_hostids.is_empty() {
        lines.push(format!("may be used on a machine with {rate} {}", list(&t.client_hostids)));
    }
    if !t.platforms.is_empty() {
        let names: Vec<&str> = t.platforms.iter().map(leasehold_protocol::vocab::Label::as_str).collect();
        lines.push(format!("is for {} alone", names.join(", ")));
    }
    for (what, permission) in [("virtual machines", t.vm), ("remote sessions", t.terminal_server)] {
        if permission == Permission::Refused {
            lines.push(format!("may not be used in {what}"));
        }
    }
    lines
}

fn words(t: &Terms) -> Vec<String> {
    let texts = [
        ("for the application", &t.vendor_string),
        ("serial", &t.serial),
        ("part number", &t.part_number),
        ("granted to", &t.licensee),
        ("issued by", &t.issuer),
        ("notice", &t.notice),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| text.as_ref().map(|text| format!("{name}: {text}")));
    let days = [("maintenance ends on", t.maintenance_end), ("issued on", t.issued)];
    texts.chain(days.into_iter().filter_map(|(name, day)| day.map(|day| format!("{name} {day}")))).collect()
}
