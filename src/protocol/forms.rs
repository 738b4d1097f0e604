//! Forms: what their schema may have, and how an older revision writes it.
//!
//! *Scope:* the grammar of `requestedSchema` (MCP schema, `ElicitRequest` and `PrimitiveSchemaDefinition`), which is much
//! narrower than JSON Schema. *Not in scope:* asking, and reading answers.
//!
//! Clients refuse a whole form for one member that they do not know, and the user never sees it.
//!
//! | place | 2025-11-25 and later | 2025-06-18 |
//! |---|---|---|
//! | root | `type`, `properties`, `required`, `$schema` | without `$schema` |
//! | default value | every field | only `boolean` |
//! | one of several, titled | `oneOf: [{const, title}, …]`, or as before | `enum`, `enumNames` |
//! | several of several | `type: array` | – |

use std::borrow::Cow;

use crate::json::tape::Tape;
use crate::json::value::{Items, JsonRef, Members};
use crate::json::write::{Object, write_list};
use crate::json::write_raw;
use crate::jsonrpc::Error;
use crate::protocol::revision::Revision;
use crate::text::printable;

/// The type of a value in a form.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Texts,
    Count,
    Number,
    Flag,
    Format,
    Titled,
}

impl Shape {
    fn noun(self) -> &'static str {
        match self {
            Shape::Text => "a string",
            Shape::Texts => "an array of strings",
            Shape::Count => "a whole number",
            Shape::Number => "a number",
            Shape::Flag => "true or false",
            Shape::Format => "email, uri, date or date-time",
            Shape::Titled => "an array of objects with `const` and `title`, both strings",
        }
    }

    fn fits(self, value: JsonRef<'_>) -> bool {
        let json = value.text();
        match self {
            Shape::Text => value.as_str().is_some(),
            Shape::Texts => value.items().is_some_and(|mut items| items.all(|item| item.as_str().is_some())),
            Shape::Count => json.parse::<u64>().is_ok(),
            Shape::Number => value.is_number(),
            Shape::Flag => matches!(json, "true" | "false"),
            Shape::Format => {
                matches!(json, r#""email""# | r#""uri""# | r#""date""# | r#""date-time""#)
            }
            Shape::Titled => value.items().is_some_and(|mut items| items.all(is_titled)),
        }
    }
}

type Grammar = &'static [(&'static str, Shape)];

/// Members that every field may have besides its `type`.
const COMMON: Grammar = &[("title", Shape::Text), ("description", Shape::Text)];
const STRING: Grammar = &[
    ("minLength", Shape::Count),
    ("maxLength", Shape::Count),
    ("format", Shape::Format),
    ("default", Shape::Text),
];
const CHOICE: Grammar = &[("enum", Shape::Texts), ("enumNames", Shape::Texts), ("default", Shape::Text)];
const TITLED_CHOICE: Grammar = &[("oneOf", Shape::Titled), ("default", Shape::Text)];
const NUMBER: Grammar = &[("minimum", Shape::Number), ("maximum", Shape::Number), ("default", Shape::Number)];
const BOOLEAN: Grammar = &[("default", Shape::Flag)];
const CHOICES: Grammar = &[("minItems", Shape::Count), ("maxItems", Shape::Count), ("default", Shape::Texts)];
const ITEMS: Grammar = &[("enum", Shape::Texts)];
const TITLED_ITEMS: Grammar = &[("anyOf", Shape::Titled)];

/// Checks a form that was written by hand.
///
/// # Errors
/// A sentence that names the member, with its value if that is wrong.
pub(crate) fn check(form: &str) -> Result<(), String> {
    let mut tape = Tape::new();
    let root = tape.read(form).map_err(|error| format!("is not JSON: {error}"))?;
    let root = members("the root", root)?;
    for (name, value) in root.iter() {
        match &*name {
            "type" if value.text() == r#""object""# => {}
            "type" => return Err(wrong("type", value, "\"object\"")),
            "$schema" => check_shape("$schema", value, Shape::Text)?,
            "required" => check_shape("required", value, Shape::Texts)?,
            "properties" => members("properties", value)?
                .iter()
                .try_for_each(|(name, field)| check_field(&format!("properties.{name}"), field))?,
            other => return Err(foreign(other, "a form", &["$schema", "type", "properties", "required"])),
        }
    }
    let missing = ["type", "properties"].into_iter().find(|name| root.get(name).is_none());
    if let Some(name) = missing {
        return Err(format!("has no `{name}`"));
    }
    let fields = root.get("properties").and_then(|fields| Members::of(fields).ok()).unwrap_or_default();
    let required = root.get("required").and_then(JsonRef::items).unwrap_or_default();
    match required.filter_map(JsonRef::as_str).find(|name| fields.get(name).is_none()) {
        Some(name) => Err(format!("requires `{name}`, which is not one of its `properties`")),
        None => Ok(()),
    }
}

fn check_field(path: &str, field: JsonRef<'_>) -> Result<(), String> {
    let field = members(path, field)?;
    let kind = field.get("type").ok_or_else(|| format!("has no `{path}.type`"))?;
    let (what, grammar) = match kind.text() {
        r#""string""# if field.get("oneOf").is_some() => ("a field with `oneOf`", TITLED_CHOICE),
        r#""string""# if field.get("enum").is_some() => ("a field with `enum`", CHOICE),
        r#""string""# => ("a field of type string", STRING),
        r#""number""# | r#""integer""# => ("a field of type number or integer", NUMBER),
        r#""boolean""# => ("a field of type boolean", BOOLEAN),
        r#""array""# => ("a field of type array", CHOICES),
        _ => return Err(wrong(&format!("{path}.type"), kind, "string, number, integer, boolean or array")),
    };
    let is_list = is_of_type(&field, "array");
    for (name, value) in field.iter() {
        match &*name {
            "type" => {}
            "items" if is_list => check_items(&format!("{path}.items"), value)?,
            _ => check_member(path, &name, value, what, &[COMMON, grammar])?,
        }
    }
    match is_list && field.get("items").is_none() {
        true => Err(format!("has no `{path}.items`")),
        false => Ok(()),
    }
}

/// The choices of a field: `{type: string, enum}` or `{anyOf}`.
fn check_items(path: &str, items: JsonRef<'_>) -> Result<(), String> {
    let choices = members(path, items)?;
    let titled = choices.get("anyOf").is_some();
    if !titled && choices.get("enum").is_none() {
        return Err(format!("has neither `{path}.enum` nor `{path}.anyOf`: a list in a form is a choice"));
    }
    for (name, value) in choices.iter() {
        match &*name {
            "type" if !titled && value.text() == r#""string""# => {}
            "type" if !titled => return Err(wrong(&format!("{path}.type"), value, "\"string\"")),
            _ if titled => check_member(path, &name, value, "an item with `anyOf`", &[TITLED_ITEMS])?,
            _ => check_member(path, &name, value, "an item with `enum`", &[ITEMS])?,
        }
    }
    match titled || choices.get("type").is_some() {
        true => Ok(()),
        false => Err(format!("has no `{path}.type`")),
    }
}

fn check_member(
    path: &str,
    name: &str,
    value: JsonRef<'_>,
    what: &str,
    grammars: &[Grammar],
) -> Result<(), String> {
    let path = format!("{path}.{name}");
    let mut known = grammars.iter().copied().flatten();
    match known.find(|(known, _)| *known == name) {
        Some((_, shape)) => check_shape(&path, value, *shape),
        None => {
            let names: Vec<&str> = grammars.iter().copied().flatten().map(|(name, _)| *name).collect();
            Err(foreign(&path, what, &names))
        }
    }
}

fn check_shape(path: &str, value: JsonRef<'_>, shape: Shape) -> Result<(), String> {
    if shape.fits(value) { Ok(()) } else { Err(wrong(path, value, shape.noun())) }
}

fn members<'a>(path: &str, value: JsonRef<'a>) -> Result<Members<'a>, String> {
    Members::of(value).map_err(|error| format!("is refused: {path}: {}", Error::from(error).message))
}

fn is_titled(choice: JsonRef<'_>) -> bool {
    let Ok(choice) = Members::of(choice) else { return false };
    let has = |name| choice.text(name).is_some();
    has("const") && has("title") && choice.iter().count() == 2
}

fn wrong(path: &str, value: JsonRef<'_>, expected: &str) -> String {
    format!("has `{path}` {}, which must be {expected}", printable(value.text()))
}

fn foreign(path: &str, what: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("has `{path}`; {what} may only have {}", names.join(", "))
}

/// Writes the schema of a form as a client of this revision knows it.
///
/// # Errors
/// What the form needs and the revision does not have, as the name of a capability.
pub(crate) fn for_revision(revision: Revision, schema: &str) -> Result<Cow<'_, str>, String> {
    if revision >= Revision::V2025_11_25 {
        return Ok(Cow::Borrowed(schema));
    }
    let mut tape = Tape::new();
    let form = tape.read(schema).ok().and_then(|form| Members::of(form).ok()).unwrap_or_default();
    let fields = form.get("properties").and_then(|fields| Members::of(fields).ok()).unwrap_or_default();
    let is_list = |field: JsonRef<'_>| Members::of(field).is_ok_and(|field| is_of_type(&field, "array"));
    if let Some((name, _)) = fields.iter().find(|(_, field)| is_list(*field)) {
        return Err(format!("let its user choose several values (`{name}`; since 2025-11-25)"));
    }
    let mut out = Vec::new();
    let mut object = Object::new(&mut out);
    for (name, value) in form.iter().filter(|(name, _)| name != "$schema") {
        match &*name {
            "properties" => object.field("properties", |out| {
                let mut properties = Object::new(out);
                for (name, field) in fields.iter() {
                    properties.field(&name, |out| write_field(out, field));
                }
            }),
            _ => object.raw(&name, value.text()),
        };
    }
    object.end();
    Ok(String::from_utf8(out).map_or(Cow::Borrowed(schema), Cow::Owned))
}

fn write_field(out: &mut Vec<u8>, field: JsonRef<'_>) {
    let members = Members::of(field).unwrap_or_default();
    let is_flag = is_of_type(&members, "boolean");
    let mut object = Object::new(out);
    for (name, value) in members.iter() {
        match &*name {
            "oneOf" => write_choices(&mut object, value.items().unwrap_or_default()),
            "default" if !is_flag => {}
            _ => drop(object.raw(&name, value.text())),
        }
    }
}

fn is_of_type(field: &Members<'_>, name: &str) -> bool {
    field.text("type").as_deref() == Some(name)
}

fn write_choices(object: &mut Object<'_>, choices: Items<'_>) {
    for (list, member) in [("enum", "const"), ("enumNames", "title")] {
        object.field(list, |out| {
            write_list(out, choices.clone(), |choice, out| {
                write_raw(out, choice.get(member).map_or("null", JsonRef::text));
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(form: &str) -> String {
        check(form).err().unwrap_or_default()
    }

    fn of_field(field: &str) -> String {
        problem(&format!(r#"{{"type":"object","properties":{{"f":{field}}}}}"#))
    }

    #[test]
    fn forms_that_the_grammar_has() {
        let root = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
            "properties":{"a":{"type":"boolean"}},"required":["a"]}"#;
        assert_eq!(problem(root), "");
        assert_eq!(problem(r#"{"type":"object","properties":{}}"#), "");
        let titled = r#"[{"const":"a","title":"A"}]"#;
        for field in [
            r#"{"type":"string","title":"T","description":"D","minLength":1,"maxLength":9,"format":"uri","default":"x"}"#,
            r#"{"type":"string","enum":["a"],"default":"a"}"#,
            r#"{"type":"string","enum":["a"],"enumNames":["A"]}"#,
            &format!(r#"{{"type":"string","oneOf":{titled},"default":"a"}}"#),
            r#"{"type":"integer","minimum":-1,"maximum":9,"default":0}"#,
            r#"{"type":"number","minimum":0.5,"default":1e3}"#,
            r#"{"type":"boolean","default":true}"#,
            r#"{"type":"array","items":{"type":"string","enum":["a"]},"minItems":1,"maxItems":2,"default":["a"]}"#,
            &format!(r#"{{"type":"array","title":"T","items":{{"anyOf":{titled}}}}}"#),
        ] {
            assert_eq!(of_field(field), "", "{field}");
        }
    }

    #[test]
    fn what_is_not_in_the_grammar_is_named() {
        for (form, expected) in [
            ("", "is not JSON"),
            ("[]", "is refused: the root: Invalid params: expected an object"),
            (r#"{"properties":{}}"#, "has no `type`"),
            (r#"{"type":"object"}"#, "has no `properties`"),
            (r#"{"type":"string","properties":{}}"#, r#"has `type` "string", which must be "object""#),
            (r#"{"type":"object","properties":[]}"#, "is refused: properties: "),
            (
                r#"{"type":"object","properties":{},"additionalProperties":false}"#,
                "has `additionalProperties`; a form may only have `$schema`, `type`, `properties`, `required`",
            ),
            (r#"{"type":"object","properties":{},"title":"T"}"#, "has `title`; a form may only"),
            (r#"{"type":"object","properties":{},"$schema":1}"#, "has `$schema` 1, which must be a string"),
            (
                r#"{"type":"object","properties":{},"required":"a"}"#,
                r#"has `required` "a", which must be an"#,
            ),
            (
                r#"{"type":"object","properties":{},"required":["a"]}"#,
                "requires `a`, which is not one of its `properties`",
            ),
            (r#"{"type":"object","properties":{},"type":"object"}"#, "member `type` occurs twice"),
        ] {
            assert!(problem(form).contains(expected), "{form}: {}", problem(form));
        }
        for (field, expected) in [
            ("true", "is refused: properties.f: "),
            ("{}", "has no `properties.f.type`"),
            (
                r#"{"type":"null"}"#,
                r#"has `properties.f.type` "null", which must be string, number, integer, boolean or array"#,
            ),
            (r#"{"type":["string","null"]}"#, r#"has `properties.f.type` ["string","null"], which"#),
            (r#"{"type":"object","properties":{}}"#, r#"has `properties.f.type` "object""#),
            (
                r#"{"type":"string","x-mcp-header":"F"}"#,
                "has `properties.f.x-mcp-header`; a field of type string may only have `title`, `description`, \
                 `minLength`, `maxLength`, `format`, `default`",
            ),
            (r#"{"type":"string","pattern":"x"}"#, "has `properties.f.pattern`; a field of type string"),
            (r#"{"type":"string","format":"uuid"}"#, "which must be email, uri, date or date-time"),
            (
                r#"{"type":"string","minLength":1.5}"#,
                "has `properties.f.minLength` 1.5, which must be a whole",
            ),
            (r#"{"type":"string","title":null}"#, "has `properties.f.title` null, which must be a string"),
            (r#"{"type":"string","enum":["a",1]}"#, "which must be an array of strings"),
            (r#"{"type":"string","enum":["a"],"minLength":1}"#, "a field with `enum` may only have"),
            (r#"{"type":"string","oneOf":[{"const":"a"}]}"#, "objects with `const` and `title`"),
            (r#"{"type":"string","oneOf":[{"const":"a","title":"A","x":1}]}"#, "objects with `const` and"),
            (r#"{"type":"integer","multipleOf":2}"#, "has `properties.f.multipleOf`"),
            (r#"{"type":"integer","default":"1"}"#, "which must be a number"),
            (r#"{"type":"boolean","default":null}"#, "which must be true or false"),
            (r#"{"type":"array"}"#, "has no `properties.f.items`"),
            (r#"{"type":"array","items":{"type":"string"}}"#, "a list in a form is a choice"),
            (r#"{"type":"array","items":{"enum":["a"]}}"#, "has no `properties.f.items.type`"),
            (r#"{"type":"array","items":{"type":"integer","enum":["a"]}}"#, r#"which must be "string""#),
            (
                r#"{"type":"array","items":{"type":"string","anyOf":[]}}"#,
                "has `properties.f.items.type`; an item with `anyOf` may only have `anyOf`",
            ),
            (
                r#"{"type":"array","items":{"type":"string","enum":["a"]},"uniqueItems":true}"#,
                "f.uniqueItems`",
            ),
        ] {
            assert!(of_field(field).contains(expected), "{field}: {}", of_field(field));
        }
    }
}
