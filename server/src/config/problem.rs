//! What is wrong with a configuration: place, quoted text, what was expected, the nearest word.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

/// A configuration that starts nothing, with everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One mistake.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What is wrong, in one line.
    pub message: String,
    /// Where, as text people can click: `leasehold.toml:3:8`, `LEASEHOLD_PORT`, `command line`.
    pub place: String,
    /// What the underlined text should have been; empty where nothing is underlined.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    quote: Option<Quote>,
}

/// Text a value was read from, and which part of it.
#[derive(Clone, Debug)]
pub(crate) struct Quote {
    source: Arc<NamedSource<String>>,
    span: Range<usize>,
}

impl Quote {
    /// `span` of `text`, which is the whole of the source called `name`.
    pub fn new(name: impl AsRef<str>, text: impl Into<String>, span: Range<usize>) -> Self {
        Self { source: Arc::new(NamedSource::new(name, text.into())), span }
    }

    /// Another part of the same source.
    pub fn at(&self, span: Range<usize>) -> Self {
        Self { source: self.source.clone(), span }
    }

    /// Line and column of the part, both from 1.
    pub fn line_column(&self) -> (usize, usize) {
        line_column(self.source.inner(), self.span.start)
    }
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, place: impl Into<String>) -> Self {
        Self { message: message.into(), place: place.into(), label: String::new(), help: None, quote: None }
    }

    pub(crate) fn quoting(mut self, quote: Quote, label: impl Into<String>) -> Self {
        self.quote = Some(quote);
        self.label = label.into();
        self
    }

    pub(crate) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// Line and column, both from 1, where the mistake is inside a text.
    #[must_use]
    pub fn line_column(&self) -> Option<(usize, usize)> {
        self.quote.as_ref().map(Quote::line_column)
    }

    fn render(&self, theme: &GraphicalTheme, width: usize) -> String {
        let mut out = String::new();
        let handler = GraphicalReportHandler::new_themed(theme.clone()).with_width(width);
        // Writing into a String cannot fail; should a source be unreadable, the plain line still says it.
        if handler.render_report(&mut out, self).is_err() {
            out = format!("{}: {self}\n", self.place);
        }
        out
    }
}

impl ConfigError {
    /// All problems drawn for people, `width` columns wide.
    #[must_use]
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        self.problems.iter().map(|problem| problem.render(&theme, width)).collect()
    }

    /// All problems for programs.
    ///
    /// # Panics
    /// Never: the value is made of text and numbers.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let problems: Vec<_> = self.problems.iter().map(JsonProblem::of).collect();
        serde_json::json!({ "problems": problems })
    }
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    message: &'a str,
    place: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    expected: &'a str,
    help: Option<&'a str>,
}

impl<'a> JsonProblem<'a> {
    fn of(problem: &'a Problem) -> Self {
        let at = problem.line_column();
        Self {
            message: &problem.message,
            place: &problem.place,
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
            expected: &problem.label,
            help: problem.help.as_deref(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let line_end = if i == 0 { "" } else { "\n" };
            write!(f, "{line_end}{}: {problem}", problem.place)?;
            if !problem.label.is_empty() {
                write!(f, ", {}", problem.label)?;
            }
            if let Some(help) = &problem.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.quote.as_ref().map(|quote| &*quote.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let quote = self.quote.as_ref()?;
        let label = LabeledSpan::new_with_span(Some(self.label.clone()), quote.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

/// `path` for a message: from the working folder where that is shorter to read.
pub(super) fn short(path: &Path, working_dir: &Path) -> String {
    path.strip_prefix(working_dir).unwrap_or(path).display().to_string()
}

fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
