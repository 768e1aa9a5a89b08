//! Follows a tape through lost connections, and proves that nothing is missing: the sequences that
//! come and the ranges declared lost touch each other.
//!
//!     cargo run -p tickgate-client --example resume_trades -- AAPL
//!
//! Break the connection meanwhile (`ss -K dst 127.0.0.1 dport = 7400` does, as root).

#![allow(clippy::print_stdout, reason = "it is what an example is for")]

use tickgate_client::{Client, ConnectionState, Interest, Update};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("TICKGATE_URL");
    let url = url.unwrap_or_else(|_| "ws://127.0.0.1:7400/v1/stream".to_owned());
    let symbol = std::env::args().nth(1).unwrap_or_else(|| "AAPL".to_owned());
    // The gateway need not be there yet.
    let client = Client::builder(&url).start()?;
    let mut updates = client.subscribe(Interest::symbols([symbol]).only_trades()).await?;
    let mut reached = None;
    while let Some(update) = updates.next().await {
        let (first, last) = match update {
            Update::Trade(trade) => (trade.sequence, trade.sequence),
            Update::Correction(correction) => (correction.sequence, correction.sequence),
            Update::Lost(lost) => {
                println!("lost: {:?} to {:?}", lost.from, lost.to);
                let (Some(from), Some(to)) = (lost.from, lost.to) else { continue };
                (from, to)
            }
            Update::Joined(joined) => {
                println!("tape goes on after {} (resumed: {})", joined.sequence, joined.resumed);
                reached.get_or_insert(joined.sequence);
                continue;
            }
            Update::Epoch { epoch, .. } => {
                println!("epoch {epoch}: sequences begin anew");
                reached = None;
                continue;
            }
            Update::Connection(ConnectionState::Waiting { why, retry_in, .. }) => {
                println!("{why}; again in {retry_in:?}, at {reached:?}");
                continue;
            }
            _ => continue,
        };
        if reached.is_some_and(|reached| first != reached + 1) {
            return Err(format!("{first} after {reached:?}: a hole, or twice").into());
        }
        reached = Some(last);
        if last.is_multiple_of(100) {
            println!("{last} trades, corrections and lost ones, without a hole");
        }
    }
    Ok(())
}
