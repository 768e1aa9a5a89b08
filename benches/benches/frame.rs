//! Frames: reading twenty cells and building one frame of deltas, in both encodings, and encoding
//! alone.
#![allow(missing_docs, reason = "criterion's macros define the public items")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickgate_benches::micro::{
    FRAME_ENTRIES, Market, build_frame, quote_delta, quote_full, quote_sequences,
};
use tickgate_protocol::{dialect::Dialect, entry::Entry};

fn frame(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame of 20 entries");
    group.throughput(Throughput::Elements(FRAME_ENTRIES as u64));
    let mut market = Market::open(2_000).expect("a market");
    let cursors = quote_sequences(&market.hub);
    // Long enough for every symbol's quote to change.
    market.advance_ms(1_000);
    let mut out = Vec::with_capacity(64 * 1024);
    for (name, dialect) in [("MessagePack", Dialect::MessagePack), ("JSON", Dialect::Json)] {
        group.bench_function(format!("read and build, {name}"), |bencher| {
            bencher
                .iter(|| build_frame(&mut market, dialect, &cursors, &mut out).expect("a frame"));
        });
    }

    let sent_at_us = market.now_ns() / 1_000;
    let mut entries = |full: bool| -> Vec<Entry> {
        (0..FRAME_ENTRIES)
            .map(|_| {
                let (index, symbol) = market.next_symbol();
                let record = symbol.quote().expect("no writer is running");
                if full {
                    quote_full(&record, sent_at_us)
                } else {
                    quote_delta(&record, cursors[index as usize], sent_at_us).expect("changed")
                }
            })
            .collect()
    };
    for (name, entries) in [("deltas", entries(false)), ("full", entries(true))] {
        group.bench_function(format!("encode only, {name}, MessagePack"), |bencher| {
            bencher.iter(|| {
                out.clear();
                let mark = Dialect::MessagePack.begin_frame(&mut out, 1_000, sent_at_us);
                for entry in black_box(&entries) {
                    Dialect::MessagePack.write_entry(&mut out, entry, None);
                }
                Dialect::MessagePack.finish_frame(&mut out, mark, 0, entries.len());
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frame);
criterion_main!(benches);
