//! `leasehold audit`: who changed what on the running server, and whether the chain of it holds (D-2, U-3).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    block_on,
    exit::{Exit, Failure},
    human::count,
    local::RestArgs,
    output::{self, GOOD, paint},
    rest,
    table::Rows,
};

const PAGE: &str = "/api/v1/audit";
/// Entries the server tells at once.
const PAGE_MAX: u64 = 1000;
/// Of what was before and after, so many characters are shown.
const SHOWN_MAX: usize = 60;

/// What to look at.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Each entry was on the disk before its change was done. An entry that says \"undone\" is of a change that failed after that.

Examples:
  leasehold audit                                 the last 20 changes
  leasehold audit --limit 1000 --json | jq -r '.entries[] | [.at, .who, .from, .action] | @tsv'
  leasehold audit verify                          whether nothing in it was changed, taken out or put in")]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Check that no entry was changed, taken out or put in
    #[command(after_help = "\
Each entry carries a hash of the one before. The hash that is printed binds all of them: written down elsewhere, it shows
later whether these are still the same.

Exit status: 0 the chain holds; 1 it breaks, and where is said.

Examples:
  leasehold audit verify
  leasehold audit verify --json | jq -r .chain.hash")]
    Verify(VerifyArgs),
}

#[derive(clap::Args, Debug)]
struct ListArgs {
    /// How many of the newest entries
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Print as JSON: everything the server tells
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rest: RestArgs,
}

#[derive(clap::Args, Debug)]
struct VerifyArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    rest: RestArgs,
}

/// A page of the server's answer.
#[derive(Debug, Deserialize)]
struct Page {
    total: u64,
    entries: Vec<Value>,
}

/// What the server says of the chain.
#[derive(Debug, Deserialize)]
struct Verified {
    chain: Option<Chain>,
    broken: Option<Broken>,
}

#[derive(Debug, Deserialize)]
struct Chain {
    entries: u64,
    hash: String,
}

#[derive(Debug, Deserialize)]
struct Broken {
    number: u64,
    why: String,
}

/// Does it.
///
/// # Errors
/// If no server answers, it does not let us in, or its audit cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        None => list(&args.list),
        Some(Verb::Verify(args)) => verify(args),
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let entries = block_on(newest(args))?;
    if args.json {
        output::json(&json!({ "schema": 1, "entries": entries }))?;
        return Ok(Exit::OK);
    }
    let mut rows = Rows::new(&["number", "at", "who", "from", "action", "before", "after"]).numbers(&[0]);
    for entry in &entries {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let short = |name: &str| shown(&entry[name]);
        let number = entry["number"].to_string();
        rows.push(vec![number, text("at"), text("who"), text("from"), text("action"), short("before"), short("after")]);
    }
    output::result(&rows.render())?;
    Ok(Exit::OK)
}

/// The newest entries, oldest first.
async fn newest(args: &ListArgs) -> Result<Vec<Value>, Failure> {
    let rest = args.rest.rest()?;
    let Page { total, .. } = rest.get(&format!("{PAGE}?limit=1")).await?;
    let (mut after, mut entries) = (total.saturating_sub(args.limit), Vec::new());
    while after < total {
        let limit = PAGE_MAX.min(total - after);
        let mut page: Page = rest.get(&format!("{PAGE}?after={after}&limit={limit}")).await?;
        if page.entries.is_empty() {
            break;
        }
        after += page.entries.len() as u64;
        entries.append(&mut page.entries);
    }
    Ok(entries)
}

/// A value on one line.
fn shown(value: &Value) -> String {
    let text = if value.is_null() { String::new() } else { value.to_string().replace('"', "") };
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let told: Value = block_on(args.rest.rest()?.get(&format!("{PAGE}/verify")))?;
    let Verified { chain, broken } = rest::read(&told)?;
    if args.json {
        output::json(&json!({ "schema": 1, "chain": told["chain"], "broken": told["broken"] }))?;
        return Ok(if chain.is_some() { Exit::OK } else { Exit::FAILURE });
    }
    match (chain, broken) {
        (Some(Chain { entries, hash }), _) => {
            let line = format!("{} {}, none changed: {hash}", paint(GOOD, "✓"), entries_of(entries));
            output::result(&line).map(|()| Exit::OK)
        }
        (None, Some(Broken { number, why })) => {
            Err(Failure::new(format!("the audit chain breaks at entry {number}: {why}"))
                .remedy("restore the ledger from a backup: leasehold restore FILE"))
        }
        (None, None) => Err(Failure::new("the server does not say whether the chain holds")
            .remedy("use the `leasehold` of the server's own version")),
    }
}

fn entries_of(entries: u64) -> String {
    match entries {
        1 => "1 entry".to_owned(),
        n => count(n, "entry").replace("entrys", "entries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_at_a_character() {
        assert_eq!((shown(&Value::Null), shown(&json!({ "a": "b" }))), (String::new(), "{a:b}".to_owned()));
        let long = shown(&json!("ä".repeat(100)));
        assert_eq!((long.chars().count(), long.chars().last()), (SHOWN_MAX + 1, Some('…')));
        assert_eq!((entries_of(1), entries_of(2)), ("1 entry".to_owned(), "2 entries".to_owned()));
    }
}
