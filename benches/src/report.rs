//! Medians, and tables that read well in a terminal and in Markdown.

use std::{fmt::Write as _, fs, path::Path, time::SystemTime};

use anyhow::{Context, Result};
use serde::Serialize;

/// Where and when a report was made.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The command, as it was given.
    pub command: String,
    /// Unix time, seconds.
    pub unix_time_s: u64,
    /// Processor model.
    pub processor: String,
    /// Processors.
    pub processors: usize,
    /// Release of the kernel.
    pub kernel: String,
}

impl Setting {
    /// Of this process, now.
    #[must_use]
    pub fn here() -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo")
            .ok()
            .and_then(|text| {
                let line = text.lines().find(|line| line.starts_with("model name"))?;
                Some(line.split_once(':')?.1.trim().to_owned())
            })
            .unwrap_or_else(|| "unknown".into());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "unknown".into(), |text| text.trim().to_owned());
        // The program by its name only: where it lies says nothing.
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            command: format!("fanout {}", arguments.join(" ")),
            unix_time_s: now.as_secs(),
            processor,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel,
        }
    }
}

/// Median, least and greatest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle value; the mean of the two middle ones of an even number.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Spread {
    /// Of some values; `None` of none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        } else {
            sorted[middle]
        };
        Some(Self { median, low, high })
    }

    /// `median (low–high)` with so many decimals, or a dash.
    #[must_use]
    pub fn show(spread: Option<Self>, decimals: usize) -> String {
        match spread {
            Some(Self { median, low, high }) if low < high => {
                format!("{median:.decimals$} ({low:.decimals$}–{high:.decimals$})")
            }
            Some(Self { median, .. }) => format!("{median:.decimals$}"),
            None => "–".into(),
        }
    }
}

/// A Markdown table, its columns aligned.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        for (cell, width) in cells.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(out, "| {cell:<width$} ");
        }
        out.push_str("|\n");
    };
    line(&head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    line(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
    out
}

/// Writes a report as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]).map(|s| (s.low, s.median, s.high)),
            Some((1.0, 2.0, 3.0))
        );
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).map(|s| s.median), Some(2.5));
        assert_eq!(Spread::show(Spread::of([1.0, 2.0]), 1), "1.5 (1.0–2.0)");
        assert_eq!(Spread::show(Spread::of([1.0]), 2), "1.00");
        assert_eq!(Spread::show(None, 2), "–");
    }

    #[test]
    fn tables_are_aligned() {
        let rows = vec![vec!["x".into(), "1".into()], vec!["long".into(), "22".into()]];
        let expected = "| a    | b  |\n| ---- | -- |\n| x    | 1  |\n| long | 22 |\n";
        assert_eq!(table(&["a", "b"], &rows), expected);
    }
}
