//! Reading prompts.

use crate::cli::manifest::argv_reader::Templates;
use crate::cli::manifest::definitions::{Definitions, at};
use crate::cli::manifest::entries::{PromptEntry, PromptMessageEntry};
use crate::cli::manifest::known::KnownArguments;
use crate::cli::manifest::reader::{Reader, Section, Value};
use crate::cli::manifest::resource::role;
use crate::protocol::annotations::Role;
use crate::protocol::description::{Prompt, PromptArgument};
use crate::text::printable;

/// Reads one prompt.
pub(super) fn prompt<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    definitions: &mut Definitions,
) -> Option<PromptEntry> {
    let keys = ["name", "title", "description", "arguments", "text", "messages", "principals"];
    let entry = reader.section(value, &keys)?;
    let name = entry.require(reader, "name", "write the name by which clients get the prompt", Reader::name);
    if let Some(name) = &name {
        definitions.define(reader, "prompt", name, &at(&entry, "name"));
    }
    let mut completions = Vec::new();
    let arguments =
        entry.read(reader, "arguments", |reader, value| arguments(reader, value, &mut completions));
    let arguments = arguments.unwrap_or_default();
    let known = KnownArguments::OfPrompt(arguments.iter().map(|argument| argument.name.clone()).collect());
    let mut templates = Templates::new(&known);
    let messages = messages(reader, &entry, &mut templates);
    let unused =
        arguments.iter().filter(|argument| !templates.uses_all && !templates.used.contains(&argument.name));
    for argument in unused {
        let message = format!("the argument `{}` stands in no text of the prompt", printable(&argument.name));
        reader.warning(&at(&entry, "arguments"), message);
    }
    let title = entry.read(reader, "title", Reader::name);
    let description = entry.read(reader, "description", Reader::name);
    if !entry.has("description") {
        reader.warning(value, "`description` is missing; users choose a prompt by it");
    }
    let mut prompt = Prompt::new(name.clone().unwrap_or_default(), description.unwrap_or_default());
    (prompt.common.title, prompt.arguments) = (title, arguments);
    prompt.visible = entry.read(reader, "principals", |reader, value| definitions.viewers(reader, value));
    name.and(messages).map(|messages| PromptEntry { prompt, completions, messages })
}

/// Reads the arguments, and what of each can be completed.
fn arguments<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    completions: &mut Vec<(String, Vec<String>)>,
) -> Option<Vec<PromptArgument>> {
    let mut arguments: Vec<PromptArgument> = Vec::new();
    for item in reader.items(value)? {
        let Some((argument, values)) = argument(reader, &item) else { continue };
        if arguments.iter().any(|other| other.name == argument.name) {
            let message = format!("the prompt has two arguments `{}`; rename one", printable(&argument.name));
            reader.problem(&item, message);
        }
        completions.extend(values.map(|values| (argument.name.clone(), values)));
        arguments.push(argument);
    }
    Some(arguments)
}

fn argument<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<(PromptArgument, Option<Vec<String>>)> {
    let section = reader.section(value, &["name", "title", "description", "required", "completions"])?;
    let name = section.require(
        reader,
        "name",
        "write the name that stands in the text, `host` for {host}",
        Reader::name,
    );
    let mut argument = PromptArgument::new(name.clone().unwrap_or_default());
    argument.title = section.read(reader, "title", Reader::name);
    argument.description = section.read(reader, "description", Reader::name);
    argument.required = section.read(reader, "required", Reader::bool).unwrap_or(false);
    let values = section.read(reader, "completions", |reader, value| reader.list(value, Reader::text));
    name.map(|_| (argument, values.filter(|values| !values.is_empty())))
}

fn messages<'a>(
    reader: &mut Reader<'a>,
    entry: &Section<'a>,
    templates: &mut Templates<'_>,
) -> Option<Vec<PromptMessageEntry>> {
    match (entry.get("text"), entry.get("messages")) {
        (Some(text), None) => {
            let text = templates.text(reader, &text)?;
            Some(vec![PromptMessageEntry { role: Role::User, text }])
        }
        (None, Some(value)) => {
            let messages = reader.list(&value, |reader, item| message(reader, item, templates))?;
            if value.json.items().is_some_and(|mut items| items.next().is_none()) {
                reader.problem(
                    &value,
                    "`messages` is empty; write one such as {\"role\": \"user\", \"text\": \"...\"}",
                );
            }
            Some(messages)
        }
        (Some(_), Some(messages)) => {
            reader.problem(&messages, "a prompt has `text` or `messages`, not both; remove one");
            None
        }
        (None, None) => {
            reader.problem(&entry.value, "`text` is missing; write the text of the prompt, or `messages`");
            None
        }
    }
}

fn message<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    templates: &mut Templates<'_>,
) -> Option<PromptMessageEntry> {
    let section = reader.section(value, &["role", "text"])?;
    let role = section.require(reader, "role", "write \"user\" or \"assistant\"", role);
    let text = section.require(reader, "text", "write the text of the message", |reader, value| {
        templates.text(reader, value)
    });
    Some(PromptMessageEntry { role: role?, text: text? })
}
