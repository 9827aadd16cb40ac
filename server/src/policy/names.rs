//! One value of a policy each, or what was expected instead.

use std::net::IpAddr;

use ipnet::IpNet;
use leasehold_protocol::vocab::{DeviceId, Label};

/// A value, or what was expected instead and what to do.
pub(super) type Named<T> = Result<T, (&'static str, Option<String>)>;

/// A name with or without `*` and `?`, as a holder can have it.
pub(super) fn name(text: &str) -> Named<String> {
    Label::new(text).map(|_| text.to_owned()).map_err(|_| ("expected a name of 1 to 64 bytes", None))
}

/// An address, or a network.
pub(super) fn network(text: &str) -> Named<IpNet> {
    const EXPECTED: &str = "expected an address, or a network such as 10.1.0.0/16 or 2001:db8::/32";
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        let help =
            text.contains('*').then(|| "a network is written with the length of its prefix: 10.1.0.0/16".to_owned());
        (EXPECTED, help)
    })?;
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(("this is one address and the length of a prefix", Some(format!("the network is {}", network.trunc()))))
    }
}

/// A machine.
pub(super) fn device(text: &str) -> Named<DeviceId> {
    let help = || Some("GET /api/v1/leases shows the device of each holder".to_owned());
    device_of(text).ok_or_else(|| ("expected 32 hexadecimal digits", help()))
}

/// The machine whose id is written as these 32 hexadecimal digits; `None` if they are none.
#[must_use]
pub fn device_of(text: &str) -> Option<DeviceId> {
    let digits = Some(text).filter(|text| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    number.map(|number| DeviceId(number.to_be_bytes()))
}
