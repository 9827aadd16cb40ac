//! How people write a server's address: `host`, `host:port`, `port@host`, `[v6]:port`, each with `#fingerprint`.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use leasehold_protocol::{DEFAULT_PORT, crypto::Fingerprint};

/// A server as a person or `LEASEHOLD_SERVER` names it.
///
/// ```
/// use leasehold::ServerAddress;
///
/// let plain: ServerAddress = "licences.example.com".parse()?;
/// assert_eq!(plain.to_string(), "licences.example.com:5097");
/// let habit: ServerAddress = "27000@licences.example.com".parse()?;
/// assert_eq!((habit.host(), habit.port()), ("licences.example.com", 27_000));
/// # Ok::<(), leasehold::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
    pin: Option<Fingerprint>,
}

/// Text that is no server's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no server address: {what}; write host, host:port, port@host or [v6]:port, with #fingerprint if pinned"
)]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl ServerAddress {
    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port; 5097 where none was written.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The fingerprint the server must have, if one was written.
    #[must_use]
    pub const fn pin(&self) -> Option<Fingerprint> {
        self.pin
    }

    /// The addresses of a list: separated by commas, semicolons or white space, empty ones left out.
    ///
    /// # Errors
    /// The first that is no address.
    pub fn list(text: &str) -> Result<Vec<Self>, AddressError> {
        let separator = |c: char| matches!(c, ',' | ';') || c.is_whitespace();
        text.split(separator).filter(|part| !part.is_empty()).map(str::parse).collect()
    }

    /// The address without its fingerprint: what `known_servers` remembers it by.
    #[must_use]
    pub fn label(&self) -> String {
        let host = self.host.to_ascii_lowercase();
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = |what| AddressError { text: text.to_owned(), what };
        let (place, pin) = match text.trim().split_once('#') {
            Some((place, pin)) => {
                (place, Some(pin.parse().map_err(|_| bad("a fingerprint is 32 hexadecimal digits"))?))
            }
            None => (text.trim(), None),
        };
        let (host, port) = split(place).map_err(bad)?;
        let port = match port {
            Some(digits) => digits.parse().ok().filter(|port| *port > 0).ok_or_else(|| bad("a port is 1 to 65535"))?,
            None => DEFAULT_PORT,
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '/' | '[' | ']');
        if host.is_empty() {
            return Err(bad("the host is missing"));
        }
        if host.contains(odd) || host.contains(':') && host.parse::<Ipv6Addr>().is_err() {
            return Err(bad("the host has characters no host has"));
        }
        Ok(Self { host: host.to_owned(), port, pin })
    }
}

/// Host and port as they are written.
fn split(place: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some((port, host)) = place.split_once('@') {
        return Ok((host, Some(port)));
    }
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("only a port may follow the bracket"),
        };
    }
    match place.split_once(':') {
        // More than one colon and no brackets: an IPv6 address without a port.
        Some((_, rest)) if rest.contains(':') => Ok((place, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((place, None)),
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())?;
        self.pin.map_or(Ok(()), |pin| write!(f, "#{pin}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        text.parse::<ServerAddress>().map_or_else(|e| e.what.to_owned(), |a| a.to_string())
    }

    #[test]
    fn every_spelling_is_read() {
        for (text, means) in [
            ("host", "host:5097"),
            ("Host.Example:6000", "host.example:6000"),
            ("27000@host", "host:27000"),
            ("192.0.2.7", "192.0.2.7:5097"),
            ("[2001:db8::1]:6000", "[2001:db8::1]:6000"),
            ("[::1]", "[::1]:5097"),
            ("::1", "[::1]:5097"),
            ("host#00112233445566778899AABBCCDDEEFF", "host:5097#00112233445566778899aabbccddeeff"),
        ] {
            assert_eq!(parsed(text), means, "{text}");
            assert_eq!(parsed(means), means, "{means} is read as it is written");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for bad in ["", ":5097", "host:", "host:0", "host:65536", "host:x", "@host", "27000@", "[::1", "[::1]x"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad:?}");
        }
        for bad in ["a b", "host#12", "x:y:z", "http://host", "a@b@c"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_list_takes_commas_semicolons_and_spaces() {
        let list = ServerAddress::list(" a, b:6000;27000@c ;; ").unwrap();
        assert_eq!(list.iter().map(ServerAddress::label).collect::<Vec<_>>(), ["a:5097", "b:6000", "c:27000"]);
        assert!(ServerAddress::list("a,b:x").is_err());
    }
}
