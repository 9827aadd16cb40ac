//! `leasehold lint`: what loading would do, before it is done (L-5).

mod beside;
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

pub(super) use self::{
    beside::Beside,
    report::Lint,
    standing::{Standing, standings},
    trust::gather,
};
use self::{report::FileReport, trust::Trusted};
use super::{
    files,
    problem::{Problem, Text},
    template::Template,
};
use crate::{
    exit::{Exit, Failure},
    licence::{self as licence_admin, Foretold},
    local::RestArgs,
    output::{self, STRONG, paint},
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

    /// Licence files, and folders of them, that are read before: shows what changes beside them
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub beside: Vec<PathBuf>,

    /// Ask the running server, too, what it would do with the licence files; nothing is loaded
    #[arg(long)]
    pub running: bool,

    /// Address of its REST [default: what the configuration says, else http://127.0.0.1:5097]
    #[arg(long, env = "LEASEHOLD_URL", value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,

    /// File with the token of its REST [default: rest.token in its state folder]
    #[arg(long, env = "LEASEHOLD_TOKEN_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,

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
    let beside = Beside::read(&args.beside, &trusted.keys).map_err(unreadable)?;
    let lint = examine_beside(beside, &args.files, &trusted, clock_now().wall);
    let foretold = if args.running { Some(ask_server(args)?) } else { None };
    if args.json {
        let mut json = lint.to_json();
        if let Some(foretold) = &foretold {
            json["running"] = foretold.json.clone();
        }
        output::json(&json)?;
    } else {
        let colour = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        output::result(&(lint.render(colour) + foretold.as_ref().map_or("", |foretold| &foretold.text)))?;
    }
    let is_good = foretold.is_none_or(|foretold| foretold.is_good);
    Ok(if lint.exit() == Exit::OK && !is_good { Exit::FAILURE } else { lint.exit() })
}

/// What the running server would do with the licence files among `args`.
fn ask_server(args: &LintArgs) -> Result<Foretold, Failure> {
    let rest = RestArgs::of(args.url.clone(), args.token_file.clone(), args.data_dir.as_deref()).rest()?;
    let licences: Vec<PathBuf> = args.files.iter().filter(|path| !is_template(path)).cloned().collect();
    let mut foretold = licence_admin::foretell(&rest, &licences)?;
    foretold.text.insert_str(0, &format!("{}\n", paint(STRONG, "the running server would do this")));
    Ok(foretold)
}

/// What there is to say about `paths` at `now`.
#[cfg(test)]
pub(super) fn examine(paths: &[PathBuf], trusted: &Trusted, now: UnixMillis) -> Lint {
    examine_beside(Beside::default(), paths, trusted, now)
}

/// The same where the files of `beside` are read before.
pub(super) fn examine_beside(beside: Beside, paths: &[PathBuf], trusted: &Trusted, now: UnixMillis) -> Lint {
    let (keys, warnings) = (trusted.keys.clone(), trusted.warnings.clone());
    let mut lint = Lint { now, keys, warnings, files: Vec::new(), beside };
    for path in paths {
        let name = path.display().to_string();
        lint.files.push(match files::read_text(path) {
            Err(failure) => FileReport::unreadable(name, &failure),
            Ok(text) if is_template(path) => template(name, &text),
            Ok(text) => licence(name, &text, &trusted.keys),
        });
    }
    standing::judge(&mut lint, &trusted.servers, now);
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
