//! Requests that stand alone: POST on the path of Streamable HTTP without sessions (MCP 2026-07-28, basic/transports), and what
//! stands in for sessions of the revisions before, where the server keeps none ([`Settings::sessionless`](crate::Settings)).
//!
//! *Scope:* which POST is one, what is checked before the service sees it, and what stands in for its session. *Not in
//! scope:* methods (the service's), how the answer is sent (`streams`), the tasks extension, which is not implemented.
//!
//! ```text
//!  POST ─┬ notification ──▶ 202, and nothing happens: this revision has none from clients
//!        └ request ─▶ _meta? ─▶ version header? ─▶ served? ─▶ Mcp-Method? ─▶ Mcp-Name? ─▶ service ─▶ Post
//!                      −32602    −32020             −32022     −32020        −32020       │
//!                      all of these are 400 and echo the id       no such method: 404 −32601
//!                                                                 capability missing: 400 −32021
//!                                                                 Mcp-Param-* wrong: 400 −32020, busy: 503 −32603
//!  the connection ends ──▶ the request is cancelled
//!  before 2026-07-28: the client sends no more ──▶ a stream with a comment, which a client that is gone answers with a reset
//! ```

use crate::engine::core::Engine;
use crate::engine::negotiate::{Accepted, revision_of};
use crate::engine::refusals::{Refused, as_error_of};
use crate::engine::state::sessions::Open;
use crate::engine::state::streams::Post;
use crate::http::head::{Head, Single};
use crate::http::response::Response;
use crate::json::value::JsonRef;
use crate::json::write::{Array, Object};
use crate::jsonrpc::{Error, Message, Request};
use crate::protocol::envelope::Envelope;
use crate::protocol::meta::named_by;
use crate::protocol::revision::Revision;
use crate::runtime::headers::{
    HEADER_MISMATCH, check as check_header, check_coded as check_coded_header, check_uri as check_uri_header,
};
use crate::service::keys::SessionKey;
use crate::service::session::Session;
use crate::slab::Key;
use crate::timers::Nanos;

/// The revision is not served (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;

impl Engine {
    pub(crate) fn post_alone(&mut self, conn: Key, head: &Head<'_>, message: &Message<'_>) {
        let Message::Request(request) = message else {
            self.stats.messages_received += 1;
            return self.respond(conn, &Response::new(202));
        };
        let accepted = Accepted::of(head);
        match check(request, head, accepted) {
            Ok(envelope) => self.take_alone(conn, head, message, (request, envelope, accepted)),
            Err((status, error)) => {
                let answer = Refused::new(status, error).answer(Some((&request.id).into()));
                self.answer(conn, &answer);
            }
        }
    }

    fn take_alone(
        &mut self,
        conn: Key,
        head: &Head<'_>,
        message: &Message<'_>,
        (request, envelope, accepted): (&Request<'_>, Envelope<'_>, Accepted),
    ) {
        self.stats.messages_received += 1;
        let principal = self.conns.get(conn).and_then(|conn| conn.peer.principal.clone());
        let Envelope { client, log_level, .. } = envelope;
        let key = self.open_alone(Session::of_request(principal, Revision::V2026_07_28, client, log_level));
        let Some(call) = self.begin_call(key, Some(conn), &request.id, &request.method) else {
            self.end_alone(key);
            let max = self.common.limits.calls_max;
            let busy = self.busy(&format!("{max} requests may be open (limit calls_max)"));
            let refused = as_error_of(Error::INTERNAL_ERROR, busy);
            return self.answer(conn, &refused.answer(Some((&request.id).into())));
        };
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.last_output = Nanos::of(self.now);
            entry.post = Some(Box::new(Post::alone(key, accepted, self.held.charge(0))));
        }
        self.hand_over(conn, key, head, message, Some(call));
        self.handed_over(conn);
    }

    /// What stands in for the session of a POST, where the server keeps none. A client that names no revision has to be taken
    /// for one of 2025-03-26 (MCP 2025-11-25, transports, "Protocol Version Header").
    pub(crate) fn stand_in(&mut self, conn: Key, head: &Head<'_>) -> Key {
        let principal = self.conns.get(conn).and_then(|conn| conn.peer.principal.clone());
        self.open_alone(Session::of_post(principal, revision_of(head)))
    }

    fn open_alone(&mut self, session: Session) -> Key {
        let key = self.sessions.insert(Open::new(session, None, None));
        self.alone += 1;
        if let Some(open) = self.sessions.get_mut(key) {
            self.service.opened(SessionKey(key), &mut open.session);
        }
        key
    }

    /// The client of a request that stands alone is gone. What was said before that request is still sent.
    pub(crate) fn cancel_alone(&mut self, conn: Key) {
        let Engine { conns, sessions, .. } = self;
        let Some(entry) = conns.get_mut(conn) else { return };
        // Before 2026-07-28 a client that sends no more may still wait for the answer.
        let alone = |post: &Post| {
            let open = sessions.get(post.session);
            post.alone && open.is_none_or(|open| !open.session.revision().has_sessions())
        };
        let Some(post) = entry.post.take_if(|post| alone(post)) else { return self.probe_alone(conn) };
        entry.held = None;
        entry.http.give_up(&mut self.common);
        let session = post.session;
        drop(post);
        self.forget_request(conn);
        self.end_alone(session);
    }

    /// A client that sends no more may wait for its answer or be gone: to a write, only the kernel of one that is gone answers
    /// with a reset (RFC 9293, section 3.10.7.1). So the answer becomes a stream at once, where it can be one.
    fn probe_alone(&mut self, conn: Key) {
        let waits = self.conns.get(conn).is_some_and(|entry| {
            entry.http.is_waiting()
                && !entry.http.is_chunking()
                && entry.post.as_ref().is_some_and(|post| post.alone && post.sse && post.status == 200)
        });
        if waits {
            self.comment(conn);
        }
    }

    /// A request that stands alone is over: it was answered, or its client is gone.
    pub(crate) fn end_alone(&mut self, key: Key) {
        self.cancel_calls(key);
        if self.sessions.remove(key).is_some() {
            self.alone -= 1;
            self.service.closed(SessionKey(key));
            self.flush();
        }
    }
}

/// What is to be right before a method is looked at (MCP 2026-07-28, transports and versioning).
fn check<'a>(
    request: &Request<'a>,
    head: &Head<'_>,
    accepted: Accepted,
) -> Result<Envelope<'a>, (u16, Error)> {
    let envelope = Envelope::read(request.params).map_err(|error| (400, error))?;
    check_header(head, "MCP-Protocol-Version", &envelope.version).map_err(|error| (400, error))?;
    if envelope.version != Revision::V2026_07_28.name() {
        return Err((400, unsupported(&envelope.version)));
    }
    check_header(head, "Mcp-Method", &request.method).map_err(|error| (400, error))?;
    let member = named_by(&request.method);
    let named = member.and_then(|member| envelope.params.get(member)).and_then(JsonRef::as_str);
    if let Some(name) = named {
        let check = if member == Some("uri") { check_uri_header } else { check_coded_header };
        check(head, "Mcp-Name", &name).map_err(|error| (400, error))?;
    } else if matches!(head.single("mcp-name"), Single::One(_) | Single::Several) && member.is_some() {
        let error =
            Error::new(HEADER_MISMATCH, "Header mismatch: Mcp-Name is sent, but the body has no name");
        return Err((400, error));
    }
    if request.method == "subscriptions/listen" && !accepted.events {
        let text = "Not acceptable: the answer to this is text/event-stream; accept that";
        return Err((406, Error::new(Error::INVALID_REQUEST, text)));
    }
    Ok(envelope)
}

/// The revision is not served: the data say which one is.
fn unsupported(version: &str) -> Error {
    let mut data = Vec::new();
    let shown: String = version.chars().take(80).collect();
    let mut object = Object::new(&mut data);
    object.field("supported", |out| {
        Array::new(out).str(Revision::V2026_07_28.name());
    });
    object.str("requested", &shown);
    object.end();
    let error = Error::new(UNSUPPORTED_VERSION, format!("Unsupported protocol version: {shown}"));
    match serde_json::from_slice(&data) {
        Ok(data) => error.with_data(data),
        Err(_) => error,
    }
}
