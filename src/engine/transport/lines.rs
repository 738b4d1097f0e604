//! Lines: one JSON-RPC message each, both ways on one connection (MCP 2025-11-25 and 2026-07-28, transports, "stdio").
//!
//! *Scope:* the session of such a connection, and the requests without one that share it: messages in, responses and everything
//! else out. *Not in scope:* where a line ends (`lines`, `http::conn::lines`), descriptors and processes (`net`), what messages
//! mean.
//!
//! ```text
//!  open ──▶ session ──▶ lines … ──▶ end of input ──▶ open calls are answered ──▶ closed: session gone
//!             │                                       └─ shutdown_grace ──▶ closed, and they are cancelled
//!             └─ no place ──▶ an error, closed
//!
//!  line ─┬ blank ──▶ nothing
//!        ├ too long, no memory ──▶ an error with id null, and the rest of the line is skipped
//!        ├ not JSON, not JSON-RPC ──▶ an error with the id, or with null
//!        ├ array ──▶ session of 2025-03-26? ──▶ the responses, as one line
//!        ├ request with a revision in its _meta ──▶ served without a session (2026-07-28), ends with its response
//!        └ anything else ──▶ the session
//! ```
//!
//! All calls of a connection, with a session or without, are those of its session: an id names one of them, and `calls_max`
//! counts them all. See [`Engine::open_lines`](crate::engine::Engine::open_lines) for the driver's side.

#[cfg(feature = "streamable")]
mod batch;
#[cfg(feature = "stateless")]
mod lone;

use crate::access::peer::Peer;
use crate::engine::budget::MEMORY_FULL;
use crate::engine::core::Core;
use crate::engine::refusals::{REFUSED, Refused, as_error, as_error_of, id_of, rejection};
use crate::engine::state::streams::{Source, Stream};
use crate::http::conn::Conn;
use crate::http::conn::close::CloseReason;
use crate::http::conn::input::Kept;
use crate::http::conn::lines::NoMemory;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Error, Message};
use crate::lines::Line;
#[cfg(feature = "stateless")]
use crate::protocol::meta_names::names_revision;
use crate::slab::Key;

/// Opens a connection of lines, with its session.
pub(crate) fn open(core: &mut Core, peer: Peer) -> Key {
    let conn = core.open_connection(Conn::of_lines(core.now()), peer);
    if !core.connections.get(conn).is_some_and(|conn| conn.http.is_lines() && !conn.is_closing()) {
        return conn;
    }
    if let Err(answer) = core.make_place(conn) {
        core.refuse_lines(conn, &as_error(answer));
        return conn;
    }
    let session = core.begin_session(conn);
    let stream = core.streams.open(Stream::of_events(session, conn, Source::Lines));
    core.attach(stream, conn);
    core.connections.with(conn, |conn| conn.stream = Some(stream));
    core.announce_session(session, conn);
    conn
}

/// One turn: serves the lines in what a read brought, or without bytes those that wait.
pub(crate) fn turn(core: &mut Core, conn: Key, bytes: &[u8]) {
    let mut kept = Kept::default();
    let Core { connections, common, .. } = core;
    let begun = connections.with(conn, |conn| conn.http.begin_lines(bytes, &mut kept, common));
    let mut rest = match begun {
        Some(Ok(rest)) => rest,
        Some(Err(NoMemory)) => {
            core.refuse_line_for_memory(conn);
            bytes
        }
        None => return,
    };
    while let Some(line) = next_line(core, conn, &mut rest) {
        match line {
            Line::Whole(line) => serve(core, conn, line),
            Line::TooLong => {
                let max = core.limits().body_bytes_max;
                let text = format_args!("the line has more bytes than body_bytes_max ({max}); it is skipped");
                core.refuse_line(conn, &Refused::new(413, Error::parse_error(text)).into());
            }
        }
    }
    let left = rest.len();
    let Core { connections, common, .. } = core;
    let Some(entry) = connections.get_mut(conn) else { return };
    let ended = entry.http.end_lines(left, bytes, kept, common);
    if ended == Err(NoMemory) {
        core.refuse_line_for_memory(conn);
    }
    if core.connections.get(conn).is_some_and(|conn| conn.http.is_lines() && conn.http.is_read_to_end()) {
        core.finish(conn, CloseReason::EndOfInput);
    }
    core.enforce_budget();
}

fn next_line<'b>(core: &mut Core, conn: Key, rest: &mut &'b [u8]) -> Option<Line<'b>> {
    let Core { connections, common, .. } = core;
    let entry = connections.get_mut(conn).filter(|conn| !conn.is_closing())?;
    entry.http.next_line(rest, common)
}

fn serve(core: &mut Core, conn: Key, line: &[u8]) {
    let Some(stream) = core.connections.get(conn).and_then(|conn| conn.stream) else { return };
    let Some(session) = core.streams.get(stream).map(|stream| stream.session) else { return };
    let mut tape = std::mem::take(&mut core.tape);
    let served = read_line(core, conn, session, line, &mut tape);
    core.tape = tape.emptied();
    if let Err(answer) = served {
        core.refuse_line(conn, &answer);
    }
}

fn read_line(
    core: &mut Core,
    conn: Key,
    session: Key,
    line: &[u8],
    tape: &mut Tape,
) -> Result<(), OwnedResponse> {
    #[cfg(feature = "streamable")]
    if jsonrpc::is_batch(line) {
        let batch = batch::read_batch(core, (conn, session), line, tape)?;
        batch::take_batch(core, conn, session, &batch);
        return Ok(());
    }
    let message = jsonrpc::parse(line, core.limits(), tape).map_err(rejection)?;
    take_message(core, (conn, session), &message, line.len())
}

fn take_message(
    core: &mut Core,
    (conn, session): (Key, Key),
    message: &Message<'_>,
    bytes: usize,
) -> Result<(), OwnedResponse> {
    let Message::Request(request) = message else {
        #[cfg(feature = "stateless")]
        if lone::is_foreign(message) {
            core.stats.messages_received += 1;
            return Ok(());
        }
        core.accept_message(conn, session, &Head::NONE, message);
        return Ok(());
    };
    #[cfg(feature = "stateless")]
    let stands_alone = request.params.is_some_and(names_revision);
    #[cfg(not(feature = "stateless"))]
    let stands_alone = false;
    let refuse = |refused: Refused| refused.answer(id_of(message));
    if let Some(refused) = core.in_flight(session, &request.id) {
        return Err(refuse(refused));
    }
    if let Some(reason) = core.no_room_to_begin(conn, bytes) {
        let code = if stands_alone { Error::INTERNAL_ERROR } else { REFUSED };
        return Err(refuse(as_error_of(code, core.busy(&reason))));
    }
    #[cfg(feature = "stateless")]
    if stands_alone {
        return lone::take_lone_request(core, (conn, session), message, request).map_err(refuse);
    }
    core.accept_message(conn, session, &Head::NONE, message);
    Ok(())
}

/// Refusals.
impl Core {
    /// Answers a line that is not served with an error, and reports it.
    pub(crate) fn refuse_line(&mut self, key: Key, answer: &OwnedResponse) {
        self.report_answer(key, answer);
        self.stats.messages_queued += 1;
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| {
            conn.http.push(common, |out| {
                out.extend_from_slice(&answer.body);
                out.push(b'\n');
            })
        });
    }

    /// Answers a line for which there is no memory with an error. The line is skipped.
    pub(crate) fn refuse_line_for_memory(&mut self, key: Key) {
        let busy = self.busy(MEMORY_FULL);
        self.refuse_line(key, &as_error(busy));
        // The memory of the line must not be kept for its error.
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.shrink(common));
    }

    /// Refuses a connection of lines before its first message.
    pub(crate) fn refuse_lines(&mut self, key: Key, answer: &OwnedResponse) {
        self.refuse_line(key, answer);
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.give_up(CloseReason::Refused, common));
    }
}
