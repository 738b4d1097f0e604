//! What carries a client's messages to a server and back: one interface for all transports.
//!
//! *Scope:* [`Carrier`], which each transport implements in a file of its own, and what all of them are told.
//! *Not in scope:* what messages say, and which answers which.

use std::fmt;
use std::time::Instant;

use crate::client::error::Error;
use crate::client::url::Url;
use crate::jsonrpc::id::Id;
use crate::limits::Limits;

/// How messages travel between a client and its server.
///
/// ```
/// use mcp_rill::client::{Client, Transport};
/// let builder = Client::builder().transport(Transport::Stateless); // nothing else will do
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// The first that the server speaks: stateless, then a session over Streamable HTTP, then HTTP+SSE (MCP 2026-07-28,
    /// basic, "Versioning"). A server that does not know a transport answers the attempt with 4xx, which is normal.
    #[default]
    Auto,
    /// HTTP+SSE (MCP 2024-11-05, transports).
    Sse,
    /// Streamable HTTP with a session (MCP 2025-03-26 to 2025-11-25, transports).
    Streamable,
    /// Streamable HTTP without sessions (MCP 2026-07-28, transports).
    Stateless,
}

/// What goes into every request over HTTP, and bounds every response.
#[derive(Debug)]
pub(super) struct RequestDefaults {
    pub(super) url: Url,
    /// Header field lines, each with its line end.
    pub(super) fields: String,
    pub(super) event_bytes_max: usize,
    pub(super) reconnects_max: u32,
    pub(super) limits: Limits,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'m> {
    pub(super) text: &'m [u8],
    /// The id of a request, whose answer [`Carrier::receive`] will return.
    pub(super) request: Option<&'m Id>,
    /// Header field lines for this message, which carriers without header fields ignore.
    pub(super) fields: &'m str,
}

/// What a carrier has received.
#[derive(Debug)]
pub(super) enum Arrival {
    /// The text of a message; with an id if it is the whole response to the request with that id.
    Message(String, Option<Id>),
    /// The request with this id will not be answered, or was refused.
    Failed(Id, Error),
}

/// A connection to one server, over which messages go out and come in.
pub(super) trait Carrier: fmt::Debug + Send {
    /// Returns which transport this is; never [`Transport::Auto`].
    fn transport(&self) -> Transport;

    /// Sends one message.
    fn send(&mut self, message: Outgoing<'_>, deadline: Instant) -> Result<(), Error>;

    /// Waits for whatever comes next. `awaited` is the request that the caller waits for, if it is one in particular.
    fn receive(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<Arrival, Error>;

    /// Drops what belongs to a request that is answered, or that the caller has given up.
    fn forget(&mut self, _id: &Id) {}

    /// Is called once the session is initialized, with the field line that names the revision.
    fn initialized(&mut self, _version: String, _deadline: Instant) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the address for messages: path and query.
    fn endpoint(&self) -> &str;

    /// Returns the id of the session, if it is known here.
    fn session_id(&self) -> Option<&str> {
        None
    }

    /// Ends the session and closes all connections. Everything later is [`Error::Closed`].
    fn close(&mut self);
}
