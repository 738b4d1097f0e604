//! One HTTP/1.1 connection: a blocking socket that is never read or written for longer than a given time.
//!
//! *Scope:* connecting, writing a request, reading the head of a response, and whether a connection can be used again.
//! *Not in scope:* redirects, proxies, TLS, bodies, and what requests are for.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::client::error::{Error, is_redirect};
use crate::client::socket::{Socket, is_break};
use crate::client::url::Url;
use crate::http::client::{ResponseHead, parse_response};
use crate::http::head::{Fields, Framing};
use crate::http::search::Search;
use crate::limits::Limits;
use crate::text::shown;

/// How a server of TLS answers a request without it: the first bytes of an alert (RFC 8446 §5.1, §6).
const TLS_ALERT: &[u8] = &[21, 3];
/// What a response begins with (RFC 9112 §4).
const HTTP: &[u8] = b"HTTP/";
/// Responses with 1xx before the final one.
const INTERIM_MAX: usize = 8;

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    /// Bytes that were read and not used yet.
    pub(crate) input: Vec<u8>,
    /// How far the end of the response's head was searched for in them.
    search: Search,
    /// Responses with 1xx so far.
    interim: usize,
    /// Since when it has been idle after a response, and how long the server said it would keep it.
    idle: Option<(Instant, Duration)>,
}

/// What the head of a response says.
#[derive(Debug)]
pub(crate) struct ResponseInfo {
    pub(crate) status: u16,
    pub(crate) framing: Option<Framing>,
    pub(super) content_type: String,
    pub(super) session_id: Option<String>,
    /// Where a redirect leads, which says more than its body.
    pub(super) moved: Option<String>,
    /// How long the server keeps the connection afterwards; `None` if it closes it.
    keep: Option<Duration>,
}

impl Connection {
    pub(crate) fn open(url: &Url, deadline: Instant) -> Result<Connection, Error> {
        let (socket, search) = (Socket::connect(url, deadline)?, Search::in_response());
        Ok(Connection { socket, input: Vec::new(), search, interim: 0, idle: None })
    }

    /// True if a request was answered on it before.
    pub(crate) fn was_used(&self) -> bool {
        self.idle.is_some()
    }

    /// True if another request can be tried: the server has neither closed it nor sent anything unasked.
    pub(crate) fn is_usable(&mut self) -> bool {
        let Some((since, keep)) = self.idle else { return true };
        since.elapsed() < keep && self.input.is_empty() && matches!(self.read(Duration::ZERO), Ok(None))
    }

    /// Sends a request. Whenever the socket blocks, `meanwhile` is called; an error of it gives up.
    pub(crate) fn send(
        &mut self,
        request: &[u8],
        deadline: Instant,
        meanwhile: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        (self.search, self.interim) = (Search::in_response(), 0);
        // A server that refuses a long request may close before it has read it. Its response is here all the same, and if
        // there is none the read fails as well.
        self.socket.write_all(request, deadline, meanwhile).map(|_| ())
    }

    /// Reads once into `input`, for no longer than `wait`. Returns the number of bytes, which is 0 at the end, or `None`
    /// if nothing came.
    pub(crate) fn read(&mut self, wait: Duration) -> io::Result<Option<usize>> {
        self.socket.read(&mut self.input, wait)
    }

    /// Returns the head of the response in what was read so far, after those with 1xx; `None` if more must be read.
    pub(crate) fn head(&mut self, limits: &Limits) -> Result<Option<ResponseInfo>, Error> {
        check_protocol(&self.input)?;
        while self.interim < INTERIM_MAX {
            let found = self.search.find(&self.input, limits).map_err(|refusal| {
                Error::Protocol(format!("the server's response is malformed: {}", refusal.reason))
            })?;
            let Some(range) = found else { return Ok(None) };
            let end = range.end;
            let mut fields = Fields::new();
            let bytes = self.input.get(range).unwrap_or_default();
            // Of all methods only HEAD changes how a response is read (RFC 9112 §6.3).
            let head = parse_response(bytes, &mut fields, "GET", limits);
            let head = head.map_err(|refusal| Error::Protocol(refusal.reason.into_owned()));
            let info = head.and_then(|head| ResponseInfo::of(&head))?;
            self.input.drain(..end);
            self.search = Search::in_response();
            if info.status >= 200 {
                return Ok(Some(info));
            }
            self.interim += 1;
        }
        Err(Error::Protocol(format!("the server sent more than {INTERIM_MAX} interim responses")))
    }

    /// Returns the error for a connection that ended before the head of the response, or in the middle of it.
    pub(crate) fn cut_off(&self) -> io::Error {
        let text = match self.has_answered() {
            false => "the server closed the connection without answering",
            true => "the server closed the connection in the middle of its answer",
        };
        io::Error::new(ErrorKind::UnexpectedEof, text)
    }

    /// True if the connection broke before any byte of the response came.
    pub(crate) fn is_unanswered(&self, error: &io::Error) -> bool {
        !self.has_answered() && is_break(error)
    }

    fn has_answered(&self) -> bool {
        !self.input.is_empty() || self.interim > 0
    }

    /// Returns the connection after a response that was read to its end, if it can be used again.
    pub(crate) fn kept(mut self, info: &ResponseInfo) -> Option<Connection> {
        self.idle = Some((Instant::now(), info.keep?));
        self.input.is_empty().then_some(self)
    }
}

/// Checks that an answer begins as one of HTTP. What waits for the end of another one's head may wait in vain.
fn check_protocol(input: &[u8]) -> Result<(), Error> {
    let begin = input.get(..HTTP.len()).unwrap_or(input);
    if HTTP.starts_with(begin) {
        return Ok(());
    }
    Err(match input.starts_with(TLS_ALERT) {
        true => Error::protocol(
            "the server speaks TLS; https is not supported: put a proxy in between that ends TLS, and connect to that",
        ),
        false => Error::Protocol(format!(
            "the server does not speak HTTP; its answer begins with `{}`; check the port",
            shown(input)
        )),
    })
}

impl ResponseInfo {
    /// # Errors
    /// Two session ids: whichever is taken, something on the way may have taken the other one.
    fn of(head: &ResponseHead<'_>) -> Result<ResponseInfo, Error> {
        let text = |name: &str| head.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let mut sessions = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("mcp-session-id"));
        let session = sessions.next();
        if sessions.any(|(_, id)| session.is_some_and(|(_, first)| first != id)) {
            return Err(Error::protocol("the server's response has two different values of Mcp-Session-Id"));
        }
        let location = text("location").filter(|_| is_redirect(head.status));
        let keep = text("keep-alive").as_deref().and_then(keep_alive_timeout).unwrap_or(Duration::MAX);
        Ok(ResponseInfo {
            status: head.status,
            framing: head.framing,
            content_type: text("content-type").unwrap_or_default(),
            session_id: text("mcp-session-id"),
            moved: location.map(|location| format!("moved to {location}")),
            keep: head.keep_alive.then_some(keep),
        })
    }

    /// True if the body is of that media type, with any parameters (RFC 9110 §8.3.1).
    pub(crate) fn is(&self, media_type: &str) -> bool {
        self.content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
    }
}

/// `timeout=5, max=100`: returns how long the server keeps an idle connection.
fn keep_alive_timeout(value: &str) -> Option<Duration> {
    let parameters = value.split(',').filter_map(|parameter| parameter.split_once('='));
    let mut timeouts = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    timeouts.next().and_then(|(_, seconds)| seconds.trim().parse().ok()).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_fields() {
        for (value, seconds) in [
            ("timeout=54", Some(54)),
            ("max=100, Timeout = 5 ", Some(5)),
            ("timeout=", None),
            ("max=3", None),
            ("", None),
        ] {
            assert_eq!(keep_alive_timeout(value), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
