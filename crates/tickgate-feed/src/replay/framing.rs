//! What the DBN decoder does not check: where records begin and end.
//!
//! The decoder takes the end of its input for the end of the recording wherever it comes, and it
//! relies on records that are aligned to 8 bytes. So the bytes are followed on their way to it: 8
//! bytes (`DBN`, version, length of the rest of the metadata as a little-endian u32), the
//! metadata, then records whose first byte is their length in words of 4 bytes. That is so in
//! versions 1 to 3, the only ones read.

use std::io::{self, Read};

/// A reader that lets nothing pass after a record that cannot be one, and knows whether it ended
/// where a record ended.
pub(super) struct Framed<R> {
    input: R,
    /// The first bytes of the stream, until the metadata's length is known.
    prefix: Vec<u8>,
    /// Bytes up to the end of the metadata or of the running record.
    missing: u64,
    failure: Option<String>,
}

/// Bytes before the metadata's own.
const PREFIX_BYTES: usize = 8;

/// Longest metadata read, in bytes: the mappings of a few hundred thousand symbols. The decoder
/// allocates what the file says before it reads it.
const METADATA_LIMIT_BYTES: u32 = 1 << 26;

/// Every record begins with a header of this length, and is a multiple of 8 bytes long.
const HEADER_BYTES: u64 = 16;

impl<R> Framed<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, prefix: Vec::with_capacity(PREFIX_BYTES), missing: 0, failure: None }
    }

    /// Why the stream, read to its end, is incomplete; `None` when it is complete.
    pub(super) fn broken(&self) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        let cut = self.prefix.len() < PREFIX_BYTES || self.missing > 0;
        cut.then(|| "cut off within a record".to_owned())
    }

    /// Follows the stream over `bytes`; gives how many of them may pass.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut passed = (PREFIX_BYTES - self.prefix.len()).min(bytes.len());
        if passed > 0 {
            self.prefix.extend_from_slice(&bytes[..passed]);
            if let [_, _, _, _, a, b, c, d] = self.prefix[..] {
                let length = u32::from_le_bytes([a, b, c, d]);
                if length > METADATA_LIMIT_BYTES {
                    self.failure = Some(format!("metadata of {length} bytes is no metadata"));
                    return 0;
                }
                self.missing = length.into();
            }
        }
        while passed < bytes.len() {
            if self.missing == 0 {
                let length = u64::from(bytes[passed]) * 4;
                if length < HEADER_BYTES || length % 8 != 0 {
                    self.failure = Some(format!("a record of {length} bytes is no record"));
                    return passed;
                }
                self.missing = length;
            }
            let rest = (bytes.len() - passed) as u64;
            let taken = self.missing.min(rest);
            self.missing -= taken;
            passed += taken as usize;
        }
        passed
    }
}

impl<R: Read> Read for Framed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone()));
        }
        let read = self.input.read(buffer).inspect_err(|error| {
            self.failure = Some(error.to_string());
        })?;
        match self.follow(&buffer[..read]) {
            // Nothing to hand out is not the end: say what is wrong.
            0 if read > 0 => self.read(buffer),
            passed => Ok(passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(stream: &[u8], step: usize) -> (usize, Option<String>) {
        let mut framed = Framed::new(stream);
        let (mut buffer, mut total) = (vec![0; step], 0);
        while let Ok(read @ 1..) = framed.read(&mut buffer) {
            total += read;
        }
        (total, framed.broken())
    }

    fn stream() -> Vec<u8> {
        let mut stream = b"DBN\x03\x02\0\0\0mm".to_vec();
        stream.extend_from_slice(&[4; 16]);
        stream.extend_from_slice(&[6; 24]);
        stream
    }

    #[test]
    fn only_between_records_is_a_stream_complete() {
        let stream = stream();
        for step in [1, 3, 100] {
            for cut in 0..=stream.len() {
                let (read, broken) = read_all(&stream[..cut], step);
                assert_eq!(read, cut);
                let complete = [10, 26, 50].contains(&cut);
                assert_eq!(broken.is_none(), complete, "cut at {cut}, {step} at a time");
            }
        }
    }

    #[test]
    fn nothing_passes_after_what_is_no_record() {
        for words in [0u8, 1, 3, 5, 13] {
            let mut stream = stream();
            stream[26] = words;
            for step in [1, 100] {
                let (read, broken) = read_all(&stream, step);
                let why = format!("a record of {} bytes is no record", u32::from(words) * 4);
                assert_eq!((read, broken), (26, Some(why)));
            }
        }
        let mut huge = stream();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read_all(&huge, 100).0, 0);
    }
}
