//! What a symbol stands for, and its tick size: kept, scaled, and left out where they break a rule.

use std::sync::Arc;

use tickgate_hub::{Hub, HubConfig, Publisher, Refusal};
use tickgate_protocol::{
    instrument::Instrument,
    number::{ABSENT, LIMIT},
    tick::{Batch, Listing, Tick, TickBody, Trade},
};

fn hub(symbol_limit: usize) -> Arc<Hub> {
    Hub::new(HubConfig { symbol_limit, ..HubConfig::default() }, 5).unwrap()
}

fn list(publisher: &mut Publisher, listings: &[Listing]) {
    publisher.publish(&Batch { listings: listings.to_vec(), ..Batch::default() });
}

fn refused(hub: &Hub, refusal: Refusal) -> u64 {
    hub.stats().refused[refusal as usize].1
}

#[test]
fn what_a_symbol_is_outlives_its_scale_and_its_tick_size_follows() {
    let words = |description: Option<&str>, venue: Option<&str>| Instrument {
        description: description.map(Into::into),
        venue: venue.map(Into::into),
        currency: None,
    };
    let hub = hub(2);
    let mut publisher = hub.publisher();
    let told = |exponent, tick_size, instrument| Listing {
        tick_size,
        instrument,
        ..Listing::new("A", exponent, 0)
    };
    for (listing, tick_size, instrument) in [
        (told(-2, 5, words(Some("Alpha"), None)), 5, words(Some("Alpha"), None)),
        // The same scale: nothing is taken.
        (told(-2, 1, words(None, Some("V"))), 5, words(Some("Alpha"), None)),
        // Finer: what is not told is kept.
        (told(-4, ABSENT, words(None, Some("V"))), 500, words(Some("Alpha"), Some("V"))),
        (told(-5, 25, words(Some("Beta"), None)), 25, words(Some("Beta"), Some("V"))),
    ] {
        list(&mut publisher, &[listing]);
        let (page, _) = hub.list("", None, 2);
        assert_eq!(page[0].definition.tick_size, tick_size);
        assert_eq!(page[0].instrument.as_deref(), Some(&instrument));
    }
    assert_eq!(refused(&hub, Refusal::TickSize), 0);
    // A tick size past the limit at the finer scale is unknown; the scale is as wanted.
    list(
        &mut publisher,
        &[told(-6, LIMIT, words(None, None)), told(-7, ABSENT, words(None, None))],
    );
    let definition = hub.symbol(hub.lookup("A").unwrap()).unwrap().definition();
    assert_eq!((definition.price_exponent, definition.tick_size), (-7, ABSENT));
    assert_eq!(refused(&hub, Refusal::TickSize), 1);
}

#[test]
fn a_field_that_breaks_its_rule_is_counted_and_nothing_else_lost() {
    let hub = hub(4);
    let mut publisher = hub.publisher();
    let good = Instrument {
        description: Some("Alpha".into()),
        venue: Some("V".into()),
        currency: Some("USD".into()),
    };
    let with = |name: &str, tick_size, instrument: &Instrument| Listing {
        tick_size,
        instrument: instrument.clone(),
        ..Listing::new(name, 0, 0)
    };
    let bad_words = Instrument { description: Some("\n".into()), ..good.clone() };
    let bad_venue = Instrument { venue: Some("V".repeat(17).into()), ..good.clone() };
    let bad_currency = Instrument { currency: Some("usd".into()), ..good.clone() };
    list(
        &mut publisher,
        &[
            with("A", 0, &good),
            with("B", 1, &bad_words),
            with("C", LIMIT + 1, &bad_venue),
            with("D", LIMIT, &bad_currency),
        ],
    );
    let trade = Trade { price: 10, size: 1, flags: 0, trade_id: ABSENT };
    let trade = |symbol| Tick { symbol, event_time_ns: 0, body: TickBody::Trade(trade) };
    publisher.publish(&Batch { ticks: (0..4).map(trade).collect(), ..Batch::default() });
    assert_eq!(hub.stats().trades, 4);
    let (page, _) = hub.list("", None, 9);
    let tick_sizes: Vec<i64> = page.iter().map(|line| line.definition.tick_size).collect();
    assert_eq!(tick_sizes, [ABSENT, 1, ABSENT, LIMIT]);
    let words: Vec<&Instrument> =
        page.iter().map(|line| line.instrument.as_deref().expect("words")).collect();
    let without = |change: fn(&mut Instrument)| {
        let mut words = good.clone();
        change(&mut words);
        words
    };
    assert_eq!(*words[0], good);
    assert_eq!(*words[1], without(|words| words.description = None));
    assert_eq!(*words[2], without(|words| words.venue = None));
    assert_eq!(*words[3], without(|words| words.currency = None));
    for (refusal, count) in [
        (Refusal::TickSize, 2),
        (Refusal::Description, 1),
        (Refusal::Venue, 1),
        (Refusal::Currency, 1),
    ] {
        assert_eq!(refused(&hub, refusal), count, "{refusal:?}");
    }
    assert_eq!(hub.stats().refused.iter().map(|(_, count)| count).sum::<u64>(), 5);
}
