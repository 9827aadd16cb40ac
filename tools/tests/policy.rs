//! `leasehold policy`: what people and scripts see.

mod common;

use common::Home;
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
    assert_eq!((&*checked.out, &*checked.err), ("✓ policy.toml: 8 rules, 4 groups\n", ""));
    let ask = |feature, user, status| {
        let line =
            ["policy", "explain", "policy.toml", feature, "--user", user, "--host", "ws7", "--address", "10.1.2.3"];
        home.run(&line).ends_with(status).out
    };
    let ann = ask("CAD", "Ann", 0);
    let says = "✓ may take seats of CAD: rule cad-is-for-engineers includes Ann\n  at most 2 seats of CAD for each user, by limit \
                two-each\n";
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
        (&answer["limits"][0]["id"], answer["reservations"].as_array().unwrap().len()),
        (&"ten-together".into(), 0)
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
    write(&home, "b.opt", "TIMEOUTALL 3600\n");
    let partly = home.run(&["policy", "import", "--from", "flexnet", "b.opt", "--json"]).ends_with(1);
    assert_eq!(json(&partly.out)["lines"][0]["became"], "nothing");
}
