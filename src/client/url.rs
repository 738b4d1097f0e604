//! `http://` URLs, `unix:` URLs, and the address that a server names for its messages.
//!
//! *Scope:* as much of RFC 3986 as a client needs that never leaves its server.
//! *Not in scope:* https, user names, relative references other than absolute paths.
//!
//! ```text
//!   http://localhost:3001/mcp      unix:///run/mcp/s#/mcp
//!          └─ host, port ─┘└target┘       └─ socket ─┘└target┘   host: localhost
//! ```

use std::fmt;
use std::path::PathBuf;

use crate::client::error::Error;
use crate::http::head::Host;
use crate::text::shown;

/// A server and a place on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query, as they go on the wire: visible ASCII only.
    pub(crate) target: String,
    /// The Unix socket to connect to, in place of host and port.
    pub(crate) socket: Option<PathBuf>,
}

impl Url {
    /// Reads `http://host[:port][/path][?query]`; a fragment is dropped (RFC 9110 §4.2.1, §7.1).
    ///
    /// Or reads `unix:///socket[#/path[?query]]`: the path of a socket, as it is, and then what is requested there. There is no
    /// standard for these.
    pub(crate) fn read(text: &str) -> Result<Url, Error> {
        if let Some((scheme, rest)) = text.split_once(':')
            && scheme.eq_ignore_ascii_case("unix")
        {
            return Url::of_socket(rest).map_err(|why| refused(text, why));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let why = match Host::read(authority) {
            _ if scheme.is_empty() => "it begins with neither http:// nor unix:",
            _ if scheme.eq_ignore_ascii_case("https") => {
                "https is not supported; put a proxy in between that ends TLS, and use http://"
            }
            _ if !scheme.eq_ignore_ascii_case("http") => "only http:// and unix: are supported",
            _ if authority.contains('@') => "it has a user name in it; send credentials in a header field",
            None => "its host is not `name` or `name:port`",
            Some(Host { port: Some(0), .. }) => "there is no port 0",
            _ if !is_target(target) => "it has a space or other characters that must be percent-encoded",
            Some(host) => {
                let slash = if target.starts_with('/') { "" } else { "/" };
                let (host, port) = (host.name.to_owned(), host.port.unwrap_or(80));
                return Ok(Url { host, port, target: format!("{slash}{target}"), socket: None });
            }
        };
        Err(refused(text, why))
    }

    /// Reads what follows `unix:`.
    fn of_socket(text: &str) -> Result<Url, &'static str> {
        let (path, target) = text.split_once('#').unwrap_or((text, "/"));
        let path = match path.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            None if !path.is_empty() => path,
            _ => return Err("it names no socket; write its absolute path, as in unix:///run/mcp/s#/mcp"),
        };
        if !(target.starts_with('/') && is_target(target)) {
            return Err(
                "what follows `#` is not the path of an MCP endpoint, such as unix:///run/mcp/s#/mcp",
            );
        }
        let (host, socket) = ("localhost".to_owned(), Some(PathBuf::from(path)));
        Ok(Url { host, port: 80, target: target.to_owned(), socket })
    }

    /// Resolves the data of an `endpoint` event: an absolute path on this server, or a URL with the same origin (RFC 6454
    /// §5). Anything else could send the messages, and the credentials in them, to a stranger.
    pub(crate) fn resolve(&self, endpoint: &str) -> Result<Url, Error> {
        let path = endpoint.split('#').next().unwrap_or_default();
        if path.starts_with('/') && !path.starts_with("//") && is_target(path) {
            return Ok(Url { target: path.to_owned(), ..self.clone() });
        }
        let same = |url: &Url| url.host.eq_ignore_ascii_case(&self.host) && url.port == self.port;
        let found = Url::read(endpoint).ok().filter(same);
        found.map(|url| Url { target: url.target, ..self.clone() }).ok_or_else(|| {
            Error::Protocol(format!(
                "the server wants messages at `{}`, which is not a path on `{}`, where the stream is",
                shown(endpoint.as_bytes()),
                self.origin()
            ))
        })
    }

    /// Returns the server as a URL begins, for error texts.
    pub(crate) fn origin(&self) -> String {
        match &self.socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => format!("http://{}", self.authority()),
        }
    }

    /// Returns the value of a `Host` field (RFC 9110 §7.2).
    pub(crate) fn authority(&self) -> String {
        let host = &self.host;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }

    /// Returns the session's id, under any of the names that servers give the parameter.
    pub(crate) fn session_id(&self) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| ["sessionId", "session_id", "sessionid"].contains(name)).map(|(_, id)| id)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.socket.is_some() { "#" } else { "" };
        write!(f, "{}{separator}{}", self.origin(), self.target)
    }
}

fn refused(text: &str, why: &str) -> Error {
    Error::Invalid(format!("`{}` is not a URL for this client: {why}", shown(text.as_bytes())))
}

/// True if no byte of a target ends the request line early: what follows would be a request of the server's making.
fn is_target(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16, target: &str) -> Url {
        Url { host: host.to_owned(), port, target: target.to_owned(), socket: None }
    }

    #[test]
    fn urls_that_are_read() {
        for (text, expected, authority) in [
            ("http://localhost:3001/sse", url("localhost", 3001, "/sse"), "localhost:3001"),
            ("HTTP://Example.com", url("Example.com", 80, "/"), "Example.com"),
            ("http://h:80/a?b=c#d", url("h", 80, "/a?b=c"), "h"),
            ("http://h?b", url("h", 80, "/?b"), "h"),
            ("http://[::1]:3001/sse", url("::1", 3001, "/sse"), "[::1]:3001"),
            ("http://h/a#http://x", url("h", 80, "/a"), "h"),
        ] {
            let read = Url::read(text).unwrap();
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.authority(), authority, "{text}");
        }
    }

    #[test]
    fn sockets_are_named_by_their_paths() {
        for (text, path, target) in [
            ("unix:///run/mcp/s#/mcp", "/run/mcp/s", "/mcp"),
            ("UNIX:/run/mcp/s#/sse?a=b", "/run/mcp/s", "/sse?a=b"),
            ("unix:s.sock", "s.sock", "/"),
            ("unix:///a b/é", "/a b/é", "/"),
        ] {
            let read = Url::read(text).unwrap();
            assert_eq!(read, Url { socket: Some(path.into()), ..url("localhost", 80, target) }, "{text}");
            assert_eq!(
                (read.authority(), read.to_string()),
                ("localhost".to_owned(), format!("unix:{path}#{target}"))
            );
        }
    }

    #[test]
    fn urls_that_are_refused_say_why() {
        for (text, why) in [
            ("https://localhost:3001/sse", "https is not supported"),
            ("ws://localhost", "only http:// and unix:"),
            ("localhost:3001/sse", "neither http:// nor unix:"),
            ("", "neither http:// nor unix:"),
            ("unix:", "names no socket"),
            ("unix://", "names no socket"),
            ("unix://run/mcp/s", "names no socket"),
            ("unix:#/mcp", "names no socket"),
            ("unix:/s#mcp", "what follows `#`"),
            ("unix:/s#/m\r\nX: y", "what follows `#`"),
            ("http://", "its host"),
            ("http://:80/", "its host"),
            ("http://a b/", "its host"),
            ("http://h:99999/", "its host"),
            ("http://h:0/", "port 0"),
            ("http://user:secret@h/", "user name"),
            ("http://h/a b", "percent-encoded"),
            ("http://h/a\r\nX: y", "percent-encoded"),
            ("http://h/é", "percent-encoded"),
        ] {
            let error = Url::read(text).unwrap_err();
            assert!(matches!(&error, Error::Invalid(text) if text.contains(why)), "{text}: {error}");
        }
    }

    #[test]
    fn endpoints_stay_on_the_server() {
        let stream = url("Localhost", 3001, "/sse");
        for (endpoint, target) in [
            ("/messages?sessionId=7", "/messages?sessionId=7"),
            ("http://localhost:3001/m", "/m"),
            ("HTTP://LOCALHOST:3001?x", "/?x"),
            ("/m#part", "/m"),
        ] {
            assert_eq!(stream.resolve(endpoint).unwrap(), url("Localhost", 3001, target));
        }
        for endpoint in [
            "",
            "messages",
            "?sessionId=7",
            "//evil.example/m",
            "http://evil.example:3001/m",
            "http://localhost:3002/m",
            "http://localhost/m",
            "https://localhost:3001/m",
            "/m HTTP/1.1",
            "/m\nX: y",
        ] {
            let error = stream.resolve(endpoint).unwrap_err().to_string();
            assert!(
                error.contains("http://Localhost:3001") && error.contains("wants messages at"),
                "{error}"
            );
        }
    }

    #[test]
    fn session_ids_have_several_names() {
        for (target, id) in [
            ("/m?sessionId=a", Some("a")),
            ("/m?x=1&session_id=b", Some("b")),
            ("/m?sessionid=c&y", Some("c")),
            ("/m?x=1", None),
            ("/m", None),
        ] {
            assert_eq!(url("h", 80, target).session_id(), id, "{target}");
        }
    }
}
