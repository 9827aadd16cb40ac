//! The list of settings: name, how its text is read, how its value prints.

use std::{path::Path, time::Duration};

use super::values::{self, Read};
use crate::settings::{BUSY_POLL_MAX, Settings, WORKERS_MAX};

/// One setting. Its name with hyphens is its flag and its key in the file; in capitals with underscores and
/// `LEASEHOLD_` before it, its variable.
pub(super) struct Setting {
    pub name: &'static str,
    /// Relative ones in a file are taken from the file's folder.
    pub is_path: bool,
    /// For a setting with many values: forgets those of a lower layer.
    pub clear: Option<fn(&mut Settings)>,
    /// Reads one text into the settings.
    pub read: fn(&mut Settings, &str) -> Read<()>,
    /// The values as people read them.
    pub show: fn(&Settings) -> Vec<String>,
}

impl Setting {
    pub fn id(&self) -> String {
        self.name.replace('-', "_")
    }

    pub fn variable(&self) -> String {
        format!("LEASEHOLD_{}", self.id().to_uppercase())
    }
}

const fn one(
    name: &'static str,
    read: fn(&mut Settings, &str) -> Read<()>,
    show: fn(&Settings) -> Vec<String>,
) -> Setting {
    Setting { name, is_path: false, clear: None, read, show }
}

/// What the core's tables can address.
const LEASES_MAX: u32 = 1 << 24;
const SESSIONS_MAX: u32 = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// Every setting, in the order `config show` prints them.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        is_path: true,
        ..one("data-dir", |s, t| set(&mut s.data_dir, values::path(t)), |s| paths([&s.data_dir]))
    },
    Setting {
        is_path: true,
        clear: Some(|s| s.licences.clear()),
        ..one("licence", |s, t| push(&mut s.licences, values::path(t)), |s| paths(&s.licences))
    },
    Setting {
        is_path: true,
        clear: Some(|s| s.publisher_keys.clear()),
        ..one("publisher-key", |s, t| push(&mut s.publisher_keys, values::path(t)), |s| paths(&s.publisher_keys))
    },
    Setting {
        is_path: true,
        ..one("policy", |s, t| set(&mut s.policy, values::path(t).map(Some)), |s| paths(&s.policy))
    },
    Setting {
        is_path: true,
        ..one("site-key", |s, t| set(&mut s.site_key, values::path(t).map(Some)), |s| paths(&s.site_key))
    },
    Setting {
        clear: Some(|s| s.listen.clear()),
        ..one(
            "listen",
            |s, t| push(&mut s.listen, values::listen(t)),
            |s| s.listen.iter().map(ToString::to_string).collect(),
        )
    },
    one("watch", |s, t| set(&mut s.watch, values::switch(t)), |s| on_off(s.watch)),
    one("port", |s, t| set(&mut s.port, values::port(t)), |s| vec![s.port.to_string()]),
    one("http", |s, t| set(&mut s.http, values::http(t)), |s| vec![s.http.to_string()]),
    one("discovery", |s, t| set(&mut s.discovery, values::switch(t)), |s| on_off(s.discovery)),
    one(
        "discovery-off-link",
        |s, t| set(&mut s.discovery_off_link, values::switch(t)),
        |s| on_off(s.discovery_off_link),
    ),
    one("workers", |s, t| set(&mut s.workers, workers(t)), |s| vec![s.workers.to_string()]),
    one(
        "busy-poll",
        |s, t| set(&mut s.busy_poll, values::time(t, Duration::ZERO, BUSY_POLL_MAX)),
        |s| vec![values::show_time(s.busy_poll)],
    ),
    one(
        "lease-ttl",
        |s, t| set(&mut s.lease_ttl, values::time(t, Duration::from_secs(2), DAY)),
        |s| vec![values::show_time(s.lease_ttl)],
    ),
    one(
        "limit-leases",
        |s, t| set(&mut s.limits.leases, values::count(t, 1, LEASES_MAX)),
        |s| vec![s.limits.leases.to_string()],
    ),
    one(
        "limit-sessions",
        |s, t| set(&mut s.limits.sessions, values::count(t, 1, SESSIONS_MAX)),
        |s| vec![s.limits.sessions.to_string()],
    ),
    one(
        "limit-handshakes",
        |s, t| set(&mut s.limits.handshakes_per_second, values::count(t, 1, 1_000_000)),
        |s| vec![s.limits.handshakes_per_second.to_string()],
    ),
    one(
        "limit-discovers",
        |s, t| set(&mut s.limits.discovers_per_second, values::count(t, 1, 1_000_000)),
        |s| vec![s.limits.discovers_per_second.to_string()],
    ),
    one(
        "clock-tolerance",
        |s, t| set(&mut s.clock_tolerance, values::time(t, Duration::ZERO, DAY * 31)),
        |s| vec![values::show_time(s.clock_tolerance)],
    ),
    one(
        "drain-time",
        |s, t| set(&mut s.drain, values::time(t, Duration::ZERO, Duration::from_secs(3600))),
        |s| vec![values::show_time(s.drain)],
    ),
    one("history", |s, t| set(&mut s.history, values::switch(t)), |s| on_off(s.history)),
    one(
        "history-keep",
        |s, t| set(&mut s.history_keep, values::count(t, 0, 36_500).map(|days| days * DAY)),
        |s| vec![(s.history_keep.as_secs() / DAY.as_secs()).to_string()],
    ),
    one("log-level", |s, t| set(&mut s.log.filter, values::log_filter(t)), |s| vec![s.log.filter.clone()]),
    one("log-format", |s, t| set(&mut s.log.format, values::log_format(t)), |s| vec![s.log.format.to_string()]),
];

fn set<T>(place: &mut T, read: Read<T>) -> Read<()> {
    read.map(|value| *place = value)
}

fn push<T>(place: &mut Vec<T>, read: Read<T>) -> Read<()> {
    read.map(|value| place.push(value))
}

fn workers(text: &str) -> Read<usize> {
    let max = u32::try_from(WORKERS_MAX).unwrap_or(u32::MAX);
    values::count(text, 0, max).map(|n| n as usize)
}

fn on_off(on: bool) -> Vec<String> {
    vec![if on { "on" } else { "off" }.to_owned()]
}

fn paths<'a, P: AsRef<Path> + 'a>(paths: impl IntoIterator<Item = &'a P>) -> Vec<String> {
    paths.into_iter().map(|path| path.as_ref().display().to_string()).collect()
}
