//! The Streamable HTTP transport with sessions: POST, GET and DELETE on one path (MCP 2025-03-26, 2025-06-18 and
//! 2025-11-25, basic/transports).
//!
//! *Scope:* sessions without a stream of their own, messages into them, and the answer to each POST, which is JSON for as
//! long as it can be and a stream as soon as it has to be. *Not in scope:* resuming streams (`resume`), requests that
//! stand alone (`stateless`).
//!
//! ```text
//!  POST ─┬ not acceptable, not JSON-RPC, no session ──▶ 4xx with a JSON-RPC error: nothing happens
//!        ├ notifications, answers ──▶ 202
//!        └ requests ──▶ Post ─┬─ all answered, and nothing else was said ──▶ JSON
//!                             └─ a message before that, or keep_alive ──▶ SSE ── all answered ──▶ end
//!  GET ──▶ what belongs to no request: list changes, updates, logs; the newest one carries it, and ends the one before
//!  the POST's client gone ──▶ its calls go on, their results are kept if it can come back
//!  DELETE, idle, its place wanted ──▶ session gone, calls cancelled
//! ```

use crate::engine::core::Engine;
use crate::engine::core::places::is_work;
use crate::engine::negotiate::{self, Accepted, Era, Version};
use crate::engine::observe::Event;
use crate::engine::refusals::{
    self, NO_SESSION, REFUSED, Refused, bad_request, id_of, no_question, refusal, rejection,
};
use crate::engine::state::ids::{ROOM, id_text, owner_hint};
use crate::engine::state::peers::Share;
use crate::engine::state::replay::EventId;
use crate::engine::state::sessions::{Life, Open};
use crate::engine::state::streams::{Post, Replay, Resumable, STREAM_FIELDS};
use crate::engine::transport::batch::Parcel;
use crate::http::head::{Head, Single};
use crate::http::response::{OwnedResponse, Response};
use crate::json::tape::Tape;
use crate::jsonrpc::{self, Error, Message};
use crate::service::keys::{CallKey, SessionKey};
use crate::service::session::{Session, read_initialize};
use crate::slab::Key;
use crate::timers::Nanos;

/// POST.
impl Engine {
    pub(crate) fn mcp_post(&mut self, conn: Key, head: &Head<'_>, body: &[u8]) {
        let mut tape = std::mem::take(&mut self.tape);
        self.read_post(conn, head, body, &mut tape);
        self.tape = tape;
    }

    fn read_post<'a>(&mut self, conn: Key, head: &Head<'_>, body: &'a [u8], tape: &'a mut Tape) {
        let read = match jsonrpc::is_batch(body) {
            true => self.read_batch(conn, head, body, tape),
            false => match self.read_single(head, body, tape) {
                Ok((message, Era::Alone)) => return self.post_alone(conn, head, &message),
                Ok((message, Era::Session)) => self.read_one(conn, head, message),
                Err(answer) => Err(answer),
            },
        };
        let opened = read.and_then(|parcel| match parcel.session {
            Some(session) => Ok((session, parcel)),
            None if self.settings.sessionless => Ok((self.stand_in(conn, head), parcel)),
            None => match self.begin_session(conn, &parcel) {
                Ok(session) => Ok((session, parcel)),
                Err(refused) => Err(refused.answer(parcel.messages.iter().find_map(id_of))),
            },
        });
        match opened {
            Ok((session, parcel)) => self.take_parcel(conn, session, head, &parcel),
            Err(answer) => self.answer(conn, &answer),
        }
    }

    fn read_single<'a>(
        &self,
        head: &Head<'_>,
        body: &'a [u8],
        tape: &'a mut Tape,
    ) -> Result<(Message<'a>, Era), OwnedResponse> {
        let message = jsonrpc::parse(body, &self.common.limits, tape).map_err(rejection)?;
        let era = negotiate::era(&message, head);
        match era {
            Ok(era) => Ok((message, era)),
            Err(refused) => Err(refused.answer(id_of(&message))),
        }
    }

    fn read_one<'a>(
        &self,
        conn: Key,
        head: &Head<'_>,
        message: Message<'a>,
    ) -> Result<Parcel<'a>, OwnedResponse> {
        let session = match &message {
            Message::Request(request) if request.method == "initialize" => {
                self.check_initialize(conn, head).map(|()| None)
            }
            Message::Response(_) if self.settings.sessionless => Err(no_question()),
            _ => self.session_for(conn, head, &Version::of(head)),
        };
        match session {
            Ok(session) => Ok(Parcel { session, messages: vec![message], batch: false }),
            Err(refused) => Err(refused.answer(id_of(&message))),
        }
    }

    fn check_initialize(&self, conn: Key, head: &Head<'_>) -> Result<(), Refused> {
        if head.header("mcp-session-id").is_none() {
            return Ok(());
        }
        self.session_of(conn, head, &Version::Absent)?;
        let text = "this session is initialized already; to open another one, leave out Mcp-Session-Id";
        Err(Refused::new(400, Error::invalid_request(text)))
    }

    /// The session that the header fields name; `None` where the server keeps none, and they name none.
    pub(crate) fn session_for(
        &self,
        conn: Key,
        head: &Head<'_>,
        version: &Version,
    ) -> Result<Option<Key>, Refused> {
        if !self.settings.sessionless || head.header("mcp-session-id").is_some() {
            return self.session_of(conn, head, version).map(Some);
        }
        version.fault(false).map_or(Ok(None), |fault| Err(bad_request(&fault)))
    }

    /// The session that the header fields name.
    fn session_of(&self, conn: Key, head: &Head<'_>, version: &Version) -> Result<Key, Refused> {
        let id = match head.single("mcp-session-id") {
            Single::One(id) => std::str::from_utf8(id).unwrap_or_default(),
            Single::Absent => {
                // Whoever speaks another revision may know no sessions, and has to learn of the revision first.
                let fault = version.fault(false);
                let text = fault
                    .as_deref()
                    .unwrap_or("the Mcp-Session-Id header is required; `initialize` gives it");
                return Err(bad_request(text));
            }
            Single::Several => return Err(bad_request("Mcp-Session-Id is sent more than once")),
        };
        let found = self.find_session(conn, id).filter(|(_, open)| open.life.is_some());
        let (key, open) = found.ok_or_else(|| {
            let hint = owner_hint(id, &self.settings.node_id);
            Refused::new(404, Error::new(NO_SESSION, format!("Session not found{hint}")))
        })?;
        let fault = match version {
            Version::Modern(name) => Some(format!(
                "MCP-Protocol-Version is `{name}`, which has no sessions, and this session speaks {0}; send {0}",
                open.session.revision().name()
            )),
            _ => version.fault(true),
        };
        match fault {
            Some(fault) => Err(bad_request(&fault)),
            None => Ok(key),
        }
    }

    /// Opens the session that `initialize` asks for. One whose parameters will be refused ends in the same turn, so no other
    /// session has to make place for it.
    fn begin_session(&mut self, conn: Key, parcel: &Parcel<'_>) -> Result<Key, Refused> {
        let stays = |message: &Message<'_>| match message {
            Message::Request(request) => read_initialize(request.params).is_ok(),
            _ => true,
        };
        if parcel.messages.iter().all(stays) {
            self.make_place(conn).map_err(|answer| refusals::as_error_of(REFUSED, answer))?;
        }
        let id = self.next_id();
        let peer = self.conns.get(conn).map(|conn| conn.peer.clone()).unwrap_or_default();
        self.peers.add(&peer, Share::Session, &self.common.limits);
        let session = Session::new(id, peer.principal.clone());
        let life = Box::new(Life {
            peer,
            used: Nanos::of(self.now),
            worked: false,
            rank: None,
            replay: Replay::new(self.replayed.charge(0)),
        });
        let key = self.sessions.insert(Open::new(session, None, Some(life)));
        self.by_id.insert(id, key.index());
        self.stats.sessions_opened += 1;
        if let Some(open) = self.sessions.get_mut(key) {
            self.service.opened(SessionKey(key), &mut open.session);
            if let (Some(observer), Some(life)) = (&mut self.observer, &open.life) {
                observer(&Event::SessionOpened { peer: &life.peer });
            }
        }
        Ok(key)
    }

    fn take_parcel(&mut self, conn: Key, session: Key, head: &Head<'_>, parcel: &Parcel<'_>) {
        self.stats.messages_received += parcel.messages.len() as u64;
        self.touch(session);
        let is_request = |message: &Message<'_>| matches!(message, Message::Request(_));
        if !parcel.messages.iter().any(is_request) {
            self.respond(conn, &Response::new(202));
            for message in &parcel.messages {
                self.hand_over(conn, session, head, message, None);
            }
            self.flush();
            if self.settings.sessionless {
                self.end_alone(session);
            }
            return;
        }
        let mut post = Post::new(
            session,
            parcel.batch,
            parcel.session.is_none(),
            Accepted::of(head),
            self.settings.sessionless,
            self.held.charge(0),
        );
        // All calls are open before the first one can be answered, or cancelled by a notification further on.
        let calls: Vec<Option<CallKey>> =
            parcel.messages.iter().map(|message| self.post_call(conn, &mut post, message)).collect();
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.last_output = Nanos::of(self.now);
            entry.post = Some(Box::new(post));
        }
        for (message, call) in parcel.messages.iter().zip(calls) {
            self.hand_over(conn, session, head, message, call);
        }
        self.handed_over(conn);
    }

    fn post_call(&mut self, conn: Key, post: &mut Post, message: &Message<'_>) -> Option<CallKey> {
        let Message::Request(request) = message else { return None };
        if let Some(life) = self.sessions.get_mut(post.session).and_then(|open| open.life.as_mut()) {
            life.worked = life.worked || is_work(&request.method);
        }
        let call = self.begin_call(post.session, Some(conn), &request.id, &request.method);
        match call {
            Some(_) => post.open += 1,
            None => {
                let (error, mut text) = (self.busy_with_calls(), Vec::new());
                jsonrpc::write_error(&mut text, Some(request.id.clone()), &error);
                post.add_reply(text);
            }
        }
        call
    }
}

/// GET, DELETE, and the end of sessions.
impl Engine {
    pub(crate) fn mcp_get(&mut self, conn: Key, head: &Head<'_>) {
        match self.check_get(conn, head) {
            Ok((session, Some(last))) => self.resume(conn, session, last),
            Ok((session, None)) => {
                let unsaid = self.take_get(session);
                let first = self.begin_get(session);
                let mut room = ROOM;
                let Some(open) = self.sessions.get_mut(session) else { return };
                let id = id_text(&self.settings.node_id, open.session.id, &mut room);
                open.conn = Some(conn);
                let [cache, buffering] = STREAM_FIELDS;
                let fields = [cache, buffering, ("Mcp-Session-Id", id)];
                self.open_stream(conn, &fields, |out| out.extend_from_slice(&first));
                if let Some(entry) = self.conns.get_mut(conn) {
                    entry.session = Some(session);
                    entry.last_output = Nanos::of(self.now);
                    entry.held = unsaid;
                }
                self.touch(session);
            }
            Err(answer) => self.answer(conn, &answer),
        }
    }

    /// The session whose stream is wanted, and where a client that has lost one wants to go on.
    fn check_get(
        &mut self,
        conn: Key,
        head: &Head<'_>,
    ) -> Result<(Key, Option<(EventId, Resumable)>), OwnedResponse> {
        let version = Version::of(head);
        if matches!(version, Version::Modern(_)) || head.header("mcp-session-id").is_none() {
            // Clients take exactly this for "there is no such stream", and go on without.
            let (text, allow) = match &version {
                Version::Modern(name) => {
                    (format!("MCP-Protocol-Version is `{name}`, which has no GET"), "POST")
                }
                _ => {
                    let missing = || "a stream belongs to a session; send its Mcp-Session-Id".to_owned();
                    (version.fault(false).unwrap_or_else(missing), "POST, DELETE")
                }
            };
            return Err(refusal(405, REFUSED, format!("Method not allowed: {text}")).header("Allow", allow));
        }
        let session = self.session_of(conn, head, &version)?;
        if !Accepted::of(head).events {
            return Err(refusal(406, REFUSED, "Not acceptable: a stream is text/event-stream; accept that"));
        }
        let last = self.last_event(session, head)?;
        let spent = self.firm_bytes();
        let reason = if self.stopping.is_some() {
            "the server is shutting down".to_owned()
        } else if spent >= self.common.limits.buffered_bytes_max {
            format!("{spent} bytes are buffered (limit buffered_bytes_max)")
        } else {
            return Ok((session, last));
        };
        Err(refusals::as_error(self.busy(&reason)))
    }

    pub(crate) fn mcp_delete(&mut self, conn: Key, head: &Head<'_>) {
        if let Version::Modern(name) = Version::of(head) {
            let text = format!("Method not allowed: {name} has no sessions to end");
            return self.answer(conn, &refusal(405, REFUSED, text).header("Allow", "POST"));
        }
        match self.session_of(conn, head, &Version::of(head)) {
            Ok(session) => {
                self.end_streamable(session);
                self.respond(conn, &Response::new(200));
            }
            Err(refused) => self.answer(conn, &refused.into()),
        }
    }
}
