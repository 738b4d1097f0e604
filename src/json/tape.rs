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

use crate::json::node::{Kind, Node};
use crate::json::value::JsonRef;
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

    fn index(&mut self, text: &str, depth_max: usize, values_max: usize) -> Result<(), Fault> {
        self.nodes.clear();
        self.nodes.shrink_to(Tape::KEPT_MAX);
        if u32::try_from(text.len()).is_err() {
            return Err(Fault::Long);
        }
        let (depth, values) = (depth_max, values_max);
        Reader { bytes: text.as_bytes(), at: 0, nodes: &mut self.nodes, depth, values }.text()
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

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    nodes: &'t mut Vec<Node>,
    /// Levels that may still be opened.
    depth: usize,
    /// Values that may still come.
    values: usize,
}

impl Reader<'_> {
    fn text(&mut self) -> Result<(), Fault> {
        // Where the innermost open array or object is, and which of the two.
        let (mut around, mut in_object) = (NOWHERE, false);
        loop {
            let start = self.at_token()?;
            self.values = self.values.checked_sub(1).ok_or_else(|| self.too_many(start))?;
            match start {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    self.depth = self.depth.checked_sub(1).ok_or(Fault::Deep)?;
                    let here = place(self.nodes.len());
                    in_object = start == b'{';
                    let kind = if in_object { Kind::Object } else { Kind::Array };
                    self.nodes.push(Node { start: place(self.at), end: around, size: 1, kind });
                    self.at += 1;
                    around = here;
                    let close = if in_object { b'}' } else { b']' };
                    if self.at_token()? != close {
                        if in_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word(b"true", Kind::Bool)?,
                b'f' => self.word(b"false", Kind::Bool)?,
                b'n' => self.word(b"null", Kind::Null)?,
                _ => return Err(Fault::Syntax),
            }
            // A value is complete: the next one follows, or what is around ends too.
            loop {
                if around == NOWHERE {
                    return self.end();
                }
                match (self.at_token()?, in_object) {
                    (b',', true) => {
                        self.at += 1;
                        self.name()?;
                        break;
                    }
                    (b',', false) => {
                        self.at += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        around = self.close(around);
                        in_object = self.nodes.get(around as usize).is_some_and(|n| n.kind == Kind::Object);
                    }
                    _ => return Err(Fault::Syntax),
                }
            }
        }
    }

    /// Of a value that is one too many: it may be too deep as well.
    #[cold]
    fn too_many(&self, start: u8) -> Fault {
        match start {
            b'{' | b'[' if self.depth == 0 => Fault::Deep,
            _ => Fault::Many,
        }
    }

    /// Ends an array or object, and returns the place of the one around it.
    fn close(&mut self, place_of_it: u32) -> u32 {
        let (end, nodes) = (place(self.at), place(self.nodes.len()));
        self.depth += 1;
        self.nodes.get_mut(place_of_it as usize).map_or(NOWHERE, |node| {
            node.size = nodes - place_of_it;
            std::mem::replace(&mut node.end, end)
        })
    }

    /// Skips blanks and returns the byte that begins the next token.
    fn at_token(&mut self) -> Result<u8, Fault> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Fault::Syntax),
            }
        }
    }

    /// Nothing but blanks may follow.
    fn end(&mut self) -> Result<(), Fault> {
        match self.at_token() {
            Ok(_) => Err(Fault::Syntax),
            Err(_) => Ok(()),
        }
    }

    /// The name of a member, with its colon.
    fn name(&mut self) -> Result<(), Fault> {
        if self.at_token()? != b'"' {
            return Err(Fault::Syntax);
        }
        self.string()?;
        if self.at_token()? != b':' {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    fn scalar(&mut self, start: usize, kind: Kind) {
        self.nodes.push(Node { start: place(start), end: place(self.at), size: 1, kind });
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), Fault> {
        let start = self.at;
        if !self.bytes.get(start..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(Fault::Syntax);
        }
        self.at += word.len();
        self.scalar(start, kind);
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let (start, mut kind) = (self.at, Kind::Str);
        self.at += 1;
        loop {
            self.skip_plain();
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    self.scalar(start, kind);
                    return Ok(());
                }
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// To the next quote, backslash or control character of a string.
    fn skip_plain(&mut self) {
        while let Some(eight) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let found = special(u64::from_le_bytes(*eight));
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while self.bytes.get(self.at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
            self.at += 1;
        }
    }

    /// A backslash and what belongs to it. Half of a surrogate pair is JSON too (RFC 8259, section 8.2).
    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at..).unwrap_or_default() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [_, b'u', digits @ ..] if is_hex(digits.get(..4)) => self.at += 6,
            _ => return Err(Fault::Syntax),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.skip(b"-");
        if !self.skip(b"0") {
            self.digits()?;
        }
        if self.skip(b".") {
            self.digits()?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            self.digits()?;
        }
        // A digit here follows a zero. Anything else that is wrong is no token.
        if self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            return Err(Fault::Syntax);
        }
        self.scalar(start, Kind::Number);
        Ok(())
    }

    /// Skips one of these bytes, if it comes next.
    fn skip(&mut self, any: &[u8]) -> bool {
        let is_there = self.bytes.get(self.at).is_some_and(|byte| any.contains(byte));
        self.at += usize::from(is_there);
        is_there
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { Err(Fault::Syntax) } else { Ok(()) }
    }
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
    let (words, rest) = text.as_chunks::<8>();
    let high = 0x8080_8080_8080_8080;
    words.iter().all(|word| {
        let word = u64::from_le_bytes(*word);
        (special(word) | word & high) == 0
    }) && rest.iter().all(|byte| matches!(byte, 0x20..=0x7F) && !matches!(byte, b'"' | b'\\'))
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
