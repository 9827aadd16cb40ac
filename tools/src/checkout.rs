//! `leasehold checkout`: holds a seat while a program runs.
//!
//! | module | owns |
//! |---|---|
//! | `child` | the program: started, sent our signals, waited for |
//! | `denial` | a "no", with what to do about it |
//! | `queue` | waiting in queues, and at several servers at once |
//! | `wanted` | one feature or several, as people write it |
//! | `watch` | what becomes of the lease meanwhile |

mod child;
pub(crate) mod denial;
mod queue;
mod wanted;
mod watch;

use std::{ffi::OsString, path::Path, time::Duration};

use clap::ValueEnum;
use futures_util::future::select_all;
use leasehold::{Checkout, CheckoutError, Client, Lease};
use leasehold_protocol::vocab::{Label, NumberError, SeatCount, Version};

use crate::{
    block_on,
    connect::{self, ConnectArgs},
    exit::{Exit, Failure},
    human,
    output::{FAINT, paint},
    say,
};
use child::{Program, Signals};
use wanted::Wanted;
use watch::Watch;

/// What for, and which program.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Runs COMMAND while the seat is held and gives it back when COMMAND ends; without COMMAND holds it until Ctrl-C. Signals \
go on to COMMAND. Ends with COMMAND's own status, or 128+n if signal n ended it; 69: no server; 75: denied, waiting may \
help; 76: server not trusted; 77: denied; 126, 127: COMMAND cannot be run, was not found.

Examples:
  leasehold checkout VR_MODE -- my-app --full-screen
  leasehold checkout CAD_PRO -v 2026.1 -n 2 --wait 10m -- cad model.step
  leasehold checkout CAD_PRO --wait 1h --server berlin,paris -- cad     whichever has a seat first
  leasehold checkout SOLVER --server 5097@licences --publisher-key acme.pub -- solve
  leasehold checkout '2 SOLVER + MESH | SUITE' -- solve      all of these, or a SUITE: never a part
  leasehold checkout '4-16 WORKER' -- render     as many as there are of 16, 4 at least
  leasehold checkout VR_MODE                     hold a seat until Ctrl-C")]
pub struct Args {
    /// The feature, as `leasehold status` or the licence spells it; or several at once, all or none: '2 SOLVER + MESH', with
    /// alternatives: '2 SOLVER + MESH | SUITE', with a version: SOLVER@5.0, with fewer that will do: '2-4 SOLVER'
    #[arg(value_name = "FEATURE")]
    feature: Wanted,

    /// The program to run, with its arguments [default: none, hold the seat until Ctrl-C]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// Lowest version that will do, major.minor or major.minor.patch [default: any]
    #[arg(long = "version", short = 'v', value_name = "VERSION", help_heading = "What")]
    version: Option<Version>,

    /// How many seats, all or none
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = seats, help_heading = "What")]
    seats: SeatCount,

    /// If there is no seat, wait in the server's queue for this long: whoever is next gets the seat that comes back. With
    /// several servers, at all of them at once
    #[arg(long, value_name = "TIME", value_parser = human::span, help_heading = "What")]
    wait: Option<Duration>,

    /// If denied and waiting may help, ask again for this long, without a place in the queue
    #[arg(long, value_name = "TIME", value_parser = human::span, conflicts_with = "wait", help_heading = "What")]
    retry_for: Option<Duration>,

    /// Project the seat is used for, for reports
    #[arg(long, env = "LEASEHOLD_PROJECT", value_name = "NAME", help_heading = "What")]
    project: Option<String>,

    /// When the lease is lost: keep going, or stop COMMAND with SIGTERM
    #[arg(long, value_enum, value_name = "keep|stop", hide_possible_values = true, default_value_t = OnLoss::Keep, help_heading = "When the server is gone")]
    on_loss: OnLoss,

    /// When the lease has ended and the licence grants grace: keep going, or stop COMMAND at once
    #[arg(long, value_enum, value_name = "keep|stop", hide_possible_values = true, default_value_t = OnLoss::Keep, help_heading = "When the server is gone")]
    grace_action: OnLoss,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// What to do when the seat is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnLoss {
    /// Let the program go on
    Keep,
    /// Ask it to end
    Stop,
}

fn seats(text: &str) -> Result<SeatCount, String> {
    let number = text.parse().ok().and_then(|seats| SeatCount::new(seats).ok());
    number.ok_or_else(|| NumberError::Seats.to_string())
}

/// Checks out, runs, gives back.
///
/// # Errors
/// If there is no server, no seat, or no program to run.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    block_on(async {
        let mut signals = Signals::listen()?;
        let held = tokio::select! {
            held = acquire(args) => held,
            signal = signals.next() => {
                say!("leasehold: given up");
                return Ok(Exit::of_signal(signal.as_raw()));
            }
        };
        let (client, leases) = held?;
        let outcome = hold(args, &leases, signals).await;
        for lease in leases {
            give_back(lease).await;
        }
        client.close().await;
        outcome
    })
}

async fn acquire(args: &Args) -> Result<(Client, Vec<Lease>), Failure> {
    if args.feature.is_bundle() {
        return acquire_bundle(args).await;
    }
    if let (Some(patience), Some(servers)) = (args.wait, args.connect.named().filter(|list| list.contains([',', ';'])))
    {
        return queue::at_all(args, servers, patience).await.map(|(client, lease)| (client, vec![lease]));
    }
    let client = open(args, &args.connect).await?;
    tell_server(&client);
    match checkout(args, &client).await {
        Ok(lease) => {
            tell_lease(&lease);
            Ok((client, vec![lease]))
        }
        Err(e) => Err(denial::failure(args, &client, e).await),
    }
}

/// Several features at once.
async fn acquire_bundle(args: &Args) -> Result<(Client, Vec<Lease>), Failure> {
    if args.version.is_some() || args.seats != SeatCount::ONE {
        let what = format!("-n and -v are for one feature, and '{}' is a bundle", args.feature);
        return Err(Failure::usage(what).remedy("say it of each: '2 SOLVER@5.0 + MESH'"));
    }
    if args.wait.is_some() {
        let what = "a bundle has no place in the queue, as it waits for several features at once";
        return Err(Failure::usage(what).remedy("ask again for a while: --retry-for 10m"));
    }
    let client = open(args, &args.connect).await?;
    tell_server(&client);
    let mut alternatives = args.feature.alternatives().iter().cloned();
    let mut bundle = client.bundle(alternatives.next().unwrap_or_default());
    for alternative in alternatives {
        bundle = bundle.or(alternative);
    }
    if let Some(patience) = args.retry_for {
        say!("{}", paint(FAINT, format_args!("leasehold: waiting for all of it up to {}", human::show(patience))));
        bundle = bundle.retry_for(patience).answer_within(patience + Duration::from_secs(15));
    }
    match bundle.await {
        Ok(held) => {
            held.leases().iter().for_each(tell_lease);
            Ok((client, held.into_leases()))
        }
        Err(e) => Err(denial::failure(args, &client, e).await),
    }
}

fn tell_server(client: &Client) {
    if let Some(server) = client.server() {
        let how = connect::how_found(&server.found);
        let told = format!("leasehold: server {} ({how}), key {}", server.address, server.fingerprint);
        say!("{}", paint(FAINT, told));
    }
}

fn tell_lease(lease: &Lease) {
    let seats = human::count(lease.seats().get(), "seat");
    say!("leasehold: {seats} of {} held (lease {})", lease.feature(), lease.id());
}

async fn open(args: &Args, connect: &ConnectArgs) -> Result<Client, Failure> {
    let mut builder = connect::builder(connect)?;
    let mut who = leasehold::this_process();
    if let Some(name) = args.command.first().and_then(|command| Path::new(command).file_name()) {
        who.process = Label::lossy(&name.to_string_lossy());
    }
    builder = builder.identity(who);
    if let Some(project) = &args.project {
        builder = builder.project(project);
    }
    builder.open().await.map_err(|e| connect::failure(&format!("cannot check {} out", args.feature), &e))
}

/// What is asked for.
fn asked<'c>(args: &Args, client: &'c Client) -> Checkout<'c> {
    let checkout = client.checkout(args.feature.as_str()).seats(args.seats.get());
    match args.version {
        Some(version) => checkout.version(&version.to_string()),
        None => checkout,
    }
}

async fn checkout(args: &Args, client: &Client) -> Result<Lease, CheckoutError> {
    let checkout = asked(args, client);
    match (args.wait, args.retry_for) {
        (Some(patience), _) => {
            let (checkout, places) = checkout.wait(patience).places();
            tokio::join!(checkout.send(), queue::tell(places, patience, None)).0
        }
        (None, Some(patience)) => {
            say!("{}", paint(FAINT, format_args!("leasehold: waiting for a seat up to {}", human::show(patience))));
            // The answer to the last asking may take its time, too.
            checkout.retry_for(patience).answer_within(patience + Duration::from_secs(15)).await
        }
        (None, None) => checkout.await,
    }
}

/// Runs the program, or waits for a signal, and tells what becomes of the lease.
async fn hold(args: &Args, leases: &[Lease], signals: Signals) -> Result<Exit, Failure> {
    let mut watches: Vec<Watch> = leases.iter().map(|lease| Watch::new(args, lease)).collect();
    if args.command.is_empty() {
        return hold_alone(&mut watches, signals).await;
    }
    let mut program = Program::start(&args.command, signals)?;
    loop {
        tokio::select! {
            exit = program.ended() => return exit,
            () = a_seat_is_gone(&mut watches) => {
                say!("leasehold: asking {} to end (SIGTERM)", program.name());
                program.ask_to_end();
            }
        }
    }
}

/// Tells every change of every lease; returns when one is gone and the user wants the program to end for it.
async fn a_seat_is_gone(watches: &mut [Watch]) {
    select_all(watches.iter_mut().map(|watch| Box::pin(watch.seat_is_gone()))).await;
}

async fn hold_alone(watches: &mut [Watch], mut signals: Signals) -> Result<Exit, Failure> {
    say!("{}", paint(FAINT, "leasehold: Ctrl-C gives it back"));
    tokio::select! {
        _ = signals.next() => Ok(Exit::OK),
        () = a_seat_is_gone(watches) => Ok(Exit::UNREACHABLE),
    }
}

async fn give_back(lease: Lease) {
    let feature = lease.feature().clone();
    let seats = human::count(lease.seats().get(), "seat");
    match lease.checkin().await {
        Ok(()) => say!("leasehold: {seats} of {feature} given back"),
        Err(e) => {
            say!("leasehold: the server did not confirm that {seats} of {feature} came back; the lease ends by itself");
            say!("  because {e}");
        }
    }
}
