//! Authorization as an author sets it up.
//!
//! *Scope:* [`Server::authorize`], [`Server::protected_resource`], [`Handle::reauthorize`]. *Not in scope:* the hook itself and
//! lists of tokens (`access::auth`), and when the hook is asked (the engine's `auth`).

use std::sync::atomic::Ordering;

use crate::access::auth::hook::{Denied, HttpRequest};
use crate::access::auth::resource::ProtectedResource;
use crate::access::peer::Principal;
use crate::server::builder::Server;
use crate::server::handle::Handle;
use crate::server::mailbox::Mailbox;

impl Server {
    /// Sets the hook that authorizes requests: it returns the principal of each request, or denies it. It is called before
    /// anything but `Host` and `Origin` is looked at. Only the metadata document and CORS preflights are open to all.
    ///
    /// [`Call::principal`](crate::Call::principal) is the principal of the request. A session belongs to the principal that
    /// opened it, and does not exist for others. One connection may carry requests of several principals.
    ///
    /// The hook runs on the loop's thread, once for each request (and again after
    /// [`Handle::reauthorize`](crate::Handle::reauthorize)), so it must not block: check a signature or look into a list (such
    /// as [`Tokens`](crate::Tokens)), but ask no other server. If it panics, the request gets 500: after a 401 the client would
    /// throw away a token that may be valid.
    ///
    /// It is not asked on connections of lines, such as standard input and output: the program that opens one has let its peer in.
    ///
    /// A server with a hook may listen on addresses that other machines can reach. Without a hook the principal is that of the
    /// transport ([`Peer::principal`](crate::Peer::principal)). There is an example at [`HttpRequest`].
    pub fn authorize(
        mut self,
        hook: impl FnMut(&HttpRequest<'_>) -> Result<Principal, Denied> + Send + 'static,
    ) -> Server {
        self.authorize = Some(Box::new(hook));
        self
    }

    /// Tells clients where to get a token: see [`Settings::resource`](crate::Settings::resource).
    pub fn protected_resource(mut self, resource: ProtectedResource) -> Server {
        self.settings.resource = Some(resource);
        self
    }
}

impl Handle {
    /// Calls the hook of [`Server::authorize`](crate::Server::authorize) again for every open stream and every request that waits
    /// for its answer, with the head of the request. If the hook denies it now, or returns another principal, the connection is
    /// closed. A request whose body is still being received is checked when the body is complete.
    ///
    /// To be called when a token is withdrawn or may have expired; the hook is called for each new request anyway. Heads are kept
    /// for this, and count towards `buffered_bytes_max`.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// # use mcp_rill::{Server, Tokens, engine::Engine};
    /// let tokens = Arc::new(Mutex::new(Tokens::default()));
    /// let list = tokens.clone();
    /// let server = Server::new("demo", "1.0.0").authorize(move |request| match list.lock() {
    ///     Ok(tokens) => tokens.authorize(request),
    ///     Err(_) => panic!("the request gets 500"),
    /// });
    /// let engine = Engine::new(server, || 1)?;
    /// // later, on any thread, with another list:
    /// *tokens.lock().unwrap() = Tokens::read("ada:2a0f0b5e3c6d4a798f1e1d5c7b9a3e60").unwrap();
    /// engine.handle().reauthorize();
    /// # Ok::<(), String>(())
    /// ```
    pub fn reauthorize(&self) {
        self.0.reauthorize.store(true, Ordering::Release);
        self.0.wake();
    }
}

impl Mailbox {
    /// Returns true if [`Handle::reauthorize`] was called since the last call.
    pub(crate) fn take_reauthorize(&self) -> bool {
        self.reauthorize.swap(false, Ordering::AcqRel)
    }
}
