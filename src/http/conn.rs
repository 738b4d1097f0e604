//! One server connection: which bytes mean what, and how long each may take.
//!
//! *Scope:* [`Conn`] takes what arrives, finds the requests in it, asks a [`Handler`] for answers, and holds the
//! output until the driver has sent it. One request at a time; pipelined ones wait. *Not in scope:* sockets, routes,
//! and what is in a stream once it is open.
//!
//! ```text
//!  state     read       deadline                               when it passes      peer's half-close
//!  ───────── ────────── ────────────────────────────────────── ─────────────────── ──────────────────────
//!  Head      parsed     head_timeout (no byte yet: also, or     408 (no byte: just  closed after the output
//!                       idle_timeout after the first request)   closed)             (amid a head: 400)
//!  Body      decoded    body_timeout, stretched by the rate     408                 400
//!  Stream    dropped    none                                    –                   closed at once
//!  Closing   dropped    none: the driver half-closes            –                   closed after the output
//!  Linger    dropped    linger_timeout                          closed              closed
//!  Closed    –
//!  any of them with output that is not taken: write_timeout, then closed
//! ```
//!
//! The calls and who makes them: `feed` for what a read brought; then `outgoing` and `sent` until it is empty or the
//! socket full; then what [`Conn::next`] says. When `sent` returns true, `resume` takes up requests that waited for
//! room in the output. [`mod@super`] shows them in use.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use super::body::{Decoder, Progress};
use super::head::{Fields, Framing, Head, Search, parse};
use super::response::{Response, Shared, TEXT, To};
use super::{Refusal, shown};
use crate::buffer::Buffer;
use crate::{Limits, Now};

/// What a peer may send on a connection that carries a stream. Nothing is expected there; a pipelined request or two
/// of a confused client is let pass, a flood is not.
const STREAM_INPUT_BYTES_MAX: usize = 4 << 10;

/// Answers requests. Implemented by the engine, and by tests.
pub trait Handler {
    /// What all connections share.
    fn shared(&mut self) -> &mut Shared;

    /// The head is whole and lawful. Decides before the body is read; called once for each request.
    fn head(&mut self, head: &Head<'_>) -> Verdict;

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
    Refuse(Box<Answer>),
}

/// A [`Response`] that owns its parts, to be sent later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// More header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The media type of the body.
    pub content_type: Option<Cow<'static, str>>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A sentence for a person.
    pub fn text(status: u16, body: impl Into<String>) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            content_type: Some(TEXT.into()),
            body: body.into().into_bytes(),
        }
    }

    fn write(&self, shared: &mut Shared, output: &mut Buffer, to: To) {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = Response {
            status: self.status,
            headers: &headers,
            content_type: self.content_type.as_deref(),
            body: &self.body,
        };
        shared.refused(self.status, &self.body);
        shared.respond(output, &response, to);
    }

    /// Adds a header field.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

/// Where a request is answered, once.
#[derive(Debug)]
pub struct Reply<'a> {
    output: &'a mut Buffer,
    to: To,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    None,
    Sent,
    Stream,
}

impl Reply<'_> {
    /// Answers with a whole response. Does nothing if the request was answered before.
    pub fn send(&mut self, shared: &mut Shared, response: &Response<'_>) {
        if self.begin(Outcome::Sent) {
            shared.respond(self.output, response, self.to);
        }
    }

    /// Answers with an [`Answer`]. Does nothing if the request was answered before.
    pub fn answer(&mut self, shared: &mut Shared, answer: &Answer) {
        if self.begin(Outcome::Sent) {
            answer.write(shared, self.output, self.to);
        }
    }

    /// Answers with `202 Accepted` and the text `Accepted`. Does nothing if the request was answered before.
    pub fn accepted(&mut self, shared: &mut Shared) {
        if self.begin(Outcome::Sent) {
            shared.accept(self.output, self.to);
        }
    }

    /// Answers with a body that lasts until either side closes the connection, and writes its first bytes.
    ///
    /// To HEAD, the head alone is sent. Returns whether the stream is open: [`Conn::push`] then writes on.
    pub fn stream(
        &mut self,
        shared: &mut Shared,
        content_type: &str,
        headers: &[(&str, &str)],
        first: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let opens = !self.to.head_only;
        if !self.begin(if opens { Outcome::Stream } else { Outcome::Sent }) {
            return false;
        }
        self.to.keep_alive = false;
        shared.respond_stream(self.output, content_type, headers, |out| {
            if opens {
                first(out);
            }
        });
        opens
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
    state: State,
    /// A head that is not whole, or requests that wait for room in the output; in `Body`: the head and what there is
    /// of the content. Empty between requests.
    input: Buffer,
    output: Buffer,
    /// When the present wait began.
    since: Nanos,
    /// When the peer last took output, or there was none.
    wrote: Nanos,
    /// Bytes that arrived after the last one that was looked at.
    dropped: u32,
    fresh: bool,
    stalled: bool,
    eof: bool,
}

#[derive(Debug)]
enum State {
    Head { search: Search, began: bool },
    Body(Box<Pending>),
    Stream,
    Closing,
    Linger,
    Closed,
}

/// A request whose body is not whole. Boxed: most requests never are in this state.
#[derive(Debug)]
struct Pending {
    decoder: Decoder,
    head_len: usize,
    to: To,
    /// The most that `input` will hold, if it is known.
    total: Option<usize>,
    received: u64,
    refused: Option<Box<Answer>>,
}

impl Conn {
    /// A connection that was just accepted.
    pub fn new(now: Now) -> Conn {
        Conn {
            state: State::new_head(),
            input: Buffer::default(),
            output: Buffer::default(),
            since: Nanos::of(now),
            wrote: Nanos::of(now),
            dropped: 0,
            fresh: true,
            stalled: false,
            eof: false,
        }
    }

    /// Takes what a read brought, at most `turn_bytes_max`, and only while [`wants_read`](Conn::wants_read).
    pub fn feed(&mut self, now: Now, bytes: &[u8], handler: &mut impl Handler) {
        handler.shared().at(now);
        let quiet = self.output.is_empty();
        if self.input.is_empty() || !matches!(self.state, State::Head { .. }) {
            let used = self.advance(now, bytes, handler);
            let rest = bytes.get(used..).unwrap_or_default();
            self.keep(rest, handler.shared());
        } else {
            self.keep(bytes, handler.shared());
            self.advance_buffered(now, handler);
        }
        self.settle(now, quiet, handler.shared());
    }

    /// Goes on with requests that waited for room in the output. To be called when [`sent`](Conn::sent) says so.
    pub fn resume(&mut self, now: Now, handler: &mut impl Handler) {
        handler.shared().at(now);
        let quiet = self.output.is_empty();
        if matches!(self.state, State::Head { .. }) {
            self.advance_buffered(now, handler);
        }
        self.settle(now, quiet, handler.shared());
    }

    /// The peer will send nothing more. A whole request is still answered; a stream is over.
    pub fn end_of_input(&mut self, now: Now, handler: &mut impl Handler) {
        handler.shared().at(now);
        let quiet = self.output.is_empty();
        self.eof = true;
        if matches!(self.state, State::Stream | State::Linger) {
            self.state = State::Closed;
        }
        self.settle(now, quiet, handler.shared());
    }

    /// The peer's socket took the first `count` bytes of [`outgoing`](Conn::outgoing). If this returns true, call
    /// [`resume`](Conn::resume), and read the socket again: reading may have stopped.
    #[must_use = "requests wait for `resume`"]
    pub fn sent(&mut self, now: Now, count: usize, shared: &mut Shared) -> bool {
        if count == 0 {
            return false;
        }
        self.wrote = Nanos::of(now);
        self.output.consume(&mut shared.pool, count);
        if self.output.is_empty() && matches!(self.state, State::Head { began: false, .. }) {
            self.since = self.wrote;
        }
        let resumes = self.stalled && self.output.len() < shared.limits.turn_bytes_max;
        self.stalled &= !resumes;
        resumes
    }

    /// What is to be sent, oldest byte first.
    pub fn outgoing(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Writes on in the stream; `None` if this connection carries none (any more).
    pub fn push<R>(
        &mut self,
        now: Now,
        shared: &mut Shared,
        write: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Option<R> {
        let State::Stream = self.state else { return None };
        if self.output.is_empty() {
            self.wrote = Nanos::of(now);
        }
        let result = self.output.write(&mut shared.pool, write);
        if self.output.is_empty() {
            self.output.clear(&mut shared.pool);
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
    pub fn finish(&mut self, shared: &mut Shared) {
        if matches!(self.state, State::Head { .. } | State::Body(_) | State::Stream) {
            self.state = if self.output.is_empty() && self.fresh { State::Closed } else { State::Closing };
            self.dropped = 0;
            self.stalled = false;
            self.input.clear(&mut shared.pool);
        }
    }

    /// Closes at once; what is queued is lost.
    pub fn abort(&mut self, shared: &mut Shared) {
        self.state = State::Closed;
        self.release(shared);
    }

    /// Bytes that are kept for this connection: what came and is not yet answered, and what is not yet sent.
    pub fn held(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// Gives up what is held, because all connections together hold too much: half a request is refused with 503;
    /// where output is what is held, the connection is closed at once. Says which: true if output was lost.
    pub fn shed(&mut self, now: Now, shared: &mut Shared) -> bool {
        if self.input.is_empty() {
            let lost = !self.output.is_empty();
            self.abort(shared);
            return lost;
        }
        let quiet = self.output.is_empty();
        self.refuse(shared, &budget_spent(), false);
        self.settle(now, quiet, shared);
        false
    }

    /// Whether the socket is to be read. While it is not, the bytes stay in the kernel and slow the peer down.
    pub fn wants_read(&self) -> bool {
        !self.stalled && !self.eof && !matches!(self.state, State::Closed)
    }

    /// When [`expire`](Conn::expire) wants to be called, as time on the `mono` clock.
    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        [self.read_deadline(limits), self.write_deadline(limits)].into_iter().flatten().min()
    }

    /// The deadline passed (if it did): 408 and close for half a request, else close. Does nothing before that.
    pub fn expire(&mut self, now: Now, shared: &mut Shared) {
        shared.at(now);
        let passed = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now.mono);
        if passed(self.write_deadline(&shared.limits)) {
            return self.abort(shared);
        }
        if !passed(self.read_deadline(&shared.limits)) {
            return;
        }
        let quiet = self.output.is_empty();
        let late =
            |what: &str| Refusal::new(408, format!("the request's {what} took too long; send it faster"));
        match &self.state {
            State::Head { began: true, .. } => self.refuse(shared, &late("head"), false),
            State::Body(pending) => {
                let head_only = pending.to.head_only;
                self.refuse(shared, &late("body"), head_only);
            }
            State::Head { began: false, .. }
            | State::Stream
            | State::Closing
            | State::Linger
            | State::Closed => return self.abort(shared),
        }
        self.settle(now, quiet, shared);
    }

    /// What to do with the socket once everything is sent.
    pub fn next(&self) -> After {
        match self.state {
            State::Head { .. } | State::Body(_) | State::Stream | State::Linger => After::Open,
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
        let idle = matches!(self.state, State::Head { began: false, .. }) && self.output.is_empty();
        idle.then(|| self.since.duration())
    }

    /// Gives all memory back. To be called before a connection is dropped.
    pub fn release(&mut self, shared: &mut Shared) {
        self.input.clear(&mut shared.pool);
        self.output.clear(&mut shared.pool);
    }
}

/// What happens to bytes.
impl Conn {
    /// Puts what `advance` left aside: the beginning of a head, or requests that wait.
    fn keep(&mut self, bytes: &[u8], shared: &mut Shared) {
        if !bytes.is_empty() && !self.store(bytes, None, shared) {
            self.refuse(shared, &budget_spent(), false);
        }
    }

    fn advance_buffered(&mut self, now: Now, handler: &mut impl Handler) {
        let mut held = std::mem::take(&mut self.input);
        let used = self.advance(now, held.as_slice(), handler);
        held.consume(&mut handler.shared().pool, used);
        if !held.is_empty() {
            self.input = held;
        }
    }

    /// Works through bytes that begin where the last call stopped. Returns how many are done with; what is left is
    /// the beginning of a head, or whole requests for whose answers there is no room yet.
    fn advance<H: Handler>(&mut self, now: Now, bytes: &[u8], handler: &mut H) -> usize {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return used;
            }
            match &mut self.state {
                State::Head { search, began } => {
                    let limits = &handler.shared().limits;
                    if self.output.len() >= limits.turn_bytes_max {
                        return used;
                    }
                    let found = search.find(rest, limits);
                    let skipped = search.take_skipped();
                    match found {
                        Ok(Some(range)) => used += self.start(now, rest, range, handler),
                        Ok(None) => {
                            if !*began && rest.len() > skipped {
                                *began = true;
                                self.since = Nanos::of(now);
                            }
                            return used + skipped;
                        }
                        Err(refusal) => {
                            let head_only = rest.get(skipped..).unwrap_or_default().starts_with(b"HEAD ");
                            self.refuse(handler.shared(), &refusal, head_only);
                        }
                    }
                }
                State::Body(_) => used += self.body(now, rest, handler),
                State::Stream | State::Closing | State::Linger | State::Closed => {
                    self.drop_input(rest.len(), &handler.shared().limits);
                    return bytes.len();
                }
            }
        }
    }

    /// A whole head was found at `range` of `rest`. Returns how many bytes are done with.
    fn start<H: Handler>(&mut self, now: Now, rest: &[u8], range: Range<usize>, handler: &mut H) -> usize {
        let end = range.end;
        let bytes = rest.get(range).unwrap_or_default();
        let after = rest.get(end..).unwrap_or_default();
        let mut fields = Fields::new();
        let head = match parse(bytes, &mut fields, &handler.shared().limits) {
            Ok(head) => head,
            Err(refusal) => {
                self.refuse(handler.shared(), &refusal, bytes.starts_with(b"HEAD "));
                return end;
            }
        };
        let to = To { head_only: head.method == "HEAD", keep_alive: head.keep_alive };
        let length = match head.framing {
            Framing::None => Some(0),
            Framing::Length(length) => usize::try_from(length).ok(),
            // Chunks have to be put together, so they take the way over the buffer.
            Framing::Chunked => None,
        };
        let body = length.and_then(|length| after.get(..length));
        match (handler.head(&head), body) {
            (Verdict::Refuse(answer), _) if head.expect_continue => {
                self.answer(now, &answer, To { keep_alive: false, ..to }, handler.shared());
                end
            }
            (Verdict::Refuse(answer), Some(body)) => {
                self.answer(now, &answer, to, handler.shared());
                end + body.len()
            }
            (Verdict::Read, Some(body)) => {
                self.deliver(now, &head, body, handler);
                end + body.len()
            }
            (verdict, None) => {
                let waits = head.expect_continue && after.is_empty();
                let decoder = Decoder::new(head.framing);
                let (head_len, total) = (bytes.len(), length.map(|length| length + bytes.len()));
                let refused = match verdict {
                    Verdict::Read => None,
                    Verdict::Refuse(answer) => Some(answer),
                };
                let pending = Pending { decoder, head_len, to, total, received: 0, refused };
                self.await_body(now, bytes, pending, waits, handler.shared());
                end
            }
        }
    }

    fn await_body(&mut self, now: Now, head: &[u8], pending: Pending, waits: bool, shared: &mut Shared) {
        self.since = Nanos::of(now);
        if pending.refused.is_none() && !self.store(head, pending.total, shared) {
            return self.refuse(shared, &budget_spent(), pending.to.head_only);
        }
        if waits {
            self.output.append(&mut shared.pool, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.state = State::Body(Box::new(pending));
    }

    /// More of a body. Returns how many bytes belong to it.
    fn body<H: Handler>(&mut self, now: Now, bytes: &[u8], handler: &mut H) -> usize {
        let State::Body(pending) = &mut self.state else { return 0 };
        let shared = handler.shared();
        let Shared { pool, limits, .. } = shared;
        pending.received = pending.received.saturating_add(bytes.len() as u64);
        let (decoder, total) = (&mut pending.decoder, pending.total);
        let mut room = Some(limits.buffered_bytes_max.saturating_sub(pool.used()));
        let decoded = match pending.refused {
            Some(_) => decoder.decode(bytes, limits, |_| {}),
            None => self.input.write(pool, |out| {
                decoder
                    .decode(bytes, limits, |data| room = room.and_then(|room| append(out, data, total, room)))
            }),
        };
        let decoded = decoded.and_then(|progress| room.map(|_| progress).ok_or_else(budget_spent));
        match decoded {
            Ok(Progress { used, done }) => {
                if done {
                    self.complete(now, handler);
                }
                used
            }
            Err(refusal) => {
                let head_only = pending.to.head_only;
                self.refuse(shared, &refusal, head_only);
                bytes.len()
            }
        }
    }

    /// The body is whole.
    fn complete<H: Handler>(&mut self, now: Now, handler: &mut H) {
        let State::Body(pending) = std::mem::replace(&mut self.state, State::Closed) else { return };
        if let Some(answer) = pending.refused {
            return self.answer(now, &answer, pending.to, handler.shared());
        }
        let mut input = std::mem::take(&mut self.input);
        let mut fields = Fields::new();
        let (head, body) = input.as_slice().split_at_checked(pending.head_len).unwrap_or_default();
        match parse(head, &mut fields, &handler.shared().limits) {
            Ok(head) => self.deliver(now, &head, body, handler),
            Err(refusal) => self.refuse(handler.shared(), &refusal, pending.to.head_only),
        }
        input.clear(&mut handler.shared().pool);
    }

    fn deliver<H: Handler>(&mut self, now: Now, head: &Head<'_>, body: &[u8], handler: &mut H) {
        let to = To { head_only: head.method == "HEAD", keep_alive: head.keep_alive };
        let mut reply = Reply { output: &mut self.output, to, outcome: Outcome::None };
        handler.request(head, body, &mut reply);
        if reply.outcome == Outcome::None {
            // A request without an answer would hang its peer, and the next answer would be taken for this one's.
            let target = shown(head.target.as_bytes());
            let text = format!("the server gave no answer to {} {target}", head.method);
            reply.send(handler.shared(), &Response::text(500, &text));
        }
        let Reply { to, outcome, .. } = reply;
        self.answered(now, if outcome == Outcome::Stream { State::Stream } else { State::after(to) });
    }

    fn answer(&mut self, now: Now, answer: &Answer, to: To, shared: &mut Shared) {
        answer.write(shared, &mut self.output, to);
        self.answered(now, State::after(to));
    }

    fn answered(&mut self, now: Now, state: State) {
        self.state = state;
        self.since = Nanos::of(now);
        self.fresh = false;
    }

    /// The last response of this connection: from here on the peer's bytes have no certain meaning.
    fn refuse(&mut self, shared: &mut Shared, refusal: &Refusal, head_only: bool) {
        let retry: &[(&str, &str)] = if refusal.status == 503 { &[("Retry-After", "1")] } else { &[] };
        let response = Response { headers: retry, ..Response::text(refusal.status, &refusal.reason) };
        shared.refused(refusal.status, refusal.reason.as_bytes());
        shared.respond(&mut self.output, &response, To { head_only, keep_alive: false });
        self.state = State::Closing;
    }

    fn drop_input(&mut self, count: usize, limits: &Limits) {
        self.dropped = self.dropped.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let max = if self.is_stream() { STREAM_INPUT_BYTES_MAX } else { limits.linger_bytes_max };
        if self.dropped as usize > max {
            self.state = State::Closed;
        }
    }

    /// Appends to `input`, unless that takes all peers together over the global budget.
    fn store(&mut self, bytes: &[u8], total: Option<usize>, shared: &mut Shared) -> bool {
        let room = shared.limits.buffered_bytes_max.saturating_sub(shared.pool.used());
        self.input.write(&mut shared.pool, |out| append(out, bytes, total, room)).is_some()
    }

    /// Runs at the end of each call that may change the state.
    fn settle(&mut self, now: Now, quiet: bool, shared: &mut Shared) {
        let is_head = matches!(self.state, State::Head { .. });
        self.stalled = is_head && self.output.len() >= shared.limits.turn_bytes_max;
        if self.eof && !self.stalled {
            match self.state {
                State::Head { began: false, .. } => self.state = State::Closing,
                State::Head { began: true, .. } | State::Body(_) => {
                    let reason = "the connection was half-closed within a request; send requests whole";
                    self.refuse(shared, &Refusal::new(400, reason), false);
                }
                State::Stream => self.state = State::Closed,
                State::Closing | State::Linger | State::Closed => {}
            }
        }
        match self.state {
            State::Head { .. } | State::Body(_) => {}
            State::Stream | State::Closing | State::Linger => self.input.clear(&mut shared.pool),
            State::Closed => self.release(shared),
        }
        if quiet && !self.output.is_empty() {
            self.wrote = Nanos::of(now);
        }
    }
}

/// Deadlines.
impl Conn {
    fn read_deadline(&self, limits: &Limits) -> Option<Duration> {
        let wait = match &self.state {
            // Not read, or not yet answered: the peer is not the one who is late.
            State::Head { .. } if self.stalled => return None,
            State::Head { began: true, .. } => limits.head_timeout,
            State::Head { began: false, .. } if !self.output.is_empty() => return None,
            State::Head { began: false, .. } if self.fresh => limits.head_timeout,
            State::Head { began: false, .. } => limits.idle_timeout,
            State::Body(pending) => {
                let seconds = pending.received / (limits.body_rate_min.max(1) as u64);
                limits.body_timeout.saturating_add(Duration::from_secs(seconds))
            }
            State::Linger => limits.linger_timeout,
            State::Stream | State::Closing | State::Closed => return None,
        };
        Some(self.since.duration().saturating_add(wait))
    }

    fn write_deadline(&self, limits: &Limits) -> Option<Duration> {
        let waits = !self.output.is_empty();
        waits.then(|| self.wrote.duration().saturating_add(limits.write_timeout))
    }
}

impl State {
    fn new_head() -> State {
        State::Head { search: Search::default(), began: false }
    }

    fn after(to: To) -> State {
        if to.keep_alive { State::new_head() } else { State::Closing }
    }
}

/// Appends `data` if the memory it takes is at most `room`; gives what is left of that.
///
/// A vector doubles when it grows; where the `total` is known it grows to no more than that, because a body of 4 MiB
/// must not be charged as 8.
fn append(out: &mut Vec<u8>, data: &[u8], total: Option<usize>, room: usize) -> Option<usize> {
    let (len, capacity) = (out.len(), out.capacity());
    let needed = len.saturating_add(data.len());
    if needed > capacity {
        let doubled = needed.max(capacity.saturating_mul(2));
        let target = total.map_or(doubled, |total| doubled.min(total.max(needed)));
        if target - capacity > room {
            return None;
        }
        out.reserve_exact(target - len);
    }
    out.extend_from_slice(data);
    Some(room.saturating_sub(out.capacity() - capacity))
}

fn budget_spent() -> Refusal {
    Refusal::new(503, "the server holds as much data as it may; try again in a moment")
}

/// Time on the `mono` clock in half the room of a [`Duration`]: 584 years of it, and a connection keeps two.
#[derive(Clone, Copy, Debug)]
struct Nanos(u64);

impl Nanos {
    fn of(now: Now) -> Nanos {
        Nanos(u64::try_from(now.mono.as_nanos()).unwrap_or(u64::MAX))
    }

    fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Conn>() <= 112, "{}", size_of::<Conn>());
    }
}
