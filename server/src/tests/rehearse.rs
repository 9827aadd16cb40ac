//! A policy rehearsed on a running server (P-6).

use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use super::{
    client::Client,
    http::send,
    seats::bearer,
    site::{Site, eventually},
};
use crate::{Running, history::KEY_FILE};

const ONE_EACH: &str = "[[limits]]\nid = \"one\"\nmax = 1\nper = \"user\"\nfeatures = [\"CAD\"]\n";

async fn rehearse(running: &Running, query: &str, draft: &str) -> (u16, Value) {
    let path = format!("/api/v1/policy/rehearse{query}");
    let said = send(running.http_address().unwrap(), "POST", &path, Some(&bearer(running)), draft).await;
    (said.status, said.json())
}

#[tokio::test]
async fn p_6_a_draft_is_asked_what_was_asked_of_late_and_nothing_is_changed() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 2, 300);
    let running = site.start().await;
    let mut client = Client::connect(running.udp_address()).await;
    let first = client.request("CAD").await.unwrap();
    client.request("CAD").await.unwrap();
    client.request("CAD").await.unwrap_err();
    client.release(&first).await;
    client.request("CAD").await.unwrap();
    eventually("the events are written", || async { running.history().figures().written.load(Relaxed) >= 5 }).await;

    let (status, told) = rehearse(&running, "?days=1", ONE_EACH).await;
    // The second is denied by the limit. The third found no seat, and would find the limit. The fourth comes when the first is back.
    assert_eq!(
        (status, &told["requests"], &told["granted"], &told["denied"]),
        (200, &4.into(), &2.into(), &1.into()),
        "{told:#}"
    );
    let case = &told["newly_denied"][0];
    assert_eq!(
        (&case["rule"], &case["denial"], &case["times"]),
        (&"policy rule one".into(), &"limit-reached".into(), &1.into())
    );
    assert!(case["user"].as_str().is_some_and(|user| !user.starts_with("u-")), "{told:#}");
    assert_eq!(
        (&told["newly_granted_requests"], &told["gaps"], &told["denied_today"]),
        (&0.into(), &0.into(), &0.into())
    );

    let (_, same) = rehearse(&running, "", "").await;
    assert_eq!((&same["newly_denied_requests"], &same["granted"], &same["denied"]), (&0.into(), &3.into(), &1.into()));
    assert_eq!((running.shared().live_leases(), running.shared().policy().is_empty()), (2, true));
    running.shared().check_ledger().unwrap();

    let (status, refused) = rehearse(&running, "", "[[limits]]\nid = \"x\"\n").await;
    assert!(status == 422 && refused["error"]["message"].as_str().unwrap().contains("the draft:1:1"), "{refused:#}");
    assert_eq!(rehearse(&running, "?days=0", "").await.0, 400);
    std::fs::remove_file(site.data_dir().join(KEY_FILE)).unwrap();
    let (status, refused) = rehearse(&running, "", "").await;
    assert!(status == 503 && refused["error"]["message"].as_str().unwrap().contains("history.key"), "{refused:#}");
    running.stop_now().await;
}
