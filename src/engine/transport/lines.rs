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
//! counts them all. What is written stands in [`Engine::open_lines`](crate::engine::Engine::open_lines).

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::negotiate::unsupported;
use crate::engine::refusals::{REFUSED, Refused, as_error, as_error_of, id_of, rejection};
use crate::engine::state::event_log::MessageKind;
use crate::engine::state::streams::{Source, Stream};
use crate::engine::transport::batch::{read_messages, without_batches};
use crate::http::conn::Conn;
use crate::http::conn::input::Kept;
use crate::http::conn::lines::NoMemory;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Error, Message, Request};
use crate::lines::Line;
use crate::protocol::envelope::Envelope;
use crate::protocol::meta::names_revision;
use crate::protocol::revision::Revision;
use crate::service::keys::CallKey;
use crate::service::session::Session;
use crate::slab::Key;

/// What a connection of lines carries.
#[derive(Clone, Copy)]
struct Carried {
    conn: Key,
    session: Key,
    stream: Key,
}

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
    let session = core.begin_session(conn, false);
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
        core.finish(conn);
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
    let carried = Carried { conn, session, stream };
    let mut tape = std::mem::take(&mut core.tape);
    let served = match jsonrpc::is_batch(line) {
        true => read_batch(core, session, line, &mut tape).map(|batch| take_batch(core, carried, &batch)),
        false => match jsonrpc::parse(line, core.limits(), &mut tape) {
            Ok(message) => take_message(core, carried, &message, line.len()),
            Err(rejected) => Err(rejection(rejected)),
        },
    };
    core.tape = tape;
    if let Err(answer) = served {
        core.refuse_line(conn, &answer);
    }
}

fn take_message(
    core: &mut Core,
    carried: Carried,
    message: &Message<'_>,
    bytes: usize,
) -> Result<(), OwnedResponse> {
    let Carried { conn, session, stream } = carried;
    let Message::Request(request) = message else {
        core.stats.messages_received += 1;
        if !is_foreign(message) {
            core.hand_over(conn, session, &Head::NONE, message, None);
            core.flush();
        }
        return Ok(());
    };
    let stands_alone = request.params.is_some_and(names_revision);
    let refuse = |refused: Refused| refused.answer(id_of(message));
    if core.sessions.calls_of_id(session, &request.id).next().is_some() {
        let error = Error::invalid_request("a request with this id is in flight already");
        return Err(refuse(Refused::new(400, error)));
    }
    if let Some(reason) = no_room(core, bytes) {
        let code = if stands_alone { Error::INTERNAL_ERROR } else { REFUSED };
        return Err(refuse(as_error_of(code, core.busy(&reason))));
    }
    if stands_alone {
        return take_lone_request(core, carried, message, request).map_err(refuse);
    }
    core.stats.messages_received += 1;
    let Some(call) = core.begin_call(session, stream, &request.id, &request.method) else {
        let (error, id) = (core.busy_with_calls(), Some(request.id.clone()));
        core.send(stream, MessageKind::Response, |out| jsonrpc::write_error(out, id, &error));
        return Ok(());
    };
    core.hand_over(conn, session, &Head::NONE, message, Some(call));
    core.flush();
    Ok(())
}

/// True for a notification of a revision that has none from clients but the one that cancels a request.
fn is_foreign(message: &Message<'_>) -> bool {
    match message {
        Message::Notification(notification) => {
            notification.method != "notifications/cancelled"
                && notification.params.is_some_and(names_revision)
        }
        _ => false,
    }
}

/// Why there is no room for another request, if that is so.
fn no_room(core: &mut Core, bytes: usize) -> Option<String> {
    if core.stopping.is_some() {
        return Some("the server is shutting down".to_owned());
    }
    core.make_room(bytes);
    core.no_room_for(bytes)
}

/// A request that describes its client itself.
fn take_lone_request(
    core: &mut Core,
    Carried { conn, stream, .. }: Carried,
    message: &Message<'_>,
    request: &Request<'_>,
) -> Result<(), Refused> {
    let envelope = Envelope::read(request.params).map_err(|error| Refused::new(400, error))?;
    if envelope.version != Revision::V2026_07_28.name() {
        return Err(Refused::new(400, unsupported(&envelope.version)));
    }
    core.stats.messages_received += 1;
    let principal = core.connections.get(conn).and_then(|conn| conn.peer.principal.clone());
    let Envelope { client, log_level, .. } = envelope;
    core.report_sessionless(conn);
    let lone = core.begin_request(Session::of_request(principal, Revision::V2026_07_28, client, log_level));
    let Some(call) = core.begin_lone_call(lone, stream, request) else {
        core.end_request(lone);
        let max = core.limits().calls_max;
        let busy = core.busy(&format!("{max} requests of this connection are open (limit calls_max)"));
        return Err(as_error_of(Error::INTERNAL_ERROR, busy));
    };
    core.hand_over(conn, lone, &Head::NONE, message, Some(call));
    core.flush();
    Ok(())
}

/// A batch is taken as a whole or not at all.
fn read_batch<'a>(
    core: &mut Core,
    session: Key,
    line: &'a [u8],
    tape: &'a mut Tape,
) -> Result<Vec<Message<'a>>, OwnedResponse> {
    let items = jsonrpc::split_batch(line, core.limits(), tape).map_err(|error| Refused::new(400, error))?;
    if items.clone().any(|item| item.member("params").ok().flatten().is_some_and(names_revision)) {
        return Err(without_batches());
    }
    let revision = core.sessions.get(session).map(|entry| entry.session.revision());
    let messages = read_messages(core, revision, items, true)?;
    let in_flight = |message: &&Message<'_>| {
        id_of(message).is_some_and(|id| core.sessions.calls_of_id(session, &id).next().is_some())
    };
    if let Some(message) = messages.iter().find(in_flight) {
        let error = Error::invalid_request("a request with this id is in flight already");
        return Err(Refused::new(400, error).answer(id_of(message)));
    }
    if messages.iter().any(|message| id_of(message).is_some())
        && let Some(reason) = no_room(core, line.len())
    {
        return Err(as_error(core.busy(&reason)));
    }
    Ok(messages)
}

fn take_batch(core: &mut Core, Carried { conn, session, .. }: Carried, messages: &[Message<'_>]) {
    core.stats.messages_received += messages.len() as u64;
    let batch = core.streams.open(Stream::of_batch(session, conn, core.held.charge(0)));
    // All calls are open before the first one can be answered, or cancelled by a notification further on.
    let begin = |message: &Message<'_>| match message {
        Message::Request(request) => core.begin_call_of_answer(session, batch, request),
        _ => None,
    };
    let calls: Vec<Option<CallKey>> = messages.iter().map(begin).collect();
    for (message, call) in messages.iter().zip(calls) {
        core.hand_over(conn, session, &Head::NONE, message, call);
    }
    core.flush();
    // Where all were refused, or nothing wants an answer, nothing has completed it.
    core.complete(batch);
}

/// Refusals.
impl Core {
    /// Says why a line is not served, and reports it.
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

    /// Says that there is no memory for a line, which is skipped.
    pub(crate) fn refuse_line_for_memory(&mut self, key: Key) {
        let reason = format!("{} bytes are buffered (limit buffered_bytes_max)", self.firm_bytes());
        let busy = self.busy(&reason);
        self.refuse_line(key, &as_error(busy));
        // What was just given up must not be held for this.
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.shrink(common));
    }

    /// Refuses a connection of lines before its first message.
    pub(crate) fn refuse_lines(&mut self, key: Key, answer: &OwnedResponse) {
        self.refuse_line(key, answer);
        let Core { connections, common, .. } = self;
        connections.with(key, |conn| conn.http.give_up(common));
    }
}
