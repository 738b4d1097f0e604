//! JSON values, borrowed from their text and its index.
//!
//! *Scope:* strings, elements and members of a value, and the rules for names. *Not in scope:* the grammar (that is `tape`),
//! numbers, whose text [`JsonRef::text`] returns.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde_json::value::RawValue;

use crate::text::error_text;

/// One value, or the name of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where its text begins.
    pub(crate) start: u32,
    /// Where its text ends.
    pub(crate) end: u32,
    /// How many nodes it has: itself, and what is inside.
    pub(crate) size: u32,
    pub(crate) kind: Kind,
}

impl Node {
    /// How long its text is.
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// What a value is, told by its first byte, and of strings whether they have escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Str,
    Escaped,
    Array,
    Object,
}

/// One JSON value, borrowed from a text that a [`Tape`](crate::json::Tape) has read: its text is known to be JSON, and what
/// is inside is found without reading it again.
///
/// ```
/// use mcp_rill::json::{JsonRef, Tape};
/// let mut tape = Tape::new();
/// let list = tape.read(r#"[{"a": 1.50}, "b\n", null]"#)?;
/// let items: Vec<JsonRef> = list.items().into_iter().flatten().collect();
/// assert_eq!(items[0].get("a").map(|a| a.text()), Some("1.50"));
/// assert_eq!(items[1].as_str().as_deref(), Some("b\n"));
/// assert_eq!((items[1].text(), items[2].is_null()), (r#""b\n""#, true));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct JsonRef<'a> {
    /// What the index points into.
    whole: &'a str,
    /// The value's own node, and those of what is inside.
    nodes: &'a [Node],
}

impl<'a> JsonRef<'a> {
    /// The value `null`.
    pub const NULL: JsonRef<'static> =
        JsonRef { whole: "null", nodes: &[Node { start: 0, end: 4, size: 1, kind: Kind::Null }] };

    pub(crate) const fn new(whole: &'a str, nodes: &'a [Node]) -> JsonRef<'a> {
        JsonRef { whole, nodes }
    }

    /// The value as it is written in the text, without blanks around it.
    pub fn text(self) -> &'a str {
        self.nodes.first().map_or("null", |node| text_of(self.whole, node))
    }

    /// Where the value begins in the text that was read, in bytes.
    pub(crate) fn start(self) -> usize {
        self.nodes.first().map_or(0, |node| node.start as usize)
    }

    fn kind(self) -> Kind {
        self.nodes.first().map_or(Kind::Null, |node| node.kind)
    }

    /// True if it is null.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// True if it is `true` or `false`.
    pub fn is_bool(self) -> bool {
        self.kind() == Kind::Bool
    }

    /// True if it is a string.
    pub fn is_str(self) -> bool {
        matches!(self.kind(), Kind::Str | Kind::Escaped)
    }

    /// True if it is a number.
    pub fn is_number(self) -> bool {
        self.kind() == Kind::Number
    }

    /// True if it is an array.
    pub fn is_array(self) -> bool {
        self.kind() == Kind::Array
    }

    /// True if it is an object.
    pub fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    /// The text of a string with its escapes resolved, borrowed if it has none; `None` for any other value.
    ///
    /// Also `None` for a string that no text can hold: one with half of a surrogate pair (RFC 8259, section 8.2).
    ///
    /// ```
    /// use mcp_rill::json::Tape;
    /// let mut tape = Tape::new();
    /// assert_eq!(tape.read(r#""caf\u00e9""#)?.as_str().as_deref(), Some("café"));
    /// assert_eq!(tape.read(r#""\ud83d""#)?.as_str(), None);
    /// assert_eq!(tape.read("1")?.as_str(), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        string_of(self.whole, self.nodes.first()?)
    }

    /// The elements of an array; `None` for any other value.
    pub fn items(self) -> Option<Items<'a>> {
        self.is_array().then(|| Items { whole: self.whole, nodes: self.inside() })
    }

    /// A member of an object; `None` if there is none, if it is null, and for any other value. Of several the first:
    /// [`Members::of`] and [`member`](JsonRef::member) refuse them.
    pub fn get(self, name: &str) -> Option<JsonRef<'a>> {
        self.find(name).filter(|value| !value.is_null())
    }

    /// As [`get`](JsonRef::get), but a member that is null is there.
    pub(crate) fn find(self, name: &str) -> Option<JsonRef<'a>> {
        self.pairs().find(|pair| pair.is(name)).map(|pair| pair.value)
    }

    /// The value at the end of a path of names; `None` as for [`get`](JsonRef::get).
    ///
    /// ```
    /// # let mut tape = mcp_rill::json::Tape::new();
    /// let message = tape.read(r#"{"params": {"requestId": 7}}"#)?;
    /// assert_eq!(message.at(&["params", "requestId"]).map(|id| id.text()), Some("7"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn at(self, path: &[&str]) -> Option<JsonRef<'a>> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// The text with other JSON in the place of the value at the end of a path of names. The rest stays byte for byte as it is,
    /// and so does all of it if there is no such value. Nothing checks that `json` is JSON.
    ///
    /// ```
    /// # let mut tape = mcp_rill::json::Tape::new();
    /// let params = tape.read(r#"{"a": 1.50, "_meta": {"progressToken": 7}}"#)?;
    /// let params = params.replaced(&["_meta", "progressToken"], "\"x\"");
    /// assert_eq!(params, r#"{"a": 1.50, "_meta": {"progressToken": "x"}}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn replaced(self, path: &[&str], json: &str) -> Cow<'a, str> {
        let text = self.text();
        let Some(old) = self.at(path) else { return text.into() };
        let start = old.start() - self.start();
        let (before, rest) = text.split_at_checked(start).unwrap_or_default();
        [before, json, rest.get(old.text().len()..).unwrap_or_default()].concat().into()
    }

    /// A member of an object by name: for a single look where [`Members`] would be too much. `None` if there is none or it is
    /// null, as for [`Members::get`].
    ///
    /// ```
    /// # let mut tape = mcp_rill::json::Tape::new();
    /// let params = tape.read(r#"{"_meta": {"progressToken": 7}}"#)?;
    /// assert_eq!(params.member("_meta")?.map(|meta| meta.text()), Some(r#"{"progressToken": 7}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Members::of`], but of the duplicates only those of this name are noticed.
    pub fn member(self, name: &str) -> Result<Option<JsonRef<'a>>, NotMembers> {
        if !self.is_object() {
            return Err(NotMembers::other());
        }
        let (mut found, mut again) = (None, false);
        for pair in self.pairs() {
            if pair.is_half() {
                return Err(NotMembers::half());
            }
            if pair.is(name) {
                again |= found.replace(pair.value).is_some();
            }
        }
        match again {
            true => Err(NotMembers::twice(name)),
            false => Ok(found.filter(|value| !value.is_null())),
        }
    }

    /// The value on its own, as serde_json keeps one.
    pub(crate) fn to_raw(self) -> Box<RawValue> {
        // The text is JSON, so this does not fail.
        RawValue::from_string(self.text().to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    /// Names and values in the order of the text, none for a value that is no object.
    pub(crate) fn pairs(self) -> Pairs<'a> {
        let nodes = if self.is_object() { self.inside() } else { &[] };
        Pairs { whole: self.whole, nodes }
    }

    fn inside(self) -> &'a [Node] {
        self.nodes.get(1..).unwrap_or_default()
    }
}

/// The text.
impl fmt::Debug for JsonRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

fn text_of<'a>(whole: &'a str, node: &Node) -> &'a str {
    whole.get(node.start as usize..node.end as usize).unwrap_or("null")
}

fn string_of<'a>(whole: &'a str, node: &Node) -> Option<Cow<'a, str>> {
    match node.kind {
        // Without the quotes.
        Kind::Str => whole.get(node.start as usize + 1..node.end as usize - 1).map(Cow::Borrowed),
        Kind::Escaped => serde_json::from_str(text_of(whole, node)).ok().map(Cow::Owned),
        _ => None,
    }
}

/// The elements of an array.
#[derive(Clone, Debug, Default)]
pub struct Items<'a> {
    whole: &'a str,
    nodes: &'a [Node],
}

impl<'a> Iterator for Items<'a> {
    type Item = JsonRef<'a>;

    fn next(&mut self) -> Option<JsonRef<'a>> {
        let (nodes, rest) = self.nodes.split_at_checked(self.nodes.first()?.size as usize)?;
        self.nodes = rest;
        Some(JsonRef { whole: self.whole, nodes })
    }
}

/// One member of an object.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    name: &'a Node,
    pub(crate) value: JsonRef<'a>,
}

impl<'a> Pair<'a> {
    /// Where the name begins in the text that was read, in bytes.
    #[cfg(feature = "cli")]
    pub(crate) fn start(&self) -> usize {
        self.name.start as usize
    }

    /// `None` for a name with half of a surrogate pair.
    pub(crate) fn name(&self) -> Option<Cow<'a, str>> {
        string_of(self.value.whole, self.name)
    }

    /// The bytes of a name without escapes; `None` for one that has some.
    pub(crate) fn plain_name(&self) -> Option<&'a [u8]> {
        let inside = self.name.start as usize + 1..self.name.end as usize - 1;
        self.value.whole.as_bytes().get(inside).filter(|_| self.name.kind == Kind::Str)
    }

    /// True if this is its name.
    #[inline(always)]
    pub(crate) fn is(&self, name: &str) -> bool {
        match self.name.kind {
            // Most names differ in their length already.
            Kind::Str => self.name.len() == name.len() + 2 && self.plain_name() == Some(name.as_bytes()),
            _ => self.is_escaped(name),
        }
    }

    fn is_escaped(&self, name: &str) -> bool {
        self.name().is_some_and(|own| own == name)
    }

    fn has_name_of(&self, other: &Pair<'_>) -> bool {
        match (self.name.kind, other.name.kind) {
            (Kind::Str, Kind::Str) => {
                self.name.len() == other.name.len() && self.plain_name() == other.plain_name()
            }
            _ => self.name() == other.name(),
        }
    }

    fn has_escapes(&self) -> bool {
        self.name.kind == Kind::Escaped
    }

    /// True if its name has half of a surrogate pair.
    fn is_half(&self) -> bool {
        self.has_escapes() && self.name().is_none()
    }
}

/// The members of any object, duplicates included.
#[derive(Clone)]
pub(crate) struct Pairs<'a> {
    whole: &'a str,
    nodes: &'a [Node],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let (name, rest) = self.nodes.split_first()?;
        let (nodes, rest) = rest.split_at_checked(rest.first()?.size as usize)?;
        self.nodes = rest;
        Some(Pair { name, value: JsonRef { whole: self.whole, nodes } })
    }
}

/// The members of one object, in the order of the text: no two of one name.
///
/// ```
/// use mcp_rill::json::{Members, Tape};
/// let mut tape = Tape::new();
/// let params = Members::of(tape.read(r#"{ "name": "add", "arguments": {"a": 1} }"#)?)?;
/// assert_eq!(params.get("arguments").unwrap().text(), r#"{"a": 1}"#);
/// assert_eq!(params.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["name", "arguments"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    object: JsonRef<'a>,
}

/// No members.
impl Default for Members<'_> {
    fn default() -> Self {
        Members { object: JsonRef::NULL }
    }
}

/// Above this many members names are compared by hash, so that work stays linear.
const COMPARED_MAX: usize = 32;

impl<'a> Members<'a> {
    /// Checks the names of an object.
    ///
    /// # Errors
    /// For any other value, for a name that occurs twice (after escapes are resolved: two readers might choose differently,
    /// RFC 8259, section 4), and for a name with half of a surrogate pair.
    pub fn of(object: JsonRef<'a>) -> Result<Members<'a>, NotMembers> {
        if !object.is_object() {
            return Err(NotMembers::other());
        }
        let (all, mut count) = (object.pairs(), 0);
        // A bit for each length of a name so far. Names of other lengths differ, unless one of them has escapes.
        let mut lengths = 0_u64;
        for pair in all.clone() {
            let length = if pair.has_escapes() { u64::MAX } else { 1 << (pair.name.len() % 64) };
            let again = lengths & length != 0
                && count < COMPARED_MAX
                && all.clone().take(count).any(|before| before.has_name_of(&pair));
            if again || pair.is_half() {
                return Err(NotMembers::names(all));
            }
            lengths |= length;
            count += 1;
        }
        match count > COMPARED_MAX && twice(all.clone()).is_some() {
            true => Err(NotMembers::names(all)),
            false => Ok(Members { object }),
        }
    }

    /// As [`of`](Members::of), where the object is itself a member: the error begins with its name.
    pub(crate) fn of_member(object: JsonRef<'a>, name: impl fmt::Display) -> Result<Members<'a>, NotMembers> {
        if !object.is_object() {
            return Err(NotMembers(format!("`{name}` must be an object")));
        }
        Members::of(object).map_err(|fault| NotMembers(format!("`{name}`: {fault}")))
    }

    /// The value of one member; `None` if there is none or it is null, which in MCP means the same.
    pub fn get(&self, name: &str) -> Option<JsonRef<'a>> {
        self.object.get(name)
    }

    /// Several members, each as [`get`](Members::get) returns it, found in one pass.
    #[inline]
    pub(crate) fn pick<const N: usize>(&self, names: [&str; N]) -> [Option<JsonRef<'a>>; N] {
        let mut found = [None; N];
        for pair in self.object.pairs() {
            if let Some((place, _)) = found.iter_mut().zip(names).find(|(_, name)| pair.is(name)) {
                *place = Some(pair.value).filter(|value| !value.is_null());
            }
        }
        found
    }

    /// The text of a member that is a string, as [`JsonRef::as_str`] returns it.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.as_str()
    }

    /// Names and values in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, JsonRef<'a>)> + use<'a> {
        // Every name has been checked to be text.
        self.object.pairs().map(|pair| (pair.name().unwrap_or_default(), pair.value))
    }
}

/// The first whose name was there before.
fn twice(mut pairs: Pairs<'_>) -> Option<Pair<'_>> {
    let mut seen = HashSet::new();
    pairs.find(|pair| !seen.insert(pair.name()))
}

/// Why a value has no [`Members`]: a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMembers(String);

impl NotMembers {
    #[cold]
    fn other() -> NotMembers {
        NotMembers("expected an object".to_owned())
    }

    #[cold]
    fn half() -> NotMembers {
        NotMembers("the name of a member has half of a surrogate pair".to_owned())
    }

    /// What is wrong with the names of an object.
    #[cold]
    fn names(pairs: Pairs<'_>) -> NotMembers {
        match pairs.clone().any(|pair| pair.is_half()) {
            true => NotMembers::half(),
            false => NotMembers::twice(&twice(pairs).and_then(|pair| pair.name()).unwrap_or_default()),
        }
    }

    /// A name can be as long as a body; the message shows its beginning.
    #[cold]
    fn twice(name: &str) -> NotMembers {
        NotMembers(format!("member `{name:.64}` occurs twice"))
    }
}

error_text!(NotMembers: |problem| "{}", problem.0);

/// A JSON value that owns its text and index.
#[derive(Clone, Debug)]
pub(crate) struct JsonBuf {
    text: Box<str>,
    nodes: Box<[Node]>,
}

impl JsonBuf {
    pub(crate) fn as_ref(&self) -> JsonRef<'_> {
        JsonRef { whole: &self.text, nodes: &self.nodes }
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.nodes)
    }
}

/// A JSON value that is borrowed while its text is at hand, and owned when it outlives that.
#[derive(Clone, Debug)]
pub(crate) enum JsonCow<'a> {
    Borrowed(JsonRef<'a>),
    Owned(JsonBuf),
}

impl JsonCow<'_> {
    pub(crate) fn as_ref(&self) -> JsonRef<'_> {
        match self {
            JsonCow::Borrowed(value) => *value,
            JsonCow::Owned(value) => value.as_ref(),
        }
    }

    pub(crate) fn into_owned(self) -> JsonCow<'static> {
        match self {
            JsonCow::Borrowed(value) => JsonCow::Owned(value.into()),
            JsonCow::Owned(value) => JsonCow::Owned(value),
        }
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            JsonCow::Borrowed(_) => 0,
            JsonCow::Owned(value) => value.bytes(),
        }
    }
}

impl From<JsonRef<'_>> for JsonBuf {
    fn from(value: JsonRef<'_>) -> JsonBuf {
        let start = value.nodes.first().map_or(0, |node| node.start);
        let moved = |node: &Node| Node { start: node.start - start, end: node.end - start, ..*node };
        JsonBuf { text: value.text().into(), nodes: value.nodes.iter().map(moved).collect() }
    }
}
