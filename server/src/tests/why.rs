//! Why somebody got seats or did not, over REST.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use super::{
    client::Client,
    http::get,
    seats::bearer,
    site::{Site, eventually},
};
use crate::{Running, Settings};

const POLICY: &str = "\
[groups.all]
everyone = true
[[rules]]
id = \"open\"
include = \"all\"
features = \"all\"
[[limits]]
id = \"one\"
max = 1
per = \"user\"
features = [\"CAD\"]
";

async fn why(running: &Running, query: &str) -> (u16, Value) {
    let said = get(running.http_address().unwrap(), &format!("/api/v1/why?{query}"), Some(&bearer(running))).await;
    (said.status, said.json())
}

async fn written(running: &Running, events: u64) {
    eventually("the events are written", || async { running.history().figures().written.load(Relaxed) >= events })
        .await;
}

/// A server that granted a seat and denied another.
async fn served(site: &Site) -> (Running, Client) {
    site.licence("a.lic", "CAD", 5, 300);
    let policy = Some(site.write("policy.toml", POLICY));
    let running = Running::start(Settings { policy, ..site.settings() }).await.unwrap();
    let mut client = Client::connect(running.udp_address()).await;
    client.request("CAD").await.unwrap();
    client.request("CAD").await.unwrap_err();
    written(&running, 2).await;
    (running, client)
}

#[tokio::test]
async fn what_was_decided_is_told_with_the_policy_and_the_numbers_of_then() {
    let site = Site::new();
    let (running, mut client) = served(&site).await;
    // Whatever holds now, the policy of then decided.
    site.write("policy.toml", "");
    running.reload().unwrap();
    client.request("CAD").await.unwrap();
    written(&running, 3).await;

    let (status, granted) = why(&running, "lease=0.1").await;
    assert_eq!((status, &granted["event"]["kind"], &granted["out_before"]), (200, &"granted".into(), &0.into()));
    assert_eq!(granted["event"]["certificates"][0]["seats"], 1);
    assert_eq!(
        (&granted["by_policy"]["rule"], &granted["by_policy"]["limits"][0]["rule"]),
        (&"open".into(), &"one".into())
    );
    assert_eq!((&granted["policy"]["version"], granted["looked"].is_null()), (&1.into(), true));

    let event = granted["event"]["event"].as_i64().unwrap() + 1;
    let (_, denied) = why(&running, &format!("event={event}")).await;
    assert_eq!((&denied["event"]["denial"], &denied["policy"]["version"]), (&"limit-reached".into(), &1.into()));
    let limit = &denied["looked"]["limits"][0];
    assert_eq!((&limit["used"], &limit["wanted"], &limit["max"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!((&denied["looked"]["lots"][0]["out"], &denied["out_before"]), (&1.into(), &1.into()));
    assert!(denied["event"]["sentence"].as_str().unwrap().contains("rule one allows"), "{denied:#}");
    assert!(denied["event"]["user"].as_str().is_some_and(|user| !user.starts_with("u-")), "{denied:#}");

    let (_, later) = why(&running, &format!("event={}", event + 1)).await;
    assert!(later["policy"].is_null() && later["by_policy"].is_null(), "{later:#}");
    running.stop_now().await;
}

#[tokio::test]
async fn what_would_be_answered_now_is_told_and_takes_nothing() {
    let site = Site::new();
    let (running, _client) = served(&site).await;
    let (status, yes) = why(&running, "feature=CAD&user=somebody%20else&host=ws9").await;
    assert_eq!(
        (status, &yes["answer"]["granted"], &yes["asked"]["user"]),
        (200, &true.into(), &"somebody else".into())
    );
    let (_, no) = why(&running, "feature=CAD&user=x&seats=9").await;
    assert_eq!((&no["answer"]["denial"], &no["looked"]["lots"][0]["seats"]), (&"too-many-seats".into(), &5.into()));
    let (_, none) = why(&running, "feature=NONE").await;
    assert_eq!((&none["answer"]["code"], none["looked"].is_null()), (&1.into(), true));
    assert_eq!(running.shared().live_leases(), 1);
    running.stop_now().await;
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_with_what_to_do() {
    let site = Site::new();
    let (running, _client) = served(&site).await;
    for (query, status, says) in [
        ("", 400, "one of event, lease and feature"),
        ("event=1&lease=0.1", 400, "one of event, lease and feature"),
        ("event=x", 400, "understood"),
        ("feature=CAD&color=red", 400, "color"),
        ("feature=CAD&seats=0", 400, "seats: "),
        ("feature=two%20words", 400, "feature: "),
        ("feature=CAD&device=12", 400, "32 hexadecimal digits"),
        ("feature=CAD&publisher=nobody", 400, "publisher: one of "),
        ("event=999", 404, "leasehold history query"),
        ("lease=9.9", 404, "leasehold history query"),
    ] {
        let (got, said) = why(&running, query).await;
        let message = said["error"]["message"].as_str().unwrap();
        assert!(got == status && message.contains(says), "{query}: {got} {message}");
    }
    running.stop_now().await;
}
