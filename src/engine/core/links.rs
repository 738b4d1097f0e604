//! A check of the links between connections, sessions, calls and streams, for debug builds that keep lost streams.
//!
//! *Scope:* [`Core::broken_link`]. *Not in scope:* keeping the links right, which each step of the engine does.
//!
//! ```text
//!  Connection.stream ◀──▶ Stream.conn        Stream.session ◀──▶ SessionEntry.stream, KeptStreams.lost or .over,
//!                                                                or PendingRequest.stream of an open call
//! ```

use crate::engine::core::Core;
use crate::engine::state::sessions::SessionEntry;
use crate::engine::state::streams::{Source, Stream};
use crate::slab::Key;

/// With more of one kind than this the check would make debug builds too slow to test with.
const CHECKED_MAX: usize = 64;

impl Core {
    /// Returns what is wrong with the links, if something is. To be called between turns, when nothing is left to do.
    pub(crate) fn broken_link(&self) -> Option<String> {
        if self.connections.len() > CHECKED_MAX || self.streams.iter().nth(CHECKED_MAX).is_some() {
            return None;
        }
        let streams = self.streams.iter().find_map(|(key, stream)| self.broken_stream(key, stream));
        let sessions = || self.sessions.iter().find_map(|(key, entry)| self.broken_session(key, entry));
        let connections = || {
            self.connections.iter().find_map(|(key, conn)| {
                let stream = conn.stream?;
                let back = self.streams.get(stream).and_then(|stream| stream.conn);
                (back != Some(key)).then(|| format!("{key:?} carries {stream:?}, which is on {back:?}"))
            })
        };
        streams.or_else(sessions).or_else(connections)
    }

    fn broken_stream(&self, key: Key, stream: &Stream) -> Option<String> {
        let Some(entry) = self.sessions.get(stream.session) else {
            return Some(format!("{key:?} outlives its session {:?}", stream.session));
        };
        let is_over = entry.streamable.as_ref().is_some_and(|kind| kind.kept.over.contains(&key));
        let calls = self.sessions.calls_of(stream.session).filter(|(_, call)| call.stream == key).count();
        if entry.any_stream() != Some(key) && !is_over && calls == 0 {
            return Some(format!("{key:?} is not known to its session"));
        }
        if stream.source.is_answer() && stream.open as usize != calls {
            return Some(format!("{key:?} waits for {} of {calls} calls", stream.open));
        }
        let conn = stream.conn?;
        let back = self.connections.get(conn).and_then(|conn| conn.stream);
        // A batch of lines shares the connection of its session.
        let expected = if stream.source == Source::Batch { entry.stream } else { Some(key) };
        (back != expected).then(|| format!("{key:?} is on {conn:?}, which carries {back:?}"))
    }

    fn broken_session(&self, key: Key, entry: &SessionEntry) -> Option<String> {
        let kind = entry.streamable.as_ref();
        let lost = kind.and_then(|kind| kind.kept.lost);
        let over = kind.into_iter().flat_map(|kind| kind.kept.over.iter().copied());
        let carried = entry.stream.into_iter().map(|stream| (stream, true));
        let left = lost.into_iter().chain(over).map(|stream| (stream, false));
        carried.chain(left).find_map(|(stream, is_carried)| {
            let found = self.streams.get(stream);
            // A request without a session shares the stream of lines of one that has.
            let is_shared = |stream: &Stream| stream.source == Source::Lines && !entry.session.is_kept();
            let found = found.filter(|stream| stream.session == key || is_shared(stream));
            // A client that has come back for a stream that is over gets the rest of it.
            let is_right =
                found.is_some_and(|stream| stream.conn.is_some() == is_carried || stream.is_behind());
            (!is_right).then(|| format!("{key:?} names {stream:?}, which is not there, or not as it says"))
        })
    }
}
