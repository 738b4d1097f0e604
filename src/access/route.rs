//! Routes: paths that are served besides those of MCP.
//!
//! *Scope:* [`RouteRequest`], [`RouteResponse`], and which route serves a request. *Not in scope:* the checks that a request has
//! passed before (the engine's `gate`), and reading its body.
//!
//! ```text
//!  head ─▶ path? ─┬─ of no route ──▶ MCP's own paths, or 404
//!                 └─ of a route ──▶ method? ─┬─ of none ──▶ 405, with those that are
//!                                            └─ HEAD counts as GET ──▶ body, whole ──▶ handler ──▶ response, whole
//! ```

use std::borrow::Cow;
use std::fmt;

use crate::access::peer::Peer;
use crate::access::settings::{HEALTH_PATHS, Settings, is_path};
use crate::http::head::Head;
use crate::http::response::OwnedResponse;

/// A request for a route of [`Server::route`](crate::Server::route): its head, its whole body, and who sent it.
#[derive(Clone, Copy)]
pub struct RouteRequest<'a> {
    head: &'a Head<'a>,
    peer: &'a Peer,
    body: &'a [u8],
}

impl<'a> RouteRequest<'a> {
    pub(crate) fn new(head: &'a Head<'a>, peer: &'a Peer, body: &'a [u8]) -> RouteRequest<'a> {
        RouteRequest { head, peer, body }
    }

    /// The method (RFC 9110 §9).
    pub fn method(&self) -> &'a str {
        self.head.method
    }

    /// The path as sent, still percent-encoded, with the prefix of a proxy.
    pub fn path(&self) -> &'a str {
        self.head.path
    }

    /// The query as sent, without the `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.head.query
    }

    /// The value of the header field of that name, if there is one and no other, and if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head.single_str(name)
    }

    /// The body, of at most `body_bytes_max` bytes.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The other end of the connection, with its principal if the server authorizes requests.
    pub fn peer(&self) -> &'a Peer {
        self.peer
    }
}

/// Shows no fields and no body, because they may hold secrets.
impl fmt::Debug for RouteRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouteRequest { head, peer, body } = self;
        f.debug_struct("RouteRequest")
            .field("method", &head.method)
            .field("path", &head.path)
            .field("peer", peer)
            .field("body_bytes", &body.len())
            .finish_non_exhaustive()
    }
}

/// The response of a route. It is sent whole, so it has at most `message_bytes_max` bytes; instead of a longer one the client gets 500.
///
/// ```
/// use mcp_rill::RouteResponse;
/// let moved = RouteResponse::new(308).header("Location", "/mcp");
/// let page = RouteResponse::new(200).header("Cache-Control", "no-store").body("text/html; charset=utf-8", "<h1>Hello</h1>");
/// let text = RouteResponse::text(200, "ok");
/// ```
#[derive(Clone, Debug)]
pub struct RouteResponse(OwnedResponse);

impl RouteResponse {
    /// A response of this status, from 200 to 599, without a body.
    pub fn new(status: u16) -> RouteResponse {
        RouteResponse(OwnedResponse { status, ..OwnedResponse::default() })
    }

    /// A response of plain text.
    pub fn text(status: u16, text: impl Into<String>) -> RouteResponse {
        RouteResponse(OwnedResponse::text(status, text))
    }

    /// Adds a header field. Those of the connection and of the body's length and type are the server's own.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> RouteResponse {
        self.0.headers.push((name, value.into()));
        self
    }

    /// Sets the body and its media type.
    pub fn body(
        mut self,
        media_type: impl Into<Cow<'static, str>>,
        body: impl Into<Vec<u8>>,
    ) -> RouteResponse {
        self.0.content_type = Some(media_type.into());
        self.0.body = body.into();
        self
    }

    /// Returns the response, or what is wrong with it.
    pub(crate) fn checked(self, body_bytes_max: usize) -> Result<OwnedResponse, String> {
        let OwnedResponse { status, headers, content_type, body } = &self.0;
        if !(200..600).contains(status) {
            return Err(format!("the status {status} is not one of 200 to 599"));
        }
        if matches!(status, 204 | 304) && !body.is_empty() {
            return Err(format!("a response of status {status} has no body (RFC 9110 §6.4.1)"));
        }
        if body.len() > body_bytes_max {
            let bytes = body.len();
            return Err(format!(
                "the body has {bytes} bytes; {body_bytes_max} are allowed (limit message_bytes_max)"
            ));
        }
        for (name, value) in headers {
            if OWN_FIELDS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                return Err(format!("the header field `{name}` is the server's own"));
            }
            if !is_token(name) || !is_field_value(value) {
                return Err(format!("the header field `{name}` has a name or a value that cannot be sent"));
            }
        }
        match content_type {
            Some(media_type) if !is_field_value(media_type) => {
                Err(format!("the media type `{}` cannot be sent", media_type.escape_debug()))
            }
            _ => Ok(self.0),
        }
    }
}

/// Fields by which a client knows where the response ends, and what the server says of each response.
const OWN_FIELDS: [&str; 6] =
    ["Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive", "Date"];

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_char)
}

/// RFC 9110 §5.5, without the bytes that are obsolete.
fn is_field_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic()) && text.trim() == text
}

pub(crate) type RouteHandler = Box<dyn FnMut(&RouteRequest<'_>) -> RouteResponse + Send>;

pub(crate) struct Route {
    pub(crate) method: String,
    /// Without a slash at its end.
    pub(crate) path: String,
    /// True if requests for it need no authorization.
    #[cfg(feature = "auth")]
    pub(crate) is_public: bool,
    pub(crate) handler: RouteHandler,
}

impl Route {
    pub(crate) fn new(method: &str, path: &str, handler: RouteHandler) -> Route {
        let path = path.strip_suffix('/').unwrap_or(path).to_owned();
        Route {
            method: method.to_owned(),
            path,
            #[cfg(feature = "auth")]
            is_public: false,
            handler,
        }
    }
}

/// Shows the method and the path.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{} `{path}`", self.method)
    }
}

/// All routes of a server.
#[derive(Default)]
pub(crate) struct Routes(pub(crate) Vec<Route>);

/// What the routes have for a request.
pub(crate) enum Found {
    Route(usize),
    /// The path has routes, and none of this method: these are those.
    OtherMethods(String),
}

impl Routes {
    /// Returns the route of a path relative to the server's own; `None` if the path has none.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<Found> {
        let mut of_path = self.0.iter().enumerate().filter(|(_, route)| route.path == path).peekable();
        of_path.peek()?;
        let mut methods = Vec::new();
        for (at, route) in of_path {
            if route.method == method || route.method == "GET" && method == "HEAD" {
                return Some(Found::Route(at));
            }
            methods.push(route.method.as_str());
            methods.extend((route.method == "GET").then_some("HEAD"));
        }
        Some(Found::OtherMethods(methods.join(", ")))
    }

    /// True if a path, without a slash at its end, has routes.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|route| route.path == path)
    }

    /// True if the request is for a route that needs no authorization.
    #[cfg(feature = "auth")]
    pub(crate) fn is_public(&self, method: &str, path: &str) -> bool {
        let found = if self.0.is_empty() { None } else { self.find(method, path) };
        matches!(found, Some(Found::Route(at)) if self.0.get(at).is_some_and(|route| route.is_public))
    }

    /// True if requests for this route need no authorization.
    #[cfg(feature = "auth")]
    pub(crate) fn is_public_at(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(|route| route.is_public)
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut Route> {
        self.0.get_mut(at)
    }

    /// # Errors
    /// A method or a path that cannot be, and a path that is served already.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), String> {
        for (at, route) in self.0.iter().enumerate() {
            let Route { method, path, .. } = route;
            if !METHODS.contains(&method.as_str()) {
                return Err(format!("the method of the route {route} must be one of {}", METHODS.join(", ")));
            }
            if !path.is_empty() && !is_path(path) {
                return Err(format!(
                    "the path of the route {route} must start with one `/` and have only characters of a URL's path"
                ));
            }
            let is_own = settings.own_paths().iter().any(|(_, own)| own == path);
            let is_health = settings.health && HEALTH_PATHS.contains(&path.as_str());
            let is_document = path.starts_with("/.well-known/oauth-protected-resource");
            if is_own || is_health || is_document {
                return Err(format!("the route {route} has a path that the server serves itself"));
            }
            let segment = path.split('/').nth(1).unwrap_or_default();
            if settings.mounts.iter().any(|mount| mount == segment) {
                return Err(format!(
                    "the route {route} is below the mount `{segment}`, which serves all of its paths"
                ));
            }
            if self.0.iter().take(at).any(|other| other.path == *path && other.method == *method) {
                return Err(format!("the route {route} was added twice"));
            }
        }
        Ok(())
    }
}

/// HEAD is answered by the route of GET, and OPTIONS by the server.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_named() {
        let problem = |response: RouteResponse| response.checked(4).unwrap_err();
        assert!(RouteResponse::new(204).checked(4).is_ok());
        assert!(RouteResponse::text(200, "four").header("X-A", "b c").checked(4).is_ok());
        assert_eq!(
            problem(RouteResponse::text(200, "fives")),
            "the body has 5 bytes; 4 are allowed (limit message_bytes_max)"
        );
        for status in [0, 101, 199, 600] {
            assert!(problem(RouteResponse::new(status)).contains("is not one of 200 to 599"));
        }
        assert!(problem(RouteResponse::text(304, "no")).contains("has no body"));
        for (name, value) in [("X A", "b"), ("", "b"), ("X-A", "b\r\nX-B: c"), ("X-A", " b"), ("X-A", "é")] {
            assert!(
                problem(RouteResponse::new(200).header(name, value)).contains("cannot be sent"),
                "{name} {value}"
            );
        }
        for name in ["content-length", "Transfer-Encoding", "DATE"] {
            assert!(
                problem(RouteResponse::new(200).header(name, "1")).contains("the server's own"),
                "{name}"
            );
        }
        assert!(problem(RouteResponse::new(200).body("a\nb", "x")).contains("media type"));
    }
}
