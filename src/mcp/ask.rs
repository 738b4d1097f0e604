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

use crate::buffer::BLOCK_OVERHEAD_BYTES;
use crate::jsonrpc::{self, Members, Object, string};
use crate::mcp::call::{CallError, Failure};
use crate::mcp::check::check_tool;
use crate::mcp::forms;
use crate::mcp::{Call, Capabilities, Revision, Sample, Sampled};
use crate::schema::{self, Schema, Subject};

/// What a person did with a form or a URL. Declining is an answer, not an error.
///
/// ```
/// use mcp_rill::Elicited;
/// let answer = Elicited::Accepted(3);
/// assert_eq!(answer.clone().accepted(), Some(3));
/// let text = match answer {
///     Elicited::Accepted(copies) => format!("printing {copies} copies"),
///     Elicited::Declined => "not printing".to_owned(),
///     Elicited::Cancelled => "ask me again later".to_owned(),
/// };
/// ```
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
    /// The value, if there is one: for handlers to which declining and closing are the same.
    pub fn accepted(self) -> Option<T> {
        match self {
            Elicited::Accepted(value) => Some(value),
            Elicited::Declined | Elicited::Cancelled => None,
        }
    }
}

/// One of the client's roots: a place that the user works in (MCP roots).
///
/// ```
/// use mcp_rill::Root;
/// let root = Root { uri: "file:///home/ada/rill".into(), name: Some("rill".into()) };
/// assert_eq!(root.uri.strip_prefix("file://"), Some("/home/ada/rill"));
/// ```
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
    pub(crate) answers: Vec<(Box<str>, Answer)>,
    pub(crate) once: Vec<(Box<str>, Box<RawValue>)>,
    /// Questions of this run that have no answer yet.
    pub(crate) pending: Vec<Question>,
    /// Logs that were sent in earlier runs, and logs of this run so far.
    pub(crate) logs_sent: usize,
    pub(crate) logs: usize,
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
    /// There is none, and there will be none: why.
    None(&'static str),
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

    /// Counts a log of this run, or another thing that is to happen once; says whether it was not sent in an earlier one.
    pub(crate) fn logs_again(&mut self) -> bool {
        self.logs += 1;
        self.logs > self.logs_sent
    }

    /// Whether the questions can be sent.
    pub(crate) fn check_questions(&self, bytes_max: usize) -> Result<(), String> {
        for Question { key, params, .. } in &self.pending {
            let bytes = params.len();
            if bytes > bytes_max {
                let limit = format!("the limit message_bytes_max = {bytes_max}");
                return Err(format!("the question `{key}` has {bytes} bytes, more than {limit}"));
            }
        }
        Ok(())
    }

    /// The memory that it holds besides itself, between two runs.
    pub(crate) fn held_bytes(&self) -> usize {
        let answers = self.answers.iter().map(|(key, answer)| {
            key.len() + if let Answer::Result(raw) = answer { raw.get().len() } else { 64 }
        });
        let once = self.once.iter().map(|(key, raw)| key.len() + raw.get().len());
        let places = self.answers.capacity() * size_of::<(Box<str>, Answer)>()
            + self.once.capacity() * size_of::<(Box<str>, Box<RawValue>)>();
        let blocks = 2 * BLOCK_OVERHEAD_BYTES * (self.answers.len() + self.once.len());
        answers.chain(once).sum::<usize>() + places + blocks
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
            Some((_, Answer::None(why))) => {
                Err(CallError::told(format!("the client did not answer `{key}` ({method}){why}")))
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
    /// Shows the user a form made from `T`, a flat struct of `schema!`, and gives what was filled in (MCP elicitation,
    /// since 2025-06-18). `T` with a nested struct or a list of anything but an enum does not compile: `cargo build` says
    /// so, `cargo check` does not get that far. `key` names the question within its handler; `message` is what the user
    /// reads above the form.
    ///
    /// ```
    /// # use mcp_rill::{Elicited, Server, schema};
    /// schema! { struct Trip { /// Where to?
    ///     town: String, nights: u8 { min 1 } = 1 } }
    /// let server = Server::new("travel", "1.0.0").tool("book", "Book a room", |(), call| -> mcp_rill::Result<_> {
    ///     Ok(match call.elicit::<Trip>("trip", "Which room may it be?")? {
    ///         Elicited::Accepted(Trip { town, nights }) => format!("booked {nights} nights in {town}"),
    ///         Elicited::Declined | Elicited::Cancelled => "nothing is booked".to_owned(),
    ///     })
    /// });
    /// ```
    ///
    /// # Errors
    /// Without an answer yet, an error to be passed on with `?`. An error for the model if the client cannot show forms,
    /// has no stream to be asked on, refused, did not answer within `question_timeout`, or answered what `T` does not take.
    pub fn elicit<T: schema::Object>(&mut self, key: &str, message: &str) -> Result<Elicited<T>, CallError> {
        const { assert!(T::KIND.is_flat(), "a form has only strings, numbers, booleans, enums and lists of enums") }
        let answer = self.ask_form(key, message, &schema::form_text::<T>())?;
        Ok(match answer {
            Elicited::Accepted(content) => Elicited::Accepted(
                schema::read(Subject::Answer, Some(&content))
                    .map_err(|error| wrong_answer(key, &error.to_string()))?,
            ),
            Elicited::Declined => Elicited::Declined,
            Elicited::Cancelled => Elicited::Cancelled,
        })
    }

    /// As [`elicit`](Call::elicit), with the form's JSON Schema as text and the content as JSON, which is not checked
    /// against it: for forms that are only known at run time. A form has `type`, `properties`, `required` and `$schema`
    /// at its root, and fields of the kinds that [`elicit`](Call::elicit) has (MCP schema, `PrimitiveSchemaDefinition`):
    /// for anything else clients refuse the whole form, so it is an error here.
    ///
    /// # Errors
    /// As [`elicit`](Call::elicit), and −32603 that names the member which a form does not have.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<()> {
    /// let form = r#"{"type":"object","properties":{"seats":{"type":"integer"}}}"#;
    /// if let Some(content) = call.elicit_raw("seats", "How many seats?", form)?.accepted() {
    ///     let content: serde_json::Value = serde_json::from_str(content.get())?;
    ///     let seats = content["seats"].as_i64();
    /// }
    /// # Ok(()) }
    /// ```
    pub fn elicit_raw(
        &mut self,
        key: &str,
        message: &str,
        schema: &str,
    ) -> Result<Elicited<Box<RawValue>>, CallError> {
        forms::check(schema)
            .map_err(|problem| CallError::internal(format!("the form of `{key}` {problem}")))?;
        self.ask_form(key, message, schema)
    }

    /// Shows a form that keeps the grammar.
    fn ask_form(
        &mut self,
        key: &str,
        message: &str,
        schema: &str,
    ) -> Result<Elicited<Box<RawValue>>, CallError> {
        let revision = self.context.revision;
        self.needs(
            revision >= Revision::V2025_06_18,
            Capabilities { elicitation_form: true, ..Capabilities::default() },
        )?;
        let form = forms::in_words_of(revision, schema).map_err(|what| {
            CallError::told(format!("this needs a client that can {what}, and this one cannot"))
        })?;
        let modes = revision >= Revision::V2025_11_25;
        let answer = self.asked.result(key, "elicitation/create", |out| {
            let mut params = Object::new(out);
            if modes {
                params.str("mode", "form");
            }
            params.str("message", message).raw("requestedSchema", &form);
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
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<&'static str> {
    /// match call.elicit_url("login", "Sign in to the archive", "https://archive.example/login?state=7")? {
    ///     mcp_rill::Elicited::Accepted(()) => Ok("call again when you have signed in"),
    ///     _ => Ok("not signed in"),
    /// }
    /// # }
    /// ```
    pub fn elicit_url(&mut self, key: &str, message: &str, url: &str) -> Result<Elicited<()>, CallError> {
        let revision = self.context.revision;
        self.needs(
            revision >= Revision::V2025_11_25,
            Capabilities { elicitation_url: true, ..Capabilities::default() },
        )?;
        // Where there are no sessions nothing refers to it later.
        let id = revision.has_sessions().then(|| format!("{:x}-{key}", self.link.call.0.serial()));
        let answer = self.asked.result(key, "elicitation/create", |out| {
            Object::new(out)
                .str("mode", "url")
                .str("message", message)
                .str("url", url)
                .opt_str("elicitationId", id.as_deref());
        })?;
        Ok(match read_action(key, answer)? {
            Elicited::Accepted(_) => Elicited::Accepted(()),
            Elicited::Declined => Elicited::Declined,
            Elicited::Cancelled => Elicited::Cancelled,
        })
    }

    /// Asks the client's model (MCP sampling). A text is a prompt of the user with at most 1,000 tokens of answer;
    /// [`Sample`] says more. `key` names the question within its handler.
    ///
    /// # Errors
    /// Without an answer yet, an error to be passed on with `?`. An error for the model if the client cannot sample,
    /// has no stream to be asked on, refused, did not answer within `question_timeout`, or answered something else than a
    /// message. −32603 for a tool that clients would refuse, as [`Server::add_tool`](crate::Server::add_tool) reports it.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, article: &str) -> mcp_rill::Result<String> {
    /// use mcp_rill::Sample;
    /// let short = call.sample("short", format!("Summarize in one sentence: {article}"))?.text();
    /// let german = call.sample("german", Sample::new(200).system("Translate into German.").user(short))?.text();
    /// # Ok(german) }
    /// ```
    pub fn sample(&mut self, key: &str, sample: impl Into<Sample>) -> Result<Sampled, CallError> {
        let sample = sample.into();
        sample
            .tools
            .iter()
            .try_for_each(check_tool)
            .map_err(|problem| CallError::internal(format!("the question `{key}`: {problem}")))?;
        let sampling_tools = sample.needs_tools();
        self.require(Capabilities { sampling: true, sampling_tools, ..Capabilities::default() })?;
        let revision = self.context.revision;
        let answer = self.asked.result(key, "sampling/createMessage", |out| sample.write(out, revision))?;
        Sampled::read(answer).map_err(|problem| wrong_answer(key, &problem))
    }

    /// Asks for the client's roots: the places that the user works in (MCP roots).
    ///
    /// # Errors
    /// As [`sample`](Call::sample).
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<bool> {
    /// let folders = call.roots("folders")?;
    /// let allowed = folders.iter().any(|root| root.uri == "file:///home/ada/rill");
    /// # Ok(allowed) }
    /// ```
    pub fn roots(&mut self, key: &str) -> Result<Vec<Root>, CallError> {
        self.require(Capabilities { roots: true, ..Capabilities::default() })?;
        let answer = self.asked.result(key, "roots/list", |_| {})?;
        read_roots(answer).map_err(|problem| wrong_answer(key, &problem))
    }

    /// Does `work` in the first run only, and gives its value in every run: for what must not be done twice although
    /// code above a question runs again. The value is kept as JSON, so make it small.
    ///
    /// # Errors
    /// If the value has a float that is not finite, or that of an earlier run cannot be read back as `T`.
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
        let kept = schema::finite_json(&value).map_err(|problem| {
            CallError::internal(format!("the value of `{key}` cannot be kept: {problem}"))
        })?;
        let kept = RawValue::from_string(kept).map_err(|error| unreadable(error.to_string()))?;
        self.asked.once.push((key.into(), kept));
        Ok(value)
    }

    /// As [`require`](Call::require), of something that not every revision has.
    fn needs(&self, known: bool, needed: Capabilities) -> Result<(), CallError> {
        match known {
            true => self.require(needed),
            false => Err(CallError(Failure::Unable(needed))),
        }
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
        let members = Members::of_member(root, "roots[]").map_err(text)?;
        let uri = members.get("uri").and_then(string).ok_or("`roots[].uri` is missing or not a string")?;
        Ok(Root {
            uri: uri.into_owned(),
            name: members.get("name").and_then(string).map(|name| name.into_owned()),
        })
    };
    roots.into_iter().map(read).collect()
}
