//! The streams to clients: what is sent to them in answer to one request, or for as long as a session lasts.
//!
//! *Scope:* [`Stream`] and the table of them. *Not in scope:* writing to connections, which takes the other parts as well
//! (`core::streams`).
//!
//! ```text
//!             ┌───────────── all answered: JSON ─────────────┐
//!  POST ──▶ Waiting ── another message, or keep_alive ──▶ Events ── all answered ──▶ over ── replay_timeout ──▶ gone
//!                                                          │ ▲      (gone at once without a log)
//!                                                   detach │ │ attach
//!  GET, GET /sse, lines ──▶ Events ─────────────────▶      no connection
//!  batch in a line ──▶ Waiting ── all answered: one line ──▶ gone
//! ```
//!
//! A stream of HTTP+SSE or of lines never loses its connection: its session ends with it.

#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod answer;
#[cfg(feature = "resume")]
pub(crate) mod kept;

use crate::engine::state::coalesced::Coalesced;
#[cfg(feature = "resume")]
use crate::engine::state::event_log::EventLog;
#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::engine::state::streams::answer::{Answer, Form};
#[cfg(feature = "resume")]
use crate::memory::Account;
use crate::slab::{Key, Slab};

/// The fields of every stream's head. `X-Accel-Buffering` is what makes nginx pass events on at once.
pub(crate) const STREAM_FIELDS: [(&str, &str); 2] =
    [("Cache-Control", "no-cache, no-transform"), ("X-Accel-Buffering", "no")];

/// What a stream belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A session of HTTP+SSE: all of its messages.
    Sse,
    /// A session of Streamable HTTP: what belongs to no request.
    #[cfg(feature = "streamable")]
    Get,
    /// The requests of one POST.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    Post,
    /// The session of a connection of lines, and its requests without a session: all of their messages.
    Lines,
    /// The requests of one batch on a connection of lines: their responses, in one line.
    #[cfg(feature = "streamable")]
    Batch,
}

impl Source {
    /// True if it ends with its requests.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) fn is_answer(self) -> bool {
        match self {
            #[cfg(feature = "streamable")]
            Source::Batch => true,
            other => other == Source::Post,
        }
    }

    /// True if it carries all that its session says, and the session ends with it.
    pub(crate) fn is_session(self) -> bool {
        matches!(self, Source::Sse | Source::Lines)
    }
}

/// One stream of messages to a client.
pub(crate) struct Stream {
    pub(crate) session: Key,
    /// What carries it; `None` if its client is gone and may come back.
    pub(crate) conn: Option<Key>,
    pub(crate) source: Source,
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) answer: Answer,
    /// Requests that are not answered; an answer ends with the last one.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) open: u32,
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) form: Form,
    /// What a slow client was spared so far.
    pub(crate) owed: Option<Box<Coalesced>>,
    /// What is kept for a client that comes back; `None` if it cannot.
    #[cfg(feature = "resume")]
    pub(crate) log: Option<Box<EventLog>>,
}

impl Stream {
    /// One of events.
    pub(crate) fn of_events(session: Key, conn: Key, source: Source) -> Stream {
        Stream {
            session,
            conn: Some(conn),
            source,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            answer: Answer::default(),
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            open: 0,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            form: Form::Events,
            owed: None,
            #[cfg(feature = "resume")]
            log: None,
        }
    }

    /// True if it is one of events or can become one.
    pub(crate) fn takes_events(&self) -> bool {
        #[cfg(any(feature = "streamable", feature = "stateless"))]
        if let Some(waiting) = self.waiting() {
            return waiting.events;
        }
        true
    }

    /// True if a comment can show that it is alive.
    pub(crate) fn takes_comments(&self) -> bool {
        self.source != Source::Lines && self.takes_events()
    }

    /// What each of its calls takes besides itself: the answer to a POST is a stream of its own.
    pub(crate) fn call_bytes(&self) -> usize {
        match self.source {
            #[cfg(feature = "resume")]
            Source::Post => answer::ANSWER_BYTES + kept::LOG_BYTES,
            #[cfg(all(any(feature = "streamable", feature = "stateless"), not(feature = "resume")))]
            Source::Post => answer::ANSWER_BYTES,
            _ => 0,
        }
    }
}

/// All streams.
#[derive(Default)]
pub(crate) struct Streams {
    slab: Slab<Stream>,
    /// What is kept for clients that may come back: it gives way.
    #[cfg(feature = "resume")]
    pub(crate) logged: Account,
}

impl Streams {
    pub(crate) fn open(&mut self, stream: Stream) -> Key {
        self.slab.insert(stream)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Stream> {
        self.slab.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slab.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Stream> {
        self.slab.remove(key)
    }

    #[cfg(feature = "resume")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Stream)> {
        self.slab.iter()
    }
}
