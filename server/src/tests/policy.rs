//! The policy file of a running server (P-2, P-6).

use leasehold_protocol::vocab::Denial;

use super::{
    client::Client,
    http::{self, get},
    seats::{self, bearer},
    site::{Site, eventually},
};
use crate::{ReloadError, Running, Settings, StartError, error::exit};

const NOBODY: &str = "[[rules]]\nid = \"closed\"\nexclude = { everyone = true }\nfeatures = \"all\"\n";
const OTHERS: &str = "[groups.idle]\nusers = [\"x\"]\n\
    [[rules]]\nid = \"others\"\ninclude = { users = [\"somebody-else\"] }\nfeatures = [\"CAD\", \"GONE\"]\n";

fn with_policy(site: &Site, text: &str) -> Settings {
    let policy = Some(site.write("policy.toml", text));
    Settings { policy, ..site.settings() }
}

async fn start(site: &Site, text: &str) -> Running {
    site.licence("a.lic", "CAD", 5, 300);
    Running::start(with_policy(site, text)).await.unwrap()
}

#[tokio::test]
async fn a_policy_holds_from_the_start_and_a_changed_one_for_the_next_request() {
    let site = Site::new();
    let running = start(&site, NOBODY).await;
    let mut client = Client::connect(running.udp_address()).await;
    let deny = client.request("CAD").await.unwrap_err();
    assert_eq!((deny.code, &*deny.rule), (Denial::EXCLUDED, "policy rule closed"));

    site.write("policy.toml", "");
    running.reload().unwrap();
    let grant = client.request("CAD").await.unwrap();

    site.write("policy.toml", OTHERS);
    running.reload().unwrap();
    let deny = client.request("CAD").await.unwrap_err();
    assert_eq!((deny.code, &*deny.rule), (Denial::NOT_INCLUDED, "policy rule others"));
    client.renew(&grant).await;
    assert_eq!(running.shared().live_leases(), 1, "who has a seat keeps it");
    let warnings = running.warnings().join("\n");
    assert!(warnings.contains("policy.toml:1:9: the group idle is used by no rule"), "{warnings}");
    assert!(warnings.contains("rules for GONE, which no licence names"), "{warnings}");
    running.stop_now().await;
}

#[tokio::test]
async fn a_policy_with_a_mistake_changes_nothing_not_even_the_licences() {
    let site = Site::new();
    let running = start(&site, NOBODY).await;
    site.licence("b.lic", "VR_MODE", 5, 300);
    site.write("policy.toml", "[[rules]]\nid = \"x\"\n");
    let refused = running.reload().unwrap_err();
    assert!(matches!(refused, ReloadError::Policy(_)));
    assert!(refused.to_string().contains("policy.toml:1:1: the rule is for no feature"), "{refused}");
    assert_eq!(running.licence_report().applied(), 1);
    let mut client = Client::connect(running.udp_address()).await;
    assert_eq!(client.request("CAD").await.unwrap_err().code, Denial::EXCLUDED);
    running.stop_now().await;

    let Err(refused) = Running::start(with_policy(&site, "rules = 1")).await else { panic!("it started") };
    assert!(matches!(refused, StartError::Policy(_)));
    assert_eq!(refused.exit_code(), exit::BAD_SETTINGS);
    assert!(refused.to_string().contains("policy.toml:1:9: rules is a list of tables"), "{refused}");
}

#[tokio::test]
async fn a_changed_policy_file_is_noticed() {
    let site = Site::new();
    site.licence("a.lic", "CAD", 5, 300);
    let (tell, told) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(crate::run_with(with_policy(&site, NOBODY), |running| {
        tell.send(running.udp_address()).unwrap();
    }));
    let mut client = Client::connect(told.await.unwrap()).await;
    assert_eq!(client.request("CAD").await.unwrap_err().code, Denial::EXCLUDED);
    site.write("policy.toml", "");
    let client = tokio::sync::Mutex::new(client);
    eventually("the new policy is in force", || async { client.lock().await.request("CAD").await.is_ok() }).await;
    serving.abort();
}

#[tokio::test]
async fn limits_and_reservations_hold_are_told_by_rest_and_warn_where_licences_fall_short() {
    let site = Site::new();
    let text = "[groups.lab]\nusers = [\"lab-*\"]\n\
        [[limits]]\nid = \"one-each\"\nmax = 1\nper = \"user\"\nfeatures = [\"CAD\"]\n\
        [[reservations]]\nid = \"lab\"\nseats = 4\nfeature = \"CAD\"\nfor = \"lab\"\n\
        [[reservations]]\nid = \"more\"\nseats = 3\nfeature = \"CAD\"\nversion = \"1.0\"\nfor = \"lab\"\n";
    let running = start(&site, text).await;
    let mut client = Client::connect(running.udp_address()).await;
    // Five seats, all of them kept.
    let deny = client.request("CAD").await.unwrap_err();
    assert_eq!((deny.code, &*deny.rule), (Denial::RESERVED, "policy rule lab"));
    let warnings = running.warnings().join("\n");
    let says =
        "reservation more asks for 3 of CAD, of which the licences in force lack 2: lower it, or have more loaded";
    assert!(warnings.contains(says), "{warnings}");
    let (address, bearer) = (running.http_address().unwrap(), bearer(&running));
    let told = get(address, "/api/v1/reservations", Some(&bearer)).await.json();
    let of = |n: usize, key: &str| told["reservations"][n][key].clone();
    assert_eq!(
        (of(0, "rule"), of(0, "seats"), of(0, "used"), of(0, "short")),
        ("lab".into(), 4.into(), 0.into(), 0.into())
    );
    assert_eq!((of(1, "version"), of(1, "short")), ("1.0".into(), 2.into()));
    let features = get(address, "/api/v1/features", Some(&bearer)).await.json();
    assert_eq!(features["features"][0]["reserved"], 5);

    site.write("policy.toml", &text.replace("seats = 4", "seats = 1").replace("seats = 3", "seats = 1"));
    running.reload().unwrap();
    client.request("CAD").await.unwrap();
    let deny = client.request("CAD").await.unwrap_err();
    assert_eq!((deny.code, &*deny.rule), (Denial::LIMIT_REACHED, "policy rule one-each"));
    assert!(running.warnings().iter().all(|warning| !warning.contains("lack")), "{:?}", running.warnings());
    running.stop_now().await;
}

#[tokio::test]
async fn a_policy_over_the_network_is_kept_checked_and_taken_back() {
    let site = Site::new();
    let running = start(&site, NOBODY).await;
    let (address, bearer) = (running.http_address().unwrap(), bearer(&running));
    let mut client = Client::connect(running.udp_address()).await;
    let page = "/api/v1/policy";
    let shown = get(address, page, Some(&bearer)).await.json();
    assert_eq!((&shown["text"], &shown["rules"], &shown["has_before"]), (&NOBODY.into(), &1.into(), &false.into()));
    let ask = |path: &'static str, body: &'static str| {
        let bearer = bearer.clone();
        async move { http::send(address, "POST", path, Some(&bearer), body).await }
    };
    assert_eq!(ask("/api/v1/policy/rollback", "").await.status, 404);

    // A mistake, and a trial: nothing changes.
    let refused = ask(page, "rules = 3").await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("the policy:1:9: rules is a list of tables"), "{}", refused.body);
    let told = ask("/api/v1/policy?dry_run=true", "[groups.idle]\nusers = [\"x\"]\n").await.json();
    assert_eq!(
        (&told["changed"], &told["rules"], told["doubts"].as_array().map(Vec::len)),
        (&false.into(), &0.into(), Some(1))
    );
    assert_eq!(client.request("CAD").await.unwrap_err().code, Denial::EXCLUDED);

    let told = ask(page, "# nobody is kept out\n").await.json();
    assert_eq!(told["changed"], true);
    let grant = client.request("CAD").await.unwrap();
    assert_eq!(std::fs::read_to_string(site.data_dir().join("policy.toml")).unwrap(), "# nobody is kept out\n");
    running.reload().unwrap();
    client.request("CAD").await.unwrap();

    // Where the file cannot be written, it and the one before it stay.
    let (kept, in_the_way) = (site.data_dir().join("policy.toml.before"), site.data_dir().join("policy.toml.new"));
    std::fs::create_dir(&in_the_way).unwrap();
    let refused = ask("/api/v1/policy/rollback", "").await;
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("the policy in force is kept"), "{}", refused.body);
    assert_eq!(std::fs::read_to_string(kept).unwrap(), NOBODY);
    client.request("CAD").await.unwrap();
    std::fs::remove_dir(&in_the_way).unwrap();

    // Back, and back again; no lease ends by it.
    assert_eq!(ask("/api/v1/policy/rollback", "").await.json()["changed"], true);
    assert_eq!(client.request("CAD").await.unwrap_err().code, Denial::EXCLUDED);
    client.renew(&grant).await;
    assert_eq!(std::fs::read_to_string(site.data_dir().join("policy.toml")).unwrap(), NOBODY);
    ask("/api/v1/policy/rollback", "").await;
    client.request("CAD").await.unwrap();
    assert_eq!(get(address, page, None).await.status, 401);
    running.stop_now().await;

    // Without a file there is nowhere to keep one.
    let running = site.start().await;
    let told = http::send(running.http_address().unwrap(), "POST", page, Some(&seats::bearer(&running)), "").await;
    assert_eq!(told.status, 409);
    assert!(told.body.contains("--policy FILE"), "{}", told.body);
    running.stop_now().await;
}
