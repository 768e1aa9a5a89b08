//! The report as one page that needs nothing but itself: no network, no script.
//!
//! Its own policy forbids both (`default-src 'none'`), so that nothing in it can ever load or run
//! something. Every text is escaped by the template library; nothing is marked as safe beside the
//! style sheet.

mod axis;
mod chart;
mod timelines;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Report, ViolationReport,
    outcome::Outcome,
    sheet::{self, Sheet},
    units::{NOTHING, amount, count, counted, microseconds, printable, seconds, utc},
};
use crate::measure::{Spread, Timing};

/// What the page may load: nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'";

/// Writes the page.
///
/// # Errors
/// When the file cannot be written.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    fs::write(path, page(report)).with_context(|| format!("cannot write {}", path.display()))
}

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let name = printable(&report.scenario.name);
    let outcome = report.outcome();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (name) ": " (word(&outcome)) ", " (utc(report.began_at_us)) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (head(report, &name, &outcome))
                main {
                    (key_figures(report))
                    (sheet::objectives(report).map_or_else(Markup::default, |part| section(&part)))
                    (times(report))
                    (ramp(report))
                    (over_time(report))
                    (groups(report))
                    (findings(report))
                    (costs(report))
                    (scenario(report))
                }
                (foot(report))
            }
        }
    };
    markup.into_string()
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "failed",
        Outcome::Invalid(_) => "invalid",
    }
}

fn head(report: &Report, name: &str, outcome: &Outcome) -> Markup {
    let reasons = match outcome {
        Outcome::Passed => &Vec::new(),
        Outcome::Failed(reasons) | Outcome::Invalid(reasons) => reasons,
    };
    let target = &report.scenario.target;
    html! {
        header {
            p class="kind" { "Load run" }
            h1 { (name) }
            p class="description" { (printable(&report.scenario.description)) }
            div class=(format!("verdict {}", word(outcome))) {
                p { strong { (word(outcome)) } }
                @if !reasons.is_empty() { ul { @for reason in reasons { li { (reason) } } } }
            }
            p class="about" {
                (printable(&target.url)) " (" (target.speaks.name()) ") · window "
                (seconds(report.window_s)) " from " time { (utc(report.began_at_us)) }
            }
        }
    }
}

fn key_figures(report: &Report) -> Markup {
    let (figures, window_s) = (&report.healthy, report.window_s);
    let time = |spread: Option<Spread>, of: fn(&Spread) -> u64| {
        spread.map_or_else(|| NOTHING.to_owned(), |spread| microseconds(of(&spread) as f64))
    };
    let a_second =
        |sum: f64| if window_s > 0.0 { amount(sum / window_s) } else { NOTHING.to_owned() };
    let clients = report.groups.iter().map(|group| u64::from(group.clients)).sum();
    let server = report.server.as_ref();
    let known = [
        ("server cores", server.and_then(|server| server.cores).map(|cores| format!("{cores:.2}"))),
        ("server CPU/frame", server.and_then(|server| server.cost_per_frame_us).map(microseconds)),
    ];
    let figures = [
        ("clients", count(clients)),
        ("p50 late", time(figures.late, |late| late.p50_us)),
        ("p99 late", time(figures.late, |late| late.p99_us)),
        ("p99.9 late", time(figures.late, |late| late.p999_us)),
        ("p99 transit", time(figures.transit, |transit| transit.p99_us)),
        ("frames/s", a_second(figures.counts.frames as f64)),
        ("MB/s", a_second(figures.counts.bytes as f64 / 1e6)),
        ("trades lost", count(figures.counts.lost)),
        ("violations", count(report.violation_count())),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    html! {
        section aria-label="Key figures" {
            dl class="figures" {
                @for (name, value) in figures.into_iter().chain(known) {
                    div { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

fn times(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Times of healthy clients" }
            div class="beside" {
                div {
                    (table(&sheet::times(report)))
                    dl class="meanings" {
                        @for timing in Timing::ALL {
                            dt { (timing.name()) } dd { (timing.meaning()) }
                        }
                    }
                }
                @if let Some(chart) = timelines::percentiles(report) { (chart.draw("percentiles")) }
            }
        }
    }
}

fn ramp(report: &Report) -> Markup {
    let Some(ramp) = &report.ramp else { return Markup::default() };
    let sheet = sheet::ramp(ramp);
    html! {
        section {
            h2 { "Ramp" }
            p class="lead" { (sheet.title) }
            div class="beside" {
                (table(&sheet))
                @if let Some(chart) = timelines::ramp(ramp) { (chart.draw("ramp")) }
            }
        }
    }
}

fn over_time(report: &Report) -> Markup {
    let charts = timelines::timelines(report);
    if charts.is_empty() {
        return Markup::default();
    }
    let seconds_a_point = timelines::seconds_a_point(report);
    html! {
        section {
            h2 { "Over time" }
            @if seconds_a_point > 1 {
                p { "Each point stands for " (seconds_a_point) " seconds: the worst of them, of frames the mean." }
            }
            @if let Some(events) = sheet::events(report) {
                p { "Dashed lines are events, by their number." }
                (table(&numbered(events)))
            }
            div class="charts" {
                @for (number, chart) in charts.iter().enumerate() {
                    (chart.draw(&format!("over-time-{number}")))
                }
            }
        }
    }
}

/// With the number of each row in front of it.
fn numbered(mut sheet: Sheet) -> Sheet {
    sheet.columns.insert(0, "");
    sheet.words += 1;
    for (number, row) in sheet.rows.iter_mut().enumerate() {
        row.insert(0, (number + 1).to_string());
    }
    sheet
}

fn groups(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Groups" }
            (table(&sheet::groups(report)))
            @if report.groups.iter().any(|group| !group.is_healthy) {
                p class="note" { (sheet::NOT_JUDGED) }
            }
            @for part in [sheet::causes(report), sheet::others(report)].into_iter().flatten() {
                h3 { (part.title) }
                (table(&part))
            }
        }
    }
}

fn findings(report: &Report) -> Markup {
    let violations = report.violation_count();
    html! {
        @if violations > 0 || !report.violations.is_empty() {
            section {
                h2 { "Violations" }
                p {
                    (counted(violations, "violation")) " of the protocol; the first "
                    (report.violations.len()) " in full."
                }
                @for violation in &report.violations { (violation_in_full(violation)) }
            }
        }
        @if let Some(comparison) = &report.comparison {
            section {
                h2 { "Comparison with the gateway's own answer" }
                (table(&sheet::comparison(comparison)))
                @if !comparison.differences.is_empty() {
                    ul { @for difference in &comparison.differences { li { (printable(difference)) } } }
                }
            }
        }
        @if !report.remarks.is_empty() {
            section {
                h2 { "Remarks" }
                ul { @for remark in &report.remarks { li { (printable(remark)) } } }
            }
        }
    }
}

fn violation_in_full(violation: &ViolationReport) -> Markup {
    html! {
        article class="violation" {
            h3 { (printable(&violation.what)) }
            p {
                "At " (seconds(violation.at_s)) ", client " (violation.client) " of "
                (printable(&violation.group)) "."
            }
            @if !violation.messages.is_empty() {
                pre tabindex="0" {
                    @for message in &violation.messages { (printable(message)) "\n" }
                }
            }
        }
    }
}

fn costs(report: &Report) -> Markup {
    html! {
        div class="beside" {
            @if let Some(server) = &report.server { (section(&sheet::server(server))) }
            (section(&sheet::own(&report.own)))
        }
    }
}

fn scenario(report: &Report) -> Markup {
    let toml = toml::to_string_pretty(&report.scenario);
    html! {
        section {
            h2 { "Scenario" }
            p { "Saved to a file, it can be run again." }
            pre tabindex="0" {
                // A number above 2^63, which a seed may be, has no form in TOML.
                (toml.unwrap_or_else(|error| format!("# The scenario has no form in TOML: {error}")))
            }
        }
    }
}

fn foot(report: &Report) -> Markup {
    let machine = &report.machine;
    html! {
        footer {
            p {
                (printable(&report.generator)) " on " (counted(machine.cores as u64, "core")) ", "
                (printable(&machine.processor)) ", " (printable(&machine.kernel)) "; "
                time { (utc(report.began_at_us)) }
            }
        }
    }
}

/// A sheet under its own heading.
fn section(sheet: &Sheet) -> Markup {
    html! {
        section {
            h2 class="sheet" { (sheet.title) }
            (table(sheet))
        }
    }
}

fn table(sheet: &Sheet) -> Markup {
    let class = |at: usize| match sheet.columns.get(at) {
        Some(&"") => "narrow",
        _ if at < sheet.words => "words",
        _ => "number",
    };
    html! {
        div class="wide" tabindex="0" role="region" aria-label=(sheet.title) {
            table {
                @if !sheet.columns.is_empty() {
                    thead { tr {
                        @for (at, column) in sheet.columns.iter().enumerate() {
                            th scope="col" class=(class(at)) { (column) }
                        }
                    } }
                }
                tbody {
                    @for row in &sheet.rows { tr {
                        @for (at, cell) in row.iter().enumerate() {
                            @if at == 0 { th scope="row" class=(format!("{} {}", class(at), mood(cell))) { (cell) } }
                            @else { td class=(class(at)) { (cell) } }
                        }
                    } }
                }
            }
        }
    }
}

/// Whether a verdict is a good one, as a class.
fn mood(cell: &str) -> &'static str {
    match cell {
        "kept" => "good",
        "BROKEN" => "bad",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};
    use crate::scenario::Scenario;

    /// The page's text without tags: what a reader sees, escapes undone.
    fn words(page: &str) -> String {
        let (mut words, mut is_tag) = (String::new(), false);
        for c in page.chars() {
            match c {
                '<' => is_tag = true,
                '>' if is_tag => {
                    is_tag = false;
                    words.push(' ');
                }
                c if !is_tag => words.push(c),
                _ => {}
            }
        }
        for (escape, c) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")] {
            words = words.replace(escape, c);
        }
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn everything_a_run_came_to_is_on_the_page() {
        let page = page(&sample::full());
        let words = words(&page);
        for part in [
            "storm: failed, 2026-11-28T11:31:02Z",
            "Two in five clients break off at once & come back within seconds",
            "failed 2 violations of the protocol 1 state not as the gateway answers late.p99<5ms: 41.200 ms",
            "p99 late 41.2 ms",
            "server cores 0.83",
            "BROKEN late.p99<5ms 41.200 ms",
            "latency 12,400,000 64.0 ms 118 ms 141 ms 480 ms 612 ms",
            "1 400 clients of readers disconnect, back within 4 s 10 s 400 4.2 s",
            "<script>alert(1)</script> * 10 24.0 0.14 7,200 90.0 % 0 10 –",
            "sequence of AAPL quote went from 812 back to 811 At 11.3 s, client 417 of readers.",
            "frame 92: AAPL quote 811 +1 </pre><img src=x onerror=alert(2)>",
            "MSFT last 4711: price 1.23 here, 1.24 there",
            "the clocks of the feed and of this machine differ by up to 80 µs",
            "slope of memory +3.10 MiB an hour",
            "tickgate 0.1.0 on 2 cores, A Processor 3000 @ 2.40GHz, Linux 6.1.0; 2026-11-28T11:31:02Z",
        ] {
            assert!(words.contains(part), "no `{part}` in:\n{words}");
        }
        assert_eq!(page.matches("<figure").count(), 9);
        assert_eq!(page.matches("<details>").count(), 9, "a table for each chart");
        let text = super::page(&sample::ramp());
        assert!(text.contains("3,000 clients held") && text.contains("id=\"ramp-title\""));
    }

    #[test]
    fn the_page_loads_and_runs_nothing() {
        for report in [sample::full(), sample::bare(), sample::ramp()] {
            let page = page(&report);
            for forbidden in [
                "<script",
                "<img",
                "<link",
                "<iframe",
                "<object",
                "<form",
                "src=\"",
                "href=",
                "@import",
                "url(",
                "javascript:",
                " onload",
                " onclick",
            ] {
                // What a scenario or a server said is text: its `<` is escaped.
                assert!(!page.contains(forbidden), "`{forbidden}` in the page");
            }
            assert!(page.contains("default-src 'none'") || page.contains("default-src &#39;none"));
        }
    }

    #[test]
    fn the_scenario_on_the_page_can_be_run_again() {
        for report in [sample::full(), sample::ramp()] {
            let page = page(&report);
            let (_, rest) = page.split_once("it can be run again.").expect("the scenario");
            let (_, rest) = rest.split_once("<pre tabindex=\"0\">").expect("its text");
            let (toml, _) = rest.split_once("</pre>").expect("its end");
            let toml = toml.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            let toml = toml.replace("&amp;", "&");
            let scenario: Scenario = toml::from_str(&toml).expect("a scenario");
            assert_eq!(scenario, report.scenario);
        }
    }

    #[test]
    fn what_was_not_measured_is_not_shown() {
        let page = page(&sample::bare());
        assert!(!page.contains("<figure") && !page.contains("NaN") && !page.contains("inf"));
        let words = words(&page);
        for absent in ["server", "Violations", "Ramp", "Over time", "Comparison", "objectives"] {
            assert!(!words.contains(absent), "`{absent}` in:\n{words}");
        }
        assert!(words.contains("p99 late –") && words.contains("clients 0"), "{words}");
        let invalid = Report { invalid: vec!["nobody <was> ready".to_owned()], ..sample::bare() };
        let invalid = super::page(&invalid);
        assert!(invalid.contains(r#"<div class="verdict invalid">"#), "{invalid}");
        assert!(invalid.contains("nobody &lt;was&gt; ready"));
    }

    #[test]
    fn a_page_of_a_week_stays_small() {
        let mut report = sample::full();
        report.window_s = 604_800.0;
        let one = report.seconds[0].clone();
        let second = |number: u32| crate::report::Second { at_s: f64::from(number), ..one.clone() };
        report.seconds = (1..=604_800 / 8).map(second).collect();
        let page = page(&report);
        assert!(page.len() < 2_000_000, "{} bytes", page.len());
        assert!(page.contains("Each point stands for 210 seconds"));
    }
}
