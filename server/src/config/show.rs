//! `config show` as data: the tools draw it.

use serde::Serialize;

use super::{Resolved, table::SETTINGS};

/// One setting with its value and where that came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The setting's name: its key in the file and, after `--`, its flag.
    pub name: &'static str,
    /// Its values as text; many only where a setting may be repeated.
    pub value: Vec<String>,
    /// `command line`, a variable's name, `LEASEHOLD_OPTS`, `file:line` or `default`.
    pub origin: String,
    /// The variable that would set it.
    pub variable: String,
}

impl Resolved {
    /// Every setting, in a fixed order.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |setting: &super::table::Setting| Row {
            name: setting.name,
            value: (setting.show)(&self.settings),
            origin: self.origin(setting.name).shown(&self.working_dir),
            variable: setting.variable(),
        };
        SETTINGS.iter().map(row).collect()
    }

    /// The same for programs: the file that was read, and every row.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "config_file": self.file, "settings": self.rows() })
    }
}
