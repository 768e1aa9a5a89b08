//! Single values, each in its smallest MessagePack form.

use crate::number::ABSENT;

pub(super) const NIL: u8 = 0xc0;

/// Longest form of an integer: a marker and eight bytes.
pub(super) const INTEGER_LIMIT_BYTES: usize = 9;

#[inline]
pub(super) fn unsigned(out: &mut Vec<u8>, value: u64) {
    if value < 1 << 7 {
        out.push(value as u8);
    } else {
        sized(out, 0xcc, value, u64::BITS - value.leading_zeros());
    }
}

#[inline]
pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        unsigned(out, value.unsigned_abs());
    } else if value >= -32 {
        out.push(value as u8);
    } else {
        // One bit more than its digits, for the sign.
        sized(out, 0xd0, value as u64, u64::BITS - value.leading_ones() + 1);
    }
}

/// An integer of 1 to 64 bits behind the marker of its width: `first` is that of one byte, and
/// those of two, four and eight follow it.
///
/// Without branches, since widths are as good as random: as many bytes as the widest form has are
/// copied, and the surplus is cut off.
fn sized(out: &mut Vec<u8>, first: u8, value: u64, bits: u32) {
    const WIDTHS_LOG2: [u8; 8] = [0, 1, 2, 2, 3, 3, 3, 3];
    let width_log2 = WIDTHS_LOG2[(bits as usize - 1) / 8 % 8];
    let width_bits = 8u32 << width_log2;
    let mut form = [0; INTEGER_LIMIT_BYTES];
    form[0] = first + width_log2;
    form[1..].copy_from_slice(&(value << (u64::BITS - width_bits)).to_be_bytes());
    let end = out.len() + 1 + (1 << width_log2);
    out.extend_from_slice(&form);
    out.truncate(end);
}

/// An integer, or nil for [`ABSENT`].
#[inline]
pub(super) fn field(out: &mut Vec<u8>, value: i64) {
    if value == ABSENT {
        out.push(NIL);
    } else {
        signed(out, value);
    }
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    if length < 32 {
        out.push(0xa0 | length as u8);
    } else if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[0xd9, length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(0xda);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(0xdb);
        out.extend_from_slice(&(length as u32).to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

/// The head of an array of `count` values.
pub(super) fn array(out: &mut Vec<u8>, count: usize) {
    head(out, count, [0x90, 0xdc, 0xdd]);
}

/// The head of a map of `count` pairs.
pub(super) fn map(out: &mut Vec<u8>, count: usize) {
    head(out, count, [0x80, 0xde, 0xdf]);
}

fn head(out: &mut Vec<u8>, count: usize, [fixed, short, long]: [u8; 3]) {
    if count < 16 {
        out.push(fixed | count as u8);
    } else if let Ok(count) = u16::try_from(count) {
        out.push(short);
        out.extend_from_slice(&count.to_be_bytes());
    } else {
        out.push(long);
        out.extend_from_slice(&(count as u32).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_the_smallest_form_at_every_border() {
        let cases: [(i64, &[u8]); 20] = [
            (0, &[0x00]),
            (127, &[0x7f]),
            (128, &[0xcc, 0x80]),
            (255, &[0xcc, 0xff]),
            (256, &[0xcd, 0x01, 0x00]),
            (65_535, &[0xcd, 0xff, 0xff]),
            (65_536, &[0xce, 0x00, 0x01, 0x00, 0x00]),
            (4_294_967_295, &[0xce, 0xff, 0xff, 0xff, 0xff]),
            (4_294_967_296, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
            ((1 << 53) - 1, &[0xcf, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (-1, &[0xff]),
            (-32, &[0xe0]),
            (-33, &[0xd0, 0xdf]),
            (-128, &[0xd0, 0x80]),
            (-129, &[0xd1, 0xff, 0x7f]),
            (-32_768, &[0xd1, 0x80, 0x00]),
            (-32_769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
            (-2_147_483_648, &[0xd2, 0x80, 0x00, 0x00, 0x00]),
            (-2_147_483_649, &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
            (ABSENT, &[0xc0]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            field(&mut out, value);
            assert_eq!(out, bytes, "{value}");
        }
    }

    #[test]
    fn heads_grow_with_their_counts() {
        let cases: [(usize, &[u8], &[u8]); 4] = [
            (0, &[0x90], &[0x80]),
            (15, &[0x9f], &[0x8f]),
            (16, &[0xdc, 0x00, 0x10], &[0xde, 0x00, 0x10]),
            (65_536, &[0xdd, 0x00, 0x01, 0x00, 0x00], &[0xdf, 0x00, 0x01, 0x00, 0x00]),
        ];
        for (count, expected_array, expected_map) in cases {
            let (mut a, mut m) = (Vec::new(), Vec::new());
            array(&mut a, count);
            map(&mut m, count);
            assert_eq!((a.as_slice(), m.as_slice()), (expected_array, expected_map), "{count}");
        }
    }

    #[test]
    fn text_heads_grow_with_their_lengths() {
        for (length, head) in [
            (0, vec![0xa0]),
            (31, vec![0xbf]),
            (32, vec![0xd9, 32]),
            (256, vec![0xda, 1, 0]),
            (65_536, vec![0xdb, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            text(&mut out, &"x".repeat(length));
            assert_eq!(out.len(), head.len() + length);
            assert_eq!(&out[..head.len()], head.as_slice());
        }
    }
}
