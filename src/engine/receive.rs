//! From the bytes of a connection to the transport that serves the request.
//!
//! *Scope:* the engine as one connection's HTTP side sees it ([`Handler`]), what is admitted before
//! a body is read, and handing messages to the service. *Not in scope:* what each transport does with a message
//! (`transport`), and who may send it (`gate`).

use uuid::Uuid;

use crate::access::cors;
use crate::engine::core::Engine;
use crate::engine::negotiate::Version;
use crate::engine::refusals;
use crate::engine::state::ids::{Whose, owner_hint, read_id};
use crate::engine::state::sessions::Open;
use crate::engine::state::streams::STREAM_FIELDS;
use crate::engine::transport::routes::{self, Route};
use crate::http::conn::{Conn, Handler, Reply, Verdict};
use crate::http::head::{Framing, Head};
use crate::http::response::{Common, CommonFields, OwnedResponse};
use crate::jsonrpc::Error;
use crate::slab::Key;
use crate::sse;
use crate::timers::Now;

/// One connection's turn: the engine as the HTTP side sees it.
pub(crate) struct Turn<'e> {
    pub(crate) engine: &'e mut Engine,
    pub(crate) key: Key,
    pub(crate) now: Now,
    /// Whose message the last head announced: most bodies follow in the same turn, and need not be routed again.
    pub(crate) session: Option<Key>,
}

impl Handler for Turn<'_> {
    fn common(&mut self) -> &mut Common {
        &mut self.engine.common
    }

    fn common_fields(&mut self, head: &Head<'_>) -> Option<Box<CommonFields>> {
        let peer = &self.engine.conns.get(self.key)?.peer;
        cors::common_fields(head, &self.engine.settings, peer)
    }

    fn head(&mut self, head: &Head<'_>) -> Verdict {
        let engine = &mut *self.engine;
        if let Err(verdict) = engine.let_in(self.key, head) {
            return verdict;
        }
        let admitted =
            routes::route(head, &engine.settings).and_then(|route| engine.admit(self.key, head, route));
        match admitted {
            Ok(session) => {
                self.session = session;
                Verdict::Read
            }
            Err(answer) => Verdict::Refuse(Box::new(answer)),
        }
    }

    fn too_long(&mut self, head: &Head<'_>, length: u64) -> OwnedResponse {
        refusals::in_kind(
            OwnedResponse::too_long(length, &self.engine.common.limits),
            head,
            &self.engine.settings,
        )
    }

    fn request(&mut self, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
        if let Err(answer) = self.engine.ask_again(self.key, head) {
            return reply.answer(&mut self.engine.common, &answer);
        }
        match self.session.take() {
            Some(session) => self.engine.take_message(self.now, self.key, session, head, body, reply),
            None => self.engine.serve(self.now, self.key, head, body, reply),
        }
        self.engine.keep_request(self.key, head);
    }
}

impl Engine {
    /// Decides at the head whether there is room for what the request would need. Gives the session that a message is
    /// for.
    pub(crate) fn admit(
        &mut self,
        conn: Key,
        head: &Head<'_>,
        route: Route<'_>,
    ) -> Result<Option<Key>, OwnedResponse> {
        let bytes = match route {
            Route::StreamHead | Route::McpGet | Route::McpDelete => 0,
            Route::Stream { .. } => 1,
            // One that will never be read makes nobody give way: it gets 413 next.
            Route::McpPost | Route::Message { .. } => Some(body_bytes(head))
                .filter(|bytes| *bytes <= self.common.limits.body_bytes_max)
                .unwrap_or(0),
        };
        // How long a body in chunks gets shows later.
        let chunks = if head.framing == Framing::Chunked { self.common.limits.turn_bytes_max } else { 0 };
        let mut session = self.stream_session_of(conn, route)?;
        if self.make_room(bytes.max(chunks)) {
            // It may be the one that gave way.
            session = self.stream_session_of(conn, route)?;
        }
        let refusal = match route {
            // Whether there is a place for a session is asked when it is opened.
            Route::Stream { .. } | Route::StreamHead | Route::McpGet | Route::McpDelete => None,
            Route::McpPost | Route::Message { .. } => self.no_room_for(bytes),
        };
        let Some(reason) = refusal else { return Ok(session) };
        let answer = self.busy(&reason);
        Err(match (route, Version::of(head)) {
            // The body is not read, so the field alone has to say of which revision this is.
            (Route::McpPost, Version::Modern(_)) => {
                refusals::as_error_of(Error::INTERNAL_ERROR, answer).into()
            }
            (Route::McpPost, _) => refusals::as_error(answer),
            _ => answer,
        })
    }

    /// The session of HTTP+SSE that the request is for.
    fn stream_session_of(&self, conn: Key, route: Route<'_>) -> Result<Option<Key>, OwnedResponse> {
        match route {
            Route::Message { session } => self.find_stream_session(conn, session).map(Some),
            _ => Ok(None),
        }
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

    /// The session of HTTP+SSE of that id. One whose stream has ended but is not yet taken out is none any more: a 202
    /// now would be a promise that nobody can keep.
    fn find_stream_session(&self, conn: Key, id: &str) -> Result<Key, OwnedResponse> {
        let lives = |open: &Open| {
            let stream = open.conn.filter(|_| open.life.is_none()).and_then(|conn| self.conns.get(conn));
            stream.is_some_and(|stream| !stream.closing && stream.http.is_stream())
        };
        let found = self.find_session(conn, id).filter(|(_, open)| lives(open));
        found.map(|(key, _)| key).ok_or_else(|| {
            let hint = owner_hint(id, &self.settings.node_id);
            OwnedResponse::text(400, format!("No transport found for sessionId{hint}"))
        })
    }

    pub(crate) fn serve(&mut self, now: Now, conn: Key, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
        match routes::route(head, &self.settings) {
            Ok(Route::Stream { query }) => match self.make_place(conn) {
                Ok(()) => self.open_session(now, conn, query, reply),
                Err(answer) => reply.answer(&mut self.common, &answer),
            },
            Ok(Route::StreamHead) => {
                reply.stream(&mut self.common, sse::MEDIA_TYPE, &STREAM_FIELDS, |_| {});
            }
            Ok(Route::Message { session }) => match self.find_stream_session(conn, session) {
                Ok(session) => self.take_message(now, conn, session, head, body, reply),
                Err(answer) => reply.answer(&mut self.common, &answer),
            },
            Ok(Route::McpPost) => self.mcp_post(now, conn, head, body, reply),
            Ok(Route::McpGet) => self.mcp_get(now, conn, head, reply),
            Ok(Route::McpDelete) => self.mcp_delete(conn, head, reply),
            Err(answer) => reply.answer(&mut self.common, &answer),
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

impl Engine {
    /// Runs `act` on a connection's HTTP side with the rest of the engine at hand.
    pub(crate) fn with_http(&mut self, now: Now, key: Key, act: impl FnOnce(&mut Conn, &mut Turn<'_>)) {
        self.set_now(now);
        if self.conns.get(key).is_none_or(|conn| conn.closing) {
            return;
        }
        // Before its replies are: a 202 then leaves before the frame on the stream.
        self.enqueue(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        let mut http = std::mem::replace(&mut conn.http, Conn::new(now));
        act(&mut http, &mut Turn { engine: self, key, now, session: None });
        if let Some(conn) = self.conns.get_mut(key) {
            conn.http = http;
        }
        if self.deferring.take().is_some() {
            // What its handler announces on other streams leaves before its answer.
            self.dequeue(key);
            self.flush(now);
            self.complete_post(now, key);
            self.enqueue(key);
        }
        if self.conns.get(key).is_some_and(|conn| conn.http.has_ended_input()) {
            self.cancel_alone(key);
        }
        self.report_refusals(key);
        self.relieve();
    }
}
