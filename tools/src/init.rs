//! `leasehold init`: a folder in which `leasehold serve` works at once.

use std::path::{Path, PathBuf};

use clap::ValueHint;

use crate::{
    exit::{Exit, Failure},
    human,
    kit::{Kit, Offer, write_new},
    local::{full_shell_path, program_name, shell_path},
    output::{self, COMMAND, FAINT, GOOD, paint},
};

/// Where, and with what.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Makes leasehold.toml (every setting, commented), data/ (the server's state) and, with --demo, publisher/ with a \
publisher's key pair and data/licences/demo.lic, signed by it for 30 days: 4 features, 220 seats. Nothing that is there \
already is written over.

Examples:
  leasehold init --demo && leasehold serve
  leasehold init /srv/leasehold")]
pub struct Args {
    /// With a publisher's keys and a signed licence, to try everything out
    #[arg(long)]
    demo: bool,

    /// The folder
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

/// Makes the folder.
///
/// # Errors
/// If there is a configuration already, or a file cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args.dir.join("leasehold.toml");
    if config.exists() {
        return Err(Failure::new(format!("{} is there already", config.display()))
            .because("init never writes over a configuration")
            .remedy("serve it: leasehold serve")
            .remedy("or make another one: leasehold init --demo OTHER_DIR"));
    }
    let kit = if args.demo { Some(Offer::demo()?.make_in(&args.dir)?) } else { None };
    if kit.is_none() {
        empty_folders(&args.dir)?;
    }
    write_new(&config, TEMPLATE.as_bytes(), 0o644)?;
    output::result(&report(&args.dir, &config, kit.as_ref())).map(|()| Exit::OK)
}

fn empty_folders(dir: &Path) -> Result<(), Failure> {
    let made = leasehold_server::state::Folder::open(&dir.join("data"))
        .and_then(|folder| folder.make_folder("publishers").and_then(|()| folder.make_folder("licences")));
    made.map_err(|e| Failure::new(format!("cannot make the folder {}", dir.join("data").display())).because_of(&e))
}

fn report(dir: &Path, config: &Path, kit: Option<&Kit>) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, path: &Path, note: &str| {
        lines.push(format!("  {name:<11} {:<32} {}", shell_path(path), paint(FAINT, note)));
    };
    line("config", config, "every setting, commented");
    line("state", &dir.join("data"), "keys, token and markers of the server: back it up");
    if let Some(kit) = kit {
        let features = human::count(kit.certificates.len() as u64, "feature");
        let note = format!("{features}, {} seats, until {}", kit.seats(), kit.last_day);
        line("licence", &kit.licence_file, &note);
        line("publisher", &kit.publisher_file, "what clients trust: give it to them");
        line("", &kit.secret_file, "signs licences: belongs to the publisher alone");
    }
    let program = program_name();
    let cd = if dir == Path::new(".") { String::new() } else { format!("cd {} && ", shell_path(dir)) };
    lines.push(String::new());
    match kit {
        Some(kit) => {
            let key = full_shell_path(&kit.publisher_file);
            lines.push(next(&format!("{cd}{program} serve")));
            lines.push(next(&format!("{program} checkout VR_MODE --publisher-key {key} -- sleep 5")));
            lines.push(next(&format!("{cd}{program} status")));
        }
        None => {
            lines.push(
                "  Put licences into data/licences/*.lic and their publishers' keys into data/publishers/*.pub.".into(),
            );
            lines.push(next(&format!("{cd}{program} serve")));
        }
    }
    let what = if kit.is_some() { "ready to serve a demo licence" } else { "ready to serve" };
    format!("{} {what}\n{}", paint(GOOD, "✓"), lines.join("\n"))
}

fn next(command: &str) -> String {
    format!("  {} {}", paint(GOOD, "→"), paint(COMMAND, command))
}

/// Every setting with its default, as `leasehold serve --help` explains it. Only `data-dir` is set.
const TEMPLATE: &str = include_str!("init/leasehold.toml");

#[cfg(test)]
mod tests {
    use super::*;

    /// The template with every commented setting switched on.
    fn all_on() -> String {
        let on =
            |line: &str| line.strip_prefix("#").filter(|l| !l.starts_with(' ') && l.contains(" = ")).map(str::to_owned);
        TEMPLATE.lines().map(|line| on(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_template_names_every_setting_once() {
        let table: toml::Table = all_on().parse().unwrap();
        let settings = leasehold_server::config::ServeArgs::default();
        drop(settings);
        let command = <leasehold_server::config::ServeArgs as clap::Args>::augment_args(clap::Command::new("x"));
        let flags: Vec<&str> =
            command.get_arguments().filter_map(clap::Arg::get_long).filter(|n| *n != "config").collect();
        for flag in &flags {
            assert!(table.contains_key(*flag), "the template does not name {flag}");
        }
        assert_eq!(table.len(), flags.len());
    }
}
