//! The log: to stderr, for people on a terminal, one JSON object a line elsewhere.
//!
//! Lines are written by a thread of their own, many in a go: a grant does not wait for a reader of the log, and a reader that
//! stands still stops no server. What it cannot take by then is dropped, and counted.

use std::{
    io::{self, BufWriter, IsTerminal as _},
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::settings::{LogFormat, LogSettings};

/// Whether lines are for programs.
#[must_use]
pub fn is_json(log: &LogSettings) -> bool {
    match log.format {
        LogFormat::Human => false,
        LogFormat::Json => true,
        LogFormat::Auto => !io::stderr().is_terminal(),
    }
}

/// Whether stderr is to be coloured: a terminal, and `NO_COLOR` is not set to anything.
#[must_use]
pub fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Lines that may wait to be written: two seconds of grants at full speed, in some 30 MB at the worst.
const LINES_MAX: usize = 1 << 16;

/// What writes at present.
static WRITER: OnceLock<ArcSwap<NonBlocking>> = OnceLock::new();

/// The log of this process. Dropping it writes what still waits, for a second at most, and ends it.
#[derive(Debug)]
pub struct Log(#[expect(dead_code, reason = "it writes for as long as it lives")] WorkerGuard);

/// Starts the log of this process, or goes on with it after the last one was dropped; `None` if it has another program's. A
/// process has one log: the first to ask for it decides on level and form.
#[must_use]
pub fn start(log: &LogSettings) -> Option<Log> {
    // The filter was checked when it was read; one that a program made up and cannot be read logs what `info` does.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("leasehold-log")
        .finish(BufWriter::new(io::stderr()));
    if let Some(ours) = WRITER.get() {
        ours.store(Arc::new(writer));
        return Some(Log(guard));
    }
    let lines = fmt::layer().with_writer(writer_now);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if is_json(log) {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(is_coloured()).with_target(false)).try_init()
    };
    started.ok()?;
    // Before this nobody can have written: the lines are ours, and we have not begun.
    let _ = WRITER.set(ArcSwap::from_pointee(writer));
    Some(Log(guard))
}

/// Nothing, before the log has begun.
fn writer_now() -> Box<dyn io::Write> {
    match WRITER.get() {
        Some(writer) => Box::new(NonBlocking::clone(&writer.load())),
        None => Box::new(io::sink()),
    }
}

/// Lines of log that nobody took in time.
#[must_use]
pub fn lines_dropped() -> u64 {
    WRITER.get().map_or(0, |writer| writer.load().error_counter().dropped_lines() as u64)
}
