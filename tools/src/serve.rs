//! `leasehold serve`: the server, in the foreground.

use clap::ArgMatches;
use leasehold_server::config::{self, ServeArgs, Surroundings};

use crate::{
    exit::{Exit, Failure},
    local,
};

/// The server's settings as flags.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A setting is, from the strongest to the weakest: a flag, its own variable, LEASEHOLD_OPTS, the configuration file, the \
default. `leasehold config show` prints every value with its origin. Ctrl-C drains: no new leases, those that are out \
may come back; a second Ctrl-C ends at once.

Examples:
  leasehold serve                                        with ./leasehold.toml, or the defaults
  leasehold serve --licence acme.lic --publisher-key acme.pub
  leasehold serve --listen 127.0.0.1 --port 6000         this machine only, on another port")]
pub struct Args {
    #[command(flatten)]
    settings: ServeArgs,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// If the configuration is wrong or the server cannot start.
pub fn run(_args: &Args, matches: &ArgMatches) -> Result<Exit, Failure> {
    let resolved = config::resolve(matches, &Surroundings::of_process());
    let resolved = resolved.map_err(|e| local::wrong_configuration(&e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new("cannot start a runtime").because_of(&e))?;
    match runtime.block_on(leasehold_server::run(resolved.settings)) {
        Ok(ending) => Ok(Exit(ending.exit_code())),
        Err(e) => {
            let exit = Exit(e.exit_code());
            Err(Failure::new("the server does not start")
                .because_of(&e)
                .exit(exit)
                .remedy("look for more: leasehold doctor"))
        }
    }
}
