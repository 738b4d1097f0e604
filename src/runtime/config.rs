//! What an engine is made of: a service, and the things around it that both sides share.
//!
//! *Scope:* [`EngineConfig`], and a [`Server`] taken apart into it and its service. *Not in scope:* the engine, and how the
//! service answers.
//!
//! ```text
//!  Server ── into_service ──▶ Service ── may be wrapped ──▶ engine
//!                        └──▶ EngineConfig: settings, limits, authorize, mailbox (Handle), jobs (threads) ──▶ engine
//! ```

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "auth")]
use crate::access::auth::hook::{Denied, HttpRequest};
#[cfg(feature = "auth")]
use crate::access::peer::Principal;
use crate::access::route::{Route, RouteRequest, RouteResponse, Routes};
use crate::access::settings::Settings;
use crate::limits::Limits;
use crate::protocol::state_key::StateKey;
use crate::runtime::handler_service::HandlerService;
use crate::runtime::jobs::Jobs;
#[cfg(feature = "auth")]
use crate::server::admission::{Admission, AuthorizeHook};
use crate::server::builder::Server;
use crate::server::handle::Handle;
use crate::server::mailbox::Mailbox;
use crate::server::state::StateTypes;
use crate::service::Service;

/// What an engine needs besides its [`Service`]: HTTP settings, limits, the hook that authenticates, and what its threads
/// and its [`Handle`] share with it.
///
/// ```
/// use mcp_rill::{Limits, Settings, engine::EngineConfig};
/// let config = EngineConfig::new(Settings::default(), Limits::default())?;
/// let handle = config.handle(); // for threads that work for the service: `Handle::wake` calls its `tick`
/// # Ok::<(), String>(())
/// ```
pub struct EngineConfig {
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) routes: Routes,
    #[cfg(feature = "auth")]
    pub(crate) authorize: Option<AuthorizeHook>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) jobs: Arc<Jobs>,
}

impl EngineConfig {
    /// The configuration of an engine whose service is not made from a [`Server`].
    ///
    /// # Errors
    /// Limits that contradict each other, and paths that cannot be.
    pub fn new(settings: Settings, limits: Limits) -> Result<EngineConfig, String> {
        limits.check()?;
        Ok(EngineConfig::of(settings.checked()?, limits, StateTypes::default(), Vec::new()))
    }

    fn of(
        settings: Settings,
        limits: Limits,
        states: StateTypes,
        mounts: Vec<(String, StateTypes)>,
    ) -> EngineConfig {
        let mailbox = Arc::new(Mailbox::new(&limits, states, mounts));
        let jobs = Arc::new(Jobs::new(&limits, mailbox.clone()));
        EngineConfig {
            settings,
            limits,
            routes: Routes::default(),
            #[cfg(feature = "auth")]
            authorize: None,
            mailbox,
            jobs,
        }
    }

    /// Serves a path besides those of MCP, as [`Server::route`] does.
    ///
    /// # Errors
    /// A method or a path that cannot be, and a path that is served already.
    pub fn route(
        self,
        method: &str,
        path: &str,
        handler: impl FnMut(&RouteRequest<'_>) -> RouteResponse + Send + 'static,
    ) -> Result<EngineConfig, String> {
        self.add_route(Route::new(method, path, Box::new(handler)))
    }

    fn add_route(mut self, route: Route) -> Result<EngineConfig, String> {
        self.routes.0.push(route);
        self.routes.check(&self.settings)?;
        Ok(self)
    }

    /// A [`Handle`] on the engine that is made from this.
    pub fn handle(&self) -> Handle {
        Handle(self.mailbox.clone())
    }
}

#[cfg(feature = "auth")]
impl EngineConfig {
    /// Sets the hook that authorizes requests, as [`Server::authorize`] does.
    pub fn authorize(
        mut self,
        hook: impl FnMut(&HttpRequest<'_>) -> Result<Principal, Denied> + Send + 'static,
    ) -> EngineConfig {
        self.authorize = Some(AuthorizeHook::Now(Box::new(hook)));
        self
    }

    /// Sets the hook that authorizes requests and may answer later, as [`Server::authorize_later`] does.
    pub fn authorize_later(
        mut self,
        hook: impl FnMut(&HttpRequest<'_>, Admission) + Send + 'static,
    ) -> EngineConfig {
        self.authorize = Some(AuthorizeHook::Later(Box::new(hook)));
        self
    }

    /// Serves a path like [`route`](EngineConfig::route), also for requests that are not authorized, as [`Server::public_route`] does.
    ///
    /// # Errors
    /// As for `route`.
    pub fn public_route(
        self,
        method: &str,
        path: &str,
        handler: impl FnMut(&RouteRequest<'_>) -> RouteResponse + Send + 'static,
    ) -> Result<EngineConfig, String> {
        self.add_route(Route { is_public: true, ..Route::new(method, path, Box::new(handler)) })
    }

    fn with_hook_of(mut self, mut server: Server) -> (EngineConfig, Server) {
        self.authorize = server.authorize.take();
        (self, server)
    }
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig")
            .field("settings", &self.settings)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<X> Server<X> {
    /// Takes the server apart: into the service that runs its handlers, and what an engine needs besides. The service can be
    /// wrapped in one of your own, or called by a test without an engine. `key` seals what clients without sessions carry
    /// for the server, unless it has a [`state_key`](Server::state_key): take it from the operating system's randomness.
    ///
    /// # Errors
    /// What is wrong with the server, as [`Engine::new`](crate::engine::Engine::new) says it.
    ///
    /// ```
    /// use mcp_rill::service::{CallKey, Outbox, Outgoing, Session, SessionKey};
    /// use mcp_rill::{Limits, Now, Peer, Server, StateKey, http::head, json::Tape, jsonrpc::IdRef, service::ServiceRequest};
    ///
    /// let server = Server::new("clock", "1.0.0").tool("tick", "Tick", |(), _| "tock");
    /// let (mut service, _config) = server.into_service(StateKey::new([7; 16]))?;
    /// let (mut fields, mut out, mut session) = (head::Fields::new(), Outbox::default(), Session::for_tests(1, None));
    /// let head = head::parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut fields, &Limits::DEFAULT).unwrap();
    /// let (call, session_key) = (CallKey::for_tests(1), SessionKey::for_tests(1));
    /// let mut tape = Tape::new();
    /// let params = tape.read(r#"{"name":"tick"}"#).unwrap();
    /// let request = ServiceRequest {
    ///     call,
    ///     id: &IdRef::Int(1),
    ///     session: session_key,
    ///     method: "tools/call",
    ///     params: Some(params),
    ///     head: &head,
    ///     peer: &Peer::default(),
    ///     now: Now::default(),
    /// };
    /// service.request(&request, &mut session, &mut out);
    /// let (what, json) = out.iter().next().unwrap();
    /// assert_eq!((what, json), (&Outgoing::Result(call), &br#"{"content":[{"type":"text","text":"tock"}]}"#[..]));
    /// # Ok::<(), String>(())
    /// ```
    pub fn into_service(self, key: StateKey) -> Result<(Box<dyn Service>, EngineConfig), String> {
        let states = self.registry.states.types;
        let mounting = self.mounting;
        let (mut server, mounted) = match &mounting {
            None => (self.retyped().checked(&states)?, Vec::new()),
            Some(mounting) => (mounting.prepare)(self.retyped(), &states)?,
        };
        let mounts =
            mounted.iter().map(|(inner, name)| (name.clone(), inner.registry.states.types)).collect();
        let mut config = EngineConfig::of(server.settings.clone(), server.limits.clone(), states, mounts);
        config.routes = std::mem::take(&mut server.routes);
        config.routes.check(&config.settings)?;
        #[cfg(feature = "auth")]
        let (config, server) = config.with_hook_of(server);
        let service_of = |server: Server, mailbox| -> Box<dyn Service> {
            Box::new(HandlerService::new(server, mailbox, config.jobs.clone(), key))
        };
        let mut services = Vec::new();
        for (inner, name) in mounted {
            let mailbox = config.mailbox.mounted(&name).map_or_else(|| config.mailbox.clone(), Arc::new);
            services.push(service_of(inner, mailbox));
        }
        let root = services.len();
        let service = service_of(server, config.mailbox.clone());
        let service = match mounting {
            None => service,
            Some(mounting) => {
                services.push(service);
                (mounting.join)(services, root)
            }
        };
        Ok((service, config))
    }
}
