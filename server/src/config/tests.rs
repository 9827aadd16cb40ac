use std::path::Path;

use clap::{Args as _, Command};

use super::*;

/// A machine with its own variables and working folder.
struct Machine {
    scratch: tempfile::TempDir,
    around: Surroundings,
}

impl Machine {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let around = Surroundings {
            working_dir: scratch.path().to_owned(),
            system_config: scratch.path().join("etc.toml"),
            ..Surroundings::default()
        };
        Self { scratch, around }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.around.variables.insert(name.into(), value.into());
        self
    }

    fn file(self, text: &str) -> Self {
        std::fs::write(self.path("leasehold.toml"), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path().join(name)
    }

    fn serve(&self, line: &str) -> Result<Resolved, ConfigError> {
        let command = ServeArgs::augment_args(Command::new("serve").no_binary_name(true));
        resolve(&command.get_matches_from(line.split_whitespace()), &self.around)
    }

    fn refused(&self, line: &str) -> String {
        self.serve(line).unwrap_err().render(false, 100)
    }
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let all = || {
        Machine::new()
            .file("port = 1001\nlease-ttl = \"11s\"\nhttp = \"off\"\nworkers = 7")
            .variable("LEASEHOLD_OPTS", "--port 1002 --lease-ttl 12s --http 127.0.0.2")
            .variable("LEASEHOLD_PORT", "1003")
            .variable("LEASEHOLD_LEASE_TTL", "13s")
    };
    let found = all().serve("--port 1004").unwrap();
    let expected = [
        ("port", "1004", "command line"),
        ("lease-ttl", "13s", "LEASEHOLD_LEASE_TTL"),
        ("http", "127.0.0.2", "LEASEHOLD_OPTS"),
        ("workers", "7", "leasehold.toml:4"),
        ("discovery", "on", "default"),
    ];
    let rows = found.rows();
    for (name, value, origin) in expected {
        let row = rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!((row.value.join(","), row.origin.as_str()), (value.to_owned(), origin), "{name}");
    }
    assert_eq!(found.settings.origins, "leasehold.toml (1), environment (2), command line (1)");
    let json = found.to_json();
    assert_eq!(json["settings"].as_array().unwrap().len(), rows.len());
    assert!(json["config_file"].as_str().unwrap().ends_with("leasehold.toml"));
}

#[test]
fn every_setting_can_be_given_in_every_layer() {
    let samples = [
        ("data-dir", "/d"),
        ("licence", "/l"),
        ("publisher-key", "/p"),
        ("policy", "/r"),
        ("site-key", "/s"),
        ("watch", "off"),
        ("listen", "127.0.0.9"),
        ("port", "77"),
        ("http", "off"),
        ("discovery", "off"),
        ("discovery-off-link", "off"),
        ("workers", "3"),
        ("busy-poll", "50us"),
        ("lease-ttl", "9s"),
        ("limit-leases", "10"),
        ("limit-sessions", "11"),
        ("limit-handshakes", "12"),
        ("limit-discovers", "13"),
        ("clock-tolerance", "27h"),
        ("drain-time", "14s"),
        ("history", "off"),
        ("history-keep", "30"),
        ("log-level", "debug"),
        ("log-format", "json"),
    ];
    assert_eq!(samples.len(), table::SETTINGS.len());
    for (name, value) in samples {
        let setting = table::SETTINGS.iter().find(|s| s.name == name).unwrap();
        let flag = format!("--{name} {value}");
        let layers = [
            (Machine::new().serve(&flag), "command line".to_owned()),
            (Machine::new().variable(&setting.variable(), value).serve(""), setting.variable()),
            (Machine::new().variable("LEASEHOLD_OPTS", &flag).serve(""), "LEASEHOLD_OPTS".to_owned()),
            (Machine::new().file(&format!("# comment\n{name} = \"{value}\"")).serve(""), "leasehold.toml:2".to_owned()),
        ];
        for (found, origin) in layers {
            let found = found.unwrap_or_else(|e| panic!("{name} from {origin}: {e}"));
            let row = found.rows().into_iter().find(|row| row.name == name).unwrap();
            assert_eq!((row.value, row.origin), (vec![value.to_owned()], origin), "{name}");
        }
    }
}

#[test]
fn a_higher_layers_list_replaces_a_lower_one() {
    let machine = Machine::new().file("licence = [\"a.lic\", \"/b.lic\"]");
    let licences = |line: &str| machine.serve(line).unwrap().settings.licences;
    assert_eq!(licences(""), [machine.path("a.lic"), "/b.lic".into()], "relative ones are beside the file");
    assert_eq!(licences("--licence c.lic --license d.lic"), [Path::new("c.lic"), Path::new("d.lic")]);
    let two = Machine::new().variable("LEASEHOLD_LISTEN", "127.0.0.1,::1").serve("").unwrap();
    assert_eq!(two.settings.listen.len(), 2);
}

#[test]
fn the_file_is_named_or_found_and_a_named_one_must_be_there() {
    let machine = Machine::new().variable("LEASEHOLD_OPTS", "--config opts.toml");
    std::fs::write(machine.path("etc.toml"), "port = 1").unwrap();
    std::fs::write(machine.path("opts.toml"), "port = 2").unwrap();
    std::fs::write(machine.path("flag.toml"), "port = 3").unwrap();
    assert_eq!(machine.serve("").unwrap().settings.port, 2);
    assert_eq!(machine.serve("--config flag.toml").unwrap().settings.port, 3);
    assert!(machine.refused("--config none.toml").contains("none.toml is there and readable"));
    let plain = Machine { around: Surroundings { variables: Default::default(), ..machine.around }, ..machine };
    assert_eq!(plain.serve("").unwrap().settings.port, 1);
}

#[test]
fn a_wrong_value_is_shown_where_it_stands_with_what_was_expected() {
    let text = Machine::new().file("# ports\nport = 99999\n").refused("");
    for part in ["leasehold.toml:2:8", "port = 99999", "──", "expected a port number, 0 to 65535", "cannot be"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let text = Machine::new().variable("LEASEHOLD_LEASE_TTL", "90").refused("");
    for part in ["LEASEHOLD_LEASE_TTL=90", "expected a time from 2s to 24h", "give the unit: 90s"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let text = Machine::new().refused("--http 0.0.0.0");
    for part in ["--http 0.0.0.0", "expected a loopback address", "needs TLS"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest() {
    let text = Machine::new().file("lease_ttl = \"9s\"\nprot = 5").refused("");
    for part in ["there is no setting \"lease_ttl\"", "did you mean \"lease-ttl\"?", "did you mean \"port\"?"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let text = Machine::new().variable("LEASEHOLD_OPTS", "--prot 5").refused("");
    for part in ["LEASEHOLD_OPTS", "unexpected argument '--prot'", "a similar argument exists: '--port'"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn what_is_not_toml_or_not_a_value_has_line_and_column() {
    let cases = [
        ("port = ", "leasehold.toml:1:"),
        ("\n\n[table]\nport = 1", "leasehold.toml:3:"),
        ("port = 1.5", "leasehold.toml:1:8"),
        ("port = [1]", "leasehold.toml:1:8"),
        ("port = 0x10", "leasehold.toml:1:8"),
    ];
    for (file, place) in cases {
        let text = Machine::new().file(file).refused("");
        assert!(text.contains(place), "{file:?}: {place:?} in\n{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_for_people_and_for_programs() {
    let refused = Machine::new().file("port = \"x\"\nworkers = -1").serve("--log-format jsn").unwrap_err();
    assert_eq!(refused.problems.len(), 3);
    assert_eq!(refused.to_string().lines().count(), 3);
    let json = refused.to_json();
    assert_eq!((&json["problems"][0]["line"], &json["problems"][0]["column"]), (&1.into(), &8.into()));
    assert_eq!(json["problems"][2]["help"], "did you mean \"json\"?");
}

#[test]
fn a_variable_set_to_nothing_is_not_set() {
    let found = Machine::new().variable("LEASEHOLD_PORT", "").variable("LEASEHOLD_OPTS", "").serve("").unwrap();
    assert_eq!((found.settings.port, found.settings.origins.as_str()), (5097, "defaults"));
}

#[test]
fn state_lives_where_the_system_wants_it() {
    let of = |variables: &[(&str, &str)], is_root| {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Surroundings { variables, is_root, working_dir: "/w".into(), ..Surroundings::default() }.default_data_dir()
    };
    let both = [("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
    assert_eq!(of(&both, true), Path::new("/var/lib/leasehold"));
    assert_eq!(of(&both, false), Path::new("/x/leasehold"));
    assert_eq!(of(&both[1..], false), Path::new("/h/.local/state/leasehold"));
    assert_eq!(of(&[], false), Path::new("/w/leasehold-state"));
}
