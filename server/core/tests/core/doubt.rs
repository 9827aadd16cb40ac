//! What a server does not know of itself: the last grants before a power cut, whether its store is an old copy, and whether it could
//! remember what it grants now (U-2, U-4, U-5).

use leasehold_core::{Event, HeldLease, ServerConfig};
use leasehold_protocol::{message::Grant, time::Mono, vocab::Denial};

use crate::rig::{Client, Lot, Site};

/// Of the life before.
const LOG: u64 = 50;

fn config(boot_id: u64, log_begins: u64) -> ServerConfig {
    ServerConfig { boot_id, log_begins, ..ServerConfig::default() }
}

/// A site whose log has come to [`LOG`], with 32 seats of A: up to 2 of them may be out and not on disk.
fn site() -> (Site, Client) {
    let mut site = Site::new();
    site.restart(config(1, 2));
    site.load(&lots());
    site.shared.set_log(LOG);
    let client = Client::connected(1, &mut site);
    (site, client)
}

fn lots() -> [Lot; 2] {
    [Lot::of("A", 32).ttl_s(10), Lot::of("B", 15).ttl_s(10)]
}

/// The power goes, and what is written down comes back; the log had come to `log` for certain.
fn power_cut(site: &mut Site, held: Vec<HeldLease>, log: u64) -> u64 {
    site.restart(config(2, log + 2));
    site.load(&lots());
    site.shared.restore(held, site.now);
    site.shared.withhold(site.now.mono.plus_ms(10_000), log - 1)
}

fn with_ticket(client: &mut Client, grant: &Grant, feature: &str) -> leasehold_protocol::message::Request {
    let mut request = client.request_frame(grant.claim, feature, grant.seats.get());
    request.ticket = Some(grant.ticket);
    request
}

#[test]
fn after_a_power_cut_the_seats_that_may_be_out_are_for_those_who_show_that_they_have_them() {
    let (mut site, mut client) = site();
    for _ in 0..28 {
        client.request(&mut site, "A", 1).unwrap();
    }
    let held = site.written();
    // Not on disk when the power goes.
    let lost: Vec<Grant> = (0..2).map(|_| client.request(&mut site, "A", 1).unwrap()).collect();
    assert_eq!(power_cut(&mut site, held, LOG), 2, "of B none: each of its grants is on disk before it is answered");
    let a = site.feature("A");
    assert_eq!((a.used, a.free, a.withheld), (28, 2, 2));
    // Newcomers are served at once, out of what is nobody's for certain.
    let mut stranger = Client::connected(2, &mut site);
    stranger.request(&mut site, "A", 2).unwrap();
    assert_eq!(stranger.request(&mut site, "A", 1).unwrap_err().code, Denial::NO_SEAT);
    client.connect(&mut site);
    let back = with_ticket(&mut client, &lost[0], "A");
    client.send_request(&mut site, &back).unwrap();
    assert_eq!((site.feature("A").used, site.feature("A").withheld), (31, 1));
    assert!(site.events.iter().any(|event| matches!(event, Event::Granted(granted) if granted.by_ticket)));
    // Who does not come back has lost it.
    site.advance(9_999);
    assert_eq!(site.feature("A").withheld, 1);
    site.advance(1);
    let a = site.feature("A");
    assert_eq!((a.withheld, a.used, a.free), (0, 0, 32));
    stranger.request(&mut site, "A", 32).unwrap();
}

#[test]
fn an_older_ticket_is_no_reason_to_hand_out_what_is_withheld() {
    let (mut site, mut client) = site();
    site.shared.set_log(LOG - 10);
    let old = client.request(&mut site, "A", 2).unwrap();
    client.release(&mut site, old.lease, old.claim);
    let (mut held, full) = (site.written(), client.request(&mut site, "A", 30).unwrap());
    held.push(site.written().remove(0));
    power_cut(&mut site, held, LOG);
    assert_eq!((site.feature("A").free, site.feature("A").withheld), (0, 2));
    client.connect(&mut site);
    let again = with_ticket(&mut client, &old, "A");
    assert_eq!(
        client.send_request(&mut site, &again).unwrap_err().code,
        Denial::NO_SEAT,
        "it was on disk, and has ended"
    );
    client.renew(&mut site, full.lease, full.claim).unwrap();
}

#[test]
fn a_ticket_that_wants_more_than_is_there_leaves_what_is_withheld_where_it_was() {
    let (mut site, mut client) = site();
    let big = client.request(&mut site, "A", 4).unwrap();
    let mut held = site.written();
    held.clear();
    let rest = client.request(&mut site, "A", 28).unwrap();
    held.extend(site.written().into_iter().filter(|lease| lease.lease == rest.lease));
    power_cut(&mut site, held, LOG);
    let mut stranger = Client::connected(2, &mut site);
    stranger.request(&mut site, "A", 2).unwrap();
    client.connect(&mut site);
    let back = with_ticket(&mut client, &big, "A");
    assert_eq!(client.send_request(&mut site, &back).unwrap_err().code, Denial::NO_SEAT);
    assert_eq!((site.feature("A").free, site.feature("A").withheld), (0, 2));
}

#[test]
fn a_ticket_from_a_time_that_the_store_does_not_know_makes_the_server_blind() {
    let (mut site, mut client) = site();
    let grant = client.request(&mut site, "A", 2).unwrap();
    // A copy of the data folder, made long before, is put in its place.
    power_cut(&mut site, vec![], LOG - 20);
    let mut stranger = Client::connected(2, &mut site);
    client.connect(&mut site);
    let back = with_ticket(&mut client, &grant, "A");
    client.send_request(&mut site, &back).unwrap();
    assert!(site.shared.is_store_old());
    let until = Mono(site.now.mono.0 + 300_000);
    let told = |event: &Event| *event == Event::StoreIsOld { ticket: LOG, ours: LOG - 18, blind_until: until };
    assert_eq!(site.events.iter().filter(|event| told(event)).count(), 1);
    assert_eq!(stranger.request(&mut site, "A", 1).unwrap_err().code, Denial::RESTARTING);
    assert_eq!(site.shared.blind_until(site.now.mono), Some(until));
    site.advance(300_000);
    stranger.request(&mut site, "A", 1).unwrap();
    // Known until somebody says that he knows.
    assert!(site.shared.is_store_old());
    site.shared.set_store_old(false);
    assert!(!site.shared.is_store_old());
}

#[test]
fn tickets_of_this_life_and_of_a_life_that_is_known_prove_nothing() {
    let (mut site, mut client) = site();
    let before = client.request(&mut site, "B", 1).unwrap();
    site.shared.set_log(LOG + 1);
    let last = client.request(&mut site, "B", 1).unwrap();
    power_cut(&mut site, vec![], LOG);
    client.connect(&mut site);
    for grant in [&before, &last] {
        let back = with_ticket(&mut client, grant, "B");
        client.send_request(&mut site, &back).unwrap();
    }
    site.shared.set_log(LOG + 9);
    let own = client.request(&mut site, "B", 1).unwrap();
    client.release(&mut site, own.lease, own.claim);
    let mut shown = with_ticket(&mut client, &own, "B");
    shown.claim = client.claim();
    client.send_request(&mut site, &shown).unwrap();
    assert!(!site.shared.is_store_old());
}

#[test]
fn while_storage_fails_nothing_new_is_granted_and_nothing_old_is_lost() {
    let (mut site, mut client) = site();
    let held = client.request(&mut site, "A", 2).unwrap();
    site.shared.set_storage_failing(true);
    let deny = client.request(&mut site, "A", 1).unwrap_err();
    assert_eq!((deny.code, deny.retry_after_ms), (Denial::STORAGE, Some(5_000)));
    assert!(deny.sentence.contains("the disk"), "{}", deny.sentence);
    client.renew(&mut site, held.lease, held.claim).unwrap();
    let again = client.request_frame(held.claim, "A", 2);
    assert_eq!(client.send_request(&mut site, &again).unwrap().lease, held.lease);
    site.shared.set_storage_failing(false);
    client.request(&mut site, "A", 1).unwrap();
}
