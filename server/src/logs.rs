//! The log: to stderr, for people on a terminal, one JSON object a line elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::settings::{LogFormat, LogSettings};

/// Whether lines are for programs.
#[must_use]
pub fn is_json(log: &LogSettings) -> bool {
    match log.format {
        LogFormat::Human => false,
        LogFormat::Json => true,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    }
}

/// Whether stderr is to be coloured: a terminal, and `NO_COLOR` is not set to anything.
#[must_use]
pub fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Starts the log of this process. Whether it did: a process has one log, and the first to ask for it decides.
pub fn start(log: &LogSettings) -> bool {
    // The filter was checked when it was read; one that a program made up and cannot be read logs what `info` does.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    if is_json(log) {
        registry.with(lines.json().flatten_event(true)).try_init().is_ok()
    } else {
        registry.with(lines.with_ansi(is_coloured()).with_target(false)).try_init().is_ok()
    }
}
