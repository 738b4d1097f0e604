//! The other end of a connection, and who it is.
//!
//! *Scope:* [`Peer`] and [`Principal`]. *Not in scope:* how the principal is found: by a hook or by the transport.

use std::net::SocketAddr;
use std::sync::Arc;

/// The identity of an authenticated peer. Sessions belong to the principal that opened them.
///
/// It is one word long, because every connection and every session has room for one.
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

/// The other end of a connection, as the transport knows it. Handlers see it in [`Call::peer`](crate::Call::peer). A
/// driver of your own passes it when it opens a connection.
///
/// ```
/// use mcp_rill::{Peer, Principal};
/// let over_tls = Peer { principal: Some(Principal::new("CN=ada")), ..Peer::default() };
/// assert_eq!((over_tls.address, over_tls.loopback), (None, false));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The address; `None` on a transport without addresses.
    pub address: Option<SocketAddr>,
    /// True if the listener is bound to a loopback address, so that `localhost` is a name for it.
    pub loopback: bool,
    /// True if the connection came over a Unix socket. Web pages cannot reach one, so requests may name any host.
    pub unix: bool,
    /// The principal, if the transport knows it. With a hook of [`Server::authorize`](crate::Server::authorize), the principal
    /// that the hook returned for the current request.
    pub principal: Option<Principal>,
}
