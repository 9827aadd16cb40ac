//! `leasehold policy reservations`: what the running server keeps for whom (P-3).

use leasehold_protocol::vocab::Version;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    block_on,
    exit::{Exit, Failure},
    human::count,
    local::RestArgs,
    output::{self, GOOD, WARN, paint},
    rest,
    table::Rows,
};

/// How to print it.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Asks the server of this machine. \"short\" are seats that its licences cannot give a reservation, after those before it in the
policy: 0 is what it should be.

Exit status: 0 all can be given what they ask for; 1 some cannot.

Examples:
  leasehold policy reservations
  leasehold policy reservations --json | jq '.reservations[] | select(.short > 0)'")]
pub(super) struct ReservationsArgs {
    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    rest: RestArgs,
}

#[derive(Debug, Deserialize)]
struct Line {
    publisher: String,
    rule: String,
    feature: String,
    version: String,
    seats: u32,
    used: u32,
    short: u32,
}

/// Asks and prints.
pub(super) fn run(args: &ReservationsArgs) -> Result<Exit, Failure> {
    let server = args.rest.rest()?;
    let told: Value = block_on(server.get("/api/v1/reservations"))?;
    let lines: Vec<Line> = rest::read(&told["reservations"])?;
    let short = lines.iter().filter(|line| line.short > 0).count();
    let exit = if short == 0 { Exit::OK } else { Exit::FAILURE };
    if args.json {
        output::json(&json!({ "schema": 1, "reservations": told["reservations"] }))?;
        return Ok(exit);
    }
    if lines.is_empty() {
        output::result("the policy in force keeps no seats for anybody\n")?;
        return Ok(exit);
    }
    let mut rows = Rows::new(&["reservation", "feature", "version", "seats", "used", "short", "publisher"]);
    rows = rows.numbers(&[3, 4, 5]);
    for line in &lines {
        let numbers = [line.seats, line.used, line.short].map(|n| n.to_string());
        let version = if line.version == Version::ANY.to_string() { "any".to_owned() } else { line.version.clone() };
        let words = [line.rule.clone(), line.feature.clone(), version];
        rows.push(words.into_iter().chain(numbers).chain([line.publisher.clone()]).collect());
    }
    let sum = match short {
        0 => paint(GOOD, "all can be given what they ask for").to_string(),
        short => {
            let of = count(short as u64, "reservation");
            paint(WARN, format_args!("{of} cannot be given all: lower it, or have more licences loaded")).to_string()
        }
    };
    output::result(&format!("{}\n{sum}\n", rows.render()))?;
    Ok(exit)
}
