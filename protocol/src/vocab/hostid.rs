//! What a machine can be recognised by (T-1).

use std::{fmt, net::IpAddr, str::FromStr};

use bincode::{Decode, Encode};

use super::names::{Label, NameError};

/// A machine's identity as a licence may state it (T-1): what kind, and its value.
///
/// As text `KIND:VALUE`, such as `ethernet:0012ab34cd56` or `host:render-3`; `any` alone has no value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct HostId {
    /// What the value is.
    pub kind: HostIdKind,
    /// The value, already hashed where the kind demands it.
    pub value: Label,
}

/// What a hostid's value is. An open `u8` space: a kind this build does not know is kept and matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct HostIdKind(pub u8);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal;)*) => {
        impl HostIdKind {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every kind this build knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word for it in licence files; `None` if this build does not know it.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($word),)*
                    _ => None,
                }
            }

            /// The kind of that name.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// The machine id, hashed with the application's key: 32 hexadecimal digits.
    MACHINE = 1, "machine";
    /// The address of a physical Ethernet adapter: 12 hexadecimal digits.
    ETHERNET = 2, "ethernet";
    /// The host name, of either case.
    HOST_NAME = 3, "host";
    /// The user's name.
    USER = 4, "user";
    /// The serial number of a disk.
    DISK = 5, "disk";
    /// An address; in a licence also a network (`10.1.0.0/16`) or a range (`10.1.2.3-10.1.2.9`).
    IP = 6, "ip";
    /// A display or terminal.
    DISPLAY = 7, "display";
    /// The UUID a hypervisor gave the machine, hashed.
    VM_UUID = 8, "vm-uuid";
    /// A key in the machine's TPM, by its fingerprint.
    TPM = 9, "tpm";
    /// What an orchestrator calls the workload, hashed.
    CONTAINER = 10, "container";
    /// The fingerprint of a server's own key.
    SERVER_KEY = 11, "server-key";
    /// A hash over several others.
    COMPOSITE = 12, "composite";
    /// Any machine at all: as text `any`, with no value.
    ANY = 13, "any";
    /// What the program was built for, as `x86_64-linux`. A fact about a client, compared with a right's platforms.
    PLATFORM = 14, "platform";
    /// Which hypervisor the machine runs under. A fact about a client: its presence says that it is a virtual machine.
    VM = 15, "vm";
    /// Which kind of remote session it is. A fact about a client: its presence says that it is one.
    TERMINAL_SERVER = 16, "terminal-server";
    /// The id a cloud gave the machine, hashed.
    CLOUD = 17, "cloud";
}

/// Why a hostid is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostIdError {
    /// Not `KIND:VALUE`.
    #[error("expected KIND:VALUE, such as ethernet:0012ab34cd56, or any")]
    Shape,
    /// Not a kind there is.
    #[error("{0:?} is not a kind of hostid")]
    Kind(String),
    /// A value that cannot be one.
    #[error(transparent)]
    Value(#[from] NameError),
    /// An Ethernet address that is none.
    #[error("an Ethernet address has 12 hexadecimal digits")]
    Ethernet,
    /// An address, network or range that is none.
    #[error("expected an address, a network such as 10.1.0.0/16 or a range such as 10.1.2.3-10.1.2.9")]
    Ip,
}

impl HostId {
    /// Any machine at all.
    #[must_use]
    pub fn any() -> Self {
        Self { kind: HostIdKind::ANY, value: Label::lossy("any") }
    }

    /// Whether it is any machine at all.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.kind == HostIdKind::ANY
    }

    /// The hostid of that kind and value, the value as its kind writes it: Ethernet addresses as twelve lower-case digits,
    /// host names in lower case.
    ///
    /// # Errors
    /// If the value cannot be one of that kind.
    pub fn new(kind: HostIdKind, value: &str) -> Result<Self, HostIdError> {
        let value = match kind {
            HostIdKind::ANY => return Ok(Self::any()),
            HostIdKind::ETHERNET => value.replace([':', '-', '.'], "").to_ascii_lowercase(),
            HostIdKind::HOST_NAME => value.to_lowercase(),
            _ => value.to_owned(),
        };
        let hostid = Self { kind, value: Label::new(&value)? };
        hostid.check().map(|()| hostid)
    }

    /// Whether the value can be one of its kind.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self) -> Result<(), HostIdError> {
        let value = self.value.as_str();
        match self.kind {
            HostIdKind::ETHERNET if value.len() == 12 && value.bytes().all(is_lower_hex) => Ok(()),
            HostIdKind::ETHERNET => Err(HostIdError::Ethernet),
            HostIdKind::IP => Addresses::parse(value).map(drop).ok_or(HostIdError::Ip),
            HostIdKind::ANY if value != "any" => Err(HostIdError::Shape),
            HostIdKind::HOST_NAME if value.to_lowercase() != value => Err(HostIdError::Shape),
            kind if kind.name().is_none() => Err(HostIdError::Kind(kind.0.to_string())),
            _ => Ok(()),
        }
    }

    /// Whether a right that lists this hostid means a machine with `seen`.
    #[must_use]
    pub fn means(&self, seen: &Self) -> bool {
        match self.kind {
            HostIdKind::ANY => true,
            kind if kind != seen.kind => false,
            HostIdKind::IP => {
                let address = seen.value.as_str().parse::<IpAddr>().ok();
                let listed = Addresses::parse(self.value.as_str());
                listed.zip(address).is_some_and(|(listed, address)| listed.has(address))
            }
            HostIdKind::HOST_NAME | HostIdKind::ETHERNET => {
                self.value.as_str().eq_ignore_ascii_case(seen.value.as_str())
            }
            _ => self.value == seen.value,
        }
    }
}

impl FromStr for HostId {
    type Err = HostIdError;

    fn from_str(text: &str) -> Result<Self, HostIdError> {
        if text == "any" {
            return Ok(Self::any());
        }
        let (kind, value) = text.split_once(':').ok_or(HostIdError::Shape)?;
        let known = HostIdKind::named(kind).ok_or_else(|| HostIdError::Kind(kind.to_owned()))?;
        if known == HostIdKind::ANY { Err(HostIdError::Shape) } else { Self::new(known, value) }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.kind.name()) {
            (HostIdKind::ANY, _) => f.pad("any"),
            (_, Some(kind)) => f.pad(&format!("{kind}:{}", self.value)),
            (HostIdKind(code), None) => f.pad(&format!("hostid-{code}:{}", self.value)),
        }
    }
}

/// The addresses from the first to the last, of one family.
struct Addresses {
    first: IpAddr,
    last: IpAddr,
}

impl Addresses {
    fn parse(text: &str) -> Option<Self> {
        if let Some((network, bits)) = text.split_once('/') {
            let plain = bits.bytes().all(|b| b.is_ascii_digit());
            return plain.then(|| Self::network(network.parse().ok()?, bits.parse().ok()?)).flatten();
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    fn network(address: IpAddr, bits: u32) -> Option<Self> {
        Some(match address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let first = u32::from(v4) & !host;
                (bits <= 32)
                    .then(|| Self { first: IpAddr::V4(first.into()), last: IpAddr::V4((first | host).into()) })?
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = u128::from(v6) & !host;
                (bits <= 128)
                    .then(|| Self { first: IpAddr::V6(first.into()), last: IpAddr::V6((first | host).into()) })?
            }
        })
    }

    fn has(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostid(text: &str) -> HostId {
        text.parse().unwrap()
    }

    #[test]
    fn every_kind_has_its_own_word_and_reads_back() {
        for &kind in HostIdKind::ALL {
            assert_eq!(HostIdKind::named(kind.name().unwrap()), Some(kind));
        }
        for text in [
            "any",
            "ethernet:0012ab34cd56",
            "host:render-3",
            "user:Ada L.",
            "ip:10.1.0.0/16",
            "ip:fe80::1",
            "disk:WD:1",
        ] {
            assert_eq!(hostid(text).to_string(), text);
        }
        assert_eq!(hostid("ethernet:00-12-AB-34-CD-56"), hostid("ethernet:0012ab34cd56"));
        assert_eq!(hostid("host:Render-3"), hostid("host:render-3"));
    }

    #[test]
    fn what_is_no_hostid_is_refused() {
        for bad in [
            "",
            "ethernet",
            "ethernet:0012ab34cd5",
            "ethernet:0012ab34cd5g",
            "mac:0012ab34cd56",
            "any:x",
            "user:",
            "ip:10.1.0.0/33",
            "ip:10.1.2.9-10.1.2.3",
            "ip:10.1.2.3-::1",
            "ip:x",
            "ip:1.2.3.4/+8",
        ] {
            assert!(bad.parse::<HostId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_listed_hostid_means_the_machines_it_names_and_no_others() {
        for (listed, seen, means) in [
            ("any", "disk:1", true),
            ("ip:10.1.0.0/16", "ip:10.1.255.255", true),
            ("ip:10.1.0.0/16", "ip:10.2.0.0", false),
            ("ip:0.0.0.0/0", "ip:::1", false),
            ("ip:fe80::/10", "ip:fe80::7", true),
            ("ip:10.1.2.3-10.1.2.9", "ip:10.1.2.10", false),
            ("ip:10.1.2.3-10.1.2.9", "ip:10.1.2.9", true),
            ("user:Ada", "user:ada", false),
            ("disk:1", "machine:1", false),
        ] {
            assert_eq!(hostid(listed).means(&hostid(seen)), means, "{listed} {seen}");
        }
    }

    #[test]
    fn a_kind_of_a_later_day_is_kept_and_means_nobody() {
        let later = HostId { kind: HostIdKind(200), value: Label::lossy("x") };
        assert_eq!((later.to_string().as_str(), later.check().is_err()), ("hostid-200:x", true));
        assert!(later.means(&later.clone()) && !hostid("disk:x").means(&later));
    }
}
