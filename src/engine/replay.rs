//! What was said on one session's streams and may have to be said again (MCP 2025-11-25, transports, "Resumability and
//! redelivery").
//!
//! *Scope:* [`Replay`]: a session's streams, the ids of their events, and the events that are kept. *Not in scope:*
//! writing to connections, and clients that come back (`resume`).
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

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use super::post::Post;
use crate::buffer::BLOCK_OVERHEAD_BYTES;
use crate::slab::Key;

/// Names one stream of a session for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(NonZeroU64);

/// Names one event of a session for ever: the stream, and how many events that has had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    pub(super) stream: StreamId,
    seq: u64,
}

impl EventId {
    /// Reads an id as it was sent out, and nothing else.
    pub(super) fn read(text: &[u8]) -> Option<EventId> {
        let text = std::str::from_utf8(text).ok()?;
        let (stream, seq) = text.split_once('-')?;
        let id = EventId { stream: StreamId(stream.parse().ok()?), seq: seq.parse().ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream.0, self.seq)
    }
}

/// What a message is, in the order in which they give way to newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client can do without.
    Notification,
    /// A question, or word that it needs no answer any more: it has to arrive.
    Question,
    /// It has to arrive, and is kept whatever its size.
    Response,
}

/// One message that is kept.
struct Kept {
    seq: u64,
    kind: Kind,
    text: Box<[u8]>,
}

impl Kept {
    fn bytes(&self) -> usize {
        size_of::<Kept>() + BLOCK_OVERHEAD_BYTES + self.text.len()
    }

    fn yielding_bytes(&self) -> usize {
        if self.kind == Kind::Response { 0 } else { self.bytes() }
    }
}

/// The latest messages of one stream.
pub(super) struct Ring {
    kept: VecDeque<Kept>,
    /// Of the messages, without places for more.
    bytes: usize,
    /// Of those that give way to newer ones.
    yielding_bytes: usize,
    /// Everything after the event of this number that has to arrive is kept.
    whole_after: u64,
    /// When the last message was kept, the stream was over, or the session's stream lost its connection.
    since: Duration,
}

impl Ring {
    fn new(whole_after: u64, since: Duration) -> Ring {
        Ring { kept: VecDeque::new(), bytes: 0, yielding_bytes: 0, whole_after, since }
    }

    /// The memory that it takes.
    fn held_bytes(&self) -> usize {
        match self.kept.capacity() {
            0 => 0,
            places => self.bytes + (places - self.kept.len()) * size_of::<Kept>() + BLOCK_OVERHEAD_BYTES,
        }
    }

    fn push(&mut self, kept: Kept, bytes_max: usize) {
        self.bytes += kept.bytes();
        self.yielding_bytes += kept.yielding_bytes();
        if self.kept.capacity() == 0 {
            // Most streams say one thing. Room for more that is given back would leave a hole that nothing fits in.
            self.kept.reserve_exact(1);
        }
        self.kept.push_back(kept);
        while self.yielding_bytes > bytes_max {
            let oldest = |kind| self.kept.iter().position(|kept| kept.kind == kind);
            let oldest = oldest(Kind::Notification).or_else(|| oldest(Kind::Question));
            let Some(oldest) = oldest.and_then(|at| self.kept.remove(at)) else { return };
            self.bytes -= oldest.bytes();
            self.yielding_bytes -= oldest.bytes();
            self.miss(&oldest);
        }
    }

    /// The message is kept no longer.
    fn miss(&mut self, gone: &Kept) {
        if gone.kind != Kind::Notification {
            self.whole_after = self.whole_after.max(gone.seq);
        }
    }

    /// The client has seen everything up to this event.
    fn seen(&mut self, seq: u64) {
        while self.kept.front().is_some_and(|kept| kept.seq <= seq)
            && let Some(kept) = self.kept.pop_front()
        {
            self.bytes -= kept.bytes();
            self.yielding_bytes -= kept.yielding_bytes();
        }
        self.whole_after = self.whole_after.max(seq);
    }

    fn drop_all(&mut self) {
        std::mem::take(&mut self.kept).iter().for_each(|gone| self.miss(gone));
        (self.bytes, self.yielding_bytes) = (0, 0);
    }

    fn messages(&self, stream: StreamId) -> impl Iterator<Item = (EventId, &[u8])> {
        self.kept.iter().map(move |kept| (EventId { stream, seq: kept.seq }, &*kept.text))
    }

    fn is_due(&self, now: Duration, timeout: Duration) -> bool {
        self.since.saturating_add(timeout) <= now
    }
}

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
pub(super) const ANSWER_BYTES: usize = size_of::<Answer>();

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
#[derive(Default)]
pub(super) struct Replay {
    begun: u64,
    get: Get,
    answers: Option<Box<Answers>>,
}

/// What a client that comes back with an id can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumable {
    /// The session's stream.
    Get,
    /// An answer with unanswered requests.
    Open,
    /// A whole answer.
    Over,
}

/// Streams and where they stand.
impl Replay {
    /// The session's stream begins anew; what an earlier one has said is dropped.
    pub(super) fn begin_get(&mut self) -> StreamId {
        let id = self.next_stream();
        self.get = Get { id: Some(id), ..Get::default() };
        id
    }

    pub(super) fn begin_post(&mut self, conn: Key, now: Duration) -> StreamId {
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
    pub(super) fn get(&self) -> Option<StreamId> {
        self.get.id
    }

    fn open(&self, id: StreamId) -> Option<&Answer> {
        self.answers.as_ref()?.open.iter().find(|answer| answer.id == id)
    }

    fn open_mut(&mut self, id: StreamId) -> Option<&mut Answer> {
        self.answers.as_mut()?.open.iter_mut().find(|answer| answer.id == id)
    }

    /// What carries an answer.
    pub(super) fn conn(&self, id: StreamId) -> Option<Key> {
        self.open(id)?.conn
    }

    /// A connection carries the answer from now on; gives its unanswered requests.
    pub(super) fn carry(&mut self, id: StreamId, conn: Key) -> Option<Box<Post>> {
        let answer = self.open_mut(id)?;
        answer.conn = Some(conn);
        answer.post.take()
    }

    /// No connection carries the answer any more. Says whether it is still open.
    pub(super) fn leave(&mut self, id: StreamId, post: Box<Post>) -> bool {
        let Some(answer) = self.open_mut(id) else { return false };
        answer.conn = None;
        answer.post = Some(post);
        true
    }

    /// The unanswered requests of an answer that no connection carries.
    pub(super) fn left_mut(&mut self, id: StreamId) -> Option<&mut Post> {
        self.open_mut(id)?.post.as_deref_mut()
    }

    /// The session's stream has lost its connection: what would be said on it is kept for a time.
    pub(super) fn leave_get(&mut self, now: Duration) {
        if self.get.id.is_some() {
            self.get.left = true;
            let next = self.get.next;
            let ring = self.get.ring.get_or_insert_with(|| Box::new(Ring::new(next.saturating_sub(1), now)));
            ring.since = now;
        }
    }

    /// All of an answer's requests are answered. Of those that are over, the latest `streams_max` are kept.
    pub(super) fn end(&mut self, id: StreamId, now: Duration, streams_max: usize) {
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
    pub(super) fn next_event(&mut self, stream: StreamId) -> Option<EventId> {
        let next = match self.get.id == Some(stream) {
            true => &mut self.get.next,
            false => &mut self.open_mut(stream)?.next,
        };
        let seq = *next;
        *next += 1;
        Some(EventId { stream, seq })
    }

    /// Whether what is said on the session's stream is kept although no connection carries it.
    pub(super) fn keeps_get(&self) -> bool {
        self.get.ring.is_some()
    }

    /// Keeps a message under its id, and at most `bytes_max` of its stream besides responses.
    pub(super) fn keep(&mut self, id: EventId, kind: Kind, text: Box<[u8]>, now: Duration, bytes_max: usize) {
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
    pub(super) fn resumable(&self, last: EventId) -> Option<Resumable> {
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
    pub(super) fn resume(&mut self, last: EventId, mut each: impl FnMut(EventId, &[u8])) {
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
    pub(super) fn held_bytes(&self) -> usize {
        let get = self.get.ring.as_ref().map_or(0, |ring| ring.held_bytes());
        get + self.answers.as_ref().map_or(0, |answers| answers.held_bytes())
    }

    /// Drops what has been kept for `timeout`. What is open and left by its connection waits for as long as its calls
    /// take.
    pub(super) fn expire(&mut self, now: Duration, timeout: Duration) {
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
    pub(super) fn oldest(&self) -> Option<Duration> {
        let get = self.get.ring.iter().map(|ring| ring.since);
        let answers = self.answers.iter();
        let open = answers.clone().flat_map(|answers| &answers.open);
        let open = open.filter(|answer| answer.conn.is_some() && !answer.ring.kept.is_empty());
        let over = answers.filter_map(|answers| answers.over.front().map(|answer| answer.ring.since));
        get.chain(open.map(|answer| answer.ring.since)).chain(over).min()
    }

    /// Drops everything that is kept. Streams go on.
    pub(super) fn shed(&mut self) {
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
