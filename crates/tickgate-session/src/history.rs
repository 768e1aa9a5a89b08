//! Answers `history` from the rings in which the hub keeps closed bars.

use tickgate_hub::Busy;
use tickgate_protocol::{
    bar::BarInterval,
    command::{ErrorCode, Refusal},
    reply::Reply,
};

use crate::{
    bars::bar_entry,
    commands::{bad_field, shortened},
    engine::Engine,
    places::Places,
    transport::Transport,
};

/// Bars in one page: in JSON some 200 bytes each, so a page is about as long as a frame.
pub(crate) const PAGE_LIMIT: u64 = 100;

impl<T: Transport> Engine<T> {
    /// A page of the newest bars that begin before `before_s`, oldest first.
    pub(crate) fn history(
        &self,
        id: Option<i64>,
        name: &str,
        channel: &str,
        before_s: Option<i64>,
        limit: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let limit = limit.unwrap_or(PAGE_LIMIT);
        if !(1..=PAGE_LIMIT).contains(&limit) {
            let message = format!("limit is {limit}: must be 1 to {PAGE_LIMIT}");
            return Err(bad_field(id, "limit", message));
        }
        let Some(interval) = BarInterval::from_channel(channel) else {
            let message = format!("no bar channel is called {}", shortened(channel));
            return Err(refusal(id, ErrorCode::UnknownChannel, "channel", message));
        };
        let hub = self.shared.hub();
        let symbol = hub.lookup(name).and_then(|index| hub.symbol(index));
        let Some(symbol) = symbol else {
            let message = format!("no symbol is called {}", shortened(name));
            return Err(refusal(id, ErrorCode::UnknownSymbol, "symbol", message));
        };
        let page = symbol.bars_before(interval, before_s.unwrap_or(i64::MAX), limit as usize);
        let Ok((bars, more)) = page else {
            let Busy = Busy;
            let message = "the symbol is being written: ask again".to_owned();
            return Err(Refusal { code: ErrorCode::Unavailable, message, field: None, id });
        };
        let definition = symbol.definition();
        let id_now = definition.id;
        // One that cannot be said at the scale in force any more is left out.
        let entries = bars.iter().rev().filter_map(|bar| {
            let places = Places::between(symbol, bar.id, id_now)?;
            bar_entry(bar, interval, id_now, places)
        });
        Ok(Reply::History {
            id,
            symbol: name.to_owned(),
            channel: channel.to_owned(),
            price_exponent: definition.price_exponent,
            size_exponent: definition.size_exponent,
            bars: entries.collect(),
            more,
        })
    }
}

fn refusal(id: Option<i64>, code: ErrorCode, field: &'static str, message: String) -> Refusal {
    Refusal { code, message, field: Some(field.into()), id }
}
