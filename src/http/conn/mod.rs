//! One server connection: which bytes mean what, and how long each may take.
//!
//! *Scope:* [`Conn`] takes what arrives, finds the requests in it, asks a [`Handler`] for answers, and holds the
//! output until the driver has sent it. One request at a time; pipelined ones wait. *Not in scope:* sockets, routes,
//! and what is in a stream once it is open. How bytes move it from state to state is in `input.rs`, how time does in
//! `time.rs`.
//!
//! ```text
//!  state     read       deadline                               when it passes      peer's half-close
//!  ───────── ────────── ────────────────────────────────────── ─────────────────── ──────────────────────
//!  Head      parsed     head_timeout (no byte yet: also, or     408 (no byte: just  closed after the output
//!                       idle_timeout after the first request)   closed)             (amid a head: 400)
//!  Body      decoded    body_timeout; each byte puts it off as  408                 400
//!                       body_rate_min says, to body_timeout
//!                       from now at most
//!  Waiting   kept       none                                    –                   answered all the same
//!  Chunks    kept       none                                    –                   answered all the same
//!  Stream    dropped    none                                    –                   closed at once
//!  Closing   dropped    none: the driver half-closes            –                   closed after the output
//!  Linger    dropped    linger_timeout                          closed              closed
//!  Closed    –
//!  any of them with output that is not taken: write_timeout, then closed
//! ```
//!
//! The calls and who makes them: `feed` for what a read brought; then `outgoing` and `sent` until it is empty or the
//! socket full; then what [`Conn::next`] says. When `sent` returns true, `resume` takes up requests that waited for
//! room in the output. [`mod@super`](mod@crate::http) shows them in use.

pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod time;

use std::time::Duration;

use crate::http::body::Decoder;
use crate::http::head::Head;
use crate::http::refusal::{Refusal, budget_spent};
use crate::http::response::{Common, CommonFields, OwnedResponse, RequestTraits, Response, write_chunk};
use crate::http::search::Search;
use crate::memory::Buffer;
use crate::timers::{Nanos, Now};

/// Answers requests. Implemented by the engine, and by tests.
pub trait Handler {
    /// What all connections share.
    fn common(&mut self) -> &mut Common;

    /// The head is whole and lawful. Decides before the body is read; called once for each request.
    fn head(&mut self, head: &Head<'_>) -> Verdict;

    /// The body is announced to be longer than `body_bytes_max`: what is said instead of reading it (RFC 9110 §15.5.14). The
    /// connection is closed after it.
    fn too_long(&mut self, head: &Head<'_>, length: u64) -> OwnedResponse {
        let _ = head;
        OwnedResponse::too_long(length, &self.common().limits)
    }

    /// Fields that every response to this request gets, whoever writes it; asked before [`head`](Handler::head).
    fn common_fields(&mut self, head: &Head<'_>) -> Option<Box<CommonFields>> {
        let _ = head;
        None
    }

    /// The request is whole. It is to be answered through `reply`; if it is not, the peer gets 500.
    fn request(&mut self, head: &Head<'_>, body: &[u8], reply: &mut Reply<'_>);
}

/// What [`Handler::head`] decides.
#[derive(Debug)]
pub enum Verdict {
    /// Read the body, then ask [`Handler::request`].
    Read,
    /// Read the body but keep none of it, then answer with this. A peer that waits for `100 Continue` gets it at once
    /// instead, and the connection is closed, because it may send the body or not (RFC 9110 §10.1.1).
    Refuse(Box<OwnedResponse>),
    /// The same for a short body. One longer than `linger_bytes_max`, or of unknown length, is not waited for: the
    /// answer is sent at once and the connection closed. For peers that are owed nothing.
    TurnAway(Box<OwnedResponse>),
}

/// Where a request is answered, once.
#[derive(Debug)]
pub struct Reply<'a> {
    pub(crate) output: &'a mut Buffer,
    pub(crate) common_fields: Option<&'a CommonFields>,
    pub(crate) to: RequestTraits,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    None,
    Sent,
    Stream,
    Wait,
}

impl Reply<'_> {
    /// Answers with a whole response. Does nothing if the request was answered before.
    pub fn send(&mut self, common: &mut Common, response: &Response<'_>) {
        if self.begin(Outcome::Sent) {
            common.respond(self.output, response, self.to, self.common_fields);
        }
    }

    /// Answers with an [`OwnedResponse`]. Does nothing if the request was answered before.
    pub fn answer(&mut self, common: &mut Common, answer: &OwnedResponse) {
        if self.begin(Outcome::Sent) {
            answer.write(common, self.output, self.to, self.common_fields);
        }
    }

    /// Answers with `202 Accepted` and the text `Accepted`. Does nothing if the request was answered before.
    pub fn accepted(&mut self, common: &mut Common) {
        if self.begin(Outcome::Sent) {
            common.accept(self.output, self.to, self.common_fields);
        }
    }

    /// Answers with a body that lasts until either side closes the connection, and writes its first bytes.
    ///
    /// To HEAD, the head alone is sent. Returns whether the stream is open: [`Conn::push`] then writes on.
    pub fn stream(
        &mut self,
        common: &mut Common,
        content_type: &str,
        headers: &[(&str, &str)],
        first: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let opens = !self.to.head_only;
        if !self.begin(if opens { Outcome::Stream } else { Outcome::Sent }) {
            return false;
        }
        self.to.keep_alive = false;
        common.respond_stream(self.output, content_type, headers, self.common_fields, |out| {
            if opens {
                first(out);
            }
        });
        opens
    }

    /// Says that the answer comes later, by [`Conn::respond`] or [`Conn::begin_chunks`].
    pub fn wait(&mut self) {
        self.begin(Outcome::Wait);
    }

    /// Makes this response the last one of the connection. To be called before the answer is given.
    pub fn close(&mut self) {
        if self.outcome == Outcome::None {
            self.to.keep_alive = false;
        }
    }

    fn begin(&mut self, outcome: Outcome) -> bool {
        let first = self.outcome == Outcome::None;
        if first {
            self.outcome = outcome;
        }
        first
    }
}

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
    /// What the response to the present request gets besides its own fields; `None` between two requests.
    pub(crate) common_fields: Option<Box<CommonFields>>,
    /// When the present wait began.
    pub(crate) since: Nanos,
    /// When the peer last took output, or there was none.
    pub(crate) wrote: Nanos,
    /// Since when there has been output at all times.
    pub(crate) behind: Nanos,
    /// Bytes that arrived after the last one that was looked at.
    pub(crate) dropped: u32,
    pub(crate) fresh: bool,
    pub(crate) stalled: bool,
    pub(crate) eof: bool,
}

#[derive(Debug)]
pub(crate) enum State {
    Head {
        search: Search,
        began: bool,
    },
    Body(Box<Pending>),
    /// A request was taken and is not yet answered.
    Waiting(RequestTraits),
    /// An answer is being sent in chunks.
    Chunks(RequestTraits),
    Stream,
    Closing,
    Linger,
    Closed,
}

/// A request whose body is not whole. Boxed: most requests never are in this state.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) decoder: Decoder,
    pub(crate) head_len: usize,
    pub(crate) to: RequestTraits,
    /// The most that `input` will hold, if it is known.
    pub(crate) total: Option<usize>,
    /// When it is too late.
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
            since: Nanos::of(now),
            wrote: Nanos::of(now),
            behind: Nanos::of(now),
            dropped: 0,
            fresh: true,
            stalled: false,
            eof: false,
        }
    }

    /// Takes what a read brought, at most `turn_bytes_max`, and only while [`wants_read`](Conn::wants_read).
    pub fn feed(&mut self, now: Now, bytes: &[u8], handler: &mut impl Handler) {
        handler.common().set_now(now);
        let quiet = self.output.is_empty();
        if self.input.is_empty() || !matches!(self.state, State::Head { .. }) {
            let used = self.advance(now, bytes, handler);
            let rest = bytes.get(used..).unwrap_or_default();
            self.keep(rest, handler.common());
        } else {
            self.keep(bytes, handler.common());
            self.advance_buffered(now, handler);
        }
        self.settle(now, quiet, handler.common());
    }

    /// Goes on with requests that waited for room in the output. To be called when [`sent`](Conn::sent) says so.
    pub fn resume(&mut self, now: Now, handler: &mut impl Handler) {
        handler.common().set_now(now);
        let quiet = self.output.is_empty();
        if matches!(self.state, State::Head { .. }) {
            self.advance_buffered(now, handler);
        }
        self.settle(now, quiet, handler.common());
    }

    /// The peer will send nothing more. A whole request is still answered; a stream is over.
    pub fn end_of_input(&mut self, now: Now, handler: &mut impl Handler) {
        handler.common().set_now(now);
        let quiet = self.output.is_empty();
        self.eof = true;
        if matches!(self.state, State::Stream | State::Linger) {
            self.state = State::Closed;
        }
        self.settle(now, quiet, handler.common());
    }

    /// The peer's socket took the first `count` bytes of [`outgoing`](Conn::outgoing). If this returns true, call
    /// [`resume`](Conn::resume), and read the socket again: reading may have stopped.
    #[must_use = "requests wait for `resume`"]
    pub fn sent(&mut self, now: Now, count: usize, common: &mut Common) -> bool {
        if count == 0 {
            return false;
        }
        self.wrote = Nanos::of(now);
        self.output.consume(&mut common.pool, count);
        if self.output.is_empty() && matches!(self.state, State::Head { began: false, .. }) {
            self.since = self.wrote;
        }
        let resumes = self.stalled && self.output.len() < common.limits.turn_bytes_max;
        self.stalled &= !resumes;
        resumes
    }

    /// What is to be sent, oldest byte first.
    pub fn outgoing(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Writes on in the stream, or one more chunk; `None` if this connection carries none (any more).
    pub fn push<R>(
        &mut self,
        now: Now,
        common: &mut Common,
        write: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Option<R> {
        let chunks = self.is_chunking();
        if !chunks && !self.is_stream() {
            return None;
        }
        if self.output.is_empty() {
            self.begin_output(now);
        }
        let result = self.output.write(&mut common.pool, |out| match chunks {
            true => write_chunk(out, write),
            false => write(out),
        });
        if self.output.is_empty() {
            self.output.clear(&mut common.pool);
        }
        Some(result)
    }

    /// Whether this connection carries a stream.
    pub fn is_stream(&self) -> bool {
        matches!(self.state, State::Stream)
    }

    /// The server ends the stream: what is queued is sent, then the connection is closed.
    pub fn end_stream(&mut self) {
        if self.is_stream() {
            self.state = State::Closing;
            self.dropped = 0;
        }
    }

    /// No further request is read: what is queued is sent, then the connection is closed. For a shutdown.
    pub fn finish(&mut self, common: &mut Common) {
        if let State::Waiting(to) | State::Chunks(to) = &mut self.state {
            to.keep_alive = false;
        }
        if matches!(self.state, State::Head { .. } | State::Body(_) | State::Stream) {
            // Between two requests there is nothing that a close could cut off.
            let idle = matches!(self.state, State::Head { began: false, .. }) && self.output.is_empty();
            self.state = if idle { State::Closed } else { State::Closing };
            self.dropped = 0;
            self.stalled = false;
            self.input.clear(&mut common.pool);
        }
    }

    /// The request that waits gets no answer, or no more of it: what is queued is sent, then the connection is closed.
    pub fn give_up(&mut self, common: &mut Common) {
        if self.is_waiting() || self.is_stream() {
            self.state = State::Closing;
            self.dropped = 0;
            self.stalled = false;
            self.input.clear(&mut common.pool);
        }
    }

    /// Closes at once; what is queued is lost.
    pub fn abort(&mut self, common: &mut Common) {
        self.state = State::Closed;
        self.release(common);
    }

    /// Bytes that are kept for this connection: what came and is not yet answered, and what is not yet sent.
    pub fn held(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// Gives back memory that is held for nothing.
    pub fn shrink(&mut self, common: &mut Common) {
        self.input.shrink(&mut common.pool);
        self.output.shrink(&mut common.pool);
    }

    /// Gives up what is held, because all connections together hold too much: half a request is refused with 503;
    /// where output is what is held, the connection is closed at once. Says which: true if output was lost.
    pub fn shed(&mut self, now: Now, common: &mut Common) -> bool {
        if self.input.is_empty() || self.is_waiting() {
            let lost = !self.output.is_empty();
            self.abort(common);
            return lost;
        }
        let quiet = self.output.is_empty();
        self.refuse(common, &budget_spent(), false);
        self.settle(now, quiet, common);
        false
    }

    /// Refuses the connection before its first request: 503, and close.
    pub(crate) fn turn_away(&mut self, now: Now, common: &mut Common, reason: String) {
        self.refuse(common, &Refusal::new(503, reason), false);
        self.settle(now, true, common);
    }

    /// Whether the socket is to be read. While it is not, the bytes stay in the kernel and slow the peer down.
    pub fn wants_read(&self) -> bool {
        !self.stalled && !self.eof && !matches!(self.state, State::Closed)
    }

    /// Whether the peer has said that it will send nothing more.
    pub fn has_ended_input(&self) -> bool {
        self.eof
    }

    /// What to do with the socket once everything is sent.
    pub fn next(&self) -> After {
        match self.state {
            State::Head { .. }
            | State::Body(_)
            | State::Waiting(_)
            | State::Chunks(_)
            | State::Stream
            | State::Linger => After::Open,
            State::Closing if self.eof => After::Close,
            State::Closing => After::HalfClose,
            State::Closed => After::Close,
        }
    }

    /// The driver shut down writing. The peer gets a moment to read the response: a close with unread input makes the
    /// kernel reset the connection, and the response may be lost on the way (RFC 9112 §9.6).
    pub fn half_closed(&mut self, now: Now) {
        if matches!(self.state, State::Closing) {
            self.state = State::Linger;
            self.since = Nanos::of(now);
        }
    }

    /// Since when the connection waits between two requests (on the `mono` clock), if it does: the one that has waited
    /// longest may be closed to make room.
    pub fn idle_since(&self) -> Option<Duration> {
        let waits = matches!(self.state, State::Head { began: false, .. });
        let idle = waits && self.input.is_empty() && self.output.is_empty();
        idle.then(|| self.since.duration())
    }

    /// Gives all memory back. To be called before a connection is dropped.
    pub fn release(&mut self, common: &mut Common) {
        self.input.clear(&mut common.pool);
        self.output.clear(&mut common.pool);
    }
}

impl State {
    fn new_head() -> State {
        State::Head { search: Search::default(), began: false }
    }

    pub(crate) fn after(to: RequestTraits) -> State {
        if to.keep_alive { State::new_head() } else { State::Closing }
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
