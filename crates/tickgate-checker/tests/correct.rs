//! Correct transcripts pass, and their books balance.

mod common;

use tickgate_checker::{Channel, Dialect};

#[test]
fn correct_transcripts_pass_in_both_dialects() {
    for dialect in [Dialect::MessagePack, Dialect::Json] {
        for seed in 1..=40 {
            let verdict = common::transcript(dialect, seed).judge();
            let list: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
            assert!(list.is_empty(), "seed {seed}, {dialect:?}:\n{}", list.join("\n"));
        }
    }
}

#[test]
fn books_account_for_every_update_since_the_join() {
    for seed in 1..=10 {
        let transcript = common::transcript(Dialect::MessagePack, seed);
        let verdict = transcript.judge();
        for channel in Channel::ALL {
            let books = &verdict.books[&("AAA".to_owned(), channel)];
            let head = transcript.truth.head("AAA", channel);
            let advanced = books.sent + books.merged_total() + books.skipped;
            let total = advanced + books.lost + books.pending;
            assert_eq!(head - books.joined, total, "seed {seed}, {channel:?}");
            assert_eq!(books.pending, 0, "seed {seed}, {channel:?}");
            assert!(books.sent > 0 && books.joined > 0, "seed {seed}, {channel:?}");
        }
        let quotes = &verdict.books[&("AAA".to_owned(), Channel::Quote)];
        assert!(quotes.merged[0] > 0 && quotes.merged[1] > 0, "seed {seed}: {quotes:?}");
        assert_eq!(verdict.books[&("AAA".to_owned(), Channel::Trade)].merged_total(), 0);
    }
}
