//! One server connection and its states: which bytes are read when, and how long each wait may take.
//!
//! *Scope:* [`Conn`] finds the requests in what arrives, hands them to its caller one at a time, writes the answers, and
//! holds the output until the driver has sent it. Pipelined requests wait. *Not in scope:* sockets, routes, and what is in
//! a stream once it is open.
//!
//! `Conn::enter` is the only function that changes the state; [`mod@super`](mod@crate::http) shows the transitions. The calls
//! to it are in `input.rs` (bytes that arrive), `output.rs` (answers) and `close.rs` (the end of a connection). Deadlines are in
//! `time.rs`, connections without HTTP in `lines.rs`.
//!
//! ```text
//!  state     read       deadline                               when it passes      peer's half-close
//!  ───────── ────────── ────────────────────────────────────── ─────────────────── ──────────────────────
//!  Handshake dropped    handshake_timeout                      closed              closed
//!  Head      parsed     head_timeout (no byte yet: also, or     408 (no byte: just  closed after the output
//!                       idle_timeout after the first request)   closed)             (amid a head: 400)
//!  Body      decoded    body_timeout; each byte puts it off as  408                 400
//!                       body_rate_min says, to body_timeout
//!                       from now at most
//!  Waiting   kept       none                                    –                   answered all the same
//!  Chunks    kept       none                                    –                   answered all the same
//!  Stream    dropped    none                                    –                   closed at once
//!  Lines     parsed     none                                    –                   shutdown_grace, then closed
//!  Closing   dropped    none: the driver half-closes            –                   closed after the output
//!  Linger    dropped    linger_timeout                          closed              closed
//!  Closed    –
//!  any of them with output that is not taken: write_timeout, then closed
//! ```
//!
//! The calls in order: `begin`, `step` and `end` for what a read brought, with an answer to each request between; then
//! `outgoing` and `sent` until it is empty or the socket full; then what [`Conn::next`] says. When `sent` or `wants_turn`
//! returns true, a turn without bytes goes on with requests that waited. [`mod@super`](mod@crate::http) shows them in use.

pub(crate) mod close;
pub(crate) mod input;
pub(crate) mod lines;
pub(crate) mod output;
pub(crate) mod time;

pub use crate::http::conn::close::CloseReason;
pub use crate::http::conn::input::{Body, Input, Kept, Step, WholeRequest};

use std::time::Duration;

use crate::http::body::Decoder;
use crate::http::refusal::{Refusal, budget_spent};
use crate::http::remembered::RememberedHead;
use crate::http::response::{Common, CommonFields, RequestTraits};
use crate::http::search::Search;
use crate::limits::Limits;
use crate::lines::Splitter;
use crate::memory::{Buffer, grown};
use crate::timers::{Nanos, Now};

/// What the driver does with the socket once [`Conn::outgoing`] is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Open,
    /// Shut down writing and call [`Conn::half_closed`].
    HalfClose,
    /// Close it, after [`Conn::release`].
    Close,
}

/// One server connection.
#[derive(Debug)]
pub struct Conn {
    pub(crate) state: State,
    /// A head that is not whole, or requests that wait for room in the output; in `Body`: the head and what there is
    /// of the content, or the answer that the content is dropped before. Empty between requests.
    pub(crate) input: Buffer,
    pub(crate) output: Buffer,
    /// What the response to the current request gets besides its own fields; `None` between two requests.
    pub(crate) common_fields: Option<Box<CommonFields>>,
    /// The head of an earlier request, from the second request on.
    pub(crate) remembered: Option<Box<RememberedHead>>,
    /// When the current wait began.
    pub(crate) since: Nanos,
    /// When the peer last took output, or there was none.
    pub(crate) wrote: Nanos,
    /// Since when there has been output at all times.
    pub(crate) behind: Nanos,
    /// Bytes that arrived after the last one that was looked at.
    pub(crate) dropped: u32,
    /// Why the present response is the last one, if it is.
    pub(crate) last_because: CloseReason,
    pub(crate) fresh: bool,
    pub(crate) stalled: bool,
    pub(crate) eof: bool,
}

#[derive(Debug)]
pub(crate) enum State {
    /// The transport below is not ready for HTTP.
    Handshake,
    Head(Search),
    Body(Box<Pending>),
    /// A request was taken and is not yet answered.
    Waiting(RequestTraits),
    /// An answer is being sent in chunks.
    Chunks(RequestTraits),
    Stream,
    /// There is no HTTP: messages are lines, both ways.
    Lines(Box<Splitter>),
    Closing(CloseReason),
    Linger(CloseReason),
    Closed {
        reason: CloseReason,
        unsent_bytes: u32,
    },
}

/// A request whose body is not whole. Boxed: most requests never are in this state.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) decoder: Decoder,
    pub(crate) head_len: usize,
    pub(crate) to: RequestTraits,
    /// The most that `input` will hold, if it is known.
    pub(crate) total: Option<usize>,
    /// When the body is too late.
    pub(crate) deadline: Nanos,
    /// The content is dropped, and `input` holds the answer: what waits to be sent counts, wherever it is.
    pub(crate) refused: bool,
}

impl Conn {
    /// A connection that was just accepted.
    pub fn new(now: Now) -> Conn {
        Conn {
            state: State::new_head(),
            input: Buffer::default(),
            output: Buffer::default(),
            common_fields: None,
            remembered: None,
            since: Nanos::of(now),
            wrote: Nanos::of(now),
            behind: Nanos::of(now),
            dropped: 0,
            last_because: CloseReason::Requested,
            fresh: true,
            stalled: false,
            eof: false,
        }
    }

    /// A connection that was just accepted, and whose transport begins with a handshake.
    pub(crate) fn handshaking(now: Now) -> Conn {
        Conn { state: State::Handshake, ..Conn::new(now) }
    }

    /// True until the handshake is over.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshake)
    }

    /// The handshake is over: the time for the first head begins.
    pub(crate) fn end_handshake(&mut self, common: &mut Common) {
        if self.is_handshaking() {
            self.enter(State::new_head(), common);
            self.fresh = true;
        }
    }

    /// The peer's socket took the first `count` bytes of [`outgoing`](Conn::outgoing). Returns true if there is room again: it
    /// is time for a turn, and to read the socket, which may have stopped.
    #[must_use = "requests wait for a turn"]
    pub fn sent(&mut self, count: usize, common: &mut Common) -> bool {
        if count == 0 {
            return false;
        }
        self.wrote = Nanos::of(common.now);
        self.output.consume(&mut common.pool, count);
        if self.output.is_empty() && matches!(self.state, State::Head(Search { began: false, .. })) {
            self.since = self.wrote;
        }
        let resumes = self.stalled && self.output.len() < self.backlog_max(&common.limits);
        self.stalled &= !resumes;
        resumes
    }

    /// Returns what is to be sent, oldest byte first. Of long output it is the first part; once that is [sent](Conn::sent), it is the
    /// next one.
    pub fn outgoing(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Returns how many bytes are to be sent, in all parts.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.output.len()
    }

    /// Bytes that are kept for this connection: what came and is not yet answered, and what is not yet sent.
    pub fn held(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// Returns spare memory to the pool, and forgets the head that is remembered.
    pub fn shrink(&mut self, common: &mut Common) {
        self.remembered = None;
        self.input.shrink(&mut common.pool);
        self.output.shrink(&mut common.pool);
    }

    /// Gives up what is held, because all connections together hold too much: half a request is refused with 503;
    /// where output is what is held, the connection is closed at once, or after the answers in the output if `keeps_answers`. Returns
    /// the refusal.
    pub fn shed(&mut self, keeps_answers: bool, common: &mut Common) -> Option<Refusal> {
        if self.is_lines() && !self.input.is_empty() && !self.stalled {
            self.skip_line(common);
            return Some(budget_spent());
        }
        if !self.input.is_empty() && !self.is_waiting() && !self.is_lines() {
            return Some(self.refuse(budget_spent(), CloseReason::Budget, false, common));
        }
        match keeps_answers {
            true => self.enter(State::Closing(CloseReason::Budget), common),
            false => self.abort(CloseReason::Budget, common),
        }
        None
    }

    /// Refuses the connection before its first request: 503, and close.
    pub(crate) fn refuse_connection(&mut self, reason: String, common: &mut Common) -> Refusal {
        self.refuse(Refusal::new(503, reason), CloseReason::Refused, false, common)
    }

    /// True if the socket is to be read. While it is not, the bytes stay in the kernel and slow the peer down.
    pub fn wants_read(&self) -> bool {
        !self.stalled && !self.eof && !matches!(self.state, State::Closed { .. })
    }

    /// True if the peer has said that it will send nothing more.
    pub fn has_ended_input(&self) -> bool {
        self.eof
    }

    /// True if the peer will send nothing more, and nothing that it has sent waits.
    pub(crate) fn is_read_to_end(&self) -> bool {
        self.eof && !self.stalled && self.input.is_empty()
    }

    /// What to do with the socket once everything is sent.
    pub fn next(&self) -> After {
        match self.state {
            State::Handshake
            | State::Head(_)
            | State::Body(_)
            | State::Waiting(_)
            | State::Chunks(_)
            | State::Stream
            | State::Lines(_)
            | State::Linger(_) => After::Open,
            State::Closing(_) if self.eof => After::Close,
            State::Closing(_) => After::HalfClose,
            State::Closed { .. } => After::Close,
        }
    }

    /// The driver shut down writing. The peer gets a moment to read the response: a close with unread input makes the
    /// kernel reset the connection, and the response may be lost on the way (RFC 9112 §9.6).
    pub fn half_closed(&mut self, common: &mut Common) {
        if let State::Closing(reason) = self.state {
            self.enter(State::Linger(reason), common);
        }
    }

    /// Since when the connection waits between two requests (on the `mono` clock), if it does.
    pub fn idle_since(&self) -> Option<Duration> {
        let waits = matches!(self.state, State::Head(Search { began: false, .. }));
        let idle = waits && self.input.is_empty() && self.output.is_empty();
        idle.then(|| self.since.duration())
    }

    /// Since when a request is being received, if one is.
    pub(crate) fn receives_since(&self) -> Option<Duration> {
        let receives =
            matches!(self.state, State::Handshake | State::Head(Search { began: true, .. }) | State::Body(_));
        (receives && self.output.is_empty()).then(|| self.since.duration())
    }

    /// How much more memory half a request takes after a read of that many bytes.
    pub(crate) fn growth_bytes(&self, count: usize) -> usize {
        if self.input.is_empty() {
            return 0;
        }
        if let State::Body(pending) = &self.state {
            // What is dropped takes none, and the answer is there already.
            return if pending.refused { 0 } else { self.input.gather_bytes(count, pending.total) };
        }
        let capacity = self.input.capacity();
        grown(capacity, self.input.len().saturating_add(count), None) - capacity
    }

    /// True if a request of it was answered.
    pub(crate) fn has_finished_a_request(&self) -> bool {
        !self.fresh
    }

    /// True if it is closed once its output is sent.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Closing(_) | State::Closed { .. })
    }

    /// Since when its request waits for an answer, or has a stream as its answer.
    pub(crate) fn waits_since(&self) -> Duration {
        self.since.duration()
    }

    /// Since when it waits for its client to take note of the end, if it does.
    pub(crate) fn lingers_since(&self) -> Option<Duration> {
        matches!(self.state, State::Linger(_)).then(|| self.since.duration())
    }

    /// How much output may wait before the next request is looked at. Lines are answered on the connection that they come by, so
    /// a client that sends many before it reads needs more room there.
    pub(crate) fn backlog_max(&self, limits: &Limits) -> usize {
        if self.is_lines() { limits.output_bytes_max / 2 } else { limits.turn_bytes_max }
    }

    /// Changes the state, and with it what follows from that: when the wait began, and what memory is kept. No other
    /// function does.
    fn enter(&mut self, state: State, common: &mut Common) {
        match state {
            State::Head(_) => {
                self.common_fields = None;
                self.since = Nanos::of(common.now);
                self.fresh = false;
            }
            State::Body(_) | State::Waiting(_) | State::Linger(_) => self.since = Nanos::of(common.now),
            State::Handshake | State::Chunks(_) | State::Lines(_) => {}
            State::Stream | State::Closing(_) => {
                self.common_fields = None;
                self.remembered = None;
                self.dropped = 0;
                self.stalled = false;
                self.input.clear(&mut common.pool);
            }
            State::Closed { .. } => self.release(common),
        }
        self.state = state;
    }

    /// Returns all memory to the pool. To be called before a connection is dropped.
    pub fn release(&mut self, common: &mut Common) {
        self.remembered = None;
        self.input.clear(&mut common.pool);
        self.output.clear(&mut common.pool);
    }
}

impl State {
    fn new_head() -> State {
        State::Head(Search::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Conn>() <= 80, "{}", size_of::<Conn>());
    }
}
