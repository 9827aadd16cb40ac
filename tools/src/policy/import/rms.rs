//! Reservation files of Sentinel RMS (`lsreserv`), line by line: `FEATURE[,VERSION]:GROUP:SEATS:MEMBER MEMBER …`, where `$` stands before
//! the name of a computer and `!` before one who may have none at all.

use std::fmt::Write as _;

use leasehold_protocol::vocab::{FeatureName, SeatCount, Version};

use super::{
    Became, Imported, Line,
    members::{Members, quoted},
};

/// What became of a line, and what there is to add to the policy for it.
type Told = Result<(String, Vec<String>), String>;

/// Reads the reservation file `text`, which is called `name`.
pub(super) fn import(name: &str, text: &str) -> Imported {
    let mut policy = format!("# Imported from {}.\n\ncase = \"ignore\"\n", name.replace(char::is_control, " "));
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (became, note) = match reservation(line, number) {
            Ok((rules, changes)) => {
                policy += &rules;
                match changes.is_empty() {
                    true => (Became::Same, format!("rules of line-{number}")),
                    false => (Became::Changed, format!("rules of line-{number}: {}", changes.join("; "))),
                }
            }
            Err(why) => (Became::Nothing, why),
        };
        lines.push(Line { line: number, text: line.to_owned(), became, note });
    }
    Imported { policy, lines }
}

fn reservation(line: &str, number: usize) -> Told {
    let [what, group, seats, members] = line.splitn(4, ':').map(str::trim).collect::<Vec<_>>()[..] else {
        return Err("expected FEATURE,VERSION:GROUP:SEATS:MEMBERS".to_owned());
    };
    let (feature, version) = what.split_once(',').map_or((what, ""), |(feature, version)| (feature, version.trim()));
    let feature =
        FeatureName::new(feature.trim()).map_err(|_| format!("{feature} is no name a feature can have here"))?;
    let seats: u32 = seats.parse().map_err(|_| format!("{seats} is no number of seats"))?;
    let (mut included, mut excluded, mut changes) = (Members::default(), Members::default(), Vec::new());
    for member in members.split([' ', ',', '\t']).filter(|member| !member.is_empty()) {
        let (list, named) = match member.strip_prefix('!') {
            Some(named) => (&mut excluded, named),
            None => (&mut included, member),
        };
        let is_fit = match named.strip_prefix('$') {
            // What a computer's number is made of is its vendor's.
            Some(host) => !host.to_ascii_lowercase().starts_with("0x") && list.add("HOST", host),
            // Addresses are written as users are.
            None => list.add(if named.parse::<std::net::IpAddr>().is_ok() { "INTERNET" } else { "USER" }, named),
        };
        if !is_fit {
            changes.push(format!("{member} cannot be told apart here and is left out"));
        }
    }
    let least = least(version, &mut changes);
    let mut rules = String::new();
    if seats == 0 {
        // A group without seats is one that may have none.
        exclude(&mut rules, &format!("line-{number}"), &feature, &included);
    } else if !included.is_empty() {
        SeatCount::new(seats).map_err(|_| format!("{seats} are more seats than there can be"))?;
        let (id, name, members) = (quoted(&format!("line-{number}")), quoted(feature.as_str()), included.inline());
        let version = least.map_or(String::new(), |version| format!("version = \"{version}\"\n"));
        let _ = write!(
            rules,
            "\n# {}\n[[reservations]]\nid = {id}\nseats = {seats}\nfeature = {name}\n{version}for = {members}\n",
            group.replace(char::is_control, " ")
        );
    }
    exclude(&mut rules, &format!("line-{number}-not"), &feature, &excluded);
    if rules.is_empty() { Err("nobody is left in it".to_owned()) } else { Ok((rules, changes)) }
}

/// The lowest version that will do, as far as it is one here.
fn least(version: &str, changes: &mut Vec<String>) -> Option<Version> {
    if version.is_empty() {
        return None;
    }
    match version.parse() {
        Ok(least) => {
            changes.push(format!("seats of {least} or higher are kept, not of that version alone"));
            Some(least)
        }
        Err(_) => {
            changes.push(format!("{version} is no version here: seats of any are kept"));
            None
        }
    }
}

fn exclude(rules: &mut String, id: &str, feature: &FeatureName, members: &Members) {
    if !members.is_empty() {
        let (id, name, members) = (quoted(id), quoted(feature.as_str()), members.inline());
        let _ = write!(rules, "\n[[rules]]\nid = {id}\nexclude = {members}\nfeatures = [{name}]\n");
    }
}
