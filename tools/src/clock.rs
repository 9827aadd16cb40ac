//! `leasehold clock`: the server's clock, what licence dates are held against, and an administrator's word that it is right (T-5).

use std::time::Duration;

use hyper::{Method, body::Bytes};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    block_on,
    exit::{Exit, Failure},
    human,
    local::RestArgs,
    output::{self, BAD, GOOD, WARN, paint},
    rest,
};

/// What to do with it.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Licence dates are not held against the machine's clock itself: that may be set. They go on by the
time since the machine's boot, and follow its clock where it can be believed. No lease depends on it.

Exit status: 0 the clock is believed; 1 it is suspect, or a jump is pending.

Examples:
  leasehold clock
  leasehold clock --json | jq .clock.raw_ahead_ms
  leasehold clock confirm")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    show: ShowArgs,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Tell the running server that its machine's clock is right now
    #[command(after_help = "\
Look at the clock first. From here on licence dates are held against it, also if that is earlier:
rights that had ended by a clock that was set wrong are in force again. Logged with your name.

Examples:
  leasehold clock confirm
  leasehold clock confirm --json | jq .clock.moved_ms")]
    Confirm(ShowArgs),
}

/// Which server.
#[derive(clap::Args, Debug)]
struct ShowArgs {
    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    rest: RestArgs,
}

/// As much of the server's answer as is printed.
#[derive(Debug, Deserialize)]
struct Clock {
    state: String,
    raw: String,
    effective: String,
    raw_ahead_ms: i64,
    clients: u64,
    clients_ahead_ms: Option<i64>,
    warnings: Vec<String>,
    moved_ms: Option<i64>,
}

/// Does it.
///
/// # Errors
/// If no server answers.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        None => show(&args.show, &block_on(args.show.rest.rest()?.get("/api/v1/clock"))?),
        Some(Command::Confirm(args)) => {
            let (rest, path) = (args.rest.rest()?, format!("/api/v1/clock/confirm?by={}", who()));
            show(args, &block_on(rest.ask(Method::POST, &path, Bytes::new()))?)
        }
    }
}

/// Whose word it is, for the log: a name as it goes into an address, which leaves out what needs quoting.
fn who() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    name.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect()
}

fn show(args: &ShowArgs, told: &Value) -> Result<Exit, Failure> {
    let clock: Clock = rest::read(told)?;
    let exit = if clock.state == "ok" { Exit::OK } else { Exit::FAILURE };
    if args.json {
        output::json(&json!({ "schema": 1, "clock": told }))?;
        return Ok(exit);
    }
    output::result(&clock.lines().join("\n"))?;
    Ok(exit)
}

impl Clock {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(moved) = self.moved_ms {
            lines.push(format!("{} confirmed: licence time is {} of where it was", paint(GOOD, "✓"), apart(moved)));
        }
        lines.push(format!("machine   {}", self.raw));
        let word = match &*self.state {
            "ok" => paint(GOOD, "believed").to_string(),
            other => paint(BAD, other).to_string(),
        };
        lines.push(format!(
            "licences  {}; the machine's clock is {} of it, {word}",
            self.effective,
            apart(self.raw_ahead_ms)
        ));
        let clients = human::count(self.clients, "clock");
        lines.push(match self.clients_ahead_ms {
            Some(ms) => format!("clients   {clients} known, in the middle {} of licence time", apart(ms)),
            None => format!("clients   {clients} known, too few to judge by"),
        });
        lines.extend(self.warnings.iter().map(|warning| format!("{} {warning}", paint(WARN, "!"))));
        lines
    }
}

/// A difference as people say it, before "of". Below a second clocks are together.
fn apart(ms: i64) -> String {
    let by = Duration::from_millis(ms.unsigned_abs());
    match (by.as_secs(), ms < 0) {
        (0, _) => "within a second".into(),
        (_, true) => format!("{} short", human::show(by)),
        (_, false) => format!("{} ahead", human::show(by)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_not_believed_is_shown_with_its_difference_and_the_remedy() {
        let clock: Clock = rest::read(&json!({
            "state": "suspect", "raw": "2016-11-22T00:00:00.000Z", "effective": "2026-11-22T00:00:00.000Z",
            "raw_ahead_ms": -315_532_800_000_i64, "pending_until": null, "clients": 5, "clients_ahead_ms": 20,
            "warnings": ["set it right"], "moved_ms": null,
        }))
        .unwrap();
        let lines = clock.lines();
        assert_eq!(lines[0], "machine   2016-11-22T00:00:00.000Z");
        let second = "licences  2026-11-22T00:00:00.000Z; the machine's clock is 3652 d 0 h short of it, ";
        assert!(lines[1].starts_with(second) && lines[1].contains("suspect"), "{}", lines[1]);
        assert_eq!(lines[2], "clients   5 clocks known, in the middle within a second of licence time");
        assert!(lines[3].ends_with(" set it right") && lines.len() == 4, "{lines:?}");
    }
}
