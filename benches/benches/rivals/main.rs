//! Ours beside what a reader might use instead, and beside what the machine itself takes: in rounds, each of which runs
//! everything once, so that ratios are of neighbours in time. `benches/README.md` says how to read it.
//!
//! `cargo bench -p leasehold-benches --bench rivals` prints tables and writes CSV and a plot to `target/rivals`;
//! `-- --docs` puts them into `benches/README.md` and `benches/docs` besides. Other arguments choose sections by name.

mod contest;
mod expiry;
mod lateness;
mod scale;
mod singles;

use std::{env, path::Path, time::Duration};

use leasehold_benches::report::Report;

/// How much of it.
struct Effort {
    rounds: usize,
    /// Of many threads at one design.
    slice: Duration,
    /// Of one operation of one thread.
    single: Duration,
    live_few: u32,
    live_many: u32,
    expiring: u32,
    /// Lines of memory to read at random, a power of two.
    lines: u32,
}

impl Effort {
    const FULL: Self = Self {
        rounds: 9,
        slice: Duration::from_millis(150),
        single: Duration::from_millis(25),
        live_few: 10_000,
        live_many: 10_000_000,
        expiring: 1_000_000,
        lines: 1 << 22,
    };
    /// Whether it runs at all: what `cargo test --benches` wants to know.
    const SMOKE: Self = Self {
        rounds: 1,
        slice: Duration::from_millis(5),
        single: Duration::from_millis(1),
        live_few: 1_000,
        live_many: 20_000,
        expiring: 10_000,
        lines: 1 << 12,
    };
}

type Section = fn(&Effort, &mut Report);

const SECTIONS: [(&str, Section); 5] = [
    ("singles", singles::measure),
    ("scale", scale::measure),
    ("expiry", expiry::measure),
    ("lateness", lateness::measure),
    ("contest", contest::measure),
];

fn main() -> std::io::Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let is_said = |word: &str| words.iter().any(|said| said == word);
    // Cargo says `--bench` when it benches, and nothing when it tests.
    let (effort, folder) = if is_said("--bench") { (Effort::FULL, "rivals") } else { (Effort::SMOKE, "rivals-smoke") };
    let is_chosen = |name: &str| is_said(name) || words.iter().all(|word| word.starts_with("--"));
    let mut report = Report::new("rivals");
    for (name, measure) in SECTIONS.iter().filter(|(name, _)| is_chosen(name)) {
        eprintln!("{name}: {} rounds ...", effort.rounds);
        measure(&effort, &mut report);
    }
    report.finish(&Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(folder), is_said("--docs"))
}
