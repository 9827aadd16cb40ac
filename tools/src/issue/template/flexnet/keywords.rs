//! What each word of a FlexNet line becomes.

use leasehold_protocol::vocab::HostId;

/// What a word means here.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// The same as a setting of ours, spelt the same way.
    Same(&'static str),
    /// A text of ours.
    Text(&'static str),
    /// A number of ours, with its unit.
    Unit(&'static str, &'static str),
    /// A day of ours.
    Day(&'static str),
    /// Somebody else's signature.
    Signature,
    /// Nothing: a licence without it would grant something else than was meant.
    None(&'static str),
    /// Nothing, and nothing is lost by it.
    Remark(&'static str),
    /// See the reader.
    Own,
}

use Meaning::{Day, None, Own, Remark, Same, Signature, Text, Unit};

/// Every word FlexNet documents for a feature.
pub(super) const KEYWORDS: [(&str, Meaning); 38] = [
    ("VENDOR_STRING", Text("vendor-string")),
    ("ISSUER", Text("issuer")),
    ("NOTICE", Text("notice")),
    ("SN", Text("serial")),
    ("START", Day("start")),
    ("ISSUED", Day("issued")),
    ("HOSTID", Own),
    ("DUP_GROUP", Own),
    ("LINGER", Unit("linger", "s")),
    ("OVERDRAFT", Same("overdraft")),
    ("MINIMUM", Unit("min-checkout", "m")),
    ("BORROW", Own),
    ("SUPERSEDE", Own),
    ("PLATFORMS", Own),
    ("TS_OK", Own),
    ("VM_PLATFORMS", Own),
    ("SIGN", Signature),
    ("SIGN2", Signature),
    ("AUTH", Signature),
    ("V7.1_LK", Signature),
    ("ck", Signature),
    ("HOST_BASED", None("rights are not bound to a number of named hosts: list them as HOSTID")),
    ("USER_BASED", None("rights are not bound to named users")),
    ("METER_BORROW", None("meters are not borrowed")),
    ("CAPACITY", None("a seat has no capacity")),
    ("SUITE_DUP_GROUP", Remark("a package's seat is its holder's: the same user on the same host")),
    ("SUITE_RESERVED", Remark("a package's seat is its holder's")),
    ("SORT", Remark("certificates are read in the order of the file")),
    ("asset_info", Remark("put it into NOTICE")),
    ("dist_info", Remark("put it into NOTICE")),
    ("user_info", Remark("put it into NOTICE")),
    ("vendor_info", Remark("put it into VENDOR_STRING")),
    ("FLOAT_OK", Remark("a seat on a dongle is not a seat of a server")),
    ("OPTIONS", Remark("it belongs to a PACKAGE line")),
    ("TZ", None("rights are not bound to time zones")),
    ("VERSION_FORMAT", Remark("versions are compared part by part")),
    ("RETURN", Remark("a seat is free at once")),
    ("PROMOTION", Remark("put it into NOTICE")),
];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `31-dec-2026` as `2026-12-31`; `permanent`, and the year 0, for ever. `None`: neither.
pub(super) fn day(text: &str) -> Option<String> {
    if matches!(text, "permanent" | "0") {
        return Some("permanent".to_owned());
    }
    let mut parts = text.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    if year.bytes().all(|b| b == b'0') {
        return Some("permanent".to_owned());
    }
    let (day, year): (u8, u16) = (day.parse().ok()?, year.parse().ok()?);
    parts.next().is_none().then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// A version as ours has it: two parts at least.
pub(super) fn version(text: &str) -> String {
    if text.contains('.') { text.to_owned() } else { format!("{text}.0") }
}

/// A hostid of theirs as ours.
pub(super) fn hostid(text: &str) -> Result<String, String> {
    let (kind, value) = text.split_once('=').unwrap_or(("", text));
    let ours = match kind {
        "" if matches!(text, "ANY" | "DEMO") => return Ok("any".to_owned()),
        "" => "ethernet",
        "HOSTNAME" => "host",
        "USER" => "user",
        "DISPLAY" => "display",
        "INTERNET" => "ip",
        "DISK_SERIAL_NUM" => "disk",
        "VM_UUID" => "vm-uuid",
        "COMPOSITE" => "composite",
        other => {
            return Err(format!(
                "{other} is no kind of hostid here: expected HOSTNAME, USER, DISPLAY, INTERNET, DISK_SERIAL_NUM, VM_UUID, \
                 COMPOSITE, ANY or an Ethernet address"
            ));
        }
    };
    // Networks are written with stars.
    let value = if ours == "ip" { network(value) } else { value.to_owned() };
    format!("{ours}:{value}").parse::<HostId>().map(|id| id.to_string()).map_err(|e| e.to_string())
}

/// `10.1.*.*` as `10.1.0.0/16`.
fn network(text: &str) -> String {
    let fixed = text.split('.').take_while(|part| *part != "*").count();
    if fixed >= 4 { text.to_owned() } else { format!("{}/{}", text.replace('*', "0"), fixed * 8) }
}

/// A platform of theirs as we call it; one we do not know keeps its name.
pub(super) fn platform(name: &str) -> String {
    let ours = match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "x64_lsb" | "x64_l" => "x86_64-linux",
        "i86_lsb" | "i86_l" => "x86-linux",
        "x64_n" => "x86_64-windows",
        "i86_n" => "x86-windows",
        "x64_mac" | "mac" => "x86_64-macos",
        "arm64_mac" => "aarch64-macos",
        _ => name,
    };
    ours.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_hostids_and_platforms_are_ours() {
        for (theirs, ours) in [
            ("31-dec-2026", Some("2026-12-31")),
            ("1-Jan-2027", Some("2027-01-01")),
            ("1-jan-0", Some("permanent")),
            ("1-jan-0000", Some("permanent")),
            ("permanent", Some("permanent")),
            ("31-dez-2026", Option::None),
            ("2026-12-31", Option::None),
        ] {
            assert_eq!(day(theirs).as_deref(), ours, "{theirs}");
        }
        for (theirs, ours) in [
            ("0012AB34CD56", "ethernet:0012ab34cd56"),
            ("INTERNET=10.1.*.*", "ip:10.1.0.0/16"),
            ("INTERNET=10.1.2.3", "ip:10.1.2.3"),
            ("HOSTNAME=Render", "host:render"),
            ("ANY", "any"),
        ] {
            assert_eq!(hostid(theirs).as_deref(), Ok(ours));
        }
        assert!(hostid("FLEXID=9-1").is_err() && hostid("12").is_err());
        assert_eq!(platform("x64_lsb2"), "x86_64-linux");
    }
}
