//! The ledger of a running server: what is in the audit, and what is refused while it cannot be kept (U-3, U-4).

use std::io::ErrorKind;

use serde_json::{Value, json};

use super::{
    client::Client,
    http::{self, Answer},
    seats::bearer,
    site::{Site, eventually},
};
use crate::{
    Running, Settings, StartError,
    error::exit,
    ledger::{By, Condition, LEDGER, Who},
    storage::faulty::{Fails, FaultyDisk},
};

const CLOSED: &str = "[[rules]]\nid = \"closed\"\nexclude = { everyone = true }\nfeatures = \"all\"\n";

async fn send(running: &Running, method: &str, path: &str, body: &str) -> Answer {
    let address = running.http_address().unwrap();
    http::send(address, method, &format!("/api/v1{path}"), Some(&bearer(running)), body).await
}

async fn audit(running: &Running) -> Vec<Value> {
    let told = send(running, "GET", "/audit?limit=1000", "").await.json();
    assert_eq!(send(running, "GET", "/audit/verify", "").await.json()["holds"], true);
    told["entries"].as_array().unwrap().clone()
}

fn with_policy(site: &Site, text: &str) -> Settings {
    Settings { policy: Some(site.write("policy.toml", text)), ..site.settings() }
}

/// The text of a licence file that is not in the data folder.
fn licence(site: &Site, feature: &str) -> String {
    let path = site.licence("sent", feature, 2, 300);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

#[tokio::test]
async fn every_change_is_in_the_audit_with_who_from_where_before_and_after() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 1, 300);
    let running = crate::start::start(with_policy(&site, CLOSED), None).unwrap();
    let added = send(&running, "POST", "/licences?persist=true", &licence(&site, "VR")).await.json();
    let id = added["certificates"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(send(&running, "POST", "/licences?dry_run=true", &licence(&site, "X")).await.status, 200);
    assert_eq!(send(&running, "DELETE", &format!("/licences/{id}"), "").await.status, 200);
    assert_eq!(send(&running, "POST", "/policy", "").await.json()["changed"], true);
    assert_eq!(send(&running, "POST", "/policy/rollback", "").await.json()["changed"], true);
    site.licence("b.lic", "MESH", 1, 300);
    assert_eq!(send(&running, "POST", "/licences/reload", "").await.status, 200);
    running.reload().unwrap();
    running.stop_now().await;

    let running = Running::start(with_policy(&site, CLOSED)).await.unwrap();
    let entries = audit(&running).await;
    let said: Vec<(&str, &str)> =
        entries.iter().map(|e| (e["action"].as_str().unwrap(), e["who"].as_str().unwrap())).collect();
    let (token, server) = ("rest-token", "server");
    assert_eq!(
        said,
        [
            ("ledger.make", server),
            ("server.start", server),
            ("licence.add", token),
            ("licence.remove", token),
            ("policy.apply", token),
            ("policy.rollback", token),
            ("licence.reload", token),
            ("licence.reload", server),
            ("server.stop", server),
            ("server.start", server),
        ]
    );
    let add = &entries[2];
    assert!(add["from"].as_str().unwrap().starts_with("127."), "{add}");
    assert_eq!((&add["before"], &add["after"]["seats"]), (&json!({ "seats": { "VR": 0 } }), &json!({ "VR": 2 })));
    assert_eq!(add["after"]["certificates"], json!([id]));
    assert_eq!(entries[3]["before"], json!({ "certificate": id, "feature": "VR" }));
    assert_eq!((&entries[4]["before"]["rules"], &entries[4]["after"]["rules"]), (&json!(1), &json!(0)));
    let reload = &entries[6];
    assert_eq!((&reload["before"], &reload["after"]["certificates"]), (&json!({ "certificates": 1 }), &json!(2)));
    assert_eq!(reload["after"]["came"].as_array().unwrap().len(), 1);
    assert_eq!(entries[8]["after"], json!({ "leases_out": 0 }));
    let page = send(&running, "GET", "/audit?after=3&limit=2", "").await.json();
    assert_eq!(
        (&page["total"], &page["entries"][0]["number"], &page["entries"][1]["previous"]),
        (&json!(10), &json!(4), &page["entries"][0]["hash"])
    );
    running.stop_now().await;
}

#[tokio::test]
async fn every_policy_that_was_in_force_can_be_gone_back_to() {
    let site = Site::new();
    let path = site.data_dir().join("policy.toml");
    let running = Running::start(with_policy(&site, "# one\n")).await.unwrap();
    assert_eq!(send(&running, "POST", "/policy", "# two\n").await.status, 200);
    site.write("policy.toml", "# three\n");
    running.reload().unwrap();
    running.reload().unwrap();
    let told = send(&running, "GET", "/policy/history", "").await.json();
    let versions: Vec<(u64, &str, &str)> = told["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["number"].as_u64().unwrap(), v["what"].as_str().unwrap(), v["who"].as_str().unwrap()))
        .collect();
    assert_eq!(versions, [(1, "start", "server"), (2, "apply", "rest-token"), (3, "file", "server")]);
    for (to, text) in [(1, "# one\n"), (2, "# two\n"), (3, "# three\n")] {
        let rolled = send(&running, "POST", &format!("/policy/rollback?to={to}"), "").await;
        assert_eq!(rolled.json()["changed"], true, "{}", rolled.body);
        assert_eq!(send(&running, "GET", "/policy", "").await.json()["text"], text);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    let unknown = send(&running, "POST", "/policy/rollback?to=99", "").await;
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.body.contains("there is no version 99 of the policy: leasehold policy history"),
        "{}",
        unknown.body
    );
    running.stop_now().await;
}

#[tokio::test]
async fn a_file_that_changed_and_says_the_same_is_no_change() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 5, 300);
    let running = Running::start(with_policy(&site, "")).await.unwrap();
    let by = By { who: Who::File, from: "a file changed".into() };
    let before = audit(&running).await.len();
    running.reload_by(&by).unwrap();
    assert_eq!(audit(&running).await.len(), before);
    site.write("policy.toml", CLOSED);
    running.reload_by(&by).unwrap();
    site.licence("b.lic", "VR", 5, 300);
    running.reload_by(&by).unwrap();
    let told = audit(&running).await;
    assert_eq!(
        (told.len(), &told[before]["who"], &told[before]["from"]),
        (before + 2, &json!("file"), &json!("a file changed"))
    );
    let history = send(&running, "GET", "/policy/history", "").await.json();
    assert_eq!(history["versions"][0]["who"], "file");
    running.stop_now().await;
}

#[tokio::test]
async fn while_changes_cannot_be_kept_they_are_refused_and_seats_are_granted() {
    for (kind, state, code) in [
        (ErrorKind::StorageFull, Condition::Full, "storage_full"),
        (ErrorKind::Other, Condition::Failing, "storage_failing"),
    ] {
        let (site, disk) = (Site::new(), FaultyDisk::default());
        site.licence("a.lic", "CAD", 5, 300);
        let running = site.start_on(&disk, with_policy(&site, ""));
        let policy = site.data_dir().join("policy.toml");
        let entries = audit(&running).await.len();
        disk.fail_of(LEDGER, Fails::Writes, kind);
        let sent = licence(&site, "VR");
        for (method, path, body) in [
            ("POST", "/licences", &*sent),
            ("POST", "/licences?persist=true", &*sent),
            ("POST", "/licences/reload", ""),
            ("POST", "/policy", CLOSED),
        ] {
            let refused = send(&running, method, path, body).await;
            assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!(code)), "{}", refused.body);
        }
        assert_eq!(running.ledger().health().state, state);
        assert_eq!(running.licence_report().applied(), 1);
        assert!(!site.data_dir().join("added.lic").exists());
        assert_eq!(std::fs::read_to_string(&policy).unwrap(), "");
        assert!(running.reload().unwrap_err().to_string().starts_with("the licences in force are kept: storage f"));

        let mut client = Client::connect(running.udp_address()).await;
        let grant = client.request("CAD").await.unwrap();
        client.renew(&grant).await;
        let address = running.http_address().unwrap();
        let ready = http::get(address, "/readyz", Some(&bearer(&running))).await;
        assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)));
        assert_eq!(ready.json()["ledger"]["state"], serde_json::to_value(state).unwrap());
        let metrics = http::get(address, "/metrics", Some(&bearer(&running))).await.body;
        assert!(metrics.contains("leasehold_ledger_state{state=\"good\"} 0\n"), "{metrics}");
        assert!(!metrics.contains("leasehold_ledger_refused_total 0"), "{metrics}");
        running.refresh_warnings(crate::clock_now());
        assert!(running.warnings().iter().any(|w| w.starts_with("changes are refused: storage f")));

        disk.mend();
        eventually("it is well again", async || running.ledger().health().is_good()).await;
        assert_eq!(send(&running, "POST", "/licences", &sent).await.status, 200);
        let told = audit(&running).await;
        let actions: Vec<&str> = told[entries..].iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["ledger.heal", "licence.add"]);
        running.refresh_warnings(crate::clock_now());
        assert!(!running.warnings().iter().any(|w| w.starts_with("changes are refused")));
        running.stop_now().await;
    }
}

#[tokio::test]
async fn a_server_does_not_start_with_a_ledger_that_it_cannot_trust() {
    let site = Site::new();
    site.write("ledger.redb", "something else");
    let refused = Running::start(site.settings()).await.err().unwrap();
    assert!(matches!(refused, StartError::Ledger(_)));
    assert_eq!(refused.exit_code(), exit::CANNOT_START);
    let says = refused.to_string();
    assert!(
        says.contains("state/ledger.redb is damaged: at byte 0") && says.contains("leasehold restore FILE"),
        "{says}"
    );
    assert_eq!(std::fs::read_to_string(site.data_dir().join("ledger.redb")).unwrap(), "something else");
}

#[tokio::test]
async fn uses_of_before_the_ledger_are_taken_over_at_the_start() {
    let site = Site::new();
    site.write("uses", "leasehold-uses 1\nunits 0a4fd70bd0e14a2c 3\n");
    for _ in 0..2 {
        let running = site.start().await;
        let used: Vec<u64> = running.ledger().past().unwrap().used.into_values().collect();
        assert_eq!(used, [3]);
        assert!(!site.data_dir().join("uses").exists() && site.data_dir().join("uses.migrated").exists());
        running.stop_now().await;
    }
}
