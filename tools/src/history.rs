//! `leasehold history`: the usage history of a server, read beside it (D-8).

mod rows;
mod times;

use std::path::{Path, PathBuf};

use leasehold_protocol::{licence::nearest::nearest, time::UnixMillis};
use leasehold_server::{
    clock_now,
    history::{Entry, Filter, KEY_FILE, Kind, NameKey, NameKind, Reader, Usage, key_in},
};
use serde_json::json;

use self::rows::{HEADING, Names};
use crate::{
    exit::{Exit, Failure},
    human::{count, instant},
    local::LocalArgs,
    output, say,
    table::Rows,
};

/// What to look at.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List grants, denials and ends of leases, the oldest first
    Query(QueryArgs),
    /// Show for each feature how often it was granted and denied, and how many seats were out
    Summary(SummaryArgs),
}

/// Of which server, and from when to when.
#[derive(clap::Args, Debug)]
struct Range {
    /// From when on: 2026-11-01, 2026-11-01T08:00:00Z, or back from now: -7d, -12h [default: the first line]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Which lines")]
    from: Option<String>,

    /// Until when, itself not included: as --from [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Which lines")]
    to: Option<String>,

    /// Print as CSV (RFC 4180), for spreadsheets
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    csv: bool,

    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    local: LocalArgs,
}

/// Which lines.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Reads usage.sqlite in the state folder and changes nothing; the server goes on writing meanwhile. All times are UTC, and a day
begins at 0:00 UTC. Users, hosts and projects are shown by pseudonyms; --names opens them, for who may read history.key in the
state folder. Where something is missing a line GAP says from when to when, how many events, and why.

Examples:
  leasehold history query --from -1d --kind denied
  leasehold history query --feature CAD --user ada --names
  leasehold history query --from 2026-11-01 --to 2026-12-01 --csv > november.csv")]
struct QueryArgs {
    #[command(flatten)]
    range: Range,

    /// Lines of this feature alone
    #[arg(long, value_name = "FEATURE", help_heading = "Which lines")]
    feature: Option<String>,

    /// Lines of these kinds: granted, denied, released, expired, reclaimed, linger-ended, clock-set, started, stopped
    #[arg(long, value_name = "KIND", value_delimiter = ',', help_heading = "Which lines")]
    kind: Vec<String>,

    /// Lines of this user alone: a name, or a pseudonym as it is shown
    #[arg(long, value_name = "USER", help_heading = "Which lines")]
    user: Option<String>,

    /// The last N of them; 0 is all [default: 100 in a table, all with --csv and --json]
    #[arg(long, value_name = "N", help_heading = "Which lines")]
    limit: Option<u64>,

    /// Show names instead of pseudonyms, and the sentences of denials
    #[arg(long, help_heading = "Output")]
    names: bool,
}

/// From when to when.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The peak is the most seats that were out at once; a seat hour is one seat for one hour. Seats that several programs share are
counted for each. What is out still counts until now. Where something is missing the figures may be too low, and never are too
high: that is said too.

Examples:
  leasehold history summary --from -30d
  leasehold history summary --from 2026-01-01 --to 2027-01-01 --csv > year.csv")]
struct SummaryArgs {
    #[command(flatten)]
    range: Range,
}

/// Lines of a table, unless it is said how many.
const LIMIT: u64 = 100;

/// Shows it.
///
/// # Errors
/// If something on the command line is wrong, or there is no history that can be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Query(args) => query(args),
        Command::Summary(args) => summary(args),
    }
}

/// A range as instants, with the folder and its history.
struct Opened {
    folder: PathBuf,
    reader: Reader,
    from: Option<UnixMillis>,
    to: Option<UnixMillis>,
}

impl Range {
    fn open(&self) -> Result<Opened, Failure> {
        let now = clock_now().wall;
        let read = |flag, text: &Option<String>| text.as_ref().map(|text| times::read(flag, text, now)).transpose();
        let (from, to) = (read("--from", &self.from)?, read("--to", &self.to)?);
        if let (Some(from), Some(to)) = (from, to.or(Some(now)))
            && from >= to
        {
            let what = format!("--from ({}) is not before --to ({})", instant(from), instant(to));
            return Err(Failure::usage(what).remedy("name the earlier time first: --from -7d --to -1d"));
        }
        let folder = self.local.settings()?.data_dir;
        let reader = Reader::open(&folder).map_err(|e| told(&e))?;
        Ok(Opened { folder, reader, from, to })
    }
}

fn query(args: &QueryArgs) -> Result<Exit, Failure> {
    let kinds = args.kind.iter().map(|word| kind(word)).collect::<Result<_, _>>()?;
    let range = &args.range;
    let Opened { folder, reader, from, to } = range.open()?;
    let user = args.user.as_ref().map(|user| pseudonym(user, &folder)).transpose()?;
    let for_people = !range.csv && !range.json;
    let limit = args.limit.or(for_people.then_some(LIMIT)).filter(|limit| *limit > 0);
    let filter = Filter { from, to, feature: args.feature.clone(), kinds, user, limit };
    let names = match args.names {
        true => Names::open(reader.sealed().map_err(|e| told(&e))?, key(&folder)?),
        false => Names::default(),
    };
    let left_out = if range.csv {
        rows::csv(&reader, &filter, &names)?
    } else {
        let mut entries = Vec::new();
        let keep = |entry| {
            entries.push(entry);
            true
        };
        let left_out = reader.each(&filter, keep).map_err(|e| told(&e))?;
        show(&entries, range.json, &names)?;
        left_out
    };
    if left_out {
        say!("older lines are left out: --limit 0 shows all");
    }
    Ok(Exit::OK)
}

fn show(entries: &[Entry], json: bool, names: &Names) -> Result<(), Failure> {
    if json {
        let entries: Vec<_> = entries.iter().map(|entry| rows::json(entry, names)).collect();
        return output::json(&json!({ "schema": 1, "history": entries }));
    }
    if entries.is_empty() {
        say!("nothing happened in that time");
        return Ok(());
    }
    let mut table = Rows::new(HEADING).numbers(&[4]);
    entries.iter().for_each(|entry| table.push(rows::cells(entry, names)));
    output::result(&table.render())
}

fn summary(args: &SummaryArgs) -> Result<Exit, Failure> {
    let Opened { reader, from, to, .. } = args.range.open()?;
    let usage = reader.usage(from, to, clock_now().wall).map_err(|e| told(&e))?;
    let gaps = reader.missing(from, to).map_err(|e| told(&e))?;
    if args.range.json {
        let features: Vec<_> = usage.iter().map(usage_json).collect();
        let gaps: Vec<_> = gaps.into_iter().map(|gap| rows::json(&Entry::Gap(gap), &Names::default())).collect();
        output::json(&json!({ "schema": 1, "features": features, "gaps": gaps }))?;
        return Ok(Exit::OK);
    }
    let mut table = Rows::new(&["publisher", "feature", "granted", "denied", "peak", "peak_at", "seat_hours"]);
    usage.iter().for_each(|usage| table.push(usage_cells(usage)));
    if args.range.csv {
        output::bytes(table.csv()?.as_bytes())?;
    } else if table.is_empty() {
        say!("nothing happened in that time");
    } else {
        output::result(&table.numbers(&[2, 3, 4, 6]).render())?;
    }
    if !gaps.is_empty() {
        let missing = count(gaps.len() as u64, "gap");
        say!("{missing} in that time: the figures may be too low; leasehold history query shows when and why");
    }
    Ok(Exit::OK)
}

fn usage_cells(usage: &Usage) -> Vec<String> {
    vec![
        usage.realm.clone(),
        usage.feature.clone(),
        usage.granted.to_string(),
        usage.denied.to_string(),
        usage.peak.to_string(),
        usage.peak_at.map_or_else(|| "-".to_owned(), instant),
        format!("{:.2}", usage.seat_hours()),
    ]
}

fn usage_json(usage: &Usage) -> serde_json::Value {
    json!({
        "publisher": usage.realm,
        "feature": usage.feature,
        "granted": usage.granted,
        "denied": usage.denied,
        "peak": usage.peak,
        "peak_at": usage.peak_at.map(instant),
        "seat_hours": usage.seat_hours(),
    })
}

fn kind(word: &str) -> Result<Kind, Failure> {
    word.parse().map_err(|_| {
        let words = Kind::ALL.map(Kind::word);
        let failure = Failure::usage(format!("--kind cannot be {word:?}"));
        match nearest(word, words) {
            Some(near) => failure.remedy(format!("did you mean {near:?}?")),
            None => failure.remedy(format!("it is one of {}", words.join(", "))),
        }
    })
}

/// What stands for `user` in the file, who may be named by that already.
fn pseudonym(user: &str, folder: &Path) -> Result<String, Failure> {
    let digits = user.strip_prefix("u-").filter(|digits| digits.len() == 16);
    if digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Ok(user.to_ascii_lowercase());
    }
    Ok(key(folder)?.pseudonym(NameKind::User, user))
}

fn key(folder: &Path) -> Result<NameKey, Failure> {
    let path = folder.join(KEY_FILE);
    let remedy =
        "read it as the server's user, or as root; or go without names, and give users by their pseudonyms (u-…)";
    match key_in(folder) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => {
            Err(Failure::new(format!("there is no {}: nobody can tell names without it", path.display()))
                .remedy(remedy))
        }
        Err(e) => {
            Err(Failure::new("names cannot be told without the key of the history").because_of(&e).remedy(remedy))
        }
    }
}

fn told(e: &leasehold_server::history::ReadError) -> Failure {
    // Its sentence ends with the remedy.
    let text = e.to_string();
    match text.rsplit_once([';', ':']) {
        Some((what, remedy)) => Failure::new(what).remedy(remedy.trim()),
        None => Failure::new(text),
    }
}
