//! Sessions: their beginning, their end, and which one an id names.
//!
//! *Scope:* a session begins and ends; [`Core::find_session`], the only way from a session id to a session, which checks that
//! the request's principal owns it. *Not in scope:* where a request carries the id (`transport::session` for Streamable HTTP,
//! `transport::sse` for HTTP+SSE), deadlines of sessions that do not end with a stream (`streamable`), which session ends to
//! make room for another one (`places`).

use uuid::Uuid;

use crate::access::peer::Peer;
use crate::engine::core::Core;
use crate::engine::core::report::tell;
use crate::engine::observe::Event;
use crate::engine::state::ids::{IdOwner, read_id};
use crate::engine::state::sessions::SessionEntry;
use crate::http::conn::close::CloseReason;
use crate::http::fields::Derivation;
use crate::http::head::Head;
use crate::service::keys::SessionKey;
use crate::service::session::{Session, SessionId};
use crate::slab::Key;

impl Core {
    /// Begins a session for the peer of that connection.
    pub(crate) fn begin_session(&mut self, conn: Key) -> Key {
        let id = self.next_id();
        let (peer, mount) =
            self.connections.get(conn).map(|conn| (conn.peer.clone(), conn.mount)).unwrap_or_default();
        let session = Session::new(id, peer.principal.clone()).under(mount);
        self.stats.sessions_opened += 1;
        self.sessions.begin(session, &peer, &self.common.limits)
    }

    /// Tells the service and the observer of a session that has begun.
    pub(crate) fn announce_session(&mut self, session: Key, conn: Key) {
        let now = self.now().mono;
        let is_lines = self.connections.get(conn).is_some_and(|conn| conn.http.is_lines());
        let Some(entry) = self.sessions.get_mut(session) else { return };
        self.service.opened(SessionKey(session), &mut entry.session);
        let (id, transport) = (SessionId(entry.session.id), entry.begin(now, is_lines));
        let Core { observer, stats, connections, .. } = self;
        if let (Some(observer), Some(conn)) = (observer, connections.get(conn)) {
            tell(observer, stats, &Event::SessionOpened { peer: &conn.peer, id, transport });
        }
    }

    /// Returns the session with that id, which `head` names, if it belongs to the principal and the mount of the connection's
    /// request. Any other looks like one that does not exist.
    pub(crate) fn find_session(&self, conn: Key, head: &Head<'_>, id: &[u8]) -> Option<(Key, &SessionEntry)> {
        let conn = self.connections.get(conn);
        let (principal, mount) =
            (conn.and_then(|conn| conn.peer.principal.as_ref()), conn.map(|conn| conn.mount));
        let id = head.derive(Derivation::Session, || {
            let id = std::str::from_utf8(id).unwrap_or_default();
            match read_id(id, &self.settings.node_id) {
                IdOwner::This(id) => id.as_u128(),
                // No session has the nil UUID: the bits of its version are set.
                IdOwner::Other(_) | IdOwner::Invalid => 0,
            }
        });
        let id = Uuid::from_u128(id);
        let place = head
            .derive(Derivation::SessionPlace, || self.sessions.place_of(id).map_or(u128::MAX, u128::from));
        self.sessions
            .find_at(place, id)
            .filter(|(_, entry)| entry.session.principal() == principal && Some(entry.session.mount) == mount)
    }

    /// Ends a session, its calls and its streams.
    pub(crate) fn end_session(&mut self, key: Key, peer: &Peer) {
        self.cancel_calls(key);
        let Some(entry) = self.sessions.end(key, peer) else { return };
        self.service.closed(SessionKey(key));
        // Messages to it are dropped, but the service's next deadline may have changed.
        self.flush();
        self.drop_streams_of(&entry);
        if let Some(conn) = entry.stream.and_then(|stream| self.streams.remove(stream)?.conn) {
            self.connections.with(conn, |conn| conn.stream = None);
            self.finish(conn, CloseReason::SessionEnded);
        }
        self.observe(&Event::SessionClosed {
            peer,
            id: SessionId(entry.session.id),
            transport: entry.transport,
            revision: entry.session.revision(),
            lasted: entry.lasted(self.now().mono),
        });
    }
}
