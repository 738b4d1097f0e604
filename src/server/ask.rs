//! Questions to the client in the middle of a call, without async.
//!
//! *Scope:* what a handler can ask. *Not in scope:* the types of the answers (`elicitation`), what is remembered between two
//! runs of a handler (`questions`), sending questions (`conclude` in `runtime::run`, or `runtime::stateless::rounds` for a
//! client without a session) and matching answers to them (`take_answer` in `runtime::run`).
//!
//! **The code above a question runs again.** A question without an answer ends the handler by `?`; it is sent to the client,
//! and when the answer has come the handler runs again from its first line, with the same arguments. So code before a question
//! must do no harm when it runs twice; [`Call::once`] keeps the value of code that must run once.
//!
//! **An `Err` of a question means: stop here.** Pass it on with `?`. That a user declines, or that a client cannot be asked, is
//! a value. A handler that goes on after an `Err` ends in an error whatever it returns (`conclusion`).
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
//!         Elicited::Unavailable(_) => Ok("nothing was done: call `wipe_unasked` if you are sure"),
//!         _ => Ok("nothing was done"),
//!     }
//! });
//! ```

use serde_json::value::RawValue;

use crate::json::tape::Tape;
use crate::json::value::{JsonBuf, JsonRef};
use crate::json::write::Object;
use crate::jsonrpc::Error;
use crate::protocol::client_info::{Capabilities, ClientInfo};
use crate::protocol::elicitation::{ClientAnswer, Elicited, Root, Unavailable, read_action, read_roots};
use crate::protocol::error::CallError;
use crate::protocol::revision::Revision;
use crate::protocol::sampling::{Sample, Sampled};
use crate::protocol::siphash::fingerprint;
use crate::protocol::{forms, uri_syntax};
use crate::server::call::Call;
use crate::server::form::{Form, Kept};
use crate::server::questions::QuestionOutcome;

/// Questions to the client. Each has a key that names it within the handler. Several may be asked in one round:
///
/// ```
/// # mcp_rill::schema! { struct Name { name: String } }
/// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<()> {
/// let (name, roots) = (call.elicit::<Name>("name", "Who are you?"), call.roots("roots"));
/// let (name, roots) = (name?, roots?);
/// # Ok(()) }
/// ```
///
/// # What an `Err` of a question means
/// Always stop here: pass it on with `?`, bare or inside an error type of your own. It is one of
/// - the question is new, and will now be sent ([`CallError::is_pending`]);
/// - the client's answer is not valid, or it refused to show a form: the model reads which;
/// - a fault of the handler: a form that clients refuse, or a key that stands for two things (−32603).
///
/// A handler that goes on after it and returns a value has acted on an answer that does not exist. Then nothing is asked, and
/// the call ends in −32603 that names the tool and the question, or in the error that was ignored; the same is reported as
/// [`Event::HandlerFault`](crate::engine::observe::Event::HandlerFault). So does a handler that fails for another reason while a
/// question is open, with that reason in the text.
///
/// # Keys
/// In one run a key is used once, and in every run it stands for the same method and parameters: an answer never goes to
/// another question than the one that was asked. So keep what varies between runs, such as the time, out of questions, or
/// fix it by [`once`](Call::once). Keys of `once` are separate from those of questions, under the same rule.
///
/// ```
/// # mcp_rill::schema! { struct Confirm { sure: bool } }
/// # fn f(call: &mut mcp_rill::Call, files: &[&str]) -> mcp_rill::Result<()> {
/// for file in files {
///     let question = format!("Delete {file}?");
///     let sure = call.elicit::<Confirm>(&format!("sure-{file}"), &question)?; // not "sure" for all of them
/// }
/// # Ok(()) }
/// ```
impl Call<'_> {
    /// Shows the user a form made from `T`, a flat struct of `schema!`, and returns what was filled in (MCP elicitation,
    /// since 2025-06-18). `T` with a nested struct, or with a list of anything but an enum, does not compile: `cargo build`
    /// reports it, `cargo check` does not get that far. With the feature `schemars`, `T` may be a `Typed` one; whether that can be
    /// a form is known when it is asked (−32603 names the field that cannot). `key` names the question within its handler. The user
    /// reads `message` above the form.
    ///
    /// The result is [`Elicited::Unavailable`] if the client cannot show forms or has no stream to be asked on, and
    /// [`Elicited::Cancelled`] if the user does not answer within `question_timeout`.
    ///
    /// ```
    /// # use mcp_rill::{Elicited, Server, schema};
    /// schema! { struct Trip { /// Where to?
    ///     town: String, nights: u8 { min 1 } = 1 } }
    /// let server = Server::new("travel", "1.0.0").tool("book", "Book a room", |(), call| -> mcp_rill::Result<_> {
    ///     Ok(match call.elicit::<Trip>("trip", "Which room may it be?")? {
    ///         Elicited::Accepted(Trip { town, nights }) => format!("booked {nights} nights in {town}"),
    ///         Elicited::Declined | Elicited::Cancelled => "nothing is booked".to_owned(),
    ///         Elicited::Unavailable(why) => format!("nothing is booked: {why}"),
    ///     })
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of [every question](#what-an-err-of-a-question-means): pass them on with `?`. An answer that does not fit `T` is one
    /// of them.
    pub fn elicit<T: Form>(&mut self, key: &str, message: &str) -> Result<Elicited<T>, CallError> {
        const { T::IS_FLAT }
        let form = T::form().map_err(|problem| self.misused(format!("the form of `{key}` {problem}")))?;
        let answer = self.ask_form(key, message, &form)?;
        self.read_form(key, answer)
    }

    /// The answer to the form that a [`Reply`](crate::Reply) of an earlier run has [shown](crate::Reply::elicit) under this key; `None`
    /// in the run before.
    ///
    /// # Errors
    /// As [`elicit`](Call::elicit).
    pub fn answer<T: Form>(&mut self, key: &str) -> Result<Option<Elicited<T>>, CallError> {
        let Some(outcome) = self.questions.known_outcome(key)? else { return Ok(None) };
        let answer =
            elicited(key, outcome).map_err(|problem| self.questions.fail(CallError::for_model(problem)))?;
        let answer = self.content(key, answer)?;
        self.read_form(key, answer).map(Some)
    }

    fn read_form<T: Form>(&mut self, key: &str, answer: Elicited<JsonBuf>) -> Result<Elicited<T>, CallError> {
        answer
            .try_map(|content| T::read_answer(content.as_ref()))
            .map_err(|error| self.wrong_answer(key, &error))
    }

    /// As [`elicit`](Call::elicit), for forms that are known only at run time: the form is a JSON Schema as text, and the content
    /// is JSON that is not checked against it. A form has `type`, `properties`, `required` and `$schema`
    /// at its root, and fields of the kinds that [`elicit`](Call::elicit) has (MCP schema, `PrimitiveSchemaDefinition`):
    /// for anything else clients refuse the whole form, so it is an error here.
    ///
    /// # Errors
    /// As [`elicit`](Call::elicit), and −32603 that names the member that a form cannot have.
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
        forms::check(schema).map_err(|problem| self.misused(format!("the form of `{key}` {problem}")))?;
        let answer = self.ask_form(key, message, schema)?;
        answer.try_map(|content| Ok(content.as_ref().to_raw()))
    }

    /// Shows a form that was checked.
    fn ask_form(&mut self, key: &str, message: &str, schema: &str) -> Result<Elicited<JsonBuf>, CallError> {
        let revision = self.context.revision;
        if let Some(why) = self.lacking(Capabilities::ELICITATION_FORM, revision >= Revision::V2025_06_18) {
            return Ok(Elicited::Unavailable(why));
        }
        let form = match forms::for_revision(revision, schema) {
            Ok(form) => form,
            Err(what) => return Ok(Elicited::Unavailable(Unavailable::without(&what))),
        };
        let modes = revision >= Revision::V2025_11_25;
        let content = self.ask_user(key, |out| {
            let mut params = Object::new(out);
            if modes {
                params.str("mode", "form");
            }
            params.str("message", message).raw("requestedSchema", &form);
        })?;
        self.content(key, content)
    }

    /// What was filled in: nothing is an object without members.
    fn content(
        &mut self,
        key: &str,
        answer: Elicited<Option<JsonBuf>>,
    ) -> Result<Elicited<JsonBuf>, CallError> {
        let empty = || Tape::new().read("{}").map(JsonBuf::from);
        answer
            .try_map(|content| content.map_or_else(empty, Ok))
            .map_err(|error| self.wrong_answer(key, &error.to_string()))
    }

    /// Asks the user to open `url`, for secrets that must not pass through the client, such as a password (MCP 2025-11-25,
    /// elicitation in url mode). Accepted means that the user agreed to open it, not that anything was done there.
    ///
    /// # Errors
    /// As [`elicit`](Call::elicit), and −32603 for a text that is no URL.
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
        uri_syntax::check(url)
            .map_err(|problem| self.misused(format!("the URL `{url}` of `{key}`: {problem}")))?;
        let revision = self.context.revision;
        if let Some(why) = self.lacking(Capabilities::ELICITATION_URL, revision >= Revision::V2025_11_25) {
            return Ok(Elicited::Unavailable(why));
        }
        // Without sessions nothing refers to it later.
        let id = revision.has_sessions().then(|| format!("{:x}-{key}", self.handle.call.0.serial()));
        let agreed = self.ask_user(key, |out| {
            Object::new(out)
                .str("mode", "url")
                .str("message", message)
                .str("url", url)
                .opt_str("elicitationId", id.as_deref());
        })?;
        agreed.try_map(|_| Ok(()))
    }

    /// Asks for an elicitation of a mode that the client knows.
    fn ask_user(
        &mut self,
        key: &str,
        params: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Elicited<Option<JsonBuf>>, CallError> {
        let outcome = self.questions.outcome(key, ELICIT, params)?;
        elicited(key, outcome).map_err(|problem| self.questions.fail(CallError::for_model(problem)))
    }

    /// Asks the client's model (MCP sampling). A text is a prompt of the user with at most 1,000 tokens of answer;
    /// [`Sample`] says more. `key` names the question within its handler.
    ///
    /// The result is [`ClientAnswer::Unavailable`] if the client cannot sample, has no stream to be asked on, refuses, or does
    /// not answer within `question_timeout`.
    ///
    /// # Errors
    /// Those of [every question](#what-an-err-of-a-question-means): pass them on with `?`. Among them are an answer that is no
    /// message, and (−32603) a tool that clients would refuse or a message that is a resource or a link to one.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call, article: &str) -> mcp_rill::Result<String> {
    /// use mcp_rill::Sample;
    /// let short = call.sample("short", format!("Summarize in one sentence: {article}"))?.required()?.text();
    /// let translate = Sample::new(200).system("Translate into German.").user(short.clone());
    /// let german = call.sample("german", translate)?.given(); // English will do
    /// # Ok(german.map_or(short, |german| german.text())) }
    /// ```
    pub fn sample(
        &mut self,
        key: &str,
        sample: impl Into<Sample>,
    ) -> Result<ClientAnswer<Sampled>, CallError> {
        let sample = sample.into();
        sample.check().map_err(|problem| self.misused(format!("the question `{key}`: {problem}")))?;
        if sample.has_audio() && self.context.revision < Revision::V2025_03_26 {
            let what = "let its model hear sounds (since 2025-03-26)";
            return Ok(ClientAnswer::Unavailable(Unavailable::without(what)));
        }
        let needed = if sample.needs_tools() { Capabilities::SAMPLING_TOOLS } else { Capabilities::SAMPLING };
        let revision = self.context.revision;
        let write = |out: &mut Vec<u8>| sample.write(out, revision);
        self.ask_client(key, "sampling/createMessage", needed, write, Sampled::read)
    }

    /// Asks for the client's roots: the folders that the user works in (MCP roots).
    ///
    /// # Errors
    /// As [`sample`](Call::sample).
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<bool> {
    /// let folders = call.roots("folders")?.required()?;
    /// let allowed = folders.iter().any(|root| root.uri == "file:///home/ada/rill");
    /// # Ok(allowed) }
    /// ```
    pub fn roots(&mut self, key: &str) -> Result<ClientAnswer<Vec<Root>>, CallError> {
        self.ask_client(key, "roots/list", Capabilities::ROOTS, |_| {}, read_roots)
    }

    /// Asks a question that the client answers without its user.
    fn ask_client<T>(
        &mut self,
        key: &str,
        method: &'static str,
        needed: Capabilities,
        params: impl FnOnce(&mut Vec<u8>),
        read: impl FnOnce(JsonRef<'_>) -> Result<T, String>,
    ) -> Result<ClientAnswer<T>, CallError> {
        if let Some(why) = self.lacking(needed, true) {
            return Ok(ClientAnswer::Unavailable(why));
        }
        let read = match self.questions.outcome(key, method, params)? {
            QuestionOutcome::Result(answer) => read(answer.as_ref()),
            outcome => return Ok(ClientAnswer::Unavailable(no_answer(key, method, outcome))),
        };
        read.map(ClientAnswer::Given).map_err(|problem| self.wrong_answer(key, &problem))
    }

    /// Does `work` in the first run only, and returns its value in every run: for work that must not be done twice although
    /// the code above a question runs again. The value is kept as JSON, so keep it small. `key` is used once in a run, as
    /// [those of questions](#keys).
    ///
    /// # Errors
    /// −32603 if the key is used a second time in this run, if an earlier run kept a value of another type under it, if the
    /// value has a float that is not finite, or if it cannot be read back. As with questions, such an error ends the call.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<()> {
    /// let order: u64 = call.once("order", || 4711 /* reserve a number */)?;
    /// # Ok(()) }
    /// ```
    pub fn once<T: Kept>(&mut self, key: &str, work: impl FnOnce() -> T) -> Result<T, CallError> {
        let fingerprint = fingerprint(&[T::kept_schema().as_bytes()]);
        let known = self.questions.value(key, fingerprint)?;
        let read = known.map(T::read_kept);
        let unreadable =
            |error: &dyn std::fmt::Display| format!("the value of `{key}` cannot be read back: {error}");
        if let Some(read) = read {
            return read.map_err(|error| self.misused(unreadable(&error)));
        }
        let value = work();
        let kept = value
            .to_kept()
            .map_err(|problem| self.misused(format!("the value of `{key}` cannot be kept: {problem}")))?;
        let kept =
            Tape::new().read(&kept).map(JsonBuf::from).map_err(|error| self.misused(unreadable(&error)))?;
        self.questions.keep_value(key, fingerprint, kept);
        Ok(value)
    }

    /// Returns why the client cannot be asked; `None` if it can. It may lack a capability, its revision may not have the
    /// question, or there may be no session for the answer.
    pub(crate) fn lacking(&self, needed: Capabilities, known: bool) -> Option<Unavailable> {
        let (revision, none) = (self.context.revision, Capabilities::default());
        if needed != none && self.context.session_id.is_none() && revision.has_sessions() {
            return Some(Unavailable::new(format!(
                "this server keeps no sessions (Settings::sessionless), so a client of {revision} cannot be asked; clients of \
                 2026-07-28 and of HTTP+SSE can"
            )));
        }
        let lacks = |client: &ClientInfo| needed.without(client.capabilities);
        let lacking = if known { self.client().map(lacks).unwrap_or_default() } else { needed };
        (lacking != none).then(|| Unavailable::lacking(lacking))
    }

    fn wrong_answer(&mut self, key: &str, problem: &str) -> CallError {
        self.questions.fail(CallError::for_model(wrong(key, problem)))
    }

    /// A fault of the handler.
    fn misused(&mut self, problem: String) -> CallError {
        self.questions.fail(CallError::internal(problem))
    }
}

const ELICIT: &str = "elicitation/create";

/// Reads the outcome of an elicitation.
///
/// # Errors
/// A sentence for the model: the answer is not valid, or the client has failed.
fn elicited(key: &str, outcome: &QuestionOutcome) -> Result<Elicited<Option<JsonBuf>>, String> {
    match outcome {
        QuestionOutcome::Result(answer) => {
            let action = read_action(answer.as_ref()).map_err(|problem| wrong(key, &problem))?;
            action.try_map(|content| Ok(content.map(JsonBuf::from)))
        }
        // The user may have seen it.
        QuestionOutcome::Late => Ok(Elicited::Cancelled),
        QuestionOutcome::Error(error)
            if !matches!(error.code, Error::METHOD_NOT_FOUND | Error::INVALID_PARAMS) =>
        {
            Err(no_answer(key, ELICIT, outcome).to_string())
        }
        QuestionOutcome::Unreached | QuestionOutcome::Unavailable(_) | QuestionOutcome::Error(_) => {
            Ok(Elicited::Unavailable(no_answer(key, ELICIT, outcome)))
        }
    }
}

fn wrong(key: &str, problem: &str) -> String {
    format!("the client's answer to `{key}` is not valid: {problem}")
}

/// Why there is no result.
fn no_answer(key: &str, method: &str, outcome: &QuestionOutcome) -> Unavailable {
    Unavailable::new(match outcome {
        QuestionOutcome::Unavailable(why) => return why.clone(),
        QuestionOutcome::Error(error) => format!("the client refused `{key}` ({method}): {error}"),
        QuestionOutcome::Unreached => format!(
            "the client cannot be asked `{key}` ({method}): it has no stream to be asked on; its POST must accept \
             text/event-stream, or a GET open one"
        ),
        QuestionOutcome::Late | QuestionOutcome::Result(_) => {
            format!("the client did not answer `{key}` ({method}) in time")
        }
    })
}
