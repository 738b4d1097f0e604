//! Header fields that repeat what a stateless request says, so that proxies can route it (MCP 2026-07-28, transports,
//! "Standard Request Headers" and "Custom Headers").
//!
//! *Scope:* their values, and which arguments of a tool have one. *Not in scope:* sending them.
//!
//! ```text
//!   plain visible ASCII ──▶ as it is
//!   anything else ────────▶ =?base64?…?=
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::base64::encode as encode_base64;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::protocol::meta_names::named_by;
use crate::protocol::param_headers::{Annotation, annotations};

const MARK: &str = "=?base64?";

/// The annotated arguments of each tool that was listed.
#[derive(Debug, Default)]
pub(crate) struct Params(BTreeMap<String, Vec<Annotation>>);

impl Params {
    /// Takes note of listed tools. Removes those whose annotations are wrong, as clients must (MCP 2026-07-28, transports,
    /// "Custom Headers"): a call of such a tool would only be refused.
    pub(crate) fn learn(&mut self, tools: &mut Vec<Box<RawValue>>) {
        tools.retain(|tool| {
            let mut tape = Tape::new();
            tape.read(tool.get()).map_or(true, |tool| self.learn_tool(tool))
        });
    }

    /// Takes note of a listed tool. Returns false if its annotations are wrong.
    pub(crate) fn learn_tool(&mut self, tool: JsonRef<'_>) -> bool {
        let text = |name: &str| tool.member(name).ok().flatten();
        let Some(name) = text("name").and_then(JsonRef::as_str) else { return true };
        let found = text("inputSchema").map_or(Ok(Vec::new()), |schema| annotations(schema.text()));
        self.0.remove(&*name);
        let Ok(found) = found else { return false };
        if !found.is_empty() {
            self.0.insert(name.into_owned(), found);
        }
        true
    }

    /// Returns of how many tools annotated arguments are known.
    #[cfg(feature = "bridge")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// True if annotated arguments of a tool with this name are known.
    #[cfg(feature = "bridge")]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the field lines for a call of a tool.
    fn lines(&self, tool: &str, arguments: Option<JsonRef<'_>>) -> String {
        let mut lines = String::new();
        for Annotation { path, header } in self.0.get(tool).map(Vec::as_slice).unwrap_or_default() {
            let value = path.iter().try_fold(arguments, |value, name| value?.member(name).ok());
            if let Some(text) = value.flatten().and_then(scalar) {
                lines.push_str(&line(&format!("Mcp-Param-{header}"), &text));
            }
        }
        lines
    }
}

/// Returns the header field lines that repeat what a request of this revision says.
pub(crate) fn fields(revision: &str, method: &str, params: &Members<'_>, annotated: &Params) -> String {
    let mut fields = line("MCP-Protocol-Version", revision);
    fields.push_str(&line("Mcp-Method", method));
    let name = match method {
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => named_by(method),
    };
    if let Some(name) = name.and_then(|name| params.text(name)) {
        fields.push_str(&line("Mcp-Name", &name));
        if method == "tools/call" {
            fields.push_str(&annotated.lines(&name, params.get("arguments")));
        }
    }
    fields
}

/// Returns a field line with a value of any characters.
fn line(name: &str, value: &str) -> String {
    format!("{name}: {}\r\n", encoded(value))
}

fn encoded(value: &str) -> Cow<'_, str> {
    let plain = !value.is_empty()
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && value.trim_ascii().len() == value.len()
        && !value.starts_with(MARK);
    if plain {
        return Cow::Borrowed(value);
    }
    let mut base64 = Vec::new();
    encode_base64(&mut base64, value.as_bytes());
    Cow::Owned(format!("{MARK}{}?=", String::from_utf8_lossy(&base64)))
}

/// Returns the text of a string, an integer or a boolean.
fn scalar(value: JsonRef<'_>) -> Option<Cow<'_, str>> {
    match value.text().as_bytes().first()? {
        b'"' => value.as_str(),
        b'n' | b'{' | b'[' => None,
        _ => Some(Cow::Borrowed(value.text())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn values_that_are_no_plain_text_are_encoded() {
        for (value, expected) in [
            ("echo", "echo"),
            ("two words", "two words"),
            ("café", "=?base64?Y2Fmw6k=?="),
            ("", "=?base64??="),
            (" x", "=?base64?IHg=?="),
            ("a\r\nHost: b", "=?base64?YQ0KSG9zdDogYg==?="),
            ("=?base64?", "=?base64?PT9iYXNlNjQ/?="),
        ] {
            assert_eq!(encoded(value), expected, "{value:?}");
        }
    }

    #[test]
    fn annotated_arguments_have_fields() {
        let mut params = Params::default();
        let mut tools = vec![raw(r#"{"name":"q","inputSchema":{"type":"object","properties":{
                "region":{"type":"string","x-mcp-header":"Region"},
                "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
                "yes":{"type":"boolean","x-mcp-header":"Yes"},"plain":{"type":"string"}}}}"#)];
        params.learn(&mut tools);
        let lines = |arguments: &str| params.lines("q", Some(Tape::new().read(arguments).unwrap()));
        assert_eq!(
            lines(r#"{"region":"a\u00e9","deep":{"n":42},"yes":true,"plain":"x"}"#),
            "Mcp-Param-Region: =?base64?YcOp?=\r\nMcp-Param-N: 42\r\nMcp-Param-Yes: true\r\n"
        );
        assert_eq!(lines(r#"{"region":null,"deep":{}}"#), "");
        assert_eq!(lines("{}"), "");
        assert_eq!(params.lines("q", None), "");
        assert_eq!(params.lines("other", Some(Tape::new().read("{}").unwrap())), "");

        // Without its annotations the tool has none.
        params.learn(&mut vec![raw(r#"{"name":"q","inputSchema":{}}"#)]);
        let arguments = r#"{"region":"x"}"#;
        assert_eq!(params.lines("q", Some(Tape::new().read(arguments).unwrap())), "");
    }

    #[test]
    fn tools_with_wrong_annotations_are_left_out() {
        for properties in [
            r#"{"a":{"type":"string","x-mcp-header":""}}"#,
            r#"{"a":{"type":"string","x-mcp-header":"a b"}}"#,
            r#"{"a":{"type":"string","x-mcp-header":"a\r\nb"}}"#,
            r#"{"a":{"type":"string","x-mcp-header":7}}"#,
            r#"{"a":{"type":"number","x-mcp-header":"A"}}"#,
            r#"{"a":{"x-mcp-header":"A"}}"#,
            r#"{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}"#,
        ] {
            let tool = format!(r#"{{"name":"bad","inputSchema":{{"properties":{properties}}}}}"#);
            let mut tools = vec![raw(&tool), raw(r#"{"name":"good"}"#)];
            Params::default().learn(&mut tools);
            assert_eq!(tools.len(), 1, "{properties}");
        }
    }
}
