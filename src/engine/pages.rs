//! Pages for the operator: health checks, and those beside them, metrics for example.
//!
//! *Scope:* which request asks for one, and its answer. *Not in scope:* what is on it, which its author writes, and what a
//! health check finds (`health`).
//!
//! The loop answers them itself, so they come also while all workers are busy.

use crate::access::settings::{HEALTH_PATHS, is_path};
use crate::engine::Engine;
use crate::engine::refusals::not_allowed;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::protocol::panics::contained;
use crate::server::stats::Stats;
use crate::slab::Key;

/// Writes a page, from the counters of this moment.
type Write = Box<dyn FnMut(&Stats) -> Vec<u8> + Send>;

/// A page that the loop answers `GET` on one path with, for operators and their tools.
///
/// It is answered on connections for health checks ([`Engine::open_health`]), without any check of who asks. On other connections it
/// is answered only where [`for_clients`](StatusPage::for_clients) says so; Host, Origin and authorization are then checked as for any
/// other request.
pub struct StatusPage {
    path: String,
    media_type: &'static str,
    for_clients: bool,
    write: Write,
}

impl StatusPage {
    /// A page at `path`, such as `/metrics`. `write` is called for each request, on the loop's thread: it must not block. If it
    /// panics, the answer is 500.
    pub fn new(
        path: impl Into<String>,
        media_type: &'static str,
        write: impl FnMut(&Stats) -> Vec<u8> + Send + 'static,
    ) -> StatusPage {
        StatusPage { path: path.into(), media_type, for_clients: false, write: Box::new(write) }
    }

    /// Answers it on the addresses for clients too, below the base path of the settings.
    pub fn for_clients(mut self, answered: bool) -> StatusPage {
        self.for_clients = answered;
        self
    }
}

impl std::fmt::Debug for StatusPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusPage").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine {
    /// Adds a page for the operator.
    ///
    /// ```
    /// use mcp_rill::{Now, Peer, Server, engine::{Engine, StatusPage}};
    /// let (mut engine, now) = (Engine::new(Server::new("demo", "1.0.0"), || 1)?, Now::default());
    /// let page = StatusPage::new("/sessions", "text/plain", |stats| stats.sessions.to_string().into_bytes());
    /// engine.add_page(page)?;
    /// let conn = engine.open_health(now, Peer::default());
    /// engine.receive(now, conn, b"GET /sessions HTTP/1.1\r\nHost: anything\r\n\r\n");
    /// assert!(engine.outgoing(conn).ends_with(b"\r\n\r\n0"));
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// If something else has the path, or if no request can have it.
    pub fn add_page(&mut self, page: StatusPage) -> Result<(), String> {
        let (path, core) = (page.path.as_str(), &self.core);
        if !is_path(path) || path.ends_with('/') {
            return Err(format!(
                "the path `{path}` of a page must start with one `/`, not end with one, and have only characters of a URL's path"
            ));
        }
        let is_own = core.settings.own_paths().iter().any(|(_, own)| *own == path);
        let is_page = self.pages.iter().any(|other| other.path == path);
        if is_own || is_page || HEALTH_PATHS.contains(&path) || core.routes.has(path) {
            return Err(format!("`{path}` is the path of something else; choose another one for the page"));
        }
        self.pages.push(page);
        Ok(())
    }

    /// Returns the answer to a request for a page or a health check, and to all others of a connection for those; `None` if it is for
    /// something else. `path` is what `split` leaves of that of the head.
    pub(crate) fn page(&mut self, key: Key, head: &Head<'_>, path: &str) -> Option<OwnedResponse> {
        let for_health = self.core.connections.get(key)?.is_for_health();
        let is_check = (for_health || self.core.settings.health) && HEALTH_PATHS.contains(&path);
        let at = self.pages.iter().position(|page| page.path == path && (for_health || page.for_clients));
        if !is_check && at.is_none() {
            return for_health.then(|| self.no_page());
        }
        if !matches!(head.method, "GET" | "HEAD") {
            return Some(not_allowed(head.method, path, "GET, HEAD"));
        }
        let stats = self.stats();
        let answer = match at.and_then(|at| self.pages.get_mut(at)) {
            None => self.health(path),
            Some(page) => match contained(|| (page.write)(&stats)) {
                Some(body) => {
                    let content_type = Some(page.media_type.into());
                    OwnedResponse { status: 200, headers: Vec::new(), content_type, body }
                }
                None => OwnedResponse::text(
                    500,
                    format!("the page {path} could not be made: its writer panicked"),
                ),
            },
        };
        Some(answer.header("Cache-Control", "no-store"))
    }

    fn no_page(&self) -> OwnedResponse {
        let pages = self.pages.iter().map(|page| page.path.as_str());
        let paths: Vec<&str> = HEALTH_PATHS.into_iter().chain(pages).collect();
        OwnedResponse::text(404, format!("only {} are served here", paths.join(", ")))
    }
}
