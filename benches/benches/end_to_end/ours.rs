//! Our own server: the binary that an administrator installs, with a licence made for the occasion.

mod crowd;
mod pairs;
mod renewals;

pub use crowd::Crowd;
pub use pairs::Pairs;
pub use renewals::{Renewals, sizes};

use std::{
    fs, io,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use leasehold_benches::served::{Cores, Served, free_address};
use leasehold_cli::{
    exit::Failure,
    kit::{Feature, Kit, Offer},
    load::lean::Peer,
};
use leasehold_protocol::{crypto::SiteKey, vocab::FeatureName};
use leasehold_server::{clock::SystemEntropy, state};

use crate::line_up;

/// A server of ours, and what a client knows of it before it says a word.
pub struct Ours {
    /// The process.
    pub served: Served,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key and realm.
    pub peer: Peer,
    /// Its keys and its licence.
    pub kit: Kit,
}

/// What the licence is for.
pub const FEATURE: &str = "BENCH";
/// Seats on the licence. More than all leases of all loads: no question is denied.
const SEATS: u32 = 500_000;
/// What a publisher's licence for a bench says to people.
const NOTICE: &str = "For a bench: signed with a key that was made for this run alone";

impl Ours {
    /// Starts one worker whose leases live for `ttl` without a renewal, and that takes so many handshakes a second.
    pub fn start(cores: Cores, ttl: Duration, handshakes: u32) -> io::Result<Self> {
        Self::serve(cores, &offer(ttl)?, handshakes, "warn")
    }

    /// The same with a licence of `features` features, of which the loads use one, and with a log that tells of reloads.
    pub fn start_with_many(cores: Cores, ttl: Duration, features: usize) -> io::Result<Self> {
        let mut offer = offer(ttl)?;
        for n in 1..features {
            offer.features.push(Feature::new(&format!("FEATURE_{n}"), "1.0", SEATS).map_err(|e| explain(&e))?);
        }
        Self::serve(cores, &offer, line_up::HANDSHAKES, "info")
    }

    fn serve(cores: Cores, offer: &Offer, handshakes: u32, log_level: &str) -> io::Result<Self> {
        let address = free_address()?;
        let binary = binary()?;
        let mut made = None;
        let command = |scratch: &Path| {
            let kit = offer.make_in(scratch).map_err(|e| explain(&e))?;
            let mut command = command(&binary, scratch, &kit, address, handshakes)?;
            command.args(["--log-level", log_level]);
            made = Some((peer_of(&kit)?, kit));
            Ok(command)
        };
        let served = Served::start("leasehold serve", cores, command, || is_taken(address))?;
        let (peer, kit) = made.ok_or_else(|| io::Error::other("the licence was not made"))?;
        Ok(Self { served, address, peer, kit })
    }
}

/// What failed, in the words of the tool that made it.
pub fn explain(failure: &Failure) -> io::Error {
    io::Error::other([&[failure.what().to_owned()], failure.why()].concat().join(": "))
}

/// The feature of the licence.
pub fn feature() -> FeatureName {
    FeatureName::new(FEATURE).expect("a constant name")
}

fn offer(ttl: Duration) -> io::Result<Offer> {
    let feature = Feature::new(FEATURE, "1.0", SEATS).map_err(|e| explain(&e))?;
    let lease_ttl_s = u32::try_from(ttl.as_secs()).ok();
    let demo = Offer::demo().map_err(|e| explain(&e))?;
    Ok(Offer { features: vec![feature], days: 2, lease_ttl_s, notice: NOTICE.to_owned(), ..demo })
}

/// The key that the server will find in its folder.
fn peer_of(kit: &Kit) -> io::Result<Peer> {
    let publisher =
        &kit.certificates.first().ok_or_else(|| io::Error::other("the licence is empty"))?.certificate.publisher;
    let mut folder = state::Folder::open(&kit.data_dir).map_err(io::Error::other)?;
    let keys = state::realm_keys(&mut folder, publisher, &mut SystemEntropy).map_err(io::Error::other)?;
    Ok(Peer { key: keys.public(), realm: kit.publisher.realm(), site: SiteKey::OPEN })
}

fn command(binary: &Path, scratch: &Path, kit: &Kit, address: SocketAddr, handshakes: u32) -> io::Result<Command> {
    let config = scratch.join("leasehold.toml");
    fs::write(&config, "")?;
    let mut command = Command::new(binary);
    // Nothing of the site's own configuration belongs into the test.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LEASEHOLD_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--config").arg(config).arg("--data-dir").arg(&kit.data_dir);
    command.args(["--listen", "127.0.0.1", "--port", &address.port().to_string(), "--http", "off"]);
    command.args(["--workers", "1", "--discovery", "off", "--drain-time", "0s"]);
    command.args(["--limit-handshakes", &handshakes.to_string()]);
    Ok(command)
}

/// Whether somebody listens there: our own bind is refused then.
fn is_taken(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_err()
}

/// The release binary of this workspace, built if it is missing or stale.
fn binary() -> io::Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    eprintln!("building the server: cargo build --release -p leasehold-cli");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--package", "leasehold-cli", "--bin", "leasehold", "--target-dir"]);
    let built = cargo.arg(&target).current_dir(workspace).status()?;
    if !built.success() {
        return Err(io::Error::other("the server could not be built: see above"));
    }
    Ok(target.join("release/leasehold"))
}
