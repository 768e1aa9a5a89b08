//! The one command a session gives.

use anyhow::{Context, Result};
use rmp::encode;

use super::{Content, Group};
use crate::wire;

/// Opcode and payload of the subscription, or `None` for a server that takes none.
pub(super) fn subscribe(
    content: Content,
    group: &Group,
    symbols: &[&str],
) -> Result<Option<(u8, Vec<u8>)>> {
    match content {
        Content::Opaque => Ok(None),
        Content::Stamped => {
            let command = serde_json::json!({ "subscribe": symbols });
            Ok(Some((wire::TEXT, serde_json::to_vec(&command)?)))
        }
        Content::Tickgate => {
            let payload = tickgate_subscribe(group, symbols).context("cannot encode a command")?;
            Ok(Some((wire::BINARY, payload)))
        }
    }
}

fn tickgate_subscribe(group: &Group, symbols: &[&str]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    encode::write_map_len(&mut out, 5)?;
    encode::write_str(&mut out, "op")?;
    encode::write_str(&mut out, "subscribe")?;
    encode::write_str(&mut out, "id")?;
    encode::write_uint(&mut out, 1)?;
    encode::write_str(&mut out, "symbols")?;
    encode::write_array_len(&mut out, u32::try_from(symbols.len())?)?;
    for symbol in symbols {
        encode::write_str(&mut out, symbol)?;
    }
    encode::write_str(&mut out, "channels")?;
    encode::write_array_len(&mut out, u32::try_from(group.channels.len())?)?;
    for channel in &group.channels {
        encode::write_str(&mut out, channel)?;
    }
    encode::write_str(&mut out, "throttle_ms")?;
    encode::write_uint(&mut out, group.throttle_ms.into())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_reads_as_the_wire_says() {
        let group = Group {
            sessions: 1,
            symbols: 2,
            channels: vec!["quote".into()],
            throttle_ms: 100,
            stalls: false,
        };
        let (opcode, payload) = subscribe(Content::Tickgate, &group, &["AAPL", "BRK.B"])
            .expect("encodes")
            .expect("a command");
        let read: serde_json::Value = rmp_serde::from_slice(&payload).expect("MessagePack");
        let expected = serde_json::json!({
            "op": "subscribe", "id": 1, "symbols": ["AAPL", "BRK.B"],
            "channels": ["quote"], "throttle_ms": 100,
        });
        assert_eq!((opcode, read), (wire::BINARY, expected));
    }
}
