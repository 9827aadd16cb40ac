//! What every command has: help, statuses, colours, pipes.

mod common;

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use common::{Home, Ran};

const COMMANDS: &[&[&str]] = &[
    &["demo"],
    &["init"],
    &["keygen"],
    &["issue"],
    &["lint"],
    &["serve"],
    &["policy"],
    &["policy", "check"],
    &["policy", "explain"],
    &["policy", "import"],
    &["policy", "show"],
    &["policy", "diff"],
    &["policy", "apply"],
    &["policy", "rehearse"],
    &["policy", "history"],
    &["policy", "rollback"],
    &["policy", "reservations"],
    &["audit"],
    &["audit", "verify"],
    &["why"],
    &["status"],
    &["backup"],
    &["restore"],
    &["store"],
    &["store", "info"],
    &["store", "check"],
    &["store", "acknowledge"],
    &["clock"],
    &["clock", "confirm"],
    &["history"],
    &["history", "query"],
    &["history", "summary"],
    &["config"],
    &["config", "show"],
    &["doctor"],
    &["discover"],
    &["checkout"],
    &["load"],
    &["completions"],
    &["man"],
    &["help"],
];

#[test]
fn every_command_has_help_and_those_with_flags_have_examples() {
    let home = Home::new();
    for command in COMMANDS {
        let mut line = command.to_vec();
        line.push("--help");
        let ran = home.run(&line).ends_with(0);
        assert!(ran.err.is_empty(), "{ran:#?}");
        assert!(ran.out.contains("Usage: leasehold"), "{ran:#?}");
        let plain = ["config", "history", "policy", "store", "help"].contains(command.last().unwrap());
        assert!(plain || ran.out.contains("Examples:\n  leasehold "), "{} has no examples", command.join(" "));
        assert!(ran.out.lines().all(|line| line.chars().count() <= 110), "{}", ran.out);
    }
}

#[test]
fn help_of_a_command_is_the_same_by_both_ways() {
    let home = Home::new();
    for command in COMMANDS {
        let (mut by_flag, mut by_word) = (command.to_vec(), vec!["help"]);
        by_flag.push("--help");
        by_word.extend(*command);
        assert_eq!(home.run(&by_flag).ends_with(0).out.trim_end(), home.run(&by_word).ends_with(0).out.trim_end());
    }
}

#[test]
fn the_first_page_groups_every_command_and_a_bare_call_is_a_usage_error() {
    let home = Home::new();
    let page = home.run(&["--help"]).ends_with(0).out;
    for command in COMMANDS {
        assert!(page.contains(&format!("\n  {} ", command[0])), "{page}");
    }
    for group in ["Try it:", "Licences:", "Server:", "Client:", "Shell:", "Options:"] {
        assert!(page.contains(&format!("\n{group}\n")), "{page}");
    }
    assert!(!page.contains('{'), "{page}");
    let bare = home.run(&[]).ends_with(2);
    assert!(bare.out.is_empty() && bare.err.contains("Usage:"), "{bare:#?}");
}

#[test]
fn help_shows_variables_and_defaults_beside_the_flags() {
    let page = Home::new().run(&["checkout", "--help"]).ends_with(0).out;
    assert!(page.contains("[env: LEASEHOLD_SERVER=]") && page.contains("[default: 5097]"), "{page}");
}

#[test]
fn topics_are_help_too() {
    let home = Home::new();
    let codes = home.run(&["help", "exit-codes"]).ends_with(0).out;
    assert!(["69", "75", "77", "126", "127", "128+n"].iter().all(|code| codes.contains(code)), "{codes}");
    let variables = home.run(&["help", "environment"]).ends_with(0).out;
    assert!(variables.contains("LEASEHOLD_SERVER") && variables.contains("NO_COLOR"), "{variables}");
    assert!(home.run(&["help", "addresses"]).ends_with(0).out.contains("port@host"));
}

#[test]
fn a_mistyped_command_flag_or_topic_is_answered_with_the_nearest() {
    let home = Home::new();
    assert!(home.run(&["chekout"]).ends_with(2).err.contains("checkout"));
    assert!(home.run(&["serve", "--prot", "1"]).ends_with(2).err.contains("--port"));
    assert!(home.run(&["help", "exit-code"]).ends_with(2).err.contains("did you mean \"exit-codes\"?"));
    let key = home.path().join("bad.toml");
    std::fs::write(&key, "lease-tll = \"5m\"\n").unwrap();
    let ran = home.run(&["config", "show", "--config", "bad.toml"]).ends_with(2);
    assert!(ran.err.contains("bad.toml:1") && ran.err.contains("lease-ttl"), "{ran:#?}");
}

#[test]
fn the_version_is_a_result() {
    let ran = Home::new().run(&["-V"]).ends_with(0);
    assert_eq!(ran.out, format!("leasehold {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_build_without_any_flag_seals_with_the_fast_library() {
    let ran = Home::new().run(&["--version"]).ends_with(0);
    assert_eq!(ran.out, format!("leasehold {}\nseals with ring\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_goes_away_ends_us_quietly() {
    let home = Home::new();
    for line in
        [&["help", "environment"][..], &["man"], &["completions", "bash"], &["config", "show"], &["serve", "--help"]]
    {
        let mut child = home.command(line).stdout(Stdio::piped()).spawn().unwrap();
        // Gone before a byte is read: every write then fails.
        drop(child.stdout.take());
        let ran = Ran::of(child, line).ends_with(0);
        assert!(!ran.err.contains("roken pipe"), "{ran:#?}");
    }
}

#[test]
fn one_line_of_a_long_answer_is_enough() {
    let home = Home::new();
    let mut child = home.command(&["completions", "zsh"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ran = Ran::of(child, &["completions zsh | head -1"]).ends_with(0);
    assert!(first.starts_with("#compdef") && ran.err.is_empty(), "{first} {ran:#?}");
}

#[test]
fn colours_are_for_terminals_and_never_with_no_color() {
    let home = Home::new();
    let coloured = |line: &[&str], variable: Option<&str>| {
        let mut command = home.command(line);
        command.envs(variable.map(|name| (name, "1")));
        let ran = Ran::of(command.spawn().unwrap(), line);
        ran.out.contains('\u{1b}') || ran.err.contains('\u{1b}')
    };
    for line in [&["chekout"][..], &["status", "--url", "http://127.0.0.1:1"], &["init", "--help"], &["--help"]] {
        assert!(!coloured(line, None), "{line:?}: a pipe gets no colours");
        assert!(!coloured(line, Some("NO_COLOR")), "{line:?}");
        assert!(coloured(line, Some("CLICOLOR_FORCE")), "{line:?}: colours can be had");
    }
}

#[test]
fn completions_name_every_command_for_every_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).ends_with(0).out;
        assert!(["checkout", "discover", "doctor"].iter().all(|name| script.contains(name)), "{shell}");
    }
    assert!(home.run(&["completions", "tcsh"]).ends_with(2).err.contains("possible values"));
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let home = Home::new();
    home.run(&["man", "--dir", "man1"]).ends_with(0);
    for command in COMMANDS {
        let page = home.path().join(format!("man1/leasehold-{}.1", command.join("-")));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        assert!(text.contains("EXIT STATUS"), "{}", page.display());
    }
    assert!(home.run(&["man"]).ends_with(0).out.contains(".TH leasehold 1"));
}

#[test]
fn config_show_tells_where_each_value_comes_from() {
    let home = Home::new();
    std::fs::write(home.path().join("leasehold.toml"), "# ours\nworkers = 3\nport = 6000\nlease-ttl = \"60s\"\n")
        .unwrap();
    let mut command = home.command(&["config", "show", "--json", "--port", "7000"]);
    command.env("LEASEHOLD_LEASE_TTL", "90s").env("LEASEHOLD_OPTS", "--drain-time 3s --lease-ttl 5s");
    let told = Ran::of(command.spawn().unwrap(), &["config show"]).ends_with(0).json();
    let row = |name: &str| {
        let rows = told["settings"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        (row["value"][0].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(row("port"), ("7000".into(), "command line".into()));
    assert_eq!(row("lease-ttl"), ("90s".into(), "LEASEHOLD_LEASE_TTL".into()));
    assert_eq!(row("drain-time"), ("3s".into(), "LEASEHOLD_OPTS".into()));
    assert_eq!(row("workers"), ("3".into(), "leasehold.toml:2".into()));
    assert_eq!(row("log-level"), ("info".into(), "default".into()));
    let table = home.run(&["config", "show"]).ends_with(0);
    assert!(table.out.lines().any(|l| l.starts_with("workers ") && l.ends_with("leasehold.toml:2")), "{table:#?}");
}
