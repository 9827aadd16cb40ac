//! `leasehold config show`: every setting of the server, and where its value came from (D-6).

use clap::ArgMatches;
use leasehold_server::config::{self, ServeArgs, Surroundings};

use crate::{
    exit::{Exit, Failure},
    local,
    output::{self, FAINT, paint},
    say,
    table::Rows,
};

/// What to do with it.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Print every setting with its value and its origin
    Show(Box<ShowArgs>),
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Takes every flag of `leasehold serve`, and shows what the server would run with.

Examples:
  leasehold config show
  leasehold config show --json | jq '.settings[] | select(.origin != \"default\")'
  LEASEHOLD_OPTS='--lease-ttl 60s' leasehold config show")]
struct ShowArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: ServeArgs,
}

/// Prints the configuration.
///
/// # Errors
/// If it is wrong.
pub fn run(args: &Args, matches: &ArgMatches) -> Result<Exit, Failure> {
    let Command::Show(show) = &args.command;
    let own = matches.subcommand().map_or(matches, |(_, own)| own);
    let resolved = config::resolve(own, &Surroundings::of_process());
    let resolved = resolved.map_err(|e| local::wrong_configuration(&e))?;
    if show.json {
        output::json(&resolved.to_json())?;
        return Ok(Exit::OK);
    }
    match &resolved.file {
        Some(path) => say!("{}", paint(FAINT, format_args!("configuration file: {}", path.display()))),
        None => say!("{}", paint(FAINT, "configuration file: none")),
    }
    let mut rows = Rows::new(&["setting", "value", "origin"]);
    for row in resolved.rows() {
        let value = if row.value.is_empty() { "-".to_owned() } else { row.value.join(", ") };
        rows.push(vec![row.name.to_owned(), value, row.origin]);
    }
    output::result(&rows.render()).map(|()| Exit::OK)
}
