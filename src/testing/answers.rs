//! What the server asks its client, and what a test lets the client answer.
//!
//! *Scope:* [`Question`], [`Answer`], and the results that they become on the wire. *Not in scope:* how these travel.

use serde_json::{Value, json};

use crate::jsonrpc::Error;

/// What a handler has asked the client ([`Call::elicit`](crate::Call::elicit), [`sample`](crate::Call::sample),
/// [`roots`](crate::Call::roots)).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Question {
    /// The key under which the handler asked; `None` if it is not known, as with a [`Service`](crate::service::Service) of your
    /// own.
    pub key: Option<String>,
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: String,
    /// What is asked: an object, such as one with a `message` and a `requestedSchema`.
    pub params: Value,
}

impl Question {
    pub(super) fn new(key: Option<&str>, method: &str, params: Option<&Value>) -> Question {
        let params = params.cloned().unwrap_or_else(|| json!({}));
        Question { key: key.map(str::to_owned), method: method.to_owned(), params }
    }

    /// What a test can do about a question that it has no answer to.
    pub(super) fn advice(&self) -> String {
        let example = match &*self.method {
            "elicitation/create" => r#"json!({"field": "what the user fills in"})"#,
            "sampling/createMessage" => r#""what the model says""#,
            _ => r#"json!(["file:///a/root"])"#,
        };
        match &self.key {
            Some(key) => {
                format!("the test has no answer under the key `{key}`: add `.answer({key:?}, {example})`")
            }
            None => format!("the test has no answer: add `.on_question(|_| {example}.into())`"),
        }
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.params)
    }
}

/// How the client answers a [`Question`]. A JSON value, and a text, [become](Answer::from) what the question asks for.
///
/// ```
/// use mcp_rill::testing::{Answer, Harness};
/// use mcp_rill::{Elicited, Server, schema};
/// use serde_json::json;
/// schema! { struct Confirm { sure: bool } }
/// let server = || Server::new("files", "1.0.0").tool("clean", "Delete old files", |(), call| -> mcp_rill::Result<_> {
///     Ok(match call.elicit::<Confirm>("sure", "Delete them?")? {
///         Elicited::Accepted(Confirm { sure: true }) => "deleted",
///         Elicited::Unavailable(_) => "nobody to ask",
///         _ => "kept",
///     })
/// });
/// let clean = |answer: Answer| Harness::new(server()).answer("sure", answer).call("clean", json!({})).text();
/// assert_eq!(clean(json!({"sure": true}).into()), "deleted");
/// assert_eq!(clean(Answer::Declined), "kept");
/// assert_eq!(clean(Answer::Error(-32601, "no forms here".into())), "nobody to ask");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// To a form what the user fills in; to a URL anything, which means that the user agreed; to sampling the text or the content
    /// block of the model; to roots an array of URIs or of roots.
    Given(Value),
    /// The user declines. For forms and URLs.
    Declined,
    /// The user closes the form. For forms and URLs.
    Cancelled,
    /// The result on the wire, whatever it is: for answers that a client should not give.
    Raw(Value),
    /// An error, with its code and message.
    Error(i64, String),
    /// No answer. Once nothing else is left to do, time passes until the server stops waiting. A client without a session does not
    /// call again, so its call gets no result.
    Nothing,
}

impl From<Value> for Answer {
    fn from(value: Value) -> Answer {
        Answer::Given(value)
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Answer {
        Answer::Given(text.into())
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Answer {
        Answer::Given(text.into())
    }
}

/// The result on the wire; `None` if there is no answer.
pub(super) fn result_of(question: &Question, answer: &Answer) -> Option<Result<Value, Error>> {
    let given = match answer {
        Answer::Given(value) => value,
        Answer::Declined => return Some(Ok(json!({"action": "decline"}))),
        Answer::Cancelled => return Some(Ok(json!({"action": "cancel"}))),
        Answer::Raw(result) => return Some(Ok(result.clone())),
        Answer::Error(code, message) => return Some(Err(Error::new(*code, message.clone()))),
        Answer::Nothing => return None,
    };
    Some(Ok(match &*question.method {
        "elicitation/create" if question.params["mode"] == "url" => json!({"action": "accept"}),
        "elicitation/create" => json!({"action": "accept", "content": given}),
        "sampling/createMessage" => {
            let content = match given {
                Value::String(text) => json!({"type": "text", "text": text}),
                content => content.clone(),
            };
            json!({"role": "assistant", "content": content, "model": "test", "stopReason": "endTurn"})
        }
        "roots/list" => json!({"roots": roots(given)}),
        _ => given.clone(),
    }))
}

fn roots(given: &Value) -> Vec<Value> {
    let items = given.as_array().cloned().unwrap_or_else(|| vec![given.clone()]);
    let root = |item: Value| if item.is_string() { json!({"uri": item}) } else { item };
    items.into_iter().map(root).collect()
}
