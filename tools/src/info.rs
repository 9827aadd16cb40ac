//! `leasehold info`: the licence search path as a program sees it, and what there is of one feature (S-5, L-18).

use leasehold::{FeatureInfo, Licence, LicencePath, LicenceSource};
use leasehold_protocol::time::UnixMillis;
use leasehold_server::clock;
use serde_json::{Value, json};

use crate::{
    block_on,
    connect::{self, ConnectArgs},
    exit::{Exit, Failure},
    human,
    output::{self, FAINT, STRONG, WARN, paint},
    table::Rows,
};

/// What to ask for.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Sees what a program on this machine sees: licence files and servers, in the order they are asked in. An upgrade is not a line of \
its own: it is in the seats of what it raises. What a certificate says besides its seats is shown if its signature holds under \
one of the publishers' keys given.

Examples:
  leasehold info                             every licence, by the place it comes from
  leasehold info VR_MODE                     seats, those in use, and the next end
  leasehold info --path /etc/acme:lic1 --publisher-key acme.pub
  leasehold info VR_MODE --json

Ends with status 77 if there is no such feature, with 69 if no server answers and no file grants anything.")]
pub struct Args {
    /// One feature. Without: all licences, by place
    #[arg(value_name = "FEATURE")]
    feature: Option<String>,

    /// Licence files, folders and servers to ask, with : between them, in this order
    #[arg(long, env = "LEASEHOLD_LICENSE_PATH", value_name = "PATH")]
    path: Option<String>,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Shows it.
///
/// # Errors
/// If no place grants anything, or there is no such feature.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    block_on(async {
        let mut builder = connect::builder(&args.connect)?;
        if let Some(path) = &args.path {
            builder = builder.search_path(path).broadcast(false);
        }
        let client = builder.open().await.map_err(|e| connect::failure("nothing grants anything", &e))?;
        for why in client.refused_licences() {
            crate::say!("{} {why}", paint(WARN, "not used:"));
        }
        match &args.feature {
            Some(name) => feature(args, &client, name).await,
            None => licences(args, &client).await,
        }
    })
}

async fn licences(args: &Args, client: &leasehold::Client) -> Result<Exit, Failure> {
    let paths = client.licence_info().await;
    if args.json {
        output::json(&json!({ "schema": 1, "paths": paths.iter().map(path_json).collect::<Vec<_>>() }))?;
    } else {
        let blocks: Vec<String> = paths.iter().map(path_block).collect();
        output::result(&blocks.join("\n\n"))?;
    }
    let failed = paths.iter().any(|path| path.licences.is_err());
    Ok(if failed { Exit::FAILURE } else { Exit::OK })
}

async fn feature(args: &Args, client: &leasehold::Client, name: &str) -> Result<Exit, Failure> {
    let asked = client.feature_info(name).await;
    let Some(info) = asked.map_err(|e| Failure::new(format!("nobody tells about {name}")).because_of(&e))? else {
        let failure = Failure::new(format!("no licence is for a feature {name}")).exit(Exit::DENIED);
        return Err(failure.remedy("see what there is: leasehold info"));
    };
    if args.json {
        output::json(&json!({ "schema": 1, "feature": feature_json(&info) }))?;
    } else {
        output::result(&feature_block(&info))?;
    }
    Ok(Exit::OK)
}

fn feature_block(info: &FeatureInfo) -> String {
    let mut lines = vec![format!("{} {}", paint(STRONG, &info.name), info.version)];
    let mut say = |word: &str, what: String| lines.push(format!("  {word:<10} {what}"));
    say("from", source(&info.source));
    say("seats", seats(info.count, info.upgraded_by, info.overdraft));
    say("in use", info.used.to_string());
    say("next end", end(info.next_end));
    let certificates: Vec<String> = info.licences.iter().map(|licence| licence.id.to_string()).collect();
    say("licences", if certificates.is_empty() { "not told".to_owned() } else { certificates.join(", ") });
    for text in info.licences.iter().filter_map(vendor_string) {
        say("vendor", text.to_owned());
    }
    lines.join("\n")
}

/// "8, 3 of them by upgrades, and 2 of overdraft".
fn seats(count: Option<u32>, upgraded_by: u32, overdraft: u32) -> String {
    let mut text = count.map_or_else(|| "uncounted".to_owned(), |count| human::thousands(count.into()));
    if upgraded_by > 0 {
        text += &format!(", {} of them by upgrades", human::thousands(upgraded_by.into()));
    }
    if overdraft > 0 {
        text += &format!(", and {} of overdraft", human::thousands(overdraft.into()));
    }
    text
}

fn end(ends: Option<UnixMillis>) -> String {
    let Some(ends) = ends else { return "never".to_owned() };
    let left = human::days_until(ends, clock::clock_now().wall);
    format!("{} ({} left)", human::instant(ends), human::count(u64::try_from(left).unwrap_or(0), "day"))
}

fn source(source: &LicenceSource) -> String {
    match source {
        LicenceSource::File(path) => format!("file {}", path.display()),
        LicenceSource::Server(address) => format!("server {address}"),
        other => other.to_string(),
    }
}

fn vendor_string(licence: &Licence) -> Option<&str> {
    licence.certificate.as_ref()?.terms.vendor_string.as_deref()
}

fn path_block(path: &LicencePath) -> String {
    let heading = paint(STRONG, source(&path.source));
    match &path.licences {
        Ok(licences) if licences.is_empty() => format!("{heading}\n{}", paint(FAINT, "no licences in force")),
        Ok(licences) => format!("{heading}\n{}", rows(licences).render()),
        Err(why) => format!("{heading}\n{} {why}", paint(WARN, "not known:")),
    }
}

fn rows(licences: &[Licence]) -> Rows {
    let heading = &["feature", "version", "seats", "upgrades", "overdraft", "used", "ends", "certificate", "vendor"];
    let mut rows = Rows::new(heading).numbers(&[2, 3, 4, 5]);
    for licence in licences {
        rows.push(vec![
            licence.feature.to_string(),
            licence.version.to_string(),
            licence.count.map_or_else(|| "uncounted".to_owned(), |count| count.to_string()),
            licence.upgraded_by.to_string(),
            licence.overdraft.to_string(),
            licence.used.to_string(),
            licence.ends.map_or_else(|| "never".to_owned(), human::day),
            licence.id.to_string(),
            vendor_string(licence).unwrap_or("-").to_owned(),
        ]);
    }
    rows
}

fn path_json(path: &LicencePath) -> Value {
    let mut json = source_json(&path.source);
    match &path.licences {
        Ok(licences) => json["licences"] = licences.iter().map(licence_json).collect(),
        Err(why) => json["error"] = why.to_string().into(),
    }
    json
}

fn source_json(source: &LicenceSource) -> Value {
    match source {
        LicenceSource::File(path) => json!({ "kind": "file", "file": path.display().to_string() }),
        LicenceSource::Server(address) => json!({ "kind": "server", "server": address.to_string() }),
        _ => json!({ "kind": "none" }),
    }
}

fn feature_json(info: &FeatureInfo) -> Value {
    json!({
        "feature": info.name.as_str(),
        "version": info.version.to_string(),
        "count": info.count,
        "upgraded_by": info.upgraded_by,
        "overdraft": info.overdraft,
        "used": info.used,
        "next_end_ms": info.next_end.map(|end| end.0),
        "source": source_json(&info.source),
        "licences": info.licences.iter().map(licence_json).collect::<Vec<_>>(),
    })
}

fn licence_json(licence: &Licence) -> Value {
    json!({
        "feature": licence.feature.as_str(),
        "certificate": licence.id.to_string(),
        "version": licence.version.to_string(),
        "count": licence.count,
        "upgraded_by": licence.upgraded_by,
        "overdraft": licence.overdraft,
        "used": licence.used,
        "starts_ms": licence.starts.map(|at| at.0),
        "ends_ms": licence.ends.map(|at| at.0),
        "verified": licence.certificate.is_some(),
        "vendor_string": vendor_string(licence),
    })
}
