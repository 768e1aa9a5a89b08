//! What the sink counts, for all its sessions together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::payload;

/// What a server sends, and how it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// `tickgate.v1` in MessagePack: frames of entries, with sequences and times.
    Tickgate,
    /// One message is one entry; it begins with `{"sent_at_us":` and a number.
    Stamped,
    /// One message is one entry, of which nothing is known.
    Opaque,
}

/// Longest time the histograms hold; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(120);

const STAMP: &[u8] = br#"{"sent_at_us":"#;

/// Counters and histograms; replaced when the window begins.
#[derive(Debug)]
pub struct Tally {
    content: Content,
    sample_every: u64,
    now_us: i64,
    /// Data frames.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// WebSocket bytes of them.
    pub bytes: u64,
    /// Data frames without entries.
    pub heartbeats: u64,
    /// Socket reads that brought something.
    pub reads: u64,
    /// From a frame's `sent_at_us` to its arrival, microseconds.
    pub transit_us: Histogram<u64>,
    /// From the venue's time of an event to the frame that carries it, microseconds, as the server
    /// says; sampled.
    pub age_us: Histogram<u64>,
    /// From the venue's time of an event to the arrival of its entry, microseconds; sampled.
    pub staleness_us: Histogram<u64>,
    /// Frame sequences that were skipped or repeated.
    sequence_breaks: u64,
    /// Messages that could not be read.
    unreadable: u64,
    /// The first reply that refused something.
    refusal: Option<String>,
}

/// A histogram in five numbers, microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Latency {
    /// Values.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// One in a hundred is above.
    pub p99_us: u64,
    /// One in a thousand is above.
    pub p999_us: u64,
    /// The largest.
    pub max_us: u64,
}

impl Latency {
    /// Of a histogram that is not empty.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        })
    }
}

impl Tally {
    /// All zero. Ages are read in every `sample_every`-th frame; 0 for none.
    ///
    /// # Errors
    /// Never for the fixed bounds used here.
    pub fn new(content: Content, sample_every: u64) -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, 3)?;
        Ok(Self {
            content,
            sample_every,
            now_us: 0,
            frames: 0,
            entries: 0,
            bytes: 0,
            heartbeats: 0,
            reads: 0,
            transit_us: histogram.clone(),
            age_us: histogram.clone(),
            staleness_us: histogram,
            sequence_breaks: 0,
            unreadable: 0,
            refusal: None,
        })
    }

    /// True when the server speaks first.
    pub(super) fn expects_greeting(&self) -> bool {
        self.content == Content::Tickgate
    }

    /// Takes the time at which the messages that follow arrived.
    pub(super) fn begin_read(&mut self) {
        self.reads += 1;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.now_us = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
    }

    /// Counts one message of `whole_bytes`, header included; `frame_sequence` is its session's.
    pub(super) fn message(
        &mut self,
        payload: &[u8],
        whole_bytes: usize,
        frame_sequence: &mut Option<u64>,
    ) {
        match self.content {
            Content::Tickgate if payload::is_reply(payload) => return self.reply(payload),
            Content::Tickgate => {
                let Some(head) = payload::frame_head(payload) else {
                    self.unreadable += 1;
                    return;
                };
                if frame_sequence.is_some_and(|last| head.sequence != last + 1) {
                    self.sequence_breaks += 1;
                }
                *frame_sequence = Some(head.sequence);
                self.entries += head.entries as u64;
                self.heartbeats += u64::from(head.entries == 0);
                self.transit(head.sent_at_us);
                if self.sample_every > 0 && head.sequence.is_multiple_of(self.sample_every) {
                    self.ages(payload, head);
                }
            }
            Content::Stamped => {
                *frame_sequence = Some(0);
                self.entries += 1;
                match stamp(payload) {
                    Some(sent_at_us) => self.transit(sent_at_us),
                    None => self.unreadable += 1,
                }
            }
            Content::Opaque => {
                *frame_sequence = Some(0);
                self.entries += 1;
            }
        }
        self.frames += 1;
        self.bytes += whole_bytes as u64;
    }

    /// The first refusal by the server since the start of this tally.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// What makes the window worthless.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.frames == 0 {
            faults.push("no frame arrived".into());
        }
        if self.sequence_breaks > 0 {
            faults.push(format!("{} frame sequences were skipped", self.sequence_breaks));
        }
        if self.unreadable > 0 {
            faults.push(format!("{} messages could not be read", self.unreadable));
        }
        if let Some(refusal) = &self.refusal {
            faults.push(format!("the server refused: {refusal}"));
        }
        faults
    }

    fn transit(&mut self, sent_at_us: i64) {
        let microseconds = u64::try_from(self.now_us - sent_at_us).unwrap_or(0);
        self.transit_us.saturating_record(microseconds);
    }

    fn ages(&mut self, payload: &[u8], head: payload::FrameHead) {
        let transit_us = self.now_us - head.sent_at_us;
        let (age, staleness) = (&mut self.age_us, &mut self.staleness_us);
        let read = payload::entry_ages(payload, head, |age_us| {
            age.saturating_record(u64::try_from(age_us).unwrap_or(0));
            staleness.saturating_record(u64::try_from(transit_us + age_us).unwrap_or(0));
        });
        if read.is_none() {
            self.unreadable += 1;
        }
    }

    fn reply(&mut self, payload: &[u8]) {
        let Ok(reply) = rmp_serde::from_slice::<serde_json::Value>(payload) else {
            self.unreadable += 1;
            return;
        };
        let rejected = reply["rejected"].as_array().is_some_and(|names| !names.is_empty());
        let refused = matches!(reply["type"].as_str(), Some("error" | "draining"));
        if (rejected || refused) && self.refusal.is_none() {
            self.refusal = Some(reply.to_string());
        }
    }
}

fn stamp(payload: &[u8]) -> Option<i64> {
    let rest = payload.strip_prefix(STAMP)?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(content: Content) -> Tally {
        let mut tally = Tally::new(content, 1).expect("bounds");
        tally.now_us = 1_000;
        tally
    }

    #[test]
    fn a_skipped_frame_is_a_fault() {
        let mut tally = tally(Content::Tickgate);
        let mut sequence = None;
        for number in [1, 2, 4] {
            let frame = [0x95, 1, number, 0xcd, 0x03, 0x84, 0, 0x91, 0x94, 10, 1, 1, 7];
            tally.message(&frame, 15, &mut sequence);
        }
        assert_eq!((tally.frames, tally.entries, tally.bytes), (3, 3, 45));
        assert_eq!(tally.sequence_breaks, 1);
        assert_eq!(tally.transit_us.max(), 100);
        assert_eq!((tally.age_us.max(), tally.staleness_us.max()), (7, 107));
        assert_eq!(tally.faults().len(), 1);
    }

    #[test]
    fn a_refusal_is_a_fault_and_no_frame() {
        let mut tally = tally(Content::Tickgate);
        for reply in [
            serde_json::json!({"type": "subscribed", "rejected": []}),
            serde_json::json!({"type": "subscribed", "rejected": [{"symbol": "X"}]}),
        ] {
            let bytes = rmp_serde::to_vec(&reply).expect("encodes");
            tally.message(&bytes, bytes.len() + 2, &mut None);
        }
        assert_eq!(tally.frames, 0);
        assert!(tally.refusal().is_some_and(|text| text.contains("\"X\"")));
    }

    #[test]
    fn stamps_are_read_from_text() {
        assert_eq!(stamp(br#"{"sent_at_us":123,"x":1}"#), Some(123));
        assert_eq!(stamp(br#"{"sent_at_us":"#), None);
        assert_eq!(stamp(b"{}"), None);
        let mut tally = tally(Content::Stamped);
        tally.message(br#"{"sent_at_us":400}"#, 20, &mut None);
        assert_eq!((tally.frames, tally.transit_us.max()), (1, 600));
    }
}
