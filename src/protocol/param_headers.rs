//! Arguments that a client also sends as header fields (MCP 2026-07-28, `x-mcp-header`).
//!
//! *Scope:* the annotations in a tool's schema, and checking them. *Not in scope:* comparing fields with the body (`headers`).

use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::text::{is_token_byte, printable};

const ANNOTATION: &str = "x-mcp-header";

/// One annotated property: its path in the arguments, and the `X` of its `Mcp-Param-X`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) path: Vec<String>,
    pub(crate) header: String,
}

/// Returns the annotated properties of an input schema.
///
/// # Errors
/// A sentence that names a wrong annotation: clients drop the whole tool for it.
pub(crate) fn annotations(schema: &str) -> Result<Vec<Annotation>, String> {
    if !schema.contains(ANNOTATION) {
        return Ok(Vec::new());
    }
    let mut tape = Tape::new();
    let root = tape.read(schema).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    walk(root, Some(Vec::new()), &mut found)?;
    for (at, annotation) in found.iter().enumerate() {
        if found.iter().take(at).any(|other| other.header.eq_ignore_ascii_case(&annotation.header)) {
            return Err(format!("{ANNOTATION} `{}` is there twice", annotation.header));
        }
    }
    Ok(found)
}

/// `path` leads to the schema's value in the arguments, if there is only one.
fn walk(schema: JsonRef<'_>, path: Option<Vec<String>>, found: &mut Vec<Annotation>) -> Result<(), String> {
    if let Some(mut items) = schema.items() {
        return items.try_for_each(|item| walk(item, None, found));
    }
    let Ok(members) = Members::of(schema) else { return Ok(()) };
    for (name, value) in members.iter() {
        match &*name {
            ANNOTATION => {
                let header = annotation(value, &members)?;
                let path = path.clone().filter(|path| !path.is_empty()).ok_or_else(|| {
                    format!("{ANNOTATION} `{header}` stands where it is not about one member of an object")
                })?;
                found.push(Annotation { path, header });
            }
            // Data, not schemas.
            "const" | "enum" | "default" | "examples" => {}
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                let below = path.as_ref().filter(|_| name == "properties");
                for (property, schema) in Members::of(value).unwrap_or_default().iter() {
                    let path =
                        below.map(|path| path.iter().cloned().chain([property.into_owned()]).collect());
                    walk(schema, path, found)?;
                }
            }
            _ => walk(value, None, found)?,
        }
    }
    Ok(())
}

fn annotation(value: JsonRef<'_>, schema: &Members<'_>) -> Result<String, String> {
    let header = value.as_str().ok_or_else(|| format!("{ANNOTATION} {} is no string", value.text()))?;
    if header.is_empty() || !header.bytes().all(is_token_byte) {
        return Err(format!("{ANNOTATION} `{}` is no RFC 9110 token", printable(&header)));
    }
    let kind = schema.get("type").map_or("null", JsonRef::text);
    match kind {
        r#""string""# | r#""integer""# | r#""boolean""# => Ok(header.into_owned()),
        other => Err(format!(
            "{ANNOTATION} `{header}` is on a member of type {other}; it is for string, integer and boolean"
        )),
    }
}

/// A schema for tests, here and of the fields.
#[cfg(test)]
pub(crate) const ANNOTATED: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "place":{"type":"object","properties":{"floor":{"type":"integer","x-mcp-header":"floor"}}},
        "dry":{"type":"boolean","x-mcp-header":"Dry"},
        "x-mcp-header":{"type":"array"}}}"#;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn annotations_that_clients_would_drop_the_tool_for() {
        assert_eq!(annotations(ANNOTATED).map(|found| found.len()), Ok(3));
        for (schema, complaint) in [
            (r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#, "type \"number\""),
            (r#"{"properties":{"a":{"x-mcp-header":"A"}}}"#, "type null"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#, "no RFC 9110 token"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#, "`a b` is no RFC 9110 token"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":1}}}"#, "1 is no string"),
            (r#"{"type":"string","x-mcp-header":"A"}"#, "not about one member"),
            (
                r#"{"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}}"#,
                "not about one member",
            ),
            (r#"{"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#, "not about one"),
            (r#"{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}"#, "not about one member"),
            (
                r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
                "`a` is there twice",
            ),
        ] {
            let error = annotations(schema).unwrap_err();
            assert!(error.contains(complaint), "{schema}: {error}");
        }
        assert_eq!(annotations(r#"{"properties":{"a":{"default":{"x-mcp-header":"A"}}}}"#), Ok(vec![]));
    }
}
