//! Tables: with lines for people, plain columns for pipes, CSV for spreadsheets.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, TableStyle, presets};

use crate::{exit::Failure, output};

/// Rows under a heading, all cells as text.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    heading: Vec<&'static str>,
    /// Indices of the columns whose cells are numbers and end at the right.
    numbers: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// No rows yet under `heading`.
    #[must_use]
    pub fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), ..Self::default() }
    }

    /// The same with these columns flush right.
    #[must_use]
    pub fn numbers(mut self, columns: &[usize]) -> Self {
        self.numbers = columns.to_vec();
        self
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, without a line end: framed where people look at a terminal that is wide enough, otherwise
    /// plain columns. Never wrapped: a fingerprint in two pieces cannot be copied, and `awk` finds what it looks for.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_for(output::columns())
    }

    fn render_for(&self, columns: Option<usize>) -> String {
        let framed = columns.map(|columns| (columns, self.table(presets::UTF8_BORDERS_ONLY, (1, 1))));
        let width = |table: &Table| table.lines().next().map_or(0, |line| line.chars().count());
        let table = match framed {
            Some((columns, table)) if width(&table) <= columns => table,
            _ => self.table(presets::NOTHING, (0, 2)),
        };
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn table(&self, style: TableStyle, padding: (u16, u16)) -> Table {
        let mut table = Table::new();
        table.load_style(style).set_content_arrangement(ContentArrangement::Disabled);
        let strong = |name: &&str| Cell::new(name).add_attribute(Attribute::Bold);
        table.set_header(self.heading.iter().map(strong).enumerate().map(|(i, cell)| self.aligned(i, cell)));
        for row in &self.rows {
            table.add_row(row.iter().map(Cell::new).enumerate().map(|(i, cell)| self.aligned(i, cell)));
        }
        table.column_iter_mut().for_each(|column| {
            column.set_padding(padding);
        });
        table
    }

    fn aligned(&self, column: usize, cell: Cell) -> Cell {
        if self.numbers.contains(&column) { cell.set_alignment(CellAlignment::Right) } else { cell }
    }

    /// The table as CSV (RFC 4180), heading first.
    ///
    /// # Errors
    /// None in practice: the bytes stay in memory.
    pub fn csv(&self) -> Result<String, Failure> {
        let failed = |e: &dyn std::error::Error| Failure::new("cannot write the table as CSV").because_of(e);
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.heading).map_err(|e| failed(&e))?;
        for row in &self.rows {
            writer.write_record(row).map_err(|e| failed(&e))?;
        }
        let bytes = writer.into_inner().map_err(|e| failed(e.error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::new(&["feature", "used"]).numbers(&[1]);
        rows.push(vec!["VR_MODE".into(), "3".into()]);
        rows.push(vec!["a,b".into(), "120".into()]);
        rows
    }

    #[test]
    fn a_pipe_gets_plain_columns_without_lines() {
        let text = rows().render_for(None);
        let words: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(words, [["feature", "used"], ["VR_MODE", "3"], ["a,b", "120"]]);
        assert!(text.is_ascii());
        assert!(text.lines().all(|line| line == line.trim_end()));
    }

    #[test]
    fn a_terminal_gets_a_frame_only_if_it_is_wide_enough() {
        assert!(rows().render_for(Some(80)).starts_with('┌'));
        for narrow in [0, 10] {
            assert_eq!(rows().render_for(Some(narrow)), rows().render_for(None));
        }
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(rows().csv().unwrap(), "feature,used\nVR_MODE,3\n\"a,b\",120\n");
    }
}
