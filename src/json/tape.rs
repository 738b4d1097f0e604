//! JSON text in: one pass that checks the grammar, counts, and leaves an index of the values.
//!
//! *Scope:* the grammar of RFC 8259 in bytes, nesting, the number of values, the index. *Not in scope:* what a value means
//! (that is `value`), UTF-8, which the text has been checked for already.
//!
//! ```text
//!   {"a":[1,2],"b":"c"}        node   0      1    2      3  4  5    6
//!    ▲                         text   {…}    "a"  [1,2]  1  2  "b"  "c"
//!    one pass, no recursion    size   7      1    3      1  1  1    1      nodes of the value with all that is inside
//! ```
//!
//! A name stands before its value. While an array or object is open, its node keeps the place of the one around it, so
//! no stack is needed. The texts that are accepted are those that `serde_json` reads as a `RawValue`.

use crate::json::value::{JsonBuf, JsonRef, Kind, Node};
use crate::limits::Limits;

/// Why a text has no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is nested deeper than `json_depth_max`.
    Deep,
    /// It has more values than `json_values_max`.
    Many,
    /// It has more bytes than an index can point into.
    Long,
    /// It is not JSON.
    Syntax,
}

/// The memory for reading JSON: an index of the values of one text. Used again, it allocates nothing.
///
/// ```
/// use mcp_rill::json::Tape;
/// let mut tape = Tape::new();
/// let point = tape.read(r#"{"x": [1, 2], "label": "caf\u00e9"}"#)?;
/// assert_eq!(point.get("x").map(|x| x.text()), Some("[1, 2]"));
/// assert_eq!(point.get("label").and_then(|label| label.as_str()).as_deref(), Some("café"));
/// assert!(tape.read("[1, 2").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
}

impl Tape {
    /// What is kept from one text to the next; the index of a greater one is given back.
    const KEPT_MAX: usize = 1024;

    /// Nothing is allocated before something is read.
    pub const fn new() -> Tape {
        Tape { nodes: Vec::new() }
    }

    /// Reads a text of any depth and size: for texts of your own.
    ///
    /// # Errors
    /// What `serde_json` says of a text that is not JSON.
    pub fn read<'a>(&'a mut self, text: &'a str) -> Result<JsonRef<'a>, serde_json::Error> {
        match self.index(text, usize::MAX, usize::MAX) {
            Ok(()) => Ok(JsonRef::new(text, &self.nodes)),
            Err(_) => Err(serde_error(text)),
        }
    }

    /// Reads a text of a peer.
    pub(crate) fn read_within<'a>(
        &'a mut self,
        text: &'a str,
        limits: &Limits,
    ) -> Result<JsonRef<'a>, Fault> {
        self.index(text, limits.json_depth_max, limits.json_values_max)?;
        Ok(JsonRef::new(text, &self.nodes))
    }

    /// Returns its memory for the next text. The index of a long one is given back now, and not only when that comes.
    pub(crate) fn emptied(mut self) -> Tape {
        self.nodes.clear();
        self.nodes.shrink_to(Tape::KEPT_MAX);
        self
    }

    fn index(&mut self, text: &str, depth_max: usize, values_max: usize) -> Result<(), Fault> {
        self.nodes.clear();
        self.nodes.shrink_to(Tape::KEPT_MAX);
        match u32::try_from(text.len()) {
            Ok(_) => index(&mut self.nodes, text.as_bytes(), depth_max, values_max),
            Err(_) => Err(Fault::Long),
        }
    }
}

impl TryFrom<&str> for JsonBuf {
    type Error = serde_json::Error;

    /// As [`Tape::read`].
    fn try_from(text: &str) -> Result<JsonBuf, serde_json::Error> {
        Tape::new().read(text).map(JsonBuf::from)
    }
}

/// What is wrong with a text.
#[cold]
fn serde_error(text: &str) -> serde_json::Error {
    let read: Result<&serde_json::value::RawValue, _> = serde_json::from_str(text);
    read.err().unwrap_or_else(|| serde_core::de::Error::custom("the text is too long"))
}

/// The place of the array or object around the outermost value.
const NOWHERE: u32 = u32::MAX;

/// The one pass. `depth` levels may be opened at a time, and `values` values may come.
fn index(nodes: &mut Vec<Node>, bytes: &[u8], mut depth: usize, mut values: usize) -> Result<(), Fault> {
    let mut at = 0;
    // Where the innermost open array or object is, and which of the two.
    let (mut around, mut in_object) = (NOWHERE, false);
    loop {
        let first = token(bytes, &mut at)?;
        let start = place(at);
        if matches!(first, b'{' | b'[') {
            depth = depth.checked_sub(1).ok_or(Fault::Deep)?;
            values = values.checked_sub(1).ok_or(Fault::Many)?;
            in_object = first == b'{';
            let kind = if in_object { Kind::Object } else { Kind::Array };
            let here = place(nodes.len());
            nodes.push(Node { start, end: around, size: 1, kind });
            around = here;
            at += 1;
            if token(bytes, &mut at)? != if in_object { b'}' } else { b']' } {
                if in_object {
                    name(nodes, bytes, &mut at)?;
                }
                continue;
            }
        } else {
            values = values.checked_sub(1).ok_or(Fault::Many)?;
            let kind = scalar(bytes, &mut at, first)?;
            nodes.push(Node { start, end: place(at), size: 1, kind });
        }
        // A value is complete: the next one follows, or what is around it ends too.
        loop {
            if around == NOWHERE {
                return end(bytes, at);
            }
            match (token(bytes, &mut at)?, in_object) {
                (b',', _) => break,
                (b'}', true) | (b']', false) => {
                    at += 1;
                    depth += 1;
                    let nodes_now = place(nodes.len());
                    let Some(node) = nodes.get_mut(around as usize) else { return Err(Fault::Syntax) };
                    node.size = nodes_now - around;
                    around = std::mem::replace(&mut node.end, place(at));
                    in_object = nodes.get(around as usize).is_some_and(|node| node.kind == Kind::Object);
                }
                _ => return Err(Fault::Syntax),
            }
        }
        at += 1;
        if in_object {
            name(nodes, bytes, &mut at)?;
        }
    }
}

/// Skips blanks and returns the byte that begins the next token.
#[inline(always)]
fn token(bytes: &[u8], at: &mut usize) -> Result<u8, Fault> {
    match bytes.get(*at) {
        Some(byte) if *byte > b' ' => Ok(*byte),
        _ => {
            *at = after_blanks(bytes, *at);
            bytes.get(*at).copied().ok_or(Fault::Syntax)
        }
    }
}

fn after_blanks(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let blanks = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
    at + blanks.unwrap_or(rest.len())
}

/// Nothing but blanks may follow.
fn end(bytes: &[u8], at: usize) -> Result<(), Fault> {
    if after_blanks(bytes, at) == bytes.len() { Ok(()) } else { Err(Fault::Syntax) }
}

/// The name of a member, with its colon.
#[inline(always)]
fn name(nodes: &mut Vec<Node>, bytes: &[u8], at: &mut usize) -> Result<(), Fault> {
    if token(bytes, at)? != b'"' {
        return Err(Fault::Syntax);
    }
    let start = place(*at);
    let kind = string(bytes, at)?;
    nodes.push(Node { start, end: place(*at), size: 1, kind });
    if token(bytes, at)? != b':' {
        return Err(Fault::Syntax);
    }
    *at += 1;
    Ok(())
}

#[inline(always)]
fn scalar(bytes: &[u8], at: &mut usize, first: u8) -> Result<Kind, Fault> {
    match first {
        b'"' => string(bytes, at),
        b'-' | b'0'..=b'9' => number(bytes, at),
        b't' => word(bytes, at, b"true", Kind::Bool),
        b'f' => word(bytes, at, b"false", Kind::Bool),
        b'n' => word(bytes, at, b"null", Kind::Null),
        _ => Err(Fault::Syntax),
    }
}

#[inline(always)]
fn word(bytes: &[u8], at: &mut usize, word: &[u8], kind: Kind) -> Result<Kind, Fault> {
    let is_it = bytes.get(*at..).is_some_and(|rest| rest.starts_with(word));
    *at += word.len();
    if is_it { Ok(kind) } else { Err(Fault::Syntax) }
}

#[inline(always)]
fn string(bytes: &[u8], at: &mut usize) -> Result<Kind, Fault> {
    *at = after_plain(bytes, *at + 1);
    if bytes.get(*at) == Some(&b'"') {
        *at += 1;
        return Ok(Kind::Str);
    }
    *at = after_escaped(bytes, *at)?;
    Ok(Kind::Escaped)
}

/// The place behind a string, from its first byte on that is not plain.
// A place that is passed by reference to a function that is not inlined stays in memory everywhere.
fn after_escaped(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        // Half of a surrogate pair is JSON too (RFC 8259, section 8.2).
        match bytes.get(at..).unwrap_or_default() {
            [b'"', ..] => return Ok(at + 1),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => at += 2,
            [b'\\', b'u', digits @ ..] if is_hex(digits.get(..4)) => at += 6,
            _ => return Err(Fault::Syntax),
        }
        at = after_plain(bytes, at);
    }
}

/// The place of the next quote, backslash or control character of a string.
#[inline(always)]
fn after_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = special(u64::from_le_bytes(*eight));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
        at += 1;
    }
    at
}

#[inline(always)]
fn number(bytes: &[u8], at: &mut usize) -> Result<Kind, Fault> {
    skip(bytes, at, b"-");
    if !skip(bytes, at, b"0") {
        *at = after_digits(bytes, *at)?;
    }
    match bytes.get(*at) {
        Some(b'.' | b'e' | b'E') => *at = after_fraction(bytes, *at)?,
        // A digit here follows a zero. Anything else that is wrong is no token.
        Some(b'0'..=b'9') => return Err(Fault::Syntax),
        _ => {}
    }
    Ok(Kind::Number)
}

fn after_fraction(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    if skip(bytes, &mut at, b".") {
        at = after_digits(bytes, at)?;
    }
    if skip(bytes, &mut at, b"eE") {
        skip(bytes, &mut at, b"+-");
        at = after_digits(bytes, at)?;
    }
    Ok(at)
}

/// Skips one of these bytes, if it comes next.
#[inline(always)]
fn skip(bytes: &[u8], at: &mut usize, any: &[u8]) -> bool {
    let is_there = bytes.get(*at).is_some_and(|byte| any.contains(byte));
    *at += usize::from(is_there);
    is_there
}

/// The place behind digits, of which there is at least one.
#[inline(always)]
fn after_digits(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start { Err(Fault::Syntax) } else { Ok(at) }
}

fn is_hex(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// A place in the text or the index: neither has more than 32 bits, since a node has at least one byte of the text.
#[expect(clippy::cast_possible_truncation, reason = "`index` has checked the length of the text")]
const fn place(at: usize) -> u32 {
    at as u32
}

/// True for ASCII without quotes, backslashes and control characters.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    let are = |eight: u64| (special(eight) | eight & 0x8080_8080_8080_8080) == 0;
    let eight_are = |eight: [u8; 8]| are(u64::from_le_bytes(eight));
    let four_are = |four: [u8; 4]| are(u64::from(u32::from_le_bytes(four)) | 0x5F5F_5F5F_0000_0000);
    // The last words overlap those before.
    match (text.last_chunk::<8>(), text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(last), ..) => eight_are(*last) && text.as_chunks::<8>().0.iter().copied().all(eight_are),
        (None, Some(first), Some(last)) => four_are(*first) && four_are(*last),
        _ => text.iter().all(|byte| matches!(byte, 0x20..=0x7F) && !matches!(byte, b'"' | b'\\')),
    }
}

/// The high bit of each byte that a string cannot hold as it is: `"`, `\` and control characters. Beyond the first of them
/// it may be wrong.
const fn special(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Of the bytes below 0x80 only 0x22 and those below 0x20 are less than 0x21 with this bit turned.
    let quote_or_control = (eight ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (eight ^ (ONES * 0x5C)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !eight & (ONES * 0x80)
}

#[cfg(test)]
mod tests {
    use super::Tape;

    #[test]
    fn the_index_of_a_long_text_is_given_back() {
        let kept = |values: usize| {
            let mut tape = Tape::new();
            tape.read(&format!("[{}]", vec!["1"; values - 1].join(","))).unwrap();
            (tape.nodes.capacity(), tape.emptied().nodes.capacity())
        };
        assert_eq!(kept(Tape::KEPT_MAX), (Tape::KEPT_MAX, Tape::KEPT_MAX));
        assert_eq!(kept(Tape::KEPT_MAX + 1), (2 * Tape::KEPT_MAX, Tape::KEPT_MAX));
    }
}
