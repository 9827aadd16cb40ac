//! The command tree, and which code runs which command.

use clap::{ArgMatches, FromArgMatches, Parser, Subcommand};

use crate::{
    audit, backup, checkout, clock, completions, config, demo, discover, doctor,
    exit::{Exit, Failure},
    help, hostid, info, init, issue, licence, load, man, policy, serve, status, store, why,
};

/// Network floating licences: server, licence tools and client in one command
#[derive(Parser, Debug)]
#[command(
    name = "leasehold",
    version,
    long_version = long_version(),
    styles = help::STYLES,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110,
    after_help = "\
Start here:
  leasehold demo                          the whole way of one seat, on this machine
  leasehold init --demo                   keys, a 30-day licence, a configuration: here
  leasehold serve                         ... and serve them
  leasehold checkout VR_MODE -- my-app    hold a seat while a program runs

More: leasehold help exit-codes | denials | environment | addresses | COMMAND"
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The version, and what this build seals datagrams with: half of what a request costs beside the kernel.
fn long_version() -> String {
    format!("{}\nseals with {}", env!("CARGO_PKG_VERSION"), leasehold_protocol::crypto::AEAD_BACKEND)
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show the whole way of one seat on this machine, then go on serving
    Demo(demo::Args),
    /// Make a folder that is ready to serve: keys, licence, configuration
    Init(init::Args),
    /// Make a publisher's keys
    #[command(after_help = KEYGEN_EXAMPLES)]
    Keygen(issue::KeygenArgs),
    /// Sign licences from a template
    #[command(after_help = ISSUE_EXAMPLES)]
    Issue(issue::IssueArgs),
    /// Check licence files and templates, and say what is wrong where
    #[command(after_help = LINT_EXAMPLES)]
    Lint(issue::LintArgs),
    /// Show what this machine can be recognised by: what a licence may be bound to
    Hostid(hostid::Args),
    /// List, add, take out and reread the licences of a running server
    #[command(visible_alias = "licences")]
    Licence(licence::Args),
    /// Run the licence server in the foreground
    Serve(Box<serve::Args>),
    /// Check a policy, and ask it who may take seats
    Policy(policy::Args),
    /// Show who changed what on the running server
    Audit(audit::Args),
    /// Show which features and seats are out, and who has them
    Status(status::Args),
    /// Take a backup of a running server's state folder
    Backup(backup::BackupArgs),
    /// Put a backup in the place of a state folder
    Restore(backup::RestoreArgs),
    /// Show what a server writes down of its leases, and check it
    Store(store::Args),
    /// Show the server's clock and what licence dates are held against, and confirm it
    Clock(clock::Args),
    /// Show who had which seats when, and who was denied
    #[cfg(feature = "history")]
    History(crate::history::Args),
    /// Tell why somebody got seats or did not, and what would be answered now
    Why(Box<why::Args>),
    /// Look at the server's configuration
    Config(config::Args),
    /// Find out what is wrong with this machine, its network or its server
    Doctor(doctor::Args),
    /// List the servers in reach
    Discover(discover::Args),
    /// Show what licences a program on this machine finds, and what there is of a feature
    Info(info::Args),
    /// Hold a seat while a program runs
    Checkout(checkout::Args),
    /// Put a server under load and measure it
    Load(Box<load::Args>),
    /// Write completions for a shell
    Completions(completions::Args),
    /// Write the manual pages
    Man(man::Args),
    /// Help with a command or a topic
    Help(help::Args),
}

const KEYGEN_EXAMPLES: &str = "\
Examples:
  leasehold keygen --publisher acme               acme.key (keep it secret) and acme.pub, and the next pair
  leasehold keygen --publisher acme --out ~/keys --passphrase
  leasehold keygen --publisher acme --rotate      the next pair becomes the current one
  leasehold keygen --change-passphrase acme.key

Of the four files the two .pub are for every server and program, from the first day on: after a rotation, licences of the
old key and of the new one hold there, and nothing has to be installed.";

const ISSUE_EXAMPLES: &str = "\
Examples:
  leasehold issue --example > acme.toml           a template that explains itself
  leasehold issue acme.toml --key acme.key --output acme.lic";

const LINT_EXAMPLES: &str = "\
Examples:
  leasehold lint acme.lic --publisher-key acme.pub
  leasehold lint new.lic --beside /var/lib/leasehold/licences      what it changes about them
  leasehold lint new.lic --running                                 what the running server would do
  leasehold lint acme.toml --json";

/// Reads the command line and runs what it says.
///
/// # Errors
/// What the command says.
pub fn run(line: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Exit, Failure> {
    let matches = match help::command().try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(e) => return Ok(explained(&e)),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => return Ok(explained(&e)),
    };
    let own = matches.subcommand().map_or(&matches, |(_, own)| own);
    dispatch(&cli.command, own)
}

fn dispatch(command: &Command, matches: &ArgMatches) -> Result<Exit, Failure> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Init(args) => init::run(args),
        Command::Keygen(args) => issue::keygen(args),
        Command::Issue(args) => issue::issue(args),
        Command::Lint(args) => issue::lint(args),
        Command::Serve(args) => serve::run(args, matches),
        Command::Hostid(args) => hostid::run(args),
        Command::Licence(args) => licence::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Status(args) => status::run(args),
        Command::Backup(args) => backup::back_up(args),
        Command::Restore(args) => backup::restore(args),
        Command::Store(args) => store::run(args),
        Command::Clock(args) => clock::run(args),
        Command::Why(args) => why::run(args),
        #[cfg(feature = "history")]
        Command::History(args) => crate::history::run(args),
        Command::Config(args) => config::run(args, matches),
        Command::Doctor(args) => doctor::run(args),
        Command::Discover(args) => discover::run(args),
        Command::Info(args) => info::run(args),
        Command::Checkout(args) => checkout::run(args),
        Command::Load(args) => load::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Help(args) => help::run(args),
    }
}

/// Help and version go to stdout with status 0, a wrong command line to stderr with status 2; that nobody reads them is
/// no failure.
fn explained(error: &clap::Error) -> Exit {
    let _ = error.print();
    Exit(u8::try_from(error.exit_code()).unwrap_or(Exit::USAGE.0))
}
