//! The times of each interval as an HdrHistogram log, version 1.3 with V2 histograms: what
//! HistogramLogAnalyzer, `hdr-plot` and their like read.
//!
//! Unlike the report it keeps every interval's whole distribution, so that any part of a run can be
//! looked at, or several runs added up. Values are microseconds; a line's tag is the time's name.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::serialization::{
    V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, Tag},
};

use crate::measure::{Timing, Timings};

/// A log that grows with the run.
pub struct HdrLog {
    path: PathBuf,
    file: BufWriter<File>,
    serializer: V2DeflateSerializer,
}

impl std::fmt::Debug for HdrLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HdrLog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl HdrLog {
    /// Begins a log. `began` is the moment that intervals are counted from.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, began: SystemTime) -> Result<Self> {
        let file = File::create(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let mut log = Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            serializer: V2DeflateSerializer::new(),
        };
        // The reference readers want the version first; readers that know no `BaseTime` go by
        // `StartTime`.
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("[Values are microseconds]")
            .with_start_time(began)
            .with_base_time(began)
            .begin_log_with(&mut log.file, &mut log.serializer)
            .map(drop)
            .and_then(|()| log.file.flush())
            .with_context(|| format!("cannot write {}", log.path.display()))?;
        Ok(log)
    }

    /// Adds a line for each of the five times, also where nothing was recorded: a gap is a finding.
    ///
    /// `at` is where the interval *begins*, from the beginning of the log, and `length` how long it
    /// was. What was written is in the file when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn interval(&mut self, at: Duration, length: Duration, timings: &Timings) -> Result<()> {
        self.append(at, length, timings)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn append(&mut self, at: Duration, length: Duration, timings: &Timings) -> Result<()> {
        // The library's writer borrows both parts and writes only headers of its own accord, so
        // one without headers for each interval continues the log.
        let mut writer =
            IntervalLogWriterBuilder::new().begin_log_with(&mut self.file, &mut self.serializer)?;
        for timing in Timing::ALL {
            writer
                .write_histogram(timings.of(timing), at, length, Tag::new(timing.name()))
                // The error has no source in common with others.
                .map_err(|error| anyhow!("{error}"))?;
        }
        Ok(self.file.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use hdrhistogram::{
        Histogram,
        serialization::{
            Deserializer,
            interval_log::{IntervalLogIterator, LogEntry},
        },
    };

    use super::*;

    fn timings(of_second: u64) -> Timings {
        let mut timings = Timings::default();
        for value in 0..1_000 {
            timings.record(Timing::Latency, 100 * of_second as i64 + value, 1 + of_second);
        }
        timings.record(Timing::Ready, i64::MAX, 1);
        timings
    }

    fn decoded(text: &str) -> Histogram<u64> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram")
    }

    #[test]
    fn what_was_logged_can_be_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("run.hlog");
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_865_462_250);
        let mut log = HdrLog::create(&path, began).expect("created");
        let length = Duration::from_millis(1_004);
        for second in 0..3 {
            log.interval(length * second, length, &timings(second.into())).expect("written");
        }
        // The log is still open: what was written can be read already.
        let bytes = std::fs::read(&path).expect("read");
        assert!(bytes.starts_with(b"#[Histogram log format version 1.3]\n"));
        let entries: Vec<_> =
            IntervalLogIterator::new(&bytes).map(|entry| entry.expect("an entry")).collect();
        let began = Duration::from_millis(1_795_865_462_250);
        assert_eq!(entries[..2], [LogEntry::StartTime(began), LogEntry::BaseTime(began)]);
        assert_eq!(entries.len(), 2 + 3 * Timing::ALL.len());
        for (number, entry) in entries[2..].iter().enumerate() {
            let LogEntry::Interval(interval) = entry else { panic!("not an interval: {entry:?}") };
            let (second, timing) = (number / Timing::ALL.len(), number % Timing::ALL.len());
            let (second, timing) = (u32::try_from(second).expect("small"), Timing::ALL[timing]);
            assert_eq!(interval.tag().expect("a tag").as_str(), timing.name());
            assert_eq!(interval.start_timestamp(), length * second);
            assert_eq!(interval.duration(), length);
            let (expected, read) = (timings(second.into()), decoded(interval.encoded_histogram()));
            assert_eq!(&read, expected.of(timing), "{timing:?} of second {second}");
            assert_eq!(interval.max(), expected.of(timing).max() as f64);
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = HdrLog::create(directory.path(), SystemTime::UNIX_EPOCH).expect_err("no file");
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    }
}
