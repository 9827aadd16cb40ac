//! `leasehold policy`: what people and scripts see.

mod common;

use common::{Home, Server};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn write(home: &Home, name: &str, text: &str) {
    std::fs::write(home.path().join(name), text).unwrap();
}

#[test]
fn the_example_has_no_mistake_and_answers_who_may() {
    let home = Home::new();
    let example = home.run(&["policy", "example"]).ends_with(0).out;
    write(&home, "policy.toml", &example);
    let checked = home.run(&["policy", "check", "policy.toml"]).ends_with(0);
    assert_eq!((&*checked.out, &*checked.err), ("✓ policy.toml: 9 rules, 4 groups\n", ""));
    let ask = |feature, user, status| {
        let line =
            ["policy", "explain", "policy.toml", feature, "--user", user, "--host", "ws7", "--address", "10.1.2.3"];
        home.run(&line).ends_with(status).out
    };
    let ann = ask("CAD", "Ann", 0);
    let says = "✓ may take seats of CAD: rule cad-is-for-engineers includes Ann\n  at most 2 seats of CAD for each user, by limit \
                two-each\n  a seat that is idle for 1800 s may go to whoever waits, by reclaim idle-cad\n  waits with priority 80, where others have 50\n";
    assert!(ann.ends_with(says), "{ann}");
    assert!(ask("VIEWER", "eve", 0).ends_with("✓ may take seats of VIEWER: rule here-only includes eve\n"));
    assert!(ask("MESH", "x-hugo", 77).ends_with("rule no-contractors excludes x-hugo (excluded)\n"));
    let eve = ask("CAD", "eve", 77);
    assert!(eve.starts_with("eve in office, site\nrule                  says"), "{eve}");
    assert!(eve.ends_with("rule cad-is-for-engineers includes others, and no rule eve (not-included)\n"), "{eve}");
    let line = ["policy", "explain", "policy.toml", "MESH", "--user", "x-hugo", "--address", "10.1.2.3", "--json"];
    let answer = json(&home.run(&line).ends_with(77).out);
    assert_eq!((&answer["verdict"], &answer["rule"]), (&"excluded".into(), &"no-contractors".into()));
    assert_eq!(answer["looked_at"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&answer["limits"][0]["id"], answer["reservations"].as_array().unwrap().len(), &answer["priority"]),
        (&"ten-together".into(), 0, &50.into())
    );
}

#[test]
fn a_mistake_is_drawn_with_its_place_and_told_to_scripts() {
    let home = Home::new();
    write(&home, "policy.toml", "[groups.a]\nuser = [\"ann\"]\n");
    let refused = home.run(&["policy", "check", "policy.toml"]).ends_with(2);
    assert!(refused.err.contains("the policy has a mistake, and none of it is used"), "{}", refused.err);
    assert!(
        refused.err.contains("policy.toml:2:1") && refused.err.contains("did you mean \"users\"?"),
        "{}",
        refused.err
    );
    let told = json(&home.run(&["policy", "check", "policy.toml", "--json"]).ends_with(2).out);
    assert_eq!((&told["mistakes"][0]["line"], &told["rules"]), (&2.into(), &0.into()));
    home.run(&["policy", "check", "no-such.toml"]).ends_with(2);
}

#[test]
fn an_imported_policy_is_written_whole_and_never_over_another_unasked() {
    let home = Home::new();
    write(&home, "a.opt", "INCLUDE CAD USER ann\n");
    let line = ["policy", "import", "--from", "flexnet", "a.opt", "--output", "policy.toml"];
    let imported = home.run(&line).ends_with(0);
    assert!(imported.err.contains("1 line: 1 the same, 0 changed, 0 without a counterpart"), "{}", imported.err);
    home.run(&["policy", "check", "policy.toml"]).ends_with(0);
    home.run(&line).ends_with(1);
    write(&home, "b.opt", "BORROW_LOWWATER CAD 3\n");
    let partly = home.run(&["policy", "import", "--from", "flexnet", "b.opt", "--json"]).ends_with(1);
    assert_eq!(json(&partly.out)["lines"][0]["became"], "nothing");
}

#[test]
fn a_policy_is_compared_put_in_force_and_taken_back() {
    let home = Home::new();
    let first = "[groups.lab]\nusers = [\"ann\"]\n[[limits]]\nid = \"two\"\nmax = 2\nper = \"user\"\nfor = \"lab\"\nfeatures = [\"CAD\"]\n";
    write(&home, "policy.toml", first);
    write(
        &home,
        "draft.toml",
        &first.replace("ann", "bob").replace("max = 2", "max = 3").replace("\"two\"", "\"three\""),
    );
    let differ = home.run(&["policy", "diff", "policy.toml", "draft.toml"]).ends_with(1);
    let says = "~ group lab: users bob\n    before: users ann\n+ limit three: 3 seats per user of lab, of CAD\n\
                - limit two: 2 seats per user of lab, of CAD\n3 differences\n";
    assert_eq!(differ.out, says);
    let same = home.run(&["policy", "diff", "policy.toml", "policy.toml"]).ends_with(0);
    assert_eq!(same.out, "they say the same\n");

    let path = home.path().join("policy.toml").display().to_string();
    let server = Server::start(&home, &["--policy", &path]);
    let at = server.for_status();
    let run = |words: &[&str], status: i32| {
        home.run(&[words, &at.iter().map(String::as_str).collect::<Vec<_>>()].concat()).ends_with(status)
    };
    assert_eq!(run(&["policy", "show"], 0).out, first);
    run(&["policy", "diff", "policy.toml"], 0);
    run(&["policy", "diff", "draft.toml"], 1);
    run(&["policy", "rollback"], 1);
    write(&home, "bad.toml", "limits = 1\n");
    run(&["policy", "apply", "bad.toml"], 2);
    assert_eq!(run(&["policy", "apply", "draft.toml", "--dry-run"], 0).out, "✓ 1 rule would be in force\n");
    run(&["policy", "diff", "draft.toml"], 1);
    assert_eq!(run(&["policy", "apply", "draft.toml"], 0).out, "✓ 1 rule in force\n");
    run(&["policy", "diff", "draft.toml"], 0);
    assert_eq!(run(&["policy", "apply", "draft.toml"], 0).out, "✓ 1 rule in force, as before\n");
    run(&["policy", "rollback"], 0);
    assert_eq!(run(&["policy", "show"], 0).out, first);
    assert_eq!(std::fs::read_to_string(home.path().join("policy.toml")).unwrap(), first);

    let history = run(&["policy", "history"], 0).out;
    assert_eq!(history.lines().count(), 4, "{history}");
    let told = json(&run(&["policy", "history", "--json"], 0).out);
    assert_eq!((&told["versions"][1]["number"], &told["versions"][1]["what"]), (&2.into(), &"apply".into()));
    assert_eq!(run(&["policy", "rollback", "--to", "2"], 0).out, "✓ 1 rule in force again\n");
    run(&["policy", "diff", "draft.toml"], 0);
    let unknown = run(&["policy", "rollback", "--to", "9"], 1).err;
    assert!(unknown.contains("there is no version 9 of the policy: leasehold policy history lists them"), "{unknown}");
}

#[test]
fn the_audit_tells_who_changed_what_and_that_nothing_in_it_was_changed() {
    let home = Home::new();
    write(&home, "policy.toml", "");
    let path = home.path().join("policy.toml").display().to_string();
    let server = Server::start(&home, &["--policy", &path]);
    let at = server.for_status();
    let run = |words: &[&str], status: i32| {
        home.run(&[words, &at.iter().map(String::as_str).collect::<Vec<_>>()].concat()).ends_with(status)
    };
    write(&home, "draft.toml", "[groups.lab]\nusers = [\"ann\"]\n");
    run(&["policy", "apply", "draft.toml"], 0);
    let shown = run(&["audit"], 0).out;
    let words: Vec<&str> = shown.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((words[0], words[2], words[4]), ("3", "rest-token", "policy.apply"), "{shown}");
    let told = json(&run(&["audit", "--limit", "2", "--json"], 0).out);
    let actions: Vec<&str> =
        told["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["server.start", "policy.apply"]);
    let verified = run(&["audit", "verify"], 0).out;
    assert!(verified.starts_with("✓ 3 entries, none changed: "), "{verified}");
    let chain = json(&run(&["audit", "verify", "--json"], 0).out);
    assert_eq!((&chain["chain"]["entries"], &chain["broken"]), (&3.into(), &Value::Null));
    assert_eq!(chain["chain"]["hash"], told["entries"][1]["hash"]);
    run(&["audit", "--limit", "0"], 2);
}

#[test]
fn p_6_a_draft_is_rehearsed_with_what_was_asked_of_late() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let at = server.for_status();
    let clients = server.for_clients();
    let mut line = vec!["checkout", "VR_MODE"];
    line.extend(clients.iter().map(String::as_str));
    line.extend(["--", "true"]);
    common::Ran::of(home.command(&line).env("USER", "ada").spawn().unwrap(), &line).ends_with(0);
    write(&home, "draft.toml", "[[rules]]\nid = \"no-ada\"\nexclude = { users = [\"ada\"] }\nfeatures = \"all\"\n");
    write(&home, "open.toml", "[[rules]]\nid = \"all\"\ninclude = { everyone = true }\nfeatures = \"all\"\n");
    let run = |file: &str, more: &[&str]| {
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        home.run(&[&["policy", "rehearse", file], more, &at[..]].concat())
    };
    let began = std::time::Instant::now();
    let denied = loop {
        // The history is written once a second.
        let ran = run("draft.toml", &[]);
        if ran.status == Some(1) && !ran.out.is_empty() {
            break ran.ends_with(1).out;
        }
        assert!(began.elapsed() < common::PATIENCE, "{ran:#?}");
    };
    assert!(denied.starts_with("1 request since "), "{denied}");
    assert!(denied.contains("what the draft denies and the policy in force grants:\ntimes  user  host"), "{denied}");
    assert!(denied.contains("VR_MODE  excluded  policy rule no-ada"), "{denied}");
    assert!(denied.ends_with("✗ 1 request would be denied, and 0 more granted\n"), "{denied}");
    let open = run("open.toml", &["--days", "1"]).ends_with(0).out;
    assert!(open.ends_with("✓ the draft answers each as the policy in force does\n"), "{open}");
    let told = run("draft.toml", &["--json"]).ends_with(1).json();
    assert_eq!((&told["newly_denied"][0]["user"], &told["requests"]), (&"ada".into(), &1.into()));
    write(&home, "bad.toml", "[[rules]]\nid = \"x\"\n");
    let bad = run("bad.toml", &[]).ends_with(2).err;
    assert!(bad.contains("bad.toml:1:"), "{bad}");
    let shown = run("open.toml", &["--days", "0"]).ends_with(2).err;
    assert!(shown.contains("--days"), "{shown}");
}
