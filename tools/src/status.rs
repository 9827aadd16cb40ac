//! `leasehold status`: which features and seats are out, and who has them, from the REST of this machine's server.

mod answer;

use clap::{ValueEnum, ValueHint};
use serde_json::{Value, json};

use crate::{
    block_on,
    exit::{Exit, Failure},
    human,
    local::RestArgs,
    output::{self, FAINT, STRONG, WARN, paint},
    rest::{self, Rest},
    table::Rows,
};
use answer::{FeatureLine, LeaseLine, Server};

/// What to show, and how.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Asks the server of this machine: its REST is on loopback, and the token in its state folder opens it.

Examples:
  leasehold status
  leasehold status --leases --feature VR_MODE
  leasehold status --json | jq '.features[] | select(.used > 0)'
  leasehold status --format csv > seats.csv")]
pub struct Args {
    /// Show the leases: who holds what, until when
    #[arg(long, help_heading = "What")]
    leases: bool,

    /// Only this feature
    #[arg(long, value_name = "FEATURE", value_hint = ValueHint::Other, help_heading = "What")]
    feature: Option<String>,

    /// Print as JSON: the same as --format json
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    json: bool,

    /// table (plain columns when piped), json (everything the server tells) or csv
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,

    #[command(flatten)]
    rest: RestArgs,
}

/// How to print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people; plain columns when piped
    Table,
    /// For programs: everything the server tells
    Json,
    /// For spreadsheets: the features, or with --leases the leases
    Csv,
}

/// Leases on one page of the server's answer: the most it gives.
const PAGE: usize = 1_000;

/// Asks and prints.
///
/// # Errors
/// If no server answers, or it does not let us in.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let rest = args.rest.rest()?;
    let told = block_on(ask(args, &rest))?;
    let format = if args.json { Format::Json } else { args.format };
    match format {
        Format::Json => output::json(&told.json())?,
        Format::Csv => {
            let rows = if args.leases { lease_rows(&told.leases()?) } else { feature_rows(&told.features()?) };
            output::result(&rows.csv()?)?;
        }
        Format::Table => output::result(&text(args, &rest, &told)?)?,
    }
    Ok(Exit::OK)
}

/// What the server told, as it told it.
struct Told {
    server: Value,
    features: Value,
    leases: Option<Vec<Value>>,
}

async fn ask(args: &Args, rest: &Rest) -> Result<Told, Failure> {
    let server: Value = rest.get("/api/v1/status").await?;
    let mut features: Value = rest.get("/api/v1/features").await?;
    let features = features["features"].take();
    let known: Vec<FeatureLine> = rest::read(&features)?;
    if let Some(name) = &args.feature {
        known_or_failure(name, &known)?;
    }
    let features = match (&args.feature, features) {
        (Some(name), Value::Array(all)) => all.into_iter().filter(|line| line["feature"] == name.as_str()).collect(),
        (_, features) => features,
    };
    let leases = if args.leases { Some(leases(rest, args.feature.as_deref()).await?) } else { None };
    Ok(Told { server, features, leases })
}

fn known_or_failure(name: &str, known: &[FeatureLine]) -> Result<(), Failure> {
    if known.iter().any(|line| line.feature == name) {
        return Ok(());
    }
    let failure = Failure::new(format!("the server has no feature {name}")).exit(Exit::DENIED);
    let names = known.iter().map(|line| line.feature.as_str());
    Err(match leasehold_protocol::licence::nearest::nearest(name, names) {
        Some(near) => failure.remedy(format!("did you mean {near}?")),
        None => failure.remedy("see them all: leasehold status"),
    })
}

/// All pages.
async fn leases(rest: &Rest, feature: Option<&str>) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    loop {
        let filter = feature.map(|name| format!("&feature={}", name.replace('+', "%2B"))).unwrap_or_default();
        let page = format!("/api/v1/leases?limit={PAGE}&offset={}{filter}", all.len());
        let mut page: Value = rest.get(&page).await?;
        let Value::Array(leases) = page["leases"].take() else { return Ok(all) };
        let got = leases.len();
        all.extend(leases);
        if got < PAGE {
            return Ok(all);
        }
    }
}

impl Told {
    /// Interface: fields are added, never renamed.
    fn json(&self) -> Value {
        let mut json = json!({ "schema": 1, "server": self.server, "features": self.features });
        if let Some(leases) = &self.leases {
            json["leases"] = json!(leases);
        }
        json
    }

    fn features(&self) -> Result<Vec<FeatureLine>, Failure> {
        rest::read(&self.features)
    }

    fn leases(&self) -> Result<Vec<LeaseLine>, Failure> {
        rest::read(&Value::Array(self.leases.clone().unwrap_or_default()))
    }
}

fn text(args: &Args, rest: &Rest, told: &Told) -> Result<String, Failure> {
    let server: Server = rest::read(&told.server)?;
    let mut parts = vec![head(rest, &server)];
    parts.extend(server.warnings.iter().map(|warning| format!("{} {warning}", paint(WARN, "!"))));
    let features = told.features()?;
    parts.push(if features.is_empty() {
        "no features: the server has no licence in force (leasehold doctor tells why)".to_owned()
    } else {
        feature_rows(&features).render()
    });
    if args.leases {
        let leases = told.leases()?;
        parts.push(if leases.is_empty() { "no leases are out".to_owned() } else { lease_rows(&leases).render() });
    }
    Ok(parts.join("\n"))
}

fn head(rest: &Rest, server: &Server) -> String {
    let up = human::show(std::time::Duration::from_millis(server.uptime_ms));
    let state = match (server.draining, server.ready) {
        (true, _) => paint(WARN, "shutting down"),
        (false, true) => "ready".to_owned(),
        (false, false) => paint(WARN, "not granting to everybody"),
    };
    let counts = format!("{}, {}", human::count(server.leases, "lease"), human::count(server.sessions, "session"));
    let first =
        format!("{} {} pid {}, up {up}, {state}, {counts}", paint(STRONG, "leasehold"), server.version, server.pid);
    let udp = server.udp.join(", ");
    let realms: Vec<String> = server.realms.iter().map(|r| format!("{} {}", r.publisher, r.fingerprint)).collect();
    let rest = paint(FAINT, format_args!("udp {udp}   REST {}", rest.url()));
    format!("{first}\n{rest}\n{}", paint(FAINT, realms.join("   ")))
}

fn feature_rows(features: &[FeatureLine]) -> Rows {
    let heading =
        &["feature", "version", "used", "free", "count", "leases", "reserved", "waiting", "next end", "publisher"];
    let mut rows = Rows::new(heading).numbers(&[2, 3, 4, 5, 6, 7]);
    for line in features {
        rows.push(vec![
            line.feature.clone(),
            line.version.clone(),
            line.used.to_string(),
            line.free.map_or_else(|| "-".to_owned(), |free| free.to_string()),
            line.count.map_or_else(|| "uncounted".to_owned(), |count| count.to_string()),
            line.leases.to_string(),
            line.reserved.to_string(),
            line.waiting.to_string(),
            line.ends(),
            line.publisher.clone(),
        ]);
    }
    rows
}

fn lease_rows(leases: &[LeaseLine]) -> Rows {
    let heading =
        &["lease", "feature", "seats", "user", "host", "process", "pid", "remaining", "held", "idle", "address"];
    let mut rows = Rows::new(heading).numbers(&[2, 6, 7, 8, 9]);
    for lease in leases {
        let show = |ms| human::show(std::time::Duration::from_millis(ms));
        rows.push(vec![
            lease.id.clone(),
            lease.feature.clone(),
            lease.seats.to_string(),
            lease.user.clone(),
            lease.host.clone(),
            lease.process.clone(),
            lease.pid.to_string(),
            format!("{}{}", show(lease.remaining_ms), if lease.lingers { " lingering" } else { "" }),
            show(lease.held_ms),
            lease.doing(),
            lease.address.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    rows
}
