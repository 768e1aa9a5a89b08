//! Asks once a second for the current state of a symbol, and says how far it can be trusted.
//!
//!     cargo run -p tickgate-client --example latest -- AAPL
//!
//! Stop the gateway meanwhile: the last known price stays, its age grows, and the doubt is named.

#![allow(clippy::print_stdout, reason = "it is what an example is for")]

use std::time::Duration;

use tickgate_client::{Client, Interest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("TICKGATE_URL");
    let url = url.unwrap_or_else(|_| "ws://127.0.0.1:7400/v1/stream".to_owned());
    let symbol = std::env::args().nth(1).unwrap_or_else(|| "AAPL".to_owned());
    let client = Client::connect(&url).await?;
    // It need not be read: only the newest state is kept. It has to be held.
    let _held = client.subscribe(Interest::symbols([symbol.as_str()])).await?;
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        every_second.tick().await;
        let Some(latest) = client.latest(&symbol) else {
            println!("{symbol}: nothing known yet");
            continue;
        };
        let price = latest.last.and_then(|last| last.price);
        let price = price.map_or_else(|| "-".to_owned(), |price| price.to_string());
        let age_us = latest.last_age.and_then(|age| age.since_event_us).unwrap_or_default();
        let doubts = latest.doubts;
        let trust = match (doubts.connection_lost, doubts.feed_stale, doubts.not_trading) {
            (true, ..) => "no connection",
            (_, true, _) => "the feed is stale",
            (.., true) => latest.status.name(),
            _ => "fresh",
        };
        println!("{symbol}: {price}, {} ms old, {trust}", age_us / 1_000);
    }
}
