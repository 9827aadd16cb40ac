//! The demo's server, inside this process.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use leasehold_server::{
    HttpListen, ListenOn, LogFormat, LogSettings, Running, Settings,
    process::{Transport, holder_of},
};

use crate::{exit::Failure, kit::Kit, output::WARN, output::paint, say};

/// A running server and how clients on this machine reach it.
pub struct DemoServer {
    /// The server.
    pub running: Running,
    /// Where clients on this machine reach it.
    pub address: SocketAddr,
    /// How long it took to start.
    pub took: Duration,
    lan: bool,
    fingerprint: String,
}

impl DemoServer {
    /// Starts it on `port`, or on another one if that is taken.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(kit: &Kit, port: u16, lan: bool) -> Result<Self, Failure> {
        let port = free_port(port);
        let began = Instant::now();
        let running = Running::start(settings(kit, port, lan)).await;
        let running = running.map_err(|e| Failure::new("the demo server does not start").because_of(&e))?;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), running.udp_address().port());
        Ok(Self { running, address, took: began.elapsed(), lan, fingerprint: kit.fingerprint.to_string() })
    }

    /// Its addresses and its key, in one line.
    pub fn describe(&self) -> String {
        let port = self.address.port();
        let clients =
            if self.lan { format!("udp port {port} on every network") } else { format!("udp {}", self.address) };
        let rest = self.running.http_address().map(|at| format!(", REST http://{at}")).unwrap_or_default();
        format!("{clients}{rest}, fingerprint {}", self.fingerprint)
    }
}

fn settings(kit: &Kit, port: u16, lan: bool) -> Settings {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let defaults = Settings::default();
    Settings {
        listen: if lan { defaults.listen.clone() } else { vec![ListenOn::Address(loopback)] },
        port,
        http: HttpListen::On(loopback, None),
        data_dir: kit.data_dir.clone(),
        log: LogSettings { filter: "warn".into(), format: LogFormat::Human },
        origins: "demo".into(),
        ..defaults
    }
}

/// `wanted` if it is free for UDP and TCP, else 0: any port.
fn free_port(wanted: u16) -> u16 {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, wanted));
    let udp = UdpSocket::bind(at).err().map(|e| (Transport::Udp, e));
    let taken = udp.or_else(|| TcpListener::bind(at).err().map(|e| (Transport::Tcp, e)));
    match taken {
        None => wanted,
        Some((transport, error)) => {
            let why = match error.kind() {
                ErrorKind::AddrInUse => holder_of(transport, at)
                    .map_or_else(|| "is taken".to_owned(), |holder| format!("is taken by {holder}")),
                _ => format!("cannot be used: {error}"),
            };
            say!("{} port {wanted} {why}; another one is picked (or name one: --port N)", paint(WARN, "!"));
            0
        }
    }
}
