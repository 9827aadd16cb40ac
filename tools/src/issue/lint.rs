//! `leasehold lint`: what loading would do, before it is done (L-5).

mod report;
mod standing;
mod trust;

use std::path::{Path, PathBuf};

use clap::ValueHint;
use leasehold_protocol::{
    licence::{PublisherKey, text},
    time::UnixMillis,
};
use leasehold_server::clock_now;

use self::{
    report::{FileReport, Lint},
    trust::Trusted,
};
pub(super) use self::{
    standing::{Standing, standings},
    trust::gather,
};
use super::{
    files,
    problem::{Problem, Text},
    template::Template,
};
use crate::{
    exit::{Exit, Failure},
    output,
};

/// Shows what a server would do with licence files now, and finds mistakes in templates. Changes nothing.
///
/// Exit status: 0 all is in force, or will be by itself when its day comes; 1 something is refused, replaced, expired or
/// wrong; 2 something could not be read.
#[derive(clap::Args, Clone, Debug)]
pub struct LintArgs {
    /// Licence files (.lic), in the order a server would read them, and templates (.toml)
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,

    /// Trust this publisher [default: every .pub file the server of this machine trusts]
    #[arg(long = "publisher-key", short = 'k', value_name = "NAME.pub", value_hint = ValueHint::FilePath)]
    pub publisher_keys: Vec<PathBuf>,

    /// Trust the publishers that a server with this state folder trusts
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,

    /// For programs: one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Reads, judges, tells.
///
/// # Errors
/// If a named key cannot be used, or the answer cannot be written.
pub fn lint(args: &LintArgs) -> Result<Exit, Failure> {
    let unreadable = |failure: Failure| failure.exit(Exit::USAGE);
    let trusted = gather(&args.publisher_keys, args.data_dir.as_deref()).map_err(unreadable)?;
    let lint = examine(&args.files, &trusted, clock_now().wall);
    if args.json {
        output::json(&lint.to_json())?;
    } else {
        let colour = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        output::result(&lint.render(colour))?;
    }
    Ok(lint.exit())
}

/// What there is to say about `paths` at `now`.
pub(super) fn examine(paths: &[PathBuf], trusted: &Trusted, now: UnixMillis) -> Lint {
    let mut lint = Lint { now, keys: trusted.keys.clone(), warnings: trusted.warnings.clone(), files: Vec::new() };
    for path in paths {
        let name = path.display().to_string();
        lint.files.push(match files::read_text(path) {
            Err(failure) => FileReport::unreadable(name, &failure),
            Ok(text) if is_template(path) => template(name, &text),
            Ok(text) => licence(name, &text, &trusted.keys),
        });
    }
    standing::judge(&mut lint.files, &trusted.servers, now);
    lint
}

#[cfg(test)]
pub(super) fn trust_in(keys: Vec<PublisherKey>) -> Trusted {
    Trusted { keys, ..Trusted::default() }
}

fn is_template(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

fn template(name: String, text: &str) -> FileReport {
    match Template::read(&name, text, None) {
        Ok(template) => FileReport { template: Some(template.certificates.len()), ..FileReport::of(name) },
        Err(problems) => FileReport { template: Some(0), problems: problems.0, ..FileReport::of(name) },
    }
}

fn licence(name: String, text: &str, keys: &[PublisherKey]) -> FileReport {
    let loaded = text::read(text, keys);
    let source = Text::new(&name, text);
    let refused = loaded.refused.iter().map(|refused| refusal(&source, refused)).collect();
    FileReport { refused, signed: loaded.applied, ..FileReport::of(name) }
}

fn refusal(source: &Text, refused: &text::Refused) -> Problem {
    let span = refused.place.offset..refused.place.offset + refused.place.len;
    let what = match &refused.feature {
        Some(feature) => format!("certificate for {feature} refused: {}", refused.why),
        None => format!("refused: {}", refused.why),
    };
    source.problem(span, what)
}
