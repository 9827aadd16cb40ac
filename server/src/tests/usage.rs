//! The usage history of a server that serves: what happened stands in it, and what happens to it nobody notices who is served.

use std::{fs, sync::atomic::Ordering::Relaxed, time::Duration};

use leasehold_protocol::message::ServerFrame;

use super::{
    client::Client,
    http::get,
    seats::bearer,
    site::{Site, eventually},
};
use crate::{
    Running, Settings, clock_now,
    history::{Entry, FILE, Filter, NameKind, Reader, Row, key_in},
};

fn rows(site: &Site) -> Vec<Row> {
    let mut rows = Vec::new();
    let reader = Reader::open(&site.data_dir()).unwrap();
    reader
        .each(&Filter::default(), |entry| {
            rows.extend(if let Entry::Row(row) = entry { Some(*row) } else { None });
            true
        })
        .unwrap();
    rows
}

fn words(site: &Site) -> Vec<String> {
    rows(site).into_iter().map(|row| row.kind).collect()
}

async fn written(running: &Running, events: u64) {
    eventually("the events are written", || async { running.history().figures().written.load(Relaxed) >= events })
        .await;
}

#[tokio::test]
async fn a_seat_that_went_out_and_one_that_did_not_stand_in_the_history() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    let grant = client.request("CAD").await.unwrap();
    let denial = client.request("CAD").await.unwrap_err();
    assert!(matches!(client.release(&grant).await, ServerFrame::Released(_)));
    written(&running, 3).await;
    // While the server serves.
    assert_eq!(words(&site)[0], "started");
    let metrics = get(running.http_address().unwrap(), "/metrics", Some(&bearer(&running))).await.body;
    for line in [
        "leasehold_history_events_written_total 3",
        "leasehold_history_events_dropped_total 0",
        "leasehold_history_gaps_total 0",
        "leasehold_history_failing 0",
    ] {
        assert!(metrics.contains(line), "{line:?} in\n{metrics}");
    }
    running.drain_and_stop(Duration::ZERO).await;

    assert_eq!(words(&site), ["started", "granted", "denied", "released", "stopped"]);
    let rows = rows(&site);
    let key = key_in(&site.data_dir()).unwrap().unwrap();
    let ada = Some(key.pseudonym(NameKind::User, "ada"));
    assert!(rows[1..4].iter().all(|row| row.user == ada && row.feature.as_deref() == Some("CAD")), "{rows:#?}");
    assert_eq!((rows[2].code, rows[2].rule.as_deref()), (Some(denial.code.0), Some(denial.rule.as_str())));
    assert_eq!((rows[1].lease.clone(), rows[1].realm.as_deref()), (Some(grant.lease.to_string()), Some("acme")));
}

#[tokio::test]
async fn who_is_served_does_not_notice_that_the_history_cannot_be_written_and_it_heals_by_itself() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 2, 300);
    // A folder where the file should be.
    site.write(&format!("{FILE}/x"), "");
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    let grant = client.request("CAD").await.unwrap();
    let history = running.history();
    eventually("the event is dropped", || async { history.figures().dropped.load(Relaxed) == 1 }).await;
    running.refresh_warnings(clock_now());
    let warnings = running.warnings();
    let warned = |text: &str| warnings.iter().any(|warning| warning.contains(text));
    assert!(warned(FILE) && warned("Seats are granted all the same"), "{warnings:?}");
    assert!(matches!(client.renew(&grant).await, ServerFrame::Renewed(_)));

    fs::remove_dir_all(site.data_dir().join(FILE)).unwrap();
    eventually("it is written again", || async { history.failing().is_none() }).await;
    client.request("CAD").await.unwrap();
    written(&running, 1).await;
    running.refresh_warnings(clock_now());
    assert!(!running.warnings().iter().any(|warning| warning.contains(FILE)), "{:?}", running.warnings());
    running.stop_now().await;
    let gaps = Reader::open(&site.data_dir()).unwrap().missing(None, None).unwrap();
    assert_eq!((gaps.len(), gaps[0].events), (1, Some(1)));
    assert_eq!(words(&site), ["started", "granted", "stopped"]);
}

#[tokio::test]
async fn a_damaged_key_or_a_setting_leaves_no_history_and_a_server_that_serves() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 2, 300);
    let key = site.write("history.key", "not a key\n");
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    client.request("CAD").await.unwrap();
    assert!(running.warnings().iter().any(|w| w.contains("history.key") && w.contains("delete it")), "a warning");
    running.stop_now().await;

    fs::remove_file(key).unwrap();
    let running = Running::start(Settings { history: false, ..site.settings() }).await.unwrap();
    let mut client = Client::connect(running.udp_address()).await;
    client.request("CAD").await.unwrap();
    assert!(!running.history().is_on() && running.history().warning().is_none());
    running.stop_now().await;
    assert!(!site.data_dir().join(FILE).exists());
}
