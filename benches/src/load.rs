//! The loads that runs are made on.

use crate::sink::Group;

/// How many sessions watch how many symbols, and how fast the market moves.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Load {
    /// What it is called on the command line and in reports.
    pub name: String,
    /// Sessions.
    pub sessions: usize,
    /// Symbols each session watches.
    pub symbols: usize,
    /// Symbols there are.
    pub universe: usize,
    /// Zipf exponent of watchlists; 0 spreads them evenly.
    pub skew: f64,
    /// Throttle interval of every session; 0 for real time.
    pub throttle_ms: u32,
    /// Ticks a second of the whole market, spread evenly over the symbols.
    pub ticks_per_second: u32,
    /// Channels every session asks for.
    pub channels: Vec<String>,
}

impl Load {
    /// `SYMBOLSxSESSIONS`, such as `20x6000`: Zipf watchlists out of 2,000 symbols, throttled to
    /// 100 ms; or `realtime`: 1,000 sessions of 10 symbols each, evenly spread, as it happens.
    ///
    /// 100,000 ticks a second over 2,000 symbols are 50 a symbol, of which 45 are quotes: in
    /// 98.9 % of the intervals of 100 ms a symbol's quote changes (1 − e^−4.5). With
    /// `realtime`, 20,000 ticks a second reach about five sessions each.
    ///
    /// # Errors
    /// When `name` has neither form.
    pub fn parse(name: &str) -> Result<Self, LoadError> {
        let throttled = Self {
            name: name.into(),
            sessions: 1_000,
            symbols: 10,
            universe: 2_000,
            skew: 1.0,
            throttle_ms: 100,
            ticks_per_second: 100_000,
            channels: vec!["quote".into()],
        };
        if name == "realtime" {
            return Ok(Self { throttle_ms: 0, skew: 0.0, ticks_per_second: 20_000, ..throttled });
        }
        let refused = || LoadError { name: name.into() };
        let (symbols, sessions) = name.split_once('x').ok_or_else(refused)?;
        let number = |text: &str| text.parse().ok().filter(|n| *n > 0).ok_or_else(refused);
        let (symbols, sessions) = (number(symbols)?, number(sessions)?);
        if symbols > throttled.universe {
            return Err(refused());
        }
        Ok(Self { symbols, sessions, ..throttled })
    }

    /// Its sessions, as the sink is told of them.
    #[must_use]
    pub fn group(&self) -> Group {
        Group {
            sessions: self.sessions,
            symbols: self.symbols,
            channels: self.channels.clone(),
            throttle_ms: self.throttle_ms,
            stalls: false,
        }
    }
}

/// A load that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "load `{name}` must be `realtime` or SYMBOLSxSESSIONS, such as 20x6000, of 1 to 2,000 symbols"
)]
pub struct LoadError {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_symbols_by_sessions() {
        let load = Load::parse("20x6000").expect("a load");
        assert_eq!((load.symbols, load.sessions, load.throttle_ms), (20, 6_000, 100));
        assert_eq!(Load::parse("realtime").expect("a load").throttle_ms, 0);
        for bad in ["", "20", "20x", "x20", "0x5", "20x0", "2001x1", "axb"] {
            assert!(Load::parse(bad).is_err(), "{bad}");
        }
    }
}
