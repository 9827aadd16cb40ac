//! Results to stdout, everything else to stderr, and no panic when the reader goes away (a plain `println!` would).

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::exit::Failure;

/// Headings and the words that matter.
pub const STRONG: Style = Style::new().bold();
/// What is fine.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What deserves a look.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What is broken.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Details beside what matters.
pub const FAINT: Style = Style::new().dimmed();
/// Commands to type.
pub const COMMAND: Style = AnsiColor::Cyan.on_default();

/// `text` in `style`; anstream takes the colours out again where there is no terminal or `NO_COLOR` is set.
#[must_use]
pub fn paint(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes a result to stdout, with a line end if it has none.
///
/// # Errors
/// If the reader went away, a silent one; if stdout cannot be written (a full disk), one that says so.
pub fn result(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(|e| write_failure(&e))
}

/// Writes bytes to stdout as they are.
///
/// # Errors
/// As [`result`].
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| write_failure(&e))
}

/// Writes `value` to stdout as indented JSON.
///
/// # Errors
/// As [`result`].
pub fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new("cannot write the answer as JSON").because_of(&e))?;
    result(&text)
}

/// Writes a line to stderr. That nobody reads it is no reason to stop.
pub fn say(line: fmt::Arguments<'_>) {
    let mut err = anstream::stderr();
    let _ = writeln!(err, "{line}");
}

/// Writes one formatted line to stderr: news about what the command is doing.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => { $crate::output::say(format_args!($($line)*)) };
}

/// Whether people look at stdout (a table then has lines and is cut to the width), or another program.
#[must_use]
pub fn is_for_people() -> bool {
    io::stdout().is_terminal()
}

/// How wide the terminal is that people look at stdout in; `None` where another program reads it.
#[must_use]
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().filter(|_| is_for_people()).map(|size| size.ws_col.into())
}

/// Tells on stderr why a command failed.
pub fn tell(failure: &Failure) {
    if failure.is_silent() {
        return;
    }
    say(format_args!("{} {}", paint(BAD, "leasehold:"), failure.what()));
    for why in failure.why() {
        say(format_args!("  because {}", indented(why)));
    }
    for remedy in failure.remedies() {
        say(format_args!("  {} {}", paint(GOOD, "→"), indented(remedy)));
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

fn write_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::reader_gone(),
        _ => Failure::new("cannot write to standard output").because_of(error),
    }
}
