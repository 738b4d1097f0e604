//! Reading the entries of `mcpServers`.

use std::path::PathBuf;

use crate::cli::manifest::command::{env, folder};
use crate::cli::manifest::definitions::Definitions;
use crate::cli::manifest::entries::{McpServerEntry, ToolFilter};
use crate::cli::manifest::reader::{Reader, Value};
use crate::text::printable;

/// Reads the section.
pub(super) fn mcp_servers<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    definitions: &mut Definitions,
) -> Option<Vec<McpServerEntry>> {
    let mut entries = Vec::new();
    for (name, member, _) in reader.members(value)? {
        let is_segment = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_segment) || name.bytes().all(|byte| byte == b'.') {
            let message = format!(
                "the name `{}` becomes a part of a path; write it in A-Z a-z 0-9 _ - .",
                printable(&name)
            );
            reader.problem(&member, message);
        }
        definitions.define(reader, "MCP server", &name, &member);
        entries.extend(mcp_server(reader, name.into_owned(), &member));
    }
    Some(entries)
}

fn mcp_server<'a>(reader: &mut Reader<'a>, name: String, value: &Value<'a>) -> Option<McpServerEntry> {
    let section = reader.section(value, &["type", "command", "args", "env", "cwd", "tools"])?;
    section.read(reader, "type", |reader, value| reader.word(value, &["stdio"]));
    let command = section.require(reader, "command", "write the program that is the server", command);
    let args = section
        .read(reader, "args", |reader, value| reader.list(value, Reader::system_text))
        .unwrap_or_default();
    let env = section.read(reader, "env", env).unwrap_or_default();
    let cwd = section.read(reader, "cwd", folder);
    let tools = section.read(reader, "tools", filter).unwrap_or_default();
    let position = reader.source.position(value.json.start(), &value.pointer);
    Some(McpServerEntry { position, name, command: command?, args, env, cwd, tools })
}

/// A name alone is looked for on the `PATH` when the server is started, as other clients do with these entries.
fn command<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<PathBuf> {
    let text = reader.system_text(value)?;
    if text.is_empty() {
        reader.problem(value, "`command` is empty; write a program");
        return None;
    }
    if text.contains('/') {
        return Some(reader.absolute(&text));
    }
    let message = match reader.on_path(&text) {
        Some(found) => format!(
            "`{}` is looked for on the PATH, where it is now {}; write that path to be sure",
            printable(&text),
            found.display()
        ),
        None => format!("there is no program `{}` on the PATH now", printable(&text)),
    };
    reader.warning(value, message);
    Some(PathBuf::from(text))
}

fn filter<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<ToolFilter> {
    let section = reader.section(value, &["allow", "deny"])?;
    Some(ToolFilter {
        allow: section.read(reader, "allow", |reader, value| reader.list(value, Reader::name)),
        deny: section
            .read(reader, "deny", |reader, value| reader.list(value, Reader::name))
            .unwrap_or_default(),
    })
}
