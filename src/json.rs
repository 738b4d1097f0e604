//! JSON, read once and written in one line.
//!
//! *Scope:* reading: the grammar, limits, values that are borrowed ([`Tape`], [`JsonRef`]); writing: objects and arrays
//! ([`Object`], [`Array`]), and what JSON leaves open and clients do not: the form of numbers, characters that end a line.
//! *Not in scope:* messages ([`jsonrpc`](crate::jsonrpc)), schemas, types of yours ([`mod@crate::schema`]).
//!
//! ```
//! use mcp_rill::json::{Object, Tape};
//! let mut tape = Tape::new();
//! let order = tape.read(r#"{"item": "tea", "count": 2}"#)?;
//! let mut out = Vec::new();
//! Object::new(&mut out).str("item", "coffee").raw("count", order.get("count").map_or("1", |count| count.text()));
//! assert_eq!(out, br#"{"item":"coffee","count":2}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! | what | how it is written | for |
//! |---|---|---|
//! | U+0085, U+2028, U+2029 | `\u0085`, `\u2028`, `\u2029` | clients that split event streams at every line break of Unicode |
//! | a raw CR or LF between tokens | a space | `data:` lines of event streams |
//! | a float without a fraction, up to 64 bits | `3`, not `3.0`; `0`, not `-0.0` | clients that read integers only |
//! | a greater float | `1e19` | no integer of 64 bits holds it, so no client reads it as one |
//! | a float that is not finite | `null`; a handler's result that has one is an error | JSON has no such number |

use std::io::{self, Write};

use memchr::memchr2;
use serde_core::ser::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::memory::room_behind;

pub(crate) mod canonical;
pub(crate) mod finite;
pub(crate) mod ijson;
pub(crate) mod number;
pub(crate) mod pointer;
pub(crate) mod tape;
pub(crate) mod value;
pub(crate) mod write;

pub use tape::Tape;
pub use value::{Items, JsonRef, Members, NotMembers};
pub use write::{Array, Object};

/// Appends a value as one line of JSON. Only for values that always have a JSON form.
pub(crate) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    if write(out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

/// Appends a JSON string: quoted, with `"`, `\` and control characters escaped (RFC 8259, section 7), and so are U+0085,
/// U+2028 and U+2029, at which some clients split an event stream.
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::json::write_str(&mut out, "a\n\"b\"\u{2028}");
/// assert_eq!(out, br#""a\n\"b\"\u2028""#);
/// ```
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    // Most strings have nothing that must be escaped.
    if !tape::is_plain(text.as_bytes()) {
        return put(out, text);
    }
    out.reserve(text.len() + 2 + room_behind(text.len()));
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// The text of any value: one line of JSON.
///
/// # Errors
/// A sentence about the first float in it that is not finite, with its path, or about what else has no JSON form.
pub(crate) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    let mut out = Vec::new();
    let nulls = write(&mut out, value).map_err(|error| error.to_string())?;
    // A float that is not finite was written as null, so without one there is none.
    if nulls {
        finite::check(value)?;
    }
    String::from_utf8(out).map_err(|error| error.to_string())
}

/// Appends JSON text as it is, but in one line: a raw CR or LF, which JSON has only between tokens, becomes a space, and
/// U+0085, U+2028 and U+2029, which it has only in strings, are escaped.
///
/// That makes any JSON text fit a `data:` line of an event stream. The text must be JSON; nothing checks it.
///
/// ```
/// let mut out = Vec::new();
/// mcp_rill::json::write_raw(&mut out, "{\n  \"a\": 1.50,\n  \"b\": \"\u{85}\"\n}");
/// assert_eq!(out, br#"{   "a": 1.50,   "b": "\u0085" }"#);
/// ```
pub fn write_raw(out: &mut Vec<u8>, json: &str) {
    // Writing to memory does not fail.
    let _ = raw(out, json);
}

fn raw<W: Write + ?Sized>(out: &mut W, json: &str) -> io::Result<()> {
    let mut rest = json.as_bytes();
    while let Some((line, tail)) = memchr2(b'\r', b'\n', rest).and_then(|at| rest.split_at_checked(at)) {
        escape(out, line)?;
        out.write_all(b" ")?;
        rest = tail.get(1..).unwrap_or_default();
    }
    escape(out, rest)
}

/// Returns true if any null was written.
fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> serde_json::Result<bool> {
    let mut nulls = false;
    value.serialize(&mut Serializer::with_formatter(out, Wire { nulls: &mut nulls }))?;
    Ok(nulls)
}

/// Writes text, with the characters escaped that end a line besides CR and LF. They are looked for by their first bytes,
/// which in most texts are rare.
fn escape<W: Write + ?Sized>(out: &mut W, text: &[u8]) -> io::Result<()> {
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = rest.get(from..).and_then(|tail| memchr2(0xC2, 0xE2, tail)).map(|at| from + at) {
        let (before, tail) = rest.split_at_checked(at).unwrap_or_default();
        let (escaped, len): (&[u8], usize) = match tail {
            [0xC2, 0x85, ..] => (b"\\u0085", 2),
            [0xE2, 0x80, 0xA8, ..] => (b"\\u2028", 3),
            [0xE2, 0x80, 0xA9, ..] => (b"\\u2029", 3),
            _ => {
                from = at + 1;
                continue;
            }
        };
        out.write_all(before)?;
        out.write_all(escaped)?;
        (rest, from) = (tail.get(len..).unwrap_or_default(), 0);
    }
    out.write_all(rest)
}

/// The form of values that serde_json writes.
struct Wire<'n> {
    nulls: &'n mut bool,
}

impl Formatter for Wire<'_> {
    fn write_null<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        *self.nulls = true;
        out.write_all(b"null")
    }

    fn write_f32<W: Write + ?Sized>(&mut self, out: &mut W, number: f32) -> io::Result<()> {
        match whole(number.into()) {
            Some(number) => CompactFormatter.write_i64(out, number),
            None => CompactFormatter.write_f32(out, number),
        }
    }

    fn write_f64<W: Write + ?Sized>(&mut self, out: &mut W, number: f64) -> io::Result<()> {
        match whole(number) {
            Some(number) => CompactFormatter.write_i64(out, number),
            None => CompactFormatter.write_f64(out, number),
        }
    }

    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        escape(out, text.as_bytes())
    }

    fn write_raw_fragment<W: Write + ?Sized>(&mut self, out: &mut W, json: &str) -> io::Result<()> {
        *self.nulls |= json == "null";
        raw(out, json)
    }
}

/// The value of a float without a fraction, if 64 bits hold it.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json<T: Serialize + ?Sized>(value: &T) -> String {
        let mut out = Vec::new();
        put(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_text_ends_a_line() {
        // What begins like them stays as it is, also at the end of the text.
        for (text, expected) in [
            ("", r#""""#),
            ("a\u{2028}b\u{2029}\u{85}", r#""a\u2028b\u2029\u0085""#),
            ("\u{2028}\u{2028}", r#""\u2028\u2028""#),
            (
                "\u{a0}°“—”…\u{2027}\u{202a}\u{e8a8}é\u{2c28}",
                "\"\u{a0}°“—”…\u{2027}\u{202a}\u{e8a8}é\u{2c28}\"",
            ),
            ("\"\u{2028}\n\\\u{85}", r#""\"\u2028\n\\\u0085""#),
        ] {
            assert_eq!(json(text), expected);
            assert_eq!(serde_json::from_str::<String>(expected).unwrap(), text);
        }
        let value = serde_json::json!({ "\u{2028}": ["\u{85}"] });
        assert_eq!(json(&value), r#"{"\u2028":["\u0085"]}"#);
        let raw = "{\r\n\"\u{2028}\": \"x\u{85}\u{2029}°\"\n}";
        let expected = r#"{  "\u2028": "x\u0085\u2029°" }"#;
        assert_eq!(json(&serde_json::value::RawValue::from_string(raw.to_owned()).unwrap()), expected);
        let mut out = Vec::new();
        write_raw(&mut out, raw);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn whole_floats_are_integers() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (3.0, "3"),
            (-20.0, "-20"),
            (0.5, "0.5"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (9_007_199_254_740_994.0, "9007199254740994"),
            (-9_223_372_036_854_775_808.0, "-9223372036854775808"),
            (9_223_372_036_854_775_808.0, "9.223372036854776e+18"),
            (1e300, "1e+300"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::NAN, "null"),
        ] {
            let text = json(&number);
            assert_eq!(text, expected);
            if number.is_finite() {
                assert_eq!(text.parse::<f64>().unwrap(), number);
            }
        }
        assert_eq!(json(&[1.0_f32, 0.1, 16_777_216.0]), "[1,0.1,16777216]");
        assert_eq!(json(&serde_json::json!({ "a": [2.0, -1.5] })), r#"{"a":[2,-1.5]}"#);
    }

    #[test]
    fn what_is_not_finite_is_named() {
        use std::collections::BTreeMap;
        assert_eq!(text(&(1, None::<f64>, "null")).unwrap(), r#"[1,null,"null"]"#);
        let value = BTreeMap::from([("a", vec![Some((1.0, "x"))]), ("b", vec![None, Some((f64::NAN, "y"))])]);
        assert_eq!(text(&value).unwrap_err(), "the number `b[1][0]` is NaN; JSON holds only finite numbers");
        assert_eq!(
            text(&f32::NEG_INFINITY).unwrap_err(),
            "the number is -inf; JSON holds only finite numbers"
        );
        // What a text that is JSON already says is JSON.
        let raw = serde_json::value::RawValue::from_string("null".to_owned()).unwrap();
        assert_eq!(text(&raw).unwrap(), "null");
        assert!(text(&BTreeMap::from([(vec![1], 1)])).unwrap_err().contains("key must be a string"));
    }
}
