//! `leasehold why`: why somebody got seats or did not, and what would be answered now.

mod words;

use std::{fmt::Write as _, net::IpAddr};

use leasehold_protocol::vocab::{DeviceId, FeatureName, Label, Version};
use leasehold_server::policy::device_of;
use serde_json::Value;

use crate::{
    block_on,
    exit::{Exit, Failure},
    local::RestArgs,
    output, rest,
};

/// What to ask about.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A lease is named as leasehold status --leases does, an event by its number in leasehold history query. Then the decision is told as
it was: the certificates with their seats at that instant, the policy of then and what it says of who asked, and what became of the
lease. With a feature it is told what somebody who asks now would be answered; nothing is taken.

Exit status: 0 seats went out, or would; 77 not.

Examples:
  leasehold why 17.2                                why that lease is out
  leasehold why $(leasehold history query --kind denied --limit 1 --json | jq '.history[0].event')
  leasehold why CAD --user ann --host ws1           what ann would be answered now
  leasehold why CAD --user ann -n 3 --json | jq .looked")]
pub struct Args {
    /// A lease, the number of an event, or a feature
    #[arg(value_name = "LEASE|EVENT|FEATURE")]
    what: String,

    #[command(flatten)]
    who: Who,

    /// Print as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    rest: RestArgs,
}

/// Who would ask for a feature.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Who asks for a feature")]
struct Who {
    /// Login name
    #[arg(long, value_name = "NAME")]
    user: Option<Label>,

    /// Host name
    #[arg(long, value_name = "NAME")]
    host: Option<Label>,

    /// Address the request comes from
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,

    /// How many seats [default: 1]
    #[arg(short = 'n', long, value_name = "N")]
    seats: Option<u32>,

    /// The lowest version that will do
    #[arg(short = 'v', long, value_name = "VERSION")]
    version: Option<Version>,

    /// Display or terminal
    #[arg(long, value_name = "NAME")]
    display: Option<Label>,

    /// Project tag
    #[arg(long, value_name = "TAG")]
    project: Option<Label>,

    /// Share id
    #[arg(long, value_name = "ID")]
    share: Option<Label>,

    /// The machine, 32 hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = device)]
    device: Option<DeviceId>,

    /// Whose licence, if more than one publisher's has the feature
    #[arg(long, value_name = "NAME")]
    publisher: Option<Label>,
}

/// What is asked about.
enum What {
    Event(u64),
    Lease(String),
    Feature(FeatureName),
}

/// Asks, and shows it.
///
/// # Errors
/// If nothing is known of it, or no server answers.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let what = what(&args.what)?;
    let told: Value = block_on(args.rest.rest()?.get(&path(&what, &args.who)?))?;
    let (text, exit) = match what {
        What::Feature(_) => words::of_now(&rest::read(&told)?),
        _ => words::of_past(&rest::read(&told)?),
    };
    if args.json {
        output::json(&told)?;
    } else {
        output::result(&text)?;
    }
    Ok(exit)
}

/// A number is an event, two with a dot between them are a lease, and everything else is a feature.
fn what(text: &str) -> Result<What, Failure> {
    if let Ok(event) = text.trim_start_matches('#').parse() {
        return Ok(What::Event(event));
    }
    if text.split_once('.').is_some_and(|(slot, use_of)| [slot, use_of].iter().all(|part| part.parse::<u32>().is_ok()))
    {
        return Ok(What::Lease(text.to_owned()));
    }
    FeatureName::new(text).map(What::Feature).map_err(|e| {
        Failure::usage(format!("{text:?} is neither a lease, nor the number of an event, nor a feature"))
            .because_of(&e)
            .remedy("leases: leasehold status --leases")
            .remedy("events: leasehold history query")
    })
}

fn path(what: &What, who: &Who) -> Result<String, Failure> {
    let feature = match what {
        What::Event(_) | What::Lease(_) if !who.is_empty() => {
            return Err(Failure::usage("who asks is said of a feature; of a lease and an event it is known"));
        }
        What::Event(event) => return Ok(format!("/api/v1/why?event={event}")),
        What::Lease(lease) => return Ok(format!("/api/v1/why?lease={lease}")),
        What::Feature(feature) => feature,
    };
    let mut path = format!("/api/v1/why?feature={}", quoted(feature.as_str()));
    for (name, value) in who.said() {
        let _ = write!(path, "&{name}={}", quoted(&value));
    }
    Ok(path)
}

impl Who {
    fn said(&self) -> Vec<(&'static str, String)> {
        let label = |name, label: &Option<Label>| label.as_ref().map(|label| (name, label.as_str().to_owned()));
        let all = [
            label("user", &self.user),
            label("host", &self.host),
            self.address.map(|address| ("address", address.to_string())),
            self.seats.map(|seats| ("seats", seats.to_string())),
            self.version.map(|version| ("version", version.to_string())),
            label("display", &self.display),
            label("project", &self.project),
            label("share", &self.share),
            self.device.map(|device| ("device", device.to_string())),
            label("publisher", &self.publisher),
        ];
        all.into_iter().flatten().collect()
    }

    fn is_empty(&self) -> bool {
        self.said().is_empty()
    }
}

/// `text` as a value in an address.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn device(text: &str) -> Result<DeviceId, String> {
    device_of(text).ok_or_else(|| "expected 32 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about_is_told_by_its_form() {
        assert!(matches!(what("17"), Ok(What::Event(17))));
        assert!(matches!(what("#17"), Ok(What::Event(17))));
        assert!(matches!(what("17.2"), Ok(What::Lease(lease)) if lease == "17.2"));
        assert!(matches!(what("CAD_2"), Ok(What::Feature(_))));
        assert!(what("two words").is_err());
    }

    #[test]
    fn who_asks_goes_into_the_address_quoted() {
        let who = Who { user: Some(Label::lossy("a&b ü")), seats: Some(2), ..Who::default() };
        let feature = What::Feature(FeatureName::new("CAD").unwrap());
        assert_eq!(path(&feature, &who).unwrap(), "/api/v1/why?feature=CAD&user=a%26b%20%C3%BC&seats=2");
        assert!(path(&What::Event(1), &who).is_err());
        assert_eq!(path(&What::Event(1), &Who::default()).unwrap(), "/api/v1/why?event=1");
    }
}
