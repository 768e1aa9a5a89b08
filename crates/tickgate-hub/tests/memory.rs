//! The formula for the hub's memory against what the process really takes, allocated to the limit.

#![allow(clippy::print_stdout, reason = "what was measured is worth reading")]

use std::fs;

use tickgate_hub::{DEFINITION_LIMIT, Hub, HubConfig};
use tickgate_protocol::{
    instrument::{CURRENCY_LIMIT_BYTES, DESCRIPTION_LIMIT_BYTES, Instrument, VENUE_LIMIT_BYTES},
    number::ABSENT,
    symbol::{NAME_LIMIT_BYTES, SymbolIndex},
    tick::{Batch, Listing, Reason, Status, StatusChange, Tick, TickBody, Trade},
};

const SYMBOLS: usize = 2 * 1_024;

#[test]
fn a_hub_filled_to_its_limits_stays_within_its_formula() {
    let Some(before) = resident_bytes() else {
        println!("no /proc/self/status on this system: not measured");
        return;
    };
    let config = HubConfig {
        workers: 2,
        symbol_limit: SYMBOLS,
        tape_capacity: 256,
        status_capacity: 16,
        bar_1s_capacity: 64,
        bar_1m_capacity: 16,
        bar_1d_capacity: 4,
        ..HubConfig::default()
    };
    let (formula, further) = (config.memory_bytes(), config.publisher_memory_bytes());
    let hub = Hub::new(config, 1).unwrap();
    let mut publishers = Vec::new();
    for exponents in
        (0..DEFINITION_LIMIT).map(|n| (n.div_ceil(2), n / 2)).collect::<Vec<_>>().chunks(4)
    {
        let mut publisher = hub.publisher();
        for (price, size) in exponents {
            for symbol in 0..SYMBOLS {
                let listings = vec![listing(symbol, -(*price as i8), -(*size as i8))];
                publisher.publish(&Batch { listings, ..Batch::default() });
            }
        }
        for symbol in 0..SYMBOLS as u32 {
            for status in [Status::Halted, Status::Trading] {
                let trade = Trade { price: 0, size: 0, flags: 0, trade_id: ABSENT };
                let change = StatusChange { status, reason: Reason::None };
                let tick = |body| Tick { symbol, event_time_ns: 0, body };
                let ticks = vec![tick(TickBody::Trade(trade)), tick(TickBody::Status(change))];
                publisher.publish(&Batch { ticks, ..Batch::default() });
            }
        }
        publishers.push(publisher);
    }
    // One definition more is refused, and one symbol more.
    let mut publisher = hub.publisher();
    let listings = vec![listing(0, -18, -19), listing(SYMBOLS, 0, 0)];
    publisher.publish(&Batch { listings, ..Batch::default() });
    let last = hub.symbol(SymbolIndex(SYMBOLS as u32 - 1)).unwrap();
    assert_eq!(last.id() as usize, SYMBOLS * DEFINITION_LIMIT - 1, "every definition was made");
    assert_eq!(hub.symbol_count() as usize, SYMBOLS);

    let taken = resident_bytes().unwrap() - before;
    let limit = formula + further * publishers.len() as u64;
    println!("{taken} bytes taken of {limit}");
    assert!(taken <= limit, "{taken} bytes taken, {limit} allowed");
    assert!(taken * 2 > limit, "{taken} bytes taken, so {limit} says little");
}

fn listing(symbol: usize, price_exponent: i8, size_exponent: i8) -> Listing {
    let name = format!("{symbol:0>NAME_LIMIT_BYTES$}");
    let word = |limit| Some("w".repeat(limit).into());
    let instrument = Instrument {
        description: word(DESCRIPTION_LIMIT_BYTES),
        venue: word(VENUE_LIMIT_BYTES),
        currency: Some("C".repeat(CURRENCY_LIMIT_BYTES).into()),
    };
    Listing { instrument, ..Listing::new(name, price_exponent, size_exponent) }
}

/// Physical memory of this process; `None` where the system does not say.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}
