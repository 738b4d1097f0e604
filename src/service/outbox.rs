//! The messages of a service, and whom they are for.
//!
//! *Scope:* [`Outbox`] and the kinds of messages in it. *Not in scope:* which stream carries a message (the engine's
//! `deliver`).

use std::time::Duration;

use serde_json::value::RawValue;

use crate::json::write::Object;
use crate::json::write_raw;
use crate::jsonrpc;
use crate::jsonrpc::id::IdRef;
use crate::protocol::kinds::ListKind;
use crate::protocol::level::Level;
use crate::service::keys::{CallKey, SessionKey};

/// The kind of one message in an [`Outbox`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outgoing {
    /// The result of a call: one JSON value.
    Result(CallKey),
    /// The error of a call: one JSON-RPC error object, and its code.
    Error(CallKey, i64),
    /// There is no room for a call: the text says which limit is reached. It becomes an error of the call's transport.
    Busy(CallKey),
    /// A JSON-RPC message that has to arrive: a question, or its cancellation. If it is for a call and cannot arrive, the
    /// service is told ([`Service::unreached`](crate::service::Service::unreached)).
    Message(Audience),
    /// A notification of which only the latest matters: while the session's stream is slow, a newer one replaces it.
    Latest(Audience, Slot),
    /// Not a message: the response to the call's POST ends now, and its client reconnects after this time for the rest, if it
    /// can (MCP 2025-11-25, transports).
    Disconnect(CallKey, Duration),
    /// A log message. It is dropped if the session's level is higher, or its stream is slow.
    Log(Audience, Level),
}

/// The clients that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// The client that waits for this call of that session. The message goes where the result will go (MCP transports,
    /// Streamable HTTP: what relates to a request is sent on its stream).
    Call(CallKey, SessionKey),
    /// One session.
    One(SessionKey),
    /// Every session that takes part in operation.
    All,
}

/// The subject of a notification. A newer notification replaces an unsent older one of the same subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Slot {
    /// The progress of a call.
    Progress(CallKey),
    /// The resource of this URI.
    Updated(Box<str>),
    /// A list.
    Changed(ListKind),
}

/// Messages of a [`Service`](crate::service::Service) on their way out. Their text is kept end to end in one buffer, which the
/// engine reuses.
///
/// ```
/// use mcp_rill::Level;
/// use mcp_rill::service::{Audience, ListKind, Outbox, Outgoing, SessionKey, Slot};
/// fn told(out: &mut Outbox, session: SessionKey) {
///     out.request(Audience::One(session), 1, "roots/list", b"");
///     let log = Outgoing::Log(Audience::All, Level::Info);
///     out.notify(log, "notifications/message", |params| {
///         params.str("level", "info").str("data", "there are new tools");
///     });
///     let changed = Outgoing::Latest(Audience::All, Slot::Changed(ListKind::Tools));
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
    /// Answers a call with the JSON value that `write` appends. Text that is not JSON becomes an error (−32603). Of several
    /// answers to one call the first one counts.
    pub fn result(&mut self, call: CallKey, write: impl FnOnce(&mut Vec<u8>)) {
        let mut given = Vec::new();
        write(&mut given);
        match serde_json::from_slice::<&RawValue>(&given) {
            Ok(result) => self.written(call, |out| write_raw(out, result.get())),
            Err(error) => {
                let error = jsonrpc::Error::internal(format_args!("the result is not JSON: {error}"));
                self.error(call, &error);
            }
        }
    }

    /// As [`result`](Outbox::result), without checking: for JSON of this crate's own writers.
    pub(crate) fn written(&mut self, call: CallKey, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(Outgoing::Result(call), write);
    }

    /// Answers a call with `{}`: success without a result.
    pub fn empty_result(&mut self, call: CallKey) {
        self.written(call, |out| out.extend_from_slice(b"{}"));
    }

    /// Answers a call with an error.
    pub fn error(&mut self, call: CallKey, error: &jsonrpc::Error) {
        self.push(Outgoing::Error(call, error.code), |out| error.write(out));
    }

    /// Refuses a call for want of room. The text says of what there is too much, and names the limit.
    pub fn busy(&mut self, call: CallKey, reason: &str) {
        self.push(Outgoing::Busy(call), |out| out.extend_from_slice(reason.as_bytes()));
    }

    /// Sends a request. The service chooses the id. `params` is a JSON object, or empty. Text that is not JSON is left out: the
    /// client reports missing parameters.
    pub fn request(&mut self, audience: Audience, id: i64, method: &str, params: &[u8]) {
        let params = serde_json::from_slice::<&RawValue>(params).map_or("", RawValue::get);
        self.push(Outgoing::Message(audience), |out| {
            jsonrpc::write_request(out, IdRef::Int(id), method, |out| write_raw(out, params));
        });
    }

    /// Sends a notification. `write` adds the members of its parameters; without any, they are left out.
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

    /// Disconnects a call's client until it reconnects by itself: [`Outgoing::Disconnect`].
    pub fn disconnect(&mut self, call: CallKey, retry: Duration) {
        self.push(Outgoing::Disconnect(call, retry), |_| {});
    }

    /// Counts a result that came for a call that is over.
    pub fn late(&mut self) {
        self.late += 1;
    }

    /// Reports a handler that broke a rule. The text names it and the rule.
    pub(crate) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    pub(crate) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// How many bytes all messages have.
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

    /// True if there are no messages.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages in order, each with its JSON text ([`Outgoing::Busy`]: the reason).
    pub fn iter(&self) -> impl Iterator<Item = (&Outgoing, &[u8])> {
        let mut start = 0;
        self.messages.iter().map(move |(kind, end)| {
            let text = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (kind, text)
        })
    }

    /// Removes all messages, and gives memory back if it was an unusually large lot.
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 64 << 10;
        self.messages.clear();
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES_MAX);
        self.messages.shrink_to(256);
    }
}
