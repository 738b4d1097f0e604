//! One HTTP/1.1 connection: a blocking socket that is never read or written for longer than told.
//!
//! *Scope:* connecting, writing a request, reading the head of a response, and whether a connection can be used again.
//! *Not in scope:* redirects, proxies, TLS, bodies, and what requests are for.
//!
//! A write that blocks is interrupted every [`SLICE`], and the caller can read its other connections: a server that takes
//! no request before one of those has been read would otherwise wait for us while we wait for it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::client::error::{Error, is_redirect};
use crate::client::url::Url;
use crate::http::client::{ResponseHead, parse_response};
use crate::http::head::{Fields, Framing};
use crate::http::search::Search;
use crate::limits::Limits;

/// How long one read or write blocks before other connections get a turn.
pub(super) const SLICE: Duration = Duration::from_millis(50);
/// Responses with 1xx before the final one.
const INTERIM_MAX: usize = 8;
const READ_BYTES: usize = 16 << 10;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    /// Bytes that were read and not used yet.
    pub(super) input: Vec<u8>,
    /// How far the end of the response's head was searched for in them.
    search: Search,
    /// Responses with 1xx so far.
    interim: usize,
    /// Since when it has been idle after a response, and how long the server said it would keep it.
    idle: Option<(Instant, Duration)>,
}

/// What the head of a response says.
#[derive(Debug)]
pub(super) struct ResponseInfo {
    pub(super) status: u16,
    pub(super) framing: Option<Framing>,
    pub(super) content_type: String,
    pub(super) session_id: Option<String>,
    /// Where a redirect leads, which says more than its body.
    pub(super) moved: Option<String>,
    /// How long the server keeps the connection afterwards; `None` if it closes it.
    keep: Option<Duration>,
}

impl Connection {
    /// Tries each address of the host. The system looks up its name, and keeps no deadline.
    pub(super) fn open(url: &Url, deadline: Instant) -> Result<Connection, Error> {
        let named = |error: io::Error| {
            let text = format!("cannot connect to {}: {error}", url.authority());
            Error::Io(io::Error::new(error.kind(), text))
        };
        let mut last = io::Error::new(ErrorKind::NotFound, "the host name has no address");
        let mut addresses = (url.host.as_str(), url.port).to_socket_addrs().map_err(named)?;
        while let Some(address) = addresses.next() {
            // An address that swallows everything must leave time for the next one.
            let rest = u32::try_from(addresses.size_hint().0).unwrap_or(u32::MAX);
            match TcpStream::connect_timeout(&address, left(deadline)? / rest.saturating_add(1)) {
                Ok(socket) => {
                    // Without it a request can wait 40 ms for the server's delayed acknowledgement.
                    let _ = socket.set_nodelay(true);
                    let search = Search::in_response();
                    return Ok(Connection { socket, input: Vec::new(), search, interim: 0, idle: None });
                }
                Err(error) => last = error,
            }
        }
        if last.kind() == ErrorKind::TimedOut { Err(Error::Timeout) } else { Err(named(last)) }
    }

    /// True if a request was answered on it before.
    pub(super) fn was_used(&self) -> bool {
        self.idle.is_some()
    }

    /// True if another request can be tried: the server has neither closed it nor sent anything unasked.
    pub(super) fn is_usable(&mut self) -> bool {
        let Some((since, keep)) = self.idle else { return true };
        since.elapsed() < keep && self.input.is_empty() && matches!(self.read(Duration::ZERO), Ok(None))
    }

    /// Sends a request. Whenever the socket blocks, `meanwhile` is called; an error of it gives up.
    pub(super) fn send(
        &mut self,
        request: &[u8],
        deadline: Instant,
        mut meanwhile: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        (self.search, self.interim) = (Search::in_response(), 0);
        let mut rest = request;
        while !rest.is_empty() {
            self.socket.set_write_timeout(Some(left(deadline)?.min(SLICE)))?;
            match self.socket.write(rest) {
                Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if is_pause(&error) => meanwhile()?,
                // A server that refuses a long request may close before it has read it. Its response is here all the
                // same, and if there is none the read fails as well.
                Err(error) if is_break(&error) => break,
                written => return Err(written.err().unwrap_or_else(|| ErrorKind::WriteZero.into()).into()),
            }
        }
        Ok(())
    }

    /// Reads once into `input`, for no longer than `wait`. Returns the number of bytes, which is 0 at the end, or `None`
    /// if nothing came.
    pub(super) fn read(&mut self, wait: Duration) -> io::Result<Option<usize>> {
        let mut buffer = [0; READ_BYTES];
        let read = if wait.is_zero() {
            self.socket.set_nonblocking(true)?;
            let read = self.socket.read(&mut buffer);
            self.socket.set_nonblocking(false)?;
            read
        } else {
            self.socket.set_read_timeout(Some(wait))?;
            self.socket.read(&mut buffer)
        };
        match read {
            Ok(count) => {
                self.input.extend_from_slice(buffer.get(..count).unwrap_or_default());
                Ok(Some(count))
            }
            Err(error) if is_pause(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the head of the response in what was read so far, after those with 1xx; `None` if more must be read.
    pub(super) fn head(&mut self, limits: &Limits) -> Result<Option<ResponseInfo>, Error> {
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
    pub(super) fn cut_off(&self) -> io::Error {
        let text = match self.has_answered() {
            false => "the server closed the connection without answering",
            true => "the server closed the connection in the middle of its answer",
        };
        io::Error::new(ErrorKind::UnexpectedEof, text)
    }

    /// True if the connection broke before any byte of the response came.
    pub(super) fn is_unanswered(&self, error: &io::Error) -> bool {
        !self.has_answered() && is_break(error)
    }

    fn has_answered(&self) -> bool {
        !self.input.is_empty() || self.interim > 0
    }

    /// Returns the connection after a response that was read to its end, if it can be used again.
    pub(super) fn kept(mut self, info: &ResponseInfo) -> Option<Connection> {
        self.idle = Some((Instant::now(), info.keep?));
        self.input.is_empty().then_some(self)
    }
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
    pub(super) fn is(&self, media_type: &str) -> bool {
        self.content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
    }
}

/// `timeout=5, max=100`: returns how long the server keeps an idle connection.
fn keep_alive_timeout(value: &str) -> Option<Duration> {
    let parameters = value.split(',').filter_map(|parameter| parameter.split_once('='));
    let mut timeouts = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    timeouts.next().and_then(|(_, seconds)| seconds.trim().parse().ok()).map(Duration::from_secs)
}

/// Returns the time until a deadline.
///
/// # Errors
/// [`Error::Timeout`] if none is left.
pub(super) fn left(deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Error::Timeout) } else { Ok(left) }
}

/// True if nothing happened in the time that was given; systems disagree on what to call that.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// True if the peer, or something on the way, has ended the connection.
fn is_break(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

/// Returns a moment from now; a time beyond what the clock can hold becomes a century.
pub(crate) fn after(time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(time.min(CENTURY)).unwrap_or(now)
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
