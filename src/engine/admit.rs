//! What is decided before a request's body is read, and which transport serves it then.
//!
//! *Scope:* room for what a request would need; sessions by their id. *Not in scope:* paths and fields (`routes`).

use uuid::Uuid;

use super::ids::{Whose, owner_hint, read_id};
use super::negotiate::Version;
use super::routes::{self, Route};
use super::sse::STREAM_FIELDS;
use super::{Engine, Open};
use crate::Now;
use crate::http::conn::{Answer, Reply};
use crate::http::head::{Framing, Head};
use crate::jsonrpc::Error;
use crate::slab::Key;
use crate::sse;

impl Engine {
    /// Decides at the head whether there is room for what the request would need. Gives the session that a message is
    /// for.
    pub(super) fn admit(
        &mut self,
        conn: Key,
        head: &Head<'_>,
        route: Route<'_>,
    ) -> Result<Option<Key>, Answer> {
        let bytes = match route {
            Route::StreamHead | Route::McpGet | Route::McpDelete => 0,
            Route::Stream { .. } => 1,
            // One that will never be read makes nobody give way: it gets 413 next.
            Route::McpPost | Route::Message { .. } => Some(body_bytes(head))
                .filter(|bytes| *bytes <= self.shared.limits.body_bytes_max)
                .unwrap_or(0),
        };
        // How long a body in chunks gets shows later.
        let chunks = if head.framing == Framing::Chunked { self.shared.limits.turn_bytes_max } else { 0 };
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
            (Route::McpPost, Version::Modern(_)) => routes::as_error_of(Error::INTERNAL_ERROR, answer).into(),
            (Route::McpPost, _) => routes::as_error(answer),
            _ => answer,
        })
    }

    /// The session of HTTP+SSE that the request is for.
    fn stream_session_of(&self, conn: Key, route: Route<'_>) -> Result<Option<Key>, Answer> {
        match route {
            Route::Message { session } => self.find_stream_session(conn, session).map(Some),
            _ => Ok(None),
        }
    }

    /// What is said where there is no room, and counted.
    pub(super) fn busy(&mut self, reason: &str) -> Answer {
        self.busy_for(reason, 1)
    }

    /// The same where it makes sense to try again after that many seconds.
    pub(super) fn busy_for(&mut self, reason: &str, seconds: u128) -> Answer {
        self.stats.busy += 1;
        Answer::text(503, format!("busy: {reason}; try again")).header("Retry-After", seconds.to_string())
    }

    /// Sessions that are open.
    pub(super) fn sessions_open(&self) -> usize {
        self.sessions.len() - self.alone
    }

    fn no_room_for(&self, bytes: usize) -> Option<String> {
        let spent = self.firm_bytes();
        (spent.saturating_add(bytes) > self.shared.limits.buffered_bytes_max)
            .then(|| format!("{spent} bytes are buffered (limit buffered_bytes_max)"))
    }

    /// The session of that id, if it belongs to the request's principal: a stranger's looks like an unknown one.
    pub(super) fn find_session(&self, conn: Key, id: &str) -> Option<(Key, &Open)> {
        let principal = self.conns.get(conn).and_then(|conn| conn.peer.principal.as_ref());
        let Whose::Ours(id) = read_id(id, &self.settings.node_id) else { return None };
        let (key, open) = self.sessions.at(*self.by_id.get(&id)?)?;
        (open.session.id == id && open.session.principal() == principal).then_some((key, open))
    }

    /// The session of HTTP+SSE of that id. One whose stream has ended but is not yet taken out is none any more: a 202
    /// now would be a promise that nobody can keep.
    fn find_stream_session(&self, conn: Key, id: &str) -> Result<Key, Answer> {
        let lives = |open: &Open| {
            let stream = open.conn.filter(|_| open.life.is_none()).and_then(|conn| self.conns.get(conn));
            stream.is_some_and(|stream| !stream.closing && stream.http.is_stream())
        };
        let found = self.find_session(conn, id).filter(|(_, open)| lives(open));
        found.map(|(key, _)| key).ok_or_else(|| {
            let hint = owner_hint(id, &self.settings.node_id);
            Answer::text(400, format!("No transport found for sessionId{hint}"))
        })
    }

    pub(super) fn serve(&mut self, now: Now, conn: Key, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
        match routes::route(head, &self.settings) {
            Ok(Route::Stream { query }) => match self.make_place(conn) {
                Ok(()) => self.open_session(now, conn, query, reply),
                Err(answer) => reply.answer(&mut self.shared, &answer),
            },
            Ok(Route::StreamHead) => {
                reply.stream(&mut self.shared, sse::MEDIA_TYPE, &STREAM_FIELDS, |_| {});
            }
            Ok(Route::Message { session }) => match self.find_stream_session(conn, session) {
                Ok(session) => self.take_message(now, conn, session, head, body, reply),
                Err(answer) => reply.answer(&mut self.shared, &answer),
            },
            Ok(Route::McpPost) => self.mcp_post(now, conn, head, body, reply),
            Ok(Route::McpGet) => self.mcp_get(now, conn, head, reply),
            Ok(Route::McpDelete) => self.mcp_delete(conn, head, reply),
            Err(answer) => reply.answer(&mut self.shared, &answer),
        }
    }

    /// The id of a new session: a v4 UUID (RFC 9562 §5.4).
    pub(super) fn next_id(&mut self) -> Uuid {
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
