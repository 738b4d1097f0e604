//! The events of one stream that are kept for a client that comes back (MCP 2025-11-25, transports, "Resumability and
//! redelivery").
//!
//! *Scope:* ids of streams and events, and the latest messages of one stream ([`Ring`]). *Not in scope:* which streams a
//! session has (`streams`).

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::memory::BLOCK_OVERHEAD_BYTES;

/// Names one stream of a session for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) NonZeroU64);

/// Names one event of a session for ever: the stream, and how many events that has had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: StreamId,
    pub(crate) seq: u64,
}

impl EventId {
    /// Reads an id as it was sent out, and nothing else.
    pub(crate) fn read(text: &[u8]) -> Option<EventId> {
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
pub(crate) enum Kind {
    /// A client can do without.
    Notification,
    /// A question, or word that it needs no answer any more: it has to arrive.
    Question,
    /// It has to arrive, and is kept whatever its size.
    Response,
}

/// One message that is kept.
pub(crate) struct Kept {
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) text: Box<[u8]>,
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
pub(crate) struct Ring {
    pub(crate) kept: VecDeque<Kept>,
    /// Of the messages, without places for more.
    bytes: usize,
    /// Of those that give way to newer ones.
    yielding_bytes: usize,
    /// Everything after the event of this number that has to arrive is kept.
    pub(crate) whole_after: u64,
    /// When the last message was kept, the stream was over, or the session's stream lost its connection.
    pub(crate) since: Duration,
}

impl Ring {
    pub(crate) fn new(whole_after: u64, since: Duration) -> Ring {
        Ring { kept: VecDeque::new(), bytes: 0, yielding_bytes: 0, whole_after, since }
    }

    /// The memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        match self.kept.capacity() {
            0 => 0,
            places => self.bytes + (places - self.kept.len()) * size_of::<Kept>() + BLOCK_OVERHEAD_BYTES,
        }
    }

    pub(crate) fn push(&mut self, kept: Kept, bytes_max: usize) {
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
    pub(crate) fn seen(&mut self, seq: u64) {
        while self.kept.front().is_some_and(|kept| kept.seq <= seq)
            && let Some(kept) = self.kept.pop_front()
        {
            self.bytes -= kept.bytes();
            self.yielding_bytes -= kept.yielding_bytes();
        }
        self.whole_after = self.whole_after.max(seq);
    }

    pub(crate) fn drop_all(&mut self) {
        std::mem::take(&mut self.kept).iter().for_each(|gone| self.miss(gone));
        (self.bytes, self.yielding_bytes) = (0, 0);
    }

    pub(crate) fn messages(&self, stream: StreamId) -> impl Iterator<Item = (EventId, &[u8])> {
        self.kept.iter().map(move |kept| (EventId { stream, seq: kept.seq }, &*kept.text))
    }

    pub(crate) fn is_due(&self, now: Duration, timeout: Duration) -> bool {
        self.since.saturating_add(timeout) <= now
    }
}
