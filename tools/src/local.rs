//! The server of this machine: the settings it runs with, found by the same rules as `leasehold serve` finds them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args as _, ValueHint};
use leasehold_server::{
    HttpListen, Settings,
    config::{self, ConfigError, ServeArgs, Surroundings},
};

use crate::{
    exit::{Exit, Failure},
    rest::Rest,
};

/// Which server of this machine, if not the one that `leasehold serve` would start here.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which server")]
pub struct LocalArgs {
    /// Configuration file [default: ./leasehold.toml, then /etc/leasehold/leasehold.toml, where there is one]
    #[arg(long, env = "LEASEHOLD_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<String>,

    /// State folder of the server [default: what the configuration says, else /var/lib/leasehold as root and
    /// ~/.local/state/leasehold otherwise]
    #[arg(long, env = "LEASEHOLD_DATA_DIR", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,
}

/// Where its REST is and what opens it.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which server")]
pub struct RestArgs {
    /// Address of its REST [default: what the configuration says, else http://127.0.0.1:5097]
    #[arg(long, env = "LEASEHOLD_URL", value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,

    /// File with the token of its REST [default: rest.token in its state folder]
    #[arg(long, env = "LEASEHOLD_TOKEN_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    local: LocalArgs,
}

impl RestArgs {
    /// As if these had been given on the command line.
    #[must_use]
    pub fn of(url: Option<String>, token_file: Option<PathBuf>, data_dir: Option<&Path>) -> Self {
        let data_dir = data_dir.map(|folder| folder.display().to_string());
        Self { url, token_file, local: LocalArgs { data_dir, ..LocalArgs::default() } }
    }
}

impl LocalArgs {
    /// The settings `leasehold serve` would have here.
    ///
    /// # Errors
    /// If the configuration is wrong.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let mut line = Vec::new();
        for (flag, value) in [("--config", &self.config), ("--data-dir", &self.data_dir)] {
            line.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        let command = ServeArgs::augment_args(clap::Command::new("leasehold").no_binary_name(true));
        let matches = command.try_get_matches_from(line).map_err(|e| Failure::usage(e.to_string()))?;
        let resolved = config::resolve(&matches, &Surroundings::of_process());
        resolved.map(|resolved| resolved.settings).map_err(|e| wrong_configuration(&e))
    }
}

impl RestArgs {
    /// As [`LocalArgs::settings`].
    ///
    /// # Errors
    /// If the configuration is wrong.
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.local.settings()
    }

    /// Its REST.
    ///
    /// # Errors
    /// If the configuration is wrong, REST is switched off, or the token cannot be read.
    pub fn rest(&self) -> Result<Rest, Failure> {
        let settings = self.local.settings()?;
        let url = self.url.clone().map_or_else(|| rest_url(&settings), Ok)?;
        let beside = settings.data_dir.join(TOKEN_FILE);
        Rest::new(&url, self.token_file.as_deref().unwrap_or(&beside))
    }
}

/// The token's name in the state folder.
pub const TOKEN_FILE: &str = "rest.token";

fn rest_url(settings: &Settings) -> Result<String, Failure> {
    match settings.http {
        HttpListen::Off => Err(Failure::new("the server's configuration switches its REST off")
            .exit(Exit::UNREACHABLE)
            .remedy("switch it on: http = \"127.0.0.1\" in leasehold.toml")),
        HttpListen::On(ip, port) => Ok(format!("http://{}", SocketAddr::new(ip, port.unwrap_or(settings.port)))),
    }
}

/// A configuration with mistakes, drawn with its lines.
#[must_use]
pub fn wrong_configuration(error: &ConfigError) -> Failure {
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let count = error.problems.len();
    let what = match count {
        1 => "the configuration has a mistake".to_owned(),
        _ => format!("the configuration has {count} mistakes"),
    };
    Failure::usage(format!("{what}\n{}", error.render(colour, 110).trim_end()))
}

/// `path` as a shell takes it, from the working folder where that is shorter.
#[must_use]
pub fn shell_path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let short = path.strip_prefix(&here).unwrap_or(path).display().to_string();
    if short.is_empty() { ".".to_owned() } else { quoted(&short) }
}

/// `path` as a shell takes it in whatever folder it is.
#[must_use]
pub fn full_shell_path(path: &Path) -> String {
    quoted(&path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string())
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// How to call this very program from another terminal: by name where the path finds it, else by its file.
#[must_use]
pub fn program_name() -> String {
    let Ok(own) = std::env::current_exe() else { return "leasehold".to_owned() };
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("leasehold")).find(|file| file.is_file())
    });
    let same = found.and_then(|file| file.canonicalize().ok()).is_some_and(|file| file == own);
    if same { "leasehold".to_owned() } else { quoted(&own.display().to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_is_quoted_for_the_shell() {
        assert_eq!(shell_path(Path::new("/tmp/a b")), "'/tmp/a b'");
        assert_eq!(shell_path(Path::new("/tmp/it's")), r"'/tmp/it'\''s'");
        assert_eq!(shell_path(Path::new("/tmp/demo.pub")), "/tmp/demo.pub");
        assert_eq!(shell_path(&std::env::current_dir().unwrap()), ".");
    }
}
