//! The data of streams to a client: responses to POSTs, what can be resumed, what a slow reader is owed.
//!
//! *Scope:* [`Post`], [`Replay`] and [`Held`]. *Not in scope:* writing to connections (`core`, `deliver`), and clients that
//! come back (`resume`).
//!
//! ```text
//!             begin_get ──▶ carried ⇄ left ──▶ replay_timeout, another GET ──▶ its events are dropped
//!  begin_post ──▶ carried ⇄ left
//!                    └────────┴─ all answered ──▶ over ── replay_timeout, all of it was seen, or it is the oldest of
//!                                                         more than replay_streams_max ──▶ gone
//! ```
//!
//! An id is good for as long as everything after it is kept that has to arrive: a client gets all questions and responses, or
//! it is told otherwise. Of notifications the oldest may be missing.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::time::Duration;

use crate::engine::negotiate::Accepted;
use crate::engine::state::replay::{EventId, Kept, Kind, Ring, StreamId};
use crate::jsonrpc::id::Id;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::service::outbox::Slot;
use crate::slab::Key;

/// The stream of a session that a GET opened: there is one at a time.
#[derive(Default)]
struct Get {
    id: Option<StreamId>,
    next: u64,
    /// It has lost its connection.
    left: bool,
    /// There is none while nothing is kept, unless the stream was left a short time ago.
    ring: Option<Box<Ring>>,
}

/// A stream that a POST opened.
struct Answer {
    id: StreamId,
    next: u64,
    ring: Ring,
    /// What carries it.
    conn: Option<Key>,
    /// Its unanswered requests, while no connection does.
    post: Option<Box<Post>>,
}

/// What an open one takes; its calls count for it.
pub(crate) const ANSWER_BYTES: usize = size_of::<Answer>();

/// Streams that POSTs opened.
#[derive(Default)]
struct Answers {
    open: Vec<Answer>,
    /// Oldest end first.
    over: VecDeque<Answer>,
    /// Of their messages.
    over_bytes: usize,
}

impl Answers {
    fn end(&mut self, mut answer: Answer, streams_max: usize) {
        if streams_max == 0 {
            return;
        }
        // Before there is one too many, for which the queue would grow to twice its size.
        while self.over.len() >= streams_max {
            self.drop_oldest();
        }
        answer.ring.kept.shrink_to_fit();
        self.over_bytes += answer.ring.held_bytes();
        self.over.push_back(answer);
    }

    fn drop_oldest(&mut self) {
        self.over_bytes -= self.over.pop_front().map_or(0, |oldest| oldest.ring.held_bytes());
    }

    fn held_bytes(&self) -> usize {
        let open: usize = self.open.iter().map(|answer| answer.ring.held_bytes()).sum();
        open + self.over_bytes + self.over.capacity() * size_of::<Answer>()
    }
}

/// What a session's streams have said.
pub(crate) struct Replay {
    begun: u64,
    get: Get,
    answers: Option<Box<Answers>>,
    charge: Charge,
}

/// What a client that comes back with an id can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumable {
    /// The session's stream.
    Get,
    /// An answer with unanswered requests.
    Open,
    /// A whole answer.
    Over,
}

/// Streams and where they stand.
impl Replay {
    pub(crate) fn new(charge: Charge) -> Replay {
        Replay { begun: 0, get: Get::default(), answers: None, charge }
    }

    /// Charges what it holds now: to be called after a change.
    pub(crate) fn recount(&mut self) {
        self.charge.set(self.held_bytes());
    }

    /// What it holds, as last counted.
    pub(crate) fn bytes(&self) -> usize {
        self.charge.bytes()
    }

    /// The session's stream begins anew; what an earlier one has said is dropped.
    pub(crate) fn begin_get(&mut self) -> StreamId {
        let id = self.next_stream();
        self.get = Get { id: Some(id), ..Get::default() };
        id
    }

    pub(crate) fn begin_post(&mut self, conn: Key, now: Duration) -> StreamId {
        let id = self.next_stream();
        let answer = Answer { id, next: 0, ring: Ring::new(0, now), conn: Some(conn), post: None };
        self.answers.get_or_insert_default().open.push(answer);
        id
    }

    fn next_stream(&mut self) -> StreamId {
        let id = StreamId(NonZeroU64::MIN.saturating_add(self.begun));
        self.begun += 1;
        id
    }

    /// The session's stream, if there ever was one.
    pub(crate) fn get(&self) -> Option<StreamId> {
        self.get.id
    }

    fn open(&self, id: StreamId) -> Option<&Answer> {
        self.answers.as_ref()?.open.iter().find(|answer| answer.id == id)
    }

    fn open_mut(&mut self, id: StreamId) -> Option<&mut Answer> {
        self.answers.as_mut()?.open.iter_mut().find(|answer| answer.id == id)
    }

    /// What carries an answer.
    pub(crate) fn conn(&self, id: StreamId) -> Option<Key> {
        self.open(id)?.conn
    }

    /// A connection carries the answer from now on; gives its unanswered requests.
    pub(crate) fn carry(&mut self, id: StreamId, conn: Key) -> Option<Box<Post>> {
        let answer = self.open_mut(id)?;
        answer.conn = Some(conn);
        answer.post.take()
    }

    /// No connection carries the answer any more. Says whether it is still open.
    pub(crate) fn leave(&mut self, id: StreamId, post: Box<Post>) -> bool {
        let Some(answer) = self.open_mut(id) else { return false };
        answer.conn = None;
        answer.post = Some(post);
        true
    }

    /// The unanswered requests of an answer that no connection carries.
    pub(crate) fn left_mut(&mut self, id: StreamId) -> Option<&mut Post> {
        self.open_mut(id)?.post.as_deref_mut()
    }

    /// The session's stream has lost its connection: what would be said on it is kept for a time.
    pub(crate) fn leave_get(&mut self, now: Duration) {
        if self.get.id.is_some() {
            self.get.left = true;
            let next = self.get.next;
            let ring = self.get.ring.get_or_insert_with(|| Box::new(Ring::new(next.saturating_sub(1), now)));
            ring.since = now;
        }
    }

    /// All of an answer's requests are answered. Of those that are over, the latest `streams_max` are kept.
    pub(crate) fn end(&mut self, id: StreamId, now: Duration, streams_max: usize) {
        let Some(answers) = &mut self.answers else { return };
        let Some(at) = answers.open.iter().position(|answer| answer.id == id) else { return };
        let mut answer = answers.open.remove(at);
        (answer.conn, answer.post, answer.ring.since) = (None, None, now);
        answers.end(answer, streams_max);
        self.tidy();
    }
}

/// Events.
impl Replay {
    /// The id of the stream's next event.
    pub(crate) fn next_event(&mut self, stream: StreamId) -> Option<EventId> {
        let next = match self.get.id == Some(stream) {
            true => &mut self.get.next,
            false => &mut self.open_mut(stream)?.next,
        };
        let seq = *next;
        *next += 1;
        Some(EventId { stream, seq })
    }

    /// Whether what is said on the session's stream is kept although no connection carries it.
    pub(crate) fn keeps_get(&self) -> bool {
        self.get.ring.is_some()
    }

    /// Keeps a message under its id, and at most `bytes_max` of its stream besides responses.
    pub(crate) fn keep(&mut self, id: EventId, kind: Kind, text: Box<[u8]>, now: Duration, bytes_max: usize) {
        let kept = Kept { seq: id.seq, kind, text };
        let ring = if self.get.id == Some(id.stream) {
            let before = id.seq.saturating_sub(1);
            let ring = self.get.ring.get_or_insert_with(|| Box::new(Ring::new(before, now)));
            // While nobody is there, no message makes the others wait longer.
            ring.since = if self.get.left { ring.since } else { now };
            ring
        } else {
            let Some(answer) = self.open_mut(id.stream) else { return };
            answer.ring.since = now;
            &mut answer.ring
        };
        ring.push(kept, bytes_max);
    }

    /// What a client can be given that has seen everything up to the event `last`; `None` if something is
    /// gone that has to arrive.
    pub(crate) fn resumable(&self, last: EventId) -> Option<Resumable> {
        let (next, whole_after, found) = if self.get.id == Some(last.stream) {
            let next = self.get.next;
            let whole_after = self.get.ring.as_ref().map_or(next.saturating_sub(1), |ring| ring.whole_after);
            (next, whole_after, Resumable::Get)
        } else if let Some(answer) = self.open(last.stream) {
            (answer.next, answer.ring.whole_after, Resumable::Open)
        } else {
            let over = self.answers.as_ref()?.over.iter().find(|answer| answer.id == last.stream)?;
            (over.next, over.ring.whole_after, Resumable::Over)
        };
        (whole_after <= last.seq && last.seq < next).then_some(found)
    }

    /// The client has seen everything up to `last` and has come back. Calls `each` for what follows; that is kept on.
    pub(crate) fn resume(&mut self, last: EventId, mut each: impl FnMut(EventId, &[u8])) {
        if self.get.id == Some(last.stream) {
            self.get.left = false;
            if let Some(ring) = &mut self.get.ring {
                ring.seen(last.seq);
                ring.messages(last.stream).for_each(|(id, text)| each(id, text));
            }
            self.get.ring = self.get.ring.take().filter(|ring| !ring.kept.is_empty());
        } else if let Some(answer) = self.open_mut(last.stream) {
            answer.ring.seen(last.seq);
            answer.ring.messages(last.stream).for_each(|(id, text)| each(id, text));
        } else if let Some(answers) = &mut self.answers
            && let Some(at) = answers.over.iter().position(|answer| answer.id == last.stream)
            && let Some(answer) = answers.over.get_mut(at)
        {
            answers.over_bytes -= answer.ring.held_bytes();
            answer.ring.seen(last.seq);
            answer.ring.messages(last.stream).for_each(|(id, text)| each(id, text));
            match answer.ring.kept.is_empty() {
                true => drop(answers.over.remove(at)),
                false => answers.over_bytes += answer.ring.held_bytes(),
            }
            self.tidy();
        }
    }
}

/// Time and memory.
impl Replay {
    /// The memory that [`shed`](Replay::shed) gives back.
    fn held_bytes(&self) -> usize {
        let get = self.get.ring.as_ref().map_or(0, |ring| ring.held_bytes());
        get + self.answers.as_ref().map_or(0, |answers| answers.held_bytes())
    }

    /// Drops what has been kept for `timeout`. What is open and left by its connection waits for as long as its calls
    /// take.
    pub(crate) fn expire(&mut self, now: Duration, timeout: Duration) {
        self.get.ring = self.get.ring.take().filter(|ring| !ring.is_due(now, timeout));
        let Some(answers) = &mut self.answers else { return };
        for answer in &mut answers.open {
            if answer.conn.is_some() && answer.ring.is_due(now, timeout) {
                answer.ring.drop_all();
            }
        }
        while answers.over.front().is_some_and(|oldest| oldest.ring.is_due(now, timeout)) {
            answers.drop_oldest();
        }
        self.tidy();
    }

    /// When [`expire`](Replay::expire) has something to do, if `timeout` is added.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        let get = self.get.ring.iter().map(|ring| ring.since);
        let answers = self.answers.iter();
        let open = answers.clone().flat_map(|answers| &answers.open);
        let open = open.filter(|answer| answer.conn.is_some() && !answer.ring.kept.is_empty());
        let over = answers.filter_map(|answers| answers.over.front().map(|answer| answer.ring.since));
        get.chain(open.map(|answer| answer.ring.since)).chain(over).min()
    }

    /// Drops everything that is kept. Streams go on.
    pub(crate) fn shed(&mut self) {
        self.get.ring = None;
        if let Some(answers) = &mut self.answers {
            answers.open.iter_mut().for_each(|answer| answer.ring.drop_all());
            (answers.over, answers.over_bytes) = (VecDeque::new(), 0);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.answers =
            self.answers.take().filter(|answers| !(answers.open.is_empty() && answers.over.is_empty()));
    }
}

/// The requests of one POST, which are answered together.
pub(crate) struct Post {
    pub(crate) session: Key,
    /// Requests that are not answered.
    pub(crate) open: usize,
    /// Responses that wait for the others, or for the end, because the answer is JSON so far.
    pub(crate) replies: Vec<Vec<u8>>,
    pub(crate) json: bool,
    /// The client takes events: the answer can become a stream.
    pub(crate) sse: bool,
    pub(crate) batch: bool,
    initializes: bool,
    /// Its request has no session.
    pub(crate) alone: bool,
    /// The status of the answer, as long as that is JSON.
    pub(crate) status: u16,
    pub(crate) failed: bool,
    pub(crate) session_over: bool,
    /// The id of its request, if that is its only one and was ended by the end of the session.
    pub(crate) ended: Option<Id>,
    /// The stream that the answer has become, if that can be resumed.
    pub(crate) stream: Option<StreamId>,
    /// Of its replies.
    charge: Charge,
}

impl Post {
    /// Before its requests are counted.
    pub(crate) fn new(
        session: Key,
        batch: bool,
        initializes: bool,
        accepted: Accepted,
        alone: bool,
        charge: Charge,
    ) -> Post {
        Post { batch, initializes, open: 0, alone, ..Post::alone(session, accepted, charge) }
    }

    /// One request without a session.
    pub(crate) fn alone(session: Key, accepted: Accepted, charge: Charge) -> Post {
        Post {
            session,
            open: 1,
            replies: Vec::new(),
            json: accepted.json,
            sse: accepted.events,
            batch: false,
            initializes: false,
            alone: true,
            status: 200,
            failed: false,
            session_over: false,
            ended: None,
            stream: None,
            charge,
        }
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

    pub(crate) fn take_replies(&mut self) -> Vec<Vec<u8>> {
        self.charge.set(0);
        std::mem::take(&mut self.replies)
    }

    /// Whether it opens a session that is not to be.
    pub(crate) fn is_refusal(&self) -> bool {
        self.initializes && self.failed
    }

    /// Whether the answer says which session it belongs to.
    pub(crate) fn names_session(&self) -> bool {
        !(self.alone || self.is_refusal())
    }

    /// Whether its messages reach the client also if this connection does not take them any more.
    pub(crate) fn outlives(&self) -> bool {
        self.stream.is_some()
    }
}

/// What a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Result,
    /// With the status that it has where there is no session.
    Error(u16),
}

/// Notifications that wait until a stream takes more, the latest of each kind.
pub(crate) struct Held {
    latest: BTreeMap<Slot, Box<[u8]>>,
    charge: Charge,
}

impl Held {
    /// What one of them takes, with its place in the map, of which half may be free.
    fn bytes_of(slot: &Slot, text: &[u8]) -> usize {
        let name = if let Slot::Updated(uri) = slot { uri.len() + BLOCK_OVERHEAD_BYTES } else { 0 };
        name + text.len() + BLOCK_OVERHEAD_BYTES + 2 * size_of::<(Slot, Box<[u8]>)>()
    }

    pub(crate) fn new(charge: Charge) -> Held {
        Held { latest: BTreeMap::new(), charge }
    }

    pub(crate) fn insert(&mut self, slot: &Slot, text: &[u8]) {
        self.charge.grow(Held::bytes_of(slot, text));
        if let Some(replaced) = self.latest.insert(slot.clone(), text.into()) {
            self.charge.shrink(Held::bytes_of(slot, &replaced));
        }
    }

    pub(crate) fn remove(&mut self, slot: &Slot) {
        if let Some(text) = self.latest.remove(slot) {
            self.charge.shrink(Held::bytes_of(slot, &text));
        }
    }

    /// Takes the first one.
    pub(crate) fn pop(&mut self) -> Option<Box<[u8]>> {
        let (slot, text) = self.latest.pop_first()?;
        self.charge.shrink(Held::bytes_of(&slot, &text));
        debug_assert!(self.charge.bytes() > 0 || self.latest.is_empty(), "what is held is counted once");
        Some(text)
    }

    pub(crate) fn into_texts(self) -> impl Iterator<Item = Box<[u8]>> {
        self.latest.into_values()
    }
}

/// The fields of every stream's head. `X-Accel-Buffering` is what makes nginx pass events on at once.
pub(crate) const STREAM_FIELDS: [(&str, &str); 2] =
    [("Cache-Control", "no-cache, no-transform"), ("X-Accel-Buffering", "no")];

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Conn(Key),
    /// A stream that no connection carries now.
    Left(Key, StreamId),
}
