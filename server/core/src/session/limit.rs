//! Rate limits: for everybody together, and for each network of origin in a sketch of fixed size.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Mutex,
};

use leasehold_protocol::{Entropy, time::Mono};

use crate::lock;

/// So many a second, and as many at once after a quiet second.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// Thousandths of a token, so that a millisecond adds `per_second` of them; and when they were counted.
    state: Mutex<(u64, Mono)>,
}

impl Bucket {
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, state: Mutex::new((per_second * 1000, Mono(0))) }
    }

    /// Takes one token; whether there was one.
    pub(crate) fn take(&self, now: Mono) -> bool {
        let mut state = lock(&self.state);
        let (tokens, since) = *state;
        let added = now.ms_since(since).saturating_mul(self.per_second);
        let tokens = tokens.saturating_add(added).min(self.per_second * 1000);
        *state = (tokens.saturating_sub(1000), since.max(now));
        if tokens < 1000 {
            *state = (tokens, since.max(now));
        }
        tokens >= 1000
    }
}

/// How many came from each /24 or /56 in the second that runs: a count-min sketch, so its size is fixed and a flood from
/// many networks can make it too strict for a few others, never too lax. Two rows, keyed, so that nobody can choose whom
/// to collide with.
#[derive(Debug)]
pub(crate) struct PrefixSketch {
    per_second: u32,
    keys: [u64; 2],
    cells: Mutex<(u64, Box<[[u32; CELLS]; 2]>)>,
}

const CELLS: usize = 1024;

impl PrefixSketch {
    pub(crate) fn new(per_second: u32, entropy: &mut dyn Entropy) -> Self {
        let keys = [entropy.next_u64(), entropy.next_u64()];
        Self { per_second, keys, cells: Mutex::new((0, Box::new([[0; CELLS]; 2]))) }
    }

    /// Counts one from `from`; whether its network is within the limit. This very machine always is: a test or a batch
    /// node may start a thousand programs at once, and it could not flood us more than itself.
    pub(crate) fn take(&self, now: Mono, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        if ip.is_loopback() {
            return true;
        }
        let mut cells = lock(&self.cells);
        let second = now.0 / 1000;
        // Another worker may have read its clock a little later: the second does not go back for this one, or two of them
        // around its end would forget each other's counts.
        if cells.0 < second {
            cells.0 = second;
            cells.1.iter_mut().for_each(|row| row.fill(0));
        }
        let prefix = prefix(ip);
        let least = self.keys.iter().zip(&mut *cells.1).map(|(key, row)| {
            let cell = &mut row[mixed(prefix, *key)];
            *cell = cell.saturating_add(1);
            *cell
        });
        least.min().is_some_and(|count| count <= self.per_second)
    }
}

/// The network an address counts for: /24 of IPv4, /56 of IPv6.
fn prefix(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => 1 << 63 | u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => (ip.to_bits() >> 72) as u64,
    }
}

/// The splitmix64 finisher: spreads well, and the key is secret.
fn mixed(prefix: u64, key: u64) -> usize {
    let mut x = prefix ^ key;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((x ^ (x >> 31)) % CELLS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let bucket = Bucket::new(100);
        let taken = |from: u64, to: u64| (from..to).flat_map(|ms| [ms; 10]).filter(|ms| bucket.take(Mono(*ms))).count();
        assert_eq!(taken(0, 1000), 100 + 99, "what had gathered, and what came in the second");
        assert_eq!(taken(1000, 2000), 100);
        assert_eq!(taken(60_000, 60_001), 10, "ten asked in that millisecond");
    }

    #[test]
    fn a_network_is_limited_and_others_are_not() {
        let sketch = PrefixSketch::new(5, &mut |bytes: &mut [u8]| bytes.fill(0x5a));
        let from = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let taken = |n: usize, who: &str| (0..n).filter(|_| sketch.take(Mono(10), from(who))).count();
        assert_eq!(taken(9, "10.1.1.1:7"), 5);
        assert_eq!(taken(9, "10.1.1.200:9"), 0, "the same /24");
        assert_eq!(taken(9, "10.1.2.1:7"), 5);
        assert_eq!(taken(9, "[2001:db8:0:ff00::1]:7"), 5);
        assert_eq!(taken(9, "[2001:db8:0:ff99::1]:7"), 0, "the same /56");
        assert_eq!(taken(9, "[::ffff:10.1.1.9]:7"), 0, "IPv4 in IPv6 is IPv4");
        assert_eq!(taken(900, "127.0.0.1:7"), 900);
        assert!(sketch.take(Mono(1000), from("10.1.1.1:7")), "the next second begins afresh");
    }

    #[test]
    fn workers_whose_clocks_are_a_little_apart_share_one_limit() {
        let sketch = PrefixSketch::new(5, &mut |bytes: &mut [u8]| bytes.fill(0x5a));
        let from: SocketAddr = "10.1.1.1:7".parse().unwrap();
        let taken = (0..50).flat_map(|_| [999, 1000]).filter(|ms| sketch.take(Mono(*ms), from)).count();
        assert!(taken <= 2 * 5, "{taken} over two seconds");
    }
}
