//! More than a server can take, for a minute, and what remains of it.

use std::{
    io,
    time::{Duration, Instant},
};

use leasehold_benches::{
    blast::{Blaster, Load, Pace, Socket},
    report::Report,
    served::Cores,
};

use crate::{
    Effort,
    flood::{TTL, note},
    line_up::{HANDSHAKES, SOCKETS, WINDOW},
    ours::{Ours, Renewals},
};

/// Beyond the limit, so many questions are in flight on so many sockets. At 400 000 a second each is given up after 80 ms:
/// a server's socket has room for some 10 000, and answers those that wait in it after 50 ms.
const WINDOW_BEYOND: usize = 256;
const SOCKETS_BEYOND: usize = 128;
const CLIENTS_EACH: usize = 8;
/// What is asked, over what it can answer.
const FACTOR: f64 = 2.0;
/// A server has recovered when, for so long, nearly all is answered, and nearly as soon as ever.
const CALM: Duration = Duration::from_millis(20);
const NEARLY_ALL: f64 = 0.95;
const NEARLY_AS_SOON: f64 = 2.0;
/// By then it should have.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures what a server answers at its limit, beyond it, and how soon it is itself again.
pub fn measure(effort: &Effort, cores: Cores, report: &mut Report) -> io::Result<()> {
    let ours = Ours::start(cores, TTL, HANDSHAKES)?;
    let probe = || ours.served.cpu();
    let limit = clients(&ours, SOCKETS, WINDOW)?.run(Pace::Full, effort.full, &probe)?.per_second();
    let mut load = clients(&ours, SOCKETS_BEYOND, WINDOW_BEYOND)?;
    let calm = load.run(Pace::Rate(limit / 2.0), effort.half, &probe)?;
    let beyond = load.run_at_once(Pace::Overrun(limit * FACTOR), effort.overload)?;
    let recovered = recover(&mut load, limit / 2.0, calm.micros(0.99))?;
    // Every client renews once more at least: who has lost a lease is told so.
    let after = load.run(Pace::Rate(limit / 2.0), effort.half, &probe)?;
    let offered = beyond.asked as f64 / beyond.took.as_secs_f64();
    let title = format!("Asked for more than it can answer, for {} s", effort.overload.as_secs());
    let phases = [("half", &calm), ("beyond", &beyond), ("half, afterwards", &after)];
    phases.iter().for_each(|(name, outcome)| note(report, "overload", name, outcome));
    let rows = phases.map(|(name, outcome)| {
        let asked = outcome.asked as f64 / outcome.took.as_secs_f64() / limit;
        let [p50, p99] = [0.5, 0.99].map(|share| outcome.micros(share));
        format!("| {name} | {asked:.2} | {:.2} | {p50:.0} | {p99:.0} |", outcome.per_second() / limit)
    });
    report.table(&title, "| load | asked ÷ limit | answered ÷ limit | p50, µs | p99, µs |", rows);
    let soon = recovered.map_or_else(|| "not at all".to_owned(), |after| format!("after {} ms", after.as_millis()));
    report.say(&format!(
        "Its limit: {limit:.0} renewals a second. Asked for {offered:.0}; as before {soon}. Leases lost: {} of {}.",
        load.dialect.lost(),
        SOCKETS_BEYOND * CLIENTS_EACH,
    ));
    Ok(())
}

/// Clients with a lease each, some behind every socket.
fn clients(ours: &Ours, sockets: usize, window: usize) -> io::Result<Blaster<Renewals>> {
    let sockets = Socket::datagrams(ours.address, sockets)?;
    let clients = Renewals::open(&ours.peer, &sockets, CLIENTS_EACH, 1)?;
    Ok(Blaster::new(clients, sockets.into_iter().map(Socket::from).collect(), window))
}

/// How long it takes until the server answers `rate` questions a second as it did when 99 of 100 took `micros` at most.
fn recover(load: &mut Blaster<Renewals>, rate: f64, micros: f64) -> io::Result<Option<Duration>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let after = began.elapsed();
        let now = load.run_at_once(Pace::Rate(rate), CALM)?;
        let (asked, answered) = (now.asked as f64, now.answered as f64);
        if answered >= asked * NEARLY_ALL && now.micros(0.99) <= micros * NEARLY_AS_SOON {
            return Ok(Some(after));
        }
    }
    Ok(None)
}
