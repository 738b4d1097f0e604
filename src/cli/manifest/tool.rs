//! Reading tools.

use crate::cli::json_schema::Schema;
use crate::cli::manifest::argv_reader::Templates;
use crate::cli::manifest::command::{COMMAND_KEYS, Defaults, bytes, command};
use crate::cli::manifest::definitions::{Definitions, at};
use crate::cli::manifest::entries::{Confirm, Output, ToolEntry};
use crate::cli::manifest::known::KnownArguments;
use crate::cli::manifest::reader::{Reader, Section, Value, shown};
use crate::cli::manifest::risks;
use crate::json::tape::Tape;
use crate::protocol::check::{is_tool_name, is_widely_taken};
use crate::protocol::description::{Hints, Tool};
use crate::text::{is_token_byte, nearest, printable};

const TOOL_KEYS: [&str; 10] = [
    "name",
    "title",
    "description",
    "annotations",
    "inputSchema",
    "outputSchema",
    "output",
    "outputBytesMax",
    "confirm",
    "principals",
];

/// The schema of a tool without arguments.
const NO_ARGUMENTS: &str = r#"{"type":"object","additionalProperties":false}"#;

/// Reads one tool.
pub(super) fn tool<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    definitions: &mut Definitions,
    defaults: &Defaults,
) -> Option<ToolEntry> {
    let entry = reader.section(value, &[&TOOL_KEYS[..], &COMMAND_KEYS].concat())?;
    let name = entry.require(reader, "name", "write the name by which clients call the tool", tool_name);
    if let Some(name) = &name {
        definitions.define(reader, "tool", name, &at(&entry, "name"));
    }
    let input = match entry.get("inputSchema") {
        Some(value) => schema(reader, &value),
        None => no_arguments(),
    };
    let known = match &input {
        Some((_, schema)) => KnownArguments::OfTool(schema),
        None => KnownArguments::Unknown,
    };
    let mut templates = Templates::new(&known);
    let output_bytes_max = entry.read(reader, "outputBytesMax", bytes).unwrap_or(defaults.output_bytes_max);
    if !entry.has("argv") {
        reader.problem(
            value,
            "`argv` is missing; write the program and its arguments, such as [\"/bin/ping\", \"{host}\"]",
        );
    }
    let command = command(reader, &entry, &mut templates, defaults, output_bytes_max);
    if let (Some(value), Some((_, schema))) = (entry.get("inputSchema"), &input) {
        risks::warn_of_arguments(reader, &value, schema);
        if !templates.uses_all {
            risks::warn_of_unused(reader, &value, schema, &templates.used);
        }
    }
    let description = entry.read(reader, "description", Reader::name);
    if !entry.has("description") {
        reader.warning(value, "`description` is missing; models choose a tool by it");
    }
    let mut tool = Tool::new(name.clone().unwrap_or_default(), description.unwrap_or_default());
    tool.common.title = entry.read(reader, "title", Reader::name);
    tool.hints = entry.read(reader, "annotations", hints).unwrap_or_default();
    let output = entry.read(reader, "output", output).unwrap_or(Output::Text);
    let output_schema =
        entry.read(reader, "outputSchema", |reader, value| output_schema(reader, value, &output));
    let confirm = entry.read(reader, "confirm", confirm);
    tool.visible = entry.read(reader, "principals", |reader, value| definitions.viewers(reader, value));
    let (input_schema, schema) = input?;
    tool.input_schema = Some(input_schema);
    let (output_text, output_schema) = output_schema.unzip();
    tool.output_schema = output_text;
    let position = reader.source.position(value.json.start(), &value.pointer);
    name.map(|_| ToolEntry { position, tool, schema, output_schema, command, output, confirm })
}

fn tool_name<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<String> {
    let name = reader.name(value)?;
    if !is_tool_name(&name) {
        reader.wrong(value, "1 to 128 characters of A-Z a-z 0-9 _ . - /");
        return None;
    }
    if !is_widely_taken(&name) {
        let message = "large model APIs refuse names other than 1 to 64 characters of A-Z a-z 0-9 _ -, and with them the whole list";
        reader.warning(value, message);
    }
    Some(name)
}

/// A schema of arguments or structured content, as one line for lists, and compiled.
fn schema<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<(String, Schema)> {
    if !value.json.is_object() {
        reader.wrong(value, "a JSON Schema, such as {\"type\": \"object\", \"properties\": {}}");
        return None;
    }
    if value.json.get("type").and_then(|kind| kind.as_str()).as_deref() != Some("object") {
        reader.problem(
            value,
            format_args!(
                "{} must have \"type\": \"object\", or clients refuse the whole list",
                value.subject()
            ),
        );
        return None;
    }
    match Schema::compile(value.json) {
        Ok(schema) => {
            check_required(reader, value, &schema);
            Some((compact(value), schema))
        }
        Err(problems) => {
            for problem in problems {
                reader.problem(&value.descend(&problem.pointer), problem.message);
            }
            None
        }
    }
}

/// JSON Schema allows to require a member that `properties` does not have. Here it is a word that is spelled otherwise.
fn check_required(reader: &mut Reader<'_>, value: &Value<'_>, schema: &Schema) {
    let names: Vec<&str> = schema.properties().map(|(name, _)| name).collect();
    for (at, name) in schema.required().enumerate().filter(|(_, name)| !names.contains(name)) {
        let meant = match nearest(name, &names) {
            Some(meant) => format!("did you mean `{}`?", printable(meant)),
            None => "add it there, or remove it here".to_owned(),
        };
        let message = format!("`{}` is not in `properties`; {meant}", printable(name));
        reader.problem(&value.descend(&format!("/required/{at}")), message);
    }
}

fn no_arguments() -> Option<(String, Schema)> {
    let mut tape = Tape::new();
    let schema = Schema::compile(tape.read(NO_ARGUMENTS).ok()?).ok()?;
    Some((NO_ARGUMENTS.to_owned(), schema))
}

/// The JSON text of a value without white space between its tokens.
fn compact(value: &Value<'_>) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in value.json.text().chars() {
        if !in_string && c.is_ascii_whitespace() {
            continue;
        }
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        out.push(c);
    }
    out
}

fn output_schema<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    output: &Output,
) -> Option<(String, Schema)> {
    let schema = schema(reader, value)?;
    if *output != Output::Json {
        reader.problem(value, "`outputSchema` is for \"output\": \"json\"; add that, or remove the schema");
    }
    Some(schema)
}

fn hints<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Hints> {
    let section =
        reader.section(value, &["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"])?;
    let hints = Hints {
        read_only: section.read(reader, "readOnlyHint", Reader::bool),
        destructive: section.read(reader, "destructiveHint", Reader::bool),
        idempotent: section.read(reader, "idempotentHint", Reader::bool),
        open_world: section.read(reader, "openWorldHint", Reader::bool),
    };
    if hints.read_only == Some(true) && hints.destructive == Some(true) {
        reader.problem(
            value,
            "a tool with `readOnlyHint` cannot have `destructiveHint`; one of them must be false",
        );
    }
    Some(hints)
}

fn output<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Output> {
    if value.json.is_object() {
        let section = reader.section(value, &["mimeType"])?;
        return section
            .require(reader, "mimeType", "write what the bytes are, \"image/png\"", mime_type)
            .map(Output::Media);
    }
    match value.json.as_str().as_deref() {
        Some("text") => Some(Output::Text),
        Some("json") => Some(Output::Json),
        Some("lines") => Some(Output::Lines),
        _ => {
            reader.wrong(value, "\"text\", \"json\", \"lines\" or {\"mimeType\": \"image/png\"}");
            None
        }
    }
}

/// A type and a subtype, perhaps with parameters (RFC 9110 §8.3.1).
pub(super) fn mime_type<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<String> {
    let text = reader.text(value)?;
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_token_byte);
    let lawful = essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !lawful {
        reader.problem(
            value,
            format_args!(
                "{} must be a MIME type such as image/png, not {}",
                value.subject(),
                shown(value.json)
            ),
        );
        return None;
    }
    Some(text)
}

fn confirm<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Confirm> {
    if value.json.is_str() {
        return Some(Confirm { message: reader.name(value)?, otherwise_run: false });
    }
    let section = confirm_section(reader, value)?;
    let message = section.require(reader, "message", "write the question to the user", Reader::name);
    let otherwise = section.read(reader, "otherwise", |reader, value| reader.word(value, &["refuse", "run"]));
    Some(Confirm { message: message?, otherwise_run: otherwise == Some("run") })
}

fn confirm_section<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Section<'a>> {
    if !value.json.is_object() {
        reader.wrong(value, "a question to the user, or {\"message\": \"...\", \"otherwise\": \"run\"}");
        return None;
    }
    reader.section(value, &["message", "otherwise"])
}
