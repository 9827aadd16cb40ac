//! Noise, forgeries and newer peers: nothing of it moves, stops or breaks a holder.

use leasehold_protocol::{
    Entropy,
    crypto::{SiteKey, mac::MacKey},
    packet::{PacketType, Prefix, Retry},
};
use zerocopy::{FromZeros, IntoBytes};

use super::{
    super::{HolderEvent, LeaseState},
    lan::{Lan, server_at},
    server::seeded,
};

fn kind(bytes: &[u8]) -> u8 {
    bytes[1] & 15
}

/// `bytes` with a bit changed somewhere after the header.
fn forged(bytes: &[u8]) -> Vec<u8> {
    let mut forged = bytes.to_vec();
    let last = forged.len() - 20;
    forged[last] ^= 0x10;
    forged
}

#[test]
fn a_forged_answer_before_each_true_one_changes_nothing() {
    let mut lan = Lan::with_server(1);
    lan.tamper = |bytes| vec![forged(&bytes), bytes.clone(), bytes];
    let lease = lan.hold("cad");
    lan.run_for(3_600_000);
    assert_eq!(lan.states(lease), [(lan.states(lease)[0].0, LeaseState::Healthy)]);
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::Connected { .. })), 1);
    assert!(lan.holder.ignored() > 40, "forgeries and doubles are counted: {}", lan.holder.ignored());
}

#[test]
fn a_retry_for_another_hello_or_with_another_tag_is_not_believed() {
    let mut lan = Lan::with_server(2);
    lan.tamper = |bytes| {
        let mut echo = bytes.clone();
        let mut cookie = bytes.clone();
        echo[8] ^= 1;
        cookie[24] ^= 1;
        if kind(&bytes) == PacketType::Retry as u8 { vec![echo, cookie] } else { vec![bytes] }
    };
    lan.run_for(10_000);
    assert!(!lan.connected());
    let with_cookie = lan.sent.iter().filter(|(_, _, b)| b.len() == 168 && b[152..] != [0; 16]).count();
    assert_eq!(with_cookie, 0);
}

#[test]
fn a_retry_that_does_not_know_the_hello_it_answers_is_not_believed_whoever_signed_it() {
    let mut lan = Lan::with_server(8);
    // Anybody who knows the server's key can sign one; only who saw the HELLO1 can echo it.
    let mac = MacKey::hello(&lan.key(0), &SiteKey::OPEN);
    let hello = |lan: &Lan| lan.sent.iter().find(|(_, _, b)| b.len() == 168).map(|(_, _, b)| b.clone());
    lan.run_until(1_000, |lan| hello(lan).is_some());
    let sent = hello(&lan).unwrap();
    let mut retry = Retry::new_zeroed();
    retry.prefix = Prefix::of(PacketType::Retry);
    retry.client_sid = u32::from_le_bytes(sent[8..12].try_into().unwrap()).into();
    retry.cookie = [9; 16];
    retry.tag = mac.of(&retry.as_bytes()[..40]);
    let before = lan.sent.len();
    lan.inject(server_at(1), retry.as_bytes().to_vec());
    assert_eq!((lan.sent.len(), lan.holder.ignored()), (before, 1));
    retry.mac1_echo = sent[136..152].try_into().unwrap();
    retry.tag = mac.of(&retry.as_bytes()[..40]);
    lan.inject(server_at(1), retry.as_bytes().to_vec());
    assert_eq!(lan.sent.len(), before + 1, "the same with the echo is");
}

#[test]
fn a_server_that_knows_only_retry_makes_no_loop() {
    let mut lan = Lan::with_server(3);
    lan.server().only_retries = true;
    lan.run_for(60_000);
    assert!(!lan.connected() && lan.sent.len() < 120, "{} datagrams in a minute", lan.sent.len());
    lan.server().only_retries = false;
    lan.run_until(15_000, Lan::connected);
}

#[test]
fn frames_from_a_newer_server_are_skipped_and_the_rest_is_read() {
    let mut lan = Lan::with_server(4);
    lan.server().raw_frame = Some((0x7f, vec![1, 2, 3]));
    let lease = lan.hold("cad");
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
    assert_eq!(lan.holder.ignored(), 0);
}

#[test]
fn a_frame_that_cannot_be_read_costs_itself_only() {
    let mut lan = Lan::with_server(5);
    // A GRANT of one byte.
    lan.server().raw_frame = Some((0x03, vec![0xff]));
    let lease = lan.hold("cad");
    assert_eq!(lan.state(lease), Some(LeaseState::Healthy));
    assert!(lan.holder.ignored() > 0);
}

#[test]
fn random_and_nearly_right_bytes_never_panic_and_never_grow_anything() {
    let mut lan = Lan::with_server(6);
    let lease = lan.hold("cad");
    let mut rng = seeded(6);
    let mut replies = Vec::new();
    for (_, _, sent) in lan.sent.clone() {
        // What the holder sent, turned round: right magic, right shape, wrong side or wrong keys.
        let mut turned = sent;
        turned[1] ^= 1;
        replies.push(turned);
    }
    for n in 0..20_000usize {
        let mut bytes = match n % 3 {
            0 => {
                let mut noise = vec![0; (rng.next_u64() % 1_300) as usize];
                rng.fill(&mut noise);
                noise
            }
            _ => replies[n % replies.len()].clone(),
        };
        if n % 3 == 1 {
            let at = (rng.next_u64() as usize) % bytes.len();
            bytes[at] ^= 1 << (rng.next_u64() % 8);
            bytes.truncate((rng.next_u64() as usize) % (bytes.len() + 1));
        }
        if n % 3 == 0 && bytes.len() > 1 {
            (bytes[0], bytes[1]) = (0x1e, 0x10 | bytes[1] & 15);
        }
        lan.inject(server_at(66), bytes);
    }
    let before = lan.sent.len();
    lan.run_for(1_000);
    assert_eq!((lan.state(lease), lan.sent.len()), (Some(LeaseState::Healthy), before));
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::ServerRejected { .. })), 0);
}

#[test]
fn an_authentic_datagram_is_read_once() {
    let mut lan = Lan::with_server(7);
    lan.tamper = |bytes| vec![bytes.clone(), bytes.clone(), bytes];
    let lease = lan.hold("cad");
    lan.release(lease);
    lan.run_for(1_000);
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::Granted { .. })), 1);
    assert_eq!(lan.count(|e| matches!(e, HolderEvent::Released { .. })), 1);
}
