//! `leasehold demo`: the whole way of one seat on this machine, each step timed, with the ledger after it; then goes on
//! serving.

mod server;
mod story;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueHint;
use leasehold_protocol::DEFAULT_PORT;

use crate::{
    exit::{Exit, Failure},
    kit::{Kit, Offer},
    local::{full_shell_path, program_name},
    output::{self, COMMAND, FAINT, GOOD, STRONG, paint},
    say,
};
use server::DemoServer;

/// How.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Makes a publisher's keys, a signed 30-day licence and a server's state in a scratch folder, starts the server inside \
this process, finds it by broadcast, checks a seat out, renews it, gives it back; every step is checked against the \
ledger and the publisher's key. Then it serves until Ctrl-C. Nothing leaves this machine without --lan.

Examples:
  leasehold demo
  leasehold demo --once && echo the round trip works
  leasehold demo --lan --keep ./demo     for the machines around, and keep the folder")]
pub struct Args {
    /// End after the round trip: status 0 if every step was right
    #[arg(long)]
    once: bool,

    /// Port to serve on; if it is taken another one is picked
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT)]
    port: u16,

    /// Serve every network of this machine, not this machine alone
    #[arg(long)]
    lan: bool,

    /// Make the folder here and leave it behind [default: a scratch folder, removed at the end]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    keep: Option<PathBuf>,
}

/// How long the end waits for seats that are out: it is a demonstration.
const DRAIN: Duration = Duration::from_secs(2);

/// Tells the story and, without `--once`, goes on serving.
///
/// # Errors
/// If a step fails or its outcome is not what it must be.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new("cannot start a runtime").because_of(&e))?;
    let folder = Folder::new(args.keep.as_deref())?;
    let outcome = runtime.block_on(tell(args, &folder));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome.map(|()| Exit::OK)
}

/// The folder of the demo: a scratch one goes with this value.
struct Folder {
    path: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

impl Folder {
    fn new(keep: Option<&std::path::Path>) -> Result<Self, Failure> {
        if let Some(path) = keep {
            return Ok(Self { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), _scratch: None });
        }
        let scratch = tempfile::Builder::new().prefix("leasehold-demo-").tempdir();
        let scratch = scratch.map_err(|e| Failure::new("cannot make a scratch folder").because_of(&e))?;
        Ok(Self { path: scratch.path().to_owned(), _scratch: Some(scratch) })
    }
}

async fn tell(args: &Args, folder: &Folder) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let place = paint(FAINT, format_args!("in {}", folder.path.display()));
    output::result(&format!("{} {version} demo   {place}\n", paint(STRONG, "leasehold")))?;
    let mut steps = story::Steps::default();

    let kit = steps.time("keys, licence", || {
        let kit = Offer::demo()?.make_in(&folder.path)?;
        let (publisher, id) = (kit.publisher.publisher().clone(), kit.publisher.key_id());
        let text =
            format!("publisher {publisher} (key {id}), 4 features, {} seats, until {}", kit.seats(), kit.last_day);
        Ok((kit, text))
    })?;
    let server = DemoServer::start(&kit, args.port, args.lan).await?;
    steps.tell("server", &server.describe(), server.took)?;

    let (shared, address) = (server.running.shared().clone(), server.address);
    let told = {
        let kit = kit.clone();
        tokio::task::spawn_blocking(move || story::round_trip(&mut steps, &kit, &shared, address)).await
    };
    let told = told.unwrap_or_else(|e| Err(Failure::new("the round trip did not come to its end").because_of(&e)));
    let ended = match told {
        Ok(()) if !args.once => serve_on(&kit, &server).await,
        other => other,
    };
    server.running.drain_and_stop(if args.once { Duration::ZERO } else { DRAIN }).await;
    ended
}

async fn serve_on(kit: &Kit, server: &DemoServer) -> Result<(), Failure> {
    output::result(&next_commands(kit, server.address))?;
    say!("{}", paint(FAINT, "serving; Ctrl-C ends it"));
    let ended = tokio::signal::ctrl_c().await;
    say!("ending: seats that are out have {} to come back", crate::human::show(DRAIN));
    ended.map_err(|e| Failure::new("cannot listen for Ctrl-C").because_of(&e))
}

/// What to type in another terminal, exactly.
fn next_commands(kit: &Kit, address: SocketAddr) -> String {
    let program = program_name();
    let (key, data) = (full_shell_path(&kit.publisher_file), full_shell_path(&kit.data_dir));
    let commands = [
        format!("{program} checkout VR_MODE --server {address} --publisher-key {key} -- sleep 10"),
        format!("{program} status --url http://{address} --data-dir {data} --leases"),
        format!("{program} discover --port {} --publisher-key {key}", address.port()),
        format!("{program} load --server {address} --publisher-key {key} --feature CAD_PRO --clients 50 --for 10s"),
    ];
    let lines = commands.map(|command| format!("  {} {}", paint(GOOD, "→"), paint(COMMAND, command)));
    format!("\nNow try, from another terminal:\n{}\n", lines.join("\n"))
}
