//! A blocking client for MCP servers, on `std::net` alone: HTTP+SSE, Streamable HTTP, and the stateless 2026-07-28.
//!
//! *Scope:* finding out what a server speaks, requests and their answers, several of them at once, and what the server
//! asks or tells meanwhile. *Not in scope:* TLS, redirects, threads: whoever calls is the one who waits, and messages
//! from the server are looked at only then.
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
mod connection;
mod error;
mod exchange;
mod exchanges;
mod incoming;
mod methods;
mod negotiation;
mod options;
mod routing;
mod sse;
mod stateless;
mod streamable;
mod url;

use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::json::write_raw;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::jsonrpc;
use crate::jsonrpc::id::Id;
use crate::jsonrpc::json::Object;
use crate::protocol::revision::Revision;

pub use carrier::Transport;
use carrier::{Carrier, RequestDefaults};
use connection::after;
pub use error::Error;
pub use options::Builder;
use options::Identity;
use stateless::Stateless;
use url::Url;

/// How long it may take to tell the server that nobody waits any more.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// What came of a request: the result, or the error that the server answered with ([`Error::Rpc`]), or why it did not.
pub type Outcome = Result<Box<RawValue>, Error>;

/// A message from the server, as [`Client::next_message`] tells of it.
#[derive(Debug)]
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
    /// The server ended what [`Client::subscribe`] began; subscribing again, and reading again what may have changed
    /// meanwhile, is up to the caller.
    Unsubscribed,
}

type OnRequest = Box<dyn FnMut(&str, Option<&RawValue>) -> Result<String, jsonrpc::Error> + Send>;
type OnNotification = Box<dyn FnMut(&str, Option<&RawValue>) + Send>;

#[derive(Default)]
struct Handlers {
    request: Option<OnRequest>,
    notification: Option<OnNotification>,
}

/// A session with a server, or what takes its place since 2026-07-28. Dropping it closes it, which ends the session on
/// the server too and waits up to 1 s for that.
///
/// Params and arguments are the text of a JSON object; results come back as text, since what they are is up to the
/// server. A message is sent a second time if the server closes a kept connection within a second without answering:
/// that soon it means that it was not taken, which is all that can be known here.
pub struct Client {
    url: Url,
    defaults: Arc<RequestDefaults>,
    identity: Identity,
    carrier: Box<dyn Carrier>,
    /// On servers without sessions.
    stateless: Option<Stateless>,
    connect_timeout: Duration,
    request_timeout: Duration,
    rounds_max: u32,
    handlers: Handlers,
    last_id: i64,
    /// The last `initialize`.
    handshake: Option<Id>,
    /// Requests without an answer, and answers that nobody has asked for yet.
    open: BTreeMap<Id, Option<Outcome>>,
    /// Questions that were answered together, for `next_message` to tell of one by one.
    events: VecDeque<Received>,
    /// The `subscriptions/listen` in progress.
    subscription: Option<Id>,
    welcome: Option<Box<RawValue>>,
    revision: Option<Revision>,
}

impl Client {
    /// Connects to a URL such as `http://127.0.0.1:3001/mcp`, with all defaults: finds out which transport and revision
    /// the server speaks ([`Transport::Auto`]), and agrees on them.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub fn connect(url: &str) -> Result<Client, Error> {
        Client::builder().connect(url)
    }

    /// A client that is told more before it connects.
    ///
    /// ```
    /// use mcp_rill::client::{Client, Transport};
    /// let builder = Client::builder().transport(Transport::Streamable).revision("2025-06-18");
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Sends a request and waits for its result. `params` is the text of a JSON object. A stateless client adds to
    /// `_meta` what must be there, and answers questions that come as results by
    /// [`on_request`](Builder::on_request) (MCP 2026-07-28, multi round-trip requests).
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
    /// [`Error::Expired`] if it has forgotten the session, [`Error::Closed`] if the stream ends first, [`Error::Timeout`] after the request timeout (the server is then told
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
        let id = self.next_id();
        if method == "initialize" {
            self.handshake = Some(id.clone());
        }
        let (whole, fields) = match &mut self.stateless {
            Some(stateless) => {
                let whole = stateless.params(params)?;
                let fields = stateless.fields(method, &whole)?;
                stateless.sent(&id, method, params);
                (Some(whole), fields)
            }
            None => (params.map(str::to_owned), self.version_field()),
        };
        // Before the request leaves: its answer may come before the post is done.
        self.open.insert(id.clone(), None);
        self.post_request(&id, method, whole.as_deref(), &fields).inspect_err(|_| self.forget(&id))?;
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
            match self.receive(deadline, Some(id)) {
                Ok(Received::Answer { id, outcome }) => {
                    self.open.insert(id, Some(outcome));
                }
                Ok(_) => self.events.clear(),
                Err(Error::Timeout) => {
                    self.give_up(id);
                    return Err(Error::Timeout);
                }
                Err(error) => return Err(error),
            }
        }
        self.open.remove(id).flatten().ok_or(Error::Closed)?
    }

    /// The next message of any kind, or `None` if none comes in that time, or nothing is open that could bring one.
    /// Answers that came while something else was waited for are given first.
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
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match self.receive(after(timeout), None) {
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

    /// Tells the server that nobody waits for the answer to a request (MCP cancellation), and forgets it. A stateless
    /// client says so by closing the request's connection.
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
        self.forget(id);
        if self.stateless.is_some() {
            return Ok(());
        }
        let mut message = Vec::new();
        jsonrpc::write_notification(&mut message, "notifications/cancelled", |out| {
            let mut params = Object::new(out);
            params.field("requestId", |out| IdRef::from(id).write(out)).str("reason", reason);
            params.end();
        });
        self.post(&message, after(self.request_timeout.min(CANCEL_TIMEOUT)))
    }

    /// Sends a notification. `params` is the text of a JSON object. Since 2026-07-28 servers know none from clients, and
    /// drop them.
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
    /// As [`request`](Client::request), for the way there.
    pub fn notify(&mut self, method: &str, params: Option<&str>) -> Result<(), Error> {
        if let Some(params) = params {
            json_object("the params", params)?;
        }
        let mut message = Vec::new();
        jsonrpc::write_notification(&mut message, method, |out| {
            write_raw(out, params.unwrap_or_default());
        });
        self.post(&message, after(self.request_timeout))
    }

    /// Closes all connections and ends the session on the server too. Everything later gives [`Error::Closed`].
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

    fn next_id(&mut self) -> Id {
        self.last_id += 1;
        Id::Int(self.last_id)
    }

    fn give_up(&mut self, id: &Id) {
        // `initialize` must not be cancelled (MCP cancellation, behavior requirements).
        if self.handshake.as_ref() == Some(id) {
            return self.forget(id);
        }
        // Nobody is left to tell that this failed too.
        let _ = self.cancel(id, "timed out");
    }

    /// Whatever comes for this request is of no interest any more.
    fn forget(&mut self, id: &Id) {
        self.open.remove(id);
        let on_its_way = self.on_its_way(id).clone();
        if let Some(stateless) = &mut self.stateless {
            stateless.take(&on_its_way);
        }
        self.carrier.forget(&on_its_way);
    }

    fn on_its_way<'i>(&'i self, id: &'i Id) -> &'i Id {
        self.stateless.as_ref().map_or(id, |stateless| stateless.on_its_way(id))
    }

    fn version_field(&self) -> String {
        let version = self.stateless.as_ref().map(Stateless::revision).or(self.revision);
        version.map_or_else(String::new, |revision| format!("MCP-Protocol-Version: {revision}\r\n"))
    }

    fn post_request(
        &mut self,
        id: &Id,
        method: &str,
        params: Option<&str>,
        fields: &str,
    ) -> Result<(), Error> {
        let mut message = Vec::new();
        jsonrpc::write_request(&mut message, id, method, |out| {
            write_raw(out, params.unwrap_or_default());
        });
        self.carrier.send(&message, Some(id), fields, after(self.request_timeout))
    }

    /// Posts what gets no answer.
    fn post(&mut self, message: &[u8], deadline: Instant) -> Result<(), Error> {
        let version = self.version_field();
        self.carrier.send(message, None, &version, deadline)
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

fn json_object(what: &str, text: &str) -> Result<(), Error> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) if value.get().starts_with('{') => Ok(()),
        Ok(_) => Err(Error::Invalid(format!("{what} must be a JSON object"))),
        Err(error) => Err(Error::Invalid(format!("{what} are not JSON: {error}"))),
    }
}
