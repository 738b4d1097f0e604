//! Contents of results: text, images, audio, resources, and links to them.
//!
//! *Scope:* each type of MCP's content (MCP 2025-11-25, tools, "Tool Result") to a terminal, a pipe or a file. *Not in scope:*
//! where it goes (`output`).

use crate::base64::decode::decode;
use crate::cli::Failure;
use crate::cli::shell::output::Output;
use crate::json::value::JsonRef;
use crate::text::printable;

/// Writes one element of `content`.
pub(super) fn write(output: &mut Output, content: JsonRef<'_>) -> Result<(), Failure> {
    let member = |name: &str| content.get(name).and_then(JsonRef::as_str);
    match member("type").as_deref() {
        Some("text") => output.line(&member("text").unwrap_or_default()),
        Some(kind @ ("image" | "audio")) => write_bytes(
            output,
            kind,
            &member("mimeType").unwrap_or_default(),
            &member("data").unwrap_or_default(),
        ),
        Some("resource") => write_resource(output, content.get("resource").unwrap_or(JsonRef::NULL)),
        Some("resource_link") => {
            let (uri, name) = (member("uri").unwrap_or_default(), member("name").unwrap_or_default());
            output.line(&format!("{}  {}", printable(&uri), printable(&name)))
        }
        // A type that MCP does not have yet.
        _ => output.json(content.text()),
    }
}

/// Writes the contents of a resource.
pub(super) fn write_resource(output: &mut Output, resource: JsonRef<'_>) -> Result<(), Failure> {
    let member = |name: &str| resource.get(name).and_then(JsonRef::as_str);
    match (member("text"), member("blob")) {
        // Byte for byte as it is, but a terminal's next line begins at its left.
        (Some(text), _) if output.is_terminal => output.line(&text),
        (Some(text), _) => output.text(&text),
        (None, Some(blob)) => write_bytes(output, "blob", &member("mimeType").unwrap_or_default(), &blob),
        (None, None) => output.json(resource.text()),
    }
}

fn write_bytes(output: &mut Output, kind: &str, mime_type: &str, base64: &str) -> Result<(), Failure> {
    let Some(bytes) = decode(base64.as_bytes()) else {
        return Err(Failure::system(format!("the server sent data of type {kind} that is not base64")));
    };
    match output.is_terminal {
        true => {
            let mime_type =
                if mime_type.is_empty() { String::new() } else { format!(" {}", printable(mime_type)) };
            output.line(&format!("[{kind}{mime_type}, {} bytes; -o FILE writes it to a file]", bytes.len()))
        }
        false => output.bytes(&bytes),
    }
}

/// The text of a result in one line, for an error.
pub(super) fn text_of(result: JsonRef<'_>) -> String {
    let contents = result.get("content").and_then(JsonRef::items).unwrap_or_default();
    let texts: Vec<String> = contents
        .filter_map(|content| Some(content.get("text")?.as_str()?.trim().to_owned()))
        .filter(|text| !text.is_empty())
        .collect();
    match (texts.is_empty(), result.get("structuredContent")) {
        (true, Some(structured)) => structured.text().to_owned(),
        (true, None) => "it does not say why".to_owned(),
        (false, _) => texts.join(" "),
    }
}
