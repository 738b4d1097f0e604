//! HTTP+SSE from the client's side (MCP 2024-11-05, transports): texts of messages in, texts of messages out.
//!
//! *Scope:* the stream, the address for messages, and the connection they are posted on.
//! *Not in scope:* what messages say, and which answers which.

use std::collections::VecDeque;
use std::time::Instant;

use super::Error;
use super::http::{Answer, Connection, Turn};
use super::url::Url;
use crate::Limits;
use crate::http::body;
use crate::http::shown;
use crate::sse;

/// What goes into every request.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    /// Whole field lines.
    pub(super) fields: String,
    pub(super) event_bytes_max: usize,
    pub(super) limits: Limits,
}

/// A session: one connection that brings messages, and one at a time that takes them.
#[derive(Debug)]
pub(super) struct Transport {
    fixed: Fixed,
    stream: Stream,
    endpoint: Url,
    session_id: Option<String>,
    posts: Option<Connection>,
}

/// The connection that brings messages.
#[derive(Debug)]
struct Stream {
    url: Url,
    connection: Connection,
    body: body::Decoder,
    events: sse::Decoder,
    limits: Limits,
    /// Content of the body that has not gone through `events` yet.
    content: Vec<u8>,
    taken: usize,
    ended: bool,
    /// Messages that came while a post was in progress.
    inbox: VecDeque<String>,
    inbox_bytes: usize,
    inbox_bytes_max: usize,
    /// The server named another address for messages.
    moved: Option<Url>,
}

impl Transport {
    /// Opens the stream and waits for the `endpoint` event.
    pub(super) fn open(url: &Url, fixed: Fixed, deadline: Instant) -> Result<Transport, Error> {
        let mut connection = Connection::open(url, deadline)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: {}\r\nCache-Control: no-store\r\n{}\r\n",
            url.target,
            url.authority(),
            sse::MEDIA_TYPE,
            fixed.fields
        );
        let turn: Turn<'_> = &mut || Ok(());
        let answer = connection
            .exchange("GET", request.as_bytes(), &fixed.limits, deadline, turn)
            .map_err(|failed| failed.error)?;
        if answer.status != 200 {
            return Err(refused(connection, &answer, &fixed.limits, deadline, turn).0);
        }
        if !answer.is(sse::MEDIA_TYPE) {
            return Err(Error::Protocol(format!(
                "the server answered with `{}` instead of an event stream ({}); is this the URL for HTTP+SSE?",
                shown(answer.content_type.as_bytes()),
                sse::MEDIA_TYPE
            )));
        }
        let mut stream = Stream::new(url.clone(), connection, &answer, &fixed)?;
        while stream.moved.is_none() {
            // Messages may come before the endpoint; whoever reads next gets them.
            if let Some(text) = stream.next(deadline)? {
                stream.keep(text);
            }
            if stream.inbox_bytes > stream.inbox_bytes_max {
                let max = stream.inbox_bytes_max;
                return Err(Error::Protocol(format!("no endpoint event came in {max} bytes of messages")));
            }
        }
        let endpoint = stream.moved.take().unwrap_or_else(|| url.clone());
        let session_id = endpoint.session_id().map(str::to_owned).or(answer.session_id);
        Ok(Transport { fixed, stream, endpoint, session_id, posts: None })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint.target
    }

    pub(super) fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The text of the next message from the server.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<String, Error> {
        loop {
            if let Some(text) = self.stream.inbox.pop_front() {
                self.stream.inbox_bytes -= text.len();
                return Ok(text);
            }
            let text = self.stream.next(deadline)?;
            self.move_endpoint();
            if let Some(text) = text {
                return Ok(text);
            }
        }
    }

    /// Posts one message; `fields` are field lines that belong to this one.
    pub(super) fn post(&mut self, body: &[u8], fields: &str, deadline: Instant) -> Result<(), Error> {
        if self.stream.ended {
            return Err(Error::Closed);
        }
        self.move_endpoint();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}{fields}\r\n",
            self.endpoint.target,
            self.endpoint.authority(),
            body.len(),
            self.fixed.fields
        );
        let request = [head.as_bytes(), body].concat();
        let kept = self.posts.take().filter(Connection::is_usable);
        let limits = self.fixed.limits.clone();
        let stream = &mut self.stream;
        let turn: Turn<'_> = &mut || stream.drain();
        let mut connection = kept.map_or_else(|| Connection::open(&self.endpoint, deadline), Ok)?;
        let mut result = connection.exchange("POST", &request, &limits, deadline, turn);
        // It was closed in the moment between the look at it and the request, which therefore was not taken. A server
        // that takes a request and closes without a word gets it twice, and can tell by the id.
        if connection.was_used() && matches!(&result, Err(failed) if failed.unanswered) {
            connection = Connection::open(&self.endpoint, deadline)?;
            result = connection.exchange("POST", &request, &limits, deadline, turn);
        }
        let answer = result.map_err(|failed| failed.error)?;
        if (200..300).contains(&answer.status) {
            self.posts = connection.finish(&answer, &limits, deadline, turn).1;
            return Ok(());
        }
        let (error, kept) = refused(connection, &answer, &limits, deadline, turn);
        self.posts = kept;
        Err(error)
    }

    pub(super) fn close(&mut self) {
        self.stream.ended = true;
        self.stream.inbox.clear();
        self.stream.connection.close();
        self.posts = None;
    }

    fn move_endpoint(&mut self) {
        if let Some(url) = self.stream.moved.take() {
            self.endpoint = url;
            self.session_id = self.endpoint.session_id().map(str::to_owned).or(self.session_id.take());
        }
    }
}

impl Stream {
    fn new(url: Url, mut connection: Connection, answer: &Answer, fixed: &Fixed) -> Result<Stream, Error> {
        let input = connection.take_input();
        let body = answer.framing.map_or_else(body::Decoder::until_close, body::Decoder::new);
        let mut stream = Stream {
            url,
            connection,
            body,
            events: sse::Decoder::new(fixed.event_bytes_max),
            limits: fixed.limits.clone(),
            content: Vec::new(),
            taken: 0,
            ended: false,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            inbox_bytes_max: fixed.event_bytes_max,
            moved: None,
        };
        stream.decode(&input)?;
        Ok(stream)
    }

    /// The next message; `None` for an event of another kind.
    fn next(&mut self, deadline: Instant) -> Result<Option<String>, Error> {
        loop {
            if let Some(event) = self.event()? {
                return self.message(event);
            }
            if self.ended {
                return Err(Error::Closed);
            }
            let mut buffer = [0; 16 << 10];
            match self.connection.read(&mut buffer, deadline, &mut || Ok(())) {
                Ok(0) => self.ended = true,
                Ok(count) => self.decode(buffer.get(..count).unwrap_or_default())?,
                Err(Error::Timeout) => return Err(Error::Timeout),
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
    }

    /// Takes what is there without waiting, so that a server can go on that is stuck until its stream is read.
    ///
    /// The stream's end is an error one turn later only: the server may have answered the post before it.
    fn drain(&mut self) -> Result<(), Error> {
        if self.ended {
            return Err(Error::Closed);
        }
        while self.inbox_bytes < self.inbox_bytes_max {
            if let Some(event) = self.event()? {
                if let Some(text) = self.message(event)? {
                    self.keep(text);
                }
                continue;
            }
            if self.ended {
                break;
            }
            let mut buffer = [0; 16 << 10];
            match self.connection.read_now(&mut buffer) {
                Ok(Some(0)) => self.ended = true,
                Ok(Some(count)) => self.decode(buffer.get(..count).unwrap_or_default())?,
                Ok(None) => break,
                Err(error) => {
                    self.ended = true;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, text: String) {
        self.inbox_bytes += text.len();
        self.inbox.push_back(text);
    }

    /// Takes bytes off the wire.
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let content = &mut self.content;
        let decoded = self.body.decode(bytes, &self.limits, |data| content.extend_from_slice(data));
        self.ended |= !matches!(&decoded, Ok(progress) if !progress.done);
        decoded.map(|_| ()).map_err(|refusal| {
            Error::Protocol(format!("the server's event stream is malformed: {}", refusal.reason))
        })
    }

    fn event(&mut self) -> Result<Option<sse::Event>, Error> {
        let mut rest = self.content.get(self.taken..).unwrap_or_default();
        let event = self.events.next(&mut rest);
        self.taken = self.content.len() - rest.len();
        if rest.is_empty() {
            self.content.clear();
            self.taken = 0;
        }
        event.map_err(|error| {
            self.ended = true;
            Error::Protocol(format!("the server sent too much at once: {error}"))
        })
    }

    fn message(&mut self, event: sse::Event) -> Result<Option<String>, Error> {
        match &*event.name {
            "endpoint" => {
                self.moved = Some(self.url.resolve(&event.data)?);
                Ok(None)
            }
            // Some servers send empty events to keep the stream alive.
            "message" if !event.data.is_empty() => Ok(Some(event.data)),
            _ => Ok(None),
        }
    }
}

/// The error of a response that is no success, and the connection if it can be used again.
fn refused(
    connection: Connection,
    answer: &Answer,
    limits: &Limits,
    deadline: Instant,
    turn: Turn<'_>,
) -> (Error, Option<Connection>) {
    let status = answer.status;
    let (mut body, kept) = connection.finish(answer, limits, deadline, turn);
    if let Some(location) = answer.location.as_deref().filter(|_| (300..400).contains(&status)) {
        body = format!("moved to {}; redirects are not followed", shown(location.as_bytes()));
    }
    (Error::Http { status, body }, kept)
}
