//! JSON text out: objects and arrays, member by member.
//!
//! *Scope:* commas and brackets, the order of the calls. *Not in scope:* the form of single values (`json`).

use std::borrow::Cow;
use std::mem;

use crate::json::{put, write_raw, write_str};

/// Writes one JSON object, its members in the order of the calls.
///
/// The object is closed when the writer is dropped or by [`end`](Object::end). That names do not repeat is up to the
/// caller.
///
/// ```
/// use mcp_rill::json::{Array, Object};
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
    pub(crate) fn begun(out: &'o mut Vec<u8>, start: &[u8]) -> Object<'o> {
        out.extend_from_slice(start);
        Object(Sequence { out, close: b'}', empty: false })
    }

    /// Takes an object up again that ends here and began at `start`, to add members.
    pub(crate) fn reopened(out: &'o mut Vec<u8>, start: usize) -> Object<'o> {
        out.pop();
        let empty = out.len() == start + 1;
        Object(Sequence { out, close: b'}', empty })
    }

    /// A member whose value is what `write` appends: exactly one JSON value.
    pub fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let out = self.0.next();
        write_str(out, name);
        out.push(b':');
        write(out);
        self
    }

    /// Appends members, or the beginning of one, that are written already. Returns what they are written into.
    pub(crate) fn written(&mut self, text: &str) -> &mut Vec<u8> {
        let out = self.0.next();
        out.extend_from_slice(text.as_bytes());
        out
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
        self.field(name, |out| write_str(out, value))
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

    /// A member with its value, or no member at all if the value is absent.
    pub(crate) fn member<T: ToJson + ?Sized>(&mut self, name: &str, value: &T) -> &mut Self {
        match value.is_absent() {
            true => self,
            false => self.field(name, |out| value.write(out)),
        }
    }

    /// Closes the object; dropping the writer does the same.
    pub fn end(self) {}
}

/// Writes one JSON array; closed when it is dropped or by [`end`](Array::end).
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::json::Array::new(&mut out).str("a").raw("{}");
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
        self.item(|out| write_str(out, value))
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

/// Appends an array with an element for each of the items, which is what `write` appends for it.
pub(crate) fn write_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    let mut array = Array::new(out);
    for item in items {
        array.item(|out| write(item, out));
    }
}

/// A value that has one form in JSON, the same for all who read it.
pub(crate) trait ToJson {
    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);

    /// True if an object leaves out the member whose value this is.
    fn is_absent(&self) -> bool {
        false
    }
}

impl ToJson for str {
    fn write(&self, out: &mut Vec<u8>) {
        write_str(out, self);
    }
}

impl ToJson for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_str(out, self);
    }
}

impl ToJson for Cow<'_, str> {
    fn write(&self, out: &mut Vec<u8>) {
        write_str(out, self);
    }
}

impl ToJson for bool {
    fn write(&self, out: &mut Vec<u8>) {
        put(out, self);
    }
}

/// Written as by [`Object::f64`].
impl ToJson for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        put(out, self);
    }

    fn is_absent(&self) -> bool {
        !self.is_finite()
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn write(&self, out: &mut Vec<u8>) {
        T::write(self, out);
    }

    fn is_absent(&self) -> bool {
        T::is_absent(self)
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.write(out));
    }

    fn is_absent(&self) -> bool {
        self.as_ref().is_none_or(T::is_absent)
    }
}

/// An array, which is left out if it is empty.
impl<T: ToJson> ToJson for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, self, T::write);
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}
