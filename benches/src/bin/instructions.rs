//! Instructions per operation, counted by valgrind's callgrind, and bytes per entry.
//!
//! Counts do not depend on the machine's load. Each subject runs twice under callgrind, with few
//! and with many repetitions; the difference over the difference in repetitions is the cost of one,
//! without start-up.

use std::{
    hint::black_box,
    io::{self, Write},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use tickgate_benches::{
    micro::{
        BATCH_TICKS, FRAME_ENTRIES, Market, Ticks, build_frame, quote_delta, quote_full,
        quote_sequences,
    },
    report::table,
};
use tickgate_hub::TapeRead;
use tickgate_protocol::{dialect::Dialect, symbol::SymbolIndex};

/// Symbols in the market.
const SYMBOLS: u32 = 2_000;
/// Repetitions of the two runs.
const FEW: u64 = 100;
const MANY: u64 = 1_100;

/// Instructions per operation (needs valgrind) and bytes per entry.
#[derive(Debug, Parser)]
struct Cli {
    /// Run this subject and say nothing: what callgrind is put on.
    #[arg(long, value_enum, requires = "repetitions")]
    subject: Option<Subject>,
    /// How often.
    #[arg(long)]
    repetitions: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Publishing a batch of quotes.
    PublishQuotes,
    /// Publishing a batch of trades.
    PublishTrades,
    /// Reading a symbol's quote.
    ReadQuote,
    /// Reading the newest record of a symbol's tape.
    ReadTape,
    /// Reading 20 quotes and building a frame of deltas.
    BuildFrame,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match (cli.subject, cli.repetitions) {
        (Some(subject), Some(repetitions)) => subject.run(repetitions),
        _ => report(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is gone, too.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn report() -> Result<()> {
    let mut out = io::stdout().lock();
    let rows = bytes_per_entry()?;
    let head = ["quote entry", "MessagePack B", "JSON B", "ratio", "entries"];
    writeln!(out, "{}", table(&head, &rows))?;
    let mut rows = Vec::new();
    for subject in Subject::value_variants() {
        let cost = (subject.count(MANY)? - subject.count(FEW)?) as f64 / (MANY - FEW) as f64;
        let (unit, units) = subject.unit();
        rows.push(vec![
            format!("{subject:?}"),
            format!("{:.0}", cost / units as f64),
            unit.to_owned(),
        ]);
    }
    writeln!(out, "{}", table(&["subject", "instructions", "per"], &rows))?;
    Ok(())
}

impl Subject {
    /// What one repetition consists of.
    fn unit(self) -> (&'static str, usize) {
        match self {
            Self::PublishQuotes | Self::PublishTrades => ("tick", BATCH_TICKS),
            Self::ReadQuote | Self::ReadTape => ("read", 1),
            Self::BuildFrame => ("entry", FRAME_ENTRIES),
        }
    }

    fn run(self, repetitions: u64) -> Result<()> {
        let mut market = Market::open(SYMBOLS)?;
        let cursors = quote_sequences(&market.hub);
        let ticks = if self == Self::PublishTrades { Ticks::Trades } else { Ticks::Quotes };
        // Prepared for every subject alike, so that the runs differ in repetitions only.
        let batches = market.batches(16, ticks);
        // Long enough for every symbol to have traded, and for every quote to change.
        market.advance_ms(5_000);
        let mut out = Vec::with_capacity(64 * 1024);
        for repetition in 0..repetitions {
            match self {
                Self::PublishQuotes | Self::PublishTrades => {
                    market.publish(&batches[repetition as usize % batches.len()]);
                }
                Self::ReadQuote => drop(black_box(market.next_symbol().1.quote())),
                Self::ReadTape => {
                    let symbol = market.next_symbol().1;
                    let read = black_box(symbol.tape_read(symbol.tape_sequence()));
                    ensure!(!matches!(read, TapeRead::Lapped | TapeRead::NotYet), "no record");
                }
                Self::BuildFrame => {
                    build_frame(&mut market, Dialect::MessagePack, &cursors, &mut out)?;
                }
            }
        }
        ensure!(market.refused() == 0, "{} ticks were refused", market.refused());
        Ok(())
    }

    /// Instructions of a whole run.
    fn count(self, repetitions: u64) -> Result<u64> {
        let name = self.to_possible_value().context("every subject has a name")?;
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["--subject", name.get_name(), "--repetitions", &repetitions.to_string()])
            .output()
            .context("cannot run valgrind")?;
        let log = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{name:?} failed under valgrind: {log}", name = name.get_name());
        }
        log.lines()
            .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
            .context("valgrind reported no count")
    }
}

/// The same entries in both encodings, sampled every 100 ms of the market's time.
fn bytes_per_entry() -> Result<Vec<Vec<String>>> {
    let mut market = Market::open(SYMBOLS)?;
    let mut cursors = quote_sequences(&market.hub);
    let mut sizes = [[0usize; 2]; 2];
    let mut counts = [0usize; 2];
    let mut out = Vec::new();
    for _ in 0..20 {
        market.advance_ms(100);
        let sent_at_us = market.now_ns() / 1_000;
        for index in 0..SYMBOLS {
            let symbol = market.hub.symbol(SymbolIndex(index)).context("listed")?;
            let record = symbol.quote().ok().context("no writer is running")?;
            let delta = quote_delta(&record, cursors[index as usize], sent_at_us);
            cursors[index as usize] = record.sequence;
            let full = Some(quote_full(&record, sent_at_us));
            let definition = symbol.definition();
            for (kind, entry) in [delta, full].into_iter().enumerate() {
                let Some(entry) = entry else { continue };
                counts[kind] += 1;
                for (at, dialect) in [Dialect::MessagePack, Dialect::Json].into_iter().enumerate() {
                    out.clear();
                    dialect.write_entry(&mut out, &entry, Some(&definition));
                    sizes[kind][at] += out.len();
                }
            }
        }
    }
    let row = |name: &str, packed: f64, json: f64, count: usize| {
        vec![
            name.to_owned(),
            format!("{packed:.1}"),
            format!("{json:.1}"),
            format!("{:.1} %", packed / json * 100.0),
            count.to_string(),
        ]
    };
    let mean = |kind: usize, at: usize| sizes[kind][at] as f64 / counts[kind] as f64;
    Ok(vec![
        row("delta, equal fields", mean(0, 0), mean(0, 1), counts[0]),
        row("full, equal fields", mean(1, 0), mean(1, 1), counts[1]),
        row("delta against full JSON", mean(0, 0), mean(1, 1), counts[0]),
    ])
}
