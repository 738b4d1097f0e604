//! Lines of text in a stream of bytes: the framing of MCP over standard input and output.
//!
//! *Scope:* [`Splitter`] finds the lines in what has arrived, however it was cut, and skips those that are too long. *Not in
//! scope:* keeping the bytes of a line that is not whole: the caller does, and shows them again; what a line says.
//!
//! ```text
//!             LF: the line, without a CR at its end; nothing if it is blank
//!            ┌──┐
//!            ▼  │       more than bytes_max without LF
//!   in a line ──┴──────────────────────────────────────▶ skipping ──┐ anything else: dropped
//!       ▲                    (told once)                  │   ▲     │
//!       └────────────────────── LF ───────────────────────┘   └─────┘
//! ```
//!
//! ```
//! use mcp_rill::lines::{Line, Splitter};
//! let mut splitter = Splitter::default();
//! let mut bytes = &b"one\r\n\n  \ntw"[..];
//! assert_eq!(splitter.next(&mut bytes, 8), Some(Line::Whole(b"one")));
//! assert_eq!(splitter.next(&mut bytes, 8), None);
//! assert_eq!(bytes, b"tw"); // is kept, and shown again with what comes next
//! let mut bytes = &b"two\nthis is too long\nthree"[..];
//! assert_eq!(splitter.next(&mut bytes, 8), Some(Line::Whole(b"two")));
//! assert_eq!(splitter.next(&mut bytes, 8), Some(Line::TooLong));
//! assert_eq!(splitter.next(&mut bytes, 8), None);
//! assert_eq!(splitter.last(&mut bytes, 8), Some(Line::Whole(b"three"))); // the input has ended
//! assert!(bytes.is_empty());
//! ```

use memchr::memchr;

/// What a [`Splitter`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'b> {
    /// A line that is not blank, without the bytes that end it.
    Whole(&'b [u8]),
    /// A line is longer than it may be. What follows of it is dropped.
    TooLong,
}

/// Finds lines in bytes that come in pieces. Each byte is looked at once.
#[derive(Clone, Debug, Default)]
pub struct Splitter {
    /// How many bytes of the line that is not whole are known to have no LF.
    searched: usize,
    /// The line is dropped up to its end.
    skipping: bool,
}

impl Splitter {
    /// The next line of at most `bytes_max` bytes. It is taken from `bytes`, and so is everything that is dropped. `None`: no
    /// line is whole. What is left in `bytes` then, at most `bytes_max + 1` bytes, has to stand before what comes next.
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8], bytes_max: usize) -> Option<Line<'b>> {
        while let Some(line) = self.take_line(bytes) {
            let skipped = std::mem::take(&mut self.skipping);
            if !skipped && let Some(line) = check(line, bytes_max) {
                return Some(line);
            }
        }
        if self.skipping {
            *bytes = &[];
        } else if unended(bytes).len() > bytes_max {
            *bytes = &[];
            self.skip();
            return Some(Line::TooLong);
        }
        self.searched = bytes.len();
        None
    }

    /// The line that the end of the input ends, once [`next`](Splitter::next) returns `None`.
    pub fn last<'b>(&mut self, bytes: &mut &'b [u8], bytes_max: usize) -> Option<Line<'b>> {
        let line = std::mem::take(bytes);
        let Splitter { skipping, .. } = std::mem::take(self);
        check(line, bytes_max).filter(|_| !skipping)
    }

    /// Drops the line that is not whole, up to its end. The caller drops what is kept of it.
    pub fn skip(&mut self) {
        *self = Splitter { searched: 0, skipping: true };
    }

    fn take_line<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
        let end = self.searched + memchr(b'\n', bytes.get(self.searched..)?)?;
        let (line, rest) = bytes.split_at_checked(end)?;
        self.searched = 0;
        *bytes = rest.get(1..).unwrap_or_default();
        Some(line)
    }
}

/// Without the CR of a line that ends with CR LF.
fn unended(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A line without its LF; `None` if it is blank.
fn check(line: &[u8], bytes_max: usize) -> Option<Line<'_>> {
    let line = unended(line);
    if line.len() > bytes_max {
        return Some(Line::TooLong);
    }
    (!line.trim_ascii().is_empty()).then_some(Line::Whole(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of `text` when it comes in pieces of `size` bytes; `-` is one that is too long.
    fn split(text: &str, size: usize) -> Vec<String> {
        let (mut splitter, mut kept, mut lines) = (Splitter::default(), Vec::new(), Vec::new());
        let mut tell = |line: Line<'_>| match line {
            Line::Whole(line) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
            Line::TooLong => lines.push("-".to_owned()),
        };
        for piece in text.as_bytes().chunks(size) {
            kept.extend_from_slice(piece);
            let mut rest = &kept[..];
            while let Some(line) = splitter.next(&mut rest, 5) {
                tell(line);
            }
            assert!(rest.len() <= 6, "{rest:?}");
            kept = rest.to_vec();
        }
        splitter.last(&mut &kept[..], 5).into_iter().for_each(tell);
        lines
    }

    #[test]
    fn lines_do_not_depend_on_where_the_bytes_are_cut() {
        for (text, lines) in [
            ("", vec![]),
            ("\n\r\n \t \n\r", vec![]),
            ("a\nb\r\n\nc", vec!["a", "b", "c"]),
            ("12345\n123456\n12345\r\n123456\r\nx", vec!["12345", "-", "12345", "-", "x"]),
            ("12345\r", vec!["12345"]),
            ("12345\r\r\n12345\rx\n1\r2\n", vec!["-", "-", "1\r2"]),
            ("      \n       ", vec!["-", "-"]),
            ("1234567890\n", vec!["-"]),
            ("1234567890", vec!["-"]),
        ] {
            for size in 1..=text.len().max(1) {
                assert_eq!(split(text, size), lines, "{text:?} in pieces of {size}");
            }
        }
    }
}
