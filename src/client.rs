//! A blocking client for MCP servers: HTTP+SSE, Streamable HTTP, and the stateless 2026-07-28, over TCP and Unix sockets; and
//! stdio, with the server as a child or at the other end of a socket.
//!
//! *Scope:* finding out what a server speaks; requests and their answers, several at once; the server's own requests and
//! notifications. *Not in scope:* TLS, redirects, threads: each method waits in the thread that calls it, and messages from
//! the server are read only then.
//!
//! ```text
//!            server/discover, or initialize, or GET and initialize
//!   Builder ───────────────────────────────────────────────────────▶ operating
//!      │  open                            initialize                   ▲  │ POST ⇄ answers on its own or a
//!      └───────▶ open ─────────────────────────────────────────────────┘  │ common stream
//!                  └───── close, the session is lost, a stream ends ──────┴──────────▶ closed
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
//! let mut client = Client::connect(&url)?; // finds the transport: operating
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
#![allow(
    clippy::disallowed_methods,
    reason = "waiting for a peer needs a clock; like `net`, this is above the engine"
)]

mod carrier;
pub(crate) mod connection;
pub(crate) mod deadline;
pub(crate) mod error;
pub(crate) mod exchange;
mod exchanges;
mod http;
mod incoming;
pub(crate) mod kept;
#[cfg(unix)]
mod line_server;
mod methods;
mod negotiation;
pub(crate) mod options;
pub(crate) mod socket;
mod stateless;
pub(crate) mod target;
pub(crate) mod transport;
pub(crate) mod url;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use carrier::Carrier;
use deadline::after;
pub use error::Error;
pub use options::Builder;
use stateless::Stateless;
use transport::Outgoing;
pub use transport::Transport;

use crate::json::tape::Tape;
use crate::json::value::JsonBuf;
use crate::json::write::Object;
use crate::json::write_raw;
use crate::jsonrpc::id::Id;
use crate::jsonrpc::{write_notification, write_request};
use crate::limits::Limits;
use crate::protocol::meta_names::named_by;
use crate::protocol::revision::Revision;
use crate::text::shown;

/// How long it may take to send the cancellation of a request that was given up.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);
/// The time to read what is here already.
const LOOK: Duration = Duration::from_millis(1);

/// What came of a request: the result; the error that the server answered with, as [`Error::Rpc`]; or why there is no
/// answer.
pub type Outcome = Result<Box<RawValue>, Error>;

/// A message from the server, as [`Client::next_message`] returns it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received {
    /// The answer to a request of the client.
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
    /// The server ended what [`Client::subscribe`] began. Subscribe again for later changes, and read again what may have
    /// changed meanwhile.
    Unsubscribed,
}

/// Which way a message goes, for [`Builder::on_message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Sent,
    /// From the server.
    Received,
}

impl Received {
    fn answers(&self, request: &Id) -> bool {
        matches!(self, Received::Answer { id, .. } if id == request)
    }
}

/// A session with a server, or since 2026-07-28 what is kept between requests. Dropping it closes it, which ends the
/// session on the server too and waits up to 1 s for that, or ends the child (see [`Builder::spawn`]).
///
/// Params and arguments are the text of a JSON object; results are returned as text too. A message is sent a second time
/// if the server closes a kept connection within a second without answering, which means that the message was not taken.
pub struct Client {
    limits: Limits,
    options: Builder,
    carrier: Carrier,
    /// On servers without sessions.
    stateless: Option<Stateless>,
    last_id: i64,
    /// Requests without an answer.
    open: BTreeMap<Id, Box<Pending>>,
    /// Answers that were not asked for yet, and questions that were answered together.
    events: VecDeque<Received>,
    /// The `subscriptions/listen` in progress.
    subscription: Option<Id>,
    /// The status of the last response that refused a request with a JSON-RPC error.
    refusal_status: Option<u16>,
    welcome: Option<JsonBuf>,
    revision: Option<Revision>,
}

/// A request without an answer.
struct Pending {
    method: String,
    /// The params as the caller gave them, if the result may ask for input.
    params: Option<String>,
    /// How many results have asked for input.
    rounds: u32,
    /// The id under which the request was sent last.
    sent_as: Id,
}

impl Client {
    /// Connects to a URL such as `http://127.0.0.1:3001/mcp` with all defaults: finds out which transport and revision the
    /// server speaks ([`Transport::Auto`]).
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub fn connect(url: &str) -> Result<Client, Error> {
        Client::builder().connect(url)
    }

    /// Starts a server as a child and speaks with it over its standard input and output, with all defaults.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use mcp_rill::client::{Client, Error};
    /// use std::process::Command;
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "exit 3"]);
    /// let error = Client::spawn(command).unwrap_err();
    /// assert_eq!(error.to_string(), "the server ended with exit code 3");
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn(command: Command) -> Result<Client, Error> {
        Client::builder().spawn(command)
    }

    /// Returns a builder, which sets how a client connects and who it says it is.
    ///
    /// ```
    /// use mcp_rill::client::{Client, Transport};
    /// let builder = Client::builder().transport(Transport::Streamable).revision("2025-06-18");
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Sends a request and waits for its result. `params` is the text of a JSON object. A stateless client adds the
    /// required members to `_meta`, and calls [`on_request`](Builder::on_request) for questions that come as results (MCP
    /// 2026-07-28, multi round-trip requests).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// let params = r#"{"name":"sum-up","_meta":{"progressToken":1}}"#;
    /// println!("{}", client.request("tools/call", Some(params))?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Rpc`] if the server answers with an error, [`Error::Http`] if it does not take the request,
    /// [`Error::Expired`] if it does not know the session any more, [`Error::Closed`] if the stream ends first,
    /// [`Error::Timeout`] after the request timeout, when the request is cancelled, [`Error::Invalid`] for params that are
    /// not an object; and [`Error::Io`], [`Error::Protocol`].
    pub fn request(&mut self, method: &str, params: Option<&str>) -> Result<Box<RawValue>, Error> {
        let id = self.send(method, params)?;
        let result = self.wait(&id);
        self.forget(&id);
        result
    }

    /// Sends a request and returns at once; [`wait`](Client::wait) or [`next_message`](Client::next_message) return its
    /// answer. Any number of requests may be open, but servers limit them.
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
    /// As [`request`](Client::request), for sending.
    pub fn send(&mut self, method: &str, params: Option<&str>) -> Result<Id, Error> {
        let given = params.unwrap_or("{}");
        check_object("the params", given)?;
        self.last_id += 1;
        let id = Id::Int(self.last_id);
        let (sent, fields) = match &self.stateless {
            Some(stateless) => stateless.request(method, given, &[])?,
            None => (params.unwrap_or_default().to_owned(), self.version_field()),
        };
        let may_ask = self.stateless.is_some() && named_by(method).is_some();
        let pending = Pending {
            method: method.to_owned(),
            params: may_ask.then(|| given.to_owned()),
            rounds: 0,
            sent_as: id.clone(),
        };
        // Before the request leaves: its answer may come before the post is done.
        self.open.insert(id.clone(), Box::new(pending));
        self.post_request(&id, method, &sent, &fields).inspect_err(|_| self.forget(&id))?;
        Ok(id)
    }

    /// Waits for the answer to one request; answers to others are kept.
    ///
    /// # Errors
    /// As [`request`](Client::request), for the answer; [`Error::Invalid`] for an id that is not open. After
    /// [`Error::Protocol`] the request is still open.
    pub fn wait(&mut self, id: &Id) -> Result<Box<RawValue>, Error> {
        let outcome = self.wait_until(id, after(self.options.request_timeout));
        if matches!(outcome, Err(Error::Timeout)) {
            self.give_up(id);
        }
        outcome
    }

    fn wait_until(&mut self, id: &Id, deadline: Instant) -> Result<Box<RawValue>, Error> {
        loop {
            let kept = self.events.iter().position(|event| event.answers(id));
            if let Some(Received::Answer { outcome, .. }) = kept.and_then(|at| self.events.remove(at)) {
                return outcome;
            }
            if !self.open.contains_key(id) {
                return Err(Error::Invalid(format!("no request with the id {} is open", shown_id(id))));
            }
            match self.receive(deadline, Some(id))? {
                answer @ Received::Answer { .. } => self.events.push_back(answer),
                _ => self.events.retain(|event| matches!(event, Received::Answer { .. })),
            }
        }
    }

    /// Returns the next message of any kind, or `None` if none comes in that time, or no connection is open that could
    /// bring one. With a timeout of zero it returns what is here already. Answers that came while the client waited for
    /// something else are returned first.
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
    /// [`Error::Closed`], [`Error::Io`], and [`Error::Protocol`] for a message that breaks the protocol; the next call goes
    /// on behind it.
    pub fn next_message(&mut self, timeout: Duration) -> Result<Option<Received>, Error> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match self.receive(after(timeout.max(LOOK)), None) {
            Ok(received) => Ok(Some(received)),
            Err(Error::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives up a request, and tells the server (MCP cancellation). Over HTTP a stateless client does so by closing the
    /// request's connection.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/mcp")?;
    /// let id = client.send("tools/call", Some(r#"{"name":"slow"}"#))?;
    /// client.cancel(&id, "changed my mind")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`notify`](Client::notify).
    pub fn cancel(&mut self, id: &Id, reason: &str) -> Result<(), Error> {
        self.cancel_within(self.options.request_timeout, id, reason)
    }

    /// As [`cancel`](Client::cancel), after a wait that is over: the caller has its error, and is not to wait as long again. That
    /// this failed too does not matter.
    pub(crate) fn cancel_briefly(&mut self, id: &Id, reason: &str) {
        let _ = self.cancel_within(self.options.request_timeout.min(CANCEL_TIMEOUT), id, reason);
    }

    fn cancel_within(&mut self, timeout: Duration, id: &Id, reason: &str) -> Result<(), Error> {
        let sent_as = self.open.get(id).map_or_else(|| id.clone(), |pending| pending.sent_as.clone());
        self.forget(id);
        if self.stateless.is_some() && self.carrier.cancels_by_closing() {
            return Ok(());
        }
        let params =
            object(|params| params.field("requestId", |out| sent_as.write(out)).str("reason", reason));
        self.post_notification("notifications/cancelled", &params, timeout)
    }

    /// Sends a notification. `params` is the text of a JSON object. Since 2026-07-28 there are no notifications from
    /// clients, and servers drop them.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::connect("http://127.0.0.1:3001/sse")?;
    /// client.notify("notifications/roots/list_changed", None)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request), for sending.
    pub fn notify(&mut self, method: &str, params: Option<&str>) -> Result<(), Error> {
        check_object("the params", params.unwrap_or("{}"))?;
        self.post_notification(method, params.unwrap_or_default(), self.options.request_timeout)
    }

    /// Closes all connections and ends the session on the server too. Everything later is [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// use mcp_rill::client::{Client, Error};
    /// let mut client = Client::connect("http://127.0.0.1:3001/mcp")?;
    /// client.close();
    /// assert!(matches!(client.ping(), Err(Error::Closed)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&mut self) {
        self.carrier.close();
        self.open.clear();
        self.events.clear();
    }

    fn give_up(&mut self, id: &Id) {
        // `initialize` must not be cancelled (MCP cancellation, behavior requirements).
        if self.open.get(id).is_some_and(|pending| pending.method == "initialize") {
            return self.forget(id);
        }
        self.cancel_briefly(id, "timed out");
    }

    /// Drops a request and its answer.
    fn forget(&mut self, id: &Id) {
        self.events.retain(|event| !event.answers(id));
        if let Some(pending) = self.open.remove(id) {
            self.carrier.forget(&pending.sent_as);
        }
    }

    fn version_field(&self) -> String {
        let version = if self.stateless.is_some() { Some(Revision::V2026_07_28) } else { self.revision };
        version.map_or_else(String::new, |revision| format!("MCP-Protocol-Version: {revision}\r\n"))
    }

    /// Sends a request; empty params are left out.
    fn post_request(&mut self, id: &Id, method: &str, params: &str, fields: &str) -> Result<(), Error> {
        let mut message = Vec::new();
        write_request(&mut message, id, method, |out| write_raw(out, params));
        self.show(Direction::Sent, &message);
        let message = Outgoing { text: &message, request: Some(id), fields };
        self.carrier.send(message, after(self.options.request_timeout))
    }

    fn post_notification(&mut self, method: &str, params: &str, timeout: Duration) -> Result<(), Error> {
        let mut message = Vec::new();
        write_notification(&mut message, method, |out| write_raw(out, params));
        self.post(&message, timeout)
    }

    /// Sends a message that gets no answer.
    fn post(&mut self, text: &[u8], timeout: Duration) -> Result<(), Error> {
        let fields = self.version_field();
        self.show(Direction::Sent, text);
        self.carrier.send(Outgoing { text, request: None, fields: &fields }, after(timeout))
    }

    fn show(&mut self, direction: Direction, message: &[u8]) {
        if let (Some(handler), Ok(text)) = (&mut self.options.on_message, str::from_utf8(message)) {
            handler(direction, text);
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

/// Returns an id for an error text.
fn shown_id(id: &Id) -> String {
    let mut out = Vec::new();
    id.write(&mut out);
    shown(&out)
}

/// Checks that a text is a JSON object.
fn check_object(what: &str, text: &str) -> Result<(), Error> {
    match Tape::new().read(text) {
        Ok(value) if value.is_object() => Ok(()),
        Ok(_) => Err(Error::Invalid(format!("{what} must be a JSON object"))),
        Err(error) => Err(Error::Invalid(format!("{what} are not JSON: {error}"))),
    }
}

/// Returns the text of a JSON object.
fn object(write: impl for<'p, 'o> FnOnce(&'p mut Object<'o>) -> &'p mut Object<'o>) -> String {
    let mut out = Vec::new();
    write(&mut Object::new(&mut out));
    String::from_utf8_lossy(&out).into_owned()
}
