//! Servers below paths of another one.
//!
//! *Scope:* [`Server::mount`], and what a mounted server takes from the outer one. *Not in scope:* paths ([`Settings::mounts`]), and which
//! session belongs to which server (`service::router`).
//!
//! ```text
//!  one port, one loop ─┬─ /mcp, /sse ──────────▶ the outer server: limits, settings, routes, authorization of all
//!                      ├─ /git/mcp, /git/sse ──▶ the server that is mounted as `git`: its own name, items, state, hooks of calls
//!                      └─ /time/mcp, … ────────▶ …
//! ```
//!
//! [`Settings::mounts`]: crate::Settings::mounts

use crate::access::settings::Settings;
use crate::limits::Limits;
use crate::server::builder::{Apart, Mounting, Server};
use crate::server::handle::Handle;
use crate::server::state::StateTypes;
use crate::service::router::Router;

impl<X> Server<X> {
    /// Serves another server below `/NAME` of this one, on the same port and the same thread: its clients connect to `/NAME/mcp` and
    /// `/NAME/sse`. The name is a segment of a path, of A-Z a-z 0-9 `_` `-` `.`; there are 255 mounts at most.
    ///
    /// Clients see two servers. The mounted one has its own name, instructions, items and [state](Server::with_state), and a session of
    /// one path is unknown on all others. What concerns the port is set for the outer server and holds for both: [limits](Server::limits),
    /// [settings](Server::settings), [routes](Server::route), keys, and [`authorize`](Server::authorize), whose hook sees the
    /// [path](crate::HttpRequest::path). Connections, sessions, calls and worker threads are counted together; each server has
    /// `mailbox_max` and `listens_max` for itself.
    ///
    /// Standard input and output have no paths: there the outer server answers. [`Settings::serves_root`] set to false
    /// leaves the paths without a name out. The server does not start if the mounted one has settings, limits, routes, keys, a hook that
    /// authorizes, or mounts of its own: they would have no effect.
    ///
    /// ```
    /// use mcp_rill::testing::Harness;
    /// use mcp_rill::{Server, Settings, schema};
    /// schema! { struct Add { a: f64, b: f64 } }
    /// let sums = Server::new("sums", "1.0.0").tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b);
    /// let clock = Server::new("clock", "1.0.0").tool("tick", "Tick", |(), _| "tock");
    /// let server = Server::new("both", "1.0.0")
    ///     .settings(Settings { serves_root: false, ..Settings::default() })
    ///     .mount("sums", sums) // /sums/mcp and /sums/sse
    ///     .mount("clock", clock); // /clock/mcp and /clock/sse
    /// // As ever: `server.listen("127.0.0.1:3001")?.run()`.
    /// let mut client = Harness::new(server).below("sums");
    /// assert_eq!(client.call("add", serde_json::json!({"a": 1, "b": 2})).text(), "3");
    /// assert_eq!(client.another().below("clock").tools(), ["tick"]);
    /// ```
    pub fn mount<Y>(mut self, name: impl Into<String>, server: Server<Y>) -> Server<X> {
        self.mounts.push((name.into(), server.retyped()));
        self.mounting = Some(Mounting { prepare: Server::apart, join: Router::join });
        self
    }
}

impl Server {
    /// # Errors
    /// What is wrong with one of them.
    fn apart(self, states: &StateTypes) -> Result<Apart, String> {
        let mut outer = self.with_mounts()?.checked(states)?;
        let mut mounted = Vec::new();
        for (name, inner) in std::mem::take(&mut outer.mounts) {
            mounted.push((inner.mounted(&name, &outer)?, name));
        }
        Ok((outer, mounted))
    }

    /// The same server, with the names of its mounts in its settings.
    ///
    /// # Errors
    /// Names that were set otherwise.
    fn with_mounts(mut self) -> Result<Server, String> {
        if !self.settings.mounts.is_empty() {
            return Err("`Settings::mounts` is for a service of your own; `Server::mount` sets it by itself"
                .to_owned());
        }
        // The same as the outer one has is no contradiction. Later the outer ones are in another form.
        let own = self.mounts.iter_mut().map(|(_, inner)| &mut inner.settings);
        own.filter(|own| **own == self.settings).for_each(|own| *own = Settings::default());
        self.settings.mounts = self.mounts.iter().map(|(name, _)| name.clone()).collect();
        Ok(self)
    }

    /// The same server as it is below `/name` of the outer one.
    ///
    /// # Errors
    /// What it has of its own that only the outer server can have, and what is wrong with it otherwise.
    fn mounted(mut self, name: &str, outer: &Server) -> Result<Server, String> {
        let settings = self.settings != Settings::default();
        let limits = self.limits != Limits::DEFAULT && self.limits != outer.limits;
        let own = [
            ("limits", limits),
            ("settings (paths, hosts, origins, health checks)", settings),
            ("routes", !self.routes.0.is_empty()),
            ("mounts", !self.mounts.is_empty()),
            #[cfg(feature = "auth")]
            ("a hook that authorizes", self.authorize.is_some()),
            #[cfg(feature = "stateless")]
            ("state keys", self.state_keys.iter().any(Option::is_some)),
        ];
        let own: Vec<&str> = own.iter().filter(|(_, has)| *has).map(|(what, _)| *what).collect();
        if !own.is_empty() {
            let own = own.join(", ");
            return Err(format!(
                "the server that is mounted as `{name}` has {own} of its own; set that for the server it is mounted in"
            ));
        }
        (self.limits, self.settings) = (outer.limits.clone(), outer.settings.clone());
        #[cfg(feature = "stateless")]
        {
            self.state_keys = outer.state_keys;
        }
        let states = self.registry.states.types;
        self.checked(&states).map_err(|problem| format!("the server that is mounted as `{name}`: {problem}"))
    }
}

impl Handle {
    /// A handle on the server that is [mounted](Server::mount) under this name; `None` if there is none. What concerns the port, such as
    /// [`shutdown`](Handle::shutdown), does the same through either: it ends all of them.
    ///
    /// ```
    /// use mcp_rill::{Server, engine::Engine};
    /// let stock = Server::new("stock", "1.0.0").resource("stock:///left", "left", |_| "7");
    /// let engine = Engine::new(Server::new("shop", "1.0.0").mount("stock", stock), || 1)?;
    /// if let Some(handle) = engine.handle().mounted("stock") {
    ///     handle.resource_updated("stock:///left");
    /// }
    /// # Ok::<(), String>(())
    /// ```
    pub fn mounted(&self, name: &str) -> Option<Handle> {
        self.0.mounted(name).map(|mailbox| Handle(mailbox.into()))
    }
}
