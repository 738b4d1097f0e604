//! Checks that a text is a JSON Schema: its keywords have the shapes that the meta-schema defines.
//!
//! *Scope:* the keywords of 2020-12, and of draft 7 where they differ; references within the schema.
//! *Not in scope:* regular expressions, anchors, and keywords that are in no draft: clients let those pass.
//!
//! Clients compile schemas when they list tools. If one does not compile, they lose the whole list.

use serde_json::{Map, Value};

use crate::schema::json_type::JsonType;
use crate::text::printable;

/// What the value of a keyword has to be.
#[derive(Clone, Copy)]
enum Shape {
    Schema,
    /// Several schemas: an array of at least one.
    Schemas,
    /// A schema, or as in draft 7 one for each place.
    SchemaOrSchemas,
    /// Schemas by name.
    Named,
    /// Names of members by name.
    NamedNames,
    /// As in draft 7: schemas or names of members, by name.
    Dependencies,
    Type,
    /// Strings, none of them twice.
    Names,
    Values,
    /// Values, at least one.
    Choices,
    Text,
    Flag,
    Number,
    Positive,
    Count,
    Reference,
}

/// The keywords of each shape.
const KEYWORDS: [(Shape, &str); 18] = [
    (Shape::Text, "$schema $id $anchor $dynamicRef $dynamicAnchor $comment"),
    (Shape::Text, "title description pattern format contentEncoding contentMediaType"),
    (Shape::Reference, "$ref"),
    (Shape::Named, "$defs definitions properties patternProperties dependentSchemas"),
    (Shape::Type, "type"),
    (Shape::Choices, "enum"),
    (Shape::Values, "examples"),
    (Shape::Flag, "deprecated readOnly writeOnly uniqueItems"),
    (Shape::Positive, "multipleOf"),
    (Shape::Number, "maximum exclusiveMaximum minimum exclusiveMinimum"),
    (
        Shape::Count,
        "maxLength minLength maxItems minItems maxContains minContains maxProperties minProperties",
    ),
    (Shape::Schema, "contentSchema additionalItems unevaluatedItems contains not if then else"),
    (Shape::Schema, "additionalProperties unevaluatedProperties propertyNames"),
    (Shape::SchemaOrSchemas, "items"),
    (Shape::Schemas, "prefixItems allOf anyOf oneOf"),
    (Shape::Names, "required"),
    (Shape::NamedNames, "dependentRequired"),
    (Shape::Dependencies, "dependencies"),
];

/// True if a draft has the keyword, whatever its value.
#[cfg(feature = "cli")]
pub(crate) fn is_keyword(name: &str) -> bool {
    KEYWORDS.iter().any(|(_, names)| names.split(' ').any(|known| known == name))
}

/// Checks a whole schema.
///
/// # Errors
/// What is wrong first, as the rest of a sentence about the schema, with its path and value.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    check_schema("", schema, schema)
}

/// The complaint about a value: the rest of a sentence about the schema that it is in.
pub(crate) fn wrong(path: &str, value: &Value, expected: &str) -> String {
    format!("has `{path}` {}, which must be {expected}", printable(&value.to_string()))
}

fn check_schema(path: &str, schema: &Value, root: &Value) -> Result<(), String> {
    match schema {
        Value::Object(keywords) => keywords.iter().try_for_each(|(name, value)| {
            let shape = KEYWORDS.iter().find(|(_, names)| names.split(' ').any(|known| known == name));
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            shape.map_or(Ok(()), |(shape, _)| check_keyword(*shape, &path, value, root))
        }),
        Value::Bool(_) => Ok(()),
        _ => Err(wrong(path, schema, "a schema: an object, true or false")),
    }
}

fn check_keyword(shape: Shape, path: &str, value: &Value, root: &Value) -> Result<(), String> {
    let must_be = |fits: bool, expected: &str| if fits { Ok(()) } else { Err(wrong(path, value, expected)) };
    match shape {
        Shape::Schema => check_schema(path, value, root),
        Shape::Schemas => match value {
            Value::Array(schemas) if !schemas.is_empty() => check_each(path, schemas, root),
            _ => must_be(false, "an array of at least one schema"),
        },
        Shape::SchemaOrSchemas => match value {
            Value::Array(_) if !has_lists_of_items(root) => {
                must_be(false, "a schema; `prefixItems` has one for each place, or `$schema` names draft-07")
            }
            Value::Array(schemas) => check_each(path, schemas, root),
            _ => check_schema(path, value, root),
        },
        Shape::Named => named(path, value)?
            .iter()
            .try_for_each(|(name, schema)| check_schema(&format!("{path}.{name}"), schema, root)),
        Shape::NamedNames => named(path, value)?.iter().try_for_each(|(name, names)| {
            check_keyword(Shape::Names, &format!("{path}.{name}"), names, root)
        }),
        Shape::Dependencies => named(path, value)?.iter().try_for_each(|(name, either)| {
            let shape = if either.is_array() { Shape::Names } else { Shape::Schema };
            check_keyword(shape, &format!("{path}.{name}"), either, root)
        }),
        Shape::Type => must_be(
            is_type(value),
            &format!("one of {}, or an array of some", JsonType::ALL.map(JsonType::name).join(", ")),
        ),
        Shape::Names => must_be(is_names(value), "an array of strings, none of them twice"),
        Shape::Values => must_be(value.is_array(), "an array"),
        Shape::Choices => must_be(
            value.as_array().is_some_and(|values| !values.is_empty()),
            "an array of at least one value",
        ),
        Shape::Text => must_be(value.is_string(), "a string"),
        Shape::Flag => must_be(value.is_boolean(), "true or false"),
        Shape::Number => must_be(value.is_number(), "a number"),
        Shape::Positive => {
            must_be(value.as_f64().is_some_and(|number| number > 0.0), "a number greater than 0")
        }
        Shape::Count => must_be(is_count(value), "a whole number, 0 or more"),
        Shape::Reference => match value.as_str() {
            Some(reference) => check_reference(path, reference, value, root),
            None => must_be(false, "a string"),
        },
    }
}

/// True if `$schema` names a draft before 2020-12, which is the default (MCP 2025-11-25, basic, JSON Schema usage). In those
/// `items` may be an array of schemas.
fn has_lists_of_items(root: &Value) -> bool {
    let draft = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
    draft.contains("/draft-0") || draft.contains("/draft/2019-09/")
}

fn check_each(path: &str, schemas: &[Value], root: &Value) -> Result<(), String> {
    let mut places = schemas.iter().enumerate();
    places.try_for_each(|(at, schema)| check_schema(&format!("{path}[{at}]"), schema, root))
}

fn named<'a>(path: &str, value: &'a Value) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| wrong(path, value, "an object"))
}

/// Clients look for what is referred to in the schema itself, and fetch nothing. Where schemas within it have ids of their
/// own, a reference may be to one of those.
fn check_reference(path: &str, reference: &str, value: &Value, root: &Value) -> Result<(), String> {
    if has_id(root) {
        return Ok(());
    }
    match reference.strip_prefix('#') {
        Some(pointer) if pointer.is_empty() || !pointer.starts_with('/') || pointer.contains('%') => Ok(()),
        Some(pointer) if root.pointer(pointer).is_some() => Ok(()),
        _ => Err(wrong(path, value, "the place of a schema within this one, such as \"#/$defs/point\"")),
    }
}

fn has_id(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.contains_key("$id") || members.values().any(has_id),
        Value::Array(items) => items.iter().any(has_id),
        _ => false,
    }
}

fn is_type(value: &Value) -> bool {
    let known = |value: &Value| value.as_str().and_then(JsonType::named).is_some();
    match value {
        Value::Array(names) => !names.is_empty() && names.iter().all(known) && !has_twice(names),
        single => known(single),
    }
}

fn is_names(value: &Value) -> bool {
    value.as_array().is_some_and(|names| names.iter().all(Value::is_string) && !has_twice(names))
}

fn has_twice(values: &[Value]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    values.iter().filter_map(Value::as_str).any(|text| !seen.insert(text))
}

fn is_count(value: &Value) -> bool {
    value.is_u64() || value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(schema: &str) -> String {
        check(&serde_json::from_str(schema).unwrap_or_default()).err().unwrap_or_default()
    }

    #[test]
    fn schemas_of_every_shape_pass() {
        for schema in [
            "true",
            "{}",
            r##"{"$ref":"#"}"##,
            r##"{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":["string","null"]}}}"##,
            r##"{"$ref":"#name","$anchor":"name"}"##,
            r##"{"$ref":"other","$defs":{"x":{"$id":"other"}}}"##,
            r#"{"$schema":"https://json-schema.org/draft/2019-09/schema","items":[{}]}"#,
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"},true],"additionalItems":false}"#,
            r#"{"prefixItems":[{}],"items":false,"uniqueItems":true,"contains":{},"minContains":0}"#,
            r#"{"dependencies":{"a":["b"],"c":{"required":[]}},"dependentRequired":{"a":["b"]}}"#,
            r#"{"if":{"const":1},"then":true,"else":{"not":{}},"multipleOf":0.5,"minLength":1.0}"#,
            r#"{"enum":[null],"default":{"type":"strng"},"examples":[1],"x-any":{"type":"strng"}}"#,
            r#"{"properties":{"type":{"type":"string"},"required":true},"required":["type"]}"#,
        ] {
            assert_eq!(problem(schema), "", "{schema}");
        }
    }

    #[test]
    fn what_has_another_shape_is_named_with_its_place_and_value() {
        let types = "one of null, boolean, object, array, number, string, integer, or an array of some";
        for (schema, path, value, expected) in [
            (r#"{"properties":[]}"#, "properties", "[]", "an object"),
            (r#"{"required":"a"}"#, "required", r#""a""#, "an array of strings, none of them twice"),
            (
                r#"{"required":["a","a"]}"#,
                "required",
                r#"["a","a"]"#,
                "an array of strings, none of them twice",
            ),
            (
                r#"{"properties":{"a":"string"}}"#,
                "properties.a",
                r#""string""#,
                "a schema: an object, true or false",
            ),
            (r#"{"properties":{"a":{"type":"strng"}}}"#, "properties.a.type", r#""strng""#, types),
            (r#"{"type":[]}"#, "type", "[]", types),
            (r#"{"type":["null","null"]}"#, "type", r#"["null","null"]"#, types),
            (r#"{"items":{"anyOf":[]}}"#, "items.anyOf", "[]", "an array of at least one schema"),
            (r#"{"allOf":[{},{"not":1}]}"#, "allOf[1].not", "1", "a schema: an object, true or false"),
            (
                r#"{"$schema":"http://json-schema.org/draft-04/schema#","items":[{"type":1}]}"#,
                "items[0].type",
                "1",
                types,
            ),
            (
                r#"{"items":[{}]}"#,
                "items",
                "[{}]",
                "a schema; `prefixItems` has one for each place, or `$schema` names draft-07",
            ),
            (
                r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","items":[]}"#,
                "items",
                "[]",
                "a schema; `prefixItems` has one for each place, or `$schema` names draft-07",
            ),
            (r#"{"enum":[]}"#, "enum", "[]", "an array of at least one value"),
            (r#"{"examples":1}"#, "examples", "1", "an array"),
            (r#"{"minLength":-1}"#, "minLength", "-1", "a whole number, 0 or more"),
            (r#"{"maxItems":1.5}"#, "maxItems", "1.5", "a whole number, 0 or more"),
            (r#"{"multipleOf":0}"#, "multipleOf", "0", "a number greater than 0"),
            (r#"{"exclusiveMinimum":true}"#, "exclusiveMinimum", "true", "a number"),
            (r#"{"uniqueItems":1}"#, "uniqueItems", "1", "true or false"),
            (r#"{"description":null}"#, "description", "null", "a string"),
            (
                r#"{"dependentRequired":{"a":"b"}}"#,
                "dependentRequired.a",
                r#""b""#,
                "an array of strings, none of them twice",
            ),
            (r#"{"$ref":1}"#, "$ref", "1", "a string"),
            (
                r##"{"items":{"$ref":"#/$defs/none"}}"##,
                "items.$ref",
                r##""#/$defs/none""##,
                "the place of a schema within this one, such as \"#/$defs/point\"",
            ),
            (
                r#"{"$ref":"https://a.example/s.json"}"#,
                "$ref",
                r#""https://a.example/s.json""#,
                "the place of a schema within this one, such as \"#/$defs/point\"",
            ),
        ] {
            assert_eq!(problem(schema), format!("has `{path}` {value}, which must be {expected}"));
        }
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(99));
        assert!(problem(&long).contains(&format!("`type` \"{}…, which", "x".repeat(79))));
    }
}
