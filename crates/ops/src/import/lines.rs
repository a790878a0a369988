//! Lines of a file of any size, in bounded memory.
//!
//! A line ends with `\n` or `\r\n`, the last one also with the file. A byte order mark opens a file, not a
//! line: it is taken off the first line and left on any other.

use std::io::{self, BufRead};

/// The byte order mark of UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Its bytes.
    Whole(&'a [u8]),
    /// It was longer than the limit and was skipped.
    TooLong {
        /// How long it was.
        bytes: u64,
    },
}

/// Reads lines of at most `max` bytes; of a longer one no more than that is ever held.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    max: usize,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, max: usize) -> Self {
        Self {
            reader,
            max,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// The number of the last line that was read; the first is 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let mut bytes: u64 = 0;
        let mut ended = false;
        while !ended {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|&byte| byte == b'\n');
            ended = end.is_some();
            let piece = &available[..end.unwrap_or(available.len())];
            bytes += piece.len() as u64;
            // Room for a mark and a carriage return, which do not count.
            let room = (self.max + BOM.len() + 1).saturating_sub(self.buffer.len());
            self.buffer
                .extend_from_slice(&piece[..piece.len().min(room)]);
            let used = piece.len() + usize::from(ended);
            self.reader.consume(used);
        }
        if bytes == 0 && !ended {
            return Ok(None);
        }
        self.number += 1;
        let cut = bytes > self.buffer.len() as u64;
        let mut line = &self.buffer[..];
        if self.number == 1 {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if !cut {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        Ok(Some(if cut || line.len() > self.max {
            Line::TooLong { bytes }
        } else {
            Line::Whole(line)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn read(input: &[u8], max: usize, buffer: usize) -> Vec<Result<Vec<u8>, u64>> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, input), max);
        let mut found = Vec::new();
        while let Some(line) = lines.next().expect("memory can be read") {
            found.push(match line {
                Line::Whole(bytes) => Ok(bytes.to_vec()),
                Line::TooLong { bytes } => Err(bytes),
            });
        }
        assert_eq!(lines.number(), found.len() as u64);
        found
    }

    #[test]
    fn ends_of_lines_and_a_mark_at_the_start_are_taken_off() {
        let input = b"\xef\xbb\xbfa\r\nb\n\nc\r\r\n\xef\xbb\xbfd";
        assert_eq!(
            read(input, 100, 1),
            [
                Ok("a".into()),
                Ok("b".into()),
                Ok("".into()),
                Ok("c\r".into()),
                Ok("\u{feff}d".into())
            ]
        );
    }

    #[test]
    fn an_end_at_the_end_of_the_file_opens_no_line() {
        assert_eq!(read(b"", 10, 8), []);
        assert_eq!(read(b"a\n", 10, 8), [Ok("a".into())]);
        assert_eq!(read(b"\n", 10, 8), [Ok("".into())]);
    }

    #[test]
    fn the_limit_counts_neither_end_nor_mark() {
        assert_eq!(
            read(b"\xef\xbb\xbfabc\r\nabcd\r\nabc\r\nabcd\n", 3, 2),
            [Ok("abc".into()), Err(5), Ok("abc".into()), Err(4)]
        );
        // What is too long is skipped, not taken apart.
        assert_eq!(read(b"abcdefghij\nk\n", 3, 4), [Err(10), Ok("k".into())]);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_torn(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            crlf in any::<bool>(),
            last_end in any::<bool>(),
            buffer in 1_usize..64,
        ) {
            // What cannot be told from an end of line is not content.
            let lines: Vec<Vec<u8>> = lines.into_iter()
                .map(|line| line.into_iter().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0xef)).collect())
                .collect();
            let end: &[u8] = if crlf { b"\r\n" } else { b"\n" };
            let mut input = lines.join(end);
            if last_end || lines.last().is_some_and(Vec::is_empty) {
                input.extend_from_slice(end);
            }
            let max = 20;
            let expected: Vec<_> = lines.into_iter()
                .map(|line| if line.len() > max { Err(()) } else { Ok(line) })
                .collect();
            let found: Vec<_> = read(&input, max, buffer).into_iter().map(|line| line.map_err(|_| ())).collect();
            if expected.is_empty() {
                prop_assert!(found.len() <= 1);
            } else {
                prop_assert_eq!(found, expected);
            }
        }
    }
}
