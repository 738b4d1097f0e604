//! The seam between a session and whatever answers it.
//!
//! *Scope:* the [`Service`] trait, what it is given, and the [`Outbox`] it answers through.
//! *Not in scope:* envelopes, ids and streams: a service names a call by its key, and the engine knows the rest.
//!
//! ```text
//!   engine ── opened, request, notification, answer, cancelled, closed, tick ──▶ service
//!   engine ◀── Outbox: results and errors by call, notifications by session ─── service
//! ```
//!
//! The registry of handlers behind [`Server`](crate::Server) is one implementation; a bridge to another server is another.

pub(crate) mod keys;
pub(crate) mod outbox;
pub(crate) mod session;

use std::time::Duration;

use crate::access::peer::Peer;
use crate::http::head::Head;
use crate::json::value::JsonRef;
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{Notification, Response};
use crate::timers::Now;

pub use crate::protocol::kinds::ListKind;
pub use crate::service::keys::{CallKey, SessionKey};
pub use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};
pub use crate::service::session::Session;

/// A request, and where it came from: what [`Service::request`] is given.
#[derive(Clone, Copy, Debug)]
pub struct ServiceRequest<'a> {
    /// What the result is sent under.
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

/// What answers sessions. All methods run on the engine's thread and must not block; what takes time is answered later.
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
    /// A session began, or a request without one, which is like a session of one request
    /// ([`Session::is_kept`](crate::service::session::Session::is_kept)).
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

    /// The answer to a request that the service sent. Says whether it was waited for.
    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, now: Now, out: &mut Outbox) -> bool {
        let _ = (key, answer, now, out);
        false
    }

    /// An open call was cancelled, or its session ended: nothing that is still sent under its key will arrive.
    fn cancelled(&mut self, call: CallKey, out: &mut Outbox) {
        let _ = (call, out);
    }

    /// A [`Message`](crate::service::outbox::Outgoing::Message) for a call found no way to its client: the client takes no events in the answer to its
    /// POST, and its session has no stream. The call is still open, unless it was answered since. To go on sending more of
    /// them would go on for ever.
    fn unreached(&mut self, call: CallKey, now: Now, out: &mut Outbox) {
        let _ = (call, now, out);
    }

    /// A session ended; its open calls were cancelled before.
    fn closed(&mut self, key: SessionKey) {
        let _ = key;
    }

    /// The server begins to shut down and takes nothing any more, answers included: calls that would never end by
    /// themselves are to be answered now.
    fn stopping(&mut self, now: Now, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// Time has passed, or mail has come from another thread.
    fn tick(&mut self, now: Now, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// When [`tick`](Service::tick) wants to be called, in [`Now::mono`] time.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// Bytes of peers' data that the service holds: they count towards `buffered_bytes_max`.
    fn held_bytes(&self) -> usize {
        0
    }

    /// For which session it holds most of them, and how many: that one is ended first if they take the server over
    /// `buffered_bytes_max`. Asked only then.
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
