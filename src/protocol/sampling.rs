//! Questions to the client's model, and its answers (MCP sampling).
//!
//! *Scope:* [`Sample`] and [`Sampled`] and their JSON. *Not in scope:* sending the one and waiting for the other (that is
//! `ask`).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::{Object, ToJson, write_list};
use crate::jsonrpc::Error;
use crate::protocol::annotations::{Role, from_0_to_1};
use crate::protocol::check::check_tool;
use crate::protocol::content::Content;
use crate::protocol::description::Tool;
use crate::protocol::revision::Revision;
use crate::protocol::setters::setters;

/// A question to the client's model (MCP sampling, `CreateMessageRequest`).
///
/// ```
/// use mcp_rill::{Sample, Tool, ToolChoice};
/// let sample = Sample::new(500)
///     .system("You are terse.")
///     .user("What is MCP?")
///     .assistant("A protocol.")
///     .user("And what does it do?")
///     .temperature(0.2)
///     .stop("\n\n")
///     .model_hint("haiku")
///     .priorities(0.9, 0.8, 0.2)
///     .tool(Tool::new("search", "Search the specification"))
///     .tool_choice(ToolChoice::Auto);
/// let short: Sample = "What is MCP?".into(); // the same as Sample::new(1000).user("What is MCP?")
/// ```
#[derive(Clone, Debug)]
pub struct Sample {
    max_tokens: u32,
    messages: Vec<SampleMessage>,
    system: Option<String>,
    temperature: Option<f64>,
    stop: Vec<String>,
    hints: Vec<String>,
    priorities: [Option<f64>; 3],
    tools: Vec<Tool>,
    tool_choice: Option<ToolChoice>,
}

#[derive(Clone, Debug)]
enum SampleMessage {
    Message(Role, Content),
    /// The model's own message, as it came.
    Model(Box<RawValue>),
    Results(Vec<(String, Content)>),
}

/// Whether the model has to use a tool (MCP 2025-11-25, sampling with tools).
///
/// ```
/// use mcp_rill::{Sample, Tool, ToolChoice};
/// let lookup = Tool::new("lookup", "Look up an order").input_schema(r#"{"type":"object"}"#);
/// let sample = Sample::new(300).user("Where is order 7?").tool(lookup).tool_choice(ToolChoice::Required);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// It must use one.
    Required,
    /// It must not.
    None,
}

impl ToJson for ToolChoice {
    fn write(&self, out: &mut Vec<u8>) {
        let mode = match self {
            ToolChoice::Auto => "auto",
            ToolChoice::Required => "required",
            ToolChoice::None => "none",
        };
        Object::new(out).str("mode", mode);
    }
}

const PRIORITIES: [&str; 3] = ["costPriority", "speedPriority", "intelligencePriority"];

impl Sample {
    /// A question with an answer of at most `max_tokens`. Add at least one message.
    pub fn new(max_tokens: u32) -> Sample {
        Sample {
            max_tokens,
            messages: Vec::new(),
            system: None,
            temperature: None,
            stop: Vec::new(),
            hints: Vec::new(),
            priorities: [None; 3],
            tools: Vec::new(),
            tool_choice: None,
        }
    }

    /// Adds a message of the user.
    pub fn user(mut self, content: impl Into<Content>) -> Sample {
        self.messages.push(SampleMessage::Message(Role::User, content.into()));
        self
    }

    /// Adds a message of the model.
    pub fn assistant(mut self, content: impl Into<Content>) -> Sample {
        self.messages.push(SampleMessage::Message(Role::Assistant, content.into()));
        self
    }

    /// Adds the model's answer to an earlier question, with the tools that it wants to use; see [`Sampled::tool_uses`].
    pub fn answered(mut self, answer: &Sampled) -> Sample {
        self.messages.push(SampleMessage::Model(answer.content.clone()));
        self
    }

    /// Adds the result of a tool that the model wanted to use. Results in a row are one message.
    pub fn tool_result(mut self, tool_use_id: impl Into<String>, content: impl Into<Content>) -> Sample {
        let result = (tool_use_id.into(), content.into());
        match self.messages.last_mut() {
            Some(SampleMessage::Results(results)) => results.push(result),
            _ => self.messages.push(SampleMessage::Results(vec![result])),
        }
        self
    }

    /// Sets how much low cost, speed and intelligence count, each from 0 to 1. Other values are moved into that range.
    pub fn priorities(mut self, cost: f64, speed: f64, intelligence: f64) -> Sample {
        self.priorities = [cost, speed, intelligence].map(|priority| Some(from_0_to_1(priority)));
        self
    }

    /// Checks for things that make clients refuse the whole question.
    ///
    /// # Errors
    /// A sentence that names it.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.tools.iter().try_for_each(check_tool)?;
        self.messages.iter().try_for_each(|turn| match turn {
            SampleMessage::Message(_, content) => match content.unfit_for_models() {
                Some(what) => {
                    Err(format!("a message to the model cannot be {what}, only text, pictures and sounds"))
                }
                None => content.check(),
            },
            SampleMessage::Results(results) => results.iter().try_for_each(|(_, content)| content.check()),
            SampleMessage::Model(_) => Ok(()),
        })
    }

    /// True if it has sounds, which models get since 2025-03-26.
    pub(crate) fn has_audio(&self) -> bool {
        self.messages
            .iter()
            .any(|turn| matches!(turn, SampleMessage::Message(_, content) if content.is_audio()))
    }

    /// True if it is only for clients that support tools in sampling.
    pub(crate) fn needs_tools(&self) -> bool {
        !self.tools.is_empty() || self.tool_choice.is_some()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let mut params = Object::new(out);
        params
            .field("messages", |out| write_list(out, &self.messages, |turn, out| turn.write(out, revision)));
        if !self.hints.is_empty() || self.priorities.iter().any(Option::is_some) {
            params.field("modelPreferences", |out| self.write_preferences(out));
        }
        params
            .member("systemPrompt", &self.system)
            .member("temperature", &self.temperature)
            .int("maxTokens", i64::from(self.max_tokens))
            .member("stopSequences", &self.stop)
            .member("tools", &self.tools)
            .member("toolChoice", &self.tool_choice);
    }

    fn write_preferences(&self, out: &mut Vec<u8>) {
        let mut preferences = Object::new(out);
        if !self.hints.is_empty() {
            preferences.field("hints", |out| {
                write_list(out, &self.hints, |name, out| {
                    Object::new(out).str("name", name);
                });
            });
        }
        for (name, value) in PRIORITIES.iter().zip(self.priorities) {
            preferences.member(name, &value);
        }
    }
}

setters! { Sample {
    /// Sets the system prompt.
    system(impl Into<String>) => system;
    /// Sets how freely the model chooses its words, from 0 on. The meaning of the numbers is up to the model. One that is not
    /// finite is left out.
    temperature(f64) => temperature;
    /// Adds a text at which the model stops.
    stop(impl Into<String>) => stop;
    /// Adds a part of the name of a model that suits. The first match counts.
    model_hint(impl Into<String>) => hints;
    /// Adds a tool that the model may use. Its uses are in [`Sampled::tool_uses`] (MCP 2025-11-25).
    tool(Tool) => tools;
    /// Sets whether the model has to use a tool.
    tool_choice(ToolChoice) => tool_choice;
} }

impl SampleMessage {
    fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let mut message = Object::new(out);
        match self {
            SampleMessage::Message(role, content) => {
                message.member("role", role).field("content", |out| content.write(out, revision));
            }
            SampleMessage::Model(content) => {
                message.str("role", "assistant").raw("content", content.get());
            }
            SampleMessage::Results(results) => {
                message.str("role", "user").field("content", |out| {
                    write_list(out, results, |(id, content), out| {
                        let mut block = Object::new(out);
                        block.str("type", "tool_result").str("toolUseId", id);
                        block.field("content", |out| {
                            write_list(out, [content], |it, out| it.write(out, revision))
                        });
                    });
                });
            }
        }
    }
}

impl<T: Into<Content>> From<T> for Sample {
    fn from(prompt: T) -> Sample {
        Sample::new(1000).user(prompt)
    }
}

/// The answer of the client's model (MCP sampling, `CreateMessageResult`).
///
/// ```
/// # use mcp_rill::Sampled;
/// # let content = serde_json::value::RawValue::from_string(r#"{"type":"text","text":"42"}"#.to_owned()).unwrap();
/// let answer = Sampled::new("deep-thought", content);
/// assert_eq!(answer.text(), "42");
/// assert!(answer.tool_uses().is_empty());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sampled {
    /// The model that answered.
    pub model: String,
    /// Why it stopped, such as `endTurn`, `maxTokens` or `toolUse`.
    pub stop_reason: Option<String>,
    /// The content as JSON: one block, or an array of blocks.
    pub content: Box<RawValue>,
}

/// A tool that the model wants to use.
///
/// ```
/// # fn f(call: &mut mcp_rill::Call, answer: mcp_rill::Sampled) -> mcp_rill::Result<()> {
/// for mcp_rill::ToolUse { id, name, input, .. } in answer.tool_uses() {
///     let input: serde_json::Value = serde_json::from_str(input.get())?;
///     println!("{id}: {name}({input})");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToolUse {
    /// The id under which its result is returned.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments: a JSON object.
    pub input: Box<RawValue>,
}

impl Sampled {
    /// An answer of this model, with its content as JSON: to test what a handler does with it.
    pub fn new(model: impl Into<String>, content: Box<RawValue>) -> Sampled {
        Sampled { model: model.into(), stop_reason: None, content }
    }

    pub(crate) fn read(answer: JsonRef<'_>) -> Result<Sampled, String> {
        let members = Members::of(answer).map_err(|problem| Error::from(problem).to_string())?;
        let content = members.get("content").ok_or("`content` is missing")?;
        let sampled = Sampled {
            model: members.text("model").ok_or("`model` is missing or not a string")?.into_owned(),
            stop_reason: members.text("stopReason").map(Cow::into_owned),
            content: content.to_raw(),
        };
        let blocks = blocks(content);
        let well = !blocks.is_empty() && blocks.into_iter().all(|block| Members::of(block).is_ok());
        well.then_some(sampled).ok_or_else(|| "`content` must be a block or an array of blocks".to_owned())
    }

    /// Returns all its text blocks, in order and with nothing between them.
    pub fn text(&self) -> String {
        let mut tape = Tape::new();
        let blocks = tape.read(self.content.get()).map(blocks).unwrap_or_default();
        let texts = blocks.into_iter().filter_map(|block| block.member("text").ok().flatten());
        texts.filter_map(JsonRef::as_str).collect()
    }

    /// Returns the tools that the model wants to use. It goes on when the next question brings their results:
    ///
    /// ```
    /// # use mcp_rill::{Sample, Sampled};
    /// # let json = r#"[{"type":"tool_use","id":"t1","name":"weather","input":{"town":"Ulm"}}]"#.to_owned();
    /// # let content = serde_json::value::RawValue::from_string(json).unwrap();
    /// # let answer = Sampled::new("m", content);
    /// let mut next = Sample::new(500).user("Do I need an umbrella in Ulm?").answered(&answer);
    /// for used in answer.tool_uses() {
    ///     assert_eq!((&*used.name, used.input.get()), ("weather", r#"{"town":"Ulm"}"#));
    ///     next = next.tool_result(used.id, "rain until noon");
    /// }
    /// ```
    pub fn tool_uses(&self) -> Vec<ToolUse> {
        let read = |block: JsonRef<'_>| {
            let members = Members::of(block).ok()?;
            (members.text("type")? == "tool_use").then_some(())?;
            let text = |name| members.text(name).map(Cow::into_owned);
            Some(ToolUse { id: text("id")?, name: text("name")?, input: members.get("input")?.to_raw() })
        };
        let mut tape = Tape::new();
        let blocks = tape.read(self.content.get()).map(blocks).unwrap_or_default();
        blocks.into_iter().filter_map(read).collect()
    }
}

/// The content of a message: one block, or an array of blocks.
fn blocks(content: JsonRef<'_>) -> Vec<JsonRef<'_>> {
    content.items().map_or_else(|| vec![content], Iterator::collect)
}
