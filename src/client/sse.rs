//! HTTP+SSE from the client's side (MCP 2024-11-05, transports): texts of messages in, texts of messages out.
//!
//! *Scope:* the stream, the address for messages, and the connection they are posted on.
//! *Not in scope:* what messages say, and which answers which.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::events::{Events, Fixed};
use super::http::{Answer, Connection, READ_BYTES, Turn, refused};
use super::url::Url;
use crate::client::error::Error;
use crate::sse;
use crate::text::shown;

/// A session: one connection that brings messages, and one at a time that takes them.
#[derive(Debug)]
pub(super) struct Sse {
    fixed: Arc<Fixed>,
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
    events: Events,
    fixed: Arc<Fixed>,
    /// Messages that came while a post was in progress.
    inbox: VecDeque<String>,
    inbox_bytes: usize,
    /// The server named another address for messages.
    moved: Option<Url>,
}

impl Sse {
    /// Opens the stream and waits for the `endpoint` event.
    pub(super) fn open(url: &Url, fixed: &Arc<Fixed>, deadline: Instant) -> Result<Sse, Error> {
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
        let mut stream = Stream::new(url.clone(), connection, &answer, fixed)?;
        while stream.moved.is_none() {
            // Messages may come before the endpoint; whoever reads next gets them.
            if let Some(text) = stream.next(deadline)? {
                stream.keep(text);
            }
            if stream.inbox_bytes > fixed.event_bytes_max {
                let max = fixed.event_bytes_max;
                return Err(Error::Protocol(format!("no endpoint event came in {max} bytes of messages")));
            }
        }
        let endpoint = stream.moved.take().unwrap_or_else(|| url.clone());
        let session_id = endpoint.session_id().map(str::to_owned).or(answer.session_id);
        Ok(Sse { fixed: fixed.clone(), stream, endpoint, session_id, posts: None })
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
        if self.stream.events.ended() {
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
        let fixed = self.fixed.clone();
        let limits = &fixed.limits;
        let stream = &mut self.stream;
        let turn: Turn<'_> = &mut || stream.drain();
        let mut connection = kept.map_or_else(|| Connection::open(&self.endpoint, deadline), Ok)?;
        let mut result = connection.exchange("POST", &request, limits, deadline, turn);
        // It was closed in the moment between the look at it and the request, which therefore was not taken. A server
        // that takes a request and closes without a word gets it twice, and can tell by the id.
        if connection.was_used() && matches!(&result, Err(failed) if failed.unanswered) {
            connection = Connection::open(&self.endpoint, deadline)?;
            result = connection.exchange("POST", &request, limits, deadline, turn);
        }
        let answer = result.map_err(|failed| failed.error)?;
        if (200..300).contains(&answer.status) {
            self.posts = connection.finish(&answer, limits, deadline, turn).1;
            return Ok(());
        }
        let (error, kept) = refused(connection, &answer, limits, deadline, turn);
        self.posts = kept;
        Err(error)
    }

    pub(super) fn close(&mut self) {
        self.stream.events.end();
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
    fn new(
        url: Url,
        mut connection: Connection,
        answer: &Answer,
        fixed: &Arc<Fixed>,
    ) -> Result<Stream, Error> {
        let mut events = Events::new(answer, fixed);
        events.decode(&connection.take_input(), &fixed.limits)?;
        let (fixed, inbox) = (fixed.clone(), VecDeque::new());
        Ok(Stream { url, connection, events, fixed, inbox, inbox_bytes: 0, moved: None })
    }

    /// The next message; `None` for an event of another kind.
    fn next(&mut self, deadline: Instant) -> Result<Option<String>, Error> {
        loop {
            if let Some(event) = self.events.next()? {
                return self.message(event);
            }
            if self.events.ended() {
                return Err(Error::Closed);
            }
            let mut buffer = [0; READ_BYTES];
            match self.connection.read(&mut buffer, deadline, &mut || Ok(())) {
                Ok(0) => self.events.end(),
                Ok(count) => {
                    self.events.decode(buffer.get(..count).unwrap_or_default(), &self.fixed.limits)?
                }
                Err(Error::Timeout) => return Err(Error::Timeout),
                Err(error) => {
                    self.events.end();
                    return Err(error);
                }
            }
        }
    }

    /// Takes what is there without waiting, so that a server can go on that is stuck until its stream is read.
    ///
    /// The stream's end is an error one turn later only: the server may have answered the post before it.
    fn drain(&mut self) -> Result<(), Error> {
        if self.events.ended() {
            return Err(Error::Closed);
        }
        while self.inbox_bytes < self.fixed.event_bytes_max {
            if let Some(event) = self.events.next()? {
                if let Some(text) = self.message(event)? {
                    self.keep(text);
                }
                continue;
            }
            if self.events.ended() {
                break;
            }
            let mut buffer = [0; READ_BYTES];
            match self.connection.read_now(&mut buffer) {
                Ok(Some(0)) => self.events.end(),
                Ok(Some(count)) => {
                    self.events.decode(buffer.get(..count).unwrap_or_default(), &self.fixed.limits)?
                }
                Ok(None) => break,
                Err(error) => {
                    self.events.end();
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
