//! The report as JSON: everything, for programs.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use anyhow::{Context, Result, ensure};

use super::{Report, VERSION};

/// Writes a report; `-` is standard output.
///
/// # Errors
/// When the file cannot be written.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let written = if path == Path::new("-") {
        write_to(report, io::stdout().lock())
    } else {
        File::create(path).and_then(|file| write_to(report, file))
    };
    written.with_context(|| format!("cannot write the report to {}", path.display()))
}

/// Writes a report, with a line break at its end.
///
/// # Errors
/// Those of the writer.
pub fn write_to(report: &Report, out: impl io::Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    serde_json::to_writer_pretty(&mut out, report)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// When the file cannot be read, is no report, or is one of another version.
pub fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let report: Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of a load run", path.display()))?;
    ensure!(
        report.version == VERSION,
        "{} is a report of version {}, this program reads version {VERSION}",
        path.display(),
        report.version
    );
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn what_was_written_can_be_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.json");
        for report in [sample::full(), sample::bare(), sample::ramp()] {
            write(&report, &path).expect("written");
            let read = read(&path).expect("read");
            assert_eq!(format!("{read:?}"), format!("{report:?}"));
        }
    }

    #[test]
    fn what_stands_there_is_what_others_read() {
        let mut text = Vec::new();
        write_to(&sample::full(), &mut text).expect("memory");
        assert!(text.ends_with(b"}\n"));
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(value["version"], 1);
        assert_eq!(value["scenario"]["clients"][1]["name"], "<script>alert(1)</script>");
        assert_eq!(value["healthy"]["counts"]["lost"], 3);
        assert_eq!(value["curves"][0]["timing"], "latency");
        assert_eq!(value["events"][0]["recovered_after_s"], 4.2);
    }

    #[test]
    fn other_versions_and_other_files_are_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("other.json");
        write(&Report { version: 2, ..sample::bare() }, &path).expect("written");
        let error = read(&path).expect_err("of another version").to_string();
        assert!(error.contains("version 2") && error.contains("other.json"), "{error}");
        std::fs::write(&path, "{}").expect("written");
        assert!(read(&path).expect_err("none").to_string().contains("is no report"));
        assert!(read(&directory.path().join("none")).is_err());
        assert!(write(&sample::bare(), directory.path()).is_err(), "a directory");
    }
}
