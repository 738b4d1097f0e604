//! Reading the entries of `mcpServers`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::bridge::options::{
    BridgeOptions, CHILDREN_RANGE, Contradiction, IDLE_SECONDS_RANGE, Isolation, Restart,
};
use crate::cli::manifest::command::{env, folder};
use crate::cli::manifest::definitions::Definitions;
use crate::cli::manifest::problem::Position;
use crate::cli::manifest::reader::{Reader, Section, Value};
use crate::text::printable;

/// A stdio server of others, for bridges.
#[derive(Clone, Debug)]
pub(crate) struct McpServerEntry {
    pub(crate) position: Position,
    pub(crate) name: String,
    /// Absolute, or a name to look for on `PATH`.
    pub(crate) command: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) tools: ToolFilter,
    pub(crate) bridge: BridgeOptions,
}

/// Which tools of a server are handed on. A `*` stands for any characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ToolFilter {
    /// `None` for all.
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) deny: Vec<String>,
}

/// The JSON Schema of the section.
pub(super) const JSON_SCHEMA: &str = include_str!("mcp_servers.json");

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

/// The keys of an entry.
const KEYS: [&str; 11] = [
    "type",
    "command",
    "args",
    "env",
    "cwd",
    "tools",
    "isolate",
    "childrenMax",
    "restart",
    "eager",
    "childIdleSeconds",
];

fn mcp_server<'a>(reader: &mut Reader<'a>, name: String, value: &Value<'a>) -> Option<McpServerEntry> {
    let section = reader.section(value, &KEYS)?;
    section.read(reader, "type", |reader, value| reader.word(value, &["stdio"]));
    let command = section.require(reader, "command", "write the program that is the server", command);
    let args = section
        .read(reader, "args", |reader, value| reader.list(value, Reader::system_text))
        .unwrap_or_default();
    let env = section.read(reader, "env", env).unwrap_or_default();
    let cwd = section.read(reader, "cwd", folder);
    let tools = section.read(reader, "tools", filter).unwrap_or_default();
    let bridge = bridge(reader, &section);
    let position = reader.source.position(value.json.start(), &value.pointer);
    Some(McpServerEntry { position, name, command: command?, args, env, cwd, tools, bridge })
}

/// Reads how many processes of a server there are, and how long they run.
fn bridge<'a>(reader: &mut Reader<'a>, section: &Section<'a>) -> BridgeOptions {
    let mut options = BridgeOptions { in_manifest: true, ..BridgeOptions::default() };
    let isolate = section.read(reader, "isolate", |reader, value| reader.word(value, &["session", "shared"]));
    if isolate == Some("shared") {
        options.isolation = Isolation::Shared;
    }
    let count = section.read(reader, "childrenMax", |reader, value| reader.whole(value, CHILDREN_RANGE, ""));
    options.children_max =
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(options.children_max);
    let restart = section.read(reader, "restart", |reader, value| reader.word(value, &["needed", "never"]));
    if restart == Some("never") {
        options.restart = Restart::Never;
    }
    options.eager = section.read(reader, "eager", Reader::bool).unwrap_or_default();
    let idle =
        section.read(reader, "childIdleSeconds", |reader, value| reader.whole(value, IDLE_SECONDS_RANGE, ""));
    options.child_idle = idle.map(Duration::from_secs);
    let message = match options.contradiction() {
        // What is wrong with `isolate` was reported.
        Some(Contradiction::EagerSessions) if section.has("isolate") && isolate.is_none() => None,
        Some(Contradiction::EagerSessions) => Some(
            "`eager` is about the process that all clients have; write \"isolate\": \"shared\" too, or leave `eager` out",
        ),
        Some(Contradiction::EagerIdle) => {
            Some("`eager` keeps the process running, and `childIdleSeconds` ends it; leave one of them out")
        }
        None => None,
    };
    if let (Some(eager), Some(message)) = (section.get("eager"), message) {
        reader.problem(&eager, message);
    }
    options
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
