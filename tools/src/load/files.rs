//! What is left of a test on disk: CSV by the second, a histogram log, the page.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hdrhistogram::serialization::{
    Deserializer, V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, Tag},
};

use super::{Args, page, report::Outcome, run::Ran, series::Row, tally::Kind};
use crate::exit::Failure;

/// The files asked for, made before the test begins: an hour's load is not lost to a folder that is not there.
pub struct Files {
    csv: Option<(PathBuf, File)>,
    hdr: Option<(PathBuf, File)>,
    page: Option<(PathBuf, File)>,
}

impl Files {
    /// Makes them, empty.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn create(args: &Args) -> Result<Self, Failure> {
        let make = |path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => File::create(path).map(|file| Some((path.clone(), file))).map_err(|e| cannot(path, &e)),
        };
        Ok(Self { csv: make(&args.csv)?, hdr: make(&args.hdr)?, page: make(&args.report)? })
    }

    /// Writes them.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn write(self, began: SystemTime, phases: &[Ran], outcome: &Outcome) -> Result<(), Failure> {
        let rows: Vec<&Row> = phases.iter().flat_map(|ran| &ran.rows).collect();
        if let Some((path, file)) = self.csv {
            csv(file, &rows).map_err(|e| cannot(&path, &e))?;
        }
        if let Some((path, file)) = self.hdr {
            log(file, began, &rows).map_err(|e| cannot(&path, &e))?;
        }
        if let Some((path, mut file)) = self.page {
            file.write_all(page::of(outcome, phases)?.as_bytes()).map_err(|e| cannot(&path, &e))?;
        }
        Ok(())
    }
}

fn cannot(path: &Path, why: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot write {}", path.display())).because_of(why)
}

/// One line a second, latencies in microseconds.
fn csv(to: impl Write, rows: &[&Row]) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    let mut head = ["second", "phase", "operations", "retries", "lost", "denied"].map(str::to_owned).to_vec();
    for kind in Kind::ALL {
        head.extend(["count", "p50_us", "p99_us", "p999_us"].map(|figure| format!("{}_{figure}", kind.name())));
    }
    csv.write_record(&head)?;
    for row in rows {
        let mut line = vec![format!("{:.3}", row.second), row.phase.clone()];
        line.extend([row.operations, row.retries, row.lost, row.denied].map(|count| count.to_string()));
        for of in &row.kinds {
            line.extend([of.count, of.p50_us, of.p99_us, of.p999_us].map(|figure| figure.to_string()));
        }
        csv.write_record(&line)?;
    }
    csv.flush()?;
    Ok(())
}

/// The standard interval log: one line per second and kind, tagged with the kind. Values are microseconds.
fn log(to: impl Write, began: SystemTime, rows: &[&Row]) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("leasehold load: latencies in microseconds, one line per second and kind")
        .with_start_time(began)
        .with_base_time(began)
        .begin_log_with(&mut to, &mut serializer)?;
    let mut reader = Deserializer::new();
    for row in rows {
        for (kind, bytes) in &row.histograms {
            let histogram: hdrhistogram::Histogram<u64> =
                reader.deserialize(&mut bytes.as_slice()).map_err(|e| io::Error::other(e.to_string()))?;
            let (start, tag) = (Duration::from_secs_f64(row.second), Tag::new(kind.name()));
            log.write_histogram(&histogram, start, Duration::from_secs(1), tag)
                .map_err(|e| io::Error::other(e.to_string()))?;
        }
    }
    drop(log);
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::load::series::{Recorder, Series};

    /// Two seconds of one thread: three renewals of 70 µs, then a release of 900 µs.
    fn rows() -> Vec<Row> {
        let series = Arc::new(Series::new("steady", Duration::from_secs(10), 1, true).unwrap());
        let mut pen = Recorder::new(series.clone()).unwrap();
        (0..3).for_each(|_| pen.tally.record(Kind::Renewal, Duration::from_micros(70)));
        pen.tally.counts.operations = 3;
        pen.tick(Duration::from_secs(1)).unwrap();
        pen.tally.record(Kind::Release, Duration::from_micros(900));
        pen.tally.counts.retries = 2;
        pen.finish().unwrap();
        series.finish().unwrap().1
    }

    #[test]
    fn a_line_of_csv_is_a_second() {
        let (rows, mut text) = (rows(), Vec::new());
        csv(&mut text, &rows.iter().collect::<Vec<_>>()).unwrap();
        let mut read = csv::Reader::from_reader(text.as_slice());
        let at = |name: &str, head: &csv::StringRecord| head.iter().position(|column| column == name).unwrap();
        let head = read.headers().unwrap().clone();
        let lines: Vec<_> = read.records().map(Result::unwrap).collect();
        let cell = |line: usize, name: &str| lines[line][at(name, &head)].to_owned();
        assert_eq!(lines.len(), 2);
        assert_eq!([cell(0, "second"), cell(0, "phase"), cell(0, "operations")], ["10.000", "steady", "3"]);
        assert_eq!([cell(0, "renewals_count"), cell(0, "renewals_p99_us")], ["3", "70"]);
        assert_eq!([cell(1, "retries"), cell(1, "releases_p50_us"), cell(1, "renewals_count")], ["2", "900", "0"]);
    }

    #[test]
    fn the_histogram_log_is_read_back_as_the_standard_says() {
        let (rows, mut text) = (rows(), Vec::new());
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        log(&mut text, began, &rows.iter().collect::<Vec<_>>()).unwrap();
        let (mut told, mut base) = (Vec::new(), None);
        for entry in IntervalLogIterator::new(&text) {
            match entry.unwrap() {
                LogEntry::BaseTime(time) => base = Some(time.as_secs()),
                LogEntry::StartTime(_) => {}
                LogEntry::Interval(line) => {
                    use base64::{Engine, prelude::BASE64_STANDARD};
                    let bytes = BASE64_STANDARD.decode(line.encoded_histogram()).unwrap();
                    let histogram: hdrhistogram::Histogram<u64> =
                        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                    let tag = line.tag().map(|tag| tag.as_str().to_owned()).unwrap();
                    told.push((line.start_timestamp().as_secs(), tag, histogram.len(), histogram.max()));
                }
            }
        }
        assert_eq!(base, Some(1_700_000_000));
        assert_eq!(told, [(10, "renewals".to_owned(), 3, 70), (11, "releases".to_owned(), 1, 900)]);
    }
}
