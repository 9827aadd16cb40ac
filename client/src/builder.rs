//! What a client is told before it looks for a server.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use leasehold_protocol::{
    DEFAULT_PORT, Entropy,
    crypto::SiteKey,
    licence::PublisherKey,
    message,
    vocab::{Label, RealmId},
};

use crate::{
    address::ServerAddress,
    client::Client,
    driver::{
        Desk, Handle,
        entropy::OsEntropy,
        identity,
        net::Net,
        plan::Plan,
        shelf::{Place, Shelf, places},
        state::State,
    },
    error::ConnectError,
    holder::{Holder, HolderConfig, Identity},
};

/// What a client may be told before it looks for a server. Every setting has a default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct ClientBuilder {
    servers: Vec<String>,
    places: Vec<Place>,
    publisher_keys: Vec<PublisherKey>,
    realm: RealmId,
    site: SiteKey,
    port: u16,
    who: Option<message::Holder>,
    project: Option<String>,
    environment: bool,
    broadcast: bool,
    state: StateFolder,
    open_limit: Duration,
    answer_limit: Duration,
}

#[derive(Clone, Debug)]
enum StateFolder {
    Default,
    At(PathBuf),
    Memory,
}

/// How long the first server may take to be found: a local network answers in milliseconds, and names that hang are given up
/// in about this time.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// How long a server may take to answer: long enough for a restart and the four tries that notice it.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            servers: Vec::new(),
            places: Vec::new(),
            publisher_keys: Vec::new(),
            realm: RealmId::ANY,
            site: SiteKey::OPEN,
            port: DEFAULT_PORT,
            who: None,
            project: None,
            environment: true,
            broadcast: true,
            state: StateFolder::Default,
            open_limit: OPEN_LIMIT,
            answer_limit: ANSWER_LIMIT,
        }
    }

    /// Adds a server to ask: an address as [`Client::connect`] takes it, or several with commas between them. Those of
    /// the program come before those of `LEASEHOLD_SERVER`.
    pub fn server(mut self, address: &str) -> Self {
        self.servers.push(address.to_owned());
        self
    }

    /// Adds licence files, folders of them and servers, with `:` between them, to the search path (L-18): an uncounted right that
    /// is locked to this machine is granted from a file with no server; whatever comes first is asked first. Those of the
    /// program come before those of `LEASEHOLD_LICENSE_PATH`. A signature holds under a
    /// [`ClientBuilder::publisher_key`]: without one, no file grants anything.
    pub fn search_path(mut self, path: &str) -> Self {
        self.places.extend(places(path));
        self
    }

    /// Adds a publisher's key: only a server that shows a certificate signed with one of them, and naming the server's own
    /// key, is used. Without any, a server is trusted by its pinned fingerprint, or by the key it had when first seen.
    pub fn publisher_key(mut self, key: PublisherKey) -> Self {
        self.publisher_keys.push(key);
        self
    }

    /// Only servers of this publisher, by name. Not needed beside [`ClientBuilder::publisher_key`].
    pub fn publisher(mut self, name: &Label) -> Self {
        self.realm = RealmId::of(name);
        self
    }

    /// The key of a closed site. Default: an open site.
    pub fn site_key(mut self, key: SiteKey) -> Self {
        self.site = key;
        self
    }

    /// The UDP port servers are looked for by broadcast. Default 5097.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Who holds the seats. Default: what the operating system says ([`this_process`](crate::this_process)).
    pub fn identity(mut self, who: message::Holder) -> Self {
        self.who = Some(who);
        self
    }

    /// The project the seats are used for, for reports. Default: `LEASEHOLD_PROJECT`, if set.
    pub fn project(mut self, name: &str) -> Self {
        self.project = Some(name.to_owned());
        self
    }

    /// Whether `LEASEHOLD_SERVER` is read. Default yes.
    pub fn environment(mut self, read: bool) -> Self {
        self.environment = read;
        self
    }

    /// Whether this machine and the network are asked too. Default yes; a pinned fingerprint without a publisher's key
    /// switches it off, because a stranger is no substitute for the server somebody pinned.
    pub fn broadcast(mut self, ask: bool) -> Self {
        self.broadcast = ask;
        self
    }

    /// Where the device's key and known servers are kept. Default `$XDG_STATE_HOME/leasehold-client`, else
    /// `~/.local/state/leasehold-client`; memory if that cannot be written.
    pub fn state_folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = StateFolder::At(path.into());
        self
    }

    /// Keeps nothing on disk: a device key of its own, and every server is seen for the first time.
    pub fn in_memory(mut self) -> Self {
        self.state = StateFolder::Memory;
        self
    }

    /// How long [`ClientBuilder::open`] looks for a server. Default 5 s.
    pub fn open_within(mut self, limit: Duration) -> Self {
        self.open_limit = limit;
        self
    }

    /// How long a checkout or query waits for an answer of any kind. Default 15 s: the restart of a server passes
    /// unnoticed.
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.answer_limit = limit;
        self
    }

    /// Looks for a server and connects to it.
    ///
    /// # Errors
    /// If an address makes no sense, no server is found in time, or none is one to trust.
    pub async fn open(self) -> Result<Client, ConnectError> {
        let (open_limit, limit) = (self.open_limit, self.answer_limit);
        let (handle, shelf, server_first) = self.start()?;
        let needs_server = shelf.is_empty();
        let shelf = Arc::new(Mutex::new(shelf));
        let client = Client { handle, limit, shelf, server_first };
        if needs_server {
            let refused = || system("to go on", std::io::Error::other("the client's thread ended"));
            let found = client.handle.with(|desk| desk.open(open_limit)).map_err(|_| refused())?;
            found.await.unwrap_or_else(|_| Err(refused())).map_err(|e| client.with_files(e))?;
        }
        Ok(client)
    }

    fn start(mut self) -> Result<(Arc<Handle>, Shelf, bool), ConnectError> {
        if let Some(text) = identity::variable(PATH_VARIABLE).filter(|_| self.environment) {
            self.places.extend(places(&text));
        }
        let server_first = matches!(self.places.first(), Some(Place::Server(_)));
        let servers = self.all_servers()?;
        let mut entropy = OsEntropy::new().map_err(|e| system("randomness", e))?;
        let folder = match self.state {
            StateFolder::Default => State::default_folder(),
            StateFolder::At(path) => Some(path),
            StateFolder::Memory => None,
        };
        let state = State::open(folder.clone());
        let mut plan = Plan::new(servers, self.broadcast, self.port, !self.publisher_keys.is_empty());
        plan.last_good = state.last_server().filter(|_| self.broadcast);
        let net = Net::open(self.port, plan.last_good).map_err(|e| system("a UDP socket", e))?;
        let mut who = self.who.unwrap_or_else(identity::this_process);
        who.device = state.device_id(&mut entropy);
        if who.hostids.is_empty() {
            who.hostids = identity::hostids(self.publisher_keys.first().map(PublisherKey::publisher));
        }
        who.project = self.project.map(|name| Label::lossy(&name)).or(who.project);
        let mut instance = [0; 8];
        entropy.fill(&mut instance);
        let identity = Identity { keys: state.device_keys(&mut entropy), instance, who };
        let shelf = Shelf::read(&self.places, &self.publisher_keys, identity.who.hostids.clone(), folder.as_deref());
        let (realm, publisher_keys, site) = (self.realm, self.publisher_keys, self.site);
        let config = HolderConfig { realm, publisher_keys, site, sdk_version: SDK_VERSION };
        let holder = Holder::new(config, identity, Box::new(entropy));
        let handle = Handle::start(Desk::new(holder, net, state, plan)).map_err(|e| system("a thread", e))?;
        Ok((handle, shelf, server_first))
    }

    fn all_servers(&self) -> Result<Vec<ServerAddress>, ConnectError> {
        let mut servers = Vec::new();
        for text in &self.servers {
            servers.extend(read_servers("the program", text)?);
        }
        for place in &self.places {
            if let Place::Server(text) = place {
                servers.extend(read_servers("the licence search path", text)?);
            }
        }
        if let Some(text) = identity::variable(SERVER_VARIABLE).filter(|_| self.environment) {
            servers.extend(read_servers(SERVER_VARIABLE, &text)?);
        }
        Ok(servers)
    }
}

pub(crate) fn read_servers(from: &'static str, text: &str) -> Result<Vec<ServerAddress>, ConnectError> {
    ServerAddress::list(text).map_err(|error| ConnectError::Address { from, error })
}

pub(crate) fn system(what: &'static str, error: std::io::Error) -> ConnectError {
    ConnectError::System { what, error }
}

/// Names licence files, folders and servers, with `:` between them, for every program that lets it.
pub(crate) const PATH_VARIABLE: &str = "LEASEHOLD_LICENSE_PATH";

/// Names servers, with commas between them, for every program that lets it.
pub(crate) const SERVER_VARIABLE: &str = "LEASEHOLD_SERVER";

/// This build's version as HELLO1 carries it.
const SDK_VERSION: u32 = {
    const fn number(text: &str) -> u32 {
        let (digits, mut n, mut i) = (text.as_bytes(), 0, 0);
        while i < digits.len() {
            n = n * 10 + (digits[i] - b'0') as u32;
            i += 1;
        }
        n
    }
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 24
        | number(env!("CARGO_PKG_VERSION_MINOR")) << 12
        | number(env!("CARGO_PKG_VERSION_PATCH"))
};
