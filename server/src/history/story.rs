//! One line of the history and what belongs to it: for who asks why.

use leasehold_protocol::time::UnixMillis;
use rusqlite::{OptionalExtension as _, Row as Line, params};

use super::{
    reader::{ReadError, Reader, Row, read},
    store::int,
};

impl Reader {
    /// The line with number `id`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn event(&self, id: i64) -> Result<Option<Row>, ReadError> {
        let sql = format!("SELECT {} FROM events WHERE id = ?", self.columns);
        self.told(self.file.query_row(&sql, [id], read).optional())
    }

    /// What is told of `lease`, in the order it was written: of the last that had this name, or if `id` is given, of the one that line is
    /// about.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn lease(&self, lease: &str, id: Option<i64>) -> Result<Vec<Row>, ReadError> {
        let columns = &self.columns;
        let sql = format!(
            "SELECT {columns} FROM events WHERE lease = ?1 AND id >= coalesce((SELECT max(id) FROM events \
             WHERE lease = ?1 AND kind = 'granted' AND id <= ?2), 0) AND id < coalesce((SELECT min(id) FROM events WHERE \
             lease = ?1 AND kind = 'granted' AND id > ?2), ?3) ORDER BY id LIMIT 100"
        );
        let rows = || -> rusqlite::Result<Vec<Row>> {
            let mut lines = self.file.prepare(&sql)?;
            lines.query_map(params![lease, id.unwrap_or(i64::MAX), i64::MAX], read)?.collect()
        };
        self.told(rows())
    }

    /// Hands every line from `from` on to `each`, in the order it was written, of more than `most` the last. Whether some were left out.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn replay(&self, from: UnixMillis, most: u64, each: impl FnMut(Row)) -> Result<bool, ReadError> {
        self.told(self.hand_on(int(from.0), int(most), each))
    }

    fn hand_on(&self, from: i64, most: i64, mut each: impl FnMut(Row)) -> rusqlite::Result<bool> {
        let left_out = "SELECT id FROM events WHERE at_ms >= ? ORDER BY id DESC LIMIT 1 OFFSET ?";
        let left_out: Option<i64> = self.file.query_row(left_out, [from, most], |line| line.get(0)).optional()?;
        let sql = format!("SELECT {} FROM events WHERE at_ms >= ? AND id > ? ORDER BY id", self.columns);
        let mut lines = self.file.prepare(&sql)?;
        let mut rows = lines.query([from, left_out.unwrap_or(0)])?;
        while let Some(line) = rows.next()? {
            each(read(line)?);
        }
        Ok(left_out.is_some())
    }

    /// How many seats of its feature were out just before the line `row`, as far as the history tells; `None` if it does not, because
    /// something is missing, or because it begins with seats out.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn out_before(&self, row: &Row) -> Result<Option<u64>, ReadError> {
        self.told(self.count_out(row))
    }

    fn count_out(&self, row: &Row) -> rusqlite::Result<Option<u64>> {
        // From a start on at which nothing was out.
        let since =
            "SELECT id, at_ms FROM events WHERE kind = 'started' AND seats = 0 AND id < ? ORDER BY id DESC LIMIT 1";
        let pair = |line: &Line<'_>| Ok((line.get::<_, i64>(0)?, line.get::<_, i64>(1)?));
        let Some((since, since_ms)) = self.file.query_row(since, [row.id], pair).optional()? else { return Ok(None) };
        let missing = "SELECT EXISTS (SELECT 1 FROM gaps WHERE to_ms > ? AND from_ms < ?)";
        if self.file.query_row(missing, params![since_ms, int(row.at.0)], |line| line.get(0))? {
            return Ok(None);
        }
        // Seats that stay after a release come back with the line that says so.
        let out = "SELECT coalesce(sum(seats), 0) FROM events AS granted WHERE kind = 'granted' AND realm = ?1 AND feature = ?2 AND \
                   id > ?3 AND id < ?4 AND NOT EXISTS (SELECT 1 FROM events AS ended WHERE ended.lease = granted.lease AND \
                   ended.id > granted.id AND ended.id < ?4 AND (ended.kind IN ('expired', \
                   'linger-ended') OR ended.kind = 'released' AND NOT EXISTS (SELECT 1 FROM events AS stayed WHERE \
                   stayed.lease = granted.lease AND stayed.kind = 'linger-ended' AND stayed.id >= ?4)))";
        let out = self.file.query_row(out, params![row.realm, row.feature, since, row.id], |line| line.get(0))?;
        Ok(Some(out))
    }
}
