//! `list`: what a server offers, a line each.

use serde_json::value::RawValue;

use crate::cli::Failure;
use crate::cli::shell::kinds::{plain, required_names, type_of};
use crate::cli::shell::options::Options;
use crate::cli::shell::output::{Output, one_line};
use crate::cli::shell::session::Session;
use crate::client::error::Error;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::{Array, Object};
use crate::jsonrpc;
use crate::text::{nearest, printable};

/// What can be listed: the word, the capability, and the methods, each with the member that has the items.
const KINDS: [(&str, &[(&str, &str)]); 3] = [
    ("tools", &[("tools/list", "tools")]),
    ("resources", &[("resources/list", "resources"), ("resources/templates/list", "resourceTemplates")]),
    ("prompts", &[("prompts/list", "prompts")]),
];

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    let wanted = options.words.first().cloned();
    if let Some(word) = &wanted {
        options.words.remove(0);
        check(word)?;
    }
    options.no_more_words()?;
    let mut session = Session::open(options)?;
    let mut lists: Vec<(&str, Vec<Box<RawValue>>)> = Vec::new();
    let is_wanted = |kind: &str| wanted.as_ref().is_none_or(|wanted| wanted == kind);
    for (kind, methods) in KINDS.iter().filter(|(kind, _)| is_wanted(kind)) {
        // A server has to answer only what it declares.
        if !session.can(kind) {
            continue;
        }
        for (method, member) in *methods {
            let items = match session.client.list(method) {
                // Servers with resources need not have templates.
                Err(Error::Rpc(error)) if error.code == jsonrpc::Error::METHOD_NOT_FOUND => Vec::new(),
                items => items.map_err(|error| session.failure(&error))?,
            };
            lists.push((member, items));
        }
    }
    if options.json {
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        for (member, items) in &lists {
            object.field(member, |out| {
                let mut list = Array::new(out);
                items.iter().for_each(|item| {
                    list.raw(item.get());
                });
            });
        }
        object.end();
        return output.json(&String::from_utf8_lossy(&out));
    }
    for (member, items) in &lists {
        for item in items {
            let line = line(member, item, output);
            output.bytes(line.as_bytes())?;
        }
    }
    Ok(())
}

fn check(word: &str) -> Result<(), Failure> {
    let names = KINDS.map(|(kind, _)| kind);
    if names.contains(&word) {
        return Ok(());
    }
    Err(Failure::usage(match nearest(word, &names) {
        Some(meant) => format!("`{word}` cannot be listed; did you mean {meant}?"),
        None => format!("`{word}` cannot be listed; write tools, resources or prompts"),
    }))
}

/// The line of an item: nothing in it ends it or steers a terminal.
fn line(member: &str, item: &RawValue, output: &Output) -> String {
    let mut tape = Tape::new();
    let item = tape.read(item.get()).unwrap_or(JsonRef::NULL);
    let text =
        |name: &str| item.get(name).and_then(JsonRef::as_str).map(|text| single(&text)).unwrap_or_default();
    let described = if text("description").is_empty() { text("title") } else { text("description") };
    let (name, rest) = match member {
        "tools" => (text("name"), signature(item.get("inputSchema").unwrap_or(JsonRef::NULL))),
        "prompts" => (text("name"), arguments(item)),
        "resourceTemplates" => (text("uriTemplate"), format!("  {}", text("name"))),
        _ => (text("uri"), format!("  {}", text("name"))),
    };
    let end = if described.is_empty() { String::new() } else { format!("  {described}") };
    format!("{}{rest}{end}\n", output.bold(&name))
}

/// The first line, without hidden characters.
fn single(text: &str) -> String {
    one_line(text.trim().lines().next().unwrap_or_default())
}

/// `(host: string, count?: integer = 3)`.
pub(super) fn signature(schema: JsonRef<'_>) -> String {
    let required: Vec<_> = required_names(schema).collect();
    let parameters: Vec<String> = schema
        .get("properties")
        .into_iter()
        .flat_map(JsonRef::pairs)
        .filter_map(|pair| {
            let name = pair.name()?;
            let mark = if required.contains(&name) { "" } else { "?" };
            let default = pair.value.get("default").map(|value| format!(" = {}", plain(value)));
            Some(format!(
                "{}{mark}: {}{}",
                printable(&name),
                type_of(pair.value, schema),
                default.unwrap_or_default()
            ))
        })
        .collect();
    format!("({})", parameters.join(", "))
}

/// `(host, detail?)`.
fn arguments(prompt: JsonRef<'_>) -> String {
    let arguments = prompt.get("arguments").and_then(JsonRef::items).unwrap_or_default();
    let names: Vec<String> = arguments
        .filter_map(|argument| {
            let required = argument.get("required").is_some_and(|required| required.text() == "true");
            let name = argument.get("name")?.as_str()?;
            Some(format!("{}{}", printable(&name), if required { "" } else { "?" }))
        })
        .collect();
    format!("({})", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_a_line() {
        let schema = r#"{"type":"object","required":["host"],"properties":{"host":{"type":"string"},
            "count":{"type":"integer","default":3},"iface":{"enum":["wan","lan"]},"tags":{"type":"array","items":{"type":"string"},"default":[]}}}"#;
        assert_eq!(
            signature(Tape::new().read(schema).unwrap()),
            "(host: string, count?: integer = 3, iface?: wan|lan, tags?: string[] = [])"
        );
        assert_eq!(signature(JsonRef::NULL), "()");
        assert_eq!(single("one\u{1b}[2J\ttwo\nthree"), r"one\u{1b}[2J two");
    }
}
