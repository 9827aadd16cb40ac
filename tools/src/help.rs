//! The command tree as people see it: grouped, with topics beside the commands.

use std::fmt::Write;

use clap::{
    CommandFactory,
    builder::{StyledStr, styling},
};
use leasehold_protocol::{licence::nearest::nearest, vocab::Denial};

use crate::{
    checkout::denial,
    cli::Cli,
    exit::{self, Exit, Failure},
    output::{self, STRONG, paint},
};

/// Our colours in help and in clap's own messages.
pub const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::Style::new().bold())
    .usage(styling::Style::new().bold())
    .literal(styling::AnsiColor::Cyan.on_default())
    .placeholder(styling::AnsiColor::Green.on_default())
    .valid(styling::AnsiColor::Green.on_default())
    .error(styling::AnsiColor::Red.on_default().bold());

/// Commands in the order people meet them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Try it", &["demo", "init"]),
    ("Licences", &["keygen", "issue", "lint", "licence", "hostid"]),
    (
        "Server",
        &[
            "serve", "policy", "audit", "status", "why", "store", "backup", "restore", "clock", "history", "config",
            "doctor",
        ],
    ),
    ("Client", &["discover", "info", "checkout", "load"]),
    ("Shell", &["completions", "man", "help"]),
];

/// The whole tree, with the first page's commands in groups.
#[must_use]
pub fn command() -> clap::Command {
    let command = Cli::command();
    let (groups, options) = (grouped(&command), paint(STRONG, "Options:"));
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{options}\n{{options}}{{after-help}}"
    ))
}

fn grouped(command: &clap::Command) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(text, "{}", paint(STRONG, format_args!("{title}:")));
        // A program may be built without one.
        for found in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = found.get_about().map(StyledStr::to_string);
            let (name, literal) = (found.get_name(), STYLES.get_literal());
            let _ = writeln!(text, "  {literal}{name:<12}{literal:#} {}", about.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// What to help with.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A command (`checkout`, `config show`) or a topic: exit-codes, denials, environment, addresses
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

/// Prints the help of a command or a topic.
///
/// # Errors
/// If there is no such command or topic.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let text = match &args.words[..] {
        [topic] if TOPICS.iter().any(|(name, _)| name == topic) => topic_text(topic),
        words => of_command(words)?.ansi().to_string(),
    };
    output::result(&text).map(|()| Exit::OK)
}

/// The very page that `--help` prints.
fn of_command(words: &[String]) -> Result<StyledStr, Failure> {
    let root = command();
    let mut found = &root;
    for word in words {
        let names: Vec<String> = found.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        found = found.find_subcommand(word).ok_or_else(|| no_such(word, &names))?;
    }
    let line = ["leasehold"].into_iter().chain(words.iter().map(String::as_str)).chain(["--help"]);
    match command().try_get_matches_from(line) {
        Err(page) => Ok(page.render()),
        Ok(_) => Err(Failure::new("the help has gone astray: ask by --help")),
    }
}

fn no_such(word: &str, commands: &[String]) -> Failure {
    let topics = TOPICS.iter().map(|(name, _)| *name);
    let known = commands.iter().map(String::as_str).chain(topics);
    let failure = Failure::usage(format!("there is no command or topic {word:?}"));
    match nearest(word, known) {
        Some(near) => failure.remedy(format!("did you mean {near:?}?")),
        None => failure.remedy("see them all: leasehold help"),
    }
}

/// A topic's name, and who writes its text.
type Topic = (&'static str, fn() -> String);

const TOPICS: &[Topic] =
    &[("exit-codes", exit_codes), ("denials", denials), ("environment", environment), ("addresses", addresses)];

fn topic_text(topic: &str) -> String {
    TOPICS.iter().find(|(name, _)| *name == topic).map(|(_, text)| text()).unwrap_or_default()
}

fn exit_codes() -> String {
    let mut text = String::from("How commands end:\n\n");
    for (status, meaning) in exit::TABLE {
        let _ = writeln!(text, "  {status:<7} {meaning}");
    }
    text
}

fn denials() -> String {
    let mut text = String::from("Why a server says no, the code that programs read, and what to do:\n\n");
    for code in Denial::ALL {
        let (name, meaning) = (code.name().unwrap_or_default(), code.meaning().unwrap_or_default());
        let _ = writeln!(text, "  {:>2} {name:<19} {meaning}\n     {:<19} → {}", code.0, "", denial::remedy(*code));
    }
    text.push_str("\nA denial that waiting may clear ends `leasehold checkout` with status 75, any other with 77.\n");
    text
}

fn environment() -> String {
    let mut text = String::from("Variables, each read where its flag is not given:\n\n");
    let mut root = command();
    root.build();
    let mut names = Vec::new();
    variables(&root, &mut names);
    names.sort();
    names.dedup_by(|later, first| later.0 == first.0);
    for (name, flag, about) in names {
        let _ = writeln!(text, "  {name:<28} --{flag}: {about}");
    }
    text.push_str(
        "\n  LEASEHOLD_OPTS               more of `leasehold serve`'s command line, below the variables above\
         \n  NO_COLOR                     any value: no colours\n",
    );
    text
}

fn variables(command: &clap::Command, names: &mut Vec<(String, String, String)>) {
    for arg in command.get_arguments() {
        if let (Some(name), Some(flag)) = (arg.get_env(), arg.get_long()) {
            let about = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
            let first = about.split([';', '[']).next().unwrap_or_default().trim();
            names.push((name.to_string_lossy().into_owned(), flag.to_owned(), first.to_owned()));
        }
    }
    command.get_subcommands().for_each(|sub| variables(sub, names));
}

fn addresses() -> String {
    "\
How a server is written, in --server and LEASEHOLD_SERVER:

  host                  its name or IPv4 address, port 5097
  host:port             another port
  port@host             the same, as FlexNet users type it
  [2001:db8::7]:5097    an IPv6 address
  …#fingerprint         any of these with the server's fingerprint: no other key is accepted
                        (`leasehold discover` and the server's banner tell it)

Several are separated by commas or semicolons; they are tried at once and the first valid answer wins. Without an
address the server that answered last, this machine and the local network are asked.

Who is trusted: with --publisher-key, servers that show a certificate of that publisher naming their key; with
#fingerprint, that key; with neither, the key seen first under an address, remembered from then on.
"
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_exactly_one_group() {
        let tree = Cli::command();
        let mut names: Vec<&str> = tree.get_subcommands().map(clap::Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        names.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(names, grouped);
    }

    #[test]
    fn the_command_tree_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_in_one_line_without_a_full_stop() {
        for sub in Cli::command().get_subcommands() {
            let about = sub.get_about().map(StyledStr::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.') && about.len() <= 90, "{}: {about}", sub.get_name());
        }
    }
}
