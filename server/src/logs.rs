//! The log: to stderr, for people on a terminal, one JSON object a line elsewhere.
//!
//! Lines are written by a thread of their own, many in a go: a grant does not wait for a reader of the log, and a reader that
//! stands still stops no server. What it cannot take by then is dropped, and counted.

use std::{
    io::{BufWriter, IsTerminal as _},
    sync::OnceLock,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
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

/// Lines that may wait to be written: two seconds of grants at full speed, in some 30 MB at the worst.
const LINES_MAX: usize = 1 << 16;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The log of this process. Dropping it writes what still waits, and ends it.
#[derive(Debug)]
pub struct Log(#[expect(dead_code, reason = "it writes for as long as it lives")] WorkerGuard);

/// Starts the log of this process; `None` if it has one already, or another program's: a process has one log, and the first
/// to ask for it decides.
#[must_use]
pub fn start(log: &LogSettings) -> Option<Log> {
    // The filter was checked when it was read; one that a program made up and cannot be read logs what `info` does.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("leasehold-log")
        .finish(BufWriter::new(std::io::stderr()));
    let dropped = writer.error_counter();
    let lines = fmt::layer().with_writer(writer);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if is_json(log) {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(is_coloured()).with_target(false)).try_init()
    };
    started.ok()?;
    let _ = DROPPED.set(dropped);
    Some(Log(guard))
}

/// Lines of log that nobody took in time.
#[must_use]
pub fn lines_dropped() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}
