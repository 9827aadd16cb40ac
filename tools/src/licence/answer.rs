//! What the server tells of its licences, as far as it is shown.

use serde::Deserialize;

use crate::human;

#[derive(Deserialize)]
pub(super) struct Report {
    pub(super) files: Vec<File>,
    #[serde(default)]
    pub(super) overage: u64,
    pub(super) next_change_at: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) problem: Option<String>,
    pub(super) certificates: Vec<Line>,
    pub(super) refused: Vec<Refused>,
}

#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) line: Option<u32>,
    pub(super) outcome: String,
    pub(super) sentence: String,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Refused {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) feature: Option<String>,
    pub(super) why: String,
}

#[derive(Deserialize)]
pub(super) struct Added {
    pub(super) changed: bool,
    pub(super) persisted: bool,
    pub(super) certificates: Vec<Line>,
    pub(super) features: Vec<Change>,
}

#[derive(Deserialize)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) before: Option<u64>,
    pub(super) after: Option<u64>,
}

impl Report {
    /// `3 certificates`.
    pub(super) fn in_force(&self) -> String {
        let lines = self.files.iter().flat_map(|file| &file.certificates);
        human::count(lines.filter(|line| line.outcome == "applied").count() as u64, "certificate")
    }
}
