//! What clients say, on its way to upstream: the service behind the engine.
//!
//! *Scope:* every method of [`Service`]. *Not in scope:* what comes back (`answers`), HTTP (`upstream`).

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};

use mcp_rill::json::{JsonRef, Object};
use mcp_rill::jsonrpc::{self, Error, Id, IdRef, Notification, Response};
use mcp_rill::service::{CallKey, Outbox, Service, ServiceRequest, Session, SessionKey};
use mcp_rill::{Handle, Now};

use super::upstream::{self, Heard, Post};

/// How many messages of upstream may wait for the engine's thread, and are taken in one turn.
const TURN: usize = 64;

/// An open call, and its id in its session.
pub struct Call {
    session: SessionKey,
    id: Id,
    /// It goes on until somebody ends it.
    listens: bool,
}

/// A question of upstream, and its id there.
pub struct Question {
    pub session: SessionKey,
    pub call: Option<CallKey>,
    pub id: Id,
}

pub struct Gateway {
    upstream: String,
    handle: Handle,
    heard: Receiver<(SessionKey, Heard)>,
    hears: SyncSender<(SessionKey, Heard)>,
    sessions: BTreeMap<SessionKey, Sender<Post>>,
    pub calls: BTreeMap<CallKey, Call>,
    /// Upstream's open questions, under the ids that clients see.
    pub questions: BTreeMap<i64, Question>,
    pub last_question: i64,
}

impl Service for Gateway {
    fn opened(&mut self, key: SessionKey, session: &mut Session) {
        let (heard, handle) = (self.hears.clone(), self.handle.clone());
        let posts = upstream::open(self.upstream.clone(), session.is_kept(), move |message| {
            let _ = heard.send((key, message)); // fails if the gateway is gone
            handle.wake();
        });
        self.sessions.insert(key, posts);
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        let ServiceRequest { call, id, session: key, method, params, head, .. } = *request;
        if method == "initialize"
            && let Err(error) = session.initialize(params)
        {
            return out.error(call, &error);
        } else if !matches!(method, "initialize" | "ping") {
            session.operate(head.header_str("mcp-protocol-version"));
        }
        let body = written(|out| jsonrpc::write_request(out, id, method, |out| out.extend(text(params))));
        let listens = method == "subscriptions/listen";
        self.calls.insert(call, Call { session: key, id: id.clone().into_owned(), listens });
        let post = Post { method: method.to_owned(), call: Some(call), fields: upstream::fields(head), body };
        if !self.post(key, post) {
            self.calls.remove(&call);
            out.busy(call, "the gateway has no thread for one more session");
        }
    }

    fn notification(
        &mut self,
        key: SessionKey,
        session: &mut Session,
        told: &Notification<'_>,
        _: &mut Outbox,
    ) {
        if told.method == "notifications/initialized" {
            session.operate(None);
        }
        self.tell(key, &told.method, text(told.params));
    }

    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, _: Now, _: &mut Outbox) -> bool {
        let Some(asked) = answer.id.as_ref().and_then(IdRef::as_int) else { return false };
        let question = self.questions.get(&asked).filter(|question| question.session == key);
        let Some(Question { id, .. }) = question else { return false };
        let body = written(|out| match answer.outcome {
            Ok(result) => jsonrpc::write_result(out, id, |out| out.extend(result.text().bytes())),
            Err(error) => jsonrpc::write_error_text(out, id, error.text().as_bytes()),
        });
        self.questions.remove(&asked);
        self.post(key, Post { body, ..Post::default() })
    }

    fn cancelled(&mut self, call: CallKey, _: &mut Outbox) {
        if let Some(Call { session, id, .. }) = self.calls.remove(&call) {
            let params = written(|out| {
                Object::new(out).field("requestId", |out| IdRef::from(&id).write(out));
            });
            self.tell(session, "notifications/cancelled", &params);
        }
    }

    fn unreached(&mut self, call: CallKey, _: Now, _: &mut Outbox) {
        let error = Error::internal("the gateway's client cannot be asked");
        while let Some((&asked, question)) = self.questions.iter().find(|(_, asked)| asked.call == Some(call))
        {
            let body = written(|out| jsonrpc::write_error(out, Some((&question.id).into()), &error));
            self.post(question.session, Post { body, ..Post::default() });
            self.questions.remove(&asked);
        }
    }

    fn closed(&mut self, key: SessionKey) {
        self.sessions.remove(&key); // this ends its thread, and its session upstream
        self.questions.retain(|_, question| question.session != key);
    }

    fn stopping(&mut self, _: Now, out: &mut Outbox) {
        // Listeners would never end, and no answer to a question comes any more.
        let asks = |call| self.questions.values().any(|question| question.call == Some(call));
        self.calls.retain(|call, open| {
            let stays = !(open.listens || asks(*call));
            if !stays {
                out.error(*call, &Error::internal("the gateway is shutting down"));
            }
            stays
        });
    }

    fn tick(&mut self, _: Now, out: &mut Outbox) {
        let heard: Vec<_> = self.heard.try_iter().take(TURN).collect();
        if heard.len() == TURN {
            self.handle.wake(); // for what is left: clients have a turn before it
        }
        heard.into_iter().for_each(|(session, heard)| self.pass_on(session, heard, out));
    }
}

impl Gateway {
    pub fn new(upstream: String, handle: Handle) -> Gateway {
        let (hears, heard) = sync_channel(TURN);
        let (sessions, calls, questions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Gateway { upstream, handle, heard, hears, sessions, calls, questions, last_question: 0 }
    }

    fn tell(&self, session: SessionKey, method: &str, params: &[u8]) {
        let body = written(|out| jsonrpc::write_notification(out, method, |out| out.extend(params)));
        self.post(session, Post { method: method.to_owned(), body, ..Post::default() });
    }

    /// Returns false if the session has no thread.
    fn post(&self, session: SessionKey, post: Post) -> bool {
        self.sessions.get(&session).is_some_and(|posts| posts.send(post).is_ok())
    }
}

pub fn text(params: Option<JsonRef<'_>>) -> &[u8] {
    params.map_or(b"", |params| params.text().as_bytes())
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut text = Vec::new();
    write(&mut text);
    text
}
