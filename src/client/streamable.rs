//! Streamable HTTP from the client's side (MCP 2025-03-26 to 2026-07-28, transports): each request has a connection of
//! its own until it is answered, and sessions can have one more stream, which the client opens with GET.
//!
//! *Scope:* the session, and what it means that it is lost. *Not in scope:* connections, what messages say, and what the header fields
//! of a request say of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::carrier::{Arrival, Carrier, Outgoing, RequestDefaults, Transport};
use crate::client::error::Error;
use crate::client::exchange::Purpose;
use crate::client::exchanges::Exchanges;
use crate::client::target::JSON;
use crate::jsonrpc::id::Id;
use crate::sse;

/// How long the server may take to end the session when it is told to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An endpoint, with a session or without.
#[derive(Debug)]
pub(super) struct Streamable {
    exchanges: Exchanges,
    /// Why nothing can be sent any more: the session is closed, or the server does not know it.
    over: Option<fn() -> Error>,
}

impl Streamable {
    /// `transport` is [`Transport::Streamable`] if the server may open a session, or [`Transport::Stateless`].
    pub(super) fn new(defaults: &Arc<RequestDefaults>, transport: Transport) -> Streamable {
        Streamable { exchanges: Exchanges::new(defaults, transport), over: None }
    }

    fn check_open(&self) -> Result<(), Error> {
        self.over.map_or(Ok(()), |error| Err(error()))
    }

    /// True if this status says that the server does not know the session any more.
    fn has_lost_session(&self, status: u16) -> bool {
        status == 404 && self.exchanges.target.session_id.is_some()
    }

    fn expire(&mut self) -> Error {
        self.over = Some(|| Error::Expired);
        self.exchanges.open.clear();
        Error::Expired
    }
}

impl Carrier for Streamable {
    fn transport(&self) -> Transport {
        self.exchanges.target.transport
    }

    fn send(&mut self, message: Outgoing<'_>, deadline: Instant) -> Result<(), Error> {
        self.check_open()?;
        let (target, accept) = (&self.exchanges.target, format!("{JSON}, {}", sse::MEDIA_TYPE));
        let post = target.post(self.endpoint(), &accept, message);
        if let Some(id) = message.request {
            return self.exchanges.start(Purpose::Answer(id.clone()), post, deadline);
        }
        match self.exchanges.deliver(post, deadline)? {
            (200..300, _) => Ok(()),
            (status, _) if self.has_lost_session(status) => Err(self.expire()),
            (status, body) => Err(Error::Http { status, body }),
        }
    }

    fn receive(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<Arrival, Error> {
        loop {
            match self.exchanges.pop() {
                Some(Arrival::Failed(id, Error::Http { status, .. })) if self.has_lost_session(status) => {
                    return Ok(Arrival::Failed(id, self.expire()));
                }
                Some(arrival) => return Ok(arrival),
                None => self.check_open()?,
            }
            match self.exchanges.trouble.take_if(|_| awaited.is_none()) {
                Some(Error::Http { status, .. }) if self.has_lost_session(status) => {
                    return Err(Error::Expired);
                }
                // Not every server has a stream of its own.
                None | Some(Error::Http { status: 404 | 405, .. }) => {}
                Some(error) => return Err(error),
            }
            self.exchanges.read(deadline, awaited)?;
        }
    }

    fn forget(&mut self, id: &Id) {
        self.exchanges.forget(id);
    }

    /// Opens the stream of the session itself, if the server has one (MCP 2025-11-25, transports, "Listening for
    /// Messages from the Server").
    fn initialized(&mut self, version: String, deadline: Instant) -> Result<(), Error> {
        self.exchanges.target.version = version;
        if self.exchanges.stream().is_some() { Ok(()) } else { self.exchanges.open_stream(deadline) }
    }

    fn endpoint(&self) -> &str {
        &self.exchanges.target.defaults.url.target
    }

    fn session_id(&self) -> Option<&str> {
        self.exchanges.target.session_id.as_deref()
    }

    /// Ends the session on the server too (MCP 2025-11-25, transports, "Session Management").
    fn close(&mut self) {
        self.exchanges.open.clear();
        if self.exchanges.target.session_id.is_some() && self.over.is_none() {
            let request = self.exchanges.target.bare("DELETE", "*/*", "");
            // If this fails, the server ends the unused session by itself.
            let _ = self.exchanges.deliver(request, Instant::now() + CLOSE_TIMEOUT);
        }
        self.over = Some(|| Error::Closed);
        self.exchanges.close();
    }
}
