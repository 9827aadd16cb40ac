//! What the server's REST answers, as far as tables show it. Fields a newer server adds are passed over.

use std::time::Duration;

use serde::Deserialize;

use crate::human;

/// `/api/v1/status`.
#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub version: String,
    pub pid: u32,
    pub uptime_ms: u64,
    pub udp: Vec<String>,
    pub realms: Vec<Realm>,
    pub leases: u64,
    pub sessions: u64,
    pub ready: bool,
    pub draining: bool,
    pub warnings: Vec<String>,
}

/// One realm of it.
#[derive(Debug, Deserialize)]
pub(super) struct Realm {
    pub publisher: String,
    pub fingerprint: String,
}

/// One of `/api/v1/features`.
#[derive(Debug, Deserialize)]
pub(super) struct FeatureLine {
    pub publisher: String,
    pub feature: String,
    pub version: String,
    pub count: Option<u32>,
    pub used: u32,
    pub free: Option<i64>,
    /// Kept for some. Older servers do not say.
    #[serde(default)]
    pub reserved: u32,
    pub leases: u32,
    /// Older servers do not say.
    #[serde(default)]
    pub waiting: u32,
    pub next_end_at: Option<String>,
    pub starts_at: Option<String>,
    pub ended_at: Option<String>,
}

/// One of `/api/v1/leases`.
#[derive(Debug, Deserialize)]
pub(super) struct LeaseLine {
    pub id: String,
    pub feature: String,
    pub seats: u32,
    pub user: String,
    pub host: String,
    pub process: String,
    pub pid: u32,
    pub address: Option<String>,
    pub held_ms: u64,
    pub remaining_ms: u64,
    /// Released, and kept for its holder. Older servers do not say.
    #[serde(default)]
    pub lingers: bool,
    #[serde(default)]
    pub idle_s: u64,
    #[serde(default)]
    pub busy: bool,
    #[serde(default)]
    pub unsaved: bool,
}

impl LeaseLine {
    /// How long its holder has been idle, and what else his program says it is doing.
    pub fn doing(&self) -> String {
        let idle = (self.idle_s > 0).then(|| human::show(Duration::from_secs(self.idle_s)));
        let words = [idle, self.busy.then(|| "busy".to_owned()), self.unsaved.then(|| "unsaved".to_owned())];
        let said: Vec<String> = words.into_iter().flatten().collect();
        if said.is_empty() { "-".to_owned() } else { said.join(" ") }
    }
}

impl FeatureLine {
    /// When a right of it ends next, or begins, or when the last one ended, as a day.
    pub fn ends(&self) -> String {
        let day = |instant: &String| instant.split('T').next().unwrap_or_default().to_owned();
        match (&self.next_end_at, &self.starts_at, &self.ended_at) {
            (_, Some(start), _) => format!("begins {}", day(start)),
            (_, None, Some(ended)) => format!("ended {}", day(ended)),
            (Some(end), None, None) => day(end),
            (None, None, None) => "never".to_owned(),
        }
    }
}
