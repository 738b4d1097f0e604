//! Health checks: `GET /healthz`, `/livez` and `/readyz`, as container runtimes and load balancers ask them.
//!
//! *Scope:* which request is one, and its answer. *Not in scope:* connections that carry nothing else (`core::connections`).
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

use crate::access::settings::HEALTH_PATHS;
use crate::engine::Engine;
use crate::engine::budget::MEMORY_FULL;
use crate::engine::pages::StatusPage;
use crate::engine::refusals::not_allowed;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::slab::Key;

/// The one of [`HEALTH_PATHS`] that asks whether the server takes new clients.
const READY: &str = "/readyz";

impl Engine {
    /// Returns the answer to a health check; `None` if the request is something else. `path` is what `split` leaves of that of the head.
    pub(crate) fn health(&self, key: Key, head: &Head<'_>, path: &str) -> Option<OwnedResponse> {
        let core = &self.core;
        let nothing_else = core.connections.get(key)?.is_for_health();
        if !nothing_else && !core.settings.health {
            return None;
        }
        if !HEALTH_PATHS.contains(&path) {
            let pages = self.pages.iter().map(StatusPage::path);
            let paths: Vec<&str> = HEALTH_PATHS.into_iter().chain(pages).collect();
            let text = format!("only {} are served here", paths.join(", "));
            return nothing_else.then(|| OwnedResponse::text(404, text));
        }
        if !matches!(head.method, "GET" | "HEAD") {
            return Some(not_allowed(head.method, path, "GET, HEAD"));
        }
        let answer = match self.unready().filter(|_| path == READY) {
            Some(reason) => OwnedResponse::text(503, format!("not ready: {reason}")),
            None => OwnedResponse::text(200, "ok"),
        };
        Some(answer.header("Cache-Control", "no-store"))
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
