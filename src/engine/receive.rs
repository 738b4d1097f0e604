//! From the bytes of a connection to the transport that serves the request.
//!
//! *Scope:* the turn of a connection, what is admitted before a body is read, and the sessions that requests name. *Not in
//! scope:* what each transport does with a message (`transport`), and who may send it (`gate`).
//!
//! ```text
//!  bytes ──▶ step ─┬─ head ──▶ let_in ──▶ route, admit ──▶ read_body ─┬─ whole ──▶ serve
//!             ▲    │             └─ 401, 403   └─ 4xx, 503            └─ awaited: the target is kept ──┐
//!             │    ├─ request whose body came in pieces ◀────────────────────────────────────────────┘
//!             │    └─ refused, more
//!             └─ answered
//! ```

use uuid::Uuid;

use crate::access::cors;
use crate::engine::core::Engine;
use crate::engine::gate::RefusedHead;
use crate::engine::negotiate::Version;
use crate::engine::refusals;
use crate::engine::state::connections::Target;
use crate::engine::state::ids::{Whose, owner_hint, read_id};
use crate::engine::state::sessions::Open;
use crate::engine::state::streams::STREAM_FIELDS;
use crate::engine::transport::routes::{self, Route};
use crate::http::conn::input::{Body, Input, Kept, Step, WholeRequest};
use crate::http::head::{Fields, Framing, Head};
use crate::http::response::OwnedResponse;
use crate::jsonrpc::Error;
use crate::slab::Key;

impl Engine {
    /// One turn of a connection: finds the requests in what a read brought, or without bytes in what waits, and serves them.
    pub(crate) fn turn(&mut self, key: Key, bytes: &[u8]) {
        // Before its replies are: a 202 then leaves before the frame on the stream.
        self.enqueue(key);
        let mut kept = Kept::default();
        let Some(conn) = self.conns.get_mut(key) else { return };
        let mut input = conn.http.begin(bytes, &mut kept, &mut self.common);
        loop {
            let mut fields = Fields::new();
            let Some(conn) = self.conns.get_mut(key) else { return };
            match conn.http.step(&mut input, &mut fields, &mut self.common) {
                Step::Head(head) => self.take_head(key, &head, &mut input),
                Step::Request(request) => self.take_request(key, request),
                Step::Refused(refusal) => self.report_refusal(key, refusal.status, &refusal.reason),
                Step::More => break,
            }
        }
        let used = input.used();
        let Some(conn) = self.conns.get_mut(key) else { return };
        let refused = conn.http.end(used, bytes, kept, &mut self.common);
        let is_ended = conn.http.has_ended_input();
        if let Some(refusal) = refused {
            self.report_refusal(key, refusal.status, &refusal.reason);
        }
        if is_ended {
            self.cancel_alone(key);
        }
        self.relieve();
    }

    fn take_head(&mut self, key: Key, head: &Head<'_>, input: &mut Input<'_>) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http.set_common_fields(cors::common_fields(head, &self.settings, &conn.peer));
        }
        let target = match self.let_in(key, head).and_then(|()| self.admit(key, head)) {
            Ok(target) => target,
            Err(refused) => return self.refuse_head(key, head, input, &refused),
        };
        let Some(conn) = self.conns.get_mut(key) else { return };
        match conn.http.read_body(head, input, &mut self.common) {
            Body::Whole(body) => self.take_whole(key, target, head, body),
            Body::Awaited => conn.awaited = Some(Box::new(target)),
            Body::TooLong(length) => {
                let answer = OwnedResponse::too_long(length, &self.common.limits);
                let answer = refusals::in_kind(answer, head, &self.settings);
                self.refuse_head(key, head, input, &answer.into());
            }
            Body::Refused(refusal) => self.report_refusal(key, refusal.status, &refusal.reason),
        }
    }

    fn refuse_head(&mut self, key: Key, head: &Head<'_>, input: &mut Input<'_>, refused: &RefusedHead) {
        let RefusedHead { answer, unread } = refused;
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http.refuse_head(head, input, answer, *unread, &mut self.common);
        }
        self.report_answer(key, answer);
    }

    /// A request whose body came in pieces.
    fn take_request(&mut self, key: Key, request: WholeRequest) {
        let target = self.conns.get_mut(key).and_then(|conn| conn.awaited.take());
        let mut fields = Fields::new();
        if let Some(target) = target
            && let Ok((head, body)) = request.read(&mut fields, &self.common.limits)
        {
            self.take_whole(key, *target, &head, body);
        }
        request.release(&mut self.common);
    }

    fn take_whole(&mut self, key: Key, target: Target, head: &Head<'_>, body: &[u8]) {
        match self.ask_again(key, head) {
            Ok(()) => self.serve(key, target, head, body),
            Err(answer) => self.answer(key, &answer),
        }
        if let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.post.is_none()) {
            conn.http.fail_unanswered(head, &mut self.common);
        }
        self.keep_request(key, head);
    }

    /// Decides at the head what the request is for, and whether there is room for what it would need.
    fn admit(&mut self, conn: Key, head: &Head<'_>) -> Result<Target, RefusedHead> {
        let route = routes::route(head, &self.settings)?;
        let bytes = match route {
            Route::StreamHead | Route::McpGet | Route::McpDelete => 0,
            Route::Stream => 1,
            // One that will never be read makes nobody give way: it gets 413 next.
            Route::McpPost | Route::Message { .. } => Some(body_bytes(head))
                .filter(|bytes| *bytes <= self.common.limits.body_bytes_max)
                .unwrap_or(0),
        };
        // How long a body in chunks gets shows later.
        let chunks = if head.framing == Framing::Chunked { self.common.limits.turn_bytes_max } else { 0 };
        let mut target = self.target_of(conn, route)?;
        if self.make_room(bytes.max(chunks)) {
            // Its session may be the one that gave way.
            target = self.target_of(conn, route)?;
        }
        let refusal = match route {
            // Whether there is a place for a session is asked when it is opened.
            Route::Stream | Route::StreamHead | Route::McpGet | Route::McpDelete => None,
            Route::McpPost | Route::Message { .. } => self.no_room_for(bytes),
        };
        let Some(reason) = refusal else { return Ok(target) };
        let answer = self.busy(&reason);
        let answer = match (route, Version::of(head)) {
            // The body is not read, so the field alone has to say of which revision this is.
            (Route::McpPost, Version::Modern(_)) => {
                refusals::as_error_of(Error::INTERNAL_ERROR, answer).into()
            }
            (Route::McpPost, _) => refusals::as_error(answer),
            _ => answer,
        };
        Err(answer.into())
    }

    fn target_of(&self, conn: Key, route: Route<'_>) -> Result<Target, OwnedResponse> {
        Ok(match route {
            Route::Stream => Target::Stream,
            Route::StreamHead => Target::StreamHead,
            Route::Message { session } => Target::Message(self.find_stream_session(conn, session)?),
            Route::McpPost => Target::McpPost,
            Route::McpGet => Target::McpGet,
            Route::McpDelete => Target::McpDelete,
        })
    }

    /// What is said where there is no room, and counted.
    pub(crate) fn busy(&mut self, reason: &str) -> OwnedResponse {
        self.busy_for(reason, 1)
    }

    /// The same where it makes sense to try again after that many seconds.
    pub(crate) fn busy_for(&mut self, reason: &str, seconds: u128) -> OwnedResponse {
        self.stats.busy += 1;
        OwnedResponse::text(503, format!("busy: {reason}; try again"))
            .header("Retry-After", seconds.to_string())
    }

    /// Sessions that are open.
    pub(crate) fn sessions_open(&self) -> usize {
        self.sessions.len() - self.alone
    }

    fn no_room_for(&self, bytes: usize) -> Option<String> {
        let spent = self.firm_bytes();
        (spent.saturating_add(bytes) > self.common.limits.buffered_bytes_max)
            .then(|| format!("{spent} bytes are buffered (limit buffered_bytes_max)"))
    }

    /// The session of that id, if it belongs to the request's principal: a stranger's looks like an unknown one.
    pub(crate) fn find_session(&self, conn: Key, id: &str) -> Option<(Key, &Open)> {
        let principal = self.conns.get(conn).and_then(|conn| conn.peer.principal.as_ref());
        let Whose::Ours(id) = read_id(id, &self.settings.node_id) else { return None };
        let (key, open) = self.sessions.entry_at(*self.by_id.get(&id)?)?;
        (open.session.id == id && open.session.principal() == principal).then_some((key, open))
    }

    /// The session of HTTP+SSE of that id.
    fn find_stream_session(&self, conn: Key, id: &str) -> Result<Key, OwnedResponse> {
        let found = self.find_session(conn, id).filter(|(key, _)| self.has_live_stream(*key));
        found.map(|(key, _)| key).ok_or_else(|| {
            let hint = owner_hint(id, &self.settings.node_id);
            OwnedResponse::text(400, format!("No transport found for sessionId{hint}"))
        })
    }

    /// True if it is a session of HTTP+SSE whose stream takes messages. If the stream has ended and the session is not taken
    /// out yet, a 202 now would be a promise that nobody can keep.
    fn has_live_stream(&self, session: Key) -> bool {
        let open = self.sessions.get(session).filter(|open| open.life.is_none());
        let stream = open.and_then(|open| self.conns.get(open.conn?));
        stream.is_some_and(|stream| !stream.closing && stream.http.is_stream())
    }

    fn serve(&mut self, conn: Key, target: Target, head: &Head<'_>, body: &[u8]) {
        match target {
            Target::Stream => match self.make_place(conn) {
                Ok(()) => self.open_session(conn, head.query.unwrap_or_default()),
                Err(answer) => self.answer(conn, &answer),
            },
            Target::StreamHead => {
                self.open_stream(conn, &STREAM_FIELDS, |_| {});
            }
            Target::Message(session) if self.has_live_stream(session) => {
                self.take_message(conn, session, head, body);
            }
            Target::Message(_) => {
                self.answer(conn, &OwnedResponse::text(400, "No transport found for sessionId"));
            }
            Target::McpPost => self.mcp_post(conn, head, body),
            Target::McpGet => self.mcp_get(conn, head),
            Target::McpDelete => self.mcp_delete(conn, head),
        }
    }

    /// The id of a new session: a v4 UUID (RFC 9562 §5.4).
    pub(crate) fn next_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes((self.new_id)().to_be_bytes()).into_uuid()
    }
}

/// What the body will take, as far as the head says it.
fn body_bytes(head: &Head<'_>) -> usize {
    match head.framing {
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Framing::None | Framing::Chunked => 0,
    }
}
