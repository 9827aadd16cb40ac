//! Licences that change while clients hold seats (L-5, LS-11, LS-12).

use leasehold_protocol::{
    licence::{Certificate, KeyType, SeatLimit, Terms, canonical, text},
    vocab::SeatCount,
};
use serde_json::Value;

use super::{
    client::Client,
    http::{self, Answer, raw},
    seats::bearer,
    site::Site,
};
use crate::{Running, clock_now};

/// The text of a licence file: `seats` of CAD, an upgrade or an exclusive right.
fn file(site: &Site, key_type: KeyType, seats: u32) -> String {
    let certificate = Certificate {
        publisher: site.publisher.public().publisher().clone(),
        feature: "CAD".parse().unwrap(),
        version: "4.8".parse().unwrap(),
        count: SeatLimit::Counted(SeatCount::new(seats).unwrap()),
        key_type,
        zone: "UTC".into(),
        start: None,
        end: None,
        terms: Terms::default(),
    };
    text::write(&[canonical::sign(&certificate, &site.publisher)], "")
}

async fn send(running: &Running, method: &str, path: &str, body: &str) -> Answer {
    let address = running.http_address().unwrap();
    http::send(address, method, &format!("/api/v1/licences{path}"), Some(&bearer(running)), body).await
}

async fn post(running: &Running, query: &str, body: &str) -> Value {
    let answer = send(running, "POST", query, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn seats(running: &Running) -> (Option<u32>, u32) {
    let features = running.shared().features(clock_now());
    (features[0].count, features[0].used)
}

#[tokio::test]
async fn a_licence_that_is_added_gives_seats_at_once_and_lives_until_the_restart_unless_it_is_kept() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    client.request("CAD").await.unwrap();
    let mut second = Client::connect(running.udp_address()).await;
    assert!(second.request("CAD").await.is_err());
    let upgrade = file(&site, KeyType::Upgrade, 2);
    let foretold = post(&running, "?dry_run=true", &upgrade).await;
    assert_eq!((foretold["changed"].as_bool(), seats(&running)), (Some(false), (Some(1), 1)));
    let added = post(&running, "", &upgrade).await;
    assert_eq!(added["certificates"], foretold["certificates"]);
    assert_eq!(added["features"][0], serde_json::json!({ "name": "CAD", "before": 1, "after": 3 }));
    assert_eq!(seats(&running), (Some(3), 1));
    second.request("CAD").await.unwrap();
    // A reload keeps what was added; the same again changes nothing.
    running.reload().unwrap();
    assert_eq!(post(&running, "", &upgrade).await["certificates"][0]["outcome"], "loaded_before");
    assert_eq!(seats(&running), (Some(3), 2));
    running.stop_now().await;

    let running = site.start().await;
    assert_eq!(seats(&running).0, Some(1), "it lived in memory");
    assert_eq!(post(&running, "?persist=true", &upgrade).await["persisted"], true);
    running.stop_now().await;
    let running = site.start().await;
    assert_eq!(seats(&running).0, Some(3), "it was kept");
    let id = added["certificates"][0]["id"].as_str().unwrap();
    assert_eq!(send(&running, "DELETE", &format!("/{id}"), "").await.status, 200);
    assert_eq!(seats(&running).0, Some(1));
    assert!(!site.data_dir().join("added.lic").exists());
    running.stop_now().await;
}

#[tokio::test]
async fn whatever_is_wrong_with_what_is_sent_changes_nothing_and_says_why() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let running = site.start().await;
    let (good, stranger) = (file(&site, KeyType::Additive, 7), Site::bare());
    let changed = good.replace("count = 7", "count = 70");
    let of_another = file(&stranger, KeyType::Exclusive, 9);
    let both = format!("{}{changed}", file(&site, KeyType::Exclusive, 9));
    for (query, body, status, said) in [
        ("", "", 400, "there is no certificate in what was sent"),
        ("", "certificate {", 422, "line 1, column 1: this certificate is not closed"),
        ("", &changed, 422, "column 3: the signature of key"),
        ("", &both, 422, "nothing was added, because of:"),
        ("?persist=true", &of_another, 422, "which is not trusted here"),
        ("?persist=maybe", &good, 400, "persist and dry_run are understood"),
        ("?keep=true", &good, 400, "persist and dry_run are understood"),
        ("/reload", "", 200, "\"applied\""),
    ] {
        let answer = send(&running, "POST", query, body).await;
        assert_eq!(answer.status, status, "{query} {}", answer.body);
        assert!(answer.body.contains(said), "{}\nexpected {said}", answer.body);
        assert_eq!(seats(&running).0, Some(1));
        assert!(!site.data_dir().join("added.lic").exists());
    }
    let in_file = running.licence_report().files[0].certificates[0].id.clone();
    for (id, status, said) in [
        (in_file.as_str(), 409, "a.lic:5: remove it there"),
        ("0000000000000000", 404, "no certificate 0000000000000000 is loaded here"),
        ("x", 400, "is no certificate id"),
    ] {
        let answer = send(&running, "DELETE", &format!("/{id}"), "").await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(said), "{}", answer.body);
    }
    running.stop_now().await;
}

#[tokio::test]
async fn nobody_changes_licences_without_the_token() {
    let site = Site::new();
    let running = site.start().await;
    let address = running.http_address().unwrap();
    for (method, path) in [("POST", ""), ("POST", "/reload"), ("DELETE", "/0000000000000000")] {
        let head = format!(
            "{method} /api/v1/licences{path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(raw(address, head.as_bytes()).await.status, 401);
    }
    running.stop_now().await;
}
