//! The engine as one connection's HTTP side sees it.
//!
//! *Scope:* what [`Conn`](crate::http::conn::Conn) asks of its [`Handler`]. *Not in scope:* what the requests do.

use super::{Engine, cors, routes};
use crate::Now;
use crate::http::conn::{Answer, Handler, Reply, Verdict};
use crate::http::head::Head;
use crate::http::response::{Extra, Shared};
use crate::slab::Key;

/// One connection's turn: the engine as the HTTP side sees it.
pub(super) struct Turn<'e> {
    pub(super) engine: &'e mut Engine,
    pub(super) key: Key,
    pub(super) now: Now,
    /// Whose message the last head announced: most bodies follow in the same turn, and need not be routed again.
    pub(super) session: Option<Key>,
}

impl Handler for Turn<'_> {
    fn shared(&mut self) -> &mut Shared {
        &mut self.engine.shared
    }

    fn extra(&mut self, head: &Head<'_>) -> Option<Box<Extra>> {
        let peer = &self.engine.conns.get(self.key)?.peer;
        cors::extra(head, &self.engine.settings, peer)
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

    fn too_long(&mut self, head: &Head<'_>, length: u64) -> Answer {
        routes::in_kind(Answer::too_long(length, &self.engine.shared.limits), head, &self.engine.settings)
    }

    fn request(&mut self, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>) {
        if let Err(answer) = self.engine.ask_again(self.key, head) {
            return reply.answer(&mut self.engine.shared, &answer);
        }
        match self.session.take() {
            Some(session) => self.engine.take_message(self.now, self.key, session, head, body, reply),
            None => self.engine.serve(self.now, self.key, head, body, reply),
        }
        self.engine.keep_request(self.key, head);
    }
}
