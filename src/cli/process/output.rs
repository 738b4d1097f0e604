//! What is kept of a command's output, whatever it writes.

use std::collections::VecDeque;

/// Which bytes are kept of an output that is longer than its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    First,
    Last,
}

/// Output that is kept up to a bound.
#[derive(Debug)]
pub(super) struct Captured {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    keep: Keep,
    cut: bool,
}

impl Captured {
    pub(super) fn new(keep: Keep, bytes_max: usize) -> Captured {
        Captured { bytes: VecDeque::new(), bytes_max, keep, cut: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = match self.keep {
            Keep::First => self.bytes_max - self.bytes.len(),
            Keep::Last => self.bytes_max,
        };
        let excess = bytes.len().saturating_sub(room);
        let (kept, old) = match self.keep {
            Keep::First => (bytes.get(..bytes.len() - excess), 0),
            Keep::Last => {
                (bytes.get(excess..), (self.bytes.len() + bytes.len() - excess).saturating_sub(room))
            }
        };
        self.cut |= excess > 0 || old > 0;
        self.bytes.drain(..old);
        self.bytes.extend(kept.unwrap_or_default());
    }

    /// Returns what was kept, and true if that is not all. Last lines begin with a whole one.
    pub(super) fn finish(mut self, lines: bool) -> (Vec<u8>, bool) {
        if self.cut
            && lines
            && let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n')
        {
            self.bytes.drain(..=end);
        }
        (self.bytes.into(), self.cut)
    }
}

/// Cuts output into lines.
#[derive(Debug)]
pub(super) struct Lines {
    line: Vec<u8>,
    bytes_max: usize,
}

impl Lines {
    pub(super) fn new(bytes_max: usize) -> Lines {
        Lines { line: Vec::new(), bytes_max }
    }

    /// Passes on each line that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = self.bytes_max - self.line.len();
            self.line.extend_from_slice(text.get(..room).unwrap_or(text));
            if ends {
                self.pass_on(on_line);
            }
        }
    }

    /// Passes on a last line that has no end.
    pub(super) fn finish(mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() {
            self.pass_on(on_line);
        }
    }

    fn pass_on(&mut self, on_line: &mut dyn FnMut(&str)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        on_line(&String::from_utf8_lossy(line));
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes the text in all ways to cut it in two.
    fn captured(keep: Keep, max: usize, text: &str, lines: bool) -> (String, bool) {
        let mut all = (0..=text.len()).map(|cut| {
            let mut captured = Captured::new(keep, max);
            captured.push(&text.as_bytes()[..cut]);
            captured.push(&text.as_bytes()[cut..]);
            let (bytes, cut) = captured.finish(lines);
            (String::from_utf8(bytes).unwrap(), cut)
        });
        let first = all.next().unwrap();
        assert!(all.all(|other| other == first));
        first
    }

    #[test]
    fn output_is_kept_up_to_its_bound() {
        for (keep, text, kept) in [
            (Keep::First, "", ("", false)),
            (Keep::First, "12345678", ("12345678", false)),
            (Keep::First, "123456789", ("12345678", true)),
            (Keep::First, "12345678901234567890", ("12345678", true)),
            (Keep::Last, "12345678", ("12345678", false)),
            (Keep::Last, "123456789", ("23456789", true)),
            (Keep::Last, "12345678901234567890", ("34567890", true)),
        ] {
            assert_eq!(captured(keep, 8, text, false), (kept.0.to_owned(), kept.1), "{text}");
        }
        assert_eq!(captured(Keep::First, 0, "1", false), (String::new(), true));
        assert_eq!(captured(Keep::Last, 0, "1", false), (String::new(), true));
    }

    #[test]
    fn last_lines_begin_with_a_whole_one() {
        assert_eq!(captured(Keep::Last, 8, "a\nb\nc\nd\n", true), ("a\nb\nc\nd\n".to_owned(), false));
        assert_eq!(captured(Keep::Last, 8, "0a\nb\nc\nd\n", true), ("b\nc\nd\n".to_owned(), true));
        assert_eq!(captured(Keep::Last, 8, "1234567890", true), ("34567890".to_owned(), true));
    }

    fn lines(max: usize, text: &[u8]) -> Vec<String> {
        let mut all = (0..=text.len()).map(|cut| {
            let mut found = Vec::new();
            let mut on_line = |line: &str| found.push(line.to_owned());
            let mut lines = Lines::new(max);
            lines.push(&text[..cut], &mut on_line);
            lines.push(&text[cut..], &mut on_line);
            lines.finish(&mut on_line);
            found
        });
        let first = all.next().unwrap();
        assert!(all.all(|other| other == first));
        first
    }

    #[test]
    fn lines_are_passed_on_without_their_ends() {
        assert_eq!(lines(8, b""), [""; 0]);
        assert_eq!(lines(8, b"a\n\nb\r\nc"), ["a", "", "b", "c"]);
        assert_eq!(lines(8, b"12345678\n123456789\nx\n"), ["12345678", "12345678", "x"]);
        assert_eq!(lines(8, b"\xff\n"), ["\u{fffd}"]);
    }
}
