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

use crate::engine::state::coalesced::Coalesced;
use crate::engine::state::event_log::EventLog;
use crate::json::write::Array;
use crate::jsonrpc::id::Id;
use crate::memory::{Account, BLOCK_OVERHEAD_BYTES, Charge};
use crate::slab::{Key, Slab};
use crate::timers::Nanos;

/// The fields of every stream's head. `X-Accel-Buffering` is what makes nginx pass events on at once.
pub(crate) const STREAM_FIELDS: [(&str, &str); 2] =
    [("Cache-Control", "no-cache, no-transform"), ("X-Accel-Buffering", "no")];

/// What a stream belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// True if it carries all that its session says, and the session ends with it.
    pub(crate) fn is_session(self) -> bool {
        matches!(self, Source::Sse | Source::Lines)
    }
}

/// The form of an answer.
pub(crate) enum Form {
    /// Nothing was sent so far: it can become JSON or events.
    Waiting(Box<Waiting>),
    Events,
}

/// An answer of which nothing was sent so far.
pub(crate) struct Waiting {
    /// The client takes JSON.
    pub(crate) json: bool,
    /// The client takes events.
    pub(crate) events: bool,
    pub(crate) batch: bool,
    /// The status of the answer, as long as that is JSON.
    pub(crate) status: u16,
    /// Responses that wait for the others, or for the end.
    replies: Vec<Vec<u8>>,
    /// The id of its request, if that is its only one and was ended by the end of the session.
    pub(crate) ended: Option<Id>,
    charge: Charge,
}

impl Waiting {
    pub(crate) fn new(json: bool, events: bool, batch: bool, charge: Charge) -> Waiting {
        Waiting { json, events, batch, status: 200, replies: Vec::new(), ended: None, charge }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.charge.bytes()
    }

    pub(crate) fn replies(&self) -> &[Vec<u8>] {
        &self.replies
    }

    pub(crate) fn add_reply(&mut self, text: Vec<u8>) {
        self.charge.grow(text.len());
        self.replies.push(text);
    }

    /// True if the answer is to be JSON now that all requests are answered. What has a status of its own has to be told by
    /// it, in whatever form.
    pub(crate) fn ends_as_json(&self) -> bool {
        (self.json && !(self.events && self.replies.is_empty())) || self.status != 200
    }

    /// Appends all replies as one array.
    pub(crate) fn write_array(&self, out: &mut Vec<u8>) {
        let mut items = Array::new(out);
        self.replies.iter().for_each(|text| {
            items.item(|out| out.extend_from_slice(text));
        });
        items.end();
    }

    pub(crate) fn into_replies(self) -> Vec<Vec<u8>> {
        self.replies
    }
}

/// One stream of messages to a client.
pub(crate) struct Stream {
    pub(crate) session: Key,
    /// What carries it; `None` if its client is gone and may come back.
    pub(crate) conn: Option<Key>,
    pub(crate) source: Source,
    /// Its POST opens the session.
    pub(crate) opens_session: bool,
    /// One of its requests was answered by an error.
    pub(crate) failed: bool,
    pub(crate) session_over: bool,
    /// Requests that are not answered; a POST's stream ends with the last one.
    pub(crate) open: u32,
    pub(crate) form: Form,
    /// What a slow client was spared so far.
    pub(crate) owed: Option<Box<Coalesced>>,
    /// What is kept for a client that comes back; `None` if it cannot.
    pub(crate) log: Option<Box<EventLog>>,
}

impl Stream {
    /// One of events.
    pub(crate) fn of_events(session: Key, conn: Key, source: Source) -> Stream {
        Stream {
            session,
            conn: Some(conn),
            source,
            opens_session: false,
            failed: false,
            session_over: false,
            open: 0,
            form: Form::Events,
            owed: None,
            log: None,
        }
    }

    /// The answer to a batch on a connection of lines.
    pub(crate) fn of_batch(session: Key, conn: Key, charge: Charge) -> Stream {
        let form = Form::Waiting(Box::new(Waiting::new(true, false, true, charge)));
        Stream { form, ..Stream::of_events(session, conn, Source::Batch) }
    }

    /// The answer to a POST.
    pub(crate) fn of_post(session: Key, conn: Key, opens_session: bool, waiting: Waiting) -> Stream {
        let form = Form::Waiting(Box::new(waiting));
        Stream { opens_session, form, ..Stream::of_events(session, conn, Source::Post) }
    }

    /// The answer while nothing of it was sent.
    pub(crate) fn waiting(&self) -> Option<&Waiting> {
        match &self.form {
            Form::Waiting(waiting) => Some(waiting),
            Form::Events => None,
        }
    }

    pub(crate) fn waiting_mut(&mut self) -> Option<&mut Waiting> {
        match &mut self.form {
            Form::Waiting(waiting) => Some(waiting),
            Form::Events => None,
        }
    }

    /// True if it is one of events or can become one.
    pub(crate) fn takes_events(&self) -> bool {
        self.waiting().is_none_or(|waiting| waiting.events)
    }

    /// True if a comment can show that it is alive.
    pub(crate) fn takes_comments(&self) -> bool {
        self.source != Source::Lines && self.takes_events()
    }

    /// True if its POST opens a session that is not to be.
    pub(crate) fn is_refusal(&self) -> bool {
        self.opens_session && self.failed
    }

    /// True if all is answered, and only what is kept for its client is left.
    pub(crate) fn is_over(&self) -> bool {
        self.source == Source::Post && self.open == 0 && self.conn.is_none()
    }

    /// True if it is a session's stream that nobody has come for in too long a time, so that nothing is kept for it.
    pub(crate) fn is_forgotten(&self) -> bool {
        let forgets = self.log.as_ref().is_none_or(|log| !log.keeps());
        self.source == Source::Get && self.conn.is_none() && forgets
    }

    /// What its log holds.
    pub(crate) fn log_bytes(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.held_bytes())
    }

    /// When what it keeps is to be looked at, if the time that it is kept is added.
    pub(crate) fn kept_since(&self) -> Option<Nanos> {
        let log = self.log.as_ref()?;
        let expires = match self.source {
            Source::Get => log.keeps(),
            // What is open and without a connection waits for as long as its calls take.
            _ => self.is_over() || self.conn.is_some() && !log.is_empty(),
        };
        expires.then(|| log.since())
    }
}

/// What an answer takes besides its call: it may wait, and become a stream that can be resumed.
pub(crate) const ANSWER_BYTES: usize =
    size_of::<Stream>() + size_of::<Waiting>() + size_of::<EventLog>() + 2 * BLOCK_OVERHEAD_BYTES;

/// All streams.
#[derive(Default)]
pub(crate) struct Streams {
    slab: Slab<Stream>,
    /// What is kept for clients that may come back: it gives way.
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Stream)> {
        self.slab.iter()
    }
}
