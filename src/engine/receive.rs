//! From the bytes of a connection to the transport that serves the request.
//!
//! *Scope:* the turn of a connection, and what is refused before a body is read: one that is too long (413), or for which there
//! is no memory (503). *Not in scope:* what each transport does with a message (`transport`), who may send it (`gate`), and bodies
//! in chunks, which turn out to be too long only while they are read (`http::body`).
//!
//! ```text
//!  bytes of a connection of lines ──▶ transport::lines
//!  bytes ──▶ step ─┬─ head ──▶ let_in ──▶ route, admit ──▶ read_body ─┬─ whole ──▶ serve
//!             ▲    │             └─ 401, 403   └─ 4xx, 503            └─ awaited: the target is kept ──┐
//!             │    ├─ request whose body came in pieces ◀────────────────────────────────────────────┘
//!             │    └─ refused, more
//!             └─ answered
//! ```

use crate::engine::Engine;
use crate::engine::core::Core;
use crate::engine::gate::RefusedHead;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::negotiate::McpMethod;
use crate::engine::refusals;
use crate::engine::state::connections::Target;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::transport::mcp;
use crate::engine::transport::routes::{self, Route};
use crate::engine::transport::{lines, sse};
use crate::http::conn::input::{Body, Input, Kept, Step, WholeRequest};
use crate::http::head::{Fields, Framing, Head};
use crate::http::response::OwnedResponse;
use crate::slab::Key;

impl Engine {
    /// One turn of a connection: finds the requests in what a read brought, or without bytes in what waits, and serves them.
    pub(crate) fn turn(&mut self, key: Key, bytes: &[u8]) {
        // What is asked on a connection that is about to be taken out would be done, and never answered.
        let Some(conn) = self.core.connections.get(key).filter(|conn| !conn.is_closing()) else { return };
        if conn.http.is_lines() {
            return lines::turn(&mut self.core, key, bytes);
        }
        let mut kept = Kept::default();
        let Core { connections, common, .. } = &mut self.core;
        // It is enqueued before its replies are: a 202 then leaves before the frame on the stream.
        let Some(mut input) = connections.with(key, |conn| conn.http.begin(bytes, &mut kept, common)) else {
            return;
        };
        loop {
            let mut fields = Fields::new();
            let Core { connections, common, .. } = &mut self.core;
            let Some(conn) = connections.get_mut(key) else { return };
            match conn.http.step(&mut input, &mut fields, common) {
                Step::Head(head) => self.take_head(key, &head, &mut input),
                Step::Request(request) => self.take_request(key, request),
                Step::Refused(refusal) => self.core.report_refusal(key, refusal.status, &refusal.reason),
                Step::More => break,
            }
        }
        let used = input.used();
        let core = &mut self.core;
        let Some(conn) = core.connections.get_mut(key) else { return };
        let refused = conn.http.end(used, bytes, kept, &mut core.common);
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        let is_ended = conn.http.has_ended_input();
        if let Some(refusal) = refused {
            core.report_refusal(key, refusal.status, &refusal.reason);
        }
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        if is_ended {
            mcp::end_of_input(core, key);
        }
        core.enforce_budget();
    }

    fn take_head(&mut self, key: Key, head: &Head<'_>, input: &mut Input<'_>) {
        #[cfg(feature = "browser")]
        if let Some(conn) = self.core.connections.get_mut(key) {
            let settings = &self.core.settings;
            conn.http.set_common_fields(crate::access::cors::common_fields(head, settings, &conn.peer));
        }
        let target = match self.let_in(key, head).and_then(|()| admit(&mut self.core, key, head)) {
            Ok(target) => target,
            Err(refused) => return self.refuse_head(key, head, input, &refused),
        };
        let core = &mut self.core;
        let Some(conn) = core.connections.get_mut(key) else { return };
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
            self.hand_over(key, *target, &head, body);
            #[cfg(feature = "auth")]
            self.keep_request(key, &head);
        }
        // Before it is answered: a budget that holds the body need not hold the answer as well.
        request.release(&mut self.core.common);
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        self.core.answer_handed_over(key);
    }

    /// A request that is whole within one read.
    fn take_whole(&mut self, key: Key, target: Target, head: &Head<'_>, body: &[u8]) {
        self.hand_over(key, target, head, body);
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        self.core.answer_handed_over(key);
        #[cfg(feature = "auth")]
        self.keep_request(key, head);
    }

    fn hand_over(&mut self, key: Key, target: Target, head: &Head<'_>, body: &[u8]) {
        let admitted = Ok(());
        #[cfg(feature = "auth")]
        let admitted = admitted.and_then(|()| self.ask_again(key, head));
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

/// Decides at the head what the request is for, and whether there is room for what it would need.
fn admit(core: &mut Core, conn: Key, head: &Head<'_>) -> Result<Target, RefusedHead> {
    let route = routes::route(head, &core.settings)?;
    // One that will never be read makes nobody give way: it gets 413 next.
    let body = Some(body_bytes(head)).filter(|bytes| *bytes <= core.limits().body_bytes_max).unwrap_or(0);
    let (bytes, has_body) = match route {
        Route::StreamHead => (0, false),
        Route::Stream => (1, false),
        Route::Message { .. } => (body, true),
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        Route::Mcp(method) => {
            if method == McpMethod::Post {
                (body, true)
            } else {
                (0, false)
            }
        }
    };
    // How long a body in chunks gets shows later.
    let chunks = if head.framing == Framing::Chunked { core.limits().turn_bytes_max } else { 0 };
    let mut target = target_of(core, conn, route)?;
    if core.make_room(bytes.max(chunks)) {
        // Its session may be the one that gave way.
        target = target_of(core, conn, route)?;
    }
    // Whether there is a place for a session is asked when it is opened.
    let Some(reason) = has_body.then(|| core.no_room_for(bytes)).flatten() else { return Ok(target) };
    let answer = core.busy(&reason);
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    if let Route::Mcp(_) = route {
        return Err(mcp::busy(head, answer).into());
    }
    Err(answer.into())
}

fn target_of(core: &Core, conn: Key, route: Route<'_>) -> Result<Target, OwnedResponse> {
    Ok(match route {
        Route::Stream => Target::Stream,
        Route::StreamHead => Target::StreamHead,
        Route::Message { session } => Target::Message(sse::find_session(core, conn, session)?),
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        Route::Mcp(method) => Target::Mcp(method),
    })
}

fn serve(core: &mut Core, conn: Key, target: Target, head: &Head<'_>, body: &[u8]) {
    match target {
        Target::Stream => sse::open(core, conn, head),
        Target::StreamHead => sse::head_only(core, conn),
        Target::Message(session) => sse::post(core, conn, session, head, body),
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        Target::Mcp(method) => mcp::serve(core, conn, method, head, body),
    }
}

/// What the body will take, as far as the head says it.
fn body_bytes(head: &Head<'_>) -> usize {
    match head.framing {
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Framing::None | Framing::Chunked => 0,
    }
}
