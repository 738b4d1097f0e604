//! The events of one stream that are kept for a client that comes back (MCP 2025-11-25, transports, "Resumability and
//! redelivery").
//!
//! *Scope:* ids of events, and the latest messages of one stream ([`EventLog`]). *Not in scope:* when a stream loses its
//! connection and gets another one (`transport::resume`).
//!
//! ```text
//!  push ──▶ kept ──┬─ acknowledged by a client that comes back ──▶ dropped; what follows is given to it, part by part
//!                  ├─ more than replay_bytes_max: the oldest notifications, then the oldest questions ──▶ lost
//!                  └─ replay_timeout, or room is needed ──▶ all of it is lost
//! ```
//!
//! An id is good for as long as everything after it is kept that has to arrive: a client gets all questions and responses, or
//! it is told otherwise. Of notifications the oldest may be missing.

use std::collections::VecDeque;
use std::fmt;

use crate::engine::state::message::MessageKind;
use crate::memory::{BLOCK_OVERHEAD_BYTES, Charge, KeptText};
use crate::slab::Key;
use crate::timers::Nanos;

/// The id of an event, unique in its session: the number of the stream, and how many events that had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: u32,
    pub(crate) seq: u64,
}

impl EventId {
    /// Reads an id exactly as it was sent.
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
    text: KeptText,
}

impl Entry {
    fn bytes(&self) -> usize {
        size_of::<Entry>() + self.text.held_bytes()
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
    /// Bytes of the messages.
    bytes: usize,
    /// Bytes of the messages that are dropped for newer ones.
    yielding_bytes: usize,
    /// Every message after this number that has to arrive is kept.
    complete_after: u64,
    /// The first message that a client which has come back was not given yet; `None` if it was given all.
    unsent: Option<u64>,
    /// Bytes of the stream that owns the log, if they are counted with it.
    owner_bytes: usize,
    /// When the last message was kept, the stream was over, or a session's stream lost its connection.
    since: Nanos,
    charge: Charge,
}

impl EventLog {
    /// Returns the log of a stream that a POST opened, which keeps everything from the first message on.
    pub(crate) fn of_post(number: u32, now: Nanos, charge: Charge) -> EventLog {
        EventLog { keeps: true, ..EventLog::of_session(number, now, charge) }
    }

    /// Returns the log of a session's stream, which keeps nothing so far.
    pub(crate) fn of_session(number: u32, now: Nanos, charge: Charge) -> EventLog {
        EventLog {
            number,
            keeps: false,
            next: 0,
            entries: VecDeque::new(),
            bytes: 0,
            yielding_bytes: 0,
            complete_after: 0,
            unsent: None,
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

    /// Returns the bytes that it holds, as last counted.
    pub(crate) fn held_bytes(&self) -> usize {
        self.charge.bytes()
    }

    /// Returns the part of them that the stream itself takes.
    pub(crate) fn owner_bytes(&self) -> usize {
        self.owner_bytes
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
        text: KeptText,
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

    /// Notes that a message is no longer kept.
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

    /// Drops everything up to this event, which the client has seen. What follows is to be given to it.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        while self.entries.front().is_some_and(|entry| entry.seq <= seq)
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry.bytes();
            self.yielding_bytes -= entry.yielding_bytes();
        }
        self.complete_after = self.complete_after.max(seq);
        self.unsent = (!self.entries.is_empty()).then_some(seq + 1);
        self.recount();
    }

    /// Calls `each` with the next messages that its client was not given, until that returns false. Giving them makes the others
    /// wait longer.
    pub(crate) fn give_unsent(&mut self, now: Nanos, mut each: impl FnMut(EventId, &KeptText) -> bool) {
        let Some(unsent) = self.unsent else { return };
        self.since = now;
        let first = self.entries.partition_point(|entry| entry.seq < unsent);
        for entry in self.entries.range(first..) {
            if !each(EventId { stream: self.number, seq: entry.seq }, &entry.text) {
                self.unsent = Some(entry.seq);
                return;
            }
        }
        self.unsent = None;
    }

    /// True if its client was not given all yet.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// The client that was given messages is gone.
    pub(crate) fn forget_client(&mut self) {
        self.unsent = None;
    }

    /// True if a message is gone that has to arrive, and that its client was not given.
    pub(crate) fn has_lost_unsent(&self) -> bool {
        self.unsent.is_some_and(|unsent| self.complete_after >= unsent)
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

    /// Notes that the stream is over: nothing more will come, and the `owner_bytes` of the stream count with the log.
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
    /// The number of the newest of its streams.
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
