//! What a schema says about a single value: which types it may have, and how that is shown.
//!
//! *Scope:* as much of JSON Schema as decides how `K=V` is typed and what a signature says. Other keywords are the server's
//! business. *Not in scope:* checking values.

use std::borrow::Cow;
use std::fmt;

use crate::json::pointer;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::schema::json_type::JsonType;

/// The names that a schema lists as `required`.
pub(super) fn required_names(schema: JsonRef<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    schema.get("required").and_then(JsonRef::items).unwrap_or_default().filter_map(JsonRef::as_str)
}

/// How deep references and alternatives are followed.
const DEPTH_MAX: u32 = 16;

/// Types that a value may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const STRING: Kinds = Kinds::one(JsonType::String);
    pub(super) const NUMBER: Kinds = Kinds::one(JsonType::Number);
    pub(super) const INTEGER: Kinds = Kinds::one(JsonType::Integer);
    pub(super) const BOOLEAN: Kinds = Kinds::one(JsonType::Boolean);
    pub(super) const ARRAY: Kinds = Kinds::one(JsonType::Array);
    pub(super) const OBJECT: Kinds = Kinds::one(JsonType::Object);
    pub(super) const NULL: Kinds = Kinds::one(JsonType::Null);
    const NONE: Kinds = Kinds(0);
    pub(super) const ANY: Kinds = Kinds((1 << JsonType::ALL.len()) - 1);

    const fn one(kind: JsonType) -> Kinds {
        Kinds(1 << kind as u8)
    }

    pub(super) fn has(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }

    fn and(self, other: Kinds) -> Kinds {
        // A number may be an integer.
        let widened = |kinds: Kinds| if kinds.has(Kinds::NUMBER) { kinds.or(Kinds::INTEGER) } else { kinds };
        Kinds(widened(self).0 & widened(other).0)
    }

    fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn named(name: &str) -> Kinds {
        JsonType::named(name).map_or(Kinds::NONE, Kinds::one)
    }

    fn of_value(value: JsonRef<'_>) -> Kinds {
        match value.text().as_bytes().first() {
            Some(b'"') => Kinds::STRING,
            Some(b't' | b'f') => Kinds::BOOLEAN,
            Some(b'[') => Kinds::ARRAY,
            Some(b'{') => Kinds::OBJECT,
            Some(b'n') => Kinds::NULL,
            _ if is_integer(value.text()) => Kinds::INTEGER,
            _ => Kinds::NUMBER,
        }
    }

    /// The types that a schema allows. `whole` is what its references point into.
    pub(super) fn of(schema: JsonRef<'_>, whole: JsonRef<'_>) -> Kinds {
        Kinds::within(schema, whole, DEPTH_MAX)
    }

    fn within(schema: JsonRef<'_>, whole: JsonRef<'_>, depth: u32) -> Kinds {
        let Some(depth) = depth.checked_sub(1) else { return Kinds::ANY };
        let mut kinds = match schema.get("type") {
            Some(names) => {
                let one = names.as_str().map_or(Kinds::NONE, |name| Kinds::named(&name));
                let several = names.items().into_iter().flatten().filter_map(JsonRef::as_str);
                several.fold(one, |kinds, name| kinds.or(Kinds::named(&name)))
            }
            None => Kinds::ANY,
        };
        if let Some(value) = schema.get("const") {
            kinds = kinds.and(Kinds::of_value(value));
        }
        if let Some(values) = schema.get("enum").and_then(JsonRef::items) {
            kinds = kinds.and(values.fold(Kinds::NONE, |kinds, value| kinds.or(Kinds::of_value(value))));
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(list) = schema.get(name).and_then(JsonRef::items) {
                let either = |kinds: Kinds, schema| kinds.or(Kinds::within(schema, whole, depth));
                kinds = kinds.and(list.fold(Kinds::NONE, either));
            }
        }
        if let Some(list) = schema.get("allOf").and_then(JsonRef::items) {
            kinds = list.fold(kinds, |kinds, schema| kinds.and(Kinds::within(schema, whole, depth)));
        }
        if let Some(found) = referred(schema, whole) {
            kinds = kinds.and(Kinds::within(found, whole, depth));
        }
        kinds
    }

    /// The value that `text` is in one of these types, as JSON text. A type that says nothing means a string.
    pub(super) fn typed(self, text: &str) -> Result<String, String> {
        if self.has(Kinds::STRING) {
            let mut out = Vec::new();
            crate::json::write_str(&mut out, text);
            return Ok(String::from_utf8_lossy(&out).into_owned());
        }
        let mut tape = Tape::new();
        let value = tape.read(text).ok();
        let fits = value.is_some_and(|value| {
            let kind = Kinds::of_value(value);
            self.has(kind) || (kind == Kinds::INTEGER && self.has(Kinds::NUMBER))
        });
        match value.filter(|_| fits) {
            Some(value) => Ok(value.text().to_owned()),
            None => Err(format!("`{}` is not {}", crate::text::printable(text), self.wanted())),
        }
    }

    /// True for each of them but an integer where any number will do.
    fn is_told(self, kind: Kinds) -> bool {
        self.has(kind) && !(kind == Kinds::INTEGER && self.has(Kinds::NUMBER))
    }

    /// What to write.
    fn wanted(self) -> String {
        let words = [
            (Kinds::NUMBER, "a number"),
            (Kinds::INTEGER, "a whole number"),
            (Kinds::BOOLEAN, "true or false"),
            (Kinds::ARRAY, "an array in JSON, such as [1,2]"),
            (Kinds::OBJECT, "an object in JSON, such as {\"a\":1}"),
            (Kinds::NULL, "null"),
        ];
        let words: Vec<&str> =
            words.into_iter().filter(|(kind, _)| self.is_told(*kind)).map(|(_, word)| word).collect();
        if words.is_empty() { "anything: its schema allows no value".to_owned() } else { words.join(", or ") }
    }
}

/// `string|null`, as signatures have it.
impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Kinds::ANY {
            return f.write_str("any");
        }
        // Null comes last.
        let shown = JsonType::ALL.into_iter().rev().filter(|kind| self.is_told(Kinds::one(*kind)));
        let names: Vec<&str> = shown.map(JsonType::name).collect();
        f.write_str(&names.join("|"))
    }
}

/// The schema that `$ref` names in the same document.
pub(super) fn referred<'a>(schema: JsonRef<'_>, whole: JsonRef<'a>) -> Option<JsonRef<'a>> {
    pointer::find(whole, schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// True for a number that is written without a fraction and an exponent.
fn is_integer(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
}

/// A type in a signature: `wan|lan`, `integer`, `string[]`, `string|null`.
pub(super) fn type_of(schema: JsonRef<'_>, whole: JsonRef<'_>) -> String {
    let schema = referred(schema, whole).unwrap_or(schema);
    if let Some(values) = schema.get("enum").and_then(JsonRef::items) {
        let values: Vec<String> = values.map(plain).collect();
        return values.join("|");
    }
    let kinds = Kinds::of(schema, whole);
    match schema.get("items").filter(|_| kinds == Kinds::ARRAY) {
        Some(items) if items.is_object() => {
            let item = type_of(items, whole);
            if item.contains('|') { format!("({item})[]") } else { format!("{item}[]") }
        }
        _ => kinds.to_string(),
    }
}

/// A string without quotes if it looks like no other value, and any other value in JSON.
pub(super) fn plain(value: JsonRef<'_>) -> String {
    let text = value.as_str().filter(|text| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte))
    });
    crate::text::printable(text.as_deref().unwrap_or(value.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(json: &str, look: impl FnOnce(JsonRef<'_>) -> T) -> T {
        look(Tape::new().read(json).unwrap())
    }

    #[test]
    fn values_are_typed_by_the_schema_alone() {
        for (schema, text, typed) in [
            (r#"{"type":"string"}"#, "007", Ok(r#""007""#)),
            (r#"{"type":"string"}"#, "true", Ok(r#""true""#)),
            (r#"{"type":"integer"}"#, "-12", Ok("-12")),
            (r#"{"type":"integer"}"#, "12345678901234567890123", Ok("12345678901234567890123")),
            (r#"{"type":"integer"}"#, "007", Err("`007` is not a whole number")),
            (r#"{"type":"integer"}"#, "1.5", Err("`1.5` is not a whole number")),
            (r#"{"type":"integer"}"#, "", Err("`` is not a whole number")),
            (r#"{"type":"number"}"#, "1.50", Ok("1.50")),
            (r#"{"type":"number"}"#, "3", Ok("3")),
            (r#"{"type":"number"}"#, "NaN", Err("`NaN` is not a number")),
            (r#"{"type":"boolean"}"#, "false", Ok("false")),
            (r#"{"type":"boolean"}"#, "yes", Err("`yes` is not true or false")),
            (r#"{"type":["integer","null"]}"#, "null", Ok("null")),
            (r#"{"type":["integer","string"]}"#, "7", Ok(r#""7""#)),
            (r#"{"anyOf":[{"type":"integer"},{"type":"null"}],"default":null}"#, "7", Ok("7")),
            (r#"{"anyOf":[{"type":"number"},{"type":"null"}]}"#, "x", Err("`x` is not a number, or null")),
            (r#"{"allOf":[{"type":"number"},{"type":["integer","string"]}]}"#, "7", Ok("7")),
            (r#"{"enum":[1,2]}"#, "2", Ok("2")),
            (r#"{"enum":["1","2"]}"#, "2", Ok(r#""2""#)),
            (r#"{"const":true}"#, "true", Ok("true")),
            (r#"{"type":"array"}"#, "[1, 2]", Ok("[1, 2]")),
            (r#"{"type":"array"}"#, "a,b", Err("`a,b` is not an array in JSON, such as [1,2]")),
            (r#"{"type":"object"}"#, r#"{"a":1}"#, Ok(r#"{"a":1}"#)),
            (r##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"integer"}}}"##, "1", Ok("1")),
            (r##"{"$ref":"#"}"##, "1", Ok(r#""1""#)),
            ("{}", "1", Ok(r#""1""#)),
            ("true", "1", Ok(r#""1""#)),
        ] {
            let found = with(schema, |schema| Kinds::of(schema, schema).typed(text));
            assert_eq!(found.as_deref().map_err(String::as_str), typed, "{schema} {text}");
        }
    }

    #[test]
    fn types_are_short() {
        for (schema, shown) in [
            (r#"{"type":"string"}"#, "string"),
            (r#"{"enum":["wan","lan"]}"#, "wan|lan"),
            (r#"{"enum":["a b","1",1]}"#, "\"a b\"|1|1"),
            (r#"{"type":["string","null"]}"#, "string|null"),
            (r#"{"type":"array","items":{"type":"string"}}"#, "string[]"),
            (r#"{"type":"array","items":{"enum":["a","b"]}}"#, "(a|b)[]"),
            (r#"{"type":"array"}"#, "array"),
            (r#"{"type":"number"}"#, "number"),
            ("{}", "any"),
        ] {
            assert_eq!(with(schema, |schema| type_of(schema, schema)), shown, "{schema}");
        }
    }
}
