//! The other end of a connection, and who it is.
//!
//! *Scope:* [`Peer`] and [`Principal`]. *Not in scope:* how the principal is found: a hook or the transport says so.

use std::net::SocketAddr;
use std::sync::Arc;

/// Who an authenticated peer is. Sessions belong to the principal that opened them.
///
/// One word, because every connection and every session has room for one.
///
/// ```
/// let ada = mcp_rill::Principal::new("ada");
/// assert_eq!(ada.name(), "ada");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<Box<str>>);

impl Principal {
    /// A principal of that name.
    pub fn new(name: impl Into<Box<str>>) -> Principal {
        Principal(Arc::new(name.into()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// The other end of a connection, as the transport knows it. Handlers see it in [`Call::peer`](crate::Call::peer); a
/// driver of your own says it when it opens a connection.
///
/// ```
/// use mcp_rill::{Peer, Principal};
/// let over_tls = Peer { principal: Some(Principal::new("CN=ada")), ..Peer::default() };
/// assert_eq!((over_tls.address, over_tls.loopback), (None, false));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` on a transport that has none.
    pub address: Option<SocketAddr>,
    /// Whether the listener is bound to a loopback address, so that `localhost` is a name for it.
    pub loopback: bool,
    /// Whether it came over a Unix socket, which no web page can reach, so that requests may name any host.
    pub unix: bool,
    /// Who it is, if the transport knows that already; behind a hook of [`Server::authorize`](crate::Server::authorize),
    /// who that says the request at hand is from.
    pub principal: Option<Principal>,
}
