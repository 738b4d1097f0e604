//! Authorization as an author sets it up.
//!
//! *Scope:* [`Server::authorize`], [`Server::authorize_later`], [`Server::protected_resource`], [`Server::public_route`],
//! [`Handle::reauthorize`]. *Not in scope:* the hook itself and lists of tokens (`access::auth`), and when the hook
//! is asked (the engine's `auth`).

use crate::access::auth::hook::{Denied, HttpRequest};
use crate::access::auth::resource::ProtectedResource;
use crate::access::peer::Principal;
use crate::access::route::{Route, RouteRequest, RouteResponse};
use crate::server::admission::{Admission, AuthorizeHook};
use crate::server::builder::Server;
use crate::server::handle::Handle;

impl<X> Server<X> {
    /// Sets the hook that authorizes requests: it returns the principal of each request, or denies it. It is called before
    /// anything but `Host` and `Origin` is looked at. Only the metadata document, CORS preflights and
    /// [public routes](Server::public_route) are open to all.
    ///
    /// [`Call::principal`](crate::Call::principal) is the principal of the request. A session belongs to the principal that
    /// opened it, and does not exist for others. One connection may carry requests of several principals.
    ///
    /// The hook runs on the loop's thread, once for each request (and again after
    /// [`Handle::reauthorize`](crate::Handle::reauthorize)), so it must not block: check a signature or look into a list (such
    /// as [`Tokens`](crate::Tokens)), but ask no other server. If it panics, the request gets 500: after a 401 the client would
    /// throw away a token that may be valid.
    ///
    /// It is not called on connections of lines, such as standard input and output: the program that opens one has authorized
    /// its peer.
    ///
    /// A server with a hook may listen on addresses that other machines can reach. Without a hook the principal is that of the
    /// transport ([`Peer::principal`](crate::Peer::principal)). There is an example at [`HttpRequest`].
    pub fn authorize(
        mut self,
        hook: impl FnMut(&HttpRequest<'_>) -> Result<Principal, Denied> + Send + 'static,
    ) -> Server<X> {
        self.authorize = Some(AuthorizeHook::Now(Box::new(hook)));
        self
    }

    /// As [`authorize`](Server::authorize), for a hook that may have to ask another server, such as one that introspects tokens (RFC
    /// 7662). It answers through the [`Admission`]: at once, or later and from another thread. Until then the request waits, for at
    /// most `authorize_timeout`; of such requests there are at most `authorizing_max`, and of one more the newest one of the client with
    /// most is refused, unless the new one is answered at once.
    /// Others go on meanwhile. The hook itself must not block.
    /// It takes the place of the other hook.
    ///
    /// It is called for every request, so it keeps for some time what it has learned:
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::{Arc, Mutex, mpsc};
    /// use mcp_rill::{Admission, Denied, Principal, Server};
    /// # fn introspect(_: &str) -> Option<String> { None }
    /// let known: Arc<Mutex<BTreeMap<String, Principal>>> = Arc::default();
    /// let (ask, questions) = mpsc::channel::<(String, Admission)>();
    /// let learned = known.clone();
    /// std::thread::spawn(move || {
    ///     for (token, admission) in questions {
    ///         match introspect(&token).map(Principal::new) {
    ///             Some(principal) => {
    ///                 learned.lock().unwrap().insert(token, principal.clone());
    ///                 admission.admit(principal);
    ///             }
    ///             None => admission.deny(Denied::invalid_token("the token is not active")),
    ///         }
    ///     }
    /// });
    /// let server = Server::new("notes", "1.0.0").authorize_later(move |request, admission| match request.bearer() {
    ///     Err(denied) => admission.deny(denied),
    ///     Ok(token) => match known.lock().unwrap().get(token) {
    ///         Some(principal) => admission.admit(principal.clone()),
    ///         None => drop(ask.send((token.to_owned(), admission))),
    ///     },
    /// });
    /// ```
    ///
    /// After [`Handle::reauthorize`](crate::Handle::reauthorize) it is called for each open stream; one for which no answer comes in
    /// `authorize_timeout` is closed. A request whose body was being received then gets 503, and its client sends it again.
    pub fn authorize_later(
        mut self,
        hook: impl FnMut(&HttpRequest<'_>, Admission) + Send + 'static,
    ) -> Server<X> {
        self.authorize = Some(AuthorizeHook::Later(Box::new(hook)));
        self
    }

    /// Tells clients where to get a token: see [`Settings::resource`](crate::Settings::resource).
    pub fn protected_resource(mut self, resource: ProtectedResource) -> Server<X> {
        self.settings.resource = Some(resource);
        self
    }
}

impl<X> Server<X> {
    /// Serves a path as [`route`](Server::route) does, also for requests that are not authorized: a page that a browser opens, for
    /// example, which cannot send a token.
    ///
    /// ```
    /// use mcp_rill::{RouteResponse, Server, Tokens};
    /// let tokens = Tokens::read("ada:2a0f0b5e3c6d4a798f1e1d5c7b9a3e60")?;
    /// let server = Server::new("notes", "1.0.0")
    ///     .authorize(move |request| tokens.authorize(request))
    ///     .public_route("GET", "/", |_| RouteResponse::new(200).body("text/html", "<h1>Notes</h1>"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn public_route(
        mut self,
        method: &str,
        path: &str,
        handler: impl FnMut(&RouteRequest<'_>) -> RouteResponse + Send + 'static,
    ) -> Server<X> {
        self.routes.0.push(Route { is_public: true, ..Route::new(method, path, Box::new(handler)) });
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
        self.0.ask_engine(|mail| mail.reauthorize = true);
    }
}
