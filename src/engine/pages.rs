//! Pages for the operator beside the health checks: metrics, for example.
//!
//! *Scope:* which request asks for one, and its answer. *Not in scope:* what is on it, which its author writes.
//!
//! The loop answers them itself, like [health checks](super::health): they come also while all workers are busy.

use crate::access::settings::{HEALTH_PATHS, relative};
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

    pub(crate) fn path(&self) -> &str {
        &self.path
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
    /// If something else has the path, or if it does not begin with `/`.
    pub fn add_page(&mut self, page: StatusPage) -> Result<(), String> {
        let (path, settings) = (&page.path, &self.core.settings);
        let ours = [&settings.mcp_path, &settings.sse_path, &settings.message_path];
        if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') {
            return Err(format!("the path of a page must begin with `/` and not end with one: `{path}`"));
        }
        if HEALTH_PATHS.contains(&path.as_str())
            || ours.contains(&path)
            || self.pages.iter().any(|other| other.path == *path)
        {
            return Err(format!("`{path}` is the path of something else; choose another one for the page"));
        }
        self.pages.push(page);
        Ok(())
    }

    /// Returns the answer to a request for a page; `None` if the request is for something else.
    pub(crate) fn page(&mut self, key: Key, head: &Head<'_>) -> Option<OwnedResponse> {
        if self.pages.is_empty() {
            return None;
        }
        let for_health = self.core.connections.get(key)?.is_for_health();
        let path = relative(head.path, &self.core.settings);
        let stats = self.stats();
        let page =
            self.pages.iter_mut().find(|page| page.path == path && (for_health || page.for_clients))?;
        if !matches!(head.method, "GET" | "HEAD") {
            return Some(not_allowed(head.method, path, "GET, HEAD"));
        }
        let Some(body) = contained(|| (page.write)(&stats)) else {
            return Some(OwnedResponse::text(
                500,
                format!("the page {path} could not be made: its writer panicked"),
            ));
        };
        let answer = OwnedResponse {
            status: 200,
            headers: Vec::new(),
            content_type: Some(page.media_type.into()),
            body,
        };
        Some(answer.header("Cache-Control", "no-store"))
    }
}
