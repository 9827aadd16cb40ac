//! Licence dates on a machine whose calendar is wrong (T-5, S5).

use leasehold_core::Mark;
use leasehold_protocol::{
    licence::{Certificate, KeyType, SeatLimit, Terms, canonical, text},
    time::UnixMillis,
    vocab::SeatCount,
};
use serde_json::Value;

use super::{
    client::Client,
    http::{ask, get},
    seats::bearer,
    site::Site,
};
use crate::{
    Running,
    clock::{MARK_FILE, MarkKeys, SystemEntropy, clock_now, save_mark},
    state::{Folder, Secrets},
};

/// 2101-01-01.
const NEXT_CENTURY: UnixMillis = UnixMillis(4_133_980_800_000);

/// A licence for two seats of CAD, until the end of this century.
fn dated(site: &Site) {
    let certificate = Certificate {
        publisher: site.publisher.public().publisher().clone(),
        feature: "CAD".parse().unwrap(),
        version: "4.8".parse().unwrap(),
        count: SeatLimit::Counted(SeatCount::new(2).unwrap()),
        key_type: KeyType::Exclusive,
        zone: "UTC".into(),
        start: None,
        end: Some("2100-12-31".parse().unwrap()),
        terms: Terms::default(),
    };
    site.write("licences/a.lic", &text::write(&[canonical::sign(&certificate, &site.publisher)], ""));
}

/// The life before was in the next century: its clock was wrong, or this one's is.
fn mark(site: &Site, wall: UnixMillis) {
    let mut folder = Folder::open(&site.data_dir()).unwrap();
    let keys = MarkKeys::of(&Secrets::of(&mut folder, &mut SystemEntropy).unwrap().ticket_keys);
    save_mark(&folder, &keys, None, Mark { wall, at: None, jump: None }).unwrap();
}

async fn clock(running: &Running) -> Value {
    let answer = get(running.http_address().unwrap(), "/api/v1/clock", Some(&bearer(running))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_clock_set_back_over_a_restart_revives_no_right_until_an_administrator_says_that_it_is_right() {
    let site = Site::new();
    dated(&site);
    mark(&site, NEXT_CENTURY);
    let running = site.start().await;
    let address = running.http_address().unwrap();
    let mut client = Client::connect(running.udp_address()).await;
    assert!(client.request("CAD").await.is_err(), "it ended");
    let told = clock(&running).await;
    assert_eq!(told["state"], "suspect");
    assert!(told["effective"].as_str().unwrap().starts_with("2101-01-01T00:0"), "{told}");
    assert!(told["raw_ahead_ms"].as_i64().unwrap() < -86_400_000);
    let warned = |running: &Running| running.warnings().iter().any(|w| w.contains("leasehold clock confirm"));
    assert!(warned(&running), "{:?}", running.warnings());
    let metrics = get(address, "/metrics", Some(&bearer(&running))).await.body;
    assert!(metrics.contains("\nleasehold_clock_suspect 1\n"), "{metrics}");
    assert!(clock_now().wall.0 < running.clock().now().wall.0);

    let nobody = ask(address, "POST", "/api/v1/clock/confirm", None).await;
    assert_eq!(nobody.status, 401);
    let confirmed = ask(address, "POST", "/api/v1/clock/confirm?by=ann", Some(&bearer(&running))).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    assert!(confirmed.json()["moved_ms"].as_i64().unwrap() < -86_400_000);
    assert_eq!(confirmed.json()["state"], "ok");
    let audit = get(address, "/api/v1/audit", Some(&bearer(&running))).await.json();
    let entry = audit["entries"].as_array().unwrap().last().unwrap();
    assert_eq!((entry["action"].as_str(), entry["after"]["named"].as_str()), (Some("clock.confirm"), Some("ann")));
    assert!(!warned(&running));
    assert!(
        client.request("CAD").await.is_ok(),
        "in force again, in the session that was open: the calendar did not move"
    );
    drop(client);

    running.vanish().await;
    let again = site.start().await;
    assert_eq!(clock(&again).await["state"], "ok", "the confirmation was on disk at once");
    again.stop_now().await;
}

#[tokio::test]
async fn a_mark_that_is_damaged_is_a_warning_and_the_server_serves() {
    let site = Site::new();
    dated(&site);
    site.start().await.stop_now().await;
    site.write(MARK_FILE, "leasehold clock mark 1\nwall_ms 1\nmac 00\n");
    let running = site.start().await;
    let of_mark: Vec<String> = running.warnings().iter().filter(|w| w.contains(MARK_FILE)).cloned().collect();
    assert!(of_mark.len() == 1 && of_mark[0].contains("is damaged: "), "{of_mark:?}");
    assert!(Client::connect(running.udp_address()).await.request("CAD").await.is_ok());
    running.stop_now().await;
    assert!(!site.start().await.warnings().iter().any(|w| w.contains(MARK_FILE)), "written anew");
}

#[tokio::test]
async fn clients_that_prove_themselves_tell_their_clocks() {
    let site = Site::new();
    dated(&site);
    let running = site.start().await;
    for _ in 0..5 {
        Client::connect(running.udp_address()).await.request("CAD").await.ok();
    }
    let told = clock(&running).await;
    assert_eq!(told["clients"], 5);
    // The clients of these tests have no calendar: theirs says 1970.
    assert!(told["clients_ahead_ms"].as_i64().unwrap() < -1_000_000_000_000, "{told}");
    assert!(told["warnings"][0].as_str().unwrap().starts_with("the clocks of 5 clients are"), "{told}");
    let status = get(running.http_address().unwrap(), "/api/v1/status", Some(&bearer(&running))).await.json();
    assert_eq!(status["clock"]["state"], "ok");
    running.stop_now().await;
}
