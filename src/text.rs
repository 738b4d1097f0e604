//! Excerpts of a peer's text for error messages and logs: cut, on one line, without hidden characters.
//!
//! *Scope:* the excerpts, removing hidden characters, suggesting the nearest name, the bytes that a token or a field's value may have
//! (RFC 9110 §5.6.2, §5.5), and the macro for errors that are one sentence. *Not in scope:* the sentences themselves.

use std::borrow::Cow;

/// At most so many bytes or characters of a peer's value are repeated to it: enough to recognise it, too few to be abused.
const SHOWN_MAX: usize = 80;

/// Makes a type an error whose text is this format and its arguments.
macro_rules! error_text {
    ($type:ident: |$error:ident| $($text:tt)+) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $error = self;
                write!(f, $($text)+)
            }
        }

        impl std::error::Error for $type {}
    };
}

pub(crate) use error_text;

/// A peer's bytes in a sentence: cut, and visible ASCII only, so that they cannot mislead a log or a terminal.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let visible = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    let mut text: String = bytes.iter().take(SHOWN_MAX).map(visible).collect();
    if bytes.len() > SHOWN_MAX {
        text.push_str("...");
    }
    text
}

/// A request line or its target in a sentence: without the query, which may hold a session's id or a token.
pub(crate) fn shown_target(bytes: &[u8]) -> String {
    let mut parts = bytes.splitn(2, |byte| *byte == b'?');
    let mut text = shown(parts.next().unwrap_or_default());
    if parts.next().is_some() {
        text.push_str("?...");
    }
    text
}

/// Names a field line in a sentence: by its name, or by its number if it has none, and never by its value, which may be a
/// secret.
pub(crate) fn shown_field(number: usize, line: &[u8]) -> String {
    let name = line.split(|byte| !is_token_byte(*byte)).next().unwrap_or_default();
    match line.contains(&b':') && !name.is_empty() {
        true => format!("the header line `{}`", shown(name)),
        false => format!("header line {number}"),
    }
}

/// Appends a number in decimal digits.
pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    // As many as the largest one has.
    let mut digits = [b'0'; 20];
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
        count += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

/// True if a byte may be part of a token, such as a method or a field name (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// True if a text is the scheme of a URI (RFC 3986 §3.1).
pub(crate) fn is_scheme(text: &str) -> bool {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(lawful)
}

/// True if a byte may be part of a field value (RFC 9110 §5.5): not a control byte other than the tab.
pub(crate) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Replaces line breaks between JSON tokens, which would end a `data:` line or a message. Strings have none.
pub(crate) fn keep_on_one_line(json: &mut [u8]) {
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
}

/// True for a character that cannot be seen, or that changes how others are seen: control characters, C1 among them; separators of
/// lines and paragraphs; marks of writing direction, which show a line backwards (UAX #9); characters without width. These are
/// the ones that Unicode ignores by default (UAX #44), but for the variation selectors of emoji.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A text for a person, on one line: hidden characters are written as `\u{202e}`. All logs, error texts and what the shell's client
/// shows at a terminal go through here, so that no peer can mislead their reader.
pub(crate) fn without_hidden(text: &str) -> Cow<'_, str> {
    escape(text, is_hidden)
}

/// The same for a text of several lines.
#[cfg(feature = "cli")]
pub(crate) fn lines_without_hidden(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_hidden(c) && !matches!(c, '\n' | '\t'))
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    // The usual text is told by its bytes alone, which is many times faster.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_escaped(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The start of a peer's text in a sentence: at most [`SHOWN_MAX`] characters, on one line, without hidden characters.
pub(crate) fn printable(text: &str) -> String {
    // No text has more characters than bytes.
    let after = if text.len() > SHOWN_MAX { text.char_indices().nth(SHOWN_MAX) } else { None };
    match after {
        Some((end, _)) => format!("{}…", without_hidden(text.get(..end).unwrap_or_default())),
        None => without_hidden(text).into_owned(),
    }
}

/// The start of a client's name, which is kept as long as its session and is only shown.
pub(crate) fn cut(text: &str) -> &str {
    const BYTES_MAX: usize = 128;
    let end = text.len().min(BYTES_MAX);
    (0..=end).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// The name with the fewest edits from `wanted` to it, if at most a third of its letters differ.
#[cfg(feature = "cli")]
pub(crate) fn nearest<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|name| (edits(wanted, name), *name)).min_by_key(|(edits, _)| *edits);
    near.filter(|(edits, name)| edits * 3 <= name.len()).map(|(_, name)| name)
}

/// How many bytes have to be inserted, removed, replaced, or swapped with the next one to make `from` into `to`.
#[cfg(feature = "cli")]
fn edits(from: &str, to: &str) -> usize {
    // The edits that make the bytes of `from` so far into each beginning of `to`, and those of one byte before.
    let (mut row, mut before) = ((0..=to.len()).collect::<Vec<usize>>(), Vec::new());
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut last = None;
    // A word that is longer than any name is no misspelling of one.
    for (count, byte) in from.bytes().take(64).enumerate() {
        let mut next = vec![count + 1];
        let mut last_other = None;
        for (index, other) in to.bytes().enumerate() {
            let mut cost = (at(&row, index) + usize::from(byte != other))
                .min(at(&row, index + 1) + 1)
                .min(at(&next, index) + 1);
            if last == Some(other) && last_other == Some(byte) {
                cost = cost.min(at(&before, index.wrapping_sub(1)) + 1);
            }
            next.push(cost);
            last_other = Some(other);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(byte);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_digits() {
        for number in [0, 7, 10, 99, 100, 1_234_567_890, u64::MAX] {
            let mut out = b"n".to_vec();
            write_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("n{number}"));
        }
    }

    #[test]
    fn an_excerpt_is_short() {
        assert_eq!(printable("a\nb\u{7}é\u{9b}"), r"a\u{a}b\u{7}é\u{9b}");
        assert_eq!(printable(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(printable(&"é".repeat(81)), "é".repeat(80) + "…");
    }

    #[test]
    fn hidden_characters_are_escaped_and_others_are_not() {
        for hidden in [
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            let text = format!("user{hidden}name");
            let escaped = format!("user\\u{{{:x}}}name", hidden as u32);
            assert_eq!(without_hidden(&text), escaped);
            assert_eq!(printable(&text), escaped);
            #[cfg(feature = "cli")]
            assert_eq!(lines_without_hidden(&format!("{text}\n\t")), format!("{escaped}\n\t"));
        }
        for text in ["", "plain", "Ünïcödé עברית العربية 日本語 👍🏽 ❤\u{fe0f}"] {
            assert!(matches!(without_hidden(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(without_hidden("a\nb\tc"), r"a\u{a}b\u{9}c");
    }

    #[test]
    fn a_name_is_cut_by_bytes_between_characters() {
        let lengths =
            |character: &str| [0, 1, 42, 128, 129, 1000].map(|count| cut(&character.repeat(count)).len());
        assert_eq!(lengths("a"), [0, 1, 42, 128, 128, 128]);
        assert_eq!(lengths("€"), [0, 3, 126, 126, 126, 126]);
        assert_eq!(lengths("🦀"), [0, 4, 128, 128, 128, 128]);
        assert_eq!(cut(&format!("{}€x", "a".repeat(126))), "a".repeat(126));
    }
}
