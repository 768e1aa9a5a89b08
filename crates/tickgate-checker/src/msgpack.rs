//! MessagePack, complete, from its specification: a decoder, and a writer for what clients send.

use crate::{rule::Fault, value::Value};

/// Containers nested deeper than this are refused.
const DEPTH_LIMIT: usize = 16;

/// Decodes exactly one value that fills `bytes`.
///
/// # Errors
/// [`crate::Rule::Decode`] for bytes that end early or go on, the reserved byte, invalid UTF-8, keys that
/// are no strings or occur twice, extension types, and nesting past 16.
pub fn decode(bytes: &[u8]) -> Result<Value, Fault> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    if reader.at != bytes.len() {
        let rest = bytes.len() - reader.at;
        return Err(Fault::decode(format!("{rest} bytes after the value")));
    }
    Ok(value)
}

/// Appends `value`; [`Value::Number`] is written as the float a careless client would send.
pub fn encode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nil => out.push(0xc0),
        Value::Bool(bool) => out.push(if *bool { 0xc3 } else { 0xc2 }),
        Value::Int(int) => encode_int(out, *int),
        Value::Float(float) => {
            out.push(0xcb);
            out.extend(float.to_be_bytes());
        }
        Value::Number(text) => encode(out, &Value::Float(text.parse().unwrap_or(f64::NAN))),
        Value::Text(text) => {
            head(out, text.len(), (0xa0, 31), &[0xd9, 0xda, 0xdb]);
            out.extend(text.as_bytes());
        }
        Value::Binary(binary) => {
            out.push(0xc6);
            out.extend((binary.len() as u32).to_be_bytes());
            out.extend(binary);
        }
        Value::Array(items) => {
            head(out, items.len(), (0x90, 15), &[0xdc, 0xdd]);
            items.iter().for_each(|item| encode(out, item));
        }
        Value::Map(entries) => {
            head(out, entries.len(), (0x80, 15), &[0xde, 0xdf]);
            for (key, item) in entries {
                encode(out, &Value::Text(key.clone()));
                encode(out, item);
            }
        }
    }
}

fn encode_int(out: &mut Vec<u8>, int: i128) {
    if (-32..128).contains(&int) {
        out.push(int as i8 as u8);
    } else if let Ok(int) = u16::try_from(int) {
        out.push(0xcd);
        out.extend(int.to_be_bytes());
    } else if let Ok(int) = u32::try_from(int) {
        out.push(0xce);
        out.extend(int.to_be_bytes());
    } else if let Ok(int) = u64::try_from(int) {
        out.push(0xcf);
        out.extend(int.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend((int as i64).to_be_bytes());
    }
}

/// Writes a length: into the one-byte form where it fits, else after the marker of 8 (strings
/// only), 16 or 32 bits.
fn head(out: &mut Vec<u8>, length: usize, (fix, fix_limit): (u8, usize), markers: &[u8]) {
    let wide = &markers[markers.len() - 2..];
    if length <= fix_limit {
        out.push(fix | length as u8);
    } else if markers.len() == 3 && length < 256 {
        out.extend([markers[0], length as u8]);
    } else if length < 65_536 {
        out.push(wide[0]);
        out.extend((length as u16).to_be_bytes());
    } else {
        out.push(wide[1]);
        out.extend((length as u32).to_be_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        if depth > DEPTH_LIMIT {
            return Err(Fault::decode("nested too deeply"));
        }
        let marker = self.take(1)?[0];
        Ok(match marker {
            0x00..=0x7f => Value::Int(i128::from(marker)),
            0x80..=0x8f => self.map(usize::from(marker & 15), depth)?,
            0x90..=0x9f => self.array(usize::from(marker & 15), depth)?,
            0xa0..=0xbf => self.text(usize::from(marker & 31))?,
            0xc0 => Value::Nil,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let length = self.unsigned(1 << (marker - 0xc4))? as usize;
                Value::Binary(self.take(length)?.to_vec())
            }
            0xca => Value::Float(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            0xcb => Value::Float(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => Value::Int(i128::from(self.unsigned(1 << (marker - 0xcc))?)),
            0xd0..=0xd3 => Value::Int(i128::from(self.signed(1 << (marker - 0xd0))?)),
            0xd9..=0xdb => {
                let length = self.unsigned(1 << (marker - 0xd9))? as usize;
                self.text(length)?
            }
            0xdc | 0xdd => {
                let length = self.unsigned(2 << (marker - 0xdc))? as usize;
                self.array(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.unsigned(2 << (marker - 0xde))? as usize;
                self.map(length, depth)?
            }
            0xe0..=0xff => Value::Int(i128::from(marker as i8)),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => {
                return Err(Fault::decode(format!("marker {marker:#04x} has no place here")));
            }
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| Fault::decode("the message ends inside a value"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, Fault> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, width: usize) -> Result<i64, Fault> {
        let unused = 64 - 8 * width as u32;
        Ok((self.unsigned(width)? << unused) as i64 >> unused)
    }

    fn text(&mut self, length: usize) -> Result<Value, Fault> {
        let text = std::str::from_utf8(self.take(length)?)
            .map_err(|_| Fault::decode("a string is not UTF-8"))?;
        Ok(Value::Text(text.to_owned()))
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<Value, Fault> {
        (0..length).map(|_| self.value(depth + 1)).collect::<Result<_, _>>().map(Value::Array)
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        for _ in 0..length {
            let Value::Text(key) = self.value(depth + 1)? else {
                return Err(Fault::decode("a map's key is no string"));
            };
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(Fault::decode(format!("key {key} occurs twice")));
            }
            entries.push((key, self.value(depth + 1)?));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(bytes: &[u8]) -> i128 {
        match decode(bytes) {
            Ok(Value::Int(int)) => int,
            other => panic!("{bytes:02x?} is {other:?}"),
        }
    }

    #[test]
    fn every_integer_form_is_read() {
        assert_eq!(int(&[0x7f]), 127);
        assert_eq!(int(&[0xe0]), -32);
        assert_eq!(int(&[0xcc, 0xff]), 255);
        assert_eq!(int(&[0xcd, 0x01, 0x00]), 256);
        assert_eq!(int(&[0xce, 0, 1, 0, 0]), 65_536);
        assert_eq!(int(&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), u64::MAX.into());
        assert_eq!(int(&[0xd0, 0x80]), -128);
        assert_eq!(int(&[0xd1, 0xff, 0x00]), -256);
        assert_eq!(int(&[0xd2, 0xff, 0xff, 0xff, 0xfe]), -2);
        assert_eq!(int(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]), i64::MIN.into());
    }

    #[test]
    fn every_container_form_is_read() {
        let one = Value::Array(vec![Value::Int(1)]);
        for bytes in [&[0x91, 1][..], &[0xdc, 0, 1, 1], &[0xdd, 0, 0, 0, 1, 1]] {
            assert_eq!(decode(bytes).ok().as_ref(), Some(&one));
        }
        let map = Value::Map(vec![("a".into(), Value::Nil)]);
        for bytes in [
            &[0x81, 0xa1, b'a', 0xc0][..],
            &[0xde, 0, 1, 0xd9, 1, b'a', 0xc0],
            &[0xdf, 0, 0, 0, 1, 0xda, 0, 1, b'a', 0xc0],
        ] {
            assert_eq!(decode(bytes).ok().as_ref(), Some(&map));
        }
        assert_eq!(decode(&[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]).ok(), Some(Value::Float(1.0)));
        assert_eq!(decode(&[0xca, 0x3f, 0x80, 0, 0]).ok(), Some(Value::Float(1.0)));
        assert_eq!(decode(&[0xc4, 1, 9]).ok(), Some(Value::Binary(vec![9])));
    }

    #[test]
    fn what_is_cut_or_goes_on_is_refused() {
        let bad: [&[u8]; 8] = [
            &[],
            &[0x92, 1],
            &[0x01, 0x02],
            &[0xa2, b'a'],
            &[0xa1, 0xff],
            &[0x81, 0x01, 0x01],
            &[0xc1],
            &[0x82, 0xa1, b'a', 1, 0xa1, b'a', 1],
        ];
        for bytes in bad {
            assert!(decode(bytes).is_err(), "{bytes:02x?}");
        }
        assert!(decode(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(decode(&[0x91; 64]).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in [
            Value::Int(-33),
            Value::Int(128),
            Value::Int(-32),
            Value::Int(70_000),
            Value::Int(1 << 40),
            Value::Text("x".repeat(300)),
            Value::Text("x".repeat(40)),
            Value::Array(vec![Value::Bool(true); 20]),
            Value::Map(vec![("k".into(), Value::Binary(vec![1, 2]))]),
        ] {
            let mut bytes = Vec::new();
            encode(&mut bytes, &value);
            assert_eq!(decode(&bytes).ok(), Some(value));
        }
    }
}
