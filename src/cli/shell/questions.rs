//! Questions of a server in the middle of a call: at the terminal as a form, or answered by options.
//!
//! *Scope:* who answers, and what is said without an answer; progress and log messages. *Not in scope:* the fields of a form
//! (`forms`).
//!
//! ```text
//!  elicitation/create ─┬─ --decline ────────────────▶ declined
//!                      ├─ --answer K=V, defaults ───▶ accepted, if all required fields are there
//!                      ├─ a terminal ───────────────▶ asked, field by field
//!                      └─ no one to ask ────────────▶ cancelled; the call too, and the error says which question
//! ```

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::shell::forms::{Field, fields};
use crate::cli::shell::notices::BarLine;
use crate::cli::shell::options::Options;
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::jsonrpc;
use crate::text::{lines_without_hidden, printable, without_hidden};

/// A question that was not answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) text: String,
    /// True if the answer of an option cannot be given.
    pub(super) is_usage: bool,
}

/// Answers questions.
pub(super) struct Asker {
    answers: Vec<(String, String)>,
    decline: bool,
    /// True if there is a person to ask.
    terminal: bool,
    unanswered: Arc<Mutex<Option<Unanswered>>>,
    bar: BarLine,
}

enum Answer {
    Accept(String),
    Decline,
    Cancel,
}

impl Asker {
    pub(super) fn new(
        options: &mut Options,
        unanswered: Arc<Mutex<Option<Unanswered>>>,
        bar: BarLine,
    ) -> Asker {
        Asker {
            answers: std::mem::take(&mut options.answers),
            decline: options.decline,
            terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
            unanswered,
            bar,
        }
    }

    /// The result for a request of the server.
    pub(super) fn answer(
        &mut self,
        method: &str,
        params: Option<JsonRef<'_>>,
    ) -> Result<String, jsonrpc::Error> {
        if method != "elicitation/create" {
            return Err(jsonrpc::Error::method_not_found(method));
        }
        self.bar.clear();
        let params = params.unwrap_or(JsonRef::NULL);
        let answer = match params.get("url").and_then(JsonRef::as_str) {
            Some(url) => self.visit(params, &url),
            None => self.fill_in(params),
        };
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        match answer {
            Answer::Accept(content) if content.is_empty() => object.str("action", "accept"),
            Answer::Accept(content) => object.str("action", "accept").raw("content", &content),
            Answer::Decline => object.str("action", "decline"),
            Answer::Cancel => object.str("action", "cancel"),
        };
        object.end();
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// A form (MCP 2025-11-25, elicitation, "Form Mode").
    fn fill_in(&mut self, params: JsonRef<'_>) -> Answer {
        let message = message_of(params);
        let schema = params.get("requestedSchema").unwrap_or(JsonRef::NULL);
        let fields = fields(schema);
        if self.decline {
            return Answer::Decline;
        }
        let mut values = Vec::new();
        for field in &fields {
            match self.answers.iter().find(|(name, _)| *name == field.name) {
                Some((name, text)) => match field.read(text) {
                    Ok(json) => values.push((field, json)),
                    Err(why) => {
                        return self.leave(format!("--answer {}: {why}", printable(name)), true);
                    }
                },
                None => {
                    if let Some(json) =
                        field.default.clone().filter(|_| !self.answers.is_empty() || !self.terminal)
                    {
                        values.push((field, json));
                    }
                }
            }
        }
        let is_given = |field: &Field| values.iter().any(|(given, _)| given.name == field.name);
        let missing: Vec<&Field> = fields.iter().filter(|field| field.required && !is_given(field)).collect();
        // Without a word of the user nothing is accepted in their name.
        let answered = !self.answers.is_empty() && missing.is_empty();
        if answered {
            return Answer::Accept(object(
                values.iter().map(|(field, json)| (field.name.as_str(), json.as_str())),
            ));
        }
        if self.terminal {
            let open: Vec<&Field> = fields.iter().filter(|field| !is_given(field)).collect();
            let mut values: Vec<(String, String)> =
                values.iter().map(|(field, json)| (field.name.clone(), json.clone())).collect();
            return match ask(&message, &open, &mut values) {
                Some(true) => {
                    Answer::Accept(object(values.iter().map(|(name, json)| (name.as_str(), json.as_str()))))
                }
                Some(false) => Answer::Decline,
                None => self.leave(format!("the question `{}` was not answered", printable(&message)), false),
            };
        }
        let form: Vec<String> = fields.iter().map(Field::shown).collect();
        let wanted = match missing.first().or(fields.first().as_ref().map(|field| field as _)) {
            Some(field) => format!("--answer {}=…", printable(&field.name)),
            None => "--answer accept=true".to_owned(),
        };
        let form = if form.is_empty() { String::new() } else { format!(" ({})", form.join(", ")) };
        self.leave(
            format!(
                "the server asks: `{}`{form}; answer with {wanted}, or with --decline",
                printable(&message)
            ),
            false,
        )
    }

    /// A page that the user is to visit (MCP 2025-11-25, elicitation, "URL Mode").
    fn visit(&mut self, params: JsonRef<'_>, url: &str) -> Answer {
        let message = message_of(params);
        if self.decline {
            return Answer::Decline;
        }
        let url = printable_url(url);
        if !self.terminal {
            return self.leave(
                format!(
                    "the server asks: `{}`, at {url}; run this at a terminal to agree, or with --decline",
                    printable(&message)
                ),
                false,
            );
        }
        // It is shown and never opened: only the user knows whether to trust it.
        match confirm(&format!("{}\nThe page is {url}\nVisit it, and agree? [y/N] ", shown(&message))) {
            Some(true) => Answer::Accept(String::new()),
            Some(false) => Answer::Decline,
            None => self.leave(format!("the question `{}` was not answered", printable(&message)), false),
        }
    }

    fn leave(&mut self, text: String, is_usage: bool) -> Answer {
        *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Unanswered { text, is_usage });
        Answer::Cancel
    }
}

fn message_of(params: JsonRef<'_>) -> String {
    params.get("message").and_then(JsonRef::as_str).unwrap_or_default().into_owned()
}

fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = Vec::new();
    let mut object = Object::new(&mut out);
    for (name, json) in members {
        object.raw(name, json);
    }
    object.end();
    String::from_utf8_lossy(&out).into_owned()
}

/// A server's text at a terminal: its lines, without anything that steers it.
fn shown(text: &str) -> String {
    lines_without_hidden(text).into_owned()
}

/// A URL as it is, less what would end it.
fn printable_url(url: &str) -> String {
    without_hidden(&url.replace(char::is_whitespace, "?")).into_owned()
}

/// Asks for each field. Returns false if the user declines, and `None` if the input ends.
fn ask(message: &str, fields: &[&Field], values: &mut Vec<(String, String)>) -> Option<bool> {
    if fields.is_empty() {
        return confirm(&format!("{}\nAgree? [y/N] ", shown(message)));
    }
    tell(&format!("{}\n", shown(message)));
    for field in fields {
        loop {
            let line = read_line(&format!("{}: ", field.prompt()))?;
            match (line.trim(), &field.default) {
                ("", Some(json)) => values.push((field.name.clone(), json.clone())),
                ("", None) if !field.required => {}
                (text, _) => match field.read(text) {
                    Ok(json) => values.push((field.name.clone(), json)),
                    Err(why) => {
                        tell(&format!("{why}\n"));
                        continue;
                    }
                },
            }
            break;
        }
    }
    confirm("Send this? [Y/n] ")
}

/// Asks for yes or no.
fn confirm(question: &str) -> Option<bool> {
    let yes_by_default = question.ends_with("[Y/n] ");
    loop {
        match read_line(question)?.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Some(true),
            "n" | "no" => return Some(false),
            "" => return Some(yes_by_default),
            _ => tell("Write y or n.\n"),
        }
    }
}

fn read_line(prompt: &str) -> Option<String> {
    tell(prompt);
    let mut line = String::new();
    let count = io::stdin().read_line(&mut line).ok()?;
    (count > 0).then_some(line)
}

fn tell(text: &str) {
    let mut to = io::stderr();
    // If standard error is closed, the question cannot be shown, and the input decides.
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
