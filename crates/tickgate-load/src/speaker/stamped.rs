//! Plain targets: whoever is told symbols in `{"subscribe":[…]}` and sends stamped messages.

use std::sync::Arc;

use super::{Fault, Heard, Progress, Speaker, stamp};
use crate::{measure::Tally, outbox::Outbox};

/// A client of a plain target. There is no answer to its one command, so it is ready at once, and
/// it publishes nothing.
#[derive(Debug)]
pub(crate) struct Stamped {
    symbols: Arc<[String]>,
}

impl Stamped {
    /// One that will ask for these symbols.
    pub(crate) fn new(symbols: impl Into<Arc<[String]>>) -> Self {
        Self { symbols: symbols.into() }
    }
}

impl Speaker for Stamped {
    fn open(&mut self, out: &mut Outbox) -> Progress {
        let command = serde_json::json!({ "subscribe": &*self.symbols });
        out.text(command.to_string().as_bytes());
        Progress::Ready
    }

    fn hear(
        &mut self,
        heard: Heard<'_>,
        _out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<Progress, Fault> {
        tally.counts.frames += 1;
        stamp::record(stamp::read(heard.payload), heard.received_us, tally);
        Ok(Progress::Going)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::Timing,
        speaker::testing::{NOW_US, hear, said},
    };

    #[test]
    fn it_asks_once_and_is_ready() {
        let mut client = Stamped::new(["S0001", "BRK.B"].map(str::to_owned));
        let mut out = Outbox::default();
        assert_eq!(client.open(&mut out), Progress::Ready);
        assert_eq!(said(&mut out), [r#"{"subscribe":["S0001","BRK.B"]}"#]);
        assert_eq!(client.open(&mut out), Progress::Ready);
        assert_eq!(said(&mut out).len(), 1, "a new conversation begins the same way");
        assert!(!client.publish(NOW_US, &mut out));
        assert!(out.waiting().is_empty());
    }

    #[test]
    fn each_message_is_an_entry_and_is_timed() {
        let mut client = Stamped::new([]);
        let (mut out, mut tally) = (Outbox::default(), Tally::default());
        let text = format!(r#"{{"sent_at_us":{},"s":"S0001"}}"#, NOW_US - 1_500);
        let binary = (NOW_US - 500).to_be_bytes();
        for payload in [text.as_bytes(), &binary] {
            let progress = hear(&mut client, payload, &mut out, &mut tally);
            assert_eq!(progress, Ok(Progress::Going));
        }
        let counts = &tally.counts;
        assert_eq!((counts.frames, counts.entries, counts.updates), (2, 2, 2));
        for timing in [Timing::Transit, Timing::Latency, Timing::Late] {
            let spread = tally.timings.spread(timing).expect("recorded");
            assert_eq!((spread.count, spread.max_us / 10), (2, 150), "{timing:?} {spread:?}");
        }
    }

    #[test]
    fn a_message_without_a_stamp_is_a_violation_and_not_the_end() {
        let mut client = Stamped::new([]);
        let (mut out, mut tally) = (Outbox::default(), Tally::default());
        for payload in [&b""[..], b"hello", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7"] {
            let progress = hear(&mut client, payload, &mut out, &mut tally);
            assert_eq!(progress, Ok(Progress::Going));
        }
        let counts = &tally.counts;
        assert_eq!((counts.frames, counts.entries, counts.violations), (3, 3, 3));
        assert_eq!((counts.updates, tally.timings.spread(Timing::Transit)), (0, None));
    }
}
