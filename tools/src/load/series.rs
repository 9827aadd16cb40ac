//! The test second by second: every thread hands its tally of each second in, and a second is done when all have.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::serialization::{Serializer, V2Serializer};
use serde::Serialize;

use super::tally::{Kind, Summary, Tally};
use crate::exit::Failure;

/// One second of all threads together.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// When it began, in seconds since the beginning of the test, to the millisecond: phases do not begin on whole ones.
    pub second: f64,
    /// The phase it belongs to.
    pub phase: String,
    /// The figures of each kind, in the order of [`Kind::ALL`].
    pub kinds: Vec<Summary>,
    /// Operations that were answered and belong to what is measured; renewals of a population.
    pub operations: u64,
    /// Asked again for want of an answer.
    pub retries: u64,
    /// Leases lost.
    pub lost: u64,
    /// Denials.
    pub denied: u64,
    /// The histograms, each as the standard's V2 bytes, if a log of them was asked for.
    #[serde(skip)]
    pub histograms: Vec<(Kind, Vec<u8>)>,
}

impl Row {
    /// The figures of `kind`.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &Summary {
        &self.kinds[kind as usize]
    }
}

/// The seconds of one phase.
pub struct Series {
    phase: String,
    begins: Duration,
    threads: usize,
    keep_histograms: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    open: BTreeMap<u64, (usize, Tally)>,
    rows: Vec<Row>,
    total: Tally,
}

impl Series {
    /// No seconds yet of a phase that begins `begins` into the test and has `threads` threads.
    ///
    /// # Errors
    /// None in practice: the bounds of the histograms are constants.
    pub fn new(phase: &str, begins: Duration, threads: usize, keep_histograms: bool) -> Result<Self, Failure> {
        let inner = Inner { open: BTreeMap::new(), rows: Vec::new(), total: Tally::new()? };
        Ok(Self { phase: phase.to_owned(), begins, threads, keep_histograms, inner: Mutex::new(inner) })
    }

    /// A thread's tally of the second `second` of the phase. When the last thread's is in, the second is done.
    ///
    /// # Errors
    /// None in practice: all histograms have the same bounds.
    fn hand_in(&self, second: u64, tally: &Tally) -> Result<(), Failure> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.total.add(tally)?;
        let (threads, all) = match inner.open.entry(second) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert((0, Tally::new()?)),
        };
        all.add(tally)?;
        *threads += 1;
        if *threads == self.threads {
            self.close(&mut inner, second)?;
        }
        Ok(())
    }

    fn close(&self, inner: &mut Inner, second: u64) -> Result<(), Failure> {
        let Some((_, tally)) = inner.open.remove(&second) else { return Ok(()) };
        let histograms = if self.keep_histograms { bytes(&tally)? } else { Vec::new() };
        inner.rows.push(Row {
            second: (self.begins + Duration::from_secs(second)).as_millis() as f64 / 1e3,
            phase: self.phase.clone(),
            kinds: Kind::ALL.iter().map(|kind| tally.of(*kind).summary()).collect(),
            operations: tally.counts.operations,
            retries: tally.counts.retries,
            lost: tally.counts.lost,
            denied: tally.denials.values().sum(),
            histograms,
        });
        Ok(())
    }

    /// How many threads hand in.
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// The latest second that is done.
    pub fn latest(&self) -> Option<Row> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).rows.last().cloned()
    }

    /// Everything together, and the seconds in order. For when all threads have ended.
    ///
    /// # Errors
    /// None in practice: all histograms have the same bounds.
    pub fn finish(&self) -> Result<(Tally, Vec<Row>), Failure> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<u64> = inner.open.keys().copied().collect();
        open.into_iter().try_for_each(|second| self.close(&mut inner, second))?;
        let mut rows = std::mem::take(&mut inner.rows);
        rows.sort_by(|a, b| a.second.total_cmp(&b.second));
        Ok((inner.total.clone(), rows))
    }
}

fn bytes(tally: &Tally) -> Result<Vec<(Kind, Vec<u8>)>, Failure> {
    let filled = Kind::ALL.into_iter().filter(|kind| !tally.of(*kind).histogram().is_empty());
    filled
        .map(|kind| {
            let mut bytes = Vec::new();
            let written = V2Serializer::new().serialize(tally.of(kind).histogram(), &mut bytes);
            written.map(|_| (kind, bytes)).map_err(|e| Failure::new("cannot keep a histogram").because_of(&e))
        })
        .collect()
}

/// One thread's pen: counts into the second that runs.
pub struct Recorder {
    series: Arc<Series>,
    second: u64,
    /// The second that runs.
    pub tally: Tally,
}

impl Recorder {
    /// For one thread of `series`.
    ///
    /// # Errors
    /// None in practice: the bounds of the histograms are constants.
    pub fn new(series: Arc<Series>) -> Result<Self, Failure> {
        Ok(Self { series, second: 0, tally: Tally::new()? })
    }

    /// Hands every second in that is over at `now`, a time of the phase.
    ///
    /// # Errors
    /// None in practice: the bounds of the histograms are constants.
    pub fn tick(&mut self, now: Duration) -> Result<(), Failure> {
        while now.as_secs() > self.second {
            self.hand_in()?;
        }
        Ok(())
    }

    /// Hands the last second in.
    ///
    /// # Errors
    /// None in practice: the bounds of the histograms are constants.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.hand_in()
    }

    fn hand_in(&mut self) -> Result<(), Failure> {
        let tally = std::mem::replace(&mut self.tally, Tally::new()?);
        self.series.hand_in(self.second, &tally)?;
        self.second += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_told_when_every_thread_has_handed_it_in() {
        let series = Arc::new(Series::new("steady", Duration::from_millis(100_500), 2, false).unwrap());
        let mut pens = [0, 1].map(|_| Recorder::new(series.clone()).unwrap());
        for (pen, count) in pens.iter_mut().zip([3, 4]) {
            (0..count).for_each(|_| pen.tally.record(Kind::Renewal, Duration::from_micros(70)));
            pen.tally.counts.retries = count;
        }
        pens[0].tick(Duration::from_millis(2_500)).unwrap();
        assert!(series.latest().is_none());
        pens[1].tick(Duration::from_millis(1_001)).unwrap();
        let row = series.latest().unwrap();
        assert_eq!((row.second, row.phase.as_str(), row.retries), (100.5, "steady", 7));
        assert_eq!((row.of(Kind::Renewal).count, row.of(Kind::Renewal).p50_us), (7, 70));

        pens[1].tally.record(Kind::Release, Duration::from_micros(5));
        pens.into_iter().for_each(|pen| pen.finish().unwrap());
        let (total, rows) = series.finish().unwrap();
        assert_eq!(rows.iter().map(|row| row.second).collect::<Vec<_>>(), [100.5, 101.5, 102.5]);
        assert_eq!(rows[1].of(Kind::Release).count, 1);
        assert_eq!(total.of(Kind::Renewal).summary().count, 7);
    }
}
