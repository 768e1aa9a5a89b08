//! The hub: a tick's way into its cell, and reading cells and tapes.
//!
//! One thread, no reader beside the writer and none against it. The clock covers the hub's calls
//! only; ticks are made before.
#![allow(missing_docs, reason = "criterion's macros define the public items")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickgate_benches::micro::{BATCH_TICKS, Market, Ticks};
use tickgate_hub::TapeRead;

fn ingest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(BATCH_TICKS as u64));
    for symbols in [1_000, 100_000] {
        for (name, ticks) in
            [("quotes", Ticks::Quotes), ("trades", Ticks::Trades), ("mixed", Ticks::Mixed)]
        {
            let mut market = Market::open(symbols).expect("a market");
            let batches = market.batches(1_000, ticks);
            let mut next = (0..batches.len()).cycle();
            group.bench_function(format!("{name}, {symbols} symbols"), |bencher| {
                bencher.iter(|| {
                    let at = next.next().expect("a cycle never ends");
                    market.publish(black_box(&batches[at]));
                });
            });
            assert_eq!(market.refused(), 0, "a refused tick costs less than a published one");
        }
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(1));
    let mut market = Market::open(2_000).expect("a market");
    // About 4.5 trades a second and symbol: every tape has some after five.
    market.advance_ms(5_000);
    group.bench_function("quote sequence", |bencher| {
        bencher.iter(|| black_box(market.next_symbol().1.quote_sequence()));
    });
    group.bench_function("quote", |bencher| {
        bencher.iter(|| black_box(market.next_symbol().1.quote()));
    });
    group.bench_function("last", |bencher| {
        bencher.iter(|| black_box(market.next_symbol().1.last()));
    });
    group.bench_function("tape", |bencher| {
        bencher.iter(|| {
            let symbol = market.next_symbol().1;
            let read = symbol.tape_read(symbol.tape_sequence());
            assert!(matches!(read, TapeRead::Trade { .. } | TapeRead::Correction { .. }));
            black_box(read)
        });
    });
    group.finish();
}

criterion_group!(benches, ingest, read);
criterion_main!(benches);
