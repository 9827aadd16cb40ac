//! The policy file of a running server (P-2, P-6).

use leasehold_protocol::vocab::Denial;

use super::{
    client::Client,
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
