//! Which layer wins, and where each value came from.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, Command, parser::ValueSource};

use super::{
    ServeArgs, file,
    problem::{ConfigError, Problem, Quote, short},
    table::{SETTINGS, Setting},
};
use crate::settings::Settings;

/// What of the process's surroundings decides about settings. Handed in, so that a test has its own.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The environment's variables.
    pub variables: BTreeMap<String, String>,
    /// The working folder: `leasehold.toml` is looked for in it.
    pub working_dir: PathBuf,
    /// The configuration file of the machine, looked for last.
    pub system_config: PathBuf,
    /// Whether this is root, whose state belongs under `/var/lib`.
    pub is_root: bool,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    CommandLine,
    /// The setting's own variable, by name.
    Variable(String),
    /// `LEASEHOLD_OPTS`.
    Opts,
    /// The configuration file.
    File {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// Nothing said anything.
    Default,
}

/// Settings with their origins.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// The configuration file read, if there was one.
    pub file: Option<PathBuf>,
    pub(super) origins: BTreeMap<&'static str, Origin>,
    pub(super) working_dir: PathBuf,
}

/// One value of one layer, as text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub value: String,
    pub quote: Quote,
}

/// What one layer says of one setting.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub texts: Vec<Text>,
    pub origin: Origin,
}

type Layer = Vec<(&'static str, Given)>;

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |os: std::ffi::OsString| os.into_string().ok();
        Self {
            variables: std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect(),
            working_dir: std::env::current_dir().unwrap_or_default(),
            system_config: "/etc/leasehold/leasehold.toml".into(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// Where state lives unless a setting says otherwise.
    #[must_use]
    pub fn default_data_dir(&self) -> PathBuf {
        if self.is_root {
            return "/var/lib/leasehold".into();
        }
        // A relative XDG path is invalid by its specification and is to be ignored.
        let folder = |name| self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
        state.map_or_else(|| self.working_dir.join("leasehold-state"), |state| state.join("leasehold"))
    }

    /// A variable that is set to something. Set to nothing means not set.
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Settles every setting from the five layers. `matches` are those of the command that [`ServeArgs`] was flattened into.
///
/// # Errors
/// Everything that is wrong in any layer, at once.
pub fn resolve(matches: &ArgMatches, around: &Surroundings) -> Result<Resolved, ConfigError> {
    let mut problems = Vec::new();
    let opts = opts_matches(around).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    let file = config_file(matches, opts.as_ref(), around);
    let of_file = file.as_ref().map_or(Ok(Layer::new()), |path| file::read(path, &around.working_dir));
    let of_file = of_file.unwrap_or_else(|mut wrong| {
        problems.append(&mut wrong);
        Layer::new()
    });
    let layers = [
        of_file,
        opts.map_or_else(Layer::new, |found| flags(&found, &Origin::Opts, around)),
        variables(around),
        flags(matches, &Origin::CommandLine, around),
    ];
    let resolved = merge(layers, file, around, &mut problems);
    if problems.is_empty() { Ok(resolved) } else { Err(ConfigError { problems }) }
}

/// Puts the layers on top of each other, the last one highest. A wrong value under a right one is still a mistake:
/// somebody meant it.
fn merge(layers: [Layer; 4], file: Option<PathBuf>, around: &Surroundings, problems: &mut Vec<Problem>) -> Resolved {
    let mut settings = Settings { data_dir: around.default_data_dir(), ..Settings::default() };
    let mut origins = BTreeMap::new();
    for (name, given) in layers.into_iter().flatten() {
        let setting = SETTINGS.iter().find(|s| s.name == name).expect("layers hold names of the table");
        if let Some(clear) = setting.clear {
            clear(&mut settings);
        }
        for text in &given.texts {
            if let Err(wrong) = (setting.read)(&mut settings, &text.value) {
                problems.push(bad_value(setting, &given.origin, text, wrong));
            }
        }
        origins.insert(setting.name, given.origin);
    }
    let mut resolved = Resolved { settings, file, origins, working_dir: around.working_dir.clone() };
    resolved.settings.origins = resolved.summary();
    resolved
}

fn bad_value(setting: &Setting, origin: &Origin, text: &Text, wrong: super::values::Wrong) -> Problem {
    let place = match origin {
        Origin::File { path, .. } => file::place(&path.display().to_string(), &text.quote),
        other => other.to_string(),
    };
    Problem::new(format!("{} cannot be \"{}\"", setting.name, text.value), place)
        .quoting(text.quote.clone(), format!("expected {}", wrong.expected))
        .with_help(wrong.help)
}

/// The file to read: the one named, or the first of the two usual ones that is there.
fn config_file(matches: &ArgMatches, opts: Option<&ArgMatches>, around: &Surroundings) -> Option<PathBuf> {
    let of = |m: &ArgMatches| given_by_flag(m, "config").and_then(|texts| texts.into_iter().next());
    let named =
        of(matches).or_else(|| around.variable("LEASEHOLD_CONFIG").map(str::to_owned)).or_else(|| opts.and_then(of));
    let usual = || [around.working_dir.join("leasehold.toml"), around.system_config.clone()];
    named.map(|path| around.working_dir.join(path)).or_else(|| usual().into_iter().find(|path| path.is_file()))
}

fn flags(matches: &ArgMatches, origin: &Origin, around: &Surroundings) -> Layer {
    let given = SETTINGS.iter().filter_map(|setting| {
        let texts = given_by_flag(matches, &setting.id())?;
        let texts = texts.into_iter().map(|value| flag_text(setting, value, origin, around)).collect();
        Some((setting.name, Given { texts, origin: origin.clone() }))
    });
    given.collect()
}

/// The texts of a flag that was really on the line: clap's own reading of the environment is left aside, because the
/// environment is a layer of its own here.
fn given_by_flag(matches: &ArgMatches, id: &str) -> Option<Vec<String>> {
    let typed = matches.value_source(id) == Some(ValueSource::CommandLine);
    let texts = || matches.get_raw(id).map(|raw| raw.map(|text| text.to_string_lossy().into_owned()).collect());
    typed.then(texts).flatten()
}

fn flag_text(setting: &Setting, value: String, origin: &Origin, around: &Surroundings) -> Text {
    let quote = match (origin, around.variable("LEASEHOLD_OPTS")) {
        (Origin::Opts, Some(line)) => {
            let start = line.rfind(&value).unwrap_or(0);
            Quote::new("LEASEHOLD_OPTS", line, start..(start + value.len()).min(line.len()))
        }
        _ => quote_after(format!("--{} ", setting.name), &value, "command line"),
    };
    Text { value, quote }
}

fn quote_after(before: String, value: &str, name: &str) -> Quote {
    let span = before.len()..before.len() + value.len();
    Quote::new(name, before + value, span)
}

fn variables(around: &Surroundings) -> Layer {
    let given = SETTINGS.iter().filter_map(|setting| {
        let name = setting.variable();
        let value = around.variable(&name)?;
        let parts = if setting.clear.is_some() { value.split(',').collect() } else { vec![value] };
        let quote = |part: &str| quote_after(format!("{name}="), part, &name);
        let texts = parts.into_iter().map(|part| Text { value: part.to_owned(), quote: quote(part) }).collect();
        Some((setting.name, Given { texts, origin: Origin::Variable(name.clone()) }))
    });
    given.collect()
}

/// `LEASEHOLD_OPTS` through the same flags. Their variables are taken away first: the string is a layer below them, and
/// clap would let them in as if they stood in it.
fn opts_matches(around: &Surroundings) -> Result<Option<ArgMatches>, Problem> {
    let Some(line) = around.variable("LEASEHOLD_OPTS") else { return Ok(None) };
    let refused = |message: String, help: Option<String>| {
        Problem::new(message, "LEASEHOLD_OPTS")
            .quoting(Quote::new("LEASEHOLD_OPTS", line, 0..line.len()), "expected flags of leasehold serve")
            .with_help(help)
    };
    let words = shlex::split(line).ok_or_else(|| refused("a quote is not closed".into(), None))?;
    let command = ServeArgs::augment_args(Command::new("LEASEHOLD_OPTS").no_binary_name(true).disable_help_flag(true))
        .mut_args(|arg| arg.env(None::<&str>));
    command.try_get_matches_from(words).map(Some).map_err(|e| {
        let text = e.render().to_string();
        let line_of = |prefix: &str| text.lines().find_map(|l| l.trim().strip_prefix(prefix)).map(str::to_owned);
        refused(line_of("error: ").unwrap_or_else(|| text.clone()), line_of("tip: "))
    })
}

impl Resolved {
    /// Where the value of the setting called `name` came from.
    #[must_use]
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    /// One line for the banner: how many settings each layer gave.
    fn summary(&self) -> String {
        let count = |test: fn(&Origin) -> bool| self.origins.values().filter(|origin| test(origin)).count();
        let file = self
            .file
            .as_ref()
            .map(|path| (short(path, &self.working_dir), count(|o| matches!(o, Origin::File { .. }))));
        let mut parts: Vec<String> = file.into_iter().map(|(name, n)| format!("{name} ({n})")).collect();
        let environment = count(|o| matches!(o, Origin::Variable(_) | Origin::Opts));
        let flags = count(|o| *o == Origin::CommandLine);
        parts.extend((environment > 0).then(|| format!("environment ({environment})")));
        parts.extend((flags > 0).then(|| format!("command line ({flags})")));
        if parts.is_empty() { "defaults".into() } else { parts.join(", ") }
    }
}

impl Origin {
    pub(super) fn shown(&self, working_dir: &Path) -> String {
        match self {
            Self::CommandLine => "command line".into(),
            Self::Variable(name) => name.clone(),
            Self::Opts => "LEASEHOLD_OPTS".into(),
            Self::File { path, line } => format!("{}:{line}", short(path, working_dir)),
            Self::Default => "default".into(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(Path::new("")))
    }
}
