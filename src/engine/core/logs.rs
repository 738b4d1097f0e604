//! What is kept for clients that may come back, session by session.
//!
//! *Scope:* time and memory of the logs of a session's streams. *Not in scope:* what one log keeps (`state::event_log`),
//! clients that come back (`transport::resume`).

use crate::engine::core::Core;
use crate::engine::state::streams::{Source, Stream};
use crate::slab::Key;

impl Core {
    /// The streams of a session that have a log.
    pub(crate) fn logged_streams(&self, session: Key) -> Vec<Key> {
        let Some(entry) = self.sessions.get(session) else { return Vec::new() };
        let Some(kind) = &entry.streamable else { return Vec::new() };
        let mut open: Vec<Key> = self.sessions.calls_of(session).map(|(_, call)| call.stream).collect();
        open.sort_unstable();
        open.dedup();
        let all = entry.any_stream().into_iter().chain(open).chain(kind.over.iter().copied());
        all.filter(|key| self.streams.get(*key).is_some_and(|stream| stream.log.is_some())).collect()
    }

    /// Drops what was kept for too long.
    pub(crate) fn expire_logs(&mut self, session: Key) {
        let (now, timeout) = (self.now().mono, self.limits().replay_timeout);
        let streams = self.logged_streams(session);
        for key in &streams {
            if self.streams.get(*key).and_then(Stream::kept_since).is_some_and(|at| at.after(timeout) <= now)
            {
                self.drop_log(*key);
            }
        }
        let since = streams.iter().filter_map(|key| self.streams.get(*key)?.kept_since());
        if let Some(oldest) = since.min() {
            self.sessions.wake_by(session, oldest.after(timeout));
        }
    }

    /// Drops everything that is kept for a session. Its streams go on, the one included that is just being written to.
    pub(crate) fn drop_logs(&mut self, session: Key) {
        let of_session = self.streams.iter().filter(|(_, stream)| stream.session == session);
        let keys: Vec<Key> = of_session.map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.drop_log(key));
    }

    /// Drops what is kept of a stream, and the stream itself if that is over.
    pub(crate) fn drop_log(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.is_over() {
            if let Some(kind) = self.sessions.streamable_mut(stream.session) {
                kind.over.retain(|over| *over != key);
            }
            self.streams.remove(key);
            return;
        }
        match (&mut stream.log, stream.source) {
            (Some(log), Source::Get) => log.stop(),
            (Some(log), _) => log.clear(),
            (None, _) => {}
        }
    }
}
