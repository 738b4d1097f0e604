//! Which HTTP requests a server takes, and under which paths.
//!
//! *Scope:* [`Settings`] and their check. *Not in scope:* applying them; the engine's routes do.

use std::net::Ipv6Addr;

use crate::http::head::Host;
use crate::text::is_scheme;

/// With the UUID and a `-` that makes 77 characters: ids stay below the 80 that are usual for stick tables of proxies.
pub(crate) const NODE_ID_CHARS_MAX: usize = 40;

/// The paths of health checks.
pub(crate) const HEALTH_PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// A session has a byte for the number of its mount.
const MOUNTS_MAX: usize = 255;

/// What HTTP requests the server takes, and under which paths ([example](crate::guide#what-a-server-can-say-of-itself)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The prefix that a reverse proxy puts before all paths: `""`, or a path such as `/tools`. The endpoint event has it.
    /// Requests are taken with and without it, so the proxy may strip it or not.
    pub base_path: String,
    /// The path where clients of HTTP+SSE open their stream (MCP 2024-11-05, transports). It begins with `/`.
    pub sse_path: String,
    /// The path where clients of HTTP+SSE post their messages.
    pub message_path: String,
    /// The path for clients of Streamable HTTP.
    pub mcp_path: String,
    /// Host names that requests may be for, besides IP addresses, and besides `localhost` on loopback listeners. Wildcards are
    /// not supported.
    pub hosts: Vec<String>,
    /// Origins of web pages that may send requests, such as `https://app.example`, besides pages from loopback names
    /// on loopback listeners. Scheme, host and port are compared, in any case of letters; `null` is never allowed.
    pub origins: Vec<String>,
    /// Allows listening on addresses that others can reach although peers are not authenticated.
    pub insecure_public: bool,
    /// Lets web pages of allowed origins read responses: preflights are answered, and responses have CORS fields (Fetch
    /// standard, CORS protocol). Which origins are allowed does not depend on this.
    #[cfg(feature = "browser")]
    pub cors: bool,
    /// Tells clients where to get a token, under `/.well-known/oauth-protected-resource` and in challenges. `None`: there is no
    /// such document.
    #[cfg(feature = "auth")]
    pub resource: Option<crate::access::auth::resource::ProtectedResource>,
    /// The name of this process among several behind one proxy. Session ids are then `<node_id>-<uuid>`, so that the proxy finds
    /// the process by the id. At most 40 letters, digits and `-`. Empty: ids are UUIDs alone. A proxy that compares the beginning
    /// takes `n1-b` for `n1`, so no name may be the beginning of another one up to a `-`.
    pub node_id: String,
    /// Keeps no sessions for clients of Streamable HTTP before 2026-07-28, so that any process behind a proxy can serve any
    /// request: `initialize` returns no session id, each POST is served by itself, and GET and DELETE get 405.
    ///
    /// Features that need a session are not advertised: logs, list changes, subscriptions, and streams that can be resumed.
    /// Questions to the client are [`Elicited::Unavailable`](crate::Elicited::Unavailable) and
    /// [`ClientAnswer::Unavailable`](crate::ClientAnswer::Unavailable). A call is cancelled when its connection ends. For clients
    /// of 2026-07-28, of HTTP+SSE and of lines nothing changes.
    pub sessionless: bool,
    /// Names of several services behind one engine: all paths exist once more below `/NAME` for each of them. They are for a
    /// [`Service`](crate::service::Service) of your own; [`Server::mount`](crate::Server::mount) sets them by itself. A session belongs to
    /// the name under which it began, and [`Session::mount`](crate::service::Session::mount) tells it to the service, which has to give
    /// each its own. Each is a segment of a path, of A-Z a-z 0-9 `_` `-` `.`; there are 255
    /// at most.
    pub mounts: Vec<String>,
    /// True if the paths are served without any such name too.
    pub serves_root: bool,
    /// Answers health checks: `GET /healthz` and `/livez` with 200 as long as the loop turns, `GET /readyz` with 503 while the
    /// server is starting ([`Handle::set_ready`](crate::Handle::set_ready)), shutting down or full. They are requests like any
    /// other: Host, Origin and authorization are checked. `Listening::also_listen_health` has an address for them alone.
    pub health: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            base_path: String::new(),
            sse_path: "/sse".to_owned(),
            message_path: "/messages".to_owned(),
            mcp_path: "/mcp".to_owned(),
            hosts: Vec::new(),
            origins: Vec::new(),
            insecure_public: false,
            #[cfg(feature = "browser")]
            cors: false,
            #[cfg(feature = "auth")]
            resource: None,
            node_id: String::new(),
            sessionless: false,
            mounts: Vec::new(),
            serves_root: true,
            health: false,
        }
    }
}

impl Settings {
    /// True if this is the path of Streamable HTTP, and that is built in.
    pub(crate) fn is_mcp_path(&self, path: &str) -> bool {
        cfg!(any(feature = "streamable", feature = "stateless")) && path == self.mcp_path
    }

    /// The paths of MCP's transports, below the base path, and what errors call them.
    pub(crate) fn own_paths(&self) -> [(&'static str, &str); 3] {
        [("SSE path", &self.sse_path), ("message path", &self.message_path), ("MCP path", &self.mcp_path)]
    }

    /// True if clients of Streamable HTTP can have sessions.
    pub(crate) fn keeps_sessions(&self) -> bool {
        cfg!(feature = "streamable") && !self.sessionless
    }

    /// Brings paths into the form `/a/b` and checks them.
    ///
    /// # Errors
    /// A sentence that names the path and its fault.
    pub(crate) fn checked(mut self) -> Result<Settings, String> {
        for (name, path) in [
            ("base path", &mut self.base_path),
            ("SSE path", &mut self.sse_path),
            ("message path", &mut self.message_path),
            ("MCP path", &mut self.mcp_path),
        ] {
            let trimmed = path.trim_end_matches('/').len();
            path.truncate(trimmed);
            let lawful = is_path(path) && !path.contains('%') || path.is_empty() && name == "base path";
            if !lawful {
                return Err(format!(
                    "the {name} `{path}` must start with one `/` and have only characters of a URL's path"
                ));
            }
        }
        let own = self.own_paths();
        for (at, (name, path)) in own.iter().enumerate() {
            if let Some((other, _)) = own.iter().skip(at + 1).find(|(_, other)| other == path) {
                return Err(format!("the {name} and the {other} are both `{path}`"));
            }
            if self.health && HEALTH_PATHS.contains(path) {
                return Err(format!("the {name} `{path}` is that of a health check; choose another one"));
            }
        }
        self.check_names()?;
        self.check_mounts()?;
        #[cfg(feature = "auth")]
        self.resource.as_ref().map_or(Ok(()), |resource| resource.check())?;
        match is_node_id(&self.node_id) || self.node_id.is_empty() {
            true => Ok(self),
            false => Err(format!(
                "the node id `{}` must have 1 to {NODE_ID_CHARS_MAX} letters, digits and `-`, and not `-` alone",
                self.node_id
            )),
        }
    }

    fn check_mounts(&self) -> Result<(), String> {
        if self.mounts.len() > MOUNTS_MAX {
            return Err(format!("there are {} mounts; {MOUNTS_MAX} are the most", self.mounts.len()));
        }
        let ours = self.own_paths().map(|(_, path)| path);
        for (at, name) in self.mounts.iter().enumerate() {
            let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            if name.is_empty() || !name.bytes().all(lawful) || name.bytes().all(|byte| byte == b'.') {
                return Err(format!("the mount `{name}` must be a segment of a path, of A-Z a-z 0-9 _ - ."));
            }
            if self.mounts.iter().take(at).any(|other| other == name) {
                return Err(format!("the mount `{name}` is there twice"));
            }
            if name == ".well-known" {
                return Err(format!(
                    "the mount `{name}` has the paths of documents about the whole host (RFC 8615); give it another name"
                ));
            }
            // A proxy may strip the base path.
            if ours.iter().any(|path| split(&format!("/{name}{path}"), self) != (Some(at), *path)) {
                let base = &self.base_path;
                return Err(format!(
                    "the mount `{name}` cannot be told from the base path `{base}`; give one another name"
                ));
            }
            // A path of several segments may begin with the name.
            if ours.iter().any(|path| split(path, self).0 == Some(at)) {
                return Err(format!(
                    "the mount `{name}` begins one of the server's own paths; give one another name"
                ));
            }
        }
        Ok(())
    }

    /// A name that no request can match is a mistake, which would otherwise show as a 403 much later.
    fn check_names(&self) -> Result<(), String> {
        if let Some(host) = self.hosts.iter().find(|host| !is_host(host)) {
            return Err(format!(
                "the allowed host `{host}` must be a name alone, in ASCII, without scheme, port and path; there are no wildcards"
            ));
        }
        self.origins.iter().try_for_each(|origin| check_origin(origin))
    }
}

/// True if a request can have this path.
pub(crate) fn is_path(text: &str) -> bool {
    let lawful = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
    text.starts_with('/') && !text.starts_with("//") && text.bytes().all(lawful)
}

/// True if a `Host` field can have this name. It has no port, because the port of the field is ignored.
fn is_host(text: &str) -> bool {
    let alone = |host: Host<'_>| host.port.is_none() && !text.ends_with(':');
    text.parse::<Ipv6Addr>().is_ok() || Host::read(text).is_some_and(alone)
}

/// Checks that a browser can send this origin: scheme, host, and a port that is not the default of the scheme (RFC 6454 §6.2).
/// Any scheme is possible, because applications and extensions have pages, too.
fn check_origin(text: &str) -> Result<(), String> {
    // What web views say of a page that is a file; browsers say `null`.
    if text.eq_ignore_ascii_case("file://") {
        return Ok(());
    }
    let parts = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
    let Some((scheme, host)) = parts.and_then(|(scheme, rest)| Some((scheme, Host::read(rest)?))) else {
        return Err(format!(
            "the allowed origin `{text}` must be like https://app.example or https://app.example:8443, in ASCII, without a \
             path; there are no wildcards"
        ));
    };
    let Some((bare, port)) =
        text.rsplit_once(':').filter(|(bare, _)| *bare != scheme && !text.ends_with(']'))
    else {
        return Ok(());
    };
    let own = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match host.port {
        Some(number) if Some(number) != own && number.to_string() == port => Ok(()),
        Some(number) if Some(number) != own => Err(format!(
            "the allowed origin `{text}`: browsers write the port as {number}; write {bare}:{number}"
        )),
        _ => Err(format!("the allowed origin `{text}`: browsers leave this port out; write {bare}")),
    }
}

/// No dots, which proxies cut ids at, and nothing that would have to be encoded in a query.
pub(crate) fn is_node_id(name: &str) -> bool {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    name.len() <= NODE_ID_CHARS_MAX && name.bytes().all(lawful) && name.bytes().any(|byte| byte != b'-')
}

/// The path without the base path and without a slash at its end: a proxy may have stripped the one, and clients add
/// the other. Nothing is ever redirected.
///
/// It has no [mount](Settings::mounts) either.
pub(crate) fn relative<'a>(path: &'a str, settings: &Settings) -> &'a str {
    split(path, settings).1
}

/// The mount that a path is below, by its number, and the path without it.
pub(crate) fn split<'a>(path: &'a str, settings: &Settings) -> (Option<usize>, &'a str) {
    let path = match path.strip_prefix(settings.base_path.as_str()) {
        Some(rest) if rest.starts_with("/") => rest,
        _ => path,
    };
    let below = |(at, name): (usize, &String)| {
        let rest = path.strip_prefix('/')?.strip_prefix(name.as_str())?;
        // What is no more than the name is no path below it.
        (rest.starts_with('/') && rest.len() > 1).then_some((Some(at), rest))
    };
    let (mount, path) = settings.mounts.iter().enumerate().find_map(below).unwrap_or((None, path));
    (mount, path.strip_suffix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_path_and_slash_do_not_matter() {
        let settings = Settings { base_path: "/base".to_owned(), ..Settings::default() };
        for path in ["/sse", "/sse/", "/base/sse", "/base/sse/"] {
            assert_eq!(relative(path, &settings), "/sse", "{path}");
        }
        assert_eq!(relative("/basement/sse", &settings), "/basement/sse");
    }

    #[test]
    fn paths_below_a_mount_are_those_of_the_root() {
        let mounts = ["git".to_owned(), "git.b".to_owned(), "mcp".to_owned()].to_vec();
        let settings = Settings { base_path: "/base".to_owned(), mounts, ..Settings::default() };
        for (path, mount, rest) in [
            ("/git/mcp", Some(0), "/mcp"),
            ("/base/git/mcp/", Some(0), "/mcp"),
            ("/git.b/sse", Some(1), "/sse"),
            ("/gitx/sse", None, "/gitx/sse"),
            ("/git", None, "/git"),
            ("/git/", None, "/git"),
            ("/mcp", None, "/mcp"),
            ("/mcp/", None, "/mcp"),
            ("/mcp/mcp", Some(2), "/mcp"),
            ("//git/mcp", None, "//git/mcp"),
        ] {
            assert_eq!(split(path, &settings), (mount, rest), "{path}");
        }
        assert!(settings.checked().is_ok());
        let refused = |names: &[&str], mcp_path: &str| {
            let mounts = names.iter().map(|name| (*name).to_owned()).collect();
            Settings { mounts, mcp_path: mcp_path.to_owned(), ..Settings::default() }.checked().unwrap_err()
        };
        assert!(refused(&["a/b"], "/mcp").contains("a segment of a path"));
        assert!(refused(&[".."], "/mcp").contains("a segment of a path"));
        assert!(refused(&["a", "a"], "/mcp").contains("twice"));
        let many = |count: usize| {
            let mounts = (0..count).map(|at| format!("m{at}")).collect();
            Settings { mounts, ..Settings::default() }.checked()
        };
        assert!(
            many(255).is_ok() && many(256).unwrap_err().contains("there are 256 mounts; 255 are the most")
        );
        assert!(refused(&["a"], "/a/mcp").contains("begins one of the server's own paths"));
    }

    /// The length at the limit and one past it.
    #[test]
    fn node_ids_are_short_and_plain() {
        let settings =
            |node_id: &str| Settings { node_id: node_id.to_owned(), ..Settings::default() }.checked();
        for name in ["", "n1", "mcp-0", &"n".repeat(40)] {
            assert!(settings(name).is_ok(), "{name}");
        }
        for name in ["a.b", "a_b", "a b", "-", "--", "a/b", "ä", &"n".repeat(41)] {
            assert!(settings(name).unwrap_err().contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn names_that_match_nothing_are_refused() {
        let settings = |host: &str, origin: &str| {
            let (hosts, origins) = (vec![host.to_owned()], vec![origin.to_owned()]);
            Settings { hosts, origins, ..Settings::default() }.checked()
        };
        for host in ["mcp.example", "MCP.example", "localhost", "10.0.0.1", "::1", "[::1]", "a_b.example."] {
            assert!(settings(host, "https://app.example:8443").is_ok(), "{host}");
        }
        for host in [
            "mcp.example:443",
            "mcp.example:",
            "http://mcp.example",
            "mcp.example/x",
            "mcp.example#",
            "",
            "*",
            "*.example",
            "a b",
            "a@b",
            "[::1",
            "exämple",
        ] {
            let error = settings(host, "https://app.example").unwrap_err();
            assert!(error.contains(&format!("`{host}`")) && error.contains("no wildcards"), "{error}");
        }
        for origin in [
            "HTTPS://App.example",
            "http://[::1]:3000",
            "http://[::1]",
            "app://a.b",
            "https://a:80",
            "file://",
        ] {
            assert!(settings("mcp.example", origin).is_ok(), "{origin}");
        }
        for origin in [
            "app.example",
            "https://app.example/",
            "https://",
            "null",
            "*",
            "https://*.example",
            "https://app.example?x",
            "https://app.example#",
            "https://app.example ",
            "https://u@app.example",
            "https://app.example:99999",
            "https://exämple",
            "://app.example",
            "ht tp://app.example",
        ] {
            let error = settings("mcp.example", origin).unwrap_err();
            assert!(error.contains(&format!("`{origin}`")) && error.contains("no wildcards"), "{error}");
        }
        for (origin, right) in [
            ("https://app.example:443", "https://app.example"),
            ("HTTP://app.example:80", "HTTP://app.example"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://app.example:", "https://app.example"),
            ("https://app.example:08443", "https://app.example:8443"),
        ] {
            let error = settings("mcp.example", origin).unwrap_err();
            assert!(error.ends_with(&format!("write {right}")), "{error}");
        }
    }
}
