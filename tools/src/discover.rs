//! `leasehold discover`: who is there, without using any of them.

use std::{net::SocketAddr, time::Duration};

use leasehold::{DiscoverOptions, FoundServer, ServerAddress};
use leasehold_protocol::{crypto::SiteKey, licence::PublisherKey, vocab::RealmId};
use serde::Serialize;

use crate::{
    block_on,
    connect::{self, ConnectArgs},
    exit::{Exit, Failure},
    human,
    output::{self, FAINT, paint},
    say,
    table::Rows,
};

/// Where and how long to look.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
An answer is a hint and proves nothing: compare the fingerprint with the one in the server's own banner, and pin it by \
writing it behind the address, HOST#FINGERPRINT. Ends with status 69 if nobody answers.

Examples:
  leasehold discover
  leasehold discover --server licences.example.com --timeout 2s
  leasehold discover --json | jq -r '.servers[].address'")]
pub struct Args {
    /// How long to listen for answers
    #[arg(long, short, value_name = "TIME", default_value = "600ms", value_parser = human::span)]
    timeout: Duration,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// One server that answered. Its JSON form is interface.
#[derive(Debug, Serialize)]
struct Line {
    address: SocketAddr,
    addresses: Vec<SocketAddr>,
    fingerprint: String,
    /// The publisher's name, where its key was given.
    publisher: Option<String>,
    realm: String,
    server_id: String,
    cluster_id: String,
    weight: u16,
    answered_in_ms: u128,
    /// `named` or `broadcast`.
    found_by: &'static str,
}

/// Lists the servers.
///
/// # Errors
/// If nobody answers, or the system has no socket.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let keys = args.connect.trust.publisher_keys()?;
    let named = args.connect.named().map_or(Ok(Vec::new()), connect::addresses)?;
    let found = block_on(async {
        leasehold::discover(options(args)?).await.map_err(|e| connect::failure("cannot look for servers", &e))
    })?;
    let lines: Vec<Line> = found.iter().map(|server| line(server, &keys, &named)).collect();
    if args.json {
        output::json(&serde_json::json!({ "schema": 1, "servers": lines }))?;
    } else if !lines.is_empty() {
        output::result(&rows(&lines).render())?;
        say!("{}", paint(FAINT, "none of this is proved: compare the fingerprint, or give --publisher-key"));
    }
    if lines.is_empty() { Err(nobody(args)) } else { Ok(Exit::OK) }
}

fn options(args: &Args) -> Result<DiscoverOptions, Failure> {
    let list = args.connect.named().unwrap_or_default();
    let servers = ServerAddress::list(list).map_err(|e| Failure::usage("--server names no server").because_of(&e))?;
    Ok(DiscoverOptions {
        realm: RealmId::ANY,
        site: args.connect.trust.site_key()?.unwrap_or(SiteKey::OPEN),
        port: args.connect.port,
        listen: args.timeout,
        servers,
        environment: false,
        broadcast: true,
    })
}

fn line(server: &FoundServer, keys: &[PublisherKey], named: &[SocketAddr]) -> Line {
    let publisher = keys.iter().find(|key| key.realm() == server.realm).map(|key| key.publisher().to_string());
    let by_name = server.addresses.iter().any(|address| named.contains(address));
    Line {
        address: server.address,
        addresses: server.addresses.clone(),
        fingerprint: server.fingerprint.to_string(),
        publisher,
        realm: server.realm.to_string(),
        server_id: format!("{:016x}", server.server_id),
        cluster_id: format!("{:016x}", server.cluster_id),
        weight: server.weight,
        answered_in_ms: server.answered_in.as_millis(),
        found_by: if by_name { "named" } else { "broadcast" },
    }
}

fn rows(lines: &[Line]) -> Rows {
    let heading = &["address", "fingerprint", "publisher", "server id", "answered in", "found by"];
    let mut rows = Rows::new(heading).numbers(&[4]);
    for line in lines {
        rows.push(vec![
            line.address.to_string(),
            line.fingerprint.clone(),
            line.publisher.clone().unwrap_or_else(|| format!("realm {}", line.realm)),
            line.server_id.clone(),
            format!("{} ms", line.answered_in_ms),
            line.found_by.to_owned(),
        ]);
    }
    rows
}

fn nobody(args: &Args) -> Failure {
    let port = args.connect.port;
    Failure::new("no licence server answers")
        .because(format!("asked this machine and every network of it on udp {port} for {}", human::show(args.timeout)))
        .exit(Exit::UNREACHABLE)
        .remedy("start one: leasehold serve")
        .remedy("name one beyond a router: leasehold discover --server HOST")
        .remedy("find out what is in the way: leasehold doctor")
}
