//! Health checks: `GET /healthz`, `/livez` and `/readyz`, as container runtimes and load balancers ask them.
//!
//! *Scope:* what they find. *Not in scope:* which request is one (`pages`), and connections that carry nothing else
//! (`core::connections`).
//!
//! ```text
//!  /healthz, /livez ──▶ 200: the loop turns
//!  /readyz ─┬ starting: Handle::set_ready(false) ───────────────────────┐
//!           ├ shutting down ─────────────────────────────────────────────┼▶ 503, with the reason
//!           ├ full: memory, sessions, connections, calls that wait ──────┘
//!           └ anything else ──▶ 200
//! ```
//!
//! The loop answers them itself, so handlers that block hold up none of them. On the server's own listeners they are requests
//! like any other: Host, Origin and authorization are checked before.

use crate::engine::Engine;
use crate::engine::budget::MEMORY_FULL;
use crate::http::response::OwnedResponse;

/// The one of `HEALTH_PATHS` that asks whether the server takes new clients.
const READY: &str = "/readyz";

impl Engine {
    /// Returns the answer to the health check of a path, one of `HEALTH_PATHS`.
    pub(crate) fn health(&self, path: &str) -> OwnedResponse {
        match self.unready().filter(|_| path == READY) {
            Some(reason) => OwnedResponse::text(503, format!("not ready: {reason}")),
            None => OwnedResponse::text(200, "ok"),
        }
    }

    /// Returns why new clients are not served.
    fn unready(&self) -> Option<String> {
        let core = &self.core;
        let limits = core.limits();
        let full = |all: String| Some(format!("full: {all}"));
        if core.stopping.is_some() {
            Some("the server is shutting down".to_owned())
        } else if self.draining.is_some() {
            Some("the server is draining: it shuts down soon".to_owned())
        } else if !self.mailbox.is_ready() {
            Some("the server is starting".to_owned())
        } else if !core.has_room_for(1) {
            full(MEMORY_FULL.to_owned())
        } else if core.are_sessions_busy() {
            full(format!("all {} sessions are in use (limit sessions_max)", limits.sessions_max))
        } else if core.are_connections_busy() {
            full(format!("all {} connections are in use (limit connections_max)", limits.connections_max))
        } else if self.jobs.is_full() {
            full("too many calls wait for a worker (limit worker_queue_max)".to_owned())
        } else {
            None
        }
    }
}
