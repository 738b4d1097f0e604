//! A blocking client for MCP servers over HTTP+SSE, on `std::net` alone.
//!
//! *Scope:* a session with one server: opening it, requests and their answers, several of them at once, and what the
//! server asks or tells meanwhile. *Not in scope:* TLS, redirects, reconnecting a lost stream, threads: whoever calls
//! is the one who waits, and messages from the server are looked at only then.
//!
//! ```text
//!            GET, 200, `endpoint` event           initialize, initialized
//!   Builder ───────────────────────────▶ open ──────────────────────────▶ operating
//!                                         │ POST ⇄ answers on the stream      │
//!                                         └──── close, or the stream ends ────┴──▶ closed
//! ```
//!
//! ```
//! use mcp_rill::{Server, client::{Client, Error}};
//! use std::time::Duration;
//!
//! let listening = Server::new("demo", "1.0.0")
//!     .tool("hello", "Say hello", |(), _| "hello")
//!     .listen("127.0.0.1:0")?;
//! let url = format!("http://{}/sse", listening.local_addrs().next().unwrap());
//! let handle = listening.handle();
//! let server = std::thread::spawn(move || listening.run());
//!
//! let mut client = Client::connect(&url)?; // open, then operating
//! assert_eq!(client.list("tools/list")?.len(), 1);
//! let result = client.call_tool("hello", "{}")?;
//! assert_eq!(result.get(), r#"{"content":[{"type":"text","text":"hello"}]}"#);
//!
//! let (first, second) = (client.send("ping", None)?, client.send("ping", None)?);
//! client.wait(&second)?;
//! client.wait(&first)?;
//!
//! handle.shutdown(Duration::ZERO); // the stream ends: closed
//! server.join().unwrap()?;
//! assert!(client.ping().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(clippy::disallowed_methods)] // Waiting for a peer needs a clock; like `net`, this is above the engine.

mod error;
mod http;
mod options;
mod transport;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::Limits;
use crate::jsonrpc::{self, Id, Message, Object};
use crate::mcp::Revision;

pub use error::Error;
pub use options::Builder;
use options::after;
use transport::Transport;

/// Pages that [`Client::list`] asks for: a server that never comes to an end is cut off.
const PAGES_MAX: usize = 1000;
/// Bytes of items that [`Client::list`] gathers.
const LIST_BYTES_MAX: usize = 64 << 20;
/// How long it may take to tell the server that nobody waits any more.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// What came of a request: the result, or the error that the server answered with.
pub type Outcome = Result<Box<RawValue>, jsonrpc::Error>;

/// A message from the server, as [`Client::next_message`] tells of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Received {
    /// The answer to a request of ours.
    Answer {
        /// What [`Client::send`] returned.
        id: Id,
        /// The answer.
        outcome: Outcome,
    },
    /// A request; it has been answered.
    Request {
        /// Its method.
        method: String,
    },
    /// A notification; its handler has run.
    Notification {
        /// Its method.
        method: String,
        /// The text of an object.
        params: Option<Box<RawValue>>,
    },
}

type OnRequest = Box<dyn FnMut(&str, Option<&RawValue>) -> Result<String, jsonrpc::Error> + Send>;
type OnNotification = Box<dyn FnMut(&str, Option<&RawValue>) + Send>;

#[derive(Default)]
struct Handlers {
    request: Option<OnRequest>,
    notification: Option<OnNotification>,
}

/// A session with a server. Dropping it closes it, which ends it on the server too.
///
/// Params and arguments are the text of a JSON object; results come back as text, since what they are is up to the
/// server. A message is sent a second time if the server closes a kept connection without answering the first: between
/// two requests that means that it was not taken, which is all that can be known here.
pub struct Client {
    transport: Transport,
    limits: Limits,
    /// The params of `initialize`.
    greeting: Vec<u8>,
    request_timeout: Duration,
    handlers: Handlers,
    last_id: i64,
    /// The last `initialize`.
    handshake: Option<Id>,
    /// Requests without an answer, and answers that nobody has asked for yet.
    open: BTreeMap<Id, Option<Outcome>>,
    welcome: Option<Box<RawValue>>,
    revision: Option<Revision>,
}

impl Client {
    /// Opens a session at a URL such as `http://127.0.0.1:3001/sse` and initializes it, with all defaults.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub fn connect(url: &str) -> Result<Client, Error> {
        Client::builder().connect(url)
    }

    /// A client that is told more before it connects.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn new(
        transport: Transport,
        limits: Limits,
        greeting: Vec<u8>,
        request_timeout: Duration,
        handlers: Handlers,
    ) -> Client {
        Client {
            transport,
            limits,
            greeting,
            request_timeout,
            handlers,
            last_id: 0,
            handshake: None,
            open: BTreeMap::new(),
            welcome: None,
            revision: None,
        }
    }

    /// Agrees with the server on a revision (MCP lifecycle, initialization). [`connect`](Client::connect) has done it.
    ///
    /// # Errors
    /// As [`request`](Client::request), and [`Error::Protocol`] if the server wants a revision that this crate does not
    /// know.
    pub fn initialize(&mut self) -> Result<(), Error> {
        let params = String::from_utf8_lossy(&self.greeting).into_owned();
        let welcome = self.request("initialize", Some(&params))?;
        let version = jsonrpc::member(&welcome, "protocolVersion").ok().flatten();
        let Some(version) = version.and_then(jsonrpc::string) else {
            return Err(Error::Protocol("the result of `initialize` has no `protocolVersion`".to_owned()));
        };
        let Some(revision) = Revision::named(&version) else {
            let version = crate::http::shown(version.as_bytes());
            return Err(Error::Protocol(format!("the server wants the unknown revision `{version}`")));
        };
        self.revision = Some(revision);
        self.welcome = Some(welcome);
        self.notify("notifications/initialized", None)
    }

    /// Sends a request and waits for its result. `params` is the text of a JSON object.
    ///
    /// # Errors
    /// [`Error::Rpc`] if the server answers with an error, [`Error::Http`] if it does not take the request,
    /// [`Error::Closed`] if the stream ends first, [`Error::Timeout`] after the request timeout (the server is then told
    /// that nobody waits), [`Error::Invalid`] for params that are not an object; and [`Error::Io`], [`Error::Protocol`].
    pub fn request(&mut self, method: &str, params: Option<&str>) -> Result<Box<RawValue>, Error> {
        let id = self.send(method, params)?;
        let result = self.wait(&id);
        self.open.remove(&id);
        result
    }

    /// Sends a request and returns at once; [`wait`](Client::wait) or [`next_message`](Client::next_message) give its
    /// answer. Any number of requests may be open, but servers bound them.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/sse")?;
    /// let ids = ["7", "8"].map(|id| client.send("resources/read", Some(&format!(r#"{{"uri":"note:///{id}"}}"#))));
    /// for id in ids {
    ///     println!("{}", client.wait(&id?)?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request), for the way there.
    pub fn send(&mut self, method: &str, params: Option<&str>) -> Result<Id, Error> {
        if let Some(params) = params {
            json_object("the params", params)?;
        }
        self.last_id += 1;
        let id = Id::Int(self.last_id);
        if method == "initialize" {
            self.handshake = Some(id.clone());
        }
        let mut message = Vec::new();
        jsonrpc::write_request(&mut message, &id, method, |out| {
            jsonrpc::write_raw(out, params.unwrap_or_default());
        });
        // Before the request leaves: its answer may come before the post is done.
        self.open.insert(id.clone(), None);
        self.post(&message, after(self.request_timeout)).inspect_err(|_| {
            self.open.remove(&id);
        })?;
        Ok(id)
    }

    /// Waits for the answer to one request; answers to others are kept.
    ///
    /// # Errors
    /// As [`request`](Client::request), for the way back; [`Error::Invalid`] for an id that is not open. After
    /// [`Error::Protocol`] the request is still open.
    pub fn wait(&mut self, id: &Id) -> Result<Box<RawValue>, Error> {
        let deadline = after(self.request_timeout);
        loop {
            match self.open.get_mut(id) {
                None => return Err(Error::Invalid(format!("no request with the id {id:?} is open"))),
                Some(outcome) if outcome.is_some() => break,
                Some(_) => {}
            }
            match self.receive(deadline) {
                Ok(Received::Answer { id, outcome }) => {
                    self.open.insert(id, Some(outcome));
                }
                Ok(_) => {}
                Err(Error::Timeout) => {
                    self.give_up(id);
                    return Err(Error::Timeout);
                }
                Err(error) => return Err(error),
            }
        }
        self.open.remove(id).flatten().ok_or(Error::Closed)?.map_err(Error::Rpc)
    }

    /// The next message of any kind, or `None` if none comes in that time. Answers that came while something else was
    /// waited for are given first.
    ///
    /// ```no_run
    /// use mcp_rill::client::{Client, Error, Received};
    /// use std::time::Duration;
    /// # fn main() -> Result<(), Error> {
    /// let mut client = Client::connect("http://127.0.0.1:3001/sse")?;
    /// while let Some(message) = client.next_message(Duration::from_secs(30))? {
    ///     if let Received::Notification { method, .. } = message {
    ///         println!("{method}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Io`], and [`Error::Protocol`] for a message that makes no sense, after which the next
    /// one can be asked for.
    pub fn next_message(&mut self, timeout: Duration) -> Result<Option<Received>, Error> {
        let kept = self.open.iter().find(|(_, outcome)| outcome.is_some()).map(|(id, _)| id.clone());
        if let Some(id) = kept
            && let Some(Some(outcome)) = self.open.remove(&id)
        {
            return Ok(Some(Received::Answer { id, outcome }));
        }
        match self.receive(after(timeout)) {
            Ok(received) => {
                if let Received::Answer { id, .. } = &received {
                    self.open.remove(id);
                }
                Ok(Some(received))
            }
            Err(Error::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells the server that nobody waits for the answer to a request (MCP cancellation), and forgets it.
    ///
    /// # Errors
    /// As [`notify`](Client::notify).
    pub fn cancel(&mut self, id: &Id, reason: &str) -> Result<(), Error> {
        self.open.remove(id);
        let mut message = Vec::new();
        jsonrpc::write_notification(&mut message, "notifications/cancelled", |out| {
            let mut params = Object::new(out);
            params.field("requestId", |out| jsonrpc::IdRef::from(id).write(out)).str("reason", reason);
            params.end();
        });
        self.post(&message, after(self.request_timeout.min(CANCEL_TIMEOUT)))
    }

    /// Sends a notification. `params` is the text of a JSON object.
    ///
    /// # Errors
    /// As [`request`](Client::request), for the way there.
    pub fn notify(&mut self, method: &str, params: Option<&str>) -> Result<(), Error> {
        if let Some(params) = params {
            json_object("the params", params)?;
        }
        let mut message = Vec::new();
        jsonrpc::write_notification(&mut message, method, |out| {
            jsonrpc::write_raw(out, params.unwrap_or_default());
        });
        self.post(&message, after(self.request_timeout))
    }

    /// Whether the server is there.
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn ping(&mut self) -> Result<(), Error> {
        self.request("ping", None).map(|_| ())
    }

    /// All items of a list, such as `tools/list`, `resources/list`, `resources/templates/list` or `prompts/list`, page
    /// after page (MCP pagination).
    ///
    /// # Errors
    /// As [`request`](Client::request), and [`Error::Protocol`] if the list has no items member, no end, or 64 MiB.
    pub fn list(&mut self, method: &str) -> Result<Vec<Box<RawValue>>, Error> {
        let bad = |what: &str| Error::Protocol(format!("the result of `{method}` {what}"));
        let (mut items, mut bytes, mut cursor) = (Vec::new(), 0_usize, None::<String>);
        for _ in 0..PAGES_MAX {
            let params = cursor.as_deref().map(|cursor| params(|object| object.str("cursor", cursor)));
            let page = self.request(method, params.as_deref())?;
            let member = |name: &str| jsonrpc::member(&page, name).map_err(|error| bad(&error.message));
            let name = items_member(method);
            let list = member(name)?.ok_or_else(|| bad(&format!("has no member `{name}`")))?;
            let list: Vec<Box<RawValue>> = serde_json::from_str(list.get()).map_err(|_| bad("is no list"))?;
            bytes += page.get().len();
            if bytes > LIST_BYTES_MAX {
                return Err(bad("is longer than 64 MiB"));
            }
            items.extend(list);
            let next = member("nextCursor")?.filter(|next| next.get() != "null");
            let Some(next) = next else { return Ok(items) };
            let next = jsonrpc::string(next).ok_or_else(|| bad("has a cursor that is not a string"))?;
            if cursor.as_deref() == Some(&*next) {
                return Err(bad("names the same page as the next one"));
            }
            cursor = Some(next.into_owned());
        }
        Err(bad(&format!("has more than {PAGES_MAX} pages")))
    }

    /// Calls a tool with the text of a JSON object (MCP tools, calling). A tool that failed gives a result with
    /// `"isError":true`, not an error.
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn call_tool(&mut self, name: &str, arguments: &str) -> Result<Box<RawValue>, Error> {
        self.with_arguments("tools/call", name, arguments)
    }

    /// Reads a resource (MCP resources, reading).
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn read_resource(&mut self, uri: &str) -> Result<Box<RawValue>, Error> {
        self.request("resources/read", Some(&params(|object| object.str("uri", uri))))
    }

    /// Gets a prompt with the text of a JSON object, whose members are strings (MCP prompts, getting).
    ///
    /// # Errors
    /// As [`request`](Client::request).
    pub fn get_prompt(&mut self, name: &str, arguments: &str) -> Result<Box<RawValue>, Error> {
        self.with_arguments("prompts/get", name, arguments)
    }

    /// The session's id, if the server lets it be seen. It is what lets others post into the session, so keep it out of
    /// logs.
    pub fn session_id(&self) -> Option<&str> {
        self.transport.session_id()
    }

    /// Path and query of the address for messages.
    pub fn endpoint(&self) -> &str {
        self.transport.endpoint()
    }

    /// The revision agreed on; `None` before [`initialize`](Client::initialize).
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// The whole result of `initialize`: capabilities, instructions, and who the server is.
    pub fn initialize_result(&self) -> Option<&RawValue> {
        self.welcome.as_deref()
    }

    /// The `serverInfo` of that result: an object with `name` and `version`.
    pub fn server_info(&self) -> Option<&RawValue> {
        jsonrpc::member(self.welcome.as_deref()?, "serverInfo").ok().flatten()
    }

    /// Closes both connections, which ends the session on the server too. Everything later gives [`Error::Closed`].
    pub fn close(&mut self) {
        self.transport.close();
        self.open.clear();
    }

    fn with_arguments(&mut self, method: &str, name: &str, arguments: &str) -> Result<Box<RawValue>, Error> {
        json_object("the arguments", arguments)?;
        let params = params(|object| object.str("name", name).raw("arguments", arguments));
        self.request(method, Some(&params))
    }

    fn give_up(&mut self, id: &Id) {
        self.open.remove(id);
        // `initialize` must not be cancelled (MCP cancellation, behavior requirements).
        if self.handshake.as_ref() != Some(id) {
            // Nobody is left to tell that this failed too.
            let _ = self.cancel(id, "timed out");
        }
    }

    fn post(&mut self, message: &[u8], deadline: Instant) -> Result<(), Error> {
        let version = self.revision.map(|revision| format!("MCP-Protocol-Version: {revision}\r\n"));
        self.transport.post(message, version.as_deref().unwrap_or_default(), deadline)
    }

    /// Takes one message that concerns somebody, and does what it asks for.
    fn receive(&mut self, deadline: Instant) -> Result<Received, Error> {
        loop {
            let text = self.transport.receive(deadline)?;
            let message = jsonrpc::parse(text.as_bytes(), &self.limits).map_err(|rejected| {
                Error::Protocol(format!("the server sent no message of MCP: {rejected}"))
            })?;
            match message {
                Message::Response(response) => {
                    let outcome = outcome(&response)?;
                    match (response.id.map(Id::from), outcome) {
                        (Some(id), outcome) => {
                            // Else it was given up, and this comes late.
                            if matches!(self.open.get(&id), Some(None)) {
                                return Ok(Received::Answer { id, outcome });
                            }
                        }
                        (None, Err(error)) => {
                            return Err(Error::Protocol(format!("the server reports an error: {error}")));
                        }
                        (None, Ok(_)) => {}
                    }
                }
                Message::Request(request) => {
                    let mut reply = Vec::new();
                    match answer(&mut self.handlers, &request.method, request.params) {
                        Ok(result) => {
                            jsonrpc::write_result(&mut reply, &request.id, |out| {
                                jsonrpc::write_raw(out, &result);
                            });
                        }
                        Err(error) => jsonrpc::write_error(&mut reply, Some((&request.id).into()), &error),
                    }
                    self.post(&reply, after(self.request_timeout))?;
                    return Ok(Received::Request { method: request.method.into_owned() });
                }
                Message::Notification(notification) => {
                    if let Some(handler) = &mut self.handlers.notification {
                        handler(&notification.method, notification.params);
                    }
                    let params = notification.params.map(ToOwned::to_owned);
                    return Ok(Received::Notification { method: notification.method.into_owned(), params });
                }
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("revision", &self.revision).finish_non_exhaustive()
    }
}

fn outcome(response: &jsonrpc::Response<'_>) -> Result<Outcome, Error> {
    match response.outcome {
        Ok(result) => Ok(Ok(result.to_owned())),
        Err(error) => match jsonrpc::Error::read(error) {
            Ok(error) => Ok(Err(error)),
            Err(error) => Err(Error::Protocol(format!("the server sent an error that is none: {error}"))),
        },
    }
}

/// The answer to a request of the server's.
fn answer(
    handlers: &mut Handlers,
    method: &str,
    params: Option<&RawValue>,
) -> Result<String, jsonrpc::Error> {
    let result = match &mut handlers.request {
        _ if method == "ping" => return Ok("{}".to_owned()),
        Some(handler) => handler(method, params)?,
        None => return Err(jsonrpc::Error::method_not_found(method)),
    };
    match serde_json::from_str::<&RawValue>(&result) {
        Ok(_) => Ok(result),
        Err(error) => Err(jsonrpc::Error::internal(format_args!("the client's result is not JSON: {error}"))),
    }
}

fn json_object(what: &str, text: &str) -> Result<(), Error> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) if value.get().starts_with('{') => Ok(()),
        Ok(_) => Err(Error::Invalid(format!("{what} must be a JSON object"))),
        Err(error) => Err(Error::Invalid(format!("{what} are not JSON: {error}"))),
    }
}

fn params(write: impl for<'p, 'o> FnOnce(&'p mut Object<'o>) -> &'p mut Object<'o>) -> String {
    let mut out = Vec::new();
    write(&mut Object::new(&mut out));
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the result of a list method has its items.
fn items_member(method: &str) -> &str {
    match method {
        "resources/templates/list" => "resourceTemplates",
        other => other.strip_suffix("/list").unwrap_or(other),
    }
}
