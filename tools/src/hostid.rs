//! `leasehold hostid`: what this machine can be recognised by (T-1).

use leasehold_hostid::{Found, Machine, Stability};
use leasehold_protocol::vocab::{HostIdKind, Label};
use serde_json::json;

use crate::{
    exit::{Exit, Failure},
    output::{self, FAINT, GOOD, WARN, paint},
    table::Rows,
};

/// What to show.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Machine ids, the UUIDs of virtual machines, workload and cloud ids are hashed with the publisher's name: name it, so that
the publisher can bind a licence to them.

Examples:
  leasehold hostid --publisher acme
  leasehold hostid --publisher acme --line        what to send to the publisher
  leasehold hostid ethernet disk --json")]
pub struct Args {
    /// Only these kinds: machine, ethernet, disk, host, user, ip, vm-uuid, container, cloud, composite
    #[arg(value_name = "KIND")]
    kinds: Vec<String>,

    /// The publisher's name, as it stands in its licences
    #[arg(long, value_name = "NAME")]
    publisher: Option<String>,

    /// Print one line with the lasting ones, for `server-hostids` or `client-hostids`
    #[arg(long, conflicts_with = "json")]
    line: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Shows it.
///
/// # Errors
/// If a kind or the publisher's name is none.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let publisher = args.publisher.as_deref().map(|name| {
        Label::new(name).map_err(|e| Failure::usage(format!("{name:?} is no publisher's name")).because(e))
    });
    let publisher = publisher.transpose()?;
    let kinds = args.kinds.iter().map(|word| kind(word)).collect::<Result<Vec<_>, _>>()?;
    let gathered = Machine::this().gather(publisher.as_ref().unwrap_or(&Label::lossy("?")));
    let wanted = |found: &&Found| {
        let known = publisher.is_some() || !HASHED.contains(&found.hostid.kind);
        known && (kinds.is_empty() || kinds.contains(&found.hostid.kind))
    };
    let found: Vec<&Found> = gathered.found.iter().filter(wanted).collect();
    if args.json {
        let line = |found: &&Found| {
            json!({ "kind": found.hostid.kind.name(), "value": found.hostid.value.as_str(), "hostid": found.hostid.to_string(),
                    "stability": found.stability.name(), "source": found.source })
        };
        let all: Vec<_> = found.iter().map(line).collect();
        let publisher = publisher.as_ref().map(Label::as_str);
        output::json(
            &json!({ "schema": 1, "publisher": publisher, "hostids": all, "unreadable": gathered.unreadable }),
        )?;
        return Ok(Exit::OK);
    }
    if args.line {
        let lasting: Vec<String> = found
            .iter()
            .filter(|found| found.stability == Stability::Lasting)
            .map(|found| found.hostid.to_string())
            .collect();
        output::result(&format!("{}\n", lasting.join(", ")))?;
        return Ok(if lasting.is_empty() { Exit::FAILURE } else { Exit::OK });
    }
    output::result(&text(&found, &gathered.unreadable, publisher.is_some()))?;
    Ok(Exit::OK)
}

const HASHED: [HostIdKind; 5] =
    [HostIdKind::MACHINE, HostIdKind::VM_UUID, HostIdKind::CONTAINER, HostIdKind::CLOUD, HostIdKind::COMPOSITE];

fn kind(word: &str) -> Result<HostIdKind, Failure> {
    HostIdKind::named(word).ok_or_else(|| {
        let known: Vec<&str> = HostIdKind::ALL.iter().filter_map(|kind| kind.name()).collect();
        let failure = Failure::usage(format!("{word:?} is no kind of hostid"));
        match leasehold_protocol::licence::nearest::nearest(word, known.iter().copied()) {
            Some(near) => failure.remedy(format!("did you mean {near}?")),
            None => failure.remedy(format!("there are {}", known.join(", "))),
        }
    })
}

fn text(found: &[&Found], unreadable: &[String], hashed: bool) -> String {
    let mut rows = Rows::new(&["hostid", "stays", "from"]);
    for one in found {
        let style = match one.stability {
            Stability::Lasting => GOOD,
            Stability::Changing => WARN,
            _ => FAINT,
        };
        rows.push(vec![one.hostid.to_string(), paint(style, one.stability.name()), one.source.clone()]);
    }
    let mut out = rows.render();
    if !hashed {
        out += "the machine's own id needs the publisher's name: --publisher NAME\n";
    }
    for why in unreadable {
        out += &format!("{} {why}\n", paint(WARN, "not read:"));
    }
    out
}
