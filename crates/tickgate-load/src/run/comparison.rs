//! After the window: is what loaded clients hold what the gateway says to a fresh one?
//!
//! The clients chosen ask for every change as it happens, on the connections that were loaded, and
//! note what they hold at each sequence. A *witness*, a new connection of the client library, does
//! the same for the same symbols. Where both saw the same sequence of a symbol's channel the fields
//! must be equal: what was torn or applied to the wrong state, and is still held, would show. And
//! what the witness was told a second before the end everybody must hold: who was forgotten shows.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tickgate_client::{Client, Interest, Update};
use tickgate_protocol::{channel::Channel, number::Decimal};

use super::swarms::Swarms;
use crate::{
    report::{Comparison, ViolationReport},
    speaker::Seen,
    swarm::{Note, Order},
};

/// How long both sides note.
const LENGTH: Duration = Duration::from_secs(3);

/// Longest that an update may take to everybody, at the end.
const SETTLING: Duration = Duration::from_secs(1);

/// Longest time until the witness has heard all it is to hear, and has gone.
const WITNESS_PATIENCE: Duration = Duration::from_secs(60);

/// Most states that the witness notes.
const WITNESS_LIMIT: usize = 200_000;

/// Most differences that are told in words.
const DIFFERENCES_TOLD: usize = 10;

type Fields = Vec<Option<Decimal>>;

/// A symbol's channel at a sequence.
type Place = (Arc<str>, Channel, u64);

/// Compares `clients` clients of the first thread with the gateway's own answer. What broke the
/// protocol meanwhile is added to `violations`.
pub(super) fn compare(
    swarms: &mut Swarms,
    url: &str,
    clients: u32,
    violations: &mut Vec<ViolationReport>,
) -> Result<Option<Comparison>> {
    swarms.order(0, Order::BeginComparison { clients })?;
    let symbols = swarms.next_matching(violations, |note| match note {
        Note::Comparing(symbols) => Some(symbols),
        _ => None,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let witness = runtime.block_on(witness(url, &symbols));
    swarms.order(0, Order::EndComparison)?;
    let (noted, mut untold) = swarms.next_matching(violations, |note| match note {
        Note::Compared(noted, untold) => Some((noted, untold)),
        _ => None,
    })?;
    violations.append(&mut untold);
    // Where nobody suits (all are hostile, slow, or wildcards) there is nothing to compare.
    Ok(if noted.is_empty() { None } else { Some(judge(&witness?, &noted)) })
}

/// What the gateway says to a fresh client: fields by symbol, channel and sequence.
#[derive(Debug, Default)]
struct Witness {
    states: HashMap<Place, Fields>,
    /// Newest sequence of each symbol's channel a second before the end: whoever listens holds it.
    settled: HashMap<(Arc<str>, Channel), u64>,
}

async fn witness(url: &str, symbols: &[Arc<str>]) -> Result<Witness> {
    // The client library comes back to a gateway that closes it, however often that happens.
    let listening = tokio::time::timeout(WITNESS_PATIENCE, listen(url, symbols));
    listening.await.context("the witness is not served")?
}

async fn listen(url: &str, symbols: &[Arc<str>]) -> Result<Witness> {
    let mut witness = Witness::default();
    if symbols.is_empty() {
        return Ok(witness);
    }
    let client = Client::builder(url).connect().await.context("the witness cannot connect")?;
    let names = symbols.iter().map(|name| name.to_string());
    let interest = Interest::symbols(names).throttle(Duration::ZERO);
    let mut updates = client.subscribe(interest).await.context("the witness cannot subscribe")?;
    let end = tokio::time::Instant::now() + LENGTH;
    while let Ok(Some(update)) = tokio::time::timeout_at(end, updates.next()).await {
        let Some(((symbol, channel, sequence), fields)) = state(update) else { continue };
        if tokio::time::Instant::now() + SETTLING <= end {
            witness.settled.insert((Arc::clone(&symbol), channel), sequence);
        }
        if witness.states.len() < WITNESS_LIMIT {
            witness.states.insert((symbol, channel, sequence), fields);
        }
    }
    client.close().await;
    Ok(witness)
}

/// A state as [`Seen`] has it.
fn state(update: Update) -> Option<(Place, Fields)> {
    let whole = |number: u64| Some(Decimal { mantissa: number.cast_signed(), exponent: 0 });
    match update {
        Update::Quote(quote) => {
            let fields = vec![
                quote.bid_price,
                quote.bid_size,
                quote.ask_price,
                quote.ask_size,
                whole(quote.flags.into()),
            ];
            Some(((quote.symbol, Channel::Quote, quote.sequence), fields))
        }
        Update::Last(last) => {
            let fields = vec![
                last.price,
                last.size,
                last.volume,
                last.trade_count.and_then(whole),
                last.high,
                last.low,
                last.open,
                whole(last.flags.into()),
            ];
            Some(((last.symbol, Channel::Last, last.sequence), fields))
        }
        _ => None,
    }
}

fn judge(witness: &Witness, noted: &[(u32, Vec<Seen>)]) -> Comparison {
    let clients = u32::try_from(noted.len()).unwrap_or(u32::MAX);
    let mut comparison = Comparison { clients, ..Comparison::default() };
    for (client, seen) in noted {
        let mut matched = HashSet::new();
        let mut newest = HashMap::new();
        for seen in seen {
            let channel = (Arc::clone(&seen.symbol), seen.channel);
            newest.insert(channel.clone(), seen.sequence);
            let key = (Arc::clone(&seen.symbol), seen.channel, seen.sequence);
            let Some(told) = witness.states.get(&key) else { continue };
            matched.insert(channel);
            comparison.compared += 1;
            // Sequence 0 is a symbol without a state: its flags may be absent on either side.
            if seen.sequence > 0 && *told != seen.fields {
                differs(&mut comparison, || {
                    format!(
                        "client {client}, {} {} at sequence {}: holds {}, the gateway says {}",
                        seen.symbol,
                        seen.channel.name(),
                        seen.sequence,
                        words(&seen.fields),
                        words(told),
                    )
                });
            }
        }
        comparison.without_match += (newest.len() - matched.len()) as u64;
        for ((symbol, channel), sequence) in newest {
            let settled = witness.settled.get(&(Arc::clone(&symbol), channel));
            if let Some(settled) = settled.filter(|settled| sequence < **settled) {
                differs(&mut comparison, || {
                    format!(
                        "client {client}, {symbol} {}: stays at sequence {sequence}, the gateway \
                         said {settled} a second before",
                        channel.name(),
                    )
                });
            }
        }
    }
    comparison
}

fn differs(comparison: &mut Comparison, words: impl FnOnce() -> String) {
    comparison.differing += 1;
    if comparison.differences.len() < DIFFERENCES_TOLD {
        comparison.differences.push(words());
    }
}

fn words(fields: &[Option<Decimal>]) -> String {
    let word = |field: &Option<Decimal>| field.map_or("nil".to_owned(), |field| field.to_string());
    fields.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(symbol: &str, sequence: u64, mantissa: i64) -> Seen {
        let fields = vec![Some(Decimal { mantissa, exponent: -2 }), None];
        Seen { symbol: symbol.into(), channel: Channel::Quote, sequence, fields }
    }

    fn witness(states: &[Seen]) -> Witness {
        let state = |seen: &Seen| {
            ((Arc::clone(&seen.symbol), seen.channel, seen.sequence), seen.fields.clone())
        };
        let settled = states.iter().map(|s| ((Arc::clone(&s.symbol), s.channel), s.sequence));
        Witness { states: states.iter().map(state).collect(), settled: settled.collect() }
    }

    #[test]
    fn the_same_sequence_must_have_the_same_fields() {
        let witness = witness(&[seen("A", 1, 100), seen("A", 3, 102), seen("B", 7, 5)]);
        let noted = [
            (4, vec![seen("A", 2, 101), seen("A", 3, 102)]),
            (9, vec![seen("A", 3, 103), seen("B", 8, 5)]),
        ];
        let comparison = judge(&witness, &noted);
        assert_eq!((comparison.clients, comparison.compared), (2, 2));
        assert_eq!((comparison.differing, comparison.without_match), (1, 1));
        let told = "client 9, A quote at sequence 3: holds 1.03 nil, the gateway says 1.02 nil";
        assert_eq!(comparison.differences, [told]);
    }

    #[test]
    fn a_client_that_stays_behind_differs() {
        let witness = witness(&[seen("A", 1, 100), seen("A", 9, 102)]);
        let comparison = judge(&witness, &[(4, vec![seen("A", 1, 100)])]);
        assert_eq!((comparison.compared, comparison.differing), (1, 1));
        let told = "client 4, A quote: stays at sequence 1, the gateway said 9 a second before";
        assert_eq!(comparison.differences, [told]);
    }
}
