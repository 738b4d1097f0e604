//! HTTP+SSE from the client's side (MCP 2024-11-05, transports): a stream that brings messages, and an address to which
//! they are posted.
//!
//! *Scope:* what differs from other carriers over HTTP. *Not in scope:* connections, and what messages say.

use std::sync::Arc;
use std::time::Instant;

use crate::client::carrier::{Arrival, Carrier, RequestDefaults, Transport};
use crate::client::error::Error;
use crate::client::exchange::Exchange;
use crate::client::exchanges::Exchanges;
use crate::client::url::Url;
use crate::jsonrpc::id::Id;

/// A session: one connection that brings messages, and one at a time that takes them.
#[derive(Debug)]
pub(super) struct Sse {
    exchanges: Exchanges,
    endpoint: Url,
    session_id: Option<String>,
}

impl Sse {
    /// Opens the stream and waits for the `endpoint` event.
    pub(super) fn open(url: &Url, defaults: &Arc<RequestDefaults>, deadline: Instant) -> Result<Sse, Error> {
        let mut exchanges = Exchanges::new(url, defaults, Transport::Sse);
        exchanges.open_stream(deadline)?;
        // Messages may come before the endpoint; `receive` will return them.
        while exchanges.endpoint.is_none() {
            if exchanges.is_full() {
                let max = defaults.event_bytes_max;
                return Err(Error::Protocol(format!("no endpoint event came in {max} bytes of messages")));
            }
            exchanges.read(deadline, None)?;
        }
        let session_id = exchanges.stream().and_then(Exchange::session_id).map(str::to_owned);
        let mut sse = Sse { endpoint: url.clone(), exchanges, session_id };
        sse.move_endpoint()?;
        Ok(sse)
    }

    /// The server may name another address for messages at any time.
    fn move_endpoint(&mut self) -> Result<(), Error> {
        if let Some(endpoint) = self.exchanges.endpoint.take() {
            self.endpoint = self.exchanges.url.resolve(&endpoint)?;
            self.session_id = self.endpoint.session_id().map(str::to_owned).or(self.session_id.take());
        }
        Ok(())
    }
}

impl Carrier for Sse {
    fn transport(&self) -> Transport {
        Transport::Sse
    }

    fn send(&mut self, message: &[u8], _: Option<&Id>, fields: &str, deadline: Instant) -> Result<(), Error> {
        self.exchanges.check_stream()?;
        self.move_endpoint()?;
        let request = self.exchanges.post_request(&self.endpoint.target, "*/*", fields, message);
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
        &self.endpoint.target
    }

    fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn close(&mut self) {
        self.exchanges.close();
    }
}
