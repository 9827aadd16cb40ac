//! Which language a template is in.

use clap::ValueEnum;

/// The languages of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Ours
    Toml,
    /// LM-X style: LICENSEFILE, FEATURE, SETTING
    Xml,
    /// FlexNet style: SERVER, VENDOR, FEATURE, INCREMENT lines
    Flexnet,
}

impl Language {
    /// The language `text` looks like.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let body = text.trim_start_matches('\u{feff}').trim_start();
        if body.starts_with('<') {
            return Self::Xml;
        }
        let first = body.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let word = first.and_then(|line| line.split_whitespace().next()).unwrap_or_default();
        match word {
            "SERVER" | "VENDOR" | "DAEMON" | "USE_SERVER" | "FEATURE" | "INCREMENT" | "UPGRADE" | "PACKAGE" => {
                Self::Flexnet
            }
            _ => Self::Toml,
        }
    }
}
