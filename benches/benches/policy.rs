//! What a policy costs a checkout: none, one rule, ten thousand; rules that count seats, one and ten thousand; in one process,
//! in turn, sealed and opened as on the wire.

use std::{
    fmt::Write as _,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use leasehold_benches::{
    Pair, World, holder,
    machine::{self, resident},
    numbers::Rounds,
};
use leasehold_protocol::vocab::FeatureName;
use leasehold_server::policy::PolicyFile;

const ROUNDS: usize = 41;
/// Pairs of checkout and release a round.
const PAIRS: u32 = 2000;
const JUDGEMENTS: u32 = 20_000;

fn main() {
    println!("{}", machine::description());
    let one = "[[rules]]\nid = \"one\"\ninclude = { users = [\"maria\"] }\nfeatures = [\"VR_MODE\"]\n".to_owned();
    let texts = [
        ("no policy", String::new()),
        ("1 rule", one),
        ("10 000 rules", large()),
        ("1 limit, 1 reservation", counted(1)),
        ("5 000 limits, 5 000 reservations", counted(5000)),
    ];
    let mut sites: Vec<Site> = texts.into_iter().map(|(name, text)| Site::new(name, &text)).collect();
    for _ in 0..ROUNDS {
        sites.iter_mut().for_each(Site::round);
    }
    println!(
        "\n| policy | text | read and compiled | memory | judgement ns | checkout and release ns | to 1 rule | to 1 limit |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for site in &sites {
        let [to_rule, to_limit] = [1, 3].map(|other: usize| shown(&site.pairs.over(&sites[other].pairs), 3));
        let (text, compiled) = (site.text_len, site.compiled_ms);
        let memory =
            site.memory.map_or_else(|| "?".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0));
        println!(
            "| {} | {text} bytes | {compiled:.1} ms | {memory} | {} | {} | {to_rule} | {to_limit} |",
            site.name,
            shown(&site.judgements, 0),
            shown(&site.pairs, 0)
        );
    }
}

/// One server with its policy, and what it cost.
struct Site {
    name: &'static str,
    world: World,
    pair: Pair,
    text_len: usize,
    compiled_ms: f64,
    memory: Option<u64>,
    judgements: Rounds,
    pairs: Rounds,
}

impl Site {
    fn new(name: &'static str, text: &str) -> Self {
        let mut world = World::new(1_000_000);
        let pair = Pair::connected(&mut world, 1);
        let (before, began) = (resident(), Instant::now());
        let file = PolicyFile::parse("policy.toml", text).expect("a policy without mistakes");
        let compiled_ms = began.elapsed().as_secs_f64() * 1000.0;
        world.shared.set_policy(file.policy);
        let memory = resident().zip(before).map(|(after, before)| after.saturating_sub(before));
        let (judgements, pairs) = (Rounds::default(), Rounds::default());
        Self { name, world, pair, text_len: text.len(), compiled_ms, memory, judgements, pairs }
    }

    fn round(&mut self) {
        let (policy, holder) = (self.world.shared.policy(), holder());
        let (feature, address) = (FeatureName::new("VR_MODE").expect("a name"), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let began = Instant::now();
        for _ in 0..JUDGEMENTS {
            black_box(policy.judge(&feature, black_box(&holder), address));
        }
        self.judgements.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(JUDGEMENTS));
        let began = Instant::now();
        for _ in 0..PAIRS {
            self.pair.check_out_and_in(&mut self.world);
        }
        self.pairs.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS));
    }
}

/// 100 groups of 1 000 users each, and 10 000 rules for 1 000 features and for all; the holder of the bench is in one group.
fn large() -> String {
    let mut text = String::new();
    for group in 0..100 {
        let _ = write!(text, "[groups.g{group}]\nusers = [");
        (0..1000).for_each(|user| _ = write!(text, "\"user-{group}-{user}\", "));
        let _ = writeln!(text, "{}]", if group == 7 { "\"maria\"" } else { "" });
    }
    for rule in 0..9899 {
        let (group, feature) = (rule % 100, rule / 10);
        let action = if rule % 2 == 0 { "include" } else { "exclude" };
        let _ = writeln!(text, "[[rules]]\nid = \"r{rule}\"\n{action} = \"g{group}\"\nfeatures = [\"F{feature}\"]");
    }
    for rule in 0..100 {
        let _ = writeln!(
            text,
            "[[rules]]\nid = \"own{rule}\"\nexclude = {{ hosts = [\"kiosk-{rule}\"], addresses = [\"10.{rule}.0.0/16\"] }}\n\
             features = \"all\""
        );
    }
    text + "[[rules]]\nid = \"vr\"\ninclude = \"g7\"\nfeatures = [\"VR_MODE\"]\n"
}

/// So many limits and as many reservations of the feature of the bench, in groups of 100 users; its holder is in one of each.
fn counted(n: usize) -> String {
    let mut text = String::new();
    for group in 0..n.div_ceil(50) {
        let _ = write!(text, "[groups.g{group}]\nusers = [");
        (0..100).for_each(|user| _ = write!(text, "\"user-{group}-{user}\", "));
        text += "]\n";
    }
    text += "[groups.ours]\nusers = [\"maria\"]\n";
    for rule in 0..n {
        let group = if rule + 1 == n { "ours".to_owned() } else { format!("g{}", rule % n.div_ceil(50)) };
        let _ = writeln!(
            text,
            "[[limits]]\nid = \"l{rule}\"\nmax = 9\nper = \"user\"\nfor = \"{group}\"\nfeatures = [\"VR_MODE\"]\n\
             [[reservations]]\nid = \"r{rule}\"\nseats = 2\nfeature = \"VR_MODE\"\nfor = \"{group}\""
        );
    }
    text
}

fn shown(rounds: &Rounds, digits: usize) -> String {
    let (least, most) = rounds.spread();
    format!("{:.digits$} [{least:.digits$}–{most:.digits$}]", rounds.median())
}
