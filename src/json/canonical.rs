//! One text for all spellings of a value.
//!
//! *Scope:* which values are equal: numbers by their value, strings by their characters, objects without regard to the order
//! of their members (JSON Schema core, section 4.2.2). *Not in scope:* values that readers read differently (`ijson`).

use crate::json::number::Number;
use crate::json::value::JsonRef;
use crate::json::write::{Array, Object};
use crate::json::write_str;
use crate::sort::sort_by;

/// The text that a value has in common with exactly the values that are equal to it.
///
/// The value has passed [`ijson::check`](crate::json::ijson::check), which bounds its depth.
pub(crate) fn canonical(value: JsonRef<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

fn write(out: &mut Vec<u8>, value: JsonRef<'_>) {
    if value.is_number() {
        Number::of(value.text()).write(out);
    } else if let Some(text) = value.as_str() {
        write_str(out, &text);
    } else if let Some(items) = value.items() {
        let mut array = Array::new(out);
        for item in items {
            array.item(|out| write(out, item));
        }
    } else if value.is_object() {
        let mut members: Vec<_> =
            value.pairs().map(|pair| (pair.name().unwrap_or_default(), pair.value)).collect();
        sort_by(&mut members, |(one, _), (other, _)| one.cmp(other));
        let mut object = Object::new(out);
        for (name, value) in members {
            object.field(&name, |out| write(out, value));
        }
    } else {
        out.extend_from_slice(value.text().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    fn text(json: &str) -> String {
        String::from_utf8(canonical(Tape::new().read(json).unwrap())).unwrap()
    }

    #[test]
    fn equal_values_have_one_text() {
        for (one, other) in [
            ("1", "1.0"),
            ("[ 100 ]", "[1e2]"),
            (r#""caf\u00e9\/""#, r#""café/""#),
            (r#"{"a":1,"b":[{"c":0,"d":null}]}"#, r#"{ "b" : [{"d":null,"c":-0}], "\u0061":1.0 }"#),
        ] {
            assert_eq!(text(one), text(other));
        }
    }

    #[test]
    fn different_values_have_different_texts() {
        let values = [
            "0",
            "1",
            "10",
            "9007199254740992",
            "9007199254740993",
            r#""1""#,
            r#""a""#,
            r#""A""#,
            "true",
            "false",
            "null",
            r#""null""#,
            "[]",
            "{}",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "[12]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1,"b":1}"#,
        ];
        let texts: std::collections::HashSet<String> = values.iter().map(|json| text(json)).collect();
        assert_eq!(texts.len(), values.len());
    }
}
