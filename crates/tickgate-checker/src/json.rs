//! JSON, from RFC 8259: a reader that keeps numbers as printed, and a writer.

use std::fmt::Write;

use crate::{rule::Fault, value::Value};

/// Containers nested deeper than this are refused.
const DEPTH_LIMIT: usize = 16;

/// Reads exactly one value that fills `bytes`, white space around it aside.
///
/// # Errors
/// [`crate::Rule::Decode`] for anything that is not JSON, keys that occur twice, and nesting past 16.
pub fn decode(bytes: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::decode("not UTF-8"))?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at != text.len() {
        return Err(Fault::decode(format!("goes on at byte {}", reader.at)));
    }
    Ok(value)
}

/// Appends `value`; MessagePack bytes have no form here and become null.
pub fn encode(out: &mut String, value: &Value) {
    match value {
        Value::Nil | Value::Binary(_) => out.push_str("null"),
        Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Value::Int(int) => _ = write!(out, "{int}"),
        Value::Float(float) => _ = write!(out, "{float}"),
        Value::Number(text) => out.push_str(text),
        Value::Text(text) => encode_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                encode(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (position, (key, item)) in entries.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                encode_text(out, key);
                out.push(':');
                encode(out, item);
            }
            out.push('}');
        }
    }
}

fn encode_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' => _ = write!(out, "\\u{:04x}", character as u32),
            _ => out.push(character),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn fault(&self) -> Fault {
        Fault::decode(format!("no JSON at byte {}", self.at))
    }

    fn eat(&mut self, token: &str) -> Result<(), Fault> {
        if !self.rest().starts_with(token) {
            return Err(self.fault());
        }
        self.at += token.len();
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        if depth > DEPTH_LIMIT {
            return Err(Fault::decode("nested too deeply"));
        }
        self.space();
        match self.peek() {
            Some(b'n') => self.eat("null").map(|()| Value::Nil),
            Some(b't') => self.eat("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.eat("false").map(|()| Value::Bool(false)),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.map(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.fault()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.eat("[")?;
        self.space();
        while self.peek() != Some(b']') {
            if !items.is_empty() {
                self.eat(",")?;
            }
            items.push(self.value(depth + 1)?);
            self.space();
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        self.eat("{")?;
        self.space();
        while self.peek() != Some(b'}') {
            if !entries.is_empty() {
                self.eat(",")?;
                self.space();
            }
            let key = self.string()?;
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(Fault::decode(format!("key {key} occurs twice")));
            }
            self.space();
            self.eat(":")?;
            entries.push((key, self.value(depth + 1)?));
            self.space();
        }
        self.at += 1;
        Ok(Value::Map(entries))
    }

    /// A number exactly as printed, checked against the grammar: no leading zero, digits around
    /// the point.
    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits()?;
        if whole > 1 && self.text.as_bytes()[self.at - whole] == b'0' {
            return Err(self.fault());
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number(self.text[start..self.at].to_owned()))
    }

    fn digits(&mut self) -> Result<usize, Fault> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return Err(self.fault());
        }
        self.at += count;
        Ok(count)
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.eat("\"")?;
        let mut string = String::new();
        loop {
            let character = self.rest().chars().next().ok_or_else(|| self.fault())?;
            self.at += character.len_utf8();
            match character {
                '"' => return Ok(string),
                '\\' => string.push(self.escape()?),
                '\0'..='\x1f' => return Err(self.fault()),
                _ => string.push(character),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let kind = self.peek().ok_or_else(|| self.fault())?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    self.eat("\\u")?;
                    let second = self.hex()?;
                    0x10000 + ((first - 0xd800) << 10) + second.wrapping_sub(0xdc00)
                } else {
                    first
                };
                char::from_u32(code).ok_or_else(|| self.fault())?
            }
            _ => return Err(self.fault()),
        })
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits = self.rest().get(..4).ok_or_else(|| self.fault())?;
        let code = u32::from_str_radix(digits, 16).map_err(|_| self.fault())?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let number = |text: &str| Value::Number(text.into());
        assert_eq!(
            decode(b" [0, -1.50, 9007199254740993] ").ok(),
            Some(Value::Array(vec![number("0"), number("-1.50"), number("9007199254740993")]))
        );
    }

    #[test]
    fn strings_are_unescaped() {
        let read = decode(br#"{"a":"\"\\\/\b\u00e9\ud83d\ude00"}"#);
        let text = Value::Text("\"\\/\u{8}é😀".into());
        assert_eq!(read.ok(), Some(Value::Map(vec![("a".into(), text.clone())])));
        let mut out = String::new();
        encode(&mut out, &text);
        assert_eq!(decode(out.as_bytes()).ok(), Some(text));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "[1 2]",
            "{\"a\" 1}",
            "01",
            "1.",
            ".5",
            "+1",
            "nul",
            "\"\n\"",
            "{}x",
            "{\"a\":1,\"a\":2}",
            "[NaN]",
            "\"\\x\"",
            "{,}",
            "[,1]",
            "\"\\ud800x\"",
        ] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
        }
        assert!(decode("[".repeat(99).as_bytes()).is_err());
    }
}
