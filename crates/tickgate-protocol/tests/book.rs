//! A client's book: what frames make of it, and what it reports.

use tickgate_protocol::{
    book::{Book, Violation},
    channel::{Channel, Channels},
    definition::Definition,
    entry::{
        CorrectionEntry, Entry, Frame, LostEntry, LostOrigin, StateEntry, StatusEntry, Step,
        TradeEntry,
    },
    number::{ABSENT, LIMIT},
    tick::{CorrectionKind, Reason, Status},
};

/// A book that has seen the definition of id 1, `A`, in frame 1.
fn defined() -> Book {
    let mut book = Book::new();
    book.begin(5);
    assert_eq!(book.apply(&frame(1, vec![Entry::Definition(definition(1, "A"))])), []);
    book
}

fn definition(id: u32, name: &str) -> Definition {
    Definition { status_sequence: 3, ..Definition::new(id, name, -2, 0) }
}

fn frame(sequence: u64, entries: Vec<Entry>) -> Frame {
    Frame { sequence, sent_at_us: 1_000 * sequence as i64, cause: 0, entries }
}

/// Applies entries as the next frame.
fn apply(book: &mut Book, entries: Vec<Entry>) -> Vec<Violation> {
    let sequence = book.frame_sequence() + 1;
    book.apply(&frame(sequence, entries))
}

fn full(sequence: u64, bid_price: i64) -> Entry {
    let fields = [bid_price, 5, 101, 6, 0];
    Entry::Quote(StateEntry { id: 1, step: Step::Full { sequence }, age_us: 7, mask: 0x1f, fields })
}

fn delta(advance: u64, mask: u8, fields: [i64; 5]) -> Entry {
    Entry::Quote(StateEntry { id: 1, step: Step::Delta { advance }, age_us: ABSENT, mask, fields })
}

fn joined(sequence: u64, volume: i64) -> Entry {
    Entry::TradesJoined { id: 1, sequence, volume }
}

fn trade(sequence: u64) -> Entry {
    Entry::Trade(TradeEntry {
        id: 1,
        sequence,
        age_us: 0,
        price: 100,
        size: 1,
        flags: 0,
        trade_id: ABSENT,
    })
}

fn lost(from: i64, to: i64, origin: LostOrigin) -> Entry {
    Entry::TradesLost(LostEntry { id: 1, from, to, size: ABSENT, origin })
}

fn status(id: Option<u32>, status_sequence: u64, status: Status) -> Entry {
    Entry::Status(StatusEntry { id, status_sequence, status, reason: Reason::News, age_us: 0 })
}

#[test]
fn deltas_change_what_they_name_and_merges_are_counted() {
    let mut book = defined();
    assert_eq!(apply(&mut book, vec![full(10, 100)]), []);
    // Three updates merged; the bid's size is cleared, the ask's price changes.
    let changes = delta(4, 0b110, [ABSENT, ABSENT, 105, ABSENT, ABSENT]);
    assert_eq!(apply(&mut book, vec![changes]), []);
    // The full state again, then a full entry that jumps.
    assert_eq!(apply(&mut book, vec![full(14, 99), full(16, 98)]), []);
    let quote = &book.symbol("A").expect("A is defined").quote;
    assert_eq!(quote.fields, Some([98, 5, 101, 6, 0]));
    assert_eq!((quote.head, quote.joined_at), (Some(16), 10));
    assert_eq!((quote.advanced, quote.merged, quote.repeated), (2, 4, 1));
    assert_eq!((quote.age_us, quote.sent_at_us), (7, 4_000));
}

#[test]
fn a_cleared_field_is_absent() {
    let mut book = defined();
    apply(&mut book, vec![full(1, 100), delta(1, 0b1, [ABSENT; 5])]);
    let fields = book.symbol_of(1).expect("id 1 is defined").quote.fields;
    assert_eq!(fields, Some([ABSENT, 5, 101, 6, 0]));
}

#[test]
fn frames_are_numbered_from_one_without_holes() {
    let mut book = Book::new();
    assert_eq!(book.apply(&frame(2, vec![])), [Violation::FrameSequence { expected: 1, found: 2 }]);
    assert_eq!(book.apply(&frame(3, vec![])), []);
    assert_eq!(book.apply(&frame(3, vec![])), [Violation::FrameSequence { expected: 4, found: 3 }]);
}

#[test]
fn a_state_channel_begins_full_and_never_goes_back() {
    let channel = Channel::Quote;
    let mut book = defined();
    assert_eq!(
        apply(&mut book, vec![delta(1, 0, [ABSENT; 5])]),
        [Violation::DeltaBeforeFull { id: 1, channel }]
    );
    assert_eq!(apply(&mut book, vec![full(8, 1)]), []);
    assert_eq!(
        apply(&mut book, vec![full(7, 2), delta(0, 1, [3, 0, 0, 0, 0])]),
        [
            Violation::SequenceBack { id: 1, channel, known: 8, found: 7 },
            Violation::ZeroAdvance { id: 1, channel },
        ]
    );
    // What broke the protocol was left out.
    assert_eq!(book.symbol("A").expect("A is defined").quote.fields, Some([1, 5, 101, 6, 0]));
}

#[test]
fn the_tape_accounts_for_every_sequence() {
    let mut book = defined();
    let correction = Entry::TradeCorrection(CorrectionEntry {
        id: 1,
        sequence: 22,
        age_us: 0,
        corrects: 21,
        what: CorrectionKind::Cancel,
        price: ABSENT,
        size: ABSENT,
    });
    let entries = vec![
        joined(20, 900),
        trade(21),
        correction,
        lost(23, 30, LostOrigin::Connection),
        trade(31),
        lost(ABSENT, ABSENT, LostOrigin::Feed),
        trade(32),
    ];
    assert_eq!(apply(&mut book, entries), []);
    let tape = &book.symbol("A").expect("A is defined").tape;
    assert_eq!((tape.head, tape.joined_at, tape.joined_volume), (Some(32), 20, 900));
    assert_eq!((tape.trades, tape.corrections, tape.lost), (3, 1, 8));
    assert_eq!(tape.unbounded_losses, 1);
}

#[test]
fn holes_and_repetitions_of_the_tape_are_reported() {
    let mut book = defined();
    assert_eq!(apply(&mut book, vec![trade(1)]), [Violation::TapeNotJoined { id: 1 }]);
    assert_eq!(apply(&mut book, vec![joined(5, 0), trade(6)]), []);
    assert_eq!(
        apply(&mut book, vec![trade(6), trade(8), trade(9)]),
        [
            Violation::TapeRepeated { id: 1, known: 6, found: 6 },
            Violation::TapeHole { id: 1, known: 6, found: 8 },
        ]
    );
    let bounds = Violation::LostBounds { id: 1 };
    assert_eq!(
        apply(
            &mut book,
            vec![
                lost(12, 11, LostOrigin::Connection),
                lost(ABSENT, ABSENT, LostOrigin::Connection),
                lost(9, 10, LostOrigin::Connection),
                lost(11, 12, LostOrigin::Connection),
            ]
        ),
        [
            bounds.clone(),
            bounds,
            Violation::TapeRepeated { id: 1, known: 9, found: 9 },
            Violation::TapeHole { id: 1, known: 9, found: 11 },
        ]
    );
}

#[test]
fn a_fresh_joining_never_lies_behind_but_a_resumed_one_may() {
    let mut book = defined();
    assert_eq!(apply(&mut book, vec![joined(5, 0), joined(3, ABSENT), trade(4)]), []);
    assert_eq!(
        apply(&mut book, vec![joined(2, 50)]),
        [Violation::SequenceBack { id: 1, channel: Channel::Trade, known: 4, found: 2 }]
    );
}

#[test]
fn statuses_come_in_order_and_holes_are_counted() {
    let mut book = defined();
    let entries = vec![
        status(Some(1), 4, Status::Halted),
        status(Some(1), 4, Status::Halted),
        status(Some(1), 7, Status::Trading),
    ];
    assert_eq!(apply(&mut book, entries), []);
    let state = book.symbol("A").expect("A is defined").status;
    assert_eq!((state.sequence, state.status, state.missed), (7, Status::Trading, 2));
    let id = Some(1);
    assert_eq!(
        apply(
            &mut book,
            vec![
                status(id, 7, Status::Halted),
                status(id, 6, Status::Trading),
                status(id, 8, Status::Stale),
                status(None, 1, Status::Halted),
            ]
        ),
        [
            Violation::StatusOrder { id, known: 7, found: 7 },
            Violation::StatusOrder { id, known: 7, found: 6 },
            Violation::StatusKind { id },
            Violation::StatusKind { id: None },
        ]
    );
}

#[test]
fn the_feed_has_a_status_of_its_own() {
    let mut book = Book::new();
    assert_eq!(book.feed(), None);
    let entries = vec![status(None, 9, Status::Live), status(None, 10, Status::Stale)];
    assert_eq!(apply(&mut book, entries), []);
    assert_eq!(book.feed().map(|feed| (feed.sequence, feed.status)), Some((10, Status::Stale)));
}

#[test]
fn ids_mean_one_thing_and_a_finer_scale_retires_them() {
    let mut book = defined();
    assert_eq!(apply(&mut book, vec![full(8, 1), joined(3, 0)]), []);
    let other_name = Entry::Definition(definition(1, "B"));
    let other_scale = Entry::Definition(Definition { price_exponent: -3, ..definition(1, "A") });
    let redefined = Violation::Redefined { id: 1 };
    assert_eq!(
        apply(&mut book, vec![other_name, other_scale]),
        [redefined.clone(), redefined.clone()]
    );
    // The same definition again is no breach.
    assert_eq!(apply(&mut book, vec![Entry::Definition(definition(1, "A"))]), []);

    let finer = Definition { price_exponent: -3, ..definition(2, "A") };
    assert_eq!(apply(&mut book, vec![Entry::Definition(finer)]), []);
    assert_eq!(apply(&mut book, vec![trade(4)]), [Violation::Undefined { id: 1 }]);
    assert_eq!(apply(&mut book, vec![Entry::Definition(definition(1, "A"))]), [redefined]);
    let symbol = book.symbol("A").expect("A is defined");
    // Sequences go on; the state must come in full again.
    assert_eq!((symbol.definition.id, symbol.quote.fields, symbol.quote.head), (2, None, Some(8)));
    assert_eq!(symbol.tape.head, Some(3));
    let channel = Channel::Quote;
    let Entry::Quote(mut change) = delta(1, 0, [ABSENT; 5]) else { unreachable!() };
    change.id = 2;
    assert_eq!(
        apply(&mut book, vec![Entry::Quote(change)]),
        [Violation::DeltaBeforeFull { id: 2, channel }]
    );
    change.step = Step::Full { sequence: 7 };
    assert_eq!(
        apply(&mut book, vec![Entry::Quote(change)]),
        [Violation::SequenceBack { id: 2, channel, known: 8, found: 7 }]
    );
}

#[test]
fn an_epoch_forgets_everything_but_the_numbering_of_frames() {
    let mut book = defined();
    apply(&mut book, vec![full(8, 1), joined(3, 0), status(None, 4, Status::Live)]);
    let entries = vec![
        Entry::Epoch { epoch: 6 },
        full(9, 1),
        trade(4),
        Entry::Definition(definition(1, "B")),
        full(1, 2),
        joined(0, 0),
    ];
    let undefined = Violation::Undefined { id: 1 };
    assert_eq!(apply(&mut book, entries), [undefined.clone(), undefined]);
    assert_eq!((book.epoch(), book.feed(), book.symbol("A")), (Some(6), None, None));
    assert_eq!(book.symbol("B").expect("B is defined").quote.head, Some(1));
    assert_eq!(
        apply(&mut book, vec![Entry::Epoch { epoch: 6 }]),
        [Violation::EpochNotRising { known: 6, found: 6 }]
    );
}

#[test]
fn what_was_not_asked_for_is_reported_and_left_out() {
    let mut book = defined();
    let frame = frame(2, vec![full(1, 1), joined(0, 0), status(Some(1), 4, Status::Halted)]);
    let violations = book.apply_expecting(&frame, |name, channel| {
        assert_eq!(name, "A");
        channel == Some(Channel::Quote)
    });
    let trade = Some(Channel::Trade);
    assert_eq!(
        violations,
        [
            Violation::NotExpected { id: 1, channel: trade },
            Violation::NotExpected { id: 1, channel: None },
        ]
    );
}

#[test]
fn an_unsubscribed_channel_begins_anew() {
    let mut book = defined();
    apply(&mut book, vec![full(8, 1), joined(3, 0)]);
    book.forget("A", Channels::only(Channel::Quote));
    let channel = Channel::Quote;
    assert_eq!(
        apply(&mut book, vec![delta(1, 0, [ABSENT; 5])]),
        [Violation::DeltaBeforeFull { id: 1, channel }]
    );
    assert_eq!(apply(&mut book, vec![full(20, 1), trade(4)]), []);
    let quote = &book.symbol("A").expect("A is defined").quote;
    assert_eq!((quote.joined_at, quote.merged), (20, 0));
}

#[test]
fn numbers_beyond_the_limit_are_reported() {
    let mut book = defined();
    let id = Some(1);
    assert_eq!(
        apply(
            &mut book,
            vec![
                full(1, LIMIT),
                full(1, LIMIT + 1),
                full(LIMIT.unsigned_abs() + 1, 1),
                Entry::Epoch { epoch: u64::MAX },
            ]
        ),
        [
            Violation::NumberTooLarge { id },
            Violation::NumberTooLarge { id },
            Violation::NumberTooLarge { id: None },
        ]
    );
}

#[test]
fn a_session_that_begins_during_a_halt_keeps_the_reason_of_the_halt() {
    let mut book = defined();
    let begins = |status, status_sequence| {
        let session_date = 20_261_128 + status_sequence as u32;
        Entry::Definition(Definition {
            session_date,
            status,
            status_sequence,
            ..definition(1, "A")
        })
    };
    assert_eq!(apply(&mut book, vec![status(Some(1), 4, Status::Halted)]), []);
    assert_eq!(apply(&mut book, vec![begins(Status::Halted, 5)]), []);
    let known = |book: &Book| {
        let symbol = book.symbol("A").expect("defined");
        let held = &symbol.status;
        (held.sequence, held.status, held.reason, held.missed, symbol.definition.session_date)
    };
    assert_eq!(known(&book), (5, Status::Halted, Reason::News, 0, 20_261_133));
    // One that tells of another status has no reason for it.
    assert_eq!(apply(&mut book, vec![begins(Status::Trading, 6)]), []);
    assert_eq!(known(&book), (6, Status::Trading, Reason::None, 0, 20_261_134));
}
