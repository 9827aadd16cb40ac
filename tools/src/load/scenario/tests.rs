use clap::Parser;

use super::*;
use crate::load::{drive::Pace, mix::Mix, schedule::Arrivals};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(words: &str) -> Args {
    Line::try_parse_from(std::iter::once("load").chain(words.split_whitespace())).unwrap().args
}

fn of(words: &str) -> Result<Scenario, Failure> {
    Scenario::of(&args(words))
}

fn with_file(text: &str, words: &str) -> Result<Scenario, Failure> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    of(&format!("--scenario {} {words}", file.path().display()))
}

const TWO: &str = "\
features = 3
clients = 200

[[phase]]
name = \"warm\"
for = \"2s\"
window = 8

[[phase]]
name = \"rise\"
rate = { from = 100, to = 900 }
mix = \"pairs\"
clients = 50
";

#[test]
fn a_bare_command_line_is_a_population() {
    let scenario = of("").unwrap();
    let [phase] = &scenario.phases[..] else { panic!("{scenario:?}") };
    assert_eq!((phase.model(), phase.clients(), phase.measure()), (Model::Population, 100, Duration::from_secs(10)));
    assert_eq!((phase.mix, phase.batch), (None, None));
}

#[test]
fn a_rate_makes_an_open_loop_and_a_window_a_closed_one() {
    let open = &of("--rate 1000..2000").unwrap().phases[0];
    assert_eq!((open.model(), open.arrivals, open.mix()), (Model::Open, Some(Arrivals::Poisson), Mix::RENEWALS));
    assert_eq!(of("--window 5").unwrap().phases[0].model(), Model::Closed);
    assert_eq!(of("--mix pairs --window 5").unwrap().phases[0].mix(), Mix::Pairs);
}

#[test]
fn a_window_is_shared_out_to_the_last_operation() {
    let phase = &of("--window 7").unwrap().phases[0];
    let share = |thread| match phase.pace(thread, 3) {
        Pace::Window(window) => window,
        Pace::Rate(..) => panic!("a closed loop has no rate"),
    };
    assert_eq!([0, 1, 2].map(share), [3, 2, 2]);
}

#[test]
fn phases_come_in_order_and_take_what_they_do_not_say_from_the_top() {
    let scenario = with_file(TWO, "").unwrap();
    let [warm, rise] = &scenario.phases[..] else { panic!("{scenario:?}") };
    assert_eq!((warm.name(), warm.clients(), warm.model()), ("warm", 200, Model::Closed));
    assert_eq!((rise.name(), rise.clients(), rise.model()), ("rise", 50, Model::Open));
    assert_eq!(scenario.seats_wanted(), 67);
}

#[test]
fn the_command_line_overrules_the_file_in_every_phase() {
    let scenario = with_file(TWO, "--clients 9 --for 1s --rate 5").unwrap();
    assert!(scenario.phases.iter().all(|phase| phase.clients() == 9 && phase.measure().as_secs() == 1));
    assert!(scenario.phases.iter().all(|phase| phase.model() == Model::Open && phase.window.is_none()));
}

#[test]
fn what_is_printed_is_read_back_as_the_same() {
    for (text, words) in
        [(TWO, ""), (TWO, "--ttl 30s --seats 5 --batch 2 --leases-per-client 4"), (TWO, "--ramp 2500us")]
    {
        let scenario = with_file(text, words).unwrap();
        let printed = scenario.to_toml().unwrap();
        assert_eq!(with_file(&printed, "").unwrap(), scenario, "{printed}");
    }
}

#[test]
fn a_wrong_file_is_told_with_its_line_and_what_is_allowed() {
    let why = |text: &str| {
        let failure = with_file(text, "").unwrap_err();
        assert_eq!(failure.status(), Exit::USAGE);
        format!("{} {}", failure.what(), failure.why().join(" "))
    };
    assert!(why("[[phase]]\nspeed = 3\n").contains("line 2"));
    assert!(why("[[phase]]\nspeed = 3\n").contains("window"));
    assert!(why("[[phase]]\nmix = \"half\"\n").contains("renew=90"));
    assert!(why("[[phase]]\nrate = \"fast\"\n").contains("from = 1000"));
    assert!(why("[[phase]]\nfor = \"soon\"\n").contains("span of time"));
    assert!(why("clients = 3\n").contains("no phase"));
}

#[test]
fn what_contradicts_itself_is_refused_and_the_phase_is_named() {
    let why = |words: &str| {
        let failure = of(words).unwrap_err();
        format!("{} {}", failure.what(), failure.why().join(" "))
    };
    assert!(why("--rate 5 --window 3").contains("closed loop"));
    assert!(why("--mix pairs").contains("population"));
    assert!(why("--rate 0").contains("above 0"));
    assert!(why("--window 4 --renew-every 1s").contains("population"));
    assert!(why("--model open").contains("needs a rate"));
    assert!(why("--window 4 --batch 3").contains("more than a client has leases"));
    assert!(why("--window 4 --batch 65 --leases-per-client 70").contains("1 to 64"));
    assert!(why("--clients 1000000 --leases-per-client 17").contains("16000000"));
    assert!(why("--rate 5 --window 3").contains("phase 1"));
}

#[test]
fn the_scenarios_in_the_docs_are_scenarios() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scenarios");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let scenario = of(&format!("--scenario {}", file.display())).unwrap();
        assert!(scenario.phases.len() >= 2, "{}", file.display());
    }
}
