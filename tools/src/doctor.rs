//! `leasehold doctor`: what is wrong with this machine, its network or its server, each with what to do.
//!
//! | module | looks at |
//! |---|---|
//! | `network` | ports, broadcast per interface, buffers |
//! | `reach` | whether a server answers, and whether it may be trusted |
//! | `folder` | the server's state folder: modes, keys, licences and their dates |
//! | `clock` | whether the time is believable, for this program and for the server |

mod clock;
mod folder;
mod network;
mod reach;

use leasehold_protocol::crypto::SiteKey;
use serde::Serialize;

use crate::{
    connect::ConnectArgs,
    exit::{Exit, Failure},
    human,
    local::RestArgs,
    output::{self, BAD, COMMAND, GOOD, STRONG, WARN, paint},
};

/// What to look at.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Ends with 0 if all is well, 1 if there are warnings, 2 if something is broken. Changes nothing.

Examples:
  leasehold doctor
  leasehold doctor --server 10.0.4.2 --publisher-key acme.pub
  leasehold doctor --json | jq '.checks[] | select(.level != \"ok\")'")]
pub struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectArgs,

    #[command(flatten)]
    rest: RestArgs,
}

/// How good or bad a finding is. In order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and deserves a look.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing looked at. Its JSON form is interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, as one word.
    check: String,
    /// How it is.
    level: Level,
    /// In a sentence.
    text: String,
    /// What to do: a command, or a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self { check: check.into(), level: Level::Ok, text: text.into(), remedy: None }
    }

    fn warn(check: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check: check.into(), level: Level::Warn, text: text.into(), remedy: Some(remedy.into()) }
    }

    fn fail(check: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check: check.into(), level: Level::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    worst: Level,
    checks: &'a [Finding],
}

/// Looks at everything and tells.
///
/// # Errors
/// If a flag's file cannot be read, or stdout cannot be written. What is found is no error but an exit status.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut findings = Vec::new();
    match args.rest.settings() {
        Ok(settings) => {
            findings.extend(network::ports(&settings));
            findings.extend(folder::look(&settings));
        }
        Err(e) => findings.push(Finding::fail("config", e.what(), "leasehold config show")),
    }
    let site = args.connect.trust.site_key()?.unwrap_or(SiteKey::OPEN);
    let (mut broadcast, heard) = network::broadcast(&args.connect, &site);
    findings.append(&mut broadcast);
    findings.extend(reach::look(&args.connect, &heard)?);
    findings.extend(network::buffers());
    findings.extend(clock::look());
    findings.extend(clock::of_server(&args.rest));

    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    if args.json {
        output::json(&Report { schema: 1, worst, checks: &findings })?;
    } else {
        output::result(&text(&findings, worst))?;
    }
    Ok(match worst {
        Level::Ok => Exit::OK,
        Level::Warn => Exit(1),
        Level::Fail => Exit(2),
    })
}

fn text(findings: &[Finding], worst: Level) -> String {
    let mut lines = Vec::new();
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => paint(GOOD, "ok  "),
            Level::Warn => paint(WARN, "warn"),
            Level::Fail => paint(BAD, "fail"),
        };
        lines.push(format!("{mark}  {} {}", paint(STRONG, format_args!("{:<width$}", finding.check)), finding.text));
        let indent = width + 7;
        let remedy = finding.remedy.iter().map(|r| format!("{:indent$}{} {}", "", paint(GOOD, "→"), paint(COMMAND, r)));
        lines.extend(remedy);
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    lines.push(String::new());
    lines.push(match worst {
        Level::Ok => format!("all {} checks are well", findings.len()),
        _ => {
            let (warnings, failures) = (count(Level::Warn), count(Level::Fail));
            let (warnings, failures) = (human::count(warnings, "warning"), human::count(failures, "failure"));
            format!("{} checks: {warnings}, {failures}", findings.len())
        }
    });
    lines.join("\n")
}
