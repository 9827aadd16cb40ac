//! Listing the servers in reach, without using any.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use leasehold_protocol::{
    DEFAULT_PORT,
    crypto::{Fingerprint, PublicKey, SiteKey},
    time::Mono,
    vocab::RealmId,
};
use tokio::sync::oneshot;

use crate::{
    address::ServerAddress,
    builder::{SERVER_VARIABLE, read_servers, system},
    driver::{clock, entropy::OsEntropy, identity, net::Net},
    error::ConnectError,
    holder::{Destination, OfferHint, Probe},
};

/// Where and how long to look.
#[derive(Clone, Debug)]
pub struct DiscoverOptions {
    /// Which realm; [`RealmId::ANY`] (the default) for whichever a server offers.
    pub realm: RealmId,
    /// The site's key. Default: an open site.
    pub site: SiteKey,
    /// The UDP port to broadcast to. Default 5097.
    pub port: u16,
    /// How long to listen. Default 600 ms: an answer to a broadcast comes after up to 50 ms, and three are asked for.
    pub listen: Duration,
    /// Servers to ask by name. Default none.
    pub servers: Vec<ServerAddress>,
    /// Whether those of `LEASEHOLD_SERVER` are asked too. Default yes.
    pub environment: bool,
    /// Whether this machine and the network are asked too. Default yes.
    pub broadcast: bool,
}

impl Default for DiscoverOptions {
    fn default() -> Self {
        Self {
            realm: RealmId::ANY,
            site: SiteKey::OPEN,
            port: DEFAULT_PORT,
            listen: Duration::from_millis(600),
            servers: Vec::new(),
            environment: true,
            broadcast: true,
        }
    }
}

/// A server that says it is there. Nothing of it is proved: trust begins with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundServer {
    /// Where it listens. The first of several addresses it answered from.
    pub address: SocketAddr,
    /// All of them.
    pub addresses: Vec<SocketAddr>,
    /// What people compare its key by.
    pub fingerprint: Fingerprint,
    /// Its key.
    pub key: PublicKey,
    /// The realm it offers.
    pub realm: RealmId,
    /// Its id.
    pub server_id: u64,
    /// The cluster it belongs to; its own id when it stands alone.
    pub cluster_id: u64,
    /// Free capacity as it judges it, 0 to 65 535.
    pub weight: u16,
    /// How long its first answer took.
    pub answered_in: Duration,
}

/// When the question goes out, in milliseconds from the start.
const ASK_AT_MS: [u64; 3] = [0, 120, 300];
/// Servers listed at most.
const FOUND_MAX: usize = 1_024;

/// Asks who is there and lists who answers, best first.
///
/// # Errors
/// If an address makes no sense, or the system gives no socket, thread or randomness. Nobody answering is an empty list.
pub async fn discover(options: DiscoverOptions) -> Result<Vec<FoundServer>, ConnectError> {
    let mut servers = options.servers.clone();
    if let Some(text) = identity::variable(SERVER_VARIABLE).filter(|_| options.environment) {
        servers.extend(read_servers(SERVER_VARIABLE, &text)?);
    }
    let entropy = OsEntropy::new().map_err(|e| system("randomness", e))?;
    let net = Net::open(options.port, None).map_err(|e| system("a UDP socket", e))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|e| system("an event queue", e))?;
    let (done, found) = oneshot::channel();
    let search = move || {
        let _ = done.send(runtime.block_on(listen(&options, servers, net, entropy)));
        runtime.shutdown_background();
    };
    thread::Builder::new().name("leasehold-list".to_owned()).spawn(search).map_err(|e| system("a thread", e))?;
    found.await.map_err(|_| system("to go on", std::io::Error::other("the search's thread ended")))
}

/// What has been heard so far.
struct Hearing {
    probe: Probe,
    net: Net,
    began: Mono,
    found: BTreeMap<(PublicKey, RealmId), FoundServer>,
}

async fn listen(
    options: &DiscoverOptions,
    servers: Vec<ServerAddress>,
    net: Net,
    mut entropy: OsEntropy,
) -> Vec<FoundServer> {
    let (sockets, began) = (net.receivers(), clock::now().mono);
    let probe = Probe::new(&options.site, options.realm);
    let hearing = Arc::new(Mutex::new(Hearing { probe, net, began, found: BTreeMap::new() }));
    for socket in sockets {
        tokio::spawn(receive(Arc::clone(&hearing), socket));
    }
    let asks = ASK_AT_MS.map(Duration::from_millis);
    let mut waited = Duration::ZERO;
    for at in asks.into_iter().filter(|at| *at < options.listen) {
        tokio::time::sleep(at.saturating_sub(waited)).await;
        waited = at;
        let question = with(&hearing, |h| {
            let question = h.probe.ask(&mut entropy);
            if options.broadcast {
                h.net.send(Destination::Broadcast, &question);
            }
            question
        });
        for server in servers.clone() {
            tokio::spawn(ask_by_name(Arc::clone(&hearing), server, question.clone()));
        }
    }
    tokio::time::sleep(options.listen.saturating_sub(waited)).await;
    let mut found: Vec<_> = with(&hearing, |h| std::mem::take(&mut h.found).into_values().collect());
    found.sort_by_key(|server| (std::cmp::Reverse(server.weight), server.address, server.realm));
    found
}

async fn ask_by_name(hearing: Arc<Mutex<Hearing>>, server: ServerAddress, question: Vec<u8>) {
    if let Ok(addresses) = tokio::net::lookup_host((server.host(), server.port())).await {
        with(&hearing, |h| addresses.for_each(|at| h.net.send(Destination::To(at), &question)));
    }
}

async fn receive(hearing: Arc<Mutex<Hearing>>, socket: UdpSocket) {
    let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else { return };
    let mut bytes = [0; 2_048];
    loop {
        // An error tells of a datagram sent before: somebody's port is closed.
        let Ok((len, from)) = socket.recv_from(&mut bytes).await else { continue };
        with(&hearing, |h| {
            if let Some(hint) = h.probe.read(from, &bytes[..len]) {
                h.note(hint);
            }
        });
    }
}

impl Hearing {
    fn note(&mut self, hint: OfferHint) {
        let OfferHint { address, realm, key, server_id, cluster_id, weight, .. } = hint;
        if self.found.len() >= FOUND_MAX && !self.found.contains_key(&(key, realm)) {
            return;
        }
        let answered_in = clock::now().mono.since(self.began);
        let server = self.found.entry((key, realm)).or_insert_with(|| FoundServer {
            address,
            addresses: Vec::new(),
            fingerprint: key.fingerprint(),
            key,
            realm,
            server_id,
            cluster_id,
            weight,
            answered_in,
        });
        if !server.addresses.contains(&address) {
            server.addresses.push(address);
        }
    }
}

fn with<T>(hearing: &Mutex<Hearing>, act: impl FnOnce(&mut Hearing) -> T) -> T {
    act(&mut hearing.lock().unwrap_or_else(PoisonError::into_inner))
}
