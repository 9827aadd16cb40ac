//! A piece of a line that is too long to be shown: a template in one line of 64 KiB is no use on a terminal.

use std::{fmt, ops::Range};

use miette::{Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::Problem;

/// A longer line is shown in part.
const LINE_MAX: usize = 400;
/// What is shown of it before the mistake, and of the mistake and what follows.
const BEFORE: usize = 48;
const AFTER: usize = 80;

/// A problem with a piece of its line alone.
#[derive(Debug)]
pub(super) struct Excerpt<'a> {
    problem: &'a Problem,
    /// The piece, in bytes of the text.
    shown: Range<usize>,
}

impl<'a> Excerpt<'a> {
    /// The same as `problem`, if it stands in a line that is too long, or beside one.
    pub(super) fn of(problem: &'a Problem) -> Option<Self> {
        let text = problem.text.as_str();
        let at = floor(text, problem.span.start);
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let beside = [text[..start].trim_end_matches('\n').rsplit('\n').next(), text[end..].split('\n').nth(1)];
        let longest = beside.into_iter().flatten().map(str::len).chain([end - start]).max().unwrap_or(0);
        let (from, to) = (floor(text, at.saturating_sub(BEFORE)).max(start), floor(text, at + AFTER).min(end));
        (longest > LINE_MAX).then_some(Self { problem, shown: from..to })
    }
}

/// The place of `at`, or the nearest before it where a character begins.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Excerpt<'_> {}

impl Diagnostic for Excerpt<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = (!self.problem.expected.is_empty()).then(|| self.problem.expected.clone());
        let start = self.problem.span.start.clamp(self.shown.start, self.shown.end);
        let end = self.problem.span.end.clamp(start, self.shown.end);
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, start..end))))
    }
}

impl SourceCode for Excerpt<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = self.problem.text.as_str();
        // Without context it is asked where the mistake stands.
        let from = if before == 0 { floor(text, span.offset()) } else { self.shown.start };
        let line_start = text[..from].rfind('\n').map_or(0, |newline| newline + 1);
        let (line, column) = (text[..from].matches('\n').count(), text[line_start..from].chars().count());
        let data = text.get(from..self.shown.end).ok_or(MietteError::OutOfBounds)?.as_bytes();
        let shown = SourceSpan::from((from, data.len()));
        let name = self.problem.file().to_owned();
        Ok(Box::new(MietteSpanContents::new_named(name, data, shown, line, column, 1)))
    }
}
