//! The seam between the engine and what answers its sessions.
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
//! to be wrapped or to be tested without an engine. A bridge to another server is another.
//!
//! # What a service must do
//! The engine reads messages and refuses what is no JSON-RPC. All else is up to the service:
//! - It answers each request once, in the method that brought it or in a later one. `initialize` and `ping` are requests too:
//!   [`Session::initialize`] reads the parameters of the one, [`Outbox::empty_result`] answers the other.
//! - It calls [`Session::operate`] when a client goes to work, or its client gets no notifications that are for all.
//! - It never blocks. Work on other threads ends with [`Handle::wake`](crate::Handle::wake), which calls [`Service::tick`].

pub(crate) mod keys;
pub(crate) mod outbox;
pub(crate) mod session;

use std::time::Duration;

use crate::access::peer::Peer;
use crate::http::head::Head;
use crate::json::value::JsonRef;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{Error, Notification, Response};
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
    /// The HTTP request that carried it.
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
    fn cancelled(&mut self, call: CallKey, out: &mut Outbox) {
        let _ = (call, out);
    }

    /// A [message](Outgoing::Message) for a call found no way to its client: the client takes no events in the answer to its
    /// POST, and its session has no stream. The call is still open, unless it was answered since. A service that answers this
    /// with another message is called again, for ever.
    fn unreached(&mut self, call: CallKey, now: Now, out: &mut Outbox) {
        let _ = (call, now, out);
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

    /// The session for which it holds most bytes, and how many. The engine asks only when they take the server over
    /// `buffered_bytes_max`, and ends that session first.
    fn largest(&self) -> Option<(usize, SessionKey)> {
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
