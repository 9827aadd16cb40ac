//! DISCOVER and OFFER (SPEC 6): asking who is there, and reading who says so.

use std::net::{IpAddr, SocketAddr};

use leasehold_protocol::{
    Entropy,
    crypto::{PublicKey, SiteKey, mac::MacKey},
    packet::{self, Discover, Offer, Packet, PacketType, Prefix},
    vocab::RealmId,
};
use zerocopy::{FromZeros, IntoBytes};

/// Asks for servers and reads their answers. Used by a holder's search, and by itself to list what is there.
#[derive(Debug)]
pub struct Probe {
    mac: ProbeKey,
    realm: RealmId,
    /// The nonces of the last questions: an answer may be late.
    nonces: [[u8; 8]; NONCES],
}

struct ProbeKey(MacKey);

impl std::fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProbeKey")
    }
}

/// What a server says of itself. A hint: nothing of it is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferHint {
    /// Where it says it listens: the address its answer came from, with the port the answer names.
    pub address: SocketAddr,
    /// The realm it offers.
    pub realm: RealmId,
    /// Its key in that realm.
    pub key: PublicKey,
    /// Its id.
    pub server_id: u64,
    /// The cluster it belongs to; its own id when it stands alone.
    pub cluster_id: u64,
    /// Free capacity as it judges it; higher is better.
    pub weight: u16,
    /// Other servers of its cluster, at most four.
    pub peers: Vec<SocketAddr>,
}

const NONCES: usize = 4;
/// Where the mac of a DISCOVER begins.
const MAC_AT: usize = 24;

impl Probe {
    /// A probe for `realm` ([`RealmId::ANY`]: any) at a site.
    #[must_use]
    pub fn new(site: &SiteKey, realm: RealmId) -> Self {
        Self { mac: ProbeKey(MacKey::discovery(site)), realm, nonces: [[0; 8]; NONCES] }
    }

    /// The next DISCOVER, with a nonce of its own.
    pub fn ask(&mut self, entropy: &mut dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; 8];
        entropy.fill(&mut nonce);
        self.nonces.rotate_right(1);
        self.nonces[0] = nonce;
        let mut discover = Discover::new_zeroed();
        discover.prefix = Prefix::of(PacketType::Discover);
        discover.realm = self.realm.0.into();
        discover.nonce = nonce;
        discover.versions = (1 << packet::VERSION).into();
        discover.mac = self.mac.0.of(&discover.as_bytes()[..MAC_AT]);
        discover.as_bytes().to_vec()
    }

    /// Reads a datagram that may be an OFFER answering one of the last questions.
    #[must_use]
    pub fn read(&self, from: SocketAddr, datagram: &[u8]) -> Option<OfferHint> {
        match packet::read_to_client(datagram) {
            Ok(Packet::Offer(offer)) => self.accept(from, datagram, &offer),
            _ => None,
        }
    }

    pub(super) fn accept(&self, from: SocketAddr, datagram: &[u8], offer: &Offer<'_>) -> Option<OfferHint> {
        let head = offer.head;
        let ours = head.nonce_echo != [0; 8] && self.nonces.contains(&head.nonce_echo);
        let realm = RealmId(head.realm.get());
        let wanted = realm != RealmId::ANY && (self.realm == RealmId::ANY || self.realm == realm);
        let signed = datagram.len().checked_sub(offer.mac.len()).and_then(|len| datagram.get(..len))?;
        if !ours || !wanted || head.port.get() == 0 || !self.mac.0.verify(signed, offer.mac) {
            return None;
        }
        Some(OfferHint {
            address: SocketAddr::new(from.ip().to_canonical(), head.port.get()),
            realm,
            key: PublicKey(head.server_key),
            server_id: head.server_id.get(),
            cluster_id: head.cluster_id.get(),
            weight: head.weight.get(),
            peers: offer.peers.iter().map(|p| peer_address(p.address, p.port.get())).collect(),
        })
    }
}

fn peer_address(ip: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from(ip).to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use leasehold_protocol::packet::OfferHead;

    use super::*;

    fn offer_to(discover: &[u8], site: &SiteKey, realm: u32) -> Vec<u8> {
        let mut head = OfferHead::new_zeroed();
        head.prefix = Prefix::of(PacketType::Offer);
        head.realm = realm.into();
        head.nonce_echo.copy_from_slice(&discover[8..16]);
        head.port = 6_000.into();
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(&MacKey::discovery(site).of(&bytes));
        bytes
    }

    fn counting() -> impl Entropy {
        let mut n = 0;
        move |bytes: &mut [u8]| {
            n += 1;
            bytes.fill(n);
        }
    }

    #[test]
    fn an_offer_counts_only_with_our_nonce_our_site_and_our_realm() {
        let site = SiteKey([3; 32]);
        let from = "192.0.2.7:5097".parse().unwrap();
        let mut probe = Probe::new(&site, RealmId(5));
        let ask = probe.ask(&mut counting());
        assert!(packet::read_to_server(&ask).is_ok());

        let good = offer_to(&ask, &site, 5);
        assert_eq!(probe.read(from, &good).unwrap().address, "192.0.2.7:6000".parse().unwrap());
        assert_eq!(probe.read(from, &offer_to(&ask, &SiteKey::OPEN, 5)), None, "another site");
        assert_eq!(probe.read(from, &offer_to(&ask, &site, 6)), None, "another realm");
        assert_eq!(probe.read(from, &offer_to(&[0; 192], &site, 5)), None, "a nonce never asked with");
        for bit in 0..good.len() * 8 {
            let mut forged = good.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(probe.read(from, &forged), None, "bit {bit}");
        }
    }

    #[test]
    fn a_late_offer_to_an_earlier_question_still_counts() {
        let mut probe = Probe::new(&SiteKey::OPEN, RealmId::ANY);
        let mut entropy = counting();
        let asks: Vec<_> = (0..5).map(|_| probe.ask(&mut entropy)).collect();
        let from = "[::ffff:192.0.2.7]:9".parse().unwrap();
        assert_eq!(probe.read(from, &offer_to(&asks[0], &SiteKey::OPEN, 1)), None, "four are remembered");
        let late = probe.read(from, &offer_to(&asks[1], &SiteKey::OPEN, 1)).unwrap();
        assert_eq!(late.address, "192.0.2.7:6000".parse().unwrap(), "mapped addresses are unwrapped");
    }
}
