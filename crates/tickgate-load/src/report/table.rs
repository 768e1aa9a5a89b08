//! The closing table: a run on a terminal.

use std::io::{self, Write};

use super::{
    Comparison, Report, ViolationReport,
    sheet::{self, Sheet},
    units::{count, counted, printable, seconds, shortened, utc},
};

/// Longest line that is begun; only the last line, with the reasons, may be longer.
const WIDTH: usize = 100;

/// Longest name of a group, so that its eight numbers fit beside it.
const NAME_LIMIT: usize = 22;

/// Violations and differences shown; the JSON has more of them.
const SHOWN: usize = 5;

/// Messages shown of each violation: the last ones.
const MESSAGES_SHOWN: usize = 4;

/// Writes the closing table: plain text, no line but the last longer than 100 columns.
///
/// # Errors
/// Those of the writer.
pub fn closing_table(report: &Report, out: &mut impl Write) -> io::Result<()> {
    head(report, out)?;
    table(&sheet::times(report), out)?;
    table(&sheet::groups(report), out)?;
    if report.groups.iter().any(|group| !group.is_healthy) {
        writeln!(out, "  {}", sheet::NOT_JUDGED)?;
    }
    let ramp = report.ramp.as_ref().map(sheet::ramp);
    let compared = report.comparison.as_ref().map(sheet::comparison);
    for part in [
        sheet::causes(report),
        sheet::others(report),
        report.server.as_ref().map(sheet::server),
        Some(sheet::own(&report.own)),
        sheet::events(report),
        ramp,
        compared,
    ] {
        part.map_or(Ok(()), |part| table(&part, out))?;
    }
    if let Some(comparison) = &report.comparison {
        differences(comparison, out)?;
    }
    violations(report, out)?;
    sheet::objectives(report).map_or(Ok(()), |part| table(&part, out))?;
    if !report.remarks.is_empty() {
        writeln!(out, "\nremarks")?;
        for remark in &report.remarks {
            wrapped("  - ", &printable(remark), out)?;
        }
    }
    writeln!(out, "\n{}", report.outcome())
}

fn head(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let scenario = &report.scenario;
    let mut title = printable(&scenario.name);
    if !scenario.description.is_empty() {
        title = format!("{title}: {}", printable(&scenario.description));
    }
    wrapped("", &title, out)?;
    let (url, speaks) = (printable(&scenario.target.url), scenario.target.speaks.name());
    writeln!(out, "  target   {} ({speaks})", shortened(&url, WIDTH - 25))?;
    let (window, began) = (seconds(report.window_s), utc(report.began_at_us));
    writeln!(out, "  window   {window} from {began}")?;
    let clients = report.groups.iter().map(|group| u64::from(group.clients)).sum();
    let groups = counted(report.groups.len() as u64, "group");
    writeln!(out, "  clients  {} in {groups}", count(clients))
}

/// Writes a sheet with its columns aligned.
fn table(sheet: &Sheet, out: &mut impl Write) -> io::Result<()> {
    writeln!(out)?;
    wrapped("", &sheet.title, out)?;
    let header = sheet.columns.iter().map(|&column| column.to_owned()).collect::<Vec<_>>();
    let last = sheet.rows.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
    let rows: Vec<Vec<String>> = [header]
        .into_iter()
        .filter(|header| !header.is_empty())
        .chain(sheet.rows.iter().cloned())
        .map(|row| {
            row.iter().enumerate().map(|(at, cell)| shortened(cell, limit(sheet, at))).collect()
        })
        .collect();
    let width = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..=last).map(|at| width(at).unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::from(" ");
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line += if at == 0 { " " } else { "  " };
            line += &if at < sheet.words {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Longest cell of a column, so that lines keep to [`WIDTH`]. The whole of it is in the JSON.
fn limit(sheet: &Sheet, at: usize) -> usize {
    match (sheet.columns.len(), sheet.words, at) {
        (0, ..) => 72,
        (6.., _, 0) => NAME_LIMIT,
        (6.., ..) => NAME_LIMIT - 2,
        (_, 2, _) => 40,
        _ => 52,
    }
}

fn differences(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    for difference in comparison.differences.iter().take(SHOWN) {
        wrapped("  - ", &printable(difference), out)?;
    }
    left_out(comparison.differences.len(), "difference", out)
}

fn violations(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let all = report.violation_count();
    if all == 0 && report.violations.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nviolations: {}", count(all))?;
    for ViolationReport { at_s, client, group, what, messages } in
        report.violations.iter().take(SHOWN)
    {
        let when = seconds(*at_s);
        let who = format!("client {client} of {}", shortened(&printable(group), NAME_LIMIT));
        wrapped("  - ", &format!("at {when}, {who}: {}", printable(what)), out)?;
        let first = messages.len().saturating_sub(MESSAGES_SHOWN);
        for message in &messages[first..] {
            writeln!(out, "      | {}", shortened(&printable(message), WIDTH - 8))?;
        }
    }
    left_out(report.violations.len(), "violation", out)
}

fn left_out(there_are: usize, what: &str, out: &mut impl Write) -> io::Result<()> {
    match there_are.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => {
            writeln!(out, "  and {} in the JSON", counted(more as u64, &format!("more {what}")))
        }
    }
}

/// Writes words in lines of at most [`WIDTH`], the first after `mark`, the others as far in.
fn wrapped(mark: &str, text: &str, out: &mut impl Write) -> io::Result<()> {
    let indent = mark.chars().count().max(2);
    let mut line = mark.to_owned();
    let mut is_empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = shortened(word, WIDTH - indent);
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += &word;
        is_empty = false;
    }
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn text(report: &Report) -> String {
        let mut text = Vec::new();
        closing_table(report, &mut text).expect("memory");
        String::from_utf8(text).expect("UTF-8")
    }

    fn has_line(text: &str, words: &str) -> bool {
        let same = |line: &str| line.split_whitespace().eq(words.split_whitespace());
        text.lines().any(same)
    }

    #[test]
    fn everything_a_run_came_to_is_there() {
        let mut report = sample::full();
        report.invalid.clear();
        let text = text(&report);
        for line in [
            "window 30 s from 2026-11-28T11:31:02Z",
            "clients 1,010 in 2 groups",
            "time count p50 p90 p99 p99.9 max",
            "latency 12,400,000 64.0 ms 118 ms 141 ms 480 ms 612 ms",
            "ready 1,400 8.20 ms 410 ms 4.10 s 4.20 s 4.20 s",
            "readers 1,000 19,840 9.88 11,160,000 10.0 % 3 2 41.2 ms",
            "<script>alert(1)</scr… 10 24.0 0.14 7,200 90.0 % 0 10 –",
            "group socket budget credit load",
            "readers 12 (<0.1 %) 0 0 4,100 (0.7 %)",
            "server (http://127.0.0.1:7401/metrics)",
            "CPU 0.83 cores",
            "memory 212 MiB → 214 MiB",
            "slope of memory +3.10 MiB an hour",
            "CPU for each frame 4.10 µs",
            "busiest thread 31 % of a core, 62 % in its busiest second",
            "its delay, at most p99 210 µs, max 4.80 ms",
            "400 clients of readers disconnect, back within 4 s 10 s 400 4.2 s",
            "differing 1",
            "violations: 2",
            "| {\"type\":\"ready\",\"id\":7}",
            "BROKEN late.p99<5ms 41.200 ms",
            "kept closed<=2 2",
            "failed: 2 violations of the protocol; 1 state not as the gateway answers; \
             late.p99<5ms: 41.200 ms",
        ] {
            assert!(has_line(&text, line), "no line `{line}` in:\n{text}");
        }
        assert!(text.contains("at 11.3 s, client 417 of readers: sequence of AAPL"), "{text}");
        assert!(text.ends_with("41.200 ms\n"), "the last line is the outcome:\n{text}");
    }

    #[test]
    fn a_ramp_shows_its_steps_and_where_it_ended() {
        let text = text(&sample::ramp());
        assert!(text.contains("ramp: 3,000 clients held; ended: late.p99<20ms broke"), "{text}");
        assert!(has_line(&text, "2,000 1.20 ms 8.00 ms 108 ms 4.00 ms 0 0.90 –"), "{text}");
        assert!(
            has_line(&text, "4,000 2.40 ms 32.0 ms 132 ms 16.0 ms 12 1.80 late.p99<20ms"),
            "{text}"
        );
    }

    #[test]
    fn what_was_not_measured_is_not_shown_as_zero() {
        let text = text(&sample::bare());
        assert!(has_line(&text, "latency – – – – – –"), "{text}");
        assert!(has_line(&text, "clients 0 0 0 0 – 0 0 –"), "{text}");
        for absent in
            ["server", "events", "ramp", "comparison", "violations", "objectives", "NaN", "inf"]
        {
            assert!(!text.contains(absent), "`{absent}` in:\n{text}");
        }
        assert!(text.ends_with("\n\npassed\n"), "{text}");
        let invalid = Report { invalid: vec!["nobody was ready".to_owned()], ..sample::bare() };
        assert!(self::text(&invalid).ends_with("\n\ninvalid: nobody was ready\n"));
    }

    #[test]
    fn nothing_in_it_steers_the_terminal_or_breaks_the_lines() {
        let mut report = sample::full();
        let nasty = format!("\x1b[31m{}\r\n", "long ".repeat(200));
        report.scenario.name.clone_from(&nasty);
        report.scenario.target.url = nasty.repeat(2);
        report.groups[0].name = nasty.replace(' ', "");
        report.violations[0].what.clone_from(&nasty);
        report.violations[0].messages.push(nasty.clone());
        report.remarks.push(nasty.clone());
        report.groups[0].figures.counts.closes.insert(nasty, 1);
        let text = text(&report);
        assert!(!text.contains(['\x1b', '\r']), "{text:?}");
        let lines: Vec<_> = text.lines().collect();
        for line in &lines[..lines.len() - 1] {
            assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
        }
    }
}
