//! `tickgate sessions`: the open sessions of a running gateway, the slowest first.

use std::io::{self, Write};

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::{admin_client, cli::SessionsOptions, failure::Failure};

/// Asks and prints.
///
/// # Errors
/// As [`admin_client::ask`] says.
pub(crate) fn run(options: &SessionsOptions) -> Result<(), Failure> {
    let path = format!("/admin/sessions?limit={}", options.limit);
    let answer = admin_client::ask(&options.admin, Method::GET, &path)?;
    if options.json {
        print(&format!("{answer:#}\n"));
        return Ok(());
    }
    print(&table(answer).map_err(|error| Failure::Running(error.into()))?);
    Ok(())
}

/// What the table shows of the answer.
#[derive(Debug, Deserialize)]
struct Answer {
    sessions: Vec<Session>,
    open: u64,
    workers: u64,
    workers_up: u64,
}

#[derive(Debug, Deserialize)]
struct Session {
    id: u64,
    address: String,
    user_agent: Option<String>,
    age_seconds: f64,
    subscriptions: u64,
    throttles_ms: Vec<u16>,
    frame_interval_ms: Option<f64>,
    frames: u64,
    late_frames: u64,
    causes: Vec<String>,
    held_up_by: Vec<String>,
    frame_age_ms: f64,
    bytes: u64,
    cursor_lag: u64,
    waiting_bytes: u64,
}

/// Columns as wide as their widest cell; text to the left, numbers to the right.
fn table(answer: Value) -> serde_json::Result<String> {
    let answer: Answer = serde_json::from_value(answer)?;
    let heads = [
        "ID",
        "ADDRESS",
        "AGE",
        "SUBS",
        "ASKED ms",
        "GETS ms",
        "FRAMES",
        "LATE",
        "BEHIND",
        "HELD BY",
        "FRAME AGE",
        "WAITS B",
        "BYTES",
        "CAUSES",
        "CLIENT",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(answer.sessions.iter().map(row));
    let mut widths = [0; 15];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // Address, what holds it up, causes and client are text.
    let is_text = |column| matches!(column, 1 | 9 | 13 | 14);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    let Answer { sessions, open, workers, workers_up } = answer;
    text += &format!("{} of {open} open sessions", sessions.len());
    if workers_up < workers {
        text += &format!("; only {workers_up} of {workers} workers answer");
    }
    text.push('\n');
    Ok(text)
}

fn row(session: &Session) -> [String; 15] {
    let list = |words: &[String]| {
        if words.is_empty() { "-".to_owned() } else { words.join(",") }
    };
    let asked: Vec<String> = session.throttles_ms.iter().map(u16::to_string).collect();
    let gets = session.frame_interval_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    [
        session.id.to_string(),
        session.address.clone(),
        duration(session.age_seconds),
        session.subscriptions.to_string(),
        list(&asked),
        gets,
        session.frames.to_string(),
        session.late_frames.to_string(),
        session.cursor_lag.to_string(),
        list(&session.held_up_by),
        duration(session.frame_age_ms / 1e3),
        session.waiting_bytes.to_string(),
        session.bytes.to_string(),
        list(&session.causes),
        session.user_agent.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

/// In the largest unit that says two digits of it.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => "0".to_owned(),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1}s"),
        s if s < 7_200.0 => format!("{:.0}m", s / 60.0),
        s => format!("{:.0}h", s / 3_600.0),
    }
}

/// A reader that has gone is no failure.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_says_what_it_leaves_out() {
        let session = |id: u64, held: &[&str]| {
            serde_json::json!({
                "id": id, "address": "192.0.2.1:50000", "user_agent": null, "age_seconds": 61.25,
                "subscriptions": 20, "throttles_ms": [0, 100], "frame_interval_ms": 99.7,
                "frames": 1_234, "late_frames": 3, "causes": ["socket"], "held_up_by": held,
                "frame_age_ms": 1_250.0, "bytes": 99, "cursor_lag": 7, "waiting_bytes": 16_384,
                "another": "field",
            })
        };
        let answer = serde_json::json!({
            "sessions": [session(7, &["socket", "budget"]), session(123, &[])],
            "open": 9, "workers": 2, "workers_up": 1,
        });
        let text = table(answer).expect("complete");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[1].starts_with("  7  192.0.2.1:50000  61.2s    20     0,100      100"),
            "{text}"
        );
        assert!(lines[1].contains("socket,budget       1.2s    16384"), "{text}");
        assert!(lines[2].starts_with("123  "), "{text}");
        assert_eq!(lines[3], "2 of 9 open sessions; only 1 of 2 workers answer");
    }

    #[test]
    fn durations_are_short() {
        let shown = [0.0, 0.0123, 4.56, 119.9, 600.0, 90_000.0].map(duration);
        assert_eq!(shown, ["0", "12ms", "4.6s", "119.9s", "10m", "25h"]);
    }
}
