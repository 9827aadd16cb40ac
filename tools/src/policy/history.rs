//! `leasehold policy history | rollback`: the policies that were in force, and back to any of them (P-6).

use hyper::{Method, body::Bytes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::change::{PAGE, ShowArgs, tell};
use crate::{
    block_on,
    exit::{Exit, Failure},
    output, rest, say,
    table::Rows,
};

/// Back to what.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Goes back to what was in force before the last `leasehold policy apply`; a second time back again. With --to it goes back to any
policy that was ever in force: `leasehold policy history` lists them. No lease ends by it.

Examples:
  leasehold policy rollback
  leasehold policy rollback && leasehold policy show
  leasehold policy rollback --to 3")]
pub(super) struct RollbackArgs {
    /// The number of a version [default: the one before the last that was put in force]
    #[arg(long, value_name = "N")]
    to: Option<u64>,

    #[command(flatten)]
    show: ShowArgs,
}

/// A version, as the server tells it.
#[derive(Debug, Deserialize)]
struct Version {
    number: u64,
    at: String,
    who: String,
    from: String,
    what: String,
    rules: u64,
    bytes: u64,
}

/// Lists what was in force.
pub(super) fn history(args: &ShowArgs) -> Result<Exit, Failure> {
    let told: Value = block_on(args.rest.rest()?.get(&format!("{PAGE}/history")))?;
    if args.json {
        output::json(&json!({ "schema": 1, "versions": told["versions"] }))?;
        return Ok(Exit::OK);
    }
    let versions: Vec<Version> = rest::read(&told["versions"])?;
    if versions.is_empty() {
        say!("no policy was ever in force on this server");
        return Ok(Exit::OK);
    }
    let mut rows = Rows::new(&["number", "at", "how", "who", "from", "rules", "bytes"]).numbers(&[0, 5, 6]);
    for Version { number, at, who, from, what, rules, bytes } in versions {
        rows.push(vec![number.to_string(), at, what, who, from, rules.to_string(), bytes.to_string()]);
    }
    output::result(&rows.render())?;
    Ok(Exit::OK)
}

/// Goes back.
pub(super) fn roll_back(args: &RollbackArgs) -> Result<Exit, Failure> {
    let to = args.to.map_or(String::new(), |number| format!("?to={number}"));
    let page = format!("{PAGE}/rollback{to}");
    let told: Value = block_on(args.show.rest.rest()?.ask(Method::POST, &page, Bytes::new()))?;
    tell(&told, &args.show, "in force again")
}
