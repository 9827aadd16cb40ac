//! `leasehold serve`: starts, says where it is, obeys signals, ends.
//!
//! | signal | does |
//! |---|---|
//! | `SIGHUP` | reads the licences anew, as a changed file does by itself; a bad file changes nothing |
//! | `SIGINT`, `SIGTERM` | drains: says what it waits for and until when; a second one ends at once |

use std::{io::Write as _, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    alarms::Alarms,
    clock::clock_now,
    error::{StartError, exit},
    instant::{rfc3339, words},
    ledger::{By, Who},
    loader::ReloadError,
    logs,
    running::{Running, StopReport},
    settings::Settings,
    watch::Watch,
};

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it was asked to.
    Stopped(StopReport),
    /// By a second signal, without waiting.
    AtOnce,
    /// By a fault of a worker.
    Fault,
}

impl Ending {
    /// The status the process ends with: see [`exit`].
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Stopped(_) => exit::STOPPED,
            Self::AtOnce => exit::AT_ONCE,
            Self::Fault => exit::FAULT,
        }
    }
}

/// The signals a server obeys. Made before anything else, so that none is lost while it starts.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// What a signal asks for.
enum Heard {
    Reload,
    End(&'static str),
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let of = |kind| signal(kind).map_err(StartError::Signals);
        Ok(Self {
            hangup: of(SignalKind::hangup())?,
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.hangup.recv() => Heard::Reload,
            _ = self.interrupt.recv() => Heard::End("SIGINT"),
            _ = self.terminate.recv() => Heard::End("SIGTERM"),
        }
    }

    /// The next signal to end; to read licences anew is too late then.
    async fn end(&mut self) {
        while let Heard::Reload = self.next().await {}
    }
}

/// Serves until a signal ends it. Starts the log of this process, and says on stderr where the server is.
///
/// # Errors
/// If it cannot start: each with its remedy.
pub async fn run(settings: Settings) -> Result<Ending, StartError> {
    let _log = logs::start(&settings.log);
    run_with(settings, announce).await
}

/// Serves until a signal ends it, and leaves the log and the words to others: `started` is called when clients can be
/// served.
///
/// # Errors
/// If it cannot start: each with its remedy.
pub async fn run_with(settings: Settings, started: impl FnOnce(&Running)) -> Result<Ending, StartError> {
    let mut signals = Signals::new()?;
    let drain = settings.drain;
    let watching = settings.watch;
    let running = Running::start(settings).await?;
    started(&running);
    let mut watch = Watch::new(if watching { running.watched() } else { Vec::new() });
    let mut alarms = Alarms::default();
    // What was to be read and could not be entered in the ledger: once it can.
    let mut again = None;
    loop {
        tokio::select! {
            () = watch.settled() => again = reload(&running, Why::FILE),
            () = alarms.due(&running) => again = again.and_then(|why| reload(&running, why)),
            heard = signals.next() => match heard {
                Heard::Reload => again = reload(&running, Why::HANGUP),
                Heard::End(name) => {
                    tracing::info!("{name}: shutting down");
                    return Ok(end(running, drain, &mut signals).await);
                }
            },
            () = running.worker_failed() => {
                tracing::error!("a worker ended by a fault of its own: this is a defect, please report it with this log");
                running.stop_now().await;
                return Ok(Ending::Fault);
            }
        }
    }
}

fn announce(running: &Running) {
    if logs::is_json(&running.settings().log) {
        for warning in running.warnings().iter() {
            tracing::warn!("{warning}");
        }
        for realm in running.shared().realms() {
            tracing::info!(publisher = %realm.publisher, fingerprint = %realm.fingerprint, open = realm.open, "realm");
        }
        let udp: Vec<_> = running.udp_addresses().iter().map(ToString::to_string).collect();
        let http = running.http_address().map(|address| address.to_string());
        let data_dir = running.settings().data_dir.display();
        tracing::info!(version = crate::VERSION, pid = std::process::id(), udp = udp.join(","), http, %data_dir, "serving");
        return;
    }
    // A server goes on serving where nobody reads its words.
    let _ = write!(std::io::stderr(), "{}", running.banner());
}

/// Why files are read anew.
#[derive(Clone, Copy)]
struct Why(Who, &'static str);

impl Why {
    const FILE: Self = Self(Who::File, "a file changed");
    const HANGUP: Self = Self(Who::Signal, "SIGHUP");
}

/// Reads anew; tells if that is to be tried again.
fn reload(running: &Running, why: Why) -> Option<Why> {
    let Why(who, words) = why;
    match running.reload_by(&By { who, from: words.to_owned() }) {
        Ok(report) => {
            tracing::info!(applied = report.applied(), "{words}: licences read anew");
            running.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            None
        }
        Err(e) => {
            tracing::error!("{words}: {e}");
            matches!(e, ReloadError::Ledger(_)).then_some(why)
        }
    }
}

async fn end(running: Running, drain: Duration, signals: &mut Signals) -> Ending {
    running.begin_drain();
    let out = running.shared().live_leases();
    if out > 0 {
        let ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
        let mut until = clock_now().wall;
        until.0 = until.0.saturating_add(ms);
        tracing::info!(
            "waiting for {out} lease{} until {} ({}); the same signal again ends at once",
            if out == 1 { "" } else { "s" },
            rfc3339(until),
            words(ms),
        );
    }
    let began = tokio::time::Instant::now();
    let at_once = tokio::select! {
        () = running.drained(drain) => false,
        () = signals.end() => true,
    };
    let waited = began.elapsed();
    let leases_out = running.finish().await;
    match leases_out {
        0 => tracing::info!("stopped: every lease is back"),
        n => tracing::info!("stopped with {n} out: the next start has them again"),
    }
    if at_once { Ending::AtOnce } else { Ending::Stopped(StopReport { leases_out, waited }) }
}
