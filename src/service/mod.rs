//! The interface between the engine and what answers its sessions.
//!
//! *Scope:* the [`Service`] trait, what it is given, and the [`Outbox`] that it answers through.
//! *Not in scope:* envelopes, ids and streams. A service names a call by its key, and the engine knows the rest.
//!
//! ```text
//!   engine ── opened, request, notification, answer, cancelled, closed, tick ──▶ service
//!   engine ◀── Outbox: results and errors by call, notifications by session ─── service
//! ```
//!
//! The handlers of a [`Server`](crate::Server) are one service: [`Server::into_service`](crate::Server::into_service) returns it,
//! to be wrapped or to be tested without an engine. A bridge to another server is another: `examples/gateway.rs` is one.
//! [`Engine::with_service`](crate::engine::Engine::with_service) takes either. A wrapper passes on every method.
//!
//! # What is called when
//! - [`opened`](Service::opened) comes first for each session. A request of 2026-07-28 has a session of its own, which is not
//!   [kept](Session::is_kept): its client can be asked nothing, and gets nothing after the result.
//! - [`request`](Service::request) and [`notification`](Service::notification) come in the order in which they arrive.
//!   The first request need not be `initialize`: a client that has lost its stream goes on without.
//! - [`answer`](Service::answer) brings the answer to a question that the service asked by [`Outbox::request`]. The service
//!   chooses the ids of its questions, and sees to it that the answer comes from the session that was asked.
//! - [`unreached`](Service::unreached) is called if a question cannot be sent to its client. No answer will come, so by default
//!   `answer` gets an error.
//! - [`cancelled`](Service::cancelled) ends a call that is open. It comes for each of them before [`closed`](Service::closed),
//!   which ends the session.
//! - [`tick`](Service::tick) comes at the time that [`due`](Service::due) returns, and after a [wake-up](crate::Handle::wake).
//! - [`stopping`](Service::stopping) comes when a shutdown begins, and again when another one is asked for.
//!
//! What a method leaves in the [`Outbox`] is sent when it returns, in that order.
//!
//! # What a service must do
//! The engine reads messages and refuses what is not JSON-RPC. It sends what the service puts into the outbox, and adds
//! nothing.
//! - It answers each request once, in the method that brought it or in a later one. The first answer counts. One that comes
//!   after the end of its call is dropped and counted in [`Stats::late`](crate::engine::Stats::late), so a service need
//!   not keep a list of its open calls for that.
//! - `initialize` is a request like others, except that the engine has read its parameters into the [`Session`]. An error as its
//!   answer ends a session of Streamable HTTP. [`Outbox::empty_result`] answers `ping`. A method that it does not know gets
//!   [`Error::method_not_found`](crate::jsonrpc::Error::method_not_found).
//! - Results of 2026-07-28 need a `resultType`, and its clients begin with `server/discover`. [`Session::revision`] returns
//!   what the client speaks.
//! - It never blocks and never panics: all methods run on the engine's thread, and a panic unwinds through the engine.
//! - It ends calls that take too long. The engine has no timeout for them; a client that is gone or gives up cancels its own.
//!
//! # Work on other threads
//! A thread sends its result to the service, for example over a channel, and calls [`wake`](crate::Handle::wake) of the handle
//! that the service got from [`EngineConfig::handle`](crate::engine::EngineConfig::handle). The engine then calls
//! [`tick`](Service::tick), which takes the result out of the channel. Of the other methods of a [`Handle`](crate::Handle),
//! `shutdown`, `reauthorize` and `has_ended` work with every service; the rest is for that of a [`Server`](crate::Server).
//!
//! # A whole service
//! It has one tool, which works on a thread of its own. With the feature `net`, `Listening::new` gives its engine sockets.
//!
//! ```
//! use mcp_rill::engine::{Action, Engine, EngineConfig};
//! use mcp_rill::json::Object;
//! use mcp_rill::jsonrpc::Error;
//! use mcp_rill::service::{CallKey, Outbox, Service, ServiceRequest, Session};
//! use mcp_rill::{Handle, Limits, Now, Peer, Settings};
//! use std::{sync::mpsc, thread};
//!
//! struct Slow {
//!     handle: Handle,
//!     done: (mpsc::Sender<(CallKey, i64)>, mpsc::Receiver<(CallKey, i64)>),
//! }
//!
//! impl Service for Slow {
//!     fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
//!         let call = request.call;
//!         match request.method {
//!             "initialize" => out.result(call, |out| {
//!                 let mut result = Object::new(out);
//!                 result.str("protocolVersion", session.revision().name()).raw("capabilities", r#"{"tools":{}}"#);
//!                 result.raw("serverInfo", r#"{"name":"slow","version":"1.0.0"}"#);
//!             }),
//!             "ping" => out.empty_result(call),
//!             "tools/list" => {
//!                 let tools = br#"{"tools":[{"name":"think","inputSchema":{"type":"object"}}]}"#;
//!                 out.result(call, |out| out.extend_from_slice(tools));
//!             }
//!             "tools/call" => {
//!                 let (handle, done) = (self.handle.clone(), self.done.0.clone());
//!                 thread::spawn(move || {
//!                     let _ = done.send((call, 6 * 7)); // fails if the engine is gone
//!                     handle.wake();
//!                 });
//!             }
//!             other => out.error(call, &Error::method_not_found(other)),
//!         }
//!     }
//!
//!     fn tick(&mut self, _: Now, out: &mut Outbox) {
//!         for (call, thought) in self.done.1.try_iter() {
//!             let text = format!(r#"{{"content":[{{"type":"text","text":"{thought}"}}]}}"#);
//!             out.result(call, |out| out.extend_from_slice(text.as_bytes()));
//!         }
//!     }
//! }
//!
//! let config = EngineConfig::new(Settings::default(), Limits::default())?;
//! let slow = Slow { handle: config.handle(), done: mpsc::channel() };
//! let mut engine = Engine::with_service(Box::new(slow), config, || 1); // in earnest, random: `net::random_id`
//! let driver = thread::current();
//! engine.set_waker(move || driver.unpark());
//!
//! let now = Now::default();
//! let [stream, posts] = [(); 2].map(|()| engine.open(now, Peer { loopback: true, ..Peer::default() }));
//! engine.receive(now, stream, b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
//! for (id, method, params) in [
//!     (1, "initialize", r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#),
//!     (2, "tools/call", r#"{"name":"think"}"#),
//! ] {
//!     let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
//!     let target = "/messages?sessionId=00000000-0000-4000-8000-000000000001";
//!     let fields = format!("Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
//!     engine.receive(now, posts, format!("POST {target} HTTP/1.1\r\n{fields}\r\n\r\n{body}").as_bytes());
//! }
//! let mut heard = String::new();
//! while !heard.contains(r#""id":2"#) {
//!     match engine.poll() {
//!         Action::Write(conn) => {
//!             let bytes = engine.outgoing(conn).to_vec();
//!             engine.sent(now, conn, bytes.len());
//!             heard += &String::from_utf8_lossy(&bytes);
//!         }
//!         Action::Wait(_) => {
//!             thread::park(); // until the thread of the tool wakes it
//!             engine.tick(now);
//!         }
//!         _ => {}
//!     }
//! }
//! assert!(heard.contains(r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"42"}]}}"#));
//! # Ok::<(), String>(())
//! ```

pub(crate) mod ended;
pub(crate) mod keys;
pub(crate) mod outbox;
pub(crate) mod router;
pub(crate) mod session;

use std::borrow::Cow;
use std::time::Duration;

use crate::access::peer::Peer;
use crate::http::head::Head;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{self, Error, Message, Notification, Response};
use crate::limits::Limits;
use crate::timers::Now;

pub use crate::protocol::kinds::ListKind;
pub use crate::service::keys::{CallKey, SessionKey};
pub use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};
pub use crate::service::session::Session;

/// A request, and where it came from: what [`Service::request`] gets.
#[derive(Clone, Copy, Debug)]
pub struct ServiceRequest<'a> {
    /// The key under which the result is sent.
    pub call: CallKey,
    /// The id that the client gave it.
    pub id: &'a IdRef<'a>,
    /// The session's key.
    pub session: SessionKey,
    /// The method.
    pub method: &'a str,
    /// The parameters: an object, bounded in depth and number of values.
    pub params: Option<JsonRef<'a>>,
    /// The HTTP request that carried it; [`Head::NONE`] if it came as a line.
    pub head: &'a Head<'a>,
    /// Who sent it.
    pub peer: &'a Peer,
    /// When it came.
    pub now: Now,
}

impl<'a> ServiceRequest<'a> {
    /// A member of the parameters; `None` if it or they are missing.
    ///
    /// # Errors
    /// −32602 names the member if it occurs twice.
    pub fn member(&self, name: &str) -> Result<Option<JsonRef<'a>>, Error> {
        Ok(self.params.map(|params| params.member(name)).transpose()?.flatten())
    }

    /// The URI that it is about.
    pub(crate) fn uri(&self) -> Result<Cow<'a, str>, Error> {
        self.member("uri")?.and_then(JsonRef::as_str).ok_or_else(|| self.lacks("uri"))
    }

    /// The error of a request without a member that its method needs.
    pub(crate) fn lacks(&self, member: &str) -> Error {
        let method = self.method;
        Error::invalid_params(format_args!("`{member}` is missing or not a string; `{method}` needs it"))
    }
}

/// What answers sessions; see the [module](self#what-a-service-must-do). All methods run on the engine's thread.
///
/// ```
/// use mcp_rill::jsonrpc::Error;
/// use mcp_rill::service::{Audience, ServiceRequest, Outbox, Outgoing, Service, Session, Slot};
/// struct Echo;
/// impl Service for Echo {
///     fn request(&mut self, request: &ServiceRequest<'_>, _: &mut Session, out: &mut Outbox) {
///         match (request.method, request.params) {
///             ("ping", _) => out.empty_result(request.call),
///             ("echo", Some(params)) => out.result(request.call, |out| out.extend_from_slice(params.text().as_bytes())),
///             ("later", _) => out.busy(request.call, "busy: one at a time"),
///             (other, _) => out.error(request.call, &Error::method_not_found(other)),
///         }
///         let latest = Outgoing::Latest(Audience::One(request.session), Slot::Updated("echo:///last".into()));
///         out.notify(latest, "notifications/resources/updated", |params| {
///             params.str("uri", "echo:///last");
///         });
///     }
/// }
/// ```
pub trait Service: Send {
    /// A session began, or a request without one, which has a session of its own that ends with it ([`Session::is_kept`]).
    fn opened(&mut self, key: SessionKey, session: &mut Session) {
        let _ = (key, session);
    }

    /// A request. Its result goes into `out` now, or later in any other method; until then the call is open.
    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox);

    /// A notification other than a cancellation, which the engine turns into [`cancelled`](Service::cancelled).
    fn notification(
        &mut self,
        key: SessionKey,
        session: &mut Session,
        notification: &Notification<'_>,
        out: &mut Outbox,
    ) {
        let _ = (key, session, notification, out);
    }

    /// The answer to a request that the service sent. Returns true if the service waited for it.
    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, now: Now, out: &mut Outbox) -> bool {
        let _ = (key, answer, now, out);
        false
    }

    /// An open call was cancelled, or its session ended: nothing that is still sent under its key will arrive.
    fn cancelled(&mut self, key: SessionKey, call: CallKey, out: &mut Outbox) {
        let _ = (key, call, out);
    }

    /// A [message](Outgoing::Message) found no way to its client: the session has no stream, and if the message is for a call, the
    /// client takes no events in the answer to its POST. `message` is its JSON text. The call is still open, unless it was
    /// answered since. A service must not answer this with another such message: it would be called again without end.
    ///
    /// By default a question is [answered](Service::answer) with an error.
    fn unreached(
        &mut self,
        key: SessionKey,
        call: Option<CallKey>,
        message: &[u8],
        now: Now,
        out: &mut Outbox,
    ) {
        let _ = call;
        let (mut tape, mut error) = (Tape::new(), Tape::new());
        if let Ok(Message::Request(question)) = jsonrpc::parse(message, &Limits::DEFAULT, &mut tape)
            && let Ok(error) = error.read(r#"{"code":-32603,"message":"the client cannot be asked now"}"#)
        {
            self.answer(key, &Response { id: Some(question.id), outcome: Err(error) }, now, out);
        }
    }

    /// A session ended; its open calls were cancelled before.
    fn closed(&mut self, key: SessionKey) {
        let _ = key;
    }

    /// The server begins to shut down and takes nothing any more, answers included. Calls that would never end by
    /// themselves must be answered now.
    fn stopping(&mut self, now: Now, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// Time has passed, or another thread has woken the loop ([`Handle::wake`](crate::Handle::wake)).
    fn tick(&mut self, now: Now, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// When [`tick`](Service::tick) is to be called next, in [`Now::mono`] time.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// How many bytes of peers' data the service holds: they count towards `buffered_bytes_max`.
    fn held_bytes(&self) -> usize {
        0
    }

    /// The same by session. The engine asks only when `buffered_bytes_max` is passed, and ends the session that gives way first.
    fn held_by_session(&self) -> Vec<(SessionKey, usize)> {
        Vec::new()
    }

    /// The key under which a handler has asked the question of this id, for tests that answer by keys. The client is not told it.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    fn question_key(&self, id: i64) -> Option<&str> {
        let _ = id;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Key;

    #[test]
    fn what_a_service_says_is_json_in_one_line() {
        let (call, mut out) = (CallKey(Key::LEAST), Outbox::default());
        for text in ["{\n\"a\": \"\u{85}\"}", "{\"a\":1},\"b\":2", "", "\"", "\u{2028}"] {
            out.result(call, |out| out.extend_from_slice(text.as_bytes()));
        }
        out.result(call, |out| out.extend_from_slice(b"\"\xff\""));
        out.request(Audience::All, 1, "m", b"{\r\"a\":1}");
        out.request(Audience::All, 2, "m", b"{\"a\":1}}");
        let said: Vec<(bool, &str)> = out
            .iter()
            .map(|(kind, text)| (matches!(kind, Outgoing::Error(_, -32603)), str::from_utf8(text).unwrap()))
            .collect();
        assert_eq!(said[0], (false, r#"{ "a": "\u0085"}"#));
        for (is_error, text) in &said[1..6] {
            assert!(*is_error && text.contains("Internal error: the result is not JSON: "), "{text}");
        }
        assert_eq!(said[6].1, r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{ "a":1}}"#);
        assert_eq!(said[7].1, r#"{"jsonrpc":"2.0","id":2,"method":"m"}"#);
    }
}
