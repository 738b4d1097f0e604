//! Excerpts of a peer's text for error messages and logs: cut, on one line, without control characters.
//!
//! *Scope:* excerpts for error messages and logs, and which bytes are allowed where (RFC 9110 §5.6.2, §5.5).
//! *Not in scope:* the sentences themselves.

use std::borrow::Cow;

/// At most so many bytes or characters of a peer's value are repeated to it: enough to recognise it, too few to be abused.
const SHOWN_MAX: usize = 80;

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

/// Replaces line breaks between JSON tokens, which would end a `data:` line. Strings have none.
pub(crate) fn keep_on_one_line(json: &mut [u8]) {
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
}

/// The start of a peer's text in a sentence: at most [`SHOWN_MAX`] characters.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// The start of a peer's text in a sentence that is not JSON, which would escape it: on one line, and without control
/// characters.
pub(crate) fn printable(text: &str) -> String {
    shorten(text).replace(char::is_control, "?")
}

/// The start of a client's name, which is kept as long as its session and is only shown.
pub(crate) fn cut(text: &str) -> &str {
    const BYTES_MAX: usize = 128;
    let end = text.len().min(BYTES_MAX);
    (0..=end).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
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
        assert_eq!(printable("a\nb\u{7}é\u{9b}"), "a?b?é?");
        assert_eq!(shorten(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(shorten(&"é".repeat(81)), "é".repeat(80) + "…");
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
