//! `leasehold load`: many clients at once against one server, and what that cost.
//!
//! | module | owns |
//! |---|---|
//! | `args`, `scenario` | what is asked for: the command line, the file, the phases they come to |
//! | `run` | the phases, one after another |
//! | `plan`, `worker`, `client`, `wire` | a population: SDK clients that start, hold and renew, in one event loop per thread |
//! | `drive`, `mix`, `schedule` | closed and open loops: which operations, when, over lean sessions |
//! | [`lean`] | sessions that cost as little as can be, for more load than SDK clients can make; benches use them too |
//! | `target` | the server: one that is there, or one of our own |
//! | `audit` | what must hold while it runs |
//! | `tally`, `series` | what is counted, in all and second by second |
//! | `process` | what the server's process costs |
//! | `live` | how far it is |
//! | `report`, `files`, `page` | the table, the JSON and the verdict; CSV and histogram logs; the page with plots |

mod args;
mod audit;
mod client;
mod drive;
mod files;
pub mod lean;
mod live;
mod mix;
mod page;
mod plan;
mod process;
mod report;
mod run;
mod scenario;
mod schedule;
mod series;
mod tally;
mod target;
mod wire;
mod worker;

use std::time::SystemTime;

use crate::{
    exit::{Exit, Failure},
    human, output, say,
};
pub use args::Args;
use live::Live;
use report::Outcome;
use run::Run;
use scenario::Scenario;
use target::TestServer;

/// Runs the test and reports.
///
/// # Errors
/// If the server cannot be used. A test that ran and went badly is status 1.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let scenario = Scenario::of(args)?;
    if args.print_scenario {
        return output::result(scenario.to_toml()?.trim_end()).map(|()| Exit::OK);
    }
    let files = files::Files::create(args)?;
    let began = SystemTime::now();
    let server = TestServer::of(args, &scenario)?;
    announce(&scenario, &server);
    let mut run = Run::new(&scenario, &server, Live::new(args.progress), args.hdr.is_some())?;
    let phases = scenario.phases.iter().map(|phase| run.phase(phase)).collect::<Result<Vec<_>, _>>()?;
    let outcome = Outcome::new(&scenario, &server, run.threads(), &phases, run.audit())?;
    files.write(began, &phases, &outcome)?;
    outcome.tell(args.json)?;
    server.stop();
    Ok(if outcome.ok { Exit::OK } else { Exit::FAILURE })
}

fn announce(scenario: &Scenario, server: &TestServer) {
    let most = scenario.phases.iter().map(scenario::PhaseSpec::leases).max().unwrap_or(0);
    if most > server.seats {
        say!("! {} and {} seats: some will be denied", human::count(most, "lease"), server.seats);
    }
    let clients = scenario.phases.iter().map(scenario::PhaseSpec::clients).max().unwrap_or(0);
    say!(
        "{} against {} (fingerprint {}), {}, {}",
        human::count(clients, "client"),
        server.address,
        server.key.fingerprint(),
        human::count(server.features.len() as u64, "feature"),
        human::count(scenario.phases.len() as u64, "phase")
    );
}
