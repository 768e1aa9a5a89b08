//! Random entries, definitions and commands for the property tests.

#![allow(dead_code, reason = "each test file uses a part of it")]

use proptest::{collection::vec, option, prelude::*};
use tickgate_protocol::{
    channel::{Channel, Channels},
    command::{Command, Op, Resume, Subscribe},
    definition::Definition,
    entry::{
        BarEntry, CorrectionEntry, Entry, LostEntry, LostOrigin, StateEntry, StatusEntry, Step,
        TradeEntry,
    },
    instrument::Instrument,
    number::{ABSENT, LIMIT},
    reply::SymbolInfo,
    symbol::WireId,
    tick::{CorrectionKind, Reason, Status},
};

/// Any number of the wire, with the borders of its encodings, or nil.
pub(crate) fn field() -> impl Strategy<Value = i64> {
    prop_oneof![
        1 => Just(ABSENT),
        4 => integer(),
    ]
}

pub(crate) fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![
        -40i64..300,
        -70_000i64..70_000,
        -5_000_000_000i64..5_000_000_000,
        -LIMIT..=LIMIT,
        Just(LIMIT),
        Just(-LIMIT),
    ]
}

pub(crate) fn count() -> impl Strategy<Value = u64> {
    integer().prop_map(i64::unsigned_abs)
}

pub(crate) fn definition(id: WireId) -> impl Strategy<Value = Definition> {
    (
        "[!#-)+-\\[\\]-~]{1,32}",
        -18i8..=18,
        -18i8..=18,
        prop_oneof![Just(0u32), 19_700_101u32..=99_991_231],
        field(),
        prop::sample::select(&Status::ALL[..4]),
        count(),
        field(),
    )
        .prop_map(
            move |(
                name,
                price,
                size,
                session_date,
                previous_close,
                status,
                sequence,
                tick_size,
            )| {
                Definition {
                    id,
                    name: name.into(),
                    price_exponent: price,
                    size_exponent: size,
                    session_date,
                    previous_close,
                    tick_size,
                    status,
                    status_sequence: sequence,
                }
            },
        )
}

/// A line of the directory.
pub(crate) fn symbol_info() -> impl Strategy<Value = SymbolInfo> {
    let word = || option::of(any::<String>().prop_map(String::into_boxed_str));
    ("[!#-)+-\\[\\]-~]{1,32}", -18i8..=18, -18i8..=18, field(), [word(), word(), word()]).prop_map(
        |(name, price_exponent, size_exponent, tick_size, [description, venue, currency])| {
            let instrument = Instrument { description, venue, currency };
            SymbolInfo { name, price_exponent, size_exponent, tick_size, instrument }
        },
    )
}

pub(crate) fn state<const N: usize>(id: WireId) -> impl Strategy<Value = StateEntry<N>> {
    let mask = u8::try_from((1u32 << N) - 1).expect("a state has at most 8 fields");
    (any::<bool>(), count(), field(), 0..=mask, vec(field(), N)).prop_map(
        move |(full, sequence, age_us, chosen, values)| {
            let step = match full {
                true => Step::Full { sequence },
                false => Step::Delta { advance: sequence.max(1) },
            };
            let mask = if full { mask } else { chosen };
            let mut fields = [ABSENT; N];
            for (bit, field) in fields.iter_mut().enumerate() {
                if mask & (1 << bit) != 0 {
                    *field = values[bit];
                }
            }
            StateEntry { id, step, age_us, mask, fields }
        },
    )
}

/// Any entry of the symbol `id`, or of none.
pub(crate) fn entry(id: WireId) -> impl Strategy<Value = Entry> {
    prop_oneof![
        option::of(integer()).prop_map(|command_id| Entry::Ready { command_id }),
        status(id).prop_map(Entry::Status),
        state(id).prop_map(Entry::Quote),
        state(id).prop_map(Entry::Last),
        (count(), [field(), field(), field(), field()], any::<u8>()).prop_map(
            move |(sequence, [age_us, price, size, trade_id], flags)| Entry::Trade(TradeEntry {
                id,
                sequence,
                age_us,
                price,
                size,
                flags,
                trade_id
            })
        ),
        (count(), [field(), field(), field(), field()], any::<bool>()).prop_map(
            move |(sequence, [age_us, corrects, price, size], cancel)| {
                let what = if cancel { CorrectionKind::Cancel } else { CorrectionKind::Correct };
                Entry::TradeCorrection(CorrectionEntry {
                    id,
                    sequence,
                    age_us,
                    corrects,
                    what,
                    price,
                    size,
                })
            }
        ),
        (count(), field()).prop_map(move |(sequence, volume)| Entry::TradesJoined {
            id,
            sequence,
            volume
        }),
        ([field(), field(), field()], any::<bool>()).prop_map(move |([from, to, size], feed)| {
            let origin = if feed { LostOrigin::Feed } else { LostOrigin::Connection };
            Entry::TradesLost(LostEntry { id, from, to, size, origin })
        }),
        bar(id).prop_map(Entry::Bar),
    ]
}

fn status(id: WireId) -> impl Strategy<Value = StatusEntry> {
    (
        any::<bool>(),
        count(),
        prop::sample::select(&Status::ALL[..]),
        prop::sample::select(&Reason::ALL[..]),
        field(),
    )
        .prop_map(move |(feed, status_sequence, status, reason, age_us)| StatusEntry {
            id: (!feed).then_some(id),
            status_sequence,
            status,
            reason,
            age_us,
        })
}

fn bar(id: WireId) -> impl Strategy<Value = BarEntry> {
    let prices = [field(), field(), field(), field(), field(), field(), field()];
    (count(), any::<u32>(), integer(), prices, any::<u8>()).prop_map(
        move |(sequence, interval_s, start_s, fields, flags)| {
            let [open, high, low, close, volume, vwap, trade_count] = fields;
            BarEntry {
                id,
                sequence,
                interval_s,
                start_s,
                open,
                high,
                low,
                close,
                volume,
                vwap,
                trade_count,
                flags,
            }
        },
    )
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    (option::of(integer()), op()).prop_map(|(id, op)| Command { id, op })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        subscribe().prop_map(Op::Subscribe),
        (names(), channels()).prop_map(|(symbols, channels)| Op::Unsubscribe { symbols, channels }),
        (
            option::of(names()),
            option::of(option::of(0u32..=60_000)),
            option::of(option::of(at_least_1())),
        )
            .prop_filter("one of both is required", |(_, throttle_ms, budget)| {
                throttle_ms.is_some() || budget.is_some()
            })
            .prop_map(|(symbols, throttle_ms, max_bytes_per_second)| Op::Throttle {
                symbols,
                throttle_ms,
                max_bytes_per_second
            }),
        option::of(at_least_1()).prop_map(|frames| Op::Credit { frames }),
        count().prop_map(|frame| Op::Ack { frame }),
        (any::<String>(), any::<String>(), option::of(integer()), option::of(at_least_1()))
            .prop_map(|(symbol, channel, before_s, limit)| Op::History {
                symbol,
                channel,
                before_s,
                limit
            }),
        (any::<String>(), option::of(any::<String>()), option::of(at_least_1()))
            .prop_map(|(prefix, after, limit)| Op::Symbols { prefix, after, limit }),
        Just(Op::Ping),
        any::<String>().prop_map(|key| Op::Auth { key: Some(key), token: None }),
        any::<String>().prop_map(|token| Op::Auth { key: None, token: Some(token) }),
    ]
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let resume = (count(), prop::collection::btree_map(any::<String>(), count(), 0..5))
        .prop_map(|(epoch, trades)| Resume { epoch, trades: trades.into_iter().collect() });
    (
        names(),
        option::of(channels()),
        option::of(option::of(0u32..=60_000)),
        option::of(1u8..=0x1f),
        option::of(1u8..),
        any::<bool>(),
        option::of(resume),
    )
        .prop_map(
            |(symbols, channels, throttle_ms, quote_fields, last_fields, snapshot, resume)| {
                Subscribe {
                    symbols,
                    channels,
                    throttle_ms,
                    quote_fields,
                    last_fields,
                    snapshot,
                    resume,
                }
            },
        )
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(any::<String>(), 0..20)
}

fn channels() -> impl Strategy<Value = Channels> {
    prop::sample::subsequence(&Channel::ALL[..], 1..=6)
        .prop_map(|channels| channels.into_iter().collect())
}

fn at_least_1() -> impl Strategy<Value = u64> {
    count().prop_map(|count| count.max(1))
}
