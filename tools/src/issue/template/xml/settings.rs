//! What each setting of LM-X becomes.

/// What a setting means here.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// The same as a setting of ours, spelt the same way.
    Same(&'static str),
    /// A text of ours.
    Text(&'static str),
    /// A number of ours, with its unit.
    Unit(&'static str, &'static str),
    /// Nothing: a licence without it would grant something else than was meant.
    None(&'static str),
    /// Nothing, and nothing is lost by it.
    Remark(&'static str),
    /// See the reader.
    Own,
}

use Meaning::{None, Own, Remark, Same, Text, Unit};

/// Every setting LM-X documents for a feature.
pub(super) const SETTINGS: [(&str, Meaning); 36] = [
    ("KEYTYPE", Own),
    ("COUNT", Own),
    ("MAJOR_VERSION", Own),
    ("MINOR_VERSION", Own),
    ("VERSION", Own),
    ("START", Same("start")),
    ("END", Same("end")),
    ("ISSUED", Same("issued")),
    ("MAINTENANCE_START", Remark("leasehold knows the end of maintenance alone")),
    ("MAINTENANCE_END", Same("maintenance-end")),
    ("SHARE", Own),
    ("SOFTLIMIT", Same("overdraft")),
    ("BORROW", Unit("borrow-max", "h")),
    ("GRACE", Unit("grace", "h")),
    ("HOLD", Unit("linger", "m")),
    ("LINGER", Unit("linger", "m")),
    ("HOSTID_MATCH_RATE", Same("match-rate")),
    ("CLIENT_HOSTID", Own),
    ("SERVER_HOSTID", Own),
    ("TOKEN_DEPENDENCY", Own),
    ("REPLACES", Own),
    ("PLATFORMS", Own),
    ("SN", Text("serial")),
    ("DATA", Text("vendor-string")),
    ("COMMENT", Text("notice")),
    ("LICENSEE", Text("licensee")),
    ("ISSUER", Text("issuer")),
    ("OPTIONS", None("put it into DATA, which the program reads")),
    ("TIME_ZONES", None("rights are not bound to time zones")),
    ("USERBASED", None("rights are not bound to named users")),
    ("HOSTBASED", None("rights are not bound to a number of named hosts: list them as CLIENT_HOSTID")),
    ("LIMITED_FUNCTIONALITY", None("put it into DATA, which the program reads")),
    ("SYSTEM_CLOCK_CHECK", Remark("leasehold keeps its own record of the time")),
    ("BLACKLIST", None("use supersedes, or a new publisher key")),
    ("HAL_SERVERS", Remark("several servers need no word in the licence")),
    ("KEY_COMMENT", Text("notice")),
];

/// L-8: what an upgrade may say.
pub(super) const OF_AN_UPGRADE: [&str; 7] =
    ["COUNT", "KEYTYPE", "START", "END", "SHARE", "HOSTID_MATCH_RATE", "SERVER_HOSTID"];

/// Kinds of hostid, and ours.
pub(super) const HOSTID_KINDS: [(&str, &str); 13] = [
    ("ETHERNET", "ethernet"),
    ("USERNAME", "user"),
    ("HOSTNAME", "host"),
    ("IPADDRESS", "ip"),
    ("HARDDISK", "disk"),
    ("DISPLAY", "display"),
    ("AMAZON_EC2", "cloud"),
    ("AZURE", "cloud"),
    ("GCP", "cloud"),
    ("VM_UUID", "vm-uuid"),
    ("TPM", "tpm"),
    ("MACHINE", "machine"),
    ("ANY", "any"),
];

/// A platform of LM-X as we call it; one we do not know keeps its name.
pub(super) fn platform(name: &str) -> String {
    let ours = match name {
        "Linux_x64" => "x86_64-linux",
        "Linux_x86" => "x86-linux",
        "Linux_arm64" | "Linux_aarch64" => "aarch64-linux",
        "Win64_x64" => "x86_64-windows",
        "Win32_x86" => "x86-windows",
        "Darwin_x64" => "x86_64-macos",
        "Darwin_arm64" => "aarch64-macos",
        other => other,
    };
    ours.to_owned()
}
