//! The answers to questions to the client.
//!
//! *Scope:* the types that a handler gets, and reading them from JSON. *Not in scope:* asking (`ask`), and the answers of a
//! model (`sampling`).
//!
//! | | a form or URL ([`Elicited`]) | model, roots ([`ClientAnswer`]) |
//! |---|---|---|
//! | answered | `Accepted`, `Declined`, `Cancelled` | `Given` |
//! | the client cannot be asked | `Unavailable` | `Unavailable` |
//! | nothing within `question_timeout` | `Cancelled`: the user may have seen it | `Unavailable` |
//! | the client sent an error | the call ends with it; −32601 and −32602 are `Unavailable` | `Unavailable` |
//! | the client sent something else | the call ends with an error | the call ends with an error |

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::json::value::{JsonRef, Members, NotMembers};
use crate::jsonrpc;
use crate::protocol::client_info::Capabilities;
use crate::protocol::revision::Revision;
use crate::text::error_text;

/// What the user did with a form or a URL. Declining is an answer and not an error; so is a client that cannot be asked.
///
/// ```
/// use mcp_rill::Elicited;
/// let answer = Elicited::Accepted(3);
/// assert_eq!(answer.clone().accepted(), Some(3));
/// let text = match answer {
///     Elicited::Accepted(copies) => format!("printing {copies} copies"),
///     Elicited::Declined => "not printing".to_owned(),
///     Elicited::Cancelled => "ask me again later".to_owned(),
///     Elicited::Unavailable(why) => format!("nobody could be asked: {why}"),
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elicited<T> {
    /// It was filled in, or agreed to.
    Accepted(T),
    /// The user said no.
    Declined,
    /// The user closed it without an answer, or gave none within `question_timeout`.
    Cancelled,
    /// The user was not asked, because the client cannot do that.
    Unavailable(Unavailable),
}

impl<T> Elicited<T> {
    /// Returns the value, if there is one: for handlers that treat all other outcomes alike.
    pub fn accepted(self) -> Option<T> {
        match self {
            Elicited::Accepted(value) => Some(value),
            Elicited::Declined | Elicited::Cancelled | Elicited::Unavailable(_) => None,
        }
    }

    /// Returns what the user did, or ends the call if the user could not be asked.
    ///
    /// # Errors
    /// Why the user could not be asked: pass it on with `?`. It is an error for the model, or since 2026-07-28 the error that
    /// tells the client what it has to declare (−32021).
    ///
    /// ```
    /// # mcp_rill::schema! { struct Name { name: String } }
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<String> {
    /// let name = call.elicit::<Name>("name", "Who are you?")?.required()?.accepted();
    /// Ok(name.map_or("Nobody".to_owned(), |Name { name }| name))
    /// # }
    /// ```
    pub fn required(self) -> Result<Elicited<T>, Unavailable> {
        match self {
            Elicited::Unavailable(why) => Err(why),
            answered => Ok(answered),
        }
    }

    /// The same with another value.
    pub(crate) fn try_map<U, E>(self, read: impl FnOnce(T) -> Result<U, E>) -> Result<Elicited<U>, E> {
        Ok(match self {
            Elicited::Accepted(value) => Elicited::Accepted(read(value)?),
            Elicited::Declined => Elicited::Declined,
            Elicited::Cancelled => Elicited::Cancelled,
            Elicited::Unavailable(why) => Elicited::Unavailable(why),
        })
    }
}

/// The client's answer to [`Call::sample`](crate::Call::sample) or [`Call::roots`](crate::Call::roots), if it gave one.
///
/// ```
/// # fn f(call: &mut mcp_rill::Call, article: &str) -> mcp_rill::Result<String> {
/// use mcp_rill::ClientAnswer;
/// Ok(match call.sample("short", format!("Summarize: {article}"))? {
///     ClientAnswer::Given(short) => short.text(),
///     ClientAnswer::Unavailable(_) => article.chars().take(200).collect(),
/// })
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAnswer<T> {
    /// The answer.
    Given(T),
    /// There is no answer: the client cannot be asked, refused, or did not answer within `question_timeout`.
    Unavailable(Unavailable),
}

impl<T> ClientAnswer<T> {
    /// Returns the answer, if there is one: for handlers that can do without.
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<usize> {
    /// let roots = call.roots("roots")?.given().unwrap_or_default();
    /// # Ok(roots.len()) }
    /// ```
    pub fn given(self) -> Option<T> {
        match self {
            ClientAnswer::Given(answer) => Some(answer),
            ClientAnswer::Unavailable(_) => None,
        }
    }

    /// Returns the answer, or ends the call: for handlers that cannot do without.
    ///
    /// # Errors
    /// As [`Elicited::required`].
    ///
    /// ```
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<String> {
    /// let capital = call.sample("capital", "What is the capital of France?")?.required()?.text();
    /// # Ok(capital) }
    /// ```
    pub fn required(self) -> Result<T, Unavailable> {
        match self {
            ClientAnswer::Given(answer) => Ok(answer),
            ClientAnswer::Unavailable(why) => Err(why),
        }
    }
}

/// Why there is no answer to a question, as a text for a person or a model: the client lacks a capability or speaks an older
/// revision, has no stream to be asked on, or did not answer. If a handler returns it as an error, the model reads it.
///
/// ```
/// use mcp_rill::{Elicited, Unavailable};
/// let answer: Elicited<bool> = Elicited::Unavailable(Unavailable::new("the client shows no forms"));
/// assert_eq!(answer.required().unwrap_err().to_string(), "the client shows no forms");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(Why);

/// The source of [`Unavailable`], so that it is found behind errors that hide what they wrap, as `CallError` is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Why {
    reason: String,
    /// The capabilities that the client would have to declare; none if that would not help.
    lacking: Capabilities,
}

impl Unavailable {
    /// Makes one with this text: to test what a handler does with it.
    pub fn new(reason: impl Into<String>) -> Unavailable {
        Unavailable(Why { reason: reason.into(), lacking: Capabilities::default() })
    }

    /// Because the client lacks these.
    pub(crate) fn lacking(lacking: Capabilities) -> Unavailable {
        let Unavailable(why) = Unavailable::without(&lacking.in_words());
        Unavailable(Why { lacking, ..why })
    }

    /// Because the client cannot do this.
    pub(crate) fn without(what: &str) -> Unavailable {
        Unavailable::new(format!("this needs a client that can {what}, and this one cannot"))
    }

    /// The same with another text.
    pub(crate) fn in_words(self, reason: String) -> Unavailable {
        Unavailable(Why { reason, ..self.0 })
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.0.lacking
    }

    /// True if the error goes to the client, and names what it has to declare, instead of to the model.
    pub(crate) fn is_for_the_client(&self, revision: Revision) -> bool {
        !revision.has_sessions() && self.0.lacking != Capabilities::default()
    }

    /// Returns the `Unavailable` whose source this error is.
    pub(crate) fn behind(error: &(dyn Error + 'static)) -> Option<Unavailable> {
        error.downcast_ref::<Why>().cloned().map(Unavailable)
    }

    /// True if this error is the source of an `Unavailable`.
    pub(crate) fn hides(error: &(dyn Error + 'static)) -> bool {
        error.is::<Why>()
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

error_text!(Why: |_why| "the client cannot be asked");

/// One of the client's roots: a folder that the user works in (MCP roots).
///
/// ```
/// use mcp_rill::Root;
/// let root = Root::new("file:///home/ada/rill");
/// assert_eq!(root.uri.strip_prefix("file://"), Some("/home/ada/rill"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Root {
    /// A `file:` URI.
    pub uri: String,
    /// A name for people.
    pub name: Option<String>,
}

impl Root {
    /// A root with its URI: to test what a handler does with it.
    pub fn new(uri: impl Into<String>) -> Root {
        Root { uri: uri.into(), name: None }
    }
}

/// What is wrong with an answer.
fn text(problem: NotMembers) -> String {
    jsonrpc::Error::from(problem).to_string()
}

/// Reads what the user did, with the content if there is any.
pub(crate) fn read_action(answer: JsonRef<'_>) -> Result<Elicited<Option<JsonRef<'_>>>, String> {
    let members = Members::of(answer).map_err(text)?;
    match members.text("action").as_deref() {
        Some("accept") => Ok(Elicited::Accepted(members.get("content"))),
        Some("decline") => Ok(Elicited::Declined),
        Some("cancel") => Ok(Elicited::Cancelled),
        _ => Err("`action` must be accept, decline or cancel".to_owned()),
    }
}

pub(crate) fn read_roots(answer: JsonRef<'_>) -> Result<Vec<Root>, String> {
    let roots = answer.member("roots").map_err(text)?.ok_or("`roots` is missing")?;
    let roots = roots.items().ok_or("`roots` must be an array")?;
    let read = |root: JsonRef<'_>| {
        let members = Members::of_member(root, "roots[]").map_err(text)?;
        let uri = members.text("uri").ok_or("`roots[].uri` is missing or not a string")?;
        Ok(Root { uri: uri.into_owned(), name: members.text("name").map(Cow::into_owned) })
    };
    roots.map(read).collect()
}
