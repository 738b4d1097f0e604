//! What is wrong with what a server was made of.
//!
//! *Scope:* checks of what a builder or a [`Handle`](crate::Handle) adds. *Not in scope:* limits and HTTP settings, which check
//! themselves.

use serde_json::value::RawValue;

use crate::Limits;
use crate::jsonrpc::{member, scan, string};
use crate::mcp::complete::Completed;
use crate::mcp::server::Registry;
use crate::mcp::{Tool, headers};

/// # Errors
/// A sentence that names the tool.
pub(crate) fn check_tool(tool: &Tool) -> Result<(), String> {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    let name = &tool.name;
    if name.is_empty() || name.len() > 128 || !name.bytes().all(lawful) {
        return Err(format!("tool `{name}`: a name has 1 to 128 characters of A-Z a-z 0-9 _ . - /"));
    }
    for (what, text) in [("input", tool.input_schema_text()), ("output", tool.output_schema_text())] {
        text.map_or(Ok(()), check_schema)
            .map_err(|problem| format!("tool `{name}`: its {what} schema {problem}"))?;
    }
    let annotations = tool.input_schema_text().map_or(Ok(()), headers::check_annotations);
    annotations.map_err(|problem| format!("tool `{name}`: {problem}"))
}

/// # Errors
/// A sentence that names the URI; one without a scheme is none (RFC 3986 §3.1).
pub(crate) fn check_uri(kind: &str, uri: &str) -> Result<(), String> {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    match scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(lawful) {
        true => Ok(()),
        false => Err(format!("{kind} `{uri}`: a URI begins with a scheme, such as `file:`")),
    }
}

/// What is wrong with completions: each must be of an argument that there is.
pub(crate) fn completion_problems(registry: &mut Registry) -> Vec<String> {
    let Registry { prompts, templates, completions, .. } = registry;
    let problem = |(of, argument): &(Completed, String)| match of {
        Completed::Prompt(name) => match prompts.find(name) {
            None => Some(format!("complete_prompt: there is no prompt `{name}`")),
            Some((prompt, ..)) if prompt.arguments.iter().any(|known| known.name == *argument) => None,
            Some(_) => Some(format!(
                "complete_prompt: prompt `{name}` has no argument `{argument}` (Prompt::argument declares those of handlers \
                 that take any JSON)"
            )),
        },
        Completed::Template(text) => match templates.find(text) {
            None => Some(format!("complete_template: there is no resource template `{text}`")),
            Some((_, template, _)) if template.variables().any(|known| known == argument) => None,
            Some(_) => {
                Some(format!("complete_template: resource template `{text}` has no variable `{argument}`"))
            }
        },
    };
    completions.keys().filter_map(problem).collect()
}

/// A schema goes out with every list, and clients read it: one that no client would take is a mistake to be told of.
fn check_schema(text: &str) -> Result<(), String> {
    let (limits, bytes) = (Limits::DEFAULT, text.len());
    if bytes > limits.page_bytes_max {
        return Err(format!("has {bytes} bytes; a page of a list has {}", limits.page_bytes_max));
    }
    scan(text.as_bytes(), &limits).map_err(|error| format!("is refused: {}", error.message))?;
    let root = serde_json::from_str::<&RawValue>(text).ok().filter(|raw| raw.get().starts_with('{'));
    let root = root.ok_or_else(|| format!("is not a JSON object: {text}"))?;
    let kind = member(root, "type").map_err(|error| format!("is refused: {}", error.message))?;
    // Only 2026-07-28 has other output schemas, and a tool is for clients of every revision.
    match kind.and_then(string).as_deref() {
        Some("object") => Ok(()),
        _ => Err("must have `\"type\": \"object\"` at its root, or clients refuse the whole list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Prompt, PromptArgument, Server};

    crate::schema! { struct Named { name: String } }

    fn problems(server: Server) -> String {
        server.checked().err().unwrap_or_default()
    }

    #[test]
    fn completions_are_of_what_is_there() {
        let begun = || {
            Server::new("s", "1")
                .complete_prompt("typed", "name", ["x"])
                .complete_prompt("any", "declared", ["x"])
                .complete_template("note:///{id}", "id", ["x"])
        };
        let any = Prompt::new("any", "Any").argument(PromptArgument::new("declared"));
        let whole = |server: Server| {
            server
                .prompt("typed", "Typed", |_: Named, _| "x")
                .add_prompt(any.clone(), |_: serde_json::Value, _| "x")
                .template("note:///{id}", "note", |_, _| "x")
        };
        assert_eq!(problems(whole(begun())), "");
        assert_eq!(
            problems(begun()),
            "complete_prompt: there is no prompt `any`; complete_prompt: there is no prompt `typed`; complete_template: \
             there is no resource template `note:///{id}`"
        );
        let argument = "(Prompt::argument declares those of handlers that take any JSON)";
        for (server, problem) in [
            (
                begun().complete_prompt("typed", "nam", ["x"]),
                format!("complete_prompt: prompt `typed` has no argument `nam` {argument}"),
            ),
            (
                begun().complete_prompt("any", "other", ["x"]),
                format!("complete_prompt: prompt `any` has no argument `other` {argument}"),
            ),
            (
                begun().complete_template("note:///{id}", "ids", ["x"]),
                "complete_template: resource template `note:///{id}` has no variable `ids`".to_owned(),
            ),
        ] {
            assert_eq!(problems(whole(server)), problem);
        }
    }

    #[test]
    fn names_are_not_empty() {
        assert_eq!(problems(Server::new("", "1")), "the server has no name");
        let server = || Server::new("s", "1");
        assert_eq!(problems(server().prompt("", "x", |(), _| "x")), "a prompt has no name");
        assert!(problems(server().tool("", "x", |(), _| "x")).starts_with("tool ``: a name has 1 to 128"));
    }

    #[test]
    fn uris_have_a_scheme() {
        for (uri, lawful) in [
            ("calc:///pi", true),
            ("urn:x", true),
            ("svn+ssh.2-a:x", true),
            ("pi", false),
            ("/etc/motd", false),
            ("", false),
            (":x", false),
            ("1x:y", false),
            ("a/b:c", false),
            ("caf\u{e9}:x", false),
        ] {
            let expected = match lawful {
                true => String::new(),
                false => format!("resource `{uri}`: a URI begins with a scheme, such as `file:`"),
            };
            assert_eq!(problems(Server::new("s", "1").resource(uri, "r", |_| "x")), expected);
        }
        let of_template = |text: &str| problems(Server::new("s", "1").template(text, "t", |_, _| "x"));
        assert_eq!(of_template("{scheme}://x"), "");
        assert_eq!(of_template("x:{a}"), "");
        assert!(of_template("notes/{id}").starts_with("resource template `notes/{id}`: a URI begins with"));
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
