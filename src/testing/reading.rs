//! What a client reads from one connection.
//!
//! *Scope:* responses, events and lines, however they are cut. *Not in scope:* what the messages in them say.

use serde_json::Value;

use crate::http::body;
use crate::http::client::parse_response;
use crate::http::head::Fields;
use crate::limits::Limits;
use crate::sse;

/// Something whole that has come.
#[derive(Debug)]
pub(super) enum Arrival {
    /// The head of a response.
    Head { status: u16, session: Option<String> },
    /// A message: in a line, an event, or a response of JSON.
    Message(Value),
    /// Where HTTP+SSE takes messages.
    Endpoint(String),
    /// A response has ended whose status is an error. The text is its body, which may be a message, too.
    Refused { status: u16, text: String },
    /// A response has ended.
    End,
}

/// Reads one connection.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    buffer: Vec<u8>,
    /// The id of the last event, for a client that has to come back for the rest.
    pub(super) last_event: Option<String>,
    /// How long a client waits before it comes back, in milliseconds.
    pub(super) retry_ms: Option<u64>,
}

#[derive(Debug)]
enum State {
    Lines,
    Head,
    Body { body: body::Decoder, content: Box<Content> },
}

#[derive(Debug)]
enum Content {
    Text { status: u16, text: Vec<u8> },
    Events(sse::Decoder),
}

/// Sizes are not what a client in memory looks at.
fn limits() -> Limits {
    Limits { body_bytes_max: usize::MAX, ..Limits::DEFAULT }
}

impl Reader {
    pub(super) fn of_lines() -> Reader {
        Reader { state: State::Lines, ..Reader::of_http() }
    }

    pub(super) fn of_http() -> Reader {
        Reader { state: State::Head, buffer: Vec::new(), last_event: None, retry_ms: None }
    }

    /// True if the response that is being read is a stream of events.
    pub(super) fn is_stream(&self) -> bool {
        matches!(&self.state, State::Body { content, .. } if matches!(**content, Content::Events(_)))
    }

    /// Returns what is whole now.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Arrival> {
        self.buffer.extend_from_slice(bytes);
        let mut arrivals = Vec::new();
        while self.step(&mut arrivals) {}
        arrivals
    }

    /// Returns true if there may be more.
    fn step(&mut self, arrivals: &mut Vec<Arrival>) -> bool {
        match &mut self.state {
            State::Lines => {
                let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else { return false };
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                arrivals.push(Arrival::Message(json(&line)));
                true
            }
            State::Head => {
                let end = self.buffer.windows(4).position(|window| window == b"\r\n\r\n");
                let Some(end) = end else { return false };
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                self.begin(&head, arrivals);
                true
            }
            State::Body { body, content } => {
                let mut read = Vec::new();
                let progress = body
                    .decode(&self.buffer, &limits(), |data| read.extend_from_slice(data))
                    .unwrap_or_else(|problem| panic!("the server's body is malformed: {problem}"));
                self.buffer.drain(..progress.used);
                match &mut **content {
                    Content::Text { text, .. } => text.extend(read),
                    Content::Events(decoder) => {
                        let mut rest = &read[..];
                        while let Ok(Some(event)) = decoder.next(&mut rest) {
                            match &*event.name {
                                "endpoint" => arrivals.push(Arrival::Endpoint(event.data)),
                                _ if event.data.is_empty() => {}
                                _ => arrivals.push(Arrival::Message(json(event.data.as_bytes()))),
                            }
                        }
                        let id = decoder.last_id();
                        self.last_event = (!id.is_empty()).then(|| id.to_owned());
                        self.retry_ms = decoder.retry_ms();
                    }
                }
                if progress.done {
                    self.finish(arrivals);
                }
                progress.done
            }
        }
    }

    fn begin(&mut self, head: &[u8], arrivals: &mut Vec<Arrival>) {
        let mut fields = Fields::new();
        let limits = limits();
        let head = parse_response(head, &mut fields, "POST", &limits)
            .unwrap_or_else(|problem| panic!("the server's response is malformed: {problem}"));
        let text = |name: &str| head.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        if head.status < 200 {
            return;
        }
        // Those of an earlier response on this connection say nothing of this one.
        (self.last_event, self.retry_ms) = (None, None);
        let is_stream = text("content-type").is_some_and(|kind| kind.starts_with(sse::MEDIA_TYPE));
        let content = Box::new(match is_stream {
            true => Content::Events(sse::Decoder::new(usize::MAX)),
            false => Content::Text { status: head.status, text: Vec::new() },
        });
        arrivals.push(Arrival::Head { status: head.status, session: text("mcp-session-id") });
        let body = head.framing.map_or_else(body::Decoder::until_close, body::Decoder::new);
        self.state = State::Body { body, content };
    }

    fn finish(&mut self, arrivals: &mut Vec<Arrival>) {
        let State::Body { content, .. } = std::mem::replace(&mut self.state, State::Head) else { return };
        match *content {
            Content::Text { status, text } if status >= 300 => {
                let text = String::from_utf8_lossy(&text).into_owned();
                arrivals.push(Arrival::Refused { status, text });
            }
            Content::Text { status: 200, text } if !text.is_empty() => {
                arrivals.push(Arrival::Message(json(&text)));
                arrivals.push(Arrival::End);
            }
            _ => arrivals.push(Arrival::End),
        }
    }
}

/// What the server sends is JSON: that it is not would be a fault of this crate.
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|problem| {
        panic!("the server sent something that is not JSON ({problem}): {}", String::from_utf8_lossy(bytes))
    })
}
