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
//! A stream of HTTP+SSE or of lines does not outlive its connection: when that is lost, the session ends.

#[cfg(any(feature = "streamable", feature = "stateless"))]
pub(crate) mod answer;
#[cfg(feature = "resume")]
pub(crate) mod kept;

use uuid::Uuid;

use crate::access::settings::Settings;
use crate::engine::state::coalesced::Coalesced;
use crate::engine::state::ids::{ID_BUFFER, id_text};
use crate::memory::Account;
use crate::slab::{Key, Slab};

/// Calls `act` with the fields of a stream's head, which names its session if that has an id. `X-Accel-Buffering` is what makes
/// nginx pass events on at once.
pub(crate) fn with_stream_fields<R>(
    session: Option<Uuid>,
    settings: &Settings,
    act: impl FnOnce(&[(&str, &str)]) -> R,
) -> R {
    let mut buffer = ID_BUFFER;
    let id = session.map(|id| id_text(&settings.node_id, id, &mut buffer));
    let named = [
        ("Cache-Control", "no-cache, no-transform"),
        ("X-Accel-Buffering", "no"),
        ("Mcp-Session-Id", id.unwrap_or_default()),
    ];
    act(named.get(..if id.is_some() { 3 } else { 2 }).unwrap_or_default())
}

/// What a stream belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "streamable"), expect(dead_code, reason = "other builds have fewer streams"))]
pub(crate) enum Source {
    /// A session of HTTP+SSE: all of its messages.
    Sse,
    /// A session of Streamable HTTP: what belongs to no request.
    Get,
    /// The requests of one POST.
    Post,
    /// The session of a connection of lines, and its requests without a session: all of their messages.
    Lines,
    /// The requests of one batch on a connection of lines: their responses, in one line.
    Batch,
}

impl Source {
    /// True if it ends with its requests.
    pub(crate) fn is_answer(self) -> bool {
        matches!(self, Source::Post | Source::Batch)
    }

    /// True if it carries all messages of its session, which ends with it.
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
    pub(crate) answer: answer::Answer,
    /// Requests that are not answered; an answer ends with the last one.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) open: u32,
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) form: answer::Form,
    /// Notifications that are held back while the client is slow.
    pub(crate) owed: Option<Box<Coalesced>>,
    /// What is kept for a client that comes back; `None` if it cannot.
    #[cfg(feature = "resume")]
    pub(crate) log: Option<Box<crate::engine::state::event_log::EventLog>>,
}

impl Stream {
    /// Returns a stream of events.
    pub(crate) fn of_events(session: Key, conn: Key, source: Source) -> Stream {
        Stream {
            session,
            conn: Some(conn),
            source,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            answer: answer::Answer::default(),
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            open: 0,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            form: answer::Form::Events,
            owed: None,
            #[cfg(feature = "resume")]
            log: None,
        }
    }

    /// True if a comment can show that it is alive.
    pub(crate) fn takes_comments(&self) -> bool {
        self.source != Source::Lines && self.takes_events()
    }
}

/// All streams.
#[derive(Default)]
pub(crate) struct Streams {
    slab: Slab<Stream>,
    /// What is kept for clients that may come back: it is dropped first when memory is needed.
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
}
