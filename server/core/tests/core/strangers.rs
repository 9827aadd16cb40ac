//! Whoever does not belong hears nothing, and nobody can be made to hear more than he said (W-4).

use std::{collections::BTreeMap, net::SocketAddr};

use leasehold_core::ServerConfig;
use leasehold_protocol::{
    Entropy,
    crypto::SiteKey,
    message::ClientFrame,
    packet::{DATAGRAM_MAX, MAGIC},
};
use zerocopy::IntoBytes;

use crate::rig::{Client, Lot, Seeded, Site};

/// How many datagrams a flood has; `LEASEHOLD_FLOOD=1000000` for the full one.
#[expect(clippy::disallowed_methods, reason = "a test may be told how long to run")]
fn flood_len() -> u64 {
    std::env::var("LEASEHOLD_FLOOD").ok().and_then(|n| n.parse().ok()).unwrap_or(30_000)
}

/// An address nobody chose.
fn anywhere(entropy: &mut Seeded) -> SocketAddr {
    let word = entropy.next_u64().to_le_bytes();
    SocketAddr::from(([word[0], word[1], word[2], word[3]], u16::from_le_bytes([word[4], word[5]])))
}

/// A datagram that is noise, or as near to a true one as somebody without the keys can make it.
fn datagram(entropy: &mut Seeded, captured: &[Vec<u8>]) -> Vec<u8> {
    let dice = entropy.next_u64();
    let pick = &captured[usize::try_from(dice >> 32).unwrap() % captured.len()];
    let mut bytes = pick.clone();
    match dice % 5 {
        0 => {
            bytes = vec![0; usize::try_from(dice >> 8).unwrap() % (DATAGRAM_MAX + 80)];
            entropy.fill(&mut bytes);
        }
        1 => {
            // The right prefix, and the right length for its type.
            let types = [(2, 168), (6, 32 + usize::try_from(dice >> 10).unwrap() % 1100), (8, 192)];
            let (kind, len) = types[usize::try_from(dice >> 3).unwrap() % 3];
            bytes = vec![0; len];
            entropy.fill(&mut bytes);
            bytes[..4].copy_from_slice(&[MAGIC, 0x10 | kind, 0, 0]);
            if kind == 2 {
                bytes[12..16].fill(0);
            }
            if kind == 8 {
                bytes[18..24].fill(0);
                bytes[40..].fill(0);
            }
        }
        2 => {
            let at = usize::try_from(dice >> 20).unwrap() % bytes.len();
            bytes[at] ^= 1 << (dice >> 40 & 7);
        }
        3 => bytes.truncate(usize::try_from(dice >> 12).unwrap() % bytes.len()),
        // Truly captured, and sent again.
        _ => {}
    }
    bytes
}

#[test]
fn a_closed_site_answers_no_stranger_at_all() {
    let mut site = Site::with(ServerConfig::default(), SiteKey([5; 32]));
    site.load(&[Lot::of("A", 3)]);
    // What a stranger can overhear: an open client's true datagrams, all of which were answered.
    let mut inside = Client::connected(1, &mut site);
    let grant = inside.request(&mut site, "A", 1).unwrap();
    let frame = inside.renew_frame(grant.lease, grant.claim);
    let renewal = inside.seal(&[frame], 0);
    site.feed(inside.from, &renewal);
    // What he can make himself: a whole handshake with the server's public key, and no site key.
    let key = std::mem::replace(&mut site.key, SiteKey::OPEN);
    let (_, hello) = Client::new(2).hello1(&site);
    let (_, wrong) = {
        site.key = SiteKey([6; 32]);
        Client::new(3).hello1(&site)
    };
    site.key = key;
    let captured = [renewal, hello.as_bytes().to_vec(), wrong.as_bytes().to_vec()];
    let mut entropy = Seeded(77);
    let (before, sessions) = (site.shared.counters(), site.shared.live_sessions());
    let mut out = vec![];
    for n in 0..flood_len() {
        let path = leasehold_core::Path::unicast(anywhere(&mut entropy));
        let mut bytes = datagram(&mut entropy, &captured);
        site.engine.handle_datagram(site.now, path, &mut bytes);
        if n % 100 == 0 {
            while site.engine.handle_waiting(site.now) {}
        }
        assert_eq!(site.engine.poll_transmit(&mut out), None, "{bytes:?}");
        assert_eq!(site.engine.poll_event(), None);
    }
    while site.engine.handle_waiting(site.now) {}
    let sent = |counters: &[(&str, u64)]| counters.iter().find(|(name, _)| *name == "datagrams_sent").unwrap().1;
    assert_eq!(sent(&before), sent(&site.shared.counters()));
    assert_eq!(sessions, site.shared.live_sessions());
    let drops: u64 = site.shared.counters().iter().filter(|(name, _)| name.starts_with("drop_")).map(|(_, n)| n).sum();
    assert_eq!(drops, flood_len(), "every datagram is counted under one reason");
    inside.renew(&mut site, grant.lease, grant.claim).unwrap();
}

#[test]
fn nobody_is_sent_more_than_came_from_his_address_whatever_is_sent_in_his_name() {
    let mut site = Site::new();
    let lots: Vec<_> = (0..30).map(|n| Lot::of(&format!("FEATURE_{n:02}"), 5)).collect();
    site.load(&lots);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "FEATURE_00", 1).unwrap();
    let (_, hello) = Client::new(2).hello1(&site);
    let mut entropy = Seeded(78);
    let mut tally = BTreeMap::<SocketAddr, (usize, usize)>::new();
    let home = client.from;
    for n in 0..flood_len() / 10 {
        let victim = anywhere(&mut entropy);
        // One who sits on the path and sends the client's own datagrams on in others' names, mixed with noise.
        let bytes = match entropy.next_u64() % 4 {
            0 => {
                let frame = client.renew_frame(grant.lease, grant.claim);
                client.seal(&[frame.clone(), frame.clone(), frame], 0)
            }
            1 => {
                let claim = client.claim();
                let request = client.request_frame(claim, "FEATURE_01", 5);
                client.seal(&[ClientFrame::Request(Box::new(request))], 0)
            }
            2 => {
                let query = leasehold_protocol::message::FeatureQuery {
                    operation: leasehold_protocol::vocab::OperationId(n),
                    only: None,
                    after: None,
                };
                client.seal(&[ClientFrame::FeatureQuery(query)], 0)
            }
            _ => datagram(&mut entropy, &[hello.as_bytes().to_vec()]),
        };
        tally.entry(victim).or_default().0 += bytes.len();
        for (to, datagram) in site.feed(victim, &bytes) {
            if to.to != home {
                tally.entry(to.to).or_default().1 += datagram.len();
            }
        }
    }
    let worst = tally.values().map(|(received, sent)| *sent as f64 / (*received).max(1) as f64).fold(0.0, f64::max);
    assert!(worst > 0.3 && worst <= 1.0, "{worst}");
    assert!(site.counter("answers_withheld") > 0);
}
