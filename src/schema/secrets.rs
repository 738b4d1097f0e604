//! Arguments as a log may show them: values that a schema marks as secret are replaced.
//!
//! *Scope:* the marks `"writeOnly": true` and `"format": "password"` of JSON Schema, wherever a schema may have them. *Not in scope:*
//! whether the arguments conform.
//!
//! Where it is not clear whether a mark applies, the value is replaced: of several alternatives (`anyOf`) one is enough.

use crate::json::pointer;
use crate::json::value::JsonRef;
use crate::json::write::{Array, Object};
use crate::json::{write_raw, write_str};

/// What stands in the place of a secret.
const MASK: &str = "***";
/// Schemas that are looked at for one text of arguments. Where that is not enough, everything that follows is replaced.
const SCHEMAS_MAX: usize = 10_000;
/// Schemas that apply to one value, with those that they refer to. A value with more is replaced.
const APPLICABLE_MAX: usize = 64;

/// Returns the arguments with `***` in the place of each secret. Without a schema every value is one.
pub(crate) fn masked(arguments: JsonRef<'_>, schema: Option<JsonRef<'_>>) -> String {
    let mut out = Vec::with_capacity(arguments.text().len());
    match schema {
        Some(root) => Masking { root, left: SCHEMAS_MAX }.write(arguments, vec![root], &mut out),
        None if arguments.is_object() => {
            let mut object = Object::new(&mut out);
            arguments.pairs().for_each(|pair| {
                object.str(&pair.name().unwrap_or_default(), MASK);
            });
        }
        None => write_str(&mut out, MASK),
    }
    String::from_utf8(out).unwrap_or_default()
}

struct Masking<'s> {
    root: JsonRef<'s>,
    /// How many more schemas may be looked at.
    left: usize,
}

impl<'s> Masking<'s> {
    /// Writes a value that these schemas are about.
    fn write(&mut self, value: JsonRef<'_>, schemas: Vec<JsonRef<'s>>, out: &mut Vec<u8>) {
        let Some(schemas) = self.applicable(schemas) else { return write_str(out, MASK) };
        if schemas.iter().any(|schema| is_secret(*schema)) {
            write_str(out, MASK);
        } else if value.is_object() {
            let mut object = Object::new(out);
            for pair in value.pairs() {
                let name = pair.name().unwrap_or_default();
                let of_member = schemas.iter().flat_map(|schema| member_schemas(*schema, &name)).collect();
                object.field(&name, |out| self.write(pair.value, of_member, out));
            }
        } else if let Some(items) = value.items() {
            let mut array = Array::new(out);
            for item in items {
                let of_item = schemas.iter().flat_map(|schema| item_schemas(*schema)).collect();
                array.item(|out| self.write(item, of_item, out));
            }
        } else {
            write_raw(out, value.text());
        }
    }

    /// The schemas with all that they refer to or are made of; `None` if they are too many.
    fn applicable(&mut self, mut schemas: Vec<JsonRef<'s>>) -> Option<Vec<JsonRef<'s>>> {
        let mut next = 0;
        while let Some(schema) = schemas.get(next).copied() {
            next += 1;
            self.left = self.left.checked_sub(1)?;
            if let Some(reference) = schema.get("$ref").and_then(JsonRef::as_str) {
                // One that leads nowhere could have led to a mark.
                let target = reference.strip_prefix('#').and_then(|place| pointer::find(self.root, place))?;
                let is_there = |known: &JsonRef<'_>| std::ptr::eq(known.text(), target.text());
                if !schemas.iter().any(is_there) {
                    schemas.push(target);
                }
            }
            for keyword in ["allOf", "anyOf", "oneOf"] {
                schemas.extend(schema.get(keyword).and_then(JsonRef::items).into_iter().flatten());
            }
            schemas.extend(["if", "then", "else", "not"].iter().filter_map(|keyword| schema.get(keyword)));
            if let Some(dependent) = schema.get("dependentSchemas") {
                schemas.extend(dependent.pairs().map(|pair| pair.value));
            }
            if schemas.len() > APPLICABLE_MAX {
                return None;
            }
        }
        Some(schemas)
    }
}

fn is_secret(schema: JsonRef<'_>) -> bool {
    schema.get("writeOnly").is_some_and(|mark| mark.text() == "true")
        || schema.get("format").and_then(JsonRef::as_str).is_some_and(|format| format == "password")
}

/// The schemas that may be about a member of that name. Patterns are not compared.
fn member_schemas<'s>(schema: JsonRef<'s>, name: &str) -> Vec<JsonRef<'s>> {
    let own = schema.get("properties").and_then(|properties| properties.get(name));
    let patterns =
        schema.get("patternProperties").into_iter().flat_map(JsonRef::pairs).map(|pair| pair.value);
    let others = ["additionalProperties", "unevaluatedProperties"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword));
    own.into_iter().chain(patterns).chain(others.filter(|_| own.is_none())).collect()
}

/// The schemas that may be about an item, wherever it stands.
fn item_schemas(schema: JsonRef<'_>) -> Vec<JsonRef<'_>> {
    let mut schemas = Vec::new();
    for keyword in ["items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"] {
        let Some(found) = schema.get(keyword) else { continue };
        match found.items() {
            Some(each) => schemas.extend(each),
            None => schemas.push(found),
        }
    }
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    fn mask(arguments: &str, schema: &str) -> String {
        let (mut tape, mut of_schema) = (Tape::new(), Tape::new());
        masked(tape.read(arguments).unwrap(), Some(of_schema.read(schema).unwrap()))
    }

    #[test]
    fn secrets_are_replaced_wherever_a_schema_marks_them() {
        let marked = r#"{"writeOnly":true}"#;
        for (arguments, schema, shown) in [
            (
                r#"{"a":1,"b":"x"}"#,
                r#"{"properties":{"b":{"type":"string","format":"password"}}}"#.to_owned(),
                r#"{"a":1,"b":"***"}"#,
            ),
            (
                r#"{"a":{"b":[1.50,{"c":7}]}}"#,
                format!(
                    r#"{{"properties":{{"a":{{"properties":{{"b":{{"items":{{"properties":{{"c":{marked}}}}}}}}}}}}}}}"#
                ),
                r#"{"a":{"b":[1.50,{"c":"***"}]}}"#,
            ),
            (r#"{"a":["x"]}"#, format!(r#"{{"properties":{{"a":{marked}}}}}"#), r#"{"a":"***"}"#),
            (
                r#"{"a":"x"}"#,
                format!(r##"{{"$defs":{{"s":{marked}}},"properties":{{"a":{{"$ref":"#/$defs/s"}}}}}}"##),
                r#"{"a":"***"}"#,
            ),
            (
                r#"{"a":"x"}"#,
                format!(r#"{{"properties":{{"a":{{"anyOf":[{{"type":"null"}},{marked}]}}}}}}"#),
                r#"{"a":"***"}"#,
            ),
            (r#"{"a":"x"}"#, format!(r#"{{"allOf":[{{"properties":{{"a":{marked}}}}}]}}"#), r#"{"a":"***"}"#),
            (
                r#"{"a":"x","b":2}"#,
                format!(r#"{{"properties":{{"b":{{}}}},"additionalProperties":{marked}}}"#),
                r#"{"a":"***","b":2}"#,
            ),
            (r#"{"a":"x"}"#, format!(r#"{{"patternProperties":{{"^z":{marked}}}}}"#), r#"{"a":"***"}"#),
            (
                r#"{"a":["x",1]}"#,
                format!(r#"{{"properties":{{"a":{{"prefixItems":[{marked}]}}}}}}"#),
                r#"{"a":["***","***"]}"#,
            ),
            (
                r#"{"a":"x"}"#,
                r#"{"properties":{"a":{"$ref":"https://a.example/s"}}}"#.to_owned(),
                r#"{"a":"***"}"#,
            ),
            (r#"{"a":"x"}"#, marked.to_owned(), r#""***""#),
            (
                r#"{"a":"x","writeOnly":true}"#,
                r#"{"properties":{"a":{"writeOnly":false,"format":"date"}}}"#.to_owned(),
                r#"{"a":"x","writeOnly":true}"#,
            ),
            (r#"{"a":"x"}"#, "true".to_owned(), r#"{"a":"x"}"#),
        ] {
            assert_eq!(mask(arguments, &schema), shown, "{schema}");
        }
    }

    #[test]
    fn what_refers_to_itself_ends() {
        let schema = r##"{"properties":{"next":{"$ref":"#"},"key":{"writeOnly":true}}}"##;
        assert_eq!(mask(r#"{"next":{"next":{"key":1}}}"#, schema), r#"{"next":{"next":{"key":"***"}}}"#);
        assert_eq!(mask("{}", r##"{"$ref":"#"}"##), "{}");
        let many = format!(r#"{{"anyOf":[{}]}}"#, vec!["{}"; APPLICABLE_MAX + 1].join(","));
        assert_eq!(mask(r#"{"a":1}"#, &many), r#""***""#);
        let long = format!(r#"{{"a":[{}]}}"#, vec!["1"; SCHEMAS_MAX + 1].join(","));
        let shown = mask(&long, r#"{"properties":{"a":{"items":{}}}}"#);
        assert!(
            shown.contains(r#"[1,1,"#) && shown.ends_with(r#""***"]}"#),
            "replaced once too many schemas were looked at"
        );
    }

    #[test]
    fn without_a_schema_names_are_shown_alone() {
        let mut tape = Tape::new();
        assert_eq!(masked(tape.read(r#"{"a":{"b":1},"c":2}"#).unwrap(), None), r#"{"a":"***","c":"***"}"#);
        assert_eq!(masked(tape.read("[1]").unwrap(), None), r#""***""#);
    }
}
