//! What a person who starts a server wants to know: every address, where each setting came from, what is not as it should
//! be with the command that ends it, and what to type next.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use leasehold_core::{FeatureStatus, Shared};
use leasehold_protocol::{DEFAULT_PORT, packet, time::Now};

use crate::{
    alarms,
    instant::{day, rfc3339, wall_of, words},
    licences::LicenceReport,
    net::{Interface, Interfaces},
    settings::Settings,
};

/// What the banner is made of.
pub(crate) struct Facts<'a> {
    pub settings: &'a Settings,
    pub udp: &'a [SocketAddr],
    pub http: Option<SocketAddr>,
    pub token_path: &'a Path,
    pub shared: &'a Shared,
    pub licences: &'a LicenceReport,
    pub interfaces: &'a Interfaces,
    pub warnings: &'a [String],
    pub now: Now,
}

/// The publisher of `leasehold init --demo`, whose secret key is no secret.
const DEMO: &str = "demo";

pub(crate) fn text(facts: &Facts<'_>) -> String {
    let mut out = format!("leasehold {}   protocol {}   pid {}\n", crate::VERSION, packet::VERSION, std::process::id());
    let mut line = |name: &str, value: &str| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "  {name:<10} {value}");
    };
    line("clients", &clients(facts));
    line("rest", &rest(facts));
    for (i, realm) in facts.shared.realms().iter().enumerate() {
        let site = if realm.open { "" } else { "   closed site" };
        line(if i == 0 { "realms" } else { "" }, &format!("{}   {}{site}", realm.publisher, realm.fingerprint));
    }
    if facts.shared.realms().is_empty() {
        line("realms", "none: no publisher is trusted");
    }
    line("licences", &licences(facts));
    line("state", &facts.settings.data_dir.display().to_string());
    line("config", &format!("{}   (leasehold config show)", facts.settings.origins));
    for warning in facts.warnings {
        let _ = writeln!(out, "  ! {warning}");
    }
    let _ = writeln!(out, "  next       {}", next_command(facts));
    out
}

fn clients(facts: &Facts<'_>) -> String {
    let addresses: Vec<_> = facts.udp.iter().map(ToString::to_string).collect();
    format!("udp {}   ({})", addresses.join(", "), discovery(facts))
}

/// The networks on which a broadcast finds us.
fn discovery(facts: &Facts<'_>) -> String {
    if !facts.settings.discovery {
        return "broadcast discovery is off".into();
    }
    let bound = |ip: IpAddr| if ip.is_unspecified() { None } else { facts.interfaces.of_address(ip) };
    let hears = |net: &Interface| {
        facts.udp.iter().filter(|at| at.is_ipv4()).any(|at| bound(at.ip()).is_none_or(|own| own == net))
    };
    let nets = facts.interfaces.broadcast_networks().filter(|net| hears(net));
    let nets: Vec<_> = nets.map(|net| format!("{} {}/{}", net.name, net.address, net.prefix)).collect();
    if nets.is_empty() { "no network to be discovered on".into() } else { format!("discovery on {}", nets.join(", ")) }
}

fn rest(facts: &Facts<'_>) -> String {
    match facts.http {
        Some(address) => format!("http://{address}   token in {}", facts.token_path.display()),
        None => "off".into(),
    }
}

fn licences(facts: &Facts<'_>) -> String {
    let features = facts.shared.features(facts.now);
    if features.is_empty() {
        return "none: this server serves nothing yet".into();
    }
    let file_name =
        |path: &str| Path::new(path).file_name().map_or_else(|| path.into(), |n| n.to_string_lossy().into_owned());
    let used = facts.licences.files.iter().filter(|file| !file.certificates.is_empty());
    let files: Vec<String> = used.map(|file| file_name(&file.path)).collect();
    let seats: u64 = features.iter().filter_map(|f| f.count).map(u64::from).sum();
    let uncounted = features.iter().filter(|f| f.count.is_none()).count();
    let uncounted = if uncounted == 0 { String::new() } else { format!(" ({uncounted} uncounted)") };
    let first_end = features.iter().filter_map(|f| f.next_end).min();
    let expiry = first_end.map_or_else(|| "permanent".to_owned(), |end| format!("first expiry {}", day(end)));
    format!(
        "{}   {}{uncounted}, {}, {expiry}",
        files.join(", "),
        many(features.len() as u64, "feature"),
        many(seats, "seat")
    )
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What is not as it should be with licences and with the life before, each with its remedy.
pub(crate) fn warnings(shared: &Shared, licences: &LicenceReport, now: Now) -> Vec<String> {
    let mut warnings = Vec::new();
    for file in &licences.files {
        warnings.extend(file.problem.iter().map(|problem| format!("licence file {} {problem}", file.path)));
        let refused = file.refused.iter().map(|r| format!("{}:{}:{}: refused: {}", file.path, r.line, r.column, r.why));
        warnings.extend(refused);
    }
    if shared.realms().iter().any(|realm| realm.publisher.as_str() == DEMO) {
        warnings.push(
            "demo key in use: anybody can sign for the publisher \"demo\"; make your own with leasehold keygen".into(),
        );
    }
    for feature in shared.features(now) {
        warnings.extend(expiry_warning(&feature, now));
        warnings.extend(limit_warnings(&feature));
    }
    if let Some(until) = shared.blind_until(now.mono) {
        warnings.push(format!(
            "it is not known what was granted before: until {} ({}) seats go only to programs that held one",
            rfc3339(wall_of(until, now)),
            words(until.ms_since(now.mono)),
        ));
    }
    warnings
}

fn expiry_warning(feature: &FeatureStatus, now: Now) -> Option<String> {
    let (end, _) = alarms::alarm(feature, now)?;
    Some(alarms::sentence(feature, end, now))
}

/// Seats out that nothing covers, and a soft limit that is passed (L-10, L-13).
fn limit_warnings(feature: &FeatureStatus) -> Vec<String> {
    let (name, used) = (&feature.name, feature.used);
    let mut warnings = Vec::new();
    if feature.overage > 0 {
        let over = feature.overage;
        warnings.push(format!(
            "{over} of the {used} seats of {name} that are out are over what the licences in force allow: nobody is cut off, \
             and no more go out until they are back; leasehold status --leases shows whose they are"
        ));
    }
    if let Some(soft) = feature.soft_limit.filter(|soft| used > *soft) {
        warnings.push(format!("{used} seats of {name} are out, more than its soft limit of {soft}"));
    }
    warnings
}

/// The next command to type.
fn next_command(facts: &Facts<'_>) -> String {
    let data_dir = facts.settings.data_dir.display();
    if facts.shared.realms().is_empty() {
        return format!(
            "leasehold init --demo   (or put the publisher's .pub file into {data_dir}/publishers/ and start again)"
        );
    }
    let features = facts.shared.features(facts.now);
    let in_force = features.iter().find(|feature| !feature.lots.is_empty());
    match in_force {
        None => {
            format!("put the publisher's .lic file into {data_dir}/licences/, then kill -HUP {}", std::process::id())
        }
        Some(feature) => format!("leasehold checkout {}{} -- your-program", feature.name, server_flag(facts.udp)),
    }
}

/// How a client on this machine is told where we are, if it would not find us by itself.
fn server_flag(udp: &[SocketAddr]) -> String {
    let Some(first) = udp.first().filter(|first| first.port() != DEFAULT_PORT) else { return String::new() };
    let ip = match first.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!(" --server {}", SocketAddr::new(ip, first.port()))
}
