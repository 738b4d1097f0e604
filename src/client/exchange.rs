//! One request and its response, which comes in pieces.
//!
//! *Scope:* reading one response, whole or as a stream of events, in steps that never wait longer than told, so that several
//! can be read in turns. *Not in scope:* making connections, and what follows from how a response ends.
//!
//! ```text
//!           head: 200, event stream
//!   Asked ──────────────────────────▶ Events ──▶ events … ended ──▶ Paused ──▶ Asked (with Last-Event-ID)
//!     │     head: anything else
//!     └─────────────────────────────▶ Body ────▶ one text, with the status
//! ```

use std::time::{Duration, Instant};
use std::{io, mem};

use crate::client::carrier::RequestDefaults;
use crate::client::connection::{Connection, ResponseInfo};
use crate::client::error::Error;
use crate::http::body::Decoder;
use crate::http::head::Framing;
use crate::jsonrpc::id::Id;
use crate::limits::Limits;
use crate::sse;
use crate::text::{is_value_byte, shown};

/// The media type of an answer that is no stream (RFC 8259, section 11).
pub(super) const JSON: &str = "application/json";
/// How much is read of a body that is not an answer: enough to show, and to use the connection again.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// How long to wait before a lost stream is resumed, if the server does not say.
const RETRY: Duration = Duration::from_secs(1);
/// What a server may ask for: less would keep it busy, more would never come back.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The longest id that is sent back as `Last-Event-ID`.
const CURSOR_BYTES_MAX: usize = 1024;
/// A kept connection that ends this soon was closed before the request came; later, the server may have taken it.
const RACE: Duration = Duration::from_secs(1);

/// What the response is to bring.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The answer to the request with this id.
    Answer(Id),
    /// The event stream of the session itself.
    Stream,
    /// Nothing but a status.
    Delivery,
}

/// A request that was sent.
#[derive(Debug)]
pub(super) struct Exchange {
    purpose: Purpose,
    state: State,
    /// The request, while it might have to be sent again, and when it was sent.
    sent: Option<(Vec<u8>, Instant)>,
    /// The last event's id: where to resume.
    cursor: String,
    retry: Duration,
    /// How often in a row it was resumed for nothing.
    attempts: u32,
    /// The session that the response named.
    session_id: Option<String>,
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
pub(super) enum Step {
    /// Nothing came.
    Nothing,
    /// Something came, but nothing whole.
    Progress,
    /// An event of the stream.
    Event(sse::Event),
    /// The status and the whole body, and the connection if it can be used again; the exchange is done.
    Whole(u16, String, Option<Connection>),
    /// The stream ended; the exchange is done unless it is paused.
    Ended,
    /// The request was not taken: send this again on another connection.
    Again(Vec<u8>),
    /// The time has come to resume.
    Due,
}

impl Exchange {
    /// A request that was sent on this connection.
    pub(super) fn new(purpose: Purpose, connection: Connection, request: Vec<u8>) -> Exchange {
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

    pub(super) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub(super) fn cursor(&self) -> &str {
        &self.cursor
    }

    pub(super) fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// Ends the exchange. Returns the connection if the response happens to be whole.
    pub(super) fn finish(&mut self, limits: &Limits) -> Option<Connection> {
        let State::Events(mut body, _) = mem::replace(&mut self.state, State::Done) else { return None };
        if !body.whole {
            body.read(Duration::ZERO, limits).ok()?;
        }
        body.kept()
    }

    /// Returns the status of a response whose body has not come in time, and what there is of it.
    pub(super) fn cut_short(self) -> Option<(u16, String)> {
        match self.state {
            State::Body(body) => Some((body.info.status, body.text_of_refusal())),
            _ => None,
        }
    }

    /// Pauses a lost stream until it is resumed. Returns false if it cannot be, which ends the exchange.
    pub(super) fn pause(&mut self, reconnects_max: u32) -> bool {
        // What a request asked for is gone if the server named no place in its answer.
        let lost = self.cursor.is_empty() && self.purpose != Purpose::Stream;
        if self.attempts >= reconnects_max || lost {
            self.state = State::Done;
            return false;
        }
        self.attempts += 1;
        self.state = State::Paused(Instant::now() + self.retry.clamp(RETRY_MIN, RETRY_MAX));
        true
    }

    /// Goes on with another connection, on which the request was sent again.
    pub(super) fn go_on(&mut self, connection: Connection) {
        (self.state, self.sent) = (State::Asked(connection), None);
    }

    /// Reads once, for no longer than `wait`.
    ///
    /// # Errors
    /// Whatever makes the response useless; the exchange is done then.
    pub(super) fn step(&mut self, wait: Duration, defaults: &RequestDefaults) -> Result<Step, Error> {
        match mem::replace(&mut self.state, State::Done) {
            State::Asked(connection) => self.head(connection, wait, defaults),
            State::Body(body) => self.body(body, wait, defaults),
            State::Events(body, decoder) => self.events(body, decoder, wait, defaults),
            State::Paused(until) => {
                self.state = State::Paused(until);
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(Step::Due);
                }
                std::thread::sleep(left.min(wait));
                Ok(Step::Nothing)
            }
            State::Done => Ok(Step::Nothing),
        }
    }

    fn head(
        &mut self,
        mut connection: Connection,
        wait: Duration,
        defaults: &RequestDefaults,
    ) -> Result<Step, Error> {
        let Some(info) = connection.head(&defaults.limits)? else {
            let error = match connection.read(wait) {
                Ok(Some(0)) => connection.cut_off(),
                Ok(read) => {
                    self.state = State::Asked(connection);
                    return Ok(if read.is_some() { Step::Progress } else { Step::Nothing });
                }
                Err(error) => error,
            };
            return match self.sent.take() {
                Some((request, at)) if connection.is_unanswered(&error) && at.elapsed() < RACE => {
                    Ok(Step::Again(request))
                }
                // One attempt of several.
                _ if self.attempts > 0 => Ok(Step::Ended),
                _ => Err(error.into()),
            };
        };
        self.sent = None;
        self.session_id = info.session_id.clone().filter(|_| info.status == 200);
        let is_stream = info.status == 200 && info.is(sse::MEDIA_TYPE) && self.purpose != Purpose::Delivery;
        if !is_stream {
            self.check(&info, defaults.event_bytes_max)?;
        }
        let body = Body::new(connection, info);
        self.state = match is_stream {
            true => State::Events(body, sse::Decoder::new(defaults.event_bytes_max)),
            false => State::Body(body),
        };
        Ok(Step::Progress)
    }

    /// Checks that a success that is no stream can be what was asked for.
    fn check(&self, info: &ResponseInfo, max: usize) -> Result<(), Error> {
        let (status, content_type) = (info.status, shown(info.content_type.as_bytes()));
        let stream = sse::MEDIA_TYPE;
        Err(Error::Protocol(match self.purpose {
            Purpose::Delivery => return Ok(()),
            _ if !(200..300).contains(&status) => return Ok(()),
            Purpose::Answer(_) if self.cursor.is_empty() => match info.framing {
                _ if status != 200 => {
                    format!(
                        "the server answered a request with {status}, which brings no answer; requests get 200"
                    )
                }
                _ if !info.is(JSON) => format!(
                    "the server answered a request with `{content_type}` instead of {JSON} or {stream}; is this the URL \
                     of an MCP endpoint?"
                ),
                Some(Framing::Length(length)) if length > max as u64 => return Err(too_long(max)),
                _ => return Ok(()),
            },
            _ => format!(
                "the server answered the request for its event stream with {status} and `{content_type}` instead of \
                 {stream}; is this the URL of an MCP endpoint?"
            ),
        }))
    }

    fn body(&mut self, mut body: Body, wait: Duration, defaults: &RequestDefaults) -> Result<Step, Error> {
        let refusal = body.info.status != 200 || self.purpose == Purpose::Delivery;
        let max = if refusal { REFUSAL_BYTES_MAX } else { defaults.event_bytes_max };
        if !body.whole {
            let ended = match body.read(wait, &defaults.limits) {
                Ok(Read::Nothing) => {
                    self.state = State::Body(body);
                    return Ok(Step::Nothing);
                }
                Ok(Read::Some) => false,
                // The status says enough.
                Ok(Read::End(_)) | Err(_) if refusal => true,
                Ok(Read::End(None)) if body.info.framing.is_none() => true,
                Ok(Read::End(None)) => return Err(Error::protocol("the server's answer ends in the middle")),
                Ok(Read::End(Some(error))) => return Err(error.into()),
                Err(error) => return Err(error),
            };
            if !body.whole && !ended && body.content.len() <= max {
                self.state = State::Body(body);
                return Ok(Step::Progress);
            }
        }
        if !refusal && body.content.len() > max {
            return Err(too_long(max));
        }
        let text = match refusal {
            true => body.text_of_refusal(),
            false => String::from_utf8(mem::take(&mut body.content))
                .map_err(|_| Error::protocol("the server's answer is not UTF-8"))?,
        };
        Ok(Step::Whole(body.info.status, text, body.kept()))
    }

    fn events(
        &mut self,
        mut body: Body,
        mut decoder: sse::Decoder,
        wait: Duration,
        defaults: &RequestDefaults,
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
            Ok(None) if body.whole => return Ok(Step::Ended),
            Ok(None) => match body.read(wait, &defaults.limits)? {
                Read::Nothing => Step::Nothing,
                Read::Some => Step::Progress,
                // A broken connection is the end of the stream too: what it was to bring may be resumed.
                Read::End(_) => return Ok(Step::Ended),
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
}

/// What reading a body once brought.
enum Read {
    Nothing,
    Some,
    /// The connection is at its end, or broken.
    End(Option<io::Error>),
}

impl Body {
    fn new(connection: Connection, info: ResponseInfo) -> Body {
        let decoder = info.framing.map_or_else(Decoder::until_close, Decoder::new);
        let whole = matches!(info.framing, Some(Framing::None | Framing::Length(0)));
        Body { connection, info, decoder, content: Vec::new(), whole }
    }

    /// Reads what came with the head, or else once from the socket.
    fn read(&mut self, wait: Duration, limits: &Limits) -> Result<Read, Error> {
        let Body { connection, decoder, content, .. } = self;
        if connection.input.is_empty() {
            match connection.read(wait) {
                Ok(Some(0)) => return Ok(Read::End(None)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Read::Nothing),
                Err(error) => return Ok(Read::End(Some(error))),
            }
        }
        let decoded = decoder.decode(&connection.input, limits, |data| content.extend_from_slice(data));
        let progress = decoded.map_err(|refusal| {
            Error::Protocol(format!("the body of the server's response is malformed: {}", refusal.reason))
        })?;
        connection.input.drain(..progress.used.min(connection.input.len()));
        self.whole = progress.done;
        Ok(Read::Some)
    }

    /// Returns what a refusal says, cut to a length that can be shown.
    fn text_of_refusal(&self) -> String {
        let content = self.content.get(..REFUSAL_BYTES_MAX).unwrap_or(&self.content);
        self.info.moved.clone().unwrap_or_else(|| String::from_utf8_lossy(content).into_owned())
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
