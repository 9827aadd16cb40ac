//! Who a rule is for, as other servers name him and as a policy does.

use ipnet::IpNet;
use leasehold_protocol::vocab::Label;

/// What is written of a group, or of a rule's own list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) users: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) displays: Vec<String>,
    pub(super) projects: Vec<String>,
    pub(super) addresses: Vec<String>,
}

impl Members {
    /// Adds `name` as a `kind`; whether it can be one.
    pub(super) fn add(&mut self, kind: &str, name: &str) -> bool {
        if matches!(kind, "HOST" | "INTERNET")
            && let Some(network) = network(name)
        {
            self.addresses.push(network);
            return true;
        }
        let list = match kind {
            "USER" => &mut self.users,
            "HOST" => &mut self.hosts,
            "DISPLAY" => &mut self.displays,
            "PROJECT" => &mut self.projects,
            _ => return false,
        };
        if fits(name) {
            list.push(name.to_owned());
        }
        fits(name)
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same as a rule's own list.
    pub(super) fn inline(&self) -> String {
        format!("{{ {} }}", self.written().join(", "))
    }

    /// Its lines in a policy.
    pub(super) fn written(&self) -> Vec<String> {
        let lists = [
            ("users", &self.users),
            ("hosts", &self.hosts),
            ("displays", &self.displays),
            ("projects", &self.projects),
            ("addresses", &self.addresses),
        ];
        let line = |(key, names): (&str, &Vec<String>)| {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            (!names.is_empty()).then(|| format!("{key} = [{}]", names.join(", ")))
        };
        lists.into_iter().filter_map(line).collect()
    }
}

/// An address, or one whose last parts are `*`, as a network.
fn network(text: &str) -> Option<String> {
    if text.parse::<std::net::IpAddr>().is_ok() || text.parse::<IpNet>().is_ok_and(|network| network.trunc() == network)
    {
        return Some(text.to_owned());
    }
    let parts: Vec<&str> = text.split('.').collect();
    let fixed = parts.iter().take_while(|part| **part != "*").count();
    let is_range = parts.len() == 4 && fixed < 4 && parts[fixed..].iter().all(|part| *part == "*");
    let bytes: Vec<u8> = parts[..fixed].iter().map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let address = (0..4).map(|n| bytes.get(n).copied().unwrap_or(0).to_string()).collect::<Vec<_>>().join(".");
    is_range.then(|| format!("{address}/{}", fixed * 8))
}

pub(super) fn fits(name: &str) -> bool {
    Label::new(name).is_ok()
}

/// A text as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
