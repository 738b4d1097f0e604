//! The stream of a POST: an answer that is JSON or events.
//!
//! *Scope:* [`Answer`], and [`Waiting`] while nothing of it was sent. *Not in scope:* sending it (`core::answers`).

use crate::engine::state::streams::{Source, Stream};
use crate::json::write::Array;
use crate::jsonrpc::id::Id;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge, KeptText};
use crate::slab::Key;

/// What only the stream of a POST has; other streams are events from the first byte.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) asks: Asks,
    /// True if one of its requests was answered by an error.
    pub(crate) failed: bool,
    pub(crate) session_over: bool,
}

/// What its requests show of their session, as far as it matters when sessions make room.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Asks {
    /// They only look around.
    #[default]
    Looks,
    /// It opens the session.
    OpensSession,
    /// One of them is more than a look around.
    #[cfg(feature = "streamable")]
    Works,
    /// There was no room for one of them, or their client is gone.
    #[cfg(feature = "streamable")]
    Refused,
}

#[cfg(feature = "streamable")]
impl Answer {
    pub(crate) fn note_work(&mut self) {
        if self.asks == Asks::Looks {
            self.asks = Asks::Works;
        }
    }

    pub(crate) fn note_refusal(&mut self) {
        if self.asks != Asks::OpensSession {
            self.asks = Asks::Refused;
        }
    }
}

/// The form of an answer.
#[derive(Default)]
pub(crate) enum Form {
    /// Nothing was sent so far: it can become JSON or events.
    Waiting(Box<Waiting>),
    #[default]
    Events,
}

/// Responses that wait. Most answers have one, for which no list is allocated.
#[derive(Default)]
enum Replies {
    #[default]
    None,
    One(KeptText),
    Several(Vec<KeptText>),
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
    replies: Replies,
    text_bytes: usize,
    /// The id of its request, if that is its only one and was ended by the end of the session.
    pub(crate) ended: Option<Id>,
    charge: Charge,
}

impl Waiting {
    pub(crate) fn new(json: bool, events: bool, batch: bool, charge: Charge) -> Waiting {
        Waiting {
            json,
            events,
            batch,
            status: 200,
            replies: Replies::None,
            text_bytes: 0,
            ended: None,
            charge,
        }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.charge.bytes()
    }

    pub(crate) fn replies_count(&self) -> usize {
        match &self.replies {
            Replies::None => 0,
            Replies::One(_) => 1,
            Replies::Several(texts) => texts.len(),
        }
    }

    /// The length of all replies.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(crate) fn add_reply(&mut self, text: KeptText) {
        self.text_bytes += text.len();
        self.charge.grow(bytes_of(&text));
        self.replies = match std::mem::take(&mut self.replies) {
            Replies::None => Replies::One(text),
            Replies::One(first) => Replies::Several(vec![first, text]),
            Replies::Several(mut texts) => {
                texts.push(text);
                Replies::Several(texts)
            }
        };
    }

    /// True if the answer is to be JSON now that all requests are answered. A response with a status of its own needs that
    /// status, even if the client asked for events.
    pub(crate) fn ends_as_json(&self) -> bool {
        (self.json && !(self.events && self.replies_count() == 0)) || self.status != 200
    }

    /// Appends all replies as one array, each of which is freed then.
    pub(crate) fn write_array(self, out: &mut Vec<u8>) {
        // Brackets and commas.
        out.reserve_exact(self.text_bytes + self.replies_count() + 2);
        let mut items = Array::new(out);
        self.into_replies().into_iter().for_each(|text| {
            items.item(|out| text.append_to(out));
        });
        items.end();
    }

    /// Returns the reply, if there is one only.
    pub(crate) fn into_reply(self) -> Option<KeptText> {
        if let Replies::One(text) = self.replies { Some(text) } else { None }
    }

    pub(crate) fn into_replies(self) -> Vec<KeptText> {
        match self.replies {
            Replies::None => Vec::new(),
            Replies::One(text) => vec![text],
            Replies::Several(texts) => texts,
        }
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
        let asks = if opens_session { Asks::OpensSession } else { Asks::Looks };
        let answer = Answer { asks, ..Answer::default() };
        Stream { answer, form, ..Stream::of_events(session, conn, Source::Post) }
    }

    /// Returns the answer while nothing of it was sent.
    pub(crate) fn waiting(&self) -> Option<&Waiting> {
        match &self.form {
            Form::Waiting(waiting) => Some(waiting),
            Form::Events => None,
        }
    }

    /// True while nothing of the answer was sent.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting().is_some()
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

    /// What each of its calls takes besides itself: the answer to a POST is a stream of its own.
    pub(crate) fn call_bytes(&self) -> usize {
        if self.source == Source::Post { ANSWER_BYTES + Stream::LOG_BYTES } else { 0 }
    }

    /// Counts one more request whose response it ends with.
    pub(crate) fn add_call(&mut self) {
        self.open += u32::from(self.source.is_answer());
    }

    /// True if its POST opens a session and was refused.
    pub(crate) fn is_refusal(&self) -> bool {
        self.answer.asks == Asks::OpensSession && self.answer.failed
    }
}

/// Returns what a response takes that waits, with its place in a vector of which half may be free.
pub(crate) fn bytes_of(text: &KeptText) -> usize {
    text.held_bytes() + 2 * size_of::<KeptText>()
}

/// What an answer takes besides its call: it may wait.
const ANSWER_BYTES: usize = size_of::<Stream>() + size_of::<Waiting>() + BLOCK_OVERHEAD_BYTES;
