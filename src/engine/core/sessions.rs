//! Sessions from the first to the last.
//!
//! *Scope:* their beginning and end. *Not in scope:* deadlines of those that have no stream to end with (`streamable`), which
//! session gives up its place for another one (`places`).

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::observe::Event;
use crate::engine::state::ids::{IdOwner, read_id};
use crate::engine::state::sessions::SessionEntry;
use crate::service::keys::SessionKey;
use crate::service::session::Session;
use crate::slab::Key;

impl Core {
    /// Begins a session for the peer of that connection.
    pub(crate) fn begin_session(&mut self, conn: Key) -> Key {
        let id = self.next_id();
        let peer = self.connections.get(conn).map(|conn| conn.peer.clone()).unwrap_or_default();
        let session = Session::new(id, peer.principal.clone());
        self.stats.sessions_opened += 1;
        self.sessions.begin(session, &peer, &self.common.limits)
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

    /// The session of that id, if it belongs to the request's principal: a stranger's looks like an unknown one.
    pub(crate) fn find_session(&self, conn: Key, id: &str) -> Option<(Key, &SessionEntry)> {
        let principal = self.connections.get(conn).and_then(|conn| conn.peer.principal.as_ref());
        let IdOwner::This(id) = read_id(id, &self.settings.node_id) else { return None };
        self.sessions.find(id).filter(|(_, entry)| entry.session.principal() == principal)
    }

    /// A session is over, and with it everything it held.
    pub(crate) fn end_session(&mut self, key: Key, peer: &Peer) {
        self.cancel_calls(key);
        #[cfg(feature = "streamable")]
        self.sessions.forget_time(key, &self.common.limits);
        let Some(entry) = self.sessions.end(key, peer) else { return };
        self.service.closed(SessionKey(key));
        // What was said to it finds nobody, but its calls' deadlines are to be forgotten.
        self.flush();
        #[cfg(feature = "resume")]
        if let Some(kind) = &entry.streamable {
            kind.kept
                .over
                .iter()
                .chain(&kind.kept.lost)
                .for_each(|stream| drop(self.streams.remove(*stream)));
        }
        if let Some(conn) = entry.stream.and_then(|stream| self.streams.remove(stream)?.conn) {
            self.connections.with(conn, |conn| conn.stream = None);
            self.finish(conn);
        }
        self.observe(&Event::SessionClosed { peer });
    }
}
