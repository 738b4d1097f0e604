//! HTTP+SSE from the client's side (MCP 2024-11-05, transports): a stream that brings messages, and an address to which
//! they are posted.
//!
//! *Scope:* what differs from other carriers over HTTP. *Not in scope:* connections, and what messages say.

use std::sync::Arc;
use std::time::Instant;

use crate::client::carrier::{Arrival, Carrier, Outgoing, RequestDefaults, Transport};
use crate::client::error::Error;
use crate::client::exchanges::Exchanges;
use crate::jsonrpc::id::Id;

/// A session: one connection that brings messages, and one at a time that takes them.
#[derive(Debug)]
pub(super) struct Sse {
    exchanges: Exchanges,
    endpoint: String,
    session_id: Option<String>,
}

impl Sse {
    /// Opens the stream and waits for the `endpoint` event.
    pub(super) fn open(defaults: &Arc<RequestDefaults>, deadline: Instant) -> Result<Sse, Error> {
        let mut exchanges = Exchanges::new(defaults, Transport::Sse);
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
        let session_id = exchanges.stream().and_then(|stream| stream.session_id.clone());
        let mut sse = Sse { endpoint: String::new(), exchanges, session_id };
        sse.move_endpoint()?;
        Ok(sse)
    }

    /// The server may name another address for messages at any time.
    fn move_endpoint(&mut self) -> Result<(), Error> {
        if let Some(endpoint) = self.exchanges.endpoint.take() {
            let url = self.exchanges.target.defaults.url.resolve(&endpoint)?;
            self.session_id = url.session_id().map(str::to_owned).or(self.session_id.take());
            self.endpoint = url.target;
        }
        Ok(())
    }
}

impl Carrier for Sse {
    fn transport(&self) -> Transport {
        Transport::Sse
    }

    fn send(&mut self, message: Outgoing<'_>, deadline: Instant) -> Result<(), Error> {
        self.exchanges.check_stream()?;
        self.move_endpoint()?;
        let request = self.exchanges.target.post(&self.endpoint, "*/*", message);
        match self.exchanges.deliver(request, deadline)? {
            (200..300, _) => Ok(()),
            (status, body) => Err(Error::Http { status, body }),
        }
    }

    fn receive(&mut self, deadline: Instant, _: Option<&Id>) -> Result<Arrival, Error> {
        loop {
            if let Some(arrival) = self.exchanges.pop() {
                return Ok(arrival);
            }
            self.exchanges.read(deadline, None)?;
            self.move_endpoint()?;
        }
    }

    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn close(&mut self) {
        self.exchanges.close();
    }
}
