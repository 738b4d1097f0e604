//! One exchange of Streamable HTTP in progress: a request was sent, its response comes in pieces.
//!
//! *Scope:* reading one response, as JSON or as a stream of events, without ever waiting longer than told: several are
//! read in turns. *Not in scope:* making connections, and what follows from how a response ends.
//!
//! ```text
//!           head: 200, event stream
//!   Asked ──────────────────────────▶ Events ──▶ messages … ended ──▶ Paused ──▶ Asked (with Last-Event-ID)
//!     │     head: anything else
//!     └─────────────────────────────▶ Body ────▶ one answer, or a refusal
//! ```

use std::time::{Duration, Instant};

use super::events::{Events, Fixed};
use super::http::{Answer, BODY_BYTES_MAX, Connection, READ_BYTES};
use crate::client::error::Error;
use crate::http::body::Decoder;
use crate::http::head::Framing;
use crate::jsonrpc::id::Id;
use crate::sse;
use crate::text::{is_value_byte, shown};

/// The media type of an answer that is no stream (RFC 8259, section 11).
const JSON: &str = "application/json";
/// How long to wait before a lost stream is resumed, if the server does not say.
const RETRY: Duration = Duration::from_secs(1);
/// What a server may ask for: less would keep it busy, more would never come back.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The longest id that is sent back as `Last-Event-ID`.
const CURSOR_BYTES_MAX: usize = 1024;
/// A kept connection that ends this soon was closed before the request came; later, the server may have taken it.
const RACE: Duration = Duration::from_secs(1);

/// A request in progress.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Which request its answer is for; `None` for the stream of the session itself.
    id: Option<Id>,
    state: State,
    /// The request, while it might have to be sent again, and when it was sent.
    sent: Option<(Vec<u8>, Instant)>,
    /// The last event's id: where to resume.
    cursor: String,
    retry: Duration,
    /// How often in a row it was resumed for nothing.
    attempts: u32,
    session_id: Option<String>,
}

#[derive(Debug)]
enum State {
    Asked(Connection),
    Body(Connection, Body),
    Events(Connection, Answer, Events),
    Paused(Instant),
    Done,
}

/// A response that is read whole.
#[derive(Debug)]
struct Body {
    answer: Answer,
    decoder: Decoder,
    text: Vec<u8>,
}

/// What one step gave.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing came.
    Nothing,
    /// Something came, but no message yet.
    Progress,
    /// A message of the stream.
    Message(String),
    /// The answer as a body of its own; the exchange is done, and its connection may be used again.
    Whole(String, Option<Connection>),
    /// A status other than success, and what the body said; the exchange is done.
    Refused(u16, String, Option<Connection>),
    /// The stream ended.
    Ended,
    /// The request was not taken: send this again on another connection.
    Again(Vec<u8>),
    /// The time has come to resume.
    Due,
}

impl Exchange {
    /// A request that was sent on this connection.
    pub(super) fn new(id: Option<Id>, connection: Connection, request: Vec<u8>) -> Exchange {
        let sent = connection.was_used().then(|| (request, Instant::now()));
        let (state, cursor) = (State::Asked(connection), String::new());
        Exchange { id, state, sent, cursor, retry: RETRY, attempts: 0, session_id: None }
    }

    pub(super) fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub(super) fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The session that the response named, once.
    pub(super) fn take_session_id(&mut self) -> Option<String> {
        self.session_id.take()
    }

    /// Nothing more is wanted of it. Gives the connection if the response happens to be whole.
    pub(super) fn finish(&mut self, fixed: &Fixed) -> Option<Connection> {
        let State::Events(mut connection, answer, mut events) =
            std::mem::replace(&mut self.state, State::Done)
        else {
            return None;
        };
        if !events.is_clean() {
            let mut buffer = [0; READ_BYTES];
            let count = connection.read_within(&mut buffer, Duration::ZERO).ok().flatten()?;
            events.decode(buffer.get(..count).unwrap_or_default(), &fixed.limits).ok()?;
        }
        if events.is_clean() { connection.kept(&answer) } else { None }
    }

    /// Whether a lost stream can be taken up again, and from when on; it is paused then.
    pub(super) fn pause(&mut self, reconnects_max: u32) -> bool {
        // What a request asked for is gone if the server named no place in its answer.
        if self.attempts >= reconnects_max || (self.id.is_some() && self.cursor.is_empty()) {
            self.state = State::Done;
            return false;
        }
        self.attempts += 1;
        self.state = State::Paused(Instant::now() + self.retry.clamp(RETRY_MIN, RETRY_MAX));
        true
    }

    /// Goes on with another connection.
    pub(super) fn ask_again(&mut self, connection: Connection) {
        (self.state, self.sent) = (State::Asked(connection), None);
    }

    /// Reads once, for no longer than `wait`.
    ///
    /// # Errors
    /// Whatever makes the response useless; the exchange is done then.
    pub(super) fn step(&mut self, wait: Duration, fixed: &Fixed) -> Result<Step, Error> {
        let step = match &mut self.state {
            State::Asked(_) => self.head(wait, fixed),
            State::Body(..) => self.body(wait, fixed),
            State::Events(..) => self.events(wait, fixed),
            State::Paused(until) => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Ok(Step::Due),
                left => {
                    std::thread::sleep(left.min(wait));
                    Ok(Step::Nothing)
                }
            },
            State::Done => Ok(Step::Nothing),
        };
        step.inspect_err(|_| self.state = State::Done)
    }

    fn head(&mut self, wait: Duration, fixed: &Fixed) -> Result<Step, Error> {
        let State::Asked(connection) = &mut self.state else { return Ok(Step::Nothing) };
        let Some(answer) = connection.head("POST", &fixed.limits)? else {
            let mut buffer = [0; READ_BYTES];
            let error = match connection.read_within(&mut buffer, wait) {
                Ok(None) => return Ok(Step::Nothing),
                Ok(Some(0)) => connection.ended(),
                Ok(Some(count)) => {
                    connection.take(buffer.get(..count).unwrap_or_default());
                    return Ok(Step::Progress);
                }
                Err(error) => error.into(),
            };
            return match self.sent.take() {
                Some((request, at)) if connection.is_unanswered(&error) && at.elapsed() < RACE => {
                    Ok(Step::Again(request))
                }
                // One attempt of several.
                _ if self.attempts > 0 => Ok(Step::Ended),
                _ => Err(error),
            };
        };
        self.sent = None;
        let State::Asked(mut connection) = std::mem::replace(&mut self.state, State::Done) else {
            return Ok(Step::Nothing);
        };
        self.session_id = answer.session_id.clone().filter(|_| answer.status == 200);
        if answer.status == 200 && answer.is(sse::MEDIA_TYPE) {
            let mut events = Events::new(&answer, fixed);
            events.decode(&connection.take_input(), &fixed.limits)?;
            self.state = State::Events(connection, answer, events);
            return Ok(Step::Progress);
        }
        if (200..300).contains(&answer.status) {
            self.check(&answer, fixed.event_bytes_max)?;
        }
        let decoder = answer.framing.map_or_else(Decoder::until_close, Decoder::new);
        self.state = State::Body(connection, Body { answer, decoder, text: Vec::new() });
        Ok(Step::Progress)
    }

    /// Whether a success can be the answer to a request.
    fn check(&self, answer: &Answer, max: usize) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Protocol(what));
        let content_type = shown(answer.content_type.as_bytes());
        if self.id.is_none() || !self.cursor.is_empty() {
            return wrong(format!(
                "the server answered the request for its event stream with {} and `{content_type}`",
                answer.status
            ));
        }
        if answer.status != 200 {
            return wrong(format!(
                "the server answered a request with {}, which brings no answer; requests get 200",
                answer.status
            ));
        }
        if !answer.is(JSON) {
            return wrong(format!(
                "the server answered a request with `{content_type}` instead of {JSON} or {}; is this the URL of an \
                 MCP endpoint?",
                sse::MEDIA_TYPE
            ));
        }
        match answer.framing {
            Some(Framing::Length(length)) if length > max as u64 => too_long(max),
            _ => Ok(()),
        }
    }

    fn body(&mut self, wait: Duration, fixed: &Fixed) -> Result<Step, Error> {
        let State::Body(connection, Body { answer, decoder, text }) = &mut self.state else {
            return Ok(Step::Nothing);
        };
        let refusal = answer.status != 200;
        let max = if refusal { BODY_BYTES_MAX } else { fixed.event_bytes_max };
        let mut input = connection.take_input();
        let mut ended = false;
        if input.is_empty() && !matches!(answer.framing, Some(Framing::None | Framing::Length(0))) {
            let mut buffer = [0; READ_BYTES];
            match connection.read_within(&mut buffer, wait)? {
                None => return Ok(Step::Nothing),
                Some(count) => {
                    ended = count == 0;
                    input.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
            }
        }
        let decoded = decoder.decode(&input, &fixed.limits, |data| text.extend_from_slice(data));
        let progress = decoded.map_err(|refusal| {
            Error::Protocol(format!("the server's answer is malformed: {}", refusal.reason))
        })?;
        if !refusal && text.len() > max {
            return too_long(max).map(|()| Step::Nothing);
        }
        if !progress.done && !ended && text.len() <= max {
            return Ok(Step::Progress);
        }
        if !refusal && ended && answer.framing.is_some() {
            return Err(Error::Protocol("the server's answer ends in the middle".to_owned()));
        }
        text.truncate(max);
        let whole = progress.done && progress.used == input.len();
        let State::Body(connection, body) = std::mem::replace(&mut self.state, State::Done) else {
            return Ok(Step::Nothing);
        };
        let kept = if whole { connection.kept(&body.answer) } else { None };
        if !refusal {
            let text = String::from_utf8(body.text);
            let text = text.map_err(|_| Error::Protocol("the server's answer is not UTF-8".to_owned()))?;
            return Ok(Step::Whole(text, kept));
        }
        let status = body.answer.status;
        let said = body.answer.moved();
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&body.text).into_owned());
        Ok(Step::Refused(status, said, kept))
    }

    fn events(&mut self, wait: Duration, fixed: &Fixed) -> Result<Step, Error> {
        let State::Events(connection, _, events) = &mut self.state else { return Ok(Step::Nothing) };
        let event = events.next()?;
        if let Some(ms) = events.retry_ms() {
            self.retry = Duration::from_millis(ms);
        }
        if let Some(event) = event {
            let id = events.last_id();
            // It goes into a header field, where it must fit.
            if !id.is_empty() && id.len() <= CURSOR_BYTES_MAX && id.bytes().all(is_value_byte) {
                id.clone_into(&mut self.cursor);
            }
            self.attempts = 0;
            // The first event of a stream that can be resumed has an id and no data.
            let is_message = event.name == "message" && !event.data.is_empty();
            return Ok(if is_message { Step::Message(event.data) } else { Step::Progress });
        }
        if events.ended() {
            return Ok(Step::Ended);
        }
        let mut buffer = [0; READ_BYTES];
        match connection.read_within(&mut buffer, wait) {
            Ok(None) => return Ok(Step::Nothing),
            // A broken connection is the end of the stream too: what it was to bring may be taken up again.
            Ok(Some(0)) | Err(_) => events.end(),
            Ok(Some(count)) => events.decode(buffer.get(..count).unwrap_or_default(), &fixed.limits)?,
        }
        Ok(Step::Progress)
    }
}

fn too_long(max: usize) -> Result<(), Error> {
    let text = format!("the server's answer is longer than {max} bytes; raise event_bytes_max to read it");
    Err(Error::Protocol(text))
}
