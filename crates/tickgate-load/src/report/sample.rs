//! Reports with every part, and with none, for tests.

use std::collections::BTreeMap;

use super::*;
use crate::scenario::{Event, Group, Ramp, Run, Target, What};

/// A stalled second in the middle, a mass disconnect at 10 s, a group whose name is markup.
const STALL_AT: usize = 18;

fn spread(count: u64, us: [u64; 6]) -> Option<Spread> {
    let [p50_us, p90_us, p99_us, p999_us, p9999_us, max_us] = us;
    let mean_us = p50_us as f64 + 0.5;
    Some(Spread { count, mean_us, p50_us, p90_us, p99_us, p999_us, p9999_us, max_us })
}

fn nothing() -> Figures {
    Figures::of(&Counts::default(), &Timings::default())
}

/// A number that decimal text holds exactly, so that reading it again makes no difference.
fn exact(value: f64) -> f64 {
    (value * 64.0).round() / 64.0
}

/// A number from 0 to 1 that looks random and is always the same.
fn noise(seed: usize) -> f64 {
    let mixed = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    mixed as f64 / (1_u64 << 24) as f64
}

/// A run of 1,000 clients over 30 s in which something of everything happened.
pub(crate) fn full() -> Report {
    let healthy = Figures {
        counts: Counts {
            frames: 595_200,
            heartbeats: 120,
            entries: 11_300_000,
            bytes: 296_400_000,
            updates: 11_160_000,
            merged: 1_240_000,
            trades: 800_000,
            lost: 3,
            causes: [12, 0, 0, 4_100],
            connects: 1_400,
            readies: 1_400,
            closed: 2,
            closes: BTreeMap::from([("1013 slow <consumer>".to_owned(), 2)]),
            violations: 2,
            ..Counts::default()
        },
        latency: spread(12_400_000, [64_000, 118_000, 141_000, 480_000, 590_000, 612_000]),
        late: spread(12_400_000, [900, 4_300, 41_200, 402_000, 498_000, 512_000]),
        transit: spread(595_200, [310, 1_100, 6_200, 9_800, 21_000, 44_000]),
        staleness: spread(600_000, [0, 84_000, 123_000, 470_000, 540_000, 560_000]),
        ready: spread(1_400, [8_200, 410_000, 4_100_000, 4_200_000, 4_200_000, 4_200_000]),
    };
    let mut odd = nothing();
    odd.counts = Counts {
        frames: 720,
        bytes: 4_200_000,
        updates: 7_200,
        merged: 64_800,
        closed: 10,
        ..Counts::default()
    };
    let group = |name: &str, clients, is_healthy, figures: &Figures| GroupFigures {
        name: name.to_owned(),
        clients,
        is_healthy,
        figures: figures.clone(),
    };
    Report {
        scenario: scenario(),
        groups: vec![
            group("readers", 1_000, true, &healthy),
            group("<script>alert(1)</script>", 10, false, &odd),
        ],
        seconds: (0..30).map(second).collect(),
        curves: curves(&healthy),
        healthy,
        opening: spread(1_000, [410_000, 820_000, 990_000, 1_010_000, 1_020_000, 1_030_000]),
        own: Own {
            threads: 1,
            cost_per_frame_us: Some(2.35),
            busy_share: Some(0.31),
            most_busy_share: Some(0.62),
            delay: spread(9_000, [12, 60, 210, 900, 2_000, 4_800]),
        },
        server: Some(Server {
            source: "http://127.0.0.1:7401/metrics".to_owned(),
            cores: Some(0.83),
            cost_per_frame_us: Some(4.1),
            resident_bytes_before: Some(212 << 20),
            resident_bytes_after: Some(214 << 20),
            resident_bytes_per_hour: Some(3_250_586.0),
            ticks_per_second: Some(50_000.0),
        }),
        absent: 0,
        violations_outside: 0,
        violations: vec![
            ViolationReport {
                at_s: 11.3,
                client: 417,
                group: "readers".to_owned(),
                what: "sequence of AAPL quote went from 812 back to 811".to_owned(),
                messages: vec![
                    r#"{"type":"ready","id":7}"#.to_owned(),
                    "frame 91: AAPL quote 812 +1".to_owned(),
                    "frame 92: AAPL quote 811 +1 </pre><img src=x onerror=alert(2)>".to_owned(),
                ],
            },
            ViolationReport {
                at_s: -0.4,
                client: 3,
                group: "readers".to_owned(),
                what: "ready for a command that was not sent".to_owned(),
                messages: Vec::new(),
            },
        ],
        comparison: Some(Comparison {
            clients: 8,
            compared: 301,
            differing: 1,
            without_match: 4,
            differences: vec!["MSFT last 4711: price 1.23 here, 1.24 there".to_owned()],
        }),
        events: vec![
            EventReport {
                at_s: 10.0,
                what: "400 clients of readers disconnect, back within 4 s".to_owned(),
                clients: 400,
                recovered_after_s: Some(4.2),
            },
            EventReport {
                at_s: 24.0,
                what: "10 clients of <script>alert(1)</script> stop reading for 2 s".to_owned(),
                clients: 10,
                recovered_after_s: None,
            },
        ],
        objectives: vec![
            verdict("late.p99<5ms", "41.200 ms", false),
            verdict("closed<=2", "2", true),
            verdict("transit.p99<10ms", "6.200 ms", true),
        ],
        remarks: vec![
            "the clocks of the feed and of this machine differ by up to 80 µs".to_owned(),
        ],
        ..bare()
    }
}

fn verdict(objective: &str, measured: &str, is_kept: bool) -> Verdict {
    Verdict { objective: objective.to_owned(), measured: measured.to_owned(), is_kept }
}

fn scenario() -> Scenario {
    let readers = Group {
        name: "readers".to_owned(),
        count: 1_000,
        throttle_ms: Some(100),
        ..Group::default()
    };
    let odd = Group {
        name: "<script>alert(1)</script>".to_owned(),
        count: 10,
        max_bytes_per_second: Some(14_000),
        lifetime_s: Some(20.0),
        ..Group::default()
    };
    Scenario {
        name: "storm".to_owned(),
        description: "Two in five clients break off at once & come back within seconds".to_owned(),
        target: Target {
            metrics: Some("http://127.0.0.1:7401/metrics".to_owned()),
            ..Target::default()
        },
        run: Run::default(),
        clients: vec![readers, odd],
        events: vec![Event {
            at_s: 10.0,
            groups: vec!["readers".to_owned()],
            share: 0.4,
            what: What::Disconnect { back_within_s: 4.0 },
        }],
        ramp: None,
        slo: "late.p99<5ms,closed<=2,transit.p99<10ms".to_owned(),
        gateway: vec!["gateway.workers=1".to_owned()],
    }
}

fn second(number: usize) -> Second {
    let (is_stalled, is_after) = (number == STALL_AT, (10..14).contains(&number));
    let ready = if is_after { 610 + 100 * (number as u32 - 10) } else { 1_010 };
    let worse = if is_stalled {
        90.0
    } else if is_after {
        4.0
    } else {
        1.0
    };
    let scaled = |us: f64| (us * worse * (0.8 + 0.4 * noise(number))) as u64;
    let times = |p50: f64, p99: f64, max: f64| {
        spread(9_000, [p50, p50 * 2.0, p99, max * 0.9, max * 0.95, max].map(scaled))
    };
    let mut figures = nothing();
    figures.counts.frames = (f64::from(ready) * (19.0 + noise(number))) as u64;
    figures.counts.bytes = figures.counts.frames * 498;
    figures.counts.lost = if is_stalled { 3 } else { 0 };
    figures.counts.violations = u64::from(number == 11);
    // A second in which nothing came, for the gap in the curves.
    if number != STALL_AT - 1 {
        figures.late = times(700.0, 3_000.0, 5_600.0);
        figures.latency = times(60_000.0, 120_000.0, 140_000.0);
        figures.transit = times(280.0, 1_900.0, 4_200.0);
    }
    figures.staleness = times(900.0, 5_000.0, 6_000.0);
    Second {
        at_s: number as f64 + 1.0,
        length_s: 1.0,
        ready,
        figures,
        own_share: Some(exact(0.25 + 0.1 * noise(number + 9))),
        server_cores: Some(exact(
            0.75 + 0.2 * noise(number + 5) + if is_after { 0.1 } else { 0.0 },
        )),
        server_resident_bytes: Some((212 << 20) + number as u64 * 70_000),
        server_ticks_per_second: Some(exact(50_000.0 + 40.0 * noise(number + 3))),
    }
}

fn curves(figures: &Figures) -> Vec<Curve> {
    let curve = |(timing, spread): (Timing, Option<&Spread>)| {
        let spread = spread?;
        let levels = [
            (0.0, spread.p50_us / 3),
            (0.5, spread.p50_us),
            (0.9, spread.p90_us),
            (0.99, spread.p99_us),
            (0.999, spread.p999_us),
            (0.9999, spread.p9999_us),
            (0.99999, spread.max_us),
            (1.0, spread.max_us),
        ];
        Some(Curve { timing, points: levels.to_vec() })
    };
    sheet::spreads(figures).into_iter().filter_map(curve).collect()
}

/// A ramp from 1,000 to 4,000 clients of which the last step broke.
pub(crate) fn ramp() -> Report {
    let step = |thousands: u32| {
        let mut figures = nothing();
        let us = |us: u64| us << (thousands - 1);
        let spread = |p50, p99| spread(1_000, [p50, p50 * 2, p99, p99 * 2, p99 * 3, p99 * 4]);
        figures.late = spread(u64::from(thousands) * 600, us(4_000));
        figures.latency = spread(60_000, 100_000 + us(4_000));
        figures.transit = spread(300, us(2_000));
        figures.counts.lost = if thousands == 4 { 12 } else { 0 };
        RampStep {
            clients: thousands * 1_000,
            server_cores: Some(0.45 * f64::from(thousands)),
            objectives: vec![verdict(
                "late.p99<20ms",
                &format!("{}.000 ms", us(4_000) / 1_000),
                us(4_000) < 20_000,
            )],
            figures,
        }
    };
    let steps: Vec<_> = (1..=4).map(step).collect();
    let mut report = bare();
    report.scenario.name = "ramp".to_owned();
    report.scenario.ramp = Some(Ramp { from: 1_000, step: 1_000, to: 8_000, every_s: 10.0 });
    report.ramp =
        Some(RampReport { held: Some(3_000), ended: "late.p99<20ms broke".to_owned(), steps });
    report
}

/// A run in which nothing was seen at all.
pub(crate) fn bare() -> Report {
    let scenario = Scenario {
        name: "nothing".to_owned(),
        description: String::new(),
        target: Target::default(),
        run: Run::default(),
        clients: vec![Group::default()],
        events: Vec::new(),
        ramp: None,
        slo: String::new(),
        gateway: Vec::new(),
    };
    Report {
        version: VERSION,
        generator: "tickgate 0.1.0".to_owned(),
        began_at_us: 1_795_865_462_000_000,
        window_s: 30.0,
        machine: Machine {
            cores: 2,
            processor: "A Processor 3000 @ 2.40GHz".to_owned(),
            kernel: "Linux 6.1.0".to_owned(),
        },
        scenario,
        opening: None,
        healthy: nothing(),
        groups: vec![GroupFigures {
            name: "clients".to_owned(),
            clients: 0,
            is_healthy: true,
            figures: nothing(),
        }],
        seconds: Vec::new(),
        curves: Vec::new(),
        own: Own {
            threads: 1,
            cost_per_frame_us: None,
            busy_share: None,
            most_busy_share: None,
            delay: None,
        },
        server: None,
        absent: 0,
        violations_outside: 0,
        violations: Vec::new(),
        comparison: None,
        events: Vec::new(),
        ramp: None,
        objectives: Vec::new(),
        invalid: Vec::new(),
        remarks: Vec::new(),
    }
}
