//! Requests over HTTP, from any thread.
//!
//! *Scope:* the connections that are kept between requests; a session's target. *Not in scope:* what requests say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::token::{Token, Version};
use crate::cli::bounds::CONNECT_OPEN_TIMEOUT;
use crate::client::connection::Connection;
use crate::client::deadline::left;
use crate::client::error::Error;
use crate::client::exchange::{Exchange, Purpose, Step};
use crate::client::kept::Kept;
use crate::client::target::Target;
use crate::client::transport::{RequestDefaults, Transport};
use crate::jsonrpc::id::Id;

/// The remote server, as far as HTTP is concerned.
pub(super) struct Wire {
    pub(super) defaults: Arc<RequestDefaults>,
    token: Token,
    kept: Mutex<Kept>,
}

impl Wire {
    pub(super) fn new(defaults: RequestDefaults, token: Token) -> Wire {
        Wire { defaults: Arc::new(defaults), token, kept: Mutex::default() }
    }

    /// Which token the next request has.
    pub(super) fn token(&self) -> Version {
        self.token.version()
    }

    /// The server has refused a request with this token. Returns true if it is worth sending it again.
    pub(super) fn has_other_token(&self, refused: Version) -> bool {
        self.token.renew(refused, &self.defaults)
    }

    /// What requests of this transport say before there is a session.
    pub(super) fn target(&self, transport: Transport) -> Target {
        Target { defaults: self.defaults.clone(), transport, session_id: None, version: String::new() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request, on a connection that was kept or a new one.
    pub(super) fn send(
        &self,
        purpose: Purpose,
        request: Vec<u8>,
        deadline: Instant,
    ) -> Result<Exchange, Error> {
        let connection = self.connect(&request, deadline, true)?;
        Ok(Exchange::new(purpose, connection, request))
    }

    /// Sends a request for the rest of a stream.
    pub(super) fn resume(
        &self,
        purpose: Purpose,
        target: &Target,
        cursor: &str,
        deadline: Instant,
    ) -> Result<Exchange, Error> {
        let connection = self.connect(&target.get(cursor), deadline, false)?;
        Ok(Exchange::resumed(purpose, connection, cursor.to_owned()))
    }

    fn connect(&self, request: &[u8], deadline: Instant, may_be_kept: bool) -> Result<Connection, Error> {
        let kept = if may_be_kept { self.kept().take() } else { None };
        let mut connection = match kept {
            Some(kept) => kept,
            None => {
                let patience = deadline.min(Instant::now() + CONNECT_OPEN_TIMEOUT);
                Connection::open(&self.defaults.url, patience)?
            }
        };
        // What the server sends meanwhile, other threads read.
        connection.send(request, deadline, || Ok(()))?;
        Ok(connection)
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, connection: Option<Connection>) {
        self.kept().put(connection);
    }

    /// Sends a request of which only the status counts. Returns that, and what the body says.
    pub(super) fn deliver(
        &self,
        request: impl Fn() -> Vec<u8>,
        target: &Target,
        deadline: Instant,
    ) -> Result<(u16, String), Error> {
        let token = self.token();
        match self.deliver_once(request(), target, deadline)? {
            (401, _) if self.has_other_token(token) => self.deliver_once(request(), target, deadline),
            delivered => Ok(delivered),
        }
    }

    fn deliver_once(
        &self,
        request: Vec<u8>,
        target: &Target,
        deadline: Instant,
    ) -> Result<(u16, String), Error> {
        let mut exchange = self.send(Purpose::Delivery, request, deadline)?;
        loop {
            let left = match left(deadline) {
                Ok(left) => left,
                Err(timeout) => return exchange.cut_short().ok_or(timeout),
            };
            if let Step::Whole(status, text, kept) = exchange.step(left, target, deadline)? {
                self.keep(kept);
                return Ok((status, text));
            }
        }
    }
}

/// The purpose of a request whose answer is wanted. Which one answers which is kept elsewhere.
pub(super) fn answer() -> Purpose {
    Purpose::Answer(Id::Int(0))
}

/// A session with the remote server.
pub(super) struct Session {
    /// The first one is 1.
    pub(super) generation: u64,
    pub(super) target: Target,
    /// The revision that was agreed on; empty until it is.
    pub(super) revision: String,
    /// Where messages are posted to: path and query.
    endpoint: Mutex<String>,
    /// When the stream of HTTP+SSE has brought something.
    active: Mutex<Instant>,
}

impl Session {
    pub(super) fn new(generation: u64, target: Target, endpoint: String, revision: String) -> Session {
        let active = Mutex::new(now());
        Session { generation, target, revision, endpoint: Mutex::new(endpoint), active }
    }

    pub(super) fn is_sse(&self) -> bool {
        self.target.transport == Transport::Sse
    }

    pub(super) fn endpoint(&self) -> String {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server names another address for messages.
    ///
    /// # Errors
    /// If it is on another server.
    pub(super) fn move_endpoint(&self, to: &str) -> Result<(), Error> {
        let url = self.target.defaults.url.resolve(to)?;
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = url.target;
        Ok(())
    }

    pub(super) fn note_activity(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = now();
    }

    pub(super) fn last_activity(&self) -> Instant {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    Instant::now()
}
