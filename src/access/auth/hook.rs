//! The `authorize` hook: what it is asked, and what it returns.
//!
//! *Scope:* [`HttpRequest`], which reads `Authorization: Bearer`, and [`Denied`]. *Not in scope:* when the hook is asked
//! (the engine's `auth`), what a denial looks like on the wire (`denial`), lists of tokens (`tokens`).
//!
//! ```text
//!  HttpRequest ──▶ hook ─┬─ Ok(Principal) ──▶ served, and sessions belong to that principal
//!                        └─ Err(Denied) ────▶ 401, 403 or 400 with a challenge
//! ```

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::access::peer::{Peer, Principal};
use crate::http::head::{Head, Single};

/// The hook of [`Server::authorize`](crate::Server::authorize).
pub(crate) type Authorize = Box<dyn FnMut(&HttpRequest<'_>) -> Result<Principal, Denied> + Send>;

/// The head of a request that is to be authorized, and its peer.
///
/// It does not have the query: tokens in URLs end up in logs and histories (RFC 6750 §5.3).
///
/// ```
/// use mcp_rill::{Denied, Principal, Server};
/// let server = Server::new("notes", "1.0.0").authorize(|request| {
///     let read_only = request.method() == "GET" || request.header("x-read-only").is_some();
///     match request.bearer()? {
///         "an-admin-token-nobody-can-guess" => Ok(Principal::new("admin")),
///         "a-guest-token-nobody-can-guess" if read_only => Ok(Principal::new("guest")),
///         "a-guest-token-nobody-can-guess" => Err(Denied::insufficient_scope("notes:write", "guests may only read")),
///         _ => Err(Denied::invalid_token("no such token")),
///     }
/// });
/// ```
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    head: &'a Head<'a>,
    peer: &'a Peer,
}

impl<'a> HttpRequest<'a> {
    pub(crate) fn new(head: &'a Head<'a>, peer: &'a Peer) -> HttpRequest<'a> {
        HttpRequest { head, peer }
    }

    /// The method (RFC 9110 §9).
    pub fn method(&self) -> &'a str {
        self.head.method
    }

    /// The path as sent, still percent-encoded, with the prefix of a proxy.
    pub fn path(&self) -> &'a str {
        self.head.path
    }

    /// The value of the header field of that name, if there is one and no other, and if it is UTF-8. Of two that differ one may be
    /// the peer's and one its proxy's, and to take either is a guess (RFC 9110 §5.3): [`headers`](HttpRequest::headers) returns
    /// both. There is at most one `Authorization`: a request with two is refused before.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head.single_str(name)
    }

    /// The values of all header fields of that name, in their order. What is not UTF-8 is left out.
    pub fn headers<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.head.headers_named(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The other end of the connection, with the principal that the transport knows.
    pub fn peer(&self) -> &'a Peer {
        self.peer
    }

    /// The token of `Authorization: Bearer` (RFC 6750 §2.1).
    ///
    /// # Errors
    /// [`Denied::missing`] if there is no such field, or if it has another scheme. [`Denied::malformed`] if no `token68`
    /// (RFC 9110 §11.2) follows the scheme.
    pub fn bearer(&self) -> Result<&'a str, Denied> {
        let Single::One(value) = self.head.single("authorization") else { return Err(Denied::missing()) };
        let (scheme, token) = value.split_at_checked(6).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"bearer") || token.first().is_some_and(|byte| *byte != b' ') {
            return Err(Denied::missing());
        }
        let token = std::str::from_utf8(token).ok().map(|token| token.trim_start_matches(' '));
        token.filter(|token| is_token68(token)).ok_or_else(|| {
            Denied::malformed("Authorization has no token after `Bearer`, or one that cannot be")
        })
    }
}

/// Shows no fields, because they hold secrets.
impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HttpRequest { head, peer } = self;
        f.debug_struct("HttpRequest")
            .field("method", &head.method)
            .field("path", &head.path)
            .field("peer", peer)
            .finish_non_exhaustive()
    }
}

/// RFC 9110 §11.2: letters, digits and `-._~+/`, then any number of `=`.
pub(crate) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Why a request is not authorized. The peer gets the description in the `WWW-Authenticate` field and in the body, so it
/// must not hold a secret.
///
/// ```
/// use mcp_rill::Denied;
/// let expired = Denied::invalid_token("the token has expired").scope("notes:read");
/// assert_eq!(expired.status(), 401);
/// assert_eq!(Denied::insufficient_scope("notes:write", "guests may only read").status(), 403);
/// assert_eq!([Denied::missing().status(), Denied::malformed("no token").status()], [401, 400]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    status: u16,
    error: Option<&'static str>,
    description: Cow<'static, str>,
    scope: Option<String>,
}

impl Denied {
    /// 401: the request has no bearer token.
    pub fn missing() -> Denied {
        Denied::new(401, None, "send Authorization: Bearer and a token".into())
    }

    /// 401: the token is unknown, expired, revoked, or issued for another resource (RFC 6750 §3.1).
    pub fn invalid_token(description: impl Into<Cow<'static, str>>) -> Denied {
        Denied::new(401, Some("invalid_token"), description.into())
    }

    /// 403: the token is valid but not sufficient. `scope` names the scopes that are needed, separated by spaces (RFC 6749
    /// §3.3). Clients ask for them at the authorization server (MCP 2025-11-25, authorization).
    pub fn insufficient_scope(scope: impl Into<String>, description: impl Into<Cow<'static, str>>) -> Denied {
        Denied::new(403, Some("insufficient_scope"), description.into()).scope(scope)
    }

    /// 400: the credentials cannot be parsed, or are sent twice.
    pub fn malformed(description: impl Into<Cow<'static, str>>) -> Denied {
        Denied::new(400, Some("invalid_request"), description.into())
    }

    /// 500: the hook panicked. The token may be valid.
    pub(crate) fn failed() -> Denied {
        Denied::new(500, Some("server_error"), "the authorization of the request failed".into())
    }

    /// 503: there was no answer in time. The token may be valid.
    pub(crate) fn late() -> Denied {
        let description = "the token could not be checked in time (limit authorize_timeout); try again";
        Denied::new(503, Some("temporarily_unavailable"), description.into())
    }

    /// 503: the request waited, and gave way to another one.
    pub(crate) fn crowded() -> Denied {
        let description = "too many requests wait for their authorization (limit authorizing_max); try again";
        Denied::new(503, Some("temporarily_unavailable"), description.into())
    }

    fn new(status: u16, error: Option<&'static str>, description: Cow<'static, str>) -> Denied {
        Denied { status, error, description, scope: None }
    }

    /// Names the scope that the request needs.
    pub fn scope(mut self, scope: impl Into<String>) -> Denied {
        self.scope = Some(scope.into());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body's `error`. Where the challenge has none, SDK servers send this one.
    pub(crate) fn error(&self) -> &'static str {
        self.error.unwrap_or("invalid_token")
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// The value of `WWW-Authenticate` (RFC 6750 §3). A request without credentials gets no error (§3.1). `metadata` is the
    /// URL of the document that names the authorization server (RFC 9728 §5.1). `scope` is used where the hook has named none.
    pub(crate) fn challenge(&self, metadata: Option<&str>, scope: Option<&str>) -> String {
        let parameters = [
            ("error", self.error),
            ("error_description", self.error.map(|_| &*self.description)),
            ("scope", self.scope.as_deref().or(scope)),
            ("resource_metadata", metadata),
        ];
        // At least one parameter is a must (RFC 6750 §3).
        let mut text = String::from("Bearer realm=\"mcp\"");
        for (name, value) in parameters.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            text.extend([", ", name, "=\""]);
            // No character that would have to be escaped (RFC 6750 §3 allows none).
            let plain = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
            text.extend(value.chars().map(|c| if plain(c) { c } else { '\'' }));
            text.push('"');
        }
        text
    }
}

/// Refuses a request whose credentials could be read in two ways.
pub(crate) fn check_single(head: &Head<'_>) -> Result<(), Denied> {
    match head.single("authorization") {
        Single::Several => Err(Denied::malformed("Authorization is sent more than once; send it once")),
        _ => Ok(()),
    }
}

/// Calls the hook. A panic of the hook is caught and denies the request.
pub(crate) fn ask(hook: &mut Authorize, head: &Head<'_>, peer: &Peer) -> Result<Principal, Denied> {
    check_single(head)?;
    catch_unwind(AssertUnwindSafe(|| hook(&HttpRequest::new(head, peer))))
        .unwrap_or_else(|_| Err(Denied::failed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_token68() {
        for token in ["a", "AZaz09-._~+/==", "a.b-c_d~e+f/g="] {
            assert!(is_token68(token), "{token}");
        }
        for token in ["", "=", "a b", "a=b", "a,b", "\"a\"", "a:b", "ä"] {
            assert!(!is_token68(token), "{token}");
        }
    }

    #[test]
    fn a_field_that_is_sent_twice_has_no_single_value() {
        let mut fields = crate::http::head::Fields::new();
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nX-User: eve\r\nX-One: 1\r\nx-user: ada\r\n\r\n";
        let head = crate::http::head::parse(text, &mut fields, &crate::limits::Limits::DEFAULT).unwrap();
        let peer = Peer::default();
        let request = HttpRequest::new(&head, &peer);
        assert_eq!(
            [request.header("x-one"), request.header("x-user"), request.header("x")],
            [Some("1"), None, None]
        );
        assert_eq!(request.headers("x-user").collect::<Vec<_>>(), ["eve", "ada"]);
        assert_eq!(request.headers("x").count(), 0);
    }

    #[test]
    fn a_description_cannot_end_its_quotes() {
        let denied = Denied::invalid_token("a \"b\" \\ c\r\nX: ä, error=\"d\"");
        let challenge = denied.challenge(None, None);
        assert_eq!(
            challenge,
            "Bearer realm=\"mcp\", error=\"invalid_token\", error_description=\"a 'b' ' c''X: ', error='d'\""
        );
    }
}
