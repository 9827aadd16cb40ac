//! `SPEC.md` keeps step with the code: clauses that are cited exist, and tables that repeat the code agree with it.
#![expect(clippy::disallowed_methods, reason = "the room is pure, its specification is a file")]

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use leasehold_protocol::vocab::Denial;

use crate::{golden::writing, vectors};

fn spec_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md")
}

fn spec() -> String {
    fs::read_to_string(spec_path()).expect("SPEC.md is there")
}

/// The part of SPEC between `<!-- NAME -->` and `<!-- end -->` is `wanted`, or is made so.
fn generated(name: &str, wanted: &str) {
    let text = spec();
    let (open, close) = (format!("<!-- {name} -->\n"), "<!-- end -->");
    let start = text.find(&open).unwrap_or_else(|| panic!("no table {name}")) + open.len();
    let end = start + text[start..].find(close).expect("a table ends");
    if writing() {
        fs::write(spec_path(), [&text[..start], wanted, &text[end..]].concat()).expect("SPEC.md can be written");
        return;
    }
    assert_eq!(&text[start..end], wanted, "table {name}: run with LEASEHOLD_WRITE_VECTORS=1");
}

fn denials() -> String {
    let mut table = String::from("| code | name | may clear | meaning |\n|---:|---|---|---|\n");
    for denial in Denial::ALL {
        let clears = if denial.may_clear() { "yes" } else { "no" };
        let meaning = denial.meaning().expect("a known code");
        let _ = writeln!(table, "| {} | `{denial}` | {clears} | {meaning} |", denial.0);
    }
    table
}

fn index() -> String {
    let mut table = String::from("| vector | bytes |\n|---|---:|\n");
    for page in vectors::all() {
        let _ = writeln!(table, "| [`{0}-v1`](testdata/{0}-v1.md) | {1} |", page.name, page.bytes.len());
    }
    table
}

// One test, because both write the same file.
#[test]
fn the_tables_in_spec_are_the_codes() {
    generated("denial codes", &denials());
    generated("vectors", &index());
}

/// Clauses of SPEC: headings `## 4 Data` and `### 4.2 Replay window`, paragraphs `**4.2.1** ...`.
fn clauses(text: &str) -> BTreeSet<String> {
    let number = |word: &str| word.trim_matches('*').trim_end_matches('.').to_owned();
    let heading = |line: &str| line.starts_with('#').then(|| line.split_whitespace().nth(1).map(number)).flatten();
    let paragraph = |line: &str| line.starts_with("**").then(|| line.split_whitespace().next().map(number)).flatten();
    let is_number = |n: &String| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.lines().filter_map(|line| heading(line).or_else(|| paragraph(line))).filter(is_number).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Numbers after "SPEC", as `SPEC 4.1, 4.2` and `SPEC 3.3 to 3.5` write them.
fn citations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("SPEC ") {
        let words = text[at + 5..].split_whitespace().take_while(|word| {
            let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            matches!(word, "to" | "and") || word.starts_with(|c: char| c.is_ascii_digit())
        });
        for word in words.take(6) {
            let number = word.trim_matches(|c: char| !c.is_ascii_digit());
            if number.chars().all(|c| c.is_ascii_digit() || c == '.') && !number.is_empty() {
                found.push(number.to_owned());
            }
            if !word.ends_with(',') && !word.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
                break;
            }
        }
    }
    found
}

#[test]
fn every_clause_that_code_cites_exists() {
    let clauses = clauses(&spec());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    for room in ["protocol", "server", "client", "tools", "benches", "tests", "fuzz"] {
        rust_files(&root.join(room), &mut files);
    }
    let mut cited = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("source is text");
        for clause in citations(&text) {
            assert!(clauses.contains(&clause), "{} cites SPEC {clause}, which is not there", file.display());
            cited += 1;
        }
    }
    assert!(cited > 50, "{cited} citations found");
}

#[test]
fn clauses_are_numbered_once_and_in_order() {
    let text = spec();
    let mut last = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('#') || line.starts_with("**")) {
        let word = line.split_whitespace().find(|w| w.trim_matches('*').starts_with(|c: char| c.is_ascii_digit()));
        let Some(word) = word.filter(|w| line.trim_start_matches(['#', ' ']).starts_with(*w)) else { continue };
        let number: Vec<u32> =
            word.trim_matches('*').trim_end_matches('.').split('.').map_while(|n| n.parse().ok()).collect();
        assert!(number > last, "clause {word} stands after {last:?}");
        last = number;
    }
    assert!(last > vec![9], "the last clause is {last:?}");
}
