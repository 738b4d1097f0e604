//! Checks of what a server offers.
//!
//! *Scope:* items that a builder or a [`Handle`](crate::Handle) adds. *Not in scope:* limits and HTTP settings, which check
//! themselves.

use crate::json::tape::{Fault, Tape};
use crate::json::value::Members;
use crate::jsonrpc::Error;
use crate::jsonrpc::unreadable::over_limit;
use crate::limits::Limits;
use crate::protocol::description::{Implementation, Prompt, Resource, ResourceTemplate, Tool};
#[cfg(feature = "stateless")]
use crate::protocol::param_headers::annotations;
use crate::protocol::uri_syntax;
use crate::schema::meta;
use crate::text::printable;
use serde_json::Value;

/// # Errors
/// A sentence that names the tool, and what about it is wrong.
pub(crate) fn check_tool(tool: &Tool) -> Result<(), String> {
    let name = &tool.name;
    if !is_tool_name(name) {
        return Err(format!("tool `{name}`: a name has 1 to 128 characters of A-Z a-z 0-9 _ . - /"));
    }
    for (what, text) in [("input", &tool.input_schema), ("output", &tool.output_schema)] {
        text.as_deref()
            .map_or(Ok(()), check_schema)
            .map_err(|problem| format!("tool `{name}`: its {what} schema {problem}"))?;
    }
    #[cfg(feature = "stateless")]
    tool.input_schema
        .as_deref()
        .map_or(Ok(Vec::new()), annotations)
        .map_err(|problem| format!("tool `{name}`: {problem}"))?;
    check_icons(tool.icon_uris()).map_err(|problem| format!("tool `{name}`: {problem}"))
}

/// True if a tool may have this name.
pub(crate) fn is_tool_name(name: &str) -> bool {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(lawful)
}

/// True if large model APIs accept the tool's name. They refuse every request whose list of tools has another one.
pub(crate) fn is_widely_taken(tool_name: &str) -> bool {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=64).contains(&tool_name.len()) && tool_name.bytes().all(lawful)
}

/// Checks a resource of a list, or of a link in a result.
///
/// # Errors
/// A sentence that names the URI, and what about it or the rest is wrong.
pub(crate) fn check_resource(resource: &Resource) -> Result<(), String> {
    uri_syntax::check(&resource.uri)
        .and_then(|()| check_icons(resource.icon_uris()))
        .and_then(|()| resource.check_annotations())
        .and_then(|()| resource.check_cache())
        .map_err(|problem| format!("resource `{}`: {problem}", resource.uri))
}

/// # Errors
/// A sentence that names the template.
pub(crate) fn check_template(template: &ResourceTemplate) -> Result<(), String> {
    uri_syntax::check(&with_values(&template.uri_template))
        .and_then(|()| check_icons(template.icon_uris()))
        .and_then(|()| template.check_annotations())
        .and_then(|()| template.check_cache())
        .map_err(|problem| format!("resource template `{}`: {problem}", template.uri_template))
}

/// A URI of the template: each variable has a value that is allowed everywhere.
fn with_values(template: &str) -> String {
    let mut parts = template.split('{');
    let mut uri = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        uri.push_str(if uri.is_empty() { "x" } else { "1" });
        uri.push_str(part.split_once('}').map_or(part, |(_, literal)| literal));
    }
    uri
}

/// # Errors
/// A sentence that names the prompt.
pub(crate) fn check_prompt(prompt: &Prompt) -> Result<(), String> {
    if prompt.name.is_empty() {
        return Err("a prompt has no name".to_owned());
    }
    check_icons(prompt.icon_uris()).map_err(|problem| format!("prompt `{}`: {problem}", prompt.name))
}

/// # Errors
/// A sentence that says what is wrong with the server's name, website or icons.
pub(crate) fn check_info(info: &Implementation) -> Result<(), String> {
    if info.name.is_empty() {
        return Err("the server has no name".to_owned());
    }
    let website = info.website_url.as_deref().map_or(Ok(()), |url| {
        uri_syntax::check(url).map_err(|problem| format!("its website URL `{url}`: {problem}"))
    });
    website.and_then(|()| check_icons(info.icon_uris())).map_err(|problem| format!("the server: {problem}"))
}

fn check_icons<'a>(mut uris: impl Iterator<Item = &'a str>) -> Result<(), String> {
    uris.try_for_each(|uri| {
        uri_syntax::check(uri).map_err(|problem| format!("its icon `{}`: {problem}", printable(uri)))
    })
}

/// Checks a schema, which goes out with every list: one that clients refuse must be reported to the author.
fn check_schema(text: &str) -> Result<(), String> {
    let (limits, bytes) = (Limits::DEFAULT, text.len());
    if bytes > limits.page_bytes_max {
        return Err(format!("has {bytes} bytes; a page of a list has {}", limits.page_bytes_max));
    }
    let mut tape = Tape::new();
    let root = match tape.read_within(text, &limits) {
        Ok(root) if root.is_object() => root,
        Ok(_) | Err(Fault::Syntax) => return Err(format!("is not a JSON object: {text}")),
        Err(fault) => return Err(format!("is refused: {}", over_limit(fault, &limits).message)),
    };
    let members =
        Members::of(root).map_err(|problem| format!("is refused: {}", Error::from(problem).message))?;
    // Only 2026-07-28 allows other output schemas, and a tool is for clients of every revision.
    if members.text("type").as_deref() != Some("object") {
        return Err(
            "must have `\"type\": \"object\"` at its root, or clients refuse the whole list".to_owned()
        );
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("is refused: {error}"))?;
    meta::check(&schema)?;
    // MCP is narrower than JSON Schema here (MCP schema, `Tool`).
    let mut properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    match properties.find(|(_, property)| !property.is_object()) {
        Some((name, property)) => Err(meta::wrong(&format!("properties.{name}"), property, "an object")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_model_apis_take() {
        for (name, lawful) in [("add_2-x", true), ("a.b", false), ("a/b", false), ("", false)] {
            assert_eq!(is_widely_taken(name), lawful, "{name}");
        }
        assert!(is_widely_taken(&"x".repeat(64)) && !is_widely_taken(&"x".repeat(65)));
    }

    #[test]
    fn schemas_have_the_shapes_of_the_meta_schema() {
        let types = "one of null, boolean, object, array, number, string, integer, or an array of some";
        for (members, problem) in [
            (r#""properties":{}"#, String::new()),
            (r#""properties":{"a":{"properties":{"b":true}}},"required":["a"]"#, String::new()),
            (r#""properties":[]"#, "has `properties` [], which must be an object".to_owned()),
            (
                r#""required":"a""#,
                "has `required` \"a\", which must be an array of strings, none of them twice".to_owned(),
            ),
            (r#""properties":{"a":true}"#, "has `properties.a` true, which must be an object".to_owned()),
            (
                r#""properties":{"a":{"items":{"type":"strng"}}}"#,
                format!("has `properties.a.items.type` \"strng\", which must be {types}"),
            ),
            (
                r#""properties":{},"properties":{}"#,
                "is refused: Invalid params: member `properties` occurs twice".to_owned(),
            ),
        ] {
            let schema = format!(r#"{{"type":"object",{members}}}"#);
            let (input, output) =
                (Tool::new("t", "").input_schema(&*schema), Tool::new("t", "").output_schema(&*schema));
            for (what, tool) in [("input", input), ("output", output)] {
                let expected = match problem.is_empty() {
                    true => Ok(()),
                    false => Err(format!("tool `t`: its {what} schema {problem}")),
                };
                assert_eq!(check_tool(&tool), expected);
            }
        }
    }

    #[test]
    fn schemas_are_of_objects() {
        let complaint = "schema must have `\"type\": \"object\"` at its root";
        for (schema, complaint) in [
            (r#"{"type":"object"}"#, ""),
            (r#"{"$schema":"x","typ\u0065" : "\u006fbject","oneOf":[{},{"type":"null"}]}"#, ""),
            ("{}", complaint),
            (r#"{"type":["object"]}"#, complaint),
            (r#"{"type":"array","items":{"type":"object"}}"#, complaint),
            (r#"{"oneOf":[{"type":"object"}]}"#, complaint),
            (r#"{"type":"array","type":"object"}"#, "schema is refused"),
        ] {
            let (input, output) =
                (Tool::new("t", "").input_schema(schema), Tool::new("t", "").output_schema(schema));
            for (what, tool) in [("input", input), ("output", output)] {
                let problem = check_tool(&tool).err().unwrap_or_default();
                let expected = if complaint.is_empty() {
                    String::new()
                } else {
                    format!("tool `t`: its {what} {complaint}")
                };
                assert!(
                    problem.starts_with(&expected) && problem.is_empty() == expected.is_empty(),
                    "{schema}: {problem}"
                );
            }
        }
    }

    #[test]
    fn schemas_are_bounded() {
        let nested = |depth: usize| {
            format!(
                r#"{{"type":"object","a":{}{}"#,
                r#"{"a":"#.repeat(depth - 2) + "{}",
                "}".repeat(depth - 1)
            )
        };
        let wide = |values: usize| format!(r#"{{"type":"object","enum":[{}1]}}"#, "1,".repeat(values - 4));
        let long =
            |bytes: usize| format!(r#"{{"type":"object","description":"{}"}}"#, "x".repeat(bytes - 34));
        for (schema, complaint) in [
            (nested(64), ""),
            (nested(65), "json_depth_max (64)"),
            (wide(100_000), ""),
            (wide(100_001), "json_values_max"),
            (long(512 << 10), ""),
            (long((512 << 10) + 1), "has 524289 bytes; a page of a list has 524288"),
            ("[]".to_owned(), "is not a JSON object: []"),
            ("{".to_owned(), "is not a JSON object: {"),
        ] {
            let problem = check_tool(&Tool::new("t", "").input_schema(schema)).err().unwrap_or_default();
            assert!(
                problem.contains(complaint) && problem.is_empty() == complaint.is_empty(),
                "{problem:.200}"
            );
        }
    }
}
