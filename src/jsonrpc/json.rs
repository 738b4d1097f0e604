//! JSON text: bounded before it is read, borrowed while it is read, one line and in order when it is written.

use std::borrow::Cow;
use std::collections::HashSet;
use std::{fmt, mem};

use memchr::{memchr, memchr2};
use serde_core::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{put, put_raw};
use crate::jsonrpc::Error;
use crate::limits::Limits;

/// What may stand before a JSON text and is no part of it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Bounds a JSON text before anything parses it, in one pass and without allocating; returns it as a `str`, without the
/// byte order mark that may stand before it (RFC 8259, section 8.1).
///
/// Counted are nesting (`json_depth_max`) and values: every scalar, array and object, but not members' names
/// (`json_values_max`). Nothing inside a string counts. This is no validation beyond UTF-8: a text that is not JSON
/// may pass, and the parser refuses it.
///
/// # Errors
/// −32700 for bytes that are not UTF-8 (RFC 8259, section 8.1), and for a text over a limit; the message names it.
///
/// ```
/// use mcp_rill::{Limits, jsonrpc};
/// let limits = Limits { json_depth_max: 2, ..Limits::DEFAULT };
/// assert_eq!(jsonrpc::scan(br#"[["[[["]]"#, &limits)?, r#"[["[[["]]"#);
/// let error = jsonrpc::scan(b"[[[]]]", &limits).unwrap_err();
/// assert_eq!(error.message, "Parse error: nested deeper than json_depth_max (2)");
/// # Ok::<(), jsonrpc::Error>(())
/// ```
pub fn scan<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, Error> {
    let text = decode(bytes)?;
    bound(text, limits).map(|()| text)
}

/// The text without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, Error> {
    str::from_utf8(unmarked(bytes)).map_err(Error::parse_error)
}

pub(super) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The part of [`scan`] that counts.
pub(super) fn bound(text: &str, limits: &Limits) -> Result<(), Error> {
    let (mut depth, mut values) = (0_usize, 0_usize);
    let mut may_be_name = false;
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b':' => {
                // The string before was a name. Only one each: colons alone must not hide values.
                values -= usize::from(mem::take(&mut may_be_name));
                continue;
            }
            b',' => {
                may_be_name = false;
                continue;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                may_be_name = false;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'"' => rest = after_string(tail),
            _ => rest = after_scalar(tail),
        }
        may_be_name = *byte == b'"';
        values += 1;
        if depth > limits.json_depth_max || values > limits.json_values_max {
            return Err(over(depth, limits));
        }
    }
    Ok(())
}

/// The text of a JSON string with its escapes resolved, borrowed where there are none; `None` for any other value.
///
/// Also `None` for a string that no text can hold: one with half of a surrogate pair (RFC 8259, section 8.2).
///
/// ```
/// use mcp_rill::jsonrpc::string;
/// let raw = serde_json::from_str(r#""caf\u00e9""#)?;
/// assert_eq!(string(raw).as_deref(), Some("café"));
/// assert_eq!(string(serde_json::from_str("1")?), None);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    match memchr(b'\\', quoted.as_bytes()) {
        None => Some(Cow::Borrowed(quoted)),
        Some(_) => serde_json::from_str(raw.get()).ok().map(|Text(text)| text),
    }
}

/// The members of one object, in the order of the text, their values borrowed and not yet parsed.
///
/// ```
/// use mcp_rill::jsonrpc::Members;
/// let params = Members::of(serde_json::from_str(r#"{ "name": "add", "arguments": {"a": 1} }"#)?)?;
/// assert_eq!(params.get("arguments").unwrap().get(), r#"{"a": 1}"#);
/// assert_eq!(params.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["name", "arguments"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Members<'a> {
    list: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Above this many members names are compared by hash, so that work stays linear.
const COMPARED_MAX: usize = 32;

impl<'a> Members<'a> {
    /// Reads an object's members. The memory is about 40 bytes for each, which [`scan`] has bounded.
    ///
    /// # Errors
    /// −32602 for any other value, for a name that occurs twice (after escapes are resolved: two readers might
    /// choose differently, RFC 8259, section 4), and for a name with half of a surrogate pair.
    pub fn of(raw: &'a RawValue) -> Result<Members<'a>, Error> {
        Members::read(raw).map_err(Error::invalid_params)
    }

    /// As [`of`](Members::of), where the object is itself a member: the error begins with its name.
    pub(crate) fn of_member(raw: &'a RawValue, name: impl fmt::Display) -> Result<Members<'a>, Error> {
        Members::read_member(raw, name).map_err(Error::invalid_params)
    }

    /// As [`of_member`](Members::of_member), where this is no part of parameters: says in words what is wrong.
    pub(crate) fn read_member(raw: &'a RawValue, name: impl fmt::Display) -> Result<Members<'a>, String> {
        if !is_object(raw) {
            return Err(format!("`{name}` must be an object"));
        }
        Members::read(raw).map_err(|fault| format!("`{name}`: {fault}"))
    }

    fn read(raw: &'a RawValue) -> Result<Members<'a>, String> {
        let mut list = Vec::new();
        walk_object(raw, &mut |name, value| list.push((name, value)))?;
        let members = Members { list };
        match members.duplicate() {
            Some(name) => Err(twice(name)),
            None => Ok(members),
        }
    }

    /// The value of one member; `None` if there is none or it is null, which in MCP means the same.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.list.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        found.filter(|value| !is_null(value))
    }

    /// Names and values in the order of the text.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &'a RawValue)> {
        self.list.iter().map(|(name, value)| (&**name, *value))
    }

    fn duplicate(&self) -> Option<&str> {
        let mut names = self.list.iter().map(|(name, _)| &**name);
        if self.list.len() > COMPARED_MAX {
            let mut seen = HashSet::with_capacity(self.list.len());
            return names.find(|name| !seen.insert(*name));
        }
        let earlier = |at: usize, name: &str| self.list.iter().take(at).any(|(n, _)| n == name);
        names.enumerate().find(|(at, name)| earlier(*at, name)).map(|(_, name)| name)
    }
}

/// One member of an object by name, without allocating: for a single look where [`Members`] would be too much. `None` if
/// there is none or it is null, as for [`Members::get`].
///
/// ```
/// let params = serde_json::from_str(r#"{"_meta": {"progressToken": 7}}"#)?;
/// let meta = mcp_rill::jsonrpc::member(params, "_meta")?.unwrap();
/// assert_eq!(meta.get(), r#"{"progressToken": 7}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Members::of`], but of the duplicates only those of this name are noticed.
pub fn member<'a>(raw: &'a RawValue, name: &str) -> Result<Option<&'a RawValue>, Error> {
    let (mut found, mut again) = (None, false);
    let walked = walk_object(raw, &mut |n, value| {
        if n == name {
            again |= found.replace(value).is_some();
        }
    });
    walked.map_err(Error::invalid_params)?;
    match again {
        true => Err(Error::invalid_params(twice(name))),
        false => Ok(found.filter(|value| !is_null(value))),
    }
}

/// Appends a JSON string: quoted, with `"`, `\` and control characters escaped (RFC 8259, section 7), and so are U+0085,
/// U+2028 and U+2029, at which some clients split an event stream.
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::jsonrpc::write_str(&mut out, "a\n\"b\"\u{2028}");
/// assert_eq!(out, br#""a\n\"b\"\u2028""#);
/// ```
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    put(out, text);
}

/// Appends JSON text as it is, but in one line: a raw CR or LF, which JSON has only between tokens, becomes a space, and
/// U+0085, U+2028 and U+2029, which it has only in strings, are escaped.
///
/// That makes any JSON text fit a `data:` line of an event stream. The text must be JSON; nothing checks it.
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::jsonrpc::write_raw(&mut out, "{\n  \"a\": 1.50,\n  \"b\": \"\u{85}\"\n}");
/// assert_eq!(out, br#"{   "a": 1.50,   "b": "\u0085" }"#);
/// ```
pub fn write_raw(out: &mut Vec<u8>, json: &str) {
    put_raw(out, json);
}

/// Writes one JSON object, its members in the order of the calls.
///
/// The object is closed when the writer is dropped or by [`end`](Object::end). That names do not repeat is up to the
/// caller.
///
/// ```
/// use mcp_rill::jsonrpc::{Array, Object};
/// let mut out = Vec::new();
/// Object::new(&mut out).str("name", "add").opt_str("title", None).field("tags", |out| {
///     Array::new(out).str("math").item(|out| out.extend_from_slice(b"2"));
/// });
/// assert_eq!(out, br#"{"name":"add","tags":["math",2]}"#);
/// out.clear();
/// Object::new(&mut out).bool("ok", true).int("n", -3).f64("half", 0.5).f64("zero", 0.0).raw("any", "[ ]").opt_field("none", |_| {});
/// assert_eq!(out, br#"{"ok":true,"n":-3,"half":0.5,"zero":0,"any":[ ]}"#);
/// ```
#[derive(Debug)]
pub struct Object<'o>(Sequence<'o>);

impl<'o> Object<'o> {
    /// Begins an object at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Object<'o> {
        Object(Sequence::new(out, b'{', b'}'))
    }

    /// An object whose first members are there already: `start` is its text up to here.
    pub(super) fn begun(out: &'o mut Vec<u8>, start: &[u8]) -> Object<'o> {
        out.extend_from_slice(start);
        Object(Sequence { out, close: b'}', empty: false })
    }

    /// A member whose value is what `write` appends: exactly one JSON value.
    pub fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let out = self.0.next();
        put(out, name);
        out.push(b':');
        write(out);
        self
    }

    /// As [`field`](Object::field), but no member at all if `write` appends nothing.
    pub fn opt_field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let (start, empty) = (self.0.out.len(), self.0.empty);
        let mut value_at = start;
        self.field(name, |out| {
            value_at = out.len();
            write(out);
        });
        if self.0.out.len() == value_at {
            self.0.out.truncate(start);
            self.0.empty = empty;
        }
        self
    }

    /// A member that is JSON text already, made one line as by [`write_raw`].
    pub fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.field(name, |out| write_raw(out, json))
    }

    /// A string.
    pub fn str(&mut self, name: &str, value: &str) -> &mut Self {
        self.field(name, |out| put(out, value))
    }

    /// A string, or no member at all.
    pub fn opt_str(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.str(name, value),
            None => self,
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.field(name, |out| put(out, &value))
    }

    /// An integer.
    pub fn int(&mut self, name: &str, value: i64) -> &mut Self {
        self.field(name, |out| put(out, &value))
    }

    /// A number, without a fraction if it has none: `0` and not `0.0`, since some clients read integers only. No member
    /// at all if it is infinite or not a number, which JSON cannot express.
    pub fn f64(&mut self, name: &str, value: f64) -> &mut Self {
        match value.is_finite() {
            true => self.field(name, |out| put(out, &value)),
            false => self,
        }
    }

    /// Closes the object; dropping the writer does the same.
    pub fn end(self) {}
}

/// Writes one JSON array; closed when it is dropped or by [`end`](Array::end).
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::jsonrpc::Array::new(&mut out).str("a").raw("{}");
/// assert_eq!(out, br#"["a",{}]"#);
/// ```
#[derive(Debug)]
pub struct Array<'o>(Sequence<'o>);

impl<'o> Array<'o> {
    /// Begins an array at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Array<'o> {
        Array(Sequence::new(out, b'[', b']'))
    }

    /// An element, which is what `write` appends: exactly one JSON value.
    pub fn item(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        write(self.0.next());
        self
    }

    /// An element that is JSON text already, made one line as by [`write_raw`].
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.item(|out| write_raw(out, json))
    }

    /// A string.
    pub fn str(&mut self, value: &str) -> &mut Self {
        self.item(|out| put(out, value))
    }

    /// Closes the array; dropping the writer does the same.
    pub fn end(self) {}
}

/// What objects and arrays have in common: commas between, a bracket at the end.
#[derive(Debug)]
struct Sequence<'o> {
    out: &'o mut Vec<u8>,
    close: u8,
    empty: bool,
}

impl<'o> Sequence<'o> {
    fn new(out: &'o mut Vec<u8>, open: u8, close: u8) -> Sequence<'o> {
        out.push(open);
        Sequence { out, close, empty: true }
    }

    fn next(&mut self) -> &mut Vec<u8> {
        if !mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out
    }
}

impl Drop for Sequence<'_> {
    fn drop(&mut self) {
        self.out.push(self.close);
    }
}

/// Visits the members of an object; anything after it in `text` is an error.
pub(super) fn walk<'a>(
    text: &'a str,
    each: &mut dyn FnMut(Cow<'a, str>, &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Walk(each))?;
    json.end()
}

pub(crate) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

pub(crate) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

fn walk_object<'a>(
    raw: &'a RawValue,
    each: &mut dyn FnMut(Cow<'a, str>, &'a RawValue),
) -> Result<(), String> {
    if !is_object(raw) {
        return Err("expected an object".to_owned());
    }
    // The text is JSON, so this is all that can be wrong with it.
    walk(raw.get(), each).map_err(|_| "the name of a member has half of a surrogate pair".to_owned())
}

fn twice(name: &str) -> String {
    // A name can be as long as a body; the message shows its beginning.
    format!("member `{name:.64}` occurs twice")
}

#[cold]
fn over(depth: usize, limits: &Limits) -> Error {
    let (max, values_max) = (limits.json_depth_max, limits.json_values_max);
    match depth > max {
        true => Error::parse_error(format_args!("nested deeper than json_depth_max ({max})")),
        false => Error::parse_error(format_args!("more values than json_values_max ({values_max})")),
    }
}

fn after_scalar(bytes: &[u8]) -> &[u8] {
    let ends = |byte: &u8| {
        matches!(byte, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"' | b' ' | b'\t' | b'\r' | b'\n')
    };
    let end = bytes.iter().position(ends).unwrap_or(bytes.len());
    bytes.get(end..).unwrap_or_default()
}

fn after_string(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let quote = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if quote { 1 } else { 2 }..).unwrap_or_default();
        if quote {
            return rest;
        }
    }
    &[]
}

struct Walk<'f, 'a>(&'f mut dyn FnMut(Cow<'a, str>, &'a RawValue));

impl<'a> Visitor<'a> for Walk<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(name), value)) = map.next_entry()? {
            (self.0)(name, value);
        }
        Ok(())
    }
}

/// A string that borrows if it can; `Cow`'s own `Deserialize` never does.
struct Text<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Text<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct TextVisitor;
        impl<'a> Visitor<'a> for TextVisitor {
            type Value = Text<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

pub(crate) fn write_strs<T: AsRef<str>>(out: &mut Vec<u8>, items: &[T]) {
    let mut array = Array::new(out);
    items.iter().for_each(|item| {
        array.str(item.as_ref());
    });
    array.end();
}
