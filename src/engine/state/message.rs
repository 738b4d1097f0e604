//! What a message on a stream is.
//!
//! *Scope:* [`MessageKind`], and the text of a message, which is written into the output or kept ([`MessageText`]). *Not in scope:*
//! keeping messages (`event_log`).

#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::memory::KeptText;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::text::keep_on_one_line;

/// What a message is, in the order in which they give way to newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// A client can do without it.
    Notification,
    /// A question, or its cancellation: it has to arrive.
    Question,
    /// It has to arrive, and is kept whatever its size.
    Response,
}

/// The text of a message.
pub(crate) trait MessageText {
    /// Appends it, as it is.
    fn write(self, out: &mut Vec<u8>);

    /// Returns it in one line, to be kept for a while.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    fn keep(self) -> KeptText;
}

/// A text that this function appends.
pub(crate) struct Written<F>(pub(crate) F);

/// Bytes of spare capacity that such a text may keep.
#[cfg(any(feature = "streamable", feature = "stateless"))]
const SPARE_BYTES_MAX: usize = 128;

impl<F: FnOnce(&mut Vec<u8>)> MessageText for Written<F> {
    fn write(self, out: &mut Vec<u8>) {
        (self.0)(out);
    }

    #[cfg(any(feature = "streamable", feature = "stateless"))]
    fn keep(self) -> KeptText {
        let mut text = Vec::new();
        self.write(&mut text);
        keep_on_one_line(&mut text);
        if text.capacity() > text.len() + text.len() / 8 + SPARE_BYTES_MAX {
            text.shrink_to_fit();
        }
        KeptText::of(text)
    }
}

/// A finished text, with the bytes that go before and after it. A long one is never copied into one piece: when such a copy is freed,
/// it leaves a hole that only a text of the same length fills.
pub(crate) struct Enclosed<'a>(pub(crate) [&'a [u8]; 3]);

impl MessageText for Enclosed<'_> {
    fn write(self, out: &mut Vec<u8>) {
        let bytes = self.0.iter().map(|part| part.len()).sum();
        match out.capacity() {
            0 => out.reserve_exact(bytes),
            _ => out.reserve(bytes),
        }
        self.0.iter().for_each(|part| out.extend_from_slice(part));
    }

    #[cfg(any(feature = "streamable", feature = "stateless"))]
    fn keep(self) -> KeptText {
        let mut text = KeptText::joined(self.0);
        text.each_piece_mut(keep_on_one_line);
        text
    }
}

/// A text that has waited already.
#[cfg(any(feature = "streamable", feature = "stateless"))]
impl MessageText for KeptText {
    fn write(self, out: &mut Vec<u8>) {
        self.append_to(out);
    }

    fn keep(self) -> KeptText {
        self
    }
}

#[cfg(all(test, any(feature = "streamable", feature = "stateless")))]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_in_one_line_however_it_is_made() {
        let long = [&b"{\n"[..], &vec![b'\r'; 100_000], b"}"].concat();
        let line =
            long.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect::<Vec<_>>();
        let written = Written(|out: &mut Vec<u8>| out.extend_from_slice(&long));
        assert_eq!(written.keep().into_vec(), line);
        let (before, after) = long.split_at(50_000);
        assert_eq!(Enclosed([before, b"\n", after]).keep().len(), long.len() + 1);
        assert_eq!(Enclosed([b"", &long, b""]).keep().into_vec(), line);
        let mut out = Vec::new();
        Enclosed([before, after, b"!"]).write(&mut out);
        assert_eq!(out, [&long[..], b"!"].concat());
    }
}
