//! A frame as lines of text: one for each symbol whose state changed, one for each trade, one for
//! each change of status.

use std::fmt::Write;

use tickgate_protocol::{
    book::{Book, SymbolState},
    definition::Definition,
    entry::{Entry, Frame, last_field, quote_field},
    instrument::Instrument,
    number::{ABSENT, Decimal},
    reply::SymbolInfo,
    symbol::WireId,
    tick::Reason,
};

/// Appends the lines of a frame that was applied to the book.
pub(super) fn write_frame(out: &mut String, frame: &Frame, book: &Book) {
    let mut states: Vec<WireId> = Vec::new();
    for entry in &frame.entries {
        match entry {
            Entry::Quote(quote) => note(&mut states, quote.id),
            Entry::Last(last) => note(&mut states, last.id),
            Entry::Trade(trade) => {
                let Some(symbol) = book.symbol_of(trade.id) else { continue };
                let of = &symbol.definition;
                let (price, size) = (price(of, trade.price), size(of, trade.size));
                let (name, sequence) = (&of.name, trade.sequence);
                line(out, format_args!("{name:<8} trade {price} x {size}  #{sequence}"));
            }
            Entry::TradesLost(lost) => {
                let Some(symbol) = book.symbol_of(lost.id) else { continue };
                let bounds = [lost.from, lost.to].map(|bound| number(bound, 0));
                let name = &symbol.definition.name;
                line(out, format_args!("{name:<8} trades lost {} to {}", bounds[0], bounds[1]));
            }
            Entry::Status(status) => {
                let symbol = status.id.and_then(|id| book.symbol_of(id));
                let name = symbol.map_or("feed", |symbol| &symbol.definition.name);
                let reason = match status.reason {
                    Reason::None => String::new(),
                    reason => format!(" ({})", reason.name()),
                };
                line(out, format_args!("{name:<8} {}{reason}", status.status.name()));
            }
            _ => {}
        }
    }
    for symbol in states.into_iter().filter_map(|id| book.symbol_of(id)) {
        write_state(out, symbol);
    }
}

/// Appends a line of what a symbol stands for, where anything is known of it.
pub(super) fn write_instrument(out: &mut String, info: &SymbolInfo) {
    let Instrument { description, venue, currency } = &info.instrument;
    let steps = match info.tick_size {
        ABSENT => None,
        step => Some(format!("in steps of {}", number(step, info.price_exponent))),
    };
    let words = [description.as_deref(), venue.as_deref(), currency.as_deref(), steps.as_deref()];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    if !words.is_empty() {
        line(out, format_args!("{:<8} is {}", info.name, words.join(", ")));
    }
}

fn write_state(out: &mut String, symbol: &SymbolState) {
    let of = &symbol.definition;
    let mut text = format!("{:<8}", of.name);
    if let Some(quote) = symbol.quote.fields {
        let side = |p: usize, s: usize| format!("{} x {}", price(of, quote[p]), size(of, quote[s]));
        let bid = side(quote_field::BID_PRICE, quote_field::BID_SIZE);
        let ask = side(quote_field::ASK_PRICE, quote_field::ASK_SIZE);
        text += &format!(" bid {bid:<18} ask {ask:<18}");
    }
    if let Some(last) = symbol.last.fields {
        let trade = format!(
            "{} x {}",
            price(of, last[last_field::PRICE]),
            size(of, last[last_field::SIZE])
        );
        let volume = size(of, last[last_field::VOLUME]);
        text += &format!(" last {trade:<18} volume {volume:<12}");
    }
    let newest = if symbol.quote.sent_at_us >= symbol.last.sent_at_us {
        symbol.quote.age_us
    } else {
        symbol.last.age_us
    };
    if newest != ABSENT {
        text += &format!(" age {} ms", newest.div_euclid(1_000));
    }
    line(out, format_args!("{}", text.trim_end()));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Each symbol once, in the order of the frame.
fn note(ids: &mut Vec<WireId>, id: WireId) {
    if !ids.contains(&id) {
        ids.push(id);
    }
}

fn price(of: &Definition, value: i64) -> String {
    number(value, of.price_exponent)
}

fn size(of: &Definition, value: i64) -> String {
    number(value, of.size_exponent)
}

/// Every digit, or `-` for what is absent.
fn number(mantissa: i64, exponent: i8) -> String {
    if mantissa == ABSENT { "-".to_owned() } else { Decimal { mantissa, exponent }.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickgate_protocol::{
        entry::{StateEntry, StatusEntry, Step, TradeEntry},
        tick::Status,
    };

    #[test]
    fn an_instrument_is_a_line_of_what_is_known() {
        let mut info = SymbolInfo {
            name: "AAPL".into(),
            price_exponent: -2,
            size_exponent: 0,
            tick_size: 5,
            instrument: Instrument {
                description: Some("Apple".into()),
                venue: None,
                currency: Some("USD".into()),
            },
        };
        let mut out = String::new();
        write_instrument(&mut out, &info);
        (info.tick_size, info.instrument) = (ABSENT, Instrument::default());
        write_instrument(&mut out, &info);
        assert_eq!(out, "AAPL     is Apple, USD, in steps of 0.05\n");
    }

    #[test]
    fn a_frame_becomes_one_line_for_each_thing_that_happened() {
        let quote = StateEntry {
            id: 7,
            step: Step::Full { sequence: 3 },
            age_us: 1_500,
            mask: 0x1f,
            fields: [19_051, 300, ABSENT, ABSENT, 0],
        };
        let trade = TradeEntry {
            id: 7,
            sequence: 12,
            age_us: ABSENT,
            price: 19_050,
            size: 100,
            flags: 0,
            trade_id: ABSENT,
        };
        let halted = StatusEntry {
            id: Some(7),
            status_sequence: 1,
            status: Status::Halted,
            reason: Reason::News,
            age_us: 0,
        };
        let frame = Frame {
            sequence: 1,
            sent_at_us: 1_000_000,
            cause: 0,
            entries: vec![
                Entry::Definition(Definition::new(7, "AAPL", -2, 0)),
                Entry::TradesJoined { id: 7, sequence: 11, volume: 0 },
                Entry::Quote(quote),
                Entry::Trade(trade),
                Entry::Status(halted),
            ],
        };
        let mut book = Book::new();
        assert_eq!(book.apply(&frame), []);
        let mut out = String::new();
        write_frame(&mut out, &frame, &book);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines,
            [
                "AAPL     trade 190.50 x 100  #12",
                "AAPL     halted (news)",
                "AAPL     bid 190.51 x 300       ask - x -              age 1 ms",
            ]
        );
    }
}
