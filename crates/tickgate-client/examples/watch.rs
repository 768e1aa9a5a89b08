//! Shows quotes, trades and everything else of some symbols until interrupted.
//!
//!     cargo run -p tickgate-client --example watch -- AAPL MSFT
//!
//! `TICKGATE_URL` is where the gateway is; default `ws://127.0.0.1:7400/v1/stream`.

#![allow(clippy::print_stdout, reason = "it is what an example is for")]

use std::time::Duration;

use tickgate_client::{Client, ConnectionState, Decimal, Interest, Update};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("TICKGATE_URL");
    let url = url.unwrap_or_else(|_| "ws://127.0.0.1:7400/v1/stream".to_owned());
    let client = Client::connect(&url).await?;
    let symbols: Vec<String> = std::env::args().skip(1).collect();
    let interest = if symbols.is_empty() {
        Interest::everything()
    } else {
        Interest::symbols(symbols).with_trades()
    };
    let mut updates = client.subscribe(interest.throttle(Duration::from_millis(500))).await?;
    for rejected in updates.rejected() {
        println!("{}: {}", rejected.symbol, rejected.code.name());
    }
    loop {
        tokio::select! {
            update = updates.next() => match update {
                Some(update) => show(update),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}

fn show(update: Update) {
    match update {
        Update::Quote(quote) => {
            let (bid, ask) = (number(quote.bid_price), number(quote.ask_price));
            println!("{:<8} bid {bid} ask {ask} ({} merged)", quote.symbol, quote.merged);
        }
        Update::Last(last) => {
            println!(
                "{:<8} last {} volume {}",
                last.symbol,
                number(last.price),
                number(last.volume)
            );
        }
        Update::Trade(trade) => {
            let (price, size) = (number(trade.price), number(trade.size));
            println!("{:<8} trade {price} x {size} #{}", trade.symbol, trade.sequence);
        }
        Update::Lost(lost) => {
            println!("{:<8} trades lost: {:?} to {:?}", lost.symbol, lost.from, lost.to);
        }
        Update::Status(status) => println!("{:<8} {}", status.symbol, status.status.name()),
        Update::Feed(feed) => println!("feed     {}", feed.status.name()),
        Update::Connection(ConnectionState::Waiting { why, retry_in, .. }) => {
            println!("no connection ({why}), again in {retry_in:?}");
        }
        other => println!("{other:?}"),
    }
}

fn number(value: Option<Decimal>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
