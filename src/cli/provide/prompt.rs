//! Prompts: texts with arguments in them, and completions.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::cli::manifest::entries::PromptEntry;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::protocol::annotations::Role;
use crate::protocol::description::Prompt;
use crate::protocol::error::CallError;
use crate::protocol::prompt::PromptMessage;
use crate::server::builder::Server;
use crate::server::call::Call;

/// Adds a prompt with the completions of its arguments.
pub(super) fn add(mut server: Server, entry: &PromptEntry) -> Server {
    let shared = Arc::new(entry.clone());
    let handler = move |given: Box<RawValue>, _: &mut Call| messages(&shared, &given);
    server = server.offer(entry.prompt.clone().handler(handler));
    for (argument, values) in &entry.completions {
        server = server.complete_prompt(&entry.prompt.name, argument, values.clone());
    }
    server
}

fn messages(entry: &PromptEntry, given: &RawValue) -> Result<Vec<PromptMessage>, CallError> {
    let wrong =
        |problem: String| CallError::invalid_params(format!("prompt `{}`: {problem}", entry.prompt.name));
    let mut tape = Tape::new();
    let arguments = tape.read(given.get()).map_err(|error| wrong(error.to_string()))?;
    check(&entry.prompt, arguments).map_err(wrong)?;
    let made = entry.messages.iter().map(|message| {
        let text = message.text.expand(arguments).map_err(|refusal| wrong(refusal.to_string()))?;
        Ok(match message.role {
            Role::Assistant => PromptMessage::assistant(text),
            Role::User => PromptMessage::user(text),
        })
    });
    made.collect()
}

/// Arguments of prompts are texts (MCP prompts).
fn check(prompt: &Prompt, arguments: JsonRef<'_>) -> Result<(), String> {
    let known = |name: &str| prompt.arguments.iter().any(|argument| argument.name == name);
    for pair in arguments.pairs() {
        let name = pair.name().unwrap_or_default();
        if !known(&name) {
            let names: Vec<&str> = prompt.arguments.iter().map(|argument| argument.name.as_str()).collect();
            return Err(match names.is_empty() {
                true => format!("unknown argument `{name}`; it has none"),
                false => format!("unknown argument `{name}`; it has {}", names.join(", ")),
            });
        }
        if !pair.value.is_null() && pair.value.as_str().is_none() {
            return Err(format!("argument `{name}` must be text"));
        }
    }
    let missing =
        prompt.arguments.iter().find(|argument| argument.required && arguments.get(&argument.name).is_none());
    missing.map_or(Ok(()), |argument| Err(format!("argument `{}` is missing", argument.name)))
}
