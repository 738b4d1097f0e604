//! Streams that outlive their connections (MCP 2025-11-25, transports, "Resumability and redelivery").
//!
//! *Scope:* clients that lost a stream of Streamable HTTP and come back for the rest. *Not in scope:* what is kept, and for how
//! long (`state::event_log`, `core::logs`); HTTP+SSE, whose sessions end with their stream.
//!
//! ```text
//!             ┌──── message ──▶ event with an id ──▶ connection, if there is one; and kept
//!  stream ────┤
//!             ├ connection lost, or Call::disconnect ──▶ left ── GET with Last-Event-ID ──▶ what was missed, and on
//!             └ all answered ──▶ over ── GET with Last-Event-ID ──▶ what was missed, and the end
//! ```
//!
//! What was missed is all that has to arrive, or the client gets 400; of notifications there may be gaps: only the latest
//! are kept.

use crate::engine::core::Core;
use crate::engine::core::logs::write_event;
use crate::engine::refusals::REFUSED;
use crate::engine::state::event_log::EventId;
use crate::engine::state::ids::{ID_BUFFER, id_text};
use crate::engine::state::streams::{STREAM_FIELDS, Source};
use crate::engine::transport::session::refusal;
use crate::http::head::{Head, Single};
use crate::http::response::{OwnedResponse, Response};
use crate::slab::Key;
use crate::sse;
use crate::text::shown;

/// Where a client wants to go on: the stream, and the last event that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResumePoint {
    stream: Key,
    last: EventId,
}

/// Where a GET wants to go on; `None` if it wants a stream from now on.
///
/// # Errors
/// A refusal if the client cannot be given everything that has to arrive.
pub(crate) fn resume_point(
    core: &Core,
    session: Key,
    head: &Head<'_>,
) -> Result<Option<ResumePoint>, OwnedResponse> {
    let text = match head.single("last-event-id") {
        Single::Absent => return Ok(None),
        Single::Several => {
            return Err(refusal(400, REFUSED, "Bad request: Last-Event-ID is sent more than once"));
        }
        Single::One(text) => text,
    };
    let found = EventId::read(text).and_then(|last| find(core, session, last));
    found.map(Some).ok_or_else(|| nothing_to_resume(text))
}

fn find(core: &Core, session: Key, last: EventId) -> Option<ResumePoint> {
    let stream = core.logged_streams(session).into_iter().find(|key| {
        let log = core.streams.get(*key).and_then(|stream| stream.log.as_ref());
        log.is_some_and(|log| log.number() == last.stream && log.can_resume(last.seq))
    })?;
    Some(ResumePoint { stream, last })
}

fn nothing_to_resume(last: &[u8]) -> OwnedResponse {
    let text = format!(
        "Bad request: nothing can be resumed from the Last-Event-ID `{}`: it is not of this session, or what came after \
         it is kept no longer; open a stream without Last-Event-ID, and ask again for what is missing",
        shown(last)
    );
    refusal(400, REFUSED, text)
}

/// Goes on with a stream. A connection that still seems to carry it is closed: its client says that it has lost it.
pub(crate) fn resume(core: &mut Core, conn: Key, session: Key, point: ResumePoint) {
    core.touch(session);
    let ResumePoint { stream: key, last } = point;
    let was_over = core.streams.get(key).is_some_and(|stream| stream.is_over());
    if let Some(old) = core.streams.get(key).and_then(|stream| stream.conn) {
        core.detach(key);
        core.connections.close(old);
    }
    // What the old connection had not said is kept now, too, and that may have cost room.
    if find(core, session, last) != Some(point) {
        return core.answer(conn, &nothing_to_resume(last.to_string().as_bytes()));
    }
    let mut missed = Vec::new();
    let Some(stream) = core.streams.get_mut(key) else { return };
    let (source, mut is_spent) = (stream.source, false);
    if let Some(log) = &mut stream.log {
        log.acknowledge(last.seq, |id, text| write_event(&mut missed, id, text));
        is_spent = log.is_empty();
    }
    if is_spent && (was_over || source == Source::Get) {
        core.drop_log(key);
    }
    let Some(id) = core.sessions.get(session).map(|entry| entry.session.id) else { return };
    let mut buffer = ID_BUFFER;
    let [cache, buffering] = STREAM_FIELDS;
    let id = id_text(&core.settings.node_id, id, &mut buffer);
    let fields = [cache, buffering, ("Mcp-Session-Id", id)];
    if was_over {
        let content_type = Some(sse::MEDIA_TYPE);
        let response = Response { status: 200, headers: &fields, content_type, body: &missed };
        return core.respond(conn, &response);
    }
    core.open_events(conn, Some(key), &fields, |out| out.extend_from_slice(&missed));
    core.attach(key, conn);
}
