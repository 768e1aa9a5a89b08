//! What can be typed on the command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A real-time market data push gateway: ticks in, throttled MessagePack frames out.
///
/// Without a subcommand it runs the gateway; without options it runs it on a simulated market.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validate the configuration without starting anything
    Check(Options),
    /// Show live data of a running gateway in the terminal
    Tail(TailOptions),
    /// List the open sessions of a running gateway, the slowest first
    Sessions(SessionsOptions),
    /// Close a session of a running gateway
    Kick(KickOptions),
    /// Load a gateway with thousands of clients; time and check every delivery
    Load(tickgate_load::cli::Options),
}

/// Where the configuration comes from: defaults, then the file, then `TICKGATE_<SECTION>_<KEY>`
/// in the environment, then flags; the later wins.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Configuration file (TOML); config/tickgate.toml shows every key
    #[arg(long, value_name = "FILE", env = "TICKGATE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Address for clients (gateway.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address for operators (admin.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Worker threads (gateway.workers)
    #[arg(long, value_name = "COUNT")]
    pub(crate) workers: Option<u64>,
    /// Where ticks come from (feed.kind)
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) feed: Option<FeedKind>,
    /// Symbols of the simulated market (feed.simulated.symbols)
    #[arg(long, value_name = "COUNT")]
    pub(crate) symbols: Option<u64>,
    /// Rate of the simulated market (feed.simulated.ticks_per_second)
    #[arg(long, value_name = "RATE")]
    pub(crate) ticks_per_second: Option<u64>,
    /// Seed of the simulated market (feed.simulated.seed)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Recording to replay, may be repeated; implies --feed replay (feed.replay.files)
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Vec<String>,
    /// Times recorded speed, 0 is flat out (feed.replay.speed)
    #[arg(long, value_name = "FACTOR")]
    pub(crate) speed: Option<f64>,
    /// Any key of the configuration, may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FeedKind {
    /// A seeded market that never was
    Simulated,
    /// Recordings
    Replay,
}

impl Options {
    /// The flags that were given, as configuration keys: flag, key, value.
    pub(crate) fn overrides(&self) -> Vec<(&'static str, String, String)> {
        let kind = self.feed.or((!self.replay.is_empty()).then_some(FeedKind::Replay));
        let kind = kind.map(|kind| match kind {
            FeedKind::Simulated => "simulated",
            FeedKind::Replay => "replay",
        });
        let text = |value: Option<u64>| value.map(|value| value.to_string());
        let replay = (!self.replay.is_empty()).then(|| self.replay.join(","));
        let named = [
            ("--listen", "gateway.listen", self.listen.map(|a| a.to_string())),
            ("--admin-listen", "admin.listen", self.admin_listen.map(|a| a.to_string())),
            ("--workers", "gateway.workers", text(self.workers)),
            ("--feed", "feed.kind", kind.map(str::to_owned)),
            ("--symbols", "feed.simulated.symbols", text(self.symbols)),
            ("--ticks-per-second", "feed.simulated.ticks_per_second", text(self.ticks_per_second)),
            ("--seed", "feed.simulated.seed", text(self.seed)),
            ("--replay", "feed.replay.files", replay),
            ("--speed", "feed.replay.speed", self.speed.map(|speed| speed.to_string())),
        ];
        let named =
            named.into_iter().filter_map(|(flag, key, value)| Some((flag, key.to_owned(), value?)));
        let set = self.set.iter().map(|pair| {
            // Without a `=` the whole text is taken for a key, which then is unknown by name.
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            ("--set", key.trim().to_owned(), value.trim().to_owned())
        });
        named.chain(set).collect()
    }
}

/// Where a gateway at its defaults has its stream.
pub(crate) const TAIL_URL: &str = "ws://127.0.0.1:7400/v1/stream";

#[derive(Debug, Args)]
pub(crate) struct TailOptions {
    /// Symbols to show; `*` for all
    #[arg(value_name = "SYMBOL", default_values_t = ["AAPL", "MSFT", "NVDA"].map(str::to_owned))]
    pub(crate) symbols: Vec<String>,
    /// The gateway's stream
    #[arg(long, value_name = "URL", default_value = TAIL_URL)]
    pub(crate) url: String,
    /// Least time between two lines of a symbol's channel, milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000)]
    pub(crate) throttle_ms: u32,
    /// Also show every trade
    #[arg(long)]
    pub(crate) trades: bool,
    /// Print the JSON of each frame instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a gateway at its defaults has its admin listener.
const ADMIN_URL: &str = "http://127.0.0.1:7401";

/// How to reach the admin listener.
#[derive(Debug, Args)]
pub(crate) struct AdminOptions {
    /// The gateway's admin listener
    #[arg(long, value_name = "URL", default_value = ADMIN_URL)]
    pub(crate) admin: String,
    /// Its token (admin.token); other users of the machine can see what is typed here
    #[arg(long, value_name = "TOKEN", env = "TICKGATE_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SessionsOptions {
    #[command(flatten)]
    pub(crate) admin: AdminOptions,
    /// Most sessions to list
    #[arg(long, value_name = "COUNT", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) limit: u64,
    /// Print the JSON of the answer instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KickOptions {
    #[command(flatten)]
    pub(crate) admin: AdminOptions,
    /// The session's id, as `tickgate sessions` shows it
    #[arg(value_name = "ID")]
    pub(crate) id: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_become_keys_and_set_comes_last() {
        let cli = Cli::parse_from([
            "tickgate",
            "--set",
            "gateway.listen=127.0.0.1:1",
            "--listen",
            "127.0.0.1:2",
            "--replay",
            "a.zst",
            "--replay",
            "b.zst",
        ]);
        let overrides = cli.options.overrides();
        let keys: Vec<_> = overrides.iter().map(|(_, key, value)| (&**key, &**value)).collect();
        assert_eq!(
            keys,
            [
                ("gateway.listen", "127.0.0.1:2"),
                ("feed.kind", "replay"),
                ("feed.replay.files", "a.zst,b.zst"),
                ("gateway.listen", "127.0.0.1:1"),
            ]
        );
    }
}
