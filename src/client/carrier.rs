//! What carries a client's messages to a server and back.
//!
//! *Scope:* the same calls for a server of HTTP and for one of lines. *Not in scope:* what either does about them.

use std::sync::Arc;
use std::time::Instant;

use crate::client::error::Error;
use crate::client::http::Http;
#[cfg(unix)]
use crate::client::line_server::LineServer;
use crate::client::transport::{Arrival, Outgoing, RequestDefaults, Transport};
use crate::jsonrpc::id::Id;

/// One server, to which messages go and from which they come.
#[derive(Debug)]
pub(super) enum Carrier {
    Http(Http),
    #[cfg(unix)]
    Lines(LineServer),
}

/// Does the same with either carrier.
macro_rules! either {
    ($carrier:expr, $inner:ident => $what:expr) => {
        match $carrier {
            Carrier::Http($inner) => $what,
            #[cfg(unix)]
            Carrier::Lines($inner) => $what,
        }
    };
}

impl Carrier {
    /// Streamable HTTP; nothing is sent yet.
    pub(super) fn new(defaults: &Arc<RequestDefaults>) -> Carrier {
        Carrier::Http(Http::new(defaults, Transport::Streamable))
    }

    /// Begins anew with another transport over HTTP. Lines carry sessions and requests without one.
    pub(super) fn change_transport(&mut self, transport: Transport) {
        match self {
            Carrier::Http(http) => *http = Http::new(http.defaults(), transport),
            #[cfg(unix)]
            Carrier::Lines(_) => {}
        }
    }

    /// Begins anew with HTTP+SSE.
    pub(super) fn open_sse(&mut self, deadline: Instant) -> Result<(), Error> {
        match self {
            Carrier::Http(http) => *http = Http::open_sse(http.defaults(), deadline)?,
            #[cfg(unix)]
            Carrier::Lines(_) => {}
        }
        Ok(())
    }

    /// Makes it possible to send `initialize` after `server/discover` failed in this way.
    ///
    /// # Errors
    /// The same one, if it says nothing about what the server speaks.
    pub(super) fn recover(&mut self, error: Error) -> Result<(), Error> {
        match self {
            Carrier::Http(_) => Err(error),
            #[cfg(unix)]
            Carrier::Lines(server) => server.recover(error),
        }
    }

    /// True if the server takes the end of the connection for the cancellation of a request without a session.
    pub(super) fn cancels_by_closing(&self) -> bool {
        matches!(self, Carrier::Http(_))
    }

    /// Returns the server's URL or program, for error texts.
    pub(super) fn place(&self) -> String {
        match self {
            Carrier::Http(http) => http.defaults().url.to_string(),
            #[cfg(unix)]
            Carrier::Lines(server) => server.place(),
        }
    }

    /// Returns which transport this is; never [`Transport::Auto`].
    pub(super) fn transport(&self) -> Transport {
        match self {
            Carrier::Http(http) => http.transport(),
            #[cfg(unix)]
            Carrier::Lines(_) => Transport::Stdio,
        }
    }

    /// Returns the address for messages: path and query; empty for lines.
    pub(super) fn endpoint(&self) -> &str {
        match self {
            Carrier::Http(http) => http.endpoint(),
            #[cfg(unix)]
            Carrier::Lines(_) => "",
        }
    }

    /// Returns the id of the session, if it has one that is known here.
    pub(super) fn session_id(&self) -> Option<&str> {
        match self {
            Carrier::Http(http) => http.session_id(),
            #[cfg(unix)]
            Carrier::Lines(_) => None,
        }
    }

    /// Sends one message.
    pub(super) fn send(&mut self, message: Outgoing<'_>, deadline: Instant) -> Result<(), Error> {
        either!(self, carrier => carrier.send(message, deadline))
    }

    /// Waits for whatever comes next. `awaited` is the request that the caller waits for, if it is one in particular.
    pub(super) fn receive(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<Arrival, Error> {
        match self {
            Carrier::Http(http) => http.receive(deadline, awaited),
            #[cfg(unix)]
            Carrier::Lines(server) => server.receive(deadline),
        }
    }

    /// Drops what belongs to a request that is answered, or that the caller has given up.
    pub(super) fn forget(&mut self, id: &Id) {
        match self {
            Carrier::Http(http) => http.forget(id),
            #[cfg(unix)]
            Carrier::Lines(_) => {}
        }
    }

    /// Is called once the session is initialized, with the field line that names the revision.
    pub(super) fn initialized(&mut self, version: String, deadline: Instant) -> Result<(), Error> {
        match self {
            Carrier::Http(http) => http.initialized(version, deadline),
            #[cfg(unix)]
            Carrier::Lines(_) => Ok(()),
        }
    }

    /// Ends the session, and closes all connections or ends the child. Everything later is [`Error::Closed`].
    pub(super) fn close(&mut self) {
        either!(self, carrier => carrier.close());
    }
}
