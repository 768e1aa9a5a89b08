//! What the sink looks at inside a message: the head of a data frame and, in a sample of frames,
//! the ages of its entries.
//!
//! Written by hand on `rmp`'s markers and independent of the gateway's own encoder, because the
//! sink reads tens of thousands of frames a second and needs four integers of each.

use rmp::Marker;

/// The head of a data frame: `[1, sequence, sent_at_us, cause, [entries]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Rises by one for each frame of a connection.
    pub sequence: u64,
    /// Unix time, microseconds, of the engine tick that formed it.
    pub sent_at_us: i64,
    /// How many entries follow.
    pub entries: usize,
    /// Where the first entry begins.
    pub entries_at: usize,
}

/// True for a command's reply, a map; data frames are arrays.
#[must_use]
pub fn is_reply(payload: &[u8]) -> bool {
    payload.first().is_some_and(|byte| {
        matches!(Marker::from_u8(*byte), Marker::FixMap(_) | Marker::Map16 | Marker::Map32)
    })
}

/// Reads the head of a data frame; `None` when these bytes are none.
#[must_use]
pub fn frame_head(payload: &[u8]) -> Option<FrameHead> {
    let mut reader = Reader { bytes: payload, at: 0 };
    if reader.array()? != 5 || reader.integer()? != Some(1) {
        return None;
    }
    let sequence = u64::try_from(reader.integer()??).ok()?;
    let sent_at_us = reader.integer()??;
    reader.skip()?;
    let entries = reader.array()?;
    Some(FrameHead { sequence, sent_at_us, entries, entries_at: reader.at })
}

/// Calls `visit` with the age of every entry that reports a change of the market: quotes, last
/// figures and trades, full or delta. `None` when the frame is malformed.
pub fn entry_ages(payload: &[u8], head: FrameHead, mut visit: impl FnMut(i64)) -> Option<()> {
    const STATE_AND_TRADE_KINDS: [i64; 5] = [10, 11, 12, 13, 20];
    let mut reader = Reader { bytes: payload, at: head.entries_at };
    for _ in 0..head.entries {
        let mut left = reader.array()?;
        if left == 0 {
            continue;
        }
        let kind = reader.integer()??;
        left -= 1;
        if left >= 3 && STATE_AND_TRADE_KINDS.contains(&kind) {
            reader.skip()?;
            reader.skip()?;
            if let Some(age_us) = reader.integer()? {
                visit(age_us);
            }
            left -= 3;
        }
        for _ in 0..left {
            reader.skip()?;
        }
    }
    Some(())
}

/// A cursor over MessagePack; every step is `None` at the end or at an unexpected type.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn marker(&mut self) -> Option<Marker> {
        let marker = Marker::from_u8(*self.bytes.get(self.at)?);
        self.at += 1;
        Some(marker)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.bytes.get(self.at..self.at + N)?.try_into().ok()?;
        self.at += N;
        Some(taken)
    }

    fn jump(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn array(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixArray(length) => Some(length.into()),
            Marker::Array16 => Some(u16::from_be_bytes(self.take()?).into()),
            Marker::Array32 => usize::try_from(u32::from_be_bytes(self.take()?)).ok(),
            _ => None,
        }
    }

    /// An integer, or `Some(None)` for nil.
    fn integer(&mut self) -> Option<Option<i64>> {
        Some(Some(match self.marker()? {
            Marker::Null => return Some(None),
            Marker::FixPos(value) => value.into(),
            Marker::FixNeg(value) => value.into(),
            Marker::U8 => u8::from_be_bytes(self.take()?).into(),
            Marker::U16 => u16::from_be_bytes(self.take()?).into(),
            Marker::U32 => u32::from_be_bytes(self.take()?).into(),
            Marker::U64 => i64::try_from(u64::from_be_bytes(self.take()?)).ok()?,
            Marker::I8 => i8::from_be_bytes(self.take()?).into(),
            Marker::I16 => i16::from_be_bytes(self.take()?).into(),
            Marker::I32 => i32::from_be_bytes(self.take()?).into(),
            Marker::I64 => i64::from_be_bytes(self.take()?),
            _ => return None,
        }))
    }

    /// Passes one value of any type that an entry may hold; nesting is followed as deep as the
    /// wire has it, one array.
    fn skip(&mut self) -> Option<()> {
        let bytes = match self.marker()? {
            Marker::FixStr(length) => length.into(),
            Marker::Null | Marker::True | Marker::False => 0,
            Marker::FixPos(_) | Marker::FixNeg(_) => 0,
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 => 2,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::Str8 | Marker::Bin8 => u8::from_be_bytes(self.take()?).into(),
            Marker::Str16 | Marker::Bin16 => u16::from_be_bytes(self.take()?).into(),
            Marker::FixArray(length) => {
                for _ in 0..length {
                    self.skip()?;
                }
                0
            }
            _ => return None,
        };
        self.jump(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        // [1, 7, 300, 0, [[10, 5, 9, 1000, 1, 2, 3, 4, 0], [3, nil], [11, 5, 1, -2, 1, nil],
        //  [1, 5, "AB", -2, 0, nil, nil, 1, 0], [20, 5, 1, nil, 1, 1, 0, nil]]]
        let mut bytes = vec![0x95, 1, 7, 0xcd, 0x01, 0x2c, 0, 0x95];
        bytes.extend([0x99, 10, 5, 9, 0xcd, 0x03, 0xe8, 1, 2, 3, 4, 0]);
        bytes.extend([0x92, 3, 0xc0]);
        bytes.extend([0x96, 11, 5, 1, 0xfe, 1, 0xc0]);
        bytes.extend([0x99, 1, 5, 0xa2, b'A', b'B', 0xfe, 0, 0xc0, 0xc0, 1, 0]);
        bytes.extend([0x98, 20, 5, 1, 0xc0, 1, 1, 0, 0xc0]);
        bytes
    }

    #[test]
    fn the_head_and_the_ages_are_found() {
        let bytes = frame();
        let head = frame_head(&bytes).expect("a data frame");
        assert_eq!((head.sequence, head.sent_at_us, head.entries), (7, 300, 5));
        let mut ages = Vec::new();
        assert_eq!(entry_ages(&bytes, head, |age| ages.push(age)), Some(()));
        assert_eq!(ages, [1000, -2], "nil ages and other kinds are passed over");
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        let bytes = frame();
        let head = frame_head(&bytes).expect("a data frame");
        for cut in 0..head.entries_at {
            assert_eq!(frame_head(&bytes[..cut]), None, "cut at {cut}");
        }
        for cut in head.entries_at..bytes.len() {
            assert_eq!(entry_ages(&bytes[..cut], head, |_| ()), None, "cut at {cut}");
        }
    }

    #[test]
    fn replies_are_maps() {
        assert!(is_reply(&[0x81]));
        assert!(is_reply(&[0xde, 0, 16]));
        assert!(!is_reply(&frame()));
        assert!(!is_reply(&[]));
    }
}
