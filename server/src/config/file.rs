//! `leasehold.toml` as text with places: which setting, which words, where.

use std::{ops::Range, path::Path};

use leasehold_protocol::licence::nearest::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    layers::{Given, Origin, Text},
    problem::{Problem, Quote, short},
    table::SETTINGS,
};

/// Reads the file at `path`. Every setting it gives, in the order of [`SETTINGS`] names, and every mistake.
pub(super) fn read(path: &Path, working_dir: &Path) -> Result<Vec<(&'static str, Given)>, Vec<Problem>> {
    let name = short(path, working_dir);
    let text = std::fs::read_to_string(path).map_err(|e| {
        vec![
            Problem::new(format!("the configuration file cannot be read: {e}"), &name)
                .with_help(Some(format!("check that {name} is there and readable, or name another one by --config"))),
        ]
    })?;
    let whole = Quote::new(&name, &*text, 0..0);
    let table = DeTable::parse(&text).map_err(|e| vec![syntax(&whole, &name, &e)])?;
    let file = File { path, name, whole };
    file.settings(table.get_ref())
}

struct File<'a> {
    path: &'a Path,
    name: String,
    whole: Quote,
}

impl File<'_> {
    fn settings(&self, table: &DeTable<'_>) -> Result<Vec<(&'static str, Given)>, Vec<Problem>> {
        let (mut given, mut problems) = (Vec::new(), Vec::new());
        for (key, value) in table {
            match self.setting(key.get_ref(), key.span(), value) {
                Ok(setting) => given.push(setting),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(given) } else { Err(problems) }
    }

    fn setting(
        &self,
        key: &str,
        key_span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(&'static str, Given), Problem> {
        let setting = SETTINGS.iter().find(|s| s.name == key).ok_or_else(|| self.unknown(key, key_span))?;
        let texts = match value.get_ref() {
            DeValue::Array(items) if setting.clear.is_some() => {
                items.iter().map(|item| self.text(item, setting.is_path)).collect::<Result<_, _>>()?
            }
            _ => vec![self.text(value, setting.is_path)?],
        };
        let (line, _) = self.whole.at(value.span()).line_column();
        Ok((setting.name, Given { texts, origin: Origin::File { path: self.path.to_owned(), line } }))
    }

    fn text(&self, value: &Spanned<DeValue<'_>>, is_path: bool) -> Result<Text, Problem> {
        let text = match value.get_ref() {
            DeValue::String(text) if is_path => self.beside(text),
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Boolean(on) => if *on { "on" } else { "off" }.to_owned(),
            other => return Err(self.problem_at(value.span(), format!("a {} is no value here", other.type_str()))),
        };
        Ok(Text { value: text, quote: self.whole.at(value.span()) })
    }

    /// A relative path in the file is meant from the file's own folder, not from wherever the server was started.
    fn beside(&self, path: &str) -> String {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        if path.is_empty() { String::new() } else { folder.join(path).display().to_string() }
    }

    fn unknown(&self, key: &str, span: Range<usize>) -> Problem {
        let near = nearest(key, SETTINGS.iter().map(|s| s.name));
        let help = near.map_or_else(
            || "leasehold config show lists every setting".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        let quote = self.whole.at(span);
        Problem::new(format!("there is no setting \"{key}\""), self.place(&quote))
            .quoting(quote, "expected the name of a setting")
            .with_help(Some(help))
    }

    fn problem_at(&self, span: Range<usize>, message: String) -> Problem {
        let quote = self.whole.at(span);
        Problem::new(message, self.place(&quote)).quoting(quote, "expected a text, a whole number, true or false")
    }

    fn place(&self, quote: &Quote) -> String {
        place(&self.name, quote)
    }
}

fn syntax(whole: &Quote, name: &str, e: &toml::de::Error) -> Problem {
    let quote = whole.at(e.span().unwrap_or(0..0));
    Problem::new(format!("not TOML: {}", e.message()), place(name, &quote)).quoting(quote, "here")
}

/// `file:line:column`.
pub(crate) fn place(name: &str, quote: &Quote) -> String {
    let (line, column) = quote.line_column();
    format!("{name}:{line}:{column}")
}
