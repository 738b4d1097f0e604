//! Arguments that a client also sends as header fields (MCP 2026-07-28, `x-mcp-header`).
//!
//! *Scope:* the annotations in a tool's schema, and checking them. *Not in scope:* comparing fields with the body (`headers`).

use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::text::{is_token_byte, printable};

const ANNOTATION: &str = "x-mcp-header";
/// Bytes that the annotations of one tool may take. Each has a whole path, so that a short schema can stand for many.
const ANNOTATIONS_BYTES_MAX: usize = 16 << 10;

/// One annotated property: its path in the arguments, and the `X` of its `Mcp-Param-X`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) path: Vec<String>,
    pub(crate) header: String,
}

impl Annotation {
    fn bytes(&self) -> usize {
        let path = self.path.iter().map(|name| size_of::<String>() + name.len()).sum::<usize>();
        size_of::<Annotation>() + path + self.header.len()
    }
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
            return Err(format!("{ANNOTATION} `{}` occurs twice", annotation.header));
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
                    format!("{ANNOTATION} `{header}` must be on a property that stands for one argument, not on an item or an alternative")
                })?;
                found.push(Annotation { path, header });
                if found.iter().map(Annotation::bytes).sum::<usize>() > ANNOTATIONS_BYTES_MAX {
                    return Err(format!(
                        "the members with {ANNOTATION} and their paths have more than {ANNOTATIONS_BYTES_MAX} bytes together"
                    ));
                }
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
    let header = value.as_str().ok_or_else(|| format!("{ANNOTATION} {} must be a string", value.text()))?;
    if header.is_empty() || !header.bytes().all(is_token_byte) {
        return Err(format!(
            "{ANNOTATION} `{}` must be a token (RFC 9110, section 5.6.2)",
            printable(&header)
        ));
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
mod tests {
    use super::*;

    #[test]
    fn annotations_that_clients_would_drop_the_tool_for() {
        assert_eq!(annotations(ANNOTATED).map(|found| found.len()), Ok(3));
        for (schema, complaint) in [
            (r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#, "type \"number\""),
            (r#"{"properties":{"a":{"x-mcp-header":"A"}}}"#, "type null"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#, "must be a token"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#, "`a b` must be a token"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":1}}}"#, "1 must be a string"),
            (r#"{"type":"string","x-mcp-header":"A"}"#, "stands for one argument"),
            (
                r#"{"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}}"#,
                "stands for one argument",
            ),
            (
                r#"{"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
                "stands for one argument",
            ),
            (r#"{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}"#, "stands for one argument"),
            (
                r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
                "`a` occurs twice",
            ),
        ] {
            let error = annotations(schema).unwrap_err();
            assert!(error.contains(complaint), "{schema}: {error}");
        }
        assert_eq!(annotations(r#"{"properties":{"a":{"default":{"x-mcp-header":"A"}}}}"#), Ok(vec![]));
    }

    #[test]
    fn annotations_that_take_much_are_refused() {
        let schema = |bytes: usize| {
            let name = "n".repeat(bytes);
            format!(r#"{{"properties":{{"{name}":{{"type":"string","x-mcp-header":"X"}}}}}}"#)
        };
        let most = ANNOTATIONS_BYTES_MAX - size_of::<Annotation>() - size_of::<String>() - 1;
        assert_eq!(annotations(&schema(most)).unwrap().len(), 1);
        assert!(annotations(&schema(most + 1)).unwrap_err().contains("more than 16384 bytes together"));
    }
}
