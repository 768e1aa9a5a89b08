//! Lines of a text recording, plain or gzip, one at a time and never more than a megabyte.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
};

use flate2::bufread::MultiGzDecoder;

/// Longest line taken, in bytes; the rest of a longer one is thrown away unread and the line is
/// refused. The longest of the known recordings, a snapshot of 1,000 levels a side, has 70,000.
const LINE_LIMIT_BYTES: u64 = 1 << 20;

/// How a gzip member begins.
const GZIP_MAGIC: u8 = 0x1F;

/// Reads lines into one buffer of its own.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
}

/// What reading a line came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A whole line, without its end.
    Whole(&'a [u8]),
    /// What is left when the input ends without the end of a line: perhaps whole, perhaps cut.
    Last(&'a [u8]),
    /// A line past the limit; the next call goes on after it.
    TooLong,
    /// The input broke off: what was read of the line, and why.
    Broken(&'a [u8], String),
    /// No more lines.
    End,
}

impl Lines {
    /// Reads from `plain`, through gzip where its content begins like it.
    ///
    /// # Errors
    /// What the system says when not even the first bytes can be read.
    pub(super) fn new(mut plain: BufReader<File>) -> io::Result<Self> {
        let gzip = plain.fill_buf()?.first() == Some(&GZIP_MAGIC);
        let input: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(Self { input, line: Vec::new() })
    }

    /// Reads one line.
    pub(super) fn next(&mut self) -> Line<'_> {
        self.line.clear();
        let read = (&mut self.input).take(LINE_LIMIT_BYTES).read_until(b'\n', &mut self.line);
        if let Err(error) = read {
            return Line::Broken(&self.line, error.to_string());
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            return Line::Whole(&self.line);
        }
        if self.line.len() as u64 == LINE_LIMIT_BYTES {
            self.line.clear();
            return match self.skip_to_line_end() {
                Ok(()) => Line::TooLong,
                Err(error) => Line::Broken(&[], error.to_string()),
            };
        }
        if self.line.is_empty() { Line::End } else { Line::Last(&self.line) }
    }

    fn skip_to_line_end(&mut self) -> io::Result<()> {
        loop {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                return Ok(());
            }
            match available.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.input.consume(end + 1);
                    return Ok(());
                }
                None => {
                    let length = available.len();
                    self.input.consume(length);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn file(content: &[u8]) -> BufReader<File> {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(content).and_then(|()| file.rewind()).expect("writable");
        BufReader::new(file)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("writes to memory");
        encoder.finish().expect("writes to memory")
    }

    #[test]
    fn plain_and_gzip_give_the_same_lines() {
        for content in [b"one\n\ntwo".to_vec(), gzip(b"one\n\ntwo")] {
            let mut lines = Lines::new(file(&content)).expect("readable");
            assert_eq!(lines.next(), Line::Whole(b"one"));
            assert_eq!(lines.next(), Line::Whole(b""));
            assert_eq!(lines.next(), Line::Last(b"two"));
            assert_eq!(lines.next(), Line::End);
        }
    }

    #[test]
    fn several_gzip_members_are_one_recording() {
        let content = [gzip(b"one\n"), gzip(b"two\n")].concat();
        let mut lines = Lines::new(file(&content)).expect("readable");
        assert_eq!(lines.next(), Line::Whole(b"one"));
        assert_eq!(lines.next(), Line::Whole(b"two"));
        assert_eq!(lines.next(), Line::End);
    }

    #[test]
    fn a_line_past_the_limit_is_skipped_and_the_next_one_read() {
        let mut content = vec![b'x'; 3 * LINE_LIMIT_BYTES as usize];
        content.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(file(&content)).expect("readable");
        assert_eq!(lines.next(), Line::TooLong);
        assert_eq!(lines.next(), Line::Whole(b"next"));
        assert_eq!(lines.next(), Line::End);
    }

    #[test]
    fn a_truncated_gzip_breaks_after_its_last_bytes() {
        let content = gzip(b"one\ntwo\nthree\n");
        let mut lines = Lines::new(file(&content[..content.len() - 9])).expect("readable");
        let mut whole = 0;
        let broken = loop {
            match lines.next() {
                Line::Whole(_) => whole += 1,
                Line::Broken(..) => break true,
                _ => break false,
            }
        };
        assert!(broken && whole <= 3, "{whole} lines");
    }
}
