//! A client's book of bars: what entries and a history make of it, and what it reports.

use tickgate_protocol::{
    bar::BarInterval,
    book::{BARS_KEPT, BarSeries, Book, Violation},
    channel::{Channel, Channels},
    definition::Definition,
    entry::{BarEntry, Entry, Frame, bar_flag},
    number::{ABSENT, LIMIT},
};

const MINUTE: Channel = Channel::Bar(BarInterval::Minute);

/// A book that has seen the definition of id 1, `A`.
fn defined() -> Book {
    let mut book = Book::new();
    book.begin(5);
    let definition = Definition::new(1, "A", -2, 0);
    assert_eq!(apply(&mut book, vec![Entry::Definition(definition)]), []);
    book
}

/// Applies entries as the next frame.
fn apply(book: &mut Book, entries: Vec<Entry>) -> Vec<Violation> {
    book.apply(&frame(book, entries))
}

fn frame(book: &Book, entries: Vec<Entry>) -> Frame {
    Frame { sequence: book.frame_sequence() + 1, sent_at_us: 0, cause: 0, entries }
}

/// The bar of a minute; its sequence stands in its volume, too.
fn bar(sequence: u64, minute: i64, flags: u8) -> BarEntry {
    BarEntry {
        id: 1,
        sequence,
        interval_s: 60,
        start_s: minute * 60,
        open: 100,
        high: 110,
        low: -90,
        close: 105,
        volume: sequence as i64,
        vwap: 10_150,
        trade_count: 2,
        flags,
    }
}

fn series(book: &Book) -> &BarSeries {
    let symbol = book.symbol("A").expect("A is defined");
    symbol.series(BarInterval::Minute).expect("bars came")
}

/// Beginning, in minutes, and sequence of each bar held.
fn held(book: &Book) -> Vec<(i64, u64)> {
    series(book).bars().map(|bar| (bar.start_s / 60, bar.sequence)).collect()
}

#[test]
fn of_a_bar_that_comes_again_the_greatest_sequence_holds() {
    let mut book = defined();
    let entries = [bar(4, 7, 0), bar(6, 7, bar_flag::CLOSED), bar(7, 8, 0), bar(9, 6, 3)];
    assert_eq!(apply(&mut book, entries.map(Entry::Bar).to_vec()), []);
    assert_eq!(held(&book), [(6, 9), (7, 6), (8, 7)]);
    assert_eq!((series(&book).head, series(&book).losses), (Some(9), 0));
    // A page of the history that was made between the second and the third.
    let mut joined = series(&book).clone();
    for old in [bar(5, 7, 0), bar(3, 6, 1), bar(2, 5, 1), bar(8, 8, 0)] {
        joined.add(&old);
    }
    let sequences: Vec<u64> = joined.bars().map(|bar| bar.sequence).collect();
    assert_eq!(sequences, [2, 9, 6, 8]);
    assert_eq!(joined.head, Some(9), "a history does not move it");
    assert_eq!(joined.bar(5 * 60).map(|bar| bar.sequence), Some(2));
    assert_eq!(joined.bar(4 * 60), None);
}

#[test]
fn a_sequence_that_does_not_rise_is_reported_and_left_out() {
    let mut book = defined();
    apply(&mut book, vec![Entry::Bar(bar(4, 7, 0))]);
    for found in [4, 3] {
        let violation = Violation::SequenceBack { id: 1, channel: MINUTE, known: 4, found };
        assert_eq!(apply(&mut book, vec![Entry::Bar(bar(found, 9, 0))]), [violation]);
    }
    assert_eq!(held(&book), [(7, 4)]);
    // Each length is numbered apart.
    let second = BarEntry { interval_s: 1, ..bar(1, 7, 0) };
    assert_eq!(apply(&mut book, vec![Entry::Bar(second)]), []);
    assert_eq!(held(&book), [(7, 4)]);
}

#[test]
fn what_was_lost_is_counted_and_no_part_of_the_bar() {
    let mut book = defined();
    let flags = bar_flag::CLOSED | bar_flag::LOST;
    assert_eq!(apply(&mut book, vec![Entry::Bar(bar(40, 7, flags))]), []);
    assert_eq!(series(&book).losses, 1);
    assert_eq!(series(&book).bar(7 * 60).map(|bar| bar.flags), Some(bar_flag::CLOSED));
}

#[test]
fn the_oldest_are_dropped_when_there_are_too_many() {
    let mut book = defined();
    let kept = BARS_KEPT as i64;
    let closed = (0..kept + 3).map(|minute| bar(minute as u64 + 1, minute, bar_flag::CLOSED));
    assert_eq!(apply(&mut book, closed.map(Entry::Bar).collect()), []);
    let minutes: Vec<i64> = held(&book).into_iter().map(|(minute, _)| minute).collect();
    assert_eq!(minutes, (3..kept + 3).collect::<Vec<_>>());
    let mut full = series(&book).clone();
    full.add(&bar(2, 1, bar_flag::CLOSED));
    assert_eq!(&full, series(&book), "there is no room for one older than all");
}

#[test]
fn bars_that_nobody_asked_for_are_reported_and_those_of_no_channel_ignored() {
    let mut book = defined();
    let hour = BarEntry { interval_s: 3_600, ..bar(1, 0, 0) };
    let frame = frame(&book, vec![Entry::Bar(bar(1, 7, 0)), Entry::Bar(hour)]);
    let violations = book.apply_expecting(&frame, |name, channel| {
        assert_eq!((name, channel), ("A", Some(MINUTE)));
        false
    });
    assert_eq!(violations, [Violation::NotExpected { id: 1, channel: Some(MINUTE) }]);
    assert_eq!(book.symbol("A").expect("A is defined").bars, []);
}

#[test]
fn an_unsubscribed_bar_channel_begins_anew_and_an_epoch_voids_all() {
    let mut book = defined();
    let second = BarEntry { interval_s: 1, ..bar(1, 7, 0) };
    apply(&mut book, vec![Entry::Bar(bar(4, 7, 0)), Entry::Bar(second)]);
    book.forget("A", Channels::only(MINUTE));
    let symbol = book.symbol("A").expect("A is defined");
    assert!(symbol.series(BarInterval::Minute).is_none());
    assert!(symbol.series(BarInterval::Second).is_some());
    assert_eq!(
        apply(&mut book, vec![Entry::Bar(bar(2, 5, 0))]),
        [],
        "what is sent again is no fault"
    );
    let definition = Definition::new(1, "A", -2, 0);
    apply(&mut book, vec![Entry::Epoch { epoch: 6 }, Entry::Definition(definition)]);
    assert_eq!(book.symbol("A").expect("A is defined").bars, []);
}

#[test]
fn bars_go_on_at_a_finer_scale() {
    let mut book = defined();
    let unsaid = BarEntry { volume: LIMIT / 2, ..bar(5, 8, 1) };
    let empty = BarEntry { open: ABSENT, vwap: ABSENT, ..bar(6, 9, 1) };
    let long = BarEntry { vwap: LIMIT / 10, ..bar(7, 10, 1) };
    apply(&mut book, [bar(4, 7, 1), unsaid, empty, long].map(Entry::Bar).to_vec());
    let finer = Definition::new(2, "A", -4, -1);
    assert_eq!(apply(&mut book, vec![Entry::Definition(finer)]), []);
    assert_eq!(held(&book), [(7, 4), (9, 6), (10, 7)], "one of them is beyond 2^53");
    assert_eq!(series(&book).bar(10 * 60).map(|bar| (bar.open, bar.vwap)), Some((10_000, ABSENT)));
    let scaled = BarEntry {
        id: 2,
        open: 10_000,
        high: 11_000,
        low: -9_000,
        close: 10_500,
        volume: 40,
        vwap: 1_015_000,
        ..bar(4, 7, 1)
    };
    assert_eq!(series(&book).bar(7 * 60), Some(&scaled));
    assert_eq!(series(&book).bar(9 * 60).map(|bar| (bar.open, bar.vwap)), Some((ABSENT, ABSENT)));
    let next = BarEntry { id: 2, ..bar(8, 11, 0) };
    assert_eq!(apply(&mut book, vec![Entry::Bar(next)]), []);
}
