//! Status changes and beginnings of sessions in order: a small tape of its own, since sampling would
//! miss a halt and a resumption between two flushes.
//!
//! A ring of [`crate::HubConfig::status_capacity`] records, allocated at the first change. When
//! full, the oldest is overwritten; a reader that was lapped sends the current status instead.

use tickgate_protocol::{
    number::ABSENT,
    tick::{Reason, Status},
};

use crate::ring::{Ring, RingRead};

/// One status, of a symbol or of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRecord {
    /// How many changes it is the result of; 0 before the first.
    pub sequence: u64,
    /// What holds since.
    pub status: Status,
    /// Why, where the feed says.
    pub reason: Reason,
    /// The venue's time of the change: nanoseconds since the Unix epoch, UTC; [`ABSENT`] where it
    /// gave none.
    pub event_time_ns: i64,
    /// The tape's head when the status changed: trades up to here come first. 0 for the feed's.
    pub after_trade: u64,
    /// A trading session of this date (YYYYMMDD) begins, and the status is as it was; 0 where only
    /// the status changed.
    pub session_date: u32,
}

impl StatusRecord {
    /// A symbol nobody said anything about is trading.
    pub(crate) const INITIAL: Self = Self {
        sequence: 0,
        status: Status::Trading,
        reason: Reason::None,
        event_time_ns: ABSENT,
        after_trade: 0,
        session_date: 0,
    };
}

/// What the status tape has at a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusRead {
    /// The change.
    Record(StatusRecord),
    /// Overwritten, or being overwritten.
    Lapped,
    /// Above the head.
    NotYet,
}

/// Words of a record: event time, `after_trade`, status | reason | session date.
const WORDS: usize = 3;

/// The ring of one symbol.
pub(crate) type StatusTape = Ring<WORDS>;

/// Writes `record` at its sequence. One writer at a time.
pub(crate) fn write(tape: &StatusTape, record: &StatusRecord) {
    let packed = u64::from(record.status as u8)
        | u64::from(record.reason as u8) << 8
        | u64::from(record.session_date) << 32;
    tape.write(record.sequence, &[record.event_time_ns as u64, record.after_trade, packed]);
}

/// Reads the record of `sequence`.
pub(crate) fn read(tape: &StatusTape, sequence: u64) -> StatusRead {
    let [event_time_ns, after_trade, packed] = match tape.read(sequence) {
        RingRead::Words(words) => words,
        RingRead::Lapped => return StatusRead::Lapped,
        RingRead::NotYet => return StatusRead::NotYet,
    };
    StatusRead::Record(StatusRecord {
        sequence,
        // Only codes of these enums were ever written.
        status: Status::from_code(packed as u8).unwrap_or(Status::Trading),
        reason: Reason::from_code((packed >> 8) as u8).unwrap_or(Reason::None),
        event_time_ns: event_time_ns as i64,
        after_trade,
        session_date: (packed >> 32) as u32,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_status_and_reason_survives_the_packing() {
        let tape = StatusTape::new(2);
        let mut sequence = 0;
        for status in Status::ALL {
            for reason in Reason::ALL {
                sequence += 1;
                let (event_time_ns, after_trade, session_date) = (-3, 8, 20_240_808);
                let record = StatusRecord {
                    sequence,
                    status,
                    reason,
                    event_time_ns,
                    after_trade,
                    session_date,
                };
                write(&tape, &record);
                assert_eq!(read(&tape, sequence), StatusRead::Record(record));
            }
        }
        assert_eq!(read(&tape, sequence - 2), StatusRead::Lapped);
        assert_eq!(read(&tape, sequence + 1), StatusRead::NotYet);
    }
}
