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

use std::time::Duration;

use serde_json::value::RawValue;

use crate::Now;
use crate::http::head::Head;
use crate::jsonrpc::{self, IdRef, Notification, Object, Response};
use crate::mcp::server::List;
use crate::mcp::{Level, Peer, Session};
use crate::slab::Key;

/// Names one session for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub(crate) Key);

impl SessionKey {
    /// Comes before all others, and names none.
    pub(crate) const LEAST: SessionKey = SessionKey(Key::LEAST);
}

/// Names one request that waits for its result, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub(crate) Key);

/// A request, and where it came from: what [`Service::request`] is given.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// What the result is sent under.
    pub call: CallKey,
    /// The id that the client gave it.
    pub id: &'a IdRef<'a>,
    /// The session's key.
    pub session: SessionKey,
    /// The method.
    pub method: &'a str,
    /// The parameters as JSON text: an object, bounded in depth and number of values.
    pub params: Option<&'a RawValue>,
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
/// use mcp_rill::mcp::{Audience, Incoming, Outbox, Outgoing, Service, Session, Slot};
/// struct Echo;
/// impl Service for Echo {
///     fn request(&mut self, request: &Incoming<'_>, _: &mut Session, out: &mut Outbox) {
///         match (request.method, request.params) {
///             ("ping", _) => out.empty_result(request.call),
///             ("echo", Some(params)) => out.result(request.call, |out| out.extend_from_slice(params.get().as_bytes())),
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
    /// ([`Session::is_kept`](crate::mcp::Session::is_kept)).
    fn opened(&mut self, key: SessionKey, session: &mut Session) {
        let _ = (key, session);
    }

    /// A request. Its result goes into `out` now, or later in any other method; until then the call is open.
    fn request(&mut self, request: &Incoming<'_>, session: &mut Session, out: &mut Outbox);

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

    /// A [`Message`](Outgoing::Message) for a call found no way to its client: the client takes no events in the answer to its
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

/// What one message in an [`Outbox`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// The result of a call: one JSON value.
    Result(CallKey),
    /// The error of a call: one JSON-RPC error object, and its code.
    Error(CallKey, i64),
    /// There is no room for a call: the text says of what there is too much. It becomes an error of its transport.
    Busy(CallKey),
    /// A JSON-RPC message that has to arrive: a question, or word that it needs no answer any more. If it cannot, and is for
    /// a call, the service hears of it ([`Service::unreached`]).
    Message(Audience),
    /// A notification of which only the latest matters: while the session's stream is slow, a newer one replaces it.
    Latest(Audience, Slot),
    /// Not a message: the response to the call's POST is to end now, and its client to come back after this time for what
    /// is still to come, if it can (MCP 2025-11-25, transports).
    Disconnect(CallKey, Duration),
    /// A log message. It is dropped if the session's level is higher, or its stream is slow.
    Log(Audience, Level),
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The client that waits for this call of that session: it goes where the result will go (MCP transports, Streamable
    /// HTTP: what relates to a request is sent on its stream).
    Call(CallKey, SessionKey),
    /// One session.
    One(SessionKey),
    /// Every session that takes part in operation.
    All,
}

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// How far a call is.
    Progress(CallKey),
    /// The resource of this URI.
    Updated(Box<str>),
    /// A list.
    Changed(List),
}

/// Messages of a [`Service`] on their way out. Their text is kept end to end in one buffer, which the engine uses again and again.
///
/// ```
/// use mcp_rill::Level;
/// use mcp_rill::mcp::{Audience, List, Outbox, Outgoing, SessionKey, Slot};
/// fn told(out: &mut Outbox, session: SessionKey) {
///     out.request(Audience::One(session), 1, "roots/list", b"");
///     let log = Outgoing::Log(Audience::All, Level::Info);
///     out.notify(log, "notifications/message", |params| {
///         params.str("level", "info").str("data", "there are new tools");
///     });
///     let changed = Outgoing::Latest(Audience::All, Slot::Changed(List::Tools));
///     out.notify(changed, "notifications/tools/list_changed", |_| {});
/// }
/// ```
#[derive(Debug, Default)]
pub struct Outbox {
    text: Vec<u8>,
    messages: Vec<(Outgoing, usize)>,
    late: u64,
    faults: Vec<String>,
}

impl Outbox {
    /// Answers a call with the JSON value that `write` appends; what is not JSON becomes an error (−32603). Of several
    /// answers to one call the first one counts.
    pub fn result(&mut self, call: CallKey, write: impl FnOnce(&mut Vec<u8>)) {
        let mut given = Vec::new();
        write(&mut given);
        match serde_json::from_slice::<&RawValue>(&given) {
            Ok(result) => self.written(call, |out| jsonrpc::write_raw(out, result.get())),
            Err(error) => {
                let error = jsonrpc::Error::internal(format_args!("the result is not JSON: {error}"));
                self.error(call, &error);
            }
        }
    }

    /// As [`result`](Outbox::result), of what our own writers made.
    pub(crate) fn written(&mut self, call: CallKey, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(Outgoing::Result(call), write);
    }

    /// Answers a call with `{}`: it was done, and there is nothing to say.
    pub fn empty_result(&mut self, call: CallKey) {
        self.written(call, |out| out.extend_from_slice(b"{}"));
    }

    /// Answers a call with an error.
    pub fn error(&mut self, call: CallKey, error: &jsonrpc::Error) {
        self.push(Outgoing::Error(call, error.code), |out| error.write(out));
    }

    /// Refuses a call because there is too much of something: the text says of what, and which limit that is.
    pub fn busy(&mut self, call: CallKey, reason: &str) {
        self.push(Outgoing::Busy(call), |out| out.extend_from_slice(reason.as_bytes()));
    }

    /// Sends a request; the service chooses the id. `params` is a JSON object, or nothing. What is not JSON is left out, and
    /// the client says that it misses it.
    pub fn request(&mut self, audience: Audience, id: i64, method: &str, params: &[u8]) {
        let params = serde_json::from_slice::<&RawValue>(params).map_or("", RawValue::get);
        self.push(Outgoing::Message(audience), |out| {
            jsonrpc::write_request(out, IdRef::Int(id), method, |out| jsonrpc::write_raw(out, params));
        });
    }

    /// Sends a notification; `write` adds the members of its parameters. Without any there are no parameters.
    pub fn notify(&mut self, kind: Outgoing, method: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.push(kind, |out| {
            jsonrpc::write_notification(out, method, |out| {
                let start = out.len();
                let mut params = Object::new(out);
                write(&mut params);
                params.end();
                if out.ends_with(b"{}") && out.len() == start + 2 {
                    out.truncate(start);
                }
            });
        });
    }

    /// Sends a call's client away until it comes back by itself: [`Outgoing::Disconnect`].
    pub fn disconnect(&mut self, call: CallKey, retry: Duration) {
        self.push(Outgoing::Disconnect(call, retry), |_| {});
    }

    /// A result came for a call that is over: it is counted.
    pub fn late(&mut self) {
        self.late += 1;
    }

    /// A handler broke a rule, and its call ends in an error: the text says who and what.
    pub(crate) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    pub(crate) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Bytes of all messages.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }

    fn push(&mut self, kind: Outgoing, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.messages.push((kind, self.text.len()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages in order, each with its JSON text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Outgoing, &[u8])> {
        let mut start = 0;
        self.messages.iter().map(move |(kind, end)| {
            let text = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (kind, text)
        })
    }

    /// Forgets all messages, and their memory if it was an unusually large lot.
    pub(crate) fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 64 << 10;
        self.messages.clear();
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES_MAX);
        self.messages.shrink_to(256);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
