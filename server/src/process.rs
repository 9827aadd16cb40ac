//! Who else is on this machine: the processes behind a port or a process id, from `/proc`.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// A port's transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// `pid`, with the program's name where that can be read.
#[must_use]
pub fn describe(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (pid {pid})", name.trim()),
        Err(_) => format!("pid {pid}"),
    }
}

/// Who listens on `address`, in words; `None` if nobody is found. Another user's process can be seen to be there and
/// not be named.
#[must_use]
pub fn holder_of(transport: Transport, address: SocketAddr) -> Option<String> {
    // A table that changes while it is read may leave out a line that was there all the time.
    let inode = (0..LOOKS).find_map(|_| inode_of(transport, address))?;
    let pid = pid_of(inode);
    Some(pid.map_or_else(|| "a process of another user (its name can be seen as root)".into(), describe))
}

/// How often a table of sockets is read before a line is not in it.
const LOOKS: usize = 3;

fn inode_of(transport: Transport, address: SocketAddr) -> Option<u64> {
    let tables = match transport {
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let listening = |line: &Line| transport == Transport::Udp || line.state == TCP_LISTEN;
    let found = tables.iter().filter_map(|table| fs::read_to_string(table).ok()).find_map(|table| {
        let mut lines = table.lines().skip(1).filter_map(Line::read);
        lines.find(|line| line.port == address.port() && listening(line) && line.overlaps(address)).map(|l| l.inode)
    });
    found.filter(|inode| *inode != 0)
}

/// How many datagrams the kernel dropped because this process's UDP sockets at `port` were full; `None` if it does not tell.
#[must_use]
pub fn datagrams_dropped(port: u16) -> Option<u64> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"];
    let tables: Vec<String> = tables.iter().filter_map(|table| fs::read_to_string(table).ok()).collect();
    let lines = tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(Line::read);
    let own = own_sockets()?;
    let ours = lines.filter(|line| line.port == port && own.contains(&line.inode));
    ours.map(|line| line.drops).reduce(|sum, drops| sum + drops)
}

/// The inodes of this process's sockets.
fn own_sockets() -> Option<BTreeSet<u64>> {
    let links = fs::read_dir("/proc/self/fd").ok()?.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    let inode = |link: PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Some(links.filter_map(inode).collect())
}

const TCP_LISTEN: u8 = 0x0a;

/// One line of a table of sockets: `sl local_address rem_address st … inode`, and for UDP `… drops` at its end.
struct Line {
    local: Vec<u8>,
    port: u16,
    state: u8,
    inode: u64,
    drops: u64,
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (address, port) = words.nth(1)?.split_once(':')?;
        let state = words.nth(1)?;
        let inode = words.nth(5)?;
        Some(Self {
            local: address_bytes(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            state: u8::from_str_radix(state, 16).ok()?,
            inode: inode.parse().ok()?,
            drops: words.nth(2).and_then(|drops| drops.parse().ok()).unwrap_or(0),
        })
    }

    /// Whether a socket bound like this one keeps another from `address`.
    fn overlaps(&self, address: SocketAddr) -> bool {
        let wanted = match address {
            SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
            SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
        };
        let any = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
        any(&self.local) || any(&wanted) || self.local == wanted
    }
}

/// The kernel prints an address as 32-bit words in the machine's byte order.
fn address_bytes(hex: &str) -> Option<Vec<u8>> {
    let words = hex.as_bytes().chunks(8).map(|word| std::str::from_utf8(word).ok());
    let bytes = words.map(|word| u32::from_str_radix(word?, 16).ok().map(u32::to_ne_bytes));
    bytes.collect::<Option<Vec<_>>>().map(|words| words.concat())
}

fn pid_of(inode: u64) -> Option<u32> {
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid| holds(Path::new(&format!("/proc/{pid}/fd")), &link))
}

fn holds(fds: &Path, link: &str) -> bool {
    let Ok(entries) = fs::read_dir(fds) else { return false };
    entries.filter_map(Result::ok).any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == link))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn what_the_kernel_drops_before_a_full_socket_is_counted() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        assert_eq!(datagrams_dropped(port), Some(0));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Far more than any receive buffer holds.
        (0..20_000).for_each(|_| drop(sender.send_to(&[0; 1200], ("127.0.0.1", port))));
        assert!(datagrams_dropped(port).is_some_and(|drops| drops > 1000));
    }

    #[test]
    fn a_ports_holder_is_named_by_program_and_pid() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let me = format!("(pid {})", std::process::id());
        for (transport, address) in
            [(Transport::Udp, udp.local_addr().unwrap()), (Transport::Tcp, tcp.local_addr().unwrap())]
        {
            let holder = holder_of(transport, address).unwrap();
            assert!(holder.ends_with(&me), "{transport:?} {address}: {holder}");
        }
    }

    #[test]
    fn a_free_port_has_no_holder() {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(holder_of(Transport::Udp, address), None);
    }
}
