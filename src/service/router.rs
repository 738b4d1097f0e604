//! Several services behind one engine, each below its own path.
//!
//! *Scope:* which service a session belongs to. *Not in scope:* paths ([`Settings::mounts`](crate::Settings::mounts)).
//!
//! ```text
//!  /mcp, /sse ──────▶ the service at the root
//!  /NAME/mcp … ─────▶ the service that is mounted under that name
//! ```

use std::time::Duration;

use crate::jsonrpc::{Error, Notification, Response};
use crate::key_map::KeyMap;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::Outbox;
use crate::service::session::Session;
use crate::service::{Service, ServiceRequest};
use crate::timers::Now;

/// Makes one service of several, as [`Router::new`] does.
pub(crate) type Join = fn(Vec<Box<dyn Service>>, usize) -> Box<dyn Service>;

/// Services in the order of the mounts; that of the root may be one of them, or come after them.
pub(crate) struct Router {
    services: Vec<Box<dyn Service>>,
    root: usize,
    sessions: KeyMap<SessionKey, usize>,
}

impl Router {
    pub(crate) fn new(services: Vec<Box<dyn Service>>, root: usize) -> Router {
        Router { services, root, sessions: KeyMap::new() }
    }

    /// The [`Join`] of this.
    pub(crate) fn join(services: Vec<Box<dyn Service>>, root: usize) -> Box<dyn Service> {
        Box::new(Router::new(services, root))
    }

    fn of(&mut self, session: SessionKey) -> Option<&mut Box<dyn Service>> {
        self.services.get_mut(*self.sessions.get(&session)?)
    }
}

impl Service for Router {
    fn opened(&mut self, key: SessionKey, session: &mut Session) {
        let at = session.mount().unwrap_or(self.root);
        self.sessions.insert(key, at);
        if let Some(service) = self.services.get_mut(at) {
            service.opened(key, session);
        }
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        match self.of(request.session) {
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
        if let Some(service) = self.of(key) {
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
        self.services.iter_mut().for_each(|service| service.tick(now, out));
    }

    fn due(&self) -> Option<Duration> {
        self.services.iter().filter_map(|service| service.due()).min()
    }

    fn held_bytes(&self) -> usize {
        self.services.iter().map(|service| service.held_bytes()).sum()
    }

    fn held_by_session(&self) -> Vec<(SessionKey, usize)> {
        self.services.iter().flat_map(|service| service.held_by_session()).collect()
    }

    #[cfg(feature = "testing")]
    fn question_key(&self, id: i64) -> Option<&str> {
        self.services.iter().find_map(|service| service.question_key(id))
    }
}
