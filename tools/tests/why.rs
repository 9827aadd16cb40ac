//! `leasehold why`: what an administrator reads when somebody calls and asks.

mod common;

use std::time::Instant;

use common::{Home, PATIENCE, Ran, Server};
use serde_json::Value;

const POLICY: &str = "\
[groups.eng]
users = [\"ada\", \"bob\"]
[[rules]]
id = \"engineers\"
include = \"eng\"
features = [\"VR_MODE\"]
[[limits]]
id = \"two-each\"
max = 2
per = \"user\"
features = [\"VR_MODE\"]
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn r_12_a_denial_a_lease_and_what_would_be_are_explained() {
    let home = Home::new();
    let policy = home.path().join("policy.toml");
    std::fs::write(&policy, POLICY).unwrap();
    let server = Server::start(&home, &["--policy", &policy.display().to_string()]);
    let at = server.for_status();
    let why = |words: &[&str], status: i32| {
        let line = [&["why"], words, &at.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        home.run(&line).ends_with(status)
    };
    let clients = server.for_clients();
    let take = |n: &str, status: i32| {
        let mut line = vec!["checkout", "VR_MODE", "-n", n];
        line.extend(clients.iter().map(String::as_str));
        line.extend(["--", "true"]);
        Ran::of(home.command(&line).env("USER", "ada").spawn().unwrap(), &line).ends_with(status);
    };
    take("2", 0);
    take("3", 77);

    // What ada would be told now, and a stranger.
    let yes = why(&["VR_MODE", "--user", "ada", "-n", "2"], 0).out;
    assert!(yes.contains("access        ada may, by rule engineers ✓\n"), "{yes}");
    assert!(
        yes.contains("limit         two-each: at most 2 seats for each user; 0 out and 2 more asked for ✓\n"),
        "{yes}"
    );
    assert!(yes.contains("version  seats  out  free  for this request") && yes.ends_with("✓ would go out\n"), "{yes}");
    let no = why(&["VR_MODE", "--user", "eve"], 77).out;
    assert!(no.contains("access        eve may not, by rule engineers ✗\n"), "{no}");
    assert!(
        no.ends_with("\n  decided by policy rule engineers\n") && no.contains("\n✗ not-included: VR_MODE is for"),
        "{no}"
    );

    // What was decided, once it is written.
    let began = Instant::now();
    let denied = loop {
        let line = ["why", "4", "--json"].map(str::to_owned).into_iter().chain(at.iter().cloned()).collect::<Vec<_>>();
        let told = home.run(&line.iter().map(String::as_str).collect::<Vec<_>>());
        if told.status == Some(77) {
            break json(&told.out);
        }
        assert!(began.elapsed() < PATIENCE, "{told:#?}");
    };
    assert_eq!((&denied["event"]["user"], &denied["event"]["denial"]), (&"ada".into(), &"limit-reached".into()));
    let text = why(&["4"], 77).out;
    assert!(text.starts_with("event 4, ") && text.contains(": denied; 3 seats of VR_MODE for ada on "), "{text}");
    assert!(text.contains("groups        ada is in eng\naccess        rule engineers includes ada\n"), "{text}");
    assert!(text.contains("two-each: at most 2 seats for each user; 0 out and 3 more asked for ✗\n"), "{text}");
    let lease = why(&["0.1"], 0).out;
    assert!(lease.contains("✓ granted as lease 0.1\n") && lease.contains(": released after "), "{lease}");

    let unknown = why(&["999"], 1).err;
    assert!(unknown.contains("leasehold history query"), "{unknown}");
    let wrong = why(&["two words"], 2).err;
    assert!(wrong.contains("neither a lease, nor the number of an event, nor a feature"), "{wrong}");
    why(&["4", "--user", "ada"], 2);
}
