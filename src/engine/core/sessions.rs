//! Sessions, and requests that have none, from the first to the last.
//!
//! *Scope:* the end of sessions, and deadlines of those that have no stream to end with. *Not in scope:* which session gives
//! up its place for another one (`places`).
//!
//! ```text
//!  no place for another session ──▶ over, see `places`
//!  initialize ──▶ initialize_timeout ── initialized, or any request ──▶ session_idle_timeout ──▶ over
//!                      └──▶ over            anything from the client, an open call, an open stream: from the beginning
//! ```

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::observe::Event;
use crate::engine::state::ids::{IdOwner, read_id};
use crate::engine::state::sessions::{SessionEntry, Streamable};
use crate::service::keys::SessionKey;
use crate::service::session::Session;
use crate::slab::Key;

impl Core {
    /// Begins a session for the peer of that connection.
    pub(crate) fn begin_session(&mut self, conn: Key, is_streamable: bool) -> Key {
        let id = self.next_id();
        let peer = self.connections.get(conn).map(|conn| conn.peer.clone()).unwrap_or_default();
        let session = Session::new(id, peer.principal.clone());
        let now = self.now_nanos();
        let streamable = is_streamable.then(|| Box::new(Streamable::new(peer.clone(), now)));
        self.stats.sessions_opened += 1;
        self.sessions.begin(session, &peer, streamable, &self.common.limits)
    }

    /// Tells the service and the observer of a session that has begun.
    pub(crate) fn announce_session(&mut self, session: Key, conn: Key) {
        if let Some(entry) = self.sessions.get_mut(session) {
            self.service.opened(SessionKey(session), &mut entry.session);
        }
        if let (Some(observer), Some(conn)) = (&mut self.observer, self.connections.get(conn)) {
            observer(&Event::SessionOpened { peer: &conn.peer });
        }
    }

    /// Begins what is like a session of one request.
    pub(crate) fn begin_request(&mut self, session: Session) -> Key {
        let key = self.sessions.begin_request(session);
        if let Some(entry) = self.sessions.get_mut(key) {
            self.service.opened(SessionKey(key), &mut entry.session);
        }
        key
    }

    /// The session of that id, if it belongs to the request's principal: a stranger's looks like an unknown one.
    pub(crate) fn find_session(&self, conn: Key, id: &str) -> Option<(Key, &SessionEntry)> {
        let principal = self.connections.get(conn).and_then(|conn| conn.peer.principal.as_ref());
        let IdOwner::This(id) = read_id(id, &self.settings.node_id) else { return None };
        self.sessions.find(id).filter(|(_, entry)| entry.session.principal() == principal)
    }

    /// The session was heard of.
    pub(crate) fn touch(&mut self, session: Key) {
        let now = self.now_nanos();
        self.sessions.touch(session, now, &self.common.limits);
    }

    /// Ends sessions that nobody has used for too long. Open calls and an open stream are use.
    pub(crate) fn expire_sessions(&mut self) {
        let now = self.now_nanos();
        for key in self.sessions.take_due(now.duration()) {
            self.expire_logs(key);
            if self.sessions.is_expired(key, now, &self.common.limits) {
                self.end_streamable(key);
            }
        }
    }

    /// A session is over, and with it everything it held.
    pub(crate) fn end_session(&mut self, key: Key, peer: &Peer) {
        self.cancel_calls(key);
        let Some(entry) = self.sessions.end(key, peer, &self.common.limits) else { return };
        self.service.closed(SessionKey(key));
        // What was said to it finds nobody, but its calls' deadlines are to be forgotten.
        self.flush();
        if let Some(kind) = &entry.streamable {
            kind.over.iter().chain(&kind.lost).for_each(|stream| drop(self.streams.remove(*stream)));
        }
        if let Some(conn) = entry.stream.and_then(|stream| self.streams.remove(stream)?.conn) {
            self.connections.with(conn, |conn| conn.stream = None);
            self.finish(conn);
        }
        self.observe(&Event::SessionClosed { peer });
    }

    /// Ends a session of Streamable HTTP.
    pub(crate) fn end_streamable(&mut self, session: Key) {
        let kind = self.sessions.get(session).and_then(|entry| entry.streamable.as_ref());
        if let Some(peer) = kind.map(|kind| kind.peer.clone()) {
            self.end_session(session, &peer);
        }
    }

    /// A request without a session is over: it was answered, or its client is gone. Its stream was taken out before.
    pub(crate) fn end_request(&mut self, session: Key) {
        self.cancel_calls(session);
        if self.sessions.end_request(session) {
            self.service.closed(SessionKey(session));
            self.flush();
        }
    }
}
