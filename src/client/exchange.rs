//! One request and its response, which comes in pieces.
//!
//! *Scope:* reading one response, whole or as a stream of events, in steps that never wait longer than a given time, so that
//! several can be read in turns; sending the request again, and resuming a stream. *Not in scope:* what a response means.
//!
//! ```text
//!           head: 200, event stream
//!   Asked ──────────────────────────▶ Events ──▶ events … lost ──▶ Paused ──▶ Asked (with Last-Event-ID)
//!     │     head: anything else
//!     └─────────────────────────────▶ Body ────▶ one text, with the status
//! ```

use std::mem;
use std::time::{Duration, Instant};

use crate::client::connection::{Connection, ResponseInfo};
use crate::client::error::Error;
use crate::client::target::{JSON, Target};
use crate::client::transport::Transport;
use crate::http::body::Decoder;
use crate::http::head::Framing;
use crate::jsonrpc::id::Id;
use crate::limits::Limits;
use crate::sse;
use crate::text::{is_value_byte, shown};

/// How much is read of a body that is not an answer: enough to show, and to use the connection again.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// How long to wait before a lost stream is resumed, if the server does not say.
const RETRY: Duration = Duration::from_secs(1);
/// The bounds of the wait that a server may ask for: with less the client would keep it busy, with more it would never
/// reconnect.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The longest id that is sent back as `Last-Event-ID`.
const CURSOR_BYTES_MAX: usize = 1024;
/// A kept connection that ends this soon was closed before the request came; later, the server may have taken it.
const RACE: Duration = Duration::from_secs(1);

/// What the response is to bring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The answer to the request with this id.
    Answer(Id),
    /// The event stream of the session itself.
    Stream,
    /// Nothing but a status.
    Delivery,
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) purpose: Purpose,
    state: State,
    /// The request, while it might have to be sent again, and when it was sent.
    sent: Option<(Vec<u8>, Instant)>,
    /// The last event's id: where to resume.
    cursor: String,
    retry: Duration,
    /// How often in a row it was resumed for nothing.
    attempts: u32,
    /// The session that the response named.
    pub(crate) session_id: Option<String>,
}

#[derive(Debug)]
enum State {
    Asked(Connection),
    Body(Body),
    Events(Body, sse::Decoder),
    Paused(Instant),
    Done,
}

/// What one step brought.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing whole; true if something came.
    Partial(bool),
    /// An event of the stream.
    Event(sse::Event),
    /// The status and the whole body, and the connection if it can be used again; the exchange is done.
    Whole(u16, String, Option<Connection>),
}

impl Exchange {
    /// A request that was sent on this connection.
    pub(crate) fn new(purpose: Purpose, connection: Connection, request: Vec<u8>) -> Exchange {
        Exchange {
            purpose,
            sent: connection.was_used().then(|| (request, Instant::now())),
            state: State::Asked(connection),
            cursor: String::new(),
            retry: RETRY,
            attempts: 0,
            session_id: None,
        }
    }

    /// As [`new`](Exchange::new), for the rest of a stream after the event with this id.
    #[cfg(feature = "bridge")]
    pub(crate) fn resumed(purpose: Purpose, connection: Connection, cursor: String) -> Exchange {
        Exchange { cursor, ..Exchange::new(purpose, connection, Vec::new()) }
    }

    /// Returns the id of the last event, after which the stream can be resumed; empty if there is none.
    #[cfg(feature = "bridge")]
    pub(crate) fn cursor(&self) -> &str {
        &self.cursor
    }

    /// True if the response has turned out to be an event stream that can be read on.
    #[cfg(feature = "bridge")]
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.state, State::Events(..))
    }

    /// Returns how many bytes of the response were read and not returned yet.
    #[cfg(feature = "bridge")]
    pub(crate) fn unused_bytes(&self) -> usize {
        match &self.state {
            State::Asked(connection) => connection.input.len(),
            State::Body(body) => body.bytes(),
            State::Events(body, decoder) => body.bytes() + decoder.unused_bytes(),
            State::Paused(_) | State::Done => 0,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Ends the exchange. Returns the connection if the response happens to be whole.
    pub(crate) fn finish(&mut self, limits: &Limits) -> Option<Connection> {
        let State::Events(mut body, _) = mem::replace(&mut self.state, State::Done) else { return None };
        if !body.whole {
            body.read(Duration::ZERO, limits).ok()?;
        }
        body.kept()
    }

    /// Returns the status of a response whose body has not come in time, and what there is of it.
    pub(crate) fn cut_short(self) -> Option<(u16, String)> {
        match self.state {
            State::Body(body) => Some((body.info.status, body.text_of_refusal())),
            _ => None,
        }
    }

    /// Reads once, for no longer than `wait`, and connects again until `deadline` if that is due.
    ///
    /// # Errors
    /// Whatever makes the response useless; the exchange is done then.
    pub(crate) fn step(&mut self, wait: Duration, target: &Target, deadline: Instant) -> Result<Step, Error> {
        match mem::replace(&mut self.state, State::Done) {
            State::Asked(connection) => self.head(connection, wait, target, deadline),
            State::Body(body) => self.body(body, wait, target),
            State::Events(body, decoder) => self.events(body, decoder, wait, target),
            State::Paused(until) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return match target.connect(&target.get(&self.cursor), deadline) {
                        Ok(connection) => self.ask(connection),
                        Err(error) => self.lost(error, target),
                    };
                }
                self.state = State::Paused(until);
                std::thread::sleep(left.min(wait));
                Ok(Step::Partial(false))
            }
            State::Done => Ok(Step::Partial(false)),
        }
    }

    /// Goes on with another connection, on which the request was sent.
    fn ask(&mut self, connection: Connection) -> Result<Step, Error> {
        self.state = State::Asked(connection);
        Ok(Step::Partial(true))
    }

    /// The stream is lost: it is resumed later if it can be, or the error is why not.
    fn lost(&mut self, error: Error, target: &Target) -> Result<Step, Error> {
        let attempts_max = match target.transport {
            Transport::Streamable => target.defaults.reconnects_max,
            _ => 0,
        };
        // What a request asked for is gone if the server named no place in its answer.
        let gone = self.cursor.is_empty() && self.purpose != Purpose::Stream;
        if self.attempts >= attempts_max || gone {
            return Err(error);
        }
        // A server that is away is asked less and less often.
        let retry = self.retry.clamp(RETRY_MIN, RETRY_MAX).saturating_mul(1 << self.attempts.min(16));
        self.attempts += 1;
        self.state = State::Paused(Instant::now() + retry.min(RETRY_MAX));
        Ok(Step::Partial(true))
    }

    fn head(
        &mut self,
        mut connection: Connection,
        wait: Duration,
        target: &Target,
        deadline: Instant,
    ) -> Result<Step, Error> {
        let limits = &target.defaults.limits;
        let Some(info) = connection.head(limits)? else {
            let error = match connection.read(wait) {
                Ok(Some(0)) => connection.cut_off(),
                Ok(read) => {
                    self.state = State::Asked(connection);
                    return Ok(Step::Partial(read.is_some()));
                }
                Err(error) => error,
            };
            return match self.sent.take() {
                Some((request, at)) if connection.is_unanswered(&error) && at.elapsed() < RACE => {
                    self.ask(target.connect(&request, deadline)?)
                }
                // One attempt of several.
                _ if self.attempts > 0 => self.lost(Error::Closed, target),
                _ => Err(error.into()),
            };
        };
        self.sent = None;
        if let Some(id) = info.session_id.as_ref().filter(|_| info.status == 200) {
            // It goes into every later request: it must not be able to begin another field, or another request (MCP
            // 2025-11-25, transports: visible ASCII).
            let is_sent = target.transport == Transport::Streamable && target.session_id.is_none();
            if is_sent && (id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic())) {
                let text = "the server's Mcp-Session-Id is empty or has characters other than visible ASCII";
                return Err(Error::protocol(text));
            }
            self.session_id = Some(id.clone());
        }
        let is_stream = info.status == 200 && info.is(sse::MEDIA_TYPE) && self.purpose != Purpose::Delivery;
        if !is_stream {
            self.check(&info, target.defaults.event_bytes_max)?;
        }
        let body = Body::new(connection, info);
        self.state = match is_stream {
            true => State::Events(body, sse::Decoder::new(target.defaults.event_bytes_max)),
            false => State::Body(body),
        };
        Ok(Step::Partial(true))
    }

    /// Checks that a success that is no stream can be what was asked for.
    fn check(&self, info: &ResponseInfo, max: usize) -> Result<(), Error> {
        let (status, content_type, stream) =
            (info.status, shown(info.content_type.as_bytes()), sse::MEDIA_TYPE);
        let is_answer = matches!(self.purpose, Purpose::Answer(_)) && self.cursor.is_empty();
        Err(Error::Protocol(match info.framing {
            _ if self.purpose == Purpose::Delivery || !(200..300).contains(&status) => return Ok(()),
            _ if !is_answer => format!(
                "the server answered the request for its event stream with {status} and `{content_type}` instead of \
                 {stream}; is this the URL of an MCP endpoint?"
            ),
            _ if status != 200 => {
                format!("the server answered a request with {status} instead of 200, so there is no result")
            }
            _ if !info.is(JSON) => format!(
                "the server answered a request with `{content_type}` instead of {JSON} or {stream}; is this the URL of an \
                 MCP endpoint?"
            ),
            Some(Framing::Length(length)) if length > max as u64 => return Err(too_long(max)),
            _ => return Ok(()),
        }))
    }

    fn body(&mut self, mut body: Body, wait: Duration, target: &Target) -> Result<Step, Error> {
        let refusal = body.info.status != 200 || self.purpose == Purpose::Delivery;
        let max = if refusal { REFUSAL_BYTES_MAX } else { target.defaults.event_bytes_max };
        let read = if body.whole { Ok(true) } else { body.read(wait, &target.defaults.limits) };
        // Of a refusal the status says enough.
        body.ended |= refusal && read.is_err();
        let came = if refusal { read.unwrap_or(true) } else { read? };
        if !body.ended && !body.whole && body.content.len() <= max {
            self.state = State::Body(body);
            return Ok(Step::Partial(came));
        }
        let status = body.info.status;
        if refusal {
            return Ok(Step::Whole(status, body.text_of_refusal(), body.kept()));
        }
        if body.content.len() > max {
            return Err(too_long(max));
        }
        if !body.whole {
            return Err(Error::protocol("the server's answer ends in the middle"));
        }
        let text = String::from_utf8(mem::take(&mut body.content))
            .map_err(|_| Error::protocol("the server's answer is not UTF-8"))?;
        Ok(Step::Whole(status, text, body.kept()))
    }

    fn events(
        &mut self,
        mut body: Body,
        mut decoder: sse::Decoder,
        wait: Duration,
        target: &Target,
    ) -> Result<Step, Error> {
        let mut rest = body.content.as_slice();
        let event = decoder.next(&mut rest);
        let used = body.content.len() - rest.len();
        body.content.drain(..used);
        if let Some(ms) = decoder.retry_ms() {
            self.retry = Duration::from_millis(ms);
        }
        let step = match event {
            Err(error) => {
                return Err(Error::Protocol(format!("the server sent too much at once: {error}")));
            }
            Ok(Some(event)) => {
                let id = decoder.last_id();
                // It goes into a header field, where it must fit.
                if !id.is_empty() && id.len() <= CURSOR_BYTES_MAX && id.bytes().all(is_value_byte) {
                    id.clone_into(&mut self.cursor);
                }
                self.attempts = 0;
                Step::Event(event)
            }
            Ok(None) if body.whole || body.ended => return self.lost(Error::Closed, target),
            Ok(None) => match body.read(wait, &target.defaults.limits) {
                Ok(came) => Step::Partial(came),
                // A broken connection is the end of the stream too: what it was to bring may be resumed.
                Err(Error::Io(_)) => return self.lost(Error::Closed, target),
                Err(error) => return Err(error),
            },
        };
        self.state = State::Events(body, decoder);
        Ok(step)
    }
}

/// The body of a response in the course of being read.
#[derive(Debug)]
struct Body {
    connection: Connection,
    info: ResponseInfo,
    decoder: Decoder,
    /// What was read of the content and not used yet.
    content: Vec<u8>,
    /// True once the last byte of the body was read.
    whole: bool,
    /// True once the connection was read to its end.
    ended: bool,
}

impl Body {
    fn new(connection: Connection, info: ResponseInfo) -> Body {
        let decoder = info.framing.map_or_else(Decoder::until_close, Decoder::new);
        let whole = matches!(info.framing, Some(Framing::None | Framing::Length(0)));
        Body { connection, info, decoder, content: Vec::new(), whole, ended: false }
    }

    /// Reads what came with the head, or else once from the socket. Returns false if nothing came.
    fn read(&mut self, wait: Duration, limits: &Limits) -> Result<bool, Error> {
        let Body { connection, decoder, content, .. } = self;
        if connection.input.is_empty() {
            match connection.read(wait)? {
                None => return Ok(false),
                Some(0) => {
                    // Without a length the end of the connection is that of the body.
                    (self.ended, self.whole) = (true, self.info.framing.is_none());
                    return Ok(true);
                }
                Some(_) => {}
            }
        }
        let decoded = decoder.decode(&connection.input, limits, |data| content.extend_from_slice(data));
        let progress = decoded.map_err(|refusal| {
            Error::Protocol(format!("the body of the server's response is malformed: {}", refusal.reason))
        })?;
        connection.input.drain(..progress.used.min(connection.input.len()));
        self.whole = progress.done;
        Ok(true)
    }

    /// Returns what a refusal says, cut to a length that can be shown.
    fn text_of_refusal(&self) -> String {
        let content = self.content.get(..REFUSAL_BYTES_MAX).unwrap_or(&self.content);
        self.info.moved.clone().unwrap_or_else(|| String::from_utf8_lossy(content).into_owned())
    }

    #[cfg(feature = "bridge")]
    fn bytes(&self) -> usize {
        self.connection.input.len() + self.content.len()
    }

    fn kept(self) -> Option<Connection> {
        if self.whole { self.connection.kept(&self.info) } else { None }
    }
}

fn too_long(max: usize) -> Error {
    Error::Protocol(format!(
        "the server's answer is longer than {max} bytes; raise event_bytes_max to read it"
    ))
}
