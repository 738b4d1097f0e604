//! Streamable HTTP from the client's side (MCP 2025-03-26 to 2026-07-28, transports): each request has a connection of
//! its own until it is answered, and sessions can have one more stream, which the client opens with GET.
//!
//! *Scope:* the session, and what refusals mean. *Not in scope:* connections, what messages say, and what the header fields
//! of a request say of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::carrier::{Arrival, Carrier, RequestDefaults, Transport};
use crate::client::error::{Error, may_be_another_transport};
use crate::client::exchange::{JSON, Purpose};
use crate::client::exchanges::Exchanges;
use crate::client::url::Url;
use crate::jsonrpc::id::{Id, IdRef};
use crate::jsonrpc::{self, Message};
use crate::sse;

/// How long the server may take to end the session when it is told to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An endpoint, with a session or without.
#[derive(Debug)]
pub(super) struct Streamable {
    exchanges: Exchanges,
    refusal_status: Option<u16>,
    expired: bool,
    closed: bool,
}

impl Streamable {
    /// `transport` is [`Transport::Streamable`] if the server may open a session, or [`Transport::Stateless`].
    pub(super) fn new(url: &Url, defaults: &Arc<RequestDefaults>, transport: Transport) -> Streamable {
        let exchanges = Exchanges::new(url, defaults, transport);
        Streamable { exchanges, refusal_status: None, expired: false, closed: false }
    }

    fn check_open(&self) -> Result<(), Error> {
        match (self.closed, self.expired) {
            (true, _) => Err(Error::Closed),
            (_, true) => Err(Error::Expired),
            _ => Ok(()),
        }
    }

    /// True if this status says that the server does not know the session any more.
    fn has_lost_session(&self, status: u16) -> bool {
        status == 404 && self.exchanges.session_id.is_some()
    }

    fn expire(&mut self) -> Error {
        self.expired = true;
        self.exchanges.drop_open();
        Error::Expired
    }

    /// A request was refused.
    fn refused(&mut self, id: Id, status: u16, body: String) -> Arrival {
        if self.has_lost_session(status) {
            return Arrival::Failed(id, self.expire());
        }
        // What a person must change, what has to wait, and what is broken is for the caller whatever the body says.
        if may_be_another_transport(status) && is_error_for(&body, &id, &self.exchanges.defaults) {
            self.refusal_status = Some(status);
            return Arrival::Message(body, Some(id));
        }
        Arrival::Failed(id, Error::Http { status, body })
    }
}

impl Carrier for Streamable {
    fn transport(&self) -> Transport {
        self.exchanges.transport
    }

    fn send(
        &mut self,
        message: &[u8],
        request: Option<&Id>,
        fields: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.check_open()?;
        let (target, accept) = (&self.exchanges.url.target, format!("{JSON}, {}", sse::MEDIA_TYPE));
        let post = self.exchanges.post_request(target, &accept, fields, message);
        if let Some(id) = request {
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
                Some(Arrival::Failed(id, Error::Http { status, body })) => {
                    return Ok(self.refused(id, status, body));
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
        self.exchanges.version = version;
        if self.exchanges.stream().is_some() { Ok(()) } else { self.exchanges.open_stream(deadline) }
    }

    fn endpoint(&self) -> &str {
        &self.exchanges.url.target
    }

    fn session_id(&self) -> Option<&str> {
        self.exchanges.session_id.as_deref()
    }

    fn refusal_status(&self) -> Option<u16> {
        self.refusal_status
    }

    /// Ends the session on the server too (MCP 2025-11-25, transports, "Session Management").
    fn close(&mut self) {
        self.exchanges.drop_open();
        if self.exchanges.session_id.is_some() && !self.expired && !self.closed {
            let request = self.exchanges.plain_request("DELETE", "*/*", "");
            // If this fails, the server ends the unused session by itself.
            let _ = self.exchanges.deliver(request, Instant::now() + CLOSE_TIMEOUT);
        }
        self.closed = true;
        self.exchanges.close();
    }
}

/// True if a refusal says in terms of JSON-RPC what is wrong with this request.
fn is_error_for(body: &str, id: &Id, defaults: &RequestDefaults) -> bool {
    match jsonrpc::parse(body.as_bytes(), &defaults.limits) {
        Ok(Message::Response(response)) => {
            response.outcome.is_err() && response.id.map(own_id).as_ref() == Some(id)
        }
        _ => false,
    }
}

/// Returns the id of a request of ours, also from a server that keeps ids as text.
pub(crate) fn own_id(id: IdRef<'_>) -> Id {
    id.as_int().map_or_else(|| id.into_owned(), Id::Int)
}
