//! The events in the body of a response, on whichever transport.
//!
//! *Scope:* from bytes off the wire to events: the framing of HTTP, then that of event streams. *Not in scope:* reading
//! the socket, and what events mean.

use super::http::Answer;
use crate::client::error::Error;
use crate::http::body;
use crate::limits::Limits;
use crate::sse;

/// What goes into every request, and bounds every response.
#[derive(Debug)]
pub(super) struct Fixed {
    /// Whole field lines.
    pub(super) fields: String,
    pub(super) event_bytes_max: usize,
    pub(super) reconnects_max: u32,
    pub(super) limits: Limits,
}

/// An event stream in the course of being read.
#[derive(Debug)]
pub(super) struct Events {
    body: body::Decoder,
    events: sse::Decoder,
    /// Content of the body that has not gone through `events` yet.
    content: Vec<u8>,
    taken: usize,
    ended: bool,
    /// The body is whole, and nothing came behind it.
    clean: bool,
}

impl Events {
    pub(super) fn new(answer: &Answer, fixed: &Fixed) -> Events {
        Events {
            body: answer.framing.map_or_else(body::Decoder::until_close, body::Decoder::new),
            events: sse::Decoder::new(fixed.event_bytes_max),
            content: Vec::new(),
            taken: 0,
            ended: false,
            clean: false,
        }
    }

    /// Whether nothing more can come, besides events that were read already.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the connection can carry another response after this one.
    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }

    /// The connection is at its end.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Takes bytes off the wire.
    pub(super) fn decode(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), Error> {
        let content = &mut self.content;
        let decoded = self.body.decode(bytes, limits, |data| content.extend_from_slice(data));
        self.ended |= !matches!(&decoded, Ok(progress) if !progress.done);
        self.clean = matches!(&decoded, Ok(progress) if progress.done && progress.used == bytes.len());
        decoded.map(|_| ()).map_err(|refusal| {
            Error::Protocol(format!("the server's event stream is malformed: {}", refusal.reason))
        })
    }

    /// The next event in what was read; `None` if more must be read.
    pub(super) fn next(&mut self) -> Result<Option<sse::Event>, Error> {
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

    /// Where to resume; empty if the server named no place.
    pub(super) fn last_id(&self) -> &str {
        self.events.last_id()
    }

    /// How many milliseconds the server wants to have peace before.
    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.events.retry_ms()
    }
}
