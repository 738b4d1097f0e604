//! From the bytes of a connection to the transport that serves the request.
//!
//! *Scope:* the turn of a connection, and what is refused before a body is read: one that is too long (413), or for which there
//! is no memory (503). *Not in scope:* what each transport does with a message (`transport`), who may send it (`gate`), and bodies
//! in chunks, which turn out to be too long only while they are read (`http::body`).
//!
//! ```text
//!  bytes of a connection of lines ──▶ transport::lines
//!  bytes ──▶ step ─┬─ head ──▶ admit ──▶ choose_target ──▶ read_body ─┬─ whole ──▶ serve
//!             ▲    │             │ 401, 403    └─ 4xx, 503            └─ awaited: the target is kept ──┐
//!             │    │             └─ not decided yet: the head is put back                              │
//!             │    ├─ request whose body came in pieces ◀────────────────────────────────────────────┘
//!             │    └─ refused, more
//!             └─ answered
//! ```

use crate::access::route::RouteRequest;
use crate::access::settings::split;
use crate::engine::Engine;
use crate::engine::core::Core;
use crate::engine::gate::RefusedHead;
use crate::engine::observe::Event;
use crate::engine::refusals;
use crate::engine::state::connections::Target;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::transport::mcp;
use crate::engine::transport::routes;
use crate::engine::transport::{lines, sse};
use crate::http::conn::input::{Body, Input, Kept, Step, WholeRequest};
use crate::http::head::{Fields, Framing, Head};
#[cfg(feature = "browser")]
use crate::http::response::CommonFields;
use crate::http::response::OwnedResponse;
use crate::protocol::panics::contained;
use crate::slab::Key;

impl Engine {
    /// One turn of a connection: finds the requests in what a read brought, or without bytes in what waits, and serves them.
    pub(crate) fn turn(&mut self, key: Key, bytes: &[u8]) {
        // A request on a connection that is about to be removed would be executed and never answered.
        let Some(conn) = self.core.connections.get(key).filter(|conn| !conn.is_closing()) else { return };
        if conn.http.is_lines() {
            return lines::turn(&mut self.core, key, bytes);
        }
        let growth_bytes = conn.http.growth_bytes(bytes.len());
        if growth_bytes > 0 {
            self.core.make_room(key, growth_bytes);
        }
        let mut kept = Kept::default();
        let Core { connections, common, .. } = &mut self.core;
        // The connection is enqueued before the stream of its replies, so that a 202 leaves before the frame.
        let Some(mut input) = connections.with(key, |conn| conn.http.begin(bytes, &mut kept, common)) else {
            return;
        };
        loop {
            let mut fields = Fields::new();
            let Core { connections, common, .. } = &mut self.core;
            let Some(conn) = connections.get_mut(key) else { return };
            match conn.http.step(&mut input, &mut fields, common) {
                Step::Head(ref head) => self.take_head(key, head, &mut input),
                Step::Request(request) => self.take_request(key, request),
                Step::Refused(refusal) => self.core.report_refusal(key, refusal.status, &refusal.reason),
                Step::More => break,
            }
        }
        let used = input.used();
        let core = &mut self.core;
        let Some(conn) = core.connections.get_mut(key) else { return };
        let refused = conn.http.end(used, bytes, kept, &mut core.common);
        let is_ended = conn.http.has_ended_input();
        if let Some(refusal) = refused {
            core.report_refusal(key, refusal.status, &refusal.reason);
        }
        if is_ended {
            core.end_of_input(key);
        }
        core.keep_reserve(key);
        core.enforce_budget();
    }

    #[inline(always)]
    fn take_head(&mut self, key: Key, head: &Head<'_>, input: &mut Input<'_>) {
        let place = split(head.path, &self.core.settings);
        if let Some(conn) = self.core.connections.get_mut(key) {
            #[cfg(feature = "browser")]
            {
                let fields = crate::access::cors::common_fields(head, &self.core.settings, &conn.peer);
                let counted = |fields: CommonFields| Box::new(fields.counted(&self.core.held));
                conn.http.set_common_fields(fields.map(counted));
            }
            conn.mount = place.0.and_then(|mount| u8::try_from(mount + 1).ok()).unwrap_or(0);
        }
        let admitted = self.admit(key, head, place);
        if let Ok(false) = admitted
            && let Some(conn) = self.core.connections.get_mut(key)
        {
            return conn.http.hold_head(input);
        }
        let is_admitted = admitted.is_ok();
        #[cfg(feature = "auth")]
        let wants_principal = self.authenticates();
        #[cfg(not(feature = "auth"))]
        let wants_principal = false;
        let target = admitted.and_then(|_| match self.page(key, head, place.1) {
            Some(answer) => Err(answer.into()),
            None => choose_target(&mut self.core, key, head, place),
        });
        let core = &mut self.core;
        let Some(conn) = core.connections.get_mut(key) else { return };
        // What everybody may ask proves nothing.
        if is_admitted && (!wants_principal || conn.peer.principal.is_some()) {
            conn.note_admitted();
        }
        let target = match target {
            Ok(target) => target,
            Err(refused) => {
                let body = input.rest();
                self.refuse_head(key, head, input, &refused);
                let core = &mut self.core;
                if refused.answer.status == 503
                    && let Ok(Target::Message(session)) =
                        routes::route(head, place, &core.settings, &core.routes)
                {
                    sse::tell_busy(core, key, session, head, body, &refused.answer);
                }
                return;
            }
        };
        match conn.http.read_body(head, input, &mut core.common) {
            Body::Whole(body) => self.take_whole(key, target, head, body),
            Body::Awaited => conn.awaited = Some(Box::new(target)),
            Body::TooLong(length) => {
                let answer = OwnedResponse::too_long(length, core.limits());
                let answer = refusals::in_body_format(answer, head, &core.settings);
                self.refuse_head(key, head, input, &answer.into());
            }
            Body::Refused(refusal) => core.report_refusal(key, refusal.status, &refusal.reason),
        }
    }

    fn refuse_head(&mut self, key: Key, head: &Head<'_>, input: &mut Input<'_>, refused: &RefusedHead) {
        let RefusedHead { answer, unread } = refused;
        let core = &mut self.core;
        if let Some(conn) = core.connections.get_mut(key) {
            conn.http.refuse_head(head, input, answer, *unread, &mut core.common);
        }
        core.report_answer(key, answer);
    }

    /// A request whose body came in pieces.
    fn take_request(&mut self, key: Key, request: WholeRequest) {
        let target = self.core.connections.get_mut(key).and_then(|conn| conn.awaited.take());
        let mut fields = Fields::new();
        if let Some(target) = target
            && let Ok((head, body)) = request.read(&mut fields, self.core.limits())
        {
            self.serve_request(key, *target, &head, body);
            #[cfg(feature = "auth")]
            self.keep_request(key, &head);
        }
        // Released before the answer is written, so that the budget need not hold both.
        request.release(&mut self.core.common);
        self.core.answer_handed_over(key);
    }

    /// A request that is whole within one read.
    fn take_whole(&mut self, key: Key, target: Target<Key>, head: &Head<'_>, body: &[u8]) {
        self.serve_request(key, target, head, body);
        self.core.answer_handed_over(key);
        #[cfg(feature = "auth")]
        self.keep_request(key, head);
    }

    fn serve_request(&mut self, key: Key, target: Target<Key>, head: &Head<'_>, body: &[u8]) {
        let admitted = Ok(());
        #[cfg(feature = "auth")]
        let admitted = match target {
            Target::Route(at) if self.core.routes.is_public_at(at) => admitted,
            _ => admitted.and_then(|()| self.ask_again(key, head)),
        };
        match admitted {
            Ok(()) => serve(&mut self.core, key, target, head, body),
            Err(answer) => self.core.answer(key, &answer),
        }
        let core = &mut self.core;
        if let Some(conn) = core.connections.get_mut(key).filter(|conn| conn.stream.is_none()) {
            conn.http.fail_unanswered(head, &mut core.common);
        }
    }
}

/// Decides from the head what the request is for, and whether there is memory for its body.
fn choose_target(
    core: &mut Core,
    conn: Key,
    head: &Head<'_>,
    place: (Option<usize>, &str),
) -> Result<Target<Key>, RefusedHead> {
    let route = routes::route(head, place, &core.settings, &core.routes)?;
    // No room is made for a body over the limit: it is never read, and gets 413.
    let body = Some(body_bytes(head)).filter(|bytes| *bytes <= core.limits().body_bytes_max).unwrap_or(0);
    let bytes = match route {
        Target::Stream => 1,
        route if route.has_body() => body,
        _ => 0,
    };
    // The length of a chunked body is not known yet.
    let chunks = if head.framing == Framing::Chunked { core.limits().turn_bytes_max } else { 0 };
    let mut target = target_of(core, conn, head, route)?;
    if !core.has_room_for(bytes.max(chunks)) {
        core.make_room(conn, bytes.max(chunks));
        // The session that was ended to make room may be that of this request.
        target = target_of(core, conn, head, route)?;
    }
    // Whether there is room for one more session is checked when it is opened.
    let Some(reason) = target.has_body().then(|| core.no_room_for(bytes)).flatten() else {
        return Ok(target);
    };
    let answer = core.busy(&reason);
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    if let Target::Mcp(_) = route {
        return Err(mcp::busy(head, answer).into());
    }
    Err(answer.into())
}

#[inline(always)]
fn target_of(
    core: &Core,
    conn: Key,
    head: &Head<'_>,
    route: Target<&str>,
) -> Result<Target<Key>, OwnedResponse> {
    Ok(match route {
        Target::Stream => Target::Stream,
        Target::StreamHead => Target::StreamHead,
        Target::Message(session) => Target::Message(sse::live_session(core, conn, head, session)?),
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        Target::Mcp(method) => Target::Mcp(method),
        Target::Route(at) => Target::Route(at),
    })
}

fn serve(core: &mut Core, conn: Key, target: Target<Key>, head: &Head<'_>, body: &[u8]) {
    match target {
        Target::Stream => sse::open(core, conn, head),
        Target::StreamHead => sse::head_only(core, conn),
        Target::Message(session) => sse::post(core, conn, session, head, body),
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        Target::Mcp(method) => mcp::serve(core, conn, method, head, body),
        Target::Route(at) => serve_route(core, conn, at, head, body),
    }
}

/// Calls the handler of a route. Of what cannot be sent the author hears by an event, and the client gets 500.
fn serve_route(core: &mut Core, conn: Key, at: usize, head: &Head<'_>, body: &[u8]) {
    let message_bytes_max = core.limits().message_bytes_max;
    let Core { routes, connections, .. } = core;
    let (Some(route), Some(connection)) = (routes.get_mut(at), connections.get(conn)) else { return };
    let request = RouteRequest::new(head, &connection.peer, body);
    let answer = match contained(|| (route.handler)(&request)) {
        Some(response) => response.checked(message_bytes_max),
        None => Err("its handler panicked".to_owned()),
    };
    let answer = answer.map_err(|problem| format!("the route {route}: {problem}"));
    let answer = answer.unwrap_or_else(|problem| {
        core.observe(&Event::HandlerFault { problem: &problem });
        OwnedResponse::text(500, "the route failed")
    });
    core.answer(conn, &answer);
}

/// Returns the length of the body, as far as the head says it.
fn body_bytes(head: &Head<'_>) -> usize {
    match head.framing {
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Framing::None | Framing::Chunked => 0,
    }
}
