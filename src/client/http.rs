//! What carries messages over HTTP: HTTP+SSE (MCP 2024-11-05, transports), and Streamable HTTP with a session or without (MCP
//! 2025-03-26 to 2026-07-28, transports).
//!
//! *Scope:* where the transports differ: the address for messages, the session, and what happens when it is lost.
//! *Not in scope:* connections, messages, and the header fields that repeat parts of a message.
//!
//! | | HTTP+SSE | Streamable HTTP |
//! |---|---|---|
//! | messages are posted to | the address that the server names | the URL of the server |
//! | answers come on | the one stream, which the client opens first | the answer to the POST |
//! | other messages come on | the same stream | a stream of the session, if the server has one |

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::error::Error;
use crate::client::exchange::Purpose;
use crate::client::exchanges::Exchanges;
use crate::client::transport::{Arrival, Outgoing, RequestDefaults, Transport};
use crate::jsonrpc::id::Id;

/// How long the server may take to end the session when the client asks for it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server of HTTP.
#[derive(Debug)]
pub(super) struct Http {
    exchanges: Exchanges,
    /// The address for messages: path and query.
    endpoint: String,
    /// The session of HTTP+SSE, as far as the server names it.
    session_id: Option<String>,
    /// Why nothing can be sent any more: the session is closed, or the server does not know it.
    over: Option<fn() -> Error>,
}

impl Http {
    /// Streamable HTTP; nothing is sent yet. `transport` is [`Transport::Streamable`] if the server may open a session, or
    /// [`Transport::Stateless`].
    pub(super) fn new(defaults: &Arc<RequestDefaults>, transport: Transport) -> Http {
        let exchanges = Exchanges::new(defaults, transport);
        Http { exchanges, endpoint: defaults.url.target.clone(), session_id: None, over: None }
    }

    /// HTTP+SSE: opens the stream and waits for the `endpoint` event.
    pub(super) fn open_sse(defaults: &Arc<RequestDefaults>, deadline: Instant) -> Result<Http, Error> {
        let mut http = Http::new(defaults, Transport::Sse);
        let exchanges = &mut http.exchanges;
        exchanges.open_stream(deadline)?;
        // Messages may come before the endpoint; `receive` will return them.
        while exchanges.endpoint.is_none() {
            if exchanges.is_full() {
                let max = defaults.event_bytes_max;
                return Err(Error::Protocol(format!(
                    "the server sent no endpoint event in {max} bytes of messages"
                )));
            }
            exchanges.read(deadline, None)?;
        }
        http.session_id = exchanges.stream().and_then(|stream| stream.session_id.clone());
        http.move_endpoint()?;
        Ok(http)
    }

    /// The server of HTTP+SSE may name another address for messages at any time.
    fn move_endpoint(&mut self) -> Result<(), Error> {
        if let Some(endpoint) = self.exchanges.endpoint.take() {
            let url = self.exchanges.target.defaults.url.resolve(&endpoint)?;
            self.session_id = url.session_id().map(str::to_owned).or(self.session_id.take());
            self.endpoint = url.target;
        }
        Ok(())
    }

    /// Returns what goes into every request.
    pub(super) fn defaults(&self) -> &Arc<RequestDefaults> {
        &self.exchanges.target.defaults
    }

    /// Returns which transport this is; never [`Transport::Auto`].
    pub(super) fn transport(&self) -> Transport {
        self.exchanges.target.transport
    }

    /// Returns the address for messages: path and query.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the id of the session, if it is known here.
    pub(super) fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref().or(self.exchanges.target.session_id.as_deref())
    }

    fn check_open(&self) -> Result<(), Error> {
        self.over.map_or(Ok(()), |error| Err(error()))
    }

    /// True if this status says that the server does not know the session of Streamable HTTP any more.
    fn has_lost_session(&self, status: u16) -> bool {
        status == 404 && self.exchanges.target.session_id.is_some()
    }

    fn expire(&mut self) -> Error {
        self.over = Some(|| Error::Expired);
        self.exchanges.open.clear();
        Error::Expired
    }

    /// Sends one message.
    pub(super) fn send(&mut self, message: Outgoing<'_>, deadline: Instant) -> Result<(), Error> {
        self.check_open()?;
        self.exchanges.check_stream()?;
        self.move_endpoint()?;
        let post = self.exchanges.target.post(&self.endpoint, message);
        if let Some(id) = message.request.filter(|_| self.transport() != Transport::Sse) {
            return self.exchanges.start(Purpose::Answer(id.clone()), post, deadline);
        }
        match self.exchanges.deliver(post, deadline)? {
            (200..300, _) => Ok(()),
            (status, _) if self.has_lost_session(status) => Err(self.expire()),
            (status, body) => Err(Error::Http { status, body }),
        }
    }

    /// Waits for whatever comes next. `awaited` is the request that the caller waits for, if it is one in particular.
    pub(super) fn receive(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<Arrival, Error> {
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
                // Not every server of Streamable HTTP has a stream of its own.
                None | Some(Error::Http { status: 404 | 405, .. }) => {}
                Some(error) => return Err(error),
            }
            self.exchanges.read(deadline, awaited)?;
            self.move_endpoint()?;
        }
    }

    /// Drops what belongs to a request that is answered, or that the caller has given up.
    pub(super) fn forget(&mut self, id: &Id) {
        self.exchanges.forget(id);
    }

    /// Is called once the session is initialized, with the field line that names the revision. Opens the stream of the
    /// session itself, if the server of Streamable HTTP has one (MCP 2025-11-25, transports, "Listening for Messages from
    /// the Server").
    pub(super) fn initialized(&mut self, version: String, deadline: Instant) -> Result<(), Error> {
        self.exchanges.target.version = version;
        match self.transport() == Transport::Sse || self.exchanges.stream().is_some() {
            true => Ok(()),
            false => self.exchanges.open_stream(deadline),
        }
    }

    /// Ends the session, on the server of Streamable HTTP too (MCP 2025-11-25, transports, "Session Management"), and
    /// closes all connections. Everything later is [`Error::Closed`].
    pub(super) fn close(&mut self) {
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
