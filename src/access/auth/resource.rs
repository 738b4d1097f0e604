//! The metadata document of a protected resource, which tells clients where to get a token (RFC 9728).
//!
//! *Scope:* [`ProtectedResource`]: what is in the document, and its URL. *Not in scope:* serving it (the engine's
//! `auth`), and authorization servers, which this server never talks to.
//!
//! ```text
//!  401, WWW-Authenticate: … resource_metadata="URL" ──▶ GET URL ──▶ authorization_servers ──▶ a token ──▶ again
//! ```

use crate::json::write::{Array, Object};

/// The metadata that tells clients where to get a token (RFC 9728 §2; MCP 2025-11-25, authorization).
///
/// Clients compare the document's `resource` with the URL that they connect to (RFC 9728 §3.3), and each transport has its own
/// URL. One `ProtectedResource` serves both: `resource` is the URL of either, or the part before the path
/// (`https://mcp.example`, perhaps with the base path). Each client gets a document for the URL that it asks about,
/// `https://mcp.example/mcp` or `https://mcp.example/sse`, and tokens are issued for that URL. So does each of the paths below
/// [mounts](crate::Server::mount), such as `https://mcp.example/git/mcp`. A URL with another path, because
/// a proxy gives [`mcp_path`](crate::Settings::mcp_path) another name, stands for that path alone.
///
/// ```
/// use mcp_rill::ProtectedResource;
/// let resource = ProtectedResource::new("https://mcp.example/mcp", "https://login.example").scope("notes:read");
/// assert_eq!(
///     resource.document(),
///     r#"{"resource":"https://mcp.example/mcp","authorization_servers":["https://login.example"],"#.to_owned()
///         + r#""scopes_supported":["notes:read"],"bearer_methods_supported":["header"]}"#
/// );
/// assert_eq!(resource.url(), "https://mcp.example/.well-known/oauth-protected-resource/mcp");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedResource {
    /// The URL that clients connect to, and for which tokens are issued.
    pub resource: String,
    /// The issuer identifiers of the servers that issue tokens for it (RFC 8414 §2): at least one URL.
    pub authorization_servers: Vec<String>,
    /// The scopes of this resource; may be empty. A 401 names them, unless the hook names others.
    pub scopes: Vec<String>,
}

/// Where the documents are (RFC 9728 §3).
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl ProtectedResource {
    /// A resource whose tokens come from one authorization server.
    pub fn new(resource: impl Into<String>, authorization_server: impl Into<String>) -> ProtectedResource {
        let (resource, server) = (resource.into(), authorization_server.into());
        ProtectedResource { resource, authorization_servers: vec![server], scopes: Vec::new() }
    }

    /// Adds a scope.
    pub fn scope(mut self, scope: impl Into<String>) -> ProtectedResource {
        self.scopes.push(scope.into());
        self
    }

    /// The document as JSON text (RFC 9728 §2).
    pub fn document(&self) -> String {
        let mut text = Vec::new();
        let mut object = Object::new(&mut text);
        let strings = |out: &mut Vec<u8>, items: &[String]| {
            let mut array = Array::new(out);
            items.iter().for_each(|item| {
                array.str(item);
            });
            array.end();
        };
        object.str("resource", &self.resource);
        object.field("authorization_servers", |out| strings(out, &self.authorization_servers));
        if !self.scopes.is_empty() {
            object.field("scopes_supported", |out| strings(out, &self.scopes));
        }
        object.field("bearer_methods_supported", |out| strings(out, &["header".to_owned()]));
        object.end();
        String::from_utf8(text).unwrap_or_default()
    }

    /// The URL of the document: the well-known path stands between the resource's host and its path (RFC 9728 §3.1).
    pub fn url(&self) -> String {
        let (origin, path) = self.parts();
        format!("{origin}{WELL_KNOWN}{path}")
    }

    /// The resource's path without a slash at its end, as RFC 9728 §3.1 wants it.
    pub(crate) fn path(&self) -> &str {
        self.parts().1
    }

    pub(crate) fn parts(&self) -> (&str, &str) {
        let authority = self.resource.find("://").map_or(0, |at| at + 3);
        let end = self.resource.get(authority..).and_then(|rest| rest.find('/'));
        let (origin, path) = self
            .resource
            .split_at_checked(end.map_or(self.resource.len(), |end| authority + end))
            .unwrap_or_default();
        (origin, path.trim_end_matches('/'))
    }

    /// # Errors
    /// A sentence that names the URL or scope and its fault.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.authorization_servers.is_empty() {
            return Err(
                "a protected resource needs an authorization server: --authorization-server URL".to_owned()
            );
        }
        let urls = self.authorization_servers.iter().map(|url| ("authorization server", url));
        for (name, url) in [("resource", &self.resource)].into_iter().chain(urls) {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>?#".contains(&byte));
            if host.is_empty() || !plain {
                return Err(format!(
                    "the {name} `{url}` must be like https://host/path, without query and fragment"
                ));
            }
        }
        // RFC 6749 §3.3.
        let lawful = |scope: &str| {
            !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
        };
        match self.scopes.iter().find(|scope| !lawful(scope)) {
            Some(scope) => {
                Err(format!("the scope `{scope}` must be one word of visible ASCII without quotes"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_goes_before_the_resources() {
        for (resource, url) in [
            ("https://a.example", "https://a.example/.well-known/oauth-protected-resource"),
            ("https://a.example/", "https://a.example/.well-known/oauth-protected-resource"),
            ("http://127.0.0.1:3001/mcp/", "http://127.0.0.1:3001/.well-known/oauth-protected-resource/mcp"),
            ("https://a.example/b/mcp", "https://a.example/.well-known/oauth-protected-resource/b/mcp"),
        ] {
            let resource = ProtectedResource::new(resource, "https://login.example");
            assert_eq!((resource.url().as_str(), resource.check()), (url, Ok(())));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let (good, server) = ("https://a.example", "https://b.example");
        for bad in [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https:///mcp",
            "https://a.example/?q",
            "https://a\"b",
        ] {
            for resource in [ProtectedResource::new(bad, server), ProtectedResource::new(good, bad)] {
                assert!(resource.check().unwrap_err().contains(&format!("`{bad}`")), "{bad}");
            }
        }
        assert!(ProtectedResource::new(good, server).scope("a b").check().is_err());
        let none =
            ProtectedResource { authorization_servers: Vec::new(), ..ProtectedResource::new(good, server) };
        assert!(none.check().is_err());
    }
}
