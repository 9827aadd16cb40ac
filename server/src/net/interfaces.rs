//! Which networks this machine is on: what is on-link, what is a broadcast address, where multicast can be joined.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use getifaddrs::{Address, InterfaceFlags, getifaddrs};
use leasehold_protocol::time::Mono;

use super::NetCounters;

/// One address of one interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name.
    pub name: String,
    /// The interface's number.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// How many leading bits of it name the network.
    pub prefix: u32,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Whether multicast groups can be joined on it.
    pub multicast: bool,
}

impl Interface {
    /// Whether `ip` is in this address's network.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same_prefix(u32::from(ours).into(), u32::from(theirs).into(), 32, self.prefix)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same_prefix(ours.into(), theirs.into(), 128, self.prefix),
            _ => false,
        }
    }

    /// The directed broadcast address of an IPv4 network that has one: a /31 or /32 has none.
    #[must_use]
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        let IpAddr::V4(address) = self.address else { return None };
        (self.prefix <= 30).then(|| Ipv4Addr::from(u32::from(address) | u32::MAX >> self.prefix))
    }
}

/// Whether the first `prefix` of `bits` bits are equal.
fn same_prefix(a: u128, b: u128, bits: u32, prefix: u32) -> bool {
    (a ^ b).checked_shr(bits - prefix.min(bits)).unwrap_or(0) == 0
}

/// Every address of every interface that is up, in the system's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces(pub Vec<Interface>);

/// What a destination address is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// One of our addresses.
    Ours,
    /// A broadcast address or a multicast group.
    Everybody,
    /// Neither, as far as the list goes.
    Unknown,
}

impl Interfaces {
    /// Asks the system.
    ///
    /// # Errors
    /// What the system says.
    pub fn read() -> io::Result<Self> {
        Ok(Self(getifaddrs()?.filter_map(one).collect()))
    }

    /// Whether `from` is one of our own addresses, or in a network of the interface `index`, or of any where that is not
    /// known. Our own come in by the loopback interface, whatever network they belong to.
    #[must_use]
    pub fn is_on_link(&self, from: IpAddr, index: Option<u32>) -> bool {
        let came_in_by = |net: &Interface| index.is_none_or(|index| index == net.index);
        self.0.iter().any(|net| net.address == from || (came_in_by(net) && net.contains(from)))
    }

    pub(super) fn destination(&self, ip: IpAddr) -> Destination {
        if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Destination::Everybody;
        }
        if self.0.iter().any(|net| net.broadcast().is_some_and(|broadcast| ip == broadcast)) {
            return Destination::Everybody;
        }
        let ours = ip.is_loopback() || self.0.iter().any(|net| net.address == ip);
        if ours { Destination::Ours } else { Destination::Unknown }
    }

    /// The address an answer to a broadcast from `from` leaves from: ours in the network it came from.
    pub(super) fn facing(&self, from: IpAddr, index: Option<u32>) -> Option<IpAddr> {
        let here = || self.0.iter().filter(|net| index.is_none_or(|index| index == net.index));
        here().find(|net| net.contains(from)).map(|net| net.address)
    }

    /// The address's own entry.
    #[must_use]
    pub fn of_address(&self, ip: IpAddr) -> Option<&Interface> {
        self.0.iter().find(|net| net.address == ip).or_else(|| {
            // Every address of 127/8 is ours, though only one is listed.
            self.0.iter().find(|net| ip.is_loopback() && net.loopback && net.contains(ip))
        })
    }

    /// Every address of the interface called `name`.
    #[must_use]
    pub fn of_name(&self, name: &str) -> Vec<IpAddr> {
        // A link-local IPv6 address needs a zone to be bound, and clients cannot be told it in a plain address.
        let usable = |ip: &IpAddr| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        self.0.iter().filter(|net| net.name == name).map(|net| net.address).filter(usable).collect()
    }

    /// The interfaces' names, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.iter().map(|net| net.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The IPv4 networks discovery reaches by broadcast: directed broadcast exists there.
    pub fn broadcast_networks(&self) -> impl Iterator<Item = &Interface> {
        self.0.iter().filter(|net| net.broadcast().is_some())
    }
}

fn one(found: getifaddrs::Interface) -> Option<Interface> {
    let prefix = match &found.address {
        Address::V4(v4) => v4.netmask.map_or(32, |mask| u32::from(mask).count_ones()),
        Address::V6(v6) => v6.netmask.map_or(128, |mask| u128::from(mask).count_ones()),
        Address::Mac(_) => return None,
    };
    let address = found.address.ip_addr().filter(|_| found.flags.contains(InterfaceFlags::UP))?;
    Some(Interface {
        name: found.name,
        index: found.index?,
        address,
        prefix,
        loopback: found.flags.contains(InterfaceFlags::LOOPBACK),
        multicast: found.flags.contains(InterfaceFlags::MULTICAST),
    })
}

/// How long a list is believed. Interfaces come and go without telling us.
pub(super) const REFRESH_MS: u64 = 30_000;
/// How soon a list may be read again because an address was not in it: a stranger must not make us read it for each of
/// its datagrams.
const REFRESH_SOONEST_MS: u64 = 1000;

/// The list all workers look at, read again every 30 s and when an address is not in it.
#[derive(Debug)]
pub struct InterfaceView {
    current: ArcSwap<Interfaces>,
    changes: AtomicU64,
    read_at: AtomicU64,
    counters: Arc<NetCounters>,
}

impl InterfaceView {
    /// A view that begins with `interfaces`, read at `now`.
    #[must_use]
    pub fn new(interfaces: Interfaces, now: Mono, counters: Arc<NetCounters>) -> Self {
        let (changes, read_at) = (AtomicU64::new(0), AtomicU64::new(now.0));
        Self { current: ArcSwap::from_pointee(interfaces), changes, read_at, counters }
    }

    /// How often the list was found to be another one: groups must be joined anew when this moves.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// The list.
    pub fn get(&self) -> Arc<Interfaces> {
        self.current.load_full()
    }

    /// Reads the list again if it is older than [`REFRESH_MS`]. Whether it was read.
    pub(super) fn refresh_if_old(&self, now: Mono) -> bool {
        self.refresh_after(now, REFRESH_MS)
    }

    /// Reads the list again because something was not in it, unless that was done a moment ago.
    pub(super) fn refresh_on_demand(&self, now: Mono) -> bool {
        self.refresh_after(now, REFRESH_SOONEST_MS)
    }

    fn refresh_after(&self, now: Mono, wait_ms: u64) -> bool {
        let read_at = self.read_at.load(Relaxed);
        let due = now.ms_since(Mono(read_at)) >= wait_ms;
        // Of several workers that see it due, one reads. The number orders nothing else.
        if !due || self.read_at.compare_exchange(read_at, now.0, Relaxed, Relaxed).is_err() {
            return false;
        }
        NetCounters::add(&self.counters.interface_refreshes);
        match Interfaces::read() {
            Ok(interfaces) if interfaces == **self.current.load() => {}
            Ok(interfaces) => {
                self.current.store(Arc::new(interfaces));
                self.changes.fetch_add(1, Relaxed);
            }
            Err(e) => tracing::warn!("the list of network interfaces cannot be read: {e}; the old one is kept"),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(name: &str, index: u32, address: &str, prefix: u32) -> Interface {
        let address: IpAddr = address.parse().unwrap();
        Interface { name: name.into(), index, address, prefix, loopback: address.is_loopback(), multicast: true }
    }

    fn lan() -> Interfaces {
        Interfaces(vec![
            net("lo", 1, "127.0.0.1", 8),
            net("eth0", 2, "10.0.4.2", 24),
            net("eth1", 3, "192.168.7.9", 30),
            net("tun0", 4, "10.9.0.1", 32),
            net("eth0", 2, "fd00::2", 64),
        ])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_on_link_in_the_network_it_came_in_on() {
        let cases = [
            ("10.0.4.77", Some(2), true),
            ("10.0.4.77", Some(3), false),
            ("10.0.4.77", None, true),
            ("10.0.5.1", Some(2), false),
            ("10.0.4.2", Some(1), true),
            ("fd00::77", Some(2), true),
            ("fd01::77", None, false),
            ("127.9.9.9", Some(1), true),
            ("10.9.0.2", Some(4), false),
        ];
        for (from, index, expected) in cases {
            assert_eq!(lan().is_on_link(ip(from), index), expected, "{from} on {index:?}");
        }
    }

    #[test]
    fn destinations_are_ours_everybodys_or_unknown() {
        use Destination::{Everybody, Ours, Unknown};
        let cases = [
            ("10.0.4.2", Ours),
            ("127.4.5.6", Ours),
            ("10.0.4.255", Everybody),
            ("127.255.255.255", Everybody),
            ("192.168.7.11", Everybody),
            ("255.255.255.255", Everybody),
            ("239.255.50.97", Everybody),
            ("ff02::1", Everybody),
            ("10.9.0.2", Unknown),
            ("10.77.0.1", Unknown),
        ];
        for (address, expected) in cases {
            assert_eq!(lan().destination(ip(address)), expected, "{address}");
        }
    }

    #[test]
    fn an_answer_to_a_broadcast_leaves_from_the_network_it_came_from() {
        assert_eq!(lan().facing(ip("192.168.7.10"), None), Some(ip("192.168.7.9")));
        assert_eq!(lan().facing(ip("10.0.4.9"), Some(2)), Some(ip("10.0.4.2")));
        assert_eq!(lan().facing(ip("8.8.8.8"), Some(2)), None);
    }

    #[test]
    fn the_machines_own_list_has_loopback() {
        let found = Interfaces::read().unwrap();
        assert!(found.of_address(ip("127.0.0.1")).is_some_and(|net| net.loopback));
        assert_eq!(found.of_address(ip("127.3.2.1")).and_then(Interface::broadcast), Some([127, 255, 255, 255].into()));
    }

    #[test]
    fn a_list_is_read_again_when_it_is_old_and_not_for_every_stranger() {
        let counters = Arc::new(NetCounters::default());
        let view = InterfaceView::new(Interfaces::default(), Mono(0), counters);
        assert!(!view.refresh_on_demand(Mono(999)));
        assert!(view.refresh_on_demand(Mono(1000)));
        assert!(!view.refresh_on_demand(Mono(1001)));
        assert!(!view.refresh_if_old(Mono(30_999)));
        assert!(view.refresh_if_old(Mono(31_000)));
        assert!(!view.get().0.is_empty());
        assert_eq!(view.changes(), 1, "only the first reading found another list");
    }
}
