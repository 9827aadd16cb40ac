//! Ports, broadcast per interface, socket buffers.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use getifaddrs::{Address, InterfaceFlags, getifaddrs};
use leasehold::holder::{OfferHint, Probe};
use leasehold_protocol::{DISCOVERY_GROUP, crypto::SiteKey, packet::DATAGRAM_MAX, vocab::RealmId};
use leasehold_server::{
    HttpListen, Settings,
    clock::SystemEntropy,
    process::{Transport, holder_of},
};

use socket2::SockRef;

use super::Finding;
use crate::{connect::ConnectArgs, human};

/// How long answers are waited for on each interface. Servers answer broadcasts within 50 ms.
const PATIENCE: Duration = Duration::from_millis(400);

/// What a socket of the server asks for: a burst of renewals fits in it.
const BUFFER_WANTED: u64 = 4 << 20;

/// Whether the server's ports are free, or who has them.
pub(super) fn ports(settings: &Settings) -> Vec<Finding> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut findings = vec![port(Transport::Udp, SocketAddr::new(any, settings.port))];
    if let HttpListen::On(ip, port_of_its_own) = settings.http {
        let address = SocketAddr::new(ip, port_of_its_own.unwrap_or(settings.port));
        findings.push(port(Transport::Tcp, address));
    }
    findings
}

fn port(transport: Transport, address: SocketAddr) -> Finding {
    let (check, name) = match transport {
        Transport::Udp => ("udp-port", "udp"),
        Transport::Tcp => ("tcp-port", "tcp"),
    };
    let port = address.port();
    match holder_of(transport, address) {
        Some(holder) if holder.starts_with("leasehold (") => {
            Finding::ok(check, format!("{name} {port}: {holder} serves there"))
        }
        Some(holder) => Finding::fail(
            check,
            format!("{name} {port} is taken by {holder}: a server cannot use it"),
            format!("stop that program, or serve on another port: leasehold serve --port {}", port.wrapping_add(1)),
        ),
        None => match bind(transport, address) {
            Ok(()) => Finding::ok(check, format!("{name} {port} is free")),
            Err(e) => Finding::fail(
                check,
                format!("{name} {port} cannot be used: {e}"),
                "choose a port above 1023: leasehold serve --port 5097",
            ),
        },
    }
}

fn bind(transport: Transport, address: SocketAddr) -> io::Result<()> {
    match transport {
        Transport::Udp => UdpSocket::bind(address).map(drop),
        Transport::Tcp => TcpListener::bind(address).map(drop),
    }
}

/// An interface's IPv4 address and a place where everybody on its network is reached.
struct Network {
    check: String,
    address: Ipv4Addr,
    everybody: Ipv4Addr,
}

/// Sends a DISCOVER out of every interface, by broadcast and by multicast; the servers that answered come with the
/// findings.
pub(super) fn broadcast(args: &ConnectArgs, site: &SiteKey) -> (Vec<Finding>, Vec<OfferHint>) {
    let mut heard = Vec::new();
    let networks = match networks() {
        Ok(networks) => networks,
        Err(e) => {
            return (vec![Finding::fail("interfaces", format!("cannot list them: {e}"), "ip address show")], heard);
        }
    };
    let mut findings = Vec::new();
    for network in &networks {
        let answers = ask(network, args.port, site);
        findings.push(answered(network, args.port, &answers));
        heard.extend(answers.unwrap_or_default().into_iter().map(|(offer, _)| offer));
    }
    (findings, heard)
}

fn answered(network: &Network, port: u16, answers: &io::Result<Vec<(OfferHint, Duration)>>) -> Finding {
    let (check, to) = (network.check.clone(), network.everybody);
    match answers.as_ref().map(|answers| answers.split_first()) {
        Err(e) => Finding::warn(
            check,
            format!("a question to {to}:{port} does not get out: {e}"),
            "name the server instead of searching it: --server HOST",
        ),
        Ok(Some(((offer, took), others))) => {
            let more = if others.is_empty() { String::new() } else { format!(", and {} more", others.len()) };
            Finding::ok(check, format!("{to}: {} answers in {}{more}", offer.address, human::show(*took)))
        }
        Ok(None) => Finding::ok(check, format!("{to}: questions get out, no server answers")),
    }
}

fn networks() -> io::Result<Vec<Network>> {
    let mut networks = Vec::new();
    for interface in getifaddrs()? {
        let is = |flag| interface.flags.contains(flag);
        let Address::V4(v4) = &interface.address else { continue };
        if !is(InterfaceFlags::UP) {
            continue;
        }
        let mut add = |kind: &str, everybody| {
            networks.push(Network { check: format!("{kind}-{}", interface.name), address: v4.address, everybody });
        };
        let loopback = is(InterfaceFlags::LOOPBACK);
        if loopback {
            // It has one, it only does not say so.
            add("broadcast", Ipv4Addr::new(127, 255, 255, 255));
        } else if let (true, Some(broadcast)) = (is(InterfaceFlags::BROADCAST), v4.associated_address) {
            add("broadcast", broadcast);
        }
        if is(InterfaceFlags::MULTICAST) && !loopback {
            add("multicast", DISCOVERY_GROUP);
        }
    }
    Ok(networks)
}

fn ask(network: &Network, port: u16, site: &SiteKey) -> io::Result<Vec<(OfferHint, Duration)>> {
    let socket = UdpSocket::bind((network.address, 0))?;
    socket.set_broadcast(true)?;
    if network.everybody.is_multicast() {
        SockRef::from(&socket).set_multicast_if_v4(&network.address)?;
    }
    let mut probe = Probe::new(site, RealmId::ANY);
    let began = Instant::now();
    socket.send_to(&probe.ask(&mut SystemEntropy), (network.everybody, port))?;
    let mut heard: Vec<(OfferHint, Duration)> = Vec::new();
    let mut datagram = [0; DATAGRAM_MAX + 1];
    while let Some(left) = PATIENCE.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left))?;
        let Ok((len, sender)) = socket.recv_from(&mut datagram) else { continue };
        let offer = probe.read(sender, &datagram[..len]);
        heard.extend(offer.map(|offer| (offer, began.elapsed())));
    }
    Ok(heard)
}

/// Whether the system allows the buffers a server asks for.
pub(super) fn buffers() -> Vec<Finding> {
    [("rmem_max", "receive"), ("wmem_max", "send")].into_iter().filter_map(|(name, what)| buffer(name, what)).collect()
}

fn buffer(name: &str, what: &str) -> Option<Finding> {
    let allowed: u64 = fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?.trim().parse().ok()?;
    let check = format!("buffer-{what}");
    Some(if allowed >= BUFFER_WANTED {
        Finding::ok(check, format!("{} KiB allowed", allowed / 1024))
    } else {
        Finding::warn(
            check,
            format!("{} KiB allowed: a burst of more than about {} datagrams is cut", allowed / 1024, allowed / 1_280),
            format!("sysctl -w net.core.{name}={BUFFER_WANTED}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_port_somebody_else_has_is_named_with_its_holder() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let finding = port(Transport::Udp, taken.local_addr().unwrap());
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.text.contains(&format!("pid {}", std::process::id())), "{finding:?}");
    }

    #[test]
    fn loopback_is_a_network_with_broadcast() {
        let networks = networks().unwrap();
        assert!(networks.iter().any(|n| n.everybody == Ipv4Addr::new(127, 255, 255, 255)));
    }
}
