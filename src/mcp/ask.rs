//! Questions to the client in the middle of a call, without async.
//!
//! *Scope:* what a handler can ask, what it gets, and what is remembered between two runs of a handler.
//! *Not in scope:* sending the questions and matching the answers (that is `calls`).
//!
//! **The code above a question runs again.** A question without an answer ends the handler by `?`; it is sent to the
//! client, and when the answer is there the handler runs again from its first line, with the same arguments. So what
//! comes before a question must do no harm when it is done twice; [`Call::once`] keeps the value of what must not.
//!
//! ```text
//!  handler ──▶ call.elicit("key", …)? ─┬─ answered in an earlier run ──▶ goes on with the value
//!     ▲                                └─ not yet: Err ──▶ handler ends ──▶ request to the client ──▶ answer ─┐
//!     └──────────────────────────────────────── runs again ────────────────────────────────────────────────────┘
//! ```
//!
//! ```
//! use mcp_rill::{Elicited, Server, schema};
//! schema! { struct Confirm { /// Really?
//!     sure: bool } }
//! let server = Server::new("files", "1.0.0").tool("wipe", "Wipe the disk", |(), call| -> mcp_rill::Result<_> {
//!     match call.elicit::<Confirm>("sure", "Wipe the whole disk?")? {
//!         Elicited::Accepted(Confirm { sure: true }) => Ok("wiped"),
//!         _ => Ok("nothing was done"),
//!     }
//! });
//! ```

use serde_json::value::RawValue;

use crate::jsonrpc::{self, Array, Members, Object, string};
use crate::mcp::call::{CallError, Failure};
use crate::mcp::types::write_strs;
use crate::mcp::{Call, Content, Revision, Role, Tool};
use crate::schema::{self, Schema, Subject};

/// What a person did with a form or a URL. Declining is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elicited<T> {
    /// It was filled in, or agreed to.
    Accepted(T),
    /// The person said no.
    Declined,
    /// The person closed it without an answer.
    Cancelled,
}

impl<T> Elicited<T> {
    /// The value, if there is one.
    pub fn accepted(self) -> Option<T> {
        match self {
            Elicited::Accepted(value) => Some(value),
            Elicited::Declined | Elicited::Cancelled => None,
        }
    }
}

/// One of the client's roots: a place that the user works in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// A `file:` URI.
    pub uri: String,
    /// A name for people.
    pub name: Option<String>,
}

/// What is remembered between the runs of one handler.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    answers: Vec<(Box<str>, Answer)>,
    once: Vec<(Box<str>, Box<RawValue>)>,
    /// Questions of this run that have no answer yet.
    pub(crate) pending: Vec<Question>,
    /// Logs that were sent in earlier runs, and logs of this run so far.
    logs_sent: usize,
    logs: usize,
    /// Rounds of questions that were sent.
    pub(crate) rounds: usize,
}

/// A request to the client.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) key: Box<str>,
    pub(crate) method: &'static str,
    /// A JSON object.
    pub(crate) params: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Answer {
    Result(Box<RawValue>),
    Error(jsonrpc::Error),
    TimedOut,
}

impl Asked {
    pub(crate) fn answer(&mut self, key: Box<str>, answer: Answer) {
        self.answers.push((key, answer));
    }

    /// To be called before the handler runs again.
    pub(crate) fn rewind(&mut self) {
        self.logs_sent = self.logs_sent.max(self.logs);
        self.logs = 0;
        self.pending.clear();
    }

    /// Counts a log of this run; says whether it was not sent in an earlier one.
    pub(crate) fn logs_again(&mut self) -> bool {
        self.logs += 1;
        self.logs > self.logs_sent
    }

    /// How much memory it holds, roughly: what peers can make large.
    pub(crate) fn held_bytes(&self) -> usize {
        let answers = self.answers.iter().map(|(key, answer)| {
            key.len() + if let Answer::Result(raw) = answer { raw.get().len() } else { 64 }
        });
        answers.sum::<usize>() + self.once.iter().map(|(key, raw)| key.len() + raw.get().len()).sum::<usize>()
    }

    /// The result of the question `key`; asks it if this is the first time.
    fn result(
        &mut self,
        key: &str,
        method: &'static str,
        params: impl FnOnce(&mut Vec<u8>),
    ) -> Result<&RawValue, CallError> {
        let known = self.answers.iter().position(|(name, _)| &**name == key);
        match known.and_then(|at| self.answers.get(at)) {
            Some((_, Answer::Result(raw))) => Ok(raw),
            Some((_, Answer::Error(error))) => {
                Err(CallError::told(format!("the client refused `{key}` ({method}): {error}")))
            }
            Some((_, Answer::TimedOut)) => {
                Err(CallError::told(format!("the client did not answer `{key}` ({method}) in time")))
            }
            None => {
                if self.pending.iter().all(|question| &*question.key != key) {
                    let mut text = Vec::new();
                    params(&mut text);
                    self.pending.push(Question { key: key.into(), method, params: text });
                }
                Err(CallError(Failure::Pending))
            }
        }
    }
}

/// Asking the client. Each question has a key that names it within the handler; several may be asked in one round:
///
/// ```
/// # mcp_rill::schema! { struct Name { name: String } }
/// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<()> {
/// let (name, roots) = (call.elicit::<Name>("name", "Who are you?"), call.roots("roots"));
/// let (name, roots) = (name?, roots?);
/// # Ok(()) }
/// ```
impl Call<'_> {
    /// Shows the user a form made from `T`, a flat struct of `schema!`, and gives what was filled in (MCP elicitation).
    /// Clients of 2025-06-18 get titles of choices in their own form, and cannot be shown lists.
    ///
    /// # Errors
    /// Without an answer yet, an error to be passed on with `?`. An error for the model if the client cannot show forms,
    /// refused, did not answer within `question_timeout`, or answered what `T` does not take.
    pub fn elicit<T: schema::Object>(&mut self, key: &str, message: &str) -> Result<Elicited<T>, CallError> {
        const { assert!(T::KIND.is_flat(), "a form has only strings, numbers, booleans, enums and lists of enums") }
        self.needs_forms()?;
        let form = match self.context.revision >= Revision::V2025_11_25 {
            true => Some(schema::schema_text::<T>()),
            false => schema::old_form_text::<T>(),
        };
        self.needs(form.is_some(), "show lists of choices in a form (MCP 2025-11-25)")?;
        let answer = self.elicit_raw(key, message, &form.unwrap_or_default())?;
        Ok(match answer {
            Elicited::Accepted(content) => Elicited::Accepted(
                schema::read(Subject::Answer, Some(&content))
                    .map_err(|error| wrong_answer(key, &error.to_string()))?,
            ),
            Elicited::Declined => Elicited::Declined,
            Elicited::Cancelled => Elicited::Cancelled,
        })
    }

    /// As [`elicit`](Call::elicit), with the form's JSON Schema as text and the content as JSON.
    ///
    /// # Errors
    /// As [`elicit`](Call::elicit).
    pub fn elicit_raw(
        &mut self,
        key: &str,
        message: &str,
        schema: &str,
    ) -> Result<Elicited<Box<RawValue>>, CallError> {
        self.needs_forms()?;
        let modes = self.context.revision >= Revision::V2025_11_25;
        let answer = self.asked.result(key, "elicitation/create", |out| {
            let mut params = Object::new(out);
            if modes {
                params.str("mode", "form");
            }
            params.str("message", message).raw("requestedSchema", schema);
        })?;
        let answer = read_action(key, answer)?;
        Ok(match answer {
            Elicited::Accepted(Some(content)) => Elicited::Accepted(content.to_owned()),
            Elicited::Accepted(None) => Elicited::Accepted(
                RawValue::from_string("{}".to_owned()).map_err(|_| CallError(Failure::Pending))?,
            ),
            Elicited::Declined => Elicited::Declined,
            Elicited::Cancelled => Elicited::Cancelled,
        })
    }

    /// Asks the user to open `url`, for what must not pass through the client, such as a password (MCP 2025-11-25,
    /// elicitation in url mode). Accepted means that the user agreed, not that something is done there.
    ///
    /// # Errors
    /// As [`elicit`](Call::elicit).
    pub fn elicit_url(&mut self, key: &str, message: &str, url: &str) -> Result<Elicited<()>, CallError> {
        self.needs(
            self.context.revision >= Revision::V2025_11_25 && self.may(|can| can.elicitation_url),
            "open URLs (elicitation.url)",
        )?;
        let id = format!("{:x}-{key}", self.link.call.0.token());
        let answer = self.asked.result(key, "elicitation/create", |out| {
            Object::new(out)
                .str("mode", "url")
                .str("message", message)
                .str("url", url)
                .str("elicitationId", &id);
        })?;
        Ok(match read_action(key, answer)? {
            Elicited::Accepted(_) => Elicited::Accepted(()),
            Elicited::Declined => Elicited::Declined,
            Elicited::Cancelled => Elicited::Cancelled,
        })
    }

    /// Asks the client's model (MCP sampling). A text is a prompt of the user with at most 1,000 tokens of answer;
    /// [`Sample`] says more.
    ///
    /// # Errors
    /// Without an answer yet, an error to be passed on with `?`. An error for the model if the client cannot sample,
    /// refused, did not answer within `question_timeout`, or answered something else than a message.
    pub fn sample(&mut self, key: &str, sample: impl Into<Sample>) -> Result<Sampled, CallError> {
        let sample = sample.into();
        self.needs(self.may(|can| can.sampling), "ask its model (sampling)")?;
        self.needs(
            sample.tools.is_empty() || self.may(|can| can.sampling_tools),
            "let its model use tools (sampling.tools)",
        )?;
        let revision = self.context.revision;
        let answer = self.asked.result(key, "sampling/createMessage", |out| sample.write(out, revision))?;
        Sampled::read(answer).map_err(|problem| wrong_answer(key, &problem))
    }

    /// Asks for the client's roots: the places that the user works in (MCP roots).
    ///
    /// # Errors
    /// As [`sample`](Call::sample).
    pub fn roots(&mut self, key: &str) -> Result<Vec<Root>, CallError> {
        self.needs(self.may(|can| can.roots), "list its roots")?;
        let answer = self.asked.result(key, "roots/list", |_| {})?;
        read_roots(answer).map_err(|problem| wrong_answer(key, &problem))
    }

    /// Does `work` in the first run only, and gives its value in every run: for what must not be done twice although
    /// code above a question runs again. The value is kept as JSON, so make it small.
    ///
    /// # Errors
    /// Only if the value of an earlier run cannot be read back as `T`.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<()> {
    /// let order: u64 = call.once("order", || 4711 /* reserve a number */)?;
    /// # Ok(()) }
    /// ```
    pub fn once<T: Schema>(&mut self, key: &str, work: impl FnOnce() -> T) -> Result<T, CallError> {
        let unreadable =
            |error: String| CallError::told(format!("the value of `{key}` cannot be read back: {error}"));
        if let Some((_, kept)) = self.asked.once.iter().find(|(name, _)| &**name == key) {
            return T::read(kept, &schema::Place::root(Subject::Member))
                .map_err(|error| unreadable(error.to_string()));
        }
        let value = work();
        let kept =
            RawValue::from_string(schema::to_json(&value)).map_err(|error| unreadable(error.to_string()))?;
        self.asked.once.push((key.into(), kept));
        Ok(value)
    }

    fn needs_forms(&self) -> Result<(), CallError> {
        let able = self.context.revision >= Revision::V2025_06_18 && self.may(|can| can.elicitation_form);
        self.needs(able, "show forms (elicitation)")
    }

    /// A client that has not initialized this session may be able to do anything: asking it will tell.
    fn may(&self, can: impl Fn(crate::mcp::Capabilities) -> bool) -> bool {
        self.client().is_none_or(|client| can(client.capabilities))
    }

    fn needs(&self, able: bool, what: &str) -> Result<(), CallError> {
        able.then_some(()).ok_or_else(|| {
            CallError::told(format!("this needs a client that can {what}, and this one cannot"))
        })
    }
}

fn wrong_answer(key: &str, problem: &str) -> CallError {
    CallError::told(format!("the client's answer to `{key}` is not right: {problem}"))
}

fn read_action<'a>(key: &str, answer: &'a RawValue) -> Result<Elicited<Option<&'a RawValue>>, CallError> {
    let members = Members::of(answer).map_err(|error| wrong_answer(key, &error.to_string()))?;
    match members.get("action").and_then(string).as_deref() {
        Some("accept") => Ok(Elicited::Accepted(members.get("content"))),
        Some("decline") => Ok(Elicited::Declined),
        Some("cancel") => Ok(Elicited::Cancelled),
        _ => Err(wrong_answer(key, "`action` must be accept, decline or cancel")),
    }
}

fn read_roots(answer: &RawValue) -> Result<Vec<Root>, String> {
    let text = |error: jsonrpc::Error| error.to_string();
    let roots = jsonrpc::member(answer, "roots").map_err(text)?.ok_or("`roots` is missing")?;
    let roots: Vec<&RawValue> = serde_json::from_str(roots.get()).map_err(|_| "`roots` must be an array")?;
    let read = |root: &RawValue| {
        let members = Members::of(root).map_err(text)?;
        let uri = members.get("uri").and_then(string).ok_or("`roots[].uri` is missing or not a string")?;
        Ok(Root {
            uri: uri.into_owned(),
            name: members.get("name").and_then(string).map(|name| name.into_owned()),
        })
    };
    roots.into_iter().map(read).collect()
}

/// What the client's model is asked (MCP sampling, `CreateMessageRequest`).
///
/// ```
/// use mcp_rill::Sample;
/// let sample = Sample::new(500).system("You are terse.").user("What is MCP?").temperature(0.2).stop("\n\n");
/// ```
#[derive(Clone, Debug)]
pub struct Sample {
    max_tokens: u32,
    messages: Vec<Turn>,
    system: Option<String>,
    temperature: Option<f64>,
    stop: Vec<String>,
    hints: Vec<String>,
    priorities: [Option<f64>; 3],
    tools: Vec<Tool>,
    tool_choice: Option<ToolChoice>,
}

#[derive(Clone, Debug)]
enum Turn {
    Message(Role, Content),
    /// The model's own message, as it was.
    Model(Box<RawValue>),
    Results(Vec<(String, Content)>),
}

/// Whether the model has to use a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// It decides.
    Auto,
    /// It must use one.
    Required,
    /// It must not.
    None,
}

const PRIORITIES: [&str; 3] = ["costPriority", "speedPriority", "intelligencePriority"];

impl Sample {
    /// A question with an answer of at most `max_tokens`; add at least one message.
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
        self.messages.push(Turn::Message(Role::User, content.into()));
        self
    }

    /// Adds a message of the model.
    pub fn assistant(mut self, content: impl Into<Content>) -> Sample {
        self.messages.push(Turn::Message(Role::Assistant, content.into()));
        self
    }

    /// Adds the model's answer to an earlier question, with its wish to use tools.
    pub fn answered(mut self, answer: &Sampled) -> Sample {
        self.messages.push(Turn::Model(answer.content.clone()));
        self
    }

    /// Adds the result of a tool that the model used; results in a row are one message.
    pub fn tool_result(mut self, tool_use_id: impl Into<String>, content: impl Into<Content>) -> Sample {
        let result = (tool_use_id.into(), content.into());
        match self.messages.last_mut() {
            Some(Turn::Results(results)) => results.push(result),
            _ => self.messages.push(Turn::Results(vec![result])),
        }
        self
    }

    /// The system prompt.
    pub fn system(mut self, prompt: impl Into<String>) -> Sample {
        self.system = Some(prompt.into());
        self
    }

    /// How freely the model chooses its words.
    pub fn temperature(mut self, temperature: f64) -> Sample {
        self.temperature = Some(temperature);
        self
    }

    /// Adds a text at which the model stops.
    pub fn stop(mut self, sequence: impl Into<String>) -> Sample {
        self.stop.push(sequence.into());
        self
    }

    /// Adds a part of the name of a model that would be good; the first match counts.
    pub fn model_hint(mut self, name: impl Into<String>) -> Sample {
        self.hints.push(name.into());
        self
    }

    /// How much cost, speed and intelligence count, each from 0 to 1.
    pub fn priorities(mut self, cost: f64, speed: f64, intelligence: f64) -> Sample {
        self.priorities = [Some(cost), Some(speed), Some(intelligence)];
        self
    }

    /// Adds a tool that the model may use; its uses are in [`Sampled::tool_uses`] (MCP 2025-11-25).
    pub fn tool(mut self, tool: Tool) -> Sample {
        self.tools.push(tool);
        self
    }

    /// Whether the model has to use a tool.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Sample {
        self.tool_choice = Some(choice);
        self
    }

    fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let mut params = Object::new(out);
        params.field("messages", |out| {
            let mut messages = Array::new(out);
            self.messages.iter().for_each(|turn| {
                messages.item(|out| turn.write(out, revision));
            });
        });
        if !self.hints.is_empty() || self.priorities.iter().any(Option::is_some) {
            params.field("modelPreferences", |out| self.write_preferences(out));
        }
        params.opt_str("systemPrompt", self.system.as_deref());
        if let Some(temperature) = self.temperature {
            params.f64("temperature", temperature);
        }
        params.int("maxTokens", i64::from(self.max_tokens));
        if !self.stop.is_empty() {
            params.field("stopSequences", |out| write_strs(out, &self.stop));
        }
        if !self.tools.is_empty() {
            params.field("tools", |out| {
                let mut tools = Array::new(out);
                self.tools.iter().for_each(|tool| {
                    tools.item(|out| tool.write(out));
                });
            });
        }
        if let Some(choice) = self.tool_choice {
            let mode = match choice {
                ToolChoice::Auto => "auto",
                ToolChoice::Required => "required",
                ToolChoice::None => "none",
            };
            params.field("toolChoice", |out| {
                Object::new(out).str("mode", mode);
            });
        }
    }

    fn write_preferences(&self, out: &mut Vec<u8>) {
        let mut preferences = Object::new(out);
        if !self.hints.is_empty() {
            preferences.field("hints", |out| {
                let mut hints = Array::new(out);
                self.hints.iter().for_each(|name| {
                    hints.item(|out| {
                        Object::new(out).str("name", name);
                    });
                });
            });
        }
        PRIORITIES.iter().zip(self.priorities).filter_map(|(name, value)| Some((name, value?))).for_each(
            |(name, value)| {
                preferences.f64(name, if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) });
            },
        );
    }
}

impl Turn {
    fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let mut message = Object::new(out);
        match self {
            Turn::Message(role, content) => {
                message.str("role", role.name()).field("content", |out| content.write(out, revision));
            }
            Turn::Model(content) => {
                message.str("role", "assistant").raw("content", content.get());
            }
            Turn::Results(results) => {
                message.str("role", "user").field("content", |out| {
                    let mut blocks = Array::new(out);
                    for (id, content) in results {
                        blocks.item(|out| {
                            let mut block = Object::new(out);
                            block.str("type", "tool_result").str("toolUseId", id);
                            block.field("content", |out| {
                                Array::new(out).item(|out| content.write(out, revision));
                            });
                        });
                    }
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

/// What the client's model answered (MCP sampling, `CreateMessageResult`).
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The model that answered.
    pub model: String,
    /// Why it stopped, such as `endTurn`, `maxTokens` or `toolUse`.
    pub stop_reason: Option<String>,
    /// The content as JSON: one block, or an array of blocks.
    pub content: Box<RawValue>,
}

/// A tool that the model wants to use.
#[derive(Clone, Debug)]
pub struct ToolUse {
    /// What its result is given back under.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments: a JSON object.
    pub input: Box<RawValue>,
}

impl Sampled {
    fn read(answer: &RawValue) -> Result<Sampled, String> {
        let members = Members::of(answer).map_err(|error| error.to_string())?;
        let content = members.get("content").ok_or("`content` is missing")?;
        let sampled = Sampled {
            model: members
                .get("model")
                .and_then(string)
                .ok_or("`model` is missing or not a string")?
                .into_owned(),
            stop_reason: members.get("stopReason").and_then(string).map(|reason| reason.into_owned()),
            content: content.to_owned(),
        };
        let well =
            !sampled.blocks().is_empty() && sampled.blocks().iter().all(|block| Members::of(block).is_ok());
        well.then_some(sampled).ok_or_else(|| "`content` must be a block or an array of blocks".to_owned())
    }

    /// All its text, in order.
    pub fn text(&self) -> String {
        let blocks = self.blocks();
        let texts = blocks.iter().filter_map(|block| jsonrpc::member(block, "text").ok().flatten());
        texts.filter_map(string).collect()
    }

    /// The tools it wants to use.
    pub fn tool_uses(&self) -> Vec<ToolUse> {
        let read = |block: &&RawValue| {
            let members = Members::of(block).ok()?;
            (members.get("type").and_then(string)? == "tool_use").then_some(())?;
            let text = |name| members.get(name).and_then(string).map(|text| text.into_owned());
            Some(ToolUse { id: text("id")?, name: text("name")?, input: members.get("input")?.to_owned() })
        };
        self.blocks().iter().filter_map(read).collect()
    }

    fn blocks(&self) -> Vec<&RawValue> {
        match self.content.get().starts_with('[') {
            true => serde_json::from_str(self.content.get()).unwrap_or_default(),
            false => vec![&*self.content],
        }
    }
}
