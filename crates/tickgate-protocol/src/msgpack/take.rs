//! Single values off the front of a message.

use crate::decode::DecodeError;

/// The error is boxed: it is rare, and what is read then comes back in registers.
pub(super) type Read<T> = Result<T, Box<DecodeError>>;

/// Bytes of a length that stands in front of what it measures.
#[derive(Clone, Copy)]
pub(super) enum Length {
    One,
    Two,
    Four,
}

/// A length of that many bytes.
pub(super) fn take_length(rest: &mut &[u8], length: Length) -> Read<usize> {
    Ok(match length {
        Length::One => u8::from_be_bytes(take_array(rest)?).into(),
        Length::Two => u16::from_be_bytes(take_array(rest)?).into(),
        Length::Four => u32::from_be_bytes(take_array(rest)?) as usize,
    })
}

/// The next `count` bytes.
pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Read<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
    *rest = left;
    Ok(taken)
}

/// The next `N` bytes.
pub(super) fn take_array<const N: usize>(rest: &mut &[u8]) -> Read<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
    *rest = left;
    Ok(*taken)
}

/// An integer of any form, or `None` for nil.
pub(super) fn take_integer(rest: &mut &[u8]) -> Read<Option<i64>> {
    let marker = take_array::<1>(rest)?[0];
    Ok(Some(match marker {
        0x00..=0x7f => marker.into(),
        0xe0..=0xff => (marker as i8).into(),
        0xc0 => return Ok(None),
        0xcc => u8::from_be_bytes(take_array(rest)?).into(),
        0xcd => u16::from_be_bytes(take_array(rest)?).into(),
        0xce => u32::from_be_bytes(take_array(rest)?).into(),
        0xcf => i64::try_from(u64::from_be_bytes(take_array(rest)?))
            .map_err(|_| shape("integer", "an integer of more than 63 bits"))?,
        0xd0 => i8::from_be_bytes(take_array(rest)?).into(),
        0xd1 => i16::from_be_bytes(take_array(rest)?).into(),
        0xd2 => i32::from_be_bytes(take_array(rest)?).into(),
        0xd3 => i64::from_be_bytes(take_array(rest)?),
        _ => return Err(shape("integer", &format!("type 0x{marker:02x}"))),
    }))
}

/// The number of elements of the array that begins here.
pub(super) fn take_array_head(rest: &mut &[u8]) -> Read<usize> {
    let marker = take_array::<1>(rest)?[0];
    match marker {
        0x90..=0x9f => Ok(usize::from(marker & 0x0f)),
        0xdc => take_length(rest, Length::Two),
        0xdd => take_length(rest, Length::Four),
        _ => Err(shape("array", &format!("type 0x{marker:02x}"))),
    }
}

/// Text that is UTF-8.
pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Read<&'a str> {
    let marker = take_array::<1>(rest)?[0];
    let length = match marker {
        0xa0..=0xbf => usize::from(marker & 0x1f),
        0xd9 => take_length(rest, Length::One)?,
        0xda => take_length(rest, Length::Two)?,
        0xdb => take_length(rest, Length::Four)?,
        _ => return Err(shape("text", &format!("type 0x{marker:02x}"))),
    };
    std::str::from_utf8(take(rest, length)?).map_err(|_| DecodeError::Utf8.into())
}

/// Skips one value of any type, however deep it nests: it counts what is still to come instead
/// of recursing.
pub(super) fn skip(rest: &mut &[u8]) -> Read<()> {
    let mut pending: u64 = 1;
    while pending > 0 {
        pending -= 1;
        let marker = take_array::<1>(rest)?[0];
        let bytes = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            0xc1 => return Err(DecodeError::Marker.into()),
            0x80..=0x8f => {
                pending += 2 * u64::from(marker & 0x0f);
                0
            }
            0x90..=0x9f => {
                pending += u64::from(marker & 0x0f);
                0
            }
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xc4 | 0xd9 => take_length(rest, Length::One)?,
            0xc5 | 0xda => take_length(rest, Length::Two)?,
            0xc6 | 0xdb => take_length(rest, Length::Four)?,
            0xc7 => take_length(rest, Length::One)?.saturating_add(1),
            0xc8 => take_length(rest, Length::Two)?.saturating_add(1),
            0xc9 => take_length(rest, Length::Four)?.saturating_add(1),
            0xca => 4,
            0xcb => 8,
            0xcc..=0xcf => 1 << (marker - 0xcc),
            0xd0..=0xd3 => 1 << (marker - 0xd0),
            0xd4..=0xd8 => 1 + (1 << (marker - 0xd4)),
            0xdc => {
                pending += take_length(rest, Length::Two)? as u64;
                0
            }
            0xdd => {
                pending += take_length(rest, Length::Four)? as u64;
                0
            }
            0xde => {
                pending += 2 * take_length(rest, Length::Two)? as u64;
                0
            }
            0xdf => {
                pending += 2 * take_length(rest, Length::Four)? as u64;
                0
            }
        };
        take(rest, bytes)?;
    }
    Ok(())
}

#[cold]
fn shape(what: &'static str, found: &str) -> Box<DecodeError> {
    Box::new(DecodeError::Shape { what, found: found.to_owned() })
}
