//! Handshakes that wait: who holds a seat is served first, and the door stays open.

use leasehold_core::Path;
use zerocopy::IntoBytes;

use crate::rig::{Client, Lot, Site};

fn knock(site: &mut Site, client: &Client, hello: &[u8]) {
    site.engine.handle_datagram(site.now, Path::unicast(client.from), &mut hello.to_vec());
}

#[test]
fn a_renewal_is_answered_before_the_handshakes_that_came_first() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1)]);
    let mut holder = Client::connected(1, &mut site);
    let grant = holder.request(&mut site, "A", 1).unwrap();
    let before = site.counter("handshakes");
    let hellos: Vec<_> = (2..=5)
        .map(|n| {
            let mut client = Client::new(n);
            let (_, hello) = client.hello1_with_cookie(&mut site);
            (client, hello)
        })
        .collect();
    for (client, hello) in &hellos {
        knock(&mut site, client, hello.as_bytes());
    }
    let frame = holder.renew_frame(grant.lease, grant.claim);
    let datagram = holder.seal(&[frame], 0);
    site.engine.handle_datagram(site.now, Path::unicast(holder.from), &mut datagram.clone());
    let said = site.drain();
    assert_eq!((said.len(), said[0].0.to), (1, holder.from), "the renewal alone");
    assert_eq!(site.counter("handshakes"), before);
    // Then one handshake a turn, without waiting for anything.
    for done in 1..=4 {
        assert!(site.engine.poll_timeout().is_some_and(|due| due <= site.now.mono));
        site.engine.handle_timeout(site.now);
        assert_eq!(site.drain().len(), 1);
        assert_eq!(site.counter("handshakes"), before + done);
    }
    assert!(!site.engine.has_waiting());
}

#[test]
fn among_ten_thousand_strangers_the_last_to_knock_are_heard_and_the_rest_are_counted() {
    let mut site = Site::new();
    let mut stranger = Client::new(9);
    let (_, hello) = stranger.hello1(&site);
    for _ in 0..10_000 {
        knock(&mut site, &stranger, hello.as_bytes());
    }
    let mut client = Client::new(1);
    let (_, hello) = client.hello1(&site);
    knock(&mut site, &client, hello.as_bytes());
    while site.engine.handle_waiting(site.now) {}
    let said = site.drain();
    assert!(said.iter().any(|(transmit, _)| transmit.to == client.from), "the last one is answered");
    assert_eq!(site.counter("drop_shed") + said.len() as u64, 10_001);
    assert!(said.len() <= 256);
}

#[test]
fn a_handshake_that_waited_longer_than_its_clients_patience_is_not_worth_an_answer() {
    let mut site = Site::new();
    let mut client = Client::new(1);
    let (_, hello) = client.hello1(&site);
    knock(&mut site, &client, hello.as_bytes());
    site.sleep(500);
    knock(&mut site, &client, hello.as_bytes());
    while site.engine.handle_waiting(site.now) {}
    assert_eq!((site.drain().len(), site.counter("drop_shed")), (1, 1));
}
