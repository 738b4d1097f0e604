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
//! What was missed is handed over part by part, as the output of the connection drains; what is sent meanwhile comes after it.
//! It is all that has to arrive, or the client gets 400; of notifications there may be gaps: only the latest
//! are kept.

use crate::engine::core::Core;
use crate::engine::core::logs::write_event;
use crate::engine::refusals::REFUSED;
use crate::engine::state::event_log::EventId;
use crate::engine::state::streams::{Source, with_stream_fields};
use crate::engine::transport::session::refusal;
use crate::http::conn::close::CloseReason;
use crate::http::head::{Head, Single};
use crate::http::response::{OwnedResponse, Response};
use crate::slab::Key;
use crate::sse;
use crate::text::shown;

/// Where a client wants to resume: the stream, and the last event that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResumePoint {
    stream: Key,
    last: EventId,
}

/// Returns where a GET wants to resume; `None` if it wants a new stream.
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

/// Resumes a stream. A connection that still seems to carry it is closed, since its client has lost it.
pub(crate) fn resume(core: &mut Core, conn: Key, session: Key, point: ResumePoint) {
    core.touch(session);
    let ResumePoint { stream: key, last } = point;
    if let Some(old) = core.streams.get(key).and_then(|stream| stream.conn) {
        core.detach(key);
        core.connections.close(old, CloseReason::Superseded);
    }
    let was_over = core.streams.get(key).is_some_and(|stream| stream.is_over());
    // Notifications that were held back on the old connection are in the log now, and may have displaced others.
    if find(core, session, last) != Some(point) {
        return core.answer(conn, &nothing_to_resume(last.to_string().as_bytes()));
    }
    let (mut missed, now, part_bytes) = (Vec::new(), core.now_nanos(), core.limits().turn_bytes_max);
    let Some(stream) = core.streams.get_mut(key) else { return };
    let (source, mut is_spent) = (stream.source, false);
    if let Some(log) = &mut stream.log {
        log.acknowledge(last.seq);
        log.give_unsent(now, |id, text| {
            let has_room = missed.len() < part_bytes;
            if has_room {
                write_event(&mut missed, id, text);
            }
            has_room
        });
        is_spent = log.is_empty();
    }
    let is_behind = stream.is_behind();
    if is_spent && (was_over || source == Source::Get) {
        core.drop_log(key);
    }
    if was_over {
        let Core { connections, common, sessions, settings, .. } = core;
        let id = sessions.get(session).map(|entry| entry.session.id);
        with_stream_fields(id, settings, |headers| {
            connections.with(conn, |conn| match is_behind {
                false => {
                    let content_type = Some(sse::MEDIA_TYPE);
                    let response = Response { status: 200, headers, content_type, body: &missed };
                    conn.http.respond(&response, common);
                }
                true => {
                    conn.stream = Some(key);
                    conn.http.begin_chunks(sse::MEDIA_TYPE, headers, common);
                    conn.http.push(common, |out| out.extend_from_slice(&missed));
                }
            });
        });
    } else {
        core.open_events(conn, Some(key), |out| out.extend_from_slice(&missed));
    }
    if is_behind || !was_over {
        core.attach(key, conn);
    }
}
