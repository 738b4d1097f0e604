//! Errors of handlers.
//!
//! *Scope:* [`CallError`], finding it inside other errors, and its form on the wire. *Not in scope:* results with `isError`
//! (`content`), and errors of the protocol itself.

use std::error::Error;
use std::{fmt, io};

use crate::json::write::Object;
use crate::jsonrpc;
use crate::protocol::elicitation::Unavailable;
use crate::protocol::revision::Revision;
use crate::text::{error_text, printable};

/// The code of a resource that does not exist, up to 2025-11-25 (MCP resources, error handling).
const RESOURCE_NOT_FOUND: i64 = -32002;
/// The text of the error of a question without an answer.
pub(crate) const WAITING: &str = "waiting for the client's answer";
/// How many causes of an error are followed at most.
const CAUSES_MAX: usize = 64;
/// The client has not declared what the request needs (MCP 2026-07-28).
const MISSING_CAPABILITY: i64 = -32021;

/// A failure that is answered as a JSON-RPC error instead of a result that the model reads. Questions to the client
/// [return it](crate::Call#what-an-err-of-a-question-means), too: pass it on with `?`.
///
/// Inside another error it keeps its code: it is found among the [sources](Error::source) of the error that a handler returns.
///
/// ```
/// use mcp_rill::{CallError, Server};
/// let server = Server::new("notes", "1.0.0").template("note:///{id}", "note", |vars, _| match vars.get("id") {
///     Some("1") => Ok("the first note"),
///     Some(id) if id.parse::<u32>().is_err() => Err(CallError::invalid_params(format!("`{id}` is no number"))),
///     _ => Err(CallError::not_found()),
/// });
/// assert_eq!(CallError::internal("no disk").to_string(), "Internal error: no disk (-32603)");
/// assert_eq!(CallError::new(4001, "quota used up").to_string(), "quota used up (4001)");
/// ```
#[derive(Clone, Debug)]
pub struct CallError(pub(crate) Failure);

#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Protocol(jsonrpc::Error),
    NotFound,
    /// For the model to read.
    ForModel(String),
    /// An I/O error of a handler that reads a resource. Its text does not name the resource.
    Io(String),
    /// The client cannot be asked.
    MissingCapability(Unavailable),
    /// A question has no answer yet.
    Pending,
    /// The result comes later.
    Deferred,
}

impl CallError {
    /// The parameters are wrong (−32602; JSON-RPC 2.0, section 5.1).
    pub fn invalid_params(message: impl Into<String>) -> CallError {
        CallError(Failure::Protocol(jsonrpc::Error::invalid_params(message.into())))
    }

    /// The resource does not exist: −32002, since 2026-07-28 −32602, with the URI that was asked for (MCP resources, error
    /// handling).
    pub fn not_found() -> CallError {
        CallError(Failure::NotFound)
    }

    /// Something went wrong in this server (−32603; JSON-RPC 2.0, section 5.1).
    pub fn internal(message: impl Into<String>) -> CallError {
        CallError(Failure::Protocol(jsonrpc::Error::internal(message.into())))
    }

    /// An error with a code of your own. JSON-RPC reserves −32768 to −32000 for itself and MCP.
    pub fn new(code: i64, message: impl Into<String>) -> CallError {
        CallError(Failure::Protocol(jsonrpc::Error::new(code, message.into())))
    }

    pub(crate) fn for_model(message: impl Into<String>) -> CallError {
        CallError(Failure::ForModel(message.into()))
    }

    /// True for the error of a question without an answer. The question is sent when the handler has passed this error on, and
    /// the handler runs again with the answer. Use this in code between a question and the handler's end that counts or logs
    /// errors.
    ///
    /// ```
    /// # mcp_rill::schema! { struct Name { name: String } }
    /// # fn f(call: &mut mcp_rill::Call) -> mcp_rill::Result<()> {
    /// let name = call.elicit::<Name>("name", "Who are you?").inspect_err(|error| {
    ///     if !error.is_pending() {
    ///         eprintln!("a question failed: {error}");
    ///     }
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn is_pending(&self) -> bool {
        matches!(self.0, Failure::Pending)
    }

    /// Returns the text of an error with its causes, unless one of them is a `CallError` that is more than a text for the model.
    pub(crate) fn from_any(error: Box<dyn Error + Send + Sync>) -> Result<String, CallError> {
        match CallError::within(&*error) {
            None | Some(CallError(Failure::ForModel(_))) => Ok(with_causes(&*error)),
            Some(CallError(Failure::MissingCapability(why))) => {
                Err(CallError(Failure::MissingCapability(why.in_words(with_causes(&*error)))))
            }
            Some(own) => Err(own),
        }
    }

    fn within(error: &(dyn Error + 'static)) -> Option<CallError> {
        chain(error).find_map(|cause| {
            let failure = cause.downcast_ref::<Failure>().cloned();
            failure.or_else(|| Unavailable::behind(cause).map(Failure::MissingCapability)).map(CallError)
        })
    }

    /// Makes an internal error of any other error: for results that cannot carry an error's text.
    pub(crate) fn internal_unless_own(error: Box<dyn Error + Send + Sync>) -> CallError {
        CallError::from_any(error).map_or_else(|own| own, CallError::internal)
    }

    /// As [`internal_unless_own`](CallError::internal_unless_own), of a handler that reads a resource: a file that does not
    /// exist is a resource that does not exist.
    pub(crate) fn of_resource(error: Box<dyn Error + Send + Sync>) -> CallError {
        let io = chain(&*error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        match (CallError::from_any(error), io) {
            (Err(own), _) => own,
            (Ok(_), Some(io::ErrorKind::NotFound)) => CallError::not_found(),
            (Ok(text), Some(_)) => CallError(Failure::Io(text)),
            (Ok(text), None) => CallError::internal(text),
        }
    }

    /// Makes the JSON-RPC error. `uri` is the resource that was asked for.
    pub(crate) fn into_error(self, uri: Option<&str>, revision: Revision) -> jsonrpc::Error {
        match self.0 {
            Failure::Protocol(error) => error,
            Failure::NotFound => {
                let uri = uri.unwrap_or_default();
                let code = match revision.has_sessions() {
                    true => RESOURCE_NOT_FOUND,
                    false => jsonrpc::Error::INVALID_PARAMS,
                };
                with_data(jsonrpc::Error::new(code, format!("Resource not found: {uri}")), |data| {
                    data.str("uri", uri);
                })
            }
            Failure::ForModel(text) => jsonrpc::Error::internal(text),
            Failure::Io(text) => {
                let uri = printable(uri.unwrap_or_default());
                jsonrpc::Error::internal(format_args!("the resource `{uri}`: {text}"))
            }
            Failure::MissingCapability(why) if !why.is_for_the_client(revision) => {
                jsonrpc::Error::internal(why)
            }
            Failure::MissingCapability(why) => {
                with_data(jsonrpc::Error::new(MISSING_CAPABILITY, why.to_string()), |data| {
                    data.field("requiredCapabilities", |out| why.capabilities().write(out));
                })
            }
            failure @ (Failure::Pending | Failure::Deferred) => jsonrpc::Error::internal(CallError(failure)),
        }
    }
}

/// The error with an object as its `data`, whose members are written by `write`.
fn with_data(error: jsonrpc::Error, write: impl FnOnce(&mut Object<'_>)) -> jsonrpc::Error {
    let mut data = Vec::new();
    write(&mut Object::new(&mut data));
    match serde_json::from_slice(&data) {
        Ok(data) => error.with_data(data),
        Err(_) => error,
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Protocol(error) => error.fmt(f),
            Failure::NotFound => f.write_str("resource not found"),
            Failure::ForModel(text) | Failure::Io(text) => f.write_str(text),
            Failure::MissingCapability(why) => why.fmt(f),
            Failure::Pending => f.write_str(WAITING),
            Failure::Deferred => f.write_str("the result comes later"),
        }
    }
}

/// Its source is the failure itself: so it is found behind errors that pass on the text and the source of what they wrap,
/// such as `io::Error::other` and transparent enums.
impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

error_text!(Failure: |_failure| "a failure of the call");

impl From<Unavailable> for CallError {
    fn from(why: Unavailable) -> CallError {
        CallError(Failure::MissingCapability(why))
    }
}

/// An error and its causes. Bounded, in case one of them is its own cause.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).take(CAUSES_MAX)
}

/// The text of an error, and the texts of its causes that add something.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in chain(error).skip(1).filter(|cause| !cause.is::<Failure>() && !Unavailable::hides(*cause)) {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    text
}
