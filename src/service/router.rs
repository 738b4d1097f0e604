//! Several services behind one engine, each below its own path.
//!
//! *Scope:* which service a session belongs to. *Not in scope:* paths ([`Settings::mounts`](crate::Settings::mounts)).
//!
//! ```text
//!  /mcp, /sse ──────▶ the service at the root
//!  /NAME/mcp … ─────▶ the service that is mounted under that name
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::jsonrpc::{Error, Notification, Response};
use crate::key_map::{KeyMap, entry_bytes};
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::service::{Service, ServiceRequest};
use crate::timers::Now;

/// Makes one service of several, as [`Router::new`] does.
pub(crate) type Join = fn(Vec<Box<dyn Service>>, usize) -> Box<dyn Service>;

/// What is kept for each session: which service it belongs to.
const SESSION_BYTES: usize = entry_bytes::<SessionKey, usize>();

/// Services in the order of the mounts; that of the root may be one of them, or come after them.
pub(crate) struct Router {
    services: Vec<Box<dyn Service>>,
    root: usize,
    sessions: KeyMap<SessionKey, usize>,
    /// Which service is first in the next turn: after one that fills the outbox again and again, the others would have no room.
    first: usize,
}

impl Router {
    pub(crate) fn new(services: Vec<Box<dyn Service>>, root: usize) -> Router {
        Router { services, root, sessions: KeyMap::new(), first: 0 }
    }

    /// The [`Join`] of this.
    pub(crate) fn join(services: Vec<Box<dyn Service>>, root: usize) -> Box<dyn Service> {
        Box::new(Router::new(services, root))
    }

    /// Which service a session belongs to.
    fn place_of(&self, session: &Session) -> usize {
        session.mount().unwrap_or(self.root)
    }

    /// As [`place_of`](Router::place_of), for what comes without the session itself.
    fn of(&mut self, session: SessionKey) -> Option<&mut Box<dyn Service>> {
        self.services.get_mut(*self.sessions.get(&session)?)
    }
}

impl Service for Router {
    fn opened(&mut self, key: SessionKey, session: &mut Session) {
        let at = self.place_of(session);
        self.sessions.insert(key, at);
        if let Some(service) = self.services.get_mut(at) {
            service.opened(key, session);
        }
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        let at = self.place_of(session);
        match self.services.get_mut(at) {
            Some(service) => service.request(request, session, out),
            None => out.error(request.call, &Error::method_not_found(request.method)),
        }
    }

    fn notification(
        &mut self,
        key: SessionKey,
        session: &mut Session,
        notification: &Notification<'_>,
        out: &mut Outbox,
    ) {
        let at = self.place_of(session);
        if let Some(service) = self.services.get_mut(at) {
            service.notification(key, session, notification, out);
        }
    }

    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, now: Now, out: &mut Outbox) -> bool {
        self.of(key).is_some_and(|service| service.answer(key, answer, now, out))
    }

    fn cancelled(&mut self, key: SessionKey, call: CallKey, out: &mut Outbox) {
        if let Some(service) = self.of(key) {
            service.cancelled(key, call, out);
        }
    }

    fn unreached(
        &mut self,
        key: SessionKey,
        call: Option<CallKey>,
        message: &[u8],
        now: Now,
        out: &mut Outbox,
    ) {
        if let Some(service) = self.of(key) {
            service.unreached(key, call, message, now, out);
        }
    }

    fn closed(&mut self, key: SessionKey) {
        if let Some(service) = self.of(key) {
            service.closed(key);
        }
        self.sessions.remove(&key);
    }

    fn stopping(&mut self, now: Now, out: &mut Outbox) {
        self.services.iter_mut().for_each(|service| service.stopping(now, out));
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        let (later, first) = self.services.split_at_mut_checked(self.first).unwrap_or_default();
        first.iter_mut().chain(later).for_each(|service| service.tick(now, out));
        self.first = (self.first + 1) % self.services.len().max(1);
    }

    fn due(&self) -> Option<Duration> {
        self.services.iter().filter_map(|service| service.due()).min()
    }

    fn held_bytes(&self) -> usize {
        let sessions = self.sessions.len() * SESSION_BYTES;
        self.services.iter().map(|service| service.held_bytes()).sum::<usize>() + sessions
    }

    fn held_by_session(&self) -> Vec<(SessionKey, usize)> {
        let mut sums: BTreeMap<SessionKey, usize> =
            self.sessions.keys().map(|session| (*session, SESSION_BYTES)).collect();
        for (session, bytes) in self.services.iter().flat_map(|service| service.held_by_session()) {
            *sums.entry(session).or_default() += bytes;
        }
        sums.into_iter().collect()
    }

    #[cfg(feature = "testing")]
    fn question_key(&self, id: i64) -> Option<&str> {
        self.services.iter().find_map(|service| service.question_key(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::outbox::{Audience, Outgoing};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Fills the outbox in each turn, and counts the turns in which there was room.
    #[derive(Clone, Default)]
    struct Talker(Arc<AtomicUsize>);

    impl Service for Talker {
        fn request(&mut self, _: &ServiceRequest<'_>, _: &mut Session, _: &mut Outbox) {}

        fn tick(&mut self, _: Now, out: &mut Outbox) {
            self.0.fetch_add(usize::from(!out.is_full()), Ordering::Relaxed);
            while !out.is_full() {
                out.notify(Outgoing::Message(Audience::All), "x", |_| {});
            }
        }
    }

    #[test]
    fn a_service_that_always_has_more_to_tell_leaves_room_for_the_others() {
        let talkers = [(); 3].map(|()| Talker::default());
        let services = talkers.iter().map(|talker| Box::new(talker.clone()) as Box<dyn Service>).collect();
        let mut router = Router::new(services, 2);
        (0..6).for_each(|_| router.tick(Now::default(), &mut Outbox::default()));
        assert_eq!(talkers.map(|talker| talker.0.load(Ordering::Relaxed)), [2; 3]);
    }
}
