//! What the speakers' tests share.

use super::{Fault, Heard, Progress, Speaker};
use crate::{measure::Tally, outbox::Outbox, wire};

/// When everything is received, Unix microseconds.
pub(super) const NOW_US: i64 = 1_790_000_000_000_000;

/// Hears one message at [`NOW_US`].
pub(super) fn hear(
    client: &mut dyn Speaker,
    payload: &[u8],
    out: &mut Outbox,
    tally: &mut Tally,
) -> Result<Progress, Fault> {
    client.hear(Heard { is_text: true, payload, received_us: NOW_US }, out, tally)
}

/// Takes the messages that wait, unmasked, as text.
pub(super) fn said(out: &mut Outbox) -> Vec<String> {
    let mut rest = out.waiting();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let header = wire::parse_header(rest).expect("whole frames are put there");
        let (mask, payload) = rest[header.header_bytes..].split_at(4);
        let (payload, next) = payload.split_at(header.payload_bytes);
        let unmasked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        messages.push(String::from_utf8_lossy(&unmasked.collect::<Vec<u8>>()).into_owned());
        rest = next;
    }
    out.clear();
    messages
}
