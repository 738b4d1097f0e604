//! The messages of a service, and whom they are for.
//!
//! *Scope:* [`Outbox`], the kinds of messages in it, and when it is full: a service then leaves the rest for the next turn. *Not in
//! scope:* which stream carries a message (the engine's `deliver`).

use std::time::Duration;

use serde_json::value::RawValue;

use crate::json::write::Object;
use crate::json::write_raw;
use crate::jsonrpc;
use crate::jsonrpc::Response;
use crate::jsonrpc::id::IdRef;
use crate::memory::OWN_HEAP_BYTES;
use crate::protocol::kinds::ListKind;
use crate::protocol::level::Level;
use crate::protocol::viewers::Viewers;
use crate::service::ended::CallEnd;
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
    /// A JSON-RPC message that has to arrive: a question, or its cancellation. If it is for a call and cannot arrive,
    /// [`Service::unreached`](crate::service::Service::unreached) is called.
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
    /// Every session that takes part in operation and came by the paths without a [mount](crate::Settings::mounts).
    All,
    /// The same of those that came by the paths below one mount, by its number in [`Settings::mounts`](crate::Settings::mounts).
    Below(usize),
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
/// fn announce(out: &mut Outbox, session: SessionKey) {
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
    messages: Messages,
    late: u64,
    faults: Vec<String>,
    /// Calls that have ended, for the observer.
    ended: Vec<CallEnd>,
}

/// The messages, without what else is reported.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    text: Vec<u8>,
    /// With the end of its text each, and those of its audience that it is for.
    list: Vec<(Outgoing, usize, Option<Box<Viewers>>)>,
}

impl Messages {
    /// How many bytes all of them have.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// In order, each with its text and with those of the audience that it is for; `None` if it is for all of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Outgoing, &[u8], Option<&Viewers>)> {
        let mut start = 0;
        self.list.iter().map(move |(kind, end, viewers)| {
            let text = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (kind, text, viewers.as_deref())
        })
    }

    fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
        self.text.shrink_to(FULL_BYTES);
        self.list.shrink_to(FULL_MESSAGES);
    }
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

    /// Answers a call as another server answered it: with its result, or with its error.
    ///
    /// ```
    /// use mcp_rill::{json::Tape, jsonrpc::Response, service::{CallKey, Outbox}};
    /// let (mut out, mut tape) = (Outbox::default(), Tape::new());
    /// let answer = Response { id: None, outcome: Ok(tape.read(r#"{"tools":[]}"#)?) };
    /// out.answer(CallKey::for_tests(1), &answer);
    /// assert_eq!(out.iter().next().map(|(_, text)| text), Some(&br#"{"tools":[]}"#[..]));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn answer(&mut self, call: CallKey, answer: &Response<'_>) {
        match answer.outcome {
            Ok(result) => self.written(call, |out| write_raw(out, result.text())),
            Err(error) => self.error(call, &jsonrpc::Error::read(error).unwrap_or_else(|bad| bad)),
        }
    }

    /// Refuses a call for which there is no room. The text says what is exhausted, and names the limit.
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

    /// Sends a request or notification whose text is at hand: for a service that passes on what another server says. It leaves in
    /// one line. Text that is not JSON is dropped, and reported as a [fault](crate::engine::Event::HandlerFault).
    ///
    /// ```
    /// use mcp_rill::service::{Audience, Outbox, Outgoing, SessionKey};
    /// let (mut out, said) = (Outbox::default(), r#"{"jsonrpc":"2.0","id":"q1","method":"roots/list"}"#);
    /// out.message(Outgoing::Message(Audience::One(SessionKey::for_tests(1))), said);
    /// assert_eq!(out.iter().next().map(|(_, text)| text), Some(said.as_bytes()));
    /// ```
    pub fn message(&mut self, kind: Outgoing, text: &str) {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(message) => self.push(kind, |out| write_raw(out, message.get())),
            Err(error) => self.fault(format!("a message to be passed on is not JSON: {error}")),
        }
    }

    /// As [`notify`](Outbox::notify), for those of its audience who are among the viewers.
    pub(crate) fn notify_viewers(
        &mut self,
        viewers: &Viewers,
        kind: Outgoing,
        method: &str,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        self.notify(kind, method, write);
        if let Some((.., only)) = self.messages.list.last_mut().filter(|_| !viewers.are_all()) {
            *only = Some(Box::new(viewers.clone()));
        }
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

    /// True if there are faults or calls that have ended.
    pub(crate) fn has_reports(&self) -> bool {
        !self.faults.is_empty() || !self.ended.is_empty()
    }

    pub(crate) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Reports a call that has ended.
    pub(crate) fn ended(&mut self, end: CallEnd) {
        self.ended.push(end);
    }

    pub(crate) fn take_ended(&mut self) -> Vec<CallEnd> {
        std::mem::take(&mut self.ended)
    }

    /// Keeps the vector that was taken for the next ones, or each call would need a new one.
    pub(crate) fn reuse_ended(&mut self, mut ended: Vec<CallEnd>) {
        ended.clear();
        ended.shrink_to(ENDED_KEPT);
        self.ended = ended;
    }

    /// How many bytes all messages have.
    pub(crate) fn bytes(&self) -> usize {
        self.messages.bytes()
    }

    /// Takes the messages out.
    pub(crate) fn take_messages(&mut self) -> Messages {
        std::mem::take(&mut self.messages)
    }

    /// Keeps the memory of messages that were sent for the next ones.
    pub(crate) fn reuse(&mut self, mut sent: Messages) {
        sent.clear();
        self.messages = sent;
    }

    /// True if so much waits that the rest is better left for a later call, such as the next
    /// [`tick`](crate::service::Service::tick): what is in the outbox takes memory twice while it is sent, and other clients wait
    /// meanwhile.
    ///
    /// ```
    /// use mcp_rill::service::{Audience, Outbox, Outgoing, SessionKey, Slot};
    /// use std::collections::VecDeque;
    /// /// Called by `Service::tick`; `Service::due` returns a time in the past while there are more.
    /// fn announce(updated: &mut VecDeque<(SessionKey, String)>, out: &mut Outbox) {
    ///     while !out.is_full()
    ///         && let Some((session, uri)) = updated.pop_front()
    ///     {
    ///         let latest = Outgoing::Latest(Audience::One(session), Slot::Updated(uri.as_str().into()));
    ///         out.notify(latest, "notifications/resources/updated", |params| {
    ///             params.str("uri", &uri);
    ///         });
    ///     }
    /// }
    /// ```
    pub fn is_full(&self) -> bool {
        self.messages.bytes() >= FULL_BYTES || self.messages.list.len() >= FULL_MESSAGES
    }

    pub(crate) fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }

    fn push(&mut self, kind: Outgoing, write: impl FnOnce(&mut Vec<u8>)) {
        let Messages { text, list } = &mut self.messages;
        if text.capacity() == 0 {
            text.reserve_exact(OWN_HEAP_BYTES);
        }
        write(text);
        list.push((kind, text.len(), None));
    }

    /// True if there are no messages.
    pub fn is_empty(&self) -> bool {
        self.messages.list.is_empty()
    }

    /// The messages in order, each with its JSON text ([`Outgoing::Busy`]: the reason).
    pub fn iter(&self) -> impl Iterator<Item = (&Outgoing, &[u8])> {
        self.messages.iter().map(|(kind, text, _)| (kind, text))
    }

    /// Removes all messages, and gives memory back if it was an unusually large lot.
    pub fn clear(&mut self) {
        self.messages.clear();
    }
}

/// With so much text the outbox is full.
const FULL_BYTES: usize = 64 << 10;
/// With so many messages the outbox is full.
const FULL_MESSAGES: usize = 256;
/// Room for calls that have ended which is kept for the next ones.
const ENDED_KEPT: usize = 16;
