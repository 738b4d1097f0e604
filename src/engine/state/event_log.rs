//! The events of one stream that are kept for a client that comes back (MCP 2025-11-25, transports, "Resumability and
//! redelivery").
//!
//! *Scope:* ids of events, and the latest messages of one stream ([`EventLog`]). *Not in scope:* when a stream loses its
//! connection and gets another one (`transport::resume`).
//!
//! ```text
//!  push ──▶ kept ──┬─ acknowledged by a client that comes back ──▶ dropped
//!                  ├─ more than replay_bytes_max: the oldest notifications, then the oldest questions ──▶ lost
//!                  └─ replay_timeout, or room is needed ──▶ all of it is lost
//! ```
//!
//! An id is good for as long as everything after it is kept that has to arrive: a client gets all questions and responses, or
//! it is told otherwise. Of notifications the oldest may be missing.

use std::collections::VecDeque;
use std::fmt;

use crate::engine::state::message::MessageKind;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge};
use crate::slab::Key;
use crate::timers::Nanos;

/// Names one event of a session for ever: the number of the stream, and how many events that has had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: u32,
    pub(crate) seq: u64,
}

impl EventId {
    /// Reads an id as it was sent out, and nothing else.
    pub(crate) fn read(text: &[u8]) -> Option<EventId> {
        let text = std::str::from_utf8(text).ok()?;
        let (stream, seq) = text.split_once('-')?;
        let id = EventId { stream: stream.parse().ok()?, seq: seq.parse().ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream, self.seq)
    }
}

/// One message that is kept.
struct Entry {
    seq: u64,
    kind: MessageKind,
    text: Box<[u8]>,
}

impl Entry {
    fn bytes(&self) -> usize {
        size_of::<Entry>() + BLOCK_OVERHEAD_BYTES + self.text.len()
    }

    fn yielding_bytes(&self) -> usize {
        if self.kind == MessageKind::Response { 0 } else { self.bytes() }
    }
}

/// The latest messages of one stream.
pub(crate) struct EventLog {
    number: u32,
    /// False: the log begins with the next message, and nothing is kept for a client that is gone.
    keeps: bool,
    next: u64,
    entries: VecDeque<Entry>,
    /// Of the messages, without places for more.
    bytes: usize,
    /// Of those that give way to newer ones.
    yielding_bytes: usize,
    /// Everything after the event of this number that has to arrive is kept.
    complete_after: u64,
    /// Of what holds the log, where nothing else counts it.
    owner_bytes: usize,
    /// When the last message was kept, the stream was over, or a session's stream lost its connection.
    since: Nanos,
    charge: Charge,
}

impl EventLog {
    /// That of a stream which a POST opened: it keeps everything from the first message on.
    pub(crate) fn of_post(number: u32, now: Nanos, charge: Charge) -> EventLog {
        EventLog { keeps: true, ..EventLog::of_session(number, now, charge) }
    }

    /// That of a session's stream, which keeps nothing so far.
    pub(crate) fn of_session(number: u32, now: Nanos, charge: Charge) -> EventLog {
        EventLog {
            number,
            keeps: false,
            next: 0,
            entries: VecDeque::new(),
            bytes: 0,
            yielding_bytes: 0,
            complete_after: 0,
            owner_bytes: 0,
            since: now,
            charge,
        }
    }

    /// The number of the stream, which is in the ids of its events.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// True if messages are kept although no connection carries the stream.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// What it holds, as last counted.
    pub(crate) fn held_bytes(&self) -> usize {
        self.charge.bytes()
    }

    pub(crate) fn since(&self) -> Nanos {
        self.since
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The id of the next event.
    pub(crate) fn next_event(&mut self) -> EventId {
        let seq = self.next;
        self.next += 1;
        EventId { stream: self.number, seq }
    }

    /// Keeps what is sent from now on, for a time that begins `now`.
    pub(crate) fn begin(&mut self, now: Nanos) {
        if !self.keeps {
            self.keeps = true;
            self.complete_after = self.next.saturating_sub(1);
        }
        self.since = now;
    }

    /// Keeps a message under its id, and at most `bytes_max` besides responses. `now` is left out where the message is not
    /// to make the others wait longer.
    pub(crate) fn push(
        &mut self,
        id: EventId,
        kind: MessageKind,
        text: Box<[u8]>,
        now: Option<Nanos>,
        bytes_max: usize,
    ) {
        if !self.keeps {
            self.keeps = true;
            self.complete_after = id.seq.saturating_sub(1);
        }
        self.since = now.unwrap_or(self.since);
        let entry = Entry { seq: id.seq, kind, text };
        self.bytes += entry.bytes();
        self.yielding_bytes += entry.yielding_bytes();
        if self.entries.capacity() == 0 {
            // Most streams say one thing. Room for more that is given back would leave a hole that nothing fits in.
            self.entries.reserve_exact(1);
        }
        self.entries.push_back(entry);
        while self.yielding_bytes > bytes_max {
            let oldest = |kind| self.entries.iter().position(|entry| entry.kind == kind);
            let oldest = oldest(MessageKind::Notification).or_else(|| oldest(MessageKind::Question));
            let Some(oldest) = oldest.and_then(|at| self.entries.remove(at)) else { break };
            self.bytes -= oldest.bytes();
            self.yielding_bytes -= oldest.bytes();
            self.lose(&oldest);
        }
        self.recount();
    }

    /// The message is kept no longer.
    fn lose(&mut self, gone: &Entry) {
        if gone.kind != MessageKind::Notification {
            self.complete_after = self.complete_after.max(gone.seq);
        }
    }

    /// True if a client that has seen everything up to `seq` can be given the rest: nothing is gone that has to arrive.
    pub(crate) fn can_resume(&self, seq: u64) -> bool {
        let complete_after = if self.keeps { self.complete_after } else { self.next.saturating_sub(1) };
        complete_after <= seq && seq < self.next
    }

    /// The client has seen everything up to this event. Calls `each` for what follows, which is kept on.
    pub(crate) fn acknowledge(&mut self, seq: u64, mut each: impl FnMut(EventId, &[u8])) {
        while self.entries.front().is_some_and(|entry| entry.seq <= seq)
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry.bytes();
            self.yielding_bytes -= entry.yielding_bytes();
        }
        self.complete_after = self.complete_after.max(seq);
        let stream = self.number;
        self.entries.iter().for_each(|entry| each(EventId { stream, seq: entry.seq }, &entry.text));
        self.recount();
    }

    /// Drops everything that is kept; what is sent from now on is kept again.
    pub(crate) fn clear(&mut self) {
        std::mem::take(&mut self.entries).iter().for_each(|gone| self.lose(gone));
        (self.bytes, self.yielding_bytes) = (0, 0);
        self.recount();
    }

    /// Drops everything, and keeps nothing more until it [begins](EventLog::begin) again.
    pub(crate) fn stop(&mut self) {
        self.clear();
        self.keeps = false;
    }

    /// The stream is over: nothing more will come, and `owner_bytes` of what holds this log count with it.
    pub(crate) fn end(&mut self, now: Nanos, owner_bytes: usize) {
        self.since = now;
        self.entries.shrink_to_fit();
        self.owner_bytes = owner_bytes + size_of::<EventLog>() + BLOCK_OVERHEAD_BYTES;
        self.recount();
    }

    fn recount(&mut self) {
        let entries = match self.entries.capacity() {
            0 => 0,
            places => self.bytes + (places - self.entries.len()) * size_of::<Entry>() + BLOCK_OVERHEAD_BYTES,
        };
        self.charge.set(entries + self.owner_bytes);
    }
}

/// The streams of a session that have no connection.
#[derive(Default)]
pub(crate) struct KeptStreams {
    /// The session's own, if that has lost its connection and may get another one.
    pub(crate) lost: Option<Key>,
    /// How many of its streams had a number.
    numbered: u32,
    /// Streams of POSTs that are over and kept for a client that comes back, oldest end first.
    pub(crate) over: VecDeque<Key>,
}

impl KeptStreams {
    /// The number of the session's next stream.
    pub(crate) fn next_number(&mut self) -> u32 {
        self.numbered = self.numbered.saturating_add(1);
        self.numbered
    }
}
