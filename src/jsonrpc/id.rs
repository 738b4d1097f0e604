//! Ids of requests: integers and strings, nothing else.

use std::borrow::Cow;
use std::fmt;

use crate::json::value::JsonRef;
use crate::json::{put, write_str};

/// A request's id, kept longer than its message.
///
/// ```
/// use mcp_rill::jsonrpc::{Id, IdRef};
/// let id = Id::from("a");
/// assert_eq!(id, IdRef::Str("a".into()));
/// assert_ne!(Id::Int(1), Id::from("1"));
/// ```
pub type Id = IdRef<'static>;

/// A request's id: an integer or a string (MCP basic, "Requests": never null), which stay different: `1` is not `"1"`.
///
/// Reading an integer or an id without escapes allocates nothing. `&Id` and `&IdRef` both convert into it, which is
/// what the writers below take.
///
/// ```
/// use mcp_rill::jsonrpc::{Id, IdRef};
/// let mut out = Vec::new();
/// IdRef::Str("a".into()).write(&mut out);
/// assert_eq!((&out[..], IdRef::Int(1).into_owned()), (&b"\"a\""[..], Id::Int(1)));
/// assert_eq!(Id::from("a").to_string(), "\"a\"");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdRef<'a> {
    /// An integer that fits 64 bits.
    Int(i64),
    /// A string, without its escapes.
    Str(Cow<'a, str>),
}

impl<'a> IdRef<'a> {
    /// Reads an id, also where it stands elsewhere: a progress token, the `requestId` of a cancellation.
    ///
    /// `None` for any other value: a number with a fraction or exponent, one beyond 64 bits, null, an object.
    ///
    /// ```
    /// use mcp_rill::{json::Tape, jsonrpc::IdRef};
    /// let mut tape = Tape::new();
    /// assert_eq!(IdRef::read(tape.read("-7")?), Some(IdRef::Int(-7)));
    /// assert_eq!(IdRef::read(tape.read("1.0")?), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn read(value: JsonRef<'a>) -> Option<IdRef<'a>> {
        match value.is_number() {
            true => value.text().parse().ok().map(IdRef::Int),
            false => value.as_str().map(IdRef::Str),
        }
    }

    /// Returns the integer that a peer gives back, also one that keeps ids as text: `"7"` stands for 7. For answers to
    /// requests whose ids were integers.
    ///
    /// ```
    /// use mcp_rill::jsonrpc::IdRef;
    /// assert_eq!((IdRef::Int(7).as_int(), IdRef::Str("7".into()).as_int()), (Some(7), Some(7)));
    /// assert_eq!(IdRef::Str("07".into()).as_int(), None);
    /// ```
    pub fn as_int(&self) -> Option<i64> {
        match self {
            IdRef::Int(number) => Some(*number),
            IdRef::Str(text) => text.parse().ok().filter(|number: &i64| number.to_string() == **text),
        }
    }

    /// The id on its own, to keep it longer than the message.
    pub fn into_owned(self) -> Id {
        match self {
            IdRef::Int(number) => Id::Int(number),
            // A box has no spare capacity: the bytes of kept ids are counted by the length of the text.
            IdRef::Str(text) => Id::Str(Cow::Owned(Box::<str>::from(text).into())),
        }
    }

    /// Appends the id as JSON, in its own type.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            IdRef::Int(number) => put(out, number),
            IdRef::Str(text) => write_str(out, text),
        }
    }
}

/// The id as JSON.
impl fmt::Display for IdRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl<'a> From<&'a IdRef<'_>> for IdRef<'a> {
    fn from(id: &'a IdRef<'_>) -> IdRef<'a> {
        match id {
            IdRef::Int(number) => IdRef::Int(*number),
            IdRef::Str(text) => IdRef::Str(Cow::Borrowed(text)),
        }
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Id {
        Id::Int(number)
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Id {
        Id::Str(Cow::Owned(text.to_owned()))
    }
}
