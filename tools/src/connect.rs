//! Which server a client command talks to, and whom it trusts.

use std::{
    fs,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use clap::ValueHint;
use leasehold::{Client, ClientBuilder, ConnectError, Found, RejectReason, ServerAddress};
use leasehold_protocol::{DEFAULT_PORT, crypto::SiteKey, hex, licence::PublisherKey};

use crate::exit::{Exit, Failure};

/// Which server, if not the one the search finds.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which server")]
pub struct ConnectArgs {
    /// Servers to try, separated by commas: host, host:port, port@host, each optionally #fingerprint [default: search:
    /// the last one, this machine, the local network]
    #[arg(long, short, env = "LEASEHOLD_SERVER", value_name = "ADDRESS", value_hint = ValueHint::Hostname)]
    pub server: Option<String>,

    /// Port to search on
    #[arg(long, env = "LEASEHOLD_PORT", value_name = "PORT", default_value_t = DEFAULT_PORT)]
    pub port: u16,

    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whom to trust, and at which site.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which server")]
pub struct TrustArgs {
    /// Public key of a publisher: only servers that show its certificate are trusted; may be repeated
    #[arg(long, env = "LEASEHOLD_PUBLISHER_KEY", value_delimiter = ',', value_name = "FILE",
        value_hint = ValueHint::FilePath)]
    pub publisher_key: Vec<PathBuf>,

    /// File with the key of a closed site, 64 hexadecimal digits [default: an open site]
    #[arg(long, env = "LEASEHOLD_SITE_KEY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub site_key: Option<PathBuf>,
}

impl ConnectArgs {
    /// The servers that were named, if any. A variable set to nothing names none: scripts pass those on.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        self.server.as_deref().filter(|list| !list.trim().is_empty())
    }
}

impl TrustArgs {
    /// The publishers' keys.
    ///
    /// # Errors
    /// If a file cannot be read or is no publisher's public key.
    pub fn publisher_keys(&self) -> Result<Vec<PublisherKey>, Failure> {
        self.publisher_key.iter().map(|path| publisher_key(path)).collect()
    }

    /// The site's key, if it is closed.
    ///
    /// # Errors
    /// If the file cannot be read or does not hold a key.
    pub fn site_key(&self) -> Result<Option<SiteKey>, Failure> {
        self.site_key.as_deref().map(site_key).transpose()
    }
}

/// The SDK's builder as `args` say. Without `--server` it searches, as every application does.
///
/// # Errors
/// If a key file cannot be read.
pub fn builder(args: &ConnectArgs) -> Result<ClientBuilder, Failure> {
    // clap has read LEASEHOLD_SERVER already.
    let mut builder = Client::builder().port(args.port).environment(false);
    if let Some(server) = args.named() {
        builder = builder.server(server).broadcast(false);
    }
    for key in args.trust.publisher_keys()? {
        builder = builder.publisher_key(key);
    }
    Ok(match args.trust.site_key()? {
        Some(site) => builder.site_key(site),
        None => builder,
    })
}

/// How a server was found, in words.
#[must_use]
pub fn how_found(found: &Found) -> String {
    match found {
        Found::Named(name) => format!("named {name}"),
        Found::LastGood => "the one used last".to_owned(),
        Found::Broadcast => "found by broadcast".to_owned(),
        _ => "found".to_owned(),
    }
}

/// Why there is no connection, with the exit status that says whose fault it is.
#[must_use]
pub fn failure(what: &str, error: &ConnectError) -> Failure {
    let exit = match error {
        ConnectError::NotFound { .. } | ConnectError::NotTrusted { why: RejectReason::NoAnswer, .. } => {
            Exit::UNREACHABLE
        }
        ConnectError::NotTrusted { .. }
        | ConnectError::PinnedKeyDiffers { .. }
        | ConnectError::ServerKeyChanged { .. } => Exit::NOT_TRUSTED,
        ConnectError::Address { .. } => Exit::USAGE,
        _ => Exit::FAILURE,
    };
    let failure = Failure::new(what).because_of(error).exit(exit);
    match exit {
        Exit::UNREACHABLE => failure.remedy("list the servers in reach: leasehold discover"),
        Exit::USAGE => failure.remedy("how addresses are written: leasehold help addresses"),
        _ => failure,
    }
}

/// Every address that a list such as `host, port@host, [v6]:port#fingerprint` comes to.
///
/// # Errors
/// If an entry is no address, or its name is not known.
pub fn addresses(list: &str) -> Result<Vec<SocketAddr>, Failure> {
    let entries = ServerAddress::list(list).map_err(|e| no_address(list, &e))?;
    let each = entries.iter().map(|address| {
        let found = (address.host(), address.port()).to_socket_addrs();
        found.map(Iterator::collect::<Vec<_>>).map_err(|e| no_address(&address.to_string(), &e))
    });
    each.collect::<Result<Vec<_>, _>>().map(|all| all.concat())
}

fn no_address(entry: &str, why: &dyn std::error::Error) -> Failure {
    Failure::usage(format!("{entry:?} is not the address of a server"))
        .because_of(why)
        .remedy("how addresses are written: leasehold help addresses")
}

fn publisher_key(path: &Path) -> Result<PublisherKey, Failure> {
    let text = fs::read_to_string(path).map_err(|e| {
        Failure::new(format!("cannot read the publisher key {}", path.display()))
            .because_of(&e)
            .remedy("name the publisher's .pub file: --publisher-key FILE")
    })?;
    PublisherKey::parse(&text).map_err(|e| {
        Failure::new(format!("{} is no publisher key", path.display()))
            .because_of(&e)
            .exit(Exit::USAGE)
            .remedy("get the .pub file again from the publisher")
    })
}

fn site_key(path: &Path) -> Result<SiteKey, Failure> {
    let text = fs::read_to_string(path).map_err(|e| {
        Failure::new(format!("cannot read the site key {}", path.display()))
            .because_of(&e)
            .remedy("copy the file from your server's machine; only its users may read it")
    })?;
    hex::decode(text.trim()).map(SiteKey).ok_or_else(|| {
        Failure::usage(format!("{} is no site key", path.display()))
            .because("a site key is 64 hexadecimal digits")
            .remedy("use the same file as the server: its --site-key")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_spelling() {
        let read = |list| addresses(list).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(read("127.0.0.1").unwrap(), ["127.0.0.1:5097"]);
        assert_eq!(read("6000@127.0.0.1; 127.0.0.2:7").unwrap(), ["127.0.0.1:6000", "127.0.0.2:7"]);
        assert_eq!(read("[::1]:6000#00112233445566778899aabbccddeeff").unwrap(), ["[::1]:6000"]);
        assert_eq!(read("::1, [::1]").unwrap(), ["[::1]:5097", "[::1]:5097"]);
        assert!(read("").unwrap().is_empty());
        for bad in ["127.0.0.1:seven", "x@127.0.0.1", "127.0.0.1:70000"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
