//! What came back for a request.
//!
//! *Scope:* [`Response`], [`Notification`], and messages for tests that expected something else. *Not in scope:* waiting for them.

use std::fmt;

use serde_json::Value;

use crate::jsonrpc::Error;
use crate::protocol::level::Level;
use crate::testing::answers::Question;

/// How many bytes of a message are shown in the text of a failed test.
const SHOWN_BYTES_MAX: usize = 2000;

/// A notification that the client has got.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notification {
    /// How far a call is ([`Call::progress`](crate::Call::progress)).
    Progress {
        /// How much is done.
        done: f64,
        /// Out of how much.
        total: Option<f64>,
        /// A text for people.
        message: Option<String>,
    },
    /// A log ([`Call::log`](crate::Call::log), [`Handle::log`](crate::Handle::log)).
    Log {
        /// Its level.
        level: Level,
        /// The logger's name, if it has one.
        logger: Option<String>,
        /// The text or other value.
        data: Value,
    },
    /// The list of tools has changed.
    ToolsChanged,
    /// The list of resources or of templates has changed.
    ResourcesChanged,
    /// The list of prompts has changed.
    PromptsChanged,
    /// The resource of this URI has changed.
    ResourceUpdated(String),
    /// Anything else.
    Other {
        /// The method.
        method: String,
        /// The params, or null.
        params: Value,
    },
}

impl Notification {
    pub(super) fn of(method: &str, params: &Value) -> Notification {
        let text = |name: &str| params[name].as_str().map(str::to_owned);
        match method {
            "notifications/progress" => Notification::Progress {
                done: params["progress"].as_f64().unwrap_or(f64::NAN),
                total: params["total"].as_f64(),
                message: text("message"),
            },
            "notifications/message" => {
                let level = params["level"].as_str().and_then(Level::named).unwrap_or(Level::Info);
                Notification::Log { level, logger: text("logger"), data: params["data"].clone() }
            }
            "notifications/tools/list_changed" => Notification::ToolsChanged,
            "notifications/resources/list_changed" => Notification::ResourcesChanged,
            "notifications/prompts/list_changed" => Notification::PromptsChanged,
            "notifications/resources/updated" => {
                Notification::ResourceUpdated(text("uri").unwrap_or_default())
            }
            _ => Notification::Other { method: method.to_owned(), params: params.clone() },
        }
    }
}

/// Why there is no answer in JSON-RPC.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The answer is an error.
    Rpc(Error),
    /// The HTTP request was refused.
    Refused(u16, String),
    /// The server, or a question that nothing answers, has left the request without an answer.
    Unanswered(String),
}

/// What came back for a request: of a tool, a resource, a prompt, a completion, or of any other method. Its methods panic if
/// something else came than the test expects, with a text that names the request and shows what came.
///
/// ```
/// use mcp_rill::testing::Harness;
/// use mcp_rill::{CallError, Json, Server, schema};
/// use serde_json::json;
/// schema! { struct Halves { whole: u64, rest: u64 } }
/// schema! { struct Number { n: u64 } }
/// let server = Server::new("halves", "1.0.0").tool("halve", "Halve a number", |Number { n }: Number, _| -> mcp_rill::Result<_> {
///     match n {
///         0 => Err(CallError::new(4000, "0 has no halves").into()),
///         n if n > 1000 => Err("too large".into()),
///         n => Ok(Json(Halves { whole: n / 2, rest: n % 2 })),
///     }
/// });
/// let mut harness = Harness::new(server);
/// assert_eq!(harness.call("halve", json!({"n": 7})).json(), json!({"whole": 3, "rest": 1}));
/// assert_eq!(harness.call("halve", json!({"n": 7000})).tool_error(), "too large");
/// let error = harness.call("halve", json!({"n": 0})).error();
/// assert_eq!((error.code, &*error.message), (4000, "0 has no halves"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a response says whether the call went well"]
pub struct Response {
    /// The request, in words.
    pub(super) what: String,
    pub(super) outcome: Result<Value, Failure>,
    pub(super) notifications: Vec<Notification>,
    pub(super) questions: Vec<Question>,
    /// What the server has reported of the author's mistakes meanwhile.
    pub(super) faults: Vec<String>,
}

impl Response {
    /// Returns the text: of a tool's blocks, of a resource's contents, or of a prompt's messages. Several are joined by line ends.
    ///
    /// # Panics
    /// If the request failed, if a tool returned an error for the model, or if there is no text.
    #[track_caller]
    pub fn text(&self) -> String {
        let result = self.expect_result("a text");
        let texts: Vec<&str> = blocks(result).filter_map(|block| block["text"].as_str()).collect();
        if texts.is_empty() {
            self.fail("a text");
        }
        texts.join("\n")
    }

    /// Returns the structured content of a tool, or else its text read as JSON, which clients before 2025-06-18 get instead. Of a
    /// resource, its text read as JSON.
    ///
    /// # Panics
    /// If the request failed, if a tool returned an error for the model, or if there is no JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let result = self.expect_result("JSON");
        let structured = result.get("structuredContent").cloned();
        let text = || blocks(result).find_map(|block| serde_json::from_str(block["text"].as_str()?).ok());
        match structured.or_else(text) {
            Some(value) => value,
            None => self.fail("JSON"),
        }
    }

    /// Returns the blocks of a tool's content, the contents of a resource, or the messages of a prompt, as they are on the wire.
    ///
    /// # Panics
    /// If the request failed, or if a tool returned an error for the model.
    #[track_caller]
    pub fn content(&self) -> Vec<Value> {
        list(self.expect_result("content")).cloned().collect()
    }

    /// Returns the values of a completion.
    ///
    /// # Panics
    /// If the request failed, or is none.
    #[track_caller]
    pub fn completions(&self) -> Vec<String> {
        let result = self.expect_result("completions");
        let Some(values) = result["completion"]["values"].as_array() else { self.fail("completions") };
        values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }

    /// Returns the whole result, as it is on the wire.
    ///
    /// # Panics
    /// If the request failed. An error of a tool for the model is a result.
    #[track_caller]
    pub fn result(&self) -> Value {
        match &self.outcome {
            Ok(result) => result.clone(),
            Err(_) => self.fail("a result"),
        }
    }

    /// Returns the text of a tool's result that is an error for the model (`isError`).
    ///
    /// # Panics
    /// If the tool returned something else, or the request failed.
    #[track_caller]
    pub fn tool_error(&self) -> String {
        match &self.outcome {
            Ok(result) if result["isError"] == true => {
                let texts: Vec<&str> = blocks(result).filter_map(|block| block["text"].as_str()).collect();
                texts.join("\n")
            }
            _ => self.fail("an error for the model"),
        }
    }

    /// Returns the JSON-RPC error: code, message, data.
    ///
    /// # Panics
    /// If there is a result, or the HTTP request was refused.
    #[track_caller]
    pub fn error(&self) -> Error {
        match &self.outcome {
            Err(Failure::Rpc(error)) => error.clone(),
            _ => self.fail("a JSON-RPC error"),
        }
    }

    /// Returns the status and the text of an HTTP request that was refused, such as 401 for one without a token.
    ///
    /// # Panics
    /// If it was not refused.
    #[track_caller]
    pub fn refusal(&self) -> (u16, &str) {
        match &self.outcome {
            Err(Failure::Refused(status, text)) => (*status, text),
            _ => self.fail("a refused HTTP request"),
        }
    }

    /// True if there is a result that is no error for the model.
    pub fn is_ok(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|result| result["isError"] != true)
    }

    /// Returns the notifications of this request, in order: progress, and logs. Where several requests are open on one stream (HTTP+SSE,
    /// lines) logs do not say to which they belong, and are only in [`Harness::notifications`](crate::testing::Harness::notifications).
    pub fn notifications(&self) -> &[Notification] {
        &self.notifications
    }

    /// Returns what the handler has asked, in order. What is said of logs in [`notifications`](Response::notifications) holds for
    /// questions too.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    #[track_caller]
    fn expect_result(&self, expected: &str) -> &Value {
        match &self.outcome {
            Ok(result) if result["isError"] != true => result,
            _ => self.fail(expected),
        }
    }

    #[track_caller]
    fn fail(&self, expected: &str) -> ! {
        panic!("{expected} was expected of {self}")
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which ", self.what)?;
        match &self.outcome {
            Ok(result) if result["isError"] == true => {
                write!(f, "returned an error for the model: {}", shown(&result["content"].to_string()))?
            }
            Ok(result) => write!(f, "returned {}", shown(&result.to_string()))?,
            Err(Failure::Rpc(error)) => {
                let (code, message) = (error.code, &error.message);
                write!(f, "failed with the error {code}: {}", shown(message))?;
                if let Some(data) = &error.data {
                    write!(f, " (data {})", shown(data.get()))?;
                }
            }
            Err(Failure::Refused(status, text)) => {
                write!(f, "was refused by HTTP status {status}: {}", shown(text))?;
                if *status == 401 {
                    f.write_str("\nthe server authorizes requests: add `.token(…)`, or leave its hook out of the test")?;
                }
            }
            Err(Failure::Unanswered(why)) => f.write_str(why)?,
        }
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, "\nthe server reports a fault of a handler: {fault}"))
    }
}

/// The items of a result.
fn list(result: &Value) -> impl Iterator<Item = &Value> {
    let names = ["content", "contents", "messages"];
    names.into_iter().filter_map(|name| result[name].as_array()).flatten()
}

/// The blocks of a result: what a message of a prompt has is a block of its own, or several.
fn blocks(result: &Value) -> impl Iterator<Item = &Value> {
    list(result).flat_map(|item| match &item["content"] {
        Value::Null => vec![item],
        Value::Array(blocks) => blocks.iter().collect(),
        block => vec![block],
    })
}

/// The text, or its beginning if it is long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_BYTES_MAX) {
        Some((end, _)) => format!("{}… ({} bytes in all)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
