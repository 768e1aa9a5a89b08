//! Prices finer than a symbol's exponent, while everybody watches it: each client is told the new
//! scale before what needs it, and misses nothing on either side of it.

use std::collections::HashMap;

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::{
    book::Book,
    entry::{Entry, Frame, last_field, quote_field},
    number::ABSENT,
    tick::{Quote, TickBody, Trade},
};
use tickgate_session::EngineConfig;

use crate::world::{Manners, World};

const TICK_US: u64 = 5_000;

/// As it happens, throttled, and by the wildcard; of each the second one speaks JSON, and the third
/// takes no frame until the end.
const WATCHED: [(&str, u64); 3] = [("S0", 0), ("S0", 25), ("*", 60)];
const CLIENTS_EACH: usize = 3;

fn watched() -> World {
    let mut world = World::new(11, 1, 3, 1_024, EngineConfig::default());
    for (name, throttle_ms) in WATCHED {
        for dialect in [Dialect::MessagePack, Dialect::Json, Dialect::MessagePack] {
            let client = world.open(dialect, 4_096, false, Manners::default());
            let wanted = Subscribe {
                symbols: vec![name.into()],
                channels: Some(vec![Channel::Quote, Channel::Last, Channel::Trade]),
                throttle_ms: Some(Some(throttle_ms)),
                ..Subscribe::default()
            };
            world.subscribe(client, wanted);
        }
    }
    world.run_on(300_000, TICK_US, 0);
    let now_us = world.now.monotonic_us;
    for client in world.clients.chunks_mut(CLIENTS_EACH) {
        client[2].say(now_us, &Command::Credit { id: None, frames: Some(1) });
    }
    world.run_on(TICK_US, TICK_US, 0);
    world
}

/// Twenty trades, each with a quote around it, in steps of one from `first`.
fn trade(world: &mut World, first: i64) {
    for price in first..first + 20 {
        let trade = Trade { price, size: 2, flags: 0, trade_id: ABSENT };
        let quote = Quote {
            bid_price: price - 1,
            bid_size: 5,
            ask_price: price + 1,
            ask_size: 6,
            suspect: false,
        };
        world.publish([(0, TickBody::Trade(trade)), (0, TickBody::Quote(quote))]);
        world.run_on(TICK_US, TICK_US, 0);
    }
}

/// One place more for the prices of S0, in a step of its own.
fn refine(world: &mut World, tick_size: i64) {
    let World { market, now, truth, .. } = world;
    market.refine_by(now.monotonic_us, 0, (1, 0), tick_size, truth);
    world.run_on(TICK_US, TICK_US, 0);
}

/// Every trade of S0 that frames tell, in order: its sequence, and its price at `finest`.
fn tape(frames: &[Frame], finest: i8) -> Vec<(u64, i64)> {
    let mut exponents = HashMap::new();
    let mut tape = Vec::new();
    for entry in frames.iter().flat_map(|frame| &frame.entries) {
        match entry {
            Entry::Definition(definition) => {
                exponents.insert(definition.id, definition.price_exponent);
            }
            Entry::Trade(trade) => {
                let places = exponents[&trade.id].abs_diff(finest);
                tape.push((trade.sequence, trade.price * 10i64.pow(places.into())));
            }
            _ => {}
        }
    }
    tape
}

#[test]
fn a_finer_price_retires_the_id_and_nobody_misses_anything() {
    let mut world = watched();
    let first = {
        let book = book(&frames(&world, 0));
        let definition = &book.symbol("S0").expect("defined").definition;
        (definition.id, definition.price_exponent)
    };
    trade(&mut world, 100);
    refine(&mut world, 5);
    trade(&mut world, 1_191);
    refine(&mut world, ABSENT);
    trade(&mut world, 12_101);
    let quiet_us = world.now.monotonic_us;
    for _ in 0..100 {
        let now_us = world.now.monotonic_us;
        world.clients.iter_mut().skip(2).step_by(CLIENTS_EACH).for_each(|client| {
            client.acknowledge(now_us);
        });
        world.run_on(2 * TICK_US, TICK_US, 0);
    }

    let finest = first.1 - 2;
    let prices = (100..120).map(|price| price * 100);
    let prices = prices.chain((1_191..1_211).map(|price| price * 10)).chain(12_101..12_121);
    let traded: Vec<(u64, i64)> = (1..).zip(prices).collect();
    for client in 0..world.clients.len() {
        let frames = frames(&world, client);
        let book = book(&frames);
        let symbol = book.symbol("S0").expect("defined");
        let definition = &symbol.definition;
        assert!(definition.id > first.0, "client {client}: {definition:?}");
        assert_eq!((definition.price_exponent, definition.tick_size), (finest, 50));

        assert_eq!(tape(&frames, finest), traded, "client {client}");
        let tape = &symbol.tape;
        assert_eq!((tape.head, tape.trades, tape.lost), (Some(60), 60, 0), "client {client}");

        let last = symbol.last.fields.expect("full figures");
        assert_eq!((last[last_field::PRICE], last[last_field::SIZE]), (12_120, 2));
        assert_eq!((last[last_field::VOLUME], last[last_field::TRADE_COUNT]), (120, 60));
        assert_eq!((last[last_field::HIGH], last[last_field::LOW]), (12_120, 10_000));
        assert_eq!(last[last_field::OPEN], 10_000);
        let quote = symbol.quote.fields.expect("a full quote");
        assert_eq!(
            (quote[quote_field::BID_PRICE], quote[quote_field::ASK_PRICE]),
            (12_119, 12_121)
        );
        assert_eq!((quote[quote_field::BID_SIZE], quote[quote_field::ASK_SIZE]), (5, 6));
        // Sixty of each, and the state anew at both new scales.
        assert_eq!((symbol.quote.head, symbol.last.head), (Some(62), Some(62)));
    }
    // Whoever is told as it happens and takes it was told each scale in its turn, and every state.
    for client in 0..2 {
        let frames = frames(&world, client);
        let told = frames.iter().flat_map(|frame| &frame.entries).filter_map(|entry| match entry {
            Entry::Definition(told) => Some((told.price_exponent, told.tick_size)),
            _ => None,
        });
        assert_eq!(told.skip(1).collect::<Vec<_>>(), [(first.1 - 1, 5), (finest, 50)]);
        let book = book(&frames);
        let symbol = book.symbol("S0").expect("defined");
        assert_eq!((symbol.quote.merged, symbol.last.merged), (0, 0), "client {client}");
    }
    for outcome in world.finish(quiet_us) {
        assert_eq!((outcome.verdict.violations, outcome.breaches), (vec![], vec![]));
    }
}

fn frames(world: &World, client: usize) -> Vec<Frame> {
    world.clients[client].frames().into_iter().map(|(_, frame)| frame).collect()
}

/// What a client makes of them, which breaks no rule.
fn book(frames: &[Frame]) -> Book {
    let mut book = Book::new();
    for frame in frames {
        assert_eq!(book.apply(frame), []);
    }
    book
}
