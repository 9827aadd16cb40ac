//! A lease that nobody renews ends at its deadline: its seat is granted in the same millisecond, never before (R-5, E-5).

use leasehold_core::Event;
use leasehold_protocol::{time::Mono, vocab::Denial};

use crate::rig::{Client, Lot, Site};

fn expiries(site: &Site) -> Vec<Mono> {
    let ended = |event: &Event| match event {
        Event::Expired(ended) => Some(ended.at),
        _ => None,
    };
    site.events.iter().filter_map(ended).collect()
}

#[test]
fn the_seat_of_a_silent_holder_is_granted_in_the_millisecond_of_its_deadline_and_not_before() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).ttl_s(10)]);
    let (mut silent, mut next) = (Client::connected(1, &mut site), Client::connected(2, &mut site));
    silent.request(&mut site, "A", 1).unwrap();
    let deadline = site.now.mono.plus_ms(10_000);
    site.sleep(9_999);
    assert_eq!(next.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    // No sweeper has come by: the request itself finds the lease at its end.
    site.sleep(1);
    next.request(&mut site, "A", 1).unwrap();
    assert_eq!(expiries(&site), [deadline]);
    let grant = site.events.iter().rposition(|event| matches!(event, Event::Granted(_))).unwrap();
    let expiry = site.events.iter().position(|event| matches!(event, Event::Expired(_))).unwrap();
    assert!(expiry < grant, "the end is told before the grant it made room for");
}

#[test]
fn a_seat_granted_by_one_worker_is_free_for_another_in_the_same_millisecond() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).ttl_s(10)]);
    let mut silent = Client::connected(1, &mut site);
    silent.request(&mut site, "A", 1).unwrap();
    let mut other = site.worker(99);
    std::mem::swap(&mut site.engine, &mut other);
    let mut next = Client::connected(2, &mut site);
    site.sleep(9_999);
    assert!(next.request(&mut site, "A", 1).is_err());
    site.sleep(1);
    next.request(&mut site, "A", 1).unwrap();
}

#[test]
fn a_renewal_in_the_last_millisecond_keeps_the_lease_and_one_later_does_not() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).ttl_s(10)]);
    let mut client = Client::connected(1, &mut site);
    let grant = client.request(&mut site, "A", 1).unwrap();
    site.advance(9_999);
    client.renew(&mut site, grant.lease, grant.claim).unwrap();
    site.sleep(10_000);
    let deny = client.renew(&mut site, grant.lease, grant.claim).unwrap_err();
    assert_eq!((deny.code, deny.retry_after_ms), (Denial::NO_SUCH_LEASE, Some(0)));
    // a renewal that comes too late is a fresh request in the same round trip, if the seat is still there.
    assert_ne!(client.request_as(&mut site, grant.claim, "A", 1).unwrap().lease, grant.lease);
}

#[test]
fn a_lease_renewed_in_time_does_not_expire_whatever_it_was_filed_under() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 3).ttl_s(10)]);
    let mut client = Client::connected(1, &mut site);
    let kept = client.request(&mut site, "A", 1).unwrap();
    client.request(&mut site, "A", 1).unwrap();
    for _ in 0..100 {
        site.advance(3_333);
        client.renew(&mut site, kept.lease, kept.claim).unwrap();
    }
    assert_eq!((site.shared.live_leases(), expiries(&site).len()), (1, 1));
    site.advance(10_000);
    assert_eq!((site.shared.live_leases(), site.feature("A").free), (0, 3));
}

#[test]
fn leases_expire_by_themselves_in_the_order_of_their_deadlines() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 50).ttl_s(10), Lot::of("B", 50).ttl_s(4)]);
    let mut client = Client::connected(1, &mut site);
    for n in 0..20 {
        client.request(&mut site, if n % 2 == 0 { "A" } else { "B" }, 1).unwrap();
        site.advance(100);
    }
    let asked_at = site.engine.poll_timeout();
    site.advance(20_000);
    let ends = expiries(&site);
    assert!(ends.is_sorted() && ends.len() == 20, "{ends:?}");
    assert_eq!(asked_at, ends.first().copied());
    assert_eq!(site.engine.poll_timeout(), None, "an empty server sleeps");
}

#[test]
fn a_sweep_is_bounded_and_goes_on_at_once() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 5000).ttl_s(10)]);
    let mut client = Client::connected(1, &mut site);
    for _ in 0..300 {
        client.request(&mut site, "A", 1).unwrap();
    }
    site.sleep(10_000);
    let mut turns = vec![];
    while site.shared.live_leases() > 0 {
        assert!(site.engine.poll_timeout().unwrap() <= site.now.mono);
        let before = site.shared.live_leases();
        site.engine.handle_timeout(site.now);
        site.drain();
        turns.push(before - site.shared.live_leases());
    }
    assert_eq!(turns, [128, 128, 44]);
}

#[test]
fn calling_the_timeout_early_late_or_twice_is_harmless() {
    let mut site = Site::new();
    site.load(&[Lot::of("A", 1).ttl_s(10)]);
    let mut client = Client::connected(1, &mut site);
    client.request(&mut site, "A", 1).unwrap();
    for ms in [0, 0, 9_999, 0, 1, 0, 5_000, 0] {
        site.sleep(ms);
        site.engine.handle_timeout(site.now);
        assert!(site.drain().is_empty());
    }
    assert_eq!(expiries(&site).len(), 1);
}
