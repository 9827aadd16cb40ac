//! A mistake in a text somebody wrote: place, underlined words, what was expected, the nearest word.

mod excerpt;

use std::{fmt, ops::Range, sync::Arc};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use self::excerpt::Excerpt;
use crate::exit::Failure;

/// A text and its name, shared by everything that is said about it.
#[derive(Clone, Debug)]
pub(super) struct Text(Arc<NamedSource<String>>);

impl Text {
    pub(super) fn new(name: impl AsRef<str>, text: impl Into<String>) -> Self {
        Self(Arc::new(NamedSource::new(name, text.into())))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.inner()
    }

    /// The problem that `span` has.
    pub(super) fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { text: self.clone(), span, message: message.into(), expected: String::new(), help: None }
    }
}

/// One mistake.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    text: Text,
    span: Range<usize>,
    message: String,
    expected: String,
    help: Option<String>,
}

impl Problem {
    pub(super) fn expected(mut self, what: impl Into<String>) -> Self {
        self.expected = what.into();
        self
    }

    pub(super) fn help(mut self, what_to_do: Option<impl Into<String>>) -> Self {
        self.help = what_to_do.map(Into::into);
        self
    }

    /// Where, and what.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let (line, column) = self.line_column();
        format!("{}:{line}:{column}: {}", self.file(), self.message)
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What should have been there.
    #[must_use]
    pub fn what_was_expected(&self) -> &str {
        &self.expected
    }

    /// What to do about it.
    #[must_use]
    pub fn what_to_do(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Line and column, both from 1.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.text.as_str().get(..self.span.start).unwrap_or_else(|| self.text.as_str());
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The text the mistake is in.
    #[must_use]
    pub fn file(&self) -> &str {
        self.text.0.name()
    }

    /// The problem drawn with its lines, `width` columns wide.
    #[must_use]
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut out = String::new();
        // Writing into a String cannot fail; should the source be unreadable, the plain line still says it.
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width);
        let drawn = match Excerpt::of(self) {
            Some(excerpt) => handler.render_report(&mut out, &excerpt),
            None => handler.render_report(&mut out, self),
        };
        if drawn.is_err() {
            let (line, column) = self.line_column();
            out = format!("{}:{line}:{column}: {self}\n", self.file());
        }
        out
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.text.0)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = (!self.expected.is_empty()).then(|| self.expected.clone());
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, self.span.clone()))))
    }
}

/// Every mistake of some texts, in the order they stand in; at least one.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// All of them drawn, for stderr as it is.
    #[must_use]
    pub fn render(&self) -> String {
        let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
        self.0.iter().map(|problem| problem.render(colour, WIDTH)).collect()
    }
}

/// Columns for drawn lines.
pub(super) const WIDTH: usize = 110;

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let what = match problems.0.len() {
            1 => "the template has a mistake, and nothing was written".to_owned(),
            many => format!("the templates have {many} mistakes, and nothing was written"),
        };
        Self::new(format!("{what}\n{}", problems.render().trim_end()))
    }
}
