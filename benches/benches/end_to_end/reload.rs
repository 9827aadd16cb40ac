//! Licences read anew while a hundred thousand leases are out and renew: whether one is lost, and how long one waits.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use leasehold_benches::{
    blast::{Blaster, Load, Outcome, Pace, Socket},
    numbers::Rounds,
    report::Report,
    served::{Cores, Served, Signal},
};
use leasehold_cli::kit::Kit;
use leasehold_protocol::{
    licence::{PublisherSecret, SeatLimit, SignedCertificate, canonical, text},
    vocab::SeatCount,
};

use crate::{
    Effort,
    flood::note,
    ours::{Ours, Renewals},
};

const FEATURES: usize = 10_000;
const SOCKETS: usize = 50;
const CLIENTS_EACH: usize = 40;
/// Of each client, renewed by one datagram.
const LEASES: usize = 50;
/// Datagrams a second: every lease once a second, three hundred times as often as its client would.
const RATE: f64 = (SOCKETS * CLIENTS_EACH) as f64;
const TTL: Duration = Duration::from_secs(300);
/// Between one reading and the next.
const PAUSE: Duration = Duration::from_secs(1);
/// What the server says when it has read them.
const READ: &str = "licences read anew";
/// What it says when it has read them for the first time, and how long that took.
const LOADED: &str = "licences loaded";
/// How long a reading may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures renewals with nothing going on, while an unchanged licence is read anew once a second, and while the certificate
/// all those leases are of is another each time.
pub fn measure(effort: &Effort, cores: Cores, report: &mut Report) -> io::Result<()> {
    let Ours { served, address, peer, kit } = Ours::start_with_many(cores, TTL, FEATURES)?;
    let sockets = Socket::datagrams(address, SOCKETS)?;
    let clients = Renewals::open(&peer, &sockets, CLIENTS_EACH, LEASES)?;
    let leases = SOCKETS * CLIENTS_EACH * LEASES;
    let mut load = Blaster::new(clients, sockets.into_iter().map(Socket::from).collect(), CLIENTS_EACH);
    let mut renew = |length| load.run(Pace::Sleepy(RATE), length, &|| served.cpu());
    let calm = renew(effort.reload)?;
    let licences = [licence(&kit, 1)?, licence(&kit, 0)?];
    let mut while_read = |others: bool| {
        thread::scope(|scope| {
            let reader = scope.spawn(|| read_for(effort.reload, &served, &kit, &licences, others));
            let renewed = renew(effort.reload);
            let took = reader.join().expect("the reader does not panic");
            Ok::<_, io::Error>((renewed?, took?))
        })
    };
    let (same, same_took) = while_read(false)?;
    let (other, other_took) = while_read(true)?;
    let phases = [("nothing", &calm), ("the same, once a second", &same), ("another, once a second", &other)];
    for (name, outcome) in phases {
        note(report, "reload", name, outcome);
    }
    let title = format!(
        "{leases} leases, each renewed once a second by {RATE} datagrams, while {FEATURES} certificates are read anew"
    );
    report.table(
        &title,
        "| read meanwhile | p50, µs | p99, µs | p99.9, µs | longest, µs | unanswered |",
        phases.map(row),
    );
    report.say(&format!(
        "At its start, reading, checking and putting in force {FEATURES} certificates ({:.1} MB) took {:.2} s. From the signal until \
         they were in force: the same ones {same_took} ms, with another certificate for the feature all leases are of \
         {other_took} ms. Leases lost: {} of {leases}.",
        licences[0].len() as f64 / 1e6,
        served.number_said(LOADED, "took_ms").map_or(f64::NAN, |ms| ms as f64 / 1e3),
        load.dialect.lost(),
    ));
    Ok(())
}

fn row((name, outcome): (&str, &Outcome)) -> String {
    let [p50, p99, p999, longest] = [0.5, 0.99, 0.999, 1.0].map(|share| outcome.micros(share));
    let lost = 100.0 * outcome.share_lost();
    format!("| {name} | {p50:.0} | {p99:.0} | {p999:.0} | {longest:.0} | {lost:.2} % |")
}

/// Makes the server read its licences again and again, each time another one if `others`; how long each took, in
/// milliseconds.
fn read_for(length: Duration, served: &Served, kit: &Kit, licences: &[String; 2], others: bool) -> io::Result<Rounds> {
    let began = Instant::now();
    let mut took = Rounds::default();
    for turn in 0.. {
        if others {
            fs::write(&kit.licence_file, &licences[turn % 2])?;
        }
        let (before, asked) = (served.times_said(READ), Instant::now());
        served.signal(Signal::SIGHUP)?;
        while served.times_said(READ) == before {
            if asked.elapsed() > PATIENCE {
                return Err(io::Error::other("the server does not read its licences anew"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        if began.elapsed() + PAUSE >= length {
            break;
        }
        thread::sleep(PAUSE);
    }
    Ok(took)
}

/// The licence of `kit` with `more` seats on the certificate that is used: with any, another certificate.
fn licence(kit: &Kit, more: u32) -> io::Result<String> {
    let secret = PublisherSecret::parse(&fs::read_to_string(&kit.secret_file)?).map_err(io::Error::other)?;
    let mut all: Vec<SignedCertificate> = kit.certificates.clone();
    if let Some(first) = all.first_mut()
        && let SeatLimit::Counted(seats) = first.certificate.count
    {
        let mut certificate = first.certificate.clone();
        certificate.count = SeatLimit::Counted(SeatCount::new(seats.get() + more).map_err(io::Error::other)?);
        *first = canonical::sign(&certificate, &secret);
    }
    Ok(text::write(&all, "For a bench"))
}
