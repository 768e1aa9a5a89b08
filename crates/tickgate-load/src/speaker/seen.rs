//! States that a client held, for the comparison with what the gateway says to somebody else.

use std::sync::Arc;

use tickgate_protocol::{
    book::SymbolState,
    channel::Channel,
    entry::{last_field, quote_field},
    number::{ABSENT, Decimal},
};

/// The state of a symbol's channel at a sequence, scale included, so that two connections may know
/// the symbol by different definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) symbol: Arc<str>,
    pub(crate) channel: Channel,
    pub(crate) sequence: u64,
    /// Fields in wire order; flags and counts have exponent 0.
    pub(crate) fields: Vec<Option<Decimal>>,
}

impl Seen {
    /// What a client holds of a channel; `None` before the first state, and for the tape.
    pub(crate) fn of(symbol: &SymbolState, channel: Channel) -> Option<Self> {
        let definition = &symbol.definition;
        let (price, size) = (definition.price_exponent, definition.size_exponent);
        let (sequence, mut fields) = match channel {
            Channel::Quote => {
                let exponents: [i8; quote_field::COUNT] = [price, size, price, size, 0];
                (symbol.quote.head?, scaled(&symbol.quote.fields?, &exponents))
            }
            Channel::Last => {
                let exponents: [i8; last_field::COUNT] =
                    [price, size, size, 0, price, price, price, 0];
                (symbol.last.head?, scaled(&symbol.last.fields?, &exponents))
            }
            Channel::Trade | Channel::Bar(_) => return None,
        };
        // Absent flags, before the first eligible trade, are none: the client library, by which the
        // gateway's own answer is read, tells no difference.
        if let Some(flags @ None) = fields.last_mut() {
            *flags = Some(Decimal { mantissa: 0, exponent: 0 });
        }
        Some(Self { symbol: (&*definition.name).into(), channel, sequence, fields })
    }
}

fn scaled(fields: &[i64], exponents: &[i8]) -> Vec<Option<Decimal>> {
    let number = |(field, exponent): (&i64, &i8)| {
        (*field != ABSENT).then_some(Decimal { mantissa: *field, exponent: *exponent })
    };
    fields.iter().zip(exponents).map(number).collect()
}
