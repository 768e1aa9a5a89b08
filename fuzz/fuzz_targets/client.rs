//! What a client makes of what a gateway sends: messages, each behind its length (two bytes,
//! big-endian), are decoded and applied, whatever they are. The first byte chooses the format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tickgate_protocol::{
    book::Book,
    decode::{Decoder, Message},
    dialect::Dialect,
    reply::Reply,
};

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else { return };
    let mut decoder = Decoder::new(Dialect::ALL[usize::from(first % 2)]);
    let mut book = Book::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (message, next) = behind.split_at(length);
        rest = next;
        match decoder.decode(message) {
            Ok(Message::Frame(frame)) => {
                // Violations are its answer to nonsense; frames that follow each other are
                // numbered on all the same.
                let _ = book.apply(&frame);
                assert_eq!(book.frame_sequence(), frame.sequence);
            }
            Ok(Message::Reply(Reply::Welcome(welcome))) => book.begin(welcome.epoch),
            Ok(_) | Err(_) => {}
        }
    }
});
