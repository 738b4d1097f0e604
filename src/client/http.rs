//! One HTTP/1.1 exchange at a time over a blocking socket, with a deadline for the whole of it.
//!
//! *Scope:* connecting, writing a request, reading a response's head and a bounded body. *Not in scope:* redirects,
//! proxies, TLS, and what requests are for.
//!
//! A blocked socket is left every [`SLICE`] to give the caller a turn: a server that will not take a request before its
//! other connection has been read would otherwise wait for us while we wait for it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::client::error::{Error, is_redirect};
use crate::client::url::Url;
use crate::http::body::Decoder;
use crate::http::client::{ResponseHead, parse_response};
use crate::http::head::{Fields, Framing};
use crate::http::search::Search;
use crate::limits::Limits;

/// How long one read or write blocks before the caller gets a turn.
pub(super) const SLICE: Duration = Duration::from_millis(50);
/// What of a body that nobody asked for is read so that the connection can be used again.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
/// Responses with 1xx before the final one.
const INTERIM_MAX: usize = 8;
pub(super) const READ_BYTES: usize = 16 << 10;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    /// Bytes that came and belong to nothing read so far.
    input: Vec<u8>,
    /// How far the head of the response was looked for in them.
    search: Search,
    /// Responses with 1xx so far.
    interim: usize,
    /// Since when it has been idle after a response, and for how long the server said it would keep it.
    idle: Option<(Instant, Duration)>,
}

/// What the head of a response says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) framing: Option<Framing>,
    pub(super) content_type: String,
    pub(super) location: Option<String>,
    pub(super) session_id: Option<String>,
    keep_alive: bool,
    keep: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// The connection broke before any byte of the response came.
    pub(super) unanswered: bool,
}

impl Failed {
    /// For failures that a second attempt would only repeat.
    fn for_good(error: Error) -> Failed {
        Failed { error, unanswered: false }
    }
}

/// A turn for whatever else has to go on while a socket blocks; an error gives up waiting.
pub(super) type Turn<'t> = &'t mut dyn FnMut() -> Result<(), Error>;

impl Connection {
    /// Tries each address of the host. Looking up its name is up to the system, which keeps no deadline.
    pub(super) fn open(url: &Url, deadline: Instant) -> Result<Connection, Error> {
        let named = |error: io::Error| {
            let text = format!("cannot connect to {}: {error}", url.authority());
            Error::Io(io::Error::new(error.kind(), text))
        };
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        let mut addresses = (url.host.as_str(), url.port).to_socket_addrs().map_err(named)?;
        while let Some(address) = addresses.next() {
            // An address that swallows everything must leave time for the next one.
            let rest = u32::try_from(addresses.size_hint().0).unwrap_or(u32::MAX);
            match TcpStream::connect_timeout(&address, left(deadline)? / rest.saturating_add(1)) {
                Ok(socket) => {
                    // Without it a request can wait 40 ms for the server's delayed acknowledgement.
                    let _ = socket.set_nodelay(true);
                    return Ok(Connection::new(socket));
                }
                Err(error) => last = error,
            }
        }
        if last.kind() == ErrorKind::TimedOut { Err(Error::Timeout) } else { Err(named(last)) }
    }

    fn new(socket: TcpStream) -> Connection {
        Connection { socket, input: Vec::new(), search: Search::in_response(), interim: 0, idle: None }
    }

    /// Whether a request was answered on it before.
    pub(super) fn was_used(&self) -> bool {
        self.idle.is_some()
    }

    /// Whether another request can be tried: the server has neither closed it nor sent what nobody asked for.
    pub(super) fn is_usable(&self) -> bool {
        let Some((since, keep)) = self.idle else { return true };
        if since.elapsed() >= keep || !self.input.is_empty() || self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let quiet = matches!(self.socket.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).is_ok() && quiet
    }

    /// Sends a request and reads the head of its response.
    pub(super) fn exchange(
        &mut self,
        method: &str,
        request: &[u8],
        limits: &Limits,
        deadline: Instant,
        turn: Turn<'_>,
    ) -> Result<Answer, Failed> {
        self.send(request, deadline, turn).map_err(Failed::for_good)?;
        loop {
            if let Some(answer) = self.head(method, limits).map_err(Failed::for_good)? {
                return Ok(answer);
            }
            let mut buffer = [0; READ_BYTES];
            let read = self.read(&mut buffer, deadline, turn).and_then(|count| match count {
                0 => Err(self.ended()),
                _ => Ok(count),
            });
            let count = read.map_err(|error| Failed { unanswered: self.is_unanswered(&error), error })?;
            self.take(buffer.get(..count).unwrap_or_default());
        }
    }

    /// Sends a request; [`head`](Connection::head) gives the answer when enough was read.
    pub(super) fn send(&mut self, request: &[u8], deadline: Instant, turn: Turn<'_>) -> Result<(), Error> {
        (self.search, self.interim) = (Search::in_response(), 0);
        match self.write(request, deadline, turn) {
            // A server that refuses a long request may close before it has read it; what it said is here all the same,
            // and if it said nothing the read fails as well.
            Err(error) if !is_break(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The head of the response in what was read so far, after those with 1xx; `None` if more must be read.
    pub(super) fn head(&mut self, method: &str, limits: &Limits) -> Result<Option<Answer>, Error> {
        while self.interim < INTERIM_MAX {
            let found = self.search.find(&self.input, limits).map_err(|refusal| {
                Error::Protocol(format!("the server's response is malformed: {}", refusal.reason))
            })?;
            let Some(range) = found else { return Ok(None) };
            let end = range.end;
            let mut fields = Fields::new();
            let bytes = self.input.get(range).unwrap_or_default();
            let head = parse_response(bytes, &mut fields, method, limits);
            let head = head.map_err(|refusal| Error::Protocol(refusal.reason.into_owned()));
            let answer = head.and_then(|head| Answer::of(&head))?;
            self.input.drain(..end);
            self.search = Search::in_response();
            if answer.status >= 200 {
                return Ok(Some(answer));
            }
            self.interim += 1;
        }
        Err(Error::Protocol(format!("more than {INTERIM_MAX} interim responses came")))
    }

    /// Adds what was read to what the head is looked for in.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The end of the connection where the head of a response was to come, or the rest of it.
    pub(super) fn ended(&self) -> Error {
        let text = if self.input.is_empty() && self.interim == 0 {
            "the server closed without answering"
        } else {
            "the server closed in the middle of its answer"
        };
        io::Error::new(ErrorKind::UnexpectedEof, text).into()
    }

    /// Whether the connection broke before any byte of the response came.
    pub(super) fn is_unanswered(&self, error: &Error) -> bool {
        self.input.is_empty() && self.interim == 0 && is_break(error)
    }

    /// The rest of a response as text, cut at [`BODY_BYTES_MAX`], and the connection itself if it can be used again.
    pub(super) fn finish(
        mut self,
        answer: &Answer,
        limits: &Limits,
        deadline: Instant,
        turn: Turn<'_>,
    ) -> (String, Option<Connection>) {
        let mut decoder = answer.framing.map_or_else(Decoder::until_close, Decoder::new);
        let (mut body, mut input, mut whole) = (Vec::new(), std::mem::take(&mut self.input), false);
        loop {
            let room = |body: &Vec<u8>| BODY_BYTES_MAX.saturating_sub(body.len());
            let keep = |data: &[u8]| {
                let room = room(&body);
                body.extend_from_slice(data.get(..room).unwrap_or(data));
            };
            let Ok(progress) = decoder.decode(&input, limits, keep) else { break };
            input.drain(..progress.used.min(input.len()));
            whole = progress.done;
            if whole || room(&body) == 0 {
                break;
            }
            let mut buffer = [0; READ_BYTES];
            match self.read(&mut buffer, deadline, turn) {
                Ok(count) if count > 0 => input.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                _ => break,
            }
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        if !whole || !input.is_empty() {
            return (text, None);
        }
        (text, self.kept(answer))
    }

    /// The connection after a response that was read to its end, if it can be used again.
    pub(super) fn kept(mut self, answer: &Answer) -> Option<Connection> {
        self.idle = Some((Instant::now(), answer.keep.unwrap_or(Duration::MAX)));
        Some(self).filter(|connection| answer.keep_alive && connection.input.is_empty())
    }

    /// Reads some bytes; 0 at the end.
    pub(super) fn read(&mut self, out: &mut [u8], deadline: Instant, turn: Turn<'_>) -> Result<usize, Error> {
        loop {
            let slice = left(deadline)?.min(SLICE);
            self.socket.set_read_timeout(Some(slice))?;
            match self.socket.read(out) {
                Ok(count) => return Ok(count),
                Err(error) if is_pause(&error) => turn()?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what comes in that time; `None` if nothing does.
    pub(super) fn read_within(&mut self, out: &mut [u8], wait: Duration) -> io::Result<Option<usize>> {
        if wait.is_zero() {
            return self.read_now(out);
        }
        self.socket.set_read_timeout(Some(wait))?;
        match self.socket.read(out) {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_pause(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there without waiting; `None` if nothing is.
    pub(super) fn read_now(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        self.socket.set_nonblocking(true)?;
        let read = self.socket.read(out);
        self.socket.set_nonblocking(false)?;
        match read {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_pause(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Bytes that came right behind a response's head.
    pub(super) fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Ends it in both directions.
    pub(super) fn close(&self) {
        // Fails if the peer ended it before.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn write(&mut self, bytes: &[u8], deadline: Instant, turn: Turn<'_>) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let slice = left(deadline)?.min(SLICE);
            self.socket.set_write_timeout(Some(slice))?;
            match self.socket.write(rest) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if is_pause(&error) => turn()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Answer {
    /// # Errors
    /// Two session ids: whichever is taken, something on the way may have taken the other one.
    fn of(head: &ResponseHead<'_>) -> Result<Answer, Error> {
        let text = |name: &str| head.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let mut sessions = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("mcp-session-id"));
        let session = sessions.next();
        if sessions.any(|(_, id)| session.is_some_and(|(_, first)| first != id)) {
            let text = "the server's response has two different values of Mcp-Session-Id";
            return Err(Error::Protocol(text.to_owned()));
        }
        Ok(Answer {
            status: head.status,
            framing: head.framing,
            keep_alive: head.keep_alive,
            content_type: text("content-type").unwrap_or_default(),
            location: text("location"),
            session_id: text("mcp-session-id"),
            keep: text("keep-alive").as_deref().and_then(keep_alive_timeout),
        })
    }

    /// Where a redirect leads, which says more than its body.
    pub(super) fn moved(&self) -> Option<String> {
        let location = self.location.as_deref().filter(|_| is_redirect(self.status));
        location.map(|location| format!("moved to {location}"))
    }

    /// Whether the body is of that media type, whatever its parameters (RFC 9110 §8.3.1).
    pub(super) fn is(&self, media_type: &str) -> bool {
        self.content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
    }
}

/// The error of a response that is no success, and the connection if it can be used again.
pub(super) fn refused(
    connection: Connection,
    answer: &Answer,
    limits: &Limits,
    deadline: Instant,
    turn: Turn<'_>,
) -> (Error, Option<Connection>) {
    let status = answer.status;
    let (body, kept) = connection.finish(answer, limits, deadline, turn);
    (Error::Http { status, body: answer.moved().unwrap_or(body) }, kept)
}

/// `timeout=5, max=100`: for how long the server keeps an idle connection.
fn keep_alive_timeout(value: &str) -> Option<Duration> {
    let parameters = value.split(',').filter_map(|parameter| parameter.split_once('='));
    let mut timeouts = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    timeouts.next().and_then(|(_, seconds)| seconds.trim().parse().ok()).map(Duration::from_secs)
}

/// The time until a deadline; none left is an error.
pub(super) fn left(deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Error::Timeout) } else { Ok(left) }
}

/// Nothing happened in the time that was given; systems disagree on what to call that.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The peer, or something on the way, has ended the connection.
fn is_break(error: &Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        error,
        Error::Io(error) if matches!(
            error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
        )
    )
}

/// A moment from now; a time beyond what the clock can say is a century.
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
