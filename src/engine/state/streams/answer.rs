//! The stream of a POST: an answer that is JSON or events.
//!
//! *Scope:* [`Answer`], and [`Waiting`] while nothing of it was sent. *Not in scope:* sending it (`core::answers`).

use crate::engine::state::streams::{Source, Stream};
use crate::json::write::Array;
use crate::jsonrpc::id::Id;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::slab::Key;

/// What only the stream of a POST has; other streams are events from the first byte.
#[derive(Default)]
pub(crate) struct Answer {
    /// Its POST opens the session.
    pub(crate) opens_session: bool,
    /// One of its requests was answered by an error.
    pub(crate) failed: bool,
    pub(crate) session_over: bool,
}

/// The form of an answer.
#[derive(Default)]
pub(crate) enum Form {
    /// Nothing was sent so far: it can become JSON or events.
    Waiting(Box<Waiting>),
    #[default]
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

impl Stream {
    /// The answer to a batch on a connection of lines.
    #[cfg(feature = "streamable")]
    pub(crate) fn of_batch(session: Key, conn: Key, charge: Charge) -> Stream {
        let form = Form::Waiting(Box::new(Waiting::new(true, false, true, charge)));
        Stream { form, ..Stream::of_events(session, conn, Source::Batch) }
    }

    /// The answer to a POST.
    pub(crate) fn of_post(session: Key, conn: Key, opens_session: bool, waiting: Waiting) -> Stream {
        let form = Form::Waiting(Box::new(waiting));
        let answer = Answer { opens_session, ..Answer::default() };
        Stream { answer, form, ..Stream::of_events(session, conn, Source::Post) }
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

    /// True if its POST opens a session that is not to be.
    pub(crate) fn is_refusal(&self) -> bool {
        self.answer.opens_session && self.answer.failed
    }
}

/// What an answer takes besides its call: it may wait.
pub(crate) const ANSWER_BYTES: usize = size_of::<Stream>() + size_of::<Waiting>() + BLOCK_OVERHEAD_BYTES;
